//! The transforms of x64 images: displacements in the functions that `.pdata` names, then `.pdata` itself.

use super::super::rift::Segment;
use super::Source;
use super::image::{directory, put, u32_at};

/// Longest instruction, in bytes.
const MAX_INSTRUCTION: usize = 15;

impl Source<'_> {
    /// File offsets of the records of `.pdata`, 12 bytes each: begin, end and unwind information, all RVAs.
    fn runtime_functions(&self) -> impl Iterator<Item = usize> + use<> {
        let table = self.image.directory(directory::EXCEPTION).and_then(|(rva, size)| Some((self.image.offset(rva)?, size)));
        let (start, size) = table.unwrap_or_default();
        let size = (size as usize).min(self.bytes.len().saturating_sub(start));
        (start..).step_by(12).take(size / 12)
    }

    /// Rewrites the 32-bit displacements of branches and of operands relative to the instruction pointer.
    pub fn transform_functions(&mut self) {
        let mut near = Segment::default();
        for record in self.runtime_functions() {
            let (Some(begin), Some(end)) = (u32_at(&self.bytes, record), u32_at(&self.bytes, record.saturating_add(4))) else { break };
            let Some(start) = self.image.offset(begin).filter(|_| begin != 0 && begin < end) else { continue };
            let length = (end.wrapping_sub(begin) as usize).min(self.bytes.len().saturating_sub(start));
            if !self.spend(length) {
                return;
            }
            let mut done = 0usize;
            while done < length {
                let offset = start.saturating_add(done);
                let window = length.wrapping_sub(done).min(MAX_INSTRUCTION);
                let code = self.bytes.get(offset..offset.saturating_add(window)).unwrap_or_default();
                let instruction = Instruction::decode(code);
                done = done.saturating_add(instruction.length.max(1));
                if let Some(field) = instruction.displacement {
                    let place = offset.saturating_add(field);
                    let next = begin.wrapping_add(done as u32);
                    let target = next.wrapping_add(u32_at(&self.bytes, place).unwrap_or(0));
                    let displacement = self.moved(target).wrapping_sub(self.moved_near(&mut near, next));
                    put(&mut self.bytes, place, displacement.to_le_bytes());
                }
            }
        }
    }

    /// Rewrites the RVAs of `.pdata`, and the handler or chained function that unwind information ends with.
    pub fn transform_runtime_functions(&mut self) {
        let table = self.image.directory(directory::EXCEPTION).and_then(|(rva, size)| Some((self.image.offset(rva)?, size)));
        let Some((table, size)) = table else { return };
        let inside = table..=table.saturating_add(size as usize);
        for record in self.runtime_functions() {
            let unwind = u32_at(&self.bytes, record.saturating_add(8)).unwrap_or(0);
            let place = self.image.offset_or_header(unwind);
            if let Some(place) = place.filter(|place| unwind != 0 && !inside.contains(place))
                && let Some(&[flags, _, codes, _]) = self.bytes.get(place..).and_then(<[u8]>::first_chunk)
                && flags & 0x38 != 0
            {
                let slots = usize::from(codes).next_multiple_of(2).saturating_mul(2);
                self.move_plain_rva(place.saturating_add(4).saturating_add(slots));
            }
            for relative in [0, 4, 8] {
                self.move_plain_rva(record.saturating_add(relative));
            }
        }
    }

    /// Rewrites the RVA at a file offset, unless it is zero.
    fn move_plain_rva(&mut self, offset: usize) {
        if let Some(rva) = u32_at(&self.bytes, offset)
            && rva != 0
        {
            let moved = self.moved(rva);
            put(&mut self.bytes, offset, moved.to_le_bytes());
        }
    }
}

/// What follows an opcode, immediates apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operand {
    /// Nothing.
    None,
    /// Not an instruction that the format knows: decoding goes on behind the opcode.
    Unknown,
    /// A ModRM byte with all that it asks for.
    ModRm,
    /// An absolute address.
    Address,
    /// A short branch.
    Short,
    /// A near branch.
    Near,
}

/// The immediate at the end of an instruction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Immediate {
    None,
    Byte,
    Word,
    /// ENTER: a word and a byte.
    WordAndByte,
    /// Two or four bytes, by the operand size.
    Operand,
    /// Two, four or eight bytes, by the operand size.
    Wide,
    /// Group 3: TEST only.
    TestByte,
    TestOperand,
}

/// An instruction's length, and where in it the displacement is that moves.
struct Instruction {
    length: usize,
    displacement: Option<usize>,
}

impl Instruction {
    /// Decodes the instruction at the start of `code`; where that ends early, all of it is one instruction that stays.
    fn decode(code: &[u8]) -> Self {
        let mut cursor = Cursor { code, position: 0 };
        let displacement = cursor.instruction().flatten();
        Self { length: cursor.position, displacement }
    }
}

