//! What the driver answers to an effect.
//!
//! It goes in as [`Input::Answer`], with the `op` of the effect. The docs of an effect name the answers that
//! fit it.

use crate::{
    durable::Told,
    language::{
        chunk::Chunk,
        effect::Freshening,
        head::Head,
        id::OpId,
        input::Input,
        reason::{OriginFailure, ReadFailure},
        record::Record,
    },
};
use alloc::sync::Arc;
use serde::{Deserialize, Serialize};

/// What came of an effect.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Chunk", deserialize = "C: From<u64>"))]
pub enum Answer<C> {
    /// The origin's response head came. Answers `Fetch`.
    Head { head: Arc<Head> },
    /// No head will come. Answers `Fetch`.
    FetchFailed { failure: OriginFailure },
    /// The next chunk of the origin's body. Answers `Pull`.
    Pulled {
        /// Not empty.
        #[serde(with = "crate::language::recording::size")]
        chunk: C,
    },
    /// The origin's body ended where it said it would. Answers `Pull`.
    PullEnded,
    /// The origin's body broke off. Answers `Pull`.
    PullFailed { failure: OriginFailure },
    /// The tier holds the key; its record is open under the id that the effect named. Answers `Lookup`.
    Found {
        record: Record,
        /// The whole body, where the tier had it at hand: then no `Read` is needed.
        #[serde(with = "crate::language::recording::optional_size")]
        body: Option<C>,
    },
    /// The tier does not hold the key, or what it holds is rotten. Answers `Lookup`.
    Absent,
    /// The tier did not answer. Answers `Lookup`.
    LookupFailed,
    /// Bytes from a record or writer: at least one, at most as many as asked for. Answers `Read`.
    BodyRead {
        /// Not empty.
        #[serde(with = "crate::language::recording::size")]
        chunk: C,
    },
    /// The bytes cannot be had. Answers `Read`.
    ReadFailed { why: ReadFailure },
    /// The tier is ready for the writer's first chunk. Answers `Open`.
    Opened,
    /// The tier holds the chunk: it can be read back. Answers `Write`.
    Written,
    /// The record is whole and can be looked up. Answers `Commit`.
    Committed,
    /// The tier has dealt with a new head. Answers `Freshen`.
    Freshened { freshening: Freshening },
    /// The ban is kept: whoever starts after a crash is told of it. Answers `StoreBan`.
    BanStored,
    /// The tier refused. Answers `Open`, `Write`, `Commit`, `Freshen` or `StoreBan`.
    WriteFailed,
    /// The tier no longer holds it. Answers `Delete`.
    Deleted { existed: bool },
    /// The tier could not say. Answers `Delete`.
    DeleteFailed,
    /// What the durable tier's index or blob store said. Answers `Durable` and `OpenBlob`.
    /// A failure, or no answer, is [`Told::Unknown`].
    #[serde(skip)]
    DurableTold { told: Told },
}

impl<C> Answer<C> {
    /// As the answer to the effect with this `op`.
    #[must_use]
    pub fn to(self, op: OpId) -> Input<C> {
        Input::Answer { op, answer: self }
    }
}
