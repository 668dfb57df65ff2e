//! `ls` and `cat`: look into media and images.

use std::io::Write;

use serde::Serialize;
use wimwright_format::file_time::FileTime;
use wimwright_format::io::Reader;
use wimwright_format::security_descriptor::SecurityDescriptor;
use wimwright_image::address::{Address, Target};
use wimwright_image::medium::{Medium, MediumKind};
use wimwright_image::tree::Entry;
use wimwright_image::{Image, ImageFile, ImagePath};

use super::Result;
use crate::args::{Cat, Ls};
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;
use crate::ui::text;

/// An entry of a listing.
#[derive(Serialize)]
struct Listed {
    /// Path, from where the listing starts.
    path: String,
    /// `file`, `folder`, `image`.
    kind: &'static str,
    size: u64,
    /// Last write time, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<String>,
    /// SDDL.
    #[serde(skip_serializing_if = "Option::is_none")]
    security: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    short_name: String,
    /// Names of the named streams.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    streams: Vec<String>,
}

impl Listed {
    fn simple(path: String, kind: &'static str, size: u64, written: Option<u64>) -> Self {
        let written = written.map(|time| FileTime(time).to_string());
        Self { path, kind, size, written, attributes: None, security: None, short_name: String::new(), streams: Vec::new() }
    }
}

/// Lists what an address holds.
pub fn ls(arguments: &Ls, printer: &Printer) -> Result {
    let address = Address::parse(&arguments.address)?;
    let listed = match address.open()? {
        Target::Medium(medium) if medium.kind == MediumKind::ImageFile => of_images(&medium.open_images(medium.install_file()?)?),
        Target::Medium(medium) => of_medium(&medium, "", arguments.recursive)?,
        Target::MediumPath(medium, path) => of_medium(&medium, &path, arguments.recursive)?,
        Target::Images(images) => of_images(&images),
        Target::Image(image, path) => of_image(&image, &path, arguments.recursive)?,
    };
    printer.result(&listed, || {
        if !arguments.long {
            return listed.iter().map(|entry| format!("{}{}\n", entry.path, if entry.kind == "folder" { "/" } else { "" })).collect();
        }
        let row = |entry: &Listed| {
            vec![
                entry.attributes.clone().unwrap_or_else(|| entry.kind.to_owned()),
                text::size(entry.size),
                entry.written.clone().unwrap_or_default(),
                entry.path.clone(),
                entry.security.clone().unwrap_or_default(),
            ]
        };
        text::table(&listed.iter().map(row).collect::<Vec<_>>())
    })
}

fn of_medium(medium: &Medium, folder: &str, recursive: bool) -> Result<Vec<Listed>> {
    let folder = folder.trim_end_matches('/');
    if let Some(file) = medium.file(folder) {
        return Ok(vec![Listed::simple(file.path.clone(), "file", file.source.size(), file.written)]);
    }
    let is_folder = folder.is_empty() || medium.folders.iter().any(|known| known.eq_ignore_ascii_case(folder));
    if !is_folder {
        return Err(CommandError::user(format!("`{folder}` does not exist on the medium `{}`", medium.path.display())));
    }
    // The path below the folder, when it is listed.
    let below = |path: &str| {
        let rest = match folder.is_empty() {
            true => path,
            false => path
                .get(folder.len()..)
                .filter(|_| path.len() > folder.len() && path[..folder.len()].eq_ignore_ascii_case(folder))?
                .strip_prefix('/')?,
        };
        (recursive || !rest.contains('/')).then(|| rest.to_owned())
    };
    let folders = medium.folders.iter().filter_map(|path| Some(Listed::simple(below(path)?, "folder", 0, None)));
    let files = medium.files.iter().filter_map(|file| Some(Listed::simple(below(&file.path)?, "file", file.source.size(), file.written)));
    let mut listed: Vec<_> = folders.chain(files).collect();
    listed.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(listed)
}

