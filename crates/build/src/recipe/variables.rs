//! `variables:` and `${name}`.

use std::collections::BTreeMap;

use super::decode::{Context, Reported};
use super::error::ProblemKind;
use super::source::Position;
use super::yaml::{Node, Value};

/// Bytes that one text may have after its variables are put in: variables in variables must not multiply without end.
const MAX_EXPANDED: usize = 1 << 20;

/// A variable as it was defined.
struct Definition {
    /// Its text, not yet expanded; `None` when it must be set from outside.
    text: Option<String>,
    position: Option<Position>,
}

/// The variables of a recipe.
pub(super) struct Variables {
    definitions: BTreeMap<String, Definition>,
}

/// Whether `name` can be a variable's: a letter or `_`, then letters, digits, `_` and `-`.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

impl Variables {
    /// The variables that `node` (the value of `variables:`) defines, with `settings` from outside in place of what the
    /// recipe says. A setting of a variable that the recipe does not have is an error: it would do nothing.
    pub fn of(node: Option<&Node>, settings: &BTreeMap<String, String>, context: &mut Context) -> Result<Self, Reported> {
        let mut definitions = BTreeMap::new();
        match node.map(|node| (node, &node.value)) {
            Some((_, Value::Mapping(entries))) => {
                for entry in entries {
                    if !is_name(&entry.key) {
                        let reason = format!("`{}` cannot be the name of a variable", entry.key);
                        context.invalid(reason, Some("letters, digits, `_` and `-`; a letter first"), entry.key_position);
                    }
                    let text = match &entry.value.value {
                        _ if entry.value.is_null() => None,
                        Value::Scalar { text, .. } => Some(text.clone()),
                        _ => return Err(context.wrong_type("text", &entry.value)),
                    };
                    definitions.insert(entry.key.clone(), Definition { text, position: Some(entry.value.position) });
                }
            }
            Some((node, _)) if !node.is_null() => return Err(context.wrong_type("a mapping of names to values", node)),
            _ => {}
        }
        for (name, text) in settings {
            match definitions.get_mut(name) {
                // What comes from outside is text, not a template.
                Some(definition) => *definition = Definition { text: Some(escape(text)), position: None },
                None => {
                    let defined = definitions.keys().cloned().collect();
                    context.report_unplaced(ProblemKind::UndefinedVariable { name: name.clone(), defined });
                }
            }
        }
        Ok(Self { definitions })
    }

    /// Replaces the variables in every text under `node`.
    pub fn substitute(&self, node: &mut Node, context: &mut Context) {
        match &mut node.value {
            Value::Scalar { text, .. } => {
                if text.contains("${")
                    && let Ok(expanded) = self.expand(text, node.position, &mut Vec::new(), context)
                {
                    *text = expanded;
                }
            }
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.substitute(item, context)),
            Value::Mapping(entries) => entries.iter_mut().for_each(|entry| self.substitute(&mut entry.value, context)),
        }
    }

    /// Expands one text. `active` holds the names of the variables that are being expanded.
    fn expand<'v>(&'v self, text: &str, position: Position, active: &mut Vec<&'v str>, context: &mut Context) -> Result<String, Reported> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            expanded.push_str(&rest[..at]);
            let Some((name, after)) = rest[at + 2..].split_once('}').filter(|(name, _)| is_name(name)) else {
                let advice = "write ${name} for a variable, or $${ for the text `${` itself";
                return Err(context.invalid("`${` is not followed by the name of a variable", Some(advice), position));
            };
            let Some((name, definition)) = self.definitions.get_key_value(name) else {
                let defined = self.definitions.keys().cloned().collect();
                return Err(context.report(ProblemKind::UndefinedVariable { name: name.to_owned(), defined }, position));
            };
            let Some(text) = &definition.text else {
                let advice = format!("give it a value under `variables:` or with --set {name}=VALUE");
                return Err(context.invalid(format!("variable `{name}` has no value"), Some(&advice), position));
            };
            if active.contains(&name.as_str()) {
                return Err(context.invalid(format!("variable `{name}` contains itself"), None, position));
            }
            active.push(name);
            let value = self.expand(text, definition.position.unwrap_or(position), active, context)?;
            active.pop();
            expanded.push_str(&value);
            if expanded.len() > MAX_EXPANDED {
                let kind = ProblemKind::TooLarge { what: "bytes of text after variables are put in", limit: MAX_EXPANDED };
                return Err(context.report(kind, position));
            }
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

/// `text` so that [`Variables`] gives it back unchanged.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}
