//! Editions, and which may be upgraded to which.
//!
//! Source of the client paths: Microsoft, "Windows upgrade paths" (MicrosoftDocs/windows-itpro-docs,
//! `windows/deployment/upgrade/windows-upgrade-paths.md`, 04f66876); of the rows and columns that it leaves out: "Windows
//! edition upgrade" (`windows-edition-upgrades.md`, 01d821fe), upward paths only. Source of the server paths: "Upgrade and
//! conversion options for Windows Server" (MicrosoftDocs/windowsserverdocs, `upgrade-conversion-options.md`, 025e1382).

/// What an edition identifier (`EditionID`) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edition<'a> {
    /// The identifier without the endings for N, evaluation and Server Core.
    pub base: &'a str,
    /// `N` or `KN`: an edition without media features (Europe, Korea); empty for others.
    pub without_media: &'static str,
    /// Long-Term Servicing Channel (`EnterpriseS`, `IoTEnterpriseS`).
    pub long_term: bool,
    /// Evaluation copy.
    pub evaluation: bool,
}

impl<'a> Edition<'a> {
    /// Takes an identifier apart: `EnterpriseSNEval` is an evaluation copy of Enterprise LTSC N.
    pub fn parse(id: &'a str) -> Self {
        let (rest, evaluation) = id.strip_suffix("Eval").map_or((id, false), |rest| (rest, true));
        if rest.starts_with("Server") {
            let base = ["Core", "Cor"].iter().find_map(|ending| rest.strip_suffix(ending)).unwrap_or(rest);
            return Self { base, without_media: "", long_term: false, evaluation };
        }
        let endings: [(&str, &'static str); 2] = [("KN", "KN"), ("N", "N")];
        let found = endings.iter().find_map(|(ending, kind)| rest.strip_suffix(ending).map(|rest| (rest, *kind)));
        let (base, without_media) = found.unwrap_or((rest, ""));
        Self { base, without_media, long_term: matches!(base, "EnterpriseS" | "IoTEnterpriseS"), evaluation }
    }

    /// The column or row of Microsoft's table that it belongs to; `None` for editions that the table does not have.
    fn kind(&self) -> Option<Kind> {
        Some(match self.base {
            "Core" | "CoreSingleLanguage" | "CoreCountrySpecific" => Kind::Home,
            "Professional" => Kind::Pro,
            "ProfessionalWorkstation" => Kind::ProForWorkstations,
            "ProfessionalEducation" => Kind::ProEducation,
            "Education" => Kind::Education,
            "Enterprise" | "EnterpriseS" => Kind::Enterprise,
            "ServerStandard" => Kind::ServerStandard,
            "ServerDatacenter" => Kind::ServerDatacenter,
            "ServerTurbine" => Kind::ServerDatacenterAzure,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Home,
    Pro,
    ProForWorkstations,
    ProEducation,
    Education,
    Enterprise,
    ServerStandard,
    ServerDatacenter,
    ServerDatacenterAzure,
}

/// What Microsoft says of the way from one edition to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// Everything is kept.
    Full,
    /// Personal files are kept, applications and settings are not.
    Downgrade,
    /// Not supported.
    None,
    /// Neither document has it.
    Unlisted,
}

/// The way from the installed edition to the image's.
pub(super) fn path(installed: &Edition<'_>, image: &Edition<'_>) -> Path {
    if image.evaluation {
        // "Evaluation versions should be installed as clean installs": said of servers; clients have no such sentence.
        return if image.base.starts_with("Server") { Path::None } else { Path::Unlisted };
    }
    if installed.evaluation && !installed.base.starts_with("Server") {
        return Path::Unlisted;
    }
    if installed.base == image.base {
        return Path::Full;
    }
    let (Some(from), Some(to)) = (installed.kind(), image.kind()) else { return Path::Unlisted };
    match (from, to) {
        // Other Home editions (one language, one country), and LTSC with GA of the same edition: the channel has its own rule.
        (Kind::Enterprise, Kind::Enterprise) => Path::Full,
        (Kind::Home, Kind::Home) => Path::Unlisted,
        (Kind::Home, Kind::Pro | Kind::ProForWorkstations | Kind::ProEducation | Kind::Education)
        | (Kind::Pro, Kind::ProForWorkstations | Kind::ProEducation | Kind::Education | Kind::Enterprise)
        | (Kind::ProForWorkstations, Kind::ProEducation | Kind::Education | Kind::Enterprise)
        | (Kind::ProEducation | Kind::Enterprise, Kind::Education) => Path::Full,
        (Kind::Pro, Kind::Home) | (Kind::Education, Kind::Enterprise) => Path::Downgrade,
        (Kind::Home, Kind::Enterprise)
        | (Kind::Education, Kind::Home | Kind::Pro | Kind::ProEducation)
        | (Kind::Enterprise, Kind::Home | Kind::Pro | Kind::ProEducation) => Path::None,
        (Kind::ServerStandard, Kind::ServerDatacenter | Kind::ServerDatacenterAzure)
        | (Kind::ServerDatacenter, Kind::ServerDatacenterAzure) => Path::Full,
        (Kind::ServerDatacenter | Kind::ServerDatacenterAzure, Kind::ServerStandard)
        | (Kind::ServerDatacenterAzure, Kind::ServerDatacenter) => Path::None,
        _ => Path::Unlisted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_taken_apart() {
        let parts = |id| {
            let edition = Edition::parse(id);
            (edition.base, edition.without_media, edition.long_term, edition.evaluation)
        };
        assert_eq!(parts("Professional"), ("Professional", "", false, false));
        assert_eq!(parts("ProfessionalN"), ("Professional", "N", false, false));
        assert_eq!(parts("ProfessionalKN"), ("Professional", "KN", false, false));
        assert_eq!(parts("EnterpriseSNEval"), ("EnterpriseS", "N", true, true));
        assert_eq!(parts("IoTEnterpriseS"), ("IoTEnterpriseS", "", true, false));
        assert_eq!(parts("ServerDatacenterEval"), ("ServerDatacenter", "", false, true));
        assert_eq!(parts("ServerDatacenterCore"), ("ServerDatacenter", "", false, false));
        assert_eq!(parts("ServerTurbineCor"), ("ServerTurbine", "", false, false));
        assert_eq!(parts("Core"), ("Core", "", false, false));
        assert_eq!(parts(""), ("", "", false, false));
    }

    #[test]
    fn the_table_is_microsofts() {
        let table = [
            // Rows: installed. Columns: Home, Pro, Pro Education, Education, Enterprise. The diagonal is a plain version upgrade.
            ("Core", "++++-"),
            ("Professional", "d++++"),
            ("Education", "---+d"),
            ("Enterprise", "---++"),
        ];
        let columns = ["Core", "Professional", "ProfessionalEducation", "Education", "Enterprise"];
        for (installed, row) in table {
            for (image, expected) in columns.iter().zip(row.chars()) {
                let expected = match expected {
                    '+' => Path::Full,
                    'd' => Path::Downgrade,
                    _ => Path::None,
                };
                assert_eq!(path(&Edition::parse(installed), &Edition::parse(image)), expected, "{installed} to {image}");
            }
        }
    }

    #[test]
    fn servers_and_what_is_not_listed() {
        let way = |installed, image| path(&Edition::parse(installed), &Edition::parse(image));
        assert_eq!(way("ServerStandard", "ServerDatacenter"), Path::Full);
        assert_eq!(way("ServerDatacenter", "ServerStandard"), Path::None);
        assert_eq!(way("ServerTurbine", "ServerDatacenter"), Path::None);
        assert_eq!(way("ServerStandardEval", "ServerStandard"), Path::Full);
        assert_eq!(way("ServerStandard", "ServerStandardEval"), Path::None);
        assert_eq!(way("EnterpriseEval", "Enterprise"), Path::Unlisted);
        assert_eq!(way("ServerStandard", "Enterprise"), Path::Unlisted);
        assert_eq!(way("IoTEnterprise", "Enterprise"), Path::Unlisted);
        assert_eq!(way("CoreSingleLanguage", "Core"), Path::Unlisted);
        assert_eq!(way("ProfessionalWorkstation", "Enterprise"), Path::Full);
        assert_eq!(way("EnterpriseS", "Enterprise"), Path::Full);
        assert_eq!(way("Cloud", "Cloud"), Path::Full);
    }
}
