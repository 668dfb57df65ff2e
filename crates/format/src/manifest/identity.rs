//! Identities: who an assembly or a package is.
//!
//! An [`Identity`] is the `assemblyIdentity` element. Component based servicing writes it in three more ways: as a package
//! identity (`Name~token~architecture~language~version`, the name of `.mum` files and registry keys, [`PackageId`]), as the
//! component identity string of the COMPONENTS hive ([`Identity::component_string`]), and as a hash inside the names of
//! [`super::store_name`].

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use roxmltree::Node;

use super::error::shortened;
use super::{Error, Version, xml};

/// The attributes of an `assemblyIdentity` element, spelled as the manifest spells them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Identity {
    /// `name`.
    pub name: String,
    /// `version`; zero where none is stated (dependencies of asm.v1 policies, capability wildcards).
    pub version: Version,
    /// `processorArchitecture`: `amd64`, `x86`, `wow64`, `arm64`, `arm`, `msil`, or `*` in a dependency.
    pub architecture: Option<String>,
    /// `language`, `None` when absent, empty or `neutral`; `*` in dependencies on one's own resources.
    pub language: Option<String>,
    /// `publicKeyToken`: 16 hexadecimal digits.
    pub public_key_token: Option<String>,
    /// `type`: `win32`, `driverUpdate`, `dualModeDriver`, …
    pub assembly_type: Option<String>,
    /// `versionScope`: `nonSxS` for everything that is not a public side-by-side assembly.
    pub version_scope: Option<String>,
    /// `buildType`: always `release` in what Microsoft ships; no part of any name.
    pub build_type: Option<String>,
}

impl Identity {
    /// Reads the identity attributes of an element (`assemblyIdentity`, `installerAssembly`).
    pub(super) fn read(node: Node<'_, '_>) -> Result<Self, Error> {
        let version = match xml::attribute(node, "version") {
            None => Version::ZERO,
            Some(text) => {
                text.parse().map_err(|_| xml::invalid(node, "version", text, "four numbers below 65536, separated by full stops"))?
            }
        };
        let given = |attribute| xml::owned(node, attribute).filter(|value| !value.is_empty());
        Ok(Self {
            name: xml::required(node, "name")?,
            version,
            architecture: given("processorArchitecture"),
            language: given("language").filter(|language| !language.eq_ignore_ascii_case("neutral")),
            public_key_token: given("publicKeyToken"),
            assembly_type: given("type"),
            version_scope: given("versionScope"),
            build_type: given("buildType"),
        })
    }

    /// The identity as the COMPONENTS hive holds it in `identity` and `appid` values (there as ASCII bytes without NUL):
    /// `Name, Culture=neutral, Version=…, PublicKeyToken=…, ProcessorArchitecture=…, versionScope=NonSxS`.
    ///
    /// `nonSxS` becomes `NonSxS`, all other case stays. Seen in the export of fadilfadz01/CMD.Injector; the order with
    /// `Type` from Pandapip1/gowim.
    #[must_use]
    pub fn component_string(&self) -> String {
        let mut text = format!("{}, Culture={}", self.name, self.language.as_deref().unwrap_or("neutral"));
        let mut add = |name: &str, value: &str| {
            text.push_str(", ");
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        };
        if let Some(assembly_type) = &self.assembly_type {
            add("Type", assembly_type);
        }
        add("Version", &self.version.to_string());
        if let Some(token) = &self.public_key_token {
            add("PublicKeyToken", token);
        }
        if let Some(architecture) = &self.architecture {
            add("ProcessorArchitecture", architecture);
        }
        if let Some(scope) = &self.version_scope {
            add("versionScope", if scope.eq_ignore_ascii_case("nonSxS") { "NonSxS" } else { scope });
        }
        text
    }

    /// Reads what [`Identity::component_string`] writes; attributes may come in any order, names in any case.
    ///
    /// # Errors
    /// [`Error::ComponentIdentity`] for a text without name, with an unknown or repeated attribute, or a bad version.
    pub fn from_component_string(text: &str) -> Result<Self, Error> {
        let error = |problem| Error::ComponentIdentity { text: shortened(text), problem };
        let mut parts = text.split(", ");
        let name = parts.next().filter(|name| !name.is_empty() && !name.contains('=')).ok_or_else(|| error("it has no name"))?;
        let mut identity = Self { name: name.to_owned(), ..Self::default() };
        let (mut version, mut culture) = (None, None);
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(|| error("an attribute has no value"))?;
            let slot = match key.to_ascii_lowercase().as_str() {
                "culture" => &mut culture,
                "type" => &mut identity.assembly_type,
                "version" => &mut version,
                "publickeytoken" => &mut identity.public_key_token,
                "processorarchitecture" => &mut identity.architecture,
                "versionscope" => &mut identity.version_scope,
                _ => return Err(error("it has an unknown attribute")),
            };
            if slot.replace(value.to_owned()).is_some() {
                return Err(error("an attribute is repeated"));
            }
        }
        identity.language = culture.filter(|language| !language.eq_ignore_ascii_case("neutral"));
        if let Some(version) = version {
            identity.version = version.parse().map_err(|_| error("its version is not four numbers"))?;
        }
        Ok(identity)
    }
}

