//! The order of deliveries.

use wimwright_format::manifest::package::PackageClass;

use super::super::source::PackageSource;

/// Where a class stands in Microsoft's order (`media-dynamic-update.md`, steps 9 to 15): servicing stack, languages, features on
/// demand, the cumulative update, and what Microsoft adds after that: optional components and .NET. Single updates go
/// before the cumulative one, which supersedes most of what they bring; an enablement package after it, since it switches on what
/// that brought.
fn rank(class: PackageClass) -> u8 {
    match class {
        PackageClass::ServicingStack => 0,
        PackageClass::Edition => 1,
        PackageClass::LanguagePack => 2,
        PackageClass::FeatureOnDemand => 3,
        PackageClass::Other | PackageClass::Driver => 4,
        PackageClass::Cumulative => 5,
        PackageClass::Enablement => 6,
        PackageClass::Feature => 7,
        PackageClass::DotNet => 8,
        PackageClass::SafeOs | PackageClass::Setup => 9,
    }
}

/// Sorts deliveries, whatever their order: by class; neutral packages before those of a language; versions of a package from the
/// oldest, so that a checkpoint is there before the cumulative update whose differentials start from it.
pub(in crate::cbs) fn sort(deliveries: &mut Vec<usize>, sources: &[PackageSource]) {
    deliveries.sort_by(|a, b| match (sources.get(*a), sources.get(*b)) {
        (Some(one), Some(other)) => {
            let key = |source: &PackageSource| (rank(source.class), !source.root.language.is_empty());
            key(one).cmp(&key(other)).then_with(|| one.root.cmp(&other.root)).then_with(|| one.name.cmp(&other.name))
        }
        _ => a.cmp(b),
    });
    deliveries.dedup();
}
