//! What cabinets and WIM images have in common for those who read packages: named members that can be opened.

use std::collections::HashMap;
use std::error::Error;
use std::io::Read;
use std::sync::Arc;

use crate::cab::{CabError, Cabinet, Compression};
use crate::io::{ReadAt, Reader};
use crate::member_name::fold_name;

/// Why a member cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no such member.
    #[error("the archive has no member {0:?}")]
    NoSuchMember(String),
    /// The archive cannot be read.
    #[error("cannot read the archive")]
    Read(#[source] Box<dyn Error + Send + Sync>),
    /// The caller's function failed.
    #[error("cannot take {name:?} from the archive")]
    Visit {
        /// Name of the member.
        name: String,
        /// What the caller's function found.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl From<CabError> for ArchiveError {
    fn from(error: CabError) -> Self {
        Self::Read(Box::new(error))
    }
}

/// A member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveMember {
    /// Safe relative path with `\` between its parts.
    pub name: String,
    /// Bytes.
    pub length: u64,
}

/// Takes a member's name and its bytes.
pub type Visitor<'a> = dyn FnMut(&str, &mut dyn Read) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

/// A read-only archive of files. Names are compared as Windows compares them.
pub trait Archive: Send + Sync {
    /// All files.
    fn members(&self) -> Vec<ArchiveMember>;

    /// Opens members for reading at any place, in the order of `names`.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    fn open(&self, names: &[&str]) -> Result<Vec<Arc<dyn ReadAt>>, ArchiveError>;

    /// Reads the members that `select` wants from front to back, in the order that is cheapest.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    fn visit(&self, select: &dyn Fn(&str) -> bool, visitor: &mut Visitor) -> Result<(), ArchiveError> {
        for member in self.members().iter().filter(|member| select(&member.name)) {
            for source in self.open(&[&member.name])? {
                visitor(&member.name, &mut Reader::new(source))
                    .map_err(|source| ArchiveError::Visit { name: member.name.clone(), source })?;
            }
        }
        Ok(())
    }
}

impl Archive for Cabinet {
    fn members(&self) -> Vec<ArchiveMember> {
        let member = |member: &crate::cab::Member| ArchiveMember { name: member.name.clone(), length: member.length };
        Cabinet::members(self).iter().map(member).collect()
    }

    /// Stored members are views of the cabinet; the others are decoded into memory, in one pass.
    fn open(&self, names: &[&str]) -> Result<Vec<Arc<dyn ReadAt>>, ArchiveError> {
        let compressions: Vec<Compression> = self.compressions().collect();
        let mut places: HashMap<Vec<u16>, usize> = HashMap::with_capacity(names.len());
        for (place, name) in names.iter().enumerate() {
            places.entry(fold_name(name)).or_insert(place);
        }
        let place = |name: &str| places.get(&fold_name(name)).copied();
        let mut opened: Vec<Option<Arc<dyn ReadAt>>> = vec![None; names.len()];
        for (index, member) in Cabinet::members(self).iter().enumerate() {
            if compressions.get(member.folder) == Some(&Compression::Stored)
                && let Some(slot) = place(&member.name).and_then(|place| opened.get_mut(place))
            {
                *slot = Some(self.open_member(index)?);
            }
        }
        let missing = |name: &str| place(name).is_some_and(|place| matches!(opened.get(place), Some(None)));
        let mut decoded = Vec::new();
        self.for_each_member(
            |member| missing(&member.name),
            |member, reader| {
                decoded.push((place(&member.name), reader.read_all()?));
                Ok::<_, CabError>(())
            },
        )?;
        for (place, bytes) in decoded {
            if let Some(slot) = place.and_then(|place| opened.get_mut(place)) {
                *slot = Some(Arc::new(bytes));
            }
        }
        // A name that was asked for twice was found at its first place.
        let of = |name: &&str| {
            let found = place(name).and_then(|place| opened.get(place).cloned().flatten());
            found.ok_or_else(|| ArchiveError::NoSuchMember((*name).to_owned()))
        };
        names.iter().map(of).collect()
    }

    fn visit(&self, select: &dyn Fn(&str) -> bool, visitor: &mut Visitor) -> Result<(), ArchiveError> {
        self.for_each_member(
            |member| select(&member.name),
            |member, reader| visitor(&member.name, reader).map_err(|source| ArchiveError::Visit { name: member.name.clone(), source }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cab::{CabinetWriter, WriterCompression};

    #[test]
    fn cabinets_are_archives() {
        for compression in [WriterCompression::Stored, WriterCompression::Mszip] {
            let mut writer = CabinetWriter::new(compression);
            let large: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
            for (name, data) in [("a.txt", &b"first"[..]), ("b\\large", &large), ("empty", b""), ("c.txt", b"last")] {
                writer.add(name, data, 125_000_000_000_000_000, 0x20).unwrap();
            }
            let mut bytes = Vec::new();
            writer.finish(&mut bytes).unwrap();
            let archive: Box<dyn Archive> = Box::new(Cabinet::open(Arc::new(bytes)).unwrap());
            let names: Vec<_> = archive.members().into_iter().map(|member| (member.name, member.length)).collect();
            assert_eq!(names, [("a.txt".into(), 5), ("b\\large".into(), 100_000), ("empty".into(), 0), ("c.txt".into(), 4)]);

            let mut all = Vec::new();
            for source in archive.open(&["C.TXT", "b\\large", "empty", "c.txt"]).unwrap() {
                let mut content = Vec::new();
                Reader::new(source).read_to_end(&mut content).unwrap();
                all.push(content);
            }
            assert_eq!(all, [b"last".to_vec(), large.clone(), Vec::new(), b"last".to_vec()]);
            assert!(matches!(archive.open(&["none"]), Err(ArchiveError::NoSuchMember(_))));

            let mut visited = Vec::new();
            let mut visitor = |name: &str, reader: &mut dyn Read| {
                let mut content = Vec::new();
                reader.read_to_end(&mut content)?;
                visited.push((name.to_owned(), content.len()));
                Ok(())
            };
            archive.visit(&|name| name != "a.txt", &mut visitor).unwrap();
            visited.sort();
            assert_eq!(visited, [("b\\large".into(), 100_000), ("c.txt".into(), 4), ("empty".into(), 0)]);
            assert!(matches!(archive.visit(&|_| true, &mut |_, _| Err("no".into())), Err(ArchiveError::Visit { .. })));
        }
    }
}
