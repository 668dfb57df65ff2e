//! Puts a report together while a build goes on.

use wimwright_image::medium::MediumKind as HostKind;
use wimwright_image::{Image, ImageError, RegistryDiff, TreeDiff};
use wimwright_servicing::inventory::Inventory;

use super::{
    Certainty, Changes, Counts, ImageReport, ImageState, InputMedium, MediumKind, Outcome, OutputReport, PackageReport, RecipeIdentity,
    Report, SetupPackage, Step,
};
use crate::output::Written;
use crate::recipe::{Output, Recipe};
use crate::run::{Failure, Plan, RunError, ServicedImage, StepRun};

/// Version of the report format.
const FORMAT: u32 = 1;

impl Report {
    /// A report of a build that is about to begin: every image as it is in the input.
    pub(crate) fn begin(plan: &Plan, recipe: &Recipe, recipe_name: &str, tool_version: &str) -> Self {
        let solid = plan.image_file.first().header().version == wimwright_format::wim::VERSION_SOLID;
        let kind = match plan.medium.kind {
            HostKind::Iso => MediumKind::Iso,
            HostKind::Folder => MediumKind::Folder,
            HostKind::ImageFile if plan.image_file.parts().len() > 1 => MediumKind::Swm,
            HostKind::ImageFile if solid => MediumKind::Esd,
            HostKind::ImageFile => MediumKind::Wim,
        };
        let name = recipe.name.clone().unwrap_or_else(|| recipe_name.to_owned());
        let image = |image: &crate::run::ImagePlan| ImageReport {
            index: image.index,
            name: image.name.clone(),
            before: ImageState { name: image.name.clone(), ..ImageState::default() },
            after: None,
            dropped: image.dropped,
            changes: Changes::default(),
            steps: Vec::new(),
        };
        Self {
            report: FORMAT,
            tool_version: tool_version.to_owned(),
            recipe: RecipeIdentity { name, digest: recipe.canonical_digest() },
            input: InputMedium { path: plan.medium.path.display().to_string(), kind },
            images: plan.images.iter().map(image).collect(),
            setup_packages: plan.setup.iter().map(SetupPackage::from).collect(),
            outputs: Vec::new(),
            error: None,
            timing: None,
        }
    }

    /// What became of the images.
    pub(crate) fn add_images(&mut self, images: &[ServicedImage]) -> Result<(), RunError> {
        for image in images {
            let Some(report) = self.images.iter_mut().find(|report| report.index == image.index) else { continue };
            let failed = |source| RunError::Image { index: image.index, source: Box::new(source) };
            report.steps = image.steps.iter().map(done).collect();
            let mut before = image.before.clone();
            report.before = state(&mut before, image.index).map_err(failed)?;
            if image.steps.is_empty() {
                report.after = Some(report.before.clone());
                continue;
            }
            let mut after = image.after.clone();
            report.after = Some(state(&mut after, image.index).map_err(failed)?);
            report.changes = changes(&mut before, &mut after).map_err(failed)?;
        }
        Ok(())
    }

    /// What became of the images of a run that failed.
    pub(crate) fn add_failure(&mut self, failure: &Failure) {
        // The failure itself is what is to be told, whatever else cannot be read.
        let _ = self.add_images(&failure.finished);
        let error = error_chain(&failure.error);
        let Some(report) = self.images.iter_mut().find(|report| report.index == failure.image.index) else { return };
        if let Some(mut before) = failure.image.before.clone()
            && let Ok(before) = state(&mut before, failure.image.index)
        {
            report.before = before;
        }
        report.steps = failure.image.steps.iter().map(done).collect();
        match &failure.image.step {
            Some((kind, description)) => report.steps.push(Step {
                kind: (*kind).to_owned(),
                title: title(description),
                outcome: Outcome::Failed { error },
                certainty: Certainty::Exact,
                details: Vec::new(),
                packages: Vec::new(),
                key: String::new(),
                duration_seconds: None,
            }),
            None => self.error = Some(error),
        }
    }

    /// An output that was written.
    pub(crate) fn add_output(&mut self, output: &Output, done: &Written) {
        let kind = match output {
            Output::Iso(_) => MediumKind::Iso,
            Output::Folder(_) => MediumKind::Folder,
            Output::Wim(_) => MediumKind::Wim,
            Output::Esd(_) => MediumKind::Esd,
            Output::Swm(_) => MediumKind::Swm,
        };
        self.outputs.push(OutputReport { path: done.path.display().to_string(), kind, size: done.size });
    }
}

/// An error with all that led to it.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}\nbecause: {cause}");
        next = cause.source();
    }
    text
}

fn title(description: &[String]) -> String {
    match description {
        [] => String::new(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
    }
}

fn done(step: &StepRun) -> Step {
    Step {
        kind: step.kind.clone(),
        title: title(&step.description),
        outcome: if step.cached { Outcome::Cached } else { Outcome::Done },
        certainty: step.report.certainty.into(),
        details: step.report.details.clone(),
        packages: step.report.packages.iter().map(PackageReport::from).collect(),
        key: step.key.to_string(),
        duration_seconds: Some(step.duration.as_secs_f64()),
    }
}

fn state(image: &mut Image, index: u32) -> Result<ImageState, ImageError> {
    let inventory = Inventory::read(image, index)?;
    let known = |number: u32| (inventory.build > 0).then_some(number);
    let version = inventory.version.split('.').take(2).collect::<Vec<_>>().join(".");
    Ok(ImageState {
        name: inventory.name,
        version,
        build: known(inventory.build),
        ubr: known(inventory.ubr),
        edition: inventory.edition,
        languages: inventory.languages,
        packages: inventory.packages.into_iter().map(|package| package.identity).collect(),
        features: inventory.features.into_iter().filter(|feature| feature.state == "Enabled").map(|feature| feature.name).collect(),
        apps: inventory.provisioned_apps,
        file_count: inventory.files,
        total_bytes: inventory.total_bytes,
        image_bytes: None,
    })
}

fn changes(before: &mut Image, after: &mut Image) -> Result<Changes, ImageError> {
    let files = TreeDiff::between(&before.tree, &after.tree);
    let registry = RegistryDiff::between(before, after)?;
    let counts =
        |added: usize, removed: usize, changed: usize| Counts { added: added as u64, removed: removed as u64, changed: changed as u64 };
    Ok(Changes {
        files: counts(files.added.len(), files.removed.len(), files.changed.len()),
        registry: counts(registry.added.len(), registry.removed.len(), registry.changed.len()),
    })
}
