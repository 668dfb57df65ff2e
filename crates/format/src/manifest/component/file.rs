//! Files and directories of a component.

use base64ct::{Base64, Encoding};
use roxmltree::Node;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::super::macros::Macros;
use super::super::other::OtherElements;
use super::super::{Error, xml};
use super::SecurityDescriptorReference;

/// A `file` element: a payload file, in the store and projected from there by hard links.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct File {
    /// `name`; may have directories in it.
    pub name: String,
    /// `sourceName`: the name in the store where it differs from `name`.
    pub source_name: Option<String>,
    /// `destinationPath` with macros; `None` for a file that stays in the store (side-by-side assemblies).
    pub destination_path: Option<String>,
    /// `destinationName`: the name at the destination where it differs from `name`.
    pub destination_name: Option<String>,
    /// `attributes`, words such as `archive`.
    pub attributes: Option<String>,
    /// `compress`.
    pub compress: Option<String>,
    /// `writeableType`: `static`, `dynamic`, …: whether the file may differ from its hash after installation.
    pub writeable_type: Option<String>,
    /// True when it has an `infFile` element: the INF of a driver component.
    pub is_inf: bool,
    /// What its bytes hash to; `None` where the manifest states no plain hash.
    pub hash: Option<FileHash>,
    /// `link` elements: further hard links, full paths with macros.
    pub links: Vec<String>,
    /// References to security descriptor definitions, usually one.
    pub security_descriptors: Vec<SecurityDescriptorReference>,
}

/// How a file is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    /// SHA-1, in side-by-side assemblies before Windows Vista.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl HashAlgorithm {
    /// Bytes of a digest.
    #[must_use]
    pub fn digest_length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The digest of `bytes`.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
        }
    }
}

/// The hash of a file's bytes, as the manifest states it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileHash {
    /// How it is computed.
    pub algorithm: HashAlgorithm,
    /// The digest, as long as the algorithm makes it.
    pub digest: Vec<u8>,
}

impl FileHash {
    /// True when `bytes` are the file.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.algorithm.digest(bytes) == self.digest
    }
}

impl File {
    /// The path of the payload inside the component's directory in the store: `sourceName`, or `name` where that is the same with
    /// folders before it (`I386\UNIDRV.DLL` with the source `UNIDRV.DLL` in drivers of Windows 7, KB3040017).
    #[must_use]
    pub fn payload_name(&self) -> &str {
        let Some(source) = self.source_name.as_deref().filter(|name| !name.is_empty()) else { return &self.name };
        match self.name.rsplit_once('\\') {
            Some((_, file)) if file.eq_ignore_ascii_case(source) => &self.name,
            _ => source,
        }
    }

    /// Where the file is projected to, a path in the image; `None` when it stays in the store.
    ///
    /// # Errors
    /// Those of [`Macros::path`].
    pub fn destination(&self, macros: &Macros<'_>) -> Result<Option<String>, Error> {
        let Some(directory) = &self.destination_path else { return Ok(None) };
        let name = self.destination_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.name);
        macros.path(&format!("{directory}\\{name}")).map(Some)
    }

    pub(super) fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let given = |attribute| xml::owned(node, attribute).filter(|value| !value.is_empty());
        let mut file = Self {
            name: xml::required(node, "name")?,
            source_name: given("sourceName"),
            destination_path: given("destinationPath"),
            destination_name: given("destinationName"),
            attributes: given("attributes"),
            compress: given("compress"),
            writeable_type: given("writeableType"),
            ..Self::default()
        };
        for element in xml::elements(node) {
            match xml::name(element) {
                "hash" => match read_hash(element)? {
                    Some(hash) => file.hash = Some(hash),
                    None => other.keep(element),
                },
                "securityDescriptor" => file.security_descriptors.push(SecurityDescriptorReference::read(element)?),
                "link" => file.links.push(xml::required(element, "destination")?),
                "infFile" => file.is_inf = true,
                _ => other.keep(element),
            }
        }
        Ok(file)
    }
}

/// Reads `asmv2:hash`: a digest in the form of an XML signature reference. `None` when the bytes are transformed before they
/// are hashed in another way than not at all.
fn read_hash(node: Node<'_, '_>) -> Result<Option<FileHash>, Error> {
    const IDENTITY: &str = "urn:schemas-microsoft-com:HashTransforms.Identity";
    let transforms = xml::child(node, "Transforms").into_iter().flat_map(xml::elements);
    if transforms.filter_map(|transform| xml::attribute(transform, "Algorithm")).any(|algorithm| algorithm != IDENTITY) {
        return Ok(None);
    }
    let missing = |element| Error::MissingElement { parent: xml::element_name(node), element, wanted: "component" };
    let method = xml::child(node, "DigestMethod").ok_or_else(|| missing("DigestMethod"))?;
    let name = xml::attribute(method, "Algorithm").unwrap_or_default();
    let algorithm = match name.rsplit('#').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "sha1" => HashAlgorithm::Sha1,
        "sha256" => HashAlgorithm::Sha256,
        _ => return Err(xml::invalid(method, "Algorithm", name, "SHA-1 or SHA-256")),
    };
    let value = xml::child(node, "DigestValue").ok_or_else(|| missing("DigestValue"))?;
    let text: String = value.text().unwrap_or_default().split_ascii_whitespace().collect();
    let digest = Base64::decode_vec(&text).ok().filter(|digest| digest.len() == algorithm.digest_length());
    match digest {
        Some(digest) => Ok(Some(FileHash { algorithm, digest })),
        None => Err(xml::invalid(value, "text", &text, "a digest of the algorithm's length in base64")),
    }
}

/// A `directory` element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// `destinationPath` with macros.
    pub destination_path: String,
    /// `owner`: whether uninstalling deletes the directory.
    pub owner: Option<bool>,
    /// `compression`.
    pub compression: Option<String>,
    /// `attributes`, words such as `hidden`.
    pub attributes: Option<String>,
    /// References to security descriptor definitions, usually one.
    pub security_descriptors: Vec<SecurityDescriptorReference>,
}

impl Directory {
    /// Where the directory lies, a path in the image.
    ///
    /// # Errors
    /// Those of [`Macros::path`].
    pub fn destination(&self, macros: &Macros<'_>) -> Result<String, Error> {
        macros.path(&self.destination_path)
    }

    pub(super) fn read(node: Node<'_, '_>, other: &mut OtherElements) -> Result<Self, Error> {
        let mut directory = Self {
            destination_path: xml::required(node, "destinationPath")?,
            owner: xml::boolean(node, "owner")?,
            compression: xml::owned(node, "compression"),
            attributes: xml::owned(node, "attributes"),
            ..Self::default()
        };
        for element in xml::elements(node) {
            match xml::name(element) {
                "securityDescriptor" => directory.security_descriptors.push(SecurityDescriptorReference::read(element)?),
                _ => other.keep(element),
            }
        }
        Ok(directory)
    }
}
