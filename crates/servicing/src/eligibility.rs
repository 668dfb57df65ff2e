//! May an image upgrade an installed Windows in place, keeping everything?
//!
//! Windows Setup decides that when it runs; here its published rules are applied beforehand, one by one. Each rule tells what
//! it compared and why it judges so; what is not known, or not published, is *unknown* and never counts as met. Sources of
//! every rule: `docs/reference/eligibility.md`.

mod editions;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inventory::Inventory;
use crate::provenance;
use editions::{Edition, Path};

/// First build of Windows 10. Microsoft's present table of client upgrades begins there.
const WINDOWS_10: u32 = 10240;

/// Builds that share one set of files; an enablement package switches the release. Media of the later releases may still
/// name the first build (Microsoft, KB5015684 "Featured update to Windows 10, version 22H2 by using an enablement package"
/// and its like).
const SHARED_FILES: [&[u32]; 4] = [&[18362, 18363], &[19041, 19042, 19043, 19044, 19045], &[22621, 22631], &[26100, 26200]];

/// Which Windows Server release may be upgraded to which, by build: 2012, 2012 R2, 2016, 2019, 2022, 2025 (Microsoft,
/// "Overview of Windows Server upgrades", MicrosoftDocs/windowsserverdocs `upgrade-overview.md`, 030ee582).
const SERVER_PATHS: [(u32, &[u32]); 6] = [
    (9200, &[9600, 14393]),
    (9600, &[14393, 17763, 26100]),
    (14393, &[17763, 20348, 26100]),
    (17763, &[20348, 26100]),
    (20348, &[26100]),
    (26100, &[]),
];

/// What is known of an installed Windows. Facts that are left out make the rules that need them unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// `x64` (or `amd64`), `x86`, `arm64`. PowerShell: `$env:PROCESSOR_ARCHITECTURE`.
    pub architecture: Option<String>,
    /// Build number, such as 19045: `CurrentBuild` below `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion`.
    pub build: Option<u32>,
    /// Update build revision, such as 5011: `UBR` of the same key.
    pub ubr: Option<u32>,
    /// Edition identifier, such as `Professional` or `EnterpriseSN`: `EditionID` of the same key. N editions and LTSC are told by it.
    pub edition: Option<String>,
    /// `Client`, `Server` or `Server Core`: `InstallationType` of the same key.
    pub installation_type: Option<String>,
    /// System default UI language, such as `en-US`. PowerShell: `Get-SystemPreferredUILanguage`; `dism /Online /Get-Intl` shows it.
    pub language: Option<String>,
}

/// What is known of the medium that the image lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediumFacts {
    /// Whether it is a whole setup medium: `setup.exe` in its root, the image in `sources`.
    pub has_setup: bool,
}

/// Whether the image may upgrade the installed Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Eligible {
    /// Every rule is met: an in-place upgrade that keeps files, settings and applications.
    Yes,
    /// A rule is broken.
    No,
    /// No rule is broken, but not all could be judged.
    Unknown,
}

/// What Windows Setup can keep, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keeps {
    /// Nothing: only a clean installation is possible.
    Nothing,
    /// Personal files; applications and settings are lost.
    PersonalFiles,
    /// Personal files, settings and applications.
    Everything,
}

/// How a rule was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Met,
    /// It does not.
    Broken,
    /// A fact is missing, or no published source decides the case.
    Unknown,
}

/// A rule, and how it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// What the rule is about: `provenance`, `medium`, `architecture`, `version`, `installation type`, `edition`, `language`,
    /// `media features`, `servicing channel`.
    pub rule: String,
    /// What the image has; empty when that is not known.
    pub image: String,
    /// What the installed Windows has; empty when that is not known or does not matter.
    pub installed: String,
    /// How it was judged.
    pub verdict: Verdict,
    /// What Setup can keep at most as far as this rule goes.
    pub keeps: Keeps,
    /// Why, and what can be done.
    pub reason: String,
}

/// The result, rule by rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assessment {
    /// Whether an in-place upgrade that keeps everything is possible.
    pub eligible: Eligible,
    /// What Setup can keep at most: the least of what the rules allow. Unknown rules are taken as met here.
    pub keeps: Keeps,
    /// Every rule, in a fixed order.
    pub rules: Vec<Rule>,
}

/// Judges whether `image`, lying on a medium of which `medium` is known, may upgrade `installed`.
#[must_use]
pub fn assess(image: &Inventory, installed: &Installed, medium: MediumFacts) -> Assessment {
    let editions = Editions::of(image, installed);
    let rules = vec![
        provenance_rule(image),
        medium_rule(medium),
        architecture_rule(image, installed),
        version_rule(image, installed),
        installation_type_rule(image, installed),
        edition_rule(&editions),
        language_rule(image, installed),
        media_features_rule(&editions),
        servicing_channel_rule(&editions),
    ];
    let any = |verdict| rules.iter().any(|rule| rule.verdict == verdict);
    let eligible = match (any(Verdict::Broken), any(Verdict::Unknown)) {
        (true, _) => Eligible::No,
        (false, true) => Eligible::Unknown,
        (false, false) => Eligible::Yes,
    };
    Assessment { eligible, keeps: rules.iter().map(|rule| rule.keeps).min().unwrap_or(Keeps::Nothing), rules }
}

