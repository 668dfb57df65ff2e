//! Names in the component store, computed from identities.
//!
//! The store has no index of its names: each directory, registry key and value name ends in a hash that anyone can compute.
//! The hash works on bytes in four lanes and folds them with powers of [`FOLD`]; an identity is hashed as a chain of its
//! attributes. All names are lower case.
//!
//! Sources: the hash and the keyform from asdcorp/haveSxS (facts) and smx-smx/Winter; the registry names from the export of
//! fadilfadz01/CMD.Injector and Pandapip1/gowim. Checked here against every real name of the test data. The hash of
//! `FileMaps` names is a finding of this project: eight public names agree with it (see the tests).

use super::{Identity, PackageId};

/// What the lanes of [`string_hash`] and the attributes of [`Identity::hash`] are folded with.
const FOLD: u64 = 0x1_FFFF_FFF7;
/// `FOLD` squared and cubed, modulo 2^64.
const FOLD_SQUARED: u64 = FOLD.wrapping_mul(FOLD);
const FOLD_CUBED: u64 = FOLD_SQUARED.wrapping_mul(FOLD);

fn hash_bytes(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut lanes = [0_u32; 4];
    for (byte, lane) in bytes.zip([0_usize, 1, 2, 3].into_iter().cycle()) {
        if let Some(lane) = lanes.get_mut(lane) {
            *lane = lane.wrapping_mul(0x1003F).wrapping_add(u32::from(byte));
        }
    }
    let [first, second, third, fourth] = lanes.map(u64::from);
    let high = first.wrapping_mul(FOLD_CUBED).wrapping_add(second.wrapping_mul(FOLD_SQUARED));
    high.wrapping_add(third.wrapping_mul(FOLD)).wrapping_add(fourth)
}

/// The hash of a text, ASCII letters taken as lower case. Other characters by their UTF-8 bytes, which no sample confirms.
#[must_use]
pub fn string_hash(text: &str) -> u64 {
    hash_bytes(text.bytes().map(|byte| byte.to_ascii_lowercase()))
}

/// At most `limit` characters: the first and the last of a longer text around two full stops. `text` is ASCII.
fn shortened(text: &str, limit: usize, kept: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let first = text.get(..kept).unwrap_or_default();
    let last = text.get(text.len().saturating_sub(kept)..).unwrap_or_default();
    format!("{first}..{last}")
}

impl Identity {
    /// The identity hash: the last part of [`Identity::keyform`].
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash_with(Some(&self.version.to_string()))
    }

    /// The identity hash without version: the same for all versions of a component, its *family*.
    #[must_use]
    pub fn family_hash(&self) -> u64 {
        self.hash_with(None)
    }

    fn hash_with(&self, version: Option<&str>) -> u64 {
        let attributes = [
            ("name", Some(self.name.as_str())),
            ("culture", self.language.as_deref()),
            ("type", self.assembly_type.as_deref()),
            ("version", version),
            ("publicKeyToken", self.public_key_token.as_deref()),
            ("processorArchitecture", self.architecture.as_deref()),
            ("versionScope", self.version_scope.as_deref()),
        ];
        let present = attributes.into_iter().filter_map(|(name, value)| Some((name, value?)));
        present.fold(0, |hash: u64, (name, value)| {
            let attribute = string_hash(name).wrapping_mul(FOLD).wrapping_add(string_hash(value));
            hash.wrapping_mul(FOLD).wrapping_add(attribute)
        })
    }

    /// The name without what a store name cannot hold (spaces, parentheses), in lower case.
    fn plain_name(&self) -> String {
        let kept = self.name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        kept.map(|c| c.to_ascii_lowercase()).collect()
    }

    fn store_name(&self, version: Option<&str>, hash: u64) -> String {
        let lower = |value: &Option<String>| value.as_deref().unwrap_or("none").to_ascii_lowercase();
        let language = lower(&self.language);
        let culture = if language.is_ascii() { shortened(&language, 8, 3) } else { language };
        let version = version.map(|version| format!("{version}_")).unwrap_or_default();
        let (architecture, token) = (lower(&self.architecture), lower(&self.public_key_token));
        format!("{architecture}_{}_{token}_{version}{culture}_{hash:016x}", shortened(&self.plain_name(), 40, 19))
    }

    /// The name of a component: its directory in `WinSxS`, its manifest in `WinSxS\Manifests`, its key in
    /// `COMPONENTS\DerivedData\Components`. `architecture_name_token_version_culture_hash`, the name shortened to 40
    /// characters and the culture to 8.
    #[must_use]
    pub fn keyform(&self) -> String {
        self.store_name(Some(&self.version.to_string()), self.hash())
    }

    /// The name of a component's family: its key in `SOFTWARE\…\SideBySide\Winners`. The keyform without version.
    #[must_use]
    pub fn family_key(&self) -> String {
        self.store_name(None, self.family_hash())
    }

    /// The name of a deployment: its key in `COMPONENTS\CanonicalData\Deployments`, and after `c!` the value that each of
    /// its components has. `name_token_version_hash`, the name shortened to 24 characters.
    #[must_use]
    pub fn deployment_key(&self) -> String {
        let token = self.public_key_token.as_deref().unwrap_or("none").to_ascii_lowercase();
        format!("{}_{token}_{}_{:016x}", shortened(&self.plain_name(), 24, 11), self.version, self.hash())
    }
}

