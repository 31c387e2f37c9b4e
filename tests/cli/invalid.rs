//! Every mistake a configuration can have, a fixture each, with the message that people read.

use std::fs;
use std::path::Path;

use tieline::config::{Config, Severity};

const PATH: &str = "/nowhere/tieline.toml";

fn report_of(text: &str) -> tieline::config::Report {
    Config::parse(text, Path::new(PATH), Some(Path::new("/home/mei")))
        .expect_err("the fixture has a mistake")
}

#[test]
fn each_mistake_has_its_message() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/invalid");
    let mut fixtures: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    fixtures.sort();
    assert!(fixtures.len() >= 20, "fixtures are missing: {fixtures:?}");

    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path(directory);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for fixture in fixtures {
            let name = fixture.file_stem().unwrap().to_str().unwrap();
            let report = report_of(&fs::read_to_string(&fixture).unwrap());
            insta::assert_snapshot!(name, report.to_string());
        }
    });
}

#[test]
fn ten_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let report = report_of(include_str!("invalid/ten_mistakes.toml"));
    let places: Vec<_> = report
        .problems()
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| report.line_column(problem.span.start))
        .collect();
    assert_eq!(
        places,
        [
            (3, 1),
            (4, 7),
            (7, 8),
            (10, 13),
            (11, 25),
            (12, 12),
            (13, 21),
            (14, 20),
            (17, 10),
            (18, 10),
        ]
    );
}

#[test]
fn values_that_may_be_secret_are_not_shown() {
    let shown = report_of(include_str!("invalid/mcp_servers.toml")).to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
}
