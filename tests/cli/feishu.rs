//! Setting Feishu up, and checking it.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tieline_feishu::setup::SCOPES;

use super::workbench::{Ran, Workbench};

const APP: &str = "cli_a1b2c3";
const SECRET: &str = "hunter2-secret";
const TOKEN: &str = "t-hunter2";

/// How a Feishu differs from one where all is well.
#[derive(Clone, Copy)]
enum Way {
    Well,
    Lacks(&'static str),
    /// Accounts are not told apart by code.
    NoRegistration,
    /// Whoever scans the code says no.
    Declined,
}

/// A Feishu with one app, open to everybody who scans a code at the second question. Its threads end
/// with the process: each waits for nobody but the program under test.
struct Feishu {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Feishu {
    fn start(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for connection in listener.incoming() {
                answer(connection.unwrap(), way, &noted);
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut connection: TcpStream, way: Way, asked: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let (head, body) = loop {
        let mut chunk = [0; 4096];
        match connection.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&chunk[..n]),
        }
        let text = String::from_utf8(request.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let line = line.to_lowercase();
            line.strip_prefix("content-length:")?.trim().parse().ok()
        });
        if body.len() >= length.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let mut name = head
        .split(' ')
        .nth(1)
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    if name == "registration" {
        let action = body.split('&').next().unwrap().replace("action=", "");
        name = action;
    }
    let mut asked = asked.lock().unwrap();
    let before = asked.iter().filter(|earlier| **earlier == name).count();
    let (status, body) = reply(&name, &head, &body, way, before);
    asked.push(name);
    let body = body.to_string();
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(response.as_bytes()).unwrap();
}

fn reply(name: &str, head: &str, body: &str, way: Way, before: usize) -> (&'static str, Value) {
    let knows_secret = body.contains(APP) && body.contains(SECRET);
    let ok = |body| ("200 OK", body);
    let bad = |body| ("400 Bad Request", body);
    match (name, way) {
        ("begin", Way::NoRegistration) => bad(json!({"error": "unsupported_archetype"})),
        ("begin", _) => ok(json!({
            "device_code": "hunter2-device", "interval": 1, "expires_in": 600,
            "verification_uri_complete": "http://127.0.0.1:9/verify?user_code=ABCD"
        })),
        ("poll", _) if before == 0 => bad(json!({"error": "authorization_pending"})),
        ("poll", Way::Declined) => bad(json!({"error": "access_denied"})),
        ("poll", _) => ok(json!({
            "client_id": APP, "client_secret": SECRET,
            "user_info": {"open_id": "ou_mei", "tenant_brand": "feishu"}
        })),
        ("internal", _) if knows_secret => {
            ok(json!({"code": 0, "msg": "ok", "tenant_access_token": TOKEN, "expire": 7200}))
        }
        ("internal", _) => bad(json!({"code": 10014, "msg": "app secret invalid"})),
        ("endpoint", _) if knows_secret => {
            let url = "ws://127.0.0.1:9/ws?device_id=1&service_id=1&ticket=hunter2";
            ok(json!({"code": 0, "data": {"URL": url}}))
        }
        _ if !head.contains(&format!("Bearer {TOKEN}")) => panic!("{name} without a token"),
        ("info", _) => ok(json!({
            "code": 0,
            "bot": {"activate_status": 2, "app_name": "coding-agent", "open_id": "ou_bot"}
        })),
        ("scopes", way) => {
            let status = |scope: &str| match way {
                Way::Lacks(missing) if missing == scope => 2,
                _ => 1,
            };
            let scopes: Vec<_> = SCOPES
                .iter()
                .map(|scope| json!({"scope_name": scope.name, "grant_status": status(scope.name)}))
                .collect();
            ok(json!({"code": 0, "data": {"scopes": scopes}}))
        }
        _ => panic!("{name} was not needed"),
    }
}

/// A workbench whose dispatcher has a Feishu channel, with its secret in a file.
fn configured(url: &str) -> Workbench {
    let workbench = Workbench::configured();
    let path = workbench.path("tieline.toml");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("[\"terminal\"]", "[\"terminal\", \"office\"]");
    let feishu = format!(
        "[channels.office]\nkind = \"feishu\"\napp_id = \"{APP}\"\n\
         app_secret = {{ file = \"secret\" }}\nbase_url = {url:?}\n"
    );
    fs::write(path, text + &feishu).unwrap();
    workbench
}

fn init<'a>(feishu: &'a Feishu, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["init", "feishu", "--base-url", &feishu.url];
    arguments.extend(["--accounts-url", &feishu.url]);
    arguments.extend(more);
    arguments
}

fn assert_shows_no_secret(ran: &Ran) {
    assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

/// Replaces the address of a Feishu, which is another one each time.
fn shown(text: &str, feishu: &Feishu) -> String {
    text.replace(&feishu.url, "$FEISHU")
}

const KEPT: &str = "home/.config/tieline/secrets/feishu-app-secret";
const WRITTEN: &str = "home/.config/tieline/tieline.toml";

#[test]
fn check_says_who_the_bot_is_and_what_feishu_does_not_tell() {
    let feishu = Feishu::start(Way::Well);
    let workbench = configured(&feishu.url);
    workbench.write("secret", SECRET);
    let ran = workbench.run(&["check"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_shows_no_secret(&ran);
    let told = shown(ran.stdout.split("\n\n").nth(1).unwrap(), &feishu);
    insta::assert_snapshot!(told, @r"
    channel office
      app         cli_a1b2c3
      bot         coding-agent (ou_bot)
      scopes      all that are needed
      connection  Feishu gives one
      events      Feishu does not tell whether the long connection is chosen, whether im.message.receive_v1, im.message.recalled_v1, card.action.trigger are subscribed to, and whether the latest version is published: look at Events & Callbacks and at Version Management & Release in $FEISHU/app/cli_a1b2c3; an answer to a direct message and to a mention shows that all is well
    ");
    assert_eq!(feishu.asked(), ["internal", "info", "scopes", "endpoint"]);
}

#[test]
fn missing_scope_that_is_essential_fails_a_check_and_another_one_does_not() {
    let feishu = Feishu::start(Way::Lacks("im:message:send_as_bot"));
    let workbench = configured(&feishu.url);
    workbench.write("secret", SECRET);
    let ran = workbench.run(&["check"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""));
    insta::assert_snapshot!(shown(&ran.stderr, &feishu), @r"
    error: channel `office` cannot work yet:
      - the app lacks the scope `im:message:send_as_bot` (answering)
        hint: open $FEISHU/app/cli_a1b2c3/auth?q=im:message:send_as_bot (or Permissions & Scopes → Batch import in the developer console), add it, then create a version and publish it
    ");

    let feishu = Feishu::start(Way::Lacks("im:resource"));
    let workbench = configured(&feishu.url);
    workbench.write("secret", SECRET);
    let ran = workbench.run(&["check"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let warning = "warning: channel `office`: the app lacks the scope `im:resource` (sending files \
                   and images)\n  hint: open ";
    assert!(ran.stderr.starts_with(warning), "{}", ran.stderr);
}

#[test]
fn refused_secret_fails_a_check_with_where_to_get_a_good_one() {
    let feishu = Feishu::start(Way::Well);
    let workbench = configured(&feishu.url);
    workbench.write("secret", "hunter2-other");
    let ran = workbench.run(&["check"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""));
    assert_shows_no_secret(&ran);
    insta::assert_snapshot!(ran.stderr, @r"
    error: channel `office` cannot work yet:
      - auth/v3/tenant_access_token: code 10014: app_id and app_secret do not fit: app secret invalid
        hint: check app_id and app_secret against Credentials in the developer console
    ");
    assert_eq!(feishu.asked(), ["internal"]);
}

#[test]
fn missing_secret_stops_a_check_and_init_says_how_to_hand_it_over() {
    let workbench = configured("http://127.0.0.1:9");
    let ran = workbench.run(&["check"]);
    assert_eq!(ran.code, Some(78));
    assert!(
        ran.stderr
            .contains("channels.office.app_secret: secret unavailable"),
        "{}",
        ran.stderr
    );
    let ran = workbench.run(&["init", "feishu"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(
        ran.stdout.contains("tieline init feishu --app\n"),
        "{}",
        ran.stdout
    );
}

#[test]
fn init_has_an_app_made_by_a_code_and_writes_what_is_not_there() {
    let feishu = Feishu::start(Way::Well);
    let workbench = Workbench::new();
    let ran = workbench.run(&init(&feishu, &[]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_shows_no_secret(&ran);
    assert!(
        ran.stderr
            .contains("http://127.0.0.1:9/verify?user_code=ABCD&from=sdk&source=tieline&tp=sdk"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("█▀"), "no code: {}", ran.stderr);
    insta::assert_snapshot!("init_feishu", shown(&ran.stdout, &feishu));
    let asked = [
        "begin", "poll", "poll", "internal", "info", "scopes", "endpoint",
    ];
    assert_eq!(feishu.asked(), asked);

    let secret = workbench.path(KEPT);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(fs::read_to_string(&secret).unwrap(), format!("{SECRET}\n"));
    assert_eq!(mode(&secret), 0o600);
    assert_eq!(mode(secret.parent().unwrap()), 0o700);
    let written = fs::read_to_string(workbench.path(WRITTEN)).unwrap();
    assert!(
        written.contains(&format!("app_id = \"{APP}\"")),
        "{written}"
    );
    assert!(
        written.contains("admins = [\"feishu:ou_mei\"]"),
        "{written}"
    );
    assert!(!written.contains("hunter2"), "{written}");

    // From now on it asks about this app, and makes no other.
    let ran = workbench.run(&["init", "feishu"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("coding-agent (ou_bot)"),
        "{}",
        ran.stdout
    );
    assert_eq!(
        feishu
            .asked()
            .iter()
            .filter(|asked| *asked == "begin")
            .count(),
        1
    );
    assert_eq!(
        fs::read_to_string(workbench.path(WRITTEN)).unwrap(),
        written
    );
}

#[test]
fn init_prints_the_block_for_a_configuration_that_is_there_and_makes_no_second_app() {
    let feishu = Feishu::start(Way::Well);
    let workbench = Workbench::configured();
    let before = fs::read_to_string(workbench.path("tieline.toml")).unwrap();
    let ran = workbench.run(&init(&feishu, &["--language", "zh"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let block = "tieline.toml is there already and is left as it is. Add to it\n\n    \
                 [channels.feishu]\n    kind = \"feishu\"\n    app_id = \"cli_a1b2c3\"\n    \
                 app_secret = { file = \"$DIR/home/.config/tieline/secrets/feishu-app-secret\" }\n    \
                 base_url = \"$FEISHU\"\n    accounts_url = \"$FEISHU\"\n    language = \"zh\"\n\n\
                 and \"feishu\" to the `channels` of a dispatcher, such as [dispatchers.flow].\n";
    let told = shown(&ran.stdout, &feishu);
    assert!(told.contains(block), "{told}");
    assert!(
        told.contains("接下来：\n\n 1. 在另一个终端中启动 tieline"),
        "{told}"
    );
    assert!(ran.stderr.contains("请用手机上的飞书"), "{}", ran.stderr);
    let path = workbench.path("tieline.toml");
    assert_eq!(fs::read_to_string(path).unwrap(), before);

    let ran = workbench.run(&init(&feishu, &[]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""));
    assert!(
        ran.stderr
            .contains("an app was made for channel `feishu` before"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        fs::read_to_string(workbench.path(KEPT)).unwrap(),
        format!("{SECRET}\n")
    );
}

#[test]
fn init_shows_the_steps_where_no_app_is_made_by_a_code_or_they_are_asked_for() {
    let feishu = Feishu::start(Way::NoRegistration);
    let workbench = Workbench::new();
    let ran = workbench.run(&init(&feishu, &[]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with(
            "warning: no app was made by a QR code: Feishu does not make an app this way"
        ),
        "{}",
        ran.stderr
    );
    insta::assert_snapshot!("init_feishu_by_hand", shown(&ran.stdout, &feishu));
    for not_there in [KEPT, WRITTEN] {
        assert!(!workbench.path(not_there).exists(), "{not_there}");
    }

    let ran = workbench.run(&["init", "feishu", "--manual", "--lark", "--language", "zh"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("init_lark_by_hand_in_chinese", ran.stdout);
}

#[test]
fn init_speaks_the_language_it_is_told_also_of_a_channel_that_speaks_another_one() {
    let workbench = configured("http://127.0.0.1:9");
    let ran = workbench.run(&["init", "feishu", "--manual", "--language", "zh"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("请在开发者后台"), "{}", ran.stdout);
    let said = "put `language = \"zh\"` under [channels.office]";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    let ran = workbench.run(&["init", "feishu", "--manual", "--language", "en"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn init_changes_nothing_when_whoever_scans_the_code_says_no() {
    let feishu = Feishu::start(Way::Declined);
    let workbench = Workbench::new();
    let ran = workbench.run(&init(&feishu, &[]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(
        ran.stderr.contains("it was declined in Feishu"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("hint: `--manual`"), "{}", ran.stderr);
    for not_there in [KEPT, WRITTEN] {
        assert!(!workbench.path(not_there).exists(), "{not_there}");
    }
}

#[test]
fn init_keeps_the_secret_of_an_app_that_is_there_once_feishu_accepts_it() {
    let feishu = Feishu::start(Way::Well);
    let workbench = Workbench::new();
    let arguments = init(&feishu, &["--app"]);
    let ran = workbench.run_with_input(&arguments, &format!("{APP}\nhunter2-other\n"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(78), ""));
    assert_shows_no_secret(&ran);
    assert!(!workbench.path(KEPT).exists() && !workbench.path(WRITTEN).exists());

    // The other way round would write the secret into the configuration.
    let ran = workbench.run_with_input(&arguments, &format!("{SECRET}\n{APP}\n"));
    assert_eq!(ran.code, Some(64));
    assert_shows_no_secret(&ran);

    let ran = workbench.run_with_input(&arguments, &format!("{APP}\n{SECRET}\n"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_shows_no_secret(&ran);
    assert!(
        ran.stdout.contains(" 2. While it runs, go on"),
        "{}",
        ran.stdout
    );
    assert_eq!(
        fs::read_to_string(workbench.path(KEPT)).unwrap(),
        format!("{SECRET}\n")
    );
    assert!(workbench.path(WRITTEN).exists());
}

#[test]
fn init_refuses_what_it_cannot_mean() {
    let workbench = configured("http://127.0.0.1:9");
    workbench.write("secret", SECRET);
    for (arguments, said) in [
        (
            &["--name", "terminal"][..],
            "is there already, of kind console",
        ),
        (&["--name", "a b"], "a name has 1 to 40"),
        (&["--manual", "--app"], "cannot be used with"),
        (&["--language", "fr"], "`en` (English) or `zh`"),
        (
            &["--base-url", "http://open.feishu.cn"],
            "for this machine only",
        ),
        (
            &["--lark", "--manual"],
            "is configured for the app cli_a1b2c3 at http://127.0.0.1:9/, not at \
             https://open.larksuite.com/",
        ),
    ] {
        let arguments: Vec<_> = ["init", "feishu"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let ran = workbench.run(&arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(64), ""),
            "{arguments:?}"
        );
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    // Another app is not put in the place of one that is configured.
    let ran = workbench.run_with_input(
        &["init", "feishu", "--app"],
        &format!("cli_other\n{SECRET}\n"),
    );
    assert_eq!(ran.code, Some(64), "{}", ran.stderr);
    assert!(ran.stderr.contains("is configured for the app cli_a1b2c3"));
}
