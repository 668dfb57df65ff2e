//! Versions of assemblies.

use std::fmt;
use std::str::FromStr;

use super::Error;
use super::error::shortened;

/// A version of four numbers, compared from left to right: `10.0.20348.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub [u16; 4]);

impl Version {
    /// `0.0.0.0`: what stands for "any version" in index keys such as `PackageIndex\<id>`.
    pub const ZERO: Self = Self([0; 4]);

    /// `Major.Minor`, the bucket that winners are chosen in (`SideBySide\Winners\<family>\10.0`).
    #[must_use]
    pub fn bucket(&self) -> String {
        let [major, minor, ..] = self.0;
        format!("{major}.{minor}")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, build, revision] = self.0;
        write!(formatter, "{major}.{minor}.{build}.{revision}")
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error::Version { text: shortened(text) };
        let mut parts = text.split('.');
        let mut numbers = [0; 4];
        for number in &mut numbers {
            let part = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            *number = part.and_then(|part| part.parse().ok()).ok_or_else(error)?;
        }
        if parts.next().is_some() { Err(error()) } else { Ok(Self(numbers)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_four_numbers_in_order() {
        let version: Version = "10.0.20348.1".parse().unwrap();
        assert_eq!(version, Version([10, 0, 20348, 1]));
        assert_eq!(version.to_string(), "10.0.20348.1");
        assert_eq!(version.bucket(), "10.0");
        assert!("10.0.19041.4".parse::<Version>().unwrap() < version);
        for wrong in ["", "1.2.3", "1.2.3.4.5", "1.2.3.65536", "1.2.3.-4", "1.2.3.+4", "1..3.4"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }
}
