//! Tests of what is looked at: dispatchers, lanes and messages.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use serde_json::Value;
use tieline_channel::{
    ChannelId, ChatId, ChatKind, Conversation, EventKey, EventKind, Message, PostKind,
    RefusalReason, Segment, Sender, SenderKind, UserId, WireId,
};

use crate::control::described::assert_described;
use crate::control::teammates::tests::dispatcher;
use crate::control::tests::{Fixed, Running};
use crate::control::{Client, ClientError, MessageStory, Messages, lane_route, with_query};
use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId, MessageId, ThreadId, TurnKey};
use crate::ledger::{
    Admission, Admitted, ApprovalKind, Conditions, Fate, LostThread, NewApproval, NewMessage,
    NewRun, Origin, Outcome, PostEvent, Reach, RunEnvironment, RunOrder, TurnEvent, Wanted,
};
use crate::outbox;

async fn start() -> Running {
    Running::with_dispatchers(Arc::new(Fixed), |directory: &Path, ledger| {
        vec![dispatcher(directory, ledger, "flow", "")]
    })
    .await
}

fn origin() -> Conversation {
    Conversation {
        chat: ChatId::new("C1"),
        thread: None,
    }
}

/// Lets a message in, or turns it away.
async fn admit(running: &Running, id: &str, user: &str, fate: Fate) -> MessageId {
    let now = SystemTime::now();
    let message = Message {
        id: WireId::new(id),
        conversation: origin(),
        chat_kind: ChatKind::Direct,
        chat_name: None,
        sender: Sender {
            id: UserId::new(user),
            name: Some(format!("{user} Sender")),
            kind: SenderKind::Person,
        },
        sent_at: now,
        body: vec![Segment::Text(format!("the text of {id}"))],
        addressed: true,
        in_thread: false,
        quote: None,
        attachments: Vec::new(),
    };
    let admission = Admission {
        message: NewMessage {
            channel: ChannelId::new("t"),
            dispatcher: DispatcherId::new("flow"),
            lane: LaneId::new("flow/t/C1"),
            key: EventKey {
                kind: EventKind::Message,
                id: id.to_owned(),
            },
            message,
            received_at: now,
            urgent: false,
        },
        conditions: Conditions::default(),
        fate,
    };
    let said = |text: &str| vec![outbox::notice(&ChannelId::new("t"), &origin(), text)];
    let admitted = running
        .ledger
        .admit(admission, move |admitted| match admitted {
            Admitted::Commanded { .. } => said("all is well"),
            _ => Vec::new(),
        });
    match admitted.await.unwrap() {
        Admitted::Queued { id, .. }
        | Admitted::Refused { id, .. }
        | Admitted::Commanded { id, .. } => id,
        Admitted::Duplicate { .. } => panic!("{id} was seen before"),
    }
}

async fn look(running: &Running, route: &str, described: &str) -> Value {
    let answer: Value = Client::new(&running.socket).get(route).await.unwrap();
    assert_described("GET", described, 200, &answer);
    answer
}

async fn found(running: &Running, query: &[(&str, &str)]) -> Vec<String> {
    let query: Vec<_> = query
        .iter()
        .map(|(name, it)| (*name, Some((*it).to_owned())))
        .collect();
    let answer = look(running, &with_query("/v1/messages", &query), "/v1/messages").await;
    let answer: Messages = serde_json::from_value(answer).unwrap();
    let messages = answer.messages.into_iter();
    messages.map(|it| it.message.as_str().to_owned()).collect()
}

async fn story(running: &Running, id: MessageId) -> MessageStory {
    let route = format!("/v1/messages/{id}");
    let answer = look(running, &route, "/v1/messages/{id}").await;
    serde_json::from_value(answer).unwrap()
}

