//! What the transforms need to know of a PE image: its headers, sections and data directories.
//!
//! Source: Microsoft, "PE Format" (learn.microsoft.com/windows/win32/debug/pe-format).

/// `IMAGE_FILE_MACHINE_I386`.
pub(super) const MACHINE_I386: u16 = 0x014C;
/// `IMAGE_FILE_MACHINE_AMD64`.
pub(super) const MACHINE_AMD64: u16 = 0x8664;
/// Sections that are looked at. Every RVA is looked up among them; the loader of Windows XP takes 96.
const MAX_SECTIONS: usize = 256;
/// `IMAGE_SCN_MEM_EXECUTE`.
const EXECUTABLE: u32 = 0x2000_0000;

/// Indices of the data directories.
pub(super) mod directory {
    pub const EXPORT: usize = 0;
    pub const IMPORT: usize = 1;
    pub const RESOURCE: usize = 2;
    pub const EXCEPTION: usize = 3;
    pub const RELOCATION: usize = 5;
    pub const BOUND_IMPORT: usize = 11;
    pub const CLR: usize = 14;
}

/// Reads the little-endian number at `offset`.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|raw| u16::from_le_bytes(*raw))
}

/// Reads the little-endian number at `offset`.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|raw| u32::from_le_bytes(*raw))
}

/// Reads the little-endian number at `offset`.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|raw| u64::from_le_bytes(*raw))
}

/// Writes `value` at `offset`, unless that is outside.
pub(super) fn put<const N: usize>(bytes: &mut [u8], offset: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
        *place = value;
    }
}

/// A section header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    /// File offset of the section header.
    pub header: usize,
    /// Name, padded with zeros.
    pub name: [u8; 8],
    /// `VirtualSize`, in bytes.
    pub virtual_size: u32,
    /// `VirtualAddress`: RVA of the first byte.
    pub rva: u32,
    /// `SizeOfRawData`, in bytes.
    pub raw_size: u32,
    /// `PointerToRawData`: file offset of the first byte.
    pub raw: u32,
    /// Whether the section's pages can be executed.
    pub executable: bool,
}

impl Section {
    /// Whether the section, its raw padding included, holds this RVA.
    pub fn holds(&self, rva: u32) -> bool {
        rva.checked_sub(self.rva).is_some_and(|within| within < self.virtual_size.max(self.raw_size))
    }

    /// The file range of the bytes that the section shows in memory.
    pub fn bytes(&self, file_size: usize) -> std::ops::Range<usize> {
        let start = (self.raw as usize).min(file_size);
        start..start.saturating_add(self.virtual_size.min(self.raw_size) as usize).min(file_size)
    }
}

/// A PE image's layout, read from its headers.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// `FileHeader.Machine`.
    pub machine: u16,
    /// Whether this is PE32+.
    pub wide: bool,
    /// `OptionalHeader.ImageBase`.
    pub base: u64,
    /// `OptionalHeader.SizeOfImage`, in bytes.
    pub size: u32,
    /// Section headers in file order.
    pub sections: Vec<Section>,
    /// File offset of `FileHeader.TimeDateStamp`.
    pub time_stamp_field: usize,
    /// File offset of `OptionalHeader.ImageBase`.
    pub base_field: usize,
    /// File offset of `OptionalHeader.CheckSum`.
    pub check_sum_field: usize,
    /// File offset of the first data directory.
    directories_field: usize,
    /// RVA and size of each data directory.
    directories: [(u32, u32); 16],
}

impl Image {
    /// Reads the headers; `None` where `bytes` are no PE image.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.first_chunk()? != b"MZ" {
            return None;
        }
        let header = u32_at(bytes, 0x3C)? as usize;
        if bytes.get(header..)?.first_chunk()? != b"PE\0\0" {
            return None;
        }
        let optional = header.checked_add(24)?;
        let field = |relative: usize| optional.checked_add(relative);
        let wide = match u16_at(bytes, optional)? {
            0x10B => false,
            0x20B => true,
            _ => return None,
        };
        let base_field = field(if wide { 24 } else { 28 })?;
        let directories_field = field(if wide { 112 } else { 96 })?;
        let directory_count = u32_at(bytes, directories_field.checked_sub(4)?)? as usize;
        let mut directories = [(0, 0); 16];
        for (index, slot) in directories.iter_mut().enumerate().take(directory_count) {
            let entry = directories_field.checked_add(index.checked_mul(8)?)?;
            *slot = (u32_at(bytes, entry).unwrap_or(0), u32_at(bytes, entry.checked_add(4)?).unwrap_or(0));
        }
        let section_count = usize::from(u16_at(bytes, header.checked_add(6)?)?).min(MAX_SECTIONS);
        let table = field(usize::from(u16_at(bytes, header.checked_add(20)?)?))?;
        let sections = bytes.get(table..).unwrap_or_default().chunks_exact(40).take(section_count).enumerate();
        let sections = sections.filter_map(|(index, raw)| {
            Some(Section {
                header: table.checked_add(index.checked_mul(40)?)?,
                name: *raw.first_chunk()?,
                virtual_size: u32_at(raw, 8)?,
                rva: u32_at(raw, 12)?,
                raw_size: u32_at(raw, 16)?,
                raw: u32_at(raw, 20)?,
                executable: u32_at(raw, 36)? & EXECUTABLE != 0,
            })
        });
        Some(Self {
            machine: u16_at(bytes, header.checked_add(4)?)?,
            wide,
            base: if wide { u64_at(bytes, base_field)? } else { u32_at(bytes, base_field)?.into() },
            size: u32_at(bytes, field(56)?)?,
            sections: sections.collect(),
            time_stamp_field: header.checked_add(8)?,
            base_field,
            check_sum_field: field(64)?,
            directories_field,
            directories,
        })
    }

    /// RVA and size of a data directory; `None` where its RVA is zero.
    pub fn directory(&self, index: usize) -> Option<(u32, u32)> {
        self.directories.get(index).copied().filter(|&(rva, _)| rva != 0)
    }

    /// File offset of a data directory's entry: RVA and size.
    pub fn directory_field(&self, index: usize) -> usize {
        self.directories_field.saturating_add(index.saturating_mul(8))
    }

    /// The section that holds an RVA.
    pub fn section(&self, rva: u32) -> Option<&Section> {
        self.sections.iter().find(|section| section.holds(rva))
    }

    /// File offset of an RVA within a section that has raw data.
    pub fn offset(&self, rva: u32) -> Option<usize> {
        let section = self.section(rva).filter(|section| section.raw_size != 0)?;
        Some((section.raw as usize).saturating_add(rva.wrapping_sub(section.rva) as usize))
    }

    /// File offset of an RVA, which may also lie in the headers.
    pub fn offset_or_header(&self, rva: u32) -> Option<usize> {
        if rva < self.first_section() { Some(rva as usize) } else { self.offset(rva) }
    }

    /// RVA of the lowest section; below it lie the headers, at the same offsets in file and memory.
    pub fn first_section(&self) -> u32 {
        self.sections.iter().map(|section| section.rva).min().unwrap_or(0)
    }
}
