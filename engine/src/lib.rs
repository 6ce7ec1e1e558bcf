//! Every caching decision of Tiergate, as one state machine without I/O.
//!
//! Start at [`Engine`]: inputs go in one way, effects and events come out two ways. The engine reads
//! no clock, no socket and no chance but its seed; same configuration, seed and inputs give the same effects
//! and events, to the byte. `examples/drive.rs` is a whole driver on one page.

#![no_std]
#![forbid(unsafe_code)]
// A new variant must stop the build wherever it matters, and a function fits a screen.
#![cfg_attr(
    not(test),
    deny(
        clippy::wildcard_enum_match_arm,
        clippy::match_wildcard_for_single_variants,
        clippy::too_many_lines
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod config;
pub mod durable;
pub mod feed;
pub mod format;
mod language;
mod machine;
mod parts;
mod plant;
mod resilience;
mod rules;
pub mod store;

pub use config::{
    Config, ConfigError, Eviction, Objective, OnAbandon, OnFull, OnRange, Promotion, RawBreaker, RawCollapse,
    RawConfig, RawDeadline, RawDiskTier, RawDurableTier, RawEviction, RawFill, RawHedge, RawHttp,
    RawMemoryTier, RawPromotion, RawResilience, RawRetry, RawSharedTier,
};
pub use language::answer::Answer;
pub use language::chunk::{Blank, BytesDigest, Chunk, Symbol, SymbolDigest};
pub use language::effect::{
    Effect, Freshening, Outcome, PurgeOutcome, ReadSource, Reply, ReplyBody, StaleUse,
};
pub use language::event::{
    CopyEvent, DurableEvent, Event, FetchEnd, FetchEvent, FillVerdict, NotAdopted, PurgeEvent, Purpose,
    RequestEvent, ResidenceEvent, ResilienceEvent, TierOperation,
};
pub use language::head::{Fields, Head, Length, Method, RequestHead};
pub use language::id::{
    FillId, OpId, OriginId, PromotionId, PurgeId, RecordId, RecordName, RequestId, TierId, WriterId,
};
pub use language::input::Input;
pub use language::key::{CacheKey, StoredKey};
pub use language::reason::{
    AbortReason, Bypass, Dependency, DurableStore, End, LaneEnd, Late, MissReason, NotStorable,
    OriginFailure, ReadFailure, Refusal, Rejection, Removal, Storable,
};
pub use language::record::{Freshness, Record, StoredFreshness};
pub use language::resident::Resident;
pub use language::selector::{
    PREFIX_BYTES_MAX, Prefix, PurgeMode, Selector, SelectorError, SelectorKind, TAG_BYTES_MAX, Tag,
};
pub use language::time::{Instant, WallTime};
pub use language::units::ByteCount;
pub use machine::{Audit, Engine, Inspected, Known, WakeReason};
pub use parts::bans::{BANS_MAX, Ban, Bans};
pub use parts::random::{Random, Seed};
pub use plant::Fault;
pub use resilience::{
    attempts::{GiveUp, RetryWhen},
    breaker::{BreakerCount, BreakerState},
};
pub use rules::{
    ChangedValidator, ClientDirectives, CookieHeuristic, Heuristic, NamedFields, Policy, SetCookie, hop,
    http_date, invalidated_keys, may_answer_gets,
};
pub use store::{BytesWritten, LogIndex};
