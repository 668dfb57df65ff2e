//! The `$(…)` macros of manifests: where things go in an image.
//!
//! `$(runtime.system32)` and its kind stand in destination paths and in registry texts. Which directory they mean depends on
//! whether the component belongs to the image's own architecture or to its 32-bit guest ([`Directories`]). A macro that is
//! not in the table is an error that names the component: a path is never guessed.
//!
//! Sources: himselfv/manifestenum `AssemblyDb.Environ`, Wine's `wusa`, SafeBreach-Labs/WindowsDowndate, counts over real
//! manifests (facts/cbs.md 2.4).

use super::Error;
use super::error::shortened;

/// Most bytes that macros may add to a text: real ones add less than 1 KiB, and texts of string tables could repeat one another.
const MAXIMUM_GROWTH: usize = 64 << 10;

/// Whose directories and registry keys a component uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Directories {
    /// Those of the image's own architecture: `System32`, `Program Files`, `HKLM\SOFTWARE`.
    Native,
    /// Those of 32-bit programs on a 64-bit image: `SysWOW64`, `Program Files (x86)`, `HKLM\SOFTWARE\WOW6432Node`.
    Wow64,
}

impl Directories {
    /// Chooses for a component of one architecture in an image of another, both as manifests spell them.
    ///
    /// # Errors
    /// [`Error::Architecture`] for a pair whose directories are not public (32-bit ARM in a 64-bit image) or that does not
    /// exist.
    pub fn of(component: &str, image: &str) -> Result<Self, Error> {
        let (component, image) = (component.to_ascii_lowercase(), image.to_ascii_lowercase());
        match (component.as_str(), image.as_str()) {
            ("msil" | "neutral", _) => Ok(Self::Native),
            (component, image) if component == image && component != "wow64" => Ok(Self::Native),
            ("wow64" | "x86", "amd64" | "arm64") => Ok(Self::Wow64),
            _ => Err(Error::Architecture { component, image }),
        }
    }

    /// The directory that a macro stands for, from the root of the image and with a leading backslash; empty for the root.
    fn of_macro(self, name: &str) -> Option<&'static str> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("runtime.")?;
        let common = match name {
            "bootdrive" | "root" | "" => "",
            "windows" | "windir" | "systemroot" => r"\Windows",
            "syswow64" => r"\Windows\SysWOW64",
            "inf" => r"\Windows\INF",
            "fonts" => r"\Windows\Fonts",
            "help" => r"\Windows\Help",
            "apppatch" => r"\Windows\AppPatch",
            "programfilesx86" => r"\Program Files (x86)",
            "commonfilesx86" => r"\Program Files (x86)\Common Files",
            "programdata" => r"\ProgramData",
            "public" => r"\Users\Public",
            "documentssettings" => r"\Users",
            "userprofile" => r"\Users\Default",
            "startmenu" => r"\ProgramData\Microsoft\Windows\Start Menu",
            "startup" => r"\ProgramData\Microsoft\Windows\Start Menu\Programs\StartUp",
            _ => return self.of_divided_macro(name),
        };
        Some(common)
    }

    /// The macros that mean another directory to 32-bit components.
    fn of_divided_macro(self, name: &str) -> Option<&'static str> {
        let (native, wow64) = match name {
            "system32" | "system" => (r"\Windows\System32", r"\Windows\SysWOW64"),
            "drivers" => (r"\Windows\System32\drivers", r"\Windows\SysWOW64\drivers"),
            "wbem" => (r"\Windows\System32\wbem", r"\Windows\SysWOW64\wbem"),
            "programfiles" => (r"\Program Files", r"\Program Files (x86)"),
            "commonfiles" => (r"\Program Files\Common Files", r"\Program Files (x86)\Common Files"),
            _ => return None,
        };
        Some(match self {
            Self::Native => native,
            Self::Wow64 => wow64,
        })
    }
}

/// Everything that macros in one component can refer to.
pub struct Macros<'a> {
    /// Keyform of the component, for errors.
    pub component: &'a str,
    /// Whose directories it uses.
    pub directories: Directories,
    /// Answers all other macros: `string.<id>`, `resourceString.<id>` (localization), `dependentAssembly.<name>.path`. Called
    /// with the name as the manifest spells it.
    pub other: &'a dyn Fn(&str) -> Option<String>,
}

