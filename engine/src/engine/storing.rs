//! What is stored where: L0, whose every change is told, with the sum; and what the tiers below were told to keep. Those keep
//! their own index, and evict as they like.

use super::{Deletion, Engine, Pending};
use crate::{
    bans::Ban,
    chunk::Chunk,
    effect::Effect,
    event::Event,
    id::{OpId, RecordName, TierId},
    key::{CacheKey, StoredKey},
    lane::Ended,
    memory::Resident,
    plant::{Fault, Plant},
    reason::{LaneEnd, Rejection, Removal},
    space::{Left, Space},
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};

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
            return self.event(Event::LaneDropped { tier, key, name: None, why: LaneEnd::Superseded });
        }
        let plant = self.config.plant;
        if !fits(memory, key, size, plant) {
            return self.event(Event::Rejected { tier, key, why: Rejection::OverCapacity });
        }
        let (variants, events) = (&mut self.variants, &mut self.events);
        make_room(memory, key, size, plant, |left, why| {
            variants.on_left(left.key);
            events.push_back(Event::Removed { tier, key: left.key, size: left.size, why });
        });
        memory.insert(key, size, Arc::new(resident));
        self.variants.on_stored(at);
        self.event(Event::Stored { tier, key, name: None, length, size, age, from });
        self.tell_resident();
    }

    /// A tier has published a record.
    pub(super) fn tell_stored(&mut self, tier: TierId, ended: &Ended) {
        let Ended { record, from } = ended;
        let (key, name, length) = (record.key, Some(record.name), record.length);
        let size = self.config.cost(length, &record.head);
        let age = record.freshness.to_live(self.now, self.wall()).age(self.now);
        self.event(Event::Stored { tier, key, name, length, size, age, from: *from });
    }

    /// The bans of earlier processes count from the first request on.
    pub(super) fn on_recovered(&mut self, tier: TierId, bans: Vec<Ban>) {
        assert!(self.requests.is_empty(), "the answer rule: {tier:?} was recovered after the first request");
        let plant = self.config.plant;
        for ban in bans.into_iter().filter(|_| !plant.is(Fault::X49)) {
            self.bans.push(ban);
        }
    }

    pub(super) fn on_tier_joined(&mut self, tier: TierId, objects: u64, bytes: ByteCount) {
        let awaited = self.joining.iter().position(|other| *other == tier);
        let awaited = awaited.expect("the answer rule: a local tier joins once");
        self.joining.remove(awaited);
        self.event(Event::TierJoined { tier, objects, bytes });
    }

    /// Takes a record off its tier, if it is still the one of that name.
    pub(super) fn delete_record(&mut self, tier: TierId, at: StoredKey, name: RecordName) {
        if !self.is_durable(tier) {
            self.delete(tier, at, Some(name));
        }
    }

    /// Takes a key out of L0.
    pub(super) fn remove_from_memory(&mut self, key: CacheKey, why: Removal) -> Option<ByteCount> {
        let left = self.memory.as_mut()?.remove(key)?;
        self.variants.on_left(key);
        self.event(Event::Removed { tier: TierId::L0, key, size: left.size, why });
        self.tell_resident();
        Some(left.size)
    }

    pub(super) fn delete(&mut self, tier: TierId, key: StoredKey, name: Option<RecordName>) -> OpId {
        if self.is_durable(tier) {
            assert_eq!(
                name, None,
                "the durable tier's records are deleted by who uploads them, and by its collector"
            );
            return self.purge_durable(key.target);
        }
        let op = self.operation(Pending::Delete(Deletion { tier }));
        self.effect(Effect::Delete { op, tier, key, name });
        op
    }

    fn tell_resident(&mut self) {
        let Some(memory) = &self.memory else { return };
        let (bytes, objects, capacity) = (memory.used(), memory.len(), memory.capacity());
        self.event(Event::Resident { tier: TierId::L0, bytes, objects, capacity });
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
    mut on_left: impl FnMut(Left, Removal),
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
