//! Runs the engine's effects and feeds back the answers.
//!
//! The driver is the same in production and in simulation: it is generic over its [`World`]. It decides nothing. Start
//! at [`Driver`].

mod traits;

use bytes::Bytes;
use std::{num::NonZeroU32, sync::Arc, time::Duration};
use tiergate_engine::{
    AbortReason, Audit, Bypass, CacheKey, Config, Head, Length, Method, Outcome, PurgeOutcome, Refusal,
    RequestHead, Resident, Seed, TierId,
};
pub use traits::{ByteTier, Clock, Handle, Observer, Origin, OriginBody, Spawn, TierError, World};

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
    /// Who watches.
    pub observer: W::Observer,
}

/// One cache: engines behind short locks, and the tasks that do what they ask. Cloning shares it.
pub struct Driver<W: World> {
    _world: std::marker::PhantomData<W>,
}

/// How a request is to be answered.
pub enum Answer<W: World> {
    /// With this response.
    Serve(Served<W>),
    /// By proxying it; nothing of it is stored.
    Pass(Bypass),
    /// With an error.
    Refuse(Refusal),
}

/// A response.
pub struct Served<W: World> {
    /// The head as stored or arriving; `Age`, `Via` and `Cache-Status` are the front's to add.
    pub head: Arc<Head>,
    /// What is known of the body's length.
    pub length: Length,
    /// Its age.
    pub age: Duration,
    /// How long it stays fresh.
    pub fresh_for: Duration,
    /// Where it comes from.
    pub outcome: Outcome,
    /// The body.
    pub body: Body<W>,
}

/// A response's body. Dropping it before its end tells the engine that the client left.
pub struct Body<W: World> {
    _world: std::marker::PhantomData<W>,
}

impl<W: World> Body<W> {
    /// The next chunk; `None` at the end. After an error the client's connection must be broken.
    ///
    /// # Errors
    /// Why the body broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, AbortReason> {
        unreachable!()
    }
}

impl<W: World> Clone for Driver<W> {
    fn clone(&self) -> Self {
        unreachable!()
    }
}

impl<W: World> Driver<W> {
    /// Builds the engines and takes in what the tiers hold.
    ///
    /// # Errors
    /// A tier that the configuration names is missing among the parts, or could not say what it holds.
    pub async fn start(
        _parts: Parts<W>,
        _config: &Config,
        _seed: Seed,
        _shards: NonZeroU32,
    ) -> Result<Self, TierError> {
        unreachable!()
    }

    /// The fast door: a fresh L0 hit and its age, without a task, a queue or a copy. `fields` have lower-case names.
    pub fn fresh_hit<'f>(
        &self,
        _key: CacheKey,
        _method: Method,
        _fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> Option<(Arc<Resident<Bytes>>, Duration)> {
        unreachable!()
    }

    /// Asks the engine. `key` is what [`CacheKey::of`] makes of the head. Dropping the future tells it that the client left.
    pub async fn request(&self, _key: CacheKey, _head: Arc<RequestHead>) -> Answer<W> {
        unreachable!()
    }

    /// Removes `key` from every tier; returns when every tier has answered, with what was seen.
    pub async fn purge(&self, _key: CacheKey) -> Vec<(TierId, PurgeOutcome)> {
        unreachable!()
    }

    /// What is open now, over all shards.
    pub fn audit(&self) -> Audit {
        unreachable!()
    }
}
