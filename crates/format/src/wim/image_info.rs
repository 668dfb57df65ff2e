//! What the XML data say of one image.

use super::xml::{Element, Node};

/// The description of an image: an `IMAGE` element, editable, unknown elements kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// The element. Its `INDEX` attribute is set when a WIM is written.
    pub element: Element,
}

/// What an image's `WINDOWS` element says; `None` or empty for what it does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WindowsInfo {
    /// `PROCESSOR_ARCHITECTURE_*`: 0 x86, 5 ARM, 9 x64, 12 ARM64.
    pub architecture: Option<u32>,
    /// Product name.
    pub product_name: Option<String>,
    /// `Professional`, `ServerStandard`, …
    pub edition_id: Option<String>,
    /// `Client`, `Server`, `Server Core`, `WindowsPE`.
    pub installation_type: Option<String>,
    /// Hardware abstraction layer, `acpiapic`; absent since Windows 10.
    pub hal: Option<String>,
    /// `WinNT`, `ServerNT`, `LanmanNT`.
    pub product_type: Option<String>,
    /// `Terminal Server`, `Enterprise`, …
    pub product_suite: Option<String>,
    /// Installed languages, `en-US`.
    pub languages: Vec<String>,
    /// The default language.
    pub default_language: Option<String>,
    /// Major and minor version, build, and update revision (`SPBUILD`).
    pub version: [Option<u32>; 4],
    /// Service pack level.
    pub service_pack_level: Option<u32>,
    /// Branch the build comes from, `rs5_release`.
    pub branch: Option<String>,
    /// Name of the Windows directory, `WINDOWS`.
    pub system_root: Option<String>,
}

/// What is counted in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Directories, without the root and without reparse points.
    pub directories: u64,
    /// Other entries: every name of a hard-linked file counts.
    pub files: u64,
    /// Bytes in unnamed streams: every name of a hard-linked file counts.
    pub total_bytes: u64,
    /// Of these, the bytes of second and further names of hard-linked files.
    pub hard_link_bytes: u64,
}

impl Default for ImageInfo {
    fn default() -> Self {
        Self { element: Element::new("IMAGE") }
    }
}

impl ImageInfo {
    /// A description with nothing but a name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut info = Self::default();
        info.set("NAME", name);
        info
    }

    /// The text of the element at a path, `WINDOWS/VERSION/BUILD`; `None` when there is none.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<String> {
        self.element.at(path).map(Element::text)
    }

    /// Sets the text of the element at a path, making the elements that are absent.
    pub fn set(&mut self, path: &str, text: &str) {
        self.element.set_text_at(path, text);
    }

    /// Removes the elements of this name directly inside the image's.
    pub fn remove(&mut self, name: &str) {
        self.element.children.retain(|node| !matches!(node, Node::Element(element) if element.name == name));
    }

    /// A number at a path, decimal or `0x` hexadecimal.
    #[must_use]
    pub fn number(&self, path: &str) -> Option<u64> {
        let text = self.get(path)?;
        let text = text.trim();
        match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// A time at a path (`CREATIONTIME`, `LASTMODIFICATIONTIME`): FILETIME, 100 ns since 1601-01-01 UTC.
    #[must_use]
    pub fn time(&self, path: &str) -> Option<u64> {
        let half = |name| self.number(&format!("{path}/{name}")).filter(|value| *value <= u64::from(u32::MAX));
        Some(half("HIGHPART")? << 32 | half("LOWPART")?)
    }

    /// Sets a time at a path.
    pub fn set_time(&mut self, path: &str, time: u64) {
        self.set(&format!("{path}/HIGHPART"), &format!("0x{:08X}", time >> 32));
        self.set(&format!("{path}/LOWPART"), &format!("0x{:08X}", time & u64::from(u32::MAX)));
    }

    /// The `NAME` element.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.get("NAME")
    }

    /// What the image's elements say it contains, as its writer counted.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let number = |path| self.number(path).unwrap_or_default();
        Statistics {
            directories: number("DIRCOUNT"),
            files: number("FILECOUNT"),
            total_bytes: number("TOTALBYTES"),
            hard_link_bytes: number("HARDLINKBYTES"),
        }
    }

    /// Sets `DIRCOUNT`, `FILECOUNT`, `TOTALBYTES` and `HARDLINKBYTES`.
    pub fn set_statistics(&mut self, statistics: &Statistics) {
        self.set("DIRCOUNT", &statistics.directories.to_string());
        self.set("FILECOUNT", &statistics.files.to_string());
        self.set("TOTALBYTES", &statistics.total_bytes.to_string());
        self.set("HARDLINKBYTES", &statistics.hard_link_bytes.to_string());
    }

    /// What the `WINDOWS` element says; `None` for an image that is not Windows.
    #[must_use]
    pub fn windows(&self) -> Option<WindowsInfo> {
        self.element.element("WINDOWS")?;
        let text = |path: &str| self.get(&format!("WINDOWS/{path}"));
        let number = |path: &str| self.number(&format!("WINDOWS/{path}")).and_then(|value| u32::try_from(value).ok());
        let languages = self.element.at("WINDOWS/LANGUAGES");
        let languages = languages.into_iter().flat_map(Element::elements).filter(|element| element.name == "LANGUAGE");
        Some(WindowsInfo {
            architecture: number("ARCH"),
            product_name: text("PRODUCTNAME"),
            edition_id: text("EDITIONID"),
            installation_type: text("INSTALLATIONTYPE"),
            hal: text("HAL"),
            product_type: text("PRODUCTTYPE"),
            product_suite: text("PRODUCTSUITE"),
            languages: languages.map(Element::text).collect(),
            default_language: text("LANGUAGES/DEFAULT"),
            version: ["VERSION/MAJOR", "VERSION/MINOR", "VERSION/BUILD", "VERSION/SPBUILD"].map(number),
            service_pack_level: number("VERSION/SPLEVEL"),
            branch: text("VERSION/BRANCH"),
            system_root: text("SYSTEMROOT"),
        })
    }
}

/// The images that XML data describe, ordered by their `INDEX`.
pub(super) fn images_of(root: &Element) -> Vec<(u32, ImageInfo)> {
    let index = |element: &Element| element.attribute("INDEX").and_then(|value| value.trim().parse().ok());
    let images = root.elements().filter(|element| element.name == "IMAGE");
    let mut images: Vec<(u32, ImageInfo)> =
        images.filter_map(|element| Some((index(element)?, ImageInfo { element: element.clone() }))).collect();
    images.sort_by_key(|(index, _)| *index);
    images
}

/// Puts descriptions together as XML data: UTF-16LE text with byte order mark.
///
/// `total_bytes`: the position of the XML data in the WIM, which Microsoft's tools and wimlib write there.
pub(super) fn encode_xml(images: &[ImageInfo], total_bytes: Option<u64>) -> Vec<u8> {
    let mut root = Element::new("WIM");
    if let Some(total_bytes) = total_bytes {
        root.set_text_at("TOTALBYTES", &total_bytes.to_string());
    }
    for (index, image) in (1_u32..).zip(images) {
        let mut element = image.element.clone();
        element.set_attribute("INDEX", &index.to_string());
        root.children.push(Node::Element(element));
    }
    super::xml::encode_text(&root.to_xml())
}
