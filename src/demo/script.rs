//! What the demo's model says: it echoes, runs one harmless command when asked to, and can answer
//! in two messages. It never pretends to be a real model.

use async_trait::async_trait;

use super::model::{Gone, Phase, Request, Responder, Script};

/// What is run when somebody says "run": it reads nothing and writes nothing.
const COMMAND: &str = "uname -sr";

/// Said once in a conversation.
const INTRODUCTION: &str = "I am tieline's built-in demo model, not a real one: I echo. Say `run` \
    and Codex runs a harmless command, or `two` for an answer in two messages. To talk to your own \
    Codex, start `tieline demo --login`.";

/// The demo's model.
#[derive(Debug)]
pub struct DemoScript;

#[async_trait]
impl Script for DemoScript {
    async fn answer(&self, request: &Request, responder: &mut Responder) -> Result<(), Gone> {
        if let Some(output) = request.fresh_tool_outputs().last() {
            let answer = format!("Codex ran `{COMMAND}`, which printed: {}", output.text());
            return responder.message(&answer, Phase::FinalAnswer).await;
        }
        let text = request
            .last_user_text()
            .map(bodies)
            .unwrap_or_default()
            .join("\n");
        match Wish::of(&text) {
            Wish::Command => responder.command(COMMAND).await,
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

/// What a message asks of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Echo,
    Command,
    TwoMessages,
}

impl Wish {
    fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        words
            .find_map(|word| match word {
                "run" => Some(Self::Command),
                "two" | "think" => Some(Self::TwoMessages),
                _ => None,
            })
            .unwrap_or(Self::Echo)
    }
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
    fn wishes_are_whole_words() {
        let table = [
            ("Run!", Wish::Command),
            ("please run it", Wish::Command),
            ("two", Wish::TwoMessages),
            ("let us think, then run", Wish::TwoMessages),
            ("running", Wish::Echo),
            ("", Wish::Echo),
        ];
        for (text, expected) in table {
            assert_eq!(Wish::of(text), expected, "{text}");
        }
    }
}
