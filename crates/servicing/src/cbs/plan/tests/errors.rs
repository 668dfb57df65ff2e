//! What cannot be planned, and what is said about it.

use std::fmt::Write as _;

use super::fixture::*;
use crate::cbs::plan::{PlanError, Request, plan};
use crate::cbs::source::PackageSource;
use crate::cbs::state::State;
use crate::cbs::store::Store;

#[test]
fn a_delivery_that_does_not_apply_says_why() {
    let parents = parent("", "Base@10.0.1.2") + &parent("", "Other") + &parent("", "Waiting");
    let store = Windows::new("9").has("Base").package(&mum("Waiting", "", ""), State::STAGED, &[], &[]).store();
    let sources = [delivery(&[&mum("Update", "", &(parents + &deploys("d", "", "D")))], &[])];
    let error = refused(&store, &sources, &install(&[0]));
    assert_eq!(
        error.to_string(),
        format!(
            "`test.cab` ({0}) does not apply to this image\n  {0} does not apply: its parent {1} is there as 10.0.1.1, not 10.0.1.2; its \
             parent {2} is not there; its parent {3} is not installed (Staged); its class is Other",
            id("Update"),
            id("Base@10.0.1.2"),
            id("Other"),
            id("Waiting"),
        )
    );
    let PlanError::NotApplicable { verdicts, .. } = error else { panic!() };
    let json = serde_json::to_value(&verdicts[0]).unwrap();
    assert_eq!(json["package"], id("Update"));
    assert_eq!(json["decision"], "not_applicable");
    assert_eq!(
        json["reasons"][0],
        serde_json::json!({"reason": "parent_version", "wanted": id("Base@10.0.1.2"), "found": "10.0.1.1", "rule": "10.0.1.2"})
    );
}

#[test]
fn deliveries_for_other_things_are_refused() {
    let driver = r#"<update name="d"><driver inf="d.inf"><assemblyIdentity name="d.inf" version="1.0.0.0" processorArchitecture="amd64" type="driverUpdate"/></driver></update>"#;
    let safe = manifest("microsoft-windows-sysreset", &[]);
    let sources = [delivery(&[&mum("Drivers", "", driver)], &[]), delivery(&[&mum("Update", "", "")], &[&safe])];
    let store = Windows::new("9").store();
    assert!(refused(&store, &sources, &install(&[0])).to_string().contains("a package of drivers alone"));
    let error = refused(&store, &sources, &install(&[1])).to_string();
    assert!(error.contains("an update for the recovery environment"), "{error}");
    let recovery = Windows::new("9").has("WinPE-SRT-Package").store();
    assert_eq!(plan(&recovery, &sources, &install(&[1])).unwrap().changes.len(), 1);
    assert!(matches!(refused(&store, &sources, &install(&[2])), PlanError::NoDelivery { number: 2, count: 2 }));
}

#[test]
fn a_package_that_contains_itself_is_refused() {
    let outer = mum("Outer", "", &carries("u", "", "Inner"));
    let inner = mum("Inner", "", &carries("u", "", "Outer"));
    let store = Windows::new("9").store();
    assert!(matches!(refused(&store, &[delivery(&[&outer, &inner], &[])], &install(&[0])), PlanError::Cyclic { .. }));
    let itself = mum("Outer", "", &carries("u", "", "Outer"));
    assert!(matches!(refused(&store, &[delivery(&[&itself], &[])], &install(&[0])), PlanError::Cyclic { .. }));
}

#[test]
fn packages_within_packages_are_bounded() {
    let chain = |length: usize| {
        let link = |number: usize| mum(&format!("P{number}"), "", &carries("u", "", &format!("P{}", number + 1)));
        let mut packages: Vec<String> = (0..length).map(link).collect();
        packages.push(mum(&format!("P{length}"), "", ""));
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        delivery(&packages, &[])
    };
    let store = Windows::new("9").store();
    assert_eq!(plan(&store, &[chain(50)], &install(&[0])).unwrap().changes.len(), 51);
    assert!(matches!(refused(&store, &[chain(1000)], &install(&[0])), PlanError::TooDeep { .. }));
}

