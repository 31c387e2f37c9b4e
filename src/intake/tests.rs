//! From an event to the record, with all that is between.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use tieline_channel::{
    AcceptError, ChannelId, ChatId, ChatKind, Event, EventKey, EventKind, Happening, Intake,
    Language, Message, PostKind, Press, Receipt, RefusalReason, Segment, Sender, SenderKind,
    ThreadKey, UserId, WireId,
};
use tokio_util::sync::CancellationToken;

use super::fixture::message;
use super::{ChannelIntake, Door};
use crate::codex::protocol::ThreadSettings;
use crate::codex::{LaunchConfig, Spawner};
use crate::config::{Config, Languages};
use crate::dispatcher::{Dispatcher, Handle, Settings};
use crate::id::{DispatcherId, LaneId, TurnKey};
use crate::ledger::{
    Asker, CompletionStatus, Ledger, LedgerSettings, LedgerThread, MessageState, Origin, Outcome,
    TaskReport, flaky,
};
use crate::teammates::{SpawnRequest, Wish, WorkspaceRequest};
use crate::tools;

const ACCESS: &str = "direct = \"pairing\"\ngroups = \"everyone\"\n\
                      admins = [\"team:U-admin\"]\nusers = [\"team:U-listed\"]\n\
                      bots = [\"team:B1\"]\n";

/// A gate with a ledger behind it.
struct Gatehouse {
    _dir: TempDir,
    ledger: Ledger,
    _thread: LedgerThread,
    intake: ChannelIntake,
    dispatcher: Handle,
}

impl Gatehouse {
    fn new() -> Self {
        Self::with(ACCESS)
    }

    fn with(access: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let (ledger, thread) =
            Ledger::open(&dir.path().join("ledger"), LedgerSettings::standard()).unwrap();
        Self::on(dir, ledger, thread, access)
    }

    fn with_sessions(access: &str, sessions: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let (ledger, thread) =
            Ledger::open(&dir.path().join("ledger"), LedgerSettings::standard()).unwrap();
        Self::made(dir, ledger, thread, access, sessions)
    }

    fn on(dir: TempDir, ledger: Ledger, thread: LedgerThread, access: &str) -> Self {
        Self::made(dir, ledger, thread, access, "thread")
    }

    fn made(
        dir: TempDir,
        ledger: Ledger,
        thread: LedgerThread,
        access: &str,
        sessions: &str,
    ) -> Self {
        let text = format!(
            "[channels.team]\nkind = \"console\"\n\n[dispatchers.flow]\nworkspace = \"/\"\n\
             channels = [\"team\"]\nsessions = {sessions:?}\n\n[dispatchers.flow.access]\n{access}"
        );
        let path = dir.path().join("tieline.toml");
        let loaded = Config::parse(&text, &path, Some(Path::new("/home/mei"))).unwrap();
        let config = loaded.config;
        let id = DispatcherId::new("flow");
        let settings = Settings {
            id: id.clone(),
            config: config.dispatchers[&id].clone(),
            launch: LaunchConfig::new("flow", "/", "/", dir.path(), dir.path()),
            attachments: dir.path().join("attachments"),
            spills: dir.path().join("completions"),
            outgoing: dir.path().join("outgoing"),
            worktrees: dir.path().join("worktrees"),
            events: crate::events::Events::none(),
            restart_notice: None,
            thread: ThreadSettings::default(),
        };
        let access = settings.config.access.clone();
        let launcher = Arc::new(Spawner::new().unwrap());
        let (_, dispatcher) =
            Dispatcher::new(settings, ledger.clone(), Default::default(), launcher);
        let intake = ChannelIntake {
            door: Door {
                channel: ChannelId::new("team"),
                operator_only: false,
            },
            access,
            ledger: ledger.clone(),
            dispatcher: dispatcher.clone(),
            languages: Languages::default(),
            stopping: CancellationToken::new(),
            events: crate::events::Events::none(),
        };
        Self {
            _dir: dir,
            ledger,
            _thread: thread,
            intake,
            dispatcher,
        }
    }

    async fn accept(&self, id: &str, message: Message) -> Receipt {
        let event = Event {
            key: key(EventKind::Message, id),
            happening: Happening::Message(message),
        };
        self.intake.accept(event).await.unwrap()
    }

