//! Practice packages can be installed into practice images, which stay consistent.

mod consistency;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wimwright_format::manifest::Version;
use wimwright_format::regf::Data;
use wimwright_image::medium::Medium;
use wimwright_image::registry::{HiveFile, value};
use wimwright_image::{Blobs, Image};
use wimwright_practice::recipe::RecipeFile;
use wimwright_practice::store::{PackageSpec, StoreSpec, write};
use wimwright_practice::updates::{CAPABILITY, UpdateOptions, files};
use wimwright_practice::{Options as MediumOptions, write_medium};
use wimwright_servicing::cbs::install::DeferredPolicy;
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Certainty, Context, Payload, Step};

/// When packages are installed, FILETIME.
const NOW: u64 = 133_800_000_000_000_000;

/// An image made to measure, and an edition of a medium in the folder.
fn images(folder: &Path) -> [Image; 2] {
    let package = |name: &str, language: &str| {
        PackageSpec::installed(format!("{name}~31bf3856ad364e35~amd64~{language}~10.0.26100.1").parse().unwrap())
    };
    let spec = StoreSpec {
        architecture: "amd64".into(),
        version: Version([10, 0, 26100, 1742]),
        packages: vec![
            package("Microsoft-Windows-Foundation-Package", ""),
            package("Microsoft-Windows-Client-Features-Package", ""),
            package("Microsoft-Windows-Client-LanguagePack-Package", "en-US"),
        ],
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
    let (updates, offers) = payloads.into_iter().partition(|payload| !payload.name.contains("Tools"));
    let step = Packages {
        updates,
        offers,
        capabilities: vec![CAPABILITY.into()],
        allow_unsigned: true,
        deferred: DeferredPolicy::Fail,
        ..Packages::default()
    };
    for mut image in images(folder.path()) {
        let before = consistency::check(&mut image, "amd64");
        let (mut image, report) = step.apply(image, &Context { time: NOW }).unwrap();
        // Those that are new, and the cumulative update that one of them supersedes.
        assert!(report.packages.len() == 6 && report.certainty == Certainty::Exact, "{report:#?}");
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
