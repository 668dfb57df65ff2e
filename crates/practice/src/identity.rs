//! Identities of the components that a practice image has, as Windows' own are.

use wimwright_format::manifest::{Identity, Version};

/// The public key token of Windows' own components.
pub(crate) const PUBLIC_KEY_TOKEN: &str = "31bf3856ad364e35";

/// A component of Windows.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    /// `Microsoft-Windows-ntdll`.
    pub name: String,
    /// `amd64`, `wow64`, `x86`, `msil`.
    pub architecture: &'static str,
    /// `neutral`, or a language.
    pub culture: &'static str,
    /// `10.0.26100.1742`.
    pub version: String,
}

impl Component {
    /// The name of the component's folder and manifest.
    pub(crate) fn key_form(&self) -> String {
        self.assembly_identity().keyform()
    }

    /// The identity as the COMPONENTS hive has it.
    pub(crate) fn identity(&self) -> String {
        self.assembly_identity().component_string()
    }

    /// The key of a deployment in the COMPONENTS hive.
    pub(crate) fn deployment_key(&self) -> String {
        self.assembly_identity().deployment_key()
    }

    fn assembly_identity(&self) -> Identity {
        Identity {
            name: self.name.clone(),
            version: self.version.parse().unwrap_or(Version::ZERO),
            architecture: Some(self.architecture.to_owned()),
            language: Some(self.culture).filter(|culture| *culture != "neutral").map(str::to_owned),
            public_key_token: Some(PUBLIC_KEY_TOKEN.to_owned()),
            assembly_type: None,
            version_scope: Some("nonSxS".to_owned()),
            build_type: Some("release".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of public images, of components whose full name is known.
    #[test]
    fn key_forms_of_real_components() {
        for (name, culture, version, key_form) in [
            (
                "Microsoft-Windows-StorPort",
                "neutral",
                "6.1.7601.18386",
                "amd64_microsoft-windows-storport_31bf3856ad364e35_6.1.7601.18386_none_85588aa4470585ac",
            ),
            (
                "Microsoft-Windows-Oleaccrc.Resources",
                "en-us",
                "6.1.7600.16385",
                "amd64_microsoft-windows-oleaccrc.resources_31bf3856ad364e35_6.1.7600.16385_en-us_5c4db2c1103b4a92",
            ),
            (
                "Microsoft-Windows-Ntdll",
                "neutral",
                "6.1.7601.18247",
                "amd64_microsoft-windows-ntdll_31bf3856ad364e35_6.1.7601.18247_none_b6df585112e2f85b",
            ),
        ] {
            let component = Component { name: name.to_owned(), architecture: "amd64", culture, version: version.to_owned() };
            assert_eq!(component.key_form(), key_form);
        }
    }
}
