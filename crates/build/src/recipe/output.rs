//! `output:` — what a build writes, and in which form.

use schemars::JsonSchema;
use serde::Serialize;

use super::decode::{Context, Decode, Fields, Reported};
use super::values::{ByteSize, HostPath};
use super::yaml::Node;

/// Something that a build writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Output {
    /// An ISO image that boots under BIOS and UEFI.
    Iso(IsoOutput),
    /// A folder with the medium's files.
    Folder(FolderOutput),
    /// One WIM file with the images.
    Wim(WimOutput),
    /// One ESD file: a solid WIM, compressed with LZMS.
    Esd(EsdOutput),
    /// A split WIM: parts of at most a given size.
    Swm(SwmOutput),
}

/// An ISO image that boots under BIOS and UEFI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct IsoOutput {
    /// The file.
    #[serde(rename = "iso")]
    pub path: HostPath,
    /// The volume label, at most 32 characters. Without it: the input's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub label: Option<String>,
    /// Whether UEFI asks for a key press before it boots from the medium.
    #[serde(default)]
    pub boot: BootPrompt,
    /// The form of the install image in it.
    #[serde(flatten)]
    pub install: InstallImage,
}

/// A folder with the medium's files, to be copied to a USB stick or a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FolderOutput {
    /// The folder.
    #[serde(rename = "folder")]
    pub path: HostPath,
    /// The form of the install image in it.
    #[serde(flatten)]
    pub install: InstallImage,
}

/// The form of the install image on a medium.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct InstallImage {
    /// Its file: `install.wim`, `install.esd` or `install.swm`. Without it: as in the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install: Option<InstallFormat>,
    /// The largest part of `install: swm`; a FAT32 stick needs less than 4 GB. Only with `install: swm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// How its files are compressed. Not with `install: esd`, which is always LZMS.
    #[serde(flatten)]
    pub compression: WimCompression,
}

/// The file format of an install image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstallFormat {
    /// `install.wim`.
    Wim,
    /// `install.esd`: solid, LZMS.
    Esd,
    /// `install.swm`, `install2.swm`, …
    Swm,
}

/// One WIM file with the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WimOutput {
    /// The file.
    #[serde(rename = "wim")]
    pub path: HostPath,
    /// How its files are compressed.
    #[serde(flatten)]
    pub compression: WimCompression,
}

/// One ESD file: a solid WIM, compressed with LZMS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EsdOutput {
    /// The file.
    #[serde(rename = "esd")]
    pub path: HostPath,
    /// Compression level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Whether an integrity table is written, as with DISM's `/CheckIntegrity`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub integrity: bool,
}

/// A split WIM: `name.swm`, `name2.swm`, … each at most as large as given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SwmOutput {
    /// The first file.
    #[serde(rename = "swm")]
    pub path: HostPath,
    /// The largest part. A single file that is larger makes its part larger.
    pub size: ByteSize,
    /// How its files are compressed.
    #[serde(flatten)]
    pub compression: WimCompression,
}

/// How the files in a WIM are compressed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct WimCompression {
    /// The method.
    #[serde(default)]
    pub compression: Compression,
    /// Compression level of what is compressed anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Whether an integrity table is written, as with DISM's `/CheckIntegrity`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub integrity: bool,
}

/// The compression method of a WIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// That of the input: whatever did not change is copied as it is.
    #[default]
    Keep,
    /// LZX, DISM's `max`.
    Lzx,
    /// XPRESS, DISM's `fast`.
    Xpress,
    /// LZMS without solid compression: the smallest that is still a plain WIM. Windows 8 and later read it.
    Lzms,
    /// None.
    None,
}

/// A compression level as libwim counts: 20 is quick, 50 usual, 100 thorough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Level(#[schemars(range(min = 1, max = 100))] pub u32);

/// Whether UEFI asks for a key press before it boots from the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootPrompt {
    /// It asks, as Microsoft's media do (`efisys.bin`).
    #[default]
    Prompt,
    /// It boots at once (`efisys_noprompt.bin`), for machines without a person.
    NoPrompt,
}

impl Output {
    /// Where it is written.
    #[must_use]
    pub fn path(&self) -> &HostPath {
        match self {
            Self::Iso(output) => &output.path,
            Self::Folder(output) => &output.path,
            Self::Wim(output) => &output.path,
            Self::Esd(output) => &output.path,
            Self::Swm(output) => &output.path,
        }
    }

