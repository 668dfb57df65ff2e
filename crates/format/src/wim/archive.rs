//! A WIM of one image as an archive of files: how Windows 11 ships updates (`.msu` since 24H2, `.esd`).

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use super::{BlobId, BlobView, Dentry, Error, Wim};
use crate::archive::{Archive, ArchiveError, ArchiveMember, Visitor};
use crate::io::ReadAt;
use crate::member_name::{check_name, fold_name};

/// Largest file that is read whole while an archive is visited. Packages have no larger one; PSF files are opened, not visited.
const LARGEST_VISITED: u64 = 1 << 30;

/// The files of the first image of a WIM.
pub struct WimArchive {
    wim: Arc<Wim>,
    members: Vec<(ArchiveMember, Option<BlobId>)>,
    places: HashMap<Vec<u16>, usize>,
}

impl WimArchive {
    /// Reads the names of the first image.
    ///
    /// # Errors
    /// The WIM or its metadata are damaged, or a name is none that Windows has.
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let wim = Arc::new(Wim::open(source)?);
        let metadata = wim.metadata(1)?;
        let mut archive = Self { wim, members: Vec::new(), places: HashMap::new() };
        let mut open: Vec<(String, &Dentry)> = metadata.root.children.iter().rev().map(|child| (child.name.to_string(), child)).collect();
        while let Some((path, dentry)) = open.pop() {
            if dentry.is_directory() {
                open.extend(dentry.children.iter().rev().map(|child| (format!("{path}\\{}", child.name), child)));
                continue;
            }
            let length = match &dentry.data {
                Some(id) => archive.wim.blob(id).ok_or(Error::BlobMissing { id: *id })?.size,
                None => 0,
            };
            let name = check_name(&path)?;
            archive.places.insert(fold_name(&name), archive.members.len());
            archive.members.push((ArchiveMember { name, length }, dentry.data));
        }
        Ok(archive)
    }
}

fn unreadable(error: Error) -> ArchiveError {
    ArchiveError::Read(Box::new(error))
}

impl Archive for WimArchive {
    fn members(&self) -> Vec<ArchiveMember> {
        self.members.iter().map(|(member, _)| member.clone()).collect()
    }

    fn open(&self, names: &[&str]) -> Result<Vec<Arc<dyn ReadAt>>, ArchiveError> {
        let open = |name: &&str| -> Result<Arc<dyn ReadAt>, ArchiveError> {
            let place = self.places.get(&fold_name(name)).and_then(|place| self.members.get(*place));
            match place {
                None => Err(ArchiveError::NoSuchMember((*name).to_owned())),
                Some((_, None)) => Ok(Arc::new(Vec::new())),
                Some((_, Some(id))) => Ok(Arc::new(BlobView::new(&self.wim, id).map_err(unreadable)?)),
            }
        };
        names.iter().map(open).collect()
    }

    /// Each file is decompressed once and its hash checked.
    fn visit(&self, select: &dyn Fn(&str) -> bool, visitor: &mut Visitor) -> Result<(), ArchiveError> {
        for (member, id) in self.members.iter().filter(|(member, _)| select(&member.name)) {
            let bytes = match id {
                Some(id) => self.wim.read_blob(id, LARGEST_VISITED).map_err(unreadable)?,
                None => Vec::new(),
            };
            visitor(&member.name, &mut Cursor::new(bytes)).map_err(|source| ArchiveError::Visit { name: member.name.clone(), source })?;
        }
        Ok(())
    }
}
