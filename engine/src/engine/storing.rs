//! What is resident: L0, and the indexes that the engine keeps of local tiers. Every change is told, with the sum.

use super::{Deletion, Engine, Pending};
use crate::{
    bans::Ban,
    chunk::Chunk,
    effect::Effect,
    event::{Event, FillVerdict},
    head::Head,
    id::{OpId, RecordName, TierId},
    key::{CacheKey, StoredKey},
    lane::Ended,
    memory::Resident,
    plant::{Fault, Plant},
    reason::{LaneEnd, Rejection, Removal},
    record::{Freshness, Record},
    rules::{Staleness, vary::Vary},
    space::{Left, Space},
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};

/// What the engine knows of a record in a tier whose index it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) name: RecordName,
    pub(super) freshness: Freshness,
    pub(super) when_stale: WhenStale,
}

/// Is a record worth opening once it is stale?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenStale {
    /// It can be asked about, or stand in.
    MayHelp,
    /// It has no validator and no window.
    Useless,
}

impl Indexed {
    /// What the index knows of a record.
    pub(super) fn of(name: RecordName, head: &Head, freshness: Freshness, staleness: Staleness) -> Self {
        let helps = staleness.helps_when_stale(head);
        let when_stale = if helps { WhenStale::MayHelp } else { WhenStale::Useless };
        Self { name, freshness, when_stale }
    }
}

impl<C: Chunk> Engine<C> {
    /// Makes a response visible in L0, in place of any older one.
    pub(super) fn store_in_memory(&mut self, at: StoredKey, resident: Resident<C>, from: Option<TierId>) {
        let (key, tier) = (at.key, TierId::L0);
        let (length, age) = (resident.length, resident.freshness.age(self.now));
        let size = self.config.cost(length, &resident.head);
        let Some(memory) = &mut self.memory else { return };
        let now = self.now;
        let is_overtaken = memory
            .find(key)
            .is_some_and(|slot| memory.value(slot).freshness.age(now) < resident.freshness.age(now));
        if is_overtaken && !self.config.is_planted(Fault::F3) {
            return self.event(Event::LaneDropped { tier, key, why: LaneEnd::Superseded });
        }
        let plant = self.config.plant;
        if !fits(memory, key, size, plant) {
            return self.event(Event::Rejected { tier, key, why: Rejection::OverCapacity });
        }
        let (variants, events) = (&mut self.variants, &mut self.events);
        make_room(memory, key, size, plant, |left, why| {
            variants.on_left(left.key, tier);
            events.push_back(Event::Removed { tier, key: left.key, size: left.size, why });
        });
        memory.insert(key, size, Arc::new(resident));
        self.variants.on_stored(at, tier);
        self.event(Event::Stored { tier, key, length, size, age, from });
        self.tell_resident(tier);
    }

    /// A tier has published a record: index it, if the index is ours.
    pub(super) fn store_in_tier(&mut self, tier: TierId, ended: &Ended) -> FillVerdict {
        let Ended { record, staleness, from } = ended;
        let from = *from;
        let (at, key, length) = (record.stored_key(), record.key, record.length);
        let size = self.config.cost(length, &record.head);
        let (now, plant) = (self.now, self.config.plant);
        let freshness = record.freshness.to_live(now, self.wall());
        let age = freshness.age(now);
        let indexed = Indexed::of(record.name, &record.head, freshness, *staleness);
        let Some(index) = self.index(tier) else {
            self.event(Event::Stored { tier, key, length, size, age, from });
            return FillVerdict::Stored;
        };
        let is_overtaken =
            index.find(key).is_some_and(|slot| index.value(slot).freshness.age(now) < freshness.age(now));
        if is_overtaken {
            self.event(Event::LaneDropped { tier, key, why: LaneEnd::Superseded });
            self.delete(tier, at, Some(record.name), None);
            return FillVerdict::Dropped(LaneEnd::Superseded);
        }
        if !fits(index, key, size, plant) {
            self.event(Event::Rejected { tier, key, why: Rejection::OverCapacity });
            self.delete(tier, at, Some(record.name), None);
            return FillVerdict::Rejected(Rejection::OverCapacity);
        }
        let gone = self.replace_indexed(tier, key, size, indexed);
        self.variants.on_stored(at, tier);
        self.event(Event::Stored { tier, key, length, size, age, from });
        self.tell_resident(tier);
        for (at, name) in gone {
            self.delete(tier, at, Some(name), None);
        }
        FillVerdict::Stored
    }

