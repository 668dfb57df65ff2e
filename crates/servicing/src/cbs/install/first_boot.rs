//! The script of the first start of Windows, and who calls it (learn.microsoft.com, "Add a custom script to Windows Setup":
//! `SetupComplete.cmd` runs as SYSTEM after Setup, before the first logon).
//!
//! There is one script, whatever is installed one after another: commands of components that win are added before its end, those of
//! components that do so no more are taken out, and with the last command the script and its call go.

use wimwright_image::Image;

use super::write::remove;
use super::{InstallError, image_path};
use crate::cbs::effects::{Deferred, first_boot_script};
use crate::files::NewFile;

const SCRIPT: &str = "/Windows/Setup/Scripts/wimwright-first-boot.cmd";
const COMPLETE: &str = "/Windows/Setup/Scripts/SetupComplete.cmd";
const CALL: &str = "call \"%WINDIR%\\Setup\\Scripts\\wimwright-first-boot.cmd\"\r\n";

/// Takes what `former` components left to Windows out of the script, and adds what the new winners do. Each is a deferred part with
/// the keyform of its component.
pub(super) fn update(
    image: &mut Image,
    added: &[(String, Deferred)],
    former: &[(String, Deferred)],
    time: u64,
) -> Result<(), InstallError> {
    let (added, former) = (first_boot_script(added), first_boot_script(former));
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
