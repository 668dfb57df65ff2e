//! Extracts a cabinet to a folder, as `cabextract -d FOLDER CABINET` and `7z x` do.
//!
//! `cargo run --release -p wimwright-format --example extract_cabinet -- CABINET FOLDER`

use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use wimwright_format::cab::Cabinet;
use wimwright_format::io::FileSource;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [cabinet, folder] = arguments.as_slice() else { return Err("usage: extract_cabinet CABINET FOLDER".into()) };
    let cabinet = Cabinet::open(Arc::new(FileSource::new(File::open(cabinet)?)?))?;
    cabinet.for_each_member(
        |_| true,
        |member, reader| {
            // The name is a safe relative path.
            let path = folder.join(member.name.replace('\\', "/"));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, reader.read_all()?)?;
            Ok(())
        },
    )
}
