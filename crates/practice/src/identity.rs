//! Component identities and the folder names that the component store makes of them.
//!
//! A component's identity is hashed attribute by attribute; the folder name has the hash at its end. Sources, and the agreement
//! with 277 real names: `docs/reference/practice.md`.

/// The public key token of Windows' own components.
pub(crate) const PUBLIC_KEY_TOKEN: &str = "31bf3856ad364e35";

/// Base of the polynomial that both hashes are.
const BASE: u64 = 0x1_FFFF_FFF7;

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
        let hash = self.hash();
        let name: String = self.name.chars().filter(|character| character.is_ascii_alphanumeric() || "._-".contains(*character)).collect();
        let name = shortened(&name, 40, 19);
        let culture = if self.culture == "neutral" { "none".to_owned() } else { shortened(self.culture, 8, 3) };
        format!("{}_{name}_{PUBLIC_KEY_TOKEN}_{}_{culture}_{hash:016x}", self.architecture, self.version).to_lowercase()
    }

    /// The identity as the COMPONENTS hive has it.
    pub(crate) fn identity(&self) -> String {
        format!(
            "{}, Culture={}, Version={}, PublicKeyToken={PUBLIC_KEY_TOKEN}, ProcessorArchitecture={}, versionScope=NonSxS",
            self.name, self.culture, self.version, self.architecture
        )
    }

    fn hash(&self) -> u64 {
        let culture = Some(("culture", self.culture)).filter(|_| self.culture != "neutral");
        let attributes = [
            Some(("name", self.name.as_str())),
            culture,
            Some(("version", self.version.as_str())),
            Some(("publicKeyToken", PUBLIC_KEY_TOKEN)),
            Some(("processorArchitecture", self.architecture)),
            Some(("versionScope", "nonSxS")),
        ];
        attributes.into_iter().flatten().fold(0, |hash: u64, (name, value)| {
            let attribute = text_hash(name).wrapping_mul(BASE).wrapping_add(text_hash(value));
            hash.wrapping_mul(BASE).wrapping_add(attribute)
        })
    }
}

/// Hash of a text in lower case: four sums over every fourth byte, joined.
pub(crate) fn text_hash(text: &str) -> u64 {
    let mut lanes = [0_u32; 4];
    for (index, byte) in text.bytes().enumerate() {
        let lane = &mut lanes[index % 4];
        *lane = lane.wrapping_mul(0x1003F).wrapping_add(u32::from(byte.to_ascii_lowercase()));
    }
    lanes.iter().fold(0, |sum, lane| sum.wrapping_mul(BASE).wrapping_add(u64::from(*lane)))
}

/// A long text as its ends: `first..last`.
fn shortened(text: &str, longest: usize, kept: usize) -> String {
    if text.len() <= longest { text.to_owned() } else { format!("{}..{}", &text[..kept], &text[text.len() - kept..]) }
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
