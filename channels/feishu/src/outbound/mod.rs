//! From our posts to Feishu's messages.
//!
//! - `markdown`: a model's Markdown to Markdown that Feishu shows
//! - `render`: the message in its best form, and the simpler ones for when that is refused
//! - `place`: where it goes, and where instead when that is refused
//! - `post`: sending it, changing it, recalling it
//! - `upload`: files
//! - `react`: emoji on messages
//!
//! **Architecture Invariant:** only `post`, `react` and `upload` do IO. Whatever a model writes, nobody is mentioned
//! by it, and nothing in it makes Feishu refuse the message.

mod inert;
mod markdown;
mod place;
mod post;
mod react;
mod render;
mod table;
#[cfg(test)]
mod tests;
mod upload;

pub(crate) use self::post::{KEY_LASTS, delete, edit, post};
#[cfg(test)]
pub(crate) use self::react::name as emoji_name;
pub(crate) use self::react::react;
pub(crate) use self::render::MAX_TEXT;
pub(crate) use self::upload::{MAX_FILE_BYTES, Uploads};
