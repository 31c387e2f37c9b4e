//! From our posts to Feishu's messages.
//!
//! - `markdown`: a model's Markdown to Markdown that Feishu shows
//! - `render`: the message in its best form, and the simpler ones for when that is refused
//!
//! - `post`: sending it
//!
//! **Architecture Invariant:** only `post` does IO. Whatever a model writes, nobody is mentioned
//! by it, and nothing in it makes Feishu refuse the message.

mod inert;
mod markdown;
mod post;
mod render;
mod table;

pub(crate) use self::post::{delete, edit, post};
pub(crate) use self::render::{Form, MAX_TEXT, Rendered, forms};
