//! What the world tells the engine.

use crate::{
    bans::Ban,
    chunk::Chunk,
    durable::Told,
    effect::Freshening,
    feed::Notice,
    head::{Head, RequestHead},
    id::{OpId, OriginId, PurgeId, RequestId, TierId},
    key::CacheKey,
    reason::{OriginFailure, ReadFailure},
    record::Record,
    selector::{PurgeMode, Selector},
    time::{Instant, WallTime},
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};
use serde::{Deserialize, Serialize};

/// One thing that happened. Those with an `op` answer the effect of that id; each effect is answered once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Chunk", deserialize = "C: From<u64>"))]
pub enum Input<C> {
    /// A client asks. The engine answers with [`Effect::Serve`](crate::Effect::Serve), `Pass` or `Refuse`.
    Request {
        /// The driver's name for it, never used before.
        request: RequestId,
        /// What [`CacheKey::of`] makes of the head.
        key: CacheKey,
        /// Where it would be fetched from.
        origin: OriginId,
        /// The head.
        head: Arc<RequestHead>,
    },
    /// A client whose response is streamed can take one more chunk. At most one demand is open at a time.
    Demand {
        /// Whose.
        request: RequestId,
    },
    /// A client left, or read to the end. Unknown and finished requests are ignored.
    Leave {
        /// Whose.
        request: RequestId,
    },
    /// Remove what `selector` covers, or count it as stale, everywhere, and let nothing that began before publish.
    Purge {
        /// The driver's name for it.
        purge: PurgeId,
        /// What it is about.
        selector: Selector,
        /// What happens to that.
        mode: PurgeMode,
    },
    /// Another edge purged, as the feed has it. What is in the stores that edges share, it has purged there itself.
    PurgeHeard {
        /// What.
        notice: Notice,
    },
    /// The feed no longer has what other edges purged until then.
    PurgesMissed {
        /// When the last of those purges was asked for.
        through: WallTime,
    },
    /// The feed was read to its end: all that was purged elsewhere is known here, but for what is younger than the lease.
    LeaseHeld {
        /// Until then what is stored may be used as it is.
        until: Instant,
    },
    /// The bans that a local tier was told to store, and still knows. Only before the first request.
    Recovered {
        /// Which tier.
        tier: TierId,
        /// The bans, oldest first.
        bans: Vec<Ban>,
    },
    /// A local tier can be asked from now on. Once in the life of an engine; until then nothing is looked up or stored
    /// there, but deletes are sent to it.
    TierJoined {
        /// Which tier.
        tier: TierId,
        /// How many records it holds.
        objects: u64,
        /// What they take up there.
        bytes: ByteCount,
    },
    /// The calendar. Sent once before anything else and again whenever it jumped.
    WallClock {
        /// The time now.
        wall: WallTime,
    },
    /// The time that [`Engine::poll_wake`](crate::Engine::poll_wake) named has come. Too early is harmless.
    Wake,

    /// The origin's response head came. Answers `Fetch`.
    Head {
        /// The fetch.
        op: OpId,
        /// The head.
        head: Arc<Head>,
    },
    /// No head will come. Answers `Fetch`.
    FetchFailed {
        /// The fetch.
        op: OpId,
        /// Why.
        failure: OriginFailure,
    },
    /// The next chunk of the origin's body. Answers `Pull`.
    Pulled {
        /// The pull.
        op: OpId,
        /// Not empty.
        #[serde(with = "crate::recording::size")]
        chunk: C,
    },
    /// The origin's body ended where it said it would. Answers `Pull`.
    PullEnded {
        /// The pull.
        op: OpId,
    },
    /// The origin's body broke off. Answers `Pull`.
    PullFailed {
        /// The pull.
        op: OpId,
        /// Why.
        failure: OriginFailure,
    },

    /// The tier holds the key; its record is open under the id that the effect named. Answers `Lookup`.
    Found {
        /// The lookup.
        op: OpId,
        /// What is stored.
        record: Record,
        /// The whole body, where the tier had it at hand: then no `Read` is needed.
        #[serde(with = "crate::recording::optional_size")]
        body: Option<C>,
    },
    /// The tier does not hold the key, or what it holds is rotten. Answers `Lookup`.
    Absent {
        /// The lookup.
        op: OpId,
    },
    /// The tier did not answer. Answers `Lookup`.
    LookupFailed {
        /// The lookup.
        op: OpId,
    },
    /// Bytes from a record or writer: at least one, at most as many as asked for. Answers `Read`.
    BodyRead {
        /// The read.
        op: OpId,
        /// Not empty.
        #[serde(with = "crate::recording::size")]
        chunk: C,
    },
    /// The bytes cannot be had. Answers `Read`.
    ReadFailed {
        /// The read.
        op: OpId,
        /// Why.
        why: ReadFailure,
    },
    /// The tier is ready for the writer's first chunk. Answers `Open`.
    Opened {
        /// The open.
        op: OpId,
    },
    /// The tier holds the chunk: it can be read back. Answers `Write`.
    Written {
        /// The write.
        op: OpId,
    },
    /// The record is whole and can be looked up. Answers `Commit`.
    Committed {
        /// The commit.
        op: OpId,
    },
    /// The tier has dealt with a new head. Answers `Freshen`.
    Freshened {
        /// The freshening.
        op: OpId,
        /// What became of it.
        freshening: Freshening,
    },
    /// The ban is kept: whoever starts after a crash is told of it. Answers `StoreBan`.
    BanStored {
        /// The ban's.
        op: OpId,
    },
    /// The tier refused. Answers `Open`, `Write`, `Commit`, `Freshen` or `StoreBan`.
    WriteFailed {
        /// Which.
        op: OpId,
    },
    /// The tier no longer holds it. Answers `Delete`.
    Deleted {
        /// The delete.
        op: OpId,
        /// Was it there?
        existed: bool,
    },
    /// The tier could not say. Answers `Delete`.
    DeleteFailed {
        /// The delete.
        op: OpId,
    },
    /// What the durable tier's index or blob store said. Answers `Durable` and `OpenBlob`; a failure, or no answer, is
    /// [`Told::Unknown`].
    #[serde(skip)]
    DurableTold {
        /// Which.
        op: OpId,
        /// The answer.
        told: Told,
    },
}
