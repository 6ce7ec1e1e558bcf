//! A memcached that edges share, as a tier, by its meta protocol.
//!
//! ```text
//! tg:{target}               the target's generation, and the head of what is current under its own key
//! tg:{target}:variant:key   the head of one variant, with the generation that it was published under
//!  …:name:n                 part n of a body, with its checksum
//! ```
//!
//! There are no scripts here, but an item can be exchanged if it is still the one that was read. So what must
//! change together lies in one item: a commit exchanges the item of its target for one of the same generation
//! with its head. A purge deletes that item. Whoever opened a writer before finds no item then, or one of
//! another generation, and publishes nothing (C7). Generations are names of fills and never used twice, and
//! the server's versions of items are never used twice in its life, so an exchange that arrives late, after a
//! purge or a newer head, does nothing.
//!
//! **A head of a variant** counts only while its target's generation is the one that it was published under.
//! A lookup reads the head first and the generation after it: what is current at the second read was so at
//! the first. A commit reads the generation before its exchange and after it, and fails if it is another one.
//!
//! **Losses.** memcached drops what it likes and forgets all in a restart. A generation that is lost costs
//! stores, and variants that were published under it; it never undoes a purge. Everything expires, parts
//! after the head they are of. A checksum is over each part and each head, and a part has the length that its
//! head says, so nothing that is stored under a wrong name, or by halves, is served.
//!
//! **A commit in doubt.** An exchange whose answer did not come may still happen. A record that was said to
//! have failed must not come back after a delete by its name, so every such delete for that target first
//! writes the item of the commit anew, as it is or without that head: the late exchange then finds another
//! version.
//!
//! Commands used: `mg`, `ms` and `md`, of memcached 1.6. There are no retries but of exchanges that another
//! edge was faster than, so often and no more; each command has one time limit. Start at [`MemcachedTier`].

mod calls;
mod link;
mod slot;

use crate::{
    blocks::{self, Layout},
    connect::Connect,
    shared::{
        keys::{self, Generation, Keys},
        stored_head::StoredHead,
        writer::Writer,
    },
};
use bytes::Bytes;
use link::{Item, Link, TIME_MAX, Written};
use slot::Slot;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tiergate_driver::{Handle, TierError};
use tiergate_engine::{
    CacheKey, Freshening, Record, RecordId, RecordName, StoredFreshness, StoredKey, WriterId,
};

/// What every key begins with.
const PREFIX: &str = "tg:";
/// How much longer than its lifetime a head lives: a stale response may still hold when the origin is asked,
/// or stand in for an origin that fails.
const STALE_TIME: Duration = Duration::from_secs(3_600);
/// How much longer than their head parts live, and how long they live before they have one.
const PART_TIME: Duration = Duration::from_secs(600);
/// A head lives at most this long, and its parts longer.
const HEAD_TIME_MAX: Duration = Duration::from_secs(29 * 24 * 3_600);
const _: () = assert!(HEAD_TIME_MAX.as_secs() + PART_TIME.as_secs() < TIME_MAX.as_secs());
/// How long a generation lives at least after a writer last opened. A fill that takes longer is not stored.
const GENERATION_TIME: Duration = PART_TIME;
/// Keys named in one batch of commands at most.
const BATCH_KEYS_MAX: usize = 128;
/// How often an exchange is tried while others are faster.
const EXCHANGES_MAX: u32 = 16;
/// Commits in doubt that are remembered; before one more, some are settled.
const DOUBTS_MAX: usize = 1_024;

/// How to speak to a memcached.
#[derive(Clone, Debug)]
pub struct MemcachedOptions {
    /// How long one command may take, with connecting if need be. Default 250 ms. A body is read and written
    /// by several.
    pub command_time_max: Duration,
}

impl Default for MemcachedOptions {
    fn default() -> Self {
        Self { command_time_max: Duration::from_millis(250) }
    }
}

/// A memcached at one `host:port`. Several processes may share it.
pub struct MemcachedTier<C: Connect> {
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
    /// Commits whose exchange was not answered.
    doubts: BTreeSet<(StoredKey, RecordName)>,
}