/// What an update of a package has done with a deployment: the kinds of reference that a deployment's key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceKind {
    /// `p!`: planned or pinned.
    Planned,
    /// `s!`: its files are staged in the store.
    Staged,
    /// `i!`: it is installed.
    Installed,
}

/// A reference from an update of a package to a deployment, as `CanonicalData\Deployments\<key>` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    text: String,
}

impl Reference {
    /// The reference of `update` in `package`.
    #[must_use]
    pub fn new(package: &PackageId, update: &str) -> Self {
        Self { text: format!("{package}.{update}") }
    }

    /// The name of the value: `i!CBS_` + the first 60 characters in lower case + `_` + the hash of the whole.
    #[must_use]
    pub fn value_name(&self, kind: ReferenceKind) -> String {
        let letter = match kind {
            ReferenceKind::Planned => 'p',
            ReferenceKind::Staged => 's',
            ReferenceKind::Installed => 'i',
        };
        let first: String = self.text.chars().take(60).map(|c| c.to_ascii_lowercase()).collect();
        format!("{letter}!CBS_{first}_{:016x}", string_hash(&self.text))
    }

    /// The data of the value (REG_BINARY): length and flags as little-endian 32-bit numbers, then the text. Flags are 0:
    /// what flag 1 with its extra byte says is not known.
    #[must_use]
    pub fn data(&self) -> Vec<u8> {
        let length = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        let mut data = length.to_le_bytes().to_vec();
        data.extend([0; 4]);
        data.extend(self.text.as_bytes());
        data
    }

    /// The text of the reference in the data of such a value, `PackageId.UpdateName`; `None` when the data is cut short or
    /// is no text.
    #[must_use]
    pub fn text_of(data: &[u8]) -> Option<&str> {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let text = rest.get(4..)?.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        std::str::from_utf8(text).ok()
    }
}

/// The name of the value that a component's key has for one of its payload files: `f!` + the name, when that has at most 25
/// characters and no directory; otherwise the first 25 characters in lower case with `_` for `\`, and the hash of the whole.
#[must_use]
pub fn payload_value_name(file: &str) -> String {
    if file.chars().count() <= 25 && !file.contains('\\') {
        return format!("f!{file}");
    }
    let first = file.chars().take(25).map(|c| if c == '\\' { '_' } else { c.to_ascii_lowercase() });
    format!("f!{}_{:016x}", first.collect::<String>(), string_hash(file))
}

