use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn knowing(secrets: &[&str]) -> Redactor {
    let redactor = Redactor::default();
    for secret in secrets {
        redactor.learn(secret);
    }
    redactor
}

#[test]
fn a_secret_is_blanked_in_every_form_that_it_is_likely_to_take() {
    let token = "xoxb-1 2+34/hunter2\"<ß\\";
    let redactor = knowing(&[token]);
    let json = serde_json::to_string(token).unwrap();
    let table = [
        format!("plain {token}, again {token}"),
        "?token=xoxb-1+2%2B34%2Fhunter2%22%3C%C3%9F%5C".to_owned(),
        "/xoxb-1%202%2b34%2fhunter2%22%3c%c3%9f%5c/".to_owned(),
        format!("{{\"token\":{json}}}"),
        serde_json::to_string(&json).unwrap(),
        format!("{token:?}"),
        json!({ "log": format!("{{\"token\":{json}}}") }).to_string(),
        json.replace('/', "\\/"),
        "sender=\"xoxb-1 2+34/hunter2&quot;&lt;ß\\\"".to_owned(),
        token.bytes().map(|it| format!("{it:02x}")).collect(),
        token.bytes().map(|it| format!("{it:02X}")).collect(),
        STANDARD.encode(token),
        URL_SAFE.encode(token),
    ];
    for text in table {
        let redacted = redactor.redact(&text);
        assert!(redacted.contains(MARK), "{text} -> {redacted}");
        assert!(!redacted.contains("hunter2"), "{text} -> {redacted}");
    }
    assert_eq!(
        redactor.redact(&format!("a {token} b {token}.")),
        "a [secret] b [secret]."
    );
}

#[test]
fn a_secret_is_found_in_base64_wherever_it_begins() {
    let token = "hunter2-hunter2";
    let redactor = knowing(&[token]);
    for before in ["", "u", "u:", "us:", "user:"] {
        for after in ["", "\n", "@h", "@ho"] {
            for engine in [&STANDARD, &URL_SAFE] {
                let text = engine.encode(format!("{before}{token}{after}"));
                assert!(
                    redactor.redact(&text).contains(MARK),
                    "{before}{after}: {text}"
                );
            }
        }
    }
}

#[test]
fn secrets_that_overlap_leave_nothing_of_each_other() {
    let redactor = knowing(&["-hunter2-tail", "prefix-hunter2", "hunter2-"]);
    assert_eq!(redactor.redact("a prefix-hunter2-tail b"), "a [secret] b");
    assert_eq!(
        redactor.redact("prefix-hunter2prefix-hunter2"),
        "[secret][secret]"
    );
}

#[test]
fn a_key_is_found_line_by_line_and_what_it_begins_with_is_not() {
    let key =
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nshort\n-----END PRIVATE KEY-----";
    let redactor = knowing(&[key]);
    assert_eq!(
        redactor.redact("line MIIEvQIBADANBgkqhkiG9w0B"),
        "line [secret]"
    );
    let harmless = "-----BEGIN PRIVATE KEY----- is short";
    assert_eq!(redactor.redact(harmless), harmless);
}

#[test]
fn what_is_short_is_not_blanked_and_what_is_a_word_is_told_of() {
    let redactor = Redactor::default();
    assert_eq!(redactor.learn("hunter2"), Fitness::TooShort);
    assert_eq!(redactor.learn("密码密码密码密"), Fitness::TooShort);
    assert_eq!(redactor.redact("hunter2"), "hunter2");
    assert_eq!(redactor.learn("production"), Fitness::Common);
    assert_eq!(redactor.learn("00000000"), Fitness::Common);
    assert_eq!(redactor.learn("correct-horse"), Fitness::Fit);
    assert_eq!(redactor.redact("in production"), "in [secret]");
}

#[test]
fn nothing_is_copied_where_there_is_nothing_to_blank() {
    let text = "a text like any other";
    for redactor in [Redactor::default(), knowing(&["hunter2-hunter2"])] {
        assert!(matches!(redactor.redact(text), Cow::Borrowed(same) if same == text));
    }
}

#[test]
fn json_stays_json_whatever_is_blanked() {
    let redactor = knowing(&["12345678", "a\"b\"c\"d\"e"]);
    let mut value = json!({
        "a\"b\"c\"d\"e": 12345678,
        "deep": [{ "text": "it is a\"b\"c\"d\"e" }, null, true],
    });
    redactor.redact_json(&mut value);
    assert_eq!(
        value,
        json!({ "[secret]": 12345678, "deep": [{ "text": "it is [secret]" }, null, true] })
    );
}

#[test]
fn debug_shows_nothing() {
    let shown = format!("{:?}", knowing(&["hunter2-hunter2"]));
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    #[test]
    fn nothing_of_a_secret_is_left_and_everything_else_is(
        secret in "[!-~]{8,40}", before in "[ a-z]{0,10}", after in "[ a-z]{0,10}",
    ) {
        let redactor = knowing(&[&secret]);
        let text = format!("{before} {secret} {after}");
        let redacted = redactor.redact(&text);
        prop_assert!(!redacted.contains(&secret) || MARK.contains(&secret));
        let (start, end) = (format!("{before} "), format!(" {after}"));
        prop_assert!(redacted.starts_with(&start));
        prop_assert!(redacted.ends_with(&end));
    }
}
