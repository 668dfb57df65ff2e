//! What a health check can find.

use std::fmt;

use serde::{Serialize, Serializer};
use wimwright_format::manifest::PackageId;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The store is not what its own records say: servicing may fail, or build on wrong files.
    Damage,
    /// Worth knowing; the store works.
    Note,
}

/// What puts an end to a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// The intact file, whose hash is known: from an image of the same build, or from the package that brought it.
    File,
    /// What is in the image itself: the file in the store.
    Store,
    /// Nothing that could be proven right: the records contradict one another.
    None,
}

/// The intact file that would put an end to a finding, and what the image itself says of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "file", rename_all = "snake_case")]
pub enum Wanted {
    /// A catalog.
    Catalog {
        /// The package whose catalog it is, where the finding is of a copy beside a package.
        #[serde(serialize_with = "optional_identity", skip_serializing_if = "Option::is_none")]
        package: Option<PackageId>,
        /// SHA-256 in hexadecimal digits (`CatalogThumbprint`); `None` where COMPONENTS does not say.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// The manifest of a package, which its catalog lists.
    PackageManifest {
        /// The package.
        #[serde(serialize_with = "identity")]
        package: PackageId,
    },
    /// The manifest of a component.
    ComponentManifest {
        /// Keyform.
        component: String,
        /// SHA-256 of the decoded manifest in hexadecimal digits (`S256H`); `None` where COMPONENTS does not say.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// A file of a component.
    Payload {
        /// Keyform.
        component: String,
        /// Its name in the component's folder.
        name: String,
        /// What the manifest states, in hexadecimal digits; `None` where it does not.
        #[serde(skip_serializing_if = "Option::is_none")]
        hash: Option<String>,
    },
    /// A further name of a component's file, in its place in the image.
    Link {
        /// Keyform.
        component: String,
        /// Its name in the component's folder.
        name: String,
    },
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_hash = |formatter: &mut fmt::Formatter<'_>, what: &str, hash: &Option<String>| match hash {
            Some(hash) => write!(formatter, "{what} (SHA-256 {hash})"),
            None => formatter.write_str(what),
        };
        match self {
            Self::Catalog { package: Some(package), sha256 } => with_hash(formatter, &format!("the catalog of {package}"), sha256),
            Self::Catalog { package: None, sha256 } => with_hash(formatter, "the catalog", sha256),
            Self::PackageManifest { package } => write!(formatter, "the manifest of package {package} that its catalog lists"),
            Self::ComponentManifest { component, sha256 } => with_hash(formatter, &format!("the manifest of {component}"), sha256),
            Self::Payload { component, name, hash: Some(hash) } => write!(formatter, "the file {name} of {component} ({hash})"),
            Self::Payload { component, name, hash: None } => write!(formatter, "the file {name} of {component}"),
            Self::Link { component, name } => write!(formatter, "a further name of the file {name} of {component}"),
        }
    }
}

fn identity<S: Serializer>(package: &PackageId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(package)
}

fn optional_identity<S: Serializer>(package: &Option<PackageId>, serializer: S) -> Result<S::Ok, S::Error> {
    package.as_ref().map(ToString::to_string).serialize(serializer)
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    pub kind: FindingKind,
    /// Where: a path in the image, a key of its registry, or the identity of a package.
    pub place: String,
    /// What is there, and what should be.
    pub detail: String,
    /// What puts an end to it.
    pub remedy: Remedy,
    /// The file in question, where one puts an end to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Wanted>,
}

impl Finding {
    /// A finding with what its kind says of it.
    #[must_use]
    pub fn new(kind: FindingKind, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { severity: kind.severity(), kind, place: place.into(), detail: detail.into(), remedy: kind.remedy(), wanted: None }
    }

    /// The same, with the file that would put an end to it.
    #[must_use]
    pub fn wanting(self, wanted: Wanted) -> Self {
        Self { wanted: Some(wanted), ..self }
    }

    /// The same where it does not matter.
    #[must_use]
    pub fn as_note(self) -> Self {
        Self { severity: Severity::Note, ..self }
    }
}

