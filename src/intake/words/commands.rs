//! What commands are answered with.

use std::time::SystemTime;

use tieline_channel::{Language, Text};

use super::teammates::Viewer;
use super::{age, login};
use crate::config::Role;
use crate::intake::command::Misuse;
use crate::intake::standing::{Model, Standing, Threads};
use crate::ledger::{Lifecycle, MAX_ORDERS, OrderRefusal, Stopped, StoppedTurn};

/// To whoever asks for help.
pub(in crate::intake) const HELP: Text = Text {
    en: "Write to me as to a colleague; what I cannot do I will say. These words I answer myself:\n\n\
         - `help`: this list\n\
         - `status`: how I am, and what I do here\n\
         - `where`: what became of the messages of this conversation\n\
         - `stop`: ends what I do here; `stop all`: also what waits\n\
         - `new`: begins a new thread, which knows nothing of this one\n\
         - `threads`: the threads of this conversation; `resume 2`: goes back to one of them\n\
         - `fork`: goes on in a copy of the thread; `compact`: shortens its history\n\
         - `model`: which model is at work; `model NAME`: takes another one (administrators)\n\
         - `teammates`: who works for me, and at what; `teammates NAME`: what came of the last tasks\n\
         - `pair CODE`: lets in whoever was given the code (administrators)\n\n\
         A message that begins with `!` goes before everything that waits.",
    zh: "像跟同事说话一样给我发消息就行，做不到的我会说明。下面这些由我自己来回答：\n\n\
         - `帮助`：显示这份说明\n\
         - `状态`：我现在怎么样、在这里做什么\n\
         - `进度`：这个会话里的消息处理到哪一步了\n\
         - `停止`：停止我在这里做的事；`停止全部`：连同等待的消息\n\
         - `新会话`：重新开始，不带之前的内容\n\
         - `会话列表`：这里有过的会话；`恢复 2`：回到其中一个\n\
         - `分叉`：在当前会话的副本里继续；`压缩`：压缩它的历史\n\
         - `模型`：正在使用的模型；`模型 NAME`：换一个（仅限管理员）\n\
         - `队友`：谁在为我工作、在做什么；`队友 NAME`：最近几项任务的结果\n\
         - `配对 CODE`：允许持有配对码的人使用（仅限管理员）\n\n\
         以 `!` 开头的消息会排到所有等待的消息前面。",
};

/// To somebody who may not do what they ask for.
pub(in crate::intake) fn role_needed(role: Role) -> Text {
    match role {
        Role::Viewer | Role::User => Text {
            en: "You may ask me how things are (`help` says how), but not give me work: whoever runs me \
                 can change that by taking you off `viewers` in the access rules of my configuration.",
            zh: "你可以向我询问情况（发送 `帮助` 查看方法），但不能交给我任务：请运行我的人在配置的访问规则里把你从 `viewers` 中移除。",
        },
        Role::Approver => Text {
            en: "Several chats share this thread, so this is for approvers: whoever runs me can list \
                 you under `approvers` in the access rules of my configuration.",
            zh: "多个聊天共用这个会话，所以只有审批人才能这样做：请运行我的人在配置的访问规则里把你加入 `approvers`。",
        },
        Role::Admin => Text {
            en: "This is for administrators: whoever runs me can list you under `admins` in the access \
                 rules of my configuration.",
            zh: "只有管理员才能这样做：请运行我的人在配置的访问规则里把你加入 `admins`。",
        },
    }
}

/// To whoever wrote something that is certainly a command, and none that there is.
pub(in crate::intake) fn unknown(word: &str, language: Language) -> String {
    match language {
        Language::English => format!(
            "There is no command `/{word}`. `help` lists those that there are; what is meant for the \
             model needs more than one word after a slash."
        ),
        Language::Chinese => format!(
            "没有 `/{word}` 这个命令。发送 `帮助` 可以查看有哪些；如果是要交给模型的内容，斜杠后面请不要只写一个词。"
        ),
    }
}