    /// The posts that wait, with whom they answer.
    async fn posts(&self) -> Vec<(PostKind, String, Option<String>)> {
        let channel = ChannelId::new("team");
        let posts = self.ledger.undelivered(&channel, None, 1000).await.unwrap();
        posts
            .into_iter()
            .map(|entry| entry.post)
            .map(|post| {
                let answers = post.reply_to.map(|id| id.as_str().to_owned());
                (post.kind, post.text, answers)
            })
            .collect()
    }

    /// Has a teammate join, for the conversation that people write in here.
    async fn spawn(&self, name: &str, task: &str) {
        let conversation = message("U-listed").conversation;
        let channel = ChannelId::new("team");
        let asker = Asker {
            lane: self.dispatcher.lane_of(&channel, &conversation),
            origin: Some(Origin {
                channel,
                conversation,
            }),
        };
        let request = SpawnRequest {
            name: name.to_owned(),
            task: task.to_owned(),
            workspace: WorkspaceRequest::Shared,
            instructions: None,
            model: None,
            sandbox: None,
        };
        let teammates = self.dispatcher.teammates();
        let order = teammates.spawn(request, asker).await.unwrap();
        teammates.carry_out(order).await.unwrap();
    }

    async fn state(&self, id: &str) -> MessageState {
        let key = key(EventKind::Message, id);
        let channel = ChannelId::new("team");
        let record = self.ledger.find_message(&channel, &key).await.unwrap();
        record.unwrap().state
    }
}

fn key(kind: EventKind, id: &str) -> EventKey {
    EventKey {
        kind,
        id: id.to_owned(),
    }
}

fn says(user: &str, text: &str) -> Message {
    Message {
        body: vec![Segment::Text(text.to_owned())],
        ..message(user)
    }
}

fn in_thread(user: &str, addressed: bool) -> Message {
    let mut message = says(user, "and then?");
    message.chat_kind = ChatKind::Group;
    message.conversation.chat = ChatId::new("C1");
    message.conversation.thread = Some(ThreadKey::new("t1"));
    message.addressed = addressed;
    message
}

fn refused(reason: RefusalReason) -> Receipt {
    Receipt::Refused(reason)
}

/// The code that is told in a post.
fn code_in(text: &str) -> String {
    let (_, rest) = text.split_once("`pair ").unwrap();
    rest.split_once('`').unwrap().0.to_owned()
}

#[tokio::test]
async fn people_go_on_in_a_joined_thread_and_bots_must_always_mention() {
    let gate = Gatehouse::new();
    let not_mentioned = refused(RefusalReason::NotMentioned);
    assert_eq!(
        gate.accept("1", in_thread("U1", false)).await,
        not_mentioned
    );
    assert_eq!(
        gate.accept("2", in_thread("U1", true)).await,
        Receipt::Accepted
    );
    assert_eq!(
        gate.accept("3", in_thread("U2", false)).await,
        Receipt::Accepted
    );
    assert_eq!(
        gate.accept("3", in_thread("U2", false)).await,
        Receipt::Duplicate
    );
    let bot = |addressed| {
        let mut message = in_thread("B1", addressed);
        message.sender.kind = SenderKind::Bot;
        message
    };
    assert_eq!(gate.accept("4", bot(false)).await, not_mentioned);
    for number in 5..10 {
        let receipt = gate.accept(&number.to_string(), bot(true)).await;
        assert_eq!(receipt, Receipt::Accepted, "{number}");
    }
    let too_often = refused(RefusalReason::TooOften);
    assert_eq!(gate.accept("10", bot(true)).await, too_often);
    assert_eq!(
        gate.accept("11", in_thread("U2", false)).await,
        Receipt::Accepted
    );
    assert_eq!(gate.posts().await, [], "nobody is told");
    let state = gate.state("10").await;
    let reason = RefusalReason::TooOften;
    assert_eq!(state, MessageState::Refused { reason });
}