#[tokio::test]
async fn the_story_of_a_message_has_all_that_became_of_it() {
    let running = start().await;
    let ledger = &running.ledger;
    let lane = LaneId::new("flow/t/C1");
    let first = admit(&running, "m1", "U1", Fate::Queue).await;
    let second = admit(&running, "m2", "U1", Fate::Queue).await;
    let waiting = story(&running, second).await;
    assert_eq!(
        (waiting.message.state.as_str(), waiting.message.place),
        ("queued", Some(2))
    );
    assert_eq!(waiting.message.text, "the text of m2");
    assert!(waiting.turn.is_none() && waiting.posts.is_empty());

    ledger
        .set_thread(&lane, ThreadId::new("t1"), Reach::default())
        .await
        .unwrap();
    let turn = TurnKey::new();
    ledger.open_turn(&lane, turn, vec![first]).await.unwrap();
    let submitted = TurnEvent::Submitted {
        turn: crate::id::TurnId::new("c1"),
    };
    ledger.advance_turn(&lane, turn, submitted).await.unwrap();
    let running_turn = story(&running, first).await;
    let told = running_turn.turn.unwrap();
    assert_eq!((told.id, told.state.as_str()), (Some(turn), "submitted"));
    assert_eq!(told.thread, Some(ThreadId::new("t1")));
    assert_eq!(running_turn.message.place, None);

    let failed = Outcome::Failed {
        kind: FailureKind::ProviderRateLimited,
        message: "429".to_owned(),
    };
    let mut post = outbox::notice(&ChannelId::new("t"), &origin(), "it failed");
    post.kind = PostKind::Failure;
    let posts = ledger
        .settle_turn(&lane, turn, failed, vec![post])
        .await
        .unwrap();
    let at = SystemTime::now();
    ledger
        .advance_post(posts[0], PostEvent::Attempt { at })
        .await
        .unwrap();
    let wire = WireId::new("p1");
    ledger
        .advance_post(
            posts[0],
            PostEvent::Delivered {
                wire: wire.clone(),
                at,
            },
        )
        .await
        .unwrap();
    // The lane goes on; the story of what was before stays.
    let next = TurnKey::new();
    ledger.open_turn(&lane, next, vec![second]).await.unwrap();
    ledger
        .settle_turn(&lane, next, Outcome::Answered, Vec::new())
        .await
        .unwrap();
    let told = story(&running, first).await;
    let states: Vec<&str> = told.states.iter().map(|it| it.state.as_str()).collect();
    assert_eq!(states, ["queued", "in_turn", "failed"]);
    assert!(told.states.is_sorted_by_key(|it| it.at));
    let turn_told = told.turn.unwrap();
    assert_eq!(
        (turn_told.id, turn_told.state.as_str()),
        (Some(turn), "failed")
    );
    assert_eq!(turn_told.failure.as_deref(), Some("provider-rate-limited"));
    assert_eq!(turn_told.cause.as_deref(), Some("429"));
    assert_eq!(
        turn_told.codex_turn.as_ref().map(|it| it.as_str()),
        Some("c1")
    );
    let [post] = &told.posts[..] else {
        panic!("{:#?}", told.posts);
    };
    assert_eq!(
        (post.state.as_str(), post.message.as_ref()),
        ("delivered", Some(&wire))
    );
    assert_eq!(post.kind.as_deref(), Some("failure"));
    assert_eq!(story(&running, second).await.turn.unwrap().id, Some(next));
    running.end().await;
}

