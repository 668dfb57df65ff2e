//! A small Windows image in memory, and what a step changed in it.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use wimwright_format::regf::{Data, Hive, NewHive};
use wimwright_format::security_descriptor::SecurityDescriptor;
use wimwright_format::wim::ImageInfo;
use wimwright_image::registry::HiveFile;
use wimwright_image::tree::{ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, Inode};
use wimwright_image::{Blobs, Image, ImagePath, RegistryDiff, Tree, TreeDiff};
use wimwright_servicing::step::{Context, Payload, Step, StepError};

/// When everything in the image was written.
pub const OLD: u64 = 1;
/// When a step runs.
pub const NOW: u64 = 2;

/// Security of every directory of the image. Children inherit what its inheritable entries hand down.
pub const FOLDER: &str = "O:SYG:SYD:PAI(A;OICIIO;GA;;;CO)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)";
/// Security of every file of the image.
pub const FILE: &str = "O:SYG:SYD:AI(A;;0x1200a9;;;SY)";

/// An x64 Windows with three hives and some files. `/Windows/notepad.exe` and `/Windows/System32/notepad.exe` are one file.
pub fn windows() -> Image {
    let mut info = ImageInfo::named("Windows 11 Pro");
    let fields = [
        ("WINDOWS/ARCH", "9"),
        ("WINDOWS/LANGUAGES/LANGUAGE", "en-US"),
        ("WINDOWS/LANGUAGES/DEFAULT", "en-US"),
        ("DISPLAYNAME", "Windows 11 Pro"),
        ("DISPLAYDESCRIPTION", "Windows 11 Pro"),
        ("FLAGS", "Professional"),
    ];
    fields.iter().for_each(|(field, text)| info.set(field, text));
    let mut image = Image::new(Tree::default(), info, Blobs::default());
    let mut software = hive();
    set(&mut software, r"Microsoft\Windows NT\CurrentVersion", "EditionID", &Data::Text("Professional".into()));
    put_hive(&mut image, HiveFile::Software, software);
    let mut system = hive();
    set(&mut system, "Select", "Default", &Data::Dword(1));
    set(&mut system, r"ControlSet001\Control", "WaitToKillServiceTimeout", &Data::Text("5000".into()));
    put_hive(&mut image, HiveFile::System, system);
    put_hive(&mut image, HiveFile::DefaultUser, hive());
    put(&mut image, "/Windows/notepad.exe", b"MZ notepad");
    let mut notepad = image.tree.at("/Windows/notepad.exe").unwrap().inode().clone();
    notepad.hard_link_group = 7;
    for path in ["/Windows/notepad.exe", "/Windows/System32/notepad.exe"] {
        image.tree.put_file(&path_of(path), notepad.clone()).unwrap();
    }
    put(&mut image, "/Windows/win.ini", b"[fonts]\r\n");
    image
}

/// An empty hive.
pub fn hive() -> Hive {
    let security = SecurityDescriptor::from_sddl("O:BAG:SYD:(A;CI;KA;;;SY)").unwrap().encode().unwrap();
    Hive::new(&NewHive { minor: 5, file_name: "HIVE", root_name: "ROOT", security: &security, last_written: OLD }).unwrap()
}

/// Sets a value, with all keys above it.
pub fn set(hive: &mut Hive, key: &str, name: &str, data: &Data) {
    let key = hive.create_path(key, OLD).unwrap();
    let (kind, bytes) = data.encode();
    hive.set_value(key, name, kind, &bytes, OLD).unwrap();
}

/// Puts a hive in its place.
pub fn put_hive(image: &mut Image, file: HiveFile, hive: Hive) {
    put(image, file.path(), &hive.into_bytes());
}

/// Changes a hive of the image, which looks as if it had been like that.
pub fn with_hive(image: &mut Image, file: HiveFile, change: impl FnOnce(&mut Hive)) {
    let mut hive = Hive::clone(&image.hive(file).unwrap().unwrap());
    change(&mut hive);
    put_hive(image, file, hive);
    *image = fresh(image);
}

/// The same image, with nothing loaded.
pub fn fresh(image: &Image) -> Image {
    Image::new(image.tree.clone(), image.info.clone(), image.blobs.clone())
}

