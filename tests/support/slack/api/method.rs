//! Which methods there are, and what each takes.

use serde_json::json;

use super::super::rates::Tier;
use super::super::{APP, BOT, BOT_USER, Knowledge as _, State, TEAM};
use super::{Answer, Args, chat, conversations, files, gestures};

/// A method.
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) access: Access,
    /// The scope that it always needs.
    pub(super) scope: Option<&'static str>,
    pub(super) tier: Tier,
    pub(super) takes_json: bool,
    pub(super) required: &'static [&'static str],
    /// Everything that it takes.
    pub(super) args: &'static [&'static str],
    pub(super) run: fn(&mut State, &Args) -> Answer,
}

/// Which token a method takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    App,
    Bot,
    Any,
}

const TIER_2: Tier = Tier::PerMinute(20);
const TIER_3: Tier = Tier::PerMinute(50);
const TIER_4: Tier = Tier::PerMinute(100);

macro_rules! method {
    ($name:literal, $tier:expr, $scope:expr, json: $json:literal,
     [$($required:literal),*], [$($arg:literal),*], $run:expr) => {
        Spec {
            name: $name,
            access: Access::Bot,
            scope: $scope,
            tier: $tier,
            takes_json: $json,
            required: &[$($required),*],
            args: &[$($required,)* $($arg),*],
            run: $run,
        }
    };
}

/// All methods.
pub(super) const METHODS: &[Spec] = &[
    Spec {
        name: "apps.connections.open",
        access: Access::App,
        scope: None,
        tier: TIER_3,
        takes_json: true,
        required: &[],
        args: &[],
        run: open_connection,
    },
    Spec {
        name: "auth.test",
        access: Access::Any,
        scope: None,
        tier: Tier::Free,
        takes_json: true,
        required: &[],
        args: &[],
        run: auth_test,
    },
    method!("chat.postMessage", Tier::Posting, Some("chat:write"), json: true,
        ["channel"],
        ["text", "blocks", "attachments", "markdown_text", "thread_ts", "reply_broadcast",
         "metadata", "unfurl_links", "unfurl_media", "mrkdwn", "parse", "link_names"],
        chat::post),
    method!("chat.update", TIER_3, Some("chat:write"), json: true,
        ["channel", "ts"],
        ["text", "blocks", "attachments", "markdown_text", "metadata", "file_ids", "parse",
         "link_names", "reply_broadcast"],
        chat::update),
    method!("chat.delete", TIER_3, Some("chat:write"), json: true, ["channel", "ts"], [], chat::delete),
    method!("chat.postEphemeral", TIER_4, Some("chat:write"), json: true,
        ["channel", "user"],
        ["text", "blocks", "attachments", "markdown_text", "thread_ts", "parse", "link_names"],
        chat::post_ephemeral),
    method!("reactions.add", TIER_3, Some("reactions:write"), json: true,
        ["channel", "timestamp", "name"], [], gestures::add_reaction),
    method!("reactions.remove", TIER_2, Some("reactions:write"), json: true,
        ["channel", "timestamp", "name"], [], gestures::remove_reaction),
    method!("assistant.threads.setStatus", Tier::PerMinute(600), Some("chat:write"), json: true,
        ["channel_id", "thread_ts"], ["status", "loading_messages"], gestures::set_status),
    method!("conversations.info", TIER_3, None, json: false,
        ["channel"], ["include_locale", "include_num_members"], conversations::info),
    method!("conversations.list", TIER_2, None, json: false,
        [], ["types", "limit", "cursor", "exclude_archived", "team_id"], conversations::list),
    method!("conversations.members", TIER_4, None, json: false,
        ["channel"], ["limit", "cursor"], conversations::members),
    method!("conversations.history", TIER_3, None, json: true,
        ["channel"],
        ["cursor", "limit", "oldest", "latest", "inclusive", "include_all_metadata"],
        conversations::history),
    method!("conversations.replies", TIER_3, None, json: false,
        ["channel", "ts"],
        ["cursor", "limit", "oldest", "latest", "inclusive", "include_all_metadata"],
        conversations::replies),
    method!("users.info", TIER_4, Some("users:read"), json: false,
        ["user"], ["include_locale"], conversations::user),
    method!("files.info", TIER_4, Some("files:read"), json: false,
        ["file"], ["count", "page", "limit", "cursor"], files::info),
    method!("files.getUploadURLExternal", TIER_4, Some("files:write"), json: false,
        ["filename", "length"], ["snippet_type", "alt_txt"], files::upload_url),
    method!("files.completeUploadExternal", TIER_4, Some("files:write"), json: true,
        ["files"], ["channel_id", "channels", "thread_ts", "initial_comment", "blocks"],
        files::complete_upload),
];

fn open_connection(state: &mut State, _args: &Args) -> Answer {
    let ticket = state.name("ticket-");
    state.tickets.insert(ticket.clone());
    let url = format!("{}/link/?ticket={ticket}&app_id={APP}", state.socket_url());
    Ok(json!({ "url": url }))
}

fn auth_test(state: &mut State, _args: &Args) -> Answer {
    Ok(json!({
        "url": "https://tieline.slack.com/",
        "team": "Tieline",
        "user": state.users[BOT_USER].name,
        "team_id": TEAM,
        "user_id": BOT_USER,
        "bot_id": BOT,
        "is_enterprise_install": false,
    }))
}
