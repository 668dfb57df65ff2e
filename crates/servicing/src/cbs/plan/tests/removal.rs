//! Packages that leave.

use super::fixture::*;
use crate::cbs::plan::{PlanError, Request};
use crate::cbs::state::State;
use crate::cbs::store::Store;

const ON: State = State::INSTALLED;

fn remove(names: &[&str]) -> Request {
    Request { remove: names.iter().map(|name| id(name)).collect(), ..Request::default() }
}

/// Two packages that share one, an older version of one of them, and a satellite.
fn store() -> Store {
    let part = |name| mum(name, "", &deploys("d", "", "D"));
    let common = carries("u0", "", "Common");
    let server = mum("Server", "", &(common.clone() + &carries("u1", "", "ServerOnly")));
    let client = mum("Client", "", &common);
    let satellite = mum("Client~de-DE", "", &parent(r#"disposition="staged""#, "Client"));
    Windows::new("9")
        .package(&server, ON, &[ON, ON], &[])
        .package(&mum("Server@10.0.1.0", "", &common), State::SUPERSEDED, &[ON], &[])
        .package(&client, ON, &[ON], &[])
        .package(&satellite, ON, &[], &[])
        .package(&part("Common"), ON, &[ON], &["Server", "Server@10.0.1.0", "Client"])
        .package(&part("ServerOnly"), ON, &[ON], &["Server"])
        .package(&mum("Forever", r#"permanence="permanent""#, ""), ON, &[], &[])
        .package(&mum("Fixed", "", ""), State::PERMANENT, &[], &[])
        .store()
}

#[test]
fn what_a_package_alone_owns_goes_with_it_and_the_older_version_comes_back() {
    same(
        &planned(&store(), &[], &remove(&["Server"])),
        "Server@10.0.1.1: Installed > Not Present, of itself
           u0: Installed > Not Present
           u1: Installed > Not Present
         Common@10.0.1.1: Installed > Installed hidden, of Client@10.0.1.1 and Server@10.0.1.0
         ServerOnly@10.0.1.1: Installed > Not Present hidden, of nobody
           d: Installed > Not Present
         Server@10.0.1.0: Superseded > Installed, of itself",
    );
}

#[test]
fn what_others_need_stays() {
    let error = refused(&store(), &[], &remove(&["Client"]));
    assert_eq!(error.to_string(), format!("{} cannot be removed: {} would be left without parent", id("Client"), id("Client~de-DE")));
    let both = planned(&store(), &[], &remove(&["Client", "Client~de-DE"]));
    assert!(both.contains("Client@10.0.1.1: Installed > Not Present") && both.contains("Client~de-DE@10.0.1.1: Installed > Not Present"));
    assert!(both.contains("Common@10.0.1.1: Installed > Installed hidden, of Server@10.0.1.0 and Server@10.0.1.1"), "{both}");
}

#[test]
fn what_cannot_be_removed_is_refused() {
    let store = store();
    assert!(matches!(refused(&store, &[], &remove(&["Forever"])), PlanError::Permanent { .. }));
    assert!(matches!(refused(&store, &[], &remove(&["Fixed"])), PlanError::Permanent { .. }));
    let owned = refused(&store, &[], &remove(&["Common"]));
    assert!(matches!(&owned, PlanError::Owned { owners, .. } if owners.len() == 3), "{owned}");
    // Whole identities only, as DISM: neither another version nor a name.
    for name in [id("Server@10.0.1.9"), "Server".to_owned(), id("Server").replace("10.0.1.1", "*")] {
        let error = refused(&store, &[], &Request { remove: vec![name], ..Request::default() });
        assert!(matches!(&error, PlanError::UnknownPackage { nearest, .. } if nearest.contains(&id("Server"))), "{error}");
    }
}
