//! The hives of an image: keys that Windows has, from `.reg` texts beside this file, and what depends on the edition.

use wimwright_format::manifest::Version;
use wimwright_format::reg_file::{self, Change};
use wimwright_format::regf::{Data, Hive, NewHive};

use crate::data::{BUILD_TIME, STACK_VERSION, VERSION, VERSION_TEXT};
use crate::error::Error;
use crate::packages;
use crate::store::SERVICING;
use crate::tree::descriptor;
use crate::windows::Edition;

/// Root key of a system hive: everyone reads, SYSTEM and administrators write.
const ROOT_SECURITY: &str = "O:BAG:SYD:PAI(A;CI;KR;;;BU)(A;CI;KA;;;BA)(A;CI;KA;;;SY)(A;CI;KA;;;CO)(A;CI;KR;;;AC)";
/// Keys that belong to the installer of Windows.
const INSTALLER_SECURITY: &str = "O:{TI}G:{TI}D:PAI(A;CI;KA;;;{TI})(A;CI;KR;;;SY)(A;CI;KR;;;BA)(A;CI;KR;;;BU)(A;CI;KR;;;AC)";
/// Keys that only SYSTEM and administrators see.
const CLOSED_SECURITY: &str = "O:BAG:SYD:PAI(A;CI;KA;;;SY)(A;CI;RCWD;;;BA)";

/// A hive being made.
pub(crate) struct HiveFile {
    hive: Hive,
}

impl HiveFile {
    /// A hive with a root key.
    pub(crate) fn new(file_name: &str, root_name: &str) -> Result<Self, Error> {
        let security = descriptor(ROOT_SECURITY)?;
        let new = NewHive { minor: 5, file_name, root_name, security: &security, last_written: BUILD_TIME };
        Ok(Self { hive: Hive::new(&new)? })
    }

    /// Adds the keys of a `.reg` text; the first two parts of its paths stand for the hive.
    pub(crate) fn script(&mut self, text: &str) -> Result<(), Error> {
        for change in reg_file::parse(text.as_bytes())? {
            let key = change.path().splitn(3, '\\').nth(2).unwrap_or_default().to_owned();
            let key = self.hive.create_path(&key, BUILD_TIME)?;
            if let Change::SetValue { name, kind, data, .. } = change {
                self.hive.set_value(key, &name, kind, &data, BUILD_TIME)?;
            }
        }
        Ok(())
    }

    /// Makes a key.
    pub(crate) fn key(&mut self, path: &str) -> Result<(), Error> {
        self.hive.create_path(path, BUILD_TIME)?;
        Ok(())
    }

    /// Sets a value; its key is made where it is missing.
    pub(crate) fn set(&mut self, path: &str, name: &str, data: &Data) -> Result<(), Error> {
        let key = self.hive.create_path(path, BUILD_TIME)?;
        let (kind, bytes) = data.encode();
        self.hive.set_value(key, name, kind, &bytes, BUILD_TIME)?;
        Ok(())
    }

    /// Sets values of one key, which is made where it is missing.
    pub(crate) fn set_all(&mut self, path: &str, values: &[(impl AsRef<str>, Data)]) -> Result<(), Error> {
        let key = self.hive.create_path(path, BUILD_TIME)?;
        for (name, data) in values {
            let (kind, bytes) = data.encode();
            self.hive.set_value(key, name.as_ref(), kind, &bytes, BUILD_TIME)?;
        }
        Ok(())
    }

    /// Sets a text.
    pub(crate) fn set_text(&mut self, path: &str, name: &str, text: &str) -> Result<(), Error> {
        self.set(path, name, &Data::Text(text.to_owned()))
    }

    /// Sets the security descriptor of a key.
    pub(crate) fn set_security(&mut self, path: &str, sddl: &str) -> Result<(), Error> {
        let key = self.hive.create_path(path, BUILD_TIME)?;
        Ok(self.hive.set_security(key, &descriptor(sddl)?)?)
    }

    fn set_class(&mut self, path: &str, class: &str) -> Result<(), Error> {
        let key = self.hive.create_path(path, BUILD_TIME)?;
        Ok(self.hive.set_class(key, Some(class), BUILD_TIME)?)
    }

