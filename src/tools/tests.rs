//! What the model is shown and what is taken from it must be the same.

use jsonschema::Validator;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use super::*;
use crate::config::Sandbox;
use crate::teammates::{SpawnRequest, Wish, WorkspaceRequest};

fn read(name: &str, arguments: Value) -> Result<Call, String> {
    let read = Set::Dispatching.read(name, &arguments);
    read.map_err(|error| error.to_string())
}

fn validator(name: &str) -> Validator {
    let declared = Set::Dispatching.declaration();
    let tool = declared.iter().find(|tool| tool["name"] == name).unwrap();
    jsonschema::validator_for(&tool["inputSchema"]).unwrap()
}

const CHAT_TOOLS: [&str; 4] = ["reply", "react", "send_file", "ask_user"];

const TEAM_TOOLS: [&str; 6] = [
    "spawn_teammate",
    "send_to_teammate",
    "list_teammates",
    "read_teammate",
    "stop_teammate",
    "close_teammate",
];

#[test]
fn each_lane_has_the_tools_that_it_is_for() {
    let both = [&CHAT_TOOLS[..], &TEAM_TOOLS].concat();
    let table = [
        (Set::Dispatching, &both[..]),
        (Set::Chat, &CHAT_TOOLS),
        (Set::Teammate, &[]),
    ];
    for (set, expected) in table {
        let declared = set.declaration();
        let names = declared.iter().map(|it| it["name"].as_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), expected, "{set:?}");
        for name in &both {
            let read = set.read(name, &json!({}));
            let is_known = !matches!(
                read,
                Err(CallError::UnknownTool { .. } | CallError::NoTools)
            );
            assert_eq!(is_known, expected.contains(name), "{set:?} {name}");
        }
    }
}

#[test]
fn every_tool_is_described_and_its_schema_is_one() {
    let declared = Set::Dispatching.declaration();
    for tool in &declared {
        let name = &tool["name"];
        assert_eq!(tool["type"], "function", "{name}");
        let description = tool["description"].as_str().unwrap();
        assert!(description.len() > 200, "{name}: {description:?}");
        let schema = &tool["inputSchema"];
        jsonschema::meta::validate(schema).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        for required in schema["required"].as_array().unwrap() {
            assert!(
                properties.contains_key(required.as_str().unwrap()),
                "{name}"
            );
        }
        for (parameter, schema) in properties {
            let about = schema["description"].as_str().unwrap_or_default();
            assert!(about.len() > 10, "{name}.{parameter}: {about:?}");
        }
    }
}

