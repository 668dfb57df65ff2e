//! The step `registry`: creates, sets and deletes keys and values in the hives of an image.

use std::collections::BTreeMap;

use serde::Serialize;
use wimwright_format::reg_file::Change;
use wimwright_format::regf::{self, Hive, KeyId};
use wimwright_image::registry::{HiveFile, RegistryPath};
use wimwright_image::{Image, ImageError};

use crate::step::{Context, Step, StepError, StepKind, StepReport};

/// The step: changes in order. Where they came from (a `.reg` file, Group Policy Preferences, the recipe itself) does not
/// matter any more.
#[derive(Debug, Clone)]
pub struct Registry {
    /// The changes, with full paths (`HKEY_LOCAL_MACHINE\SOFTWARE\…`).
    pub changes: Vec<Change>,
}

#[derive(Default, Serialize)]
struct Counts {
    keys_created: usize,
    values_set: usize,
    values_unchanged: usize,
    values_deleted: usize,
    keys_deleted: usize,
}

impl Step for Registry {
    fn kind(&self) -> StepKind {
        StepKind { name: "registry", revision: 1 }
    }

    fn options(&self) -> serde_json::Value {
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.changes
            .iter()
            .map(|change| match change {
                Change::CreateKey { path } => serde_json::json!(["create", path]),
                Change::DeleteKey { path } => serde_json::json!(["delete key", path]),
                Change::SetValue { path, name, kind, data } => serde_json::json!(["set", path, name, kind.0, hexadecimal(data)]),
                Change::DeleteValue { path, name } => serde_json::json!(["delete value", path, name]),
            })
            .collect()
    }

    fn writes_time(&self) -> bool {
        true
    }

    fn describe(&self) -> Vec<String> {
        let mut counts = BTreeMap::<String, (usize, usize)>::new();
        for change in &self.changes {
            let hive =
                RegistryPath::parse(change.path()).map_or_else(|_| change.path().to_owned(), |path| path.hive.mount_point().to_owned());
            let (set, deleted) = counts.entry(hive).or_default();
            match change {
                Change::CreateKey { .. } | Change::SetValue { .. } => *set += 1,
                Change::DeleteKey { .. } | Change::DeleteValue { .. } => *deleted += 1,
            }
        }
        counts.into_iter().map(|(hive, (set, deleted))| format!("{hive}: {set} to set, {deleted} to delete")).collect()
    }

    fn apply(&self, mut image: Image, context: &Context) -> Result<(Image, StepReport), StepError> {
        let mut by_hive = BTreeMap::<HiveFile, Vec<(RegistryPath, &Change)>>::new();
        for change in &self.changes {
            let path = RegistryPath::parse(change.path()).map_err(|error| StepError::refused(error.to_string(), ""))?;
            by_hive.entry(path.hive).or_default().push((path, change));
        }
        let mut details = Vec::new();
        for (file, changes) in by_hive {
            let mut counts = Counts::default();
            image.edit_hive(file, |hive| {
                changes.iter().try_for_each(|(path, change)| apply(hive, path, change, context.time, &mut counts))
            })?;
            details.push(format!(
                "{}: {} keys created, {} values set ({} had that value), {} values and {} keys deleted",
                file.mount_point(),
                counts.keys_created,
                counts.values_set,
                counts.values_unchanged,
                counts.values_deleted,
                counts.keys_deleted
            ));
        }
        image.commit(context.time)?;
        Ok((image, StepReport::exact(details)))
    }
}

fn apply(hive: &mut Hive, path: &RegistryPath, change: &Change, time: u64, counts: &mut Counts) -> Result<(), ImageError> {
    edit(hive, path, change, time, counts).map_err(|source| ImageError::hive_edit(path.hive, &path.key, source))
}

fn edit(hive: &mut Hive, path: &RegistryPath, change: &Change, time: u64, counts: &mut Counts) -> Result<(), regf::Error> {
    let key_path = path.resolved(hive)?;
    match change {
        Change::CreateKey { .. } => {
            create(hive, &key_path, time, counts)?;
        }
        Change::SetValue { name, kind, data, .. } => {
            let key = create(hive, &key_path, time, counts)?;
            counts.values_set += 1;
            let unchanged = match hive.value(key, name)? {
                Some(value) => value.kind() == *kind && *value.data()? == **data,
                None => false,
            };
            if unchanged {
                counts.values_unchanged += 1;
            } else {
                hive.set_value(key, name, *kind, data, time)?;
            }
        }
        // As in regedit: deleting what is not there is no error.
        Change::DeleteValue { name, .. } => {
            if let Some(key) = hive.open(&key_path)?
                && hive.delete_value(key, name, time)?
            {
                counts.values_deleted += 1;
            }
        }
        Change::DeleteKey { .. } => {
            if let Some(key) = hive.open(&key_path)? {
                hive.delete_key(key, time)?;
                counts.keys_deleted += 1;
            }
        }
    }
    Ok(())
}

/// The key at `path`, created with all that is missing above it.
fn create(hive: &mut Hive, path: &str, time: u64, counts: &mut Counts) -> Result<KeyId, regf::Error> {
    match hive.open(path)? {
        Some(key) => Ok(key),
        None => {
            let ends = path.match_indices('\\').map(|(end, _)| end).chain([path.len()]);
            for end in ends {
                let above = path.get(..end).unwrap_or_default();
                counts.keys_created += usize::from(hive.open(above)?.is_none());
            }
            hive.create_path(path, time)
        }
    }
}
