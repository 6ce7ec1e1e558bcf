//! Runs the engine's effects and feeds back the answers.
//!
//! The driver is the same in production and in simulation: it is generic over its [`World`]. It decides
//! nothing. Start at [`Driver`]; `around` is about answers that the engine did not ask for, `shard` has the
//! one lock, `effects` what each effect becomes, `tier_calls` and `durable` what tiers are asked,
//! `inspecting` what an operator asks, `client`, `fetch`, `call` and `timer` the tasks and futures around it.

mod around;
mod call;
mod client;
mod durable;
mod effects;
mod feed;
mod fetch;
mod inspecting;
#[cfg(test)]
mod models;
mod on_tokio;
mod plant;
mod recorder;
mod shard;
mod stores;
mod sync;
mod tier_calls;
mod timer;
mod traits;

pub use around::{Adopted, OFFERED_BYTES_MAX, Sent};
pub use client::{Answer, Asking, Body, Heard, Served};
pub use durable::DurableParts;
pub use feed::{Elsewhere, FeedPage, MemoryFeed, PurgeFeed};
pub use inspecting::{InTier, Inspection};
pub use on_tokio::{TokioClock, TokioSpawn};
pub use recorder::{Beginning, Recorder};
pub use stores::{BlobStore, FoundRow, IndexStore, NoStore, Row, StoreError, Written};
pub use traits::{
    ByteTier, Clock, Contents, Found, Handle, Observer, Origin, OriginBody, Spawn, TierError, World,
};

use bytes::Bytes;
use client::Client;
use shard::Shared;
use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};
use tiergate_engine::{
    Audit, CacheKey, Config, Head, Input, Method, OriginId, PurgeMode, PurgeOutcome, RequestHead, Resident,
    Seed, Selector, TierId,
};

/// The one origin that a driver fetches from.
const ORIGIN: OriginId = OriginId(0);

/// What a driver is built from.
pub struct Parts<W: World> {
    /// The clock.
    pub clock: W::Clock,
    /// The spawner.
    pub spawn: W::Spawn,
    /// The origin.
    pub origin: W::Origin,
    /// The byte tiers that the configuration names.
    pub tiers: Vec<(TierId, W::Tier)>,
    /// The durable tier's stores, if the configuration names it.
    pub durable: Option<DurableParts<W>>,
    /// The log that edges share, if the configuration names a feed.
    pub feed: Option<W::Feed>,
    /// Is shown every event, and each failure of a tier.
    pub observer: W::Observer,
}

/// What came of a purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// What the purge met in each tier.
    pub tiers: Vec<(TierId, PurgeOutcome)>,
    /// Were the other edges told?
    pub elsewhere: Elsewhere,
}

/// One cache: engines behind short locks, and the tasks that do what they ask. Cloning shares it.
///
/// Dropping the last clone does not cut anything short: bodies and fetches under way keep what they need, as
/// does a tier that has not joined yet, and the timers end with the last of them.
pub struct Driver<W: World> {
    shared: Arc<Shared<W>>,
}

impl<W: World> Clone for Driver<W> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<W: World> Driver<W> {
    /// Builds the engines and takes in the bans that local tiers hold. The tiers join meanwhile: until one
    /// has, requests are served without it.
    ///
    /// # Errors
    /// A tier that the configuration names is missing among the parts, or could not say which bans it holds.
    pub async fn start(
        parts: Parts<W>,
        config: &Config,
        seed: Seed,
        shards: NonZeroU32,
    ) -> Result<Self, TierError> {
        let has = |wanted: TierId| match wanted {
            TierId::L3 => parts.durable.is_some(),
            TierId::L0 | TierId::L1 | TierId::L2 => parts.tiers.iter().any(|(id, _)| *id == wanted),
        };
        let missing = config.byte_tiers().find(|wanted| !has(*wanted));
        if let Some(tier) = missing {
            return Err(TierError::Failed(format!(
                "the configuration names tier {}, but the driver was given no such tier",
                tier.as_str()
            )));
        }
        if config.feed_policy().is_some() && parts.feed.is_none() {
            let why = "the configuration names a feed, but the driver was given no log for it";
            return Err(TierError::Failed(why.to_owned()));
        }
        let (shared, alarms, feed_alarm) = Shared::new(parts, config, seed, shards);
        for tier in config.local_tiers() {
            let bans = shared.byte_tier(tier).recover_bans().await?;
            for shard in shared.shards() {
                let bans =
                    bans.iter().filter(|ban| shared.has_some_of(shard, &ban.selector)).cloned().collect();
                shared.tell(shard, Input::Recovered { tier, bans });
            }
        }
        for (shard, alarm) in shared.shards().zip(alarms) {
            // An engine may want to be woken before anybody asks it anything.
            shared.tell(shard, Input::Wake);
            shared.spawn(timer::run(&shared, alarm, move |shared| shared.tell(shard, Input::Wake)));
        }
        if let Some(alarm) = feed_alarm {
            shared.wake_feed();
            shared.spawn(timer::run(&shared, alarm, Shared::wake_feed));
        }
        for tier in config.local_tiers() {
            // One that is ready already joins before the first request.
            shared.call(Box::pin(Arc::clone(&shared).join(tier)));
        }
        Ok(Self { shared })
    }

