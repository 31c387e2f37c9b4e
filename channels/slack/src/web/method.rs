//! The methods that are called.

pub(crate) use tieline_net::pace::Urgency;

/// A method of the Web API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Method {
    AppsConnectionsOpen,
    AuthTest,
    ChatPostMessage,
    ChatUpdate,
    ChatDelete,
    ReactionsAdd,
    ReactionsRemove,
    ConversationsInfo,
    ConversationsList,
    ConversationsHistory,
    ConversationsReplies,
    UsersInfo,
    FilesInfo,
    FilesGetUploadUrlExternal,
    FilesCompleteUploadExternal,
    SetStatus,
}

/// Which token a method takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    App,
    Bot,
}

impl Method {
    /// Returns its name in the URL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AppsConnectionsOpen => "apps.connections.open",
            Self::AuthTest => "auth.test",
            Self::ChatPostMessage => "chat.postMessage",
            Self::ChatUpdate => "chat.update",
            Self::ChatDelete => "chat.delete",
            Self::ReactionsAdd => "reactions.add",
            Self::ReactionsRemove => "reactions.remove",
            Self::ConversationsInfo => "conversations.info",
            Self::ConversationsList => "conversations.list",
            Self::ConversationsHistory => "conversations.history",
            Self::ConversationsReplies => "conversations.replies",
            Self::UsersInfo => "users.info",
            Self::FilesInfo => "files.info",
            Self::FilesGetUploadUrlExternal => "files.getUploadURLExternal",
            Self::FilesCompleteUploadExternal => "files.completeUploadExternal",
            Self::SetStatus => "assistant.threads.setStatus",
        }
    }

    pub(super) fn token(self) -> Token {
        match self {
            Self::AppsConnectionsOpen => Token::App,
            _ => Token::Bot,
        }
    }

    /// Returns whether doing it twice is the same as doing it once.
    pub(crate) fn is_repeatable(self) -> bool {
        !matches!(
            self,
            Self::ChatPostMessage | Self::FilesCompleteUploadExternal
        )
    }

    /// Returns how urgent a call is unless its caller says otherwise.
    pub(super) fn urgency(self) -> Urgency {
        match self {
            Self::ReactionsAdd | Self::ReactionsRemove | Self::SetStatus | Self::UsersInfo => {
                Urgency::Low
            }
            Self::ConversationsInfo
            | Self::ConversationsList
            | Self::ConversationsHistory
            | Self::ConversationsReplies => Urgency::Ordinary,
            Self::AppsConnectionsOpen
            | Self::AuthTest
            | Self::ChatPostMessage
            | Self::ChatUpdate
            | Self::ChatDelete
            | Self::FilesInfo
            | Self::FilesGetUploadUrlExternal
            | Self::FilesCompleteUploadExternal => Urgency::Answer,
        }
    }
}
