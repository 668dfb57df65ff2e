//! Headers of Portable Executable files with a version, as `wimwright_format::pe` and every Windows tool reads them.
//!
//! Two sections: the version resource, and after it the code, which reaches to the end of the file.

/// `IMAGE_FILE_MACHINE_AMD64`.
const MACHINE_X64: u16 = 0x8664;
/// `IMAGE_FILE_MACHINE_I386`.
const MACHINE_X86: u16 = 0x014C;
/// Sections begin at multiples of this in the file.
const FILE_ALIGNMENT: u32 = 0x200;
/// Sections begin at multiples of this in memory.
const SECTION_ALIGNMENT: u32 = 0x1000;
/// Bytes of headers.
const HEADERS: u32 = 0x200;

/// `IMAGE_SUBSYSTEM_NATIVE`: drivers.
pub(crate) const NATIVE: u16 = 1;
/// `IMAGE_SUBSYSTEM_WINDOWS_GUI`.
pub(crate) const WINDOWS: u16 = 2;
/// `IMAGE_SUBSYSTEM_EFI_APPLICATION`.
pub(crate) const EFI_APPLICATION: u16 = 10;

/// What the headers of a program say.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The file's name, as its version resource gives it.
    pub name: String,
    /// For x64; else for x86.
    pub is_64_bit: bool,
    /// A library (DLL).
    pub library: bool,
    /// `IMAGE_SUBSYSTEM_…`.
    pub subsystem: u16,
    /// File and product version: major, minor, build, revision.
    pub version: [u16; 4],
    /// Resources besides the version.
    pub resources: Vec<Resource>,
}

