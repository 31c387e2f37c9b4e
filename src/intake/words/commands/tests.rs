//! What commands are answered with, in both languages.

use std::time::Duration;

use tieline_channel::language::assert_speaks_both;
use tieline_channel::{ChannelId, ChatId, Conversation};

use super::*;
use crate::codex::FailureKind;
use crate::config::Sandbox;
use crate::id::{LaneId, MessageId, ThreadId};
use crate::intake::command::Command;
use crate::intake::fixture;
use crate::intake::standing::Running;
use crate::ledger::{KeptThread, Origin, Reach, Withdrawn};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn ago(seconds: u64) -> SystemTime {
    now() - Duration::from_secs(seconds)
}

fn standing(state: Lifecycle) -> Standing {
    Standing {
        state,
        since: ago(7_200),
        version: Some("0.169.0".to_owned()),
        turn: None,
        waiting_here: 0,
        waiting: 0,
        orders: 0,
        thread: Some(2),
        model: Model::default(),
        sandbox: Sandbox::ReadOnly,
        login: None,
    }
}

fn told(found: &Standing) -> String {
    assert_speaks_both(|language| status(found, now(), language));
    status(found, now(), Language::English)
}

#[test]
fn every_text_is_there_in_both_languages_and_mixes_none() {
    let roles = [Role::Viewer, Role::User, Role::Approver, Role::Admin];
    let fixed = roles
        .map(role_needed)
        .into_iter()
        .chain([HELP, AFTER_THE_TURN]);
    for text in fixed {
        assert_speaks_both(|language| text.within(language).to_owned());
    }
    assert_speaks_both(|language| unknown("typo", language));
    for text in ["/new things", "/resume", "/model ???"] {
        let mut message = fixture::message("U1");
        message.body = vec![tieline_channel::Segment::Text(text.to_owned())];
        let Some(Command::Misused(misuse)) = Command::of(&message) else {
            panic!("{text}");
        };
        assert_speaks_both(|language| misused(misuse, language));
    }
    for refusal in [
        OrderRefusal::TooMany,
        OrderRefusal::Teammate,
        OrderRefusal::Session,
    ] {
        assert_speaks_both(|language| not_ordered(refusal, language));
    }
    for (name, is_chosen) in [(Some("o9"), true), (Some("o9"), false), (None, false)] {
        let found = Model {
            name: name.map(str::to_owned),
            is_chosen,
        };
        assert_speaks_both(|language| model(&found, language));
    }
}

