//! `tieline init feishu`: from nothing to an app that answers.
//!
//! An app is made by scanning a code, or by hand in the developer console where that does not work.
//! Writes what is not there and never changes what is: a file that exists is left as it is, and what
//! belongs into it is printed. May be run again at any time; it then says what is left to do.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use rustix::termios::tcgetwinsize;
use tieline_channel::{ChannelId, Language, WithCauses};
use tieline_feishu::registration::{
    self, Accounts, Brand, Registered, RegistrationError, SystemClock, qr,
};
use tieline_feishu::setup::Findings;
use tieline_net::Net;
use url::Url;

use crate::cli::config_args::{ConfigArgs, Place};
use crate::cli::failure::{Exit, Failure, usage};
use crate::cli::init::place::{Standing, stand};
use crate::cli::init::tokens::{self, Asked, say};
use crate::cli::init::{block, feishu_steps as steps};
use crate::cli::{feishu, findings, output};
use crate::config::choice::Choice as _;
use crate::config::{
    ChannelConfig, FeishuConfig, Secret, SecretSource, Surroundings, address, defaults, id,
};

/// The channel's name when nobody gives it another.
const NAME: &str = "feishu";

/// How wide a terminal is that does not say.
const COLUMNS: usize = 80;

/// Set up Feishu or Lark: the app, the configuration, the secret
///
/// Shows a QR code; whoever scans it in Feishu and agrees makes the app with all that it needs, and
/// its secret is kept in a file that only you can read. Where an account does not support that, says
/// what to click in the developer console. Once the secret is there, asks Feishu whether it is good
/// and what the app lacks. Changes no file that is there, but for the secret with --app.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Give the channel this name in the configuration
    ///
    /// Otherwise it is the only Feishu channel of the configuration, or `feishu`.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Make the app at Lark (larksuite.com) instead of Feishu (feishu.cn)
    #[arg(long)]
    lark: bool,

    /// Show the steps in the developer console, and make no app by a QR code
    #[arg(long, conflicts_with = "app")]
    manual: bool,

    /// Ask for the App ID and App Secret of an app that is there, check them, and keep the secret
    ///
    /// Not at a terminal, standard input has them, a line each: the App ID first.
    #[arg(long)]
    app: bool,

    /// Speak this language: the steps, and what tieline itself says in the chats
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    language: Option<Language>,

    /// Use the Open API at this address
    #[arg(long, value_name = "URL", value_parser = address::parse, conflicts_with = "lark")]
    base_url: Option<Url>,

    /// Make the app at this address
    #[arg(long, value_name = "URL", value_parser = address::parse)]
    accounts_url: Option<Url>,
}

/// The channel that is set up, and where it stands.
struct Channel {
    id: ChannelId,
    /// The app; its ID is empty as long as there is none.
    feishu: FeishuConfig,
    standing: Standing,
}

/// Whether an app could be made by a code.
enum Made {
    /// It was.
    App(Registered),
    /// Not for this account, or not from here: why.
    NotHere(RegistrationError),
}