/// Every package carries the two of the next floor: a tree of 2^40 paths, and 81 packages.
#[test]
fn shared_packages_are_looked_at_once() {
    let mut packages = Vec::new();
    for floor in 0..40 {
        for side in ["a", "b"] {
            let body = carries("a", "", &format!("a{}", floor + 1)) + &carries("b", "", &format!("b{}", floor + 1));
            packages.push(mum(&format!("{side}{floor}"), "", &body));
        }
    }
    packages.extend(["a40", "b40"].map(|name| mum(name, "", "")));
    packages.insert(0, mum("Root", "", &carries("a", "", "a0")));
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let sources = [delivery(&packages, &[])];
    assert_eq!(plan(&Windows::new("9").store(), &sources, &install(&[0])).unwrap().changes.len(), 82);
    let none = format!("{}{}", parent("", "Absent"), carries("a", "", "a0"));
    let replaced = mum("Root", "", &none);
    let mut packages = packages.clone();
    packages[0] = &replaced;
    assert!(matches!(refused(&Windows::new("9").store(), &[delivery(&packages, &[])], &install(&[0])), PlanError::NotApplicable { .. }));
}

#[test]
fn ten_thousand_parents_are_read_and_nested_ones_are_refused_before() {
    let many: String = (0..10_000).fold(String::new(), |mut text, number| {
        let _ = write!(text, "{}", parent("", &format!("Q{number}")));
        text
    });
    let store = Windows::new("9").has("Q9999").store();
    let sources = [delivery(&[&mum("Update", "", &many)], &[])];
    assert_eq!(plan(&store, &sources, &install(&[0])).unwrap().changes.len(), 1);
    let nested = format!("{}{}", "<parent>".repeat(10_000), "</parent>".repeat(10_000));
    assert!(wimwright_format::manifest::Package::parse(mum("Update", "", &nested).as_bytes()).is_err());
}

#[test]
fn a_carried_package_that_is_nowhere_is_named() {
    let sources = [delivery(&[&mum("Update", "", &carries("u", "", "Gone"))], &[])];
    let error = refused(&Windows::new("9").store(), &sources, &install(&[0])).to_string();
    let expected =
        format!("package {} contains {} (update `u`), which is neither in the image nor in any delivery", id("Update"), id("Gone"));
    assert_eq!(error, expected);
    // Another delivery, or the image, may have it.
    let other = delivery(&[&mum("Holder", "", ""), &mum("Gone", "", "")], &[]);
    let made = plan(&Windows::new("9").store(), &[delivery(&[&mum("Update", "", &carries("u", "", "Gone"))], &[]), other], &install(&[0]))
        .unwrap();
    assert_eq!(made.changes.iter().map(|change| change.source).collect::<Vec<_>>(), [Some(1), Some(0)]);
    let image = Windows::new("9").package(&mum("Gone", "", ""), State::STAGED, &[], &[]).store();
    let made = plan(&image, &sources, &install(&[0])).unwrap();
    assert_eq!(made.changes.iter().map(|change| change.source).collect::<Vec<_>>(), [None, Some(0)]);
}

/// Features that follow each other in a circle are off, and two packages that switch each other come to rest.
#[test]
fn circles_of_features_come_to_rest() {
    let circle = format!(
        r#"<update name="A">{}{}</update><update name="B">{}{}</update>"#,
        follows("B"),
        selectable(true),
        follows("A"),
        selectable(true)
    );
    let sources = [delivery(&[&mum("Circle", "", &circle)], &[])];
    let store = Windows::new("9").store();
    let made = plan(&store, &sources, &install(&[0])).unwrap();
    assert!(made.changes[0].updates.iter().all(|update| update.after == State::STAGED), "{}", text(&made));
    let request = Request { enable: vec!["A".into()], ..install(&[0]) };
    assert!(matches!(refused(&store, &sources, &request), PlanError::FeatureUnavailable { .. }));
}

/// What would complete itself and cannot, for want of its files, is said; what is asked for is refused.
#[test]
fn what_cannot_complete_itself_is_said() {
    let on = State::INSTALLED;
    let features = mum("Features", "", &deploys("Telnet", &selectable(false), "Telnet"));
    let rollup = mum("Rollup", "", &(deploys("rest", "", "Rest") + &deploys("fix", &follows("Telnet"), "Fix")));
    let store = Windows::new("9").package(&features, on, &[State::STAGED], &[]).package(&rollup, on, &[on, State::ABSENT], &[]).store();
    let request = Request { enable: vec!["Telnet".into()], ..Request::default() };
    let made = plan(&store, &[], &request).unwrap();
    same(&text(&made), "Features@10.0.1.1: Installed > Installed, of itself\n Telnet: Staged > Installed");
    let said = made.incomplete().unwrap().to_string();
    let (rollup_id, features_id) = (id("Rollup"), id("Features"));
    assert_eq!(
        said,
        format!(
            "{rollup_id} `fix` cannot be completed: feature `Telnet` of {features_id} is on; the files of `fix` are not in the image: supply the \
             package {rollup_id}"
        )
    );
    // With its delivery at hand it does.
    let made = plan(&store, &[delivery(&[&rollup], &[])], &request).unwrap();
    assert_eq!(made.incomplete(), None);
    assert_eq!(made.changes.iter().map(|change| change.source).collect::<Vec<_>>(), [None, Some(0)]);
}

