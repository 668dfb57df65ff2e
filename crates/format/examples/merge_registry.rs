//! Merges a `.reg` file into a hive file, in place, as `hivexregedit --merge` does, and prints how long each part took.
//!
//! `cargo run --release -p wimwright-format --example merge_registry -- HIVE PREFIX REG`

#![allow(clippy::print_stdout, reason = "it prints its result")]

use std::error::Error;
use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wimwright_format::io::FileSource;
use wimwright_format::reg_file::{self, Change};
use wimwright_format::regf::Hive;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, prefix, script] = arguments.as_slice() else { return Err("usage: merge_registry HIVE PREFIX REG".into()) };
    let begun = Instant::now();
    let script = fs::read(script)?;
    let mut hive = Hive::open_file(Arc::new(FileSource::new(File::open(path)?)?))?;
    let opened = begun.elapsed();
    // A script names its key once for all values below it.
    let mut key = hive.root();
    for change in reg_file::parse(&script)? {
        match change {
            Change::CreateKey { path } => {
                let below = path.strip_prefix(prefix.as_str()).ok_or("a key outside the prefix")?;
                key = hive.create_path(below.trim_start_matches('\\'), 0)?;
            }
            Change::SetValue { name, kind, data, .. } => hive.set_value(key, &name, kind, &data, 0)?,
            Change::DeleteKey { .. } | Change::DeleteValue { .. } => return Err("only additions are timed".into()),
        }
    }
    let merged = begun.elapsed();
    hive.update(&mut File::options().write(true).open(path)?)?;
    let written = begun.elapsed();
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    println!(
        "opened {:.1} ms, merged {:.1} ms, written {:.1} ms, in all {:.1} ms",
        milliseconds(opened),
        milliseconds(merged - opened),
        milliseconds(written - merged),
        milliseconds(written)
    );
    Ok(())
}
