//! What each verb prints, where, and with which exit code it ends.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pretty_assertions::assert_eq;
use tieline::control::{
    Api, ControlServer, LedgerStatus, NoRestarts, OutboxStatus, Status, StatusSource,
};
use tieline::dispatcher::Handle;
use tieline::id::{DispatcherId, LaneId};
use tieline::intake::PairingDesk;
use tieline::ledger::{Admission, Conditions, Fate, Ledger, LedgerSettings, NewMessage};
use tieline_channel::socket::create_private_directory;
use tieline_channel::{
    ChannelId, ChatId, ChatKind, Conversation, EventKey, EventKind, Message, Segment, Sender,
    SenderKind, UserId, WireId,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::workbench::Workbench;

#[test]
fn help_and_version_are_results() {
    let workbench = Workbench::new();
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["help", "run"],
        &["status", "--help"],
    ] {
        let ran = workbench.run(arguments);
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
        assert!(ran.stdout.contains("Usage: tieline"), "{}", ran.stdout);
    }
    let ran = workbench.run(&["--version"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.stdout,
        format!("tieline {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn help_tells_the_verbs_and_the_exit_codes() {
    insta::assert_snapshot!(Workbench::new().run(&["--help"]).stdout);
}

#[test]
fn a_mistyped_action_of_exec_is_no_prompt() {
    let workbench = Workbench::configured();
    let ran = workbench.run(&["exec", "lst"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""));
    assert!(
        ran.stderr.contains("did you mean `list`?"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("tieline exec -- lst"), "{}", ran.stderr);
    // Said to be a prompt it is one, and only the daemon is missing.
    let ran = workbench.run(&["exec", "--", "lst"]);
    assert_eq!(ran.code, Some(69), "{}", ran.stderr);
}

#[test]
fn bad_usage_exits_64() {
    let workbench = Workbench::new();
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["run", "extra"],
        &["run", "--confg", "x"],
        &["check", "--config"],
    ] {
        let ran = workbench.run(arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(64), ""),
            "{arguments:?}"
        );
        assert!(
            ran.stderr.contains("--help") || ran.stderr.contains("Usage:"),
            "{}",
            ran.stderr
        );
    }
    let ran = workbench.run(&["chekc"]);
    assert!(ran.stderr.contains("'check'"), "{}", ran.stderr);
}

#[test]
fn no_configuration_exits_78_and_says_how_to_begin() {
    for verb in ["run", "check", "status", "pair", "console"] {
        let ran = Workbench::new().run(&[verb]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""), "{verb}");
        insta::assert_snapshot!("no_configuration", ran.stderr);
    }
}

#[test]
fn configuration_that_was_named_and_is_not_there_exits_78() {
    let ran = Workbench::new().run(&["check", "--config", "other.toml"]);
    assert_eq!(ran.code, Some(78));
    insta::assert_snapshot!(ran.stderr, @r"
    error: cannot read the configuration other.toml
      caused by: No such file or directory (os error 2)
    hint: `--config` and $TIELINE_CONFIG name the file itself; leave them out to look for it
    ");
}

#[test]
fn bad_configuration_exits_78_with_all_its_mistakes() {
    let workbench = Workbench::new();
    workbench.write("tieline.toml", include_str!("invalid/ten_mistakes.toml"));
    for verb in ["run", "check"] {
        let ran = workbench.run(&[verb]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""), "{verb}");
        assert_eq!(ran.stderr.matches("\ntieline.toml:").count() + 1, 10);
        assert!(ran.stderr.starts_with("tieline.toml:3:1: error: "));
        assert!(ran.stderr.ends_with("error: tieline.toml has 10 errors\n"));
    }
}

#[test]
fn good_configuration_is_summarised() {
    let ran = Workbench::configured().run(&["check"]);
    assert_eq!(ran.code, Some(0));
    // The app-server of this configuration runs elsewhere, and is not there yet.
    assert!(
        ran.stderr
            .starts_with("warning: dispatcher `flow`: endpoint: nobody accepts connections"),
        "{}",
        ran.stderr
    );
    insta::assert_snapshot!(ran.stdout);
}

#[test]
fn warnings_do_not_fail_a_check() {
    let workbench = Workbench::configured();
    let path = workbench.path("tieline.toml");
    let text = fs::read_to_string(&path).unwrap() + "[channels.spare]\nkind = \"console\"\n";
    fs::write(path, text).unwrap();
    let ran = workbench.run(&["check"]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr
            .starts_with("tieline.toml:13:11: warning: no dispatcher has channel `spare`")
    );
}

#[test]
fn variable_names_the_configuration() {
    let workbench = Workbench::configured();
    fs::rename(
        workbench.path("tieline.toml"),
        workbench.path("workspace/other.toml"),
    )
    .unwrap();
    let output = workbench
        .tieline(&["check"])
        .env("TIELINE_CONFIG", "workspace/other.toml")
        .output()
        .unwrap();
    let ran = workbench.ran(output);
    assert_eq!(ran.code, Some(78));
    // Its paths start at its own directory.
    let missing = "there is no directory $DIR/workspace/workspace";
    assert!(ran.stderr.contains(missing), "{}", ran.stderr);
}

#[test]
fn status_without_a_daemon_exits_69() {
    let workbench = Workbench::configured();
    let ran = workbench.run(&["status"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(69), ""));
    insta::assert_snapshot!(ran.stderr, @r"
    error: no daemon is running: nobody listens on $DIR/state/control.sock
    hint: start it with `tieline run`; if it runs with another configuration, name that with --config
    ");

    // What a daemon that was killed leaves behind.
    create_private_directory(&workbench.path("state"), Path::new("ledger")).unwrap();
    drop(UnixListener::bind(workbench.path("state/control.sock")).unwrap());
    assert_eq!(workbench.run(&["status", "--json"]).code, Some(69));
}

#[test]
fn state_directory_that_others_may_enter_is_refused_and_left_as_it_is() {
    let workbench = Workbench::configured();
    let state = workbench.path("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
    fs::write(state.join("notes"), "").unwrap();
    let ran = workbench.run(&["run"]);
    assert_eq!(ran.code, Some(78), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("$DIR/state is open to other users (mode 755)"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("hint: run `chmod 700 $DIR/state`"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        fs::metadata(&state).unwrap().permissions().mode() & 0o777,
        0o755
    );
}

#[test]
fn choice_of_a_console_is_checked() {
    let workbench = Workbench::configured();
    let ran = workbench.run(&["console", "--channel", "other"]);
    assert_eq!(ran.code, Some(64));
    insta::assert_snapshot!(ran.stderr, @r"
    error: there is no console channel `other`
    hint: one of terminal
    ");

    let path = workbench.path("tieline.toml");
    let text = fs::read_to_string(&path).unwrap() + "[channels.spare]\nkind = \"console\"\n";
    fs::write(path, text).unwrap();
    let ran = workbench.run(&["console"]);
    assert_eq!(ran.code, Some(64));
    insta::assert_snapshot!(ran.stderr, @r"
    error: there are several consoles: --channel must say which
    hint: one of spare, terminal
    ");
}

struct Quiet;

#[async_trait]
impl StatusSource for Quiet {
    async fn status(&self) -> Status {
        Status {
            version: "0.1.0".into(),
            pid: 4242,
            started_at: SystemTime::now() - Duration::from_secs(3 * 86_400),
            config: PathBuf::from("/etc/tieline.toml"),
            state_dir: PathBuf::from("/var/lib/tieline"),
            dispatchers: Vec::new(),
            channels: Vec::new(),
            ledger: LedgerStatus::default(),
            outbox: OutboxStatus::default(),
        }
    }
}

/// Runs `scene` while a daemon answers.
async fn with_a_daemon<T: Send + 'static>(
    scene: impl FnOnce(&Workbench) -> T + Send + 'static,
) -> T {
    with_a_ledger(async |_| (), scene).await
}

/// Runs `scene` while a daemon answers whose ledger was prepared.
async fn with_a_ledger<T: Send + 'static>(
    prepare: impl AsyncFnOnce(Ledger),
    scene: impl FnOnce(&Workbench) -> T + Send + 'static,
) -> T {
    let make = async |_: &Workbench, ledger, _: &mut JoinSet<()>| {
        prepare(ledger).await;
        Vec::new()
    };
    with_dispatchers(make, scene).await
}

/// Runs `scene` while a daemon answers that has the dispatchers that `make` makes. What it spawns is
/// ended with the scene.
pub(super) async fn with_dispatchers<T: Send + 'static>(
    make: impl AsyncFnOnce(&Workbench, Ledger, &mut JoinSet<()>) -> Vec<Handle>,
    scene: impl FnOnce(&Workbench) -> T + Send + 'static,
) -> T {
    let workbench = Workbench::configured();
    let server = ControlServer::bind(&workbench.path("state/control.sock"))
        .await
        .expect("the socket is free");
    let stop = CancellationToken::new();
    let mut serving = JoinSet::new();
    let (ledger, ledger_thread) =
        Ledger::open(&workbench.path("ledger"), LedgerSettings::standard()).expect("a ledger");
    let mut helpers = JoinSet::new();
    let handles = make(&workbench, ledger.clone(), &mut helpers).await;
    let handles = handles.into_iter();
    let api = Api {
        status: Arc::new(Quiet),
        ledger: ledger.clone(),
        pairings: PairingDesk::new(ledger.clone(), Default::default()),
        runs: tieline::runs::Runs::new(ledger, Default::default(), Default::default()),
        events: tieline::events::Events::none(),
        metrics: tieline::metrics::Metrics::new(),
        dispatchers: Arc::new(handles.map(|it| (it.id().clone(), it)).collect()),
        restarts: Arc::new(NoRestarts),
    };
    serving.spawn(server.serve(api, stop.clone()));
    let result = std::thread::spawn(move || scene(&workbench));
    while !result.is_finished() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    serving.join_all().await;
    helpers.shutdown().await;
    ledger_thread.close().await;
    result.join().expect("the scene does not panic")
}

#[tokio::test]
async fn status_of_a_daemon_is_shown() {
    let ran = with_a_daemon(|workbench| workbench.run(&["status"])).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(
        ran.stdout
            .starts_with("tieline 0.1.0, process 4242, up 3d 0h\n"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn status_as_json_is_what_the_daemon_said() {
    let ran = with_a_daemon(|workbench| workbench.run(&["status", "--json"])).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(answer["pid"], 4242);
    assert_eq!(answer["dispatchers"], serde_json::json!([]));
}

#[tokio::test]
async fn reader_that_goes_away_is_no_failure() {
    let code = with_a_daemon(|workbench| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        workbench
            .tieline(&["status"])
            .stdout(Stdio::from(writer))
            .status()
            .expect("the program runs")
            .code()
    })
    .await;
    assert_eq!(code, Some(0));
}

/// Has a stranger write, who is given a code.
async fn stranger_writes(ledger: Ledger) {
    let name = |text: &str| text.to_owned();
    let conversation = Conversation {
        chat: ChatId::new("D1"),
        thread: None,
    };
    let admission = Admission {
        message: NewMessage {
            channel: ChannelId::new("team"),
            dispatcher: DispatcherId::new("flow"),
            lane: LaneId::new("flow"),
            key: EventKey {
                kind: EventKind::Message,
                id: name("1"),
            },
            message: Message {
                id: WireId::new("1"),
                conversation,
                chat_kind: ChatKind::Direct,
                chat_name: None,
                sender: Sender {
                    id: UserId::new("U/1"),
                    name: Some(name("Mei")),
                    kind: SenderKind::Person,
                },
                sent_at: SystemTime::now(),
                body: vec![Segment::Text(name("hello"))],
                addressed: true,
                in_thread: false,
                quote: None,
                attachments: Vec::new(),
            },
            received_at: SystemTime::now(),
            urgent: false,
        },
        conditions: Conditions {
            paired: true,
            ..Conditions::default()
        },
        fate: Fate::Queue,
    };
    let admitted = ledger.admit(admission, |_| Vec::new()).await;
    admitted.expect("it is recorded");
}

#[tokio::test]
async fn stranger_is_let_in_and_out_again_on_the_command_line() {
    let scene = |workbench: &Workbench| {
        let listed = workbench.run(&["pair"]);
        assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
        assert!(
            listed.stdout.contains("Mei (team:U/1)"),
            "{}",
            listed.stdout
        );
        let code = listed.stdout.lines().nth(1).expect("a row");
        let code = code.split_whitespace().next().expect("a code").to_owned();

        let ran = workbench.run(&["pair", &code.to_lowercase()]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(ran.stdout, "Mei (team:U/1) is in, and was told\n");
        let again = workbench.run(&["pair", &code]);
        assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""));
        insta::assert_snapshot!(again.stderr, @r"
        error: nobody was given this code, or it has been used
        hint: `tieline pair` lists the codes that are good; whoever asked gets a new one by writing to the bot again
        ");

        let json = workbench.run(&["pair", "--json"]).stdout;
        let answer: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(answer["open"], serde_json::json!([]));
        assert_eq!(answer["paired"][0]["user"], "U/1");

        let ran = workbench.run(&["pair", "--revoke", "team:U/1"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(ran.stdout, "Mei (team:U/1) is let in no longer\n");
        let again = workbench.run(&["pair", "--revoke", "team:U/1"]);
        assert_eq!(again.code, Some(1));
        insta::assert_snapshot!(again.stderr, @r"
        error: team:U/1 is not paired
        hint: `tieline pair` lists who is; whoever the configuration names is let in by that
        ");
        let listed = workbench.run(&["pair"]);
        assert_eq!(listed.stdout, "nobody asks to be let in, and nobody was\n");
    };
    with_a_ledger(stranger_writes, scene).await;
}

#[tokio::test]
async fn what_is_no_code_and_nobody_is_said_so() {
    let (code, who) = with_a_daemon(|workbench| {
        (
            workbench.run(&["pair", "../status"]),
            workbench.run(&["pair", "--revoke", "Mei"]),
        )
    })
    .await;
    insta::assert_snapshot!(code.stderr, @r#"
    error: "../status" is not a code
    hint: a code is four letters and four digits, like ABCD-2345
    "#);
    insta::assert_snapshot!(who.stderr, @r#"
    error: "Mei" is nobody
    hint: write CHANNEL:USER, the channel by its name in the configuration
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_printed_for_people_and_as_json() {
    let (text, json) = with_a_daemon(|workbench| {
        (
            workbench.run(&["messages"]),
            workbench.run(&["messages", "-n", "3", "--json"]),
        )
    })
    .await;
    assert_eq!(
        (text.code, text.stdout.as_str()),
        (Some(0), "no messages\n")
    );
    let answer: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(answer, serde_json::json!({"messages": [], "next": null}));
}
