//! Tests that cut across the modules: real files, oracles, round trips.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::io::FileSource;

fn open(path: &Path) -> Result<Wim, Error> {
    Wim::open(Arc::new(FileSource::new(File::open(path).unwrap()).unwrap()))
}

#[test]
fn scratch() {
    for entry in std::env::var("WIMS").unwrap().split(' ') {
        match open(Path::new(entry)) {
            Err(error) => println!("{entry}: open {error:?}"),
            Ok(wim) => {
                println!(
                    "{entry}: {:?} blobs {} images {} verify {:?}",
                    wim.header().compression,
                    wim.blobs().len(),
                    wim.image_count(),
                    wim.verify(&mut |_| ())
                );
                for i in 1..=wim.image_count() {
                    match wim.metadata_bytes(i) {
                        Err(e) => println!("  {e:?}"),
                        Ok(bytes) => match Metadata::decode(&bytes) {
                            Err(e) => println!("   {e:?}"),
                            Ok(m) => {
                                let again = m.encode().unwrap();
                                assert_eq!(Metadata::decode(&again).unwrap(), m);
                                println!("   identical {} {} {:?}", again == bytes, bytes.len(), wim.images()[0].name());
                            }
                        },
                    }
                }
            }
        }
    }
}
