//! Bans: purges by tag, prefix or of everything, and soft ones (failures F1, F2, R10).
//!
//! The purge is remembered as a [`Ban`], and what a tier finds later is judged by its birth. L0 is swept at once. What is under way is closed as a purge of its key
//! would close it; where its head has not come and a tag cannot be judged, in doubt it is. What is fetched afterwards is
//! newer, so nothing that becomes resident later needs a look.
//!
//! A soft purge cuts the lifetime of what it covers to the age it had at the purge: the windows for stale responses count
//! from then, and the new lifetime that a 304 brings is younger than the ban.
//!
//! Births are compared on the calendar, as those of [`Floors`](super::purging::Floors) are. A local tier keeps the bans over a
//! restart, and a purge is done only when it has; an edge without one forgets them.

use super::{
    Engine, Pending,
    purging::{BIRTH_ROUNDING, Purge},
};
use crate::{
    bans::{Ban, Bans},
    chunk::Chunk,
    effect::{Effect, PurgeOutcome},
    event::{Event, TierOperation},
    fill::Stage,
    head::Head,
    id::{OpId, PurgeId, TierId},
    key::CacheKey,
    memory::Resident,
    plant::{Fault, Plant},
    reason::Removal,
    record::Freshness,
    selector::{Place, PurgeMode, Selector},
    time::{Instant, WallTime},
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;

/// What the bans say of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Banned {
    /// Nothing.
    No,
    /// It is stale from this age on.
    Stale(Duration),
    /// It is not used any more.
    Gone,
}

impl Bans {
    /// What they say of a response that a tier has under `target`, and that was asked for at `place`.
    pub(super) fn judge(
        &self,
        target: CacheKey,
        place: &Place,
        head: &Head,
        freshness: &Freshness,
        (now, wall): (Instant, WallTime),
        plant: Plant,
    ) -> Banned {
        let born = freshness.born(now, wall);
        let rounding = if plant.is(Fault::X7) { Duration::ZERO } else { BIRTH_ROUNDING };
        let covering = (self.iter())
            .filter(|ban| born <= ban.at.after(rounding))
            .filter(|ban| ban.selector.covers(target, &place.authority, &place.target, head));
        let mut banned = Banned::No;
        for ban in covering.take(if plant.is(Fault::X69) { 1 } else { usize::MAX }) {
            match ban.mode {
                PurgeMode::Hard => return Banned::Gone,
                PurgeMode::Soft => {
                    let then = freshness.age(now).saturating_sub(wall.since(ban.at));
                    let age_then = then.min(freshness.lifetime);
                    banned = match banned {
                        Banned::Stale(earlier) => Banned::Stale(earlier.min(age_then)),
                        Banned::No | Banned::Gone => Banned::Stale(age_then),
                    };
                }
            }
        }
        banned
    }
}

impl<C: Chunk> Engine<C> {
    /// A purge that no tier can be asked for by key, or that leaves what it covers where it is.
    pub(super) fn ban(&mut self, purge_id: PurgeId, selector: Selector, mode: PurgeMode) {
        let ban = Ban { selector, mode, at: self.wall() };
        let mut purge = self.impose(ban.clone());
        let stored = self.store_ban(&Arc::new(ban));
        if !self.config.is_planted(Fault::X50) {
            purge.awaited.extend(stored);
        }
        self.purges.insert(purge_id, purge);
    }

    /// Bans what was born until then, and closes what is under way.
    pub(super) fn impose(&mut self, ban: Ban) -> Purge {
        let Ban { ref selector, mode, .. } = ban;
        let plant = self.config.plant;
        let mut purge = Purge::new(selector.kind());
        if !self.config.is_planted(Fault::F1) {
            purge.commits = self.close_fills(|fill| {
                let errand = &fill.errand;
                match &fill.stage {
                    Stage::Streaming(stream) => {
                        let Place { authority, target } = &errand.place;
                        selector.covers(errand.target, authority, target, &stream.head)
                    }
                    Stage::Looking { .. } | Stage::Asking { .. } | Stage::Resting { .. } => {
                        selector.may_cover(errand.target, &errand.place) && !plant.is(Fault::X79)
                    }
                }
            });
            purge.commits.extend(self.close_promotions(|promoting| {
                let Place { authority, target } = &promoting.place;
                selector.covers(promoting.at.target, authority, target, &promoting.head)
            }));
        }
        if let Some(outcome) = self.sweep_memory(selector, mode) {
            purge.report.insert(TierId::L0, outcome);
        }
        for tier in self.config.tiers.iter() {
            purge.report.insert(tier.id, PurgeOutcome::Barred);
        }
        self.bans.push(ban);
        purge
    }

    /// Has the ban kept where it outlives this process: by the local tiers, whose records do so too. What is in another
    /// tier is judged by it as well.
    fn store_ban(&mut self, ban: &Arc<Ban>) -> Vec<OpId> {
        let local: Vec<TierId> = self.config.local_tiers().collect();
        let store = |tier| {
            let op = self.operation(Pending::StoreBan(tier));
            self.effect(Effect::StoreBan { op, tier, ban: Arc::clone(ban) });
            op
        };
        local.into_iter().map(store).collect()
    }

    pub(super) fn on_ban_stored(&mut self, op: OpId, tier: TierId) {
        self.report_answer(op, tier, PurgeOutcome::Barred);
    }

    /// It counts until this process ends, and may be forgotten then.
    pub(super) fn on_store_ban_failed(&mut self, op: OpId, tier: TierId) {
        self.event(Event::TierFailed { tier, operation: TierOperation::Write });
        self.report_answer(op, tier, PurgeOutcome::Failed);
    }

    /// Does to everything in L0 that is covered what the purge says.
    fn sweep_memory(&mut self, selector: &Selector, mode: PurgeMode) -> Option<PurgeOutcome> {
        let memory = self.memory.as_ref()?;
        let covered = |(key, resident): &(CacheKey, &Arc<Resident<C>>)| {
            let Place { authority, target } = &resident.place;
            selector.covers(self.variants.at(*key).target, authority, target, &resident.head)
        };
        let keys: Vec<_> = memory.iter().filter(covered).map(|(key, _)| key).collect();
        let mut sum: Option<ByteCount> = None;
        for key in keys {
            let size = match mode {
                PurgeMode::Hard => self.remove_from_memory(key, Removal::Purged),
                PurgeMode::Soft if self.config.is_planted(Fault::X47) => None,
                PurgeMode::Soft => self.stale_in_memory(key),
            };
            sum = size.map_or(sum, |size| Some(sum.unwrap_or(ByteCount::ZERO).plus(size.0)));
        }
        Some(match (sum, mode) {
            (None, _) => PurgeOutcome::Absent,
            (Some(sum), PurgeMode::Hard) => PurgeOutcome::Removed(sum),
            (Some(sum), PurgeMode::Soft) => PurgeOutcome::Staled(sum),
        })
    }

    /// Cuts the lifetime of a resident response to its age.
    fn stale_in_memory(&mut self, key: CacheKey) -> Option<ByteCount> {
        let now = self.now;
        let memory = self.memory.as_mut()?;
        let slot = memory.find(key)?;
        let resident = Arc::make_mut(memory.value_mut(slot));
        resident.freshness.lifetime = resident.freshness.lifetime.min(resident.freshness.age(now));
        let size = self.config.cost(resident.length, &resident.head);
        self.event(Event::Staled { tier: TierId::L0, key, size });
        Some(size)
    }
}
