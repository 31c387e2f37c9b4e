//! Setting Slack up, and checking it.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process};
use tieline_slack::setup::{MANIFEST, SCOPES};

use super::workbench::{Ran, Workbench};

const APP: &str = "xapp-1-A1-hunter2";
const BOT: &str = "xoxb-1-hunter2";

/// A Slack that knows two tokens and gives the bot some scopes. Its threads end with the process:
/// each waits for nobody but the program under test.
struct Slack {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Slack {
    fn start(missing: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let noted = Arc::clone(&noted);
                thread::spawn(move || answer(connection.unwrap(), missing, &noted));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

fn answer(mut connection: TcpStream, missing: &str, asked: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        match connection.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&chunk[..n]),
        }
    }
    let request = String::from_utf8(request).unwrap();
    let method = request.split(' ').nth(1).unwrap().replace("/api/", "");
    asked.lock().unwrap().push(method.clone());
    let knows = |token: &str| request.contains(&format!("Bearer {token}\r\n"));
    let body = match method.as_str() {
        "auth.test" if knows(BOT) => {
            r#"{"ok":true,"team":"Acme","user":"coding-agent","team_id":"T1","user_id":"U1","bot_id":"B1"}"#
        }
        "apps.connections.open" if knows(APP) => r#"{"ok":true,"url":"wss://x/?ticket=hunter2"}"#,
        "auth.test" | "apps.connections.open" => r#"{"ok":false,"error":"invalid_auth"}"#,
        other => panic!("{other} was not needed"),
    };
    let scopes: Vec<_> = SCOPES
        .iter()
        .map(|scope| scope.name)
        .filter(|name| *name != missing)
        .collect();
    let response = format!(
        "HTTP/1.1 200 OK\r\nX-OAuth-Scopes: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        scopes.join(","),
        body.len()
    );
    connection.write_all(response.as_bytes()).unwrap();
}

/// A workbench whose dispatcher has a Slack channel, with its tokens in files.
fn configured(api_url: &str) -> Workbench {
    let workbench = Workbench::configured();
    let path = workbench.path("tieline.toml");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("[\"terminal\"]", "[\"terminal\", \"team\"]");
    let slack = format!(
        "[channels.team]\nkind = \"slack\"\napp_token = {{ file = \"app\" }}\n\
         bot_token = {{ file = \"bot\" }}\napi_url = {api_url:?}\n"
    );
    fs::write(path, text + &slack).unwrap();
    workbench
}

fn with_tokens(workbench: Workbench, app: &str, bot: &str) -> Workbench {
    workbench.write("app", app);
    workbench.write("bot", bot);
    workbench
}

