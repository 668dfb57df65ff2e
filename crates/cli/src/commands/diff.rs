//! `diff`: what differs between two media or images, files and registry.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};
use wimwright_format::io::Reader;
use wimwright_image::address::{Address, Target};
use wimwright_image::medium::{Medium, MediumFile};
use wimwright_image::{Blobs, Image, ImageFile, ImagePath, RegistryDiff, TreeDiff};

use super::Result;
use crate::args::Diff;
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;

/// What differs, by path. In a comparison of media, paths in images start with the image's address: `install.wim:1/Windows`.
#[derive(Debug, Default, Serialize)]
struct Difference {
    files: Paths,
    registry: Paths,
    /// For every changed path: field, then what it was and is.
    details: BTreeMap<String, BTreeMap<String, (String, String)>>,
}

#[derive(Debug, Default, Serialize)]
struct Paths {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

/// Compares.
pub fn run(arguments: &Diff, printer: &Printer) -> Result {
    let mut difference = Difference::default();
    let before = Address::parse(&arguments.before)?.open()?;
    let after = Address::parse(&arguments.after)?.open()?;
    match (before, after) {
        (Target::Medium(before), Target::Medium(after)) => difference.media(&before, &after)?,
        (Target::Images(before), Target::Images(after)) => difference.image_files("", &before, &after)?,
        (Target::Medium(before), Target::Images(after)) => {
            difference.image_files("", &before.open_images(before.install_file()?)?, &after)?
        }
        (Target::Images(before), Target::Medium(after)) => {
            difference.image_files("", &before, &after.open_images(after.install_file()?)?)?
        }
        (Target::Image(before, from), Target::Image(after, to)) => difference.images("", *before, &from, *after, &to)?,
        (Target::Image(before, from), after) => {
            let after = only_image(after, &arguments.after)?;
            difference.images("", *before, &from, after, &ImagePath::root())?;
        }
        (before, Target::Image(after, to)) => {
            let before = only_image(before, &arguments.before)?;
            difference.images("", before, &ImagePath::root(), *after, &to)?;
        }
        (Target::MediumPath(..), _) | (_, Target::MediumPath(..)) => {
            let message = "files of a medium are compared with the whole medium: give both media without a path";
            return Err(CommandError::user(message));
        }
    }
    printer.result(&difference, || difference.render())
}

/// The image of a medium or image file that has one.
fn only_image(target: Target, address: &str) -> Result<Image> {
    let images = match target {
        Target::Medium(medium) => medium.open_images(medium.install_file()?)?,
        Target::Images(images) => images,
        Target::MediumPath(..) | Target::Image(..) => return Err(CommandError::user(format!("`{address}` is not a medium"))),
    };
    match images.image_count() {
        1 => Ok(Image::open(&images, 1, &Blobs::default())?),
        count => Err(CommandError::user(format!("`{address}` has {count} images")).hinted(format!("say which one: `{address}:1`"))),
    }
}

impl Difference {
    fn media(&mut self, before: &Medium, after: &Medium) -> Result {
        let (old_images, new_images) = (before.install_file()?, after.install_file()?);
        let by_path = |medium: &Medium, images: &MediumFile| {
            let is_part = |path: &str| path == images.path || path.to_ascii_lowercase().ends_with(".swm");
            let files = medium.files.iter().filter(|file| !is_part(&file.path));
            files.map(|file| (file.path.to_ascii_lowercase(), file.clone())).collect::<BTreeMap<_, _>>()
        };
        let (old, mut new) = (by_path(before, old_images), by_path(after, new_images));
        for (folded, file) in old {
            let path = format!("/{}", file.path);
            match new.remove(&folded) {
                None => self.files.removed.push(path),
                Some(other) => {
                    let (was, is) =
                        if file.source.size() == other.source.size() { (hash(&file)?, hash(&other)?) } else { (size(&file), size(&other)) };
                    if was != is {
                        self.details.insert(path.clone(), BTreeMap::from([("contents".to_owned(), (was, is))]));
                        self.files.changed.push(path);
                    }
                }
            }
        }
        self.files.added.extend(new.into_values().map(|file| format!("/{}", file.path)));
        self.image_files("install.wim:", &before.open_images(old_images)?, &after.open_images(new_images)?)
    }