/// A resource of a program.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    /// Number of its type, above 16.
    pub kind: u32,
    /// Number that is its name.
    pub name: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Program {
    /// A library or program of Windows by its name: `.dll`, `.exe`, `.sys`, ….
    pub(crate) fn of_name(name: &str, is_64_bit: bool) -> Self {
        let lower = name.to_ascii_lowercase();
        let is = |extension: &str| lower.ends_with(extension);
        let subsystem = if is(".sys") {
            NATIVE
        } else if is(".efi") {
            EFI_APPLICATION
        } else {
            WINDOWS
        };
        let library = !is(".exe") && !is(".sys") && !is(".efi");
        Self { name: name.to_owned(), is_64_bit, library, subsystem, version: crate::data::VERSION, resources: Vec::new() }
    }

    /// The first bytes of a file of `size` bytes: headers and resources. The rest of the file is the code section.
    pub(crate) fn headers(&self, size: u64) -> Vec<u8> {
        let section = self.resource_section();
        let resources = section.len() as u32;
        let code_size = u32::try_from(size).unwrap_or(u32::MAX).saturating_sub(HEADERS + resources);
        let code_address = SECTION_ALIGNMENT + resources.next_multiple_of(SECTION_ALIGNMENT);
        let memory = (code_address + code_size.min(u32::MAX / 2)).next_multiple_of(SECTION_ALIGNMENT);
        let mut out = Image(b"MZ".to_vec());
        out.0.resize(0x3C, 0);
        out.u32s(&[0x40]); // Where the PE header stands.
        out.0.extend(b"PE\0\0");
        let optional_size = if self.is_64_bit { 0xF0 } else { 0xE0 };
        let kind: u16 = if self.library { 0x2022 } else { 0x0022 };
        out.u16s(&[if self.is_64_bit { MACHINE_X64 } else { MACHINE_X86 }, 2]); // Machine, sections.
        out.u32s(&[0, 0, 0]); // Time, symbols and their number: a reproducible build has none.
        out.u16s(&[optional_size, if self.is_64_bit { kind } else { kind | 0x0100 }]);
        out.u16s(&[if self.is_64_bit { 0x20B } else { 0x10B }, 0x0E]); // Magic, linker version 14.0.
        out.u32s(&[code_size, resources, 0, code_address, code_address]); // Sizes of code, data, zeros; entry point; code.
        if self.is_64_bit {
            out.u64s(&[0x1_8000_0000]); // Image base.
        } else {
            out.u32s(&[SECTION_ALIGNMENT, 0x1000_0000]); // Base of data; image base.
        }
        out.u32s(&[SECTION_ALIGNMENT, FILE_ALIGNMENT]);
        out.u16s(&[10, 0, 10, 0, 10, 0]); // Versions of the system, the image, the subsystem.
        out.u32s(&[0, memory, HEADERS, 0]); // Reserved, bytes in memory, bytes of headers, checksum (none).
        out.u16s(&[self.subsystem, 0x0160]); // NX compatible, dynamic base, high entropy addresses.
        let (stack, page, heap) = (0x4_0000, 0x1000, 0x10_0000);
        if self.is_64_bit {
            out.u64s(&[stack, page, heap, page]);
        } else {
            out.u32s(&[stack as u32, page as u32, heap as u32, page as u32]);
        }
        out.u32s(&[0, 16]); // Loader flags, data directories.
        let mut directories = [0; 32];
        directories[4] = SECTION_ALIGNMENT; // The third: resources.
        directories[5] = resources;
        out.u32s(&directories);
        out.0.extend(b".rsrc\0\0\0");
        out.u32s(&[resources, SECTION_ALIGNMENT, resources, HEADERS, 0, 0, 0, 0x4000_0040]); // Initialised data, readable.
        out.0.extend(b".text\0\0\0");
        out.u32s(&[code_size, code_address, code_size, HEADERS + resources, 0, 0, 0, 0x6000_0020]); // Code, executable, readable.
        out.0.resize(HEADERS as usize, 0);
        out.0.extend(section);
        out.0.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        out.0
    }

    /// The resource section: a directory of types, for each a directory of names and one of languages, then descriptions and bytes.
    /// Each type has one resource, in the language 0x409.
    fn resource_section(&self) -> Vec<u8> {
        const SUBDIRECTORY: u32 = 0x8000_0000;
        /// Bytes of a directory with one entry.
        const SINGLE: u32 = 24;
        const DESCRIPTION: u32 = 16;
        let version = Resource { kind: 16, name: 1, bytes: self.version_information() };
        let resources: Vec<&Resource> = std::iter::once(&version).chain(&self.resources).collect();
        let count = resources.len() as u32;
        let names = 16 + 8 * count;
        let languages = names + SINGLE * count;
        let descriptions = languages + SINGLE * count;
        let data = (descriptions + DESCRIPTION * count).next_multiple_of(8);

        let mut out = Image(Vec::new());
        let directory = |out: &mut Image, entries: &[(u32, u32)]| {
            out.u32s(&[0, 0, 0]); // Characteristics, time, version.
            out.u16s(&[0, entries.len() as u16]); // Entries with names, entries with numbers.
            entries.iter().for_each(|(id, next)| out.u32s(&[*id, *next]));
        };
        let types: Vec<_> =
            resources.iter().zip(0..).map(|(resource, index)| (resource.kind, (names + SINGLE * index) | SUBDIRECTORY)).collect();
        directory(&mut out, &types);
        for (resource, index) in resources.iter().zip(0..) {
            directory(&mut out, &[(resource.name, (languages + SINGLE * index) | SUBDIRECTORY)]);
        }
        for index in 0..count {
            directory(&mut out, &[(0x409, descriptions + DESCRIPTION * index)]);
        }
        let mut at = data;
        for resource in &resources {
            let size = resource.bytes.len() as u32;
            out.u32s(&[SECTION_ALIGNMENT + at, size, 0, 0]); // Address, bytes, code page, reserved.
            at = (at + size).next_multiple_of(8);
        }
        for resource in &resources {
            out.0.resize(out.0.len().next_multiple_of(8), 0);
            out.0.extend(&resource.bytes);
        }
        out.0.resize(out.0.len().next_multiple_of(FILE_ALIGNMENT as usize), 0);
        out.0
    }

    /// `VS_VERSIONINFO`.
    fn version_information(&self) -> Vec<u8> {
        let [major, minor, build, revision] = self.version.map(u32::from);
        let numbers = [major << 16 | minor, build << 16 | revision];
        let mut fixed = Image(Vec::new());
        fixed.u32s(&[0xFEEF_04BD, 0x0001_0000]); // Signature, version of the structure.
        fixed.u32s(&[numbers[0], numbers[1], numbers[0], numbers[1]]); // File version, product version.
        fixed.u32s(&[0x3F, 0, 0x0004_0004, if self.library { 2 } else { 1 }, 0, 0, 0]); // Flags; Windows NT; DLL or program.
        let version = format!("{major}.{minor}.{build}.{revision}");
        let texts = [
            ("CompanyName", "Wimwright practice media"),
            ("FileDescription", "Generated for practice"),
            ("FileVersion", &version),
            ("InternalName", &self.name),
            ("OriginalFilename", &self.name),
            ("ProductVersion", &version),
        ];
        let texts: Vec<_> = texts.iter().map(|(key, text)| block(key, Value::Text(text), &[])).collect();
        let table = block("040904B0", Value::Text(""), &texts);
        let strings = block("StringFileInfo", Value::Text(""), &[table]);
        let translation = block("Translation", Value::Bytes(&[0x09, 0x04, 0xB0, 0x04]), &[]);
        let variables = block("VarFileInfo", Value::Text(""), &[translation]);
        block("VS_VERSION_INFO", Value::Bytes(&fixed.0), &[strings, variables])
    }
}

