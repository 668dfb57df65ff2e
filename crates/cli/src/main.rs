//! The command line of Wimwright.
fn main() {}
