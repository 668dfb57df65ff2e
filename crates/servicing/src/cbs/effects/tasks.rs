//! Scheduled tasks.
//!
//! A registered task is more than its XML file in `System32\Tasks`: `Schedule\TaskCache` in the SOFTWARE hive holds a random
//! identifier, a hash, and triggers and actions in a binary form that no public source describes completely. So the document
//! is laid down beside the first-boot script, and Windows' own `schtasks` registers it.

use wimwright_format::manifest::macros::Macros;

use super::first_boot::{SCRIPTS, quoted_path};
use super::{Context, Deferred, EffectError, Effects, NewFile};

impl Context<'_> {
    pub(super) fn add_tasks(&self, effects: &mut Effects) -> Result<(), EffectError> {
        for (number, task) in self.component.scheduled_tasks.iter().enumerate() {
            let task = self.task_text(task)?;
            let name = task_name(&task).ok_or_else(|| self.unknown("the URI of a scheduled task", ""))?;
            let path = format!(r"{SCRIPTS}\Tasks\{}-{number}.xml", self.macros.component);
            let command = super::first_boot::quoted(&name)
                .zip(quoted_path(&path))
                .map(|(name, path)| format!("schtasks.exe /create /f /tn {name} /xml {path}"));
            let document = format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n{task}");
            let contents = std::iter::once(0xfeff).chain(document.encode_utf16()).flat_map(u16::to_le_bytes).collect();
            effects.new_files.push(NewFile { path, contents });
            effects.deferred.push(Deferred {
                installer: "taskScheduler/Task".to_owned(),
                what: name,
                command,
                reason: "the binary form of registered tasks is not public; the task does not run until it is registered".to_owned(),
                definition: Some(task),
            });
        }
        Ok(())
    }

    /// The document with macros expanded, except those of the task scheduler itself: `$(@file,-id)`, a text in a resource.
    fn task_text(&self, task: &str) -> Result<String, EffectError> {
        let resource = |name: &str| name.starts_with('@').then(|| format!("$({name})")).or_else(|| (self.macros.other)(name));
        let macros = Macros { component: self.macros.component, directories: self.macros.directories, other: &resource };
        macros.text(task).and_then(|text| self.counted(text)).map_err(|error| self.manifest_error(error))
    }
}

/// `RegistrationInfo/URI`: folder and name of the task. Manifests of Windows 8 leave out the first backslash.
fn task_name(task: &str) -> Option<String> {
    let document = wimwright_format::xml::parse(task).ok()?;
    let uri = document.descendants().find(|node| node.tag_name().name() == "URI")?;
    let name = uri.text()?.trim().trim_start_matches('\\');
    (!name.is_empty()).then(|| format!("\\{name}"))
}
