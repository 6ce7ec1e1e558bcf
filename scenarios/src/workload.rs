//! What the clients of a scenario do.

use crate::time::{self, Millis};
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor, value},
};
use std::fmt;
use tiergate_engine::ByteCount;

/// What the clients do.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Requests of one seed, purges included: how many, 1 to 100000, spread over the time until
    /// `faults_until` and a quarter more; or each of them, as a list.
    pub requests: Requests,
    /// Requests that one client host has under way at most, where they are drawn. 1 to 64. Default 1.
    #[serde(default = "one")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
    pub streams: u32,
    /// How uneven the objects' popularity is. Default `even`.
    #[serde(default)]
    pub popularity: Popularity,
    /// How many of a hundred requests come together with others, for one object at one moment.
    #[serde(default)]
    pub herd_percent: u8,
    /// How many of a hundred clients leave in the middle of a body.
    #[serde(default)]
    pub leave_percent: u8,
    /// How many of a hundred clients pause while they read.
    #[serde(default)]
    pub slow_percent: u8,
    /// How many of a hundred requests are purges.
    #[serde(default)]
    pub purge_percent: u8,
    /// Of what they are, each as often. Default `[key]`.
    #[serde(default = "by_key")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub purges: Vec<PurgeOf>,
    /// How many of a hundred purges are sent to every edge at once.
    #[serde(default)]
    pub purge_everywhere_percent: u8,
    /// How many of a hundred requests want the head alone (`HEAD`).
    #[serde(default)]
    pub head_percent: u8,
    /// How many of a hundred requests want a part of the body (`Range`).
    #[serde(default)]
    pub range_percent: u8,
    /// How many of a hundred requests ask whether what they have is still right (`If-None-Match`), where
    /// their client has got the object before.
    #[serde(default)]
    pub conditional_percent: u8,
    /// How many of a hundred requests come over HTTP/2.
    #[serde(default)]
    pub http2_percent: u8,
    /// How many of a hundred requests come over TLS.
    #[serde(default)]
    pub tls_percent: u8,
    /// How many of a hundred requests are a `POST`, which changes the object.
    #[serde(default)]
    pub post_percent: u8,
    /// How many of a hundred requests are odd: malformed, each in a way that has a status of its own, or in a
    /// form that is right and rare.
    #[serde(default)]
    pub odd_percent: u8,
    /// How many of a hundred requests go to the admin listener: purges as forms, and instead of others looks at
    /// what is stored, and mistakes, each of which has a status of its own.
    #[serde(default)]
    pub admin_percent: u8,
    /// How long a client waits for the whole of a response. 1ms to 10min.
    #[serde(rename = "timeout", deserialize_with = "time::ms")]
    #[cfg_attr(feature = "schema", schemars(with = "Millis"))]
    pub timeout_ms: u64,
}

impl Workload {
    /// Each share of requests with its key.
    pub fn percents(&self) -> [(&'static str, u8); 13] {
        [
            ("herd_percent", self.herd_percent),
            ("leave_percent", self.leave_percent),
            ("slow_percent", self.slow_percent),
            ("purge_percent", self.purge_percent),
            ("purge_everywhere_percent", self.purge_everywhere_percent),
            ("head_percent", self.head_percent),
            ("range_percent", self.range_percent),
            ("conditional_percent", self.conditional_percent),
            ("http2_percent", self.http2_percent),
            ("tls_percent", self.tls_percent),
            ("post_percent", self.post_percent),
            ("odd_percent", self.odd_percent),
            ("admin_percent", self.admin_percent),
        ]
    }

    /// Takes this habit out, by its key.
    pub fn forget(&mut self, key: &str) {
        let share = match key {
            "herd_percent" => &mut self.herd_percent,
            "leave_percent" => &mut self.leave_percent,
            "slow_percent" => &mut self.slow_percent,
            "purge_percent" => &mut self.purge_percent,
            "purge_everywhere_percent" => &mut self.purge_everywhere_percent,
            "head_percent" => &mut self.head_percent,
            "range_percent" => &mut self.range_percent,
            "conditional_percent" => &mut self.conditional_percent,
            "http2_percent" => &mut self.http2_percent,
            "tls_percent" => &mut self.tls_percent,
            "post_percent" => &mut self.post_percent,
            "odd_percent" => &mut self.odd_percent,
            "admin_percent" => &mut self.admin_percent,
            other => unreachable!("{other} is no habit"),
        };
        *share = 0;
    }
}

fn one() -> u32 {
    1
}

fn by_key() -> Vec<PurgeOf> {
    vec![PurgeOf::Key]
}

/// The requests of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requests {
    /// So many, all drawn.
    Drawn(u32),
    /// These.
    Given(Vec<Request>),
}