    /// The hive as a file.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.hive.into_bytes()
    }
}

/// SOFTWARE of an edition, with so many classes beyond the usual few.
pub(crate) fn software(edition: &Edition, classes: u64) -> Result<HiveFile, Error> {
    let mut hive = HiveFile::new(r"\SystemRoot\System32\Config\SOFTWARE", "ROOT")?;
    hive.script(include_str!("software.reg"))?;
    let current = r"Microsoft\Windows NT\CurrentVersion";
    hive.set_text(current, "ProductName", edition.product_name)?;
    hive.set_text(current, "EditionID", edition.id)?;
    hive.set_text(current, "CompositionEditionID", edition.composition)?;
    hive.set_text(current, "CurrentBuild", &VERSION[2].to_string())?;
    hive.set_text(current, "CurrentBuildNumber", &VERSION[2].to_string())?;
    hive.set(current, "InstallTime", &Data::Qword(BUILD_TIME))?;
    for name in ["ProgramFilesDir", "ProgramFilesDir (x86)", "CommonFilesDir"] {
        let path = match name {
            "ProgramFilesDir" => r"C:\Program Files",
            "CommonFilesDir" => r"C:\Program Files\Common Files",
            _ => r"C:\Program Files (x86)",
        };
        hive.set_text(r"Microsoft\Windows\CurrentVersion", name, path)?;
    }
    let profiles = r"Microsoft\Windows NT\CurrentVersion\ProfileList";
    let system_profiles = [
        ("S-1-5-18", r"%systemroot%\system32\config\systemprofile"),
        ("S-1-5-19", r"%systemroot%\ServiceProfiles\LocalService"),
        ("S-1-5-20", r"%systemroot%\ServiceProfiles\NetworkService"),
    ];
    for (sid, path) in system_profiles {
        hive.set(&format!(r"{profiles}\{sid}"), "ProfileImagePath", &Data::ExpandableText(path.into()))?;
        hive.set(&format!(r"{profiles}\{sid}"), "State", &Data::Dword(0))?;
    }
    for (name, path) in [
        ("Default", r"%SystemDrive%\Users\Default"),
        ("ProfilesDirectory", r"%SystemDrive%\Users"),
        ("Public", r"%SystemDrive%\Users\Public"),
    ] {
        hive.set(profiles, name, &Data::ExpandableText(path.into()))?;
    }
    // A value too large for one cell, as Windows has some in this hive.
    let large: Vec<u8> = (0..20_000_u32).map(|index| (index % 251) as u8).collect();
    hive.set(r"Microsoft\Windows\CurrentVersion\Practice", "LargeData", &Data::Binary(large))?;
    for number in 0..classes {
        let key = format!(r"Classes\CLSID\{{{number:08x}-5072-4163-7469-6365{:08x}}}", number.wrapping_mul(2_654_435_761) & 0xFFFF_FFFF);
        hive.set_text(&key, "", &format!("Practice class {number}"))?;
        let server = Data::ExpandableText(format!(r"%SystemRoot%\System32\practice{}.dll", number % 97));
        hive.set(&format!(r"{key}\InProcServer32"), "", &server)?;
        hive.set_text(&format!(r"{key}\InProcServer32"), "ThreadingModel", "Both")?;
    }
    hive.set_class(r"Microsoft\Windows NT\CurrentVersion\Winlogon", "GenericClass")?;
    servicing(&mut hive, "amd64", STACK_VERSION)?;
    hive.set_security(r"Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore", INSTALLER_SECURITY)?;
    hive.set_security(r"Microsoft\Windows NT\CurrentVersion\Winlogon", CLOSED_SECURITY)?;
    Ok(hive)
}