    /// Compares images of one name, else those of one number; the others were added or removed as a whole.
    fn image_files(&mut self, prefix: &str, before: &ImageFile, after: &ImageFile) -> Result {
        let names = |file: &ImageFile| {
            file.images().iter().zip(1_u32..).map(|(info, index)| (index, info.name().unwrap_or_default())).collect::<Vec<_>>()
        };
        let mut new = names(after);
        for (index, name) in names(before) {
            let found = new.iter().position(|(_, other)| *other == name).or_else(|| new.iter().position(|(other, _)| *other == index));
            let Some(position) = found else {
                self.files.removed.push(format!("{prefix}{index}"));
                continue;
            };
            let (other, _) = new.remove(position);
            let (left, right) = (Image::open(before, index, &Blobs::default())?, Image::open(after, other, &Blobs::default())?);
            self.images(&format!("{prefix}{other}"), left, &ImagePath::root(), right, &ImagePath::root())?;
        }
        self.files.added.extend(new.into_iter().map(|(index, _)| format!("{prefix}{index}")));
        Ok(())
    }

    fn images(&mut self, prefix: &str, mut before: Image, from: &ImagePath, mut after: Image, to: &ImagePath) -> Result {
        let missing = |path: &ImagePath| CommandError::user(format!("`{path}` does not exist in the image"));
        let left = before.tree.get(from).ok_or_else(|| missing(from))?;
        let right = after.tree.get(to).ok_or_else(|| missing(to))?;
        let files = TreeDiff::between_entries(left, right);
        let named = |path: &String| format!("{prefix}{path}");
        self.files.added.extend(files.added.iter().map(named));
        self.files.removed.extend(files.removed.iter().map(named));
        for changed in files.changed {
            let path = named(&changed.path);
            let fields = changed.fields.into_iter().map(|(field, values)| (field.to_owned(), values));
            self.details.insert(path.clone(), fields.collect());
            self.files.changed.push(path);
        }
        if from.is_root() && to.is_root() {
            let registry = RegistryDiff::between(&mut before, &mut after)?;
            let named = |path: String| if prefix.is_empty() { path } else { format!("{prefix}:{path}") };
            self.registry.added.extend(registry.added.into_iter().map(named));
            self.registry.removed.extend(registry.removed.into_iter().map(named));
            for (path, was, is) in registry.changed {
                let path = named(path);
                self.details.entry(path.clone()).or_default().insert("data".to_owned(), (was, is));
                self.registry.changed.push(path);
            }
        }
        Ok(())
    }

    fn render(&self) -> String {
        let mut text = String::new();
        for (what, paths) in [("files", &self.files), ("registry", &self.registry)] {
            text.push_str(&format!(
                "{what}: {} added, {} removed, {} changed\n",
                paths.added.len(),
                paths.removed.len(),
                paths.changed.len()
            ));
            for (sign, list) in [('+', &paths.added), ('-', &paths.removed), ('~', &paths.changed)] {
                for path in list {
                    text.push_str(&format!("{sign} {path}\n"));
                    for (field, (was, is)) in self.details.get(path).into_iter().flatten().filter(|_| sign == '~') {
                        text.push_str(&format!("    {field}: {} -> {}\n", shortened(was), shortened(is)));
                    }
                }
            }
        }
        text
    }
}

fn size(file: &MediumFile) -> String {
    format!("{} bytes", file.source.size())
}

fn hash(file: &MediumFile) -> Result<String> {
    let mut hash = Sha256::new();
    let copied = std::io::copy(&mut Reader::new(&file.source), &mut HashWriter(&mut hash));
    copied.map_err(|error| CommandError::user(format!("cannot read `{}`: {error}", file.path)))?;
    Ok(format!("SHA-256 {}", hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Long values are for JSON.
fn shortened(value: &str) -> String {
    const SHOWN: usize = 80;
    if value.chars().count() <= SHOWN { value.to_owned() } else { format!("{}…", value.chars().take(SHOWN).collect::<String>()) }
}