/// Puts a file that was always there, and the directories above it.
pub fn put(image: &mut Image, path: &str, contents: &[u8]) {
    let path = path_of(path);
    let mut secure = |sddl: &str| Some(image.tree.add_security(&SecurityDescriptor::from_sddl(sddl).unwrap().encode().unwrap()));
    let times = |attributes, security| Inode { attributes, security, created: OLD, accessed: OLD, written: OLD, ..Inode::default() };
    let directory = times(ATTRIBUTE_DIRECTORY, secure(FOLDER));
    let mut file = times(ATTRIBUTE_ARCHIVE, secure(FILE));
    file.contents = image.blobs.add_bytes(contents.to_vec());
    image.tree.make_directories(&path.parent().unwrap(), &directory).unwrap();
    // The root, too, has security: it is what new directories below it inherit.
    image.tree.update(&ImagePath::root(), |inode| *inode = directory).unwrap();
    image.tree.put_file(&path, file).unwrap();
}

pub fn path_of(path: &str) -> ImagePath {
    ImagePath::parse(path).unwrap()
}

pub fn payload(name: &str, bytes: &[u8]) -> Payload {
    Payload { name: name.to_owned(), sha256: Sha256::digest(bytes).into(), source: Arc::new(bytes.to_vec()) }
}

/// Applies a step.
pub fn apply(step: &dyn Step, image: &Image) -> Image {
    step.apply(image.clone(), &Context { time: NOW }).unwrap().0
}

/// Applies a step and shows every difference that it made, and its report.
pub fn effect(step: &dyn Step, image: &Image) -> String {
    let (after, report) = step.apply(image.clone(), &Context { time: NOW }).unwrap();
    format!("{}report ({:?}):\n  {}\n", difference(image, &after), report.certainty, report.details.join("\n  "))
}

/// Every difference between two images, files first. Hive files show only that they changed: the registry shows how.
pub fn difference(before: &Image, after: &Image) -> String {
    let diff = TreeDiff::between(&before.tree, &after.tree);
    let mut text = String::new();
    for path in &diff.added {
        let entry = after.tree.at(path).unwrap();
        let inode = entry.inode();
        let security = entry.security().map_or("none".into(), |bytes| SecurityDescriptor::decode(bytes).unwrap().to_sddl().unwrap());
        let size = inode.contents.map_or(0, |blob| after.blobs.size(&blob).unwrap());
        text += &format!(
            "+ {path} ({size} bytes, attributes {:#x}, times {} {} {})\n    {security}\n",
            inode.attributes, inode.created, inode.accessed, inode.written
        );
    }
    diff.removed.iter().for_each(|path| text += &format!("- {path}\n"));
    for changed in &diff.changed {
        text += &format!("~ {}\n", changed.path);
        for (field, (old, new)) in &changed.fields {
            let contents = *field == "contents";
            text += &if contents { format!("    {field}\n") } else { format!("    {field}: {old} -> {new}\n") };
        }
    }
    let registry = RegistryDiff::between(&mut fresh(before), &mut fresh(after)).unwrap();
    registry.added.iter().for_each(|path| text += &format!("+ {path}\n"));
    registry.removed.iter().for_each(|path| text += &format!("- {path}\n"));
    registry.changed.iter().for_each(|(path, old, new)| text += &format!("~ {path}: {old} -> {new}\n"));
    let statistics = |image: &Image| image.info.clone();
    if statistics(before) != statistics(after) {
        text += "~ XML data\n";
    }
    text
}

/// What a refused step says, with its hint.
pub fn refusal<T>(result: Result<T, StepError>) -> String {
    let error = result.err().expect("the step must be refused");
    if error.hint().is_empty() { error.to_string() } else { format!("{error}\nhint: {}", error.hint()) }
}

/// What a step that cannot be applied says.
pub fn refused(step: &dyn Step, image: &Image) -> String {
    refusal(step.apply(image.clone(), &Context { time: NOW }))
}

/// True when the step gives the same image at two times.
pub fn ignores_time(step: &dyn Step, image: &Image) -> bool {
    let at = |time| step.apply(image.clone(), &Context { time }).unwrap().0;
    TreeDiff::between(&at(NOW).tree, &at(NOW + 1).tree).is_empty()
}
