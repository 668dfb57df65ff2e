//! Wine's `wusa` as a second implementation: the same package, installed by it into a Wine prefix and by us into a practice store.
//!
//! It knows no deltas and no compressed manifests, and needs the `.xml` of an MSU that names what to install: so it gets what our own
//! container layer expanded, packed again by `gcab`. What it reads of a manifest (winehq, `programs/wusa`): `file`, `registryKeys`, and
//! `dependency` of any kind; everything else it skips. Some things make it refuse the whole package; they are taken out for it, and
//! so stand among the differences: REG_QWORD values, and dependencies on resources that the package does not bring.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use wimwright_format::manifest::{Component, Identity, Package};
use wimwright_format::msu::Update;
use wimwright_format::reg_file::{self, Change};
use wimwright_format::regf::ValueKind;
use wimwright_image::registry::HiveFile;
use wimwright_testkit::{oracles, run, test_data};

use super::real::parents;
use super::*;

/// Values by lower-case key and name.
type Values = BTreeMap<String, (ValueKind, Vec<u8>)>;

/// What an installation left.
#[derive(Default)]
struct Footprint {
    /// Files that are new or changed, by lower-case path, as their SHA-256.
    files: BTreeMap<String, [u8; 32]>,
    /// Values that are new or changed.
    values: Values,
    /// All values that are there.
    all_values: Values,
}

/// A Wine prefix in a temporary directory.
struct Wine {
    folder: tempfile::TempDir,
}

impl Wine {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("wine");
        command.args(arguments).current_dir(self.folder.path());
        command.env("WINEPREFIX", self.folder.path().join("prefix")).env("WINEDEBUG", "-all");
        // Parts of Wine that only take time here, and write values of their own at every start.
        let without = "mscoree,mshtml,winemenubuilder.exe,explorer.exe,plugplay.exe,winedevice.exe=";
        command.env("WINEDLLOVERRIDES", without);
        command.env("HOME", self.folder.path()).env_remove("DISPLAY");
        command
    }

    fn new() -> Self {
        let wine = Self { folder: tempfile::tempdir().unwrap() };
        run(&mut wine.command(&["wineboot", "-i"]));
        wine
    }

    /// Installs an update and gives what it changed; `values` are those before.
    fn install(&self, update: &Path, values: &Values) -> Footprint {
        let files = self.files();
        run(&mut self.command(&["wusa", "/quiet", &format!("Z:{}", update.display()).replace('/', "\\")]));
        let mut footprint = Footprint { all_values: self.values(), ..Footprint::default() };
        let root = self.folder.path().join("prefix/drive_c");
        for (path, state) in self.files() {
            if files.get(&path) != Some(&state) {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_ascii_lowercase();
                footprint.files.insert(format!("/{name}"), Sha256::digest(std::fs::read(&path).unwrap()).into());
            }
        }
        footprint.values = changed(values, &footprint.all_values);
        footprint
    }

    /// Files with what changes when one is written.
    fn files(&self) -> BTreeMap<PathBuf, (u64, i64, i64)> {
        let mut files = BTreeMap::new();
        let mut open = vec![self.folder.path().join("prefix/drive_c")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = std::fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() {
                    open.push(path);
                } else if metadata.is_file() {
                    files.insert(path, (metadata.ino(), metadata.ctime(), metadata.ctime_nsec()));
                }
            }
        }
        files
    }

    fn values(&self) -> Values {
        run(&mut self.command(&["regedit", "/E", "registry.reg"]));
        let mut values = Values::new();
        for change in reg_file::parse(&std::fs::read(self.folder.path().join("registry.reg")).unwrap()).unwrap() {
            if let Change::SetValue { path, name, kind, data } = change {
                let path = path.to_ascii_lowercase().replace(r"\currentcontrolset\", r"\controlset001\");
                if !OF_WINE.iter().any(|own| path.starts_with(own)) {
                    values.insert(format!("{path}!{name}"), (kind, data));
                }
            }
        }
        values
    }
}