#[tokio::test]
async fn refused_messages_and_commands_and_those_settled_without_a_turn_have_stories() {
    let running = start().await;
    let refused = admit(&running, "r", "U1", Fate::Refuse(RefusalReason::NotPaired)).await;
    let told = story(&running, refused).await;
    assert_eq!(told.message.refusal, Some(RefusalReason::NotPaired));
    assert_eq!(told.message.text, "");
    let command = admit(&running, "c", "U1", Fate::Answer).await;
    let told = story(&running, command).await;
    assert_eq!(told.message.state, "answered");
    assert_eq!(told.posts[0].text.as_deref(), Some("all is well"));

    let mut waiting = Vec::new();
    for id in ["a", "b"] {
        waiting.push(admit(&running, id, "U1", Fate::Queue).await);
    }
    let lane = LaneId::new("flow/t/C1");
    let post = outbox::notice(&ChannelId::new("t"), &origin(), "both are given up");
    let settled =
        running
            .ledger
            .settle_waiting(&lane, waiting.clone(), Outcome::Cancelled, vec![post]);
    settled.await.unwrap();
    for id in waiting {
        let told = story(&running, id).await;
        assert_eq!(told.message.state, "cancelled");
        assert_eq!(told.posts[0].text.as_deref(), Some("both are given up"));
    }

    let client = Client::new(&running.socket);
    for (id, code) in [
        ("nonsense", "bad-request"),
        (&TurnKey::new().to_string(), "unknown-message"),
    ] {
        let asked = client.get::<Value>(&format!("/v1/messages/{id}")).await;
        assert!(matches!(asked, Err(ClientError::Refused { code: given, .. }) if given == code));
    }
    running.end().await;
}

#[tokio::test]
async fn what_was_said_about_a_message_is_forgotten_with_the_posts() {
    let running = start().await;
    let command = admit(&running, "c", "U1", Fate::Answer).await;
    let post = story(&running, command).await.posts[0].id;
    let at = SystemTime::now();
    running
        .ledger
        .advance_post(post, PostEvent::Attempt { at })
        .await
        .unwrap();
    let failed = PostEvent::Failed {
        reason: "gone".to_owned(),
        at,
    };
    let instead = vec![outbox::notice(
        &ChannelId::new("t"),
        &origin(),
        "in other words",
    )];
    running
        .ledger
        .replace_post(post, failed, instead)
        .await
        .unwrap();
    let posts = story(&running, command).await.posts;
    let states: Vec<&str> = posts.iter().map(|it| it.state.as_str()).collect();
    assert_eq!(states, ["failed", "pending"]);
    let later = at + Duration::from_secs(30 * 24 * 60 * 60);
    assert_eq!(running.ledger.expire(later).await.unwrap().posts, 1);
    assert_eq!(running.ledger.story(command).await.unwrap(), None);
    running.end().await;
}

#[tokio::test]
async fn messages_are_found_by_what_they_have_page_by_page() {
    let running = start().await;
    let begun = SystemTime::now();
    for number in 0..7 {
        let fate = match number % 3 {
            0 => Fate::Queue,
            1 => Fate::Answer,
            _ => Fate::Refuse(RefusalReason::NotMentioned),
        };
        let user = if number < 4 { "U1" } else { "U2" };
        admit(&running, &format!("m{number}"), user, fate).await;
    }
    let all = ["m6", "m5", "m4", "m3", "m2", "m1", "m0"];
    assert_eq!(found(&running, &[]).await, all);
    assert_eq!(
        found(&running, &[("state", "queued")]).await,
        ["m6", "m3", "m0"]
    );
    assert_eq!(
        found(&running, &[("sender", "u2 SENDER")]).await,
        ["m6", "m5", "m4"]
    );
    assert_eq!(
        found(&running, &[("sender", "U2"), ("state", "answered")]).await,
        ["m4"]
    );
    assert_eq!(found(&running, &[("text", "TEXT of m3")]).await, ["m3"]);
    assert_eq!(
        found(
            &running,
            &[("channel", "t"), ("chat", "C1"), ("dispatcher", "flow")]
        )
        .await,
        all
    );
    for nobody in [
        ("channel", "x"),
        ("chat", "x"),
        ("lane", "x"),
        ("dispatcher", "x"),
        ("failure", "disk"),
    ] {
        assert_eq!(
            found(&running, &[nobody]).await,
            Vec::<String>::new(),
            "{nobody:?}"
        );
    }
    let time = humantime::format_rfc3339_millis(begun).to_string();
    assert_eq!(found(&running, &[("since", &time)]).await, all);
    assert_eq!(
        found(&running, &[("until", &time)]).await,
        Vec::<String>::new()
    );

    let client = Client::new(&running.socket);
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let query = [("limit", Some("3".to_owned())), ("cursor", cursor)];
        let page: Messages = client
            .get(&with_query("/v1/messages", &query))
            .await
            .unwrap();
        pages.push(page.messages.len());
        cursor = page.next.map(|next| next.to_string());
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, [3, 3, 1]);
    for wrong in [
        "limit=0",
        "limit=1001",
        "state=happy",
        "since=noon",
        "cursor=1",
        "nonsense=1",
        "text=%ff",
    ] {
        let asked = client.get::<Value>(&format!("/v1/messages?{wrong}")).await;
        assert!(
            matches!(asked, Err(ClientError::Refused { .. })),
            "{wrong}: {asked:?}"
        );
    }
    running.end().await;
}