/// The value of a block of version information.
enum Value<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// A block: lengths, type, key, value, blocks inside, each from a multiple of four.
fn block(key: &str, value: Value<'_>, inside: &[Vec<u8>]) -> Vec<u8> {
    let utf16 = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (is_text, length, value) = match value {
        Value::Text("") => (1, 0, Vec::new()),
        Value::Text(text) => (1, text.encode_utf16().count() as u16 + 1, utf16(text)),
        Value::Bytes(bytes) => (0, bytes.len() as u16, bytes.to_vec()),
    };
    let mut out = Image(Vec::new());
    out.u16s(&[0, length, is_text]);
    out.0.extend(utf16(key));
    out.align();
    out.0.extend(value);
    for block in inside {
        out.align();
        out.0.extend(block);
    }
    let length = out.0.len() as u16;
    out.0[..2].copy_from_slice(&length.to_le_bytes());
    out.0
}

/// Little-endian numbers, one after another.
struct Image(Vec<u8>);

impl Image {
    fn u16s(&mut self, values: &[u16]) {
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    fn u32s(&mut self, values: &[u32]) {
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    fn u64s(&mut self, values: &[u64]) {
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use wimwright_format::pe::{FileVersion, Machine, PeFile};

    use super::*;

    #[test]
    fn headers_are_read_back() {
        for (name, is_64_bit, library, subsystem) in
            [("kernel32.dll", true, true, WINDOWS), ("cmd.exe", false, false, WINDOWS), ("disk.sys", true, false, NATIVE)]
        {
            let file = PeFile::read(&Program::of_name(name, is_64_bit).headers(20_000)).unwrap();
            assert_eq!(file.machine, if is_64_bit { Machine::X64 } else { Machine::X86 });
            assert_eq!((file.library, file.subsystem), (library, subsystem), "{name}");
            assert_eq!(file.versions.unwrap().file, FileVersion(crate::data::VERSION));
        }
    }

    #[test]
    fn oracle_7zip_finds_the_resources() {
        if !wimwright_testkit::oracles(&["7z"]) {
            return;
        }
        let mut program = Program::of_name("wcp.dll", true);
        program.resources =
            vec![Resource { kind: 614, name: 1, bytes: b"a dictionary".to_vec() }, Resource { kind: 615, name: 7, bytes: vec![5; 3000] }];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wcp.dll");
        let mut bytes = program.headers(20_000);
        bytes.resize(20_000, 0xCC);
        std::fs::write(&path, bytes).unwrap();
        wimwright_testkit::run(std::process::Command::new("7z").arg("x").arg(format!("-o{}", folder.path().display())).arg(&path));
        for resource in &program.resources {
            let path = folder.path().join(format!(".rsrc/{}/{}", resource.kind, resource.name));
            assert_eq!(std::fs::read(path).unwrap(), resource.bytes);
        }
    }
}
