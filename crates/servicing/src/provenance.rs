//! Was an image captured from an installed Windows, or is it as Microsoft made it?
//!
//! No single value tells: `ImageState` says whether an image can be deployed, a factory image is itself generalized, and every
//! mark can be forged or cleaned away. So every known mark is looked at, each is reported with what was found and how much it
//! weighs, and the verdict needs several that agree. What is not known is said: an image that gives too little is
//! *indeterminate*. The evidence and its strength: `docs/reference/provenance.md`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wimwright_format::regf::{self, Data, Hive};
use wimwright_image::registry::{self, HiveFile, RegistryPath};
use wimwright_image::{Image, ImageError};

/// Least sum of weights for a verdict, and least number of marks that must agree. The strongest mark alone weighs 4.
const ENOUGH_WEIGHT: i32 = 6;
const ENOUGH_MARKS: usize = 3;
/// Most weight on the other side that a verdict of *uncaptured* tolerates: one weak mark.
const TOLERATED: i32 = 1;
/// How much more it means that a mark is there than that one is not: traces can be cleaned away, but hardly come by themselves.
const PRESENCE: i32 = 2;
/// Most days between Microsoft's build of Windows and Microsoft's own sysprep of the image. In hives of machines set up from
/// factory images it was one day (16299, 18362). A customer's sysprep comes after the release, weeks after the build.
const FACTORY_DAYS: i64 = 30;

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As Microsoft made it, at most serviced offline: usable for in-place upgrades.
    Uncaptured,
    /// Captured from an installed Windows that was not generalized.
    Captured,
    /// Captured after `sysprep /generalize`.
    CapturedAndGeneralized,
    /// The evidence is too little or contradicts itself.
    Indeterminate,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Uncaptured => "uncaptured",
            Self::Captured => "captured",
            Self::CapturedAndGeneralized => "captured and generalized",
            Self::Indeterminate => "indeterminate",
        })
    }
}

/// One mark that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// What was looked at.
    pub mark: String,
    /// What was found.
    pub found: String,
    /// How much it weighs: above 0 for captured, below 0 for uncaptured, 0 when it says nothing on that.
    pub weight: i32,
    /// True when it shows that `sysprep /generalize` ran and the image was not set up again since.
    pub generalized: bool,
}

/// The verdict with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// What the evidence amounts to.
    pub verdict: Verdict,
    /// Every mark that was looked at, in a fixed order.
    pub evidence: Vec<Evidence>,
}

impl Provenance {
    /// Weighs the evidence that an image gives.
    ///
    /// # Errors
    /// A hive is there and cannot be read.
    pub fn weigh(image: &mut Image) -> Result<Self, ImageError> {
        let system = image.hive(HiveFile::System)?;
        let software = image.hive(HiveFile::Software)?;
        let mut marks = Marks(Vec::new());
        if image.tree.at("/Windows/System32").is_none() {
            marks.add("Windows", "there is no /Windows/System32: this is not a Windows image", 0, false);
            return Ok(Self { verdict: Verdict::Indeterminate, evidence: marks.0 });
        }
        let state_file = marks.files(image)?;
        let mut state = None;
        let mut build_lab = None;
        if let Some(hive) = &software {
            let damaged = |source| ImageError::Hive { path: HiveFile::Software.path().to_owned(), source };
            state = marks.software(hive).map_err(damaged)?;
            build_lab = registry::text(hive, r"Microsoft\Windows NT\CurrentVersion", "BuildLabEx").map_err(damaged)?;
        }
        if let Some(hive) = &system {
            let damaged = |source| ImageError::Hive { path: HiveFile::System.path().to_owned(), source };
            marks.system(hive, build_lab.as_deref()).map_err(damaged)?;
        }
        marks.xml(image);
        // Tag, logs and clone tag of sysprep stay when the generalized Windows is set up and goes into use.
        if let Some(state) = state.or(state_file)
            && !state.starts_with("IMAGE_STATE_GENERALIZE")
        {
            marks.0.iter_mut().for_each(|mark| mark.generalized = false);
        }
        let mut verdict = verdict(&marks.0);
        // That traces are missing means nothing where the registry, which would hold half of them, is missing.
        if verdict == Verdict::Uncaptured && (software.is_none() || system.is_none()) {
            verdict = Verdict::Indeterminate;
        }
        Ok(Self { verdict, evidence: marks.0 })
    }
}

