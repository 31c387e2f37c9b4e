//! How often each method may be called.

use std::time::Duration;

use super::error::CallError;
use super::method::Method;

/// The budget of calls.
#[derive(Debug)]
pub(super) struct Pace;

impl Pace {
    pub(super) fn new() -> Self {
        Self
    }

    /// Waits until a call may be made.
    pub(super) async fn admit(
        &self,
        _method: Method,
        _conversation: Option<&str>,
    ) -> Result<(), CallError> {
        Ok(())
    }

    /// Takes note that Slack asked to be left alone.
    pub(super) fn limited(&self, _method: Method, _conversation: Option<&str>, _after: Duration) {}
}
