//! Plants the whole module.
fn main() {
    mutants::plant(&mutants::Part::Whole { shuttle: false });
}
