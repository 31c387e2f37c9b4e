//! What a tool takes: its schema, and the check against it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use thiserror::Error;

/// Something that a tool takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is, for the model.
    pub(super) about: &'static str,
    /// What it looks like.
    pub(super) kind: Kind,
    /// It must be there.
    pub(super) required: bool,
}

/// What an argument looks like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A text that is not blank.
    Text {
        /// How many characters it may have.
        max: usize,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Several texts of one line each, all different and none blank.
    Lines {
        /// How many there must be.
        least: usize,
        /// How many there may be.
        most: usize,
        /// How many characters each may have.
        max: usize,
    },
}

/// What is wrong with arguments: all of it, in words for the model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.join("; "))]
pub struct ArgumentError(Vec<String>);

/// Arguments that fit their parameters.
#[derive(Clone, Debug)]
pub(super) struct Arguments(Map<String, Value>);

/// Returns the JSON schema of what these parameters make up.
pub(super) fn schema(parameters: &[Parameter]) -> Value {
    let properties: Map<String, Value> = parameters
        .iter()
        .map(|parameter| (parameter.name.to_owned(), parameter.schema()))
        .collect();
    let required: Vec<_> = parameters
        .iter()
        .filter(|parameter| parameter.required)
        .map(|parameter| parameter.name)
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Checks arguments. An optional one that is null or blank counts as left out.
///
/// # Errors
///
/// When they do not fit; says everything that is wrong.
pub(super) fn check(
    parameters: &[Parameter],
    arguments: &Value,
) -> Result<Arguments, ArgumentError> {
    let nothing = Map::new();
    let given = match arguments {
        Value::Object(given) => given,
        Value::Null => &nothing,
        other => {
            let problem = format!("the arguments are {} and not an object", kind_of(other));
            return Err(ArgumentError(vec![problem]));
        }
    };
    let mut problems = Vec::new();
    let mut checked = Map::new();
    for parameter in parameters {
        match given.get(parameter.name) {
            None | Some(Value::Null) if parameter.required => {
                problems.push(format!(
                    "`{}` is missing: {}",
                    parameter.name,
                    parameter.about.trim_end_matches('.')
                ));
            }
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if !parameter.required && text.trim().is_empty() => {}
            Some(value) => match parameter.kind.problem(value) {
                Some(problem) => problems.push(format!("`{}` {problem}", parameter.name)),
                None => drop(checked.insert(parameter.name.to_owned(), value.clone())),
            },
        }
    }
    let is_known = |name: &str| parameters.iter().any(|parameter| parameter.name == name);
    for name in given.keys().filter(|name| !is_known(name)) {
        problems.push(format!("there is no `{}`", tieline_channel::cut(name, 64)));
    }
    if problems.is_empty() {
        Ok(Arguments(checked))
    } else {
        Err(ArgumentError(problems))
    }
}

impl Parameter {
    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text { max } => json!({"type": "string", "minLength": 1, "maxLength": max}),
            Kind::Choice(words) => json!({"type": "string", "enum": words}),
            Kind::Lines { least, most, max } => json!({
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": max},
                "minItems": least,
                "maxItems": most,
                "uniqueItems": true,
            }),
        };
        schema["description"] = self.about.into();
        schema
    }
}

impl Kind {
    /// Returns what is wrong with a value, if anything.
    fn problem(self, value: &Value) -> Option<String> {
        match (self, value) {
            (Self::Text { max }, Value::String(text)) => text_problem(text, max),
            (Self::Choice(words), Value::String(word)) => choice_problem(word, words),
            (Self::Text { .. } | Self::Choice(_), other) => {
                Some(format!("is {} and not a text", kind_of(other)))
            }
            (Self::Lines { least, most, max }, Value::Array(values)) => {
                lines_problem(values, least, most, max)
            }
            (Self::Lines { .. }, other) => {
                Some(format!("is {} and not a list of texts", kind_of(other)))
            }
        }
    }
}

fn text_problem(text: &str, max: usize) -> Option<String> {
    if text.trim().is_empty() {
        return Some("is empty".to_owned());
    }
    let chars = text.chars().count();
    (chars > max).then(|| format!("has {chars} characters, and {max} are the most"))
}

fn choice_problem(word: &str, words: &[&str]) -> Option<String> {
    if words.contains(&word) {
        return None;
    }
    let word = tieline_channel::cut(word, 64);
    Some(format!("is {word:?} and not one of {}", words.join(", ")))
}

fn lines_problem(values: &[Value], least: usize, most: usize, max: usize) -> Option<String> {
    if values.len() < least || values.len() > most {
        let count = values.len();
        return Some(format!(
            "has {count} entries, and must have {least} to {most}"
        ));
    }
    let mut seen = BTreeSet::new();
    for (index, value) in values.iter().enumerate() {
        let number = index + 1;
        let Value::String(line) = value else {
            let kind = kind_of(value);
            return Some(format!("has {kind} as entry {number}, and not a text"));
        };
        if let Some(problem) = text_problem(line, max) {
            return Some(format!("has an entry {number} that {problem}"));
        }
        if line.contains(char::is_control) {
            return Some(format!("has an entry {number} of more than one line"));
        }
        if !seen.insert(line.trim()) {
            return Some(format!("has the entry {number} twice"));
        }
    }
    None
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Arguments {
    /// Takes a required text.
    pub(super) fn text(&mut self, name: &str) -> String {
        self.optional_text(name).unwrap_or_default()
    }

    /// Takes a text that may be missing.
    pub(super) fn optional_text(&mut self, name: &str) -> Option<String> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Takes lines, without the space around them.
    pub(super) fn lines(&mut self, name: &str) -> Vec<String> {
        let Some(Value::Array(values)) = self.0.remove(name) else {
            return Vec::new();
        };
        let line = |value: &Value| value.as_str().map(|line| line.trim().to_owned());
        values.iter().filter_map(line).collect()
    }
}
