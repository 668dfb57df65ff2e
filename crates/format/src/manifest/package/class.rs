//! What kind of package a set of files is, from its own manifests.

use super::{Package, Payload};

/// The kind of a package: decides when it is installed and by which rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackageClass {
    /// Servicing stack update (SSU).
    ServicingStack,
    /// Cumulative update (LCU). Whether it is a checkpoint is not told apart here.
    Cumulative,
    /// Switches on what a cumulative update already brought.
    Enablement,
    /// Cumulative update for .NET.
    DotNet,
    /// Safe OS dynamic update: for the recovery environment.
    SafeOs,
    /// Setup dynamic update: plain files for the `sources` folder of the medium, not installed.
    Setup,
    /// Edition of Windows.
    Edition,
    /// Language pack.
    LanguagePack,
    /// Feature on demand: declares a capability, or is the language satellite of a package that does.
    FeatureOnDemand,
    /// Carries optional features.
    Feature,
    /// Carries drivers and nothing else.
    Driver,
    /// Any other update.
    Other,
}

/// Classifies by the root package (`update.mum`; `None` where there is none) and the names of all members of the package.
///
/// The rules are those of abbodi1406/BatUtil's W10UI (facts), which sorts real updates with them: names of packages and of the
/// component manifests beside them, never titles. What those rules leave is told by what the package carries.
#[must_use]
pub fn classify<'a>(root: Option<&Package>, members: impl IntoIterator<Item = &'a str>) -> PackageClass {
    let Some(root) = root else { return PackageClass::Setup };
    let name = root.identity.name.to_ascii_lowercase();
    if name == "package_for_rollupfix" {
        return PackageClass::Cumulative;
    }
    if name == "package_for_dotnetrollup" || name.starts_with("package_for_dotnetrollup_") {
        return PackageClass::DotNet;
    }
    if name.starts_with("microsoft-windows-") && name.ends_with("enablement-package") {
        return PackageClass::Enablement;
    }
    if name.starts_with("package_for_servicingstack") {
        return PackageClass::ServicingStack;
    }
    let (mut stack, mut safe_os) = (false, false);
    for member in members {
        let member = member.to_ascii_lowercase();
        stack |= member.contains("_microsoft-windows-servicingstack_") && member.ends_with(".manifest");
        safe_os |= ["microsoft-windows-sysreset_", "winpe_tools", "winre-tools"].iter().any(|mark| member.contains(mark));
    }
    if stack {
        return PackageClass::ServicingStack;
    }
    if safe_os {
        return PackageClass::SafeOs;
    }
    classify_content(root)
}

fn classify_content(root: &Package) -> PackageClass {
    let release_type = root.release_type.as_deref().unwrap_or_default().to_ascii_lowercase();
    let name = root.identity.name.to_ascii_lowercase();
    let carries = |wanted: fn(&Payload) -> bool| root.updates.iter().flat_map(|update| &update.payload).any(wanted);
    let drivers = carries(|payload| matches!(payload, Payload::Driver { .. }));
    if !root.capabilities.is_empty() || release_type == "ondemand pack" {
        return PackageClass::FeatureOnDemand;
    }
    match release_type.as_str() {
        "product" => PackageClass::Edition,
        // A satellite is a language pack by its release type, too; only a real one is named so.
        "language pack" if name.contains("languagepack") || name.contains("language-pack") => PackageClass::LanguagePack,
        "language pack" => PackageClass::FeatureOnDemand,
        _ if drivers && !carries(|payload| !matches!(payload, Payload::Driver { .. })) => PackageClass::Driver,
        "feature pack" => PackageClass::Feature,
        _ if root.features().next().is_some() => PackageClass::Feature,
        _ => PackageClass::Other,
    }
}