    /// A tier has freshened a record: it is the same one, with another head. One that no longer fits is removed.
    pub(super) fn index_freshened(
        &mut self,
        tier: TierId,
        at: StoredKey,
        indexed: Indexed,
        length: ByteCount,
        size: ByteCount,
    ) {
        let (key, now) = (at.key, self.now);
        let age = indexed.freshness.age(now);
        // Purged while the tier freshened it: whoever finds it, if it is there at all, takes it for absent by its birth.
        if self.is_purged(at.target, indexed.freshness.born(now, self.wall())) {
            return;
        }
        let Some(index) = self.index(tier) else {
            self.event(Event::Freshened { tier, key });
            return self.event(Event::Stored { tier, key, length, size, age, from: Some(tier) });
        };
        let known = index.find(key).map(|slot| *index.value(slot));
        let Some(known) = known.filter(|known| known.name == indexed.name) else { return };
        // The tier's answers may come in another order than it did what they are about.
        if known.freshness.age(now) < indexed.freshness.age(now) {
            return;
        }
        if !index.fits(size) {
            return self.forget_indexed(tier, at, indexed.name, Removal::Capacity);
        }
        self.event(Event::Freshened { tier, key });
        let mut gone = self.replace_indexed(tier, key, size, indexed);
        // Its own record stays, under the new head.
        gone.retain(|(_, name)| *name != indexed.name);
        self.variants.on_stored(at, tier);
        self.event(Event::Stored { tier, key, length, size, age, from: Some(tier) });
        self.tell_resident(tier);
        for (at, name) in gone {
            self.delete(tier, at, Some(name), None);
        }
    }

    pub(super) fn on_recovered(&mut self, tier: TierId, records: Vec<Record>, bans: Vec<Ban>) {
        assert!(self.requests.is_empty(), "the answer rule: {tier:?} was recovered after the first request");
        let plant = self.config.plant;
        for ban in bans.into_iter().filter(|_| !plant.is(Fault::X49)) {
            self.bans.push(ban);
        }
        let objects = records.len() as u64;
        for record in records.into_iter().filter(|_| !plant.is(Fault::A6)) {
            // Oldest first: what the newest depends on is what counts.
            if let Vary::Fields(names) = Vary::of(&record.head)
                && record.stored_key().is_variant()
            {
                self.variants.learn_names(record.target, &names);
            }
            let staleness = Staleness::of(&self.config.policy, &record.head);
            self.store_in_tier(tier, &Ended { record: Arc::new(record), staleness, from: None });
        }
        if plant.is(Fault::A2)
            && let Some(index) = self.index(tier)
        {
            index.misplace(ByteCount(index.used().0));
        }
        self.event(Event::Recovered { tier, objects });
    }

    /// Takes a record out of our index and off the tier, if it is still the one of that name. Without an index of ours
    /// only the tier can tell, so it is asked to remove the name.
    pub(super) fn forget_indexed(&mut self, tier: TierId, at: StoredKey, name: RecordName, why: Removal) {
        let key = at.key;
        if let Some(index) = self.index(tier) {
            let is_it = index.find(key).is_some_and(|slot| index.value(slot).name == name);
            if !is_it {
                return;
            }
            if let Some(left) = index.remove(key) {
                self.variants.on_left(key, tier);
                self.event(Event::Removed { tier, key, size: left.size, why });
            }
            self.tell_resident(tier);
        }
        if !self.is_durable(tier) {
            self.delete(tier, at, Some(name), None);
        }
    }

    /// Takes a record out of our index that its tier does not have.
    pub(super) fn forget_lost(&mut self, tier: TierId, at: StoredKey, name: RecordName) {
        if self.indexed(tier, at.key).is_some_and(|indexed| indexed.name == name) {
            self.forget_indexed(tier, at, name, Removal::Lost);
        }
    }

    /// Takes a key out of L0.
    pub(super) fn remove_from_memory(&mut self, key: CacheKey, why: Removal) -> Option<ByteCount> {
        let left = self.memory.as_mut()?.remove(key)?;
        self.variants.on_left(key, TierId::L0);
        self.event(Event::Removed { tier: TierId::L0, key, size: left.size, why });
        self.tell_resident(TierId::L0);
        Some(left.size)
    }