#[tokio::test]
async fn stranger_is_let_in_by_an_admin_in_the_chat() {
    let gate = Gatehouse::new();
    let not_paired = refused(RefusalReason::NotPaired);
    assert_eq!(gate.accept("1", says("U1", "hi")).await, not_paired);
    assert_eq!(gate.accept("1", says("U1", "hi")).await, Receipt::Duplicate);
    assert_eq!(gate.accept("2", says("U1", "hi?")).await, not_paired);
    let posts = gate.posts().await;
    let [(PostKind::Notice, invitation, Some(_))] = posts.as_slice() else {
        panic!("{posts:?}");
    };
    let code = code_in(invitation);

    // Not by somebody who is no admin, and not by themselves.
    let text = format!("/Pair {}", code.to_lowercase());
    assert_eq!(
        gate.accept("3", says("U-listed", &text)).await,
        refused(RefusalReason::Role)
    );
    assert_eq!(gate.accept("4", says("U1", &text)).await, not_paired);
    assert!(
        gate.posts().await[1]
            .1
            .starts_with("This is for administrators")
    );

    assert_eq!(
        gate.accept("5", says("U-admin", &text)).await,
        Receipt::Accepted
    );
    assert_eq!(
        gate.accept("5", says("U-admin", &text)).await,
        Receipt::Duplicate
    );
    assert_eq!(gate.state("5").await, MessageState::Answered);
    let posts = gate.posts().await;
    assert_eq!(posts.len(), 4, "{posts:?}");
    assert!(posts[2].1.starts_with("You are in."), "{posts:?}");
    assert!(posts[3].1.starts_with("U1 is in."), "{posts:?}");
    assert_eq!(
        gate.accept("6", says("U1", "again")).await,
        Receipt::Accepted
    );
    assert_eq!(gate.state("6").await, MessageState::Queued);

    assert_eq!(
        gate.accept("7", says("U-admin", &text)).await,
        Receipt::Accepted
    );
    let posts = gate.posts().await;
    assert!(
        posts[4].1.starts_with("Nobody was given this code"),
        "{posts:?}"
    );
    assert_eq!(posts.len(), 5);
    // None of the commands came to a lane.
    let lanes = gate.ledger.lanes(gate.dispatcher.id()).await.unwrap();
    assert_eq!(lanes.iter().map(|lane| lane.waiting).sum::<usize>(), 1);
}

#[tokio::test]
async fn operator_lets_in_from_the_console() {
    let mut gate = Gatehouse::new();
    gate.accept("1", says("U1", "hi")).await;
    let code = code_in(&gate.posts().await[0].1);
    gate.intake.door.operator_only = true;
    let text = format!("pair {code}");
    assert_eq!(
        gate.accept("2", says("anybody", &text)).await,
        Receipt::Accepted
    );
    gate.intake.door.operator_only = false;
    assert_eq!(gate.accept("3", says("U1", "hi")).await, Receipt::Accepted);
    assert_eq!(gate.state("3").await, MessageState::Queued);
}

#[tokio::test]
async fn help_is_answered_and_is_no_turn() {
    let gate = Gatehouse::new();
    assert_eq!(
        gate.accept("1", says("U-listed", "Help")).await,
        Receipt::Accepted
    );
    assert_eq!(gate.state("1").await, MessageState::Answered);
    let posts = gate.posts().await;
    assert!(posts[0].1.contains("`pair CODE`"), "{posts:?}");
    // A stranger learns nothing by it.
    let receipt = gate.accept("2", says("U1", "help")).await;
    assert_eq!(receipt, refused(RefusalReason::NotPaired));
}

fn in_chinese(channel: &str) -> Languages {
    [(ChannelId::new(channel), Language::Chinese)]
        .into_iter()
        .collect()
}

#[tokio::test]
async fn people_are_told_in_the_language_of_their_channel_and_may_answer_in_it() {
    let mut gate = Gatehouse::new();
    gate.intake.languages = in_chinese("team");
    gate.accept("1", says("U1", "你好")).await;
    let invitation = gate.posts().await[0].1.clone();
    let (greeting, rest) = invitation.split_once("`配对 ").unwrap();
    assert!(greeting.starts_with("我还不认识你。"), "{invitation}");
    let (code, _) = rest.split_once('`').unwrap();
    gate.accept("2", says("U-admin", &format!("配对{code}")))
        .await;
    gate.accept("3", says("U-admin", "帮助")).await;
    let posts = gate.posts().await;
    let begins: Vec<_> = posts[1..]
        .iter()
        .map(|(_, text, _)| text.chars().take(4).collect::<String>())
        .collect();
    assert_eq!(begins, ["配对成功", "已与 U", "像跟同事"]);
    let again = gate.accept("4", says("U1", "你好")).await;
    assert_eq!(again, Receipt::Accepted);
}

