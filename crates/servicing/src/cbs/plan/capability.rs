//! Capabilities: which deliveries bring them.

use std::collections::{BTreeMap, BTreeSet};

use wimwright_format::manifest::package::{CapabilityIdentity, PackageClass};
use wimwright_format::manifest::{Package, PackageId, Version};

use super::super::source::PackageSource;
use super::Request;
use super::error::{PlanError, nearest};
use super::planner::Planner;
use super::verdict::{Decision, Reason, Verdict};

/// Deliveries that capabilities bring along.
#[derive(Debug, Default)]
pub(super) struct Companions {
    /// They declare what is asked for, or what that needs.
    pub required: BTreeSet<usize>,
    /// Languages and architectures of those.
    pub optional: BTreeSet<usize>,
}

/// A capability as people write it: `Name~~~language~version`, or less.
struct Wanted<'t> {
    name: &'t str,
    language: Option<&'t str>,
    version: Option<&'t str>,
}

impl<'t> Wanted<'t> {
    fn parse(text: &'t str) -> Self {
        let mut parts = text.split('~');
        let name = parts.next().unwrap_or_default();
        // Between the name and the language stand a public key token and an architecture, always empty.
        let mut rest = parts.skip(2);
        let language = rest.next();
        Self { name, language, version: rest.next().filter(|version| !version.is_empty()) }
    }

    fn fits(&self, declared: &CapabilityIdentity, manifest: &Package) -> bool {
        let full = manifest.capability_name(declared);
        let mut parts = full.split('~').skip(3);
        let (language, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        declared.name.eq_ignore_ascii_case(self.name)
            && self.language.is_none_or(|wanted| wanted.eq_ignore_ascii_case(language))
            && self.version.is_none_or(|wanted| wanted == version)
    }
}

/// The capabilities that a package declares.
fn declared(manifest: &Package) -> impl Iterator<Item = &CapabilityIdentity> {
    manifest.capabilities.iter().flat_map(|declaration| &declaration.capabilities)
}

impl Planner<'_> {
    /// The deliveries that bring the capabilities of a request, and what those need.
    pub(super) fn resolve_capabilities(&mut self, request: &Request) -> Result<Companions, PlanError> {
        let mut companions = Companions::default();
        let languages = self.languages(request);
        let mut open: Vec<(String, Option<PackageId>)> = request.capabilities.iter().map(|name| (name.clone(), None)).collect();
        let mut asked = BTreeSet::new();
        while let Some((name, needed_by)) = open.pop() {
            if !asked.insert(name.to_ascii_lowercase()) {
                continue;
            }
            let wanted = Wanted::parse(&name);
            let Some(number) = self.bringing(&wanted) else {
                if let Some(package) = self.has_capability(&wanted)? {
                    if needed_by.is_none() {
                        self.say_installed(package);
                    }
                    continue;
                }
                return Err(match needed_by {
                    Some(package) => PlanError::CapabilityDependency { package: package.to_string(), name },
                    None => PlanError::UnknownCapability { nearest: self.nearest_capabilities(&name), name },
                });
            };
            let Some(source) = self.model.sources.get(number) else { continue };
            companions.required.insert(number);
            if let Some(manifest) = source.package(&source.root).map(|package| &package.manifest) {
                let needed = manifest.capabilities.iter().flat_map(|declaration| &declaration.dependencies);
                open.extend(needed.map(|needed| (manifest.capability_name(needed), Some(source.root.clone()))));
            }
            companions.optional.extend(self.satellites(&source.root, &languages));
        }
        companions.optional.retain(|number| !companions.required.contains(number));
        Ok(companions)
    }

    /// The delivery that declares a capability: the newest for the image's architecture.
    fn bringing(&self, wanted: &Wanted<'_>) -> Option<usize> {
        self.best_delivery(|source| {
            let manifest = source.package(&source.root).map(|package| package.manifest.clone());
            manifest.is_some_and(|manifest| declared(&manifest).any(|capability| wanted.fits(capability, &manifest)))
        })
    }

