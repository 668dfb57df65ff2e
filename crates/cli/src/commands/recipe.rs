//! `plan` and `lock`: look at a recipe without building it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wimwright_build::library::Library;
use wimwright_build::recipe::{Fingerprint, Input, Lock as RecipeLock, Media, Recipe, fingerprint};
use wimwright_build::run::{Plan as BuildPlan, SetupPackage};
use wimwright_image::medium::Medium;
use wimwright_servicing::cbs::plan::Verdict;
use wimwright_servicing::cbs::step::PlannedPackage;

use super::{Result, library};
use crate::args::{Global, Lock, Plan, RecipeArguments};
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;

/// Reads the recipe with the variables of the command line.
pub fn read(arguments: &RecipeArguments) -> Result<Recipe> {
    let mut variables = BTreeMap::new();
    for setting in &arguments.variables {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| CommandError::user(format!("`--set {setting}`: a value is missing")).hinted("write --set NAME=VALUE"))?;
        variables.insert(name.to_owned(), value.to_owned());
    }
    Ok(Recipe::read(&arguments.recipe, &variables)?)
}

/// The host path of the medium: the command line's, else the recipe's.
pub fn medium_path(arguments: &RecipeArguments, recipe: &Recipe, library: &Library) -> Result<PathBuf> {
    let in_library = |name: &str| Ok(library.medium_path(&library.medium(name)?));
    match (&arguments.media, &recipe.media) {
        (Some(path), _) if path.exists() => Ok(path.clone()),
        (Some(path), _) => {
            let name = path.to_string_lossy();
            let known = library.media()?.iter().any(|record| record.name == name);
            if known {
                in_library(&name)
            } else {
                Err(CommandError::user(format!("`{name}` is neither a file or folder nor a medium of the library")))
            }
        }
        (None, Some(Media::Path(path))) => Ok(path.path.clone()),
        (None, Some(Media::Library(media))) => in_library(&media.name.value),
        (None, None) => {
            Err(CommandError::user("the recipe names no medium").hinted("add `media: ./windows.iso` to it, or give --media PATH"))
        }
    }
}

/// Where the lock of a recipe lies.
pub fn lock_path(recipe: &Path) -> PathBuf {
    recipe.with_file_name("recipe.lock")
}

/// What the inputs of a recipe are now. Its medium is the one that is used: the command line's, where it gives one.
struct Inputs<'a> {
    recipe: &'a Recipe,
    medium: Option<PathBuf>,
}

impl<'a> Inputs<'a> {
    fn new(arguments: &RecipeArguments, recipe: &'a Recipe, library: &Library) -> Result<Self> {
        let has_medium = recipe.media.is_some() || arguments.media.is_some();
        Ok(Self { recipe, medium: has_medium.then(|| medium_path(arguments, recipe, library)).transpose()? })
    }

    fn fingerprint(&self, input: Input<'_>) -> std::io::Result<Fingerprint> {
        let path = match (input, &self.recipe.media) {
            (Input::Path(path), Some(Media::Path(medium))) if path.canonical() == medium.canonical() => self.medium.as_ref(),
            (Input::Path(path), _) => Some(&path.path),
            (Input::Library(_) | Input::Given, _) => self.medium.as_ref(),
        };
        fingerprint(path.ok_or_else(|| std::io::Error::other("no medium was given"))?)
    }
}

/// Compares a recipe's inputs with its lock, if it has one.
pub fn verify_lock(arguments: &RecipeArguments, recipe: &Recipe, library: &Library) -> Result {
    let path = lock_path(&arguments.recipe);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CommandError::user(format!("cannot read `{}`: {error}", path.display()))),
    };
    let lock = RecipeLock::parse(&text)?;
    let inputs = Inputs::new(arguments, recipe, library)?;
    lock.verify(recipe, &mut |input| inputs.fingerprint(input)).map_err(|error| {
        CommandError::from(error).hinted(match &arguments.media {
            Some(media) => format!("the lock is for one medium: to lock another, run `wimwright lock` with --media {}", media.display()),
            None => "if the change is meant, run `wimwright lock` again".to_owned(),
        })
    })
}

