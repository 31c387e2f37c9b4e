//! Envelopes on their way to the intake, in order for each chat.

use std::sync::Arc;

use async_trait::async_trait;
use tieline_net::lines::{self, Delivery, Meaning, Unreadable};

use super::Reader;
use super::envelope::Envelope;
use crate::inbound::Delivered;

/// The end where envelopes are put in.
pub(super) type Queue = lines::Queue<Envelope>;

impl Delivery for Envelope {
    /// Its `envelope_id`, to acknowledge it.
    type Slip = String;

    fn line(&self) -> &str {
        self.chat().unwrap_or_default()
    }

    fn name(&self) -> &str {
        &self.envelope_id
    }

    fn kind(&self) -> &str {
        &self.kind
    }
}

/// A [`Reader`] as the queue wants it.
pub(super) struct Hands(pub(super) Arc<dyn Reader>);

#[async_trait]
impl lines::Reader<Envelope> for Hands {
    async fn read(&self, envelope: &Envelope) -> Result<Meaning, Unreadable> {
        match self.0.read(envelope).await? {
            Delivered::Event(event) => Ok(Meaning::Event(event)),
            Delivered::Nothing(reason) => Ok(Meaning::Nothing(reason)),
        }
    }
}
