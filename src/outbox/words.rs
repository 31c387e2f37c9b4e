//! What is added to posts, in every language.

use tieline_channel::{Language, Text};

/// Ends the beginning of a text whose whole is in a file.
pub(super) const FILE_BELOW: Text = Text {
    en: "*The whole answer is in the file below.*",
    zh: "*完整的回答在下面的文件里。*",
};

/// Begins a text that was to be a file.
pub(super) const NO_FILE: Text = Text {
    en: "*The file could not be sent, so here is the whole answer.*",
    zh: "*文件发送失败，以下是完整的回答。*",
};

/// Stands in place of a file that the model has sent.
pub(super) fn file_not_sent(name: &str, language: Language) -> String {
    match language {
        Language::English => {
            format!("⚠️ The file `{name}` could not be sent here. Ask me for what is in it.")
        }
        Language::Chinese => {
            format!("⚠️ 文件 `{name}` 未能发送到这里。如果需要，请让我说说里面的内容。")
        }
    }
}

/// Begins a post that may be there already, on platforms that cannot tell.
pub(super) const REPEAT_MARK: Text = Text {
    en: "*(tieline was interrupted while it sent this; you may have seen it already)*",
    zh: "*（发送这条消息时 tieline 被中断，你可能已经看过它）*",
};

/// Says that a post may be missing: it may be there, and was refused when it was sent again.
pub(super) const IN_DOUBT: Text = Text {
    en: "❓ I could not find out whether what I last wrote has arrived. If you do not see it, ask me to \
         say it again.",
    zh: "❓ 我无法确认上一条消息是否已经送达。如果没有看到，请让我再说一遍。",
};

#[cfg(test)]
mod tests {
    use tieline_channel::language::assert_speaks_both;

    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages_and_mixes_none() {
        for text in [FILE_BELOW, NO_FILE, REPEAT_MARK, IN_DOUBT] {
            assert_speaks_both(|language| text.within(language).to_owned());
        }
        assert_speaks_both(|language| file_not_sent("1.2", language));
    }
}
