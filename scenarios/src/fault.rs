//! The faults that a scenario may ask for.
//!
//! ```yaml
//! faults:
//!   partition_origin: {times: 2, for: [20ms, 400ms]}                     # drawn: when, how long, which edge
//!   edge_restarts: {at: 2s, for: 100ms, edge: 1}                         # fixed
//!   origin_truncates: [{percent: 100, object: 3, answer: 0}, {percent: 5}]   # several of one kind
//! ```

mod whom;

pub use whom::{Direction, Link, Which};

use crate::{Between, time::Millis};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value},
};
use std::{collections::BTreeMap, fmt};
use tiergate_engine::{ByteCount, TierId};

/// Each kind with its key, the tier without which it cannot befall, and the keys that it takes.
macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $key:literal, $tier:expr, [$($takes:ident),*];)+) => {
        /// What may go wrong. Each is off unless named, and is counted when it really hits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl FaultKind {
            /// Every kind, in the order in which they are reported.
            pub const ALL: [Self; [$($key),+].len()] = [$(Self::$name),+];

            /// Its key under `faults`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)+
                }
            }

            /// What it does.
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc, "\n"),+),)+
                }
            }

            /// The tier that the world must have for it to befall.
            pub const fn tier(self) -> Option<TierId> {
                match self {
                    $(Self::$name => $tier,)+
                }
            }

            /// The keys that it takes.
            pub const fn takes(self) -> &'static [FaultKey] {
                match self {
                    $(Self::$name => &[$(FaultKey::$takes),*],)+
                }
            }
        }
    };
}