#[tokio::test]
async fn who_is_let_in_from_elsewhere_is_told_in_their_own_language() {
    let mut gate = Gatehouse::new();
    gate.accept("1", says("U1", "hi")).await;
    let code = code_in(&gate.posts().await[0].1);
    gate.intake.languages = in_chinese("team");
    let terminal = ChannelId::new("terminal");
    gate.intake.door.channel = terminal.clone();
    gate.intake.door.operator_only = true;
    gate.accept("2", says("anybody", &format!("pair {code}")))
        .await;
    let welcome = gate.posts().await[1].1.clone();
    assert!(welcome.starts_with("配对成功"), "{welcome}");
    let posts = gate.ledger.undelivered(&terminal, None, 10).await.unwrap();
    assert!(posts[0].post.text.starts_with("U1 is in."), "{posts:?}");
}

#[tokio::test]
async fn who_may_know_is_told_that_a_message_is_too_long() {
    let gate = Gatehouse::new();
    let long = "x".repeat(super::MAX_MESSAGE_CHARS + 1);
    let too_long = refused(RefusalReason::TooLong);
    assert_eq!(gate.accept("1", says("U-listed", &long)).await, too_long);
    let posts = gate.posts().await;
    assert_eq!(posts.len(), 1);
    assert!(
        posts[0].1.starts_with("That message is too long"),
        "{posts:?}"
    );
    let not_paired = refused(RefusalReason::NotPaired);
    assert_eq!(gate.accept("2", says("U1", &long)).await, not_paired);
    let mut aside = in_thread("U1", false);
    aside.body = vec![Segment::Text(long)];
    let not_mentioned = refused(RefusalReason::NotMentioned);
    assert_eq!(gate.accept("3", aside).await, not_mentioned);
}

#[tokio::test]
async fn sender_is_limited_by_the_configuration() {
    let gate = Gatehouse::with("direct = \"everyone\"\nmax_per_minute = 2\n");
    for id in ["1", "2"] {
        assert_eq!(gate.accept(id, says("U1", "hi")).await, Receipt::Accepted);
    }
    let too_often = refused(RefusalReason::TooOften);
    assert_eq!(gate.accept("3", says("U1", "hi")).await, too_often);
    assert_eq!(gate.accept("4", says("U2", "hi")).await, Receipt::Accepted);
    assert_eq!(gate.posts().await, []);
}

fn press(id: &str, user: &str) -> Event {
    Event {
        key: key(EventKind::Press, id),
        happening: Happening::Pressed(Press {
            conversation: message(user).conversation,
            message: WireId::new("1"),
            sender: Sender {
                id: UserId::new(user),
                name: None,
                kind: SenderKind::Person,
            },
            value: "yes".to_owned(),
        }),
    }
}

#[tokio::test]
async fn press_is_recorded_once_before_it_is_acknowledged() {
    let gate = Gatehouse::new();
    for user in ["U-listed", "U-stranger"] {
        let receipts = [
            gate.intake.accept(press(user, user)).await.unwrap(),
            gate.intake.accept(press(user, user)).await.unwrap(),
        ];
        assert_eq!(receipts, [Receipt::Ignored, Receipt::Duplicate]);
    }
}

/// A press of the second button below a question.
fn answer(id: &str, user: &str) -> Event {
    let choices = ["Yes".to_owned(), "help".to_owned()];
    let button = tools::buttons("Shall I?", &choices).swap_remove(1);
    let mut event = press(id, user);
    if let Happening::Pressed(press) = &mut event.happening {
        press.value = button.value;
    }
    event
}

#[tokio::test]
async fn a_button_below_a_question_is_a_message_in_its_own_words() {
    let gate = Gatehouse::new();
    let receipts = [
        gate.intake.accept(answer("p1", "U-listed")).await.unwrap(),
        gate.intake.accept(answer("p1", "U-listed")).await.unwrap(),
        gate.intake.accept(answer("p2", "U-listed")).await.unwrap(),
    ];
    let accepted = Receipt::Accepted;
    assert_eq!(receipts, [accepted.clone(), Receipt::Duplicate, accepted]);
    // It is no command, whatever the button says.
    assert_eq!(gate.posts().await, []);
    let channel = ChannelId::new("team");
    let record = async |id| {
        let key = key(EventKind::Press, id);
        gate.ledger
            .find_message(&channel, &key)
            .await
            .unwrap()
            .unwrap()
    };
    let (first, second) = (record("p1").await, record("p2").await);
    assert_eq!(first.state, MessageState::Queued);
    assert_eq!(first.message.plain_text(), "help");
    assert_eq!(first.message.sender.id, UserId::new("U-listed"));
    let quote = first.message.quote.unwrap();
    assert_eq!((quote.message.as_str(), &*quote.text), ("1", "Shall I?"));
    assert_ne!(
        first.message.id, second.message.id,
        "recovery tells them apart"
    );
}

