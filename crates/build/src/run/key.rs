//! The key under which a step's result is cached.
//!
//! | value | in the key | why |
//! |---|---|---|
//! | key format version | yes | the rules below may change |
//! | step kind and revision | yes | the code that ran, in a form that survives recompiling |
//! | options in canonical form, payloads by SHA-256 | yes | what was asked for |
//! | input tree id and image information but its number | yes | by *content*: a step that changes nothing lets all after it hit |
//! | the recipe's time | only for steps that write time | |
//! | names, comments, host, threads, output compression | no | tests prove that they don't matter |

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wimwright_image::Image;
use wimwright_servicing::step::{Context, Step};

/// Version of the rules above.
const KEY_FORMAT: u64 = 1;

/// SHA-256 over everything that a step's result depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepKey([u8; 32]);

impl fmt::Display for StepKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for StepKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StepKey({self})")
    }
}

impl From<StepKey> for String {
    fn from(key: StepKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for StepKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = Some(text.as_bytes()).filter(|digits| digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.ok_or_else(|| format!("`{text}` is not a key of 64 hexadecimal digits"))?;
        let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
        Ok(Self(std::array::from_fn(|index| value(digits[2 * index]) << 4 | value(digits[2 * index + 1]))))
    }
}

/// The identity of an image as a step's input: its tree and its entry in the XML data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputId(StepKey);

impl InputId {
    /// The identity of `image`.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let mut element = image.info.element.clone();
        // The number says where an image lies, not what it is: in a layer every image is the first.
        element.attributes.retain(|(name, _)| name != "INDEX");
        let mut hash = Sha256::new();
        hash.update(image.tree.id().0);
        hash.update(element.to_xml());
        Self(StepKey(hash.finalize().into()))
    }

    /// The identity of the image after its last step: `time` becomes that of its last modification.
    pub(crate) fn finished(self, time: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.bytes());
        hash.update(time.to_le_bytes());
        Self(StepKey(hash.finalize().into()))
    }

    /// The 32 bytes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        self.0.bytes()
    }
}

impl StepKey {
    /// The 32 bytes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of `step` on `input`.
    #[must_use]
    pub fn new(step: &dyn Step, input: InputId, context: &Context) -> Self {
        let mut hash = Sha256::new();
        let mut text = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        text("wimwright step key");
        text(step.kind().name);
        text(&step.options().to_string());
        let time = if step.writes_time() { context.time } else { 0 };
        for number in [KEY_FORMAT, u64::from(step.kind().revision), time] {
            hash.update(number.to_le_bytes());
        }
        hash.update(input.0.0);
        Self(hash.finalize().into())
    }
}
