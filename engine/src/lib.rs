//! Every caching decision of Tiergate, as one state machine without I/O.
//!
//! Start at [`Engine`]: inputs go in through one door, effects and events come out of two. The engine reads no clock, no
//! socket and no chance but its seed; same configuration, seed and inputs give the same effects and events, to the
//! byte. `examples/drive.rs` is a whole driver on one page.

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

mod agenda;
mod answer;
mod bans;
mod chunk;
mod config;
pub mod durable;
mod effect;
mod event;
mod eviction;
pub mod feed;
pub mod format;
mod head;
mod hits;
mod id;
mod input;
mod key;
mod lane;
mod machine;
mod memory;
mod plant;
mod random;
mod reason;
mod record;
mod recording;
mod resilience;
mod rules;
mod selector;
mod space;
pub mod store;
mod table;
mod time;
mod units;

pub use answer::Answer;
pub use bans::{BANS_MAX, Ban, Bans};
pub use chunk::{Blank, BytesDigest, Chunk, Symbol, SymbolDigest};
pub use config::{
    Config, ConfigError, Eviction, Objective, OnAbandon, OnFull, Promotion, RawBreaker, RawCollapse,
    RawConfig, RawDeadline, RawDiskTier, RawDurableTier, RawEviction, RawFill, RawHedge, RawHttp,
    RawMemoryTier, RawPromotion, RawResilience, RawRetry, RawSharedTier,
};
pub use effect::{Effect, Freshening, Outcome, PurgeOutcome, ReadSource, Reply, ReplyBody, StaleUse};
pub use event::{
    CopyEvent, DurableEvent, Event, FetchEnd, FetchEvent, FillVerdict, PurgeEvent, Purpose, RequestEvent,
    ResidenceEvent, ResilienceEvent, TierOperation,
};
pub use head::{Fields, Head, Length, Method, RequestHead};
pub use id::{
    FillId, OpId, OriginId, PromotionId, PurgeId, RecordId, RecordName, RequestId, TierId, WriterId,
};
pub use input::Input;
pub use key::{CacheKey, StoredKey};
pub use machine::{Audit, Engine, WakeReason};
pub use memory::Resident;
pub use plant::Fault;
pub use random::{Random, Seed};
pub use reason::{
    AbortReason, Bypass, Dependency, End, LaneEnd, Late, MissReason, NotStorable, OriginFailure, ReadFailure,
    Refusal, Rejection, Removal, Storable,
};
pub use record::{Freshness, Record, StoredFreshness};
pub use resilience::{attempts::GiveUp, breaker::BreakerState};
pub use rules::{
    ChangedValidator, ClientDirectives, Heuristic, NamedFields, Policy, SetCookie, hop, http_date,
    invalidated_keys,
};
pub use selector::{
    PREFIX_BYTES_MAX, Prefix, PurgeMode, Selector, SelectorError, SelectorKind, TAG_BYTES_MAX, Tag,
};
pub use store::{BytesWritten, LogIndex};
pub use time::{Instant, WallTime};
pub use units::ByteCount;