#[tokio::test]
async fn a_stranger_answers_nothing_and_is_told_nothing_until_paired() {
    let gate = Gatehouse::with("direct = \"pairing\"\n");
    let pressed = gate
        .intake
        .accept(answer("p1", "U-stranger"))
        .await
        .unwrap();
    assert_eq!(pressed, Receipt::Ignored);
    assert_eq!(gate.posts().await, []);
    assert!(matches!(
        gate.accept("1", says("U-stranger", "hi")).await,
        Receipt::Refused(RefusalReason::NotPaired)
    ));
    let now = SystemTime::now();
    let code = gate.ledger.invitations(now).await.unwrap().remove(0).code;
    let desk = super::PairingDesk::new(gate.ledger.clone(), Languages::default());
    desk.confirm(code).await.unwrap().unwrap();
    let pressed = gate
        .intake
        .accept(answer("p2", "U-stranger"))
        .await
        .unwrap();
    assert_eq!(pressed, Receipt::Accepted);
}

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_on_disk() {
    let dir = TempDir::new().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let (ledger, thread) = flaky::open(&dir.path().join("ledger"), &full);
    let gate = Gatehouse::on(dir, ledger, thread, ACCESS);
    full.store(true, Ordering::SeqCst);
    let event = |happening| Event {
        key: key(EventKind::Message, "1"),
        happening,
    };
    let edit = Event {
        key: key(EventKind::Edit, "1/2"),
        happening: Happening::Edited {
            target: key(EventKind::Message, "1"),
            message: says("U-listed", "hello"),
        },
    };
    let events = [
        event(Happening::Message(says("U-listed", "hi"))),
        event(Happening::Message(says("U-stranger", "hi"))),
        event(Happening::Message(says("U-admin", "help"))),
        press("p", "U-listed"),
        answer("q", "U-listed"),
        edit,
    ];
    for event in &events {
        let failed = gate.intake.accept(event.clone()).await;
        assert!(
            matches!(failed, Err(AcceptError::NotRecorded { .. })),
            "{event:?}: {failed:?}"
        );
    }
    full.store(false, Ordering::SeqCst);
    let begun = SystemTime::now();
    while gate.intake.accept(events[3].clone()).await.is_err() {
        assert!(begun.elapsed().unwrap().as_secs() < 60, "it does not heal");
        tokio::task::yield_now().await;
    }
    assert_eq!(
        gate.accept("1", says("U-listed", "hi")).await,
        Receipt::Accepted
    );
}

#[tokio::test]
async fn edit_lets_nobody_in_and_an_ignored_one_may_come_again() {
    let gate = Gatehouse::new();
    gate.accept("1", in_thread("U1", true)).await;
    let edited = |id: &str, message| Event {
        key: key(EventKind::Edit, id),
        happening: Happening::Edited {
            target: key(EventKind::Message, "1"),
            message,
        },
    };
    let mut bot = in_thread("B2", true);
    bot.sender.kind = SenderKind::Bot;
    for _ in 0..2 {
        let receipt = gate.intake.accept(edited("a", bot.clone())).await.unwrap();
        assert_eq!(receipt, Receipt::Ignored);
    }
    // Its mention is gone, but it is part of a thread that was joined.
    let event = edited("b", in_thread("U1", false));
    let receipts = [
        gate.intake.accept(event.clone()).await.unwrap(),
        gate.intake.accept(event).await.unwrap(),
    ];
    assert_eq!(receipts, [Receipt::Accepted, Receipt::Duplicate]);
}

