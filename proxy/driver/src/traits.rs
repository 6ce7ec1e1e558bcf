//! The world as the driver sees it: a clock, a spawner, an origin, byte tiers, and somebody who watches.
//!
//! Production and simulation differ in what stands behind these traits and in nothing else.

use crate::{Beginning, BlobStore, IndexStore, PurgeFeed, Recorder};
use bytes::Bytes;
use std::{future::Future, sync::Arc};
use tiergate_engine::{
    Ban, ByteCount, Event, Freshening, Head, Instant, OriginFailure, ReadSource, Record, RecordId,
    RecordName, RequestHead, StoredKey, TierId, WallTime, WriterId,
};

/// Everything one driver is built from.
pub trait World: Send + Sync + 'static {
    /// Tells the time and sleeps.
    type Clock: Clock;
    /// Starts tasks.
    type Spawn: Spawn;
    /// Answers fetches.
    type Origin: Origin;
    /// Holds records below L0.
    type Tier: ByteTier;
    /// Holds the durable tier's bodies; [`NoStore`](crate::NoStore) in a world without one.
    type Blobs: BlobStore;
    /// Holds the durable tier's index.
    type Index: IndexStore;
    /// Holds the log of purges that edges share; [`NoStore`](crate::NoStore) in a world without one.
    type Feed: PurgeFeed;
    /// Is shown every event.
    type Observer: Observer;
}

/// Tells the time and sleeps.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Monotonic time.
    fn now(&self) -> Instant;
    /// Calendar time.
    fn wall(&self) -> WallTime;
    /// Returns once `now` is `at` or later.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send;
}

/// Starts tasks that end by themselves.
pub trait Spawn: Clone + Send + Sync + 'static {
    /// Runs `task` to its end beside the caller, and not within this call. A task may be dropped only when
    /// the world it runs in is torn down: one that never ran leaves its effect without an answer.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// Answers fetches.
pub trait Origin: Send + Sync + 'static {
    /// A body on its way.
    type Body: OriginBody;
    /// Asks the origin and returns once the response's head is here. `interim` is shown each interim response
    /// (1xx) that comes before it.
    fn fetch(
        &self,
        head: Arc<RequestHead>,
        interim: impl Fn(Head) + Send + Sync + 'static,
    ) -> impl Future<Output = Result<(Head, Self::Body), OriginFailure>> + Send;
}

/// A body on its way. Dropping it stops it.
pub trait OriginBody: Send + 'static {
    /// The next chunk, never empty; `None` only at the end that the framing announced.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, OriginFailure>> + Send;
}

/// A tier did not do what it was asked. Why in words is for its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TierError {
    /// It is not well: this counts against its breaker, and the engine does without it (C1).
    Failed(String),
    /// What it holds is not, or not wholly, what was written. The tier is well all the same; nobody is served
    /// what is rotten.
    Rotten(String),
}

impl std::fmt::Display for TierError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(why) | Self::Rotten(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TierError {}

/// Names a writer or an open record: engines number their own, so the shard is part of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle<I> {
    /// The number of the engine's shard.
    pub shard: u32,
    /// The engine's own id.
    pub id: I,
}

/// What a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What is stored beside the body.
    pub record: Record,
    /// All of the body, where it is small and at hand: then no read is needed.
    pub body: Option<Bytes>,
}

/// What a tier holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The number of records.
    pub objects: u64,
    /// The room that they take up.
    pub bytes: ByteCount,
}