#[test]
fn every_state_is_told() {
    use Lifecycle::{Declared, Degraded, Ready, Starting, Stopped, Stopping};
    let all = [Declared, Starting, Ready, Degraded, Stopping, Stopped];
    let first = |state| {
        let told = told(&standing(state));
        told.lines().next().unwrap().to_owned()
    };
    insta::assert_snapshot!(all.map(first).join("\n"), @r"
    - 🔄 Codex is starting, for 2 h; messages are kept and run as soon as it is there
    - 🔄 Codex is starting, for 2 h; messages are kept and run as soon as it is there
    - 🟢 ready for 2 h, with Codex 0.169.0
    - 🔄 Codex is away for 2 h and is being restarted; messages are kept and run as soon as it is back. If that takes long, `tieline status` on the machine says why
    - ⏹️ I am being stopped; messages are kept and run after the next start
    - ⏹️ I am being stopped; messages are kept and run after the next start
    ");
}

#[test]
fn what_runs_and_waits_is_told_with_what_is_wrong() {
    let running = |is_here, is_stopped| {
        Some(Running {
            since: ago(180),
            is_here,
            is_stopped,
        })
    };
    let busy = Standing {
        turn: running(true, false),
        waiting_here: 1,
        waiting: 3,
        orders: 2,
        model: Model {
            name: Some("o9".to_owned()),
            is_chosen: true,
        },
        login: Some(FailureKind::ProviderAuthFailed),
        ..standing(Lifecycle::Ready)
    };
    insta::assert_snapshot!(told(&busy), @r"
    - 🟢 ready for 2 h, with Codex 0.169.0
    - ⚠️ Codex could not sign in to its model: run `codex login` on the machine, or mend the key that it is configured with
    - ⏳ a turn runs here for 3 min; `where` says for what
    - 🕓 3 messages wait, 1 of them from here among the first
    - 🕓 changes of the thread that wait for their turn: 2
    - 🧵 thread 2; `threads` lists all
    - 🧠 model `o9`, sandbox `read-only`
    ");
    let other = Standing {
        turn: running(false, false),
        waiting_here: 1,
        waiting: 1,
        thread: None,
        login: Some(FailureKind::SecretUnavailable),
        ..standing(Lifecycle::Ready)
    };
    insta::assert_snapshot!(told(&other), @r"
    - 🟢 ready for 2 h, with Codex 0.169.0
    - ⚠️ Codex has no credential for its model: set the key that it is configured with on the machine
    - ⏳ a turn for another conversation runs for 3 min
    - 🕓 1 message waits here
    - 🧵 your next message begins a thread
    - 🧠 the default model of Codex, sandbox `read-only`
    ");
    let stopping = Standing {
        turn: running(true, true),
        ..standing(Lifecycle::Ready)
    };
    assert!(told(&stopping).contains("what runs here for 3 min is being stopped"));
}

#[test]
fn a_stop_says_what_it_has_found() {
    let withdrawn = |name: &str| Withdrawn {
        id: MessageId::new(),
        channel: ChannelId::new("team"),
        conversation: Conversation {
            chat: ChatId::new("C1"),
            thread: None,
        },
        message: tieline_channel::WireId::new(name),
    };
    let table = [
        (StoppedTurn::None, 0, 0, "Nothing runs here."),
        (StoppedTurn::Ended, 0, 0, "⏹️ It is being stopped already."),
        (
            StoppedTurn::OfOthers,
            0,
            1,
            "What runs is for another chat; only an administrator can stop that. Messages that waited \
             and will not be worked on: 1.",
        ),
        (
            StoppedTurn::Ends,
            2,
            0,
            "⏹️ Stopping it. 2 messages wait and will be worked on next; `stop all` withdraws what waits.",
        ),
    ];
    for (turn, waiting, n_withdrawn, expected) in table {
        let found = Stopped {
            turn,
            waiting,
            withdrawn: (0..n_withdrawn)
                .map(|it| withdrawn(&it.to_string()))
                .collect(),
        };
        assert_eq!(stopped(&found, Language::English), expected);
        assert_speaks_both(|language| stopped(&found, language));
    }
}

#[test]
fn threads_are_quoted_to_those_who_could_read_them() {
    let origin = |chat: &str| Origin {
        channel: ChannelId::new("team"),
        conversation: Conversation {
            chat: ChatId::new(chat),
            thread: None,
        },
    };
    let kept = |number: u32, chat: Option<&str>, beginning: &str| KeptThread {
        thread: ThreadId::new(format!("t{number}")),
        number,
        copy_of: (number == 3).then_some(1),
        beginning: beginning.to_owned(),
        from: chat.map(origin),
        reach: Reach::default(),
        begun_at: ago(90_000),
        used_at: ago(3_600 * u64::from(4 - number)),
    };
    let found = Threads {
        kept: vec![
            kept(3, Some("C1"), "1 + 1"),
            kept(2, Some("C2"), "2 + 2"),
            kept(1, None, ""),
        ],
        present: Some(3),
    };
    let viewer = |chat: &str, is_admin| Viewer {
        channel: ChannelId::new("team"),
        chat: ChatId::new(chat),
        lane: LaneId::new("flow"),
        is_admin,
    };
    let told = |viewer: &Viewer| {
        assert_speaks_both(|language| threads(&found, viewer, now(), language));
        threads(&found, viewer, now(), Language::English)
    };
    insta::assert_snapshot!(told(&viewer("C1", false)), @r"
    - ▶️ `3`, the present one, used 1 h ago, a copy of `1`: “1 + 1”
    - `2`, used 2 h ago, begun in another chat
    - `1`, used 3 h ago

    `resume 2` goes back, `new` begins another.
    ");
    let all = told(&viewer("C3", true));
    assert!(all.contains("1 + 1") && all.contains("2 + 2"), "{all}");
    let none = told(&viewer("C3", false));
    assert!(!none.contains('+'), "{none}");
    assert_speaks_both(|language| {
        threads(&Threads::default(), &viewer("C1", false), now(), language)
    });
}
