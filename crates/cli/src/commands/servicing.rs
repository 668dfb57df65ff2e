//! `packages`, `features` and `capabilities`: what component based servicing knows of an image.

use std::collections::BTreeSet;

use serde::Serialize;
use wimwright_format::file_time::FileTime;
use wimwright_format::manifest::PackageId;
use wimwright_servicing::cbs::dictionary::Dictionary;
use wimwright_servicing::cbs::listing::{ListedCapability, ListedFeature, ListedPackage, Listing};
use wimwright_servicing::cbs::plan::nearest;
use wimwright_servicing::cbs::store::Store;

use super::{Result, open_images};
use crate::args::{Capabilities, Features, Packages};
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;
use crate::ui::text;

/// A result for every image.
#[derive(Serialize)]
struct PerImage<T> {
    images: Vec<OfImage<T>>,
}

/// A result for an image.
#[derive(Serialize)]
struct OfImage<T> {
    /// Number of the image, from 1.
    index: u32,
    /// Its name in the XML data.
    name: String,
    #[serde(flatten)]
    found: T,
}

/// A package in a list.
#[derive(Serialize)]
struct Package {
    identity: String,
    /// In DISM's words.
    state: &'static str,
    release_type: String,
    /// RFC 3339; empty when not stated.
    install_time: String,
    /// Whether DISM lists it.
    visible: bool,
}

#[derive(Serialize)]
struct PackageList {
    packages: Vec<Package>,
}

/// One package, feature or capability.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum One {
    Package(Box<PackageDetails>),
    Feature(FeatureDetails),
    Capability(CapabilityDetails),
}

/// Everything of a package.
#[derive(Serialize)]
struct PackageDetails {
    #[serde(flatten)]
    package: Package,
    display_name: String,
    description: String,
    company: String,
    copyright: String,
    support_information: String,
    creation_time: String,
    last_update_time: String,
    /// `possible` or `required`; empty when not stated.
    restart_required: String,
    /// `permanent` for what cannot be removed; empty when not stated.
    permanence: String,
    /// Whether it can be installed without starting Windows; `None` when not stated.
    completely_offline_capable: Option<bool>,
    /// Names of its capabilities.
    capabilities: Vec<String>,
    /// Its features with their states.
    features: Vec<Feature>,
    /// Packages that keep it.
    owners: Vec<String>,
}

/// A feature or a capability in a list.
#[derive(Serialize)]
struct Feature {
    name: String,
    /// In DISM's words.
    state: &'static str,
}

#[derive(Serialize)]
struct FeatureList {
    features: Vec<Feature>,
}

#[derive(Serialize)]
struct CapabilityList {
    capabilities: Vec<Feature>,
}

/// Everything of a feature.
#[derive(Serialize)]
struct FeatureDetails {
    #[serde(flatten)]
    feature: Feature,
    display_name: String,
    description: String,
    /// `possible` or `required`; empty when not stated.
    restart_required: String,
    /// The package that has it.
    package: String,
}

/// Everything of a capability.
#[derive(Serialize)]
struct CapabilityDetails {
    #[serde(flatten)]
    capability: Feature,
    display_name: String,
    description: String,
    /// The packages that bring it.
    packages: Vec<String>,
}

/// Lists packages, or shows one.
pub fn packages(arguments: &Packages, printer: &Printer) -> Result {
    let Some(wanted) = &arguments.identity else {
        let list = |_: &Store, listing: Listing| {
            let listed = listing.packages.iter().filter(|package| arguments.all || package.visible);
            Ok(Some(PackageList { packages: listed.map(package).collect() }))
        };
        return print(&each(&arguments.image, None, list)?, printer, |found| {
            let header = ["Package identity", "State", "Release type", "Install time"].map(str::to_owned).to_vec();
            let row = |package: &Package| {
                vec![package.identity.clone(), package.state.to_owned(), package.release_type.clone(), package.install_time.clone()]
            };
            text::table(&std::iter::once(header).chain(found.packages.iter().map(row)).collect::<Vec<_>>())
        });
    };
    let show = |store: &Store, listing: Listing| match listing.package(wanted) {
        Some(found) => Ok(Some(One::Package(Box::new(package_details(store, found)?)))),
        None => Ok(None),
    };
    let names = |listing: &Listing| listing.packages.iter().map(|package| package.id.to_string()).collect();
    print(
        &each(&arguments.image, Some(Sought { command: "packages", what: "package", name: wanted, names: &names }), show)?,
        printer,
        render_one,
    )
}

fn package(listed: &ListedPackage) -> Package {
    Package {
        identity: listed.id.to_string(),
        state: listed.state.package_word(),
        release_type: listed.release_type.clone(),
        install_time: if listed.installed > 0 { FileTime(listed.installed).to_string() } else { String::new() },
        visible: listed.visible,
    }
}

