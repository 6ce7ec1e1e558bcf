//! The durable tier's protocol: whose response the index names, and when a blob may go.
//!
//! Each key has one [`Entry`] in the index, and every change of it is one compare-and-set on its version: a
//! lease before an upload begins, the manifest when the blob is whole, a purge, a repair, a freshening, a
//! collection. There is no second row that could disagree, and no change that could be applied in part.
//!
//! ```text
//!  lookup ──seen──▶ fetch ──▶ lease ──▶ upload the blob ──▶ manifest, in place of the lease ──▶ visible
//!                               │                             │
//!                               ╰── a purge takes the lease ──╯──▶ can never be published
//!                               ╰── the collector takes an expired lease before it deletes the blob
//! ```
//!
//! A small body lies in the entry itself, with its manifest: it has no lease and no blob, and is published by
//! one compare-and-set on what the lookup saw.
//!
//! Four facts carry the proof, which `tests/durable_model` tries on every interleaving:
//! - A manifest that names a blob is only ever written in place of its own lease, and a name is leased once.
//!   So a blob that no manifest and no lease names will never be named again: whoever sees that may delete
//!   it. A 304 changes the head beside the same blob, and an upload that is called off takes its own lease
//!   away, once its blob is gone: neither names anything new.
//! - Versions only rise. So a swap whose fate is unknown can still happen as long as its expected version
//!   stands, and never again once another version is seen.
//! - A purge leaves its generation behind for as long as a fetch may take that began before it.
//! - An entry outlives every request about it (`linger`), so that none brings it back after the index dropped
//!   it. This one is an assumption on clocks and networks; the others are not. Where it fails, a manifest may
//!   name a blob that is gone, which is a miss and is repaired.
//!
//! The machines do no I/O and read no clock: they hand out an [`Ask`], want one [`Told`] for it, and time is
//! what the index tells with its answers (D3). They know nothing of the wire, of retries after a delay or of
//! the body: the bytes go through a lane, which tells [`Publish`] how that ended. Start at [`Lookup`], then
//! [`Publish`].

mod collect;
mod entry;
mod lookup;
mod publish;
mod purge;
mod terms;
#[cfg(test)]
mod tests;

pub use collect::{CollectStep, Collected, Collector, SUSPECTS_MAX};
pub use entry::{
    BodyDigest, Entry, EntryError, Generation, Lease, Manifest, Stored, UPLOADS_MAX, Version, decode, encode,
};
pub use lookup::{DurableMiss, Looked, LookedFor, Lookup, LookupStep, Seen};
pub use publish::{BlobFate, Completed, Publish, PublishEnd, PublishStep};
pub use purge::{DurablePurge, PurgeEnd, PurgeStep};
pub use terms::{RawTerms, Terms, TermsError};

use crate::language::{
    id::RecordName, key::CacheKey, reason::DurableStore, time::WallTime, units::ByteCount,
};
use alloc::vec::Vec;

/// What names one blob in the store: the key leads from a blob found there to the entry that may name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName {
    /// Whose response.
    pub key: CacheKey,
    /// Which fill's.
    pub name: RecordName,
}

/// What a machine wants done. Each is answered with exactly one [`Told`].
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Read the entry of a key as it is now; a replica that may lag is not good enough. Answer `Entry` or
    /// `Unknown`.
    Read { key: CacheKey },
    /// Write the entry if the index holds exactly `expected`. Answer `Swapped`, `Conflict` or `Unknown`.
    Swap {
        /// The version it replaces; when absent, there must be no entry.
        expected: Option<Version>,
        /// The entry and its expiry from now on.
        stored: Stored,
    },
    /// Move an entry's expiry if the index holds exactly `version`. Answer `Touched`, whatever came of it.
    Touch {
        key: CacheKey,
        /// Only this one.
        version: Version,
        /// The new expiry; never earlier than the old one.
        expires: WallTime,
    },
    /// Open a blob for reading. Answer `Opened`, `NoBlob` or `Unknown`.
    Open { blob: BlobName },
    /// Delete a blob. One that is not there counts as deleted. Answer `Deleted` or `Unknown`.
    Delete { blob: BlobName },
    /// List blobs in the order of their names, at most as many as fit one answer. Answer `Listed` or
    /// `Unknown`.
    List {
        /// Begin behind this one.
        after: Option<BlobName>,
    },
}

impl Ask {
    /// Whom it is for.
    pub const fn store(&self) -> DurableStore {
        match self {
            Self::Read { .. } | Self::Swap { .. } | Self::Touch { .. } => DurableStore::Index,
            Self::Open { .. } | Self::Delete { .. } | Self::List { .. } => DurableStore::Blobs,
        }
    }
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// What the index holds.
    Entry {
        /// The entry, if there is one. One that does not decode is told as `Unknown`.
        found: Option<Stored>,
        /// The index's clock.
        now: WallTime,
    },
    /// The entry is written.
    Swapped {
        /// The index's clock.
        now: WallTime,
    },
    /// The index holds another version: nothing was written, and never will be by this ask.
    Conflict,
    /// The touch was tried.
    Touched,
    /// The blob is open.
    Opened {
        /// How many bytes it has.
        length: ByteCount,
    },
    /// The store is sure that there is no such blob.
    NoBlob,
    /// The blob is not there, now.
    Deleted,
    /// Blobs, in the order of their names.
    Listed {
        /// Them. None: there are no more.
        blobs: Vec<BlobName>,
    },
    /// No answer, or a failure: it was done, was not done, or is done later.
    Unknown,
}