macro_rules! kinds {
    ($($name:ident $severity:ident $remedy:ident $meaning:literal)+) => {
        /// A kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum FindingKind {
            $(#[doc = $meaning] $name,)+
        }

        impl FindingKind {
            /// All kinds, in the order in which reports show them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Why it matters.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }

            /// How much it matters.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// What puts an end to it.
            #[must_use]
            pub fn remedy(self) -> Remedy {
                match self { $(Self::$name => Remedy::$remedy,)+ }
            }
        }
    };
}

kinds! {
    HiveMissing Damage None "Without this hive nothing is known of the store: Windows cannot be serviced."
    HiveDamaged Damage None "Without this hive nothing is known of the store: Windows cannot be serviced."
    MarkedUnserviceable Damage None "Windows has given this store up: DISM refuses to service the image."
    CorruptionRecorded Damage None "Windows found this component damaged, and will not build on it."
    OperationPending Damage None "Windows has to finish this at its next start: nothing else can be serviced before."
    PackageManifestMissing Damage File "Without its manifest, a package can be neither changed nor removed, nor serve as the parent of another."
    PackageManifestDamaged Damage File "The manifest of a package is what its catalog vouches for; Windows takes no other."
    PackageManifestUnlisted Damage File "A manifest that its catalog does not list was changed after it was signed."
    CatalogMissing Damage File "Windows verifies manifests by the catalog, and looks for it in this place."
    CatalogDamaged Damage File "Nothing that this catalog lists can be verified."
    CatalogDiffers Damage File "The copies of a catalog are the same file; of two that differ, one was changed."
    CatalogUntrusted Damage File "Nobody whom we trust vouches for what this catalog lists."
    IndexIncomplete Damage None "Windows finds the versions of a package by this index: it does not see this one."
    IndexUnknownPackage Damage None "The index leads to a package that is not registered."
    OwnerUnknown Damage None "A package stays as long as one of its owners does: this one can never go away."
    ManifestMissing Damage File "The component cannot be installed, repaired or superseded without its manifest."
    ManifestDamaged Damage File "The component cannot be installed, repaired or superseded without its manifest."
    ManifestHash Damage File "Windows compares each manifest with the recorded hash, and refuses one that differs."
    ManifestUnlisted Damage File "No catalog of the image vouches for this manifest."
    ManifestName Damage None "A component is found by a name that follows from its identity: this one is somebody else."
    ComponentUnregistered Damage None "Windows does not know this component (\"missing component key\")."
    PayloadMissing Damage File "The file cannot be installed, repaired, or serve as the base of an update."
    PayloadDamaged Damage File "The file is not what the manifest states: an update that builds on it fails."
    PayloadUnrecorded Note None "The component's key does not count this file, which its manifest lists and the store holds."
    FileMissing Damage Store "An installed file is not in its place."
    FileNotLinked Damage Store "An installed file is not the one in the store: it was replaced, and updates will not reach it."
    DestinationUnknown Note None "Where these files belong cannot be told, so that they were not looked for."
    SecurityDiffers Note Store "Who may use the file is not what the manifest states."
    WinnerMissing Damage None "The component is installed, and not recorded as a version that its family has: its files may be taken for nobody's."
    WinnerUnknown Damage None "A version is recorded as installed of which the store has no component (\"missing winning component key\")."
    WinnerWrong Damage None "The highest installed version must be the one whose files are in their places."
    WinnerNotInstalled Note None "A version is recorded as installed that no installed deployment has."
    DeploymentUnknown Damage None "A reference leads to a deployment that is not registered: what it stands for can never be removed."
    DeploymentName Damage None "A deployment is found by a name that follows from its identity: this one is somebody else."
    DeploymentWithoutComponent Damage None "The deployment has no component of its own, which would say what it installs."
    CatalogUnknown Damage None "A deployment names a catalog that is not registered."
    ReferenceUnknown Damage None "The deployment is held by a package or update that does not exist: it can never be removed."
    ComponentUnreferenced Note None "No deployment has this component: a cleanup would remove it."
    PackageUnregistered Note None "A manifest lies there of which the registry knows no package."
    FolderOrphaned Note None "A folder of the store that no component has: it only takes room."
    Unreadable Damage File "The image file itself is damaged here."
}