#[tokio::test]
async fn lanes_are_told_with_their_queues_and_what_they_have_lost() {
    let running = start().await;
    for id in ["m1", "m2"] {
        admit(&running, id, "U1", Fate::Queue).await;
    }
    let lane = LaneId::new("flow/t/C1");
    let lost = LostThread {
        thread: ThreadId::new("t0"),
        at: SystemTime::now(),
        reason: "it is gone".to_owned(),
    };
    running
        .ledger
        .lose_thread(&lane, lost, Vec::new())
        .await
        .unwrap();
    let told = look(&running, &lane_route(lane.as_str()), "/v1/lanes/{id}").await;
    assert_eq!(told["id"], "flow/t/C1");
    assert_eq!(told["queue"][1]["place"], 2);
    assert_eq!(told["queue"][1]["text"], "the text of m2");
    assert_eq!(told["lost_threads"][0]["thread"], "t0");
    assert_eq!(told["last_from"]["chat"], "C1");

    let count = async |query: &str| {
        let told = look(&running, &format!("/v1/lanes{query}"), "/v1/lanes").await;
        told["lanes"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 1);
    assert_eq!(count("?dispatcher=flow&state=waiting").await, 1);
    assert_eq!(count("?state=in_turn").await, 0);
    let client = Client::new(&running.socket);
    for (route, expected) in [
        ("/v1/lanes?state=happy", "bad-request"),
        ("/v1/lanes?dispatcher=no", "unknown-dispatcher"),
        ("/v1/lanes/no", "unknown-lane"),
    ] {
        let asked = client.get::<Value>(route).await;
        assert!(matches!(asked, Err(ClientError::Refused { code, .. }) if code == expected));
    }
    running.end().await;
}

#[tokio::test]
async fn dispatchers_are_told_with_how_they_are_set_up() {
    let running = start().await;
    look(&running, "/v1/dispatchers", "/v1/dispatchers").await;
    let told = look(&running, "/v1/dispatchers/flow", "/v1/dispatchers/{id}").await;
    // Both are the daemon's to say, which is not there.
    assert_eq!(told["sandbox"], Value::Null);
    assert_eq!(told["profile"], Value::Null);
    assert_eq!(told["sessions"], "shared");
    assert!(
        told["capabilities"]["tools"]
            .as_array()
            .unwrap()
            .contains(&"reply".into())
    );
    running.end().await;
}

#[tokio::test]
async fn the_description_is_told() {
    let running = start().await;
    let told = look(&running, "/v1/openapi.json", "/v1/openapi.json").await;
    assert_eq!(told["openapi"], "3.1.0");
    running.end().await;
}

#[tokio::test]
async fn what_people_decide_and_the_threads_of_a_lane_are_told() {
    let running = start().await;
    let ledger = &running.ledger;
    let lane = LaneId::new("flow/t/C1");
    let message = admit(&running, "m1", "U1", Fate::Queue).await;
    let thread = ThreadId::new("t1");
    let set = ledger.set_thread(&lane, thread, Reach::default());
    set.await.unwrap();
    let turn = TurnKey::new();
    ledger.open_turn(&lane, turn, vec![message]).await.unwrap();
    let submitted = TurnEvent::Submitted {
        turn: crate::id::TurnId::new("c1"),
    };
    for event in [submitted, TurnEvent::Delivered { turn: None }] {
        ledger.advance_turn(&lane, turn, event).await.unwrap();
    }
    let new = NewApproval {
        dispatcher: DispatcherId::new("flow"),
        lane: lane.clone(),
        turn,
        request: "r".to_owned(),
        wanted: Wanted {
            kind: ApprovalKind::Command,
            what: "rm x".to_owned(),
            is_cut: false,
            place: None,
            reason: None,
            teammate: None,
            for_session: true,
        },
        origin: Origin {
            channel: ChannelId::new("t"),
            conversation: origin(),
        },
        timeout: Duration::from_secs(60),
    };
    let ask = |_: &_| vec![outbox::notice(&ChannelId::new("t"), &origin(), "may it?")];
    ledger.ask(new, ask).await.unwrap();
    let told = look(&running, "/v1/approvals?state=open", "/v1/approvals").await;
    assert_eq!(told["approvals"][0]["kind"], "command");
    let id = told["approvals"][0]["id"].as_str().unwrap();
    let client = Client::new(&running.socket);
    let refused = client.decide(id, "perhaps").await;
    assert!(matches!(refused, Err(ClientError::Refused { code, .. }) if code == "bad-request"));
    let decided = client.decide(id, "decline").await.unwrap();
    let decided = serde_json::to_value(decided).unwrap();
    assert_described("POST", "/v1/approvals/{id}", 200, &decided);
    let told = look(&running, "/v1/approvals?dispatcher=flow", "/v1/approvals").await;
    assert_eq!(told["approvals"][0]["by"], "operator");

    let threads = format!("{}/threads", lane_route(lane.as_str()));
    let told = look(&running, &threads, "/v1/lanes/{id}/threads").await;
    assert_eq!(told["threads"][0]["thread"], "t1");
    let stopped = client.stop_lane(lane.as_str(), true).await.unwrap();
    let stopped = serde_json::to_value(stopped).unwrap();
    assert_described("POST", "/v1/lanes/{id}/stop", 200, &stopped);
    running.end().await;
}

#[tokio::test]
async fn runs_and_sessions_are_told() {
    let running = start().await;
    let new = NewRun {
        dispatcher: DispatcherId::new("flow"),
        purpose: "review".to_owned(),
        order: RunOrder {
            prompt: "look".to_owned(),
            cwd: "/w".into(),
            model: None,
            profile: None,
            sandbox: "read-only".to_owned(),
            images: Vec::new(),
            writable_dirs: Vec::new(),
            env: RunEnvironment::default(),
            config: Vec::new(),
            skip_git_check: true,
            ephemeral: false,
            output_schema: None,
            resume: None,
            timeout: Duration::from_secs(60),
            metadata: Default::default(),
        },
        report_to: None,
    };
    running.ledger.queue_run(new, None).await.unwrap();
    let told = look(&running, "/v1/runs?state=queued", "/v1/runs").await;
    let id = told["runs"][0]["id"].as_str().unwrap();
    let told = look(&running, &format!("/v1/runs/{id}"), "/v1/runs/{id}").await;
    assert_eq!(told["timeout"], "1m");

    let client = Client::new(&running.socket);
    let registered = serde_json::json!({ "mode": "registered", "thread": "t9" });
    let registered = serde_json::from_value(registered).unwrap();
    let opened = client.open_session("flow", &registered).await.unwrap();
    let id = opened.id;
    let opened = serde_json::to_value(opened).unwrap();
    assert_described("POST", "/v1/dispatchers/{id}/sessions", 201, &opened);
    let told = look(&running, "/v1/sessions?state=active", "/v1/sessions").await;
    assert_eq!(told["sessions"][0]["began"], "registered");
    let route = format!("/v1/sessions/{id}");
    look(&running, &route, "/v1/sessions/{id}").await;
    let turns = format!("{route}/turns");
    look(&running, &turns, "/v1/sessions/{id}/turns").await;
    running.end().await;
}