/// Reads one instruction.
struct Cursor<'a> {
    code: &'a [u8],
    position: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.code.get(self.position).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.position = self.position.saturating_add(1);
        Some(byte)
    }

    /// Steps over `count` bytes; where they are not all there, over none.
    fn skip(&mut self, count: usize) -> Option<()> {
        let end = self.position.checked_add(count).filter(|&end| end <= self.code.len())?;
        self.position = end;
        Some(())
    }

    /// Reads the instruction: `None` where it cannot be read to its end, else its displacement.
    fn instruction(&mut self) -> Option<Option<usize>> {
        let (mut short_operand, mut short_address) = (false, false);
        loop {
            match self.peek()? {
                0x66 => short_operand = true,
                0x67 => short_address = true,
                0x26 | 0x2E | 0x36 | 0x3E | 0x64 | 0x65 | 0xF0 | 0xF2 | 0xF3 => {}
                _ => break,
            }
            self.position = self.position.saturating_add(1);
        }
        let mut wide = false;
        if self.peek()? & 0xF0 == 0x40 {
            wide = self.next()? & 8 != 0;
            if self.peek()? & 0xF0 == 0x40 {
                return None;
            }
        }
        let (table, opcode) = match self.next()? {
            0x0F => (&TWO_BYTES, self.next()?),
            opcode => (&ONE_BYTE, opcode),
        };
        let &(operand, immediate) = table.get(usize::from(opcode))?;
        let mut register = 0;
        let displacement = match operand {
            Operand::None => None,
            Operand::Unknown => return None,
            Operand::ModRm => {
                register = self.peek()? >> 3 & 7;
                self.mod_rm()?
            }
            Operand::Address => {
                self.skip(if short_address { 4 } else { 8 })?;
                None
            }
            Operand::Short => {
                self.skip(1)?;
                None
            }
            Operand::Near => {
                let field = self.position;
                self.skip(4)?;
                Some(field)
            }
        };
        let by_operand = if short_operand { 2 } else { 4 };
        self.skip(match immediate {
            Immediate::TestByte | Immediate::TestOperand if register > 1 => 0,
            Immediate::None => 0,
            Immediate::Byte | Immediate::TestByte => 1,
            Immediate::Word => 2,
            Immediate::WordAndByte => 3,
            Immediate::Wide if wide => 8,
            Immediate::Wide | Immediate::Operand | Immediate::TestOperand => by_operand,
        })?;
        Some(displacement)
    }

    /// Reads a ModRM byte and what follows it; gives the place of a displacement relative to the instruction pointer.
    fn mod_rm(&mut self) -> Option<Option<usize>> {
        let byte = self.next()?;
        let (mode, memory) = (byte >> 6, byte & 7);
        if mode == 0 && memory == 5 {
            let field = self.position;
            self.skip(4)?;
            return Some(Some(field));
        }
        let base = if mode != 3 && memory == 4 { self.next()? & 7 } else { 0 };
        self.skip(match mode {
            0 if base == 5 => 4,
            1 => 1,
            2 => 4,
            _ => 0,
        })?;
        Some(None)
    }
}

/// What follows an opcode.
type Form = (Operand, Immediate);

/// Forms of the one-byte opcodes.
static ONE_BYTE: [Form; 256] = forms(false);
/// Forms of the opcodes behind 0F.
static TWO_BYTES: [Form; 256] = forms(true);

/// The forms of all opcodes.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated by the compiler")]
const fn forms(two_bytes: bool) -> [Form; 256] {
    let mut table = [(Operand::None, Immediate::None); 256];
    let mut opcode = 0;
    while opcode < table.len() {
        table[opcode] = if two_bytes { two_byte_opcode(opcode as u8) } else { one_byte_opcode(opcode as u8) };
        opcode += 1;
    }
    table
}

/// Operands and immediate of a one-byte opcode.
const fn one_byte_opcode(opcode: u8) -> Form {
    use Immediate as I;
    use Operand as O;
    match opcode {
        0x00..=0x3F => match opcode & 7 {
            0..=3 => (O::ModRm, I::None),
            4 => (O::None, I::Byte),
            5 => (O::None, I::Operand),
            _ => (O::Unknown, I::None),
        },
        0x63 | 0x84..=0x8F | 0xD0..=0xD3 | 0xD8..=0xDF | 0xFE | 0xFF => (O::ModRm, I::None),
        0x68 => (O::None, I::Operand),
        0x69 | 0x81 | 0xC7 => (O::ModRm, I::Operand),
        0x6A | 0xA8 | 0xB0..=0xB7 | 0xCD | 0xE4..=0xE7 => (O::None, I::Byte),
        0x6B | 0x80 | 0x83 | 0xC0 | 0xC1 | 0xC6 => (O::ModRm, I::Byte),
        0x70..=0x7F | 0xE0..=0xE3 | 0xEB => (O::Short, I::None),
        0xA0..=0xA3 => (O::Address, I::None),
        0xA9 => (O::None, I::Operand),
        0xB8..=0xBF => (O::None, I::Wide),
        0xC2 | 0xCA => (O::None, I::Word),
        0xC8 => (O::None, I::WordAndByte),
        0xE8 | 0xE9 => (O::Near, I::None),
        0xF6 => (O::ModRm, I::TestByte),
        0xF7 => (O::ModRm, I::TestOperand),
        0x40..=0x4F | 0x60..=0x62 | 0x64..=0x67 | 0x82 | 0x9A | 0x9E | 0x9F | 0xC4 | 0xC5 | 0xCE | 0xD4..=0xD6 | 0xEA => {
            (O::Unknown, I::None)
        }
        _ => (O::None, I::None),
    }
}

