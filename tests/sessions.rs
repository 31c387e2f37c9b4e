//! Conversations of programs with the real Codex, over the API of a whole daemon.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod broken;
mod command_line;
mod life;
mod options;
mod params;

use serde_json::{Value, json};
use tieline::control::{
    Client, ClientError, NewSession, NewTurn, SessionStatus, TurnReceipt, TurnResult,
    session_turn_route,
};

use crate::support::daemon::{Choices, World};
use crate::support::model::Echo;

/// A world whose daemon runs, and a program that speaks to it.
struct Program {
    world: World,
    client: Client,
}

impl Program {
    async fn start(echo: &Echo, choices: &Choices) -> Self {
        let mut world = World::new(echo.start().await, choices);
        let client = Client::new(&world.path().join("state/control.sock"));
        world.start();
        world.ready(0).await;
        Self { world, client }
    }

    /// Opens a session as `wanted` says.
    async fn try_open(&self, wanted: Value) -> Result<SessionStatus, ClientError> {
        let wanted: NewSession = serde_json::from_value(wanted).unwrap();
        self.client.open_session("test", &wanted).await
    }

    /// Opens a session, which is active at once.
    async fn open(&self, wanted: Value) -> SessionStatus {
        let session = self.try_open(wanted).await.unwrap();
        assert_eq!(
            session.state,
            "active",
            "{session:#?}\n{}",
            self.world.log()
        );
        session
    }

    async fn try_give(
        &self,
        session: &SessionStatus,
        turn: Value,
    ) -> Result<TurnReceipt, ClientError> {
        let turn: NewTurn = serde_json::from_value(turn).unwrap();
        let id = session.id.to_string();
        if turn.expected_turn.is_some() {
            return self.client.steer(&id, &turn).await;
        }
        self.client.give_turn(&id, &turn).await
    }

    /// Gives a session a turn.
    async fn give(&self, session: &SessionStatus, input: &str) -> TurnReceipt {
        self.give_with(session, json!({ "input": input })).await
    }

    async fn give_with(&self, session: &SessionStatus, turn: Value) -> TurnReceipt {
        let receipt = self.try_give(session, turn).await.unwrap();
        assert!(receipt.accepted);
        receipt
    }

    async fn look(&self, receipt: &TurnReceipt, wait: &str) -> TurnResult {
        let route = session_turn_route(&receipt.session.to_string(), &receipt.turn.to_string());
        self.client
            .get(&format!("{route}?wait={wait}"))
            .await
            .unwrap()
    }

    /// Waits until a turn is over.
    async fn end(&self, receipt: &TurnReceipt) -> TurnResult {
        let ended = async {
            loop {
                // A daemon that is restarted breaks off.
                let route =
                    session_turn_route(&receipt.session.to_string(), &receipt.turn.to_string());
                let asked = self.client.get(&format!("{route}?wait=5s")).await;
                match asked {
                    Ok(TurnResult {
                        terminal_status: None,
                        ..
                    }) => {}
                    Ok(turn) => return turn,
                    Err(ClientError::Refused { code, .. }) => panic!("{code}"),
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            }
        };
        match tokio::time::timeout(std::time::Duration::from_secs(60), ended).await {
            Ok(turn) => turn,
            Err(_) => panic!("the turn does not end:\n{}", self.world.log()),
        }
    }

    /// Gives a session a turn, and returns what the model says.
    async fn ask(&self, session: &SessionStatus, turn: Value) -> String {
        let receipt = self.give_with(session, turn).await;
        let turn = self.end(&receipt).await;
        assert_eq!(turn.status, "completed", "{turn:#?}\n{}", self.world.log());
        turn.reply.unwrap_or_default()
    }

    async fn session(&self, id: &SessionStatus) -> SessionStatus {
        let route = tieline::control::session_route(&id.id.to_string());
        self.client.get(&route).await.unwrap()
    }

    /// Waits until a session is in a state.
    async fn until(&self, session: &SessionStatus, state: &str) -> SessionStatus {
        crate::support::model::within(state, async {
            loop {
                if let Ok(now) = self
                    .client
                    .get::<SessionStatus>(&tieline::control::session_route(&session.id.to_string()))
                    .await
                    && now.state == state
                {
                    return now;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await
    }
}

/// Returns the code of a refusal.
fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer {
        Err(ClientError::Refused { code, hint, .. }) => {
            assert!(
                hint.is_some_and(|hint| !hint.is_empty()),
                "{code} has no hint"
            );
            code
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// Something that is asked while the test does something else.
struct Aside<T>(tokio::task::JoinSet<T>);

fn aside<T: Send + 'static>(asked: impl Future<Output = T> + Send + 'static) -> Aside<T> {
    let mut asking = tokio::task::JoinSet::new();
    asking.spawn(asked);
    Aside(asking)
}

impl<T: 'static> Aside<T> {
    /// Waits for its answer.
    async fn answer(mut self) -> T {
        self.0.join_next().await.unwrap().unwrap()
    }
}
