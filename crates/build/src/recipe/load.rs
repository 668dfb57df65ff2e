//! Reading a recipe: its file, what it includes, its variables; then, as one tree, its types.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::Recipe;
use super::decode::{Context, Decode, Fields, Reported};
use super::error::{Problem, ProblemKind, RecipeError};
use super::source::{Position, Source, Sources};
use super::values::{normalize, without_dots};
use super::variables::Variables;
use super::yaml::{self, Entry, Node, Value};

/// Bytes of one file: a recipe with a thousand steps has a tenth of it.
const MAX_FILE_SIZE: usize = 1 << 20;
/// Files of one recipe, each counted as often as it is included.
const MAX_FILES: usize = 64;

/// The only version of the format.
const VERSION: u32 = 1;

/// How files are read. A recipe is loaded through this alone, so that it can come from anywhere and a load can be
/// repeated exactly (tests, the fuzzer, a lock).
pub type ReadFile<'f> = &'f mut dyn FnMut(&Path) -> io::Result<Vec<u8>>;

/// Top-level keys that are lists: an including file's items follow the included ones.
const LISTS: [&str; 3] = ["images", "drop", "output"];

struct Loader<'f> {
    read: ReadFile<'f>,
    sources: Sources,
    /// The files that are being read, from the recipe inwards, by canonical name.
    active: Vec<String>,
}

impl Loader<'_> {
    fn failure(&self, kind: ProblemKind, position: Option<Position>) -> RecipeError {
        Problem::new(kind, position, &self.sources).into()
    }

    /// Reads one file and what it includes; gives its entries with the included ones merged in.
    fn file(&mut self, path: &Path, canonical: &Path, named_at: Option<Position>) -> Result<Node, RecipeError> {
        let name = normalize(canonical);
        if self.active.contains(&name) {
            return Err(self.failure(ProblemKind::IncludeCycle { path: path.to_owned() }, named_at));
        }
        if self.sources.paths().count() >= MAX_FILES {
            return Err(self.failure(ProblemKind::TooLarge { what: "files in one recipe", limit: MAX_FILES }, named_at));
        }
        let bytes = (self.read)(path).map_err(|source| self.failure(ProblemKind::Read { path: path.to_owned(), source }, named_at))?;
        if bytes.len() > MAX_FILE_SIZE {
            return Err(self.failure(ProblemKind::TooLarge { what: "bytes in one file", limit: MAX_FILE_SIZE }, named_at));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let source = io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()));
            self.failure(ProblemKind::Read { path: path.to_owned(), source }, named_at)
        })?;
        let canonical_folder = PathBuf::from(&name).parent().unwrap_or(Path::new("")).to_owned();
        let index = self.sources.add(Source { path: path.to_owned(), text: text.clone(), canonical_folder: canonical_folder.clone() });
        let mut node = yaml::parse(&text, index).map_err(|(kind, position)| self.failure(kind, position))?;
        let includes = self.header(&mut node)?;

        self.active.push(name);
        let mut merged = Vec::new();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        for (include, position) in includes {
            let included = self.file(&without_dots(&folder.join(&include)), &canonical_folder.join(&include), Some(position))?;
            merge(&mut merged, included);
        }
        self.active.pop();
        let position = node.position;
        merge(&mut merged, node);
        Ok(Node { position, value: Value::Mapping(merged) })
    }

    /// Checks the version, and takes `include:` out of a file's entries.
    fn header(&self, node: &mut Node) -> Result<Vec<(String, Position)>, RecipeError> {
        let mut context = Context::new(&self.sources);
        let includes = header(node, &mut context);
        if let Value::Mapping(entries) = &mut node.value {
            entries.retain(|entry| entry.key != "include");
        }
        match includes {
            Ok(includes) if context.problems.is_empty() => Ok(includes),
            _ => Err(RecipeError { problems: context.problems }),
        }
    }
}

fn header(node: &Node, context: &mut Context) -> Result<Vec<(String, Position)>, Reported> {
    let mut fields = Fields::of(node, context)?;
    let version: u32 = fields.required("recipe")?;
    if version != VERSION {
        return Err(fields.invalid("recipe", &format!("version {version} of the recipe format is not known; this program knows {VERSION}")));
    }
    let includes: Vec<super::Spanned<String>> = fields.or_default("include")?;
    let mut paths = Vec::new();
    for include in includes {
        let position = include.position.unwrap_or(node.position);
        if include.is_empty() || include.contains('\0') || include.contains("${") {
            context.invalid("not a path", Some("`include` takes no variables: it is read before they are known"), position);
        }
        paths.push((include.value, position));
    }
    Ok(paths)
}

/// Merges a file's entries over what is there: lists are appended, variables joined by name, all else replaced.
fn merge(merged: &mut Vec<Entry>, node: Node) {
    let Value::Mapping(entries) = node.value else { return };
    for mut entry in entries {
        let Some(present) = merged.iter_mut().find(|present| present.key == entry.key) else {
            merged.push(entry);
            continue;
        };
        if LISTS.contains(&entry.key.as_str()) {
            let mut items = into_items(present.value.clone());
            items.extend(into_items(entry.value));
            present.value.value = Value::Sequence(items);
            continue;
        }
        if let ("variables", Value::Mapping(inherited), Value::Mapping(own)) =
            (entry.key.as_str(), &present.value.value, &mut entry.value.value)
        {
            let missing: Vec<_> = inherited.iter().filter(|old| own.iter().all(|new| new.key != old.key)).cloned().collect();
            own.extend(missing);
        }
        *present = entry;
    }
}

/// The items of a list; of one item standing for its list, that item; of nothing, none.
fn into_items(node: Node) -> Vec<Node> {
    match node.value {
        Value::Sequence(items) => items,
        _ if node.is_null() => Vec::new(),
        _ => vec![node],
    }
}

/// Loads the recipe at `path`. `settings` take the place of the variables' values in the recipe.
pub(super) fn load(path: &Path, settings: &BTreeMap<String, String>, read: ReadFile<'_>) -> Result<Recipe, RecipeError> {
    let mut loader = Loader { read, sources: Sources::default(), active: Vec::new() };
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    let mut root = loader.file(path, &name, None)?;
    let sources = loader.sources;
    let mut context = Context::new(&sources);
    let recipe = decode(&mut root, settings, &mut context);
    match recipe {
        Ok(recipe) if context.problems.is_empty() => Ok(Recipe { sources, ..recipe }),
        _ => {
            let mut problems = context.problems;
            // As one reads: the order in which they were found follows the types.
            problems
                .sort_by_key(|problem| problem.location.as_ref().map(|location| (location.path.clone(), location.line, location.column)));
            Err(RecipeError { problems })
        }
    }
}

fn decode(root: &mut Node, settings: &BTreeMap<String, String>, context: &mut Context) -> Result<Recipe, Reported> {
    let mut variables = None;
    if let Value::Mapping(entries) = &mut root.value
        && let Some(at) = entries.iter().position(|entry| entry.key == "variables")
    {
        variables = Some(entries.remove(at).value);
    }
    Variables::of(variables.as_ref(), settings, context)?.substitute(root, context);
    if !context.problems.is_empty() {
        return Err(Reported);
    }
    Recipe::decode(root, context)
}
