//! What was asked, and waiting for what becomes of it.

use std::time::{Duration, Instant};

use super::{Knowledge, Mock};

/// A safety net, not a measure: nothing that works takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request, as it came. Its headers have tokens: not for showing.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    /// What the platform calls what was asked.
    pub(crate) method: Option<String>,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Returns the method that was called.
    pub(crate) fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// Returns an argument of a form.
    pub(crate) fn argument(&self, name: &str) -> Option<String> {
        let mut arguments = url::form_urlencoded::parse(&self.body);
        let (_, value) = arguments.find(|(it, _)| it == name)?;
        Some(value.into_owned())
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl<K: Knowledge> Mock<K> {
    /// Returns all requests.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.look(|state| state.common().requests.clone())
    }

    /// Returns the calls of a method.
    pub(crate) fn calls(&self, method: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.method() == Some(method));
        requests
    }

    /// Returns how often a method was called.
    pub(crate) fn count_calls(&self, method: &str) -> usize {
        self.shared.look(|state| {
            let requests = state.common().requests.iter();
            requests.filter(|it| it.method() == Some(method)).count()
        })
    }

    /// Returns what a strict platform would object to.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.shared.look(|state| state.common().violations.clone())
    }

    /// Returns the violations and forgets them.
    pub(crate) fn take_violations(&self) -> Vec<String> {
        self.shared
            .update(|state| std::mem::take(&mut state.common_mut().violations))
    }

    /// Fails when a client did something that a strict platform would object to.
    pub(crate) fn finish(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "violations: {violations:#?}");
    }

    /// Waits until `look` finds something. It is asked after every change.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changes = self.shared.changes();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = look(self) {
                    return found;
                }
                changes.changed().await.expect("the mock lives");
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => panic!(
                "waited {PATIENCE:?} for {what}; {}; violations: {:#?}",
                self.shared.look(K::describe),
                self.violations()
            ),
        }
    }

    /// Waits until `look` finds something in the state.
    pub(crate) async fn wait_for<T>(&self, what: &str, look: impl Fn(&K) -> Option<T>) -> T {
        self.until(what, |mock| mock.shared.look(&look)).await
    }
}