/// To whoever used a command as it cannot be used.
pub(in crate::intake) fn misused(misuse: Misuse, language: Language) -> String {
    match (misuse, language) {
        (Misuse::NotAlone(word), Language::English) => {
            let word = word.en;
            format!("Nothing was done: `{word}` stands alone. Send it by itself, and the rest after it.")
        }
        (Misuse::NotAlone(word), Language::Chinese) => {
            let word = word.zh;
            format!("什么都没有做：`{word}` 要单独发送。请先单独发送它，再发送其余内容。")
        }
        (Misuse::WhichThread, Language::English) => {
            "Which one? `threads` lists them, and `resume 2` goes back to the second.".to_owned()
        }
        (Misuse::WhichThread, Language::Chinese) => {
            "要恢复哪一个？发送 `会话列表` 可以查看，发送 `恢复 2` 就会回到第二个。".to_owned()
        }
        (Misuse::NotAModel, Language::English) => {
            "That is no name of a model. `model NAME` takes one word; `model default` goes back to the \
             default."
                .to_owned()
        }
        (Misuse::NotAModel, Language::Chinese) => {
            "这不是模型的名称。`模型 NAME` 后面只写一个名称；`模型 default` 改回默认模型。".to_owned()
        }
    }
}

/// To whoever asks how the dispatcher is.
pub(in crate::intake) fn status(found: &Standing, now: SystemTime, language: Language) -> String {
    let say = |en: String, zh: String| match language {
        Language::English => en,
        Language::Chinese => zh,
    };
    let since = age(found.since, now, language);
    let mut lines = vec![match found.state {
        Lifecycle::Ready => {
            let version = found.version.as_deref().unwrap_or_default();
            let codex = format!("Codex {version}");
            let codex = codex.trim_end();
            say(
                format!("🟢 ready for {since}, with {codex}"),
                format!("🟢 已就绪 {since}，使用 {codex}"),
            )
        }
        Lifecycle::Declared | Lifecycle::Starting => say(
            format!(
                "🔄 Codex is starting, for {since}; messages are kept and run as soon as it is there"
            ),
            format!("🔄 Codex 正在启动，已 {since}；消息都已保存，启动后会立即处理"),
        ),
        Lifecycle::Degraded => say(
            format!(
                "🔄 Codex is away for {since} and is being restarted; messages are kept and run as soon \
                 as it is back. If that takes long, `tieline status` on the machine says why"
            ),
            format!(
                "🔄 Codex 已中断 {since}，正在重启；消息都已保存，恢复后会立即处理。如果时间太长，可以在机器上用 `tieline status` 查看原因"
            ),
        ),
        Lifecycle::Stopping | Lifecycle::Stopped => say(
            "⏹️ I am being stopped; messages are kept and run after the next start".to_owned(),
            "⏹️ 我正在停止；消息都已保存，下次启动后会处理".to_owned(),
        ),
    }];
    if let Some(kind) = found.login {
        lines.push(login(kind).within(language).to_owned());
    }
    lines.push(match &found.turn {
        None => say(
            "💤 nothing runs here".to_owned(),
            "💤 这里没有正在处理的内容".to_owned(),
        ),
        Some(turn) => {
            let since = age(turn.since, now, language);
            match (turn.is_stopped, turn.is_here) {
                (true, _) => say(
                    format!("⏹️ what runs here for {since} is being stopped"),
                    format!("⏹️ 已处理 {since} 的内容正在停止"),
                ),
                (false, true) => say(
                    format!("⏳ a turn runs here for {since}; `where` says for what"),
                    format!("⏳ 这里正在处理，已 {since}；发送 `进度` 可以查看是什么"),
                ),
                (false, false) => say(
                    format!("⏳ a turn for another conversation runs for {since}"),
                    format!("⏳ 正在处理另一个会话的内容，已 {since}"),
                ),
            }
        }
    });
    if found.waiting > 0 {
        let (here, all) = (found.waiting_here, found.waiting);
        lines.push(if here == all {
            say(
                format!("🕓 {} here", wait(all)),
                format!("🕓 这里有 {all} 条消息在等待"),
            )
        } else {
            say(
                format!("🕓 {}, {here} of them from here among the first", wait(all)),
                format!("🕓 共有 {all} 条消息在等待，排在前面的有 {here} 条来自这里"),
            )
        });
    }
    if found.orders > 0 {
        let orders = found.orders;
        lines.push(say(
            format!("🕓 changes of the thread that wait for their turn: {orders}"),
            format!("🕓 等待执行的会话操作：{orders} 项"),
        ));
    }
    lines.push(match found.thread {
        Some(number) => say(
            format!("🧵 thread {number}; `threads` lists all"),
            format!("🧵 会话 {number}；发送 `会话列表` 可以查看全部"),
        ),
        None => say(
            "🧵 your next message begins a thread".to_owned(),
            "🧵 你的下一条消息将开始一个会话".to_owned(),
        ),
    });
    let sandbox = found.sandbox.as_str();
    lines.push(match &found.model.name {
        Some(name) => say(
            format!("🧠 model `{name}`, sandbox `{sandbox}`"),
            format!("🧠 模型 `{name}`，沙箱 `{sandbox}`"),
        ),
        None => say(
            format!("🧠 the default model of Codex, sandbox `{sandbox}`"),
            format!("🧠 Codex 的默认模型，沙箱 `{sandbox}`"),
        ),
    });
    listed(&lines)
}