/// Sets up a Feishu channel.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let surroundings = Surroundings::of_this_process();
    let mut channel = find(&args, &surroundings)?;
    if args.manual {
        return output::print(&steps::by_hand(&args.flags(), &channel.feishu));
    }
    let is_declared = matches!(channel.standing, Standing::Declared(_));
    let mut told = Vec::new();
    let mut admin = None;
    let findings = if args.app {
        let (findings, kept) = take_app(&mut channel).await?;
        told.push(kept);
        findings
    } else if is_declared {
        match channel.feishu.app_secret.resolve().await {
            Ok(secret) => ask(&channel, &secret).await?,
            Err(missing) => return say_missing(&args, &channel, &WithCauses(&missing).to_string()),
        }
    } else {
        let path = channel.free_secret_file()?.to_owned();
        // What cannot be kept is not to be made.
        tokens::prepare(&path)?;
        match make_app(&channel.feishu).await? {
            Made::NotHere(error) => {
                output::warn(&format!(
                    "no app was made by a QR code: {}",
                    WithCauses(&error)
                ));
                return output::print(&steps::by_hand(&args.flags(), &channel.feishu));
            }
            Made::App(registered) => {
                tokens::store(&path, &Secret::from_secrecy(&registered.app_secret))?;
                told.push(channel.take(&registered, &path));
                admin = registered.user;
                let secret = Secret::from_secrecy(&registered.app_secret);
                ask(&channel, &secret).await?
            }
        }
    };
    let table = block::feishu(&channel.id, &channel.feishu);
    let admins = Vec::from_iter(admin);
    let file =
        |workspace: &Path| block::file(&block::FEISHU, &channel.id, &table, workspace, &admins);
    let stood = stand(&channel.id, &channel.standing, &surroundings, &table, file)?;
    told.push(stood);
    told.push(feishu::describe(&channel.id, &channel.feishu, &findings));
    let failure = findings::failure(&channel.id, &findings.problems);
    // What is wrong is mended first; what comes after it is told then.
    if failure.is_none() {
        told.push(steps::what_is_left(&steps::Situation {
            flags: &args.flags(),
            config_flags: &args.config.flags(),
            channel: &channel.id,
            feishu: &channel.feishu,
            bot: findings.bot.as_ref().map(|bot| bot.name.as_str()),
            is_by_hand: args.app,
        }));
    }
    told.retain(|paragraph| !paragraph.is_empty());
    output::print(&told.join("\n"))?;
    failure.map_or(Ok(()), Err)
}

/// Says that the secret of a channel that is configured is not there, and how to hand it over.
fn say_missing(args: &Args, channel: &Channel, missing: &str) -> Result<(), Failure> {
    let flags = args.flags();
    output::print(&format!(
        "Channel `{}` is configured, for the app {}. Its App Secret is not there yet:\n  {missing}\n\n\
         It stands in the developer console under Credentials & Basic Info. Hand it over with\n\n    \
         tieline init feishu --app{flags}\n",
        channel.id, channel.feishu.app_id
    ))
}

/// Asks Feishu about the app, and warns of what is missing.
async fn ask(channel: &Channel, secret: &Secret) -> Result<Findings, Failure> {
    let findings = feishu::ask(&channel.id, &channel.feishu, secret).await?;
    findings::warn(&channel.id, &findings.problems);
    Ok(findings)
}

/// Asks for App ID and App Secret and keeps the secret; one that Feishu refuses does not take the
/// place of a good one.
async fn take_app(channel: &mut Channel) -> Result<(Findings, String), Failure> {
    let SecretSource::File(path) = channel.feishu.app_secret.clone() else {
        return Err(usage(format!(
            "the secret of channel `{}` comes from {}: put it there",
            channel.id, channel.feishu.app_secret
        ))
        .hint("--app keeps it in a file: { file = \"path\" } in the configuration"));
    };
    let asked = Asked {
        intro: "Paste App ID and App Secret (Credentials & Basic Info); they are not shown.\n",
        questions: ["App ID, cli_…: ", "App Secret: "],
        nothing: "no App ID and App Secret were given; nothing was changed",
        hint: "standard input has two lines: the App ID, then the App Secret",
    };
    let [app_id, secret] = asked.read().await?;
    if !app_id.expose().starts_with("cli_") {
        // It may be the secret, so it is not shown.
        return Err(usage("an App ID begins with `cli_`; nothing was changed")
            .hint("the App ID comes first, then the App Secret"));
    }
    match &channel.standing {
        Standing::Declared(_) if app_id.expose() != channel.feishu.app_id => {
            return Err(usage(format!(
                "channel `{}` is configured for the app {}, not for {}",
                channel.id,
                channel.feishu.app_id,
                app_id.expose()
            ))
            .hint(
                "change `app_id` in the configuration first, or give another channel by --name",
            ));
        }
        Standing::Declared(_) => {}
        Standing::Undeclared(_) | Standing::Nowhere(_) => {
            channel.feishu.app_id = app_id.expose().to_owned();
        }
    }
    let findings = ask(channel, &secret).await?;
    if findings.refuses()
        && let Some(failure) = findings::failure(&channel.id, &findings.problems)
    {
        return Err(failure.hint("the secret was not kept; run this again"));
    }
    tokens::store(&path, &secret)?;
    let kept = format!(
        "Kept the App Secret, readable by you alone, in\n  {}\n",
        path.display()
    );
    Ok((findings, kept))
}

