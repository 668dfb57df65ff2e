//! What is wrong with an answer file.

use super::components::{KNOWN_COMPONENTS, KnownComponent};
use super::{AnswerFile, Component, Pass, Settings};
use crate::problem::{Findings, Problem};
use std::collections::HashSet;

/// The token of Microsoft's public key, which every component of Windows has.
const MICROSOFT_PUBLIC_KEY_TOKEN: &str = "31bf3856ad364e35";

/// The architectures that Windows images have had.
const ARCHITECTURES: [&str; 7] = ["amd64", "x86", "arm64", "arm", "ia64", "wow64", "neutral"];

/// How similar an unknown name must be to a known one to count as misspelt (normalized Damerau-Levenshtein).
const MISSPELT: f64 = 0.85;

impl AnswerFile {
    /// Checks the file against Microsoft's reference, and against the architecture (`amd64`, `x86`, `arm64`) of the image if one
    /// is given. Findings come in the order of the file.
    ///
    /// Settings inside a component are not checked: their schema is in the image's catalogue.
    #[must_use]
    pub fn check(&self, image_architecture: Option<&str>) -> Vec<Problem> {
        let mut findings = Findings::default();
        for stray in &self.strays {
            let place = if stray.name == "component" { "put it into a `settings` element" } else { "remove it" };
            findings.error(stray.position, format!("`{}` directly in `{}` is ignored: {place}", stray.name, stray.parent));
        }
        let mut passes = HashSet::new();
        for settings in &self.settings {
            if !passes.insert(settings.pass.as_str()) {
                findings.unknown(settings.position, format!("the pass {} appears twice: merge the `settings` elements", settings.pass));
            }
            check_settings(&mut findings, settings);
            let mut seen = HashSet::new();
            let rightly_built: HashSet<String> = image_architecture
                .map(|image| {
                    settings.components.iter().filter(|component| fits(component, image)).map(|component| component.name.to_lowercase())
                })
                .into_iter()
                .flatten()
                .collect();
            for component in &settings.components {
                check_identity(&mut findings, component);
                check_name_and_pass(&mut findings, component, settings);
                if let Some(image) = image_architecture {
                    check_architecture(&mut findings, component, image, &rightly_built);
                }
                let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
                let identity = (component.name.to_lowercase(), lower(&component.processor_architecture), lower(&component.language));
                if !seen.insert(identity) {
                    let message = format!("{} appears twice in the pass {}: merge the two", component.name, settings.pass);
                    findings.error(component.position, message);
                }
            }
        }
        findings.into_problems()
    }
}

fn fits(component: &Component, image: &str) -> bool {
    component.processor_architecture.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(image) || own.eq_ignore_ascii_case("neutral"))
}

fn check_settings(findings: &mut Findings, settings: &Settings) {
    if settings.pass.parse::<Pass>().is_err() {
        let nearest = nearest(&settings.pass, Pass::ALL.map(Pass::name).into_iter());
        let names = Pass::ALL.map(Pass::name).join(", ");
        let advice = nearest.map_or_else(|| format!("the passes are {names}"), |(name, _)| format!("did you mean {name}?"));
        findings.error(settings.position, format!("`{}` is no configuration pass: {advice}", settings.pass));
    }
    if settings.was_processed {
        let message = format!("the pass {} is marked wasProcessed, so Setup skips it: remove the attribute", settings.pass);
        findings.error(settings.position, message);
    }
}

fn check_identity(findings: &mut Findings, component: &Component) {
    let needed = [
        ("processorArchitecture", &component.processor_architecture, "amd64"),
        ("publicKeyToken", &component.public_key_token, MICROSOFT_PUBLIC_KEY_TOKEN),
    ];
    for (name, _, usual) in needed.iter().filter(|(_, value, _)| value.is_none()) {
        let message = format!("{} has no {name}: Windows finds no such component. Usual is {name}=\"{usual}\"", component.name);
        findings.error(component.position, message);
    }
    let usual = [("language", &component.language, "neutral"), ("versionScope", &component.version_scope, "nonSxS")];
    for (name, _, usual) in usual.iter().filter(|(_, value, _)| value.is_none()) {
        let message = format!("{} has no {name}, which Windows SIM always writes: usual is {name}=\"{usual}\"", component.name);
        findings.unknown(component.position, message);
    }
    let known = known(&component.name).is_some();
    if let Some(token) = component.public_key_token.as_deref().filter(|token| known && *token != MICROSOFT_PUBLIC_KEY_TOKEN) {
        let message =
            format!("{} has the publicKeyToken `{token}`; Microsoft's components have {MICROSOFT_PUBLIC_KEY_TOKEN}", component.name);
        findings.error(component.position, message);
    }
    if let Some(scope) = component.version_scope.as_deref().filter(|scope| !["nonSxS", "SxS"].contains(scope)) {
        findings.unknown(component.position, format!("{} has the versionScope `{scope}`; usual is nonSxS", component.name));
    }
}

fn check_name_and_pass(findings: &mut Findings, component: &Component, settings: &Settings) {
    let name = &component.name;
    if name.is_empty() {
        return findings.error(component.position, "a component without a name is ignored: give it one".to_owned());
    }
    let Some(known) = known(name) else {
        return match nearest(name, KNOWN_COMPONENTS.iter().map(|known| known.name)) {
            Some((nearest, similarity)) if similarity >= MISSPELT => {
                findings.error(component.position, format!("there is no component {name}: did you mean {nearest}?"));
            }
            _ => {
                let message = format!("{name} is not in Microsoft's reference for Windows 10 and 11: check that the image has it");
                findings.unknown(component.position, message);
            }
        };
    };
    if let Ok(pass) = settings.pass.parse::<Pass>()
        && !known.passes.contains(&pass)
    {
        let passes: Vec<_> = known.passes.iter().map(|pass| pass.name()).collect();
        let message = format!("{name} has no settings for the pass {pass}: move it to {}", passes.join(" or "));
        findings.error(component.position, message);
    }
}

fn check_architecture(findings: &mut Findings, component: &Component, image: &str, rightly_built: &HashSet<String>) {
    let Some(own) = component.processor_architecture.as_deref() else { return };
    if !ARCHITECTURES.iter().any(|known| known.eq_ignore_ascii_case(own)) {
        let message = format!("{} has the processorArchitecture `{own}`, which does not exist: write {image}", component.name);
        return findings.error(component.position, message);
    }
    // A file for several images has the component once for each architecture; a 64-bit image takes wow64 too.
    if fits(component, image) || own.eq_ignore_ascii_case("wow64") || rightly_built.contains(&component.name.to_lowercase()) {
        return;
    }
    let message = format!("{} is for {own}, the image is {image}, so it is ignored: write {image}", component.name);
    findings.error(component.position, message);
}

fn known(name: &str) -> Option<&'static KnownComponent> {
    KNOWN_COMPONENTS.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

/// The most similar of `names` and how similar it is, from 0 to 1. Names longer than any real one are not compared.
fn nearest(name: &str, names: impl Iterator<Item = &'static str>) -> Option<(&'static str, f64)> {
    const LONGEST: usize = 100;
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_lowercase();
    names
        .map(|candidate| (candidate, strsim::normalized_damerau_levenshtein(&lower, &candidate.to_lowercase())))
        .filter(|(_, similarity)| *similarity > 0.5)
        .max_by(|left, right| left.1.total_cmp(&right.1))
}
