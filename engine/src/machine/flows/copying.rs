//! Copies and who they are for: what a lane's step means for the fill, the promotion or the target that it belongs to.

use crate::machine::{
    Deletion, Engine, Pending,
    copying::{Came, Lost, Moved, Owner},
    purging::Awaited,
};
use crate::{
    chunk::Chunk,
    effect::Effect,
    id::{PromotionId, RecordName, TierId, WriterId},
    key::StoredKey,
    record::Record,
};
use alloc::sync::Arc;

impl<C: Chunk> Engine<C> {
    /// A lane has done a step: its owner goes on.
    pub(in crate::machine) fn on_moved(&mut self, moved: Moved) {
        let Moved { writer, owner, came } = moved;
        if let Came::Doomed(doomed) = &came {
            self.delete_for_purges(writer, doomed.tier, doomed.at, doomed.name);
        }
        match owner {
            Owner::Fill(fill) => self.pump(fill),
            Owner::Promotion(promotion) => self.copying.settle_promotion(&mut self.cx, promotion),
            Owner::Marker => {
                let lost = self.copying.settle_marker(&mut self.cx, writer);
                self.unmark(lost);
            }
        }
        if let Came::Stored(tier, record) = came {
            self.mark(tier, &record);
        }
    }

    pub(in crate::machine) fn on_lanes_stalled(&mut self) {
        for moved in self.copying.on_lanes_stalled(&mut self.cx) {
            self.on_moved(moved);
        }
    }

    /// A response was stored in a tier: if it is a variant, its target is marked there, if it may not be marked yet.
    fn mark(&mut self, tier: TierId, stored: &Arc<Record>) {
        if !stored.stored_key().is_variant() || self.cx.is_durable(tier) {
            return;
        }
        let variants = &mut self.residence.variants;
        let Some(names) = variants.names_to_mark(stored.target, tier, self.cx.now) else { return };
        let lost = self.copying.mark(&mut self.cx, tier, stored, &names);
        self.unmark(lost);
    }

    /// These markers will not be there.
    pub(in crate::machine) fn unmark(&mut self, lost: impl IntoIterator<Item = Lost>) {
        for Lost { target, tier } in lost {
            self.residence.variants.on_unmarked(target, tier);
        }
    }

    /// The reader has read it all, and its response has ended (C2).
    pub(in crate::machine) fn end_promotion(&mut self, promotion: PromotionId) {
        if let Some((at, resident, from)) = self.copying.take_collected(promotion) {
            self.residence.store(&mut self.cx, at, resident, Some(from));
        }
        self.copying.end_promotion(&mut self.cx, promotion);
    }

    /// A tier's commit was answered: delete the record, for every purge that waited for the answer.
    fn delete_for_purges(&mut self, writer: WriterId, tier: TierId, at: StoredKey, name: RecordName) {
        let deletion = self.delete(tier, at, Some(name));
        self.purging.await_deletion(writer, deletion);
    }

    /// Takes a record off its tier, if it is still the one of that name.
    pub(in crate::machine) fn delete_record(&mut self, tier: TierId, at: StoredKey, name: RecordName) {
        if !self.cx.is_durable(tier) {
            self.delete(tier, at, Some(name));
        }
    }

    pub(in crate::machine) fn delete(
        &mut self,
        tier: TierId,
        key: StoredKey,
        name: Option<RecordName>,
    ) -> Awaited {
        if self.cx.is_durable(tier) {
            assert_eq!(
                name, None,
                "the durable tier's records are deleted by who uploads them, and by its collector"
            );
            let (durable, cx) = self.durable();
            return Awaited::Durable(durable.purge(cx, key.target));
        }
        let op = self.cx.operation(Pending::Delete(Deletion { tier }));
        self.cx.effect(Effect::Delete { op, tier, key, name });
        Awaited::Operation(op)
    }
}
