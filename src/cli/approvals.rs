//! `tieline approvals`: what the model wants and people decide, and deciding at the machine.

use std::time::SystemTime;

use clap::Subcommand;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{self, plain};
use crate::cli::table::{since, table, write};
use crate::control::{ApprovalStatus, Approvals, Client, outcome};

/// How much is shown of what is wanted, in characters.
const WHAT: usize = 48;

/// Show what the model asks leave for, and decide
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Print the daemon's answer as JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what waits for a decision; so does no action at all
    List {
        /// Also what was settled lately
        #[arg(long)]
        all: bool,
    },
    /// Allow it, once
    Accept {
        /// Its id, or the end of that
        id: String,

        /// Also the same again, until Codex is started anew
        #[arg(long)]
        session: bool,
    },
    /// Refuse it; the turn goes on
    Decline {
        /// Its id, or the end of that
        id: String,
    },
    /// Refuse it, and end the turn
    Cancel {
        /// Its id, or the end of that
        id: String,
    },
}

/// Asks the daemon and prints its answer.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let (id, decision) = match args.action.unwrap_or(Action::List { all: false }) {
        Action::List { all } => {
            let route = match all {
                true => "/v1/approvals",
                false => "/v1/approvals?state=open",
            };
            let text = match args.json {
                true => output::json(&client.get::<serde_json::Value>(route).await?)?,
                false => render(&client.get(route).await?, SystemTime::now()),
            };
            return output::print(&text);
        }
        Action::Accept { id, session: false } => (id, "accept"),
        Action::Accept { id, session: true } => (id, "accept_for_session"),
        Action::Decline { id } => (id, "decline"),
        Action::Cancel { id } => (id, "cancel"),
    };
    let id = whole(&client, id).await?;
    let decided = client
        .decide(&id, decision)
        .await
        .map_err(Failure::of_request)?;
    output::print(&match args.json {
        true => {
            let answer = serde_json::to_value(&decided);
            output::json(&answer.map_err(|error| Failure::new(Exit::Internal, error))?)?
        }
        false => format!(
            "#{} in {}: {}\n",
            decided.number,
            place(&decided),
            plain(&outcome(&decided))
        ),
    })
}

/// Returns the whole id of one that is open, if this is the end of only one.
async fn whole(client: &Client, id: String) -> Result<String, Failure> {
    let Approvals { approvals } = client.get("/v1/approvals?state=open").await?;
    let ids = approvals.iter().map(|approval| approval.id.to_string());
    let ends: Vec<_> = ids.filter(|whole| whole.ends_with(&id)).collect();
    match ends.as_slice() {
        [whole] => Ok(whole.clone()),
        // The daemon knows it, or says that it does not.
        [] => Ok(id),
        several => Err(Failure::new(
            Exit::Usage,
            anyhow::anyhow!("{} approvals have an id that ends so", several.len()),
        )),
    }
}

fn place(approval: &ApprovalStatus) -> String {
    let place = format!("{}:{}", approval.channel, approval.chat);
    plain(&match &approval.thread {
        Some(thread) => format!("{place}:{thread}"),
        None => place,
    })
}

fn render(approvals: &Approvals, now: SystemTime) -> String {
    if approvals.approvals.is_empty() {
        return "nothing waits for a decision\n".to_owned();
    }
    let mut rows = table(["ID", "NO", "WHERE", "WHO", "WANTS", "WHAT", "STATE"]);
    for approval in &approvals.approvals {
        let state = match approval.state.as_str() {
            "open" => format!("open, {} left", since(now, approval.expires_at)),
            _ => outcome(approval),
        };
        rows.add_row([
            approval.id.to_string(),
            format!("#{}", approval.number),
            place(approval),
            plain(match &approval.teammate {
                Some(name) => name,
                None => approval.dispatcher.as_str(),
            }),
            approval.kind.replace('_', " "),
            plain(&short(&approval.what)),
            plain(&state),
        ]);
    }
    write(&rows)
}

/// Returns a text on one line. What is cut is marked.
fn short(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= WHAT {
        return line;
    }
    let mut short: String = line.chars().take(WHAT - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tieline_channel::{ChannelId, ChatId, ThreadKey};

    use super::*;
    use crate::id::{ApprovalId, DispatcherId, LaneId};

    #[test]
    fn a_list_says_who_wants_what_and_how_it_stands() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_166_100);
        let open = ApprovalStatus {
            id: ApprovalId::from_bytes([1; 16]),
            dispatcher: DispatcherId::new("flow"),
            lane: LaneId::new("flow"),
            teammate: None,
            channel: ChannelId::new("team"),
            chat: ChatId::new("C1"),
            thread: Some(ThreadKey::new("17.1")),
            number: 3,
            kind: "command".to_owned(),
            what: "/bin/bash -c 'touch /x'\n+ network: example.org (https) and more".to_owned(),
            is_cut: false,
            place: None,
            reason: None,
            for_session: true,
            state: "open".to_owned(),
            decision: None,
            by: None,
            by_name: None,
            void: None,
            asked_at: now,
            expires_at: now + Duration::from_secs(590),
            settled_at: None,
        };
        let decided = ApprovalStatus {
            teammate: Some("flaky".to_owned()),
            kind: "mcp_tool".to_owned(),
            what: "files.read".to_owned(),
            state: "decided".to_owned(),
            decision: Some("accept_for_session".to_owned()),
            by: Some("team:U1".to_owned()),
            by_name: Some("Mei \u{1b}[31m".to_owned()),
            ..open.clone()
        };
        let void = ApprovalStatus {
            state: "void".to_owned(),
            decision: Some("decline".to_owned()),
            void: Some("codex_lost".to_owned()),
            ..open.clone()
        };
        let approvals = vec![open, decided, void];
        insta::assert_snapshot!(render(&Approvals { approvals }, now), @r"
        ID                                    NO  WHERE         WHO    WANTS     WHAT                                              STATE
        01010101-0101-0101-0101-010101010101  #3  team:C1:17.1  flow   command   /bin/bash -c 'touch /x' + network: example.org …  open, 9m 50s left
        01010101-0101-0101-0101-010101010101  #3  team:C1:17.1  flaky  mcp tool  files.read                                        accept for session by Mei  [31m
        01010101-0101-0101-0101-010101010101  #3  team:C1:17.1  flow   command   /bin/bash -c 'touch /x' + network: example.org …  void (codex lost)
        ");
        let none = render(&Approvals::default(), now);
        assert_eq!(none, "nothing waits for a decision\n");
    }
}
