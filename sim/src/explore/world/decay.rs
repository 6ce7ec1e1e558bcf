//! What stores lose by themselves: records and blobs whole, and blobs that are torn or rot.

use crate::explore::{
    campaign::tally::WorldFault, world::World, world::client::place, world::simulated_l3::SimulatedL3,
    world::tier::Tier,
};
use crate::telling::Party;
use std::sync::Arc;
use tiergate_engine::{Effect, Symbol, TierId};

impl Tier {
    /// Loses one record, whole. Those who have it open keep it.
    fn lose(&mut self, choice: u64) -> bool {
        let at = place(choice % self.records.len().max(1) as u64);
        let Some(stored) = self.records.values().nth(at) else { return false };
        let (key, name) = (stored.record.stored_key(), stored.record.name);
        self.lost.insert(key);
        self.remove(name)
    }
}

impl SimulatedL3 {
    /// Loses one blob.
    fn lose(&mut self, choice: u64) -> bool {
        let at = place(choice % self.blobs.len().max(1) as u64);
        let Some(blob) = self.blobs.keys().nth(at).copied() else { return false };
        self.blobs.remove(&blob);
        self.lost.insert(blob);
        true
    }

    /// Tears a blob, or lets it rot: it is shorter then, or as long with other bytes. Who has it open keeps
    /// it as it was.
    fn rot(&mut self, choice: u64, may_keep_length: bool) -> bool {
        let at = place(choice % self.blobs.len().max(1) as u64);
        let Some((name, body)) = self.blobs.iter_mut().nth(at) else { return false };
        let mut pieces = Vec::clone(body);
        let Some(last) = pieces.last_mut() else { return false };
        if may_keep_length && choice.is_multiple_of(2) {
            last.version = 0; // Which no object has.
        } else {
            last.size -= 1;
            pieces.retain(|piece| piece.size > 0);
        }
        *body = Arc::new(pieces);
        self.lost.insert(*name);
        self.rotten.insert(*name)
    }

    /// The faults are over: the store gives nothing any more that it knows is not what was uploaded.
    pub(in crate::explore) fn heal(&mut self) {
        for blob in std::mem::take(&mut self.rotten) {
            self.blobs.remove(&blob);
        }
    }
}

impl World {
    /// A tier is asked, and may have lost something by then.
    pub(in crate::explore) fn decay_tier(&mut self, place: usize, effect: &Effect<Symbol>) {
        let loses = self.plan.faults.tier_loses;
        if self.is_meant(loses, WorldFault::TierLost, |chances| &mut chances.tier) {
            let is_lost = self.tiers[place].lose(self.chances.tier.bits());
            self.tally.count(WorldFault::TierLost).fired += u64::from(is_lost);
            self.note_loss(effect, is_lost);
        }
    }

    /// The same of the durable tier.
    pub(in crate::explore) fn decay_l3(&mut self) {
        let (loses, rots) = (self.plan.faults.tier_loses, self.plan.faults.tier_rots);
        if self.is_meant(loses, WorldFault::TierLost, |chances| &mut chances.tier) {
            let choice = self.chances.tier.bits();
            let is_lost = self.simulated_l3.as_mut().is_some_and(|simulated_l3| simulated_l3.lose(choice));
            self.tally.count(WorldFault::TierLost).fired += u64::from(is_lost);
        }
        if self.is_meant(rots, WorldFault::TierRotted, |chances| &mut chances.tier) {
            // Of a part nobody can say whether it is what was uploaded.
            let may_keep_length = self.plan.work.special.0 == 0;
            let choice = self.chances.tier.bits();
            let is_rotted = self
                .simulated_l3
                .as_mut()
                .is_some_and(|simulated_l3| simulated_l3.rot(choice, may_keep_length));
            self.tally.count(WorldFault::TierRotted).fired += u64::from(is_rotted);
            if is_rotted {
                self.note(Party::Tier(TierId::L3), || "tears a blob, or lets it rot".to_owned());
            }
        }
    }
}
