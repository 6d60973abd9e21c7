//! Plants the whole module as it is.
fn main() {
    mutants::plant(&mutants::Part::Whole, &["remove_by_key", "forgotten_is_not_sealed", "slots_are_not_freed"]);
}