fn assert_shows_no_token(ran: &Ran) {
    assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn check_says_who_the_bot_is_and_what_slack_does_not_tell() {
    let slack = Slack::start("");
    let ran = with_tokens(configured(&slack.url), APP, BOT).run(&["check"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_shows_no_token(&ran);
    let told = ran.stdout.split("\n\n").nth(1).unwrap();
    insta::assert_snapshot!(told, @r"
    channel team
      workspace   Acme (T1)
      bot         @coding-agent (U1)
      connection  Slack opens one: Socket Mode is on
      scopes      all that are needed
      events      Slack does not tell whether it sends app_mention, message.channels, message.groups, message.im, message.mpim, reaction_added; they are in the manifest, and an answer to a direct message and to a mention shows that they come
    ");
    assert_eq!(slack.asked(), ["apps.connections.open", "auth.test"]);
}

#[test]
fn missing_scope_that_is_essential_fails_a_check_and_another_one_does_not() {
    let slack = Slack::start("chat:write");
    let ran = with_tokens(configured(&slack.url), APP, BOT).run(&["check"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""));
    insta::assert_snapshot!(ran.stderr, @r"
    error: channel `team` cannot work yet:
      - the bot lacks the scope `chat:write` (answering)
        hint: at https://api.slack.com/apps, your app: OAuth & Permissions → Scopes → Bot Token Scopes → Add an OAuth Scope: `chat:write`; then Reinstall to Workspace at the top of the page
    ");

    let slack = Slack::start("files:read");
    let ran = with_tokens(configured(&slack.url), APP, BOT).run(&["check"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with(
            "warning: channel `team`: the bot lacks the scope `files:read` (reading files that \
             people send)\n  hint: at https://api.slack.com/apps, your app: "
        ),
        "{}",
        ran.stderr
    );
}

#[test]
fn refused_token_fails_a_check_with_where_to_get_a_good_one() {
    let slack = Slack::start("");
    let workbench = with_tokens(configured(&slack.url), APP, "xoxb-2-hunter2");
    let ran = workbench.run(&["check"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""));
    assert_shows_no_token(&ran);
    insta::assert_snapshot!(ran.stderr, @r"
    error: channel `team` cannot work yet:
      - Slack does not know the bot token (bot_token) (invalid_auth)
        hint: at https://api.slack.com/apps, your app: OAuth & Permissions → Bot User OAuth Token; copy xoxb-…
    ");
}

#[test]
fn slack_that_cannot_be_reached_does_not_fail_a_check() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let ran = with_tokens(configured(&url), APP, BOT).run(&["check"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_shows_no_token(&ran);
    let warning = "warning: channel `team`: Slack could not be asked: 127.0.0.1: ";
    assert_eq!(ran.stderr.matches(warning).count(), 1, "{}", ran.stderr);
}

#[test]
fn missing_secrets_stop_the_daemon_and_the_check_and_not_one_that_is_offline() {
    let workbench = configured("http://127.0.0.1:9/");
    for verb in ["run", "check"] {
        let ran = workbench.run(&[verb]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""), "{verb}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(ran.stderr, @r"
            error: secrets are missing:
              channels.team.app_token: secret unavailable: cannot read $DIR/app: No such file or directory (os error 2)
              channels.team.bot_token: secret unavailable: cannot read $DIR/bot: No such file or directory (os error 2)
            hint: a variable is set where tieline is started, for a service in its unit
            hint: `tieline init slack --tokens` and `tieline init feishu --app` ask for those of an app, and keep them
            ");
        }
    }
    // Nothing was begun.
    assert!(!workbench.path("state").exists());
    assert_eq!(workbench.run(&["check", "--offline"]).code, Some(0));
}

#[test]
fn init_writes_what_is_not_there_and_says_what_to_click() {
    let workbench = Workbench::new();
    let ran = workbench.run(&["init", "slack"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("init_slack", ran.stdout);
    let manifest = workbench.path("slack-app-manifest.yaml");
    assert_eq!(fs::read_to_string(&manifest).unwrap(), MANIFEST);
    let config = workbench.path("home/.config/tieline/tieline.toml");
    let written = fs::read_to_string(&config).unwrap();

    // What it wrote is a configuration, and what is there it leaves alone.
    let ran = workbench.run(&["check", "--offline"]);
    assert!(
        ran.stderr
            .starts_with("error: dispatcher `main` cannot run Codex"),
        "{}",
        ran.stderr
    );
    fs::write(&manifest, "mine").unwrap();
    let ran = workbench.run(&["init", "slack"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("is there already and differs"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("The tokens are not there yet:"),
        "{}",
        ran.stdout
    );
    assert_eq!(fs::read_to_string(&manifest).unwrap(), "mine");
    assert_eq!(fs::read_to_string(&config).unwrap(), written);
}

#[test]
fn init_prints_the_block_for_a_configuration_that_is_there() {
    let workbench = Workbench::configured();
    let before = fs::read_to_string(workbench.path("tieline.toml")).unwrap();
    let ran = workbench.run(&["init", "slack", "--name", "team"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let block = "tieline.toml is there already and is left as it is. Add to it\n\n    \
                 [channels.team]\n    kind = \"slack\"\n    \
                 app_token = { file = \"$DIR/home/.config/tieline/secrets/team-app-token\" }\n    \
                 bot_token = { file = \"$DIR/home/.config/tieline/secrets/team-bot-token\" }\n\n\
                 and \"team\" to the `channels` of a dispatcher, such as [dispatchers.flow].\n";
    assert!(ran.stdout.contains(block), "{}", ran.stdout);
    assert!(
        ran.stdout
            .contains("tieline init slack --tokens --name team\n"),
        "{}",
        ran.stdout
    );
    assert_eq!(
        fs::read_to_string(workbench.path("tieline.toml")).unwrap(),
        before
    );
}

#[test]
fn init_keeps_tokens_that_slack_accepts_where_the_channel_looks_for_them() {
    let slack = Slack::start("");
    let workbench = configured(&slack.url);
    // The other way round, as it happens.
    let ran = workbench.run_with_input(&["init", "slack", "--tokens"], &format!("{BOT}\n{APP}\n"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_shows_no_token(&ran);
    assert!(ran.stdout.contains("@coding-agent (U1)"), "{}", ran.stdout);
    assert!(ran.stdout.contains(" 1. Start tieline"), "{}", ran.stdout);
    let kept = |name: &str| {
        let path = workbench.path(name);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        (fs::read_to_string(path).unwrap(), mode)
    };
    assert_eq!(kept("app"), (format!("{APP}\n"), 0o600));
    assert_eq!(kept("bot"), (format!("{BOT}\n"), 0o600));
    assert!(!workbench.path("slack-app-manifest.yaml").exists());
    // From now on it finds them by itself.
    let ran = workbench.run(&["init", "slack"]);
    assert!(ran.stdout.contains("@coding-agent (U1)"), "{}", ran.stdout);
}

#[test]
fn init_keeps_no_token_that_slack_refuses() {
    let slack = Slack::start("");
    let workbench = with_tokens(configured(&slack.url), "old", "old");
    let input = format!("{APP}\nxoxb-2-hunter2\n");
    let ran = workbench.run_with_input(&["init", "slack", "--tokens"], &input);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""));
    assert_shows_no_token(&ran);
    assert!(
        ran.stderr.contains("hint: the tokens were not kept"),
        "{}",
        ran.stderr
    );
    for name in ["app", "bot"] {
        assert_eq!(fs::read_to_string(workbench.path(name)).unwrap(), "old");
    }
    let ran = workbench.run_with_input(&["init", "slack", "--tokens"], &format!("{APP}\n"));
    assert_eq!(ran.code, Some(64), "{}", ran.stderr);
}

#[test]
fn init_takes_tokens_of_the_environment_and_refers_to_them() {
    let workbench = Workbench::new();
    let output = workbench
        .tieline(&["init", "slack"])
        .env("SLACK_APP_TOKEN", BOT)
        .env("SLACK_BOT_TOKEN", APP)
        .output()
        .unwrap();
    let ran = workbench.ran(output);
    // They stand under each other's name, which needs no network to be seen.
    assert_eq!(ran.code, Some(78), "{}", ran.stderr);
    assert_shows_no_token(&ran);
    assert!(
        ran.stderr
            .contains("the bot token (bot_token) is an app-level token"),
        "{}",
        ran.stderr
    );
    let config = workbench.path("home/.config/tieline/tieline.toml");
    let written = fs::read_to_string(config).unwrap();
    assert!(
        written.contains("app_token = { env = \"SLACK_APP_TOKEN\" }"),
        "{written}"
    );
}

#[test]
fn init_refuses_what_it_cannot_mean() {
    let workbench = Workbench::configured();
    for (arguments, said) in [
        (&["init"][..], "Usage: tieline init"),
        (&["init", "telegram"], "unrecognized subcommand"),
        (
            &["init", "slack", "--name", "terminal"],
            "is there already, of kind console",
        ),
        (&["init", "slack", "--name", "a b"], "a name has 1 to 40"),
        (
            &["init", "slack", "--print", "--tokens"],
            "cannot be used with",
        ),
    ] {
        let ran = workbench.run(arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(64), ""),
            "{arguments:?}"
        );
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    assert!(!Path::new(&workbench.path("slack-app-manifest.yaml")).exists());
}

#[test]
fn manifest_is_printed_as_it_is() {
    let workbench = Workbench::new();
    let ran = workbench.run(&["init", "slack", "--print"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), MANIFEST));
    assert!(!workbench.path("slack-app-manifest.yaml").exists());
}

#[test]
fn log_shows_no_secret_whoever_writes_one_into_it() {
    let workbench = with_tokens(configured("http://127.0.0.1:9/"), APP, BOT);
    // The daemon's first line names its configuration.
    let config = format!("{BOT}.toml");
    fs::rename(workbench.path("tieline.toml"), workbench.path(&config)).unwrap();
    let mut daemon = workbench
        .tieline(&["run", "--config", &config])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(daemon.stderr.take().unwrap());
    let mut first = String::new();
    log.read_line(&mut first).unwrap();
    let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(0), "{rest}");
    assert!(first.contains("/[secret].toml"), "{first}");
    assert!(!first.contains("hunter2") && !rest.contains("hunter2"));
}