#[test]
fn calls_are_read() {
    let choices = |choices: &[&str]| choices.iter().map(|it| (*it).to_owned()).collect();
    let whom = || "a".to_owned();
    let look = |name: &str, count| {
        Call::Look(TeamQuestion::Read {
            name: name.to_owned(),
            count,
        })
    };
    let least = SpawnRequest {
        name: whom(),
        task: "Look.".to_owned(),
        workspace: WorkspaceRequest::Shared,
        instructions: None,
        model: None,
        sandbox: None,
    };
    let table = [
        (
            "spawn_teammate",
            json!({"name": "a", "task": "Look."}),
            Call::Order(Wish::Spawn(least.clone())),
        ),
        (
            "spawn_teammate",
            json!({"name": "a", "task": "Look.", "workspace": "shared"}),
            Call::Order(Wish::Spawn(least.clone())),
        ),
        (
            "spawn_teammate",
            json!({
                "name": "a", "task": "Look.", "workspace": "docs/api", "model": "small",
                "instructions": "Be brief.", "sandbox": "workspace-write",
            }),
            Call::Order(Wish::Spawn(SpawnRequest {
                workspace: WorkspaceRequest::Directory("docs/api".into()),
                instructions: Some("Be brief.".to_owned()),
                model: Some("small".to_owned()),
                sandbox: Some(Sandbox::WorkspaceWrite),
                ..least.clone()
            })),
        ),
        (
            "spawn_teammate",
            json!({"name": "a", "task": "Look.", "workspace": "worktree"}),
            Call::Order(Wish::Spawn(SpawnRequest {
                workspace: WorkspaceRequest::Worktree,
                ..least.clone()
            })),
        ),
        (
            "send_to_teammate",
            json!({"name": "a", "task": "More."}),
            Call::Order(Wish::Assign {
                name: whom(),
                task: "More.".to_owned(),
            }),
        ),
        ("list_teammates", json!({}), Call::Look(TeamQuestion::List)),
        ("read_teammate", json!({"name": "a"}), look("a", 2)),
        (
            "read_teammate",
            json!({"name": "a", "count": 10}),
            look("a", 10),
        ),
        (
            "stop_teammate",
            json!({"name": "a"}),
            Call::Order(Wish::Stop { name: whom() }),
        ),
        (
            "close_teammate",
            json!({"name": "a"}),
            Call::Order(Wish::Close {
                name: whom(),
                discard: false,
            }),
        ),
        (
            "close_teammate",
            json!({"name": "a", "discard": true}),
            Call::Order(Wish::Close {
                name: whom(),
                discard: true,
            }),
        ),
        (
            "reply",
            json!({"text": " **hi** "}),
            Call::Reply {
                text: " **hi** ".to_owned(),
            },
        ),
        (
            "react",
            json!({"emoji": "thumbs_up"}),
            Call::React {
                emoji: Emoji::ThumbsUp,
            },
        ),
        (
            "send_file",
            json!({"path": "out/a.pdf"}),
            Call::SendFile {
                path: "out/a.pdf".to_owned(),
                text: None,
            },
        ),
        (
            "send_file",
            json!({"path": "a", "text": "the report"}),
            Call::SendFile {
                path: "a".to_owned(),
                text: Some("the report".to_owned()),
            },
        ),
        (
            "ask_user",
            json!({"question": "Which?", "choices": ["A", " B "]}),
            Call::AskUser {
                question: "Which?".to_owned(),
                choices: choices(&["A", "B"]),
            },
        ),
    ];
    for (name, arguments, expected) in table {
        assert!(validator(name).is_valid(&arguments), "{arguments}");
        assert_eq!(read(name, arguments.clone()), Ok(expected), "{arguments}");
    }
    // As JSON schema has it, this is a whole number.
    let whole = json!({"name": "a", "count": 3.0});
    assert!(validator("read_teammate").is_valid(&whole));
    assert_eq!(read("read_teammate", whole), Ok(look("a", 3)));
    for emoji in Emoji::ALL {
        let arguments = json!({"emoji": emoji.name()});
        assert!(validator("react").is_valid(&arguments), "{emoji:?}");
        assert_eq!(read("react", arguments), Ok(Call::React { emoji }));
    }
    // As models leave out what they need not give.
    for nothing in [Value::Null, json!(""), json!(" ")] {
        let call = read("send_file", json!({"path": "a", "text": nothing})).unwrap();
        assert!(
            matches!(call, Call::SendFile { text: None, .. }),
            "{call:?}"
        );
    }
    let nulls = json!({
        "name": "a", "task": "Look.", "workspace": null, "instructions": "", "model": null, "sandbox": "",
    });
    assert_eq!(
        read("spawn_teammate", nulls),
        Ok(Call::Order(Wish::Spawn(least)))
    );
    assert_eq!(
        read("list_teammates", Value::Null),
        Ok(Call::Look(TeamQuestion::List))
    );
}

