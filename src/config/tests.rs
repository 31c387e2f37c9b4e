use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pretty_assertions::assert_eq;
use proptest::prelude::*;
use tieline_channel::{ChannelId, Language, UserId};

use super::*;

const EXAMPLE: &str = include_str!("../../tieline.example.toml");

const MINIMAL: &str = r#"
[channels.terminal]
kind = "console"

[dispatchers.flow]
workspace = "/"
channels = ["terminal"]
"#;

fn parse(text: &str) -> Result<Loaded, Report> {
    Config::parse(
        text,
        Path::new("/etc/tieline.toml"),
        Some(Path::new("/home/mei")),
    )
}

fn config(text: &str) -> Config {
    match parse(text) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{report}"),
    }
}

fn with_flow(settings: &str) -> DispatcherConfig {
    config(&format!("{MINIMAL}{settings}"))
        .dispatchers
        .remove(&DispatcherId::new("flow"))
        .unwrap()
}

#[test]
fn minimal_file_gets_every_default() {
    let config = config(MINIMAL);
    assert_eq!(config.path, Path::new("/etc/tieline.toml"));
    assert_eq!(
        config.daemon,
        DaemonConfig {
            state_dir: PathBuf::from("/home/mei/.local/state/tieline"),
            log: "info".into(),
            log_file: LogFile::Standard,
        }
    );
    let terminal = ChannelId::new("terminal");
    assert_eq!(
        config.channels,
        [(
            terminal.clone(),
            ChannelConfig::Console(ConsoleConfig {
                socket: None,
                language: Language::English,
            })
        )]
        .into()
    );
    assert_eq!(
        config.console_socket(&terminal),
        Some(PathBuf::from(
            "/home/mei/.local/state/tieline/console-terminal.sock"
        ))
    );
    let flow = DispatcherConfig {
        workspace: PathBuf::from("/"),
        channels: vec![terminal],
        sessions: Sessions::Shared,
        sandbox: Sandbox::WorkspaceWrite,
        sandbox_is_given: false,
        approvals: Approvals::Deny,
        reply: Reply::Final,
        on_busy: OnBusy::Queue,
        on_interrupted: OnInterrupted::Continue,
        on_lost_thread: OnLostThread::Fresh,
        turn_idle_timeout: Duration::from_secs(600),
        stale_after: Duration::from_secs(900),
        completion_chars: 32_000,
        teammates: TeammatesConfig {
            max: 20,
            parallel: 8,
            announce: true,
        },
        restart: RestartConfig {
            base: Duration::from_secs(1),
            max: Duration::from_secs(30),
        },
        model: None,
        effort: None,
        instructions: None,
        base_instructions: None,
        prompts: Prompts::embedded(),
        skills: Vec::new(),
        mcp_servers: None,
        profile: None,
        access: Access {
            direct: Direct::Pairing,
            groups: Groups::Listed,
            mention: true,
            users: BTreeSet::new(),
            chats: BTreeSet::new(),
            admins: BTreeSet::new(),
            approvers: BTreeSet::new(),
            viewers: BTreeSet::new(),
            bots: BTreeSet::new(),
            max_per_minute: None,
        },
        codex: CodexConfig {
            bin: PathBuf::from("codex"),
            home: PathBuf::from("/home/mei/.codex"),
            config: Vec::new(),
            transport: Transport::Unix,
            env: BTreeMap::new(),
        },
    };
    assert_eq!(
        config.dispatchers,
        [(DispatcherId::new("flow"), flow)].into()
    );
}

fn slack(settings: &str) -> Result<SlackConfig, Report> {
    let tokens = "app_token = { env = \"APP\" }\nbot_token = { file = \"bot\" }\n";
    let text = format!("{MINIMAL}[channels.team]\nkind = \"slack\"\n{tokens}{settings}");
    let mut loaded = parse(&text)?;
    match loaded.config.channels.remove(&ChannelId::new("team")) {
        Some(ChannelConfig::Slack(slack)) => Ok(slack),
        other => panic!("{other:?}"),
    }
}

