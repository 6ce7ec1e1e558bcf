//! What is known of one URL in every tier, as an operator reads it: one JSON object.

use crate::purging::{WishError, key_of};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;
use tiergate_driver::{Driver, InTier, Inspection, World};
use tiergate_engine::{ByteCount, CacheKey, Head, Inspected, Record, StoredKey, WallTime};

/// Whose key `GET /object?url=` asks for.
pub(crate) fn asked_of(query: &str) -> Result<CacheKey, WishError> {
    let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
    match (pairs.next().and_then(|pair| pair.strip_prefix("url=")), pairs.next()) {
        (Some(url), None) => key_of(url),
        (None, _) | (Some(_), Some(_)) => Err(WishError::OneUrl),
    }
}

/// What is known of it.
pub(crate) async fn inspect<W: World>(driver: &Driver<W>, key: CacheKey) -> Bytes {
    let inspection = driver.inspect(key).await;
    let mut json = serde_json::to_vec(&Told::of(key, &inspection)).expect("numbers and text are JSON");
    json.push(b'\n');
    json.into()
}

/// The answer. Times are in whole seconds.
#[derive(Debug, PartialEq, Serialize)]
struct Told {
    key: String,
    /// The request fields on which its responses depend, as far as is known.
    varies_on: Vec<String>,
    /// Lookups and fetches under way.
    fills: usize,
    /// Could the last answer not be stored?
    uncacheable: bool,
    l0: Vec<Response>,
    #[serde(flatten)]
    tiers: BTreeMap<&'static str, Seen>,
}

/// What a byte tier says.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Seen {
    /// It has these.
    Responses(Vec<Response>),
    /// Why it could not say.
    Problem(String),
}

#[derive(Debug, PartialEq, Serialize)]
struct Response {
    /// Its own key, if it is one variant of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    /// Nothing for a marker, which says what the target's responses depend on.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    bytes: u64,
    age: u64,
    fresh_for: u64,
    /// The field `Vary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    vary: Option<String>,
    /// May it be used without asking the origin? Only L0 can say: what else is found is judged when it is
    /// used.
    #[serde(skip_serializing_if = "Option::is_none")]
    usable: Option<bool>,
}

impl Told {
    fn of(key: CacheKey, inspection: &Inspection) -> Self {
        let Inspection { at, engine, tiers } = inspection;
        let tiers = tiers.iter().map(|(tier, seen)| (tier.as_str(), Seen::of(seen, *at)));
        Self {
            key: key.to_string(),
            varies_on: engine.varies_on.iter().map(ToString::to_string).collect(),
            fills: engine.fills,
            uncacheable: engine.is_uncacheable,
            l0: engine.resident.iter().map(|(at, inspected)| Response::in_memory(*at, inspected)).collect(),
            tiers: tiers.collect(),
        }
    }
}

impl Seen {
    fn of(seen: &[(StoredKey, InTier)], now: WallTime) -> Self {
        let mut responses = Vec::new();
        for (at, seen) in seen {
            match seen {
                InTier::Record(record) => responses.push(Response::in_tier(*at, record, now)),
                InTier::Absent => {}
                InTier::Joining => return Self::Problem("it has not joined yet".to_owned()),
                InTier::Failed(error) => return Self::Problem(format!("it could not say: {error}")),
            }
        }
        Self::Responses(responses)
    }
}

impl Response {
    fn in_memory(at: StoredKey, inspected: &Inspected<Bytes>) -> Self {
        let Inspected { resident, age, is_usable } = inspected;
        let (head, length) = (&resident.head, resident.length);
        let (age, lifetime) = (age.as_secs(), resident.freshness.lifetime.as_secs());
        Self { usable: Some(*is_usable), ..Self::new(at, head, length, (age, lifetime)) }
    }

    fn in_tier(at: StoredKey, record: &Record, now: WallTime) -> Self {
        let freshness = &record.freshness;
        let age = freshness.age_then.saturating_add(now.since(freshness.as_of)).as_secs();
        Self::new(at, &record.head, record.length, (age, freshness.lifetime.as_secs()))
    }

    fn new(at: StoredKey, head: &Head, length: ByteCount, (age, lifetime): (u64, u64)) -> Self {
        Self {
            variant: at.is_variant().then(|| at.key.to_string()),
            status: (head.status > 0).then_some(head.status),
            bytes: length.0,
            age,
            fresh_for: lifetime.saturating_sub(age),
            vary: head.fields.only("vary").map(|vary| String::from_utf8_lossy(vary).into_owned()),
            usable: None,
        }
    }
}
