//! A Redis that edges share, as a tier.
//!
//! ```text
//! tg:{key}               the head: what is current. Numbers are hexadecimal; the braces put a key's parts on one node
//! tg:{key}:name:n        part n of a body, with its checksum
//! tg:{key}:name:head     the head on its way to becoming current
//! ```
//!
//! Parts lie under names that only their fill has, so nobody overwrites them. A commit stores the head beside them and then
//! renames it: one command, which publishes all or nothing (C3). Everything expires: heads with the response's lifetime, so
//! that Redis drops what nobody may serve, and parts later, so that a reader who began in time can finish. Nothing deletes
//! the parts of a record that was visible, since other edges may be reading it.
//!
//! **A commit in doubt.** A rename whose answer did not come may still be carried out, much later. A purge must not be
//! undone by it (failure F1), so until the head-in-waiting is known to be gone, every delete of that key removes it first:
//! a late rename then finds nothing.
//!
//! Commands used: `GET`, `SET … PX`, `PEXPIRE`, `RENAME`, `DEL`. There are no retries and no waiting beyond one time limit for
//! each command; after a failure the next command makes a new connection. Start at [`RedisTier`].

mod keys;
mod link;
mod stored_head;

use crate::{
    blocks::{self, Layout, Tail},
    connect::Connect,
};
use bytes::Bytes;
use keys::Keys;
use link::Link;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use stored_head::StoredHead;
use tiergate_driver::{ByteTier, Handle, TierError};
use tiergate_engine::{CacheKey, ReadSource, Record, RecordId, RecordName, StoredFreshness, WriterId};

/// The bytes of a part in records that this build writes. One read fetches at most one part.
const PART_BYTES: u32 = 256 << 10;
/// A head lives at least this long, so that what is stored just before its end can be found at all.
const HEAD_TIME_MIN: Duration = Duration::from_secs(1);
/// A head lives at most this long; Redis counts in 63 bits of milliseconds from 1970.
const HEAD_TIME_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// How much longer than their head parts live, and how long they live before they have one. A reader or a writer that
/// takes longer than this fails.
const PART_TIME: Duration = Duration::from_secs(600);
/// Keys named in one pipeline of commands at most.
const PIPELINE_KEYS_MAX: usize = 128;
/// Commits in doubt that are remembered; before one more, some are settled.
const DOUBTS_MAX: usize = 1_024;

/// How to speak to a Redis.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// How long one command may take, with connecting if need be. Default 250 ms. A body is read and written by several.
    pub command_time_max: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self { command_time_max: Duration::from_millis(250) }
    }
}

/// A Redis at one `host:port`. Several processes may share it.
pub struct RedisTier<C: Connect> {
    shared: Arc<Shared<C>>,
}

struct Shared<C: Connect> {
    link: Link<C>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    records: BTreeMap<Handle<RecordId>, OpenRecord>,
    writers: BTreeMap<Handle<WriterId>, Arc<Writer>>,
    /// Commits whose rename was not answered, and whose head-in-waiting is not known to be gone.
    doubts: BTreeSet<(CacheKey, RecordName)>,
}

/// A record that a lookup opened: the name pins it to one fill (failure T9).
#[derive(Clone, Copy)]
struct OpenRecord {
    keys: Keys,
    layout: Layout,
}

struct Writer {
    keys: Keys,
    state: Mutex<Writing>,
}

struct Writing {
    tail: Tail,
    phase: Phase,
}

/// ```text
/// Writing ──commit──▶ Committed
///    └────failure───▶ Failed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Takes chunks.
    Writing,
    /// It was published.
    Committed,
    /// Takes nothing more. What was acknowledged stays readable.
    Failed,
}