#[test]
fn arguments_that_do_not_fit_are_answered_with_what_to_do() {
    let many: Vec<_> = (0..11).map(|it| it.to_string()).collect();
    let ask = |choices: Value| json!({"question": "Which?", "choices": choices});
    let table = [
        ("reply", json!({}), "`text` is missing: What people read"),
        ("reply", Value::Null, "`text` is missing"),
        ("reply", json!({"text": null}), "`text` is missing"),
        ("reply", json!({"text": ""}), "`text` is empty"),
        ("reply", json!({"text": " \n"}), "`text` is empty"),
        (
            "reply",
            json!({"text": 7}),
            "`text` is a number and not a text",
        ),
        (
            "reply",
            json!(["hi"]),
            "the arguments are a list and not an object",
        ),
        (
            "reply",
            json!("hi"),
            "the arguments are a text and not an object",
        ),
        (
            "reply",
            json!({"text": "x".repeat(MAX_TEXT + 1)}),
            "`text` has 100001 characters, and 100000 are the most",
        ),
        (
            "reply",
            json!({"text": "hi", "to": "C1"}),
            "there is no `to`",
        ),
        ("react", json!({}), "`emoji` is missing: Which emoji"),
        (
            "react",
            json!({"emoji": ""}),
            "`emoji` is \"\" and not one of thumbs_up, ",
        ),
        (
            "react",
            json!({"emoji": "👍"}),
            "`emoji` is \"👍\" and not one of thumbs_up, ",
        ),
        (
            "react",
            json!({"emoji": "eyes"}),
            "`emoji` is \"eyes\" and not one of ",
        ),
        (
            "react",
            json!({"emoji": 1}),
            "`emoji` is a number and not a text",
        ),
        ("send_file", json!({"text": "hi"}), "`path` is missing"),
        (
            "send_file",
            json!({"path": ["a"]}),
            "`path` is a list and not a text",
        ),
        (
            "ask_user",
            json!({"question": "Which?"}),
            "`choices` is missing",
        ),
        (
            "ask_user",
            ask(json!("A or B")),
            "`choices` is a text and not a list",
        ),
        (
            "ask_user",
            ask(json!(["A"])),
            "has 1 entries, and must have 2 to 10",
        ),
        (
            "ask_user",
            ask(json!(many)),
            "has 11 entries, and must have 2 to 10",
        ),
        ("ask_user", ask(json!(["A", 2])), "has a number as entry 2"),
        (
            "ask_user",
            ask(json!(["A", " "])),
            "has an entry 2 that is empty",
        ),
        (
            "ask_user",
            ask(json!(["A\nB", "C"])),
            "an entry 1 of more than one line",
        ),
        ("ask_user", ask(json!(["A", "A "])), "has the entry 2 twice"),
        (
            "ask_user",
            ask(json!(["A", "b".repeat(76)])),
            "has an entry 2 that has 76 characters, and 75 are the most",
        ),
    ];
    let whom = |more: Value| {
        let mut arguments = json!({"name": "a"});
        let more = more.as_object().unwrap().clone();
        arguments.as_object_mut().unwrap().extend(more);
        arguments
    };
    let about_teammates = [
        (
            "spawn_teammate",
            json!({}),
            "`name` is missing: What it is called",
        ),
        (
            "spawn_teammate",
            whom(json!({})),
            "`task` is missing: What it is to do",
        ),
        (
            "spawn_teammate",
            whom(json!({"task": "t", "sandbox": "all"})),
            "`sandbox` is \"all\" and not one of read-only, workspace-write, danger-full-access",
        ),
        (
            "spawn_teammate",
            whom(json!({"task": "t", "sandbox": true})),
            "`sandbox` is a truth value and not a text",
        ),
        (
            "spawn_teammate",
            whom(json!({"task": "t", "wait": true})),
            "there is no `wait`",
        ),
        ("list_teammates", whom(json!({})), "there is no `name`"),
        (
            "read_teammate",
            whom(json!({"count": 0})),
            "`count` is 0, and must be a whole number from 1 to 10",
        ),
        (
            "read_teammate",
            whom(json!({"count": 11})),
            "`count` is 11, and must be",
        ),
        (
            "read_teammate",
            whom(json!({"count": 1.5})),
            "`count` is 1.5, and must be",
        ),
        (
            "read_teammate",
            whom(json!({"count": -1})),
            "`count` is -1, and must be",
        ),
        (
            "read_teammate",
            whom(json!({"count": "two"})),
            "`count` is a text and not a number",
        ),
        (
            "stop_teammate",
            json!({"name": "a".repeat(41)}),
            "`name` has 41 characters, and 40 are the most",
        ),
        (
            "close_teammate",
            whom(json!({"discard": "yes"})),
            "`discard` is a text and not true or false",
        ),
    ];
    for (name, arguments, expected) in table.into_iter().chain(about_teammates) {
        let error = read(name, arguments.clone()).unwrap_err();
        assert!(error.contains(expected), "{arguments}: {error}");
        assert!(error.contains(&format!("Call `{name}` again")), "{error}");
    }
    // All of it at once.
    let error = read("ask_user", json!({"question": "", "wait": true})).unwrap_err();
    for part in ["`question` is empty", "`choices` is missing", "no `wait`"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn whoever_calls_something_else_is_told_what_there_is() {
    for name in ["spawn", "", "REPLY"] {
        let error = read(name, json!({"text": "hi"})).unwrap_err();
        assert!(
            error.contains("reply, react, send_file, ask_user, spawn_teammate, "),
            "{error}"
        );
    }
    let error = read(&"x".repeat(100_000), json!({})).unwrap_err();
    assert!(error.len() < 400, "{}", error.len());
}

#[test]
fn a_pressed_button_tells_the_answer_and_what_was_asked() {
    let question = "Which of them?\nBoth are **ready**.";
    let choices = ["The first\tone".to_owned(), "界".repeat(MAX_CHOICE)];
    for (button, choice) in buttons(question, &choices).iter().zip(&choices) {
        assert_eq!(&button.label, choice);
        let expected = Choice {
            answer: choice.clone(),
            question: question.to_owned(),
        };
        assert_eq!(Choice::read(&button.value), Some(expected));
    }
    let long = buttons(&"问".repeat(MAX_QUESTION), &choices);
    assert!(
        long.iter()
            .all(|button| button.value.chars().count() <= 255)
    );
    for foreign in [
        "",
        "yes",
        "answer",
        "answer\nA",
        "approve\nA\nB",
        "answerA\nB",
    ] {
        assert_eq!(Choice::read(foreign), None, "{foreign:?}");
    }
}

mod files {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    use pretty_assertions::assert_eq;
    use tieline_channel::{ChannelId, ChatId, Conversation};

    use crate::id::OutboxId;
    use crate::ledger::{Ledger, LedgerSettings, SentFile};
    use crate::outbox;
    use crate::tools::file::{FileError, discard, stage, tidy};

    struct Bench {
        directory: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            for name in ["work/sub", "outgoing", "work-beside"] {
                fs::create_dir_all(directory.path().join(name)).unwrap();
            }
            let bench = Self { directory };
            for name in ["work/a.txt", "work/sub/b", "secret", "work-beside/c"] {
                fs::write(bench.at(name), name).unwrap();
            }
            bench
        }

        fn at(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        async fn stage(&self, path: &str) -> Result<SentFile, FileError> {
            stage(&self.at("work"), path, 100, &self.at("outgoing")).await
        }

        fn copies(&self) -> usize {
            fs::read_dir(self.at("outgoing")).unwrap().count()
        }
    }

    #[tokio::test]
    async fn files_of_the_workspace_are_copied_as_they_are_now() {
        let bench = Bench::new();
        symlink("a.txt", bench.at("work/link")).unwrap();
        symlink(bench.at("work/sub"), bench.at("work/way")).unwrap();
        let absolute = bench.at("work/a.txt").display().to_string();
        for (path, name, content) in [
            ("a.txt", "a.txt", "work/a.txt"),
            ("./sub/../sub/b", "b", "work/sub/b"),
            ("link", "a.txt", "work/a.txt"),
            ("way/b", "b", "work/sub/b"),
            (&absolute, "a.txt", "work/a.txt"),
        ] {
            let file = bench.stage(path).await.unwrap();
            assert_eq!(file.name, name, "{path}");
            assert_eq!(fs::read_to_string(&file.path).unwrap(), content);
            let mode = fs::metadata(&file.path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            discard(&file).await;
        }
        let file = bench.stage("a.txt").await.unwrap();
        fs::write(bench.at("work/a.txt"), "changed").unwrap();
        assert_eq!(fs::read_to_string(file.path).unwrap(), "work/a.txt");
        assert_eq!(bench.copies(), 1);
    }

    #[tokio::test]
    async fn nothing_else_is() {
        let bench = Bench::new();
        symlink(bench.at("secret"), bench.at("work/out")).unwrap();
        symlink(bench.directory.path(), bench.at("work/up")).unwrap();
        symlink("loop", bench.at("work/loop")).unwrap();
        let fifo = bench.at("work/pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        fs::write(bench.at("work/large"), [0; 101]).unwrap();
        fs::write(bench.at("work/just"), [0; 100]).unwrap();
        let table = [
            ("gone", "there is no file \"gone\""),
            ("a.txt/b", "cannot be read"),
            ("loop", "cannot be read"),
            ("a\0b", "cannot be read"),
            ("../secret", "outside of the workspace"),
            ("../work-beside/c", "outside of the workspace"),
            ("/etc/passwd", "outside of the workspace"),
            ("out", "outside of the workspace"),
            ("up/secret", "outside of the workspace"),
            (".", "no regular file"),
            ("sub", "no regular file"),
            ("pipe", "no regular file"),
            ("large", "more than 100 bytes"),
        ];
        for (path, expected) in table {
            let error = bench.stage(path).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{path:?}: {error}");
        }
        assert_eq!(bench.copies(), 0, "something is left");
        bench.stage("just").await.unwrap();
    }

    #[tokio::test]
    async fn names_are_safe_to_show_and_keep_their_ends() {
        let bench = Bench::new();
        let long = format!("{}.tar.gz", "长".repeat(70));
        for (name, shown) in [("a`b\n.txt", "a_b_.txt"), (&long, &long), ("无", "无")] {
            fs::write(bench.at("work").join(name), "x").unwrap();
            assert_eq!(bench.stage(name).await.unwrap().name, shown);
        }
        let name = format!("{}.pdf", "n".repeat(200));
        fs::write(bench.at("work").join(&name), "x").unwrap();
        let shown = bench.stage(&name).await.unwrap().name;
        assert!(
            shown.ends_with(".pdf") && shown.chars().count() <= 120,
            "{shown}"
        );
    }

    #[tokio::test]
    async fn copies_stay_for_as_long_as_their_posts_are_known() {
        let bench = Bench::new();
        let (ledger, thread) =
            Ledger::open(&bench.at("ledger"), LedgerSettings::standard()).unwrap();
        let sent = bench.stage("a.txt").await.unwrap();
        let to = Conversation {
            chat: ChatId::new("C1"),
            thread: None,
        };
        let mut post = outbox::notice(&ChannelId::new("team"), &to, "");
        post.file = Some(sent.clone());
        assert_eq!(ledger.enqueue(vec![post]).await.unwrap(), [sent.owner]);
        let abandoned = bench.stage("a.txt").await.unwrap();
        let cut_off = bench
            .at("outgoing")
            .join(format!(".{}.part", OutboxId::new()));
        fs::write(&cut_off, "").unwrap();
        fs::write(bench.at("outgoing/notes"), "not ours").unwrap();

        let root = bench.at("outgoing");
        let later = SystemTime::now() + Duration::from_secs(2 * 60 * 60);
        let tidied = async |now| tidy(Path::new(&root), &ledger, now).await.unwrap();
        assert_eq!(
            tidied(SystemTime::now()).await,
            0,
            "it may be about to be posted"
        );
        assert_eq!(tidied(later).await, 2);
        assert!(sent.path.exists() && !abandoned.path.exists() && !cut_off.exists());
        assert_eq!(bench.copies(), 2);
        drop(ledger);
        thread.close().await;
    }
}