/// To whoever asks which model is at work.
pub(in crate::intake) fn model(model: &Model, language: Language) -> String {
    match (&model.name, model.is_chosen, language) {
        (Some(name), true, Language::English) => format!(
            "🧠 `{name}`, which was chosen here. `model default` goes back to the default, `model NAME` \
             takes another one (administrators)."
        ),
        (Some(name), true, Language::Chinese) => format!(
            "🧠 `{name}`，是在这里选定的。发送 `模型 default` 改回默认模型，`模型 NAME` 换一个（仅限管理员）。"
        ),
        (Some(name), false, Language::English) => format!(
            "🧠 `{name}`, the default. `model NAME` takes another one here (administrators)."
        ),
        (Some(name), false, Language::Chinese) => {
            format!("🧠 `{name}`，即默认模型。发送 `模型 NAME` 可以在这里换一个（仅限管理员）。")
        }
        (None, _, Language::English) => {
            "🧠 The default model of Codex. `model NAME` takes another one \
                                         here (administrators)."
                .to_owned()
        }
        (None, _, Language::Chinese) => {
            "🧠 Codex 的默认模型。发送 `模型 NAME` 可以在这里换一个（仅限管理员）。".to_owned()
        }
    }
}

/// To whoever asks for the threads of a conversation. What was said in another chat is not told.
pub(in crate::intake) fn threads(
    found: &Threads,
    viewer: &Viewer,
    now: SystemTime,
    language: Language,
) -> String {
    let say = |en: String, zh: String| match language {
        Language::English => en,
        Language::Chinese => zh,
    };
    if found.kept.is_empty() {
        return say(
            "There is no thread here yet: your next message begins one.".to_owned(),
            "这里还没有会话：你的下一条消息将开始一个。".to_owned(),
        );
    }
    let mut lines = Vec::new();
    if found.present.is_none() {
        lines.push(say(
            "▶️ a new one, which your next message begins".to_owned(),
            "▶️ 一个新会话，由你的下一条消息开始".to_owned(),
        ));
    }
    for kept in &found.kept {
        let number = kept.number;
        let is_present = found.present == Some(number);
        let age = age(kept.used_at, now, language);
        let mut line = if is_present {
            say(
                format!("▶️ `{number}`, the present one, used {age} ago"),
                format!("▶️ `{number}`，当前会话，{age}前用过"),
            )
        } else {
            say(
                format!("`{number}`, used {age} ago"),
                format!("`{number}`，{age}前用过"),
            )
        };
        if let Some(source) = kept.copy_of {
            line += &say(
                format!(", a copy of `{source}`"),
                format!("，`{source}` 的副本"),
            );
        }
        line += &match (&kept.from, kept.beginning.as_str()) {
            (Some(from), beginning) if !beginning.is_empty() => {
                if viewer.may_read(from) {
                    say(format!(": “{beginning}”"), format!("：“{beginning}”"))
                } else {
                    say(
                        ", begun in another chat".to_owned(),
                        "，在另一个聊天里开始".to_owned(),
                    )
                }
            }
            _ => String::new(),
        };
        lines.push(line);
    }
    let other = found
        .kept
        .iter()
        .find(|it| found.present != Some(it.number));
    let footer = match other {
        Some(other) => {
            let number = other.number;
            say(
                format!("`resume {number}` goes back, `new` begins another."),
                format!("发送 `恢复 {number}` 可以回到那个会话，`新会话` 另开一个。"),
            )
        }
        None => say(
            "`new` begins another.".to_owned(),
            "发送 `新会话` 另开一个。".to_owned(),
        ),
    };
    format!("{}\n\n{footer}", listed(&lines))
}

