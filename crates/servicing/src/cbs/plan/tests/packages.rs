//! Packages: parents, what they carry, versions, order, completion.

use super::fixture::*;
use crate::cbs::plan::{Decision, Request, plan};
use crate::cbs::source::PackageSource;
use crate::cbs::state::State;
use crate::cbs::store::Store;

const ON: State = State::INSTALLED;
const OFF: State = State::STAGED;

/// A root that carries packages by hidden updates.
fn root(name: &str, children: &[&str]) -> PackageSource {
    let base = parent(r#"buildCompare="GE" revisionCompare="GE" disposition="detect""#, "Base@10.0.1.0");
    let updates: Vec<String> = children.iter().enumerate().map(|(number, child)| carries(&format!("u{number}"), "", child)).collect();
    let root = mum(name, "", &format!("{base}{}", updates.concat()));
    let children: Vec<String> = children.iter().map(|child| mum(child, "", &deploys("d", "", "Deployment"))).collect();
    let packages: Vec<&str> = std::iter::once(&root).chain(&children).map(String::as_str).collect();
    delivery(&packages, &[])
}

fn base() -> Windows {
    Windows::new("9").has("Base")
}

#[test]
fn what_a_package_carries_goes_first_and_is_owned() {
    let sources = [root("Server", &["Common", "ServerOnly"])];
    same(
        &planned(&base().store(), &sources, &install(&[0])),
        "Common@10.0.1.1: Not Present > Installed from 0 hidden, of Server@10.0.1.1
           d: Not Present > Installed
         ServerOnly@10.0.1.1: Not Present > Installed from 0 hidden, of Server@10.0.1.1
           d: Not Present > Installed
         Server@10.0.1.1: Not Present > Installed from 0, of itself
           u0: Not Present > Installed
           u1: Not Present > Installed",
    );
}

fn with_server() -> Windows {
    let child = |name| mum(name, "", &deploys("d", "", "Deployment"));
    let server = mum("Server", "", &(carries("u0", "", "Common") + &carries("u1", "", "ServerOnly")));
    base().package(&server, ON, &[ON, ON], &[]).package(&child("Common"), ON, &[ON], &["Server"]).package(
        &child("ServerOnly"),
        ON,
        &[ON],
        &["Server"],
    )
}

#[test]
fn a_shared_package_gets_a_further_owner() {
    let sources = [root("Client", &["Common", "ClientOnly"])];
    same(
        &planned(&with_server().store(), &sources, &install(&[0])),
        "Common@10.0.1.1: Installed > Installed hidden, of Client@10.0.1.1 and Server@10.0.1.1
         ClientOnly@10.0.1.1: Not Present > Installed from 0 hidden, of Client@10.0.1.1
           d: Not Present > Installed
         Client@10.0.1.1: Not Present > Installed from 0, of itself
           u0: Not Present > Installed
           u1: Not Present > Installed",
    );
}

#[test]
fn a_newer_version_supersedes_after_it_is_there() {
    let sources = [root("Server@10.0.1.2", &["Common@10.0.1.2", "ServerOnly@10.0.1.2"])];
    same(
        &planned(&with_server().store(), &sources, &install(&[0])),
        "Common@10.0.1.2: Not Present > Installed from 0 hidden, of Server@10.0.1.2
           d: Not Present > Installed
         Common@10.0.1.1: Installed > Superseded hidden, of Server@10.0.1.1
         ServerOnly@10.0.1.2: Not Present > Installed from 0 hidden, of Server@10.0.1.2
           d: Not Present > Installed
         ServerOnly@10.0.1.1: Installed > Superseded hidden, of Server@10.0.1.1
         Server@10.0.1.2: Not Present > Installed from 0, of itself
           u0: Not Present > Installed
           u1: Not Present > Installed
         Server@10.0.1.1: Installed > Superseded, of itself",
    );
}

#[test]
fn what_is_installed_or_superseded_needs_nothing() {
    let store = with_server().store();
    let sources = [root("Server", &["Common", "ServerOnly"]), root("Server@10.0.1.0", &["Common@10.0.1.0"])];
    let made = plan(&store, &sources, &install(&[0, 1])).unwrap();
    assert_eq!(text(&made), "");
    let said: Vec<String> = made.verdicts.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            format!("{} is older than what is installed: {} is installed", id("Server@10.0.1.0"), id("Server")),
            format!("{} stays as it is: it is installed already", id("Server")),
        ]
    );
    assert_eq!(made.verdicts[0].decision, Decision::Superseded);
}

