use pretty_assertions::assert_eq;
use serde_json::json;
use tieline_channel::ChatId;
use tieline_net::scripted::{Call as Asked, Reply};
use tokio::join;

use super::*;
use crate::Settings;
use crate::scripted::{APP_ID, Feishu, ok, refused};

const WORK: Status = Status::Working { progress: None };

fn at() -> Conversation {
    Conversation {
        chat: ChatId::new("oc_1"),
        thread: None,
    }
}

/// Returns what was asked of a message's reactions.
fn said(asked: &Asked) -> String {
    let path = asked.path.trim_start_matches("/open-apis/im/v1/messages/");
    let (message, id) = path.split_once("/reactions").unwrap();
    match asked.method.as_str() {
        "POST" => {
            let body = asked.json();
            format!(
                "{message} +{}",
                body["reaction_type"]["emoji_type"].as_str().unwrap()
            )
        }
        "DELETE" => format!("{message} -{}", id.trim_start_matches('/')),
        _ => format!("{message} ?{}", asked.query["reaction_type"]),
    }
}

fn all_said(feishu: &Feishu) -> Vec<String> {
    feishu.calls().iter().map(said).collect()
}

/// Names each reaction for what it is, and lists one of ours and others.
fn takes_reactions(asked: &Asked) -> Reply {
    match asked.method.as_str() {
        "POST" => ok(&json!({"reaction_id": said(asked).replace([' ', '+'], "")})),
        "DELETE" => ok(&json!({})),
        _ => {
            let item = |id: &str, kind: &str, operator: &str| {
                json!({"reaction_id": id,
                    "operator": {"operator_type": kind, "operator_id": operator}})
            };
            ok(&json!({"has_more": false, "items": [
                item("theirs", "user", "ou_1"),
                item("ours", "app", APP_ID),
                item("others", "app", "cli_other"),
                {"strange": true},
            ]}))
        }
    }
}

async fn show(keeper: &StatusKeeper, account: &Account, message: &str, status: &Status) {
    let message = WireId::new(message);
    let shown = keeper.show(account, &at(), &message, status).await;
    assert_eq!(shown, Ok(()));
}

/// Shows these statuses, each once the calls for those before were made, and returns all calls.
async fn show_all(feishu: &Feishu, statuses: &[(&str, Status, usize)]) -> Vec<String> {
    let account = feishu.account();
    let keeper = StatusKeeper::new();
    let stop = CancellationToken::new();
    let story = async {
        for (message, status, n_calls) in statuses {
            show(&keeper, &account, message, status).await;
            // And one for the token.
            feishu.0.called(1 + n_calls).await;
        }
        stop.cancel();
    };
    join!(keeper.run(&account, stop.clone()), story);
    all_said(feishu)
}

#[tokio::test]
async fn a_message_has_one_reaction_at_a_time() {
    let feishu = Feishu::start(takes_reactions).await;
    let said = show_all(
        &feishu,
        &[
            ("om_1", Status::Received, 1),
            ("om_1", WORK, 3),
            ("om_1", Status::Done, 5),
        ],
    )
    .await;
    assert_eq!(
        said,
        [
            "om_1 +Get",
            "om_1 +Typing",
            "om_1 -om_1Get",
            "om_1 +DONE",
            "om_1 -om_1Typing"
        ]
    );
}

#[tokio::test]
async fn only_our_own_reactions_are_found_and_taken_away() {
    let feishu = Feishu::start(takes_reactions).await;
    let said = show_all(&feishu, &[("om_1", WORK, 3)]).await;
    assert_eq!(said, ["om_1 +Typing", "om_1 ?Get", "om_1 -ours"]);
}

#[tokio::test]
async fn what_is_left_at_the_end_is_shown_if_that_is_quick() {
    let feishu = Feishu::start(takes_reactions).await;
    let account = feishu.account();
    let keeper = StatusKeeper::new();
    show(&keeper, &account, "om_1", &Status::Received).await;
    let stop = CancellationToken::new();
    stop.cancel();
    keeper.run(&account, stop).await;
    assert_eq!(all_said(&feishu), ["om_1 +Get"]);
}

#[tokio::test]
async fn a_missing_scope_switches_reactions_off() {
    let feishu = Feishu::start(|_| refused(99_991_672)).await;
    let account = feishu.account();
    let keeper = StatusKeeper::new();
    let stop = CancellationToken::new();
    let story = async {
        show(&keeper, &account, "om_1", &Status::Received).await;
        feishu.0.called(2).await;
        stop.cancel();
    };
    join!(keeper.run(&account, stop.clone()), story);
    show(&keeper, &account, "om_2", &Status::Received).await;
    let next = keeper.reactions().next(Instant::now());
    assert!(matches!(next, Next::Wait(_)), "{next:?}");
    assert_eq!(all_said(&feishu), ["om_1 +Get"]);
}

#[tokio::test]
async fn reactions_that_cannot_be_listed_do_not_switch_off_the_others() {
    let feishu = Feishu::start(|asked| match asked.method.as_str() {
        "GET" => refused(99_991_672),
        _ => takes_reactions(asked),
    })
    .await;
    let said = show_all(&feishu, &[("om_1", WORK, 2), ("om_1", Status::Done, 4)]).await;
    let expected = [
        "om_1 +Typing",
        "om_1 ?Get",
        "om_1 +DONE",
        "om_1 -om_1Typing",
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn nothing_is_shown_on_what_is_no_message_or_when_reactions_are_off() {
    let feishu = Feishu::start(takes_reactions).await;
    let account = feishu.account();
    let off = Account::new(
        Settings {
            reactions: false,
            ..account.settings.clone()
        },
        account.net.clone(),
    );
    let keeper = StatusKeeper::new();
    show(&keeper, &account, "press-1", &Status::Received).await;
    show(&keeper, &off, "om_1", &Status::Received).await;
    assert_eq!(keeper.reactions().next(Instant::now()), Next::Idle);
}
