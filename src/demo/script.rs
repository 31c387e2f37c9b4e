//! What the demo's model says: it echoes, runs one harmless command when asked to, can answer in two
//! messages, and hands work to a teammate, which is this same script. It never pretends to be a real
//! model.

use async_trait::async_trait;
use serde_json::json;

use super::model::{Gone, Phase, Request, Responder, Script};

/// What is run when somebody says "run": it reads nothing and writes nothing.
const COMMAND: &str = "uname -sr";

/// What a teammate does: it takes a moment, so that one sees the conversation go on meanwhile.
const TEAMMATE_COMMAND: &str = "sleep 2; uname -sr";

/// The tool by which a teammate begins.
const SPAWN: &str = "spawn_teammate";

/// Said once in a conversation.
const INTRODUCTION: &str = "I am tieline's built-in demo model, not a real one: I echo. Say `run` \
    and Codex runs a harmless command, `two` for an answer in two messages, or `team` and I hand the \
    work to a teammate. To talk to your own Codex, start `tieline demo --login`.";

/// The demo's model.
#[derive(Debug)]
pub struct DemoScript;

#[async_trait]
impl Script for DemoScript {
    async fn answer(&self, request: &Request, responder: &mut Responder) -> Result<(), Gone> {
        let said = request.last_user_text().unwrap_or_default();
        let wish = Wish::of(said);
        if let Some(output) = request.fresh_tool_outputs().last() {
            let answer = wish.answer(output.text().trim_end());
            return responder.message(&answer, Phase::FinalAnswer).await;
        }
        let text = bodies(said).join("\n");
        match wish {
            Wish::Command => responder.command(COMMAND).await,
            Wish::Task => responder.command(TEAMMATE_COMMAND).await,
            Wish::Team => {
                let name = format!("scout-{}", spawned(request) + 1);
                let task = format!("Look which machine this is. The person wrote: {text}");
                let arguments = json!({"name": name, "task": task});
                responder.call(SPAWN, &arguments).await
            }
            Wish::Results => {
                let results = fresh_results(request);
                let answer = match results.as_slice() {
                    [] => "Nothing new has come in.".to_owned(),
                    results => results.join("\n\n"),
                };
                responder.message(&answer, Phase::FinalAnswer).await
            }
            Wish::TwoMessages => {
                let progress = "Thinking about it (this is the first message) …";
                responder.message(progress, Phase::Commentary).await?;
                let answer = format!("Done thinking (this is the second). You said: {text}");
                responder.message(&answer, Phase::FinalAnswer).await
            }
            Wish::Echo => {
                let mut answer = format!("You said: {text}");
                if request.model_texts().is_empty() {
                    answer.push_str("\n\n");
                    answer.push_str(INTRODUCTION);
                }
                responder.message(&answer, Phase::FinalAnswer).await
            }
        }
    }
}

/// What is asked of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Echo,
    Command,
    TwoMessages,
    /// That work is handed out.
    Team,
    /// Work that was handed out.
    Task,
    /// That it looks at the results that came in.
    Results,
}

impl Wish {
    /// Reads what came with a turn.
    fn of(said: &str) -> Self {
        if said.starts_with("<task ") {
            return Self::Task;
        }
        if said.starts_with("<trigger ") {
            return Self::Results;
        }
        let text = bodies(said).join("\n").to_lowercase();
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        words
            .find_map(|word| match word {
                "run" => Some(Self::Command),
                "two" | "think" => Some(Self::TwoMessages),
                "team" | "teammate" => Some(Self::Team),
                _ => None,
            })
            .unwrap_or(Self::Echo)
    }

    /// Returns what is said once its tool has answered `output`.
    fn answer(self, output: &str) -> String {
        match self {
            Self::Team if output.starts_with("started") => {
                "I have handed that to a teammate, which works in a thread of its own. Go on writing \
                 meanwhile; I tell you when it is done. `teammates` shows what it does."
                    .to_owned()
            }
            Self::Team => format!("I could not hand it out: {output}"),
            // What a shell says when it starts stands before it.
            Self::Task => format!("This machine runs {}.", output.lines().last().unwrap_or_default()),
            Self::Echo | Self::Command | Self::TwoMessages | Self::Results => {
                format!("Codex ran `{COMMAND}`, which printed: {output}")
            }
        }
    }
}

/// Returns how many teammates the model has spawned in this conversation.
fn spawned(request: &Request) -> usize {
    let calls = request.items().iter();
    calls.filter(|item| item["name"] == SPAWN).count()
}

/// Returns what came of work since the model spoke last, a sentence for each.
fn fresh_results(request: &Request) -> Vec<String> {
    let texts = request.fresh_developer_texts().into_iter();
    texts.filter_map(result).collect()
}

/// Returns what a `<completion …>` element says, in a sentence.
fn result(text: &str) -> Option<String> {
    let (tag, rest) = text.strip_prefix("<completion ")?.split_once('>')?;
    let from = tag.split_once("from=\"")?.1.split_once('"')?.0;
    let body = rest.strip_suffix("</completion>")?;
    Some(format!(
        "`{}` is done. It says: {}",
        unescape(from),
        plain(body)
    ))
}

