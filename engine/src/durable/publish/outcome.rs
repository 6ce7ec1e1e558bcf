//! What an upload is given to publish, what it asks for, and what it comes to.

use crate::{
    durable::{Ask, BodyDigest, Version},
    language::{id::RecordName, record::Record},
};
use alloc::sync::Arc;
use bytes::Bytes;

/// What to publish.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Completed {
    /// Its key and name are those of the upload, its length that of the blob.
    pub record: Arc<Record>,
    /// Made of the bytes that went up.
    pub digest: BodyDigest,
    /// All of them, where they go into the row.
    pub in_row: Option<Bytes>,
}

/// How an upload goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PublishStep {
    /// Nothing to do now.
    Wait,
    /// One question. It may be to delete the blob in the middle of its upload: see
    /// [`Publish::is_wanted`](super::Publish::is_wanted).
    Ask(Ask),
    /// The lease is had: begin the upload. Call
    /// [`Publish::on_renewal_due`](super::Publish::on_renewal_due) every
    /// [`Terms::renew_after`](crate::durable::Terms::renew_after) from here on.
    Upload,
    /// It is over.
    Ended(PublishEnd, BlobFate),
}

/// What came of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublishEnd {
    /// It is visible.
    Won {
        /// With this version.
        version: Version,
    },
    /// Another upload of the same key was first (CON1).
    Lost {
        /// Whose blob it is now.
        winner: RecordName,
    },
    /// A purge came in between (failure F1).
    Purged,
    /// The lease was taken: it ran out.
    LeaseLost,
    /// The fetch took so long that a purge might be forgotten.
    TooLate,
    /// The key has as many uploads as it may.
    Crowded,
    /// The index did not answer, or others were always faster.
    IndexFailed,
    /// The upload broke off, or was called off.
    Abandoned,
}

/// What became of the upload's own blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlobFate {
    /// A manifest names it.
    Named,
    /// There is none: the body is in the row, if it was published.
    InRow,
    /// It was not begun.
    NotBegun,
    /// It is deleted.
    Deleted,
    /// It may be there, and the collector finds out.
    Left,
}
