use pretty_assertions::assert_eq;

use super::*;

fn refused(error: &str) -> CallError {
    CallError::Refused {
        method: "chat.postMessage",
        error: error.to_owned(),
        needed: None,
        provided: None,
        messages: Vec::new(),
    }
}

fn lost() -> CallError {
    CallError::Lost {
        reason: "cut".to_owned(),
    }
}

#[test]
fn a_lost_answer_is_unclear_only_where_repeating_would_show_twice() {
    for (method, is_unclear) in [
        (Method::ChatPostMessage, true),
        (Method::FilesCompleteUploadExternal, true),
        (Method::FilesGetUploadUrlExternal, false),
        (Method::ChatUpdate, false),
        (Method::ChatDelete, false),
        (Method::ReactionsAdd, false),
        (Method::ConversationsReplies, false),
    ] {
        let unclear = matches!(lost().into_send_error(method), SendError::Unclear { .. });
        assert_eq!(unclear, is_unclear, "{method:?}");
    }
}

#[test]
fn what_was_not_sent_is_tried_again_and_a_limit_says_when() {
    let not_sent = CallError::NotSent {
        reason: "no route".to_owned(),
    };
    assert_eq!(
        not_sent.into_send_error(Method::ChatPostMessage),
        SendError::Again {
            after: None,
            reason: "no route".to_owned()
        }
    );
    let limited = CallError::Limited {
        after: Duration::from_secs(7),
    };
    assert_eq!(
        limited.into_send_error(Method::ChatPostMessage),
        SendError::Again {
            after: Some(Duration::from_secs(7)),
            reason: "chat.postMessage: rate limited for 7 s".to_owned()
        }
    );
}

#[test]
fn refusals_are_told_apart_by_who_can_act() {
    for (error, is_for_the_operator) in [
        ("not_authed", true),
        ("invalid_auth", true),
        ("account_inactive", true),
        ("token_revoked", true),
        ("token_expired", true),
        ("missing_scope", true),
        ("not_allowed_token_type", true),
        ("ekm_access_denied", true),
        ("accesslimited", true),
        ("team_access_not_granted", true),
        ("not_in_channel", true),
        ("channel_not_found", false),
        ("is_archived", false),
        ("msg_too_long", false),
        ("no_text", false),
        ("restricted_action", false),
        ("restricted_action_thread_only_channel", false),
        ("message_not_found", false),
        ("invalid_arguments", false),
        ("something_new", false),
    ] {
        match refused(error).into_send_error(Method::ChatPostMessage) {
            SendError::Operator { remedy, reason } => {
                assert!(is_for_the_operator, "{error}: {remedy}");
                assert_eq!(reason, format!("chat.postMessage: {error}"));
            }
            SendError::Never { reason } => {
                assert!(!is_for_the_operator, "{error}");
                assert_eq!(reason, format!("chat.postMessage: {error}"));
            }
            other => panic!("{error}: {other:?}"),
        }
    }
}

#[test]
fn a_missing_scope_is_named_with_where_to_add_it() {
    let error = CallError::Refused {
        method: "reactions.add",
        error: "missing_scope".to_owned(),
        needed: Some("reactions:write".to_owned()),
        provided: Some("chat:write".to_owned()),
        messages: Vec::new(),
    };
    assert_eq!(
        error.into_send_error(Method::ReactionsAdd),
        SendError::Operator {
            remedy: "add the scope reactions:write to the Slack app under OAuth & Permissions and \
                     reinstall it"
                .to_owned(),
            reason: "reactions.add: missing_scope".to_owned()
        }
    );
}

#[test]
fn what_slack_explains_is_passed_on() {
    let error = CallError::Refused {
        method: "chat.postMessage",
        error: "invalid_blocks".to_owned(),
        needed: None,
        provided: None,
        messages: vec!["[ERROR] must be more than 0 characters".to_owned()],
    };
    assert_eq!(
        error.into_send_error(Method::ChatPostMessage).to_string(),
        "cannot be sent: chat.postMessage: invalid_blocks ([ERROR] must be more than 0 characters)"
    );
}
