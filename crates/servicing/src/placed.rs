//! The steps that put one checked file where Windows looks for it: `unattend`, `start-layout`, `default-apps`.

use serde::Serialize;
use wimwright_format::answer_file::AnswerFile;
use wimwright_format::default_associations::{self, DefaultAssociations};
use wimwright_format::problem::{Problem, Severity};
use wimwright_format::start_layout::{self, PinList};
use wimwright_image::{Image, ImagePath};

use crate::files::NewFile;
use crate::inventory::architecture_name;
use crate::step::{Context, Payload, Step, StepError, StepKind, StepReport};

/// Largest file of these kinds. Real ones stay below 1 MB.
const MAX_SIZE: u64 = 16 << 20;

/// Where Windows looks for the answer file of an image: before every other place except the registry's and a command
/// line's (Microsoft, "Windows Setup automation overview", implicit answer file search order).
const UNATTEND_PATH: &str = "/Windows/Panther/unattend.xml";

fn put(mut image: Image, path: &str, contents: &Payload, context: &Context) -> Result<(Image, StepReport), StepError> {
    let path = ImagePath::parse(path).map_err(|error| StepError::refused(error.to_string(), ""))?;
    let new = NewFile { attributes: None, security: None, time: context.time };
    let done = new.put(&mut image, &path, Some(contents))?;
    Ok((image, StepReport::exact(vec![done])))
}

/// Refuses a document in which something is surely wrong; what is only unknown passes.
fn refuse_errors(what: &str, problems: Vec<Problem>) -> Result<(), StepError> {
    let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).map(ToString::to_string).collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(StepError::refused(format!("{what}:\n{}", errors.join("\n")), "correct the lines named above"))
    }
}

/// The step `unattend`: the answer file that Windows Setup reads when the image starts for the first time.
#[derive(Debug, Clone, Serialize)]
pub struct Unattend {
    file: Payload,
    to: String,
    #[serde(skip)]
    parsed: AnswerFile,
}

impl Unattend {
    /// Reads and checks an answer file.
    ///
    /// # Errors
    /// It is not an answer file, or has passes and components that Windows does not know: every problem with its line.
    pub fn new(file: Payload, to: Option<String>) -> Result<Self, StepError> {
        let parsed = AnswerFile::parse(&file.bytes(MAX_SIZE)?).map_err(|error| StepError::refused(error.to_string(), ""))?;
        let step = Self { file, to: to.unwrap_or_else(|| UNATTEND_PATH.to_owned()), parsed };
        step.check(None)?;
        Ok(step)
    }

    fn check(&self, architecture: Option<&str>) -> Result<(), StepError> {
        refuse_errors("the answer file does not fit Windows", self.parsed.check(architecture))
    }
}

impl Step for Unattend {
    fn kind(&self) -> StepKind {
        StepKind { name: "unattend", revision: 1 }
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn writes_time(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        let passes: Vec<_> = self.parsed.settings.iter().map(|settings| settings.pass.as_str()).collect();
        vec![format!("place the answer file ({}) at {}", passes.join(", "), self.to)]
    }

    fn apply(&self, image: Image, context: &Context) -> Result<(Image, StepReport), StepError> {
        self.check(architecture_name(&image.info))?;
        put(image, &self.to, &self.file, context)
    }
}

/// The step `start-layout`: the Start menu and taskbar of new users.
#[derive(Debug, Clone, Serialize)]
pub struct StartLayout {
    file: Payload,
    to: &'static str,
}

impl StartLayout {
    /// Reads and checks a layout, XML or JSON.
    ///
    /// # Errors
    /// It is neither.
    pub fn new(file: Payload) -> Result<Self, StepError> {
        let bytes = file.bytes(MAX_SIZE)?;
        let refused = |error: start_layout::StartLayoutError| StepError::refused(error.to_string(), "");
        // JSON starts with a brace, XML with an angle bracket; both may have a byte order mark.
        let is_json = bytes.iter().find(|byte| matches!(byte, b'{' | b'<')) == Some(&b'{');
        let (problems, to) = if is_json {
            (PinList::parse(&bytes).map_err(refused)?.check(), start_layout::LAYOUT_JSON_PATH)
        } else {
            (start_layout::StartLayout::parse(&bytes).map_err(refused)?.check(), start_layout::LAYOUT_XML_PATH)
        };
        refuse_errors("the start layout does not fit Windows", problems)?;
        Ok(Self { file, to })
    }
}

impl Step for StartLayout {
    fn kind(&self) -> StepKind {
        StepKind { name: "start-layout", revision: 1 }
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn writes_time(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        vec![format!("place the start layout at {}", self.to)]
    }

    fn apply(&self, image: Image, context: &Context) -> Result<(Image, StepReport), StepError> {
        put(image, self.to, &self.file, context)
    }
}

/// The step `default-apps`: which applications new users' files open with, as `dism /Import-DefaultAppAssociations`.
#[derive(Debug, Clone, Serialize)]
pub struct DefaultApps {
    file: Payload,
    #[serde(skip)]
    associations: usize,
}

impl DefaultApps {
    /// Reads and checks a file of associations.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(file: Payload) -> Result<Self, StepError> {
        let parsed = DefaultAssociations::parse(&file.bytes(MAX_SIZE)?).map_err(|error| StepError::refused(error.to_string(), ""))?;
        refuse_errors("the default app associations do not fit Windows", parsed.check())?;
        Ok(Self { file, associations: parsed.associations.len() })
    }
}

impl Step for DefaultApps {
    fn kind(&self) -> StepKind {
        StepKind { name: "default-apps", revision: 1 }
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn writes_time(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        vec![format!("set {} default application associations", self.associations)]
    }

    fn apply(&self, image: Image, context: &Context) -> Result<(Image, StepReport), StepError> {
        put(image, default_associations::PATH, &self.file, context)
    }
}
