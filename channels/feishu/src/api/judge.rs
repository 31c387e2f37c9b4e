//! From an answer to what it means.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::code::{Class, LIMITED, Meaning, meaning};
use super::failure::{Cure, Failure};

/// The longest that we let ourselves be told to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How much of Feishu's own words is shown.
const MAX_WORDS: usize = 200;

/// How many missing scopes are named.
const MAX_SCOPES: usize = 10;

/// What asking for a scope begins with.
const GRANT: &str = "grant the app ";

/// Who wants to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// The API that was called.
    Call,
    /// The chat that was posted to, or the message that was to be changed.
    Chat,
}

/// What every answer has.
#[derive(Deserialize)]
struct Answer {
    code: i64,
    #[serde(default)]
    msg: Value,
    #[serde(default)]
    error: Value,
}

/// Returns the body of an answer that says that it was done.
///
/// The `code` in the body decides. The HTTP status counts only where there is none.
///
/// # Errors
///
/// When it says anything else, or nothing.
pub(crate) fn judge(
    call: &str,
    http_status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, Failure> {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return Err(without_code(call, http_status, headers));
    };
    let Ok(answer) = Answer::deserialize(&value) else {
        return Err(without_code(call, http_status, headers));
    };
    if answer.code == 0 {
        return Ok(value);
    }
    Err(refused(call, http_status, headers, &answer))
}

/// Returns who wants to be left alone, if that is why a call was not done.
pub(super) fn quiet(http_status: u16, body: &[u8]) -> Option<Quiet> {
    let code = serde_json::from_slice::<Answer>(body).map(|answer| answer.code);
    match (code, http_status) {
        (Ok(99_991_400), _) => Some(Quiet::Call),
        (Ok(230_020), _) => Some(Quiet::Chat),
        (_, 429) => Some(Quiet::Call),
        _ => None,
    }
}

/// Tells whether a call failed for want of a scope: it alone, and not the app as a whole.
pub(crate) fn lacks_scope(failure: &Failure) -> bool {
    matches!(failure, Failure::Operator { remedy, .. } if remedy.starts_with(GRANT))
}

/// Returns what strangers say on one line of bearable length.
pub(crate) fn brief(words: &str) -> String {
    let mut brief = String::new();
    let plain = words
        .split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty());
    for word in plain {
        if !brief.is_empty() {
            brief.push(' ');
        }
        brief.push_str(word);
        if brief.chars().count() > MAX_WORDS {
            return brief.chars().take(MAX_WORDS).chain(['…']).collect();
        }
    }
    brief
}

fn without_code(call: &str, http_status: u16, headers: &HeaderMap) -> Failure {
    let reason = format!(
        "{call}: HTTP status {http_status} without a code{}",
        log_id(headers, &Value::Null)
    );
    match http_status {
        429 => Failure::Again {
            after: wait(headers, LIMITED),
            reason,
        },
        _ => Failure::Unclear { reason },
    }
}

fn refused(call: &str, http_status: u16, headers: &HeaderMap, answer: &Answer) -> Failure {
    let code = answer.code;
    let Meaning { words, class } = meaning(code).unwrap_or(Meaning {
        words: "",
        class: match http_status {
            429 => Class::Again(LIMITED),
            500.. => Class::Unclear,
            // Most codes that nobody has told us of are of cards.
            _ => Class::Never(Cure::SimplerForm),
        },
    });
    let reason = reason(call, words, headers, answer);
    match class {
        Class::Again(least) => Failure::Again {
            after: wait(headers, least),
            reason,
        },
        Class::TokenInvalid => Failure::TokenInvalid { reason },
        Class::Never(cure) => Failure::Never { cure, reason },
        Class::Operator(remedy) => Failure::Operator {
            remedy: remedy.to_owned(),
            reason,
        },
        Class::ScopeMissing => Failure::Operator {
            remedy: grant(answer),
            reason,
        },
        Class::Unclear => Failure::Unclear { reason },
    }
}

fn reason(call: &str, words: &str, headers: &HeaderMap, answer: &Answer) -> String {
    let code = answer.code;
    let mut reason = format!("{call}: code {code}");
    let theirs = brief(answer.msg.as_str().unwrap_or_default());
    // What they say of a missing permission is long, and said by the remedy.
    let theirs = match meaning(code).map(|meaning| meaning.class) {
        Some(Class::ScopeMissing) => "",
        _ => theirs.as_str(),
    };
    for part in [words, theirs] {
        if !part.is_empty() {
            reason.push_str(": ");
            reason.push_str(part);
        }
    }
    for violation in objects(&answer.error, "field_violations") {
        let said = |name| brief(violation.get(name).and_then(Value::as_str).unwrap_or("?"));
        reason.push_str(&format!("; {}: {}", said("field"), said("description")));
    }
    reason.push_str(&log_id(headers, &answer.error));
    reason
}

