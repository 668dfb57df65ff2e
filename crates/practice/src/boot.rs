//! Boot programs of practice media: ours, so that practice media hold nothing of Microsoft's.
//!
//! They stand where `etfsboot.com` and `efisys.bin` stand on Windows installation media, and prove that a medium boots: each
//! prints [`MESSAGE`] on the screen and on the first serial port (0x3F8), then halts the machine.

use std::io::{Cursor, Result, Write};

/// What the boot programs print, followed by a line break.
pub const MESSAGE: &str = "Wimwright practice medium";

/// Bytes of `etfsboot.com`, the eight sectors of 512 bytes that its boot entry asks for.
const ETFSBOOT_SIZE: usize = 4096;
/// Bytes of `efisys.bin`: a 1.44 MB floppy disk, like Microsoft's.
const EFISYS_SIZE: usize = 1_474_560;

/// The BIOS program, for 16-bit real mode. El Torito loads it to 0000:7C00.
#[rustfmt::skip]
const BIOS_CODE: [u8; 46] = [
    0xFA,             // 00        cli
    0x31, 0xC0,       // 01        xor ax, ax
    0x8E, 0xD8,       // 03        mov ds, ax
    0x8E, 0xD0,       // 05        mov ss, ax
    0xBC, 0x00, 0x7C, // 07        mov sp, 0x7C00
    0xFC,             // 0A        cld
    0xFB,             // 0B        sti
    0xBE, 0x2E, 0x7C, // 0C        mov si, 0x7C2E      ; the message, behind the code
    0xAC,             // 0F next:  lodsb
    0x84, 0xC0,       // 10        test al, al
    0x74, 0x17,       // 12        jz halt             ; NUL ends the message
    0x50,             // 14        push ax
    0xBA, 0xFD, 0x03, // 15        mov dx, 0x3FD       ; line status register
    0xEC,             // 18 wait:  in al, dx
    0xA8, 0x20,       // 19        test al, 0x20       ; can a byte be sent? (Without a port 0xFF is read: yes.)
    0x74, 0xFB,       // 1B        jz wait
    0x58,             // 1D        pop ax
    0xBA, 0xF8, 0x03, // 1E        mov dx, 0x3F8
    0xEE,             // 21        out dx, al
    0xB4, 0x0E,       // 22        mov ah, 0x0E        ; teletype output, page 0, light grey
    0xBB, 0x07, 0x00, // 24        mov bx, 7
    0xCD, 0x10,       // 27        int 0x10
    0xEB, 0xE4,       // 29        jmp next
    0xF4,             // 2B halt:  hlt
    0xEB, 0xFD,       // 2C        jmp halt
];

/// The UEFI program, for x64: position independent. RDX holds the system table.
#[rustfmt::skip]
const UEFI_CODE: [u8; 56] = [
    0x48, 0x83, 0xEC, 0x28,                   // 00        sub rsp, 0x28          ; shadow space, alignment
    0x48, 0x8B, 0x4A, 0x40,                   // 04        mov rcx, [rdx + 0x40]  ; ConOut
    0x48, 0x8D, 0x15, 0x29, 0x00, 0x00, 0x00, // 08        lea rdx, [rip + 0x29]  ; 38: the message in UTF-16
    0xFF, 0x51, 0x08,                         // 0F        call [rcx + 8]         ; OutputString
    0x48, 0x8D, 0x35, 0x57, 0x00, 0x00, 0x00, // 12        lea rsi, [rip + 0x57]  ; 70: the message in ASCII
    0xAC,                                     // 19 next:  lodsb
    0x84, 0xC0,                               // 1A        test al, al
    0x74, 0x14,                               // 1C        jz halt
    0x88, 0xC4,                               // 1E        mov ah, al
    0x66, 0xBA, 0xFD, 0x03,                   // 20        mov dx, 0x3FD
    0xEC,                                     // 24 wait:  in al, dx
    0xA8, 0x20,                               // 25        test al, 0x20
    0x74, 0xFB,                               // 27        jz wait
    0x88, 0xE0,                               // 29        mov al, ah
    0x66, 0xBA, 0xF8, 0x03,                   // 2B        mov dx, 0x3F8
    0xEE,                                     // 2F        out dx, al
    0xEB, 0xE7,                               // 30        jmp next
    0xFA,                                     // 32 halt:  cli                    ; no timer: the watchdog would restart
    0xF4,                                     // 33        hlt
    0xEB, 0xFC,                               // 34        jmp halt
    0x00, 0x00,                               // 36
];

/// The UTF-16 message has room from 0x38 to here.
const UEFI_ASCII_AT: usize = 0x70;

fn message() -> String {
    format!("{MESSAGE}\r\n\0")
}

/// A BIOS boot program for the El Torito entry without emulation, 4096 bytes: the counterpart of `boot/etfsboot.com`.
#[must_use]
pub fn etfsboot() -> Vec<u8> {
    let mut image = BIOS_CODE.to_vec();
    image.extend(message().bytes());
    image.resize(ETFSBOOT_SIZE, 0);
    image
}

