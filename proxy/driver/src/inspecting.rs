//! What is known of one target in every tier, for whoever operates the cache. Nothing is changed by looking.

use crate::{ByteTier, Clock, Driver, Handle, TierError, World, shard::Shared};
use bytes::Bytes;
use std::sync::{Arc, atomic::Ordering};
use tiergate_engine::{CacheKey, Known, Record, RecordId, StoredKey, TierId, WallTime};

/// The shard in the handles of these lookups: no engine has it.
const NO_SHARD: u32 = u32::MAX;

/// What is known of one target.
#[derive(Debug)]
pub struct Inspection {
    /// When it was looked at, on the calendar.
    pub at: WallTime,
    /// What the engine knows, L0 included.
    pub engine: Known<Bytes>,
    /// What each byte tier says, under the keys that the engine knows. L3 is not asked.
    pub tiers: Vec<(TierId, Vec<(StoredKey, InTier)>)>,
}

/// What a byte tier says of one key.
#[derive(Debug)]
pub enum InTier {
    /// It has this. A status of 0 is a marker: it says what the target's responses depend on.
    Record(Record),
    /// It has nothing.
    Absent,
    /// It cannot be asked yet.
    Joining,
    /// It could not say.
    Failed(TierError),
}

/// An open record, which is closed again whatever happens to who looks at it.
struct Open<'t, T: ByteTier> {
    tier: &'t T,
    handle: Handle<RecordId>,
}

impl<T: ByteTier> Drop for Open<'_, T> {
    fn drop(&mut self) {
        self.tier.release(self.handle);
    }
}

impl<W: World> Driver<W> {
    /// Looks in L0 and asks every byte tier, one after the other; without a deadline, for who looks may give
    /// up.
    pub async fn inspect(&self, target: CacheKey) -> Inspection {
        let Shared { parts, .. } = &*self.shared;
        let engine = self.shared.inspect(target);
        let mut keys = vec![StoredKey::plain(target), engine.plain];
        keys.extend(engine.resident.iter().map(|(at, _)| *at));
        keys.sort_unstable();
        keys.dedup();
        let mut tiers = Vec::new();
        for (id, tier) in &parts.tiers {
            let mut seen = Vec::new();
            for key in &keys {
                let found = if engine.joining.contains(id) {
                    InTier::Joining
                } else {
                    look(&self.shared, tier, *key).await
                };
                seen.push((*key, found));
            }
            tiers.push((*id, seen));
        }
        Inspection { at: parts.clock.wall(), engine, tiers }
    }
}

async fn look<W: World>(shared: &Arc<Shared<W>>, tier: &W::Tier, key: StoredKey) -> InTier {
    let id = RecordId(shared.inspections.fetch_add(1, Ordering::Relaxed));
    let open = Open { tier, handle: Handle { shard: NO_SHARD, id } };
    match tier.lookup(open.handle, key).await {
        Ok(Some(found)) => InTier::Record(found.record),
        Ok(None) => InTier::Absent,
        Err(error) => InTier::Failed(error),
    }
}