/// One request, as a list has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// When, after the world's beginning. Edges are up after 10ms.
    pub at: Millis,
    /// Which client host, from 0. Default 0.
    #[serde(default)]
    pub client: u32,
    /// Which of its streams, from 0: what is in one stream waits for what is before it. Default: its own.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(max = 63)))]
    pub stream: Option<u32>,
    /// Which edge, from 0. Default 0.
    #[serde(default)]
    pub edge: u32,
    /// For which object, from 0.
    pub object: u32,
    /// It leaves once it has so many bytes.
    #[serde(default)]
    pub leaves_after: Option<ByteCount>,
    /// It pauses so long before each piece.
    #[serde(default)]
    pub pauses: Option<Millis>,
    /// It wants to purge: the object, or what it stands for.
    #[serde(default)]
    pub purge: Option<PurgeOf>,
    /// It is a purge, and is sent to every edge at once.
    #[serde(default)]
    pub everywhere: bool,
    /// It wants the head alone.
    #[serde(default)]
    pub head: bool,
    /// It wants these bytes: the first and the last, from 0.
    #[serde(default)]
    pub range: Option<(u64, u64)>,
    /// It asks whether what its client has got last is still right.
    #[serde(default)]
    pub conditional: bool,
    /// It is a `POST`.
    #[serde(default)]
    pub post: bool,
    /// It is the odd request with this number, from 0 to 86: those from 52 on are of HTTP/2.
    #[serde(default)]
    pub odd: Option<u8>,
    /// It goes to the admin listener: a purge as a form, and what is no purge as the request with this number,
    /// from 0 to 28.
    #[serde(default)]
    pub admin: Option<u8>,
    /// It comes over HTTP/2.
    #[serde(default)]
    pub http2: bool,
    /// It comes over TLS.
    #[serde(default)]
    pub tls: bool,
    /// In which of the three languages, from 0. Default 0.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(max = 2)))]
    pub language: u8,
}

/// How many odd requests there are.
pub const ODD_REQUESTS: usize = 87;

/// How many requests to the admin listener there are.
pub const ADMIN_REQUESTS: usize = 29;

/// What a purge is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum PurgeOf {
    /// One object, with its variants.
    Key,
    /// One object, with its variants: it is stale from then on, not gone.
    SoftKey,
    /// What has the object's tag.
    Tag,
    /// What has the object's tag: stale from then on, not gone.
    SoftTag,
    /// Every object whose number is from the same ten.
    Prefix,
    /// Every object whose number is from the same ten: stale from then on, not gone.
    SoftPrefix,
    /// Everything.
    All,
    /// Everything: stale from then on, not gone.
    SoftAll,
}

impl PurgeOf {
    /// As a file has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::SoftKey => "soft_key",
            Self::Tag => "tag",
            Self::SoftTag => "soft_tag",
            Self::Prefix => "prefix",
            Self::SoftPrefix => "soft_prefix",
            Self::All => "all",
            Self::SoftAll => "soft_all",
        }
    }

    /// Is it of a tag?
    pub const fn is_of_tag(self) -> bool {
        matches!(self, Self::Tag | Self::SoftTag)
    }

    /// Does what it covers stay, as stale?
    pub const fn is_soft(self) -> bool {
        matches!(self, Self::SoftKey | Self::SoftTag | Self::SoftPrefix | Self::SoftAll)
    }
}

/// How uneven the objects' popularity is. The shares need only exact arithmetic, so that every machine draws
/// alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Popularity {
    /// All alike.
    #[default]
    Even,
    /// The n-th gets a share of 1/√n.
    Mild,
    /// The n-th gets a share of 1/n.
    Zipf,
}

impl<'de> Deserialize<'de> for Requests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountOrList;
        impl<'de> Visitor<'de> for CountOrList {
            type Value = Requests;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of requests, or a list of them")
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Requests, E> {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                Ok(Requests::Drawn(count))
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Requests, E> {
                let wrong =
                    || E::custom(format_args!("`{count}` is no number of requests: that is 1 to 100000,"));
                u64::try_from(count).map_err(|_| wrong()).and_then(|count| self.visit_u64(count))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Requests, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(seq)).map(Requests::Given)
            }
        }
        deserializer.deserialize_any(CountOrList)
    }
}