/// A record that a lookup opened: the name pins it to one fill (failure T9).
#[derive(Clone, Copy)]
struct OpenRecord {
    keys: Keys,
    layout: Layout,
}

/// What is to become of an item.
enum Change {
    /// This takes its place, for this time.
    To(Vec<u8>, Duration),
    /// It stays.
    Nothing,
}

fn failed(what: impl std::fmt::Display) -> TierError {
    TierError::Failed(format!("memcached: {what}"))
}

fn purged(key: StoredKey) -> TierError {
    failed(format_args!("{key} was purged, or its generation was lost, since the writer was opened"))
}

/// What is left of a lifetime, and the time after it, within what a head may live.
fn remaining(freshness: &StoredFreshness) -> Duration {
    let fresh_for = freshness.lifetime.saturating_sub(freshness.age_then);
    fresh_for.saturating_add(STALE_TIME).min(HEAD_TIME_MAX)
}

impl<C: Connect> MemcachedTier<C> {
    /// A connection to `authority`, which is `host:port`, is made when the first command needs it.
    pub fn new(connector: C, authority: impl Into<String>, options: MemcachedOptions) -> Self {
        let link = Link::new(connector, authority.into(), PREFIX, options.command_time_max);
        Self { shared: Arc::new(Shared { link, open: Mutex::default() }) }
    }

    fn writer(&self, handle: Handle<WriterId>) -> Result<Arc<Writer>, TierError> {
        let writer = self.shared.open().writers.get(&handle).map(Arc::clone);
        writer.ok_or_else(|| failed(format_args!("writer {handle:?} is not open")))
    }
}

impl<C: Connect> Shared<C> {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an item is, if it is one of this key.
    fn slot(&self, key: StoredKey, item: &Item) -> Result<Slot, TierError> {
        let wrong = |what: String| {
            let name = self.link.named(&keys::current(key));
            TierError::Rotten(format!("memcached: `{name}` {what}"))
        };
        let slot = Slot::decode(&item.bytes).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        match &slot {
            Slot::Head(head) if head.record.stored_key() != key => {
                Err(wrong(format!("has the head of {}", head.record.stored_key())))
            }
            Slot::Head(_) | Slot::Empty(_) => Ok(slot),
        }
    }

    async fn get(&self, key: StoredKey) -> Result<Option<(Slot, Item)>, TierError> {
        let Some(item) = self.link.get(&keys::current(key)).await? else { return Ok(None) };
        Ok(Some((self.slot(key, &item)?, item)))
    }

    /// The current head of `key`.
    async fn head(&self, key: StoredKey) -> Result<Option<Box<StoredHead>>, TierError> {
        let Some((Slot::Head(head), _)) = self.get(key).await? else { return Ok(None) };
        if key.is_variant() {
            // After the head: see above.
            let target = self.get(StoredKey::plain(key.target)).await?;
            if target.is_none_or(|(target, _)| target.generation() != head.generation) {
                return Ok(None);
            }
        }
        Ok(Some(head))
    }

    /// Exchanges an item for what `decide` makes of it, as often as others are faster. Says what was there
    /// and whether it was exchanged; `None` where there is none.
    async fn exchange(
        &self,
        key: StoredKey,
        mut decide: impl FnMut(&Slot, &Item) -> Change,
    ) -> Result<Option<(Slot, bool)>, TierError> {
        for _ in 0..EXCHANGES_MAX {
            let Some((slot, item)) = self.get(key).await? else { return Ok(None) };
            let Change::To(bytes, time) = decide(&slot, &item) else { return Ok(Some((slot, false))) };
            match self.link.swap(&keys::current(key), item.version, &bytes, time).await? {
                Written::Done => return Ok(Some((slot, true))),
                Written::Gone => return Ok(None),
                Written::Changed => {}
            }
        }
        Err(failed(format_args!("{key} is changed by others all the time")))
    }

