//! Names with wildcards, as people write them for apps and images.

use wimwright_format::upcase;

/// True when `name` is what `pattern` means: `*` stands for any characters, `?` for one; case does not matter.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let fold = |text: &str| text.encode_utf16().map(upcase::upcase).collect::<Vec<u16>>();
    let (pattern, name) = (fold(pattern), fold(name));
    let (star, any) = (u16::from(b'*'), u16::from(b'?'));
    let (mut at, mut position) = (0, 0);
    // Where to go on when a guess about the last star was wrong: behind it, one more character swallowed.
    let mut retry: Option<(usize, usize)> = None;
    while position < name.len() {
        if pattern.get(at) == Some(&star) {
            retry = Some((at + 1, position));
            at += 1;
        } else if pattern.get(at).is_some_and(|unit| *unit == any || *unit == name[position]) {
            at += 1;
            position += 1;
        } else if let Some((behind, swallowed)) = retry {
            retry = Some((behind, swallowed + 1));
            (at, position) = (behind, swallowed + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|unit| *unit == star)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards() {
        assert!(matches("Microsoft.Xbox*", "microsoft.xboxapp"));
        assert!(matches("*bing*", "Microsoft.BingNews"));
        assert!(matches("Window? 1?", "windowS 11"));
        assert!(matches("*", ""));
        assert!(!matches("Microsoft.Xbox", "Microsoft.XboxApp"));
        assert!(!matches("a*b", "ac"));
        assert!(!matches("?", ""));
    }
}