/// SOFTWARE of a small image with nothing but what servicing needs.
pub(crate) fn skeleton_software(architecture: &str, version: Version) -> Result<HiveFile, Error> {
    let mut hive = HiveFile::new(r"\SystemRoot\System32\Config\SOFTWARE", "ROOT")?;
    let Version([major, minor, build, revision]) = version;
    let current = r"Microsoft\Windows NT\CurrentVersion";
    let laboratory = format!("{build}.{revision}.{architecture}fre.practice.240331-1435");
    for (name, text) in [
        ("SystemRoot", r"C:\Windows"),
        ("ProductName", "Practice Windows"),
        ("EditionID", "Professional"),
        ("InstallationType", "Client"),
        ("CurrentBuild", &build.to_string()),
        ("CurrentBuildNumber", &build.to_string()),
        ("CurrentVersion", &if major >= 10 { "6.3".to_owned() } else { format!("{major}.{minor}") }),
        ("BuildLabEx", &laboratory),
    ] {
        hive.set_text(current, name, text)?;
    }
    if major >= 10 {
        hive.set(current, "CurrentMajorVersionNumber", &Data::Dword(u32::from(major)))?;
        hive.set(current, "CurrentMinorVersionNumber", &Data::Dword(u32::from(minor)))?;
    }
    for key in [
        r"Classes\CLSID",
        r"Microsoft\Windows NT\CurrentVersion\Svchost",
        r"Microsoft\Windows NT\CurrentVersion\Schedule\TaskCache\Tree",
        r"Microsoft\Windows\CurrentVersion\WINEVT\Channels",
        r"Microsoft\Windows\CurrentVersion\WINEVT\Publishers",
    ] {
        hive.key(key)?;
    }
    servicing(&mut hive, architecture, version)?;
    Ok(hive)
}