fn package_details(store: &Store, listed: &ListedPackage) -> Result<PackageDetails> {
    let manifest = store.package_manifest(&listed.id)?;
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut features = Vec::new();
    for feature in manifest.features() {
        features.push(Feature { name: feature.name.clone(), state: store.update_state(&listed.id, feature)?.feature_words() });
    }
    let capabilities = manifest.capabilities.iter().flat_map(|declared| &declared.capabilities);
    let record = store.packages().get(&listed.id);
    Ok(PackageDetails {
        package: package(listed),
        display_name: given(&manifest.display_name),
        description: given(&manifest.description),
        company: given(&manifest.company),
        copyright: given(&manifest.copyright),
        support_information: given(&manifest.support_information),
        creation_time: given(&manifest.creation_time),
        last_update_time: given(&manifest.last_update_time),
        restart_required: given(&manifest.restart),
        permanence: given(&manifest.permanence),
        completely_offline_capable: manifest.completely_offline_capable,
        capabilities: capabilities.map(|capability| manifest.capability_name(capability)).collect(),
        features,
        owners: record.into_iter().flat_map(|record| record.owners.keys()).map(PackageId::to_string).collect(),
    })
}

fn render_one(found: &One) -> String {
    match found {
        One::Package(found) => render_package(found),
        One::Feature(found) => fields(&[
            ("Feature name", &found.feature.name),
            ("State", found.feature.state),
            ("Display name", &found.display_name),
            ("Description", &found.description),
            ("Restart required", &found.restart_required),
            ("Package", &found.package),
        ]),
        One::Capability(found) => fields(&[
            ("Capability identity", &found.capability.name),
            ("State", found.capability.state),
            ("Display name", &found.display_name),
            ("Description", &found.description),
            ("Packages", &found.packages.join(", ")),
        ]),
    }
}

fn render_package(found: &PackageDetails) -> String {
    let offline = match found.completely_offline_capable {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    let mut text = fields(&[
        ("Package identity", &found.package.identity),
        ("State", found.package.state),
        ("Display name", &found.display_name),
        ("Description", &found.description),
        ("Company", &found.company),
        ("Copyright", &found.copyright),
        ("Support information", &found.support_information),
        ("Release type", &found.package.release_type),
        ("Install time", &found.package.install_time),
        ("Creation time", &found.creation_time),
        ("Last update time", &found.last_update_time),
        ("Restart required", &found.restart_required),
        ("Permanence", &found.permanence),
        ("Offline capable", offline),
        ("Capabilities", &found.capabilities.join(", ")),
        ("Owners", &found.owners.join(", ")),
    ]);
    if !found.features.is_empty() {
        text.push_str("\nFeatures\n");
        let row = |feature: &Feature| vec![format!("  {}", feature.name), feature.state.to_owned()];
        text.push_str(&text::table(&found.features.iter().map(row).collect::<Vec<_>>()));
    }
    text
}

/// Lists features, or shows one.
pub fn features(arguments: &Features, printer: &Printer) -> Result {
    let Some(wanted) = &arguments.name else {
        let list = |_: &Store, listing: Listing| Ok(Some(FeatureList { features: listing.features.iter().map(feature).collect() }));
        return print(&each(&arguments.image, None, list)?, printer, |found| render_list("Feature", &found.features));
    };
    let show = |store: &Store, listing: Listing| Ok(listing.feature(wanted).map(|found| One::Feature(feature_details(store, found))));
    let names = |listing: &Listing| listing.features.iter().map(|feature| feature.name.clone()).collect();
    print(
        &each(&arguments.image, Some(Sought { command: "features", what: "feature", name: wanted, names: &names }), show)?,
        printer,
        render_one,
    )
}

fn feature(listed: &ListedFeature) -> Feature {
    Feature { name: listed.name.clone(), state: listed.state.feature_words() }
}

/// A feature whose package has lost its manifest has a name and a state, nothing else.
fn feature_details(store: &Store, listed: &ListedFeature) -> FeatureDetails {
    let manifest = store.package_manifest(&listed.package).ok();
    let update =
        manifest.as_ref().and_then(|manifest| manifest.updates.iter().find(|update| update.name.eq_ignore_ascii_case(&listed.name)));
    let given = |text: Option<&String>| text.cloned().unwrap_or_default();
    FeatureDetails {
        feature: feature(listed),
        display_name: given(update.and_then(|update| update.display_name.as_ref())),
        description: given(update.and_then(|update| update.description.as_ref())),
        restart_required: given(update.and_then(|update| update.restart.as_ref())),
        package: listed.package.to_string(),
    }
}

/// Lists capabilities, or shows one.
pub fn capabilities(arguments: &Capabilities, printer: &Printer) -> Result {
    let Some(wanted) = &arguments.name else {
        let list =
            |_: &Store, listing: Listing| Ok(Some(CapabilityList { capabilities: listing.capabilities.iter().map(capability).collect() }));
        return print(&each(&arguments.image, None, list)?, printer, |found| render_list("Capability", &found.capabilities));
    };
    let show =
        |store: &Store, listing: Listing| Ok(listing.capability(wanted).map(|found| One::Capability(capability_details(store, found))));
    let names = |listing: &Listing| listing.capabilities.iter().map(|capability| capability.name.clone()).collect();
    print(
        &each(&arguments.image, Some(Sought { command: "capabilities", what: "capability", name: wanted, names: &names }), show)?,
        printer,
        render_one,
    )
}

fn capability(listed: &ListedCapability) -> Feature {
    Feature { name: listed.name.clone(), state: listed.state.package_word() }
}

fn capability_details(store: &Store, listed: &ListedCapability) -> CapabilityDetails {
    let manifest = listed.packages.iter().rev().find_map(|package| store.package_manifest(package).ok());
    let given = |text: Option<&String>| text.cloned().unwrap_or_default();
    CapabilityDetails {
        capability: capability(listed),
        display_name: given(manifest.as_ref().and_then(|manifest| manifest.display_name.as_ref())),
        description: given(manifest.as_ref().and_then(|manifest| manifest.description.as_ref())),
        packages: listed.packages.iter().map(PackageId::to_string).collect(),
    }
}

/// What a person looks for by its name.
struct Sought<'a> {
    /// The command that lists what there is.
    command: &'a str,
    /// What it is.
    what: &'a str,
    name: &'a str,
    /// The names that an image has.
    names: &'a dyn Fn(&Listing) -> Vec<String>,
}

