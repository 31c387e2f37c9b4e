//! Our own names of things. Those of a platform are in [`tieline_channel::id`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tieline_channel::opaque_id;
use uuid::Uuid;

opaque_id! {
    /// The name of a dispatcher in the configuration: `[dispatchers.NAME]`.
    DispatcherId
}
opaque_id! {
    /// A lane: one Codex thread with a queue of inputs. Derived from the dispatcher and what the
    /// lane stands for, so that the same conversation finds the same lane after a restart.
    LaneId
}
opaque_id! {
    /// A Codex thread, as the app-server names it.
    ThreadId
}
opaque_id! {
    /// A turn of a Codex thread, as the app-server names it.
    TurnId
}

/// Makes a newtype around a time-ordered UUID.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new one; later ones sort after earlier ones of the same process.
            #[expect(clippy::new_without_default, reason = "each call gives another value")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Returns the 16 bytes, which sort as the ids do.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Takes the 16 bytes back.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// A message that was accepted.
    MessageId
}
uuid_id! {
    /// A turn of ours: what a lane asks of Codex, over all its attempts. Travels as
    /// `clientUserMessageId`.
    TurnKey
}
uuid_id! {
    /// A completion that was accepted. Its producer's own name of it is something else.
    CompletionId
}
uuid_id! {
    /// A teammate. Its name is something else: another one may have it when this one is forgotten.
    TeammateId
}
uuid_id! {
    /// A piece of work that a lane was given: a teammate's task, or a turn of a session.
    TaskId
}
uuid_id! {
    /// A conversation that a program has with Codex over the API.
    SessionId
}
uuid_id! {
    /// Something that is wanted of a lane's thread.
    OrderId
}
uuid_id! {
    /// An entry of the outbox. Its text is the [`PostKey`](tieline_channel::PostKey).
    OutboxId
}
uuid_id! {
    /// A one-off run.
    RunId
}
uuid_id! {
    /// Something that the model wants and people decide.
    ApprovalId
}