impl<C: Connect> RedisTier<C> {
    /// A connection to `authority`, which is `host:port`, is made when the first command needs it.
    pub fn new(connector: C, authority: impl Into<String>, options: RedisOptions) -> Self {
        let shared = Shared {
            link: Link::new(connector, authority.into(), options.command_time_max),
            open: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    fn writer(&self, handle: Handle<WriterId>) -> Result<Arc<Writer>, TierError> {
        let writer = self.shared.open().writers.get(&handle).map(Arc::clone);
        writer.ok_or_else(|| TierError(format!("redis: writer {handle:?} is not open")))
    }
}

impl<C: Connect> Shared<C> {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current head of `key`.
    async fn head(&self, key: CacheKey) -> Result<Option<StoredHead>, TierError> {
        let Some(bytes) = self.link.lookup(&keys::current(key)).await? else {
            return Ok(None);
        };
        let head = StoredHead::decode(&bytes)
            .map_err(|error| TierError(format!("redis: the head of {key} cannot be read: {error}")))?;
        if head.record.key != key {
            return Err(TierError(format!("redis: under {key} lies the head of {}", head.record.key)));
        }
        Ok(Some(head))
    }

    /// Checked bytes of the body from `offset` on, out of one part.
    async fn read(&self, record: OpenRecord, offset: u64, length_max: u64) -> Result<Bytes, TierError> {
        if offset >= record.layout.length || length_max == 0 {
            return Err(TierError(format!("redis: the body has no byte {offset}")));
        }
        let (index, within) = record.layout.position(offset);
        let key = record.keys.part(index);
        let part = self.link.lookup(&key).await?;
        let part = part.ok_or_else(|| TierError(format!("redis: `{key}` is gone")))?;
        let size = blocks::unseal(&part, record.layout.size(index))
            .map_err(|error| TierError(format!("redis: `{key}` cannot be read: {error}")))?
            .len();
        let end = size.min(within.saturating_add(usize::try_from(length_max).unwrap_or(usize::MAX)));
        Ok(part.slice(within..end))
    }

    async fn commit(&self, writer: &Writer, record: &Record) -> Result<(), TierError> {
        let layout = writer.layout(record)?;
        if let Some((index, part)) = writer.last_part() {
            self.link.store(&writer.keys.part(index), part, PART_TIME).await?;
        }
        let head_time = remaining(&record.freshness);
        let parts: Vec<String> = (0..layout.count()).map(|index| writer.keys.part(index)).collect();
        for parts in parts.chunks(PIPELINE_KEYS_MAX) {
            if !self.link.expire_all(parts, head_time + PART_TIME).await? {
                return Err(TierError("redis: a part of the body is gone before its commit".to_owned()));
            }
        }
        let head = StoredHead::encode(record, layout);
        self.link.store(&writer.keys.head_in_waiting(), head, head_time).await?;
        if self.open().doubts.len() >= DOUBTS_MAX {
            self.settle_doubts().await?;
        }
        let doubt = (writer.keys.key, writer.keys.name);
        // Entered before the rename, so that it is there even if this future is dropped meanwhile.
        self.open().doubts.insert(doubt);
        self.link.rename(&writer.keys.head_in_waiting(), &keys::current(record.key)).await?;
        self.open().doubts.remove(&doubt);
        Ok(())
    }

    /// Makes sure that some of the renames in doubt can no longer happen.
    async fn settle_doubts(&self) -> Result<(), TierError> {
        let doubts: Vec<(CacheKey, RecordName)> = {
            let open = self.open();
            open.doubts.iter().take(PIPELINE_KEYS_MAX).copied().collect()
        };
        self.settle(&doubts).await
    }

    /// Removes the heads-in-waiting of commits in doubt. Once they are gone, a rename that is still on its way does nothing.
    async fn settle(&self, doubts: &[(CacheKey, RecordName)]) -> Result<(), TierError> {
        let waiting: Vec<String> =
            doubts.iter().map(|&(key, name)| Keys { key, name }.head_in_waiting()).collect();
        if !waiting.is_empty() {
            self.link.delete(&waiting).await?;
        }
        let mut open = self.open();
        for doubt in doubts {
            open.doubts.remove(doubt);
        }
        Ok(())
    }

    /// Takes back what a writer left that did not commit. Errors are no news: everything in Redis expires by itself.
    async fn take_back(&self, writer: &Writer) -> Result<(), TierError> {
        let Keys { key, name } = writer.keys;
        // First the head-in-waiting: once it is gone, a rename that is still on its way does nothing.
        self.link.delete(&[writer.keys.head_in_waiting()]).await?;
        if self.open().doubts.contains(&(key, name)) {
            if self.head(key).await?.is_some_and(|head| head.record.name == name) {
                self.link.delete(&[keys::current(key)]).await?;
            }
            self.open().doubts.remove(&(key, name));
        }
        let count = writer.state().tail.stored().count();
        let parts: Vec<String> = (0..=count).map(|index| writer.keys.part(index)).collect();
        for parts in parts.chunks(PIPELINE_KEYS_MAX) {
            self.link.delete(parts).await?;
        }
        Ok(())
    }

    async fn delete(&self, key: CacheKey, name: Option<RecordName>) -> Result<bool, TierError> {
        let doubts: Vec<(CacheKey, RecordName)> = {
            let open = self.open();
            let names = (key, RecordName(0))..=(key, RecordName(u128::MAX));
            open.doubts.range(names).copied().collect()
        };
        self.settle(&doubts).await?;
        match name {
            None => Ok(self.link.delete(&[keys::current(key)]).await? > 0),
            // A newer head may take its place between the two commands and be deleted instead: that is one miss more.
            Some(name) => match self.head(key).await? {
                Some(head) if head.record.name == name => {
                    Ok(self.link.delete(&[keys::current(key)]).await? > 0)
                }
                Some(_) | None => Ok(false),
            },
        }
    }
}

/// What is left of a lifetime, within what a head may live.
fn remaining(freshness: &StoredFreshness) -> Duration {
    freshness.lifetime.saturating_sub(freshness.age_then).clamp(HEAD_TIME_MIN, HEAD_TIME_MAX)
}

impl Writer {
    fn state(&self) -> MutexGuard<'_, Writing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> Result<MutexGuard<'_, Writing>, TierError> {
        let state = self.state();
        match state.phase {
            Phase::Writing => Ok(state),
            Phase::Committed => Err(TierError("redis: the writer has committed already".to_owned())),
            Phase::Failed => Err(TierError("redis: an earlier write failed".to_owned())),
        }
    }

    /// The next full part, sealed.
    fn full_part(&self) -> Option<(u64, Vec<u8>)> {
        let state = self.state();
        state.tail.full_block().map(|(index, part)| (index, sealed(part)))
    }

    /// How the whole body lies, if `record` is of it.
    fn layout(&self, record: &Record) -> Result<Layout, TierError> {
        let state = self.writing()?;
        let given = (record.key, record.name, record.length.0);
        if given != (self.keys.key, self.keys.name, state.tail.length()) {
            return Err(TierError("redis: a commit's record is not that of what was written".to_owned()));
        }
        Ok(Layout { block_bytes: PART_BYTES, length: record.length.0 })
    }

    /// The last part, sealed, if it is a short one.
    fn last_part(&self) -> Option<(u64, Vec<u8>)> {
        let state = self.state();
        state.tail.last_block().map(|(index, part)| (index, sealed(part)))
    }
}

fn sealed(part: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(part.len() + blocks::CHECKSUM_BYTES);
    blocks::seal_into(&mut sealed, part);
    sealed
}

impl<C: Connect> ByteTier for RedisTier<C> {
    /// Nothing: Redis keeps its own index.
    async fn recover(&self) -> Result<Vec<Record>, TierError> {
        Ok(Vec::new())
    }

    async fn lookup(
        &self,
        handle: Handle<RecordId>,
        key: CacheKey,
        name: Option<RecordName>,
    ) -> Result<Option<Record>, TierError> {
        let head = self.shared.head(key).await?;
        // What was said to have failed is not shown as stored.
        let is_shown = |found: RecordName| {
            name.is_none_or(|name| name == found) && !self.shared.open().doubts.contains(&(key, found))
        };
        let Some(head) = head.filter(|head| is_shown(head.record.name)) else {
            return Ok(None);
        };
        let record = OpenRecord { keys: Keys { key, name: head.record.name }, layout: head.layout };
        self.shared.open().records.insert(handle, record);
        Ok(Some(head.record))
    }

    async fn read(
        &self,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, TierError> {
        let shard = source.shard;
        let record = match source.id {
            ReadSource::Record(id) => {
                let record = self.shared.open().records.get(&Handle { shard, id }).copied();
                record.ok_or_else(|| TierError(format!("redis: {source:?} is not open")))?
            }
            ReadSource::Writer(id) => {
                let writer = self.writer(Handle { shard, id })?;
                let state = writer.state();
                match state.tail.held(offset, length_max) {
                    Some(bytes) if bytes.is_empty() => {
                        return Err(TierError(format!("redis: the body has no byte {offset}")));
                    }
                    Some(bytes) => return Ok(bytes),
                    None => OpenRecord { keys: writer.keys, layout: state.tail.stored() },
                }
            }
        };
        self.shared.read(record, offset, length_max).await
    }

    fn release(&self, handle: Handle<RecordId>) {
        self.shared.open().records.remove(&handle);
    }

    /// Asks nothing of Redis: the first part that is full does.
    async fn open(&self, handle: Handle<WriterId>, key: CacheKey, name: RecordName) -> Result<(), TierError> {
        let writer = Writer {
            keys: Keys { key, name },
            state: Mutex::new(Writing { tail: Tail::new(PART_BYTES), phase: Phase::Writing }),
        };
        self.shared.open().writers.insert(handle, Arc::new(writer));
        Ok(())
    }

    async fn write(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), TierError> {
        let writer = self.writer(handle)?;
        writer.writing()?.tail.push(&chunk);
        while let Some((index, part)) = writer.full_part() {
            let stored = self.shared.link.store(&writer.keys.part(index), part, PART_TIME).await;
            let mut state = writer.state();
            match stored {
                // Until now it was held, so that reads went on.
                Ok(()) => state.tail.on_stored(),
                Err(error) => {
                    state.phase = Phase::Failed;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn commit(&self, handle: Handle<WriterId>, record: Arc<Record>) -> Result<(), TierError> {
        let writer = self.writer(handle)?;
        let committed = self.shared.commit(&writer, &record).await;
        writer.state().phase = match committed {
            Ok(()) => Phase::Committed,
            Err(_) => Phase::Failed,
        };
        committed
    }

    fn discard(&self, handle: Handle<WriterId>) {
        let writer = self.shared.open().writers.remove(&handle);
        let (Some(writer), Ok(runtime)) = (writer, tokio::runtime::Handle::try_current()) else {
            return;
        };
        match writer.state().phase {
            Phase::Committed => return,
            Phase::Writing | Phase::Failed => {}
        }
        let shared = Arc::clone(&self.shared);
        // Ends within a few command time limits; nobody waits for it.
        runtime.spawn(async move { drop(shared.take_back(&writer).await) });
    }

    async fn delete(&self, key: CacheKey, name: Option<RecordName>) -> Result<bool, TierError> {
        self.shared.delete(key, name).await
    }
}

#[cfg(test)]
mod tests;
