//! The one place that knows pingora-cache: a [`Storage`] for a Pingora server that does not use our front.
//!
//! Our own server never enters pingora-cache: its front writes the driver's answers itself. A server that
//! uses this storage gets reads of fresh L0 objects, and purges. It cannot store: the engine stores only what
//! it fetched itself (a caller that dies looks like a body's end: failures T3, T6), so
//! [`Storage::get_miss_handler`] refuses, and Pingora goes on uncached. pingora-cache's API changes with each
//! release, so no other file names it.

use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    BError, Error, ErrorType,
    cache::{
        CacheKey as PingoraKey, CacheMeta, Storage,
        key::{CacheHashKey, CompactCacheKey, HashBinary},
        storage::{HandleHit, HitHandler, MissHandler, PurgeOutcome as Purged, PurgeTarget, PurgeType},
        trace::SpanHandle,
    },
    http::ResponseHeader,
};
use std::{
    any::Any,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tiergate_driver::{Driver, World};
use tiergate_engine::{CacheKey, Method, PurgeOutcome, Resident};

use crate::response;

/// Why this storage does not take what Pingora wants to store.
pub const NOT_FED: ErrorType = ErrorType::Custom("TiergateStoresOnlyWhatItFetched");
/// A tier could not say what a purge did there.
pub const PURGE_FAILED: ErrorType = ErrorType::Custom("TiergatePurgeFailed");

type Result<T> = std::result::Result<T, BError>;

/// A driver as pingora-cache's storage.
pub struct Tiers<W: World> {
    driver: Driver<W>,
}

impl<W: World> Tiers<W> {
    /// A storage that lives as long as the process, as Pingora demands. Call it once for each server.
    pub fn leak(driver: Driver<W>) -> &'static Self {
        Box::leak(Box::new(Self { driver }))
    }

    /// A fresh L0 object, whole.
    fn resident(&self, key: CacheKey) -> Result<Option<(CacheMeta, HitHandler)>> {
        let Some((resident, age)) = self.driver.fresh_hit(key, Method::Get, std::iter::empty()) else {
            return Ok(None);
        };
        let header = response::header(&resident.head, response::exactly(resident.length))
            .map_err(|error| Error::because(ErrorType::InvalidHTTPHeader, "stored head", error))?;
        let fresh_for = resident.freshness.lifetime.saturating_sub(age);
        let whole: Box<Whole> = Box::new(Whole { resident, next: 0 });
        Ok(Some((meta(header, age, fresh_for), whole)))
    }
}

/// Our key in Pingora's. A variant is a key of its own.
fn engine_key(primary: HashBinary) -> CacheKey {
    CacheKey(u128::from_be_bytes(primary))
}

/// What Pingora wants to know of a stored response.
fn meta(header: ResponseHeader, age: Duration, fresh_for: Duration) -> CacheMeta {
    let now = SystemTime::now();
    let fresh_until = now.checked_add(fresh_for).unwrap_or(now);
    let mut meta = CacheMeta::new(fresh_until, now, 0, 0, header);
    meta.set_epoch_override(now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH));
    meta
}

#[async_trait]
impl<W: World> Storage for Tiers<W> {
    async fn lookup(
        &'static self,
        key: &PingoraKey,
        _trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        self.resident(engine_key(key.combined_bin()))
    }

    /// No write ever carries a tag of ours, so none is found.
    async fn lookup_streaming_write(
        &'static self,
        key: &PingoraKey,
        tag: Option<&[u8]>,
        trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        match tag {
            Some(_) => Ok(None),
            None => self.lookup(key, trace).await,
        }
    }

    async fn get_miss_handler(
        &'static self,
        _key: &PingoraKey,
        _meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<MissHandler> {
        Error::e_explain(NOT_FED, "the engine fetches what it stores; ask the driver instead")
    }

    /// Everywhere, whatever the reason: the engine has no smaller purge.
    async fn purge(
        &'static self,
        target: PurgeTarget<'_>,
        _purge_type: PurgeType,
        _trace: &SpanHandle,
    ) -> Result<Purged> {
        let key: &CompactCacheKey = target.key();
        let report = self.driver.purge(engine_key(key.combined_bin())).await.tiers;
        let mut removed = false;
        for (tier, outcome) in report {
            match outcome {
                PurgeOutcome::Removed(_) | PurgeOutcome::RemovedUnseen => removed = true,
                PurgeOutcome::Absent | PurgeOutcome::Staled(_) | PurgeOutcome::Barred => {}
                PurgeOutcome::Failed => {
                    return Error::e_explain(PURGE_FAILED, format!("{} may still hold it", tier.as_str()));
                }
            }
        }
        Ok(if removed { Purged::Purged(None) } else { Purged::NotFound })
    }

    /// Changes nothing: heads and lifetimes are the engine's.
    async fn update_meta(
        &'static self,
        _key: &PingoraKey,
        _meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<bool> {
        Ok(false)
    }

    /// The engine shares a body under way among its readers before Pingora sees it.
    fn support_streaming_partial_write(&self) -> bool {
        false
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// A body that is in memory.
struct Whole {
    resident: Arc<Resident<Bytes>>,
    next: usize,
}

#[async_trait]
impl HandleHit for Whole {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        let chunk = self.resident.chunks.get(self.next).cloned();
        self.next += 1;
        Ok(chunk)
    }

    async fn finish(
        self: Box<Self>,
        _storage: &'static (dyn Storage + Sync),
        _key: &PingoraKey,
        _trace: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

#[cfg(test)]
mod tests;
