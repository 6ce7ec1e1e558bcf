//! What only the durable tier does.

use super::Event;
use crate::{
    durable::{BlobFate, Collected, DurableMiss, PublishEnd},
    language::{id::RecordName, key::CacheKey, reason::DurableStore},
};

/// What only the durable tier does.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurableEvent {
    /// The durable tier has nothing to read for a key.
    DurableMissed { key: CacheKey, why: DurableMiss },
    /// An upload into the durable tier is over.
    UploadEnded {
        key: CacheKey,
        /// Its blob's.
        name: RecordName,
        end: PublishEnd,
        blob: BlobFate,
    },
    /// The durable tier was found to hold other bytes than were uploaded; its manifest is taken back.
    Corrupt {
        key: CacheKey,
        /// The blob's.
        name: RecordName,
    },
    /// A store did not answer in time what no request waits for. It counts as not known to be done; what it
    /// may still say is ignored.
    Unanswered { store: DurableStore },
    /// A sweep of the collector is over.
    Swept { collected: Collected },
}

impl From<DurableEvent> for Event {
    fn from(event: DurableEvent) -> Self {
        Self::Durable(event)
    }
}
