//! Reparse points: what stands behind links, junctions, WOF-compressed files and app execution aliases.
//!
//! A reparse point is a tag and data for whoever owns the tag. On NTFS both stand in one attribute behind an 8-byte header
//! (tag, length, reserved); a WIM keeps the tag in the dentry and only the data, without the header, as a stream. Here `data`
//! is always the data without the header.
//!
//! Source: MS-FSCC 2.1.2 (tags, symbolic links, mount points); `ntifs.h` (`WOF_EXTERNAL_INFO`, `FILE_PROVIDER_EXTERNAL_INFO_V1`,
//! `WIM_PROVIDER_EXTERNAL_INFO`); app execution links as observed (tyranid's notes, Python's and PowerShell's readers).

/// Tags of reparse points.
pub mod tag {
    /// `IO_REPARSE_TAG_MOUNT_POINT`: junctions and mounted volumes.
    pub const MOUNT_POINT: u32 = 0xA000_0003;
    /// `IO_REPARSE_TAG_SYMLINK`.
    pub const SYMLINK: u32 = 0xA000_000C;
    /// `IO_REPARSE_TAG_WOF`: contents are kept compressed by the Windows Overlay Filter.
    pub const WOF: u32 = 0x8000_0017;
    /// `IO_REPARSE_TAG_APPEXECLINK`: a zero-length `.exe` that starts a packaged app.
    pub const APP_EXEC_LINK: u32 = 0x8000_001B;
    /// `IO_REPARSE_TAG_DEDUP`: contents are in a chunk store of another volume and cannot be read from here.
    pub const DEDUP: u32 = 0x8000_0013;
}

/// Most bytes of a reparse point, header included (`MAXIMUM_REPARSE_DATA_BUFFER_SIZE`).
pub const MAX_BUFFER: usize = 16 << 10;
/// Length of the header that a WIM leaves out.
pub const HEADER_LENGTH: usize = 8;

/// `SYMLINK_FLAG_RELATIVE`.
const RELATIVE: u32 = 1;

/// Why data is none of a reparse point with its tag, or cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReparseError {
    /// A field lies outside the data.
    #[error("reparse point {tag:#010x}: the {field} reaches past the end at {length}")]
    OutOfBounds {
        /// The tag.
        tag: u32,
        /// Which field.
        field: &'static str,
        /// Length of the data.
        length: usize,
    },
    /// A name is no UTF-16.
    #[error("reparse point {tag:#010x}: the {field} is not valid UTF-16")]
    Name {
        /// The tag.
        tag: u32,
        /// Which field.
        field: &'static str,
    },
    /// A version or provider that we do not know.
    #[error("reparse point {tag:#010x}: the {field} {value} is not known")]
    Unknown {
        /// The tag.
        tag: u32,
        /// Which field.
        field: &'static str,
        /// What stands there.
        value: u32,
    },
    /// The data would be larger than Windows takes.
    #[error("reparse point {tag:#010x}: {length} bytes; Windows takes {MAX_BUFFER} with the header")]
    TooLong {
        /// The tag.
        tag: u32,
        /// What it would need.
        length: usize,
    },
}

/// What a reparse point says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReparsePoint {
    /// A symbolic link to a file or directory (the file's attributes say which).
    Symlink {
        /// Where it goes.
        target: Target,
        /// `target.substitute_name` is relative to the link's directory.
        relative: bool,
    },
    /// A junction or mounted volume.
    MountPoint {
        /// Where it goes.
        target: Target,
    },
    /// A file whose contents are compressed by the Windows Overlay Filter.
    Wof(Wof),
    /// An app execution alias.
    AppExecLink {
        /// Version of the data; 3 in all that was seen.
        version: u32,
        /// Its texts: package family name, application user model id, the program, and the kind of app.
        texts: Vec<String>,
    },
}

/// Where a link goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name that the kernel resolves: `\??\C:\…`, `\??\Volume{…}\`, or a relative path.
    pub substitute_name: String,
    /// The name for people. May be empty.
    pub print_name: String,
}

/// How the Windows Overlay Filter finds a file's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wof {
    /// In the file's own stream `WofCompressedData`, compressed.
    File(WofCompression),
    /// In a WIM file that is registered with the volume.
    Wim {
        /// Which of the registered WIM files.
        data_source: u64,
        /// SHA-1 of the contents, as in the WIM's blob table.
        sha1: [u8; 20],
    },
}

/// `FILE_PROVIDER_COMPRESSION_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WofCompression {
    /// XPRESS in chunks of 4 KiB.
    Xpress4K,
    /// LZX in chunks of 32 KiB.
    Lzx,
    /// XPRESS in chunks of 8 KiB.
    Xpress8K,
    /// XPRESS in chunks of 16 KiB.
    Xpress16K,
}

/// Data with the tag it belongs to.
#[derive(Clone, Copy)]
struct Input<'a> {
    tag: u32,
    data: &'a [u8],
}