#[test]
fn a_carried_package_that_the_image_has_newer_is_left_out() {
    let child = mum("Common@10.0.1.5", "", &deploys("d", "", "Deployment"));
    let store = base().package(&child, ON, &[ON], &[]).store();
    let sources = [root("Server", &["Common", "ServerOnly"])];
    same(
        &planned(&store, &sources, &install(&[0])),
        "ServerOnly@10.0.1.1: Not Present > Installed from 0 hidden, of Server@10.0.1.1
           d: Not Present > Installed
         Server@10.0.1.1: Not Present > Installed from 0, of itself
           u0: Not Present > Superseded
           u1: Not Present > Installed",
    );
}

/// Whether a package with these parents applies to an image.
fn applies(windows: Windows, parents: &str) -> bool {
    let sources = [delivery(&[&mum("Wanted", "", parents)], &[])];
    plan(&windows.store(), &sources, &install(&[0])).is_ok()
}

#[test]
fn parents_match_by_identity_version_and_state() {
    let windows = || Windows::new("9").has("P@10.0.5.5");
    let knobs = |text: &str, name: &str| applies(windows(), &parent(text, name));
    // Without knobs only the very version.
    assert!(knobs("", "P@10.0.5.5") && !knobs("", "P@10.0.5.4") && !knobs("", "P@10.0.4.5"));
    assert!(!knobs("", "Q@10.0.5.5") && !knobs("", "P~de-DE@10.0.5.5"));
    let newer = r#"buildCompare="GE" revisionCompare="GE""#;
    assert!(knobs(newer, "P@10.0.5.5") && knobs(newer, "P@10.0.5.4") && !knobs(newer, "P@10.0.5.6"));
    assert!(knobs(newer, "P@10.0.4.6") && knobs(newer, "P@10.0.0.0") && !knobs(newer, "P@10.0.6.0"));
    let service = r#"buildCompare="EQ" serviceCompare="GE""#;
    assert!(knobs(service, "P@10.0.5.4") && !knobs(service, "P@10.0.5.6") && !knobs(service, "P@10.0.4.5"));
    let exact = r#"buildCompare="EQ" serviceCompare="EQ""#;
    assert!(knobs(exact, "P@10.0.5.5") && !knobs(exact, "P@10.0.5.4"));
    // Blocks and identities are alternatives.
    let missing = parent("", "Q");
    assert!(applies(windows(), &(missing.clone() + &parent("", "P@10.0.5.5"))));
    assert!(applies(windows(), &format!("<parent>{}{}</parent>", identity("Q"), identity("P@10.0.5.5"))));
    assert!(!applies(windows(), &missing));
    // Nested ones are conditions of their own.
    let nested = |inner: &str| format!("<parent>{}{}</parent>", identity("P@10.0.5.5"), parent("", inner));
    assert!(applies(windows().has("G"), &nested("G")) && !applies(windows(), &nested("G")));
    // A parent must be installed, or superseded by a version that is.
    let in_state = |state| Windows::new("9").package(&mum("P@10.0.5.5", "", ""), state, &[], &[]);
    let wanted = parent("", "P@10.0.5.5");
    assert!(applies(in_state(State::PERMANENT), &wanted));
    assert!(!applies(in_state(State::STAGED), &wanted) && !applies(in_state(State::SUPERSEDED), &wanted));
    assert!(applies(in_state(State::SUPERSEDED).has("P@10.0.5.6"), &wanted));
}

/// `disposition="staged"` at a parent: the package waits in the store for it (KB2465285's package for the next service pack).
#[test]
fn a_carried_package_waits_for_a_parent_only_where_it_says_so() {
    let child = |name, disposition: &str| {
        mum(name, "", &(parent(&format!("disposition=\"{disposition}\""), "Later") + &deploys("d", "", "Deployment")))
    };
    let update = mum("Update", "", &(carries("now", "", "Waits") + &carries("never", "", "Detects")));
    let sources =
        [delivery(&[&update, &child("Waits", "staged"), &child("Detects", "detect")], &[]), delivery(&[&mum("Later", "", "")], &[])];
    same(
        &planned(&base().store(), &sources, &install(&[0])),
        "Waits@10.0.1.1: Not Present > Staged from 0 hidden, of Update@10.0.1.1
           d: Not Present > Staged
         Update@10.0.1.1: Not Present > Installed from 0, of itself
           now: Not Present > Staged",
    );
    // What it waits for arrives with a later delivery of the same plan: it completes itself. So does the other.
    let both = planned(&base().store(), &sources, &install(&[1, 0]));
    assert!(
        both.contains("Waits@10.0.1.1: Not Present > Installed") && both.contains("Detects@10.0.1.1: Not Present > Installed"),
        "{both}"
    );
    // And in an image where it waits already.
    let waiting = base().package(&update, ON, &[OFF, State::ABSENT], &[]).package(&child("Waits", "staged"), OFF, &[OFF], &["Update"]);
    same(
        &planned(&waiting.store(), &sources, &install(&[1])),
        "Later@10.0.1.1: Not Present > Installed from 1, of itself
         Waits@10.0.1.1: Staged > Installed hidden, of Update@10.0.1.1
           d: Staged > Installed
         Detects@10.0.1.1: Not Present > Installed from 0 hidden, of Update@10.0.1.1
           d: Not Present > Installed
         Update@10.0.1.1: Installed > Installed, of itself
           now: Staged > Installed
           never: Not Present > Installed",
    );
}

