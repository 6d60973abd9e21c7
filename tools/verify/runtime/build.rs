//! Plants the whole module on shuttle's threads and locks.
fn main() {
    mutants::plant(
        &mutants::Part::OnShuttle { sync: "src/sync.rs" },
        &[
            "lost_wakeup",
            "publish_before_remove",
            "remove_by_key",
            "abandon_without_the_lock",
            "woken_is_not_noted",
            "abort_before_the_spawn_is_lost",
            "abort_before_the_suspension_is_lost",
            "nobody_keeps_the_time",
            "lost_load_does_not_land",
            "followers_go_down_with_the_load",
            "forgotten_is_not_sealed",
            "drain_does_not_wait_for_hooks",
            "hook_before_publish",
        ],
    );
}