/// Pins every input.
pub fn lock(arguments: &Lock, global: &Global, printer: &Printer) -> Result {
    let recipe = read(&arguments.recipe)?;
    let library = library(global)?;
    let path = lock_path(&arguments.recipe.recipe);
    if arguments.check {
        if !path.exists() {
            return Err(CommandError::user(format!("there is no `{}`", path.display())).hinted("make it with `wimwright lock`"));
        }
        verify_lock(&arguments.recipe, &recipe, &library)?;
        return printer.result(&serde_json::json!({ "lock": path, "holds": true }), || format!("{} holds\n", path.display()));
    }
    let given = recipe.media.is_none() && arguments.recipe.media.is_some();
    let inputs = Inputs::new(&arguments.recipe, &recipe, &library)?;
    let lock = RecipeLock::create(&recipe, given, &mut |input| inputs.fingerprint(input))?;
    wimwright_build::write_file(&path, lock.to_text().as_bytes())?;
    printer.result(&lock, || format!("pinned {} inputs in {}\n", lock.inputs.len(), path.display()))
}

/// A plan for programs.
#[derive(Serialize)]
struct Planned {
    media: String,
    images: Vec<PlannedImage>,
    /// Packages that Windows Setup will install from the medium.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    setup_packages: Vec<SetupPackage>,
    outputs: Vec<String>,
}

#[derive(Serialize)]
struct PlannedImage {
    index: u32,
    name: String,
    dropped: bool,
    steps: Vec<PlannedStep>,
}

#[derive(Serialize)]
struct PlannedStep {
    kind: String,
    /// What it will do.
    description: Vec<String>,
    /// True when the result is in the cache; unknown behind the first step that is not.
    cached: Option<bool>,
    /// Key of the result in the cache; unknown behind the first step that is not cached.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Windows packages that it will change.
    #[serde(skip_serializing_if = "Option::is_none")]
    packages: Option<Vec<PlannedPackage>>,
    /// Why, and why not others.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Vec<Verdict>>,
}

/// Shows what would be done.
pub fn plan(arguments: &Plan, global: &Global, printer: &Printer) -> Result {
    let recipe = read(&arguments.recipe)?;
    let library = library(global)?;
    let media = medium_path(&arguments.recipe, &recipe, &library)?;
    let plan = BuildPlan::new(&recipe, Medium::open(&media)?, &recipe.outputs, &library)?;
    let mut images = Vec::new();
    for image in &plan.images {
        let known = plan.cached_steps(image, &library)?;
        let mut packages = plan.planned_packages(image)?.into_iter();
        let steps = image.steps.iter().enumerate().map(|(number, step)| {
            let found = known.get(number);
            let (packages, why) = packages.next().flatten().map(|plan| (plan.changes, plan.verdicts)).unzip();
            PlannedStep {
                kind: step.kind().name.to_owned(),
                description: step.describe(),
                cached: found.map(|(_, cached)| *cached),
                key: found.map(|(key, _)| key.to_string()),
                packages,
                why: why.filter(|_| arguments.why),
            }
        });
        images.push(PlannedImage { index: image.index, name: image.name.clone(), dropped: image.dropped, steps: steps.collect() });
    }
    let outputs = recipe.outputs.iter().map(|output| output.path().path.display().to_string()).collect();
    let planned = Planned { media: media.display().to_string(), images, setup_packages: plan.setup, outputs };
    printer.result(&planned, || render(&planned))
}

fn render(planned: &Planned) -> String {
    let mut text = format!("medium {}\n", planned.media);
    for image in &planned.images {
        let dropped = if image.dropped { " (dropped)" } else { "" };
        text.push_str(&format!("\nimage {}: {}{dropped}\n", image.index, image.name));
        for (number, step) in image.steps.iter().enumerate() {
            let state = match step.cached {
                Some(true) => "cached",
                Some(false) => "to do",
                None => "to do, after the steps before it",
            };
            text.push_str(&format!("  {}. {} ({state})\n", number + 1, step.kind));
            step.description.iter().for_each(|line| text.push_str(&format!("       {line}\n")));
            for package in step.packages.iter().flatten() {
                let certainty = if package.deferred.is_empty() { "exact" } else { "deferred" };
                text.push_str(&format!("     * native, {certainty}: {package}\n"));
            }
            step.why.iter().flatten().for_each(|verdict| text.push_str(&format!("     ? {verdict}\n")));
        }
        if image.steps.is_empty() && !image.dropped {
            text.push_str("  unchanged\n");
        }
    }
    if !planned.setup_packages.is_empty() {
        text.push_str("\nmedium, for Windows Setup, which installs it into whichever image it applies (not with a plain image apply)\n");
    }
    for package in &planned.setup_packages {
        text.push_str(&format!("     * setup: {}, as {}, from {}; {}\n", package.package, package.path, package.file, package.reason));
    }
    planned.outputs.iter().for_each(|output| text.push_str(&format!("\noutput {output}\n")));
    text
}
