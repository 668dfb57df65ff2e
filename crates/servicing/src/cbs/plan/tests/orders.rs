//! Plans of packages made at random: whatever the order of the files, the same plan; and nothing left to do after it.

use proptest::prelude::*;

use super::fixture::*;
use crate::cbs::plan::plan;
use crate::cbs::source::PackageSource;
use crate::cbs::state::State;

/// Packages of a set.
const COUNT: usize = 4;

/// A package of a set: what it has as parents, carries and follows, by numbers of the set.
#[derive(Debug, Clone)]
struct Shape {
    parent: Option<usize>,
    waits: bool,
    deep: bool,
    child_parent: Option<usize>,
    child_waits: bool,
    on: bool,
    follows: Option<usize>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let other = || proptest::option::of(0..COUNT);
    (other(), any::<bool>(), any::<bool>(), other(), any::<bool>(), any::<bool>(), other()).prop_map(
        |(parent, waits, deep, child_parent, child_waits, on, follows)| Shape {
            parent,
            waits,
            deep,
            child_parent,
            child_waits,
            on,
            follows,
        },
    )
}

fn parent_of(number: Option<usize>, waits: bool) -> String {
    let word = if waits { "staged" } else { "detect" };
    number.map_or(String::new(), |number| parent(&format!("disposition=\"{word}\""), &format!("P{number}")))
}

/// The manifests of a package and of what it carries.
fn manifests(number: usize, shape: &Shape) -> [String; 2] {
    // Parents come before, so that there is always an order in which all can be installed.
    let parents = parent_of(shape.parent.filter(|_| number > 0).map(|other| other % number.max(1)), shape.waits);
    let condition = shape.follows.map_or(String::new(), |other| follows(&format!("F{other}")));
    let updates = [
        deploys(&format!("F{number}"), &selectable(shape.on), "D"),
        carries("child", "", &format!("C{number}")),
        deploys("follower", &condition, "E"),
    ];
    let attributes = if shape.deep && shape.on { r#"applicabilityEvaluation="deep""# } else { "" };
    let child = mum(&format!("C{number}"), "", &(parent_of(shape.child_parent, shape.child_waits) + &deploys("d", "", "D")));
    [mum(&format!("P{number}"), attributes, &format!("{parents}{}", updates.concat())), child]
}

/// The plan that installs all as text, without the numbers of deliveries; and what is left to plan after it.
fn outcome(shapes: &[Shape], order: &[usize]) -> (Vec<String>, Vec<String>) {
    let sources: Vec<PackageSource> = order
        .iter()
        .map(|number| {
            let [root, child] = manifests(*number, &shapes[*number]);
            delivery(&[&root, &child], &[])
        })
        .collect();
    let numbers: Vec<usize> = (0..order.len()).collect();
    match plan(&Windows::new("9").store(), &sources, &install(&numbers)) {
        Err(error) => (vec![error.to_string()], Vec::new()),
        Ok(made) => {
            let windows = made.changes.iter().fold(Windows::new("9"), |windows, change| {
                let mut states = vec![State::ABSENT; change.manifest.updates.len()];
                change.updates.iter().for_each(|update| states[update.update] = update.after);
                let owners: Vec<String> = change.owners.iter().filter(|owner| **owner != change.package).map(ToString::to_string).collect();
                let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
                let bytes = sources[change.source.unwrap()].package(&change.package).unwrap().manifest_bytes.clone();
                windows.package(std::str::from_utf8(&bytes).unwrap(), change.after, &states, &owners)
            });
            let again = plan(&windows.store(), &sources, &install(&numbers)).unwrap();
            let lines = |plan| {
                let text: String = text(plan);
                text.lines().map(|line| line.split(" from ").next().unwrap().to_owned()).collect()
            };
            (lines(&made), lines(&again))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_plan_does_not_depend_on_the_order_of_files(
        shapes in proptest::collection::vec(shape(), COUNT),
        order in Just((0..COUNT).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let straight: Vec<usize> = (0..COUNT).collect();
        let (expected, again) = outcome(&shapes, &straight);
        prop_assert!(expected.len() >= COUNT, "{expected:?}");
        prop_assert!(again.is_empty(), "{again:?} after {expected:?}");
        prop_assert_eq!(outcome(&shapes, &order).0, expected);
    }
}