/// Operands and immediate of an opcode behind 0F.
const fn two_byte_opcode(opcode: u8) -> Form {
    use Immediate as I;
    use Operand as O;
    match opcode {
        0x0F | 0x70..=0x73 | 0xA4 | 0xAC | 0xBA | 0xC2 | 0xC4..=0xC6 => (O::ModRm, I::Byte),
        0x80..=0x8F => (O::Near, I::None),
        0x04..=0x09 | 0x0B | 0x0E | 0x30..=0x33 | 0x77 | 0xA0..=0xA2 | 0xA8..=0xAA | 0xC8..=0xCF => (O::None, I::None),
        0x0A | 0x0C | 0x19..=0x1F | 0x24..=0x27 | 0x34..=0x3F | 0x78..=0x7D | 0xA6 | 0xA7 | 0xB8 | 0xD0 | 0xF0 | 0xFF => {
            (O::Unknown, I::None)
        }
        _ => (O::ModRm, I::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_have_their_length_and_displacement() {
        let cases: [(&[u8], usize, Option<usize>); 26] = [
            (&[0x90], 1, None),
            (&[0x48, 0x89, 0x5C, 0x24, 0x08], 5, None),           // mov [rsp+8], rbx
            (&[0x48, 0x8B, 0x05, 1, 2, 3, 4], 7, Some(3)),        // mov rax, [rip+..]
            (&[0xC7, 0x05, 1, 2, 3, 4, 5, 6, 7, 8], 10, Some(2)), // mov dword [rip+..], imm32
            (&[0x66, 0xC7, 0x05, 1, 2, 3, 4, 5, 6], 9, Some(3)),  // mov word [rip+..], imm16
            (&[0x48, 0xB8, 1, 2, 3, 4, 5, 6, 7, 8], 10, None),    // mov rax, imm64
            (&[0xB8, 1, 2, 3, 4], 5, None),                       // mov eax, imm32
            (&[0xE8, 1, 2, 3, 4], 5, Some(1)),                    // call
            (&[0x0F, 0x84, 1, 2, 3, 4], 6, Some(2)),              // je
            (&[0x74, 5], 2, None),                                // je short
            (&[0xFF, 0x15, 1, 2, 3, 4], 6, Some(2)),              // call [rip+..]
            (&[0xF6, 0x05, 1, 2, 3, 4, 9], 7, Some(2)),           // test byte [rip+..], imm8
            (&[0xF6, 0x15, 1, 2, 3, 4], 6, Some(2)),              // not byte [rip+..]
            (&[0xF7, 0xC1, 1, 2, 3, 4], 6, None),                 // test ecx, imm32
            (&[0x8B, 0x04, 0x25, 1, 2, 3, 4], 7, None),           // mov eax, [disp32]
            (&[0x8B, 0x84, 0x8D, 1, 2, 3, 4], 7, None),           // mov eax, [rbp+rcx*4+disp32]
            (&[0x8B, 0x44, 0x24, 1], 4, None),                    // mov eax, [rsp+1]
            (&[0xC2, 8, 0], 3, None),                             // ret 8
            (&[0xC8, 1, 0, 2], 4, None),                          // enter
            (&[0xA1, 1, 2, 3, 4, 5, 6, 7, 8], 9, None),           // mov eax, moffs
            (&[0x67, 0xA1, 1, 2, 3, 4], 6, None),                 // the same with 32 bits
            (&[0xF3, 0x0F, 0x10, 0x05, 1, 2, 3, 4], 8, Some(4)),  // movss xmm0, [rip+..]
            (&[0x0F, 0xBA, 0x2D, 1, 2, 3, 4, 5], 8, Some(3)),     // bts [rip+..], imm8
            (&[0x40, 0x48, 0x90], 1, None),                       // REX twice: the first is left alone
            (&[0x0F, 0x1F, 0x40, 0x00], 2, None),                 // the long NOP is not known
            (&[0xE8, 1, 2], 1, None),                             // cut off
        ];
        for (code, length, displacement) in cases {
            let instruction = Instruction::decode(code);
            assert_eq!((instruction.length, instruction.displacement), (length, displacement), "{code:02x?}");
        }
    }
}
