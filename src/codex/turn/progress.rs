//! What a turn's notifications amount to. Does no IO.

use super::event::{ToolUse, TurnEnd, TurnEvent};
use super::noise::Noise;
use crate::codex::failure::{During, Failure};
use crate::codex::protocol::{
    Item, Notification, NotificationBody, TurnError, TurnInfo, TurnStatus,
};
use crate::id::TurnId;

/// What is known of a turn.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The id our input was sent with.
    client_id: Option<String>,
    pub(super) turn_id: Option<TurnId>,
    has_started: bool,
    /// The last message that can be the answer, should the end not bring one.
    answer: Option<String>,
    /// The retry that was announced last, if nothing has come after it.
    pub(super) retry: Option<TurnError>,
    /// A compaction has begun and is not done.
    is_compacting: bool,
    /// What was said that leads to nothing.
    pub(super) noise: Noise,
}

/// What a notification means for a turn.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Meaning {
    pub(super) events: Vec<TurnEvent>,
    /// The turn lives: its idle limit starts again.
    pub(super) is_sign_of_life: bool,
    pub(super) end: Option<TurnEnd>,
}

impl Progress {
    /// Begins to follow a turn: one whose input has this id, or one that has this id itself.
    pub(super) fn new(client_id: Option<String>, turn_id: Option<TurnId>) -> Self {
        Self {
            client_id,
            turn_id,
            ..Self::default()
        }
    }

    /// Takes a notification of the thread; those of other turns mean nothing.
    pub(super) fn take(&mut self, notification: Notification) -> Meaning {
        if !self.is_ours(&notification) {
            // What concerns the thread as a whole is said in the middle of ours.
            if notification.turn_id.is_none() {
                self.noise.take(&notification);
            }
            return Meaning::default();
        }
        self.noise.take(&notification);
        let mut meaning = Meaning {
            is_sign_of_life: true,
            ..Meaning::default()
        };
        match notification.body {
            NotificationBody::TurnStarted(turn) => {
                meaning.events.extend(self.started(turn.id));
            }
            NotificationBody::TurnCompleted(turn) => meaning.end = Some(self.ended(&turn)),
            NotificationBody::ItemStarted(item) => {
                if matches!(item, Item::ContextCompaction { .. }) {
                    self.is_compacting = true;
                    meaning.events.push(TurnEvent::Compacting);
                }
                meaning
                    .events
                    .extend(ToolUse::of(&item, false).map(TurnEvent::Tool));
            }
            NotificationBody::ItemCompleted(item) => {
                meaning.events.extend(self.item_completed(item));
            }
            NotificationBody::AgentMessageDelta { item_id, delta } => {
                meaning
                    .events
                    .push(TurnEvent::MessageDelta { item_id, delta });
            }
            NotificationBody::CommandOutputDelta { item_id, delta } => {
                meaning
                    .events
                    .push(TurnEvent::OutputDelta { item_id, delta });
            }
            NotificationBody::PlanUpdated { steps } => meaning.events.push(TurnEvent::Plan(steps)),
            NotificationBody::Error {
                error,
                will_retry: true,
            } => {
                meaning.events.push(TurnEvent::Retrying {
                    message: error.message.clone(),
                    details: error.additional_details.clone(),
                });
                // A model server that is gone is announced for ever: this is no life.
                self.retry = Some(error);
                meaning.is_sign_of_life = false;
                return meaning;
            }
            // The end of the turn brings the same error.
            NotificationBody::Error {
                will_retry: false, ..
            } => {}
            NotificationBody::PlanDelta { .. }
            | NotificationBody::DiffUpdated
            | NotificationBody::ThreadStatusChanged(_)
            | NotificationBody::ThreadClosed
            | NotificationBody::ThreadNameUpdated(_)
            | NotificationBody::Warning { .. }
            | NotificationBody::RequestResolved { .. }
            | NotificationBody::Activity
            | NotificationBody::Unknown => {}
        }
        self.retry = None;
        meaning
    }

    /// Takes the turn that codex says has begun; tells it once.
    pub(super) fn started(&mut self, turn_id: TurnId) -> Option<TurnEvent> {
        if self.has_started {
            return None;
        }
        self.has_started = true;
        self.turn_id = Some(turn_id.clone());
        Some(TurnEvent::Started { turn_id })
    }

    /// A turn's id is learnt from the answer to `turn/start`, or from what comes before it.
    fn is_ours(&mut self, notification: &Notification) -> bool {
        let Some(turn_id) = &notification.turn_id else {
            return false;
        };
        if let Some(ours) = &self.turn_id {
            return ours == turn_id;
        }
        let is_new = matches!(notification.body, NotificationBody::TurnStarted(_));
        let is_our_input = match &notification.body {
            NotificationBody::ItemStarted(Item::UserMessage { client_id, .. })
            | NotificationBody::ItemCompleted(Item::UserMessage { client_id, .. }) => {
                client_id.is_some() && *client_id == self.client_id
            }
            _ => false,
        };
        if is_new || is_our_input {
            self.turn_id = Some(turn_id.clone());
        }
        is_new || is_our_input
    }

