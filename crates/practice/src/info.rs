//! What the XML data say of an image, element by element in the order of Microsoft's media.

use wimwright_format::wim::{ImageInfo, Metadata};

use crate::contents::Contents;
use crate::data::BUILD_TIME;

/// The texts of an image's XML data.
pub(crate) struct Description<'a> {
    /// `NAME` and, on Microsoft's media, the other names.
    pub name: &'a str,
    /// `EDITIONID`.
    pub edition: &'a str,
    /// `INSTALLATIONTYPE`.
    pub installation_type: &'a str,
    /// `FLAGS`.
    pub flags: &'a str,
    /// Captured: no flags, no display name, another time.
    pub captured_at: Option<u64>,
    /// `WINDOWS/ARCH`.
    pub architecture: u32,
    /// `WINDOWS/VERSION`.
    pub version: [u16; 4],
}

/// Describes an image.
pub(crate) fn describe(description: &Description<'_>, metadata: &Metadata, contents: &Contents) -> ImageInfo {
    let mut info = ImageInfo::default();
    info.set_statistics(&metadata.statistics(&|id| contents.size(id)));
    let created = description.captured_at.unwrap_or(BUILD_TIME);
    info.set_time("CREATIONTIME", created);
    info.set_time("LASTMODIFICATIONTIME", created + 1140 * 10_000_000);
    let is_client = description.installation_type == "Client";
    let [major, minor, build, revision] = description.version.map(|number| number.to_string());
    if is_client {
        info.set("WIMBOOT", "0");
    }
    info.set("WINDOWS/ARCH", &description.architecture.to_string());
    info.set("WINDOWS/PRODUCTNAME", "Microsoft® Windows® Operating System");
    info.set("WINDOWS/EDITIONID", description.edition);
    info.set("WINDOWS/INSTALLATIONTYPE", description.installation_type);
    info.set("WINDOWS/SERVICINGDATA/GDRDUREVISION", "0");
    info.set("WINDOWS/SERVICINGDATA/PKEYCONFIGVERSION", &format!("{};2016-01-01T00:00:00Z", crate::data::VERSION_TEXT));
    if is_client {
        info.set("WINDOWS/SERVICINGDATA/IMAGESTATE", "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE");
    }
    info.set("WINDOWS/PRODUCTTYPE", "WinNT");
    info.set("WINDOWS/PRODUCTSUITE", if is_client { "Terminal Server" } else { "" });
    info.set("WINDOWS/LANGUAGES/LANGUAGE", "en-US");
    info.set("WINDOWS/LANGUAGES/DEFAULT", "en-US");
    info.set("WINDOWS/VERSION/MAJOR", &major);
    info.set("WINDOWS/VERSION/MINOR", &minor);
    info.set("WINDOWS/VERSION/BUILD", &build);
    info.set("WINDOWS/VERSION/SPBUILD", &revision);
    info.set("WINDOWS/VERSION/SPLEVEL", "0");
    info.set("WINDOWS/VERSION/BRANCH", "ge_release");
    info.set("WINDOWS/SYSTEMROOT", "WINDOWS");
    info.set("NAME", description.name);
    info.set("DESCRIPTION", description.name);
    if description.captured_at.is_none() {
        info.set("FLAGS", description.flags);
        if is_client {
            info.set("DISPLAYNAME", description.name);
            info.set("DISPLAYDESCRIPTION", description.name);
        }
    }
    info
}
