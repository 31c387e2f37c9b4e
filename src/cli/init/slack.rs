//! `tieline init slack`: from nothing to an app that answers.
//!
//! Writes what is not there and never changes what is: a file that exists is left as it is, and
//! what belongs into it is printed. May be run again at any time; it then says what is left to do.

use std::path::Path;

use anyhow::Context as _;
use tieline_channel::{ChannelId, WithCauses};
use tieline_slack::setup::{Findings, MANIFEST};
use url::Url;

use crate::cli::config_args::{ConfigArgs, Place};
use crate::cli::failure::{Exit, Failure, usage};
use crate::cli::init::place::{Standing, Written, stand, write_new};
use crate::cli::init::tokens::{self, Tokens};
use crate::cli::init::{block, steps};
use crate::cli::{findings, output, slack};
use crate::config::{ChannelConfig, SecretSource, Surroundings, defaults, id};

/// The channel's name when nobody gives it another.
const NAME: &str = "slack";

/// Where the manifest is written, in the working directory.
const MANIFEST_FILE: &str = "slack-app-manifest.yaml";

/// The variables that are used when both are set and nothing else is said.
const APP_VARIABLE: &str = "SLACK_APP_TOKEN";
const BOT_VARIABLE: &str = "SLACK_BOT_TOKEN";

/// Set up Slack: the app's manifest, the configuration, the tokens
///
/// Writes the manifest of the app and, if there is none yet, a configuration, and says what to
/// click. Once the tokens are there, asks Slack whether they are good and what the app lacks.
/// Changes no file that is there, but for the tokens with --tokens.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Give the channel this name in the configuration
    ///
    /// Otherwise it is the only Slack channel of the configuration, or `slack`.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Ask for the two tokens, check them, and keep them in files that only you can read
    ///
    /// Not at a terminal, standard input has them, a line each: the app-level token first.
    #[arg(long)]
    tokens: bool,

    /// Print the app's manifest, and do nothing else
    #[arg(long, conflicts_with_all = ["tokens", "name", "config"])]
    print: bool,
}

/// The channel that is set up.
struct Channel {
    id: ChannelId,
    app_token: SecretSource,
    bot_token: SecretSource,
    api_url: Url,
}

/// Sets up a Slack channel.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    if args.print {
        return output::print(MANIFEST);
    }
    let surroundings = Surroundings::of_this_process();
    let (channel, standing) = find(&args, &surroundings)?;
    let mut told = Vec::new();
    let findings = if args.tokens {
        let (findings, kept) = take_tokens(&channel).await?;
        told.push(kept);
        Some(findings)
    } else {
        match channel.fetch_tokens().await {
            Ok(tokens) => Some(ask(&channel, &tokens).await?),
            Err(missing) => {
                told.push(write_manifest(&surroundings.directory)?);
                if matches!(standing, Standing::Declared(_)) {
                    told.push(format!("The tokens are not there yet:\n  {missing}\n"));
                }
                None
            }
        }
    };
    let table = block::slack(&channel.id, &channel.app_token, &channel.bot_token);
    let file = |workspace: &Path| block::file(&block::SLACK, &channel.id, &table, workspace, &[]);
    told.push(stand(&channel.id, &standing, &surroundings, &table, file)?);
    if let Some(findings) = &findings {
        told.push(slack::describe(&channel.id, findings));
    }
    let failure = findings
        .as_ref()
        .and_then(|found| findings::failure(&channel.id, &found.problems));
    // What is wrong is mended first; what comes after it is told then.
    if failure.is_none() {
        told.push(steps::render(&steps::Situation {
            flags: &args.flags(),
            config_flags: &args.config.flags(),
            channel: &channel.id,
            sources: [&channel.app_token, &channel.bot_token],
            bot: findings.as_ref().and_then(|findings| findings.bot.as_ref()),
            has_tokens: findings.is_some(),
        }));
    }
    told.retain(|paragraph| !paragraph.is_empty());
    output::print(&told.join("\n"))?;
    failure.map_or(Ok(()), Err)
}

/// Asks Slack about tokens, and warns of what is missing.
async fn ask(channel: &Channel, tokens: &Tokens) -> Result<Findings, Failure> {
    let findings = slack::ask(&channel.id, &channel.api_url, &tokens.app, &tokens.bot).await?;
    findings::warn(&channel.id, &findings.problems);
    Ok(findings)
}

/// Asks for the tokens and keeps them; those that Slack refuses do not take the place of good ones.
async fn take_tokens(channel: &Channel) -> Result<(Findings, String), Failure> {
    let (app_file, bot_file) = channel.token_files()?;
    let tokens = Tokens::read().await?;
    let findings = ask(channel, &tokens).await?;
    if findings.refuses()
        && let Some(failure) = findings::failure(&channel.id, &findings.problems)
    {
        return Err(failure.hint("the tokens were not kept; run this again"));
    }
    tokens::store(app_file, &tokens.app)?;
    tokens::store(bot_file, &tokens.bot)?;
    let kept = format!(
        "Kept the tokens, readable by you alone, in\n  {}\n  {}\n",
        app_file.display(),
        bot_file.display()
    );
    Ok((findings, kept))
}

