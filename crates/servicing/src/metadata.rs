//! The step `metadata`: the image's own name, description and flags, as WIM tools and Windows Setup show them.

use serde::Serialize;
use wimwright_image::Image;

use crate::step::{Context, Step, StepError, StepKind, StepReport};

/// The step: fields of the image's `<IMAGE>` element to set. An empty text removes a field directly below it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Metadata {
    /// Element path below `<IMAGE>` (`NAME`, `WINDOWS/EDITIONID`), and its text.
    pub fields: Vec<(String, String)>,
}

impl Step for Metadata {
    fn kind(&self) -> StepKind {
        StepKind { name: "metadata", revision: 1 }
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn writes_time(&self) -> bool {
        false
    }

    fn describe(&self) -> Vec<String> {
        self.fields
            .iter()
            .map(|(field, text)| if text.is_empty() { format!("remove {field}") } else { format!("set {field} to `{text}`") })
            .collect()
    }

    fn apply(&self, mut image: Image, _context: &Context) -> Result<(Image, StepReport), StepError> {
        let mut details = Vec::new();
        for (field, text) in &self.fields {
            let before = image.info.get(field);
            if text.is_empty() && field.contains('/') {
                return Err(StepError::refused(
                    format!("`{field}` cannot be removed: it belongs to what Windows Setup reads as a whole"),
                    "set it to another text",
                ));
            }
            if text.is_empty() {
                image.info.remove(field);
            } else {
                image.info.set(field, text);
            }
            details.push(match (before, text.as_str()) {
                (None, "") => format!("{field} was not there"),
                (Some(before), "") => format!("{field} removed, it was `{before}`"),
                (None, text) => format!("{field} set to `{text}`"),
                (Some(before), text) => format!("{field} changed from `{before}` to `{text}`"),
            });
        }
        Ok((image, StepReport::exact(details)))
    }
}
