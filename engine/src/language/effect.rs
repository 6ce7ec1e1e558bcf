//! What the engine asks of the driver.

use crate::{
    durable::{Ask, BlobName},
    language::{
        chunk::Chunk,
        head::{Head, Length, RequestHead},
        id::{FillId, OpId, PurgeId, RecordId, RecordName, RequestId, TierId, WriterId},
        key::StoredKey,
        reason::{Bypass, End, MissReason, Refusal},
        record::Record,
        resident::Resident,
        units::ByteCount,
    },
    parts::bans::Ban,
};
use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;
use serde::{Deserialize, Serialize, Serializer};

/// One piece of work. Those with an `op` want exactly one answer; the others want none.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Debug, Serialize)]
#[serde(bound(serialize = "C: Chunk"))]
pub enum Effect<C> {
    /// Ask the origin. Answer `Head` or `FetchFailed`.
    Fetch {
        op: OpId,
        /// Names the stream of this fetch from now on.
        fill: FillId,
        /// What to ask for.
        head: Arc<RequestHead>,
        /// Whose request it is: what the origin says before its response is for that one alone. Nobody's,
        /// when it is asked in the background.
        leader: Option<RequestId>,
    },
    /// The body of the answer that the last input told of
    /// ([`Input::AnsweredAround`](crate::Input::AnsweredAround)) is what pulls of `fill` get. Wants no
    /// answer.
    Adopt { fill: FillId },
    /// Hand over the next chunk of a fetch, or of an answer that was adopted. Answer `Pulled`, `PullEnded` or
    /// `PullFailed`.
    Pull { op: OpId, fill: FillId },
    /// Stop a fetch and forget it: nobody wants it any more, or all of its body is here. An answer to its
    /// open operation may still come; the engine ignores it.
    Cancel { fill: FillId },

    /// Open what the tier holds under the key as `record`. Answer `Found`, `Absent` or `LookupFailed`.
    Lookup {
        op: OpId,
        tier: TierId,
        /// The engine's name for the open record, if there is one.
        record: RecordId,
        key: StoredKey,
    },
    /// Read from an open record, or from what a writer has acknowledged. Answer `BodyRead` or `ReadFailed`.
    Read {
        op: OpId,
        tier: TierId,
        source: ReadSource,
        /// The first byte.
        offset: u64,
        /// No more bytes than this.
        length_max: u64,
    },
    /// Close an open record.
    Release { tier: TierId, record: RecordId },

    /// Begin a record. Answer `Opened` or `WriteFailed`.
    Open {
        op: OpId,
        tier: TierId,
        /// The engine's name for it while it is written.
        writer: WriterId,
        /// Whose response.
        key: StoredKey,
        /// Its name for ever.
        name: RecordName,
    },
    /// Append a chunk. Answer `Written` or `WriteFailed`.
    Write {
        op: OpId,
        tier: TierId,
        /// Which record.
        writer: WriterId,
        /// The bytes.
        #[serde(with = "crate::language::recording::size")]
        chunk: C,
    },
    /// Make the record visible, at once and whole, in place of any older one of its key. Answer `Committed`
    /// or `WriteFailed`.
    Commit {
        op: OpId,
        tier: TierId,
        /// Which record.
        writer: WriterId,
        /// What to keep beside the body. Its length equals the bytes written.
        record: Arc<Record>,
    },
    /// Close a writer. A record that was not committed is gone for good.
    Discard {
        tier: TierId,
        /// Which record.
        writer: WriterId,
    },
    /// Replace head and freshness beside the body of exactly the record that `record` names, whole or not at
    /// all; the body stays. Never makes a record, and never brings one back. Answer `Freshened` or
    /// `WriteFailed`.
    Freshen {
        op: OpId,
        tier: TierId,
        /// What to keep beside the body from now on. Key, name and length are those of the stored record.
        record: Arc<Record>,
    },
    /// Remove a record, or all that a target has, every variant of it too. Answer `Deleted` or
    /// `DeleteFailed`.
    Delete {
        op: OpId,
        tier: TierId,
        key: StoredKey,
        /// Exactly this record. When absent: every record of the target, current, superseded or half deleted,
        /// and what was opened for it before may not be committed after.
        name: Option<RecordName>,
    },

    /// Keep a ban over a restart, for a local tier. Answer `BanStored` or `WriteFailed`.
    StoreBan { op: OpId, tier: TierId, ban: Arc<Ban> },

