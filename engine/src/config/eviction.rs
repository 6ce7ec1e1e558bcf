//! Who leaves a tier when room is needed, and what that is to spare.

use alloc::{format, string::String};
use core::fmt;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// Who leaves a tier when room is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Eviction {
    /// Whoever was used least recently.
    Lru,
    /// SIEVE (NSDI 2024): the oldest that was not used since the hand last passed.
    Sieve,
    /// S3-FIFO (SOSP 2023): newcomers, unless they are used twice. Admits nothing larger than a tenth of the
    /// capacity.
    #[serde(rename = "s3fifo")]
    S3Fifo,
    /// W-TinyLFU (TOS 2017): newcomers, unless they were seen more often than whoever would go for them.
    #[serde(rename = "wtinylfu")]
    WTinyLfu,
    /// Greedy-Dual-Size-Frequency (HPL-98-69R1): whoever was used least, per byte if requests are to be
    /// spared.
    Gdsf,
    /// The same with a memory of what left, and a queue for newcomers if bytes are to be spared.
    #[default]
    GhostGdsf,
}

impl Eviction {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Lru, Self::Sieve, Self::S3Fifo, Self::WTinyLfu, Self::Gdsf, Self::GhostGdsf];

    /// Its name in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::Sieve => "sieve",
            Self::S3Fifo => "s3fifo",
            Self::WTinyLfu => "wtinylfu",
            Self::Gdsf => "gdsf",
            Self::GhostGdsf => "ghost_gdsf",
        }
    }

    /// The policy of a name.
    ///
    /// # Errors
    /// The text again, with the names that are known.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is not a policy: write one of {known}")
        })
    }
}

/// What evictions are to spare. Policies that do not look at sizes do the same for either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Misses, each as bad as another: many small objects stay rather than few large ones.
    Requests,
    /// Bytes of misses: an object is worth what it is used, whatever its size.
    Bytes,
}

impl Objective {
    /// The objective of a name.
    ///
    /// # Errors
    /// The text again, with the names that are known.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "requests" => Ok(Self::Requests),
            "bytes" => Ok(Self::Bytes),
            _ => Err(format!("`{text}` is not an objective: write requests or bytes")),
        }
    }
}

/// `eviction` of a tier: the name of a policy, or `{policy, objective}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RawEviction {
    /// Default `ghost_gdsf`.
    pub policy: Eviction,
    /// Default `requests`.
    pub objective: Option<Objective>,
}

impl From<Eviction> for RawEviction {
    fn from(policy: Eviction) -> Self {
        Self { policy, objective: None }
    }
}

impl<'de> Deserialize<'de> for RawEviction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrMap)
    }
}

struct NameOrMap;

/// [`RawEviction`] as a map.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "EvictionMap"))]
#[serde(deny_unknown_fields)]
pub(super) struct Map {
    /// Who leaves.
    #[serde(default)]
    policy: Eviction,
    /// What that is to spare. Default `requests`.
    #[serde(default)]
    objective: Option<Objective>,
}

impl<'de> Visitor<'de> for NameOrMap {
    type Value = RawEviction;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of a policy, or a map of `policy` and `objective`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RawEviction, E> {
        Eviction::parse(text).map(RawEviction::from).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawEviction, A::Error> {
        let Map { policy, objective } = Map::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RawEviction { policy, objective })
    }
}