fn verdict(evidence: &[Evidence]) -> Verdict {
    let sum = |sign: i32| {
        let agreeing = evidence.iter().filter(|mark| mark.weight.signum() == sign);
        (agreeing.clone().map(|mark| mark.weight.abs()).sum::<i32>(), agreeing.count())
    };
    let ((captured, captured_marks), (uncaptured, uncaptured_marks)) = (sum(1), sum(-1));
    if captured >= ENOUGH_WEIGHT && captured_marks >= 2 && captured * PRESENCE > uncaptured {
        if evidence.iter().any(|mark| mark.generalized) { Verdict::CapturedAndGeneralized } else { Verdict::Captured }
    } else if uncaptured >= ENOUGH_WEIGHT && uncaptured_marks >= ENOUGH_MARKS && captured <= TOLERATED {
        Verdict::Uncaptured
    } else {
        Verdict::Indeterminate
    }
}

struct Marks(Vec<Evidence>);

impl Marks {
    fn add(&mut self, mark: &str, found: impl Into<String>, weight: i32, generalized: bool) {
        self.0.push(Evidence { mark: mark.to_owned(), found: found.into(), weight, generalized });
    }

    /// One mark with two outcomes: what was found weighs for captured, finding nothing for uncaptured.
    fn either(&mut self, mark: &str, found: &[String], captured: i32, uncaptured: i32, generalized: bool) {
        if found.is_empty() {
            self.add(mark, "none", -uncaptured, false);
        } else {
            self.add(mark, shorten(found), captured, generalized);
        }
    }

    /// Looks at files; returns the `ImageState` of the state file.
    fn files(&mut self, image: &Image) -> Result<Option<String>, ImageError> {
        let present =
            |paths: &[&str]| paths.iter().filter(|path| image.tree.at(path).is_some()).map(|path| (*path).to_owned()).collect::<Vec<_>>();
        let below = |folder: &str, wanted: &dyn Fn(&str) -> bool| {
            let entries = image.tree.at(folder).into_iter().flat_map(|entry| entry.children());
            entries.map(|entry| entry.name()).filter(|name| wanted(name)).map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
        };
        self.either("Sysprep success tag", &present(&["/Windows/System32/Sysprep/Sysprep_succeeded.tag"]), 4, 1, true);
        let sysprep_logs = ["/Windows/System32/Sysprep/Panther/setupact.log", "/Windows/System32/Sysprep/Panther/setuperr.log"];
        self.either("Sysprep logs", &present(&sysprep_logs), 4, 1, true);
        let setup_logs =
            ["setupact.log", "setuperr.log", "diagwrn.xml", "diagerr.xml", "UnattendGC"].map(|name| format!("/Windows/Panther/{name}"));
        self.either("Windows Setup logs", &present(&setup_logs.each_ref().map(String::as_str)), 4, 2, false);
        let own = ["default", "default user", "public", "all users", "desktop.ini"];
        let profiles = below("/Users", &|name| !own.contains(&name.to_lowercase().as_str()));
        self.either("User profiles", &profiles, 4, 2, false);

        // What offline servicing or a copy to a volume may leave says nothing: setupapi.offline.log, bootstat.dat,
        // System Volume Information.
        let kinds = [
            present(&["/pagefile.sys", "/hiberfil.sys", "/swapfile.sys"]),
            present(&["/Windows/inf/setupapi.dev.log"]),
            present(&["/Windows/SoftwareDistribution/DataStore/DataStore.edb"]),
            below("/Windows/Prefetch", &|name| name.to_lowercase().ends_with(".pf")),
            below("/$Recycle.Bin", &|name| name.starts_with("S-1-5-21-")),
            below("/Windows/System32/winevt/Logs", &|name| name.to_lowercase().ends_with(".evtx")),
        ];
        let weight = if kinds.iter().filter(|kind| !kind.is_empty()).count() > 1 { 4 } else { 2 };
        self.either("Traces of a first start", &kinds.concat(), weight, 2, false);
        self.either("Traces of an upgrade", &present(&["/Windows.old", "/$WINDOWS.~BT"]), 4, 0, false);

        if let Some(sessions) = image.tree.at("/Windows/servicing/Sessions/Sessions.xml").filter(|entry| !entry.is_directory()) {
            let text = String::from_utf8_lossy(&image.contents(sessions)?).into_owned();
            let online: Vec<_> = ["WindowsUpdateAgent", "UpdateAgentLCU", "MoUpdateOrchestrator"]
                .iter()
                .filter(|client| text.contains(**client))
                .map(|client| (*client).to_owned())
                .collect();
            self.either("Servicing sessions of a running Windows", &online, 3, 1, false);
        }
        if let Some(state) = image.tree.at("/Windows/Setup/State/State.ini").filter(|entry| !entry.is_directory()) {
            let text = image.contents(state)?;
            let text: String = String::from_utf8_lossy(&text).chars().filter(|character| *character != '\0').collect();
            let state = text.lines().find_map(|line| line.trim().strip_prefix("ImageState=")).map(|state| state.trim().to_owned());
            let complete = state.as_deref() == Some("IMAGE_STATE_COMPLETE");
            // Windows writes it together with the registry's: a copy of that mark, not another one.
            self.add("Setup state file", state.as_deref().unwrap_or("no ImageState"), i32::from(complete), false);
            return Ok(state);
        }
        Ok(None)
    }