#[test]
fn slack_channel_gets_its_defaults() {
    assert_eq!(
        slack("").unwrap(),
        SlackConfig {
            app_token: SecretSource::Env("APP".into()),
            bot_token: SecretSource::File(PathBuf::from("/etc/bot")),
            api_url: "https://slack.com/api/".parse().unwrap(),
            reactions: true,
            language: Language::English,
        }
    );
    assert!(!slack("reactions = false").unwrap().reactions);
}

#[test]
fn tokens_are_sent_over_tls_or_to_this_machine() {
    for (given, url) in [
        ("https://slack-gov.com/api/", "https://slack-gov.com/api/"),
        ("https://slack-gov.com/api", "https://slack-gov.com/api/"),
        ("https://proxy.example", "https://proxy.example/"),
        ("http://127.0.0.1:4000/api", "http://127.0.0.1:4000/api/"),
        ("http://[::1]:4000", "http://[::1]:4000/"),
        ("http://localhost:4000", "http://localhost:4000/"),
    ] {
        let read = slack(&format!("api_url = {given:?}")).unwrap();
        assert_eq!(read.api_url.as_str(), url);
    }
    for refused in [
        "http://slack.com/api/",
        "http://localhost.example/",
        "http://10.0.0.1/",
        "ftp://slack.com/",
        "slack.com/api",
        "https://user@slack.com/",
        "https://slack.com/api/?a=b",
        "",
    ] {
        let report = slack(&format!("api_url = {refused:?}")).unwrap_err();
        assert_eq!(report.n_errors(), 1, "{refused}: {report}");
    }
}

fn feishu(settings: &str) -> Result<FeishuConfig, Report> {
    let app = "app_id = \"cli_1\"\napp_secret = { file = \"secret\" }\n";
    let text = format!("{MINIMAL}[channels.team]\nkind = \"feishu\"\n{app}{settings}");
    let mut loaded = parse(&text)?;
    match loaded.config.channels.remove(&ChannelId::new("team")) {
        Some(ChannelConfig::Feishu(feishu)) => Ok(feishu),
        other => panic!("{other:?}"),
    }
}

#[test]
fn feishu_channel_gets_its_defaults() {
    let by_default = FeishuConfig {
        app_id: "cli_1".to_owned(),
        app_secret: SecretSource::File(PathBuf::from("/etc/secret")),
        base_url: "https://open.feishu.cn/".parse().unwrap(),
        accounts_url: "https://accounts.feishu.cn/".parse().unwrap(),
        reactions: true,
        language: Language::English,
    };
    assert_eq!(feishu("").unwrap(), by_default);
    assert!(!feishu("reactions = false").unwrap().reactions);
    // The accounts of Lark are at Lark.
    let lark = FeishuConfig {
        base_url: "https://open.larksuite.com/".parse().unwrap(),
        accounts_url: "https://accounts.larksuite.com/".parse().unwrap(),
        ..by_default
    };
    let settings = "base_url = \"https://open.larksuite.com\"";
    assert_eq!(feishu(settings).unwrap(), lark);
}