/// Has an app made by whoever scans a code in time.
async fn make_app(feishu: &FeishuConfig) -> Result<Made, Failure> {
    let net = Net::new().map_err(|error| Failure::new(Exit::Internal, error))?;
    let accounts = Accounts::beginning_at(feishu.accounts_url.clone());
    let invitation = match registration::begin(&net, &accounts, &SystemClock).await {
        Ok(invitation) => invitation,
        Err(error) => return Ok(Made::NotHere(error)),
    };
    let minutes = invitation.expires_in.as_secs().div_ceil(60);
    say(&steps::invitation(
        invitation.url.as_str(),
        minutes,
        feishu.language,
    ));
    let drawn = qr::draw(invitation.url.as_str(), columns(), paint());
    say(&drawn.unwrap_or_else(|error| format!("{error}\n")));
    match registration::wait(&net, &accounts, &invitation, &SystemClock).await {
        Ok(registered) => Ok(Made::App(registered)),
        Err(error @ RegistrationError::Refused { .. }) => Ok(Made::NotHere(error)),
        Err(error) => Err(Failure::new(Exit::Unanswered, anyhow!(error))
            .hint("`--manual` shows how to make the app in the developer console instead")),
    }
}

fn columns() -> usize {
    let size = tcgetwinsize(io::stderr()).map(|size| usize::from(size.ws_col));
    size.ok().filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}

fn paint() -> qr::Paint {
    match io::stderr().is_terminal() {
        true => qr::Paint::Ansi,
        false => qr::Paint::None,
    }
}

/// Finds the channel, or proposes one, and where it stands.
fn find(args: &Args, surroundings: &Surroundings) -> Result<Channel, Failure> {
    let config = match args.config.place(surroundings)? {
        Place::Taken(config) => config,
        Place::Free(path) => {
            let name = args.name.as_deref().unwrap_or(NAME);
            return args.propose(name, Standing::Nowhere(path), surroundings);
        }
    };
    let known: Vec<_> = config
        .channels
        .iter()
        .filter(|(_, channel)| matches!(channel, ChannelConfig::Feishu(_)))
        .map(|(id, _)| id.as_str())
        .collect();
    let name = match (args.name.as_deref(), known.as_slice()) {
        (Some(name), _) => name.to_owned(),
        (None, []) => NAME.to_owned(),
        (None, [only]) => (*only).to_owned(),
        (None, several) => {
            return Err(
                usage("there are several Feishu channels: --name must say which")
                    .hint(format!("one of {}", several.join(", "))),
            );
        }
    };
    let id = ChannelId::new(name.as_str());
    match config.channels.get(&id) {
        None => args.propose(&name, Standing::Undeclared(config), surroundings),
        Some(ChannelConfig::Feishu(feishu)) => {
            let feishu = args.applied_to(&id, feishu)?;
            Ok(Channel {
                id,
                feishu,
                standing: Standing::Declared(config),
            })
        }
        Some(other @ (ChannelConfig::Console(_) | ChannelConfig::Slack(_))) => {
            let kind = other.kind();
            Err(
                usage(format!("channel `{name}` is there already, of kind {kind}"))
                    .hint("choose another name with --name"),
            )
        }
    }
}

impl Args {
    /// Returns what to add to a command so that it means the same channel.
    fn flags(&self) -> String {
        let mut flags = self.config.flags();
        if let Some(name) = &self.name {
            flags.push_str(&format!(" --name {name}"));
        }
        if self.lark {
            flags.push_str(" --lark");
        }
        if let Some(language) = self.language {
            flags.push_str(&format!(" --language {}", language.word()));
        }
        for (flag, url) in [
            ("--base-url", &self.base_url),
            ("--accounts-url", &self.accounts_url),
        ] {
            if let Some(url) = url {
                flags.push_str(&format!(" {flag} {url}"));
            }
        }
        flags
    }