    /// Looks at the SOFTWARE hive; returns its `ImageState`.
    fn software(&mut self, hive: &Hive) -> Result<Option<String>, regf::Error> {
        let profiles = registry::subkey_names(hive, r"Microsoft\Windows NT\CurrentVersion\ProfileList")?;
        let people: Vec<_> = profiles.into_iter().filter(|sid| sid.starts_with("S-1-5-21-")).collect();
        self.either("Accounts with a profile", &people, 4, 1, false);
        let state = registry::text(hive, r"Microsoft\Windows\CurrentVersion\Setup\State", "ImageState")?;
        match state.as_deref() {
            // Out-of-box experience is over: this Windows was running.
            Some("IMAGE_STATE_COMPLETE") => self.add("ImageState", "IMAGE_STATE_COMPLETE", 3, false),
            // Factory images say the same as those that a customer generalized.
            Some(state) => self.add("ImageState", state, 0, state.starts_with("IMAGE_STATE_GENERALIZE")),
            None => self.add("ImageState", "not recorded", 0, false),
        }
        let mut applications = Vec::new();
        for root in [r"Microsoft\Windows\CurrentVersion\Uninstall", r"WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall"] {
            for name in registry::subkey_names(hive, root)? {
                let key = format!("{root}\\{name}");
                let display = registry::text(hive, &key, "DisplayName")?.unwrap_or_default();
                let hidden = registry::number(hive, &key, "SystemComponent")? == Some(1);
                // Edge and its runtime come with Windows.
                if !display.is_empty() && !hidden && !display.starts_with("Microsoft Edge") {
                    applications.push(display);
                }
            }
        }
        self.either("Installed applications", &applications, 3, 1, false);
        Ok(state)
    }

    fn system(&mut self, hive: &Hive, build_lab: Option<&str>) -> Result<(), regf::Error> {
        let control_set = RegistryPath { hive: HiveFile::System, key: "CurrentControlSet".to_owned() }.resolved(hive)?;
        let mut devices = Vec::new();
        for bus in ["ACPI", "PCI", "SCSI", "USB", "HDAUDIO", "STORAGE"] {
            let found = registry::subkey_names(hive, &format!(r"{control_set}\Enum\{bus}"))?;
            devices.extend(found.into_iter().map(|device| format!("{bus}\\{device}")));
        }
        self.either("Devices of a machine", &devices, 3, 1, false);
        let mounted = match hive.open("MountedDevices")? {
            Some(key) => hive.values(key)?.iter().map(regf::Value::name).collect(),
            None => Vec::new(),
        };
        self.either("Mounted volumes", &mounted, 2, 0, false);
        let upgrades: Vec<_> =
            registry::subkey_names(hive, "Setup")?.into_iter().filter(|name| name.starts_with("Source OS") || name == "Upgrade").collect();
        self.either("Earlier Windows in the registry", &upgrades, 4, 0, false);
        let generalization = registry::number(hive, r"Setup\Status\SysprepStatus", "GeneralizationState")?;
        let found = generalization.map_or("not recorded".to_owned(), |state| state.to_string());
        // Says 7 on every Windows that was set up from an image: Microsoft's sysprep leaves it.
        self.add("GeneralizationState (7 is done)", found, 0, false);
        if let Some(Data::Texts(tag)) = registry::value(hive, "Setup", "CloneTag")? {
            let tag = tag.join(" ");
            match clone_tag_day(&tag).zip(build_lab.and_then(build_day)) {
                Some((tagged, built)) if tagged > built + FACTORY_DAYS => {
                    self.add("CloneTag", format!("{tag}: {} days after the build", tagged - built), 1, true);
                }
                Some((tagged, built)) if tagged >= built => {
                    self.add("CloneTag", format!("{tag}: {} days after the build, Microsoft's own", tagged - built), -1, false);
                }
                _ => self.add("CloneTag", tag, 0, false),
            }
        }
        let number = |name| registry::number(hive, "Setup", name);
        if let (Some(in_progress), Some(kind)) = (number("SystemSetupInProgress")?, number("SetupType")?) {
            let done = in_progress == 0 && kind == 0;
            let found = format!("SystemSetupInProgress {in_progress}, SetupType {kind}");
            self.add("Setup has finished", found, if done { 3 } else { 0 }, false);
        }
        let name = registry::text(hive, &format!(r"{control_set}\Control\ComputerName\ComputerName"), "ComputerName")?;
        if let Some(name) = name {
            let default = name.eq_ignore_ascii_case("MINWINPC") || name.eq_ignore_ascii_case("MINWIN") || name.starts_with("WIN-");
            self.add("Computer name", name, i32::from(!default), false);
        }
        Ok(())
    }