#[test]
fn app_of_feishu_is_one_channel() {
    let second = |settings: &str| {
        let app = "app_id = \"cli_1\"\napp_secret = { env = \"SECRET\" }\n";
        feishu(&format!(
            "[channels.twin]\nkind = \"feishu\"\n{app}{settings}"
        ))
    };
    insta::assert_snapshot!(second("").unwrap_err(), @r"
    /etc/tieline.toml:12:11: error: channel `team` is the app cli_1 already, and each would get a part of the messages
        |
     12 | [channels.twin]
        |           ^^^^
        = hint: remove one of the two, or make another app for it
    ");
    // It is another one at Lark.
    assert!(second("base_url = \"https://open.larksuite.com\"").is_ok());
}

#[test]
fn secret_of_feishu_is_sent_over_tls_or_to_this_machine() {
    for key in ["base_url", "accounts_url"] {
        let local = format!("{key} = \"http://127.0.0.1:4000\"");
        assert!(feishu(&local).is_ok());
        for refused in [
            "http://open.feishu.cn",
            "ftp://open.feishu.cn",
            "open.feishu.cn",
        ] {
            let report = feishu(&format!("{key} = {refused:?}")).unwrap_err();
            assert_eq!(report.n_errors(), 1, "{refused}: {report}");
        }
    }
}

#[test]
fn every_kind_of_channel_speaks_the_language_it_is_told_to() {
    let text = r#"
[channels.terminal]
kind = "console"
language = "zh"

[channels.lark]
kind = "feishu"
app_id = "cli_1"
app_secret = { env = "SECRET" }
language = "zh"

[channels.team]
kind = "slack"
app_token = { env = "APP" }
bot_token = { env = "BOT" }
language = "zh"

[channels.other]
kind = "console"
language = "en"

[dispatchers.flow]
workspace = "/"
channels = ["terminal", "lark", "team", "other"]
"#;
    let languages = config(text).languages();
    let of = |name| languages.of(&ChannelId::new(name));
    for name in ["terminal", "lark", "team"] {
        assert_eq!(of(name), Language::Chinese, "{name}");
    }
    assert_eq!(of("other"), Language::English);
    assert_eq!(of("gone"), Language::English);

    let report = parse(&text.replace("\"en\"", "\"fr\"")).unwrap_err();
    let shown = report.to_string();
    assert!(
        shown.contains("`channels.other.language`: expected \"en\" or \"zh\""),
        "{shown}"
    );
}

#[test]
fn codex_keys_of_a_dispatcher_replace_those_of_all() {
    let flow = with_flow(
        r#"
codex = { home = "codex-home", env = { LANG = "C" } }

[codex]
bin = "~/bin/codex"
home = "/srv/codex"
config = ["a=1"]
env = { TZ = "UTC" }
transport = "ws://127.0.0.1:4500"
"#,
    );
    assert_eq!(
        flow.codex,
        CodexConfig {
            bin: PathBuf::from("/home/mei/bin/codex"),
            home: PathBuf::from("/etc/codex-home"),
            config: vec!["a=1".into()],
            transport: Transport::Endpoint("ws://127.0.0.1:4500".into()),
            env: [("LANG".to_owned(), "C".to_owned())].into(),
        }
    );
}

#[test]
fn inline_table_and_section_read_the_same() {
    assert_eq!(
        with_flow("codex = { transport = \"stdio\" }"),
        with_flow("[dispatchers.flow.codex]\ntransport = \"stdio\"")
    );
}

#[test]
fn access_entries_split_at_the_first_colon() {
    let flow = with_flow("access = { users = [\"terminal:a:b\"] }");
    assert_eq!(
        flow.access.users,
        [(ChannelId::new("terminal"), UserId::new("a:b"))].into()
    );
}

#[test]
fn instructions_may_stand_in_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("flow.md"), "Be brief.\n").unwrap();
    let text = format!(
        "{MINIMAL}instructions = \"Be kind.\"\nbase_instructions = {{ file = \"flow.md\" }}"
    );
    let path = directory.path().join("tieline.toml");
    let config = Config::parse(&text, &path, None).map(|loaded| loaded.config);
    // No home directory, and nobody said where the state goes.
    assert_eq!(config.unwrap_err().n_errors(), 1);
    let text = format!("{text}\n[daemon]\nstate_dir = \"state\"");
    let config = Config::parse(&text, &path, None).unwrap().config;
    assert_eq!(config.daemon.state_dir, directory.path().join("state"));
    let flow = &config.dispatchers[&DispatcherId::new("flow")];
    assert_eq!(flow.instructions.as_deref(), Some("Be kind."));
    assert_eq!(flow.base_instructions.as_deref(), Some("Be brief.\n"));
}

#[test]
fn mcp_servers_are_passed_on_as_they_are() {
    let flow = with_flow(
        "mcp_servers.files = { command = \"mcp\", args = [\"-v\"], timeout = 0x10, ratio = 0.5 }",
    );
    assert_eq!(
        flow.mcp_servers,
        Some(serde_json::json!({
            "files": { "command": "mcp", "args": ["-v"], "timeout": 16, "ratio": 0.5 }
        }))
    );
}