#[tokio::test]
async fn where_tells_of_this_conversation_and_not_what_others_say_elsewhere() {
    let gate = Gatehouse::new();
    let mut elsewhere = in_thread("U1", true);
    elsewhere.conversation.thread = Some(ThreadKey::new("t2"));
    gate.accept("1", elsewhere).await;
    gate.accept("2", in_thread("U1", true)).await;
    let mut question = in_thread("U2", true);
    question.body = vec![Segment::Text("/where".to_owned())];
    assert_eq!(gate.accept("3", question).await, Receipt::Accepted);
    assert_eq!(gate.state("3").await, MessageState::Answered);
    let posts = gate.posts().await;
    let [(PostKind::Notice, told, Some(_))] = posts.as_slice() else {
        panic!("{posts:?}");
    };
    assert!(told.starts_with("- 🕓 waits for "), "{told}");
    assert!(told.ends_with("next: “and then?”"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[tokio::test]
async fn teammates_are_told_in_the_chat_and_closed_ones_only_by_name() {
    let gate = Gatehouse::new();
    gate.spawn("flaky", "fix the flaky test").await;
    gate.spawn("docs", "write the docs").await;
    let lane = LaneId::new("flow/@flaky");
    let turn = TurnKey::new();
    gate.ledger.open_task(&lane, turn).await.unwrap();
    let report = TaskReport {
        status: CompletionStatus::Ok,
        body: "It was the clock.".to_owned(),
    };
    let outcome = Outcome::Answered;
    let settled = gate
        .ledger
        .settle_work(&lane, turn, outcome, report, Vec::new());
    settled.await.unwrap();
    let close = Wish::Close {
        name: "flaky".to_owned(),
        discard: false,
    };
    gate.dispatcher.fulfil(close, None, None).await.unwrap();

    for (id, text) in [
        ("1", "teammates"),
        ("2", "Teammates Flaky"),
        ("3", "/teammates nobody"),
    ] {
        gate.accept(id, says("U-listed", text)).await;
        assert_eq!(gate.state(id).await, MessageState::Answered, "{text}");
    }
    let posts = gate.posts().await;
    let told: Vec<_> = posts.iter().map(|(_, text, _)| text.as_str()).collect();
    let [all, flaky, nobody] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(all.starts_with("- 🕓 `docs` waits for "), "{all}");
    assert!(
        all.ends_with("“write the docs”; tasks that wait: 1"),
        "{all}"
    );
    assert_eq!(all.lines().count(), 1, "{all}");
    assert!(flaky.starts_with("- 👋 `flaky` has left "), "{flaky}");
    assert!(flaky.ends_with("“fix the flaky test” → It was the clock."));
    assert!(nobody.starts_with("There is no teammate `nobody`."));
}

#[tokio::test]
async fn work_that_was_asked_for_in_private_is_not_told_in_a_group() {
    let gate = Gatehouse::new();
    // Work goes to whoever has written last: somebody, in private.
    gate.accept("0", says("U-listed", "hello")).await;
    gate.spawn("flaky", "what nobody may know").await;
    for (id, text) in [("1", "teammates"), ("2", "teammates flaky")] {
        let mut message = in_thread("U-listed", true);
        message.conversation.chat = ChatId::new("C-group");
        message.body = vec![Segment::Text(text.to_owned())];
        gate.accept(id, message).await;
        gate.accept(&format!("{id}p"), says("U-listed", text)).await;
    }
    // An administrator is told elsewhere as well, where nobody else reads it.
    for (id, kind) in [("3", ChatKind::Group), ("4", ChatKind::Direct)] {
        let mut message = in_thread("U-admin", true);
        message.conversation.chat = ChatId::new("C-other");
        message.chat_kind = kind;
        message.body = vec![Segment::Text("teammates".to_owned())];
        gate.accept(id, message).await;
    }
    let posts = gate.posts().await;
    let told: Vec<_> = posts
        .iter()
        .map(|(_, text, _)| (text.contains("nobody may know"), text.contains("`flaky`")))
        .collect();
    assert_eq!(told, [(false, true), (true, true)].repeat(3), "{posts:?}");
}

#[tokio::test]
async fn what_only_sounds_like_a_question_for_teammates_is_for_the_model() {
    let gate = Gatehouse::new();
    gate.spawn("flaky", "fix the flaky test").await;
    for (id, text) in [
        ("1", "teammates are great"),
        ("2", "teammates rock"),
        ("3", "队友们在干什么"),
    ] {
        gate.accept(id, says("U-listed", text)).await;
        assert_eq!(gate.state(id).await, MessageState::Queued, "{text}");
    }
    assert_eq!(gate.posts().await, []);
    // A stranger learns nothing by it.
    let receipt = gate.accept("4", says("U1", "teammates")).await;
    assert_eq!(receipt, refused(RefusalReason::NotPaired));
}

#[tokio::test]
async fn teammates_are_told_in_chinese_where_chinese_is_spoken() {
    let mut gate = Gatehouse::new();
    gate.intake.languages = in_chinese("team");
    gate.spawn("flaky", "修好测试").await;
    for (id, text) in [("1", "队友"), ("2", "队友 flaky"), ("3", "／队友 nobody")] {
        gate.accept(id, says("U-listed", text)).await;
        assert_eq!(gate.state(id).await, MessageState::Answered, "{text}");
    }
    let posts = gate.posts().await;
    assert!(posts[0].1.starts_with("- 🕓 `flaky` 已等待 "), "{posts:?}");
    assert!(
        posts[1].1.ends_with("：“修好测试”；等待的任务：1"),
        "{posts:?}"
    );
    assert!(
        posts[2].1.starts_with("没有叫 `nobody` 的队友。"),
        "{posts:?}"
    );
}

#[tokio::test]
async fn administrators_are_told_of_what_was_asked_for_in_another_chat_and_nobody_else() {
    let gate = Gatehouse::new();
    gate.spawn("flaky", "fix the flaky test").await;
    for (id, user) in [("1", "U-listed"), ("2", "U-admin")] {
        let mut question = says(user, "teammates flaky");
        question.conversation.chat = ChatId::new(user);
        gate.accept(id, question).await;
    }
    let posts = gate.posts().await;
    let [(_, listed, _), (_, admin, _)] = posts.as_slice() else {
        panic!("{posts:?}");
    };
    assert!(
        listed.contains("(asked for in another conversation)"),
        "{listed}"
    );
    assert!(!listed.contains("fix the flaky test"), "{listed}");
    assert!(admin.contains("fix the flaky test"), "{admin}");
}

// === Roles and commands ===

const ROLES: &str = "direct = \"listed\"\ngroups = \"everyone\"\n\
                     admins = [\"team:U-admin\"]\napprovers = [\"team:U-approver\"]\n\
                     users = [\"team:U-listed\"]\nviewers = [\"team:U-viewer\"]\n";

#[tokio::test]
async fn a_viewer_may_ask_and_has_nothing_done() {
    let gate = Gatehouse::with(ROLES);
    for (number, text) in ["help", "status", "where", "threads", "teammates", "model"]
        .into_iter()
        .enumerate()
    {
        let receipt = gate
            .accept(&number.to_string(), says("U-viewer", text))
            .await;
        assert_eq!(receipt, Receipt::Accepted, "{text}");
    }
    assert_eq!(gate.posts().await.len(), 6);
    let work = [
        "fix it",
        "stop",
        "new",
        "fork",
        "compact",
        "model o3",
        "teammates dance",
    ];
    for (number, text) in work.into_iter().enumerate() {
        let id = format!("w{number}");
        let receipt = gate.accept(&id, says("U-viewer", text)).await;
        assert_eq!(receipt, refused(RefusalReason::Role), "{text}");
        let reason = RefusalReason::Role;
        assert_eq!(gate.state(&id).await, MessageState::Refused { reason });
        let (kind, told, answers) = gate.posts().await.pop().unwrap();
        assert_eq!(kind, PostKind::Failure);
        assert!(
            told.contains("`viewers`") || told.contains("`admins`"),
            "{told}"
        );
        assert!(answers.is_some());
    }
    // What people say to each other in a thread is not answered.
    let n_posts = gate.posts().await.len();
    gate.accept("j1", in_thread("U-listed", true)).await;
    let receipt = gate.accept("j2", in_thread("U-viewer", false)).await;
    assert_eq!(receipt, refused(RefusalReason::Role));
    assert_eq!(gate.posts().await.len(), n_posts);
    let lane = gate
        .dispatcher
        .lane_of(&ChannelId::new("team"), &message("U-viewer").conversation);
    assert_eq!(gate.ledger.lane(&lane).await.unwrap(), None);
}

#[tokio::test]
async fn a_viewer_answers_no_question_by_a_button() {
    let gate = Gatehouse::with(ROLES);
    let press = |user: &str| Event {
        key: key(EventKind::Press, user),
        happening: Happening::Pressed(Press {
            conversation: message(user).conversation,
            message: WireId::new("q1"),
            sender: message(user).sender,
            value: tools::buttons("Which?", &["This".to_owned()])
                .remove(0)
                .value,
        }),
    };
    let receipt = gate.intake.accept(press("U-viewer")).await.unwrap();
    assert_eq!(receipt, Receipt::Ignored);
    let receipt = gate.intake.accept(press("U-listed")).await.unwrap();
    assert_eq!(receipt, Receipt::Accepted);
}

#[tokio::test]
async fn threads_that_chats_share_are_changed_by_approvers_and_models_by_administrators() {
    let shared = Gatehouse::with_sessions(ROLES, "shared");
    let own = Gatehouse::with_sessions(ROLES, "chat");
    let refused = refused(RefusalReason::Role);
    let table = [
        ("U-listed", "new", Receipt::Accepted, refused.clone()),
        ("U-listed", "resume 1", Receipt::Accepted, refused.clone()),
        ("U-listed", "fork", Receipt::Accepted, refused.clone()),
        ("U-listed", "compact", Receipt::Accepted, Receipt::Accepted),
        ("U-listed", "stop", Receipt::Accepted, Receipt::Accepted),
        ("U-approver", "new", Receipt::Accepted, Receipt::Accepted),
        ("U-approver", "model o3", refused.clone(), refused.clone()),
        ("U-approver", "pair ABCD-2345", refused.clone(), refused),
        ("U-admin", "model o3", Receipt::Accepted, Receipt::Accepted),
    ];
    for (number, (user, text, in_own, in_shared)) in table.into_iter().enumerate() {
        let id = number.to_string();
        assert_eq!(
            own.accept(&id, says(user, text)).await,
            in_own,
            "{user} {text}"
        );
        assert_eq!(
            shared.accept(&id, says(user, text)).await,
            in_shared,
            "{user} {text}"
        );
    }
}

#[tokio::test]
async fn an_order_is_taken_once_however_often_its_event_comes() {
    let gate = Gatehouse::with(ROLES);
    let say = || says("U-listed", "new");
    assert_eq!(gate.accept("1", say()).await, Receipt::Accepted);
    assert_eq!(gate.accept("1", say()).await, Receipt::Duplicate);
    let lane = gate
        .dispatcher
        .lane_of(&ChannelId::new("team"), &say().conversation);
    assert_eq!(gate.ledger.orders(&lane).await.unwrap().len(), 1);
    assert!(
        gate.posts().await.is_empty(),
        "it is answered when it is done"
    );
    assert_eq!(gate.state("1").await, MessageState::Answered);
}

#[tokio::test]
async fn nobody_is_told_in_a_shared_lane_what_was_said_in_another_chat() {
    let gate = Gatehouse::with_sessions(ROLES, "shared");
    let lane = LaneId::new("flow");
    gate.accept("1", says("U-admin", "a secret of mine")).await;
    let waiting = gate.ledger.waiting(&lane, 1).await.unwrap();
    let key = TurnKey::new();
    let ledger = &gate.ledger;
    let thread = crate::id::ThreadId::new("t1");
    ledger
        .set_thread(&lane, thread, Default::default())
        .await
        .unwrap();
    ledger
        .open_turn(&lane, key, vec![waiting[0].id])
        .await
        .unwrap();
    let delivered = crate::ledger::TurnEvent::Delivered { turn: None };
    ledger.advance_turn(&lane, key, delivered).await.unwrap();
    let elsewhere = |text: &str| {
        let mut message = says("U-listed", text);
        message.conversation.chat = ChatId::new("D-other");
        message
    };
    for (id, text) in [
        ("2", "threads"),
        ("3", "status"),
        ("4", "where"),
        ("5", "stop"),
    ] {
        gate.accept(id, elsewhere(text)).await;
        let (_, told, _) = gate.posts().await.pop().unwrap();
        assert!(!told.contains("secret"), "{told}");
        insta::assert_snapshot!(format!("elsewhere_{text}"), told.replace("0 s", "1 s"));
    }
    let open = ledger.lane(&lane).await.unwrap().unwrap().open.unwrap();
    assert_eq!(open.stop, None, "it is not theirs");
    gate.accept("6", says("U-admin", "threads")).await;
    let (_, told, _) = gate.posts().await.pop().unwrap();
    assert!(told.contains("a secret of mine"), "{told}");
    let mut admin = elsewhere("stop");
    admin.sender = message("U-admin").sender;
    gate.accept("7", admin).await;
    let open = ledger.lane(&lane).await.unwrap().unwrap().open.unwrap();
    assert_eq!(open.stop.unwrap().user, Some(UserId::new("U-admin")));
}
