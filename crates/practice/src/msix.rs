//! App packages: the parts of an MSIX file with manifest and block map, and the file itself. Unsigned.

use std::fmt::Write as _;
use std::io::{Cursor, Write};

use sha2::{Digest, Sha256};
use wimwright_format::appx::Identity;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::error::Error;

/// Bytes that one hash of the block map covers.
const BLOCK_SIZE: usize = 64 << 10;

/// What an app package is.
pub(crate) struct AppPackage {
    /// Who it is.
    pub identity: Identity,
    /// What people call it.
    pub display_name: &'static str,
    /// Its program; none for a framework.
    pub executable: Option<&'static str>,
    /// Name and least version of the framework that it needs, whose publisher is Microsoft.
    pub framework: Option<(&'static str, &'static str)>,
    /// Further parts: path with slashes, contents.
    pub parts: Vec<(String, Vec<u8>)>,
}

/// The publisher of Windows' apps, and of practice packages that stand for them.
pub(crate) const MICROSOFT: &str = "CN=Microsoft Corporation, O=Microsoft Corporation, L=Redmond, S=Washington, C=US";

impl AppPackage {
    /// All parts but the media types, with paths relative to the package's folder: what Windows installs.
    pub(crate) fn installed(&self) -> Vec<(String, Vec<u8>)> {
        let mut parts = vec![("AppxManifest.xml".to_owned(), self.manifest().into_bytes())];
        parts.extend(self.parts.iter().cloned());
        // The compressed sizes are those of the file, which nobody has once it is installed.
        let map = block_map(&parts);
        parts.push(("AppxBlockMap.xml".to_owned(), map.into_bytes()));
        parts
    }

    /// The package as a file.
    ///
    /// # Errors
    /// What the ZIP writer reports; it works in memory, so none is expected.
    pub(crate) fn file(&self) -> Result<Vec<u8>, Error> {
        let mut parts = self.installed();
        parts.push(("[Content_Types].xml".to_owned(), CONTENT_TYPES.as_bytes().to_vec()));
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        // Stored, as the block map says nothing of compressed blocks; the time is ZIP's earliest.
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).last_modified_time(zip::DateTime::default());
        for (path, contents) in parts {
            zip.start_file(part_name(&path), options)?;
            zip.write_all(&contents)?;
        }
        Ok(zip.finish()?.into_inner())
    }

    fn manifest(&self) -> String {
        let Identity { name, publisher, version, architecture, .. } = &self.identity;
        let framework = self.executable.is_none();
        let display_name = self.display_name;
        let dependency = self.framework.map_or(String::new(), |(name, version)| {
            format!("    <PackageDependency Name=\"{name}\" MinVersion=\"{version}\" Publisher=\"{MICROSOFT}\"/>\r\n")
        });
        let application = self.executable.map_or(String::new(), |executable| {
            format!(
                "  <Applications>\r\n    <Application Id=\"App\" Executable=\"{executable}\" EntryPoint=\"Windows.FullTrustApplication\">\r\n      <uap:VisualElements DisplayName=\"{display_name}\" Description=\"{display_name}\" BackgroundColor=\"transparent\" Square150x150Logo=\"Assets\\Logo.png\" Square44x44Logo=\"Assets\\Logo.png\"/>\r\n    </Application>\r\n  </Applications>\r\n"
            )
        });
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n\
<Package xmlns=\"http://schemas.microsoft.com/appx/manifest/foundation/windows10\" xmlns:uap=\"http://schemas.microsoft.com/appx/manifest/uap/windows10\">\r\n\
  <Identity Name=\"{name}\" Publisher=\"{publisher}\" Version=\"{version}\" ProcessorArchitecture=\"{architecture}\"/>\r\n\
  <Properties>\r\n    <Framework>{framework}</Framework>\r\n    <DisplayName>{display_name}</DisplayName>\r\n    <PublisherDisplayName>Practice</PublisherDisplayName>\r\n    <Logo>Assets\\Logo.png</Logo>\r\n  </Properties>\r\n\
  <Resources>\r\n    <Resource Language=\"en-us\"/>\r\n  </Resources>\r\n\
  <Dependencies>\r\n    <TargetDeviceFamily Name=\"Windows.Desktop\" MinVersion=\"10.0.19041.0\" MaxVersionTested=\"10.0.26100.0\"/>\r\n{dependency}  </Dependencies>\r\n{application}</Package>\r\n"
        )
    }
}

const CONTENT_TYPES: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"xml\" ContentType=\"application/vnd.ms-appx.manifest+xml\"/><Default Extension=\"exe\" ContentType=\"application/x-msdownload\"/><Default Extension=\"dll\" ContentType=\"application/x-msdownload\"/><Default Extension=\"png\" ContentType=\"image/png\"/><Override PartName=\"/AppxBlockMap.xml\" ContentType=\"application/vnd.ms-appx.blockmap+xml\"/></Types>";

/// The name of a part in the ZIP file (Open Packaging Conventions): spaces are percent-encoded.
fn part_name(path: &str) -> String {
    path.replace(' ', "%20")
}

fn block_map(parts: &[(String, Vec<u8>)]) -> String {
    let mut map = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\r\n<BlockMap xmlns=\"http://schemas.microsoft.com/appx/2010/blockmap\" HashMethod=\"http://www.w3.org/2001/04/xmlenc#sha256\">".to_owned();
    for (path, contents) in parts {
        // Bytes of the ZIP file's header before the part: 30 and the name.
        let header = 30 + part_name(path).len();
        // Writing to a String cannot fail.
        let _ = write!(map, "<File Name=\"{}\" Size=\"{}\" LfhSize=\"{header}\">", path.replace('/', "\\"), contents.len());
        for block in contents.chunks(BLOCK_SIZE) {
            let _ = write!(map, "<Block Hash=\"{}\"/>", base64(&Sha256::digest(block)));
        }
        map.push_str("</File>");
    }
    map.push_str("</BlockMap>");
    map
}

/// Base 64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, index| bits << 8 | usize::from(group.get(index).copied().unwrap_or_default()));
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63]));
        text.extend(digits.iter().take(group.len() + 1));
        text.extend(std::iter::repeat_n('=', 3 - group.len()));
    }
    text
}
