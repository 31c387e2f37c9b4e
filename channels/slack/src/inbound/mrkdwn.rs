//! Slack's mrkdwn as plain Markdown.
//!
//! The reader is a model, which sees the text and not its rendering. So only what Slack certainly
//! means as formatting is translated, and nothing is escaped: `snake_case`, globs and paths stay as
//! they were typed. Slack's rule for `*` and `~` is kept on its strict side: both markers on one
//! line, outside of words, touching what they enclose.

use super::body::Body;
use super::directory::Directory;

/// Reads mrkdwn into `body`.
pub(super) fn read(text: &str, directory: &dyn Directory, body: &mut Body) {
    Reader {
        text,
        directory,
        body,
        closings: Vec::new(),
        without_closing: [0; 2],
    }
    .read();
}

struct Reader<'a> {
    text: &'a str,
    directory: &'a dyn Directory,
    body: &'a mut Body,
    /// Where emphasis that is open ends.
    closings: Vec<(usize, Marker)>,
    /// For each marker: up to here nothing closes it, so that nobody looks twice.
    without_closing: [usize; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Marker {
    Bold,
    Strike,
}

impl Marker {
    fn of(character: char) -> Option<Self> {
        match character {
            '*' => Some(Self::Bold),
            '~' => Some(Self::Strike),
            _ => None,
        }
    }

    fn mrkdwn(self) -> char {
        match self {
            Self::Bold => '*',
            Self::Strike => '~',
        }
    }

    fn markdown(self) -> &'static str {
        match self {
            Self::Bold => "**",
            Self::Strike => "~~",
        }
    }
}

/// What is read as one piece.
enum Atom<'a> {
    /// With its backticks.
    Code(&'a str),
    /// Without its angle brackets.
    Sequence(&'a str),
}

impl<'a> Atom<'a> {
    /// Returns the piece that `rest` begins with, and its length.
    fn at(rest: &'a str) -> Option<(Self, usize)> {
        if let Some(after) = rest.strip_prefix("```") {
            let length = after.find("```").filter(|length| *length > 0)? + 6;
            return Some((Self::Code(&rest[..length]), length));
        }
        if let Some(after) = rest.strip_prefix('`') {
            let length = after.find(['`', '\n']).filter(|length| *length > 0)?;
            let closed = after[length..].starts_with('`');
            return closed.then(|| (Self::Code(&rest[..length + 2]), length + 2));
        }
        let after = rest.strip_prefix('<')?;
        let length = after.find(['>', '<', '\n']).filter(|length| *length > 0)?;
        let closed = after[length..].starts_with('>');
        closed.then(|| (Self::Sequence(&after[..length]), length + 2))
    }
}

impl Reader<'_> {
    fn read(mut self) {
        let text = self.text;
        let mut at = 0;
        while let Some(character) = text[at..].chars().next() {
            let rest = &text[at..];
            if let Some((atom, length)) = Atom::at(rest) {
                match atom {
                    Atom::Code(code) => self.body.push_str(&code_as_typed(code)),
                    Atom::Sequence(content) => self.sequence(content),
                }
                at += length;
            } else if let Some(marker) = Marker::of(character) {
                self.marker(at, marker);
                at += 1;
            } else {
                let (decoded, length) = decode_first(rest, character);
                self.body.push(decoded);
                at += length;
            }
        }
    }

    fn marker(&mut self, at: usize, marker: Marker) {
        if self.closings.last() == Some(&(at, marker)) {
            self.closings.pop();
            self.body.push_str(marker.markdown());
        } else if let Some(closing) = self.opened(at, marker) {
            self.closings.push((closing, marker));
            self.body.push_str(marker.markdown());
        } else {
            self.body.push(marker.mrkdwn());
        }
    }

    /// Returns where emphasis that begins here ends.
    fn opened(&mut self, at: usize, marker: Marker) -> Option<usize> {
        let already_open = self.closings.iter().any(|(_, open)| *open == marker);
        let before = &self.text[..at];
        let from = at + 1;
        if already_open || !may_precede(before, marker) || !may_begin(&self.text[from..], marker) {
            return None;
        }
        if from < self.without_closing[marker as usize] {
            return None;
        }
        self.closing(from, marker)
    }

    fn closing(&mut self, from: usize, marker: Marker) -> Option<usize> {
        // What is open around it ends after it.
        let end = self.closings.last().map_or(self.text.len(), |(at, _)| *at);
        let mut at = from;
        while let Some(character) = self.text[at..end].chars().next() {
            let rest = &self.text[at..];
            if character == '\n' {
                break;
            }
            if let Some((_, length)) = Atom::at(rest) {
                if rest[..length].contains('\n') {
                    break;
                }
                at += length;
                continue;
            }
            if character == marker.mrkdwn()
                && at > from
                && may_end(&self.text[from..at], marker)
                && may_follow(&rest[1..], marker)
            {
                return Some(at);
            }
            at += character.len_utf8();
        }
        self.without_closing[marker as usize] = at;
        None
    }

    /// Reads what stands in angle brackets.
    fn sequence(&mut self, content: &str) {
        let (target, label) = match content.split_once('|') {
            Some((target, label)) => (target, Some(label).filter(|label| !label.is_empty())),
            None => (content, None),
        };
        if let Some(user) = target.strip_prefix('@').filter(|user| !user.is_empty()) {
            let name = label
                .map(decode)
                .or_else(|| self.directory.person(user)?.name);
            self.body.mention(user, name);
        } else if let Some(chat) = target.strip_prefix('#').filter(|chat| !chat.is_empty()) {
            let name = label
                .map(decode)
                .or_else(|| self.directory.chat_name(chat))
                .unwrap_or_else(|| chat.to_owned());
            self.body.push('#');
            self.body.push_str(&name);
        } else if let Some(command) = target.strip_prefix('!') {
            self.body.push_str(&special(command, label));
        } else if is_url(target) {
            self.body.push_str(&link(target, label));
        } else {
            self.body.push('<');
            self.body.push_str(&decode(content));
            self.body.push('>');
        }
    }
}