    /// The generation of a target, which lives for some time at least; if it had none, the name of this fill
    /// is its generation from now on.
    async fn join_generation(&self, keys: Keys) -> Result<Generation, TierError> {
        let target = StoredKey::plain(keys.key.target);
        let place = keys::current(target);
        for _ in 0..EXCHANGES_MAX {
            let found = match self.get(target).await {
                // Nobody could publish here for as long as it lives. Without it, all writers begin anew.
                Err(TierError::Rotten(_)) => {
                    self.link.delete(std::slice::from_ref(&place)).await?;
                    continue;
                }
                other => other?,
            };
            if let Some((slot, item)) = found {
                let is_kept = item.left >= GENERATION_TIME
                    || self.link.prolong(std::slice::from_ref(&place), GENERATION_TIME).await?;
                if is_kept {
                    return Ok(slot.generation());
                }
                continue;
            }
            let own = Generation(keys.name);
            if self.link.add(&place, &Slot::encode_empty(own), GENERATION_TIME).await? {
                return Ok(own);
            }
        }
        Err(failed(format_args!("{target} is changed by others all the time")))
    }

    /// Checked bytes of the body from `offset` on, out of one part.
    async fn read(&self, record: OpenRecord, offset: u64, length_max: u64) -> Result<Bytes, TierError> {
        if offset >= record.layout.length || length_max == 0 {
            return Err(failed(format_args!("the body has no byte {offset}")));
        }
        let (index, within) = record.layout.position(offset);
        let key = record.keys.part(index);
        let part = self.link.get(&key).await?;
        let key = self.link.named(&key);
        let part = part.ok_or_else(|| TierError::Rotten(format!("memcached: `{key}` is gone")))?.bytes;
        let size = blocks::unseal(&part, record.layout.size(index))
            .map_err(|error| TierError::Rotten(format!("memcached: `{key}` cannot be read: {error}")))?
            .len();
        let end = size.min(within.saturating_add(usize::try_from(length_max).unwrap_or(usize::MAX)));
        Ok(part.slice(within..end))
    }

