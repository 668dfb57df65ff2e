//! Takes the binary deltas of update packages apart, for decoders to be timed on: each gets a folder with the files `basis`, `delta`
//! and `target`.
//!
//! `cargo run --release -p wimwright-format --example delta_pairs -- FOLDER PACKAGE…`

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wimwright_codec::delta;
use wimwright_format::container_index::{DeltaError, Place, Rebuilder, Source, SourceKind};
use wimwright_format::io::FileSource;
use wimwright_format::msu::{Layout, Update};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().ok_or("usage: delta_pairs FOLDER PACKAGE…")?;
    let number = AtomicUsize::new(0);
    let apply = |kind: SourceKind, basis: &[u8], delta: &[u8], limit: u64| -> Result<Vec<u8>, DeltaError> {
        if kind == SourceKind::Raw {
            return Ok(delta.to_vec());
        }
        let target = delta::apply(basis, delta, limit)?;
        let folder = folder.join(format!("{:05}", number.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&folder)?;
        for (name, bytes) in [("basis", basis), ("delta", delta), ("target", &target)] {
            fs::write(folder.join(name), bytes)?;
        }
        Ok(target)
    };
    for path in arguments {
        for package in Update::open(Arc::new(FileSource::new(File::open(path)?)?))?.packages {
            let Layout::Deltas { index, .. } = &package.layout else { continue };
            let mut members = HashMap::new();
            package.visit(&|_| true, &mut |name, reader| {
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes)?;
                members.insert(name.to_lowercase(), bytes);
                Ok(())
            })?;
            let read = |source: &Source| -> Result<Cow<'_, [u8]>, DeltaError> {
                let Place::Member(name) = &source.place else { return Err("a range of bytes in a cabinet".into()) };
                Ok(Cow::Borrowed(members.get(&name.to_lowercase()).ok_or("a source that is missing")?))
            };
            let rebuilder = Rebuilder { read: &read, apply: &apply, find_basis: &|_, _, _| None };
            rebuilder.rebuild(index, |_| true, |_, _| Ok(()))?;
        }
    }
    Ok(())
}
