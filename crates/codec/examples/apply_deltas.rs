//! Applies every delta that `delta_pairs` laid down, one after another, and prints the seconds that the decoder took.
//!
//! `cargo run --release -p wimwright-codec --example apply_deltas -- FOLDER`

#![allow(clippy::print_stdout, reason = "it prints its result")]

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use wimwright_codec::delta;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: apply_deltas FOLDER")?;
    let mut taken = Duration::ZERO;
    for pair in fs::read_dir(folder)? {
        let pair = pair?.path();
        let [basis, delta, target] = ["basis", "delta", "target"].map(|name| fs::read(pair.join(name)));
        let (basis, delta, target) = (basis?, delta?, target?);
        let begun = Instant::now();
        let made = delta::apply(&basis, &delta, u64::MAX)?;
        taken += begun.elapsed();
        if made != target {
            return Err(format!("{}: another target", pair.display()).into());
        }
    }
    println!("{:.6}", taken.as_secs_f64());
    Ok(())
}