/// What the `.xml` of an MSU names.
#[derive(Clone, Copy, PartialEq)]
enum Named {
    /// The package.
    Package,
    /// Its deployments: Wine takes no package with features.
    Deployments,
}

/// The package as `wusa` takes it: whole files, plain manifests, and the file that names it.
fn repacked(file: &str, named: Named, folder: &Path) -> PathBuf {
    let bytes = std::fs::read(test_data(&format!("msu_cab/{file}")).unwrap()).unwrap();
    let dictionary = dictionary().unwrap();
    let update = Update::open(Arc::new(bytes)).unwrap();
    let [package] = update.packages.as_slice() else { panic!("{file}: one package") };
    let members = folder.join("members");
    let written = Mutex::new(BTreeSet::new());
    let identities = Mutex::new(Vec::new());
    let make = package.make(&|_| true, &|name, bytes| {
        let mut bytes = bytes.to_vec();
        if name.ends_with(".manifest") {
            bytes = dictionary.decode(&bytes).unwrap().into_owned();
            let component = Component::parse(&bytes).unwrap();
            if component.is_deployment && named == Named::Deployments {
                identities.lock().unwrap().push(component.identity);
            }
            bytes = without(
                without(bytes, "<dependency ", "</dependency>", "resourceType=\"Resources\""),
                "<registryValue ",
                ">",
                "\"REG_QWORD\"",
            );
        } else if name == "update.mum" && named == Named::Package {
            identities.lock().unwrap().push(Package::parse(&bytes).unwrap().identity);
        }
        let name = name.replace('\\', "/");
        let path = members.join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        written.lock().unwrap().insert(name);
        Ok(())
    });
    make.unwrap();
    run(Command::new("gcab").current_dir(&members).args(["-c", "-z", "../package.cab"]).args(written.into_inner().unwrap()));
    let mut request = "<?xml version=\"1.0\"?><unattend xmlns=\"urn:schemas-microsoft-com:unattend\"><servicing>".to_owned();
    for Identity { name, version, language, architecture, public_key_token, .. } in identities.into_inner().unwrap() {
        request += &format!(
            "<package action=\"install\"><assemblyIdentity name=\"{name}\" version=\"{version}\" language=\"{}\" processorArchitecture=\"{}\" \
publicKeyToken=\"{}\"/><source location=\"%configsetroot%\\package.cab\"/></package>",
            language.as_deref().unwrap_or("neutral"),
            architecture.as_deref().unwrap(),
            public_key_token.as_deref().unwrap(),
        );
    }
    std::fs::write(folder.join("package.xml"), request + "</servicing></unattend>").unwrap();
    run(Command::new("gcab").current_dir(folder).args(["-c", "-z", "package.msu", "package.cab", "package.xml"]));
    folder.join("package.msu")
}

/// XML without the elements that begin and end like this and contain a text.
fn without(xml: Vec<u8>, begin: &str, end: &str, text: &str) -> Vec<u8> {
    let xml = String::from_utf8(xml).unwrap();
    let mut parts = xml.split(begin);
    let mut left = parts.next().unwrap().to_owned();
    for part in parts {
        let (element, rest) = part.split_once(end).unwrap();
        if element.contains(text) {
            left += rest;
        } else {
            left += &[begin, part].concat();
        }
    }
    left.into_bytes()
}