    /// The same output written elsewhere.
    #[must_use]
    pub fn with_path(mut self, path: HostPath) -> Self {
        *match &mut self {
            Self::Iso(output) => &mut output.path,
            Self::Folder(output) => &mut output.path,
            Self::Wim(output) => &mut output.path,
            Self::Esd(output) => &mut output.path,
            Self::Swm(output) => &mut output.path,
        } = path;
        self
    }
}

/// Characters of a volume label: what UDF's 32-byte identifier and oscdimg allow.
const MAX_LABEL: usize = 32;

impl Decode for Output {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let mut fields = Fields::of(node, context)?;
        match fields.choice(&["iso", "folder", "wim", "esd", "swm"])? {
            "iso" => {
                let (path, label, boot) = (fields.required("iso"), label(&mut fields), fields.or_default("boot"));
                let install = install_image(&mut fields);
                fields.finish();
                Ok(Self::Iso(IsoOutput { path: path?, label: label?, boot: boot?, install: install? }))
            }
            "folder" => {
                let (path, install) = (fields.required("folder"), install_image(&mut fields));
                fields.finish();
                Ok(Self::Folder(FolderOutput { path: path?, install: install? }))
            }
            "wim" => {
                let (path, compression) = (fields.required("wim"), compression(&mut fields));
                fields.finish();
                Ok(Self::Wim(WimOutput { path: path?, compression: compression? }))
            }
            "esd" => {
                let (path, level, integrity) = (fields.required("esd"), fields.optional("level"), fields.or_default("integrity"));
                fields.finish();
                Ok(Self::Esd(EsdOutput { path: path?, level: level?, integrity: integrity? }))
            }
            _ => {
                let (path, size, compression) = (fields.required("swm"), fields.required("size"), compression(&mut fields));
                fields.finish();
                Ok(Self::Swm(SwmOutput { path: path?, size: size?, compression: compression? }))
            }
        }
    }
}

fn label(fields: &mut Fields) -> Result<Option<String>, Reported> {
    let Some(node) = fields.node("label") else { return Ok(None) };
    let label = String::decode(node, fields.context)?;
    if label.is_empty() || label.chars().count() > MAX_LABEL || label.chars().any(char::is_control) {
        let reason = format!("a volume label has 1 to {MAX_LABEL} characters, none of them a control character");
        return Err(fields.context.invalid(reason, None, node.position));
    }
    Ok(Some(label))
}

fn compression(fields: &mut Fields) -> Result<WimCompression, Reported> {
    let (compression, level, integrity) = (fields.or_default("compression"), fields.optional("level"), fields.or_default("integrity"));
    Ok(WimCompression { compression: compression?, level: level?, integrity: integrity? })
}

fn install_image(fields: &mut Fields) -> Result<InstallImage, Reported> {
    let (install, size) = (fields.optional::<InstallFormat>("install"), fields.optional::<ByteSize>("size"));
    let written = fields.node("compression");
    let compression = compression(fields);
    let (install, size, compression) = (install?, size?, compression?);
    match (install, size) {
        (Some(InstallFormat::Swm), None) => Err(fields.missing("size")),
        (Some(InstallFormat::Swm), Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => Err(fields.invalid("size", "only a split image has parts: write `install: swm` beside `size`")),
    }?;
    if let (Some(InstallFormat::Esd), Some(_)) = (install, written) {
        return Err(fields.invalid("compression", "an ESD is always compressed with LZMS"));
    }
    Ok(InstallImage { install, size, compression })
}

impl Decode for InstallFormat {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        context.word(node, &[("wim", Self::Wim), ("esd", Self::Esd), ("swm", Self::Swm)])
    }
}

impl Decode for Compression {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        let words = [("keep", Self::Keep), ("lzx", Self::Lzx), ("xpress", Self::Xpress), ("lzms", Self::Lzms), ("none", Self::None)];
        context.word(node, &words)
    }
}

impl Decode for Level {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        match u32::decode(node, context)? {
            level @ 1..=100 => Ok(Self(level)),
            level => Err(context.invalid(format!("compression level {level} is not between 1 and 100"), None, node.position)),
        }
    }
}

impl Decode for BootPrompt {
    fn decode(node: &Node, context: &mut Context) -> Result<Self, Reported> {
        context.word(node, &[("prompt", Self::Prompt), ("no-prompt", Self::NoPrompt)])
    }
}