/// To whoever wants what runs to end.
pub(in crate::intake) fn stopped(stopped: &Stopped, language: Language) -> String {
    let say = |en: String, zh: String| match language {
        Language::English => en,
        Language::Chinese => zh,
    };
    let mut text = match stopped.turn {
        StoppedTurn::Ends => say("⏹️ Stopping it.".to_owned(), "⏹️ 正在停止。".to_owned()),
        StoppedTurn::Ended => say(
            "⏹️ It is being stopped already.".to_owned(),
            "⏹️ 已经在停止了。".to_owned(),
        ),
        StoppedTurn::OfOthers => say(
            "What runs is for another chat; only an administrator can stop that.".to_owned(),
            "正在处理的是另一个聊天的内容，只有管理员才能停止。".to_owned(),
        ),
        StoppedTurn::None => say(
            "Nothing runs here.".to_owned(),
            "这里没有正在处理的内容。".to_owned(),
        ),
    };
    let withdrawn = stopped.withdrawn.len();
    if withdrawn > 0 {
        text += &say(
            format!(" Messages that waited and will not be worked on: {withdrawn}."),
            format!("等待的消息已撤回，共 {withdrawn} 条。"),
        );
    }
    if stopped.waiting > 0 {
        let waiting = wait(stopped.waiting);
        let n = stopped.waiting;
        text += &say(
            format!(" {waiting} and will be worked on next; `stop all` withdraws what waits."),
            format!("还有 {n} 条消息在等待，接下来会处理；发送 `停止全部` 可以撤回它们。"),
        );
    }
    text
}

/// To whoever wants something of the thread while a turn runs.
pub(in crate::intake) const AFTER_THE_TURN: Text = Text {
    en: "🕓 As soon as the turn that runs is over.",
    zh: "🕓 等正在处理的内容结束后执行。",
};

/// To whoever wants something of the thread that is not taken.
pub(in crate::intake) fn not_ordered(refusal: OrderRefusal, language: Language) -> String {
    match (refusal, language) {
        (OrderRefusal::TooMany, Language::English) => format!(
            "Nothing was done: {MAX_ORDERS} changes of this thread wait already. Ask again when they \
             are done."
        ),
        (OrderRefusal::TooMany, Language::Chinese) => {
            format!("什么都没有做：已有 {MAX_ORDERS} 项会话操作在等待，请等它们完成后再试。")
        }
        (OrderRefusal::Teammate, Language::English) => {
            "Nothing was done: this is the thread of a teammate.".to_owned()
        }
        // No chat has such a lane.
        (OrderRefusal::Session, Language::English) => {
            "Nothing was done: this is the conversation of a program.".to_owned()
        }
        (OrderRefusal::Session, Language::Chinese) => "什么都没有做：这是程序的会话。".to_owned(),
        (OrderRefusal::Teammate, Language::Chinese) => "什么都没有做：这是队友的会话。".to_owned(),
    }
}

fn wait(n: usize) -> String {
    match n {
        1 => "1 message waits".to_owned(),
        n => format!("{n} messages wait"),
    }
}

fn listed(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| format!("- {line}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