/// Returns the sentence that names the missing scopes and where to ask for them.
fn grant(answer: &Answer) -> String {
    let message = answer.msg.as_str().unwrap_or_default();
    let mut scopes: Vec<_> = objects(&answer.error, "permission_violations")
        .filter_map(|violation| violation.get("subject")?.as_str())
        .collect();
    if scopes.is_empty() {
        scopes = scopes_in(message);
    }
    let mut remedy = GRANT.to_owned();
    match scopes.as_slice() {
        [] => remedy.push_str("the permission that is missing"),
        [scope] => remedy.push_str(&brief(scope)),
        scopes => {
            remedy.push_str("one of ");
            let shown: Vec<_> = scopes
                .iter()
                .take(MAX_SCOPES)
                .map(|scope| brief(scope))
                .collect();
            remedy.push_str(&shown.join(", "));
        }
    }
    match url_in(message) {
        Some(url) => remedy.push_str(&format!(" at {url}")),
        None => remedy.push_str(" under Permissions & Scopes in the developer console"),
    }
    remedy.push_str(" and publish a version");
    remedy
}

/// Returns the scopes in `… is required: [a:b, c:d] …`.
fn scopes_in(message: &str) -> Vec<&str> {
    let Some((_, rest)) = message.split_once('[') else {
        return Vec::new();
    };
    let Some((list, _)) = rest.split_once(']') else {
        return Vec::new();
    };
    list.split(',')
        .map(str::trim)
        .filter(|scope| scope.contains(':') && !scope.contains(char::is_whitespace))
        .collect()
}

fn url_in(message: &str) -> Option<&str> {
    let start = message
        .find("https://")
        .or_else(|| message.find("http://"))?;
    let url = &message[start..];
    let end = url
        .find(|c: char| {
            !c.is_ascii() || c.is_ascii_whitespace() || c.is_control() || "\"'<>)]".contains(c)
        })
        .unwrap_or(url.len());
    let url = url[..end].trim_end_matches(['.', ',', ';']);
    (url.len() <= 1000).then_some(url)
}

/// How long to wait: what Feishu says, or else `least`.
fn wait(headers: &HeaderMap, least: Duration) -> Duration {
    ["x-ogw-ratelimit-reset", "retry-after"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok()?.trim().parse().ok())
        .map_or(least, |seconds| {
            Duration::from_secs(seconds).clamp(least, LONGEST_WAIT)
        })
}

/// What Feishu's support asks for.
fn log_id(headers: &HeaderMap, error: &Value) -> String {
    let in_header = headers
        .get("x-tt-logid")
        .and_then(|value| value.to_str().ok());
    match in_header.or_else(|| error.get("log_id")?.as_str()) {
        Some(log_id) => format!(" [log_id {}]", brief(log_id)),
        None => String::new(),
    }
}

