//! `tieline status`: how a running daemon is.

use std::time::SystemTime;

use comfy_table::Table;
use tieline_channel::Link;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Failure, count};
use crate::cli::output::{self, plain};
use crate::cli::table::{right_align, since, table, write};
use crate::control::{
    ChannelStatus, ChildStatus, Client, DispatcherStatus, HistoryStatus, LaneStatus, LastTurn,
    OutboxStatus, ProfileStatus, Status, TeammateCounts,
};

/// Show how the running daemon is
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Print the daemon's answer to `GET /v1/status` as it is
    #[arg(long)]
    json: bool,
}

/// Asks the daemon and prints its answer.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let text = if args.json {
        // Not through `Status`: a newer daemon may tell more than this version knows.
        output::json(&client.get("/v1/status").await?)?
    } else {
        render(&client.status().await?, SystemTime::now())
    };
    output::print(&text)
}

/// Writes a status for people, as of `now`.
fn render(status: &Status, now: SystemTime) -> String {
    let parts = [
        render_daemon(status, now),
        render_dispatchers(&status.dispatchers, now),
        render_lanes(&status.dispatchers, now),
        render_channels(&status.channels, now),
        render_counts(status),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

fn render_daemon(status: &Status, now: SystemTime) -> String {
    let Status {
        version,
        pid,
        config,
        state_dir,
        ..
    } = status;
    let up = since(status.started_at, now);
    format!(
        "tieline {version}, process {pid}, up {up}\nconfiguration {}\nstate {}\n",
        config.display(),
        state_dir.display(),
    )
}

fn render_dispatchers(dispatchers: &[DispatcherStatus], now: SystemTime) -> String {
    let mut table = table(["DISPATCHER", "STATE", "FOR", "CODEX", "RESTARTS", "WAITING"]);
    right_align(&mut table, &[4, 5]);
    for dispatcher in dispatchers {
        table.add_row([
            dispatcher.id.to_string(),
            dispatcher.state.as_str().to_owned(),
            since(dispatcher.since, now),
            dispatcher
                .child
                .as_ref()
                .map_or("-".to_owned(), |child| describe_child(child, now)),
            dispatcher.restarts.to_string(),
            dispatcher.waiting.to_string(),
        ]);
    }
    let errors = dispatchers
        .iter()
        .map(|dispatcher| (dispatcher.id.as_str(), dispatcher.last_error.as_deref()));
    let mut text = section(&table, errors);
    for dispatcher in dispatchers {
        if let Some(profile) = &dispatcher.profile {
            let described = describe_profile(profile);
            text.push_str(&format!("  {}: {}\n", dispatcher.id, plain(&described)));
        }
        if let Some(sandbox) = &dispatcher.sandbox
            && sandbox.requested != sandbox.effective
        {
            text.push_str(&format!(
                "  {}: sandbox {}, narrowed from {} by {}\n",
                dispatcher.id,
                plain(&sandbox.effective),
                plain(&sandbox.requested),
                plain(&sandbox.source),
            ));
        }
        if let Some(login) = &dispatcher.login_problem {
            text.push_str(&format!(
                "! {}: Codex cannot sign in since {} ({}): {}\n  mend it: {}; messages are kept until then\n",
                dispatcher.id,
                since(login.since, now),
                plain(&login.kind),
                plain(&login.message),
                plain(&login.remedy),
            ));
        }
        for warning in &dispatcher.warnings {
            text.push_str(&format!("  {}: {}\n", dispatcher.id, plain(warning)));
        }
        if let Some(teammates) = describe_teammates(dispatcher.teammates) {
            text.push_str(&format!("  {}: teammates: {teammates}\n", dispatcher.id));
        }
    }
    text
}

/// Says what a profile is, without any value that must not be seen.
fn describe_profile(profile: &ProfileStatus) -> String {
    let mut parts = vec![format!("profile {}", profile.name)];
    parts.extend(profile.provider.as_ref().map(|it| format!("provider {it}")));
    parts.extend(profile.model.as_ref().map(|it| format!("model {it}")));
    let tokens = profile.context_window;
    parts.extend(tokens.map(|it| format!("{it} tokens in view")));
    if let Some(storage) = &profile.storage {
        let directory = storage
            .subdir
            .as_ref()
            .map_or_else(|| storage.path.clone(), |subdir| storage.path.join(subdir));
        parts.push(format!(
            "rollouts in {} ({})",
            storage.name,
            directory.display()
        ));
    }
    parts.join(", ")
}

/// Says what teammates are at, if there are any.
fn describe_teammates(counts: TeammateCounts) -> Option<String> {
    let TeammateCounts {
        working,
        waiting,
        idle,
    } = counts;
    let parts: Vec<_> = [(working, "working"), (waiting, "waiting"), (idle, "idle")]
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, state)| format!("{n} {state}"))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn describe_child(child: &ChildStatus, now: SystemTime) -> String {
    let mut text = plain(&child.state);
    if let Some(version) = &child.version {
        text.push_str(&format!(" {}", plain(version)));
    }
    if let Some(pid) = child.pid {
        text.push_str(&format!(", process {pid}"));
    }
    if let Some(started_at) = child.started_at {
        text.push_str(&format!(", up {}", since(started_at, now)));
    }
    text
}

fn render_lanes(dispatchers: &[DispatcherStatus], now: SystemTime) -> String {
    let mut table = table([
        "LANE",
        "STATE",
        "WAITING",
        "TURN FOR",
        "LAST TURN",
        "THREAD",
    ]);
    right_align(&mut table, &[2]);
    let lanes = dispatchers.iter().flat_map(|dispatcher| &dispatcher.lanes);
    // What teammates do, `tieline teammates` tells.
    for lane in lanes.filter(|lane| lane.teammate.is_none()) {
        let LaneStatus {
            id,
            teammate: _,
            session: _,
            thread,
            state,
            waiting,
            open_turn,
            last_turn,
        } = lane;
        let turn = open_turn
            .as_ref()
            .map_or("-".to_owned(), |turn| since(turn.started_at, now));
        table.add_row([
            plain(id.as_str()),
            plain(state),
            waiting.to_string(),
            turn,
            last_turn
                .as_ref()
                .map_or("-".to_owned(), |last| describe_last(last, now)),
            thread
                .as_ref()
                .map_or("-".to_owned(), |id| plain(id.as_str())),
        ]);
    }
    section(&table, std::iter::empty())
}

fn describe_last(last: &LastTurn, now: SystemTime) -> String {
    let how = last.failure.as_ref().unwrap_or(&last.outcome);
    format!("{} {} ago", plain(how), since(last.settled_at, now))
}

fn render_channels(channels: &[ChannelStatus], now: SystemTime) -> String {
    let mut table = table(["CHANNEL", "KIND", "STATE", "FOR", "LAST HEARD"]);
    for channel in channels {
        let heard = channel
            .heard_at
            .map_or("never".to_owned(), |at| format!("{} ago", since(at, now)));
        table.add_row([
            channel.id.to_string(),
            plain(&channel.kind),
            describe_link(channel.state).to_owned(),
            since(channel.since, now),
            heard,
        ]);
    }
    // What was wrong before the connection came up is over.
    let troubled = channels.iter().filter(|it| it.state != Link::Up);
    let errors = troubled.map(|channel| (channel.id.as_str(), channel.last_error.as_deref()));
    let mut text = section(&table, errors);
    for channel in channels {
        if let Some(history) = channel
            .history
            .as_ref()
            .and_then(|it| describe_history(it, now))
        {
            text.push_str(&format!("  {}: {history}\n", channel.id));
        }
    }
    text
}

/// Says what reading back has come to, if there is something to say.
fn describe_history(history: &HistoryStatus, now: SystemTime) -> Option<String> {
    let HistoryStatus {
        last_read_at,
        missed,
        deaf,
        unreadable,
        last_error,
    } = history;
    let mut parts = Vec::new();
    if *missed > 0 {
        let last =
            last_read_at.map_or(String::new(), |at| format!(", last {} ago", since(at, now)));
        parts.push(format!(
            "{} read back from the history{last}",
            count(usize::try_from(*missed).unwrap_or(usize::MAX), "message")
        ));
    }
    if *deaf > 0 {
        parts.push(format!(
            "{} anew because it was deaf",
            count(usize::try_from(*deaf).unwrap_or(usize::MAX), "connection")
        ));
    }
    if let Some(error) = last_error {
        parts.push(format!("the history cannot be read: {}", plain(error)));
    }
    parts.extend(
        unreadable
            .iter()
            .map(|what| format!("not readable: {}", plain(what))),
    );
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn describe_link(link: Link) -> &'static str {
    match link {
        Link::Connecting => "connecting",
        Link::Up => "up",
        Link::Down => "down",
        Link::NeedsOperator => "needs you",
        Link::Stopped => "stopped",
    }
}

fn render_counts(status: &Status) -> String {
    let counts: Vec<_> = status
        .ledger
        .messages
        .iter()
        .map(|(state, n)| format!("{n} {}", plain(state)))
        .collect();
    let messages = if counts.is_empty() {
        "none yet".to_owned()
    } else {
        counts.join(", ")
    };
    let OutboxStatus {
        pending,
        sending,
        failed,
        unclear,
    } = status.outbox;
    format!(
        "messages: {messages}\noutbox: {pending} pending, {sending} sending, {failed} failed, \
         {unclear} unclear\nledger: {}, {}\n",
        plain(&status.ledger.state),
        bytes(status.ledger.size_bytes),
    )
}

/// Writes a table that has rows, and below it the last error of each row that has one.
fn section<'a>(table: &Table, errors: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    if table.is_empty() {
        return String::new();
    }
    let mut text = write(table);
    for (id, error) in errors {
        if let Some(error) = error {
            text.push_str(&format!("! {id}: {}\n", plain(error)));
        }
    }
    text
}

