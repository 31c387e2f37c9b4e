//! The log: to standard error and to a file of bounded size, without colours, so that it reads the same
//! everywhere, and without secrets, whoever should write one into it.

pub(crate) mod rotated;

use std::io::{self, Stderr, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use url::form_urlencoded;

use crate::cli::failure::{Exit, Failure};
use crate::cli::logging::rotated::RotatedFile;
use crate::config::Secret;

/// What is shorter is no secret worth hiding, and would blank innocent words.
const MIN_SECRET: usize = 8;

/// Where the log goes.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// To standard error.
    pub(crate) stderr: bool,
    /// To this file, which is put aside when it is large.
    pub(crate) file: Option<PathBuf>,
}

/// Starts logging what `filter` lets through, `secrets` blanked.
pub(crate) fn start<'a>(
    filter: &str,
    secrets: impl IntoIterator<Item = &'a Secret>,
    places: &Places,
) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .context("cannot set up the log")
        .map_err(|error| Failure::new(Exit::Config, error))?;
    // Its directory is made with the rest of the state; before that, lines go to standard error alone.
    let file = places.file.clone().map(RotatedFile::new);
    let log = Log {
        redacting: Redacting::new(secrets),
        stderr: places.stderr,
        file: file.map(|file| Arc::new(Mutex::new(file))),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log)
        .with_ansi(false)
        .try_init()
        .map_err(|error| Failure::new(Exit::Internal, anyhow!("cannot set up the log: {error}")))
}

/// Replaces secrets by `[secret]`: as they are, as in a URL, and in Base64.
pub(crate) struct Redacting {
    /// Longer ones first: one may be part of another.
    needles: Vec<String>,
}

impl Redacting {
    /// Makes one that knows these secrets.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut needles: Vec<_> = secrets
            .into_iter()
            .map(Secret::expose)
            .filter(|secret| secret.len() >= MIN_SECRET)
            .flat_map(|secret| {
                let in_url = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
                [secret.to_owned(), in_url, base64(secret.as_bytes())]
            })
            .collect();
        needles.sort_by_key(|needle| (std::cmp::Reverse(needle.len()), needle.clone()));
        needles.dedup();
        Self { needles }
    }

    /// Returns the text without secrets, if it has some.
    pub(crate) fn redact(&self, text: &str) -> Option<String> {
        let mut redacted = None::<String>;
        for needle in &self.needles {
            let current = redacted.as_deref().unwrap_or(text);
            if current.contains(needle) {
                redacted = Some(current.replace(needle, "[secret]"));
            }
        }
        redacted
    }
}

/// Takes the lines of the log.
struct Log {
    redacting: Redacting,
    stderr: bool,
    file: Option<Arc<Mutex<RotatedFile>>>,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LogWriter {
            log: self,
            stderr: io::stderr(),
        }
    }
}

/// Takes one line of the log at a time, as `tracing_subscriber` writes it.
struct LogWriter<'a> {
    log: &'a Log,
    stderr: Stderr,
}

impl Write for LogWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let redacted = if self.log.redacting.needles.is_empty() {
            None
        } else {
            self.log.redacting.redact(&String::from_utf8_lossy(bytes))
        };
        let bytes = redacted.as_ref().map_or(bytes, |text| text.as_bytes());
        if let Some(file) = &self.log.file {
            // A full disk costs the line; that it is full, the ledger says.
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            drop(file.append(bytes));
        }
        if self.log.stderr {
            self.stderr.write_all(bytes)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }
}

/// Returns the Base64 form, without what padding would hide the end behind.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let byte = |index| u32::from(chunk.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            (0..=chunk.len()).map(move |place| {
                let sextet = bits >> (18 - 6 * place) & 0x3f;
                char::from(ALPHABET[sextet as usize])
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blanked_in_every_form() {
        let token = Secret::new("xoxb-12+34/hunter2");
        let redacting = Redacting::new([&token]);
        let redacted = redacting.redact(
            "plain xoxb-12+34/hunter2, again xoxb-12+34/hunter2, URL ?token=xoxb-12%2B34%2Fhunter2, \
             Base64 eG94Yi0xMiszNC9odW50ZXIy.",
        );
        assert_eq!(
            redacted.as_deref(),
            Some("plain [secret], again [secret], URL ?token=[secret], Base64 [secret].")
        );
        assert_eq!(redacting.redact("nothing of it"), None);
    }

    #[test]
    fn secret_that_holds_another_goes_first_and_short_ones_are_no_secrets() {
        let (outer, inner) = (Secret::new("prefix-hunter2"), Secret::new("-hunter2"));
        let redacting = Redacting::new([&inner, &outer, &Secret::new("info"), &Secret::new("")]);
        assert_eq!(
            redacting
                .redact("info: prefix-hunter2 or -hunter2")
                .as_deref(),
            Some("info: [secret] or [secret]")
        );
    }

    #[test]
    fn base64_is_that_of_the_standard_without_padding() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