    fn xml(&mut self, image: &Image) {
        let missing: Vec<_> =
            ["DISPLAYNAME", "DISPLAYDESCRIPTION", "FLAGS"].into_iter().filter(|field| image.info.get(field).is_none()).collect();
        // Anybody can edit them, and exporting tools may drop them.
        match missing.len() {
            0 => self.add("Fields that Microsoft's media have", "DISPLAYNAME, DISPLAYDESCRIPTION, FLAGS", -1, false),
            3 => self.add("Fields that Microsoft's media have", "none of DISPLAYNAME, DISPLAYDESCRIPTION, FLAGS", 1, false),
            _ => self.add("Fields that Microsoft's media have", format!("without {}", missing.join(", ")), 0, false),
        }
    }
}

/// Days since 1970 of a date of the Gregorian calendar; `None` when there is no such date.
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=2200).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Counted from March, so that a leap day ends the year.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    Some(365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468)
}

/// The day that a `CloneTag` names: `Fri Sep 29 06:49:45 2017`.
fn clone_tag_day(tag: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<_> = tag.split_whitespace().collect();
    let [_, month, day, _, year] = words.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)? as i64 + 1;
    day_number(year.parse().ok()?, month, day.parse().ok()?)
}

/// The day of the build that `BuildLabEx` names: `16299.15.amd64fre.rs3_release.170928-1534`.
fn build_day(build_lab: &str) -> Option<i64> {
    let (_, stamp) = build_lab.rsplit_once('.')?;
    let (date, _) = stamp.split_once('-')?;
    let number = |range| date.get(range).and_then(|digits: &str| digits.parse::<i64>().ok());
    day_number(2000 + number(0..2)?, number(2..4)?, number(4..6)?)
}

/// The first few findings, and how many more there are.
fn shorten(found: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = found.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match found.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(weight: i32, generalized: bool) -> Evidence {
        Evidence { mark: String::new(), found: String::new(), weight, generalized }
    }

    #[test]
    fn one_mark_is_never_enough() {
        assert_eq!(verdict(&[mark(10, true)]), Verdict::Indeterminate);
        assert_eq!(verdict(&[mark(-10, false)]), Verdict::Indeterminate);
        assert_eq!(verdict(&[]), Verdict::Indeterminate);
    }

    #[test]
    fn agreeing_marks_decide_and_contradicting_ones_do_not() {
        assert_eq!(verdict(&[mark(4, false), mark(4, false)]), Verdict::Captured);
        assert_eq!(verdict(&[mark(4, false), mark(4, true)]), Verdict::CapturedAndGeneralized);
        assert_eq!(verdict(&[mark(-2, true), mark(-2, false), mark(-2, false)]), Verdict::Uncaptured);
        assert_eq!(verdict(&[mark(-2, false), mark(-2, false), mark(-2, false), mark(4, false)]), Verdict::Indeterminate);
        assert_eq!(verdict(&[mark(-13, false), mark(4, false), mark(2, false)]), Verdict::Indeterminate);
    }

    #[test]
    fn days() {
        assert_eq!(day_number(1970, 1, 1), Some(0));
        assert_eq!(day_number(2000, 3, 1), Some(11_017));
        assert_eq!(day_number(2024, 2, 29), Some(19_782));
        assert_eq!(day_number(2024, 13, 1), None);
        // The tag of a machine that was set up from a factory image of 16299 (regipy's SYSTEM_B), and that build.
        let days = clone_tag_day("Fri Sep 29 06:49:45 2017").zip(build_day("16299.15.amd64fre.rs3_release.170928-1534"));
        assert_eq!(days.map(|(tagged, built)| tagged - built), Some(1));
        assert_eq!(clone_tag_day("yesterday"), None);
        assert_eq!(build_day("16299.15.amd64fre.rs3_release"), None);
        assert_eq!(build_day("x.äöü-1"), None);
    }
}