/// The reasons of a plan: for what is taken, and for what is left out.
#[test]
fn a_plan_gives_its_reasons() {
    let later = mum("Later", "", &(parent("", "ServicePack") + &deploys("d", "", "D")));
    let now = mum("Now", "", &(parent("", "Base") + &deploys("d", "", "D")));
    let root = mum("Update", "", &(carries("a", "", "Now") + &carries("b", "", "Later") + &deploys("Feature", &selectable(true), "F")));
    let made = plan(&Windows::new("9").has("Base").store(), &[delivery(&[&root, &now, &later], &[])], &install(&[0])).unwrap();
    let said: Vec<String> = made.verdicts.iter().map(ToString::to_string).collect();
    let (update, base) = (id("Update"), id("Base"));
    let expected = [
        format!("{} `d` is installed: it has no conditions", id("Now")),
        format!("{} is installed: its parent {base} is there (Installed)", id("Now")),
        format!("{update} `a` is installed: it has no conditions"),
        format!("{update} `b` does not apply: its parent {} is not there", id("ServicePack")),
        format!("{update} `Feature` is installed: the feature is on, by default"),
        format!("{update} is installed: it has no conditions"),
    ];
    assert_eq!(said, expected);
}

/// A package whose manifest the image has lost is said; where the request depends on it, that is an error.
#[test]
fn lost_manifests_are_said() {
    let message = |store: &Store, sources: &[PackageSource], request: &Request| refused(store, sources, request).to_string();
    let lost = |name: &str, need: &str| {
        format!("the manifest of package {} is missing in the image, and {need}: deliver the package, or repair the image", id(name))
    };
    let windows = || Windows::new("9").has("Base").has("Bystander").loses("Bystander");
    // It takes no part, and does not matter.
    let other = [delivery(&[&mum("Other", "", &parent("", "Base"))], &[])];
    let made = plan(&windows().store(), &other, &install(&[0])).unwrap();
    same(&text(&made), "Other@10.0.1.1: Not Present > Installed from 0, of itself");
    let said = made.verdicts.iter().find(|verdict| verdict.package.name == "Bystander").unwrap().to_string();
    assert_eq!(
        said,
        format!("{0} stays as it is: the manifest of {0} is missing in the image: nobody knows what it needs", id("Bystander"))
    );
    // Without a request nothing is looked at.
    assert!(plan(&windows().store(), &[], &Request::default()).unwrap().verdicts.is_empty());
    // A parent, a package to remove, and one to be replaced.
    let store = windows().loses("Base").store();
    assert_eq!(message(&store, &other, &install(&[0])), lost("Base", &format!("it is the parent of {}", id("Other"))));
    let remove = Request { remove: vec![id("Bystander")], ..Request::default() };
    assert_eq!(message(&windows().store(), &[], &remove), lost("Bystander", "it is to be removed"));
    let newer = [delivery(&[&mum("Bystander@10.0.1.2", "", "")], &[])];
    assert_eq!(message(&windows().store(), &newer, &install(&[0])), lost("Bystander", "a newer version replaces it"));
    // A feature that is asked for, and one that a delivery follows.
    let features = mum("Features", "", &carries("Telnet", &selectable(false), "Part"));
    let store = || {
        let part = Windows::new("9").package(&mum("Part", "", ""), State::STAGED, &[], &["Features"]);
        part.package(&features, State::INSTALLED, &[State::STAGED], &[]).loses("Features").store()
    };
    let enable = Request { enable: vec!["Telnet".into()], ..Request::default() };
    assert_eq!(message(&store(), &[], &enable), lost("Features", "it has the feature `Telnet`"));
    // Delivered again, it is there.
    let again = [delivery(&[&features, &mum("Part", "", "")], &[])];
    assert!(plan(&store(), &again, &enable).is_ok());
}
