//! Writes an image with a component store of some size and the packages for it: `practice_store FOLDER [FILLER [FILES]]`. The benches
//! install the one into the other.

use std::error::Error;
use std::path::PathBuf;

use wimwright_format::manifest::Version;
use wimwright_practice::store::{self, PackageSpec, State, StoreSpec};
use wimwright_practice::updates::{self, FEATURE_OFF, UpdateOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: practice_store FOLDER [FILLER [FILES]]")?);
    let mut number = || arguments.next().map(|number| number.parse()).transpose();
    let filler = number()?.unwrap_or_default();
    let options = number()?.map_or_else(UpdateOptions::default, |files| UpdateOptions { files, ..UpdateOptions::default() });
    let package = |name: &str, features: Vec<(String, State)>| -> Result<PackageSpec, Box<dyn Error>> {
        let id = format!("{name}~31bf3856ad364e35~amd64~~10.0.26100.1").parse()?;
        Ok(PackageSpec { features, ..PackageSpec::installed(id) })
    };
    let spec = StoreSpec {
        architecture: "amd64".into(),
        version: Version([10, 0, 26100, 1742]),
        packages: vec![
            package("Microsoft-Windows-Foundation-Package", vec![(FEATURE_OFF.into(), State::Staged)])?,
            package("Microsoft-Windows-Client-Features-Package", Vec::new())?,
        ],
        components: Vec::new(),
        filler,
    };
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("store.wim"), store::write(&spec)?)?;
    for file in updates::files(&options)? {
        std::fs::write(folder.join(file.path), file.bytes)?;
    }
    Ok(())
}