/// Asks every image that the address leads to. `None` where an image does not have what is looked for; an error when none has.
fn each<T>(address: &str, sought: Option<Sought<'_>>, ask: impl Fn(&Store, Listing) -> Result<Option<T>>) -> Result<PerImage<T>> {
    let mut images = Vec::new();
    let mut known = BTreeSet::new();
    for (index, mut image) in open_images(address)? {
        // Package manifests are plain: no dictionary is needed.
        let in_image = |error: CommandError| error.within(format!("image {index} of `{address}` cannot be listed"));
        let store = Store::read(&mut image, Some(Dictionary::default())).map_err(|error| in_image(error.into()))?;
        let listing = Listing::read(&store).map_err(|error| in_image(error.into()))?;
        if let Some(sought) = &sought {
            known.extend((sought.names)(&listing));
        }
        if let Some(found) = ask(&store, listing).map_err(in_image)? {
            images.push(OfImage { index, name: image.info.name().unwrap_or_default(), found });
        }
    }
    if let (true, Some(Sought { command, what, name, .. })) = (images.is_empty(), sought) {
        let near: Vec<String> = nearest(name, known.iter().map(String::as_str)).iter().map(|name| format!("`{name}`")).collect();
        let hint = if near.is_empty() { String::new() } else { format!("did you mean {}?", near.join(" or ")) };
        let all = format!("`wimwright {command} {address}` lists all");
        return Err(CommandError::user(format!("`{address}` has no {what} `{name}`")).hinted(hint).hinted(all));
    }
    Ok(PerImage { images })
}

/// Prints the result; the images' names only where there are several.
fn print<T: Serialize>(found: &PerImage<T>, printer: &Printer, render: impl Fn(&T) -> String) -> Result {
    printer.result(found, || {
        let several = found.images.len() > 1;
        let parts = found.images.iter().map(|image| {
            let title = if several { format!("{}: {}\n\n", image.index, image.name) } else { String::new() };
            title + &render(&image.found)
        });
        parts.collect::<Vec<_>>().join("\n")
    })
}

fn render_list(what: &str, listed: &[Feature]) -> String {
    let header = vec![what.to_owned(), "State".to_owned()];
    let row = |feature: &Feature| vec![feature.name.clone(), feature.state.to_owned()];
    text::table(&std::iter::once(header).chain(listed.iter().map(row)).collect::<Vec<_>>())
}

/// Names and values, those that have one.
fn fields(fields: &[(&str, &str)]) -> String {
    let given = fields.iter().filter(|(_, value)| !value.is_empty());
    text::table(&given.map(|(name, value)| vec![(*name).to_owned(), (*value).to_owned()]).collect::<Vec<_>>())
}