    /// Returns a channel that is configured as it is to be spoken of.
    ///
    /// # Errors
    ///
    /// When it is at another address than the arguments say: that is not changed here.
    fn applied_to(&self, id: &ChannelId, feishu: &FeishuConfig) -> Result<FeishuConfig, Failure> {
        let lark = self.lark.then(defaults::lark_base_url);
        let wanted = self.base_url.as_ref().or(lark.as_ref());
        if let Some(wanted) = wanted.filter(|wanted| **wanted != feishu.base_url) {
            return Err(usage(format!(
                "channel `{id}` is configured for the app {} at {}, not at {wanted}",
                feishu.app_id, feishu.base_url
            ))
            .hint(
                "change `base_url` in the configuration first, or give another channel by --name",
            ));
        }
        let language = self.language.unwrap_or(feishu.language);
        if language != feishu.language {
            output::warn(&format!(
                "channel `{id}` speaks another language in the chats; to change that, put \
                 `language = \"{}\"` under [channels.{id}] in the configuration",
                language.word()
            ));
        }
        Ok(FeishuConfig {
            language,
            ..feishu.clone()
        })
    }

    /// Proposes a channel, with its secret in a file.
    fn propose(
        &self,
        name: &str,
        standing: Standing,
        surroundings: &Surroundings,
    ) -> Result<Channel, Failure> {
        if let Some(objection) = id::objection(name) {
            return Err(usage(format!("--name {name:?}: {objection}")));
        }
        let secrets = surroundings
            .config_directory()
            .context("the home directory is not known: set $HOME")
            .map_err(|error| Failure::new(Exit::Config, error))?
            .join("secrets");
        let base_url = match (&self.base_url, self.lark) {
            (Some(url), _) => url.clone(),
            (None, true) => defaults::lark_base_url(),
            (None, false) => defaults::feishu_base_url(),
        };
        let accounts_url = self
            .accounts_url
            .clone()
            .unwrap_or_else(|| defaults::feishu_accounts_url(&base_url));
        Ok(Channel {
            id: ChannelId::new(name),
            feishu: FeishuConfig {
                app_id: String::new(),
                app_secret: SecretSource::File(secrets.join(format!("{name}-app-secret"))),
                base_url,
                accounts_url,
                reactions: defaults::REACTIONS,
                language: self.language.unwrap_or_default(),
            },
            standing,
        })
    }
}

impl Channel {
    /// Returns the file that the secret of a new app is kept in.
    ///
    /// # Errors
    ///
    /// When it is there: it is the secret of an app that was made before.
    fn free_secret_file(&self) -> Result<&Path, Failure> {
        let SecretSource::File(path) = &self.feishu.app_secret else {
            unreachable!("a channel is proposed with a file");
        };
        // Also a link to nothing is something that somebody has put there.
        if fs::symlink_metadata(path).is_ok() {
            return Err(usage(format!(
                "{} is there already: an app was made for channel `{}` before",
                path.display(),
                self.id
            ))
            .hint("write the channel into the configuration, and run this again")
            .hint("or remove that file, or choose another name with --name, to make another app"));
        }
        Ok(path)
    }

    /// Takes over an app that was made, and says so.
    fn take(&mut self, registered: &Registered, path: &Path) -> String {
        self.feishu.app_id.clone_from(&registered.app_id);
        // Whoever scans the code decides by their account where the app is.
        let is_default = self.feishu.base_url == defaults::feishu_base_url();
        if registered.brand == Brand::Lark && is_default {
            self.feishu.base_url = defaults::lark_base_url();
            if self.feishu.accounts_url
                == defaults::feishu_accounts_url(&defaults::feishu_base_url())
            {
                self.feishu.accounts_url = defaults::feishu_accounts_url(&self.feishu.base_url);
            }
        }
        format!(
            "Made the app {}. Its secret is, readable by you alone, in\n  {}\n",
            output::plain(&registered.app_id),
            path.display()
        )
    }
}

fn language(word: &str) -> Result<Language, String> {
    let mut languages = Language::ALL.iter();
    let found = languages.find(|language| language.word() == word);
    found
        .copied()
        .ok_or_else(|| "`en` (English) or `zh` (中文)".to_owned())
}
