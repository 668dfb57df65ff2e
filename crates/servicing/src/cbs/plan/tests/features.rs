//! Features and capabilities.

use super::fixture::*;
use crate::cbs::plan::{Disable, PlanError, Request, plan};
use crate::cbs::source::PackageSource;
use crate::cbs::state::State;

const ON: State = State::INSTALLED;
const OFF: State = State::STAGED;

fn enable(names: &[&str]) -> Request {
    Request { enable: names.iter().map(|name| (*name).to_owned()).collect(), ..Request::default() }
}

fn disable(name: &str, remove_payload: bool) -> Request {
    Request { disable: vec![Disable { name: name.to_owned(), remove_payload }], ..Request::default() }
}

/// The tree of Microsoft-Hyper-V-ClientEdition-Package 10.0.26100.1742: off as a whole, its parts on as soon as it is.
fn hyper_v() -> String {
    let part = |above: &str| follows(above) + &selectable(true);
    let updates = [
        format!(r#"<update name="All">{}</update>"#, selectable(false)),
        format!(r#"<update name="Platform">{}</update>"#, part("All")),
        format!(r#"<update name="Tools">{}</update>"#, part("All")),
        carries("Hypervisor", &part("Platform"), "Hypervisor-Package"),
        carries("Base", &follows("Platform"), "Base-Package"),
    ];
    mum("Hyper-V", "", &updates.concat())
}

fn with_hyper_v(states: [State; 5], parts: State) -> Windows {
    let part = |name| mum(name, "", &deploys("d", "", "D"));
    Windows::new("9").package(&hyper_v(), ON, &states, &[]).package(&part("Hypervisor-Package"), parts, &[parts], &["Hyper-V"]).package(
        &part("Base-Package"),
        parts,
        &[parts],
        &["Hyper-V"],
    )
}

const HYPER_V_ON: &str = "
    Hypervisor-Package@10.0.1.1: Staged > Installed hidden, of Hyper-V@10.0.1.1
      d: Staged > Installed
    Base-Package@10.0.1.1: Staged > Installed hidden, of Hyper-V@10.0.1.1
      d: Staged > Installed
    Hyper-V@10.0.1.1: Installed > Installed, of itself
      All: Staged > Installed
      Platform: Staged > Installed
      Tools: Staged > Installed
      Hypervisor: Staged > Installed
      Base: Staged > Installed";

#[test]
fn a_feature_brings_its_parts_and_what_it_follows() {
    let store = with_hyper_v([OFF; 5], OFF).store();
    same(&planned(&store, &[], &enable(&["all"])), HYPER_V_ON);
    // From below: as `dism /All`.
    same(&planned(&store, &[], &enable(&["Hypervisor"])), HYPER_V_ON);
    same(&planned(&store, &[], &enable(&["Hypervisor", "All", "Platform"])), HYPER_V_ON);
    let on = with_hyper_v([ON; 5], ON).store();
    same(&planned(&on, &[], &enable(&["Hypervisor"])), "");
}

#[test]
fn what_was_turned_off_stays_off() {
    let some = with_hyper_v([ON, ON, OFF, ON, ON], ON).store();
    same(&planned(&some, &[], &enable(&["All"])), "");
}

#[test]
fn a_feature_takes_along_what_follows_it() {
    let store = with_hyper_v([ON; 5], ON).store();
    same(
        &planned(&store, &[], &disable("Platform", false)),
        "Hypervisor-Package@10.0.1.1: Installed > Staged hidden, of Hyper-V@10.0.1.1
           d: Installed > Staged
         Base-Package@10.0.1.1: Installed > Staged hidden, of Hyper-V@10.0.1.1
           d: Installed > Staged
         Hyper-V@10.0.1.1: Installed > Installed, of itself
           Platform: Installed > Staged
           Hypervisor: Installed > Staged
           Base: Installed > Staged",
    );
    same(&planned(&with_hyper_v([OFF; 5], OFF).store(), &[], &disable("Platform", false)), "");
    let error = refused(&store, &[], &Request { enable: vec!["Hypervisor".into()], ..disable("platform", false) });
    assert!(matches!(error, PlanError::Contradiction { name } if name == "Platform"));
}

#[test]
fn removed_files_leave_with_the_package_that_has_them() {
    let store = with_hyper_v([ON; 5], ON).store();
    same(
        &planned(&store, &[], &disable("Hypervisor", true)),
        "Hypervisor-Package@10.0.1.1: Installed > Not Present hidden, of nobody
           d: Installed > Not Present
         Hyper-V@10.0.1.1: Installed > Installed, of itself
           Hypervisor: Installed > Not Present",
    );
    // Also where it is off already.
    same(
        &planned(&with_hyper_v([OFF; 5], OFF).store(), &[], &disable("Hypervisor", true)),
        "Hypervisor-Package@10.0.1.1: Staged > Not Present hidden, of nobody
           d: Staged > Not Present
         Hyper-V@10.0.1.1: Installed > Installed, of itself
           Hypervisor: Staged > Not Present",
    );
}

#[test]
fn a_package_stays_on_as_long_as_one_owner_has_it_on() {
    let other = mum("Other", "", &carries("u", "", "Base-Package"));
    let part = |name| mum(name, "", &deploys("d", "", "D"));
    let store = Windows::new("9")
        .package(&hyper_v(), ON, &[ON; 5], &[])
        .package(&other, ON, &[ON], &[])
        .package(&part("Hypervisor-Package"), ON, &[ON], &["Hyper-V"])
        .package(&part("Base-Package"), ON, &[ON], &["Hyper-V", "Other"])
        .store();
    let made = plan(&store, &[], &disable("All", false)).unwrap();
    let names: Vec<&str> = made.changes.iter().map(|change| change.package.name.as_str()).collect();
    assert_eq!(names, ["Hypervisor-Package", "Hyper-V"]);
}

/// The cumulative update that was there first has fixes for the feature: they follow by themselves.
#[test]
fn what_a_cumulative_update_has_for_a_feature_completes_itself() {
    let feature = mum("Features", "", &deploys("Telnet", &selectable(false), "Telnet"));
    let fix = mum("Fix", "", &deploys("f", "", "Fix"));
    let cumulative = mum("Package_for_RollupFix", "", &(deploys("rest", "", "Rest") + &carries("telnet", &follows("Telnet"), "Fix")));
    let store = |on: State| {
        Windows::new("9")
            .package(&feature, ON, &[on], &[])
            .package(&cumulative, ON, &[ON, on], &[])
            .package(&fix, on, &[on], &["Package_for_RollupFix"])
            .store()
    };
    same(
        &planned(&store(OFF), &[], &enable(&["Telnet"])),
        "Features@10.0.1.1: Installed > Installed, of itself
           Telnet: Staged > Installed
         Fix@10.0.1.1: Staged > Installed hidden, of Package_for_RollupFix@10.0.1.1
           f: Staged > Installed
         Package_for_RollupFix@10.0.1.1: Installed > Installed, of itself
           telnet: Staged > Installed",
    );
    same(
        &planned(&store(ON), &[], &disable("Telnet", false)),
        "Features@10.0.1.1: Installed > Installed, of itself
           Telnet: Installed > Staged
         Fix@10.0.1.1: Installed > Staged hidden, of Package_for_RollupFix@10.0.1.1
           f: Installed > Staged
         Package_for_RollupFix@10.0.1.1: Installed > Installed, of itself
           telnet: Installed > Staged",
    );
}

#[test]
fn a_newer_version_keeps_what_is_on_and_off() {
    let features = |version: &str| {
        let updates = deploys("A", &selectable(true), "A") + &deploys("B", &selectable(false), "B") + &deploys("C", &selectable(true), "C");
        mum(&format!("Features@{version}"), "", &updates)
    };
    let newer = [delivery(&[&features("10.0.1.2")], &[])];
    // The newest of all is what counts.
    let store = Windows::new("9")
        .package(&features("10.0.1.0"), State::SUPERSEDED, &[ON; 3], &[])
        .package(&features("10.0.1.1"), ON, &[OFF, ON, ON], &[])
        .store();
    same(
        &planned(&store, &newer, &install(&[0])),
        "Features@10.0.1.2: Not Present > Installed from 0, of itself
           A: Not Present > Staged
           B: Not Present > Installed
           C: Not Present > Installed
         Features@10.0.1.1: Installed > Superseded, of itself",
    );
    // By default where there is nothing to keep.
    same(
        &planned(&Windows::new("9").store(), &newer, &Request { enable: vec!["b".into()], ..install(&[0]) }),
        "Features@10.0.1.2: Not Present > Installed from 0, of itself
           A: Not Present > Installed
           B: Not Present > Installed
           C: Not Present > Installed",
    );
}

#[test]
fn a_feature_without_files_takes_them_from_a_delivery_of_its_package() {
    let package = mum("NetFx", r#"releaseType="OnDemand Pack""#, &deploys("NetFx3", &selectable(false), "D"));
    let store = Windows::new("9").package(&package, ON, &[State::ABSENT], &[]).store();
    let error = refused(&store, &[], &enable(&["NetFx3"]));
    assert_eq!(error.to_string(), format!("the files of `NetFx3` are not in the image: supply the package {}", id("NetFx")));
    let expected = "NetFx@10.0.1.1: Installed > Installed from 0, of itself
                      NetFx3: Not Present > Installed";
    let sources = [delivery(&[&package], &[])];
    same(&planned(&store, &sources, &enable(&["NetFx3"])), expected);
    same(&planned(&store, &sources, &Request { updates: vec![0], ..enable(&["NetFx3"]) }), expected);
    // An image that does not have the package at all.
    same(
        &planned(&Windows::new("9").store(), &sources, &enable(&["NetFx3"])),
        "NetFx@10.0.1.1: Not Present > Installed from 0, of itself
           NetFx3: Not Present > Installed",
    );
}

#[test]
fn unknown_features_are_refused_with_names_like_them() {
    let store = with_hyper_v([OFF; 5], OFF).store();
    let error = refused(&store, &[], &enable(&["Hypervisr"])).to_string();
    assert_eq!(error, "the image has no feature `Hypervisr`; did you mean Hypervisor?");
    assert!(matches!(refused(&store, &[], &disable("Nothing", false)), PlanError::UnknownFeature { nearest, .. } if nearest.is_empty()));
    // `Base` is an update, and none that can be chosen.
    assert!(matches!(refused(&store, &[], &enable(&["Base"])), PlanError::UnknownFeature { .. }));
    let staged = Windows::new("9").package(&hyper_v(), OFF, &[OFF; 5], &[]).store();
    assert!(refused(&staged, &[], &enable(&["All"])).to_string().ends_with("is not installed (Staged)"));
}

/// A feature that cannot come on is no silent success.
#[test]
fn a_feature_whose_conditions_are_not_met_is_refused() {
    let conditions = lifts("revision", "C@10.0.1.5") + &selectable(false);
    let store = Windows::new("9").package(&mum("P", "", &deploys("F", &conditions, "D")), ON, &[OFF], &[]).store();
    let error = refused(&store, &[], &enable(&["F"])).to_string();
    assert!(error.starts_with("feature `F` cannot be turned on: it does not lift") && error.contains("from none to 10.0.1.5"), "{error}");
}

fn capability(package: &str, name: &str, needs: Option<&str>) -> PackageSource {
    let needs =
        needs.map(|needs| format!(r#"<dependency><capabilityIdentity name="{needs}" version="1.0"/></dependency>"#)).unwrap_or_default();
    let declaration = format!(
        r#"<declareCapability><capability><capabilityIdentity name="{name}" version="1.0"/></capability>{needs}</declareCapability>"#
    );
    delivery(&[&mum(package, r#"releaseType="OnDemand Pack""#, &(declaration + &deploys("d", "", "D")))], &[])
}

fn add(name: &str) -> Request {
    Request { capabilities: vec![name.to_owned()], ..Request::default() }
}

#[test]
fn a_capability_comes_with_what_it_needs_and_its_languages() {
    let satellite = |language: &str| {
        let name = format!("Ocr~{language}");
        delivery(&[&mum(&name, r#"releaseType="Language Pack""#, &parent(r#"disposition="staged""#, "Ocr"))], &[])
    };
    let sources = [
        satellite("fr-FR"),
        satellite("de-DE"),
        capability("Ocr", "Language.OCR", Some("Language.Basic")),
        capability("Ocr@10.0.0.9", "Language.OCR", None),
        capability("Basic", "Language.Basic", None),
        capability("Unrelated", "Language.Speech", None),
    ];
    let german = || Windows::new("9").has("Microsoft-Windows-Client-LanguagePack-Package~de-DE");
    let expected = "
        Basic@10.0.1.1: Not Present > Installed from 4, of itself
          d: Not Present > Installed
        Ocr@10.0.1.1: Not Present > Installed from 2, of itself
          d: Not Present > Installed
        Ocr~de-DE@10.0.1.1: Not Present > Installed from 1, of itself";
    for name in ["Language.OCR~~~~0.0.1.0", "language.ocr", "Language.OCR~~~", "Language.OCR~~~~"] {
        same(&planned(&german().store(), &sources, &add(name)), expected);
    }
    for name in ["Language.OCR~~~~0.0.2.0", "Language.OCR~~~de-DE~0.0.1.0", "Language"] {
        let error = refused(&german().store(), &sources, &add(name));
        assert!(matches!(&error, PlanError::UnknownCapability { nearest, .. } if !nearest.is_empty()), "{error}");
    }
    let without = [capability("Ocr", "Language.OCR", Some("Language.Basic"))];
    let error = refused(&german().store(), &without, &add("Language.OCR")).to_string();
    assert_eq!(
        error,
        format!("the capability of {} needs `Language.Basic~~~~0.0.1.0`, which is neither in the image nor in any delivery", id("Ocr"))
    );
    // What is needed may be in the image; what is asked for, too.
    let manifest = |source: &PackageSource| String::from_utf8(source.package(&source.root).unwrap().manifest_bytes.to_vec()).unwrap();
    let image = || german().package(&manifest(&sources[4]), ON, &[ON], &[]);
    let made = plan(&image().store(), &without, &add("Language.OCR")).unwrap();
    assert_eq!(made.changes.len(), 1);
    let made = plan(&image().store(), &[], &add("Language.Basic")).unwrap();
    assert!(made.changes.is_empty() && made.verdicts[0].to_string().ends_with("it is installed already"));
}
