//! Files: what is known of one, and sending one.

use serde_json::{Value, json};

use super::super::files::{StoredFile, Upload};
use super::super::state::Later;
use super::super::{BOT_USER, Knowledge as _, State};
use super::chat::{thread, writable};
use super::{Answer, Args, Refusal};

/// The most that a snippet has.
const MAX_SNIPPET: usize = 1 << 20;

pub(super) fn info(state: &mut State, args: &Args) -> Answer {
    let id = args.text("file").unwrap_or_default();
    let file = state.files.get(id).filter(|file| file.is_complete);
    let file = file.ok_or_else(|| Refusal::new("file_not_found"))?;
    Ok(json!({"file": state.file_value(file)}))
}

pub(super) fn upload_url(state: &mut State, args: &Args) -> Answer {
    let length = args.number("length")?.unwrap_or(0);
    if length == 0 {
        return Err(Refusal::new("missing_argument"));
    }
    if args.word("snippet_type").is_some() && length > MAX_SNIPPET {
        return Err(Refusal::new("snippet_too_large"));
    }
    let name = args.text("filename").unwrap_or_default().to_owned();
    let id = state.name("F0");
    let ticket = state.name("upload");
    let file = StoredFile {
        id: id.clone(),
        name: name.clone(),
        title: name,
        mime: "application/octet-stream".to_owned(),
        user: BOT_USER.to_owned(),
        content: Vec::new(),
        is_complete: false,
        is_stub: false,
        redirect: None,
    };
    state.files.insert(id.clone(), file);
    let upload = Upload {
        file: id.clone(),
        length,
        is_taken: false,
    };
    state.uploads.insert(ticket.clone(), upload);
    let url = format!("{}/upload/v1/{ticket}", state.base_url());
    Ok(json!({"upload_url": url, "file_id": id}))
}

pub(super) fn complete_upload(state: &mut State, args: &Args) -> Answer {
    let Some(Value::Array(list)) = args.json("files") else {
        return Err(Refusal::because("invalid_arguments", "files is no array"));
    };
    if list.is_empty() {
        return Err(Refusal::because("invalid_arguments", "files is empty"));
    }
    let channel = args.word("channel_id").map(str::to_owned);
    let mut thread_ts = None;
    if let Some(channel) = &channel {
        writable(state, channel)?;
        thread_ts = thread(state, args, channel)?;
    }
    let mut ids = Vec::new();
    for item in &list {
        let id = item["id"].as_str().unwrap_or_default();
        let uploaded = state.uploads.values().find(|upload| upload.file == id);
        if !uploaded.is_some_and(|upload| upload.is_taken) {
            return Err(Refusal::new("file_not_found"));
        }
        if state.files[id].is_complete {
            state.violation(format!("the upload of {id} is completed twice"));
            return Err(Refusal::new("file_not_found"));
        }
        ids.push(id.to_owned());
    }
    let mut files = Vec::new();
    for (item, id) in list.iter().zip(&ids) {
        let file = state.files.get_mut(id).expect("looked up");
        file.is_complete = true;
        if let Some(title) = item["title"].as_str() {
            title.clone_into(&mut file.title);
        }
        files.push(json!({"id": id, "title": file.title}));
    }
    if let Some(channel) = channel {
        let text = args.text("initial_comment").unwrap_or_default().to_owned();
        let share = Later::Share {
            channel,
            thread_ts,
            text,
            files: ids,
        };
        state.later(state.options.timing.share, share);
    }
    Ok(json!({ "files": files }))
}