/// SYSTEM of a full image.
pub(crate) fn system(architecture: &str) -> Result<HiveFile, Error> {
    let mut hive = HiveFile::new(r"\SystemRoot\System32\Config\SYSTEM", "ROOT")?;
    hive.script(include_str!("system.reg"))?;
    let environment = r"ControlSet001\Control\Session Manager\Environment";
    hive.set_text(environment, "PROCESSOR_ARCHITECTURE", &architecture.to_uppercase())?;
    hive.key(r"ControlSet001\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules")?;
    for (name, text) in [
        ("ComSpec", r"%SystemRoot%\system32\cmd.exe"),
        ("Path", r"%SystemRoot%\system32;%SystemRoot%;%SystemRoot%\System32\Wbem;%SYSTEMROOT%\System32\WindowsPowerShell\v1.0\"),
        ("TEMP", r"%SystemRoot%\TEMP"),
        ("windir", "%SystemRoot%"),
    ] {
        hive.set(environment, name, &Data::ExpandableText(text.into()))?;
    }
    for (name, start, group) in crate::data::DRIVERS.iter().map(|name| (name.trim_end_matches(".sys"), 0, "Boot Bus Extender")) {
        let key = format!(r"ControlSet001\Services\{name}");
        hive.set(&key, "ImagePath", &Data::ExpandableText(format!(r"System32\drivers\{name}.sys")))?;
        hive.set(&key, "Start", &Data::Dword(start))?;
        hive.set(&key, "Type", &Data::Dword(1))?;
        hive.set(&key, "ErrorControl", &Data::Dword(3))?;
        hive.set_text(&key, "Group", group)?;
    }
    // The four keys whose class names hold the boot key's parts on an installed Windows.
    for (name, class) in [("JD", "00000000"), ("Skew1", "00000000"), ("GBG", "00000000"), ("Data", "00000000")] {
        hive.set_class(&format!(r"ControlSet001\Control\Lsa\{name}"), class)?;
    }
    hive.set_security(r"ControlSet001\Control\Lsa", CLOSED_SECURITY)?;
    hive.set_security(r"ControlSet001\Enum", INSTALLER_SECURITY)?;
    Ok(hive)
}

/// Keys of servicing in SOFTWARE that do not depend on packages.
fn servicing(hive: &mut HiveFile, architecture: &str, stack: Version) -> Result<(), Error> {
    hive.set(SERVICING, "EnableLog", &Data::Dword(1))?;
    hive.set(SERVICING, "ProcessorArchitecture", &Data::Dword(architecture_number(architecture)))?;
    hive.set_text(SERVICING, "BuildBranch", "ge_release")?;
    for name in [
        "ApplicabilityEvaluationCache",
        "ComponentDetect",
        "PackageDetect",
        "PackagesPending",
        "SessionsPending",
        "UpdateDetect",
        "Sessions",
    ] {
        hive.key(&format!(r"{SERVICING}\{name}"))?;
    }
    let folder = format!(r"%SystemRoot%\WinSxS\{}", packages::servicing_stack(architecture, stack).keyform());
    hive.set(&format!(r"{SERVICING}\Version"), &stack.to_string(), &Data::ExpandableText(folder))?;
    hive.set(r"Microsoft\Windows\CurrentVersion\SideBySide\Configuration", "SupersededActions", &Data::Dword(3))?;
    hive.set_security(SERVICING, INSTALLER_SECURITY)
}

/// The number of an architecture, as `PROCESSOR_ARCHITECTURE_…` in `winnt.h`.
pub(crate) fn architecture_number(architecture: &str) -> u32 {
    match architecture {
        "x86" => 0,
        "arm" => 5,
        "arm64" => 12,
        _ => 9,
    }
}

/// COMPONENTS without components.
pub(crate) fn components(architecture: &str, stack: Version) -> Result<HiveFile, Error> {
    let mut hive = HiveFile::new(r"\SystemRoot\System32\Config\COMPONENTS", "ROOT")?;
    let format: Vec<u8> = "0.0.0.6".encode_utf16().flat_map(u16::to_le_bytes).collect();
    hive.set("", "StoreFormatVersion", &Data::Binary(format))?;
    hive.set("", "StoreArchitecture", &Data::Binary(architecture_number(architecture).to_le_bytes().to_vec()))?;
    for key in [
        r"Drivers\amd64",
        r"Drivers\x86",
        "Installers",
        "NonCanonicalData",
        "ServicingStackVersions",
        r"CanonicalData\Catalogs",
        r"CanonicalData\Deployments",
        r"DerivedData\Components",
    ] {
        hive.key(key)?;
    }
    let stack = format!("{stack} (WinBuild.160101.0800)");
    hive.set_text("ServicingStackVersions", &stack, VERSION_TEXT)?;
    // A cache that servicing has to drop.
    hive.key(&format!(r"DerivedData\VersionedIndex\{stack}\ComponentFamilies"))?;
    Ok(hive)
}

/// The small hives: DRIVERS, DEFAULT, SAM, SECURITY, BCD-Template and the default user's.
pub(crate) fn small() -> Result<Vec<(&'static str, HiveFile)>, Error> {
    let made = |file_name: &str, text: &str| -> Result<HiveFile, Error> {
        let mut hive = HiveFile::new(file_name, "ROOT")?;
        hive.script(text)?;
        Ok(hive)
    };
    let mut sam = made(r"\SystemRoot\System32\Config\SAM", include_str!("sam.reg"))?;
    sam.set_security("SAM", CLOSED_SECURITY)?;
    let mut security = made(r"\SystemRoot\System32\Config\SECURITY", include_str!("security.reg"))?;
    security.set_security("Policy", CLOSED_SECURITY)?;
    Ok(vec![
        ("Windows/System32/config/DRIVERS", made(r"\SystemRoot\System32\Config\DRIVERS", include_str!("drivers.reg"))?),
        ("Windows/System32/config/DEFAULT", made(r"\SystemRoot\System32\Config\DEFAULT", include_str!("user.reg"))?),
        ("Windows/System32/config/SAM", sam),
        ("Windows/System32/config/SECURITY", security),
        ("Windows/System32/config/BCD-Template", made(r"\BCD", include_str!("bcd_template.reg"))?),
        ("Users/Default/NTUSER.DAT", made(r"\SystemDrive\Users\Default\NTUSER.DAT", include_str!("user.reg"))?),
    ])
}

/// SOFTWARE of Windows PE.
pub(crate) fn preinstallation_software() -> Result<HiveFile, Error> {
    let mut hive = HiveFile::new(r"\SystemRoot\System32\Config\SOFTWARE", "ROOT")?;
    hive.script(include_str!("preinstallation.reg"))?;
    let current = r"Microsoft\Windows NT\CurrentVersion";
    hive.set_text(current, "CurrentBuild", &VERSION[2].to_string())?;
    hive.set_text(current, "CurrentBuildNumber", &VERSION[2].to_string())?;
    servicing(&mut hive, "amd64", STACK_VERSION)?;
    Ok(hive)
}