impl<'a> Input<'a> {
    fn bytes(&self, field: &'static str, offset: usize, length: usize) -> Result<&'a [u8], ReparseError> {
        let bytes = offset.checked_add(length).and_then(|end| self.data.get(offset..end));
        bytes.ok_or(ReparseError::OutOfBounds { tag: self.tag, field, length: self.data.len() })
    }

    fn array<const N: usize>(&self, field: &'static str, offset: usize) -> Result<[u8; N], ReparseError> {
        let bytes = self.bytes(field, offset, N)?;
        bytes.try_into().map_err(|_| ReparseError::OutOfBounds { tag: self.tag, field, length: self.data.len() })
    }

    fn u16(&self, field: &'static str, offset: usize) -> Result<usize, ReparseError> {
        self.array(field, offset).map(|bytes| usize::from(u16::from_le_bytes(bytes)))
    }

    fn u32(&self, field: &'static str, offset: usize) -> Result<u32, ReparseError> {
        self.array(field, offset).map(u32::from_le_bytes)
    }

    fn text(&self, field: &'static str, bytes: &[u8]) -> Result<String, ReparseError> {
        let (pairs, odd) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        let text = String::from_utf16(&units).ok().filter(|_| odd.is_empty());
        text.ok_or(ReparseError::Name { tag: self.tag, field })
    }

    /// The two names, whose offsets count from `names`.
    ///
    /// ```text
    /// 0 u16 offset of the substitute name   2 u16 its length   4 u16 offset of the print name   6 u16 its length
    /// 8 u32 flags (symbolic links only)     then the names, UTF-16LE; lengths in bytes, without a terminator
    /// ```
    fn target(&self, names: usize) -> Result<Target, ReparseError> {
        let name = |field, position: usize| {
            let offset = names.saturating_add(self.u16(field, position)?);
            let length = self.u16(field, position.saturating_add(2))?;
            self.text(field, self.bytes(field, offset, length)?)
        };
        Ok(Target { substitute_name: name("substitute name", 0)?, print_name: name("print name", 4)? })
    }

    /// ```text
    /// 0 u32 version, 1   4 u32 provider: 1 WIM, 2 file
    /// file: 8 u32 version, 1   12 u32 compression
    /// WIM:  8 u32 version, 2   12 u32 flags   16 u64 data source   24 [u8; 20] SHA-1
    /// ```
    fn wof(&self) -> Result<Wof, ReparseError> {
        let expect = |field, offset, expected| match self.u32(field, offset)? {
            value if value == expected => Ok(()),
            value => Err(ReparseError::Unknown { tag: self.tag, field, value }),
        };
        expect("version", 0, 1)?;
        match self.u32("provider", 4)? {
            1 => {
                expect("provider version", 8, 2)?;
                let data_source = self.array("data source", 16).map(u64::from_le_bytes)?;
                Ok(Wof::Wim { data_source, sha1: self.array("hash", 24)? })
            }
            2 => {
                expect("provider version", 8, 1)?;
                match self.u32("compression", 12)? {
                    0 => Ok(Wof::File(WofCompression::Xpress4K)),
                    1 => Ok(Wof::File(WofCompression::Lzx)),
                    2 => Ok(Wof::File(WofCompression::Xpress8K)),
                    3 => Ok(Wof::File(WofCompression::Xpress16K)),
                    value => Err(ReparseError::Unknown { tag: self.tag, field: "compression", value }),
                }
            }
            value => Err(ReparseError::Unknown { tag: self.tag, field: "provider", value }),
        }
    }
}

impl ReparsePoint {
    /// Reads the data of a reparse point. `None` for tags that are not read here.
    ///
    /// # Errors
    /// When the data is not what the tag promises.
    pub fn decode(tag: u32, data: &[u8]) -> Result<Option<Self>, ReparseError> {
        let input = Input { tag, data };
        match tag {
            tag::SYMLINK => Ok(Some(Self::Symlink { relative: input.u32("flags", 8)? & RELATIVE != 0, target: input.target(12)? })),
            tag::MOUNT_POINT => Ok(Some(Self::MountPoint { target: input.target(8)? })),
            tag::WOF => input.wof().map(|wof| Some(Self::Wof(wof))),
            tag::APP_EXEC_LINK => {
                let version = input.u32("version", 0)?;
                let texts = input.text("texts", data.get(4..).unwrap_or_default())?;
                let texts = texts.strip_suffix('\0').unwrap_or(&texts).split('\0').map(str::to_owned).collect();
                Ok(Some(Self::AppExecLink { version, texts }))
            }
            _ => Ok(None),
        }
    }

    /// The tag and data of a symbolic link. Windows writes the names without terminators, the substitute name first.
    ///
    /// # Errors
    /// When the names are too long for a reparse point.
    pub fn encode_symlink(target: &Target, relative: bool) -> Result<(u32, Vec<u8>), ReparseError> {
        let flags = if relative { RELATIVE } else { 0 };
        encode(tag::SYMLINK, target, &flags.to_le_bytes(), &[])
    }