// === where emphasis may begin and end ===

fn may_precede(before: &str, marker: Marker) -> bool {
    let Some(last) = before.chars().next_back() else {
        return true;
    };
    last != marker.mrkdwn()
        && (last.is_whitespace() || "([{\"'*~_-–—>“‘".contains(last) || before.ends_with("&gt;"))
}

fn may_begin(content: &str, marker: Marker) -> bool {
    content.chars().next().is_some_and(|first| {
        first != marker.mrkdwn() && !first.is_whitespace() && !".,;:!?)]}/\\|=+%".contains(first)
            || content.starts_with(':') && content[1..].starts_with(char::is_alphabetic)
    })
}

fn may_end(content: &str, marker: Marker) -> bool {
    content.chars().next_back().is_some_and(|last| {
        last != marker.mrkdwn() && !last.is_whitespace() && !"([{/\\,|=".contains(last)
    })
}

fn may_follow(after: &str, marker: Marker) -> bool {
    after.chars().next().is_none_or(|next| {
        next != marker.mrkdwn() && !next.is_alphanumeric() && !"/\\".contains(next)
    })
}

// === what stands in angle brackets ===

/// Returns what a `<!…>` says.
fn special(command: &str, label: Option<&str>) -> String {
    let label = label.map(decode);
    let (kind, rest) = command.split_once('^').unwrap_or((command, ""));
    match kind {
        "here" | "channel" | "everyone" | "group" => format!("@{kind}"),
        "date" => label.unwrap_or_else(|| rest.split('^').next().unwrap_or_default().to_owned()),
        "subteam" => match label {
            Some(label) if label.starts_with('@') => label,
            Some(label) => format!("@{label}"),
            None => format!("@{rest}"),
        },
        _ => label.unwrap_or_else(|| format!("@{kind}")),
    }
}

/// Tells whether it begins with the name of a scheme.
fn is_url(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|rest| rest.is_ascii_alphanumeric() || "+-.".contains(rest))
    })
}

pub(super) fn link(url: &str, label: Option<&str>) -> String {
    let url = decode(url);
    let Some(label) = label.map(decode) else {
        let bare = url.strip_prefix("mailto:").unwrap_or(&url);
        return bare.to_owned();
    };
    let address = url
        .strip_prefix("mailto:")
        .or_else(|| url.strip_prefix("tel:"));
    if label == url || address == Some(&label) {
        return label;
    }
    let label = label.replace('[', "\\[").replace(']', "\\]");
    if url.contains(['(', ')', ' ']) {
        format!("[{label}](<{url}>)")
    } else {
        format!("[{label}]({url})")
    }
}

// === entities ===

const ENTITIES: [(&str, char); 3] = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')];

/// Decodes what Slack escapes, once.
pub(super) fn decode(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (character, length) = decode_first(rest, first);
        decoded.push(character);
        rest = &rest[length..];
    }
    decoded
}

