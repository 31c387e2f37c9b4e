//! What a terminal shows.

use std::borrow::Cow;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{ClientError, ClientOptions};

/// Takes the cursor to the beginning of an empty line: there may be a prompt on it.
const CLEAR_LINE: &str = "\r\x1b[K";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
const PROMPT: &str = "> ";

/// Stdout and stderr.
pub(super) struct Screen<O, E> {
    output: O,
    aside: E,
    output_is_terminal: bool,
    aside_is_terminal: bool,
    dims: bool,
    /// A prompt is on the last line.
    prompts: bool,
}

impl<O: AsyncWrite + Unpin, E: AsyncWrite + Unpin> Screen<O, E> {
    pub(super) fn new(options: &ClientOptions, output: O, aside: E) -> Self {
        Self {
            output,
            aside,
            output_is_terminal: options.stdout_is_terminal,
            aside_is_terminal: options.stderr_is_terminal,
            dims: options.stderr_is_terminal && options.colour,
            prompts: false,
        }
    }

    /// Shows that the person may type.
    pub(super) async fn prompt(&mut self) -> Result<(), ClientError> {
        self.prompts = true;
        self.write(PROMPT).await
    }

    /// Leaves the line of the prompt. Whoever ends need not know that nobody reads.
    pub(super) async fn end_prompt(&mut self) {
        if self.prompts {
            self.prompts = false;
            drop(self.write("\n").await);
        }
    }

    /// Shows an answer, and the prompt again if there was one.
    pub(super) async fn answer(&mut self, text: &str) -> Result<(), ClientError> {
        let text = printable(text, self.output_is_terminal);
        let clear = if self.prompts { CLEAR_LINE } else { "" };
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let prompt = if self.prompts { PROMPT } else { "" };
        self.write(&format!("{clear}{text}{end}{prompt}")).await
    }

    /// Shows what the model does.
    pub(super) async fn progress(&mut self, text: &str) {
        let text = printable(text, self.aside_is_terminal);
        if self.dims {
            self.write_aside(&format!("{DIM}{text}{PLAIN}")).await;
        } else {
            self.write_aside(&text).await;
        }
    }

    /// Says something beside the conversation.
    pub(super) async fn remark(&mut self, text: &str) {
        let text = printable(text, self.aside_is_terminal);
        self.write_aside(&text).await;
    }

    /// A stderr that nobody reads is no reason to end.
    async fn write_aside(&mut self, text: &str) {
        let clears = self.prompts && self.aside_is_terminal;
        let clear = if clears { CLEAR_LINE } else { "" };
        let end = if text.ends_with('\n') { "" } else { "\n" };
        drop(
            self.aside
                .write_all(format!("{clear}{text}{end}").as_bytes())
                .await,
        );
        drop(self.aside.flush().await);
        if clears {
            drop(self.write(PROMPT).await);
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), ClientError> {
        self.output
            .write_all(text.as_bytes())
            .await
            .map_err(ClientError::Output)?;
        self.output.flush().await.map_err(ClientError::Output)
    }
}

/// Returns `text` without what a terminal would obey; a file or pipe gets it as it is.
fn printable(text: &str, is_terminal: bool) -> Cow<'_, str> {
    let obeys = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !is_terminal || !text.contains(obeys) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    Cow::Owned(text.replace(obeys, "\u{fffd}"))
}
