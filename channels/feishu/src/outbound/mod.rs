//! From our posts to Feishu's messages.
//!
//! - `markdown`: a model's Markdown to Markdown that Feishu shows
//! - `render`: the message in its best form, and the simpler ones for when that is refused
//!
//! **Architecture Invariant:** this module does no IO. Whatever a model writes, nobody is mentioned
//! by it, and nothing in it makes Feishu refuse the message.

mod inert;
mod markdown;
mod render;
mod table;

#[expect(unused_imports, reason = "the posts that use them come next")]
pub(crate) use self::render::{Form, MAX_TEXT, Rendered, forms};