fn objects<'a>(error: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    error
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(MAX_SCOPES)
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};
    use serde_json::json;
    use tieline_channel::SendError;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn failure(http_status: u16, pairs: &[(&'static str, &'static str)], body: Value) -> Failure {
        let body = body.to_string();
        judge("reply", http_status, &headers(pairs), body.as_bytes()).unwrap_err()
    }

    fn class(failure: &Failure) -> String {
        match failure {
            Failure::Again { after, .. } => format!("again after {} s", after.as_secs()),
            Failure::TokenInvalid { .. } => "token".to_owned(),
            Failure::Never { cure, .. } => format!("never, {cure:?}"),
            Failure::Operator { .. } => "operator".to_owned(),
            Failure::Unclear { .. } => "unclear".to_owned(),
        }
    }

    #[test]
    fn every_code_has_its_class_whatever_the_http_status() {
        let table = [
            (99_991_400, "again after 2 s"),
            (99_991_403, "operator"),
            (99_991_401, "operator"),
            (99_991_661, "token"),
            (99_991_663, "token"),
            (99_991_664, "token"),
            (99_991_665, "token"),
            (99_991_668, "token"),
            (99_991_671, "token"),
            (99_991_677, "token"),
            (99_991_662, "operator"),
            (99_991_673, "operator"),
            (99_991_672, "operator"),
            (99_992_402, "never, Nothing"),
            (99_992_351, "never, Nothing"),
            (99_992_361, "never, Nothing"),
            (9499, "never, Nothing"),
            (1663, "unclear"),
            (10_003, "operator"),
            (10_012, "operator"),
            (10_014, "operator"),
            (10_015, "operator"),
            (230_001, "never, SimplerForm"),
            (230_002, "never, Nothing"),
            (230_006, "operator"),
            (230_009, "never, Nothing"),
            (230_011, "never, NewMessage"),
            (230_110, "never, NewMessage"),
            (231_003, "never, NewMessage"),
            (230_013, "never, Nothing"),
            (230_017, "never, Nothing"),
            (230_018, "never, Nothing"),
            (230_019, "never, PlainReply"),
            (230_020, "again after 1 s"),
            (230_022, "never, NeutralNotice"),
            (230_025, "never, Split"),
            (230_026, "never, Nothing"),
            (230_027, "never, Nothing"),
            (230_028, "never, NeutralNotice"),
            (230_031, "never, NewMessage"),
            (230_034, "never, Nothing"),
            (232_006, "never, Nothing"),
            (230_035, "never, Nothing"),
            (230_049, "again after 1 s"),
            (230_053, "never, Nothing"),
            (230_054, "never, SimplerForm"),
            (230_055, "never, Nothing"),
            (230_071, "never, PlainReply"),
            (230_072, "never, PlainReply"),
            (230_075, "never, Nothing"),
            (230_099, "never, SimplerForm"),
            (232_009, "never, Nothing"),
            (231_001, "never, Nothing"),
            (231_015, "again after 1 s"),
            (234_037, "never, Nothing"),
            (234_043, "never, Nothing"),
            (200_860, "never, Split"),
            (300_121, "unclear"),
        ];
        for (code, expected) in table {
            for http_status in [200, 400, 429, 500] {
                let failure = failure(http_status, &[], json!({"code": code, "msg": "m"}));
                assert_eq!(class(&failure), expected, "{code} {http_status}");
            }
        }
    }

    #[test]
    fn a_code_that_nobody_knows_is_judged_by_the_http_status() {
        let table = [
            (200, "never, SimplerForm"),
            (400, "never, SimplerForm"),
            (403, "never, SimplerForm"),
            (429, "again after 2 s"),
            (500, "unclear"),
            (503, "unclear"),
        ];
        for (http_status, expected) in table {
            let failure = failure(http_status, &[], json!({"code": 5, "msg": "m"}));
            assert_eq!(class(&failure), expected, "{http_status}");
        }
    }

    #[test]
    fn an_answer_without_a_code_leaves_it_unclear_but_for_429() {
        let bodies: [&[u8]; 6] = [b"", b"<html>", b"[]", b"{}", b"{\"code\":\"0\"}", b"\xff"];
        for body in bodies {
            for (http_status, expected) in [
                (200, "unclear"),
                (404, "unclear"),
                (429, "again after 2 s"),
                (502, "unclear"),
            ] {
                let failure = judge("reply", http_status, &headers(&[]), body).unwrap_err();
                assert_eq!(class(&failure), expected, "{http_status} {body:?}");
            }
        }
    }

    #[test]
    fn code_zero_is_success_and_the_body_comes_back() {
        let body = json!({"code": 0, "msg": "success", "data": {"message_id": "om_1"}});
        for http_status in [200, 400, 500] {
            let read = judge(
                "reply",
                http_status,
                &headers(&[]),
                body.to_string().as_bytes(),
            );
            assert_eq!(read, Ok(body.clone()));
        }
    }

    #[test]
    fn the_wait_that_feishu_asks_for_is_kept_within_bounds() {
        let table = [
            (vec![], 2),
            (vec![("x-ogw-ratelimit-reset", "17")], 17),
            (vec![("x-ogw-ratelimit-reset", " 17 ")], 17),
            (vec![("x-ogw-ratelimit-reset", "0")], 2),
            (vec![("x-ogw-ratelimit-reset", "soon")], 2),
            (vec![("x-ogw-ratelimit-reset", "99999999999")], 300),
            (vec![("retry-after", "9")], 9),
            (
                vec![("retry-after", "9"), ("x-ogw-ratelimit-reset", "17")],
                17,
            ),
        ];
        for (pairs, expected) in table {
            for http_status in [400, 429] {
                let failure = failure(http_status, &pairs, json!({"code": 99_991_400, "msg": ""}));
                assert_eq!(
                    class(&failure),
                    format!("again after {expected} s"),
                    "{pairs:?}"
                );
            }
        }
    }

    #[test]
    fn a_missing_scope_is_named_with_where_to_ask_for_it() {
        let message = "Access denied. One of the following scopes is required: \
            [im:message, im:message:send_as_bot].应用尚未开通所需的应用身份权限：[im:message, \
            im:message:send_as_bot]，点击链接申请并开通任一权限即可：\
            https://open.feishu.cn/app/cli_1/auth?q=im:message,im:message:send_as_bot&op_from=openapi&token_type=tenant";
        let said = failure(
            400,
            &[("x-tt-logid", "L1")],
            json!({"code": 99_991_672, "msg": message}),
        );
        insta::assert_snapshot!(said, @"grant the app one of im:message, im:message:send_as_bot at https://open.feishu.cn/app/cli_1/auth?q=im:message,im:message:send_as_bot&op_from=openapi&token_type=tenant and publish a version (reply: code 99991672: a permission is missing [log_id L1])");
        let violations = json!([{"type": "action_scope_required", "subject": "im:resource"}]);
        let said = failure(
            400,
            &[],
            json!({"code": 99_991_672, "msg": "no", "error": {"permission_violations": violations}}),
        );
        insta::assert_snapshot!(said, @"grant the app im:resource under Permissions & Scopes in the developer console and publish a version (reply: code 99991672: a permission is missing)");
        let said = failure(400, &[], json!({"code": 99_991_672, "msg": 7, "error": 7}));
        assert!(lacks_scope(&said));
        let of_the_app = failure(400, &[], json!({"code": 99_991_403, "msg": "quota"}));
        assert!(!lacks_scope(&of_the_app));
        insta::assert_snapshot!(said, @"grant the app the permission that is missing under Permissions & Scopes in the developer console and publish a version (reply: code 99991672: a permission is missing)");
    }

    #[test]
    fn a_reason_names_the_call_the_code_the_words_and_the_log_id() {
        let violations = json!([{"field": "uuid", "value": "…", "description": "too\nlong"}]);
        let said = failure(
            400,
            &[],
            json!({"code": 99_992_402, "msg": "field validation failed",
                "error": {"log_id": "L2", "field_violations": violations}}),
        );
        insta::assert_snapshot!(said, @"reply: code 99992402: field validation failed; uuid: too long [log_id L2]");
        let said = failure(
            400,
            &[],
            json!({"code": 230_099, "msg": "Failed to create card content, ext=ErrCode: 11310;"}),
        );
        insta::assert_snapshot!(said, @"reply: code 230099: the card is refused: Failed to create card content, ext=ErrCode: 11310;");
    }

    #[test]
    fn a_failure_says_to_the_outbox_what_it_is() {
        let reason = || "why".to_owned();
        let table = [
            (
                Failure::Again {
                    after: Duration::from_secs(3),
                    reason: reason(),
                },
                SendError::Again {
                    after: Some(Duration::from_secs(3)),
                    reason: reason(),
                },
            ),
            (
                Failure::TokenInvalid { reason: reason() },
                SendError::Again {
                    after: None,
                    reason: reason(),
                },
            ),
            (
                Failure::Never {
                    cure: Cure::Split,
                    reason: reason(),
                },
                SendError::Never { reason: reason() },
            ),
            (
                Failure::Operator {
                    remedy: "do".to_owned(),
                    reason: reason(),
                },
                SendError::Operator {
                    remedy: "do".to_owned(),
                    reason: reason(),
                },
            ),
            (
                Failure::Unclear { reason: reason() },
                SendError::Unclear { reason: reason() },
            ),
        ];
        for (failure, expected) in table {
            assert_eq!(SendError::from(failure), expected);
        }
    }

    #[test]
    fn strange_words_become_one_short_line() {
        assert_eq!(brief(" a\r\n\tb\u{1b}[31m  c "), "a b [31m c");
        assert_eq!(brief(&"x".repeat(500)).chars().count(), MAX_WORDS + 1);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(
            http_status in 100..600u16,
            code in any::<i64>(),
            message in ".*",
            subject in ".*",
        ) {
            let error = json!({"permission_violations": [{"subject": subject}, 7]});
            for code in [code, 99_991_672, 230_099] {
                let body = json!({"code": code, "msg": message, "error": error}).to_string();
                let judged = judge("call", http_status, &HeaderMap::new(), body.as_bytes());
                prop_assert_eq!(judged.is_ok(), code == 0);
            }
        }
    }
}
