//! Component stores: of the practice medium's images, and of small images for tests of servicing.
//!
//! [`write`] makes an image file from a [`StoreSpec`]. Its store keeps the rules by which Windows checks one: each package has its
//! manifest and a catalog that lists it; each component a manifest, a key with the manifest's hash, and files with the hashes that
//! the manifest states, linked to their places; each deployment the references of its package; each installed family a winner.

mod spec;
mod writer;

use wimwright_format::manifest::Version;

use crate::contents::Contents;
use crate::error::Error;
use crate::manifests::Package;
use crate::tree::ImageTree;

pub use crate::manifests::State;
pub use spec::{ComponentSpec, PackageSpec, StoreSpec, elevated_by, parents_of, write};
use writer::StoreWriter;
pub(crate) use writer::{SERVICING, ServicedHives};

/// Adds packages to an image, and what servicing keeps besides them: for an architecture, by a servicing stack of some version.
pub(crate) fn add_packages(
    tree: &mut ImageTree,
    contents: &mut Contents,
    hives: ServicedHives<'_>,
    packages: &[Package],
    (architecture, stack): (&str, Version),
) -> Result<(), Error> {
    for path in DIRECTORIES.split('|') {
        tree.directory(path)?;
    }
    let cache = contents.add("Stands for the cache of manifests, which servicing has to drop.\r\n");
    tree.file("Windows/WinSxS/ManifestCache/5f3759df5f3759df_blobs.bin", cache)?;
    tree.file(&format!("Windows/servicing/Version/{stack}/{architecture}_installed"), contents.add("1"))?;
    tree.file("Windows/servicing/Sessions/Sessions.xml", contents.add(SESSIONS))?;
    let mut store = StoreWriter::new(tree, contents, hives);
    for package in packages {
        store.add_package(package)?;
    }
    store.finish()
}

/// Directories of servicing.
const DIRECTORIES: &str = "Windows/CbsTemp|Windows/Logs/CBS|Windows/WinSxS/Backup|Windows/WinSxS/Catalogs|Windows/WinSxS/FileMaps|Windows/WinSxS/Fusion|\
Windows/WinSxS/InstallTemp|Windows/WinSxS/Manifests|Windows/WinSxS/Temp/InFlight|Windows/WinSxS/Temp/PendingDeletes|Windows/WinSxS/Temp/PendingRenames|\
Windows/WinSxS/Temp/TransformerRollbackData|Windows/servicing/Editions|Windows/servicing/LCU|Windows/servicing/Packages|Windows/servicing/SQM|\
Windows/servicing/Sessions";

const SESSIONS: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Sessions>\r\n<Session version=\"2\" id=\"31129598_1077936128\" client=\"DISM Package Manager Provider\" options=\"8\" currentphase=\"6\" lastsuccessfulstate=\"Complete\" pendingfollower=\"False\" retry=\"False\" Queued=\"2024/09/06/03:14:07\" Started=\"2024/09/06/03:14:07\" Complete=\"2024/09/06/03:15:30\" status=\"0x0\"/>\r\n</Sessions>\r\n";
