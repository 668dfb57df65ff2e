//! The dictionary that the manifests of a component store are compressed against.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use wimwright_codec::delta;
use wimwright_format::manifest::stored::Stored;
use wimwright_format::pe::{PeError, PeFile};
use wimwright_image::{Image, ImageError};

/// Type and name of the resource of `wcp.dll` that holds the dictionary (himselfv/manifestenum, jlevere/msdelta).
const RESOURCE: (u32, u32) = (614, 1);
/// Largest dictionary that is read, in bytes. It has had 9,066 from Windows 10 to Windows 11 24H2.
const LARGEST: usize = 1 << 20;
/// Largest manifest, in bytes. The largest real ones have 2 MB.
const LARGEST_MANIFEST: u64 = 64 << 20;

/// Why a manifest cannot be decoded, or the dictionary cannot be had.
#[derive(Debug, Error)]
pub enum DictionaryError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// `wcp.dll` is no program.
    #[error("`{path}` cannot be read as a program, so the dictionary of manifests cannot be had")]
    Program {
        /// The file.
        path: String,
        /// What is wrong.
        source: PeError,
    },
    /// The manifest is compressed, and there is no dictionary.
    #[error("the manifest is compressed, and the image has no servicing stack with the dictionary")]
    Missing,
    /// The manifest is damaged, or made with another dictionary.
    #[error(transparent)]
    Manifest(#[from] wimwright_format::manifest::Error),
}

/// The dictionary, or the knowledge that there is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Dictionary {
    bytes: Option<Arc<[u8]>>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Dictionary({} bytes)", self.bytes.as_ref().map_or(0, |bytes| bytes.len()))
    }
}

impl Dictionary {
    /// A dictionary that the user gives, for an image whose servicing stack is damaged.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { bytes: Some(bytes.into()) }
    }

    /// That of the image's servicing stack: of the highest version that has one. None at all is no error: plain manifests need none.
    ///
    /// # Errors
    /// `wcp.dll` is there and cannot be read.
    pub fn of_image(image: &Image) -> Result<Self, DictionaryError> {
        let Some(store) = image.tree.at("/Windows/WinSxS") else { return Ok(Self::default()) };
        let mut stacks: Vec<String> = store.children().map(|child| child.name()).filter(|name| is_servicing_stack(name)).collect();
        stacks.sort_by_key(|name| version_in(name));
        for stack in stacks.iter().rev() {
            let path = format!("/Windows/WinSxS/{stack}/wcp.dll");
            let Some(entry) = image.tree.at(&path).filter(|entry| !entry.is_directory()) else { continue };
            let program = image.contents(entry)?.to_vec();
            let resource = PeFile::resource(&program, RESOURCE.0, RESOURCE.1, LARGEST);
            match resource.map_err(|source| DictionaryError::Program { path: path.clone(), source })? {
                Some(bytes) => return Ok(Self::new(bytes)),
                None => continue,
            }
        }
        Ok(Self::default())
    }

    /// The XML of a manifest as the store or a package holds it: plain, or a delta (`DCM`, `DCN`).
    ///
    /// # Errors
    /// The dictionary is missing, or the delta is damaged.
    pub fn decode<'a>(&self, stored: &'a [u8]) -> Result<Cow<'a, [u8]>, DictionaryError> {
        let stored = Stored::of(stored)?;
        let base = match (&stored, &self.bytes) {
            (Stored::Dictionary(_), None) => return Err(DictionaryError::Missing),
            (Stored::Dictionary(_), Some(bytes)) => bytes.as_ref(),
            _ => &[],
        };
        Ok(stored.decode(|bytes, _| delta::apply(base, bytes, LARGEST_MANIFEST))?)
    }
}

fn is_servicing_stack(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.split('_').nth(1) == Some("microsoft-windows-servicingstack")
}

/// The version in a component's name, as numbers that can be compared.
fn version_in(name: &str) -> Vec<u32> {
    name.split('_').nth(3).unwrap_or_default().split('.').filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_manifests_need_the_dictionary() {
        assert_eq!(Dictionary::default().decode(b"<assembly/>").unwrap().as_ref(), b"<assembly/>");
        assert!(matches!(Dictionary::default().decode(b"DCM\x01PA30"), Err(DictionaryError::Missing)));
        assert!(matches!(Dictionary::new(*b"x").decode(b"DCM\x01PA30"), Err(DictionaryError::Manifest(_))));
    }

    /// All compressed manifests of the test data, against what their catalogs list, is tested in `cbs::source`; here one with
    /// its published plain form.
    #[test]
    fn real_manifest_equals_its_published_form() {
        let Some(folder) = wimwright_testkit::test_data("manifests/msdelta") else { return };
        let dictionary = Dictionary::new(std::fs::read(folder.join("base_manifest.bin")).unwrap());
        let golden = std::fs::read(folder.join("wow64_golden.xml")).unwrap();
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        let found = files.filter(|path| {
            let stored = std::fs::read(path).unwrap();
            stored.starts_with(b"DCM\x01") && dictionary.decode(&stored).unwrap().as_ref() == golden
        });
        assert_eq!(found.count(), 1);
    }

    #[test]
    fn the_highest_servicing_stack_is_taken() {
        let mut names = [
            "amd64_microsoft-windows-servicingstack_31bf3856ad364e35_10.0.9.1_none_1",
            "amd64_microsoft-windows-servicingstack_31bf3856ad364e35_10.0.10.1_none_0",
        ];
        names.sort_by_key(|name| version_in(name));
        assert!(names[1].contains("10.0.10.1") && is_servicing_stack(names[0]));
        assert!(!is_servicing_stack("amd64_microsoft-windows-s..ingstack.resources_31bf3856ad364e35_10.0.1.1_en-us_0"));
    }
}
