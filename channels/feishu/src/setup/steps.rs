//! The way through the developer console.

use tieline_channel::{Language, Text};

use super::needs::{CALLBACKS, EVENTS, Need, SCOPES, Subscription};
use crate::registration::Brand;

/// A step in the developer console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to do, as Markdown on one line.
    pub what: String,
    /// What to enter or to choose there, each on one line.
    pub details: Vec<String>,
}

/// Returns the steps from nothing to an app that works, in the order in which they work.
pub fn steps(brand: Brand, language: Language) -> Vec<Step> {
    let console = match brand {
        Brand::Feishu => "https://open.feishu.cn/app",
        Brand::Lark => "https://open.larksuite.com/app",
    };
    let scopes = SCOPES
        .iter()
        .filter(|scope| scope.need != Need::Optional)
        .map(|scope| entry(scope.name, scope.purpose, language))
        .collect();
    let step = |text: Text, details: Vec<String>| Step {
        what: text.within(language).replace("{console}", console),
        details,
    };
    vec![
        step(CREATE, Vec::new()),
        step(BOT, Vec::new()),
        step(PERMISSIONS, scopes),
        step(RUN, Vec::new()),
        step(LISTEN, entries(EVENTS, language)),
        step(CALL_BACK, entries(CALLBACKS, language)),
        step(PUBLISH, Vec::new()),
        step(GREET, Vec::new()),
    ]
}

const CREATE: Text = Text {
    en: "Open <{console}>, create a **custom app**, and note the App ID and the App Secret under \
        **Credentials & Basic Info**.",
    zh: "打开 <{console}>，**创建企业自建应用**，在**凭证与基础信息**中记下 App ID 和 App Secret。",
};
const BOT: Text = Text {
    en: "Under **Add Features**, add the **Bot**.",
    zh: "在**添加应用能力**中添加**机器人**。",
};
const PERMISSIONS: Text = Text {
    en: "Under **Permissions & Scopes**, add these scopes (or paste them all by *Batch import*):",
    zh: "在**权限管理**中开通以下应用身份权限（也可以用*批量导入*一次粘贴）：",
};
const RUN: Text = Text {
    en: "Give App ID and App Secret to `tieline init feishu --app` and start `tieline run`: the next \
        two steps can only be saved while it is connected. (If Feishu refuses the connection with code \
        1000040345 although the secret is right, publish a first version as in step 7.)",
    zh: "运行 `tieline init feishu --app` 输入 App ID 和 App Secret，再启动 `tieline run`：后面两步只有在连接建立后才能保存。（如果密钥正确但连接被拒绝（错误码 1000040345），请先按第 7 步发布一个版本。）",
};
const LISTEN: Text = Text {
    en: "Under **Events & Callbacks → Event Configuration**, choose **Receive events through \
        persistent connection**, save, and add:",
    zh: "在**事件与回调 → 事件配置**中，将订阅方式设为**使用长连接接收事件**并保存，然后添加：",
};
const CALL_BACK: Text = Text {
    en: "Under **Events & Callbacks → Callback Configuration**, a tab of its own, choose **Receive \
        callbacks through persistent connection**, save, and add:",
    zh: "在**事件与回调 → 回调配置**（另一个标签页）中，将订阅方式设为**使用长连接接收回调**并保存，然后添加：",
};
const PUBLISH: Text = Text {
    en: "Under **Version Management & Release**, choose who may use the app, create a version and \
        publish it. An administrator may have to approve it; until then nothing above takes effect.",
    zh: "在**版本管理与发布**中设置可用范围，创建版本并发布。可能需要管理员审核；审核通过前，以上设置都不会生效。",
};
const GREET: Text = Text {
    en: "A minute later, write a direct message to the bot. In a group, add the bot and mention it \
        with @.",
    zh: "约一分钟后，给机器人发一条单聊消息。在群聊中，先把机器人加入群，再 @ 它。",
};

fn entries(subscriptions: &[Subscription], language: Language) -> Vec<String> {
    subscriptions
        .iter()
        .map(|Subscription { name, purpose, .. }| entry(name, *purpose, language))
        .collect()
}

fn entry(name: &str, purpose: Text, language: Language) -> String {
    match language {
        Language::English => format!("`{name}`: {}", purpose.en),
        Language::Chinese => format!("`{name}`：{}", purpose.zh),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(brand: Brand, language: Language) -> String {
        let mut shown = String::new();
        for (n, Step { what, details }) in steps(brand, language).iter().enumerate() {
            shown.push_str(&format!("{}. {what}\n", n + 1));
            for detail in details {
                shown.push_str(&format!("   - {detail}\n"));
            }
        }
        shown
    }

    #[test]
    fn the_way_in_english() {
        insta::assert_snapshot!(shown(Brand::Lark, Language::English));
    }

    #[test]
    fn the_way_in_chinese() {
        insta::assert_snapshot!(shown(Brand::Feishu, Language::Chinese));
    }
}
