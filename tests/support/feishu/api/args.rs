//! What a call is made with.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::super::mock::multipart;
use super::Asking;

/// What a call is made with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Args {
    /// The ids in the path.
    pub(super) ids: Vec<String>,
    query: BTreeMap<String, String>,
    body: BTreeMap<String, Value>,
    /// The parts that are files: names, and contents.
    pub(super) uploads: BTreeMap<String, Vec<u8>>,
    /// How long the body is.
    pub(super) length: usize,
    /// The body is nothing that can be read.
    pub(super) is_broken: bool,
}

impl Args {
    /// Reads what was asked.
    pub(super) fn read(ids: Vec<String>, asking: &Asking<'_>) -> Self {
        let query = url::form_urlencoded::parse(asking.query.as_bytes());
        let mut args = Self {
            ids,
            query: query.into_owned().collect(),
            length: asking.body.len(),
            ..Self::default()
        };
        let content_type = asking.content_type.unwrap_or_default();
        if content_type.starts_with("multipart/form-data") {
            match multipart::parts(asking.content_type, asking.body) {
                Some(parts) => args.take(parts),
                None => args.is_broken = true,
            }
        } else if !asking.body.is_empty() {
            let is_json = content_type.starts_with("application/json");
            match serde_json::from_slice(asking.body) {
                Ok(Value::Object(body)) if is_json => args.body = body.into_iter().collect(),
                _ => args.is_broken = true,
            }
        }
        args
    }

    fn take(&mut self, parts: Vec<multipart::Part>) {
        for part in parts {
            let name = part.name.unwrap_or_default();
            if part.file_name.is_some() {
                self.uploads.insert(name, part.content);
            } else {
                let text = String::from_utf8_lossy(&part.content).into_owned();
                self.body.insert(name, text.into());
            }
        }
    }

    /// Returns an id of the path.
    pub(crate) fn id(&self, number: usize) -> &str {
        self.ids.get(number).map_or("", String::as_str)
    }

    /// Returns a parameter, or nothing when it is empty.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let value = self.query.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// Returns a field of the body as it came.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.body.get(name)
    }

    /// Returns a field of the body that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str()
    }

    pub(super) fn query_names(&self) -> impl Iterator<Item = &str> {
        self.query.keys().map(String::as_str)
    }

    pub(super) fn body_names(&self) -> impl Iterator<Item = &str> {
        let fields = self.body.keys().chain(self.uploads.keys());
        fields.map(String::as_str)
    }
}
