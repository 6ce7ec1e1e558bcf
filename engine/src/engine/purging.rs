//! Purges: what is stored goes, and what began before never arrives (failures F1, F2).
//!
//! A purge closes the fill under way for its key, so that nobody joins it and no tier keeps it; stops promotions;
//! removes the key from L0; deletes it in every byte tier, and once more where a tier was just
//! publishing it. It is done when every tier has answered. Until then lookups of the key skip the byte tiers. After
//! that, a record from before the purge that another edge still publishes into a shared tier is known by its birth:
//! see [`Floors`].

use super::{Engine, promoting::Promoting};
use crate::{
    chunk::Chunk,
    config::Reach,
    effect::{Effect, PurgeOutcome},
    event::{Event, TierOperation},
    fill::{Fill, Sharing, Stage},
    id::{OpId, PurgeId, RecordName, TierId, WriterId},
    key::{CacheKey, StoredKey},
    plant::Fault,
    reason::{LaneEnd, Removal},
    selector::{PurgeMode, Selector, SelectorKind},
    time::WallTime,
    units::ByteCount,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

/// How much later than it was a birth may seem: the calendar is cut to milliseconds when a record is written and again
/// when it is read.
pub(super) const BIRTH_ROUNDING: Duration = Duration::from_millis(2);

/// Purges remembered one by one; older ones count for every key.
const FLOORS_MAX: usize = 65_536;

/// A purge that has not reached every tier yet.
#[derive(Debug)]
pub(super) struct Purge {
    pub(super) what: SelectorKind,
    /// Operations whose answers it waits for.
    pub(super) awaited: BTreeSet<OpId>,
    /// Tiers that were publishing the key when the purge came.
    pub(super) commits: BTreeSet<WriterId>,
    pub(super) report: BTreeMap<TierId, PurgeOutcome>,
}

impl Purge {
    pub(super) const fn new(what: SelectorKind) -> Self {
        Self { what, awaited: BTreeSet::new(), commits: BTreeSet::new(), report: BTreeMap::new() }
    }
}

/// A delete that is with a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deletion {
    pub(super) tier: TierId,
}

/// Before when a response must not have been made to be used.
///
/// Comparing births needs edges whose calendars agree; the purge feed of the shared index replaces it there.
#[derive(Debug, Default)]
pub(super) struct Floors {
    by_key: BTreeMap<CacheKey, WallTime>,
    by_age: BTreeSet<(WallTime, CacheKey)>,
    everywhere: Option<WallTime>,
}

impl Floors {
    /// What was purged later already stays so: one that another edge was asked for may be heard of late.
    pub(super) fn raise(&mut self, key: CacheKey, at: WallTime) {
        let before = self.by_key.get(&key).copied();
        if before.is_some_and(|before| before >= at) {
            return;
        }
        if let Some(before) = before {
            self.by_age.remove(&(before, key));
        }
        self.by_key.insert(key, at);
        self.by_age.insert((at, key));
        if self.by_key.len() > FLOORS_MAX
            && let Some((oldest, key)) = self.by_age.pop_first()
        {
            self.by_key.remove(&key);
            self.everywhere = self.everywhere.max(Some(oldest));
        }
    }

    /// Was what was born then purged since? In doubt it was.
    pub(super) fn covers(&self, key: CacheKey, born: WallTime) -> bool {
        self.everywhere
            .max(self.by_key.get(&key).copied())
            .is_some_and(|floor| born <= floor.after(BIRTH_ROUNDING))
    }
}

impl<C: Chunk> Engine<C> {
    /// Was what is stored for `key` and was born then purged since?
    pub(super) fn is_purged(&self, key: CacheKey, born: WallTime) -> bool {
        self.floors.covers(key, born) && !self.config.is_planted(Fault::X8)
    }

    pub(super) fn on_purge(&mut self, purge_id: PurgeId, selector: Selector, mode: PurgeMode) {
        self.event(Event::PurgeBegan { purge: purge_id, what: selector.kind(), mode });
        match (selector, mode) {
            (Selector::Key(key), PurgeMode::Hard) => self.purge_key(purge_id, key),
            (selector, mode) => self.ban(purge_id, selector, mode),
        }
        self.end_purges();
    }

