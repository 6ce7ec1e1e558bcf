//! What is stored where: L0, whose every change is told, with the sum; and what the tiers below were told to keep. Those keep
//! their own index, and evict as they like.

use super::{Deletion, Engine, Pending};
use crate::{
    chunk::Chunk,
    effect::Effect,
    event::Event,
    id::{OpId, RecordName, TierId},
    key::StoredKey,
    lane::Ended,
    units::ByteCount,
};

impl<C: Chunk> Engine<C> {
    /// A tier has published a record.
    pub(super) fn tell_stored(&mut self, tier: TierId, ended: &Ended) {
        let Ended { record, from } = ended;
        let (key, name, length) = (record.key, Some(record.name), record.length);
        let size = self.cx.config.cost(length, &record.head);
        let age = record.freshness.to_live(self.cx.now, self.cx.wall()).age(self.cx.now);
        self.cx.event(Event::Stored { tier, key, name, length, size, age, from: *from });
    }

    pub(super) fn on_tier_joined(&mut self, tier: TierId, objects: u64, bytes: ByteCount) {
        let awaited = self.joining.iter().position(|other| *other == tier);
        let awaited = awaited.expect("the answer rule: a local tier joins once");
        self.joining.remove(awaited);
        self.cx.event(Event::TierJoined { tier, objects, bytes });
    }

    /// Takes a record off its tier, if it is still the one of that name.
    pub(super) fn delete_record(&mut self, tier: TierId, at: StoredKey, name: RecordName) {
        if !self.is_durable(tier) {
            self.delete(tier, at, Some(name));
        }
    }

    pub(super) fn delete(&mut self, tier: TierId, key: StoredKey, name: Option<RecordName>) -> OpId {
        if self.is_durable(tier) {
            assert_eq!(
                name, None,
                "the durable tier's records are deleted by who uploads them, and by its collector"
            );
            return self.purge_durable(key.target);
        }
        let op = self.cx.operation(Pending::Delete(Deletion { tier }));
        self.cx.effect(Effect::Delete { op, tier, key, name });
        op
    }
}
