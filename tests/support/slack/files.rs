//! Files: what is uploaded, and what can be downloaded.

use serde_json::{Value, json};

use super::super::mock::multipart;
use super::state::Message;
use super::world::Redirect;
use super::{BOT, BOT_USER, Knowledge as _, State, TEAM};

/// A file.
#[derive(Clone, Debug)]
pub(super) struct StoredFile {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) mime: String,
    pub(super) user: String,
    pub(super) content: Vec<u8>,
    /// It is there for others; an upload is not before it is completed.
    pub(super) is_complete: bool,
    /// Events say only that one has to ask for it.
    pub(super) is_stub: bool,
    pub(super) redirect: Option<Redirect>,
}

/// Where an upload goes.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) file: String,
    pub(super) length: usize,
    pub(super) is_taken: bool,
}

/// What a download is answered with.
pub(super) enum Download {
    Content { mime: String, bytes: Vec<u8> },
    Login,
    Redirect(String),
    Missing,
}

impl State {
    pub(super) fn take_upload(
        &mut self,
        ticket: &str,
        content: Option<Vec<u8>>,
    ) -> Result<usize, &'static str> {
        let Some(content) = content else {
            self.violation("an upload that is neither raw nor multipart");
            return Err("unreadable");
        };
        let Some(upload) = self.uploads.get_mut(ticket) else {
            self.violation("an upload to a URL that was not given");
            return Err("unknown ticket");
        };
        if upload.length != content.len() {
            let (told, length) = (upload.length, content.len());
            self.violation(format!(
                "an upload of {length} bytes that were to be {told}"
            ));
            return Err("wrong length");
        }
        upload.is_taken = true;
        let file = upload.file.clone();
        let length = content.len();
        self.files.get_mut(&file).expect("it was made").content = content;
        Ok(length)
    }

    pub(super) fn download(&self, path: &str, authorized: bool) -> Download {
        if !authorized || !self.options.scopes.contains("files:read") {
            return Download::Login;
        }
        let is_moved = path.ends_with("/moved");
        let Some(file) = self.file_at(path) else {
            return Download::Missing;
        };
        match file.redirect {
            Some(Redirect::Here) if !is_moved => {
                Download::Redirect(format!("{}{path}/moved", self.base_url()))
            }
            Some(Redirect::Elsewhere) => {
                Download::Redirect(format!("{}{path}", self.elsewhere_url()))
            }
            _ => content_of(file),
        }
    }

    /// Another host gives what it was redirected for, without a token.
    pub(super) fn download_elsewhere(&self, path: &str) -> Download {
        self.file_at(path).map_or(Download::Missing, content_of)
    }

    fn file_at(&self, path: &str) -> Option<&StoredFile> {
        let rest = path.strip_prefix("/files-pri/")?;
        let id = rest.split('/').next()?.split('-').nth(1)?;
        self.files.get(id).filter(|file| file.is_complete)
    }

    /// Returns a file as it is told of.
    pub(super) fn file_value(&self, file: &StoredFile) -> Value {
        let url = format!("{}/files-pri/{TEAM}-{}", self.base_url(), file.id);
        json!({
            "id": file.id,
            "name": file.name,
            "title": file.title,
            "mimetype": file.mime,
            "filetype": file.name.rsplit('.').next(),
            "size": file.content.len(),
            "user": file.user,
            "mode": "hosted",
            "is_external": false,
            "url_private": format!("{url}/{}", encoded(&file.name)),
            "url_private_download": format!("{url}/download/{}", encoded(&file.name)),
        })
    }

    /// Returns a file as events and history tell of it.
    pub(super) fn shown_file(&self, id: &str) -> Value {
        match self.files.get(id) {
            Some(file) if file.is_stub => {
                json!({"id": id, "mode": "file_access", "file_access": "check_file_info"})
            }
            Some(file) => self.file_value(file),
            None => json!({"id": id, "mode": "tombstone"}),
        }
    }

    /// A completed upload appears as a message of the bot.
    pub(super) fn share(
        &mut self,
        channel: &str,
        thread_ts: Option<String>,
        text: String,
        files: Vec<String>,
    ) {
        let message = Message {
            ts: self.tick(),
            thread_ts,
            user: BOT_USER.to_owned(),
            bot_id: Some(BOT.to_owned()),
            subtype: Some("file_share"),
            text,
            blocks: Vec::new(),
            attachments: Vec::new(),
            metadata: None,
            files,
            edited: None,
            reactions: Vec::new(),
            tombstone: false,
        };
        self.store(channel, message);
    }
}

fn content_of(file: &StoredFile) -> Download {
    Download::Content {
        mime: file.mime.clone(),
        bytes: file.content.clone(),
    }
}

fn encoded(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

/// Returns the content of an upload: raw, or the only part of a multipart body.
pub(super) fn content(content_type: Option<&str>, body: &[u8]) -> Option<Vec<u8>> {
    if !content_type.is_some_and(|it| it.starts_with("multipart/form-data")) {
        return Some(body.to_vec());
    }
    let mut parts = multipart::parts(content_type, body)?;
    (parts.len() == 1).then(|| parts.remove(0).content)
}