/// What our installation leaves in an image besides the store and its records.
fn ours(before: &Image, after: &Image) -> Footprint {
    let mut footprint = Footprint::default();
    let of_servicing = ["/windows/winsxs/", "/windows/servicing/", "/windows/system32/config/", "/windows/system32/catroot/"];
    let diff = TreeDiff::between(&before.tree, &after.tree);
    for path in diff.added.iter().chain(diff.changed.iter().map(|changed| &changed.path)) {
        let entry = after.tree.at(path).unwrap();
        let name = path.to_ascii_lowercase();
        if !entry.is_directory() && !of_servicing.iter().any(|folder| name.starts_with(folder)) {
            footprint.files.insert(name, Sha256::digest(after.contents(entry).unwrap()).into());
        }
    }
    let (mut before, mut after) = (fresh(before), fresh(after));
    let of_servicing =
        [r"software\microsoft\windows\currentversion\component based servicing", r"sidebyside\winners", r"hkey_local_machine\components\"];
    footprint.all_values = values_of(&mut after);
    footprint.values = changed(&values_of(&mut before), &footprint.all_values);
    footprint.values.retain(|place, _| !of_servicing.iter().any(|part| place.contains(part)));
    footprint
}

fn changed(before: &Values, after: &Values) -> Values {
    after.iter().filter(|(place, data)| before.get(*place) != Some(data)).map(|(place, data)| (place.clone(), data.clone())).collect()
}

fn values_of(image: &mut Image) -> Values {
    let mut values = Values::new();
    for file in HiveFile::ALL {
        let Some(hive) = image.hive(file).unwrap() else { continue };
        let root =
            file.mount_point().replace("HKLM", "HKEY_LOCAL_MACHINE").replace("HKCU", "HKEY_CURRENT_USER").replace("HKU", "HKEY_USERS");
        let mut open = vec![hive.root()];
        while let Some(key) = open.pop() {
            let path = format!(r"{root}\{}", hive.path(key).unwrap()).to_ascii_lowercase();
            for value in hive.values(key).unwrap() {
                values.insert(format!("{path}!{}", value.name()), (value.kind(), value.data().unwrap().into_owned()));
            }
            open.extend(hive.subkeys(key).unwrap());
        }
    }
    values
}

/// Two installations held against each other.
#[derive(Default)]
struct Comparison {
    files: usize,
    values: usize,
    /// What only we have (`+`), only Wine has (`-`), what is different (`~`).
    differences: BTreeSet<String>,
}

fn text_of(data: &(ValueKind, Vec<u8>)) -> String {
    format!("{:?}", Data::decode(data.0, &data.1))
}

/// The same, as far as Wine can have it: it spells its folders in lower case, and writes 0 for every REG_DWORD, since it reads the
/// number from the attribute `valueType`.
fn is_same(ours: &(ValueKind, Vec<u8>), wine: &(ValueKind, Vec<u8>)) -> bool {
    let zero = |data: &(ValueKind, Vec<u8>)| (data.0, data.1.as_slice()) == (ValueKind::DWORD, &[0; 4]);
    ours.0 == wine.0 && (text_of(ours).eq_ignore_ascii_case(&text_of(wine)) || zero(wine))
}

fn compare(ours: &Footprint, wine: &Footprint) -> Comparison {
    let mut found = Comparison::default();
    for name in ours.files.keys().chain(wine.files.keys().filter(|name| !ours.files.contains_key(*name))) {
        match (ours.files.get(name), wine.files.get(name)) {
            (Some(ours), Some(wine)) if ours == wine => found.files += 1,
            (Some(_), Some(_)) => drop(found.differences.insert(format!("~ {name}"))),
            (Some(_), None) => drop(found.differences.insert(format!("+ {name}"))),
            (None, _) => drop(found.differences.insert(format!("- {name}"))),
        }
    }
    // Wine lists keys that both registries share under both names, and puts values of wow64 components into that of 64 bits, where
    // those of the 64-bit component may have been before.
    let of_64_bits = |name: &str| name.replace(r"\wow6432node\", r"\");
    for (name, data) in &ours.values {
        match wine.all_values.get(name) {
            Some(wine) if is_same(data, wine) => found.values += 1,
            Some(wine) => drop(found.differences.insert(format!("~ {name} = {} / {}", text_of(data), text_of(wine)))),
            None if of_64_bits(name) != *name && wine.all_values.contains_key(&of_64_bits(name)) => found.values += 1,
            None => drop(found.differences.insert(format!("+ {name} = {}", text_of(data)))),
        }
    }
    for (name, data) in wine.values.iter().filter(|(name, _)| !ours.values.contains_key(*name)) {
        if of_64_bits(name) == *name || !ours.values.contains_key(&of_64_bits(name)) {
            found.differences.insert(format!("- {name} = {}", text_of(data)));
        }
    }
    found
}

/// A package, how it is given to Wine, which Windows it is for, how many files and values are the same, and every difference by how
/// it begins, with the reason.
type Case = (&'static str, Named, [u16; 4], [usize; 2], &'static [(&'static str, &'static str)]);

const CASES: [Case; 4] = [
    ("OpenSSH-Server-Package~31bf3856ad364e35~amd64~~.cab", Named::Package, [10, 0, 20348, 1], [10, 0], &OPENSSH),
    ("KB2999226/Windows8.1-x64/Windows8.1-KB2999226-x64.cab", Named::Package, [6, 3, 9600, 16384], [32, 0], &[]),
    ("Windows6.1-KB2780124-x64.msu", Named::Package, [6, 1, 7601, 17514], [10, 10], &TERMINAL_SERVICES),
    (
        "microsoft-windows-internetexplorer-optional-package~31bf3856ad364e35~amd64~~.cab",
        Named::Deployments,
        [10, 0, 19041, 1],
        [2, 614],
        &INTERNET_EXPLORER,
    ),
];

const OPENSSH: [(&str, &str); 5] = [
    (r"+ hkey_local_machine\software\microsoft\windows\currentversion\winevt\", "Wine skips `instrumentation`: providers of events"),
    (r"+ hkey_local_machine\system\controlset001\control\wmi\autologger\", "the same"),
    (r"+ hkey_local_machine\system\controlset001\control\session manager\environment!Path", "Wine skips `memberships`: the path"),
    (r"+ hkey_local_machine\system\controlset001\services\ssh", "the same: services `ssh-agent` and `sshd`"),
    (r"+ hkey_local_machine\system\controlset001\services\sharedaccess\", "Wine skips `firewallRule`"),
];

const TERMINAL_SERVICES: [(&str, &str); 2] =
    [("+ /windows/setup/scripts/", "Wine skips `mof`, which only Windows can compile: our script of the first start"), NOT_DONE];

const INTERNET_EXPLORER: [(&str, &str); 2] = [
    (
        r"+ hkey_local_machine\software\microsoft\windows nt\currentversion\image file execution options\iexplore.exe!MitigationOptions = Qword",
        "Wine knows no REG_QWORD: taken out for it",
    ),
    NOT_DONE,
];

const NOT_DONE: (&str, &str) = ("+ /windows/logs/wimwright-not-done.log", "our list of what neither of the two does");

/// What Wine writes at its own start: its users, its display.
const OF_WINE: [&str; 3] = [
    r"hkey_users\",
    r"hkey_local_machine\system\controlset001\control\class\{4d36e968-e325-11ce-bfc1-08002be10318}\",
    r"hkey_local_machine\system\controlset001\control\video\",
];

#[test]
fn oracle_wine_installs_the_same() {
    if !oracles(&["wine", "gcab"]) || dictionary().is_none() {
        return;
    }
    let wine = Wine::new();
    let mut values = wine.values();
    let mut unexplained = Vec::new();
    for (file, named, version, least, explained) in CASES {
        let Some(sources) = real_packages(&[file]) else { return };
        let image = image_with("amd64", version, &parents(&sources[0]));
        let (after, _) = installed(&image, &sources, &everything(0, &sources[0]));
        let folder = tempfile::tempdir().unwrap();
        let by_wine = wine.install(&repacked(file, named, folder.path()), &values);
        let Comparison { files, values: same, mut differences } = compare(&ours(&image, &after), &by_wine);
        for (start, why) in explained {
            let count = differences.len();
            differences.retain(|difference| !difference.starts_with(start));
            if differences.len() == count {
                unexplained.push(format!("{file}: no longer different: {start} ({why})"));
            }
        }
        if files < least[0] || same < least[1] {
            unexplained.push(format!("{file}: only {files} files and {same} values"));
        }
        unexplained.extend(differences);
        values = by_wine.all_values;
    }
    assert!(unexplained.is_empty(), "{unexplained:#?}");
}
