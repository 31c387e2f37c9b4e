//! The arguments of a call: a form, or JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Refusal;

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Args {
    values: BTreeMap<String, Value>,
    pub(super) is_json: bool,
}

impl Args {
    /// Reads a body.
    pub(super) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Self, Refusal> {
        let Some(content_type) = content_type else {
            return if body.is_empty() {
                Ok(Self::default())
            } else {
                Err(Refusal::new("missing_post_type"))
            };
        };
        let mime = content_type.split(';').next().unwrap_or_default().trim();
        match mime {
            "application/x-www-form-urlencoded" => {
                let text =
                    std::str::from_utf8(body).map_err(|_| Refusal::new("invalid_form_data"))?;
                let mut values = BTreeMap::new();
                for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
                    let before = values.insert(name.into_owned(), value.into_owned().into());
                    if before.is_some() {
                        return Err(Refusal::new("invalid_form_data"));
                    }
                }
                Ok(Self {
                    values,
                    is_json: false,
                })
            }
            "application/json" => {
                let value: Value =
                    serde_json::from_slice(body).map_err(|_| Refusal::new("invalid_json"))?;
                let Value::Object(object) = value else {
                    return Err(Refusal::new("json_not_object"));
                };
                Ok(Self {
                    values: object.into_iter().collect(),
                    is_json: true,
                })
            }
            _ => Err(Refusal::new("invalid_post_type")),
        }
    }

    /// Returns an argument as it came.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Returns an argument that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()
    }

    /// Returns an argument that is text, or nothing when it is empty.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Returns a structured argument: JSON in a form's string.
    pub(crate) fn json(&self, name: &str) -> Option<Value> {
        match self.values.get(name)? {
            Value::String(text) => serde_json::from_str(text).ok(),
            value => Some(value.clone()),
        }
    }

    /// Returns a flag; absent is false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.values.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) => match text.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" | "" => Ok(false),
                _ => Err(invalid(name)),
            },
            Some(_) => Err(invalid(name)),
        }
    }

    /// Returns a number.
    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, Refusal> {
        match self.values.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let number = number.as_u64().ok_or_else(|| invalid(name))?;
                Ok(Some(number as usize))
            }
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| invalid(name)),
            Some(_) => Err(invalid(name)),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

fn invalid(name: &str) -> Refusal {
    Refusal::because("invalid_arguments", format!("invalid value for {name}"))
}
