//! How far a package or an update has come.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a package (`CurrentState`) or of an update (a value of its package's `Updates` key): REG_DWORD.
///
/// Numbers: `CbsState` in WitherOrNot/cbsexploder `CbsApi.h` and seven-mile/UFCase `CbsApi.idl`.
///
/// In JSON it is the word of `dism /Get-Packages`, or the number where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct State(pub u32);

impl From<State> for String {
    fn from(state: State) -> Self {
        match state.package_word() {
            "Unknown" => state.0.to_string(),
            word => word.to_owned(),
        }
    }
}

impl TryFrom<String> for State {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const NAMED: [State; 11] = [
            State::ABSENT,
            State::UNINSTALL_PENDING,
            State::RESOLVED,
            State(0x30),
            State::STAGED,
            State::SUPERSEDED,
            State::INSTALL_PENDING,
            State::PARTIALLY_INSTALLED,
            State::INSTALLED,
            State::PERMANENT,
            State(0x10),
        ];
        let named = NAMED.into_iter().find(|state| state.package_word() == text);
        named.or_else(|| text.parse().ok().map(Self)).ok_or_else(|| format!("`{text}` is no state of a package"))
    }
}

impl State {
    /// Not there, or there without payload.
    pub const ABSENT: Self = Self(0x00);
    /// Windows will remove it at its next start.
    pub const UNINSTALL_PENDING: Self = Self(0x05);
    /// Its needs are known.
    pub const RESOLVED: Self = Self(0x20);
    /// In the store, without effect.
    pub const STAGED: Self = Self(0x40);
    /// Installed, and a newer version of it as well.
    pub const SUPERSEDED: Self = Self(0x50);
    /// Windows will finish it at its next start.
    pub const INSTALL_PENDING: Self = Self(0x60);
    /// Some of it is installed.
    pub const PARTIALLY_INSTALLED: Self = Self(0x65);
    /// Installed.
    pub const INSTALLED: Self = Self(0x70);
    /// Installed, and not to be removed.
    pub const PERMANENT: Self = Self(0x80);

    /// True when it has effect: installed or permanent.
    #[must_use]
    pub fn is_installed(self) -> bool {
        matches!(self, Self::INSTALLED | Self::PERMANENT)
    }

    /// True when its files are in the store: staged, superseded, installed or permanent.
    #[must_use]
    pub fn is_staged(self) -> bool {
        (Self::STAGED.0..=Self::PERMANENT.0).contains(&self.0)
    }

    /// True when Windows has to finish something at its next start: such an image cannot be serviced.
    #[must_use]
    pub fn is_pending(self) -> bool {
        !matches!(
            self,
            Self::ABSENT | Self::RESOLVED | Self::STAGED | Self::SUPERSEDED | Self::PARTIALLY_INSTALLED | Self::INSTALLED | Self::PERMANENT
        ) && self.0 < 0x1000
    }

    /// The word of `dism /Get-Packages`.
    #[must_use]
    pub fn package_word(self) -> &'static str {
        match self.0 {
            0x00 => "Not Present",
            0x05 => "Uninstall Pending",
            0x10 | 0x20 => "Resolved",
            0x30 => "Staging",
            0x40 => "Staged",
            0x50 => "Superseded",
            0x60 => "Install Pending",
            0x65 => "Partially Installed",
            0x70 => "Installed",
            0x80 => "Permanent",
            _ => "Unknown",
        }
    }

    /// The words of `dism /Get-Features`.
    #[must_use]
    pub fn feature_words(self) -> &'static str {
        match self.0 {
            0x70 | 0x80 => "Enabled",
            0x60 => "Enable Pending",
            0x05 => "Disable Pending",
            0x00 => "Disabled with Payload Removed",
            _ => "Disabled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.package_word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_words_in_json() {
        for state in [State::ABSENT, State::STAGED, State::SUPERSEDED, State::INSTALLED, State::PERMANENT, State(0x1234)] {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state, "{json}");
        }
        assert_eq!(serde_json::to_string(&State::INSTALLED).unwrap(), "\"Installed\"");
        assert!(serde_json::from_str::<State>("\"Cooked\"").is_err());
    }

    #[test]
    fn what_has_effect_is_told_from_what_waits() {
        assert!(State::INSTALLED.is_installed() && State::PERMANENT.is_installed() && !State::SUPERSEDED.is_installed());
        assert!(State::STAGED.is_staged() && State::INSTALLED.is_staged() && !State::ABSENT.is_staged());
        assert!(State::INSTALL_PENDING.is_pending() && !State::INSTALLED.is_pending() && !State::ABSENT.is_pending());
    }
}
