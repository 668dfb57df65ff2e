//! Packages that Windows Setup installs: they lie on the medium, and the medium's answer file names them.
//!
//! Setup has one answer file, whichever image it applies, so the packages are the same for all images that go into the outputs. It also
//! keeps its answer file as that of the installed Windows, in place of the image's own: what a recipe's `unattend` says goes into
//! it, too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use wimwright_format::answer_file::{AnswerFile, PackageToInstall, add_packages};
use wimwright_format::problem::Severity;
use wimwright_image::medium::{Medium, MediumFile, MediumKind};
use wimwright_servicing::cbs::source::Signature;
use wimwright_servicing::cbs::step::Packages;
use wimwright_servicing::step::{Context, Payload, StepError};

use super::resolve::hash;
use crate::report::error_chain;

/// The folder of the medium for packages.
const FOLDER: &str = "packages";
/// The answer file that Setup finds by itself: in the root of the medium.
const ANSWER_FILE: &str = "Autounattend.xml";
/// Largest answer file that is taken over.
const MAX_ANSWER_FILE: u64 = 16 << 20;

/// A package that Windows Setup will install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetupPackage {
    /// Its identity.
    pub package: String,
    /// The file that it came from.
    pub file: String,
    /// Where it lies on the medium.
    pub path: String,
    /// SHA-256 of the cabinet.
    pub sha256: String,
    /// Why it is Setup that installs it.
    pub reason: String,
    /// Who vouches for it.
    pub signature: Signature,
}

/// Updates with `engine: auto` that Windows Setup has to install: SHA-256 of the file, and why.
pub(super) type Moved = BTreeMap<[u8; 32], String>;

/// What one image asks of Windows Setup.
#[derive(Default)]
pub(super) struct SetupRequest {
    /// The packages; only the updates count.
    pub packages: Packages,
    /// What is done natively, and might be beyond that.
    pub native: Packages,
    /// Files of updates that either engine may install.
    pub movable: BTreeSet<[u8; 32]>,
    /// The answer file of the image, at the place where Windows looks for it.
    pub unattend: Option<Payload>,
}

/// Lays what all images ask for down on the medium. Returns the packages, in the order in which Setup installs them.
pub(super) fn lay_down(
    requests: &[SetupRequest],
    medium: &mut Medium,
    architecture: Option<&str>,
    moved: &Moved,
    context: &Context,
) -> Result<Vec<SetupPackage>, StepError> {
    let refused = |what: &str, hint: &str| Err(StepError::refused(what, hint));
    let Some(first) = requests.iter().find(|request| !request.packages.updates.is_empty()) else { return Ok(Vec::new()) };
    if requests.iter().any(|request| request.packages.options_differ(&first.packages)) {
        return refused(
            "Windows Setup installs the same packages into whichever image it applies, but not all images of the recipe name the same ones for it",
            "name them in an entry without `select`, `drop` the other images, or use `engine: native`",
        );
    }
    if medium.kind == MediumKind::ImageFile {
        return refused("Windows Setup installs packages from a medium, and this is an image file", "use `engine: native`");
    }
    let given = answer_file(requests, medium)?;
    let Some(architecture) = architecture else {
        return refused("the image does not say for which processor it is: the answer file has to name it", "use `engine: native`");
    };
    let mut packages = Vec::new();
    let mut named = Vec::new();
    for found in first.packages.for_setup(context)? {
        let name = format!("{}.cab", found.package);
        let path = format!("{FOLDER}/{name}");
        if medium.files.iter().any(|file| file.path.eq_ignore_ascii_case(&path)) {
            return Err(StepError::refused(format!("the medium has a file `{path}` already"), "remove it from the medium"));
        }
        let hash = hash(&*found.cabinet).map_err(|error| StepError::refused(format!("cannot read `{}`: {error}", found.file), ""))?;
        let sha256 = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        named.push(PackageToInstall { identity: found.package.clone(), path: format!("{FOLDER}\\{name}") });
        medium.files.push(MediumFile { path: path.clone(), source: found.cabinet, written: Some(context.time) });
        let reason = moved.get(&found.update).cloned().unwrap_or_else(|| "the recipe says so".to_owned());
        let (package, signature) = (found.package.to_string(), found.signature);
        packages.push(SetupPackage { package, file: found.file, path, sha256, reason, signature });
    }
    let add = |error: &dyn std::error::Error| {
        StepError::refused(format!("the answer file cannot name packages: {}", error_chain(error)), "use `engine: native`, or change it")
    };
    let bytes = add_packages(given.as_deref(), &named, architecture).map_err(|error| add(&error))?;
    let written = AnswerFile::parse(&bytes).map_err(|error| add(&error))?;
    let problems: Vec<_> = written.check(Some(architecture)).into_iter().filter(|problem| problem.severity == Severity::Error).collect();
    if let Some(problem) = problems.first() {
        return Err(StepError::refused(format!("the medium's answer file does not fit Windows: {problem}"), "correct it"));
    }
    medium.files.retain(|file| !file.path.eq_ignore_ascii_case(ANSWER_FILE));
    medium.files.push(MediumFile { path: ANSWER_FILE.to_owned(), source: Arc::new(bytes), written: Some(context.time) });
    if !medium.folders.iter().any(|folder| folder.eq_ignore_ascii_case(FOLDER)) {
        medium.folders.push(FOLDER.to_owned());
    }
    Ok(packages)
}

/// The answer file that the packages are added to: that of the images, else that of the medium.
fn answer_file(requests: &[SetupRequest], medium: &Medium) -> Result<Option<Vec<u8>>, StepError> {
    let of_images = requests.first().and_then(|request| request.unattend.as_ref());
    let hash = |payload: Option<&Payload>| payload.map(|payload| payload.sha256);
    if requests.iter().any(|request| hash(request.unattend.as_ref()) != hash(of_images)) {
        return Err(StepError::refused(
            "Windows Setup has one answer file, but the images of the recipe have different ones (`unattend`)",
            "give all images the same, or use `engine: native`",
        ));
    }
    let of_medium = medium.files.iter().find(|file| file.path.eq_ignore_ascii_case(ANSWER_FILE));
    match (of_images, of_medium) {
        (Some(_), Some(file)) => Err(StepError::refused(
            format!("the medium has an answer file (`{}`) and the recipe another (`unattend`): Windows Setup has one", file.path),
            "remove one of them, or use `engine: native`",
        )),
        (Some(payload), None) => payload.bytes(MAX_ANSWER_FILE).map(Some),
        (None, Some(file)) => {
            let payload = Payload { name: file.path.clone(), sha256: [0; 32], source: file.source.clone() };
            payload.bytes(MAX_ANSWER_FILE).map(Some)
        }
        (None, None) => Ok(None),
    }
}
