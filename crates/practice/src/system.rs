//! The files of Windows itself that every edition shares, and their components.

use wimwright_format::manifest::{Identity, Version};
use wimwright_format::wim::BlobId;

use crate::contents::Contents;
use crate::data;
use crate::generated::{Generated, Kind, Random, seed_of};
use crate::identity;
use crate::manifests::PayloadFile;
use crate::program::Program;

/// Least bytes of a file.
const MIN_FILE: u64 = 24 << 10;

/// A file of Windows, which is all that its component brings.
pub(crate) struct SystemFile {
    /// The component that brings it.
    pub component: Identity,
    /// The file.
    pub payload: PayloadFile,
}

/// Components and files.
pub(crate) struct System {
    /// Every file with its component, each component once.
    pub files: Vec<SystemFile>,
}

/// A file before its contents were hashed.
struct Planned {
    name: String,
    component: Identity,
    directory: &'static str,
    contents: Generated,
}

impl System {
    /// Makes files with about `total` bytes in all: first those that every Windows has, then as many more as are needed.
    pub(crate) fn new(contents: &mut Contents, total: u64) -> Self {
        let mut planned: Vec<Planned> = Vec::new();
        let mean = mean_size(total);
        let mut sum = 0;
        let names = data::SYSTEM_FILES.iter().map(|name| (*name, "Windows/System32"));
        let names: Vec<_> = names.chain(data::DRIVERS.iter().map(|name| (*name, "Windows/System32/drivers"))).collect();
        let mut round = 0;
        while round == 0 || sum < total {
            for (index, (name, directory)) in names.iter().enumerate() {
                if round > 0 && sum >= total {
                    break;
                }
                for file in files_of(name, directory, round, index, mean) {
                    sum += file.contents.size;
                    planned.push(file);
                }
            }
            round += 1;
        }
        let generated: Vec<Generated> = planned.iter().map(|file| file.contents.clone()).collect();
        let hashes = contents.add_generated(&generated);
        let made = |(file, (blob, sha256)): (Planned, (BlobId, [u8; 32]))| SystemFile {
            component: file.component,
            payload: PayloadFile {
                destination: Some(format!("{}/{}", file.directory, file.name)),
                name: file.name,
                blob: Some(blob),
                sha256,
            },
        };
        Self { files: planned.into_iter().zip(hashes).map(made).collect() }
    }
}

/// Bytes of a file on average: with the size of the medium, files get both more and larger.
fn mean_size(total: u64) -> u64 {
    match total >> 20 {
        0..64 => 96 << 10,
        64..1024 => 256 << 10,
        _ => 1 << 20,
    }
}

/// A file of Windows with what belongs to it: often its 32-bit form, its texts in English, seldom a picture.
fn files_of(name: &str, directory: &'static str, round: u32, index: usize, mean: u64) -> Vec<Planned> {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "dll"));
    // Names of the first round are real ones.
    let stem = if round == 0 { stem.to_owned() } else { format!("{stem}.practice{round}") };
    let name = format!("{stem}.{extension}");
    let mut random = Random::new(seed_of(&name));
    let size = (MIN_FILE + random.below(mean * 2 - MIN_FILE)).next_multiple_of(512);
    let component = |architecture, culture, suffix: &str| {
        identity::component(&format!("Microsoft-Windows-{stem}{suffix}"), architecture, culture, Version(data::VERSION))
    };
    let program = |name: &str, is_64_bit, size, seed| Generated { kind: Kind::Program(Program::of_name(name, is_64_bit)), seed, size };
    let mut files = vec![Planned {
        name: name.clone(),
        component: component("amd64", "neutral", ""),
        directory,
        contents: program(&name, true, size, random.next()),
    }];
    if extension == "dll" && index.is_multiple_of(2) {
        files.push(Planned {
            name: name.clone(),
            component: component("wow64", "neutral", ""),
            directory: "Windows/SysWOW64",
            contents: program(&name, false, (size * 3 / 4).next_multiple_of(512), random.next()),
        });
    }
    if index.is_multiple_of(3) && directory == "Windows/System32" {
        let name = format!("{name}.mui");
        files.push(Planned {
            component: component("amd64", "en-us", ".Resources"),
            directory: "Windows/System32/en-US",
            contents: program(&name, true, 4096 + random.below(16) * 512, random.next()),
            name,
        });
    }
    if index % 8 == 7 {
        files.push(Planned {
            name: format!("{stem}.png"),
            component: component("amd64", "neutral", "-Images"),
            directory: "Windows/Web/Wallpaper/Windows",
            contents: Generated { kind: Kind::Packed, seed: random.next(), size: mean / 2 + random.below(mean) },
        });
    }
    files
}