#[test]
fn debug_shows_no_value_that_may_be_secret() {
    let flow = with_flow(
        r#"
mcp_servers.files = { command = "mcp", env = { TOKEN = "hunter2" } }
codex = { env = { API_KEY = "hunter2" }, config = ["key=hunter2"] }
"#,
    );
    let shown = format!("{flow:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("API_KEY"), "{shown}");
}

#[test]
fn channel_that_nobody_has_is_a_warning() {
    let loaded = parse(&format!("{MINIMAL}[channels.spare]\nkind = \"console\"")).unwrap();
    insta::assert_snapshot!(loaded.warnings, @r#"
    /etc/tieline.toml:8:11: warning: no dispatcher has channel `spare`: it will not be connected
       |
     8 | [channels.spare]
       |           ^^^^^
       = hint: name it in the `channels` of a dispatcher, or remove it
    "#);
}

#[test]
fn settings_without_effect_say_what_happens_instead() {
    let settings = "approvals = \"chat\"\n";
    let loaded = parse(&format!("{MINIMAL}{settings}")).unwrap();
    let warnings = loaded.warnings.to_string();
    let instead = "8:13: warning: `approvals` has no effect in this version: whatever needs an \
                   approval is denied";
    assert!(warnings.contains(instead), "{warnings}");
    assert_eq!(loaded.warnings.n_warnings(), 1, "{warnings}");
    let settings = "approvals = \"deny\"\n";
    let loaded = parse(&format!("{MINIMAL}{settings}")).unwrap();
    assert_eq!(loaded.warnings.to_string(), "");
}

#[test]
fn marks_stand_below_wide_characters_and_tabs() {
    let report = parse(&format!("{MINIMAL}\tmodel = [\"日本\", 5] # 日本")).unwrap_err();
    insta::assert_snapshot!(report, @r#"
    /etc/tieline.toml:8:10: error: `dispatchers.flow.model`: expected the name of a model, found a list
       |
     8 | 	model = ["日本", 5] # 日本
       | 	        ^^^^^^^^^^^
    "#);
    let report = parse(&format!("{MINIMAL}日本 = {{ 語 = 5 }}")).unwrap_err();
    insta::assert_snapshot!(report, @"
    /etc/tieline.toml:8:1: error: invalid unquoted key, expected letters, numbers, `-`, `_`
       |
     8 | 日本 = { 語 = 5 }
       | ^^^^

    /etc/tieline.toml:8:8: error: invalid unquoted key, expected letters, numbers, `-`, `_`
       |
     8 | 日本 = { 語 = 5 }
       |          ^^
    ");
}

#[test]
fn secret_written_into_the_file_is_not_shown() {
    for text in [
        "bot_token = \"xoxb-hunter2\"",
        "bot_token = \"xoxb-hunter2",
        "bot_token = [\"hunter2\"]",
        "bot_token = { env = [\"hunter2\"], file = \"hunter2\" }",
    ] {
        let shown = match read_secret(text) {
            Ok(source) => panic!("{text} is taken for {source}"),
            Err(report) => report.to_string(),
        };
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("1:"), "{shown}");
    }
}

#[test]
fn secret_sources_are_read() {
    for (text, source) in [
        (r#"{ env = "TOKEN" }"#, SecretSource::Env("TOKEN".into())),
        (
            r#"{ file = "token" }"#,
            SecretSource::File(PathBuf::from("/etc/token")),
        ),
        (
            r#"{ command = ["pass", "show", "slack"] }"#,
            SecretSource::Command(vec!["pass".into(), "show".into(), "slack".into()]),
        ),
    ] {
        assert_eq!(read_secret(&format!("bot_token = {text}")), Ok(source));
    }
}

fn read_secret(text: &str) -> Result<SecretSource, Report> {
    let path = Path::new("/etc/tieline.toml");
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problems = errors.iter().map(|e| syntax_error(e, text)).collect();
        return Err(Report::new(path, text, problems, hide_quoted(text)));
    }
    let reading = Reading::new(PathBuf::from("/etc"), None);
    let mut root = Table::root(&reading, document.get_ref());
    let source = root
        .require("bot_token", "a secret")
        .and_then(SecretSource::read);
    root.finish();
    let (problems, hidden, _) = reading.finish();
    match source {
        Some(source) if problems.is_empty() => Ok(source),
        _ => Err(Report::new(path, text, problems, hidden)),
    }
}

#[test]
fn file_that_is_no_text_is_reported_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tieline.toml");
    fs::write(&path, b"[daemon]\nlog = \"\xff\"\n").unwrap();
    let Err(LoadError::Invalid(report)) = Config::load(&path) else {
        panic!("it was read");
    };
    assert_eq!(report.problems()[0].message, "this is not UTF-8 text");
    assert_eq!(report.line_column(report.problems()[0].span.start), (2, 8));
}

#[test]
fn report_of_a_file_that_is_something_else_ends() {
    let text: String = (0..150).map(|n| format!("a{n} = 1\n")).collect();
    let shown = parse(&text).unwrap_err().to_string();
    assert_eq!(shown.matches(": error: ").count(), 100);
    // One of the errors is that there is no dispatcher.
    assert!(shown.ends_with("\n… and 51 more\n"), "{shown}");
}

#[test]
fn deep_nesting_is_an_error_and_not_an_overflow() {
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("a = {}", "{ a = ".repeat(50_000)),
        format!("{} = 1", vec!["a"; 100_000].join(".")),
        format!("[{}]", vec!["a"; 100_000].join(".")),
    ] {
        assert!(parse(&text).is_err());
    }
}

#[test]
fn endless_file_is_refused() {
    let Err(LoadError::Read { source, .. }) = Config::load(Path::new("/dev/zero")) else {
        panic!("it was read");
    };
    assert_eq!(source.kind(), io::ErrorKind::FileTooLarge);
}

/// Makes a home directory in which the paths of the example exist.
fn home_of_the_example() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for directory in ["skills", "prompts"] {
        fs::create_dir_all(home.path().join("code/flow").join(directory)).unwrap();
    }
    fs::write(home.path().join("code/flow/base.md"), "You are flow.").unwrap();
    home
}

