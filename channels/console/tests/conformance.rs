//! The console passes the suite for channels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tieline_channel::conformance::{Abilities, Delivery, Harness, PostFailure, Seen, run_all};
use tieline_channel::{Channel, ChannelId, ChatId, Conversation, PostKey, UserId};
use tieline_console::ConsoleChannel;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;

use crate::support::{Place, RawClient};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_passes_the_suite() {
    let report = run_all(async || Terminals::new()).await;
    assert_eq!(
        report.skipped,
        [
            (
                "an_edit_names_its_message_and_says_it_anew",
                "edits by people"
            ),
            ("two_edits_have_two_keys", "edits by people"),
            ("a_deletion_names_its_message", "deletions by people"),
            ("a_press_says_who_pressed_what", "buttons"),
            ("two_presses_have_two_keys", "buttons"),
            ("our_own_edits_are_not_reported", "edit"),
            ("our_own_deletions_are_not_reported", "delete"),
            ("a_post_can_be_found_by_its_key", "findable repeat"),
            ("a_refusal_for_good_is_never", "refusal for good"),
            (
                "a_refusal_that_needs_a_person_is_operator",
                "refusal until the operator acts"
            ),
            ("an_edited_post_reads_anew", "edit"),
            ("a_deleted_post_is_gone", "delete"),
            ("a_reaction_to_what_is_gone_is_never", "deletions by people"),
            ("a_file_is_fetched_as_it_was_sent", "attachments"),
            ("a_file_over_the_limit_is_not_fetched", "attachments"),
            ("a_file_that_is_gone_is_not_fetched", "attachments"),
            ("a_post_brings_its_file", "files"),
            ("a_file_of_unclear_fate_is_found", "files"),
            ("a_file_that_was_not_sent_is_not_found", "files"),
            ("what_was_missed_is_handed_in", "history"),
            ("what_came_by_the_connection_is_not_news", "history"),
            ("what_was_missed_and_comes_late_is_not_news", "history"),
            ("what_was_missed_keeps_its_order", "history"),
            ("our_own_posts_were_not_missed", "history"),
            (
                "reading_back_fails_when_what_it_finds_is_not_recorded",
                "history"
            ),
            ("what_a_thread_said_before_is_told_in_order", "history"),
            (
                "a_connection_is_made_anew_when_asked",
                "count of connections"
            ),
        ]
    );
    assert_eq!(report.passed.len(), 28, "{:#?}", report.passed);
}