/// How the name of a directory's map in `WinSxS\FileMaps` ends: `_<hash>.cdf-ms`.
///
/// `directory` is relative to the root of the image, with `$$` for the Windows directory: `$$\System32`, `Program Files`.
/// The hash is [`string_hash`] of the path in *upper* case. The name starts with the path in lower case and `_` for `\` and
/// spaces; how Microsoft shortens long ones is not public, so that a map is found by this suffix.
#[must_use]
pub fn file_map_suffix(directory: &str) -> String {
    format!("_{:016x}.cdf-ms", hash_bytes(directory.bytes().map(|byte| byte.to_ascii_uppercase())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Version;

    fn identity(name: &str, version: [u16; 4], architecture: &str) -> Identity {
        Identity {
            name: name.into(),
            version: Version(version),
            architecture: Some(architecture.into()),
            public_key_token: Some("31bf3856ad364e35".into()),
            version_scope: Some("nonSxS".into()),
            ..Identity::default()
        }
    }

    /// OpenSSH.Server 20348.1, names of its component manifests and families (facts/cbs.md 3.2).
    #[test]
    fn golden_components() {
        let names = [
            ("OpenSSH-Server-Components-Onecore", "b0904d40e610f17d", "3b38c38176a7767c"),
            ("OpenSSH-Common-Components-Onecore", "46157a5078c5eef5", "26fc693a665a76c4"),
            ("LibreSSL-Components-Onecore", "789d23099d966c21", "95669c14f07c2ff8"),
        ];
        for (name, hash, family) in names {
            let identity = identity(name, [10, 0, 20348, 1], "amd64");
            let lower = name.to_ascii_lowercase();
            assert_eq!(identity.keyform(), format!("amd64_{lower}_31bf3856ad364e35_10.0.20348.1_none_{hash}"));
            assert_eq!(identity.family_key(), format!("amd64_{lower}_31bf3856ad364e35_none_{family}"));
        }
    }

    #[test]
    fn golden_deployment_and_references() {
        let deployment = identity("Microsoft-OneCore-OpenSSH-ServerOnly-Deployment", [10, 0, 20348, 1], "amd64");
        assert_eq!(deployment.deployment_key(), "microsoft-o..-deployment_31bf3856ad364e35_10.0.20348.1_314e7ce33068bdb7");
        let package: PackageId = "Microsoft-OneCore-OpenSSH-ServerOnly-Package~31bf3856ad364e35~amd64~~10.0.20348.1".parse().unwrap();
        let reference = Reference::new(&package, "3bcb697a625e54813632c40c592c005b");
        let name = "i!CBS_microsoft-onecore-openssh-serveronly-package~31bf3856ad364e3_1f39b5f85c73e69f";
        assert_eq!(reference.value_name(ReferenceKind::Installed), name);
    }

    /// Keys and values of the one public export of an installed package (fadilfadz01/CMD.Injector).
    #[test]
    fn golden_export() {
        let package: PackageId = "FadilFadz.CMDInjector.Permanent~628844477771337a~arm~~1.0.0.0".parse().unwrap();
        let reference = Reference::new(&package, "FadilFadz_CMDInjector_Permanent");
        let name = "i!CBS_fadilfadz.cmdinjector.permanent~628844477771337a~arm~~1.0.0._aaf472759952c3de";
        assert_eq!(reference.value_name(ReferenceKind::Installed), name);
        assert_eq!(reference.value_name(ReferenceKind::Staged), name.replacen('i', "s", 1));
        let data = reference.data();
        assert_eq!(data.get(..9), Some(b"\x5d\0\0\0\0\0\0\0F".as_slice()));
        assert_eq!(
            Reference::text_of(&data),
            Some("FadilFadz.CMDInjector.Permanent~628844477771337a~arm~~1.0.0.0.FadilFadz_CMDInjector_Permanent")
        );
        assert_eq!(Reference::text_of(&data[..20]), None);
        assert_eq!(payload_value_name("windows\\System32\\Load.bat"), "f!windows_system32_load.bat_a70da65509d214d0");
        assert_eq!(payload_value_name("sshd.exe"), "f!sshd.exe");
    }

    /// A public side-by-side assembly: with a type, without version scope. Its directory is on every Windows 7 with Visual C++.
    #[test]
    fn golden_side_by_side_assembly() {
        let identity = Identity {
            assembly_type: Some("win32".into()),
            version_scope: None,
            public_key_token: Some("1fc8b3b9a1e18e3b".into()),
            ..identity("Microsoft.VC80.MFC", [8, 0, 50727, 1833], "amd64")
        };
        assert_eq!(identity.keyform(), "amd64_microsoft.vc80.mfc_1fc8b3b9a1e18e3b_8.0.50727.1833_none_8442d417329336b1");
    }

    #[test]
    fn long_names_and_cultures_are_shortened() {
        let mut identity = identity("Microsoft-Windows-IE-InternetExplorer-Optional.Resources", [11, 0, 19041, 1], "amd64");
        identity.language = Some("en-US".into());
        assert_eq!(
            identity.keyform(),
            "amd64_microsoft-windows-i..-optional.resources_31bf3856ad364e35_11.0.19041.1_en-us_7c457a2cefaa6d0d"
        );
        identity.language = Some("sr-Latn-RS".into());
        assert!(identity.keyform().contains("_sr-..-rs_"));
    }

    /// Names that public scripts delete or copy, and one line of a public MFT listing.
    #[test]
    fn golden_file_maps() {
        let maps = [
            ("$$\\System32", "21f9a9c4a2f8b514"),
            ("$$\\WaaS", "401032e7a18c2040"),
            ("$$\\WaaS\\tasks", "0504086c7768f632"),
            ("$$\\WaaS\\services", "ddfc4ae175ff1678"),
            ("$$\\AppCompat\\Appraiser", "33781004733ffeee"),
            ("$$\\Globalization\\Sorting", "04883de290c6ef1b"),
            ("$$\\Microsoft.NET\\Framework64\\v4.0.30319", "46321ba736a30085"),
            ("Program Files", "ffd0cbfc813cc4f1"),
        ];
        for (directory, hash) in maps {
            assert_eq!(file_map_suffix(directory), format!("_{hash}.cdf-ms"));
        }
    }
}
