//! A Redis that edges share, as a tier.
//!
//! ```text
//! tg:{target}               the head: what is current. Numbers are hexadecimal; the braces put a target's keys on one node
//! tg:{target}:variant:key   the same of one variant of it. What follows is below either
//!  …:name:n                 part n of a body, with its checksum
//!  …:name:head              the head on its way to becoming current
//! tg:{target}:generation    what a writer must still find there to publish, and a reader of a variant to read; a purge
//!                           removes it
//! ```
//!
//! `tg:` is the prefix that is configured ([`RedisAddress`]).
//!
//! Parts lie under names that only their fill has, so nobody overwrites them. A commit stores the head beside
//! them and then publishes it with a script ([`PUBLISH_SCRIPT`]), which Redis carries out all or not at all
//! (C3). Everything expires: heads some time after the response's lifetime ([`STALE_TIME`]), and parts later,
//! so that a reader who began in time can finish. Nothing deletes the parts of a record that was visible,
//! since other edges may be reading it.
//!
//! **A purge closes the writers of all edges.** The edge that purges does not know who else is filling for
//! the target, so the generation tells them (C7). A writer that opens remembers the generation that it finds;
//! if there is none, it first stores its own name as one. A purge removes the generation and then the head.
//! The script renames only while the generation is the one remembered. So a commit that came before the purge
//! is removed with the head, and one that comes after it is refused.
//!
//! **A purge reaches the variants that other edges stored.** The edge that purges does not know them either.
//! So a head carries the generation that it was published under, and one of a variant counts only while the
//! target's generation is that one: a lookup reads both in one command. A commit prolongs the generation to
//! the life of its head.
//!
//! The generation is a fill's name and not a count because names are never used twice. However one goes away
//! (purged, expired, evicted by Redis, lost in a restart), those who remember it cannot publish any more, and
//! no later one can be mistaken for it. So losing one costs a store and never undoes a purge, and its time to
//! live needs no margin: a fill that takes longer than [`GENERATION_TIME`] is not stored, and variants whose
//! generation was lost are absent. What this does not cover: a Redis that fails over to a replica which had
//! not learned of the purge yet has the head back as well. And a writer counts from its `open`, not from when
//! the origin was asked: of what is opened after the purge, the tier cannot know that it was fetched before.
//!
//! **A freshening** exchanges the head for one with a longer lifetime by a script ([`FRESHEN_SCRIPT`]) that
//! does so only while the head is, to the byte, the one that was read before: after a purge, a newer record
//! or another freshening it does nothing, however late it comes. The parts' time to live is lengthened first.
//!
//! **A commit in doubt.** A script whose answer did not come may still be carried out, much later. A record
//! that was said to have failed must not come back after a delete by its name, nor one that a purge removed
//! (failure F1), so until the head-in-waiting is known to be gone, every delete for that target removes it
//! first: a late script then finds nothing.
//!
//! Commands used: `GET`, `MGET`, `SET … PX`, `PEXPIRE`, `DEL`, and `EVAL` of three scripts, which use `GET`,
//! `SET … PX`, `PTTL`, `PEXPIRE` and `RENAME`. There are no retries and no waiting beyond one time limit for
//! each command; after a failure the next command makes a new connection. Start at [`RedisTier`].

mod address;
mod link;

pub use address::RedisAddress;
pub use link::{FRESHEN_SCRIPT, JOIN_SCRIPT, PUBLISH_SCRIPT};

use crate::{
    blocks::{self, Layout},
    connect::Connect,
    shared::{
        keys::{self, Generation, Keys},
        stored_head::StoredHead,
        writer::{Phase, Writer},
    },
};
use bytes::Bytes;
pub(crate) use link::Link;
use link::Publication;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tiergate_driver::{ByteTier, Contents, Found, Handle, TierError};
use tiergate_engine::{
    Ban, CacheKey, Freshening, ReadSource, Record, RecordId, RecordName, StoredFreshness, StoredKey, WriterId,
};

/// A head lives at most this long; Redis counts in 63 bits of milliseconds from 1970.
const HEAD_TIME_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// How much longer than its lifetime a head lives: a stale response may still hold when the origin is asked,
/// or stand in for an origin that fails.
const STALE_TIME: Duration = Duration::from_secs(3_600);
/// How much longer than their head parts live, and how long they live before they have one. A reader or a
/// writer that takes longer than this fails.
const PART_TIME: Duration = Duration::from_secs(600);
/// How long a generation lives at least after a writer last opened. A fill that takes longer is not stored;
/// one of several parts would have lost its first one by then.
const GENERATION_TIME: Duration = PART_TIME;
/// Keys named in one pipeline of commands at most.
const PIPELINE_KEYS_MAX: usize = 128;
/// Commits in doubt that are remembered; before one more, some are settled.
const DOUBTS_MAX: usize = 1_024;

