//! The names of people and chats.

use crate::web::Web;

/// The names of people and chats, remembered for a while.
#[derive(Debug)]
pub(crate) struct Names {
    _web: Web,
}

impl Names {
    pub(crate) fn new(web: Web) -> Self {
        Self { _web: web }
    }
}
