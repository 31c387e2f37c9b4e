//! What holds when the configuration does not say otherwise.

use std::time::Duration;

use url::Url;

use crate::config::access::{Direct, Groups};
use crate::config::codex::Transport;
use crate::config::dispatcher::{
    Approvals, OnBusy, OnInterrupted, OnLostThread, Reply, RestartConfig, RunsConfig, Sandbox,
    Sessions, TeammatesConfig,
};

pub(crate) const STATE_DIR: &str = "~/.local/state/tieline";
pub(crate) const LOG: &str = "info";

pub(crate) const CODEX_BIN: &str = "codex";
pub(crate) const CODEX_HOME: &str = "~/.codex";
pub(crate) const CODEX_TRANSPORT: Transport = Transport::Unix;

pub(crate) const REACTIONS: bool = true;

pub(crate) const SESSIONS: Sessions = Sessions::Shared;
pub(crate) const SANDBOX: Sandbox = Sandbox::WorkspaceWrite;
pub(crate) const APPROVALS: Approvals = Approvals::Deny;
pub(crate) const APPROVAL_TIMEOUT: Duration = Duration::from_secs(10 * 60);
pub(crate) const REPLY: Reply = Reply::Final;
pub(crate) const ON_BUSY: OnBusy = OnBusy::Queue;
pub(crate) const ON_INTERRUPTED: OnInterrupted = OnInterrupted::Continue;
pub(crate) const ON_LOST_THREAD: OnLostThread = OnLostThread::Fresh;
pub(crate) const TURN_IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(15 * 60);
pub(crate) const COMPLETION_CHARS: usize = 32_000;
pub(crate) const TEAMMATES: TeammatesConfig = TeammatesConfig {
    max: 20,
    parallel: 8,
    announce: true,
};
pub(crate) const RUNS: RunsConfig = RunsConfig { parallel: 2 };
pub(crate) const RESTART: RestartConfig = RestartConfig {
    base: Duration::from_secs(1),
    max: Duration::from_secs(30),
};

pub(crate) const DIRECT: Direct = Direct::Pairing;
pub(crate) const GROUPS: Groups = Groups::Listed;
pub(crate) const MENTION: bool = true;

/// Returns where Slack's Web API is.
pub(crate) fn slack_api_url() -> Url {
    Url::parse("https://slack.com/api/").expect("a test reads it")
}

/// Returns where the Open API of Feishu is.
pub(crate) fn feishu_base_url() -> Url {
    Url::parse("https://open.feishu.cn/").expect("a test reads it")
}

/// Returns where the Open API of Lark is.
pub(crate) fn lark_base_url() -> Url {
    Url::parse("https://open.larksuite.com/").expect("a test reads it")
}

/// Returns where the accounts are that belong to an Open API.
pub(crate) fn feishu_accounts_url(base_url: &Url) -> Url {
    let url = match base_url.host_str() == lark_base_url().host_str() {
        true => "https://accounts.larksuite.com/",
        false => "https://accounts.feishu.cn/",
    };
    Url::parse(url).expect("a test reads it")
}