/// How to speak to a Redis.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// How long one command may take, with connecting if need be. Default 250 ms. A body is read and written
    /// by several.
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
    /// Commits whose script was not answered, and whose head-in-waiting is not known to be gone.
    doubts: BTreeSet<(StoredKey, RecordName)>,
}

/// A record that a lookup opened: the name pins it to one fill (failure T9).
#[derive(Clone, Copy)]
struct OpenRecord {
    keys: Keys,
    layout: Layout,
}

impl<C: Connect> RedisTier<C> {
    /// A connection is made when the first command needs it.
    pub fn new(connector: C, address: impl Into<RedisAddress>, options: RedisOptions) -> Self {
        let shared = Shared {
            link: Link::new(connector, address.into(), options.command_time_max),
            open: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    fn writer(&self, handle: Handle<WriterId>) -> Result<Arc<Writer>, TierError> {
        let writer = self.shared.open().writers.get(&handle).map(Arc::clone);
        writer.ok_or_else(|| TierError::Failed(format!("redis: writer {handle:?} is not open")))
    }
}

/// What lies where the head of `key` should.
fn decode_head(key: StoredKey, bytes: &[u8]) -> Result<StoredHead, TierError> {
    let head = StoredHead::decode(bytes)
        .map_err(|error| TierError::Rotten(format!("redis: the head of {key} cannot be read: {error}")))?;
    if head.record.stored_key() != key {
        return Err(TierError::Rotten(format!(
            "redis: under {key} lies the head of {}",
            head.record.stored_key()
        )));
    }
    Ok(head)
}

impl<C: Connect> Shared<C> {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current head of `key`, unless its target was purged since: a purge leaves the heads of variants.
    async fn head(&self, key: StoredKey) -> Result<Option<StoredHead>, TierError> {
        let current = keys::current(key);
        if !key.is_variant() {
            let bytes = self.link.lookup(&current).await?;
            return bytes.map(|bytes| decode_head(key, &bytes)).transpose();
        }
        let (bytes, generation) = self.link.lookup_both(&current, &keys::generation(key.target)).await?;
        let (Some(bytes), Some(generation)) = (bytes, generation) else {
            return Ok(None);
        };
        let head = decode_head(key, &bytes)?;
        Ok(Some(head).filter(|head| Generation::decode(&generation) == Some(head.generation)))
    }
    /// Checked bytes of the body from `offset` on, out of one part.
    async fn read(&self, record: OpenRecord, offset: u64, length_max: u64) -> Result<Bytes, TierError> {
        if offset >= record.layout.length || length_max == 0 {
            return Err(TierError::Failed(format!("redis: the body has no byte {offset}")));
        }
        let (index, within) = record.layout.position(offset);
        let key = record.keys.part(index);
        let part = self.link.lookup(&key).await?;
        let key = self.link.named(&key);
        let part = part.ok_or_else(|| TierError::Rotten(format!("redis: `{key}` is gone")))?;
        let size = blocks::unseal(&part, record.layout.size(index))
            .map_err(|error| TierError::Rotten(format!("redis: `{key}` cannot be read: {error}")))?
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
        if !self.keep_parts(writer.keys, layout, head_time + PART_TIME).await? {
            return Err(TierError::Failed("redis: a part of the body is gone before its commit".to_owned()));
        }
        let head = StoredHead::encode(record, writer.generation, layout);
        self.link.store(&writer.keys.head_in_waiting(), head, head_time).await?;
        if self.open().doubts.len() >= DOUBTS_MAX {
            self.settle_doubts().await?;
        }
        let doubt = (writer.keys.key, writer.keys.name);
        // Entered before the script, so that it is there even if this future is dropped meanwhile.
        self.open().doubts.insert(doubt);
        let published = self.link.publish(writer.keys, writer.generation, head_time).await?;
        self.open().doubts.remove(&doubt);
        match published {
            Publication::Published => Ok(()),
            Publication::OtherGeneration => Err(TierError::Failed(format!(
                "redis: {} was purged, or its generation was lost, since the writer was opened",
                record.stored_key()
            ))),
        }
    }

    /// Lets all parts of a body live for `time` from now on; says whether all of them are there.
    async fn keep_parts(&self, keys: Keys, layout: Layout, time: Duration) -> Result<bool, TierError> {
        let parts: Vec<String> = (0..layout.count()).map(|index| keys.part(index)).collect();
        for parts in parts.chunks(PIPELINE_KEYS_MAX) {
            if !self.link.expire_all(parts, time).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn freshen(&self, record: &Record) -> Result<Freshening, TierError> {
        let Some(read) = self.link.lookup(&keys::current(record.stored_key())).await? else {
            return Ok(Freshening::Absent);
        };
        let stored = decode_head(record.stored_key(), &read)?;
        if stored.record.name != record.name {
            return Ok(Freshening::Absent);
        }
        if stored.record.length != record.length {
            return Err(TierError::Failed("redis: a new head is of another body".to_owned()));
        }
        if stored.record.freshness.born() > record.freshness.born() {
            return Ok(Freshening::Overtaken);
        }
        let keys = Keys { key: record.stored_key(), name: record.name };
        let time = remaining(&record.freshness);
        if !self.keep_parts(keys, stored.layout, time + PART_TIME).await? {
            return Ok(Freshening::Absent);
        }
        // Under the generation that it was published under: a purge since then is not undone.
        let head = StoredHead::encode(record, stored.generation, stored.layout);
        Ok(if self.link.freshen(record.stored_key(), &read, head, time).await? {
            Freshening::Done
        } else {
            Freshening::Overtaken
        })
    }

    /// Makes sure that some of the commits in doubt can no longer happen.
    async fn settle_doubts(&self) -> Result<(), TierError> {
        let doubts: Vec<(StoredKey, RecordName)> = {
            let open = self.open();
            open.doubts.iter().take(PIPELINE_KEYS_MAX).copied().collect()
        };
        self.settle(&doubts).await
    }

    /// Removes the heads-in-waiting of commits in doubt. Once they are gone, a script that is still on its
    /// way does nothing.
    async fn settle(&self, doubts: &[(StoredKey, RecordName)]) -> Result<(), TierError> {
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

    /// Takes back what a writer left that did not commit. Errors are no news: everything in Redis expires by
    /// itself.
    async fn take_back(&self, writer: &Writer) -> Result<(), TierError> {
        let Keys { key, name } = writer.keys;
        // First the head-in-waiting: once it is gone, a script that is still on its way does nothing.
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

    async fn delete(&self, key: StoredKey, name: Option<RecordName>) -> Result<bool, TierError> {
        let doubts: Vec<(StoredKey, RecordName)> = {
            let open = self.open();
            let of = |own: u128| StoredKey { key: CacheKey(own), ..key };
            let names = (of(0), RecordName(0))..=(of(u128::MAX), RecordName(u128::MAX));
            open.doubts.range(names).copied().collect()
        };
        self.settle(&doubts).await?;
        match name {
            None => self.link.purge(key.target).await,
            // A newer head may take its place between the two commands and be deleted instead: that is one
            // miss more.
            Some(name) => match self.head(key).await? {
                Some(head) if head.record.name == name => {
                    Ok(self.link.delete(&[keys::current(key)]).await? > 0)
                }
                Some(_) | None => Ok(false),
            },
        }
    }
}

/// What is left of a lifetime, and the time after it, within what a head may live.
fn remaining(freshness: &StoredFreshness) -> Duration {
    let fresh_for = freshness.lifetime.saturating_sub(freshness.age_then);
    fresh_for.saturating_add(STALE_TIME).min(HEAD_TIME_MAX)
}

impl<C: Connect> ByteTier for RedisTier<C> {
    /// At once, with nothing counted: what others store here is theirs as well.
    async fn join(&self) -> Contents {
        Contents::default()
    }

    /// None: the edge keeps them beside its own tier.
    async fn recover_bans(&self) -> Result<Vec<Ban>, TierError> {
        Ok(Vec::new())
    }

    /// Refused: a ban is one edge's, and what is here is shared.
    async fn store_ban(&self, _: Arc<Ban>) -> Result<(), TierError> {
        Err(TierError::Failed("redis: a shared tier keeps no bans of one edge".to_owned()))
    }

    async fn lookup(&self, handle: Handle<RecordId>, key: StoredKey) -> Result<Option<Found>, TierError> {
        let head = self.shared.head(key).await?;
        // What was said to have failed is not shown as stored.
        let is_shown = |found: RecordName| !self.shared.open().doubts.contains(&(key, found));
        let Some(head) = head.filter(|head| is_shown(head.record.name)) else {
            return Ok(None);
        };
        let record = OpenRecord { keys: Keys { key, name: head.record.name }, layout: head.layout };
        self.shared.open().records.insert(handle, record);
        Ok(Some(Found { record: head.record, body: None }))
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
                record.ok_or_else(|| TierError::Failed(format!("redis: {source:?} is not open")))?
            }
            ReadSource::Writer(id) => {
                let writer = self.writer(Handle { shard, id })?;
                let state = writer.state();
                match state.tail.held(offset, length_max) {
                    Some(bytes) if bytes.is_empty() => {
                        return Err(TierError::Failed(format!("redis: the body has no byte {offset}")));
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

    async fn open(
        &self,
        handle: Handle<WriterId>,
        key: StoredKey,
        name: RecordName,
    ) -> Result<(), TierError> {
        let keys = Keys { key, name };
        let generation = self.shared.link.join_generation(keys, GENERATION_TIME).await?;
        let writer = Writer::new("redis", keys, generation);
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

    async fn freshen(&self, record: Arc<Record>) -> Result<Freshening, TierError> {
        self.shared.freshen(&record).await
    }

    async fn delete(&self, key: StoredKey, name: Option<RecordName>) -> Result<bool, TierError> {
        self.shared.delete(key, name).await
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod login_tests;
#[cfg(test)]
mod tests;
