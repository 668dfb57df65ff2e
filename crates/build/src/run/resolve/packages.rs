//! What a recipe says of packages, as a step.

use std::path::PathBuf;

use rayon::prelude::*;
use wimwright_servicing::cbs::install::DeferredPolicy;
use wimwright_servicing::cbs::source::{ENDINGS, has_ending};
use wimwright_servicing::cbs::step::{DisableFeature, Packages};
use wimwright_servicing::step::Payload;

use super::super::setup::SetupRequest;
use super::{Resolved, Resolver, list};
use crate::recipe::{self, Deferred, Engine, HostPath};

impl Resolver<'_> {
    /// What is done to the image; what is left to Windows Setup, or might be, goes into `setup`.
    pub(super) fn packages(&self, packages: recipe::Packages, setup: &mut SetupRequest) -> Resolved<Packages> {
        let servicing = &packages.servicing;
        let (mut updates, mut for_setup) = (Vec::new(), Vec::new());
        for update in &packages.updates {
            let files = self.update_files(&update.path)?;
            match update.engine.or(servicing.engine).unwrap_or(Engine::Auto) {
                Engine::Auto => {
                    let (moved, kept): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| self.moved.contains_key(&file.sha256));
                    setup.movable.extend(kept.iter().map(|file| file.sha256));
                    updates.extend(kept);
                    for_setup.extend(moved);
                }
                Engine::Native => updates.extend(files),
                Engine::Setup => for_setup.extend(files),
            }
        }
        let mut offers = Vec::new();
        for path in &packages.offers {
            offers.extend(self.update_files(path)?);
        }
        let names = |names: Vec<recipe::Spanned<recipe::Name>>| names.into_iter().map(|name| name.value.as_str().to_owned()).collect();
        let disable = |feature: recipe::DisableFeature| DisableFeature {
            name: feature.name.as_str().to_owned(),
            remove_payload: feature.remove_files,
        };
        let native = Packages {
            updates,
            offers,
            capabilities: names(packages.capabilities),
            enable: names(packages.enable),
            disable: packages.disable.into_iter().map(disable).collect(),
            remove: names(packages.remove),
            cleanup: servicing.cleanup.unwrap_or_default(),
            allow_unsigned: servicing.allow_unsigned.unwrap_or_default(),
            roots: servicing.roots.iter().map(|path| self.payload(path)).collect::<Resolved<_>>()?,
            dictionary: servicing.dictionary.as_ref().map(|path| self.payload(path)).transpose()?,
            deferred: match servicing.deferred {
                None | Some(Deferred::Defer) => DeferredPolicy::Defer,
                Some(Deferred::Omit) => DeferredPolicy::Omit,
                Some(Deferred::Fail) => DeferredPolicy::Fail,
            },
            opened: self.deliveries.clone(),
        };
        let (allow_unsigned, roots) = (native.allow_unsigned, native.roots.clone());
        setup.packages = Packages { updates: for_setup, allow_unsigned, roots, ..Packages::default() };
        setup.native = native.clone();
        Ok(native)
    }

    /// A file, or the update files in a folder and below it, in the order of their names, hashed on all cores.
    fn update_files(&self, path: &HostPath) -> Resolved<Vec<Payload>> {
        let mut found = Vec::new();
        list(&path.path, "", 0, &mut found).map_err(|error| self.problem(path, error))?;
        let is_folder = found.first().is_some_and(|(_, host)| host.is_none());
        let is_update = |file: &PathBuf| !is_folder || has_ending(&file.to_string_lossy());
        let files: Vec<_> = found.into_iter().filter_map(|(_, host)| host).filter(is_update).collect();
        if files.is_empty() {
            return Err(self.problem(path, format!("there is no update in this folder: no file that ends with {}", ENDINGS.join(", "))));
        }
        let open = |file: PathBuf| self.open(&file).map_err(|error| format!("{}: {error}", file.display()));
        files.into_par_iter().map(open).collect::<Result<_, _>>().map_err(|error| self.problem(path, error))
    }
}
