//! What goes wrong with calls.

use std::fmt;

use super::{Knowledge, Mock};

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault<E> {
    /// 429 with so many seconds to wait; whoever does not wait commits a violation.
    RateLimited(u64),
    /// A status of 5xx with a body that is no JSON. Nothing was done.
    Broken(u16),
    /// A refusal of this name. Nothing was done.
    Error(E),
    /// It is done, and the connection breaks before the answer.
    AnswerLost,
    /// It is done, and the answer is a 5xx.
    DoneButBroken(u16),
    /// The connection breaks before anything is done.
    Dropped,
    /// Nothing is done, and nothing is said.
    Silence,
    /// It is done, and nothing is said.
    DoneInSilence,
}

/// A call that a fault may fit.
#[derive(Debug)]
pub(crate) struct Call<'a, A> {
    pub(crate) method: &'a str,
    pub(crate) args: &'a A,
}

/// Decides whether a fault fits a call.
type Fits<K> = Box<
    dyn FnMut(&Call<'_, <K as Knowledge>::Args>) -> Option<Fault<<K as Knowledge>::Error>> + Send,
>;

/// When what goes wrong.
pub(super) struct Rule<K: Knowledge> {
    left: Option<usize>,
    fits: Fits<K>,
}

impl<K: Knowledge> fmt::Debug for Rule<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl<K: Knowledge> Mock<K> {
    /// The next `n` calls of a method meet this fault.
    pub(crate) fn fail(&self, method: &'static str, n: usize, fault: Fault<K::Error>) {
        self.fail_where(n, move |call| {
            (call.method == method).then(|| fault.clone())
        });
    }

    /// The next `n` calls for which `fits` names a fault meet it.
    pub(crate) fn fail_where(
        &self,
        n: usize,
        fits: impl FnMut(&Call<'_, K::Args>) -> Option<Fault<K::Error>> + Send + 'static,
    ) {
        self.add_rule(Some(n), Box::new(fits));
    }

    /// Every call for which `fits` names a fault meets it, until [`heal`](Self::heal).
    pub(crate) fn fail_always(
        &self,
        fits: impl FnMut(&Call<'_, K::Args>) -> Option<Fault<K::Error>> + Send + 'static,
    ) {
        self.add_rule(None, Box::new(fits));
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.shared
            .update(|state| state.common_mut().faults.clear());
    }

    fn add_rule(&self, left: Option<usize>, fits: Fits<K>) {
        self.shared
            .update(|state| state.common_mut().faults.push(Rule { left, fits }));
    }
}

impl<K: Knowledge> super::Common<K> {
    /// Takes the first fault that fits.
    pub(crate) fn take_fault(&mut self, method: &str, args: &K::Args) -> Option<Fault<K::Error>> {
        let call = Call { method, args };
        for (index, rule) in self.faults.iter_mut().enumerate() {
            let Some(fault) = (rule.fits)(&call) else {
                continue;
            };
            if let Some(left) = &mut rule.left {
                *left -= 1;
                if *left == 0 {
                    self.faults.remove(index);
                }
            }
            return Some(fault);
        }
        None
    }
}
