//! Bans: purges by tag, prefix or of everything, and soft ones (failures F1, F2, R10).
//!
//! No byte tier can be asked what a tag or a prefix covers, so the purge is remembered, with its time on the calendar, and
//! what a tier finds later is judged by its birth. L0 is swept at once. What is under way is closed as a purge of its key
//! would close it; where its head has not come and a tag cannot be judged, in doubt it is. What is fetched afterwards is
//! newer, so nothing that becomes resident later needs a look.
//!
//! A soft purge cuts the lifetime of what it covers to the age it had at the purge: the windows for stale responses count
//! from then, and the new lifetime that a 304 brings is younger than the ban.
//!
//! Births are compared on the calendar, as those of [`Floors`](super::purging::Floors) are. Bans are kept in memory: an edge
//! that restarts forgets them.

use super::{
    Engine,
    purging::{BIRTH_ROUNDING, Purge},
};
use crate::{
    chunk::Chunk,
    effect::PurgeOutcome,
    event::Event,
    fill::Stage,
    head::Head,
    id::{PurgeId, TierId},
    key::CacheKey,
    memory::Resident,
    plant::Fault,
    reason::Removal,
    record::Freshness,
    selector::{Place, PurgeMode, Selector},
    time::{Instant, WallTime},
    units::ByteCount,
};
use alloc::{collections::VecDeque, sync::Arc};
use core::time::Duration;

/// Bans remembered one by one; older ones count for everything. Each lookup in a byte tier that finds something reads them
/// all, and a site that purges more often than this within the life of its objects has little to gain from a cache.
const BANS_MAX: usize = 256;

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

#[derive(Debug)]
struct Ban {
    selector: Selector,
    at: WallTime,
    mode: PurgeMode,
}

/// What was purged, and when, oldest first.
#[derive(Debug, Default)]
pub(super) struct Bans {
    bans: VecDeque<Ban>,
    /// The newest of the bans that were dropped, by mode.
    hard_floor: Option<WallTime>,
    soft_floor: Option<WallTime>,
}

impl Bans {
    fn push(&mut self, ban: Ban) {
        // The newer of two about the same says it all, but for a calendar that was set back.
        let said = |old: &Ban| old.selector == ban.selector && old.mode == ban.mode && old.at <= ban.at;
        self.bans.retain(|old| !said(old));
        self.bans.push_back(ban);
        if self.bans.len() > BANS_MAX
            && let Some(oldest) = self.bans.pop_front()
        {
            let floor = match oldest.mode {
                PurgeMode::Hard => &mut self.hard_floor,
                PurgeMode::Soft => &mut self.soft_floor,
            };
            *floor = (*floor).max(Some(oldest.at));
        }
    }

    /// What they say of a response that a tier has under `target`, and that was asked for at `place`.
    pub(super) fn judge(
        &self,
        target: CacheKey,
        place: &Place,
        head: &Head,
        freshness: &Freshness,
        now: Instant,
        wall: WallTime,
    ) -> Banned {
        let born = freshness.born(now, wall);
        let covering = (self.bans.iter())
            .filter(|ban| born <= ban.at.after(BIRTH_ROUNDING))
            .filter(|ban| ban.selector.covers(target, &place.authority, &place.target, head))
            .map(|ban| (ban.mode, ban.at));
        let floors = [(PurgeMode::Hard, self.hard_floor), (PurgeMode::Soft, self.soft_floor)];
        let floors = floors.into_iter().filter_map(|(mode, floor)| Some((mode, floor?)));
        let covering = covering.chain(floors.filter(|(_, floor)| born <= floor.after(BIRTH_ROUNDING)));
        let mut banned = Banned::No;
        for (mode, at) in covering {
            match mode {
                PurgeMode::Hard => return Banned::Gone,
                PurgeMode::Soft => {
                    let age_then = freshness.age(now).saturating_sub(wall.since(at)).min(freshness.lifetime);
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
        let purge = self.impose(selector, mode, self.wall());
        self.purges.insert(purge_id, purge);
    }

    /// Bans what was born until then, and closes what is under way.
    pub(super) fn impose(&mut self, selector: Selector, mode: PurgeMode, at: WallTime) -> Purge {
        let mut purge = Purge::new(selector.kind());
        if !self.config.is_planted(Fault::F1) {
            purge.commits = self.close_fills(|fill| {
                let errand = &fill.errand;
                match &fill.stage {
                    Stage::Streaming(stream) => {
                        let Place { authority, target } = &*errand.place;
                        selector.covers(errand.target, authority, target, &stream.head)
                    }
                    Stage::Looking { .. } | Stage::Asking { .. } | Stage::Resting { .. } => {
                        selector.may_cover(errand.target, &errand.place)
                    }
                }
            });
            purge.commits.extend(self.close_promotions(|promoting| {
                let Place { authority, target } = &*promoting.place;
                selector.covers(promoting.at.target, authority, target, &promoting.head)
            }));
        }
        if let Some(outcome) = self.sweep_memory(&selector, mode) {
            purge.report.insert(TierId::L0, outcome);
        }
        for tier in &self.config.tiers {
            purge.report.insert(tier.id, PurgeOutcome::Barred);
        }
        self.bans.push(Ban { selector, at, mode });
        purge
    }

    /// Does to everything in L0 that is covered what the purge says.
    fn sweep_memory(&mut self, selector: &Selector, mode: PurgeMode) -> Option<PurgeOutcome> {
        let memory = self.memory.as_ref()?;
        let covered = |(key, resident): &(CacheKey, &Arc<Resident<C>>)| {
            let Place { authority, target } = &*resident.place;
            selector.covers(self.variants.at(*key).target, authority, target, &resident.head)
        };
        let keys: alloc::vec::Vec<_> = memory.iter().filter(covered).map(|(key, _)| key).collect();
        let mut sum: Option<ByteCount> = None;
        for key in keys {
            let size = match mode {
                PurgeMode::Hard => self.remove_from_memory(key, Removal::Purged),
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