    /// Ask the durable tier's index, or its blob store about a whole blob. Answer `DurableTold`. Never
    /// [`Ask::Open`]: that is `OpenBlob`.
    #[serde(skip)]
    Durable { op: OpId, ask: Ask },
    /// Open a blob for reading, as `record` of L3. Answer `DurableTold`; only after
    /// [`Told::Opened`](crate::durable::Told::Opened) it is open.
    #[serde(skip)]
    OpenBlob {
        op: OpId,
        /// The engine's name for it while it is open.
        record: RecordId,
        blob: BlobName,
    },

    /// Begin a client's response.
    Serve {
        request: RequestId,
        /// The response.
        reply: Reply<C>,
    },
    /// The next chunk of a client's response, one for each demand.
    Body {
        request: RequestId,
        /// Not empty.
        #[serde(with = "crate::language::recording::size")]
        chunk: C,
    },
    /// A client's response is over.
    Finish {
        request: RequestId,
        /// How.
        end: End,
    },
    /// The request is not the cache's business: proxy it, store nothing.
    Pass { request: RequestId, bypass: Bypass },
    /// The client gets an error.
    Refuse { request: RequestId, refusal: Refusal },
    /// A purge has reached every tier.
    PurgeDone {
        purge: PurgeId,
        /// What was seen in each tier.
        report: Vec<(TierId, PurgeOutcome)>,
    },
}

/// What a tier did with an [`Effect::Freshen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freshening {
    /// The record has the new head and freshness.
    Done,
    /// The record is younger than that already, or changed meanwhile: it stays as it is (failure F3).
    Overtaken,
    /// There is no record of that name.
    Absent,
}

/// What a [`Effect::Read`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ReadSource {
    /// A record that a lookup opened.
    Record(RecordId),
    /// A record that is being written, or was by this writer.
    Writer(WriterId),
}

/// The beginning of a response, or the whole of one.
#[derive(Clone, Debug, Serialize)]
#[serde(bound(serialize = "C: Chunk"))]
pub struct Reply<C> {
    /// The stored or arriving head. `Age` and `Cache-Status` are the front's to add, from this.
    pub head: Arc<Head>,
    /// What is known of the body's length.
    pub length: Length,
    /// The age now.
    pub age: Duration,
    /// How long it stays fresh from now on; zero when it is not.
    pub fresh_for: Duration,
    /// Where it comes from.
    pub outcome: Outcome,
    /// The body.
    pub body: ReplyBody<C>,
}

/// Where a response comes from.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// A tier.
    Hit { tier: TierId },
    /// A tier, past its lifetime.
    Stale {
        tier: TierId,
        /// What allows it.
        why: StaleUse,
    },
    /// A tier, after the origin agreed.
    Revalidated { tier: TierId },
    /// The origin.
    Miss {
        /// Why the cache could not answer.
        reason: MissReason,
        /// Did it join a fetch that another request had begun?
        collapsed: bool,
        /// Does any tier intend to keep it?
        storing: bool,
    },
}

/// What allows a stale response (RFC 5861).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum StaleUse {
    /// It is being revalidated.
    WhileRevalidate,
    /// The origin failed.
    IfError,
}

/// How a body reaches the client.
#[derive(Clone, Debug, Serialize)]
#[serde(bound(serialize = "C: Chunk"))]
pub enum ReplyBody<C> {
    /// All at once: the request is over for the engine.
    Whole(#[serde(serialize_with = "length")] Arc<Resident<C>>),
    /// Chunk by chunk, on demand, until `Finish`.
    Streamed,
}

/// What a purge saw in one tier (failure R10: answers are what was seen). The graver one is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum PurgeOutcome {
    /// It was not there.
    Absent,
    /// It was there, of unknown size, and is gone.
    RemovedUnseen,
    /// It was there and is gone.
    Removed(ByteCount),
    /// It was there, and counts as stale from now on.
    Staled(ByteCount),
    /// It was not looked for: if it is there, it is not used as it is from now on.
    Barred,
    /// The tier could not say; it may still hold it.
    Failed,
}

impl PurgeOutcome {
    /// What one purge saw in two parts of one tier.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Removed(one), Self::Removed(two)) => Self::Removed(one.plus(two.0)),
            (Self::Staled(one), Self::Staled(two)) => Self::Staled(one.plus(two.0)),
            (one, two) => one.max(two),
        }
    }
}

/// A resident body, as how many bytes it has.
fn length<C: Chunk, S: Serializer>(resident: &Arc<Resident<C>>, serializer: S) -> Result<S::Ok, S::Error> {
    resident.length.serialize(serializer)
}
