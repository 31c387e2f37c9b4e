//! What a thread's own history tells after something went wrong.

use super::call::{CallError, Refusal};
use super::client::Client;
use super::failure::{During, Failure};
use super::protocol::{
    AgentPhase, Item, SortDirection, ThreadItemsList, ThreadItemsListParams, ThreadTurnsList,
    ThreadTurnsListParams, TurnInfo, TurnItemsView, TurnStatus,
};
use crate::id::{ThreadId, TurnId};

const PAGE: u32 = 100;
/// How many pages are looked through. What is looked for is hardly ever older than the first.
const PAGES: usize = 200;

/// The history could not be searched.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Codex did not tell.
    #[error("the history of the thread cannot be read")]
    Call(#[from] CallError),
    /// It was not found, and there is more than was looked through.
    #[error("not found among the newest {} entries of the thread", PAGES * PAGE as usize)]
    TooLong,
}

/// A turn that was found in the history.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundTurn {
    /// Its id.
    pub turn_id: TurnId,
    /// How far it is. [`TurnStatus::Interrupted`] is also what the end of the process leaves.
    pub status: TurnStatus,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The last message that can be its answer; also when it did not come to its end.
    pub answer: Option<String>,
    /// What kind the last message of the model is, if there is one.
    pub last_phase: Option<Option<AgentPhase>>,
    /// Its items.
    pub items: Vec<Item>,
}

impl Client {
    /// Looks for the turn that took the input with this id; `None` if the thread does not know it.
    ///
    /// The thread need not be loaded. A moment before codex records the id it records the text
    /// itself: [`rollout::search`](super::rollout::search) sees that.
    ///
    /// # Errors
    /// Whether it is there is not known.
    pub async fn find_message(
        &self,
        thread_id: &ThreadId,
        client_id: &str,
    ) -> Result<Option<FoundTurn>, HistoryError> {
        let mut cursor = None;
        for _ in 0..PAGES {
            let page = self.items(thread_id, None, cursor, SortDirection::Desc);
            let page = match page.await {
                Ok(page) => page,
                // Said of threads without a turn, and perhaps of others: only the turns tell.
                Err(error)
                    if error.refusal() == Some(Refusal::NotSupportedYet)
                        && self.newest_turn(thread_id).await?.is_none() =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            let found = page.data.into_iter().find(|entry| {
                matches!(&entry.item, Item::UserMessage { client_id: Some(id), .. } if id == client_id)
            });
            if let Some(entry) = found {
                return self.turn(thread_id, &entry.turn_id).await;
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(None);
            }
        }
        Err(HistoryError::TooLong)
    }

    /// Returns the newest turn, without its items; `None` if there is none.
    ///
    /// # Errors
    /// Codex did not tell.
    pub async fn newest_turn(&self, thread_id: &ThreadId) -> Result<Option<TurnInfo>, CallError> {
        let page = self.call::<ThreadTurnsList>(&ThreadTurnsListParams {
            thread_id: thread_id.clone(),
            limit: 1,
            cursor: None,
            items_view: TurnItemsView::NotLoaded,
        });
        match page.await {
            Ok(page) => Ok(page.data.into_iter().next()),
            Err(error) if error.refusal() == Some(Refusal::NoTurnYet) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a turn with its items; `None` if the thread has no such turn.
    ///
    /// # Errors
    /// Whether it is there is not known.
    pub async fn turn(
        &self,
        thread_id: &ThreadId,
        turn_id: &TurnId,
    ) -> Result<Option<FoundTurn>, HistoryError> {
        let mut cursor = None;
        for _ in 0..PAGES {
            let page = self.call::<ThreadTurnsList>(&ThreadTurnsListParams {
                thread_id: thread_id.clone(),
                limit: PAGE,
                cursor,
                items_view: TurnItemsView::NotLoaded,
            });
            let page = page.await?;
            if let Some(turn) = page.data.into_iter().find(|turn| turn.id == *turn_id) {
                let items = self.items_of(thread_id, turn_id).await?;
                return Ok(Some(FoundTurn::of(turn, items)));
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(None);
            }
        }
        Err(HistoryError::TooLong)
    }

    async fn items_of(
        &self,
        thread_id: &ThreadId,
        turn_id: &TurnId,
    ) -> Result<Vec<Item>, HistoryError> {
        let mut items = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES {
            let page = self.items(thread_id, Some(turn_id.clone()), cursor, SortDirection::Asc);
            let page = page.await?;
            items.extend(page.data.into_iter().map(|entry| entry.item));
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
        Err(HistoryError::TooLong)
    }

    fn items(
        &self,
        thread_id: &ThreadId,
        turn_id: Option<TurnId>,
        cursor: Option<String>,
        sort_direction: SortDirection,
    ) -> impl Future<Output = Result<super::protocol::ThreadItemsListResponse, CallError>> + Send + use<>
    {
        self.call::<ThreadItemsList>(&ThreadItemsListParams {
            thread_id: thread_id.clone(),
            turn_id,
            limit: PAGE,
            cursor,
            sort_direction,
        })
    }
}

impl FoundTurn {
    fn of(turn: TurnInfo, items: Vec<Item>) -> Self {
        let failure = (turn.status == TurnStatus::Failed)
            .then(|| Failure::of_turn(turn.error.as_ref(), During::Turn));
        let last_phase = items.iter().rev().find_map(|item| match item {
            Item::AgentMessage { phase, .. } => Some(*phase),
            _ => None,
        });
        Self {
            turn_id: turn.id,
            status: turn.status,
            failure,
            answer: Item::last_answer(&items).map(str::to_owned),
            last_phase,
            items,
        }
    }
}