faults! {
    /// The origin pauses before its head or in the middle of a body, for so long.
    OriginStalls = "origin_stalls", None, [Percent, For, Object, Answer];
    /// The origin breaks off in the middle of a body.
    OriginTruncates = "origin_truncates", None, [Percent, Object, Answer];
    /// The origin closes the connection instead of answering.
    OriginResets = "origin_resets", None, [Percent, Object, Answer];
    /// The origin answers 503, and says after how long it is worth asking again, if the file does.
    OriginErrors = "origin_errors", None, [Percent, Object, Answer, RetryAfter];
    /// The origin answers with a head that is malformed or too large, each time in one of some twenty ways,
    /// and closes the connection.
    OriginMalformed = "origin_malformed", None, [Percent, Object, Answer];
    /// The origin announces a length and sends less, and takes the answer for sent; or it sends more behind
    /// the answer, which looks like another one.
    OriginLies = "origin_lies", None, [Percent, Object, Answer];
    /// An edge and the origin cannot reach each other.
    PartitionOrigin = "partition_origin", None, [Times, At, For, Edge, Direction];
    /// An edge and the shared tier cannot reach each other.
    PartitionSharedTier = "partition_shared_tier", Some(TierId::L1), [Times, At, For, Edge, Direction];
    /// An edge and all clients cannot reach each other.
    PartitionClients = "partition_clients", None, [Times, At, For, Edge, Direction];
    /// What is sent over a link of an edge arrives so much later.
    LinkDelay = "link_delay", None, [Link, Times, At, For, Edge, Delay];
    /// Of what an edge sends over a link, so many of a hundred pieces are lost at first and sent again after
    /// 200 ms, as TCP does; what was sent after them waits for them.
    LinkLoss = "link_loss", None, [Link, Times, At, For, Edge, Percent];
    /// A link of an edge moves no more than so many bytes in a second towards whom it leads to.
    LinkSlow = "link_slow", None, [Link, Times, At, For, Edge, BytesPerSecond];
    /// A link of an edge stands still, and then delivers all that was sent meanwhile.
    LinkHold = "link_hold", None, [Link, Times, At, For, Edge];
    /// An edge loses its power and comes back. What its disk was told to write and not yet to sync is lost,
    /// torn or reordered, or it is there after all.
    EdgeRestarts = "edge_restarts", None, [Times, At, For, Edge];
    /// An edge's process is ended and started again, as for a new configuration: with another capacity of L2,
    /// if one is given. Its disk keeps its power, and loses nothing.
    EdgeRedeploys = "edge_redeploys", None, [Times, At, For, Edge, Capacity];
    /// An edge's process stands still while its clock goes on: nothing that it sends or hears moves, none of
    /// its engine's timers fires, and then all of it happens at once. Timers of single connections are as late
    /// as what they send is; what its disk answers is heard.
    EdgePauses = "edge_pauses", None, [Times, At, For, Edge];
    /// An edge's calendar jumps ahead by so much, and stays there.
    ClockAhead = "clock_ahead", None, [Times, At, Edge, By];
    /// An edge's calendar jumps back by so much, and stays there.
    ClockBack = "clock_back", None, [Times, At, Edge, By];
    /// The shared tier is killed and comes back empty.
    SharedTierRestarts = "shared_tier_restarts", Some(TierId::L1), [Times, At, For];
    /// The shared tier answers late.
    SharedTierSlow = "shared_tier_slow", Some(TierId::L1), [Times, At, For, Delay];
    /// The shared tier drops so many of a hundred keys, as one does that has no room.
    SharedTierEvicts = "shared_tier_evicts", Some(TierId::L1), [Times, At, Percent];
    /// The shared tier gives a value without its last bytes, and with a length that fits what it gives.
    SharedTierTruncates = "shared_tier_truncates", Some(TierId::L1), [Times, At, For, Percent];
    /// The shared tier answers with an error, as one does that is loading, busy or out of memory.
    SharedTierErrors = "shared_tier_errors", Some(TierId::L1), [Times, At, For, Percent];
    /// The shared tier closes the connection in the middle of an answer.
    SharedTierResets = "shared_tier_resets", Some(TierId::L1), [Times, At, For, Percent];
    /// The durable tier's store of bodies answers nothing for so long.
    BlobsSilent = "blobs_silent", Some(TierId::L3), [Times, At, For];
    /// The durable tier's store of bodies fails so many of a hundred operations, as one that is throttled.
    BlobsFail = "blobs_fail", Some(TierId::L3), [Times, At, For, Percent];
    /// An edge's disk answers late, and its page cache holds nothing.
    DiskSlow = "disk_slow", Some(TierId::L2), [Times, At, For, Edge, Delay];
    /// An edge's disk fails so many of a hundred reads and writes (`EIO`).
    DiskErrors = "disk_errors", Some(TierId::L2), [Times, At, For, Edge, Percent];
    /// An edge's disk is full: every write fails (`ENOSPC`).
    DiskFull = "disk_full", Some(TierId::L2), [Times, At, For, Edge];
    /// In so many of a hundred written sectors of an edge's disk one bit turns over, for good.
    DiskRot = "disk_rot", Some(TierId::L2), [Times, At, Edge, Percent];
    /// A disk's sync fails, and what it was to make durable is lost with the power.
    DiskSyncFails = "disk_sync_fails", Some(TierId::L2), [Percent];
    /// A disk's read gives fewer bytes than asked for.
    DiskShortReads = "disk_short_reads", Some(TierId::L2), [Percent];
}

/// A key of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
pub enum FaultKey {
    /// How many in one seed, 1 to 100, at moments that are drawn evenly from the time until `faults_until`.
    Times,
    /// One, at this moment, before `faults_until`. Instead of `times`.
    At,
    /// How long each lasts, at least 1ms; one that comes and goes ends at `faults_until` at the latest.
    For,
    /// Of how many of a hundred answers, operations or keys. 1 to 100.
    Percent,
    /// How much later. At least 1ms.
    Delay,
    /// By how much. 1ms to 1min.
    By,
    /// What `cache.l2.capacity` is from then on. 16MiB to 256MiB. Default: as it was.
    Capacity,
    /// Which link of the edge: `origin`, `shared_tier` or `clients`.
    Link,
    /// How many bytes may pass in a second. At least 1KiB.
    BytesPerSecond,
    /// Which edge, from 0, or `all`. Default: one is drawn.
    Edge,
    /// Which way is cut: `both` (default), `out` (what the edge sends is lost) or `in` (what is sent to it).
    Direction,
    /// Only answers about this object, from 0.
    Object,
    /// Only the answer with this number, from 0, of those about `object`.
    Answer,
    /// What `Retry-After` says, in whole seconds, at most 10min. Default: nothing.
    RetryAfter,
}

