//! What the world tells the engine.

use crate::{
    feed::Notice,
    language::{
        answer::Answer,
        chunk::Chunk,
        head::{Head, RequestHead},
        id::{OpId, OriginId, PurgeId, RequestId, TierId},
        key::CacheKey,
        selector::{PurgeMode, Selector},
        time::{Instant, WallTime},
        units::ByteCount,
    },
    parts::bans::Ban,
};
use alloc::{sync::Arc, vec::Vec};
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
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
    Demand { request: RequestId },
    /// A client left, or read to the end. Unknown and finished requests are ignored.
    Leave { request: RequestId },
    /// Remove what `selector` covers, or count it as stale, everywhere, and let nothing that began before
    /// publish.
    Purge {
        /// The driver's name for it.
        purge: PurgeId,
        /// What it is about.
        selector: Selector,
        /// What happens to that.
        mode: PurgeMode,
    },
    /// The answer to a request that was passed is on its way to its client, and its body could be handed over
    /// here as well. What it makes stale of its own target is purged, as by `Purge`. Does the engine want to
    /// keep it, it says [`Effect::Adopt`](crate::Effect::Adopt) before its next input.
    AnsweredAround {
        /// The driver's name for the purge.
        purge: PurgeId,
        /// What [`CacheKey::of`] makes of the request.
        key: CacheKey,
        /// Who answered.
        origin: OriginId,
        /// The request, as it was passed.
        request: Arc<RequestHead>,
        /// The answer.
        response: Arc<Head>,
        /// When the request was about to be sent, on the driver's clock and on the calendar.
        sent: (Instant, WallTime),
    },
    /// Another edge purged, as the feed has it. What is in the stores that edges share, it has purged there
    /// itself.
    RemotePurge { notice: Notice },
    /// The feed no longer has what other edges purged until then.
    PurgesMissed {
        /// When the last of those purges was asked for.
        through: WallTime,
    },
    /// The feed was read to its end: all that was purged elsewhere is known here, but for what is younger
    /// than the lease.
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
    /// A local tier can be asked from now on. Once in the life of an engine; until then nothing is looked up
    /// or stored there, but deletes are sent to it.
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
    /// The answer to an effect. Each effect with an `op` is answered once.
    Answer {
        /// The effect's.
        op: OpId,
        /// What came of it.
        answer: Answer<C>,
    },
}