/// Appends little-endian numbers to an image that is put together front to back.
fn put16(image: &mut Vec<u8>, values: &[u16]) {
    image.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn put32(image: &mut Vec<u8>, values: &[u32]) {
    image.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn put64(image: &mut Vec<u8>, values: &[u64]) {
    image.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// A UEFI application for x64 (PE32+, one section, no relocations): `EFI/BOOT/BOOTX64.EFI`.
#[must_use]
pub fn bootx64() -> Vec<u8> {
    // The section lies at 0x200 in the file, at 0x1000 in memory.
    const FILE_ALIGNMENT: u32 = 0x200;
    const SECTION_ALIGNMENT: u32 = 0x1000;
    let mut image = b"MZ".to_vec();
    image.resize(0x3C, 0);
    put32(&mut image, &[0x40]); // 3C: where the PE header starts
    image.extend(b"PE\0\0");
    put16(&mut image, &[0x8664, 1]); // 44: machine x64, sections
    put32(&mut image, &[0, 0, 0]); // 48: time, symbols, their number
    put16(&mut image, &[0xF0, 0x22]); // 54: bytes of the optional header; executable, aware of large addresses
    put16(&mut image, &[0x20B, 0]); // 58: PE32+, linker version
    put32(&mut image, &[FILE_ALIGNMENT, 0, 0, SECTION_ALIGNMENT, SECTION_ALIGNMENT]); // 5C: bytes of code, data, zeros; entry, code
    put64(&mut image, &[0x40_0000]); // 70: image base
    put32(&mut image, &[SECTION_ALIGNMENT, FILE_ALIGNMENT]); // 78
    put16(&mut image, &[0, 0, 0, 0, 0, 0]); // 80: versions of system, image, subsystem
    put32(&mut image, &[0, 2 * SECTION_ALIGNMENT, FILE_ALIGNMENT, 0]); // 8C: reserved, bytes of image, of headers, checksum
    put16(&mut image, &[10, 0x100]); // 9C: subsystem EFI application; NX compatible
    put64(&mut image, &[0x10_0000, 0x1000, 0x10_0000, 0x1000]); // A0: stack and heap
    put32(&mut image, &[0, 16]); // C0: loader flags, data directories
    put32(&mut image, &[0; 32]); // C8: data directories, all empty
    image.extend(b".text\0\0\0"); // 148
    put32(&mut image, &[FILE_ALIGNMENT, SECTION_ALIGNMENT, FILE_ALIGNMENT, FILE_ALIGNMENT]); // 150: size, address, bytes, place
    put32(&mut image, &[0, 0, 0, 0x6000_0020]); // 160: relocations, lines, their numbers; code, executable, readable
    image.resize(FILE_ALIGNMENT as usize, 0);
    let code = image.len();
    image.extend(UEFI_CODE);
    image.extend(message().encode_utf16().flat_map(u16::to_le_bytes));
    image.resize(code + UEFI_ASCII_AT, 0);
    image.extend(message().bytes());
    image.resize(2 * FILE_ALIGNMENT as usize, 0);
    image
}

/// A FAT12 volume of a 1.44 MB floppy disk that holds [`bootx64`]: the counterpart of `efi/microsoft/boot/efisys.bin`.
/// Its bytes are the same each time: no clock, a fixed serial number.
///
/// # Errors
/// What the FAT writer reports; it works in memory, so none is expected.
pub fn efisys() -> Result<Vec<u8>> {
    let mut image = vec![0; EFISYS_SIZE];
    let options = fatfs::FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat12).volume_label(*b"EFISYS     ");
    fatfs::format_volume(Cursor::new(image.as_mut_slice()), options)?;
    let volume = fatfs::FileSystem::new(Cursor::new(image.as_mut_slice()), fatfs::FsOptions::new())?;
    volume.root_dir().create_dir("EFI")?.create_dir("BOOT")?.create_file("BOOTX64.EFI")?.write_all(&bootx64())?;
    volume.unmount()?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_their_sizes_and_the_same_bytes_each_time() {
        assert_eq!(etfsboot().len(), ETFSBOOT_SIZE);
        assert_eq!(bootx64().len(), 0x400);
        let image = efisys().unwrap();
        assert_eq!(image.len(), EFISYS_SIZE);
        assert!(image == efisys().unwrap());
    }

    #[test]
    fn the_code_finds_its_messages() {
        let at = |image: &[u8], offset: usize| u32::from_le_bytes(image[offset..offset + 4].try_into().unwrap()) as usize;
        assert!(etfsboot()[0x2E..].starts_with(MESSAGE.as_bytes()));
        let image = &bootx64()[0x200..];
        assert_eq!((0x0F + at(image, 0x0B), 0x19 + at(image, 0x15)), (UEFI_CODE.len(), UEFI_ASCII_AT));
        assert!(image[UEFI_ASCII_AT..].starts_with(MESSAGE.as_bytes()));
        assert!(image[UEFI_CODE.len()..].starts_with(&MESSAGE.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()));
    }

    #[test]
    fn oracle_fsck_finds_nothing_wrong_with_efisys() {
        if !wimwright_testkit::oracles(&["fsck.fat"]) {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), efisys().unwrap()).unwrap();
        wimwright_testkit::run(std::process::Command::new("fsck.fat").arg("-n").arg(file.path()));
    }
}
