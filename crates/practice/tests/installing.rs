//! Practice packages can be installed into practice images, which stay consistent.

mod consistency;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wimwright_format::manifest::package::Payload as Carried;
use wimwright_format::manifest::{PackageId, Version};
use wimwright_format::regf::Data;
use wimwright_image::medium::Medium;
use wimwright_image::registry::{HiveFile, value};
use wimwright_image::{Blobs, Image};
use wimwright_practice::recipe::RecipeFile;
use wimwright_practice::store::{PackageSpec, StoreSpec, write};
use wimwright_practice::updates::{UpdateOptions, files};
use wimwright_practice::{Options as MediumOptions, write_medium};
use wimwright_servicing::cbs::dictionary::Dictionary;
use wimwright_servicing::cbs::install::{DeferredPolicy, Options, install};
use wimwright_servicing::cbs::plan::{PackageChange, UpdateChange};
use wimwright_servicing::cbs::source::{PackageSource, SourcePackage, Trust, open};
use wimwright_servicing::cbs::state::State;
use wimwright_servicing::cbs::store::Store;
use wimwright_servicing::step::{Certainty, Payload};

/// When packages are installed, FILETIME.
const NOW: u64 = 133_800_000_000_000_000;

/// All of a delivery, as if it were applicable.
fn everything(number: usize, source: &PackageSource) -> Vec<PackageChange> {
    let packages: Vec<_> = source.packages().collect();
    let carries =
        |payload: &Carried, id: &PackageId| matches!(payload, Carried::Package { identity, .. } if PackageId::from(identity) == *id);
    let owner = |id: &PackageId| {
        let mut owners = packages
            .iter()
            .filter(|(_, package)| package.manifest.updates.iter().flat_map(|update| &update.payload).any(|payload| carries(payload, id)));
        owners.next().map_or_else(|| id.clone(), |(owner, _)| (*owner).clone())
    };
    let change = |(id, package): &(&PackageId, &SourcePackage)| PackageChange {
        package: (*id).clone(),
        source: Some(number),
        manifest: package.manifest.clone(),
        before: State::ABSENT,
        after: State::INSTALLED,
        updates: (0..package.manifest.updates.len())
            .map(|update| UpdateChange { update, before: State::ABSENT, after: State::INSTALLED })
            .collect(),
        visible: **id == source.root,
        owners: vec![owner(id)],
    };
    packages.iter().map(change).collect()
}

/// An image made to measure, and an edition of a medium in the folder.
fn images(folder: &Path) -> [Image; 2] {
    let package = |name: &str| PackageSpec::installed(format!("{name}~31bf3856ad364e35~amd64~~10.0.26100.1").parse().unwrap());
    let spec = StoreSpec {
        architecture: "amd64".into(),
        version: Version([10, 0, 26100, 1742]),
        packages: vec![package("Microsoft-Windows-Foundation-Package"), package("Microsoft-Windows-Client-Features-Package")],
        filler: 50,
        ..StoreSpec::default()
    };
    let path = folder.join("practice.iso");
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    write_medium(&MediumOptions::default(), &file).unwrap();
    let medium = Medium::open(&path).unwrap();
    let editions = medium.open_images(medium.install_file().unwrap()).unwrap();
    [consistency::open(write(&spec).unwrap()), Image::open(&editions, 1, &Blobs::default()).unwrap()]
}

#[test]
fn practice_packages_install_into_practice_images() {
    let payload = |file: RecipeFile| Payload { name: file.path, sha256: Sha256::digest(&file.bytes).into(), source: Arc::new(file.bytes) };
    let updates = files(&UpdateOptions { files: 120, ..UpdateOptions::default() }).unwrap();
    let payloads: Vec<Payload> = updates.into_iter().map(payload).collect();
    let folder = tempfile::tempdir().unwrap();
    for mut image in images(folder.path()) {
        let dictionary = Dictionary::of_image(&image).unwrap();
        let trust = Trust { allow_unsigned: true, ..Trust::microsoft(1_735_526_400) };
        let sources = open(&payloads, &dictionary, &trust).unwrap();
        assert_eq!(sources.len(), 4);
        let before = consistency::check(&mut image, "amd64");
        let changes: Vec<_> = sources.iter().enumerate().flat_map(|(number, source)| everything(number, source)).collect();
        let store = Store::read(&mut image, None).unwrap();
        let options = Options { time: NOW, deferred: DeferredPolicy::Fail };
        let reports = install(&mut image, &store, &sources, &changes, &options).unwrap();
        assert!(reports.len() == 5 && reports.iter().all(|report| report.certainty == Certainty::Exact), "{reports:#?}");
        let after = consistency::check(&mut image, "amd64");
        // Files: of the cumulative update, of the capability, its text, the servicing stack's.
        assert_eq!((after.packages, after.files), (before.packages + 5, before.files + 120 + 5 + 1 + 1));
        let software = image.hive(HiveFile::Software).unwrap().unwrap();
        assert_eq!(value(&software, r"Microsoft\Windows NT\CurrentVersion", "UBR").unwrap(), Some(Data::Dword(4061)));
        let system = image.hive(HiveFile::System).unwrap().unwrap();
        assert!(system.open(r"ControlSet001\Services\PracticeAgent").unwrap().is_some());
        for path in ["/Windows/System32/PracticeTools/en-US/practiceagent.dll.mui", "/ProgramData/PracticeTools"] {
            assert!(image.tree.at(path).is_some(), "{path}");
        }
    }
}