fn of_images(images: &ImageFile) -> Vec<Listed> {
    let listed = |(info, index): (&wimwright_format::wim::ImageInfo, u32)| {
        let path = format!("{index}: {}", info.name().unwrap_or_default());
        Listed::simple(path, "image", info.statistics().total_bytes, info.time("LASTMODIFICATIONTIME"))
    };
    images.images().iter().zip(1..).map(listed).collect()
}

fn of_image(image: &Image, path: &ImagePath, recursive: bool) -> Result<Vec<Listed>> {
    let entry = image.tree.get(path).ok_or_else(|| CommandError::user(format!("`{path}` does not exist in the image")))?;
    let mut listed = Vec::new();
    if entry.is_directory() {
        add_children(image, entry, "", recursive, &mut listed);
    } else {
        listed.push(of_entry(image, entry, entry.name()));
    }
    Ok(listed)
}

fn add_children(image: &Image, entry: Entry<'_>, below: &str, recursive: bool, listed: &mut Vec<Listed>) {
    for child in entry.children() {
        let path = format!("{below}{}", child.name());
        listed.push(of_entry(image, child, path.clone()));
        if recursive && child.is_directory() {
            add_children(image, child, &format!("{path}/"), true, listed);
        }
    }
}

fn of_entry(image: &Image, entry: Entry<'_>, path: String) -> Listed {
    let inode = entry.inode();
    let sddl = |bytes: &std::sync::Arc<[u8]>| SecurityDescriptor::decode(bytes).ok()?.to_sddl().ok();
    Listed {
        path,
        kind: if entry.is_directory() { "folder" } else { "file" },
        size: inode.contents.and_then(|id| image.blobs.size(&id)).unwrap_or_default(),
        written: Some(FileTime(inode.written).to_string()),
        attributes: Some(attributes(inode.attributes)),
        security: entry.security().and_then(sddl),
        short_name: entry.short_name(),
        streams: inode.streams.iter().map(|stream| stream.name.to_string()).collect(),
    }
}

/// Attributes as `attrib` and PowerShell abbreviate them.
fn attributes(bits: u32) -> String {
    use wimwright_image::tree as t;
    let letters = [
        (t::ATTRIBUTE_DIRECTORY, 'd'),
        (t::ATTRIBUTE_ARCHIVE, 'a'),
        (t::ATTRIBUTE_READONLY, 'r'),
        (t::ATTRIBUTE_HIDDEN, 'h'),
        (t::ATTRIBUTE_SYSTEM, 's'),
        (t::ATTRIBUTE_REPARSE_POINT, 'l'),
    ];
    letters.iter().map(|(bit, letter)| if bits & bit != 0 { *letter } else { '-' }).collect()
}

/// Prints a file.
pub fn cat(arguments: &Cat, printer: &Printer) -> Result {
    let address = Address::parse(&arguments.address)?;
    let mut output = Stdout(printer);
    match address.open()? {
        Target::MediumPath(medium, path) => {
            let file = medium.file(&path).ok_or_else(|| CommandError::user(format!("`{path}` is no file of the medium")))?;
            std::io::copy(&mut Reader::new(&file.source), &mut output)
                .map(drop)
                .map_err(|error| CommandError::user(format!("cannot read `{path}`: {error}")))
        }
        Target::Image(image, path) => {
            let entry = image.tree.get(&path).ok_or_else(|| CommandError::user(format!("`{path}` does not exist in the image")))?;
            if entry.is_directory() {
                return Err(CommandError::user(format!("`{path}` is a folder")).hinted("list it with `wimwright ls`"));
            }
            match entry.inode().contents {
                Some(id) => {
                    image.blobs.copy(&id, &mut output).map_err(|error| CommandError::from(wimwright_image::ImageError::from(error)))
                }
                None => Ok(()),
            }
        }
        Target::Medium(_) | Target::Images(_) => {
            Err(CommandError::user(format!("`{}` names no file", arguments.address))
                .hinted("add a path, as in `win.iso:1/Windows/win.ini`"))
        }
    }
}

/// The printer as a writer.
struct Stdout<'a>(&'a Printer);

impl Write for Stdout<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.bytes(bytes).map_err(|error| std::io::Error::other(error.text()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