    /// Takes a key out of a tier's index, if we keep it; the record itself is the caller's to delete.
    pub(super) fn remove_indexed(&mut self, tier: TierId, key: CacheKey, why: Removal) -> Option<ByteCount> {
        let left = self.index(tier)?.remove(key)?;
        self.variants.on_left(key, tier);
        self.event(Event::Removed { tier, key, size: left.size, why });
        self.tell_resident(tier);
        Some(left.size)
    }

    /// Counts a use of what our index of a tier holds.
    pub(super) fn use_indexed(&mut self, tier: TierId, key: CacheKey) {
        if let Some(index) = self.index(tier)
            && let Some(slot) = index.find(key)
        {
            index.on_used(slot);
        }
    }

    pub(super) fn indexed(&self, tier: TierId, key: CacheKey) -> Option<Indexed> {
        let (_, index) = self.indexes.iter().find(|(id, _)| *id == tier)?;
        index.find(key).map(|slot| *index.value(slot))
    }

    pub(super) fn index(&mut self, tier: TierId) -> Option<&mut Space<Indexed>> {
        self.indexes.iter_mut().find(|(id, _)| *id == tier).map(|(_, index)| index)
    }

    pub(super) fn delete(
        &mut self,
        tier: TierId,
        key: StoredKey,
        name: Option<RecordName>,
        size: Option<ByteCount>,
    ) -> OpId {
        if self.is_durable(tier) {
            assert_eq!(
                name, None,
                "the durable tier's records are deleted by who uploads them, and by its collector"
            );
            return self.purge_durable(key.target);
        }
        let op = self.operation(Pending::Delete(Deletion { tier, size }));
        self.effect(Effect::Delete { op, tier, key, name });
        op
    }

    /// Indexes a record, for which there is room as such. Says what leaves the tier for it, the older one of its key first.
    fn replace_indexed(
        &mut self,
        tier: TierId,
        key: CacheKey,
        size: ByteCount,
        indexed: Indexed,
    ) -> Vec<(StoredKey, RecordName)> {
        let mut gone = Vec::new();
        let plant = self.config.plant;
        let indexes = &mut self.indexes;
        let (variants, events) = (&mut self.variants, &mut self.events);
        let (_, index) = indexes.iter_mut().find(|(id, _)| *id == tier).expect("the caller found the index");
        make_room(index, key, size, plant, |left, why| {
            gone.push((variants.at(left.key), left.value.name));
            variants.on_left(left.key, tier);
            events.push_back(Event::Removed { tier, key: left.key, size: left.size, why });
        });
        index.insert(key, size, indexed);
        gone
    }

    fn tell_resident(&mut self, tier: TierId) {
        let (bytes, objects, capacity) =
            match (tier, &self.memory, self.indexes.iter().find(|(id, _)| *id == tier)) {
                (TierId::L0, Some(memory), _) => (memory.used(), memory.len(), memory.capacity()),
                (_, _, Some((_, index))) => (index.used(), index.len(), index.capacity()),
                (_, _, None) => return,
            };
        self.event(Event::Resident { tier, bytes, objects, capacity });
    }
}

/// Could an object of this size ever fit?
fn fits<T>(space: &Space<T>, key: CacheKey, size: ByteCount, plant: Plant) -> bool {
    if plant.is(Fault::A5) && space.find(key).is_none() && space.used().plus(size.0) > space.capacity() {
        return false;
    }
    space.fits(size) || plant.is(Fault::A4)
}

/// Takes out what `key` had, and victims until an object of `size`, which fits the space as such, fits beside the rest.
fn make_room<T>(
    space: &mut Space<T>,
    key: CacheKey,
    size: ByteCount,
    plant: Plant,
    mut on_left: impl FnMut(Left<T>, Removal),
) {
    if let Some(replaced) = space.remove_replaced(key) {
        if plant.is(Fault::A1) {
            space.misplace_more(replaced.size);
        }
        on_left(replaced, Removal::Replaced);
    }
    if plant.is(Fault::X42) && space.used().plus(size.0) == space.capacity().plus(1) {
        return;
    }
    while let Some(victim) = space.evict_for(key, size) {
        on_left(victim, Removal::Capacity);
    }
}