    /// The newest delivery of a kind for the image's architecture.
    pub(super) fn best_delivery(&self, fits: impl Fn(&PackageSource) -> bool) -> Option<usize> {
        let native = |source: &PackageSource| source.root.architecture.eq_ignore_ascii_case(self.model.store.architecture);
        let candidates = self.model.sources.iter().enumerate().filter(|(_, source)| fits(source));
        let best = candidates.max_by(|(_, one), (_, other)| {
            let key = |source: &PackageSource| (native(source), source.root.version);
            key(one).cmp(&key(other)).then_with(|| other.root.cmp(&one.root)).then_with(|| other.name.cmp(&one.name))
        });
        best.map(|(number, _)| number)
    }

    /// The installed package that declares a capability.
    fn has_capability(&self, wanted: &Wanted<'_>) -> Result<Option<PackageId>, PlanError> {
        for (id, known) in &self.model.packages {
            if !known.state.is_installed() {
                continue;
            }
            let Some(manifest) = self.model.manifest(id)? else { continue };
            if declared(&manifest).any(|capability| wanted.fits(capability, &manifest)) {
                return Ok(Some(id.clone()));
            }
        }
        Ok(None)
    }

    fn say_installed(&mut self, package: PackageId) {
        let state = self.model.state(&package);
        let reasons = vec![Reason::AlreadyInstalled];
        let decision = Decision::Unchanged;
        self.log.say(Verdict { package, update: None, applicable: true, before: state, after: state, decision, reasons });
    }

    /// Packages of the same name for the image's languages and for programs of the other architecture, each in its newest version.
    pub(super) fn satellites(&self, root: &PackageId, languages: &BTreeSet<String>) -> Vec<usize> {
        let mut newest: BTreeMap<PackageId, (Version, usize)> = BTreeMap::new();
        for (number, source) in self.model.sources.iter().enumerate() {
            let id = &source.root;
            let same = id.name.eq_ignore_ascii_case(&root.name) && id.public_key_token.eq_ignore_ascii_case(&root.public_key_token);
            let language = id.language.eq_ignore_ascii_case(&root.language) || languages.contains(&id.language.to_ascii_lowercase());
            let architecture = id.architecture.eq_ignore_ascii_case(&root.architecture) || id.architecture.eq_ignore_ascii_case("wow64");
            if !(same && language && architecture) || id.same_package(root) {
                continue;
            }
            let found = newest.entry(id.with_version(Version::ZERO)).or_insert((id.version, number));
            if id.version > found.0 {
                *found = (id.version, number);
            }
        }
        newest.into_values().map(|(_, number)| number).collect()
    }

    /// The languages of the language packs that are installed or asked for, in lower case.
    pub(super) fn languages(&self, request: &Request) -> BTreeSet<String> {
        let is_pack = |id: &PackageId| {
            let name = id.name.to_ascii_lowercase();
            !id.language.is_empty() && (name.contains("languagepack") || name.contains("language-pack"))
        };
        let installed = self.model.packages.iter().filter(|(_, known)| known.state.is_installed()).map(|(id, _)| id);
        let asked = request.updates.iter().filter_map(|number| self.model.sources.get(*number));
        let asked = asked.filter(|source| source.class == PackageClass::LanguagePack).map(|source| &source.root);
        installed.filter(|id| is_pack(id)).chain(asked).map(|id| id.language.to_ascii_lowercase()).collect()
    }

    fn nearest_capabilities(&self, name: &str) -> Vec<String> {
        let mut known = Vec::new();
        for source in self.model.sources {
            let Some(manifest) = source.package(&source.root).map(|package| &package.manifest) else { continue };
            known.extend(declared(manifest).map(|capability| manifest.capability_name(capability)));
        }
        nearest(name, known.iter().map(String::as_str))
    }
}