/// Holds records below L0, and keeps its own index of them. The engine opens, writes, commits and discards
/// each record in order, one call at a time for each handle; calls for different handles run at once. Reads
/// of one handle may also run beside each other and beside a write to it. `release` and `discard` come last:
/// never while another call for the handle is under way.
pub trait ByteTier: Send + Sync + 'static {
    /// Returns once the tier can be asked, with what it holds: everything whole that an earlier process left.
    /// Runs beside requests, which are served meanwhile without this tier. Never gives up by itself. Only
    /// local tiers are asked, once; until it has returned, they get no calls but `recover_bans`, `store_ban`
    /// and `delete`.
    fn join(&self) -> impl Future<Output = Contents> + Send;

    /// The bans that earlier processes stored and that are still in force, oldest first. Quick: nothing is
    /// served before it has returned. Only local tiers are asked.
    fn recover_bans(&self) -> impl Future<Output = Result<Vec<Ban>, TierError>> + Send;

    /// Keeps a ban for [`recover_bans`](ByteTier::recover_bans); once this returns, no crash takes it away.
    /// What is kept is bounded as [`Bans`](tiergate_engine::Bans) are. Only local tiers are asked.
    fn store_ban(&self, ban: Arc<Ban>) -> impl Future<Output = Result<(), TierError>> + Send;

    /// Opens the current record of `key` for reading under `handle`. What is found to be rotten is not found.
    fn lookup(
        &self,
        handle: Handle<RecordId>,
        key: StoredKey,
    ) -> impl Future<Output = Result<Option<Found>, TierError>> + Send;

    /// At least one and at most `length_max` bytes from `offset` on, checked against what was written. An
    /// open record stays the same from first to last byte, whatever happens to its key meanwhile. Of a
    /// writer's record, the bytes whose write was acknowledged can be read until it is discarded, committed
    /// or not, even after a write failed.
    fn read(
        &self,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> impl Future<Output = Result<Bytes, TierError>> + Send;

    /// Closes an open record. Also called for a handle whose `lookup` found nothing. Starts what takes long
    /// and returns.
    fn release(&self, handle: Handle<RecordId>);

    /// Begins a record under a name that nobody else uses.
    fn open(
        &self,
        handle: Handle<WriterId>,
        key: StoredKey,
        name: RecordName,
    ) -> impl Future<Output = Result<(), TierError>> + Send;

    /// Appends to it.
    fn write(
        &self,
        handle: Handle<WriterId>,
        chunk: Bytes,
    ) -> impl Future<Output = Result<(), TierError>> + Send;

    /// Makes it visible, at once and whole, in place of any older record of its key. The handle stays
    /// readable. A writer that was opened before a purge of its target (`delete(key, None)`) was acknowledged
    /// publishes nothing after that: its commit fails, whoever of those that share the tier asked for the
    /// purge (C7).
    fn commit(
        &self,
        handle: Handle<WriterId>,
        record: Arc<Record>,
    ) -> impl Future<Output = Result<(), TierError>> + Send;

    /// Closes a writer; what was not committed is gone. Also called for a handle whose `open` failed or never
    /// ran. Starts what takes long and returns.
    fn discard(&self, handle: Handle<WriterId>);

    /// Replaces head and freshness beside the body of exactly the record that `record` names, at once and
    /// whole or not at all. It makes no record and brings none back, and it takes nothing from one that was
    /// made later (failure F3). Who has the record open keeps what they found.
    fn freshen(&self, record: Arc<Record>) -> impl Future<Output = Result<Freshening, TierError>> + Send;

    /// Removes the record called `name`; or, without one, every record of the target, current or not, every
    /// variant of it included, whoever of those that share the tier stored it. None of them is found again,
    /// by this process or a later one, however it ends: a local tier returns when that is durable. Says
    /// whether there was one, as far as the tier can see. A tier that has not joined yet answers once it can.
    fn delete(
        &self,
        key: StoredKey,
        name: Option<RecordName>,
    ) -> impl Future<Output = Result<bool, TierError>> + Send;
}

/// Is shown every event, in order for each shard.
pub trait Observer: Send + Sync + 'static {
    /// Called under the shard's lock: be quick, and do not call the driver.
    fn observe(&self, shard: u32, now: Instant, event: &Event);
    /// The fast path found a fresh response, of which no event tells. Called under the shard's lock, for each
    /// hit: be quicker still.
    fn fresh_hit(&self, _shard: u32) {}
    /// A tier call failed; the engine was told, this is for the log.
    fn tier_failed(&self, tier: TierId, error: &TierError);
    /// Called once for each shard, before its engine is told anything. Whoever wants to replay what it
    /// decides gives a recorder.
    fn recorder(&self, _beginning: &Beginning<'_>) -> Option<Box<dyn Recorder>> {
        None
    }
}