fn config_at(text: &str, home: &Path) -> Config {
    let loaded = Config::parse(text, Path::new("/etc/tieline.toml"), Some(home));
    let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
    // The example shows every setting, also those that have no effect yet, and every kind of
    // channel, also those that its dispatcher does not have.
    for problem in loaded.warnings.problems() {
        let message = &problem.message;
        assert!(
            message.contains("no effect") || message.contains("no dispatcher has channel"),
            "{}",
            loaded.warnings
        );
    }
    loaded.config
}

#[test]
fn example_holds_the_defaults() {
    let home = home_of_the_example();
    let minimal = MINIMAL.replace("\"/\"", "\"~/code/flow\"");
    let mut expected = config_at(&minimal, home.path());
    // The example writes down where the socket is by default.
    let terminal = ChannelId::new("terminal");
    let socket = expected.console_socket(&terminal);
    let console = ChannelConfig::Console(ConsoleConfig {
        socket,
        language: Language::English,
    });
    expected.channels.insert(terminal, console);
    // It says what the default is.
    for dispatcher in expected.dispatchers.values_mut() {
        dispatcher.sandbox_is_given = true;
    }
    assert_eq!(config_at(EXAMPLE, home.path()), expected);
}

/// In the example `#key` is a setting that is off, `# text` a comment.
fn example_with_everything_on() -> String {
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                setting
            }
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn example_with_everything_on_is_valid() {
    let home = home_of_the_example();
    let config = config_at(&example_with_everything_on(), home.path());
    let flow = config.dispatchers.values().next().unwrap();
    assert!(flow.model.is_some() && flow.mcp_servers.is_some());
}

