//! The names of channels, chats, people and messages.
//!
//! All of them are opaque text that is wrapped once, where it comes in. Nothing here parses them.

/// Makes a newtype around opaque text: `new`, `as_str`, `Display`, `Debug` and serde as a string.
#[macro_export]
macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }
    };
}

opaque_id! {
    /// The name of a channel in the configuration: `[channels.NAME]`.
    ChannelId
}
opaque_id! {
    /// A chat as its platform names it: a Slack channel, a Feishu chat, a console session.
    ChatId
}
opaque_id! {
    /// A thread or topic inside a chat, as its platform names it.
    ThreadKey
}
opaque_id! {
    /// A person or bot, as the platform names it.
    UserId
}
opaque_id! {
    /// A message as its platform names it; unique within its chat.
    WireId
}
