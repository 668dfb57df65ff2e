//! Windows' case-insensitive comparison of names: each UTF-16 code unit is replaced by its upper-case counterpart, then
//! the units are compared as numbers.
//!
//! NTFS stores the mapping on every volume (`$UpCase`), the registry uses the kernel's own copy
//! (`RtlUpcaseUnicodeChar`). Both map one code unit to one code unit, know no locale, and leave surrogates alone. We use
//! Unicode's simple upper-case mapping, less the letters whose capital is an ASCII letter: Windows leaves those unchanged
//! (ntfs-3g, `libntfs-3g/unistr.c`, has the same exceptions in its generated table).

use std::cmp::Ordering;

/// The upper-case counterpart of one UTF-16 code unit, or the unit itself.
#[must_use]
pub fn upcase(unit: u16) -> u16 {
    if unit < 0x80 {
        return if (0x61..=0x7a).contains(&unit) { unit & !0x20 } else { unit };
    }
    let Some(character) = char::from_u32(u32::from(unit)) else { return unit };
    let mut mapped = character.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(upper), None) if !upper.is_ascii() => u16::try_from(u32::from(upper)).unwrap_or(unit),
        _ => unit,
    }
}

/// Compares two names without regard to case.
#[must_use]
pub fn compare(left: &[u16], right: &[u16]) -> Ordering {
    left.iter().map(|&unit| upcase(unit)).cmp(right.iter().map(|&unit| upcase(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) -> bool {
        let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        compare(&units(left), &units(right)).is_eq()
    }

    #[test]
    fn case_is_folded_one_unit_at_a_time() {
        assert!(same("System32", "SYSTEM32"));
        assert!(same("Größe", "GRÖßE"));
        assert!(same("привет", "ПРИВЕТ"));
        assert!(!same("ß", "SS"), "one unit never becomes two");
        assert!(!same("\u{131}", "I"), "dotless i keeps to itself");
        assert!(!same("\u{17f}", "S"), "long s keeps to itself");
        assert!(!same("a", "b"));
    }
}
