//! Searching a rollout: the file that holds a thread's history.
//!
//! Codex writes a text a moment before the record by which its own interface finds it, and shows
//! injected items nowhere else. So the file is the last word on whether the model has something.

use std::io::{self, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::protocol::Role;
use crate::id::{ThreadId, TurnId};

const CHUNK: u64 = 256 << 10;

/// What a search has shown.
#[derive(Debug)]
pub enum RolloutSearch {
    /// It is there.
    Found,
    /// It is certainly not there.
    Absent,
    /// There is no such file: the thread never had anything to record, or its history is gone.
    NoFile,
    /// Nobody can say.
    Unreadable(io::Error),
}

/// Returns where the rollout of a thread is, by its name: for when its path is not known any more.
///
/// # Errors
/// A directory cannot be read.
pub async fn locate(home: &Path, thread_id: &ThreadId) -> io::Result<Option<PathBuf>> {
    let end = format!("-{thread_id}.jsonl");
    let mut directories = vec![home.join("archived_sessions"), home.join("sessions")];
    while let Some(directory) = directories.pop() {
        let mut entries = match fs::read_dir(&directory).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if entry.file_type().await?.is_dir() {
                directories.push(entry.path());
            } else if name.starts_with("rollout-") && name.ends_with(&end) {
                return Ok(Some(entry.path()));
            }
        }
    }
    Ok(None)
}

