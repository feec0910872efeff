//! Writes the ARPA fixture of the tests to standard output.
//!
//! ```text
//! cargo run -p dqn-score --example write_arpa > crates/dqn-score/tests/golden/model.arpa
//! ```

#[path = "../tests/golden/model.rs"]
mod model;

fn main() -> Result<(), dqn_score::ScoreError> {
    let vocab = model::vocab();
    model::model(&vocab).write_arpa(&vocab, &mut std::io::stdout().lock())
}
