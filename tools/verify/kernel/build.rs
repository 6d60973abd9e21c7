//! Plants the kernel on loom's locks.
fn main() {
    mutants::plant(
        &mutants::Part::Kernel { sync: "src/sync.rs" },
        &[
            "lost_wakeup",
            "remove_by_key",
            "abandon_without_the_lock",
            "write_outside_of_the_lock",
            "woken_is_not_noted",
            "look_for_the_load_without_a_fence", "suspension_without_a_fence",
            "abort_before_the_spawn_is_lost",
            "spawned_twice",
        ],
    );
}
