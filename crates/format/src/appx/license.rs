//! Licence files of the Store (`…_License1.xml`), which DISM takes with `/LicensePath`.

use super::manifest::{child, required};
use super::{AppxError, Result, part_error};
use crate::xml;

const PART: &str = "licence file";
const NAMESPACE: &str = "urn:schemas-microsoft-com:windows:store:licensing:ls";

/// What a licence file is for. Its signature and licence block are for Windows (`ClipSVC`) to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct License {
    /// `LicenseID`.
    pub license_id: String,
    /// The product's id in the Store.
    pub product_id: Option<String>,
    /// The family name of the app, in lower case (`PFM`).
    pub family_name: String,
    /// `Machine` for licences that work before anybody signs in.
    pub binding: Option<String>,
    /// `Offline` for licences for provisioning.
    pub usage: Option<String>,
}

impl License {
    /// Reads a licence file in its unencoded (XML) form.
    ///
    /// # Errors
    /// When it is no XML, no licence, or names no app.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let xml_error = |source| AppxError::Xml { part: PART, source };
        let text = xml::decode(bytes).map_err(xml_error)?;
        let document = xml::parse(&text).map_err(xml_error)?;
        let root = document.root_element();
        if !root.has_tag_name((NAMESPACE, "License")) {
            return part_error(PART, format!("the root is not `License` in the namespace {NAMESPACE}"));
        }
        let Some(binding) = child(root, "Binding") else { return part_error(PART, "there is no `Binding`") };
        let text = |name| child(binding, name).and_then(|node| node.text()).map(|text| text.trim().to_owned());
        let Some(family_name) = text("PFM").filter(|name| !name.is_empty()) else {
            return part_error(PART, "it names no app: there is no `PFM`");
        };
        let license_id = required(root, "LicenseID").map_err(|source| AppxError::Identity { part: PART, source })?.to_owned();
        Ok(Self {
            license_id,
            product_id: text("ProductID"),
            family_name,
            binding: binding.attribute("Binding_Type").map(str::to_owned),
            usage: child(root, "LicenseInfo").and_then(|info| info.attribute("LicenseUsage")).map(str::to_owned),
        })
    }
}
