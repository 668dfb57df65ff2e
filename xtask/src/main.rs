//! Generates and verifies what is derived from the code.
fn main() {}
