//! Plants the kernel on loom's locks.
fn main() {
    mutants::plant(&mutants::Part::Kernel { sync: "src/sync.rs" });
}