/// Returns a size in the largest unit in which it is at least 1.
fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if size < 1024 {
        return format!("{size} bytes");
    }
    let mut tenths = u128::from(size) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::control::{LedgerStatus, OpenTurn};
    use crate::id::{DispatcherId, LaneId, ThreadId, TurnKey};
    use crate::ledger::Lifecycle;
    use tieline_channel::ChannelId;

    use super::*;

    fn ago(seconds: u64) -> SystemTime {
        now() - Duration::from_secs(seconds)
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_166_100)
    }

    fn busy() -> Status {
        let dispatcher = |id: &str, state| DispatcherStatus {
            id: DispatcherId::new(id),
            state,
            since: ago(11_540),
            last_started_at: None,
            last_error: None,
            sandbox: None,
            profile: None,
            login_problem: None,
            warnings: Vec::new(),
            restarts: 0,
            child: None,
            lanes: Vec::new(),
            waiting: 0,
            teammates: TeammateCounts::default(),
        };
        Status {
            version: "0.1.0".into(),
            pid: 4242,
            started_at: ago(11_541),
            config: "/home/mei/tieline.toml".into(),
            state_dir: "/home/mei/.local/state/tieline".into(),
            dispatchers: vec![
                DispatcherStatus {
                    child: Some(ChildStatus {
                        state: "ready".into(),
                        pid: Some(4250),
                        started_at: Some(ago(11_540)),
                        version: Some("0.169.0".into()),
                    }),
                    lanes: vec![
                        LaneStatus {
                            id: LaneId::new("flow"),
                            teammate: None,
                            session: None,
                            thread: Some(ThreadId::new("01a1b2c3")),
                            state: "running".into(),
                            waiting: 2,
                            open_turn: Some(OpenTurn {
                                id: TurnKey::from_bytes([1; 16]),
                                started_at: ago(250),
                                approvals: 0,
                            }),
                            last_turn: Some(LastTurn {
                                id: TurnKey::from_bytes([2; 16]),
                                outcome: "failed".into(),
                                failure: Some("provider-rate-limited".into()),
                                cause: None,
                                settled_at: ago(300),
                            }),
                        },
                        LaneStatus {
                            id: LaneId::new("flow/@docs"),
                            teammate: Some("docs".into()),
                            session: None,
                            thread: None,
                            state: "idle".into(),
                            waiting: 0,
                            open_turn: None,
                            last_turn: None,
                        },
                    ],
                    teammates: TeammateCounts {
                        working: 2,
                        waiting: 0,
                        idle: 1,
                    },
                    waiting: 2,
                    sandbox: None,
                    profile: None,
                    login_problem: None,
                    warnings: vec!["the skill /s/x/SKILL.md is left out: no name".into()],
                    ..dispatcher("flow", Lifecycle::Ready)
                },
                DispatcherStatus {
                    since: ago(12),
                    last_error: Some("Codex ended (signal 9):\n\u{1b}[31moom\u{1b}[0m".into()),
                    restarts: 13,
                    child: Some(ChildStatus {
                        state: "waiting to restart".into(),
                        pid: None,
                        started_at: None,
                        version: None,
                    }),
                    ..dispatcher("翻译", Lifecycle::Degraded)
                },
            ],
            channels: vec![
                ChannelStatus {
                    id: ChannelId::new("terminal"),
                    kind: "console".into(),
                    state: Link::Up,
                    since: ago(11_540),
                    heard_at: Some(ago(250)),
                    last_error: Some("it was gone for a moment".into()),
                    history: None,
                },
                ChannelStatus {
                    id: ChannelId::new("team"),
                    kind: "slack".into(),
                    state: Link::NeedsOperator,
                    since: ago(200_000),
                    heard_at: None,
                    last_error: Some("the token was revoked: put a new one in place".into()),
                    history: Some(HistoryStatus {
                        last_read_at: Some(ago(600)),
                        missed: 3,
                        deaf: 1,
                        unreadable: vec!["invite the bot to #ops".into()],
                        last_error: None,
                    }),
                },
            ],
            ledger: LedgerStatus {
                state: "open".into(),
                size_bytes: 4_300_000,
                messages: [("answered".to_owned(), 120), ("queued".to_owned(), 2)].into(),
            },
            outbox: OutboxStatus {
                pending: 1,
                ..OutboxStatus::default()
            },
        }
    }

    #[test]
    fn status_reads_well() {
        insta::assert_snapshot!(render(&busy(), now()), @r"
        tieline 0.1.0, process 4242, up 3h 12m
        configuration /home/mei/tieline.toml
        state /home/mei/.local/state/tieline

        DISPATCHER  STATE     FOR     CODEX                                   RESTARTS  WAITING
        flow        ready     3h 12m  ready 0.169.0, process 4250, up 3h 12m         0        2
        翻译        degraded  12s     waiting to restart                            13        0
        ! 翻译: Codex ended (signal 9):  [31moom [0m
          flow: the skill /s/x/SKILL.md is left out: no name
          flow: teammates: 2 working, 1 idle

        LANE  STATE    WAITING  TURN FOR  LAST TURN                        THREAD
        flow  running        2  4m 10s    provider-rate-limited 5m 0s ago  01a1b2c3

        CHANNEL   KIND     STATE      FOR     LAST HEARD
        terminal  console  up         3h 12m  4m 10s ago
        team      slack    needs you  2d 7h   never
        ! team: the token was revoked: put a new one in place
          team: 3 messages read back from the history, last 10m 0s ago; 1 connection anew because it was deaf; not readable: invite the bot to #ops

        messages: 120 answered, 2 queued
        outbox: 1 pending, 0 sending, 0 failed, 0 unclear
        ledger: open, 4.1 MiB
        ");
    }

    #[test]
    fn status_of_a_daemon_with_nothing_to_do_is_short() {
        let status = Status {
            dispatchers: Vec::new(),
            channels: Vec::new(),
            ledger: LedgerStatus {
                state: "open".into(),
                ..LedgerStatus::default()
            },
            outbox: OutboxStatus::default(),
            ..busy()
        };
        insta::assert_snapshot!(render(&status, now()), @r"
        tieline 0.1.0, process 4242, up 3h 12m
        configuration /home/mei/tieline.toml
        state /home/mei/.local/state/tieline

        messages: none yet
        outbox: 0 pending, 0 sending, 0 failed, 0 unclear
        ledger: open, 0 bytes
        ");
    }

    #[test]
    fn sizes_have_a_unit() {
        let shown = [0, 1_023, 1_024, 1_536, 1_048_575, 1_048_576, u64::MAX].map(bytes);
        assert_eq!(
            shown,
            [
                "0 bytes",
                "1023 bytes",
                "1.0 KiB",
                "1.5 KiB",
                "1023.9 KiB",
                "1.0 MiB",
                "16383.9 PiB"
            ]
        );
    }
}