    /// The fast path: a fresh L0 hit and its age, without a task, a queue or a copy. `fields` have lower-case
    /// names.
    ///
    /// No event tells of it: the observer is told with [`Observer::fresh_hit`].
    pub fn fresh_hit<'f>(
        &self,
        key: CacheKey,
        method: Method,
        fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> Option<(Arc<Resident<Bytes>>, Duration)> {
        self.shared.fresh_hit(key, method, fields)
    }

    /// Asks the engine. `key` is what [`CacheKey::of`] makes of the head. Dropping the future tells it that
    /// the client left.
    pub async fn request(&self, key: CacheKey, head: Arc<RequestHead>) -> Answer<W> {
        self.ask(key, head).answer().await
    }

    /// The same for a client that hears interim responses, too. The engine is told of the request at once.
    pub fn ask(&self, key: CacheKey, head: Arc<RequestHead>) -> Asking<W> {
        Asking::new(Client::enter(&self.shared, key, ORIGIN, head))
    }

    /// Removes `key` from every tier; returns when every tier has answered, and the feed that tells the other
    /// edges, with what was seen. Dropping the future does not stop the purge.
    pub async fn purge(&self, key: CacheKey) -> Purged {
        self.purge_selected(&Selector::Key(key), PurgeMode::Hard).await
    }

    /// The same for all that the selector covers, in every shard that may have some of it. What the shards
    /// saw in one tier is added up.
    pub async fn purge_selected(&self, selector: &Selector, mode: PurgeMode) -> Purged {
        // All begin before the first is waited for: from now on no shard serves what is covered.
        let shards = self.shared.shards().filter(|shard| self.shared.has_some_of(*shard, selector));
        let begun: Vec<_> =
            shards.map(|shard| self.shared.turn(shard, |turn| turn.purge(selector.clone(), mode))).collect();
        let told = self.shared.tell_others(selector.clone(), mode);
        let mut seen: BTreeMap<TierId, PurgeOutcome> = BTreeMap::new();
        for report in begun {
            let report =
                report.await.expect("the engine ends every purge, and `self` keeps the table of open ones");
            for (tier, outcome) in report {
                seen.entry(tier).and_modify(|other| *other = other.with(outcome)).or_insert(outcome);
            }
        }
        let elsewhere = match told {
            Some(told) => {
                told.await.expect("the feed answers every purge, and `self` keeps the table of open ones")
            }
            None => Elsewhere::NoFeed,
        };
        Purged { tiers: seen.into_iter().collect(), elsewhere }
    }

    /// A request that the engine has passed is about to be sent. [`Driver::answered_around`] wants to know
    /// when that was.
    pub fn sent_now(&self) -> Sent {
        self.shared.sent_now()
    }

    /// A request that the engine had passed was answered with this head. What that makes stale (RFC 9111
    /// section 4.4) is purged: from now on no older response is served, though the tiers may still be at
    /// work. Other edges are not told: the request did not pass through them.
    ///
    /// The answer to a POST may be what a GET would get (RFC 9110 section 9.3.3). If the engine wants to
    /// store it, each piece of its body is to be shown to what is returned.
    pub fn answered_around(
        &self,
        request: &Arc<RequestHead>,
        sent: Sent,
        response: Head,
    ) -> Option<Adopted<W>> {
        self.shared.answered_around(request, sent, response)
    }

    /// What is open now, over all shards. When nothing is, no client waits and every tier call whose answer
    /// matters has come back.
    ///
    /// # Panics
    /// When the engines' counts do not add up, or the driver still holds what they have forgotten.
    pub fn audit(&self) -> Audit {
        self.shared.audit()
    }
}
