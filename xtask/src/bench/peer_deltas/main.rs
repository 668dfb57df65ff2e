//! The same as the example `apply_deltas` of wimwright-codec with the peer's decoder. `peer_deltas FOLDER forget` removes the deltas from the
//! folder that the peer does not decode, and prints how many these are.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (folder, forget) = match arguments.as_slice() {
        [folder] => (folder, false),
        [folder, word] if word.as_os_str() == "forget" => (folder, true),
        _ => return Err("usage: peer_deltas FOLDER [forget]".into()),
    };
    let (mut taken, mut forgotten, mut left, mut bytes) = (Duration::ZERO, 0, 0, 0);
    for pair in fs::read_dir(folder)? {
        let pair = pair?.path();
        let [basis, delta, target] = ["basis", "delta", "target"].map(|name| fs::read(pair.join(name)));
        let (basis, delta, target) = (basis?, delta?, target?);
        let begun = Instant::now();
        let made = if delta.starts_with(b"PA19") { msdelta::pa19::apply(&basis, &delta) } else { msdelta::pa30::apply(&basis, &delta) };
        taken += begun.elapsed();
        if made.is_ok_and(|made| made == target) {
            left += 1;
            bytes += target.len();
        } else if forget {
            fs::remove_dir_all(pair)?;
            forgotten += 1;
        } else {
            return Err(format!("{}: another target", pair.display()).into());
        }
    }
    if forget {
        println!("{left} {bytes} {forgotten}");
    } else {
        println!("{:.6}", taken.as_secs_f64());
    }
    Ok(())
}