/// Returns what people wrote in a turn's text, or the agent that hands out work: the bodies of its
/// `<channel …>` and `<task …>` blocks, unescaped, without attachments and quotes and with mentions as
/// `@name`; or the text itself when it has no such block.
pub fn bodies(text: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut rest = text;
    let blocks = [("<channel ", "</channel>"), ("<task ", "</task>")];
    while let Some((begin, end)) = blocks
        .into_iter()
        .filter(|(begin, _)| rest.contains(begin))
        .min_by_key(|(begin, _)| rest.find(begin))
        && let Some((_, block)) = rest.split_once(begin)
    {
        // `>` is escaped in attributes, `<` in bodies: the first of each is the tag's.
        let Some((body, after)) = block
            .split_once('>')
            .and_then(|(_attributes, block)| block.split_once(end))
        else {
            break;
        };
        bodies.push(plain(body));
        rest = after;
    }
    if bodies.is_empty() {
        bodies.push(text.trim().to_owned());
    }
    bodies
}

/// Returns the text of a body.
fn plain(body: &str) -> String {
    let mut plain = String::with_capacity(body.len());
    let mut quotes = 0_usize;
    let mut rest = body;
    while !rest.is_empty() {
        let (text, tag, after) = match rest.split_once('<') {
            Some((text, tagged)) => match tagged.split_once('>') {
                Some((tag, after)) => (text, tag, after),
                None => (text, "", ""),
            },
            None => (rest, "", ""),
        };
        if quotes == 0 {
            plain.push_str(text);
        }
        match tag.split(' ').next().unwrap_or_default() {
            "quote" => quotes += 1,
            "/quote" => quotes = quotes.saturating_sub(1),
            "mention" if quotes == 0 => plain.push('@'),
            _ => {}
        }
        rest = after;
    }
    unescape(plain.trim())
}

fn unescape(text: &str) -> String {
    // `&amp;` last: what it yields is not to be read again.
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use tieline_channel::{
        ChannelId, ChatId, ChatKind, Conversation, Message, Segment, Sender, SenderKind, UserId,
        WireId,
    };

    use super::*;
    use crate::dispatcher::envelope::{RenderContext, Supplement, render};

    #[test]
    fn bodies_come_out_of_their_envelopes() {
        let table: [(&str, &[&str]); 8] = [
            (
                "<task from=\"flow\" ref=\"1\">\nlook &lt;there&gt;\n</task>",
                &["look <there>"],
            ),
            ("hello", &["hello"]),
            (
                "<channel source=\"console\" chat=\"c\">\nhello\n</channel>",
                &["hello"],
            ),
            (
                "<channel chat=\"a&gt;b\">\none\n</channel>\n<channel chat=\"c\">\ntwo\nlines\n</channel>",
                &["one", "two\nlines"],
            ),
            (
                "<channel a=\"b\">\n&lt;/channel&gt; &amp;lt; ä🦀\n</channel>",
                &["</channel> &lt; ä🦀"],
            ),
            (
                "<channel a=\"b\">\n<mention user=\"U1\">Mei</mention>: look\n\
                 <attachment path=\"/x\" name=\"x\"/>\n</channel>",
                &["@Mei: look"],
            ),
            (
                "<channel a=\"b\">\n<quote message=\"1\" sender=\"U\">old <mention user=\"U\">X\
                 </mention></quote>\nnew\n</channel>",
                &["new"],
            ),
            (
                "<channel a=\"b\">\nnever closed",
                &["<channel a=\"b\">\nnever closed"],
            ),
        ];
        for (text, expected) in table {
            assert_eq!(bodies(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_rendered_comes_out_again(text in r"[^\p{Cc}]{0,60}", name in ".{0,20}") {
            let message = Message {
                id: WireId::new("m"),
                conversation: Conversation { chat: ChatId::new("c"), thread: None },
                chat_kind: ChatKind::Direct,
                chat_name: Some(name.clone()),
                sender: Sender { id: UserId::new("u"), name: Some(name), kind: SenderKind::Person },
                sent_at: SystemTime::UNIX_EPOCH,
                body: vec![Segment::Text(text.clone())],
                addressed: true,
                in_thread: false,
                quote: None,
                attachments: Vec::new(),
            };
            let context = RenderContext {
                channel: &ChannelId::new("console"),
                source: "console",
                now: SystemTime::UNIX_EPOCH,
                stale_after: Duration::from_secs(60),
            };
            let block = render(&context, &message, &Supplement::default());
            prop_assert_eq!(bodies(&format!("{block}\n{block}")), [text.trim(), text.trim()]);
        }
    }

    #[test]
    fn a_result_is_told_in_the_words_of_who_reports_it() {
        let text = "<completion id=\"teammate:a#1\" from=\"a\" status=\"ok\" ref=\"1\">\n\
                    it is &lt;fine&gt;\n</completion>";
        let told = "`a` is done. It says: it is <fine>";
        assert_eq!(result(text).as_deref(), Some(told));
        assert_eq!(result("<notice>nothing</notice>"), None);
    }

    #[test]
    fn wishes_are_whole_words() {
        let table = [
            ("Run!", Wish::Command),
            ("please run it", Wish::Command),
            ("two", Wish::TwoMessages),
            ("let us think, then run", Wish::TwoMessages),
            ("running", Wish::Echo),
            ("ask the team", Wish::Team),
            ("teams", Wish::Echo),
            ("<task ref=\"1\">\nteam\n</task>", Wish::Task),
            ("<trigger turn=\"1\">\nrun\n</trigger>", Wish::Results),
            ("", Wish::Echo),
        ];
        for (text, expected) in table {
            assert_eq!(Wish::of(text), expected, "{text}");
        }
    }
}
