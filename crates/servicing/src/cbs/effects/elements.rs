//! Elements that the manifest model has no field for: what is done about each.
//!
//! Most are read by an *advanced installer*: code of Windows' servicing stack, found by the element's name. Each name has one of
//! three fates here (a language pack aside, which is registered): it asks nothing of an installer ([`WITHOUT_EFFECT`]); a tool of Windows does the work at the first start;
//! or no public tool does. An element that is in no table is of the last kind.
//!
//! Names: smx-smx/Winter's schema, real manifests, facts/cbs.md 2.3 and 10.

use wimwright_format::manifest::OtherElement;

use super::first_boot::{quoted, quoted_path};
use super::{Context, Deferred, EffectError, Effects};

/// Elements (by path, or by name alone at any place) that ask nothing of an installer, and why.
pub const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("assemblyBinding", "the .NET loader reads it from the manifest"),
    ("bfsvc", "boot files go from the image to the boot partition when Windows Setup or bcdboot lays them down"),
    ("categoryDefinitions", "names of categories for other manifests"),
    ("comClass", "the loader reads it from the manifest of a side-by-side assembly"),
    ("comInterfaceExternalProxyStub", "the loader reads it from the manifest of a side-by-side assembly"),
    ("comInterfaceProxyStub", "the loader reads it from the manifest of a side-by-side assembly"),
    ("containsSettings", "a mark for the build"),
    ("file/dependencies", "the loader reads it from the manifest"),
    ("file/ngen", "native images are a cache that .NET fills while the machine is idle"),
    ("fveUpdateAI", "an image has no BitLocker keys that a change could lock out"),
    ("instrumentation/templates", "compiled into the resource file of the publisher"),
    ("languageCategory", "belonging to a category of resources"),
    ("rescache", "a cache of resources that Windows fills"),
    ("resfile", "a mark for the build"),
    ("runtime", "the .NET loader reads it from the manifest"),
    ("satelliteCategory", "belonging to a category of resources"),
    ("typelib", "the loader reads it from the manifest of a side-by-side assembly"),
    ("windowClass", "the loader reads it from the manifest of a side-by-side assembly"),
];

/// Elements whose result depends on their text alone: what they set up stays as it is when a newer version of the component has the
/// same text. The others also depend on the contents of files (`mof`, `gac`, `lodctr`), run a program, or nobody says on what they depend.
const DEFINED_BY_TEXT: &[&str] = &[
    "configuration",
    "FeatureSettingsOverride",
    "HTTPAI",
    "imaging",
    "installerRegistrations",
    "instrumentation/counters",
    "languagePack",
    "memberships/categoryMembership/categoryInstance/shortCut",
    "networkComponents",
    "trustInfo/security/accessControl/trustees",
];

/// Elements that no public tool handles, and what is missing for them.
const WITHOUT_TOOL: &[(&str, &str)] = &[
    ("appxRegistration", "an app of the system is registered by its installer; it does not appear until then"),
    ("cleanupCache", "a cache that the installer clears is not cleared"),
    ("ConfigureIEOptionalComponentsAI", "Internet Explorer's own installer does not run"),
    (
        "configuration",
        "settings go to a store without public format (System32\\smi): answer files cannot set them, and defaults are not in the registry",
    ),
    ("configureNetFx", ".NET's own installer does not run"),
    ("EdgeAI", "the browser's own installer does not run"),
    ("FeatureSettingsOverride", "an override of a feature's state is not set"),
    ("file/gac", "no tool of Windows adds to the global assembly cache; programs that look for the assembly there do not find it"),
    ("imaging", "modules are not added to Sysprep\\ActionFiles: sysprep does not run them"),
    ("installerRegistrations", "an installer for other components is not registered"),
    ("instrumentation/counters", "performance counters need their manifest as it was before it was compiled; they are missing"),
    ("languagePack", "how a language that is not full, or not in Microsoft's list of language packs, is registered is not public"),
    ("memberships/categoryMembership/categoryInstance/shortCut", "the shortcut is missing"),
    ("networkComponents", "bindings of network drivers are not public; the driver is not bound"),
    ("SecureBoot", "keys of the firmware are not changed by an image"),
    ("serviceModelReg", "Windows Communication Foundation's own installer does not run"),
    ("SetIEInstalledDateAI", "the date on which Internet Explorer was installed is not set"),
    ("trustInfo/security/accessControl/trustees", "a local group is not made"),
    ("unattendActions", "the program is not run during Windows Setup"),
];