/// What somebody left otherwise than the rules say stays so, as long as the plan does not touch what it depends on.
#[test]
fn what_the_plan_does_not_concern_stays_as_it_is() {
    let child = mum("Child", "", &deploys("d", "", "Deployment"));
    let edition = mum("OtherEdition", "", &carries("u", "", "Child"));
    let half = mum("Half", "", &carries("u", "", "Child"));
    let store = base()
        .package(&edition, OFF, &[OFF], &[])
        .package(&half, ON, &[OFF], &[])
        .package(&child, OFF, &[OFF], &["OtherEdition", "Half"])
        .store();
    same(&planned(&store, &[root("Client", &[])], &install(&[0])), "Client@10.0.1.1: Not Present > Installed from 0, of itself");
    same(&planned(&store, &[], &Request::default()), "");
}

fn satellites() -> [PackageSource; 2] {
    let neutral = mum(
        "Fod",
        r#"releaseType="OnDemand Pack""#,
        &(deploys("Feature", &selectable(true), "D") + &carries("more", &follows("Feature"), "Part")),
    );
    let part = mum("Part", "", &deploys("d", "", "D"));
    let follow = r#"<applicable disposition="staged"><detectUpdate><parent name="Feature"/></detectUpdate></applicable>"#;
    let waits = |name: &str| parent(r#"disposition="staged" integrate="separate""#, name);
    let satellite = mum(
        "Fod~de-DE",
        r#"releaseType="Language Pack""#,
        &(waits("Fod") + &deploys("Feature", follow, "D~de-DE") + &carries("more", "", "Part~de-DE")),
    );
    let part_satellite = mum("Part~de-DE", "", &(waits("Part") + &deploys("d", "", "D~de-DE")));
    [delivery(&[&neutral, &part], &[]), delivery(&[&satellite, &part_satellite], &[])]
}

#[test]
fn a_satellite_follows_the_feature_of_its_parent() {
    let sources = satellites();
    same(
        &planned(&base().store(), &sources, &install(&[1, 0])),
        "Part@10.0.1.1: Not Present > Installed from 0 hidden, of Fod@10.0.1.1
           d: Not Present > Installed
         Fod@10.0.1.1: Not Present > Installed from 0, of itself
           Feature: Not Present > Installed
           more: Not Present > Installed
         Part~de-DE@10.0.1.1: Not Present > Installed from 1 hidden, of Fod~de-DE@10.0.1.1
           d: Not Present > Installed
         Fod~de-DE@10.0.1.1: Not Present > Installed from 1, of itself
           Feature: Not Present > Installed
           more: Not Present > Installed",
    );
    // Alone, it has nothing to follow: that is no success.
    let alone = refused(&base().store(), &sources, &install(&[1])).to_string();
    assert!(alone.contains(&format!("its parent {} is not there", id("Fod"))), "{alone}");
    // With the feature off, all of it waits.
    let off = Request { disable: vec![crate::cbs::plan::Disable { name: "Feature".into(), remove_payload: false }], ..install(&[0, 1]) };
    same(
        &planned(&base().store(), &sources, &off),
        "Part@10.0.1.1: Not Present > Staged from 0 hidden, of Fod@10.0.1.1
           d: Not Present > Staged
         Fod@10.0.1.1: Not Present > Installed from 0, of itself
           Feature: Not Present > Staged
           more: Not Present > Staged
         Part~de-DE@10.0.1.1: Not Present > Staged from 1 hidden, of Fod~de-DE@10.0.1.1
           d: Not Present > Staged
         Fod~de-DE@10.0.1.1: Not Present > Installed from 1, of itself
           Feature: Not Present > Staged
           more: Not Present > Staged",
    );
}

#[test]
fn the_order_of_deliveries_is_microsofts_whatever_the_order_of_files() {
    let stack = |version: &str| delivery(&[&mum(&format!("Package_for_ServicingStack@{version}"), "", "")], &[]);
    let cumulative = |version: &str| delivery(&[&mum(&format!("Package_for_RollupFix@{version}"), "", "")], &[]);
    let kinds: Vec<fn() -> PackageSource> = vec![
        || delivery(&[&mum("Package_for_DotNetRollup", "", "")], &[]),
        || delivery(&[&mum("Package_for_KB1", "", "")], &[]),
        || delivery(&[&mum("Microsoft-Windows-1Enablement-Package", "", "")], &[]),
        || delivery(&[&mum("Fod", r#"releaseType="OnDemand Pack""#, "")], &[]),
        || delivery(&[&mum("Microsoft-Windows-Client-LanguagePack-Package~de-DE", r#"releaseType="Language Pack""#, "")], &[]),
        || delivery(&[&mum("Optional", r#"releaseType="Feature Pack""#, "")], &[]),
    ];
    let names = |sources: &[PackageSource], order: &[usize]| {
        let made = plan(&base().store(), sources, &install(order)).unwrap();
        let installed = made.changes.iter().filter(|change| change.after == ON);
        installed.map(|change| format!("{}@{}", change.package.name, change.package.version)).collect::<Vec<_>>()
    };
    let mut sources: Vec<PackageSource> = kinds.iter().map(|make| make()).collect();
    sources.extend([cumulative("10.0.1.9"), stack("10.0.1.2"), cumulative("10.0.1.10")]);
    let expected = [
        "Package_for_ServicingStack@10.0.1.2",
        "Microsoft-Windows-Client-LanguagePack-Package@10.0.1.1",
        "Fod@10.0.1.1",
        "Package_for_KB1@10.0.1.1",
        "Package_for_RollupFix@10.0.1.9",
        "Package_for_RollupFix@10.0.1.10",
        "Microsoft-Windows-1Enablement-Package@10.0.1.1",
        "Optional@10.0.1.1",
        "Package_for_DotNetRollup@10.0.1.1",
    ];
    assert_eq!(names(&sources, &[0, 1, 2, 3, 4, 5, 6, 7, 8]), expected);
    assert_eq!(names(&sources, &[8, 7, 6, 5, 4, 3, 2, 1, 0, 0]), expected);
    sources.reverse();
    assert_eq!(names(&sources, &[0, 1, 2, 3, 4, 5, 6, 7, 8]), expected);
}

/// A later one of the order can be what an earlier one waits for.
#[test]
fn a_delivery_waits_for_another() {
    let sources = [
        delivery(&[&mum("A", "", &parent("", "B"))], &[]),
        delivery(&[&mum("B", "", &parent("", "C"))], &[]),
        delivery(&[&mum("C", "", "")], &[]),
    ];
    let made = plan(&base().store(), &sources, &install(&[0, 1, 2])).unwrap();
    assert_eq!(made.changes.iter().map(|change| change.package.name.as_str()).collect::<Vec<_>>(), ["C", "B", "A"]);
}

#[test]
fn a_plan_on_what_it_made_is_empty() {
    let sources = satellites();
    let made = plan(&base().store(), &sources, &install(&[0, 1])).unwrap();
    let after: Store = carried_out(base(), &made).store();
    same(&planned(&after, &sources, &install(&[0, 1])), "");
}

/// An image in which a plan was carried out, as far as planning sees it.
fn carried_out(windows: Windows, plan: &crate::cbs::plan::Plan) -> Windows {
    plan.changes.iter().fold(windows, |windows, change| {
        let source = change.source.expect("everything is new");
        let language = if change.package.language.is_empty() { 0 } else { 1 };
        assert_eq!(source, language);
        let sources = satellites();
        let bytes = sources[source].package(&change.package).unwrap().manifest_bytes.clone();
        let states: Vec<State> = change.updates.iter().map(|update| update.after).collect();
        let owners: Vec<String> = change.owners.iter().filter(|owner| **owner != change.package).map(short).collect();
        let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
        windows.package(std::str::from_utf8(&bytes).unwrap(), change.after, &states, &owners)
    })
}

fn short(id: &wimwright_format::manifest::PackageId) -> String {
    let language = if id.language.is_empty() { String::new() } else { format!("~{}", id.language) };
    format!("{}{language}@{}", id.name, id.version)
}
