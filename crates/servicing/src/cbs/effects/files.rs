//! Directories and payload files.

use super::security::ObjectKind;
use super::{Context, DirectoryEffect, EffectError, Effects, FileEffect};

/// `FILE_ATTRIBUTE_DIRECTORY`.
const DIRECTORY: u32 = 0x10;

/// The words of `attributes` (Windows SDK, `FILE_ATTRIBUTE_…`).
const ATTRIBUTES: &[(&str, u32)] = &[
    ("readOnly", 0x1),
    ("hidden", 0x2),
    ("system", 0x4),
    ("archive", 0x20),
    ("normal", 0),
    ("temporary", 0x100),
    ("notContentIndexed", 0x2000),
];

impl Context<'_> {
    fn attributes(&self, words: Option<&str>) -> Result<Option<u32>, EffectError> {
        let Some(words) = words else { return Ok(None) };
        let mut attributes = 0;
        for word in words.split([' ', ',', '|']).filter(|word| !word.is_empty()) {
            let known = ATTRIBUTES.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
            attributes |= known.ok_or_else(|| self.unknown("an attribute of a file or directory", word))?.1;
        }
        Ok(Some(attributes))
    }

    pub(super) fn add_directories(&mut self, effects: &mut Effects) -> Result<(), EffectError> {
        for directory in &self.component.directories {
            effects.directories.push(DirectoryEffect {
                path: self.path(&directory.destination_path)?,
                attributes: self.attributes(directory.attributes.as_deref())?.unwrap_or(0) | DIRECTORY,
                security: self.security(&directory.security_descriptors, ObjectKind::Directory)?,
                owner: directory.owner == Some(true),
            });
        }
        Ok(())
    }

    pub(super) fn add_files(&mut self, effects: &mut Effects) -> Result<(), EffectError> {
        for file in &self.component.files {
            let destination = file.destination(self.macros).transpose();
            let destination = destination.map(|path| path.and_then(|path| self.counted(path)).map_err(|error| self.manifest_error(error)));
            let links = file.links.iter().map(|link| self.path(link));
            let names: Result<Vec<String>, EffectError> = destination.into_iter().chain(links).collect();
            effects.files.push(FileEffect {
                payload: file.payload_name().to_owned(),
                names: names?,
                attributes: self.attributes(file.attributes.as_deref())?,
                security: self.security(&file.security_descriptors, ObjectKind::File)?,
                hash: file.hash.clone(),
                writeable: file.writeable_type.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("static")),
            });
        }
        Ok(())
    }
}