const NOT_KNOWN: &str = "no public source says what this element does";

/// Looks an element up by its path, then by its name.
fn find(table: &[(&str, &'static str)], element: &OtherElement) -> Option<&'static str> {
    table.iter().find(|(key, _)| is_called(element, key)).map(|(_, reason)| *reason)
}

/// True when a name of a table means the element.
fn is_called(element: &OtherElement, name: &str) -> bool {
    element.path.eq_ignore_ascii_case(name) || element.name().eq_ignore_ascii_case(name)
}

/// Attributes of the elements called `name` in an element kept, itself included.
fn attributes<T>(element: &OtherElement, name: &str, read: impl Fn(&dyn Fn(&str) -> String) -> T) -> Vec<T> {
    let Ok(document) = wimwright_format::xml::parse(&element.xml) else { return Vec::new() };
    let found = document.descendants().filter(|node| node.tag_name().name() == name);
    let own = found.map(|node| read(&|attribute| node.attribute(attribute).unwrap_or_default().to_owned()));
    own.collect()
}

impl Context<'_> {
    pub(super) fn add_elements(&self, effects: &mut Effects) -> Result<(), EffectError> {
        for element in &self.component.other {
            let done = element.path == "languagePack" && self.add_language(element, effects)?;
            if !done && find(WITHOUT_EFFECT, element).is_none() {
                self.defer(element, &mut effects.deferred)?;
            }
        }
        Ok(())
    }

    fn defer(&self, element: &OtherElement, deferred: &mut Vec<Deferred>) -> Result<(), EffectError> {
        let before = deferred.len();
        let defined = DEFINED_BY_TEXT.iter().any(|name| is_called(element, name));
        let definition = defined.then(|| element.xml.clone());
        let mut removals = 0_usize;
        let mut push = |what: String, command: Option<String>, reason: &str| {
            deferred.push(Deferred {
                installer: element.path.clone(),
                what,
                command,
                reason: reason.to_owned(),
                definition: definition.clone(),
            });
        };
        match element.path.as_str() {
            "mof" => {
                for name in attributes(element, "mof", |attribute| attribute("name")) {
                    let path = self.path(&name)?;
                    let command = quoted_path(&path).map(|path| format!("mofcomp.exe {path}"));
                    push(
                        path,
                        command,
                        "the repository of Windows Management Instrumentation has no public format; its classes are missing",
                    );
                }
            }
            "HTTPAI" => {
                for (url, sddl) in attributes(element, "AddUrl", |attribute| (attribute("url"), attribute("sddl"))) {
                    let arguments = quoted(&url).zip(quoted(&sddl));
                    let command = arguments.map(|(url, sddl)| format!("netsh.exe http add urlacl url={url} sddl={sddl}"));
                    push(url, command, "reservations of URLs have no public form on disk; the service cannot listen");
                }
            }
            "genericCommands" => {
                let commands =
                    |attribute: &dyn Fn(&str) -> String| (attribute("executableName"), attribute("arguments"), attribute("install"));
                for (program, arguments, install) in attributes(element, "genericCommand", commands) {
                    // A command for removal: nothing to do.
                    if matches!(install.to_ascii_lowercase().as_str(), "false" | "no") {
                        removals = removals.saturating_add(1);
                        continue;
                    }
                    let path = self.path(&program)?;
                    let plain =
                        arguments.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '/' | '-' | ':' | '.' | ',' | '=' | '_'));
                    let command = quoted_path(&path).filter(|_| plain).map(|path| format!("{path} {arguments}").trim_end().to_owned());
                    push(path, command, "the component's own program has to run");
                }
            }
            "file/lodctr" | "file/lodctrDat" => {
                let command = Some("lodctr.exe /R".to_owned());
                push(String::new(), command, "names of performance counters are numbered when they are loaded; they are missing");
            }
            "sppInstaller" => {
                let command = Some("cscript.exe //B \"%windir%\\System32\\slmgr.vbs\" /rilc".to_owned());
                push(String::new(), command, "licences go to the store of the software protection service, which has no public format");
            }
            _ => push(String::new(), None, find(WITHOUT_TOOL, element).unwrap_or(NOT_KNOWN)),
        }
        // An element of a known name that holds nothing known.
        if deferred.len() == before && removals == 0 {
            deferred.push(Deferred {
                installer: element.path.clone(),
                what: String::new(),
                command: None,
                reason: NOT_KNOWN.to_owned(),
                definition: None,
            });
        }
        Ok(())
    }
}