impl Args {
    /// Returns what to add to a command so that it means the same channel.
    fn flags(&self) -> String {
        let mut flags = self.config.flags();
        if let Some(name) = &self.name {
            flags.push_str(&format!(" --name {name}"));
        }
        flags
    }
}

impl Channel {
    /// Proposes one: with the tokens of the environment if it has both, else with files.
    fn propose(name: &str, from_files: bool, surroundings: &Surroundings) -> Result<Self, Failure> {
        if let Some(objection) = id::objection(name) {
            return Err(usage(format!("--name {name:?}: {objection}")));
        }
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let (app_token, bot_token) = if !from_files && is_set(APP_VARIABLE) && is_set(BOT_VARIABLE)
        {
            (
                SecretSource::Env(APP_VARIABLE.to_owned()),
                SecretSource::Env(BOT_VARIABLE.to_owned()),
            )
        } else {
            let secrets = surroundings
                .config_directory()
                .context("the home directory is not known: set $HOME")
                .map_err(|error| Failure::new(Exit::Config, error))?
                .join("secrets");
            (
                SecretSource::File(secrets.join(format!("{name}-app-token"))),
                SecretSource::File(secrets.join(format!("{name}-bot-token"))),
            )
        };
        Ok(Self {
            id: ChannelId::new(name),
            app_token,
            bot_token,
            api_url: defaults::slack_api_url(),
        })
    }

    /// Returns the files that the tokens are kept in, if it is files.
    fn token_files(&self) -> Result<(&Path, &Path), Failure> {
        match (&self.app_token, &self.bot_token) {
            (SecretSource::File(app), SecretSource::File(bot)) => Ok((app, bot)),
            (app, bot) => Err(usage(format!(
                "the tokens of channel `{}` come from {app} and {bot}: put them there",
                self.id
            ))
            .hint("--tokens keeps tokens in files: { file = \"path\" } in the configuration")),
        }
    }

    /// Fetches the tokens from where they are; says why when they are not there.
    async fn fetch_tokens(&self) -> Result<Tokens, String> {
        let fetch = async |source: &SecretSource| {
            let fetched = source.resolve().await;
            fetched.map_err(|error| WithCauses(&error).to_string())
        };
        Ok(Tokens {
            app: fetch(&self.app_token).await?,
            bot: fetch(&self.bot_token).await?,
        })
    }
}

/// Finds the channel, or proposes one, and where it stands.
fn find(args: &Args, surroundings: &Surroundings) -> Result<(Channel, Standing), Failure> {
    let propose = |name: &str| Channel::propose(name, args.tokens, surroundings);
    let config = match args.config.place(surroundings)? {
        Place::Taken(config) => config,
        Place::Free(path) => {
            let name = args.name.as_deref().unwrap_or(NAME);
            return Ok((propose(name)?, Standing::Nowhere(path)));
        }
    };
    let known: Vec<_> = config
        .channels
        .iter()
        .filter(|(_, channel)| matches!(channel, ChannelConfig::Slack(_)))
        .map(|(id, _)| id.as_str())
        .collect();
    let name = match (args.name.as_deref(), known.as_slice()) {
        (Some(name), _) => name.to_owned(),
        (None, []) => NAME.to_owned(),
        (None, [only]) => (*only).to_owned(),
        (None, several) => {
            return Err(
                usage("there are several Slack channels: --name must say which")
                    .hint(format!("one of {}", several.join(", "))),
            );
        }
    };
    let id = ChannelId::new(name.as_str());
    match config.channels.get(&id) {
        None => Ok((propose(&name)?, Standing::Undeclared(config))),
        Some(ChannelConfig::Slack(slack)) => {
            let channel = Channel {
                id,
                app_token: slack.app_token.clone(),
                bot_token: slack.bot_token.clone(),
                api_url: slack.api_url.clone(),
            };
            Ok((channel, Standing::Declared(config)))
        }
        Some(other @ (ChannelConfig::Console(_) | ChannelConfig::Feishu(_))) => {
            let kind = other.kind();
            Err(
                usage(format!("channel `{name}` is there already, of kind {kind}"))
                    .hint("choose another name with --name"),
            )
        }
    }
}

/// Writes the manifest unless it is there, and says so.
fn write_manifest(directory: &Path) -> Result<String, Failure> {
    let path = directory.join(MANIFEST_FILE);
    Ok(match write_new(&path, MANIFEST)? {
        Written::New => format!("Wrote {MANIFEST_FILE}\n  the Slack app, ready to paste\n"),
        Written::SameBefore => format!("{MANIFEST_FILE} is there already, as it should be.\n"),
        Written::OtherBefore => format!(
            "{MANIFEST_FILE} is there already and differs; it is left as it is. This version's:\n\n    \
             tieline init slack --print\n"
        ),
    })
}
