//! dqn-cli
fn main() {}