    fn item_completed(&mut self, item: Item) -> Option<TurnEvent> {
        if let Some(text) = item.as_answer() {
            self.answer = Some(text.to_owned());
        }
        match item {
            Item::UserMessage { client_id, .. } => {
                client_id.map(|client_id| TurnEvent::Recorded { client_id })
            }
            Item::AgentMessage { id, text, phase } => Some(TurnEvent::Message {
                item_id: id,
                text,
                phase,
            }),
            Item::ContextCompaction { .. } => {
                self.is_compacting = false;
                Some(TurnEvent::Compacted)
            }
            other => ToolUse::of(&other, true).map(TurnEvent::Tool),
        }
    }

    fn ended(&mut self, turn: &TurnInfo) -> TurnEnd {
        match turn.status {
            TurnStatus::Completed => TurnEnd::Completed {
                answer: Item::last_answer(&turn.items)
                    .map(str::to_owned)
                    .or_else(|| self.answer.take()),
            },
            TurnStatus::Interrupted => TurnEnd::Interrupted,
            TurnStatus::Failed => {
                let during = if self.is_compacting {
                    During::Compaction
                } else {
                    During::Turn
                };
                TurnEnd::Failed(Failure::of_turn(turn.error.as_ref(), during))
            }
            TurnStatus::InProgress | TurnStatus::Other => TurnEnd::Failed(Failure::new(
                crate::codex::failure::FailureKind::BackendResponseInvalid,
                format!("codex completed a turn with the status {:?}", turn.status),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codex::failure::FailureKind;
    use crate::codex::protocol::AgentPhase;
    use serde_json::{Value, json};

    fn note(method: &str, params: Value) -> Notification {
        Notification::parse(method.to_owned(), params).unwrap()
    }

    fn started(turn: &str) -> Notification {
        note(
            "turn/started",
            json!({ "threadId": "T", "turn": { "id": turn, "status": "inProgress" } }),
        )
    }

    fn message(turn: &str, text: &str, phase: Option<&str>) -> Notification {
        let item = json!({ "type": "agentMessage", "id": "m", "text": text, "phase": phase });
        note(
            "item/completed",
            json!({ "threadId": "T", "turnId": turn, "item": item }),
        )
    }

    fn completed(turn: Value) -> Notification {
        note("turn/completed", json!({ "threadId": "T", "turn": turn }))
    }

    fn answer(text: &str) -> Option<TurnEnd> {
        Some(TurnEnd::Completed {
            answer: Some(text.to_owned()),
        })
    }

    #[test]
    fn the_answer_is_what_the_end_brings() {
        let mut progress = Progress::default();
        progress.take(started("1"));
        progress.take(message("1", "on my way", Some("commentary")));
        progress.take(message("1", "first", None));
        let item =
            json!({ "type": "agentMessage", "id": "n", "text": "last", "phase": "final_answer" });
        let end = progress.take(completed(
            json!({ "id": "1", "status": "completed", "items": [item] }),
        ));
        assert_eq!(end.end, answer("last"));
    }

    #[test]
    fn without_items_at_the_end_the_last_message_that_is_no_commentary_is_the_answer() {
        let mut progress = Progress::default();
        progress.take(started("1"));
        progress.take(message("1", "the answer", None));
        progress.take(message("1", "looking further", Some("commentary")));
        let end = progress.take(completed(json!({ "id": "1", "status": "completed" })));
        assert_eq!(end.end, answer("the answer"));
    }

    #[test]
    fn commentary_alone_is_no_answer() {
        let mut progress = Progress::default();
        progress.take(started("1"));
        let meaning = progress.take(message("1", "hm", Some("commentary")));
        assert_eq!(
            meaning.events,
            [TurnEvent::Message {
                item_id: "m".to_owned(),
                text: "hm".to_owned(),
                phase: Some(AgentPhase::Commentary)
            }]
        );
        let end = progress.take(completed(json!({ "id": "1", "status": "completed" })));
        assert_eq!(end.end, Some(TurnEnd::Completed { answer: None }));
    }

    #[test]
    fn other_turns_mean_nothing() {
        let mut progress = Progress {
            turn_id: Some(TurnId::new("2")),
            ..Progress::default()
        };
        assert_eq!(progress.take(message("1", "x", None)), Meaning::default());
        let end = completed(json!({ "id": "1", "status": "completed" }));
        assert_eq!(progress.take(end), Meaning::default());
    }

    #[test]
    fn before_the_id_is_known_the_tail_of_an_older_turn_is_not_taken_for_ours() {
        let mut progress = Progress::default();
        assert_eq!(progress.take(message("1", "old", None)), Meaning::default());
        let end = completed(json!({ "id": "1", "status": "completed" }));
        assert_eq!(progress.take(end), Meaning::default());
        progress.take(started("2"));
        assert_eq!(progress.turn_id, Some(TurnId::new("2")));
    }

    #[test]
    fn our_own_input_names_our_turn() {
        let mut progress = Progress {
            client_id: Some("k".to_owned()),
            ..Progress::default()
        };
        let recorded = |client: &str, turn: &str| {
            let item =
                json!({ "type": "userMessage", "id": "u", "clientId": client, "content": [] });
            note(
                "item/completed",
                json!({ "threadId": "T", "turnId": turn, "item": item }),
            )
        };
        assert_eq!(progress.take(recorded("other", "1")), Meaning::default());
        let meaning = progress.take(recorded("k", "2"));
        assert_eq!(
            meaning.events,
            [TurnEvent::Recorded {
                client_id: "k".to_owned()
            }]
        );
        assert_eq!(progress.turn_id, Some(TurnId::new("2")));
    }

    #[test]
    fn a_retry_is_no_sign_of_life_and_no_end() {
        let mut progress = Progress::default();
        progress.take(started("1"));
        let error = |will_retry: bool| {
            note(
                "error",
                json!({ "threadId": "T", "turnId": "1", "willRetry": will_retry,
                        "error": { "message": "Reconnecting... 1/5" } }),
            )
        };
        let meaning = progress.take(error(true));
        assert!(!meaning.is_sign_of_life);
        assert_eq!(meaning.end, None);
        assert!(matches!(meaning.events[..], [TurnEvent::Retrying { .. }]));
        assert!(progress.retry.is_some());
        assert!(progress.take(message("1", "back", None)).is_sign_of_life);
        assert!(progress.retry.is_none());
        let end = progress.take(completed(json!({ "id": "1", "status": "completed" })));
        assert_eq!(end.end, answer("back"));
    }

    #[test]
    fn a_failed_turn_has_its_kind_and_a_failed_compaction_another() {
        let failed = json!({ "id": "1", "status": "failed",
            "error": { "message": "unexpected status 404 Not Found",
                       "codexErrorInfo": { "httpConnectionFailed": { "httpStatusCode": 404 } } } });
        let kind = |compacting: bool| {
            let mut progress = Progress::default();
            progress.take(started("1"));
            if compacting {
                let item = json!({ "type": "contextCompaction", "id": "c" });
                progress.take(note(
                    "item/started",
                    json!({ "threadId": "T", "turnId": "1", "item": item }),
                ));
            }
            match progress.take(completed(failed.clone())).end {
                Some(TurnEnd::Failed(failure)) => failure.kind,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(kind(false), FailureKind::ProviderHttpError);
        assert_eq!(kind(true), FailureKind::ProviderCompactUnsupported);
    }

    #[test]
    fn reasoning_keeps_a_turn_alive_and_leaves_no_trace() {
        let mut progress = Progress::default();
        progress.take(started("1"));
        let delta = note(
            "item/reasoning/textDelta",
            json!({ "threadId": "T", "turnId": "1", "itemId": "r", "delta": "SECRET THOUGHT" }),
        );
        assert!(!format!("{delta:?}").contains("SECRET"));
        let meaning = progress.take(delta);
        assert!(meaning.is_sign_of_life);
        assert_eq!(meaning.events, []);
        let item =
            json!({ "type": "reasoning", "id": "r", "summary": ["SECRET"], "content": ["SECRET"] });
        let whole = note(
            "item/completed",
            json!({ "threadId": "T", "turnId": "1", "item": item }),
        );
        assert!(!format!("{whole:?}").contains("SECRET"));
        assert_eq!(progress.take(whole).events, []);
    }

    #[test]
    fn a_tool_shows_as_a_sentence_without_arguments() {
        let mut progress = Progress::default();
        progress.take(started("1"));
        let item = json!({ "type": "mcpToolCall", "id": "c", "server": "files", "tool": "read",
                           "status": "completed", "arguments": { "path": "/etc/shadow" } });
        let meaning = progress.take(note(
            "item/completed",
            json!({ "threadId": "T", "turnId": "1", "item": item }),
        ));
        let [TurnEvent::Tool(tool)] = &meaning.events[..] else {
            panic!("{meaning:?}");
        };
        assert_eq!(tool.sentence(), "used files.read");
        assert!(!format!("{meaning:?}").contains("shadow"));
    }
}