/// What a rule's comparison came to.
struct Judgement {
    verdict: Verdict,
    keeps: Keeps,
    reason: String,
}

fn met(reason: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Met, keeps: Keeps::Everything, reason: reason.into() }
}

fn unknown(reason: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Unknown, keeps: Keeps::Everything, reason: reason.into() }
}

fn broken(keeps: Keeps, reason: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Broken, keeps, reason: reason.into() }
}

fn rule(name: &str, image: impl Into<String>, installed: impl Into<String>, judgement: Judgement) -> Rule {
    let Judgement { verdict, keeps, reason } = judgement;
    Rule { rule: name.to_owned(), image: image.into(), installed: installed.into(), verdict, keeps, reason }
}

/// Compares two texts where both are known.
fn compare<'a>(what: &str, image: &'a str, installed: Option<&'a str>, judge: impl FnOnce(&'a str, &'a str) -> Judgement) -> Judgement {
    match (image, installed.unwrap_or_default()) {
        ("", _) => unknown(format!("the image does not say its {what}")),
        (_, "") => unknown(format!("the facts do not say the installed Windows' {what}")),
        (image, installed) => judge(image, installed),
    }
}

fn provenance_rule(image: &Inventory) -> Rule {
    let verdict = image.provenance.verdict;
    let judgement = match verdict {
        provenance::Verdict::Uncaptured => met("the image is as Microsoft made it, at most serviced offline"),
        provenance::Verdict::Captured | provenance::Verdict::CapturedAndGeneralized => broken(
            Keeps::Nothing,
            "Setup upgrades with a standard image only: the applications of a captured one would meet those that are installed",
        ),
        provenance::Verdict::Indeterminate => {
            unknown("the evidence does not tell whether the image was captured; `wimwright inspect` lists it")
        }
    };
    rule("provenance", verdict.to_string(), "", judgement)
}

fn medium_rule(medium: MediumFacts) -> Rule {
    let (found, judgement) = if medium.has_setup {
        ("setup medium", met("an upgrade is started by the medium's own setup.exe"))
    } else {
        (
            "image without Setup",
            broken(
                Keeps::Nothing,
                "an upgrade is started by setup.exe of a whole setup medium: put the image into the `sources` folder of one",
            ),
        )
    };
    rule("medium", found, "", judgement)
}

fn architecture_rule(image: &Inventory, installed: &Installed) -> Rule {
    let normal = |name: &str| name.to_lowercase().replace("amd64", "x64").replace("x86_64", "x64");
    let known = installed.architecture.as_deref().map(normal).unwrap_or_default();
    let judgement = compare("architecture", &image.architecture, Some(&known), |image, installed| {
        if normal(image) == installed {
            met("both are the same")
        } else {
            broken(Keeps::Nothing, "Setup does not upgrade from one architecture to another")
        }
    });
    rule("architecture", &image.architecture, known.clone(), judgement)
}

fn version_rule(image: &Inventory, installed: &Installed) -> Rule {
    let text = |build: u32, ubr: Option<u32>| ubr.map_or_else(|| build.to_string(), |ubr| format!("{build}.{ubr}"));
    let image_text = if image.build > 0 { text(image.build, Some(image.ubr)) } else { String::new() };
    let installed_text = installed.build.map(|build| text(build, installed.ubr)).unwrap_or_default();
    let judgement =
        compare("build", &image_text, Some(&installed_text), |_, _| version(image, installed.build.unwrap_or_default(), installed.ubr));
    rule("version", image_text.clone(), installed_text.clone(), judgement)
}

fn version(image: &Inventory, build: u32, ubr: Option<u32>) -> Judgement {
    let server = image.installation_type.starts_with("Server");
    let shared = SHARED_FILES.iter().any(|builds| builds.contains(&image.build) && builds.contains(&build));
    if image.build < build && shared && !server {
        return unknown(
            "both builds share one set of files, and media of the later release may name the earlier build: compare the releases",
        );
    }
    if image.build < build {
        return broken(Keeps::Nothing, "Setup does not go back to an earlier version");
    }
    if image.build == build {
        return match ubr {
            Some(ubr) if image.ubr >= ubr => met("the same build, and no update is lost"),
            Some(_) => unknown(
                "no published source says whether Setup goes back to fewer updates of the same build; if it does, they are lost: service the image first",
            ),
            None => unknown("the same build, but the facts do not say its update revision (`ubr`)"),
        };
    }
    if !server {
        return if build < WINDOWS_10 {
            unknown("Microsoft's present table of upgrades begins with Windows 10")
        } else {
            met("the image is of a later build")
        };
    }
    let targets = SERVER_PATHS.iter().find(|(from, _)| *from == build).map(|(_, to)| *to);
    let listed = SERVER_PATHS.iter().any(|(from, _)| *from == image.build);
    match targets {
        Some(targets) if targets.contains(&image.build) => {
            met("the image is of a later release that Microsoft lists as a path from the installed one")
        }
        Some(_) if listed => broken(Keeps::Nothing, "Microsoft does not list this path: upgrade to a release between them first"),
        _ => unknown("Microsoft's table of server upgrades does not have these builds"),
    }
}