impl FaultKey {
    /// Every key.
    pub const ALL: [Self; 14] = [
        Self::Times,
        Self::At,
        Self::For,
        Self::Percent,
        Self::Delay,
        Self::By,
        Self::Capacity,
        Self::Link,
        Self::BytesPerSecond,
        Self::Edge,
        Self::Direction,
        Self::Object,
        Self::Answer,
        Self::RetryAfter,
    ];

    /// May it be left out by who takes it? Of `times` and `at` one must be there.
    pub const fn is_optional(self) -> bool {
        match self {
            Self::Times
            | Self::At
            | Self::Capacity
            | Self::Edge
            | Self::Direction
            | Self::Object
            | Self::Answer
            | Self::RetryAfter => true,
            Self::For | Self::Percent | Self::Delay | Self::By | Self::Link | Self::BytesPerSecond => false,
        }
    }

    /// What its value may be.
    pub const fn bound(self) -> &'static str {
        match self {
            Self::Times => "1 to 100",
            Self::At => "a time before `faults_until`",
            Self::For => "a time, or two in order, of at least 1ms",
            Self::Percent => "1 to 100",
            Self::Delay => "a time, or two in order, of at least 1ms",
            Self::By => "a time, or two in order, from 1ms to 1min",
            Self::Capacity => "16MiB to 256MiB",
            Self::Link => "`origin`, `shared_tier` or `clients`",
            Self::BytesPerSecond => "1KiB or more",
            Self::Edge => "the number of an edge, or `all`",
            Self::Direction => "`both`, `out` or `in`",
            Self::Object => "the number of an object",
            Self::Answer => "the number of an answer",
            Self::RetryAfter => "a time in whole seconds, up to 10min",
        }
    }

    /// As a file has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Times => "times",
            Self::At => "at",
            Self::For => "for",
            Self::Percent => "percent",
            Self::Delay => "delay",
            Self::By => "by",
            Self::Capacity => "capacity",
            Self::Link => "link",
            Self::BytesPerSecond => "bytes_per_second",
            Self::Edge => "edge",
            Self::Direction => "direction",
            Self::Object => "object",
            Self::Answer => "answer",
            Self::RetryAfter => "retry_after",
        }
    }
}

/// What a file says of one fault, or of one kind that is drawn several times. Which keys a kind takes, it
/// says itself ([`FaultKind::takes`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is documented at its namesake in `FaultKey`")]
pub struct RawFault {
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub times: Option<u32>,
    pub at: Option<Millis>,
    pub r#for: Option<Between<Millis>>,
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub percent: Option<u8>,
    pub delay: Option<Between<Millis>>,
    pub by: Option<Between<Millis>>,
    pub capacity: Option<ByteCount>,
    pub link: Option<Link>,
    pub bytes_per_second: Option<ByteCount>,
    pub edge: Option<Which>,
    pub direction: Option<Direction>,
    pub object: Option<u32>,
    pub answer: Option<u32>,
    pub retry_after: Option<Millis>,
}

impl RawFault {
    /// Is the key there?
    pub(crate) const fn has(&self, key: FaultKey) -> bool {
        match key {
            FaultKey::Times => self.times.is_some(),
            FaultKey::At => self.at.is_some(),
            FaultKey::For => self.r#for.is_some(),
            FaultKey::Percent => self.percent.is_some(),
            FaultKey::Delay => self.delay.is_some(),
            FaultKey::By => self.by.is_some(),
            FaultKey::Capacity => self.capacity.is_some(),
            FaultKey::Link => self.link.is_some(),
            FaultKey::BytesPerSecond => self.bytes_per_second.is_some(),
            FaultKey::Edge => self.edge.is_some(),
            FaultKey::Direction => self.direction.is_some(),
            FaultKey::Object => self.object.is_some(),
            FaultKey::Answer => self.answer.is_some(),
            FaultKey::RetryAfter => self.retry_after.is_some(),
        }
    }
}