fn decode_first(rest: &str, first: char) -> (char, usize) {
    ENTITIES
        .iter()
        .find(|(entity, _)| rest.starts_with(entity))
        .map_or((first, first.len_utf8()), |(entity, character)| {
            (*character, entity.len())
        })
}

/// Returns code as it was typed: Slack makes links of the addresses in it, too.
fn code_as_typed(code: &str) -> String {
    let mut typed = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find('<') {
        typed.push_str(&decode(&rest[..start]));
        rest = &rest[start..];
        match Atom::at(rest) {
            Some((Atom::Sequence(content), length)) if is_url(content) => {
                let as_typed = content.split_once('|').map_or(content, |(_, label)| label);
                typed.push_str(&decode(as_typed));
                rest = &rest[length..];
            }
            _ => {
                typed.push('<');
                rest = &rest[1..];
            }
        }
    }
    typed.push_str(&decode(rest));
    typed
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use tieline_channel::Segment;

    use super::super::directory::testing::Known;
    use super::*;

    fn plain(text: &str, directory: &dyn Directory) -> String {
        let mut body = Body::default();
        read(text, directory, &mut body);
        tieline_channel::plain_text(&body.finish())
    }

    fn segments(text: &str) -> Vec<Segment> {
        let mut body = Body::default();
        read(text, &Known::few(), &mut body);
        body.finish()
    }

    fn assert_reads(cases: &[(&str, &str)]) {
        for (mrkdwn, markdown) in cases {
            assert_eq!(plain(mrkdwn, &Known::few()), *markdown, "of {mrkdwn:?}");
        }
    }

    #[test]
    fn formatting_becomes_markdown() {
        assert_reads(&[
            ("*b*", "**b**"),
            ("_i_", "_i_"),
            ("~s~", "~~s~~"),
            ("*two words*, and ~gone~.", "**two words**, and ~~gone~~."),
            ("_*both*_ and *_both_*", "_**both**_ and **_both_**"),
            ("*~all~*", "**~~all~~**"),
            ("~*all*~", "~~**all**~~"),
            ("(*b*) \"*b*\"", "(**b**) \"**b**\""),
            ("&gt; *quoted*\n&gt;*close*", "> **quoted**\n>**close**"),
            ("*a* *b* *c*", "**a** **b** **c**"),
            ("*first*\n*second*", "**first**\n**second**"),
            ("*:tada: done*", "**:tada: done**"),
            (
                "*see <https://x.dev|this>*",
                "**see [this](https://x.dev)**",
            ),
            ("*run `a * b`*", "**run `a * b`**"),
            ("• one\n• two", "• one\n• two"),
        ]);
    }

    #[test]
    fn what_only_looks_like_formatting_stays() {
        for text in [
            "snake_case_name and __init__",
            "2 * 3 * 4",
            "2*3*4",
            "rm *.o *.a",
            "src/*/mod.rs and tests/*/mod.rs",
            "**/*.rs",
            "**bold in Markdown**",
            "~~struck in Markdown~~",
            "def f(*args, **kwargs):",
            "SELECT *, count(*) FROM t",
            "~/a and ~/b",
            "about ~5 to ~6",
            "* one\n* two",
            "*over two\nlines*",
            "a * b",
            "*",
            "**",
            "***",
            "*not closed",
            "C:\\dir\\*.* and *",
            "[not](a link)",
            "# no heading",
            "a `b",
            "``",
            "```",
            "```open",
            ":tada: :+1::skin-tone-2:",
            "http://x.dev",
        ] {
            assert_eq!(plain(text, &Known::few()), text);
        }
    }

    #[test]
    fn entities_are_decoded_exactly_once() {
        assert_reads(&[
            ("a &lt; b &amp;&amp; c &gt; d", "a < b && c > d"),
            ("&amp;lt;", "&lt;"),
            ("&amp;amp;amp;", "&amp;amp;"),
            ("&quot; &nbsp; & &", "&quot; &nbsp; & &"),
            ("&lt;@U1&gt; &lt;!channel&gt;", "<@U1> <!channel>"),
            ("Vec&lt;Option&lt;T&gt;&gt;", "Vec<Option<T>>"),
        ]);
    }

    #[test]
    fn code_is_kept_as_it_was_typed() {
        assert_reads(&[
            ("`*a* ~b~ _c_`", "`*a* ~b~ _c_`"),
            ("`a &lt; b &amp;amp; c`", "`a < b &amp; c`"),
            (
                "```\nif *a* &lt; b {\n  ~c~\n}\n```",
                "```\nif *a* < b {\n  ~c~\n}\n```",
            ),
            ("```one *line*```", "```one *line*```"),
            (
                "```curl <https://x.dev/?a=1&amp;b=2>```",
                "```curl https://x.dev/?a=1&b=2```",
            ),
            ("`curl <http://x.dev|x.dev>`", "`curl x.dev`"),
            ("`&lt;@U1&gt;` and `<@U1>`", "`<@U1>` and `<@U1>`"),
            ("*a `b* c`", "*a `b* c`"),
        ]);
    }

    #[test]
    fn links_become_markdown() {
        assert_reads(&[
            ("<https://x.dev>", "https://x.dev"),
            ("<https://x.dev|label>", "[label](https://x.dev)"),
            ("<https://x.dev|>", "https://x.dev"),
            ("<https://x.dev|https://x.dev>", "https://x.dev"),
            (
                "<https://x.dev/?a=1&amp;b=2|a &amp; b>",
                "[a & b](https://x.dev/?a=1&b=2)",
            ),
            (
                "<https://x.dev/a_(b)|wiki>",
                "[wiki](<https://x.dev/a_(b)>)",
            ),
            ("<https://x.dev|[1]>", "[\\[1\\]](https://x.dev)"),
            ("<mailto:a@x.dev|a@x.dev>", "a@x.dev"),
            ("<mailto:a@x.dev|write>", "[write](mailto:a@x.dev)"),
            ("<tel:+4930123|+4930123>", "+4930123"),
            ("<slack://open>", "slack://open"),
        ]);
    }

    #[test]
    fn names_of_chats_groups_and_dates_are_readable() {
        assert_reads(&[
            ("<#C1|ops>", "#ops"),
            ("<#C1>", "#ops"),
            ("<#C1|>", "#ops"),
            ("<#C9>", "#C9"),
            ("<!here> <!channel> <!everyone>", "@here @channel @everyone"),
            ("<!here|here>", "@here"),
            ("<!subteam^S1|@team>", "@team"),
            ("<!subteam^S1|team>", "@team"),
            ("<!subteam^S1>", "@S1"),
            ("<!date^1392734382^{date}|18 Feb>", "18 Feb"),
            ("<!date^1392734382^{date}^https://x.dev|18 Feb>", "18 Feb"),
            ("<!new|thing>", "thing"),
        ]);
    }

    #[test]
    fn brackets_that_are_no_sequence_stay() {
        for text in [
            "<", ">", "<>", "a < b", "<T>", "<<", "<open", "<a\nb>", "<@>", "<#>",
        ] {
            assert_eq!(plain(text, &Known::few()), text);
        }
    }

    #[test]
    fn mentions_are_segments_and_the_text_around_them_stays() {
        let text = |text: &str| Segment::Text(text.to_owned());
        let mention = |user: &str, name: Option<&str>| Segment::Mention {
            user: tieline_channel::UserId::new(user),
            name: name.map(str::to_owned),
        };
        assert_eq!(
            segments("<@UBOT> ask <@U1>, <@W9|ann &amp; co> or *<@U2>*"),
            [
                mention("UBOT", None),
                text(" ask "),
                mention("U1", Some("Ann")),
                text(", "),
                mention("W9", Some("ann & co")),
                text(" or **"),
                mention("U2", Some("Bob")),
                text("**"),
            ]
        );
        assert_eq!(segments(""), []);
    }

    #[test]
    fn long_runs_of_markers_are_read_in_good_time() {
        for piece in ["*a ", "~a *b ", "<a ", "`a\n", "*", "<", "``` `", "*a_* *"] {
            let text = piece.repeat(40_000 / piece.len());
            assert!(!plain(&text, &Known::few()).is_empty());
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r"([*~_`<>|@#!^& \n:/a-zé🎉]|&amp;|&lt;|```|https://|<@U1>){0,60}") {
            let _read = segments(&text);
        }

        #[test]
        fn code_is_verbatim(
            before in r"[a-z*~_ ]{0,8}",
            code in r"[a-z*~_ .,()|@#!/]{1,20}",
            after in r"[a-z*~_ ]{0,8}",
        ) {
            for fence in ["`", "```"] {
                let text = format!("{before}{fence}{code}{fence}{after}");
                let read = plain(&text, &Known::few());
                let code = format!("{fence}{code}{fence}");
                prop_assert!(read.contains(&code), "{read:?} has no {code:?}");
            }
        }

        #[test]
        fn text_without_markers_is_as_it_was_typed(text in r"[^*~`]{0,60}") {
            let escaped = text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;");
            prop_assert_eq!(plain(&escaped, &Known::few()), text);
        }
    }
}