fn installation_type_rule(image: &Inventory, installed: &Installed) -> Rule {
    let known = installed.installation_type.as_deref();
    let judgement = compare("installation type", &image.installation_type, known, |image, installed| {
        if image.eq_ignore_ascii_case(installed) {
            met("both are the same")
        } else {
            broken(Keeps::Nothing, "Setup upgrades neither between client and server nor between Server Core and Desktop Experience")
        }
    });
    rule("installation type", &image.installation_type, known.unwrap_or_default(), judgement)
}

/// Both editions, as told and taken apart.
struct Editions<'a> {
    image: &'a str,
    installed: Option<&'a str>,
}

impl<'a> Editions<'a> {
    fn of(image: &'a Inventory, installed: &'a Installed) -> Self {
        Self { image: &image.edition, installed: installed.edition.as_deref() }
    }

    fn judge(&self, judge: impl FnOnce(Edition<'a>, Edition<'a>) -> Judgement) -> Judgement {
        compare("edition", self.image, self.installed, |image, installed| judge(Edition::parse(image), Edition::parse(installed)))
    }

    fn rule(&self, name: &str, show: impl Fn(Edition<'a>) -> String, judgement: Judgement) -> Rule {
        let shown = |id: &'a str| if id.is_empty() { String::new() } else { show(Edition::parse(id)) };
        rule(name, shown(self.image), self.installed.map(shown).unwrap_or_default(), judgement)
    }
}

fn edition_rule(editions: &Editions<'_>) -> Rule {
    let judgement = editions.judge(|image, installed| match editions::path(&installed, &image) {
        Path::Full => met("Microsoft lists this path as one that keeps everything; another edition needs its product key"),
        Path::Downgrade => broken(Keeps::PersonalFiles, "Microsoft lists this path as a downgrade: applications and settings are removed"),
        Path::None => broken(
            Keeps::Nothing,
            "Microsoft does not support this path: use an image of the installed edition, or change the edition first",
        ),
        Path::Unlisted => unknown("Microsoft's tables of upgrade paths do not have these editions"),
    });
    rule("edition", editions.image, editions.installed.unwrap_or_default(), judgement)
}

fn language_rule(image: &Inventory, installed: &Installed) -> Rule {
    let known = installed.language.as_deref();
    let default = if image.default_language.is_empty() && image.languages.len() == 1 {
        image.languages.first().cloned().unwrap_or_default()
    } else {
        image.default_language.clone()
    };
    let judgement = compare("language", &default, known, |default, installed| {
        let server = image.installation_type.starts_with("Server");
        if default.eq_ignore_ascii_case(installed) {
            met("the image's default language is the installed Windows' system default UI language")
        } else if image.languages.iter().any(|language| language.eq_ignore_ascii_case(installed)) {
            unknown(
                "the image has the language, but starts with another: no published source says what Setup then keeps; set the image's default UI language",
            )
        } else if server {
            broken(Keeps::Nothing, "Microsoft does not support upgrades of servers from one language to another")
        } else {
            broken(
                Keeps::PersonalFiles,
                "Setup only upgrades to the installed system's default UI language; to another it brings personal files along",
            )
        }
    });
    let shown = if image.languages.len() > 1 { format!("{default} (of {})", image.languages.join(", ")) } else { default.clone() };
    rule("language", shown, known.unwrap_or_default(), judgement)
}

fn media_features_rule(editions: &Editions<'_>) -> Rule {
    let show = |edition: Edition<'_>| {
        if edition.without_media.is_empty() { "with media features".to_owned() } else { format!("{} edition", edition.without_media) }
    };
    let judgement = editions.judge(|image, installed| {
        if image.without_media == installed.without_media {
            met("both are the same")
        } else {
            broken(Keeps::PersonalFiles, "between editions with and without media features (N, KN) applications and settings are removed")
        }
    });
    editions.rule("media features", show, judgement)
}

fn servicing_channel_rule(editions: &Editions<'_>) -> Rule {
    let show = |edition: Edition<'_>| {
        if edition.long_term { "Long-Term Servicing Channel".to_owned() } else { "General Availability Channel".to_owned() }
    };
    let judgement = editions.judge(|image, installed| match (installed.long_term, image.long_term) {
        (false, true) => broken(
            Keeps::PersonalFiles,
            "Microsoft does not support in-place upgrades from General Availability to LTSC; Setup only brings personal files along",
        ),
        (true, false) => met("supported, but applications are only kept when Setup is given the product key: setup.exe /pkey"),
        _ => met("both are the same"),
    });
    editions.rule("servicing channel", show, judgement)
}