/// Terminals that remember what they showed, as a client owes it.
struct Terminals {
    place: Place,
    channel: Arc<ConsoleChannel>,
    state: Arc<Mutex<State>>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct State {
    /// What to say, to the terminals that are connected.
    terminals: BTreeMap<(ChatId, UserId), mpsc::Sender<Value>>,
    messages: Vec<((ChatId, UserId), Value)>,
    acknowledged: BTreeSet<String>,
    seen: Vec<Seen>,
    shown: BTreeSet<PostKey>,
    /// Answers to lines that say nothing.
    errors: u64,
    loses_answer: bool,
}

impl Terminals {
    fn new() -> Self {
        let place = Place::new();
        let channel = ConsoleChannel::new(ChannelId::new("console"), &place.socket);
        Self {
            place,
            channel: Arc::new(channel),
            state: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn attach(&self, chat: &ChatId, user: &UserId) -> mpsc::Sender<Value> {
        let who = (chat.clone(), user.clone());
        if let Some(terminal) = self.state().terminals.get(&who) {
            return terminal.clone();
        }
        let mut client = RawClient::connect(&self.place.socket).await;
        let hello = json!({"type": "hello", "chat": chat.as_str(), "name": user.as_str()});
        client.say(hello.to_string().as_bytes()).await;
        assert_eq!(client.hear().await["type"], "welcome");
        let (sender, lines) = mpsc::channel(16);
        self.state().terminals.insert(who.clone(), sender.clone());
        let state = Arc::clone(&self.state);
        self.tasks
            .lock()
            .unwrap()
            .spawn(converse(client, lines, who, state));
        sender
    }

    async fn say(&self, who: &(ChatId, UserId), line: &Value) {
        let terminal = self.attach(&who.0, &who.1).await;
        terminal.send(line.clone()).await.unwrap();
    }
}

/// Is a terminal until the daemon or the harness ends it.
async fn converse(
    mut client: RawClient,
    mut to_say: mpsc::Receiver<Value>,
    who: (ChatId, UserId),
    state: Arc<Mutex<State>>,
) {
    loop {
        let line = tokio::select! {
            line = to_say.recv() => {
                let Some(line) = line else { break };
                client.say(line.to_string().as_bytes()).await;
                continue;
            }
            line = client.lines.next_line() => line,
        };
        let Ok(Some(line)) = line else { break };
        let reply = state
            .lock()
            .unwrap()
            .hear(&who, &serde_json::from_str(&line).unwrap());
        match reply {
            Some(Reply::Say(line)) => client.say(line.to_string().as_bytes()).await,
            Some(Reply::Leave) => break,
            None => {}
        }
    }
    state.lock().unwrap().terminals.remove(&who);
    drop(client.write_half.shutdown().await);
}

enum Reply {
    Say(Value),
    Leave,
}

impl State {
    fn hear(&mut self, who: &(ChatId, UserId), line: &Value) -> Option<Reply> {
        match line["type"].as_str().unwrap() {
            "ack" => {
                let id = line["id"].as_str().unwrap().to_owned();
                self.acknowledged.insert(id);
                None
            }
            "error" => {
                self.errors += 1;
                None
            }
            // One pair of eyes for each chat.
            "post" if who.1 == person(0) => {
                let key = PostKey::new(line["key"].as_str().unwrap());
                if self.shown.insert(key.clone()) {
                    self.seen.push(Seen {
                        at: Conversation {
                            chat: who.0.clone(),
                            thread: None,
                        },
                        text: line["text"].as_str().unwrap().to_owned(),
                        id: None,
                        key: Some(key.clone()),
                        files: Vec::new(),
                    });
                }
                Some(if std::mem::take(&mut self.loses_answer) {
                    Reply::Leave
                } else {
                    Reply::Say(json!({"type": "posted", "key": key.as_str()}))
                })
            }
            _ => None,
        }
    }
}

fn person(number: usize) -> UserId {
    UserId::new(format!("person {number}"))
}

#[async_trait]
impl Harness for Terminals {
    fn channel(&self) -> Arc<dyn Channel> {
        Arc::<ConsoleChannel>::clone(&self.channel)
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            redeliver: true,
            disconnect: true,
            failures: vec![PostFailure::Again, PostFailure::AnswerLost],
            ..Abilities::default()
        }
    }

    fn conversation(&self, number: usize) -> Conversation {
        Conversation {
            chat: ChatId::new(format!("chat {number}")),
            thread: None,
        }
    }

    fn person(&self, number: usize) -> UserId {
        person(number)
    }

    async fn connect(&self) {
        for number in 0..2 {
            let chat = self.conversation(number).chat;
            self.attach(&chat, &person(0)).await;
        }
    }

    async fn disconnect(&self) {
        // A terminal whose lines end leaves.
        self.state().terminals.clear();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    }

    async fn deliver(&self, at: &Conversation, from: &UserId, text: &str) -> Delivery {
        let who = (at.chat.clone(), from.clone());
        let (number, line) = {
            let mut state = self.state();
            let number = state.messages.len();
            let line = json!({"type": "message", "id": format!("m{number}"), "text": text});
            state.messages.push((who.clone(), line.clone()));
            (number, line)
        };
        self.say(&who, &line).await;
        Delivery(number as u64)
    }

    async fn redeliver(&self, delivery: Delivery) {
        let (who, line) = self.state().messages[delivery.0 as usize].clone();
        self.say(&who, &line).await;
    }

    async fn is_acknowledged(&self, delivery: Delivery) -> bool {
        let id = format!("m{}", delivery.0);
        self.state().acknowledged.contains(&id)
    }

    async fn settle(&self) {
        let (terminals, expected) = {
            let state = self.state();
            let terminals: Vec<_> = state.terminals.values().cloned().collect();
            let expected = state.errors + terminals.len() as u64;
            (terminals, expected)
        };
        for terminal in terminals {
            terminal.send(json!({"type": "nothing"})).await.unwrap();
        }
        while self.state().errors < expected {
            time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn posts(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    async fn reactions(&self, delivery: Delivery) -> Vec<String> {
        let state = self.state();
        let on = format!(":m{}", delivery.0);
        let is_one = |it: &&Seen| {
            let key = it.key.as_ref().map_or("", |key| key.as_str());
            key.starts_with("react:") && key.ends_with(&on)
        };
        let reactions = state.seen.iter().filter(is_one);
        reactions.map(|it| it.text.clone()).collect()
    }

    async fn fail_next_post(&self, failure: PostFailure) {
        match failure {
            PostFailure::Again => {
                self.disconnect().await;
                let mut health = self.channel.health();
                let is_down =
                    |health: &tieline_channel::Health| health.link == tieline_channel::Link::Down;
                health.wait_for(is_down).await.unwrap();
            }
            PostFailure::AnswerLost => self.state().loses_answer = true,
            PostFailure::Never | PostFailure::Operator => {
                unreachable!("abilities() has no {failure:?}")
            }
        }
    }
}