/// What `faults` says: of each kind, one or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawFaults(pub(crate) BTreeMap<FaultKind, Vec<RawFault>>);

/// A fault that holds together. What its kind does not take is at its default, and means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is documented at its namesake in `FaultKey`")]
pub struct Fault {
    pub when: When,
    pub for_ms: Between<u64>,
    pub percent: u8,
    pub delay_ms: Between<u64>,
    pub by_ms: Between<u64>,
    pub capacity: Option<ByteCount>,
    pub link: Link,
    pub bytes_per_second: u64,
    pub edge: Which,
    pub direction: Direction,
    pub object: Option<u32>,
    pub answer: Option<u32>,
    pub retry_after_s: Option<u64>,
}

impl Fault {
    /// One that befalls so many of a hundred answers or operations.
    pub const fn of_percent(percent: u8) -> Self {
        let nothing = Between(0, 0);
        Self {
            when: When::Always,
            for_ms: nothing,
            percent,
            delay_ms: nothing,
            by_ms: nothing,
            capacity: None,
            link: Link::Origin,
            bytes_per_second: 0,
            edge: Which::Drawn,
            direction: Direction::Both,
            object: None,
            answer: None,
            retry_after_s: None,
        }
    }

    /// How often it befalls at a moment, at most, on one edge.
    pub const fn times(&self) -> u32 {
        match self.when {
            When::Drawn(times) => times,
            When::At(_) => 1,
            When::Always => 0,
        }
    }

    /// Is it about this answer of the origin?
    pub fn is_of(&self, object: u32, answer: u32) -> bool {
        self.object.is_none_or(|only| only == object) && self.answer.is_none_or(|only| only == answer)
    }
}

/// When a fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So often, at drawn moments.
    Drawn(u32),
    /// Once, so many milliseconds after the world's beginning.
    At(u64),
    /// With each answer or operation that it befalls.
    Always,
}

/// What goes wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub(crate) BTreeMap<FaultKind, Vec<Fault>>);

impl Faults {
    /// Those of one kind.
    pub fn of(&self, kind: FaultKind) -> &[Fault] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Does the scenario ask for this kind?
    pub fn names(&self, kind: FaultKind) -> bool {
        self.0.contains_key(&kind)
    }

    /// With this one more.
    #[must_use]
    pub fn with(mut self, kind: FaultKind, fault: Fault) -> Self {
        self.0.entry(kind).or_default().push(fault);
        self
    }

    /// Takes this kind out.
    pub fn forget(&mut self, kind: FaultKind) {
        self.0.remove(&kind);
    }

    /// Each fault with its kind.
    pub fn iter(&self) -> impl Iterator<Item = (FaultKind, &Fault)> {
        self.0.iter().flat_map(|(kind, faults)| faults.iter().map(|fault| (*kind, fault)))
    }
}

impl<'de> Deserialize<'de> for FaultKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            de::Error::custom(format_args!("no fault is called `{name}`: there are {known}"))
        })
    }
}

impl<'de> Deserialize<'de> for RawFaults {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kinds = BTreeMap::<FaultKind, OneOrMany>::deserialize(deserializer)?;
        Ok(Self(kinds.into_iter().map(|(kind, OneOrMany(faults))| (kind, faults)).collect()))
    }
}

struct OneOrMany(Vec<RawFault>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a fault's keys in braces, or a list of such")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany, A::Error> {
                let one = RawFault::deserialize(value::MapAccessDeserializer::new(map))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<OneOrMany, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(seq)).map(OneOrMany)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
