//! The script of the first start of Windows, and who calls it (learn.microsoft.com, "Add a custom script to Windows Setup":
//! `SetupComplete.cmd` runs as SYSTEM after Setup, before the first logon).
//!
//! There is one script, whatever is installed one after another: commands of components that win are added before its end, those of
//! components that do so no more are taken out, and with the last command the script and its call go.
//!
//! Parts without a command are not done by anybody. A list in the image names them, so that later servicing, and whoever looks at the
//! installed Windows, knows.

use wimwright_image::Image;

use super::project::Left;
use super::write::remove;
use super::{InstallError, image_path};
use crate::cbs::effects::{Deferred, first_boot_script};
use crate::files::NewFile;

const SCRIPT: &str = "/Windows/Setup/Scripts/wimwright-first-boot.cmd";
const COMPLETE: &str = "/Windows/Setup/Scripts/SetupComplete.cmd";
const NOT_DONE: &str = "/Windows/Logs/wimwright-not-done.log";
const CALL: &str = "call \"%WINDIR%\\Setup\\Scripts\\wimwright-first-boot.cmd\"\r\n";

/// What earlier servicing of the image left undone: nothing of it has happened, as Windows has not started since.
pub(super) struct Waiting {
    script: String,
    not_done: String,
}

impl Waiting {
    pub fn read(image: &Image) -> Result<Self, InstallError> {
        Ok(Self { script: read(image, SCRIPT)?, not_done: read(image, NOT_DONE)? })
    }

    /// True when a part of a component is still to be done.
    pub fn has(&self, component: &str, part: &Deferred) -> bool {
        match &part.command {
            Some(command) => commands(&self.script).iter().any(|(_, known)| known.starts_with(command.as_str())),
            None => self.not_done.lines().any(|line| line == not_done(component, part)),
        }
    }
}

/// The line of the list for a part that nobody does.
fn not_done(component: &str, part: &Deferred) -> String {
    format!("{component}: {} {}: {}", part.installer, part.what.replace(|c: char| c.is_control(), " "), part.reason)
}

/// Takes what former winners left to Windows out of the script and the list, and adds what the new ones do.
pub(super) fn update(image: &mut Image, left: &Left, time: u64) -> Result<(), InstallError> {
    update_list(image, left, time)?;
    let (added, former) = (first_boot_script(&left.added), first_boot_script(&left.former));
    let Some(model) = added.as_deref().or(former.as_deref()) else { return Ok(()) };
    let known = read(image, SCRIPT)?;
    let gone = commands(former.as_deref().unwrap_or_default());
    let mut left: Vec<(&str, &str)> = commands(&known).into_iter().filter(|command| !gone.contains(command)).collect();
    for (remark, command) in commands(added.as_deref().unwrap_or_default()) {
        if !left.iter().any(|(_, known)| *known == command) {
            left.push((remark, command));
        }
    }
    let text: String = if left.is_empty() {
        String::new()
    } else {
        let lines: Vec<&str> = model.split_inclusive('\n').collect();
        let (head, end) = (lines.iter().take(2), lines.last());
        head.chain(left.iter().flat_map(|(remark, command)| [remark, command])).chain(end).copied().collect()
    };
    put(image, SCRIPT, &known, &text, time)?;
    let known = read(image, COMPLETE)?;
    let mut complete = known.replace(CALL, "");
    if !text.is_empty() {
        complete.clone_from(&known);
        if !known.contains(CALL.trim_end()) {
            if !complete.is_empty() && !complete.ends_with('\n') {
                complete.push_str("\r\n");
            }
            complete.push_str(CALL);
        }
    }
    put(image, COMPLETE, &known, &complete, time)
}

fn update_list(image: &mut Image, left: &Left, time: u64) -> Result<(), InstallError> {
    let lines = |parts: &[(String, Deferred)]| -> Vec<String> {
        parts.iter().filter(|(_, part)| part.command.is_none()).map(|(component, part)| not_done(component, part)).collect()
    };
    let (added, former) = (lines(&left.added), lines(&left.former));
    let known = read(image, NOT_DONE)?;
    let kept = known.lines().filter(|line| former.iter().chain(&added).all(|other| other != line));
    let text: String = kept.chain(added.iter().map(String::as_str)).map(|line| format!("{line}\r\n")).collect();
    put(image, NOT_DONE, &known, &text, time)
}

/// The commands of a script, each with the remark before it.
fn commands(script: &str) -> Vec<(&str, &str)> {
    let lines: Vec<&str> = script.split_inclusive('\n').collect();
    let pairs = lines.iter().zip(lines.iter().skip(1));
    let is_remark = |line: &str| line.starts_with("rem ");
    pairs.filter(|(remark, command)| is_remark(remark) && !is_remark(command)).map(|(remark, command)| (*remark, *command)).collect()
}

/// A text file of the image; empty when it is not there.
fn read(image: &Image, path: &str) -> Result<String, InstallError> {
    Ok(match image.tree.at(path) {
        Some(_) => String::from_utf8_lossy(&image.read(path)?).into_owned(),
        None => String::new(),
    })
}

/// Writes a text file that changed; one without text goes.
fn put(image: &mut Image, path: &str, known: &str, text: &str, time: u64) -> Result<(), InstallError> {
    if text == known {
        return Ok(());
    }
    let path = image_path("", path)?;
    if text.is_empty() {
        return remove(image, &path);
    }
    let blob = image.blobs.add_bytes(text.as_bytes().to_vec());
    NewFile { attributes: None, security: None, time }.put_blob(image, &path, blob)?;
    Ok(())
}
