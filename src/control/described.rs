//! What the description says, compared with what is so.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::control::error::Code;
use crate::control::server::{OPENAPI, table};

fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// Fails unless an answer is as the description says. `route` is the path as the description has it.
pub(super) fn assert_described(method: &str, route: &str, status: u16, answer: &Value) {
    let all = description();
    let responses = &all["paths"][route][method.to_lowercase()]["responses"];
    let schema = match status {
        200..300 => &responses[status.to_string()]["content"]["application/json"]["schema"],
        _ => &all["components"]["responses"]["Error"]["content"]["application/json"]["schema"],
    };
    assert!(
        schema.is_object(),
        "{method} {route} is not said to answer {status}"
    );
    let validator = validator(schema, &all);
    let problems: Vec<String> = validator
        .iter_errors(answer)
        .map(|problem| format!("{}: {problem}", problem.instance_path()))
        .collect();
    assert_eq!(
        problems,
        Vec::<String>::new(),
        "{method} {route}: {answer:#}"
    );
}

fn validator(schema: &Value, all: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = all["components"].clone();
    jsonschema::draft202012::new(&schema).unwrap()
}

#[test]
fn every_route_is_described_and_the_other_way_round() {
    let mut routes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for route in table() {
        let methods = routes.entry(route.path).or_default();
        let is_new = methods.insert(route.method.as_str().to_lowercase());
        assert!(is_new, "{} {} is there twice", route.method, route.path);
    }
    let all = description();
    let described = all["paths"].as_object().unwrap().iter();
    let described: BTreeMap<&str, BTreeSet<String>> = described
        .map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys().cloned();
            (path.as_str(), methods.collect())
        })
        .collect();
    assert_eq!(routes, described);
}

#[test]
fn every_code_is_described() {
    let all = description();
    let described =
        &all["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"];
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(*described, json!(codes));
}

#[test]
fn every_code_is_in_the_documentation() {
    let text = include_str!("../../docs/api.md");
    for code in Code::ALL {
        let cell = format!("`{}`", code.as_str());
        let told = text.lines().filter(|it| it.starts_with("| `"));
        let told = told.filter_map(|it| it.split('|').nth(1));
        assert!(told.into_iter().any(|it| it.contains(&cell)), "{cell}");
    }
}

#[test]
fn every_segment_of_a_path_is_described_and_every_schema_is_one_and_used() {
    let all = description();
    for (path, methods) in all["paths"].as_object().unwrap() {
        let segments: BTreeSet<&str> = path
            .split('/')
            .filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let described: BTreeSet<&str> = parameters
                .filter(|it| it["in"] == "path")
                .filter_map(|it| it["name"].as_str())
                .collect();
            assert_eq!(segments, described, "{method} {path}");
        }
    }
    for (name, schema) in all["components"]["schemas"].as_object().unwrap() {
        validator(schema, &all);
        let used = format!("\"#/components/schemas/{name}\"");
        assert!(OPENAPI.contains(&used), "nothing is a {name}");
    }
}

#[test]
fn an_answer_that_is_not_as_described_is_found() {
    let good = json!({ "error": { "code": "busy", "message": "m", "hint": "h" } });
    assert_described("GET", "/v1/status", 503, &good);
    let all = description();
    let error = validator(&all["components"]["schemas"]["Error"], &all);
    assert!(!error.is_valid(&json!({ "error": { "code": "new", "message": "m", "hint": "h" } })));
    assert!(!error.is_valid(&json!({ "error": { "code": "busy", "message": "m" } })));
}