    /// The tag and data of a junction. Windows writes a zero character behind each name.
    ///
    /// # Errors
    /// When the names are too long for a reparse point.
    pub fn encode_mount_point(target: &Target) -> Result<(u32, Vec<u8>), ReparseError> {
        encode(tag::MOUNT_POINT, target, &[], &[0, 0])
    }
}

fn encode(tag: u32, target: &Target, flags: &[u8], terminator: &[u8]) -> Result<(u32, Vec<u8>), ReparseError> {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (substitute, print) = (utf16(&target.substitute_name), utf16(&target.print_name));
    let print_offset = substitute.len().saturating_add(terminator.len());
    let fields = [0, substitute.len(), print_offset, print.len()];
    let length = [8, flags.len(), print_offset, print.len(), terminator.len()].iter().fold(0_usize, |sum, part| sum.saturating_add(*part));
    if length.saturating_add(HEADER_LENGTH) > MAX_BUFFER {
        return Err(ReparseError::TooLong { tag, length });
    }
    let mut data = Vec::with_capacity(length);
    for field in fields {
        data.extend_from_slice(&u16::try_from(field).map_err(|_| ReparseError::TooLong { tag, length })?.to_le_bytes());
    }
    for part in [flags, &substitute, terminator, &print, terminator] {
        data.extend_from_slice(part);
    }
    Ok((tag, data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(substitute_name: &str, print_name: &str) -> Target {
        Target { substitute_name: substitute_name.to_owned(), print_name: print_name.to_owned() }
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn a_junction_laid_out_by_hand() {
        // Documents and Settings of every Windows installation; fields as in MS-FSCC 2.1.2.5.
        let junction = target(r"\??\C:\Users", r"C:\Users");
        let mut expected = vec![0, 0, 24, 0, 26, 0, 16, 0];
        expected.extend(utf16("\\??\\C:\\Users\0C:\\Users\0"));
        let (tag, data) = ReparsePoint::encode_mount_point(&junction).unwrap();
        assert_eq!((tag, &data), (tag::MOUNT_POINT, &expected));
        assert_eq!(ReparsePoint::decode(tag, &data).unwrap(), Some(ReparsePoint::MountPoint { target: junction }));
    }

    #[test]
    fn names_in_either_order_are_read() {
        // Print name first, as `mklink` lays it out.
        let mut data = vec![2, 0, 4, 0, 0, 0, 2, 0, 1, 0, 0, 0];
        data.extend(utf16("aab"));
        let expected = ReparsePoint::Symlink { target: target("ab", "a"), relative: true };
        assert_eq!(ReparsePoint::decode(tag::SYMLINK, &data).unwrap(), Some(expected));
        data.truncate(17);
        assert!(matches!(ReparsePoint::decode(tag::SYMLINK, &data), Err(ReparseError::OutOfBounds { field: "substitute name", .. })));
    }

    #[test]
    fn wof_and_app_exec_links() {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let decode = |tag, data: &[u8]| ReparsePoint::decode(tag, data).map(Option::unwrap);
        assert_eq!(decode(tag::WOF, &words(&[1, 2, 1, 1])), Ok(ReparsePoint::Wof(Wof::File(WofCompression::Lzx))));
        let mut wim = words(&[1, 1, 2, 0, 7, 0]);
        wim.extend([9; 20]);
        assert_eq!(decode(tag::WOF, &wim), Ok(ReparsePoint::Wof(Wof::Wim { data_source: 7, sha1: [9; 20] })));
        assert_eq!(decode(tag::WOF, &words(&[1, 3])), Err(ReparseError::Unknown { tag: tag::WOF, field: "provider", value: 3 }));
        let mut link = words(&[3]);
        link.extend(utf16("F_1\0F_1!App\0C:\\a.exe\x000\0"));
        let texts = ["F_1", "F_1!App", "C:\\a.exe", "0"].map(str::to_owned).to_vec();
        assert_eq!(decode(tag::APP_EXEC_LINK, &link), Ok(ReparsePoint::AppExecLink { version: 3, texts }));
        assert_eq!(ReparsePoint::decode(tag::DEDUP, &[1, 2]), Ok(None));
    }

    #[test]
    fn long_names_cannot_be_written() {
        let long = target(&"a".repeat(8_200), "");
        assert!(matches!(ReparsePoint::encode_symlink(&long, false), Err(ReparseError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn links_round_trip(substitute_name in ".{0,80}", print_name in ".{0,80}", relative: bool) {
            let target = Target { substitute_name, print_name };
            let (tag, data) = ReparsePoint::encode_symlink(&target, relative).unwrap();
            prop_assert_eq!(ReparsePoint::decode(tag, &data).unwrap(), Some(ReparsePoint::Symlink { target: target.clone(), relative }));
            let (tag, data) = ReparsePoint::encode_mount_point(&target).unwrap();
            prop_assert_eq!(ReparsePoint::decode(tag, &data).unwrap(), Some(ReparsePoint::MountPoint { target }));
        }

        #[test]
        fn any_bytes_are_a_value_or_an_error(data in prop::collection::vec(any::<u8>(), 0..80)) {
            for tag in [tag::SYMLINK, tag::MOUNT_POINT, tag::WOF, tag::APP_EXEC_LINK, 0] {
                let _ = ReparsePoint::decode(tag, &data);
            }
        }
    }
}
