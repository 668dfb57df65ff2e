//! Identities of the components and packages that practice images and updates have, as Windows' own are.

use wimwright_format::manifest::{Identity, Version};

/// The public key token of Windows' own components.
pub(crate) const PUBLIC_KEY_TOKEN: &str = "31bf3856ad364e35";

/// The identity of a component or deployment of Windows. `language` is a tag, or `neutral`.
pub(crate) fn component(name: &str, architecture: &str, language: &str, version: Version) -> Identity {
    Identity { version_scope: Some("nonSxS".to_owned()), ..package(name, architecture, language, version) }
}

/// The identity of a package of Windows. `language` is a tag, or `neutral`.
pub(crate) fn package(name: &str, architecture: &str, language: &str, version: Version) -> Identity {
    Identity {
        name: name.to_owned(),
        version,
        architecture: Some(architecture.to_owned()),
        language: Some(language).filter(|language| *language != "neutral").map(str::to_owned),
        public_key_token: Some(PUBLIC_KEY_TOKEN.to_owned()),
        assembly_type: None,
        version_scope: None,
        build_type: Some("release".to_owned()),
    }
}

/// The deployment of an update that has this name.
pub(crate) fn deployment(name: &str, package: &Identity) -> Identity {
    Identity { name: format!("{name}-Deployment"), version_scope: Some("nonSxS".to_owned()), ..package.clone() }
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
            assert_eq!(component(name, "amd64", culture, version.parse().unwrap()).keyform(), key_form);
        }
    }
}
