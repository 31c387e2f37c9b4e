//! What is left to do for a Feishu app, in the words of Feishu's pages and in both languages.

use tieline_channel::{ChannelId, Language};
use tieline_feishu::registration::Brand;
use tieline_feishu::setup::{Step, scopes_json, steps};

use crate::cli::init::place::numbered;
use crate::config::{FeishuConfig, defaults};

/// How far the set-up is.
pub(super) struct Situation<'a> {
    /// What every command needs so that it means this channel.
    pub(super) flags: &'a str,
    /// What every command needs so that it finds the configuration.
    pub(super) config_flags: &'a str,
    /// The channel.
    pub(super) channel: &'a ChannelId,
    /// What is configured, or will be.
    pub(super) feishu: &'a FeishuConfig,
    /// The name of the bot, if Feishu has said it.
    pub(super) bot: Option<&'a str>,
    /// The app was made in the console, where some steps need tieline to run.
    pub(super) is_by_hand: bool,
}

/// Says what to do with the code that follows.
pub(super) fn invitation(url: &str, minutes: u64, language: Language) -> String {
    match language {
        Language::English => format!(
            "Scan this code with Feishu or Lark on your phone, or open the link in a browser, and \
             agree. It is\ngood for {minutes} minutes, and for you only: whoever opens it makes the \
             app.\n\n  {url}\n\n"
        ),
        Language::Chinese => format!(
            "请用手机上的飞书或 Lark 扫描下面的二维码，或在浏览器中打开链接，然后确认创建。\n\
             {minutes} 分钟内有效，请勿转发：任何打开它的人都能创建这个应用。\n\n  {url}\n\n"
        ),
    }
}

/// Tells on which side an app is.
fn brand(feishu: &FeishuConfig) -> Brand {
    match feishu.base_url.host_str() == defaults::lark_base_url().host_str() {
        true => Brand::Lark,
        false => Brand::Feishu,
    }
}

/// Writes the way through the developer console, and how to hand over what it gives.
pub(super) fn by_hand(flags: &str, feishu: &FeishuConfig) -> String {
    let brand = brand(feishu);
    let steps: Vec<_> = steps(brand, feishu.language)
        .into_iter()
        .map(|Step { what, details }| {
            let mut step = what;
            for detail in details {
                step.push_str(&format!("\n- {detail}"));
            }
            // A terminal shows no Markdown.
            step.replace('*', "")
        })
        .collect();
    let import = scopes_json();
    let hand_over = format!("tieline init feishu --app{flags}");
    match feishu.language {
        Language::English => format!(
            "Make the app in the developer console:\n{}\n\
             For step 3, all scopes to paste into Batch import:\n\n    {import}\n\n\
             For step 4, hand over App ID and App Secret; the configuration is written then:\n\n    \
             {hand_over}\n",
            numbered(&steps)
        ),
        Language::Chinese => format!(
            "请在开发者后台创建应用：\n{}\n\
             第 3 步可将以下全部权限粘贴到“批量导入”：\n\n    {import}\n\n\
             第 4 步请运行以下命令，输入 App ID 和 App Secret，随后会写好配置：\n\n    {hand_over}\n",
            numbered(&steps)
        ),
    }
}

/// Writes the steps that are left when the secret is there, numbered.
pub(super) fn what_is_left(situation: &Situation<'_>) -> String {
    let Situation {
        flags: manual_flags,
        config_flags: flags,
        channel,
        feishu,
        bot,
        is_by_hand,
    } = situation;
    let language = feishu.language;
    let name = bot.filter(|name| !name.is_empty());
    let (place, place_zh) = match brand(feishu) {
        Brand::Feishu => ("Feishu", "飞书"),
        Brand::Lark => ("Lark", " Lark "),
    };
    let mut steps = Vec::new();
    let step = |en: String, zh: String| match language {
        Language::English => en,
        Language::Chinese => zh,
    };
    steps.push(step(
        format!("Start tieline, in another terminal or as a service:\n\n    tieline run{flags}"),
        format!("在另一个终端中启动 tieline，或者将它作为服务运行：\n\n    tieline run{flags}"),
    ));
    if *is_by_hand {
        steps.push(step(
            format!(
                "While it runs, go on with the steps for the developer console that come after it:\n\
                 events, callbacks, publishing. They are shown by\n\n    tieline init feishu --manual{manual_flags}"
            ),
            format!(
                "在它运行期间，继续完成开发者后台中其后的步骤：事件、回调、发布。查看这些步骤：\n\n    \
                 tieline init feishu --manual{manual_flags}"
            ),
        ));
    }
    let who = name.unwrap_or(match language {
        Language::English => "the bot",
        Language::Chinese => "机器人",
    });
    steps.push(step(
        format!(
            "In {place}, find {who} by the search and write to it. If it answers with a code, let\n\
             yourself in with it:\n\n    tieline pair CODE{flags}\n\n\
             Write again, and Codex answers. Others who write to it get a code of their own, which\n\
             you let in the same way."
        ),
        format!(
            "在{place_zh}中搜索 {who}，给它发一条消息。如果它回复一个配对码，请用它为自己配对：\n\n    \
             tieline pair CODE{flags}\n\n\
             然后再发一条消息，Codex 就会回答。其他人给它发消息时也会得到各自的配对码，用同样的方式配对。"
        ),
    ));
    steps.push(step(
        format!(
            "For a group: add the bot to it and mention it with @. `tieline messages` then names\n\
             the group's ID, oc_…: add \"{channel}:oc_…\" to `chats` in the configuration, start tieline\n\
             again, and mention it once more."
        ),
        format!(
            "在群聊中使用：把机器人加入群，然后 @ 它。`tieline messages` 会显示群的 ID（oc_…）：把\n\
             \"{channel}:oc_…\" 加到配置的 `chats` 中，重新启动 tieline，再 @ 它一次。"
        ),
    ));
    let title = match language {
        Language::English => "What is left to do:",
        Language::Chinese => "接下来：",
    };
    format!("{title}\n{}", numbered(&steps))
}
