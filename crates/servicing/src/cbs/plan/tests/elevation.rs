//! What components an update lifts.

use super::fixture::*;
use crate::cbs::plan::{Decision, plan};
use crate::cbs::source::PackageSource;
use crate::cbs::state::State;

/// A package that applies only if its one update does.
fn hotfix(elevate: &str, component: &str) -> PackageSource {
    let update = deploys("fix", &lifts(elevate, component), "Deployment");
    delivery(&[&mum("Hotfix", r#"applicabilityEvaluation="deep""#, &update)], &[])
}

/// Whether it applies where `winner` is installed.
fn applies(elevate: &str, winner: Option<&str>, version: &str) -> bool {
    let mut windows = Windows::new("9");
    if let Some(winner) = winner {
        windows = windows.winner(&component(&format!("C@{winner}")));
    }
    let sources = [hotfix(elevate, &format!("C@{version}"))];
    plan(&windows.store(), &sources, &install(&[0])).is_ok_and(|plan| plan.changes.iter().any(|change| change.after.is_installed()))
}

/// Each word names the greatest step: within a branch, to the other branch, over a service pack, from nothing.
#[test]
fn each_word_takes_its_greatest_step() {
    let general = "6.1.7601.17514";
    let cases = [
        // winner, update, revision, distribution, serviceLevel, install
        (Some(general), "6.1.7601.18000", [true, true, true, true]),
        (Some("6.1.7601.21000"), "6.1.7601.22000", [true, true, true, true]),
        (Some(general), "6.1.7601.22000", [false, true, true, true]),
        (Some("6.1.7600.16385"), "6.1.7601.17514", [false, false, true, true]),
        (Some("6.1.7600.16385"), "6.1.7601.22000", [false, false, true, true]),
        (None, "6.1.7601.22000", [false, false, false, true]),
        // Another major.minor is another component.
        (Some("6.0.6002.18005"), "6.1.7601.22000", [false, false, false, true]),
        // From the branch with all fixes nothing leads back.
        (Some("6.1.7601.22000"), "6.1.7601.18000", [false; 4]),
        // Windows 10 and later know no branches.
        (Some("10.0.19041.1"), "10.0.19041.22000", [true, true, true, true]),
        (Some("10.0.19041.22000"), "10.0.19041.1", [false; 4]),
        // What is there in the same version is brought again: several packages bring it.
        (Some(general), general, [true; 4]),
    ];
    for (winner, version, expected) in cases {
        let found = ["revision", "distribution", "serviceLevel", "install"].map(|word| applies(word, winner, version));
        assert_eq!(found, expected, "{winner:?} {version}");
    }
}

#[test]
fn an_update_whose_components_are_all_newer_in_the_image_is_no_error() {
    let store = Windows::new("9").winner(&component("C@10.0.1.9")).store();
    let made = plan(&store, &[hotfix("install", "C@10.0.1.5")], &install(&[0])).unwrap();
    assert_eq!(text(&made), "");
    assert_eq!(made.verdicts[0].decision, Decision::Superseded);
    let why = made.verdicts[1].to_string();
    assert!(why.contains("is installed as 10.0.1.9, not older than 10.0.1.5"), "{why}");
    // One that lifts nothing, since nothing is there, is one.
    let error = refused(&Windows::new("9").store(), &[hotfix("revision", "C@10.0.1.5")], &install(&[0])).to_string();
    assert!(error.contains("none of its updates applies") && error.contains("from none to 10.0.1.5 (revision)"), "{error}");
}

/// The image that is asked is the one as the plan has made it so far.
#[test]
fn what_the_plan_installs_is_lifted_by_what_follows() {
    let brings = delivery(
        &[&mum("Brings", r#"releaseType="OnDemand Pack""#, &deploys("d", "", "Deployment"))],
        &[&manifest("Deployment", &["Inner"]), &manifest("Inner", &["C@10.0.1.5"]), &manifest("C@10.0.1.5", &[])],
    );
    let sources = [hotfix("revision", "C@10.0.1.9"), brings];
    let store = || Windows::new("9").store();
    refused(&store(), &sources, &install(&[0]));
    same(
        &planned(&store(), &sources, &install(&[0, 1])),
        "Brings@10.0.1.1: Not Present > Installed from 1, of itself
           d: Not Present > Installed
         Hotfix@10.0.1.1: Not Present > Installed from 0, of itself
           fix: Not Present > Installed",
    );
    // Also where the hotfix was there before: what was not there to be lifted is there now.
    let parts = deploys("other", "", "D") + &deploys("fix", &lifts("revision", "C@10.0.1.9"), "Deployment");
    let there = Windows::new("9").package(&mum("Rollup", "", &parts), State::INSTALLED, &[State::INSTALLED, State::STAGED], &[]);
    same(
        &planned(&there.store(), &sources, &install(&[1])),
        "Brings@10.0.1.1: Not Present > Installed from 1, of itself
           d: Not Present > Installed
         Rollup@10.0.1.1: Installed > Installed, of itself
           fix: Staged > Installed",
    );
}

/// Both branches go into the store; the one that does not apply without effect.
#[test]
fn the_other_branch_is_staged() {
    let both = deploys("LDR", &lifts("revision", "C@6.1.7601.22000"), "L") + &deploys("GDR", &lifts("install", "C@6.1.7601.18000"), "G");
    let sources = [delivery(&[&mum("Update", r#"applicabilityEvaluation="deep""#, &both)], &[])];
    let branches = |winner: Option<&str>| {
        let windows = Windows::new("9");
        let windows = match winner {
            Some(winner) => windows.winner(&component(&format!("C@{winner}"))),
            None => windows,
        };
        let made = plan(&windows.store(), &sources, &install(&[0])).unwrap();
        made.changes[0].updates.iter().map(|update| update.after).collect::<Vec<_>>()
    };
    assert_eq!(branches(None), [State::STAGED, State::INSTALLED]);
    assert_eq!(branches(Some("6.1.7601.17514")), [State::STAGED, State::INSTALLED]);
    assert_eq!(branches(Some("6.1.7601.21000")), [State::INSTALLED, State::STAGED]);
}

/// What only waits is left out where its differentials have nothing to start from: it would fail, for nothing.
#[test]
fn a_differential_waits_only_where_its_base_is() {
    let cumulative = mum("Package_for_RollupFix", "", &(deploys("rest", "", "Rest") + &deploys("telnet", &follows("Telnet"), "Fix")));
    let file = r#"<file name="telnet.exe"/></assembly>"#;
    let newer = manifest("Telnet@10.0.1.9", &[]).replace("</assembly>", file);
    let keyform = component("Telnet@10.0.1.9").keyform();
    let manifests = [manifest("Fix", &["Telnet@10.0.1.9"]), newer];
    let manifests = [manifests[0].as_str(), manifests[1].as_str()];
    let differential = [delivery_with(&[&cumulative], &manifests, &[&format!("{keyform}\\f\\telnet.exe")])];
    let whole = [delivery_with(&[&cumulative], &manifests, &[&format!("{keyform}\\telnet.exe")])];
    let expected = |more: &str| {
        format!("Package_for_RollupFix@10.0.1.1: Not Present > Installed from 0, of itself\nrest: Not Present > Installed\n{more}")
    };
    let staged = expected("telnet: Not Present > Staged");
    let store = || Windows::new("9").store();
    same(&planned(&store(), &differential, &install(&[0])), &expected(""));
    same(&planned(&store(), &whole, &install(&[0])), &staged);
    // Not where only the manifest is left: the files went with the feature.
    let removed = Windows::new("9").stored(&manifest("Telnet@10.0.1.1", &[]));
    same(&planned(&removed.store(), &differential, &install(&[0])), &expected(""));
    let base = Windows::new("9").payload("Telnet@10.0.1.1", "telnet.exe");
    same(&planned(&base.store(), &differential, &install(&[0])), &staged);
    let made = plan(&store(), &differential, &install(&[0])).unwrap();
    let said = made.verdicts.iter().map(ToString::to_string).find(|said| said.contains("`telnet`")).unwrap();
    assert!(said.ends_with(&format!("the image has no version of {keyform} for its differentials to start from")), "{said}");
}
