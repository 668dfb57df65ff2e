//! Runs a plan: every selected image through its steps, with the cache, then the outputs.

mod key;
mod layer;
mod resolve;
mod setup;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;
use wimwright_image::medium::{Medium, MediumError, MediumKind};
use wimwright_image::{Blobs, Image, ImageError, ImageFile};
use wimwright_servicing::cbs::install::DeferredPolicy;
use wimwright_servicing::cbs::plan::PlanError;
use wimwright_servicing::cbs::source::SourceError;
use wimwright_servicing::cbs::step::PackagePlan;
use wimwright_servicing::inventory::{architecture_name, pending_operations};
use wimwright_servicing::step::{Context, Step, StepError, StepReport};

use crate::events::{Event, Events};
use crate::library::{Library, LibraryError};
use crate::recipe::{ImageFacts, Location, Output, Recipe, RecipeError};

pub use key::{InputId, StepKey};
use layer::OpenLayers;
pub use layer::{CacheSize, LayerError};
use resolve::Resolver;
pub use setup::SetupPackage;
use setup::{Moved, SetupRequest};

/// Why a plan cannot be made or run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The recipe does not fit the medium, or names inputs that cannot be used.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The medium cannot be read.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// An image cannot be read.
    #[error("image {index} cannot be read")]
    Image {
        /// Number of the image.
        index: u32,
        /// What is wrong with it.
        source: Box<ImageError>,
    },
    /// An image that Windows has to finish first.
    #[error("image {index} has operations that wait for its next start, which servicing would break: {}", pending.join("; "))]
    Pending {
        /// Number of the image.
        index: u32,
        /// What is pending.
        pending: Vec<String>,
    },
    /// A step failed.
    #[error("image {index}, step `{step}` failed{}", place.as_ref().map(|place| format!("\n{place}")).unwrap_or_default())]
    Step {
        /// Number of the image.
        index: u32,
        /// The step.
        step: &'static str,
        /// Where the recipe names what it is about; `None` where that cannot be told.
        place: Option<Box<Location>>,
        /// Why.
        source: StepError,
    },
    /// Windows Setup cannot be told to install packages.
    #[error("the engine `setup` cannot be used")]
    Setup(#[source] StepError),
    /// The cache cannot be used.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The library cannot be used.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// What will be done to one image.
pub struct ImagePlan {
    /// Number of the image in the input, from 1.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// True when it is left out of the outputs.
    pub dropped: bool,
    /// The steps in the order in which they will be done.
    pub steps: Vec<Box<dyn Step>>,
}

/// A recipe applied to a medium: everything is read and checked, nothing is done.
pub struct Plan {
    /// The medium.
    pub medium: Medium,
    /// The image file of the medium that is serviced.
    pub image_file: ImageFile,
    /// Its path on the medium.
    pub image_path: String,
    /// What happens to each image, in the order of the input.
    pub images: Vec<ImagePlan>,
    /// Packages that Windows Setup installs from the medium, in that order.
    pub setup: Vec<SetupPackage>,
    /// The recipe's time, FILETIME; each image's own when the recipe has none.
    epoch: Option<u64>,
    /// Where the recipe names updates, capabilities, features and packages.
    places: Vec<(String, Location)>,
    /// The blobs of all images of the run.
    blobs: Blobs,
    /// Images of the input that were opened, as they were then, by their numbers.
    opened: Mutex<HashMap<u32, Image>>,
}

impl Plan {
    /// Applies `recipe` to `medium`. Which engine installs an update with `engine: auto` also depends on what the outputs are; the library
    /// knows what was done natively before.
    ///
    /// # Errors
    /// The medium has no images, a selector means none of them, or an input cannot be used.
    pub fn new(recipe: &Recipe, medium: Medium, outputs: &[Output], library: &Library) -> Result<Self, RunError> {
        let file = medium.install_file()?;
        let image_path = file.path.clone();
        let image_file = medium.open_images(file)?;
        let epoch = recipe.epoch.map(|epoch| epoch.filetime);
        let mut plan = Self {
            images: Vec::new(),
            medium,
            image_file,
            image_path,
            setup: Vec::new(),
            epoch,
            places: recipe.package_places(),
            blobs: library.blobs(),
            opened: Mutex::default(),
        };
        let mut resolver = Resolver::new(recipe);
        let mut requests = plan.resolve(recipe, &resolver)?;
        let is_medium = |output: &Output| matches!(output, Output::Iso(_) | Output::Folder(_));
        if plan.medium.kind != MediumKind::ImageFile && !outputs.is_empty() && outputs.iter().all(is_medium) {
            // What is moved may have kept something else from being looked at.
            loop {
                let moved = plan.beyond_native(&requests, library)?;
                if moved.is_empty() {
                    break;
                }
                resolver.moved.extend(moved);
                requests = plan.resolve(recipe, &resolver)?;
            }
        }
        let times = plan.image_file.images().iter().filter_map(|info| info.time("LASTMODIFICATIONTIME"));
        let context = Context { time: epoch.or(times.max()).unwrap_or_default() };
        let architecture = plan.image_file.images().iter().find_map(architecture_name);
        let requests: Vec<_> = requests.into_iter().map(|(_, request)| request).collect();
        let laid_down = setup::lay_down(&requests, &mut plan.medium, architecture, &resolver.moved, &context);
        plan.setup = laid_down.map_err(RunError::Setup)?;
        Ok(plan)
    }

    /// Makes the steps of every image. Returns what those that are not dropped ask of Windows Setup, each with the image's number.
    fn resolve(&mut self, recipe: &Recipe, resolver: &Resolver<'_>) -> Result<Vec<(u32, SetupRequest)>, RunError> {
        let named: Vec<_> = self
            .image_file
            .images()
            .iter()
            .zip(1..)
            .map(|(info, index)| (index, info.name().unwrap_or_default(), info.get("WINDOWS/EDITIONID").unwrap_or_default()))
            .collect();
        let facts: Vec<_> = named.iter().map(|(index, name, edition)| ImageFacts { index: *index, name, edition }).collect();
        recipe.check_selectors(&facts)?;
        let (mut images, mut requests) = (Vec::new(), Vec::new());
        for image in facts {
            let dropped = recipe.drops(image);
            let mut steps = Vec::new();
            if !dropped {
                let (resolved, request) = resolver.steps(recipe.steps(image))?;
                steps = resolved;
                requests.push((image.index, request));
            }
            images.push(ImagePlan { index: image.index, name: image.name.to_owned(), dropped, steps });
        }
        self.images = images;
        Ok(requests)
    }

    /// Updates that either engine may install, and the native one not wholly, with the reasons. None where anything is wrong, or the recipe
    /// says what becomes of such parts: the step itself says so better.
    fn beyond_native(&self, requests: &[(u32, SetupRequest)], library: &Library) -> Result<Moved, RunError> {
        let mut beyond = Moved::new();
        for (index, request) in requests {
            if request.movable.is_empty() || request.native.deferred != DeferredPolicy::Defer {
                continue;
            }
            let mut opened = self.open_image(*index)?;
            let context = self.context(&opened);
            let key = StepKey::new(&request.native, InputId::of(&opened), &context);
            if library.layer(key)?.is_none() {
                beyond.extend(request.native.beyond_native(&mut opened, &context, &request.movable).unwrap_or_default());
            }
        }
        Ok(beyond)
    }
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRun {
    /// The step's kind.
    pub kind: String,
    /// What it was to do.
    pub description: Vec<String>,
    /// What it did.
    pub report: StepReport,
    /// Its key in the cache.
    pub key: StepKey,
    /// True when the result was there.
    pub cached: bool,
    /// How long it took.
    pub duration: Duration,
}

/// An image after all of its steps.
pub struct ServicedImage {
    /// Number of the image in the input, from 1.
    pub index: u32,
    /// The image before the first step.
    pub before: Image,
    /// The image after the last step.
    pub after: Image,
    /// Its identity.
    pub result: InputId,
    /// What became of each step.
    pub steps: Vec<StepRun>,
}

impl Plan {
    /// The keys of an image's steps as far as the cache knows them: for each step its key, and whether its result is
    /// there. Ends with the first that is not.
    ///
    /// # Errors
    /// The image or the cache cannot be read.
    pub fn cached_steps(&self, image: &ImagePlan, library: &Library) -> Result<Vec<(StepKey, bool)>, RunError> {
        let opened = self.open_image(image.index)?;
        let context = self.context(&opened);
        let mut input = InputId::of(&opened);
        let mut known = Vec::new();
        for step in &image.steps {
            let key = StepKey::new(&**step, input, &context);
            let Some(record) = library.layer(key)? else {
                known.push((key, false));
                break;
            };
            input = record.output;
            known.push((key, true));
        }
        Ok(known)
    }

    /// What the steps of an image will do with Windows packages, and why: for each step, `None` when it is not about packages.
    /// Such a step is the first of an image, so that the image of the input is what it will be given.
    ///
    /// # Errors
    /// The image cannot be read; the step cannot be done.
    pub fn planned_packages(&self, image: &ImagePlan) -> Result<Vec<Option<PackagePlan>>, RunError> {
        let index = image.index;
        let mut opened = self.open_image(index)?;
        let context = self.context(&opened);
        let steps = image.steps.iter().map(AsRef::as_ref);
        let plan =
            |step: &dyn Step| step.plan_packages(&mut opened, &context).map_err(|source| self.failed(index, step.kind().name, source));
        steps.map(plan).collect()
    }

    /// An image of the input. Its metadata are read once.
    fn open_image(&self, index: u32) -> Result<Image, RunError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = opened.get(&index) {
            return Ok(image.clone());
        }
        let image = Image::open(&self.image_file, index, &self.blobs);
        let image = image.map_err(|source| RunError::Image { index, source: Box::new(source) })?;
        opened.insert(index, image.clone());
        Ok(image)
    }

    /// A step failed: where the recipe names what its error is about.
    fn failed(&self, index: u32, step: &'static str, source: StepError) -> RunError {
        let cause = source.cause();
        let subject = cause.and_then(|cause| match cause.downcast_ref::<SourceError>() {
            Some(error) => Some(error.file()),
            None => cause.downcast_ref::<PlanError>()?.subject(),
        });
        // A file may come from a folder that the recipe names.
        let names = |name: &str, subject: &str| match subject.split_at_checked(name.len()) {
            Some((start, below)) => start.eq_ignore_ascii_case(name) && (below.is_empty() || below.starts_with('/')),
            None => false,
        };
        let place = subject.and_then(|subject| self.places.iter().find(|(name, _)| names(name, subject)));
        let place = place.map(|(_, place)| Box::new(place.clone()));
        RunError::Step { index, step, place, source }
    }

    /// The time that steps write: the recipe's, else that of the image's last modification.
    fn context(&self, image: &Image) -> Context {
        let time = self.epoch.or_else(|| image.info.time("LASTMODIFICATIONTIME")).unwrap_or_default();
        Context { time }
    }

    /// The identity of an image after all of its steps, if the cache knows it: nothing has to be done then.
    fn cached_result(&self, image: &ImagePlan, library: &Library) -> Result<Option<InputId>, RunError> {
        let opened = self.open_image(image.index)?;
        let context = self.context(&opened);
        let mut input = InputId::of(&opened);
        for step in &image.steps {
            let Some(record) = library.layer(StepKey::new(&**step, input, &context))? else { return Ok(None) };
            input = record.output;
        }
        Ok(Some(if image.steps.is_empty() { input } else { input.finished(context.time) }))
    }

    /// The identities of all images that go into the outputs, if the cache knows every one.
    ///
    /// # Errors
    /// An image or the cache cannot be read.
    pub fn cached_results(&self, library: &Library) -> Result<Option<Vec<InputId>>, RunError> {
        self.images.iter().filter(|image| !image.dropped).map(|image| self.cached_result(image, library)).collect()
    }

    /// Services every image that is not dropped. A damaged result in the cache is removed, and made again.
    ///
    /// # Errors
    /// A step failed: what was done before stays in the cache.
    pub fn run(&self, library: &Library, events: &dyn Events) -> Result<Vec<ServicedImage>, Box<Failure>> {
        let mut layers = OpenLayers::new(library, &self.image_file, self.blobs.clone());
        let mut finished = Vec::new();
        let mut discarded = HashSet::new();
        for plan in self.images.iter().filter(|plan| !plan.dropped) {
            loop {
                let mut progress = InProgress { index: plan.index, before: None, steps: Vec::new(), step: None };
                let error = match self.run_image(plan, &mut layers, library, events, &mut progress) {
                    Ok(image) => {
                        finished.push(image);
                        break;
                    }
                    Err(error) => error,
                };
                // Once: what is damaged again as soon as it is written will not get better.
                let error = match error {
                    RunError::Layer(LayerError::Damaged { path, source }) if discarded.insert(path.clone()) => {
                        match library.discard_layer(&path) {
                            Ok(()) => {
                                let (path, reason) = (path.display().to_string(), source.to_string());
                                events.event(Event::ResultDiscarded { image: plan.index, path, reason });
                                continue;
                            }
                            Err(error) => RunError::Layer(error.into()),
                        }
                    }
                    error => error,
                };
                return Err(Box::new(Failure { finished, image: progress, error }));
            }
        }
        Ok(finished)
    }

    fn run_image(
        &self,
        plan: &ImagePlan,
        layers: &mut OpenLayers<'_>,
        library: &Library,
        events: &dyn Events,
        progress: &mut InProgress,
    ) -> Result<ServicedImage, RunError> {
        let index = plan.index;
        let failed = |source: ImageError| RunError::Image { index, source: Box::new(source) };
        let mut before = self.open_image(index)?;
        progress.before = Some(before.clone());
        if !plan.steps.is_empty() {
            let pending = pending_operations(&mut before).map_err(failed)?;
            if !pending.is_empty() {
                return Err(RunError::Pending { index, pending });
            }
        }
        let context = self.context(&before);
        let mut state = State::Opened(Box::new(before.clone()));
        let mut input = InputId::of(&before);
        for step in &plan.steps {
            let kind = step.kind().name;
            progress.step = Some((kind, step.describe()));
            let started = events.elapsed();
            events.event(Event::StepStarted { image: index, step: kind.to_owned() });
            let key = StepKey::new(&**step, input, &context);
            let found = library.layer(key)?;
            let cached = found.is_some();
            let record = match found {
                Some(record) => {
                    state = State::Cached(key);
                    record
                }
                None => {
                    let image = state.open(layers)?;
                    let (mut image, report) = step.apply(image, &context).map_err(|source| self.failed(index, kind, source))?;
                    image.commit(context.time).map_err(failed)?;
                    let record = layers.add(key, &mut image, report, events)?;
                    state = State::Opened(Box::new(image));
                    record
                }
            };
            input = record.output;
            let duration = events.elapsed().saturating_sub(started);
            events.event(Event::StepFinished { image: index, step: kind.to_owned(), cached, seconds: duration.as_secs_f64() });
            progress.steps.push(StepRun {
                kind: kind.to_owned(),
                description: step.describe(),
                report: record.report,
                key,
                cached,
                duration,
            });
            progress.step = None;
        }
        let mut after = state.open(layers)?;
        if !plan.steps.is_empty() {
            // Not in the layers: they serve recipes of every time.
            after.info.set_time("LASTMODIFICATIONTIME", context.time);
            input = input.finished(context.time);
        }
        Ok(ServicedImage { index, before, after, result: input, steps: std::mem::take(&mut progress.steps) })
    }
}

/// A run that ended before its end.
pub struct Failure {
    /// The images that were finished.
    pub finished: Vec<ServicedImage>,
    /// The image that was not.
    pub image: InProgress,
    /// Why.
    pub error: RunError,
}

/// An image on its way.
pub struct InProgress {
    /// Number of the image in the input, from 1.
    pub index: u32,
    /// The image before the first step; `None` when it could not be opened.
    pub before: Option<Image>,
    /// The steps that are done.
    pub steps: Vec<StepRun>,
    /// The step that is being done: kind and description.
    pub step: Option<(&'static str, Vec<String>)>,
}

/// An image between two steps: in memory, or still in the cache, where it stays when the next step is cached as well.
enum State {
    Opened(Box<Image>),
    Cached(StepKey),
}

impl State {
    fn open(self, layers: &mut OpenLayers<'_>) -> Result<Image, RunError> {
        match self {
            Self::Opened(image) => Ok(*image),
            Self::Cached(key) => Ok(layers.open(key)?),
        }
    }
}
