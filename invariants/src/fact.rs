//! What a checker is shown: the engine's events, and what the world outside it did and saw.
//!
//! Whoever drives an engine makes the facts; checkers never look inside. A simulated world knows more than
//! any cache could: which versions its origin served, and which bytes its clients got.

use tiergate_engine::{Audit, CacheKey, Event, Instant, PurgeId, RequestId};

/// One fact, with who it concerns.
#[derive(Clone, Debug)]
pub struct Fact {
    /// When, on the world's clock.
    pub at: Instant,
    /// What happened.
    pub what: What,
}

/// Which edge, numbered from 0. A restarted edge keeps its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge(pub u32);

/// One version of what the origin serves under a key, numbered from 1 and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// An engine did something.
    Engine {
        /// The edge whose engine it is.
        edge: Edge,
        /// The shard of that edge, from 0.
        shard: u32,
        /// The event that the engine emitted.
        event: Event,
    },
    /// An edge started, for the first time or again; whatever it held in memory is gone, its open requests
    /// ended.
    EdgeStarted {
        /// The edge.
        edge: Edge,
    },
    /// An edge stopped without warning.
    EdgeCrashed {
        /// The edge.
        edge: Edge,
    },
    /// The origin will serve this version of a key from now on.
    Published {
        /// The key.
        key: CacheKey,
        /// Its new version.
        version: Version,
        /// The length of its body.
        length: u64,
        /// May a shared cache store it?
        storable: bool,
        /// How long it may be used once served, in nanoseconds.
        lifetime_ns: u64,
    },
    /// The origin began to answer a request with this version.
    OriginAnswered {
        /// The edge that asked.
        edge: Edge,
        /// The key that was asked for.
        key: CacheKey,
        /// The version that the answer carries.
        version: Version,
    },
    /// A client sent a request.
    ClientAsked {
        /// The world's number for it, unlike any other.
        ask: u64,
        /// The edge that was asked.
        edge: Edge,
        /// The key that was asked for.
        key: CacheKey,
        /// The engine's name for it, where the world knows it.
        request: Option<RequestId>,
    },
    /// A client's request ended.
    ClientGot {
        /// The world's number of the request.
        ask: u64,
        /// The edge that was asked.
        edge: Edge,
        /// The key that was asked for.
        key: CacheKey,
        /// How it ended, as the client saw it.
        got: Got,
    },
    /// A client asked an edge to purge a key.
    PurgeAsked {
        /// The edge that was asked.
        edge: Edge,
        /// The driver's name for it, where the world knows it.
        purge: Option<PurgeId>,
        /// The key that is purged.
        key: CacheKey,
    },
    /// The edge said that the purge is done and every tier confirmed.
    PurgeConfirmed {
        /// The edge that was asked.
        edge: Edge,
        /// The key that is purged.
        key: CacheKey,
        /// The newest version that the origin had published when the purge was *asked*: only what is older
        /// than the next one can be stale because of this purge.
        newest_when_asked: Version,
        /// When it was asked.
        asked_at: Instant,
    },
    /// What an edge holds open at the moment.
    Audited {
        /// The edge that was asked.
        edge: Edge,
        /// What it holds.
        open: Audit,
    },
    /// The faults are over: from now on everything must come to an end.
    Healed,
    /// The run is over; this is what an edge still holds open.
    Settled {
        /// The edge that was asked.
        edge: Edge,
        /// What it holds.
        open: Audit,
    },
}

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// A response that ended as its framing announced.
    Whole {
        /// Its status.
        status: u16,
        /// The `Age` it carried, in seconds.
        age: Option<u64>,
        /// The body, as spans of versions, neighbours joined.
        spans: Vec<Span>,
    },
    /// A response that visibly broke off.
    Broken,
    /// No response at all: refused, reset, or timed out.
    Nothing,
    /// The client itself went away.
    Left,
}

/// A run of bytes that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose they are; `None` for bytes that no origin ever served.
    pub of: Option<(CacheKey, Version)>,
    /// Where in that version they stand.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
}
