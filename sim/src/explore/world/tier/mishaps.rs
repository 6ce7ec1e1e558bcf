//! What befalls a byte tier beside failures and slowness: mix-ups, rot, and the crash of its edge.

use super::{Fate, Life, Outcome, Step, World, WorldFault, is_durable, is_published_by, tier_of};
use crate::telling::Party;
use tiergate_engine::{Answer, Effect, Input, ReadFailure, ReadSource, Symbol, TierId};

impl World {
    /// What a read answers that finds rot; the tier drops the record.
    pub(in crate::explore) fn rotten_read(
        &mut self,
        place: usize,
        from: Life,
        effect: &Effect<Symbol>,
        fate: Fate,
    ) -> Option<Input<Symbol>> {
        let Effect::Read { op, tier, source: ReadSource::Record(record), .. } = effect else { return None };
        let rots = self.plan.faults.record_rots;
        if fate != Fate::Fine || !self.hits(rots, WorldFault::RecordRotted, |chances| &mut chances.tier) {
            return None;
        }
        let name = self.tiers[place].open.get(&(from, *record)).map(|stored| stored.record.name);
        if let Some(name) = name {
            self.tiers[place].remove(name);
        }
        self.note(Party::Tier(*tier), || "finds that what it is to read is rotten".to_owned());
        Some(Answer::ReadFailed { why: ReadFailure::Rotten }.to(*op))
    }

    /// A tier may open another record than it was asked for: its key tells (failure T13). And it may give
    /// less than it was asked for (failure T10).
    pub(in crate::explore) fn mixed_up(
        &mut self,
        place: usize,
        effect: Effect<Symbol>,
    ) -> (Effect<Symbol>, Option<WorldFault>) {
        let faults = self.plan.faults;
        if let Effect::Lookup { .. } = effect {
            let per_mille = self.plan.style.bodies_along.0;
            self.tiers[place].brings_body = self.chances.tier.chance(per_mille, 1_000);
        }
        match effect {
            Effect::Lookup { op, tier, record, key }
                if self.hits(faults.tier_mixes, WorldFault::TierMixed, |chances| &mut chances.tier) =>
            {
                let choice = self.chances.tier.bits();
                self.tiers[place].strays_to = self.tiers[place].any(choice);
                self.note(Party::Tier(tier), || "opens another record than it was asked for".to_owned());
                (Effect::Lookup { op, tier, record, key }, Some(WorldFault::TierMixed))
            }
            Effect::Read { op, tier, source, offset, length_max }
                if self.hits(faults.tier_shorts, WorldFault::TierShort, |chances| &mut chances.tier) =>
            {
                let length_max = 1 + self.chances.tier.below(length_max);
                self.note(Party::Tier(tier), || "gives less than it was asked for".to_owned());
                (Effect::Read { op, tier, source, offset, length_max }, Some(WorldFault::TierShort))
            }
            effect => (effect, None),
        }
    }

    /// What was under way to a tier when the edge crashed has taken effect, or never will.
    pub(in crate::explore) fn crash_tiers(&mut self, edge: u32) {
        let under_way =
            self.queue.take(|step| matches!(step, Step::TierAsked { from, .. } if from.edge == edge));
        for step in under_way {
            let Step::TierAsked { from, effect, .. } = step else {
                unreachable!("only these were taken: {step:?}");
            };
            if !is_published_by(&effect) {
                continue;
            }
            self.tally.count(WorldFault::CrashedInCommit).armed += 1;
            if !self.chances.edge.chance(1, 2) {
                continue;
            }
            // Nobody is left to hear the answer; a breach would have shown without the crash, too.
            let is_done = if is_durable(&effect) {
                self.crash_in_l3(from, &effect)
            } else {
                let place = self.tier_place(edge, tier_of(&effect));
                let outcome = self.tiers[place].apply(from, &effect);
                !matches!(outcome, Outcome::Answer(Input::Answer { answer: Answer::WriteFailed, .. }))
            };
            let count = self.tally.count(WorldFault::CrashedInCommit);
            count.fired += 1;
            count.observed += u64::from(is_done);
        }
        for tier in &mut self.tiers {
            tier.forget(edge);
        }
        if self.plan.has_l2 {
            let place = self.tier_place(edge, TierId::L2);
            self.tiers[place].index.restart();
        }
        if let Some(simulated_l3) = &mut self.simulated_l3 {
            simulated_l3.forget(edge);
        }
    }
}