/// The identity of a package: `Name~publicKeyToken~architecture~language~version`, the language empty when neutral.
///
/// Compared without regard to ASCII case, as Windows' registry and file system do with it; printed as it was spelled.
#[derive(Debug, Clone)]
pub struct PackageId {
    /// Name of the package.
    pub name: String,
    /// Public key token, 16 hexadecimal digits.
    pub public_key_token: String,
    /// Processor architecture.
    pub architecture: String,
    /// Language tag, empty when neutral.
    pub language: String,
    /// Version.
    pub version: Version,
}

impl PackageId {
    /// The same package in another version; [`Version::ZERO`] gives the name of its key in `PackageIndex` and
    /// `PackageDetect`.
    #[must_use]
    pub fn with_version(&self, version: Version) -> Self {
        Self { version, ..self.clone() }
    }

    /// True when only the versions may differ.
    #[must_use]
    pub fn same_package(&self, other: &Self) -> bool {
        self.with_version(Version::ZERO) == other.with_version(Version::ZERO)
    }

    fn folded(&self) -> impl Iterator<Item = u8> {
        let parts = [&self.name, &self.public_key_token, &self.architecture, &self.language];
        parts.into_iter().flat_map(|part| part.bytes().map(|byte| byte.to_ascii_lowercase()).chain([b'~']))
    }
}

impl From<&Identity> for PackageId {
    fn from(identity: &Identity) -> Self {
        Self {
            name: identity.name.clone(),
            public_key_token: identity.public_key_token.clone().unwrap_or_default(),
            architecture: identity.architecture.clone().unwrap_or_default(),
            language: identity.language.clone().unwrap_or_default(),
            version: identity.version,
        }
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, public_key_token, architecture, language, version } = self;
        write!(formatter, "{name}~{public_key_token}~{architecture}~{language}~{version}")
    }
}

impl FromStr for PackageId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error::PackageId { text: shortened(text) };
        let mut parts = text.split('~');
        let mut next = || parts.next().map(str::to_owned).ok_or_else(error);
        let id = Self {
            name: next()?,
            public_key_token: next()?,
            architecture: next()?,
            language: next()?,
            version: next()?.parse().map_err(|_| error())?,
        };
        if id.name.is_empty() || parts.next().is_some() || text.contains(['\\', '/', '\0']) { Err(error()) } else { Ok(id) }
    }
}

impl PartialEq for PackageId {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PackageId {}

impl PartialOrd for PackageId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PackageId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded()).then_with(|| self.version.cmp(&other.version))
    }
}

impl Hash for PackageId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| state.write_u8(byte));
        self.version.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENSSH: &str = "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~10.0.20348.1";

    #[test]
    fn package_identities_round_trip() {
        let id: PackageId = OPENSSH.parse().unwrap();
        assert_eq!(id.to_string(), OPENSSH);
        assert_eq!(id.language, "");
        assert_eq!(id.with_version(Version::ZERO).to_string(), "OpenSSH-Server-Package~31bf3856ad364e35~amd64~~0.0.0.0");
        assert_eq!(id, OPENSSH.to_ascii_lowercase().parse().unwrap());
        assert!(id.same_package(&"openssh-server-package~31bf3856ad364e35~amd64~~10.0.19041.1".parse().unwrap()));
        for wrong in ["", "a", "a~b~c~d", "~b~c~d~1.2.3.4", "a~b~c~d~1.2.3", "a~b~c~d~1.2.3.4~e", "..\\a~b~c~d~1.2.3.4"] {
            assert!(wrong.parse::<PackageId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn component_identities_round_trip() {
        // The value `appid` of the deployment in the export of fadilfadz01/CMD.Injector.
        let text = "FadilFadz.CMDInjector.Permanent.Deployment, Culture=neutral, Version=1.0.0.0, PublicKeyToken=628844477771337a, \
                    ProcessorArchitecture=arm, versionScope=NonSxS";
        let identity = Identity::from_component_string(text).unwrap();
        assert_eq!(identity.language, None);
        assert_eq!(identity.component_string(), text);
        let typed = Identity { assembly_type: Some("dualModeDriver".into()), version_scope: Some("nonSxS".into()), ..identity };
        assert!(typed.component_string().contains("Culture=neutral, Type=dualModeDriver, Version=1.0.0.0"));
        assert!(typed.component_string().ends_with("versionScope=NonSxS"));
        for wrong in ["", "Culture=neutral", "a, b", "a, Colour=red", "a, Type=b, Type=c", "a, Version=1"] {
            assert!(Identity::from_component_string(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn printed_identities_are_read_back(
            name in "[A-Za-z0-9.][A-Za-z0-9 .()_-]{0,60}",
            parts in proptest::array::uniform4(0_u16..),
            language in proptest::option::of("[a-z]{2}-[A-Z]{2}"),
            assembly_type in proptest::option::of("[a-z0-9]{1,12}"),
        ) {
            let identity = Identity {
                name,
                version: Version(parts),
                architecture: Some("amd64".into()),
                language,
                public_key_token: Some("31bf3856ad364e35".into()),
                assembly_type,
                version_scope: Some("NonSxS".into()),
                build_type: None,
            };
            let id = PackageId::from(&identity);
            proptest::prop_assert_eq!(id.to_string().parse::<PackageId>().unwrap().to_string(), id.to_string());
            proptest::prop_assert_eq!(Identity::from_component_string(&identity.component_string()).unwrap(), identity.clone());
            // The parts of a store name keep within what the servicing stack allows.
            let keyform = identity.keyform();
            proptest::prop_assert!(keyform.len() <= "amd64".len() + 40 + 16 + 23 + 8 + 16 + 5, "{}", keyform);
        }
    }
}