#[test]
fn example_has_every_key() {
    let text = example_with_everything_on();
    let (_, asked) = read_document(&text, Path::new("/etc/tieline.toml"), None);
    let written = keys_of(&text.parse::<toml::Table>().unwrap());
    let missing: Vec<_> = asked
        .iter()
        .filter(|key| !written.contains(*key))
        // The keys of [codex] need not all be shown twice.
        .filter(|key| !key.starts_with("dispatchers.flow.codex."))
        // A secret has one source of the three.
        .filter(|key| {
            let secrets = ["_token.", "_secret.", ".credentials."];
            !secrets.iter().any(|it| key.contains(it))
        })
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn documentation_has_every_key() {
    let manual = include_str!("../../docs/configuration.md");
    let text = example_with_everything_on();
    let (_, asked) = read_document(&text, Path::new("/etc/tieline.toml"), None);
    let missing: Vec<_> = asked
        .iter()
        .filter_map(|key| key.rsplit('.').next())
        .filter(|key| {
            let ways = [format!("`{key}`"), format!("{key} = "), format!("[{key}")];
            !ways.iter().any(|way| manual.contains(way))
        })
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

fn keys_of(table: &toml::Table) -> BTreeSet<String> {
    table
        .iter()
        .flat_map(|(key, value)| {
            let below = value.as_table().map(keys_of).unwrap_or_default();
            below
                .into_iter()
                .map(move |below| format!("{key}.{below}"))
                .chain([key.clone()])
        })
        .collect()
}

#[test]
fn discovery_goes_by_its_order() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let mut surroundings = Surroundings {
        variable: None,
        directory: path("work"),
        xdg_config_home: None,
        home: Some(path("home")),
    };
    fs::create_dir_all(path("work")).unwrap();
    fs::create_dir_all(path("home/.config/tieline")).unwrap();
    fs::create_dir_all(path("xdg/tieline")).unwrap();

    let not_found = discover(None, &surroundings).unwrap_err();
    let outcomes: Vec<_> = not_found.looked.iter().map(|l| l.outcome.clone()).collect();
    assert_eq!(
        outcomes,
        [
            "not given".to_owned(),
            "not set".to_owned(),
            format!("no {}", path("work/tieline.toml").display()),
            format!("no {}", path("home/.config/tieline/tieline.toml").display()),
        ]
    );

    fs::write(path("home/.config/tieline/tieline.toml"), "").unwrap();
    assert_eq!(
        discover(None, &surroundings),
        Ok(path("home/.config/tieline/tieline.toml"))
    );
    surroundings.xdg_config_home = Some(path("xdg"));
    fs::write(path("xdg/tieline/tieline.toml"), "").unwrap();
    assert_eq!(
        discover(None, &surroundings),
        Ok(path("xdg/tieline/tieline.toml"))
    );
    fs::write(path("work/tieline.toml"), "").unwrap();
    assert_eq!(
        discover(None, &surroundings),
        Ok(PathBuf::from("tieline.toml"))
    );
    surroundings.variable = Some(path("nowhere.toml"));
    assert_eq!(discover(None, &surroundings), Ok(path("nowhere.toml")));
    assert_eq!(
        discover(Some(Path::new("other.toml")), &surroundings),
        Ok(PathBuf::from("other.toml"))
    );
}

proptest! {
    #[test]
    fn garbage_gives_a_report_and_never_panics(text in any::<String>()) {
        if let Err(report) = parse(&text) {
            prop_assert!(report.n_errors() > 0);
            prop_assert!(report.to_string().contains(": error: "));
        }
    }

    #[test]
    fn damaged_example_gives_a_report_and_never_panics(
        at in 0..EXAMPLE.len(),
        length in 0..40_usize,
        instead in "[\\PC\n\"\\[\\]{}=]{0,5}",
    ) {
        let mut bytes = example_with_everything_on().into_bytes();
        let at = at.min(bytes.len());
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, instead.bytes());
        let text = String::from_utf8_lossy(&bytes);
        if let Err(report) = parse(&text) {
            prop_assert!(!report.to_string().is_empty());
            for problem in report.problems() {
                prop_assert!(!problem.message.contains('\n'));
                prop_assert!(problem.span.start <= text.len());
            }
        }
    }

    #[test]
    fn any_value_anywhere_is_reported_in_the_order_of_the_file(
        key in prop::sample::select(vec![
            "sessions", "sandbox", "skills", "access", "codex", "restart", "mcp_servers",
            "instructions", "stale_after", "model", "channels", "workspace",
        ]),
        value in prop::sample::select(vec![
            "1", "-0.5", "nan", "true", "\"\"", "\"\\u0000\"", "[]", "[[]]", "{}", "{ a = [1] }",
            "2026-11-20", "99999999999999999999", "\"~\"", "[\"~x\", 5]",
        ]),
    ) {
        let text = format!("[dispatchers.flow]\n{key} = {value}\n[channels]\nx = {value}\n");
        let report = parse(&text).unwrap_err();
        let starts: Vec<_> = report.problems().iter().map(|p| p.span.start).collect();
        prop_assert!(starts.is_sorted());
    }
}