impl Macros<'_> {
    /// Expands a text as Windows sees it: directories start with the drive of the running system, `C:`.
    ///
    /// # Errors
    /// [`Error::UnknownMacro`], [`Error::OpenMacro`] and [`Error::Expansion`].
    pub fn text(&self, text: &str) -> Result<String, Error> {
        self.expand(text, "C:")
    }

    /// Expands a directory or file path of the manifest to a path in the image: a leading backslash, none at the end, empty
    /// for the root itself.
    ///
    /// # Errors
    /// [`Error::UnknownMacro`], [`Error::OpenMacro`], [`Error::Expansion`]; [`Error::Path`] when the path is relative, names a drive or a stream,
    /// or has a `.` or `..` in it.
    pub fn path(&self, path: &str) -> Result<String, Error> {
        let error = || Error::Path { component: self.component.to_owned(), path: shortened(path) };
        let expanded = self.expand(path, "")?.replace('/', "\\");
        let rooted = expanded.is_empty() || expanded.starts_with('\\');
        if !rooted || expanded.contains([':', '*', '?', '"', '<', '>', '|', '\0']) {
            return Err(error());
        }
        let mut result = String::with_capacity(expanded.len());
        for name in expanded.split('\\').filter(|name| !name.is_empty()) {
            if matches!(name, "." | "..") || name.ends_with(['.', ' ']) {
                return Err(error());
            }
            result.push('\\');
            result.push_str(name);
        }
        Ok(result)
    }

    fn expand(&self, text: &str, drive: &str) -> Result<String, Error> {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("$(") {
            let open = || Error::OpenMacro { component: self.component.to_owned(), text: shortened(text) };
            let (name, after) = after.split_once(')').ok_or_else(open)?;
            result.push_str(before);
            match self.directories.of_macro(name) {
                Some(directory) => {
                    result.push_str(drive);
                    result.push_str(directory);
                }
                None => {
                    let unknown = || Error::UnknownMacro { component: self.component.to_owned(), name: shortened(name) };
                    result.push_str(&(self.other)(name).ok_or_else(unknown)?);
                }
            }
            if result.len() > text.len().saturating_add(MAXIMUM_GROWTH) {
                return Err(Error::Expansion { component: self.component.to_owned(), text: shortened(text), limit: MAXIMUM_GROWTH });
            }
            rest = after;
        }
        result.push_str(rest);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn macros(directories: Directories) -> Macros<'static> {
        Macros { component: "amd64_a", directories, other: &|name| (name == "string.a").then(|| "A".to_owned()) }
    }

    #[test]
    fn directories_follow_the_architecture() {
        assert_eq!(Directories::of("amd64", "AMD64").unwrap(), Directories::Native);
        assert_eq!(Directories::of("msil", "amd64").unwrap(), Directories::Native);
        assert_eq!(Directories::of("x86", "x86").unwrap(), Directories::Native);
        assert_eq!(Directories::of("x86", "amd64").unwrap(), Directories::Wow64);
        assert_eq!(Directories::of("wow64", "arm64").unwrap(), Directories::Wow64);
        for (component, image) in [("arm", "arm64"), ("wow64", "x86"), ("amd64", "x86"), ("wow64", "wow64")] {
            assert!(Directories::of(component, image).is_err());
        }
    }

    #[test]
    fn paths_lie_in_the_image() {
        let native = macros(Directories::Native);
        assert_eq!(native.path(r"$(runtime.System32)\OpenSSH\").unwrap(), r"\Windows\System32\OpenSSH");
        assert_eq!(native.path(r"$(runtime.bootDrive)\").unwrap(), "");
        assert_eq!(native.path("$(runtime.bootdrive)/a//b").unwrap(), r"\a\b");
        assert_eq!(macros(Directories::Wow64).path("$(runtime.programFiles)").unwrap(), r"\Program Files (x86)");
        for outside in [r"$(runtime.windows)\..\a", "a", r"C:\a", r"\a:b", r"\a.", r"\\?\a"] {
            assert!(matches!(native.path(outside), Err(Error::Path { .. })), "{outside}");
        }
        assert!(matches!(native.path("$(runtime.moon)"), Err(Error::UnknownMacro { .. })));
        assert!(matches!(native.path("$(runtime"), Err(Error::OpenMacro { .. })));
    }

    #[test]
    fn texts_name_the_drive() {
        let wow64 = macros(Directories::Wow64);
        assert_eq!(wow64.text(r#""$(runtime.system32)\a.exe" %1 $(string.a)"#).unwrap(), r#""C:\Windows\SysWOW64\a.exe" %1 A"#);
        assert!(matches!(wow64.text("$(string.b)"), Err(Error::UnknownMacro { .. })));
        let long = Macros { other: &|_| Some("a".repeat(1000)), ..macros(Directories::Native) };
        assert!(matches!(long.text(&"$(string.a)".repeat(1000)), Err(Error::Expansion { .. })));
    }
}