    /// Lets all parts of a body live for `time` from now on; says whether all of them are there.
    async fn keep_parts(&self, keys: Keys, layout: Layout, time: Duration) -> Result<bool, TierError> {
        let parts: Vec<String> = (0..layout.count()).map(|index| keys.part(index)).collect();
        for parts in parts.chunks(BATCH_KEYS_MAX) {
            if !self.link.prolong(parts, time).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn commit(&self, writer: &Writer, record: &Record) -> Result<(), TierError> {
        let layout = writer.layout(record)?;
        if let Some((index, part)) = writer.last_part() {
            self.link.set(&writer.keys.part(index), &part, PART_TIME).await?;
        }
        let time = remaining(&record.freshness);
        if !self.keep_parts(writer.keys, layout, time + PART_TIME).await? {
            return Err(failed("a part of the body is gone before its commit"));
        }
        if self.open().doubts.len() >= DOUBTS_MAX {
            self.settle_doubts().await?;
        }
        let (key, generation) = (writer.keys.key, writer.generation);
        // A head that would not count takes nothing from one that does.
        if key.is_variant() && !self.keep_generation(key, generation, time).await? {
            return Err(purged(key));
        }
        let doubt = (key, writer.keys.name);
        // Entered before the exchange, so that it is there even if this future is dropped meanwhile.
        self.open().doubts.insert(doubt);
        let published = self
            .exchange(key, |slot, item| {
                if !key.is_variant() && slot.generation() != generation {
                    return Change::Nothing;
                }
                let head = StoredHead::encode(record, generation, layout);
                // The generation of a target lives as long as the longest head that was published under it.
                Change::To(Slot::encode_head(head), if key.is_variant() { time } else { time.max(item.left) })
            })
            .await?;
        self.open().doubts.remove(&doubt);
        let is_published = published.is_some_and(|(_, is_published)| is_published);
        if !is_published || (key.is_variant() && !self.keep_generation(key, generation, time).await?) {
            return Err(purged(key));
        }
        Ok(())
    }

    /// Lets the generation of a variant's target live as long as its head; says whether it is still this one.
    async fn keep_generation(
        &self,
        key: StoredKey,
        generation: Generation,
        time: Duration,
    ) -> Result<bool, TierError> {
        let target = StoredKey::plain(key.target);
        let Some((slot, item)) = self.get(target).await? else { return Ok(false) };
        if slot.generation() != generation {
            return Ok(false);
        }
        Ok(item.left >= time || self.link.prolong(&[keys::current(target)], time).await?)
    }

    async fn freshen(&self, record: &Record) -> Result<Freshening, TierError> {
        let key = record.stored_key();
        let Some((Slot::Head(stored), item)) = self.get(key).await? else { return Ok(Freshening::Absent) };
        if stored.record.name != record.name {
            return Ok(Freshening::Absent);
        }
        if stored.record.length != record.length {
            return Err(failed("a new head is of another body"));
        }
        if stored.record.freshness.born() > record.freshness.born() {
            return Ok(Freshening::Overtaken);
        }
        let keys = Keys { key, name: record.name };
        let time = remaining(&record.freshness);
        if !self.keep_parts(keys, stored.layout, time + PART_TIME).await? {
            return Ok(Freshening::Absent);
        }
        // Under the generation that it was published under: a purge since then is not undone.
        let head = Slot::encode_head(StoredHead::encode(record, stored.generation, stored.layout));
        let time = if key.is_variant() { time } else { time.max(item.left) };
        Ok(match self.link.swap(&keys::current(key), item.version, &head, time).await? {
            Written::Done => Freshening::Done,
            Written::Changed | Written::Gone => Freshening::Overtaken,
        })
    }

    /// Makes sure that some of the commits in doubt can no longer happen.
    async fn settle_doubts(&self) -> Result<(), TierError> {
        let doubts: Vec<(StoredKey, RecordName)> =
            self.open().doubts.iter().take(BATCH_KEYS_MAX).copied().collect();
        self.settle(&doubts).await
    }

    /// Writes the items of commits in doubt anew, without their heads: a late exchange finds another version,
    /// or no item at all.
    async fn settle(&self, doubts: &[(StoredKey, RecordName)]) -> Result<(), TierError> {
        for doubt @ (key, name) in doubts {
            let anew = |slot: &Slot, item: &Item| {
                let bytes = match slot.name() {
                    Some(found) if found == *name => Slot::encode_empty(slot.generation()),
                    Some(_) | None => item.bytes.to_vec(),
                };
                Change::To(bytes, item.left)
            };
            self.exchange(*key, anew).await?;
            self.open().doubts.remove(doubt);
        }
        Ok(())
    }

    /// Takes back what a writer left that did not commit. Errors are no news: everything expires by itself.
    async fn take_back(&self, writer: &Writer) -> Result<(), TierError> {
        let doubt = (writer.keys.key, writer.keys.name);
        if self.open().doubts.contains(&doubt) {
            self.settle(&[doubt]).await?;
        }
        let count = writer.state().tail.stored().count();
        let parts: Vec<String> = (0..=count).map(|index| writer.keys.part(index)).collect();
        for parts in parts.chunks(BATCH_KEYS_MAX) {
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
        let Some(name) = name else {
            // Late exchanges find no item, or a newer one.
            let target = StoredKey::plain(key.target);
            let existed = self.link.get(&keys::current(target)).await?;
            let existed =
                existed.is_some_and(|item| Slot::decode(&item.bytes).is_ok_and(|slot| slot.name().is_some()));
            let was_there = self.link.delete(&[keys::current(target)]).await? > 0;
            return Ok(existed && was_there);
        };
        self.settle(&doubts).await?;
        let without = |slot: &Slot, item: &Item| match slot.name() {
            Some(found) if found == name => Change::To(Slot::encode_empty(slot.generation()), item.left),
            Some(_) | None => Change::Nothing,
        };
        Ok(self.exchange(key, without).await?.is_some_and(|(_, is_exchanged)| is_exchanged))
    }
}

#[cfg(test)]
mod tests;