    fn purge_key(&mut self, purge_id: PurgeId, key: CacheKey) {
        let mut purge = Purge::new(SelectorKind::Key(key));
        if !self.config.is_planted(Fault::F1) {
            self.floors.raise(key, self.wall());
            purge.commits = self.close_fills(|fill| fill.errand.target == key);
        }
        if !self.config.is_planted(Fault::F1) && !self.config.is_planted(Fault::X44) {
            purge.commits.extend(self.close_promotions(|promoting| promoting.at.target == key));
        }
        let markers = self.close_markers(key);
        if !self.config.is_planted(Fault::X85) {
            purge.commits.extend(markers);
        }
        if self.config.is_planted(Fault::X77) {
            purge.commits.clear();
        }
        self.uncacheable.forget(key);
        let mut stored = self.variants.of(key);
        if self.config.is_planted(Fault::X46) {
            stored.truncate(1);
        }
        let sum = |sizes: Vec<ByteCount>| sizes.into_iter().reduce(|sum, size| sum.plus(size.0));
        if self.memory.is_some() {
            let of_key = stored.iter();
            let removed = of_key.filter_map(|key| self.remove_from_memory(*key, Removal::Purged)).collect();
            let outcome = sum(removed).map_or(PurgeOutcome::Absent, PurgeOutcome::Removed);
            purge.report.insert(TierId::L0, outcome);
        }
        for tier in Arc::clone(&self.config.tiers).iter() {
            // Whatever the tier has of the target, also what it failed to delete before, and would bring back after a
            // restart (failure F2).
            if self.config.is_planted(Fault::F2) && tier.reach == Reach::Local {
                continue;
            }
            purge.awaited.insert(self.delete(tier.id, StoredKey::plain(key), None));
        }
        if !self.config.is_planted(Fault::X46) {
            self.variants.forget(key);
        }
        self.purges.insert(purge_id, purge);
    }

    /// Closes these fills: those who wait for one still get it, nothing keeps it. Says which tiers are just publishing
    /// one.
    pub(super) fn close_fills(&mut self, is_meant: impl Fn(&Fill<C>) -> bool) -> BTreeSet<WriterId> {
        let meant = self.fills.names_of(is_meant);
        let mut committing = BTreeSet::new();
        for fill_id in meant {
            let fill = self.fills.get_mut(&fill_id).expect("it was just found");
            if fill.errand.sharing == Sharing::Open {
                fill.errand.sharing = Sharing::Closed;
            }
            let at = fill.errand.at();
            if let Stage::Streaming(stream) = &mut fill.stage {
                let mut copies = core::mem::take(&mut stream.copies);
                committing.extend(self.abandon_copies(at, &mut copies, LaneEnd::Superseded));
                self.stream(fill_id).copies = copies;
                self.pump(fill_id);
            }
            if !self.config.is_planted(Fault::X45) {
                self.end_flight(at.key, fill_id);
            }
        }
        committing
    }

    /// Stops these promotions, read or only being published.
    pub(super) fn close_promotions(
        &mut self,
        is_meant: impl Fn(&Promoting<C>) -> bool,
    ) -> BTreeSet<WriterId> {
        let meant = self.promotions.names_of(is_meant);
        let mut committing = BTreeSet::new();
        for promotion in meant {
            committing.extend(self.drop_promotion(promotion, LaneEnd::Superseded));
            self.settle_promotion(promotion);
        }
        committing
    }

    /// A tier's commit was answered: delete the record, for every purge that waited for the answer.
    pub(super) fn delete_for_purges(
        &mut self,
        writer: WriterId,
        tier: TierId,
        at: StoredKey,
        name: RecordName,
    ) {
        let op = self.delete(tier, at, Some(name));
        for purge in self.purges.values_mut() {
            if purge.commits.remove(&writer) {
                purge.awaited.insert(op);
            }
        }
    }

    pub(super) fn on_deleted(&mut self, op: OpId, deletion: Deletion, existed: bool) {
        let existed = existed || self.config.is_planted(Fault::R10);
        let outcome = if existed { PurgeOutcome::RemovedUnseen } else { PurgeOutcome::Absent };
        self.report_answer(op, deletion.tier, outcome);
    }

    pub(super) fn on_delete_failed(&mut self, op: OpId, deletion: Deletion) {
        self.event(Event::TierFailed { tier: deletion.tier, operation: TierOperation::Delete });
        let is_planted = self.config.is_planted(Fault::X51);
        let outcome = if is_planted { PurgeOutcome::Absent } else { PurgeOutcome::Failed };
        self.report_answer(op, deletion.tier, outcome);
    }

    pub(super) fn report_answer(&mut self, op: OpId, tier: TierId, outcome: PurgeOutcome) {
        for purge in self.purges.values_mut() {
            if purge.awaited.remove(&op) {
                // Of two answers from one tier the graver one is told.
                let told = purge.report.entry(tier).or_insert(outcome);
                *told = (*told).max(outcome);
            }
        }
        self.end_purges();
    }

    fn end_purges(&mut self) {
        let done =
            self.purges.extract_if(.., |_, purge| purge.awaited.is_empty() && purge.commits.is_empty());
        for (purge_id, purge) in done.collect::<Vec<_>>() {
            let confirmed = purge.report.values().all(|outcome| *outcome != PurgeOutcome::Failed);
            self.event(Event::PurgeEnded { purge: purge_id, what: purge.what, confirmed });
            self.effect(Effect::PurgeDone { purge: purge_id, report: purge.report.into_iter().collect() });
        }
    }
}
