//! `tieline pair`: lets people in who wrote to the bot and were given a code.

use std::time::SystemTime;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, plain};
use crate::cli::table::{since, table, write};
use crate::control::{Client, PairedPerson, Pairings, Person};

/// Let in somebody who wrote to the bot, or list who asks and who was let in
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// The code that the bot gave them, like ABCD-2345; without, list
    #[arg(value_name = "CODE", conflicts_with = "revoke")]
    code: Option<String>,

    /// Let somebody in no longer
    #[arg(long, value_name = "CHANNEL:USER")]
    revoke: Option<String>,

    /// With neither: print the daemon's answer to `GET /v1/pairings` as it is
    #[arg(long, conflicts_with_all = ["code", "revoke"])]
    json: bool,
}

/// Asks the daemon and prints its answer.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let text = if let Some(code) = &args.code {
        let paired = client.pair(code).await.map_err(Failure::of_request)?;
        format!("{} is in, and was told\n", describe(&paired.person))
    } else if let Some(who) = &args.revoke {
        let gone = client.unpair(who).await.map_err(Failure::of_request)?;
        gone.iter()
            .map(|paired| format!("{} is let in no longer\n", describe(&paired.person)))
            .collect()
    } else if args.json {
        output::json(&client.get("/v1/pairings").await?)?
    } else {
        render(&client.pairings().await?, SystemTime::now())
    };
    output::print(&text)
}

fn describe(person: &Person) -> String {
    let who = format!("{}:{}", person.channel, plain(person.user.as_str()));
    match &person.name {
        Some(name) => format!("{} ({who})", plain(name)),
        None => who,
    }
}

/// Writes who asks and who was let in for people, as of `now`.
fn render(pairings: &Pairings, now: SystemTime) -> String {
    let mut open = table(["CODE", "WHO ASKS", "DISPATCHER", "ASKED", "GOOD FOR"]);
    for code in &pairings.open {
        open.add_row([
            plain(&code.code),
            describe(&code.person),
            code.person.dispatcher.to_string(),
            format!("{} ago", since(code.asked_at, now)),
            since(now, code.expires_at),
        ]);
    }
    let mut paired = table(["LET IN", "DISPATCHER", "BY", "WHEN"]);
    for person in &pairings.paired {
        let PairedPerson { person, by, at } = person;
        paired.add_row([
            describe(person),
            person.dispatcher.to_string(),
            by.as_deref().map_or("the operator".to_owned(), plain),
            format!("{} ago", since(*at, now)),
        ]);
    }
    let parts: Vec<_> = [open, paired]
        .iter()
        .filter(|table| !table.is_empty())
        .map(write)
        .collect();
    if parts.is_empty() {
        return "nobody asks to be let in, and nobody was\n".to_owned();
    }
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tieline_channel::{ChannelId, UserId};

    use super::*;
    use crate::control::OpenCode;
    use crate::id::DispatcherId;

    fn person(user: &str, name: Option<&str>) -> Person {
        Person {
            dispatcher: DispatcherId::new("flow"),
            channel: ChannelId::new("team"),
            user: UserId::new(user),
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn list_reads_well() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_166_100);
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let pairings = Pairings {
            open: vec![OpenCode {
                code: "ABCD-2345".to_owned(),
                person: person("U1", Some("Mei\u{1b}[31m")),
                asked_at: now - minutes(10),
                expires_at: now + minutes(50),
            }],
            paired: vec![
                PairedPerson {
                    person: person("U2", Some("Kim")),
                    by: Some("team:U9".to_owned()),
                    at: now - minutes(3000),
                },
                PairedPerson {
                    person: person("U3", None),
                    by: None,
                    at: now - minutes(1),
                },
            ],
        };
        insta::assert_snapshot!(render(&pairings, now), @r"
        CODE       WHO ASKS            DISPATCHER  ASKED       GOOD FOR
        ABCD-2345  Mei [31m (team:U1)  flow        10m 0s ago  50m 0s

        LET IN         DISPATCHER  BY            WHEN
        Kim (team:U2)  flow        team:U9       2d 2h ago
        team:U3        flow        the operator  1m 0s ago
        ");
        insta::assert_snapshot!(
            render(&Pairings::default(), now),
            @"nobody asks to be let in, and nobody was"
        );
    }
}