/// Looks for a message from `role` whose text fulfils `predicate`, newest first.
///
/// A line that is cut off or broken does not count: codex passes over it, too, so the model does
/// not have it.
pub async fn search(path: &Path, role: Role, predicate: impl Fn(&str) -> bool) -> RolloutSearch {
    let visited = visit_back(path, |line| {
        if line.texts(role).any(&predicate) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    match visited.await {
        Ok(ControlFlow::Break(())) => RolloutSearch::Found,
        Ok(ControlFlow::Continue(())) => RolloutSearch::Absent,
        Err(error) if error.kind() == io::ErrorKind::NotFound => RolloutSearch::NoFile,
        Err(error) => RolloutSearch::Unreadable(error),
    }
}

/// Looks for a message of a user whose texts, all of its parts, fulfil `predicate`, among what came after
/// the turn `after`; without, in the whole history. What is cut off or broken does not count.
pub async fn search_after(
    path: &Path,
    after: Option<&TurnId>,
    predicate: impl Fn(&[&str]) -> bool,
) -> RolloutSearch {
    let mut is_found = false;
    let visited = visit_back(path, |line| {
        if after.is_some() && line.turn() == after {
            return ControlFlow::Break(());
        }
        if line.is_from(Role::User) {
            let texts: Vec<&str> = line.texts(Role::User).collect();
            is_found = predicate(&texts);
        }
        if is_found {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    match visited.await {
        Ok(_) if is_found => RolloutSearch::Found,
        Ok(_) => RolloutSearch::Absent,
        Err(error) if error.kind() == io::ErrorKind::NotFound => RolloutSearch::NoFile,
        Err(error) => RolloutSearch::Unreadable(error),
    }
}

/// Tells `take` each text that was injected as a developer's and is still part of the history,
/// newest first: of what was injected before the history was last summarised nothing is left.
///
/// # Errors
/// The file is there and cannot be read.
pub async fn injected(path: &Path, mut take: impl FnMut(&str)) -> io::Result<()> {
    let visited = visit_back(path, |line| {
        if line.r#type == "compacted" {
            return ControlFlow::Break(());
        }
        line.texts(Role::Developer).for_each(&mut take);
        ControlFlow::Continue(())
    });
    match visited.await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        visited => visited.map(drop),
    }
}

/// Shows `visit` each whole line, from the last one backwards, until it has seen enough.
async fn visit_back(
    path: &Path,
    mut visit: impl FnMut(&Line) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut visit = |line: &[u8]| match serde_json::from_slice::<Line>(line) {
        Ok(line) => visit(&line),
        Err(_) => ControlFlow::Continue(()),
    };
    let mut file = File::open(path).await?;
    let mut end = file.seek(SeekFrom::End(0)).await?;
    // The beginning of a line whose end is in a later chunk, which was read before.
    let mut rest: Vec<u8> = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        let mut chunk = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        file.seek(SeekFrom::Start(start)).await?;
        file.read_exact(&mut chunk).await?;
        end = start;
        // Looked for in the new bytes only: a line of many chunks is not gone over again and again.
        let Some(first_end) = chunk.iter().position(|byte| *byte == b'\n') else {
            chunk.append(&mut rest);
            rest = chunk;
            continue;
        };
        let mut whole = chunk.split_off(first_end + 1);
        whole.append(&mut rest);
        rest = chunk;
        let mut lines = whole.split(|byte| *byte == b'\n').rev();
        if lines.try_for_each(&mut visit).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(visit(&rest))
}

#[derive(Deserialize)]
struct Line {
    r#type: String,
    #[serde(default)]
    payload: Payload,
}

impl Line {
    /// Returns whether this line has a message from `role`.
    fn is_from(&self, role: Role) -> bool {
        self.r#type == "response_item"
            && self.payload.r#type.as_deref() == Some("message")
            && self.payload.role == Some(role)
    }

    /// Returns the turn that this line belongs to, if it says so.
    fn turn(&self) -> Option<&TurnId> {
        let of_message = self.payload.metadata.as_ref();
        let of_message = of_message.and_then(|it| it.turn_id.as_ref());
        self.payload.turn_id.as_ref().or(of_message)
    }

    /// Returns the texts of the message from `role` that this line has, if it has one.
    fn texts(&self, role: Role) -> impl Iterator<Item = &str> {
        let parts = if self.is_from(role) {
            self.payload.content.as_slice()
        } else {
            &[]
        };
        parts.iter().filter_map(|part| part.text.as_deref())
    }
}

#[derive(Default, Deserialize)]
struct Payload {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    role: Option<Role>,
    #[serde(default, deserialize_with = "parts")]
    content: Vec<Part>,
    #[serde(default, deserialize_with = "lenient")]
    turn_id: Option<TurnId>,
    #[serde(
        default,
        rename = "internal_chat_message_metadata_passthrough",
        deserialize_with = "lenient"
    )]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    turn_id: Option<TurnId>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

/// Other kinds of records use the same names for other things.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

fn parts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Part>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(role: &str, text: &str) -> String {
        let part = if role == "assistant" {
            "output_text"
        } else {
            "input_text"
        };
        let payload = json!({ "type": "message", "role": role,
                              "content": [{ "type": part, "text": text }] });
        json!({ "timestamp": "t", "type": "response_item", "payload": payload }).to_string()
    }

    #[tokio::test]
    async fn what_an_earlier_turn_was_told_is_not_taken_for_what_the_next_one_is() {
        let of = |turn: &str, text: &str| {
            json!({ "type": "response_item", "payload": {
                "type": "message", "role": "user",
                "content": [{ "type": "input_text", "text": text }],
                "internal_chat_message_metadata_passthrough": { "turn_id": turn },
            } })
            .to_string()
        };
        let over = json!({ "type": "event_msg",
                           "payload": { "type": "task_complete", "turn_id": "t1" } });
        let before = [of("t1", "go on"), over.to_string()].join("\n");
        let after = [&before, &of("t2", "go on")].map(String::as_str).join("\n");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rollout.jsonl");
        let t1 = TurnId::new("t1");
        let is_it = |texts: &[&str]| texts == ["go on"];
        for (content, after, expected) in [
            (&before, Some(&t1), false),
            (&before, None, true),
            (&after, Some(&t1), true),
        ] {
            std::fs::write(&path, content).unwrap();
            let search = search_after(&path, after, is_it).await;
            assert_eq!(is_found(&search), expected, "{after:?}");
        }
    }

    async fn search_in(content: &str, role: Role, needle: &str) -> RolloutSearch {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rollout.jsonl");
        std::fs::write(&path, content).unwrap();
        search(&path, role, |text| text.contains(needle)).await
    }

    fn is_found(search: &RolloutSearch) -> bool {
        match search {
            RolloutSearch::Found => true,
            RolloutSearch::Absent => false,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn only_messages_of_the_role_count() {
        let content = [
            line("user", "message=\"m1\""),
            line("assistant", "you said m2"),
            line("developer", "completion c3"),
            json!({ "type": "event_msg", "payload": { "type": "user_message", "content": "m4" } })
                .to_string(),
        ]
        .join("\n");
        for (role, needle, expected) in [
            (Role::User, "m1", true),
            (Role::User, "m2", false),
            (Role::User, "c3", false),
            (Role::Developer, "c3", true),
            (Role::User, "m4", false),
        ] {
            let result = search_in(&content, role, needle).await;
            assert_eq!(is_found(&result), expected, "{needle}");
        }
    }

    #[tokio::test]
    async fn a_cut_line_and_garbage_do_not_count_and_do_not_disturb() {
        let whole = line("user", "before");
        let cut = line("user", "cut off");
        let content = format!("{whole}\n\u{0}garbage\n\n{}", &cut[..cut.len() - 3]);
        assert!(is_found(&search_in(&content, Role::User, "before").await));
        assert!(!is_found(&search_in(&content, Role::User, "cut").await));
    }

    #[tokio::test]
    async fn a_line_is_found_wherever_the_chunks_are_cut() {
        let chunk = usize::try_from(CHUNK).unwrap();
        for size in [0, 10, chunk - 200, chunk - 60, chunk, chunk * 2 + 7] {
            let content = [
                line("user", "first"),
                line("user", &"x".repeat(size)),
                line("user", &format!("{}second", "y".repeat(size))),
                line("user", &"z".repeat(size)),
            ]
            .join("\n");
            for needle in ["first", "second"] {
                let result = search_in(&content, Role::User, needle).await;
                assert!(is_found(&result), "{size} {needle}");
            }
            assert!(!is_found(&search_in(&content, Role::User, "third").await));
        }
    }

    #[tokio::test]
    async fn a_missing_file_is_not_an_absent_message_and_neither_is_an_unreadable_one() {
        let dir = tempfile::tempdir().unwrap();
        let missing = search(&dir.path().join("none"), Role::User, |_| true).await;
        assert!(matches!(missing, RolloutSearch::NoFile));
        let unreadable = search(dir.path(), Role::User, |_| true).await;
        assert!(matches!(unreadable, RolloutSearch::Unreadable(_)));
    }

    #[tokio::test]
    async fn a_rollout_is_located_by_the_thread() {
        let dir = tempfile::tempdir().unwrap();
        let thread = ThreadId::new("01a1-x");
        assert_eq!(locate(dir.path(), &thread).await.unwrap(), None);
        let day = dir.path().join("sessions/2026/11/20");
        std::fs::create_dir_all(&day).unwrap();
        let path = day.join("rollout-2026-11-20T06-41-07-01a1-x.jsonl");
        std::fs::write(&path, "").unwrap();
        assert_eq!(locate(dir.path(), &thread).await.unwrap(), Some(path));
    }
}
