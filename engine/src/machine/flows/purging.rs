//! What a purge does, whoever asked for it: what is stored goes, and what began before never arrives (failures F1, F2, R10).
//!
//! A purge closes the fill under way for its key, so that nobody joins it and no tier keeps it; stops promotions;
//! removes the key from L0; deletes it in every byte tier, and once more where a tier was just publishing it. Until every
//! tier has answered, lookups of the key skip the byte tiers. After that, a record from before the purge that another edge
//! still publishes into a shared tier is known by its birth.
//!
//! A purge by tag, by prefix or of everything, and a soft one, is remembered as a [`Ban`], and what a tier finds later is
//! judged by its birth. L0 is swept at once. What is under way is closed as a purge of its key would close it; where its
//! head has not come and a tag cannot be judged, in doubt it is. What is fetched afterwards is newer, so nothing that
//! becomes resident later needs a look. A soft purge cuts the lifetime of what it covers to the age it had at the purge:
//! the windows for stale responses count from then, and the new lifetime that a 304 brings is younger than the ban. A
//! local tier keeps the bans over a restart, and a purge is done only when it has; an edge without one forgets them.
//!
//! A purge that the feed brings counts for what was born until it was asked for. What is under way is closed as by a purge of
//! our own. Shared stores are left alone: who was asked has purged them, and what is published there too late is known by
//! its birth. No tier keeps what is heard: after a restart it is read again.

use crate::machine::{
    Engine, Pending,
    purging::{Awaited, Purge},
};
use crate::{
    bans::Ban,
    chunk::Chunk,
    effect::{Effect, PurgeOutcome},
    event::Event,
    feed::Notice,
    fill::{self, Fill, Sharing, Stage},
    id::{PurgeId, TierId, WriterId},
    key::{CacheKey, StoredKey},
    reason::LaneEnd,
    selector::{Place, PurgeMode, Selector, SelectorKind},
    time::WallTime,
};
use alloc::{collections::BTreeSet, sync::Arc, vec::Vec};

impl<C: Chunk> Engine<C> {
    /// The bans of earlier processes count from the first request on.
    pub(in crate::machine) fn on_recovered(&mut self, tier: TierId, bans: Vec<Ban>) {
        assert!(
            self.clients.requests.is_empty(),
            "the answer rule: {tier:?} was recovered after the first request"
        );
        for ban in bans {
            self.purging.ban(ban);
        }
    }

    pub(in crate::machine) fn on_purge(&mut self, purge_id: PurgeId, selector: Selector, mode: PurgeMode) {
        self.cx.event(Event::PurgeBegan { purge: purge_id, what: selector.kind(), mode });
        match (selector, mode) {
            (Selector::Key(key), PurgeMode::Hard) => self.purge_key(purge_id, key),
            (selector, mode) => self.ban(purge_id, selector, mode),
        }
        self.purging.end_done(&mut self.cx);
    }

    fn purge_key(&mut self, purge_id: PurgeId, key: CacheKey) {
        let mut purge = Purge::new(SelectorKind::Key(key));
        self.purging.raise(key, self.cx.wall());
        purge.commits = self.close_fills(|fill| fill.errand.target == key);
        purge
            .commits
            .extend(self.copying.close_promotions(&mut self.cx, |promoting| promoting.at.target == key));
        let (markers, lost) = self.copying.close_markers(&mut self.cx, key);
        self.unmark(lost);
        purge.commits.extend(markers);
        self.uncacheable.forget(key);
        if let Some(outcome) = self.residence.purge(&mut self.cx, key) {
            purge.report.insert(TierId::L0, outcome);
        }
        for tier in Arc::clone(&self.cx.config.tiers).iter() {
            // Whatever the tier has of the target, also what it failed to delete before, and would bring back after a
            // restart (failure F2).
            purge.awaited.insert(self.delete(tier.id, StoredKey::plain(key), None));
        }
        self.residence.variants.forget(key);
        self.purging.begin(purge_id, purge);
    }

    /// Closes these fills: those who wait for one still get it, nothing keeps it. Says which tiers are just publishing
    /// one.
    pub(in crate::machine) fn close_fills(
        &mut self,
        is_meant: impl Fn(&Fill<C>) -> bool,
    ) -> BTreeSet<WriterId> {
        let meant = self.fills.names_of(is_meant);
        let mut committing = BTreeSet::new();
        for fill_id in meant {
            let fill = self.fills.get_mut(&fill_id).expect("it was just found");
            if fill.errand.sharing == Sharing::Open {
                fill.errand.sharing = Sharing::Closed;
            }
            let at = fill.errand.at();
            if let Stage::Streaming(stream) = &mut fill.stage {
                let (copies, why) = (&mut stream.copies, LaneEnd::Superseded);
                committing.extend(self.copying.abandon_copies(&mut self.cx, at, copies, why));
                self.pump(fill_id);
            }
            self.end_flight(at.key, fill_id);
        }
        committing
    }

    /// A purge that no tier can be asked for by key, or that leaves what it covers where it is.
    pub(in crate::machine) fn ban(&mut self, purge_id: PurgeId, selector: Selector, mode: PurgeMode) {
        let ban = Ban { selector, mode, at: self.cx.wall() };
        let mut purge = self.impose(ban.clone());
        let stored = self.store_ban(&Arc::new(ban));
        purge.awaited.extend(stored);
        self.purging.begin(purge_id, purge);
    }

    /// Bans what was born until then, and closes what is under way.
    pub(in crate::machine) fn impose(&mut self, ban: Ban) -> Purge {
        let Ban { ref selector, mode, .. } = ban;
        let mut purge = Purge::new(selector.kind());
        purge.commits = self.close_fills(|fill| {
            let errand = &fill.errand;
            match &fill.stage {
                Stage::Streaming(stream) => {
                    let Place { authority, target } = &errand.place;
                    selector.covers(errand.target, authority, target, &stream.head)
                }
                Stage::Looking { .. } | Stage::Asking { .. } | Stage::Resting { .. } => {
                    selector.may_cover(errand.target, &errand.place)
                }
            }
        });
        purge.commits.extend(self.copying.close_promotions(&mut self.cx, |promoting| {
            let Place { authority, target } = &promoting.place;
            selector.covers(promoting.at.target, authority, target, &promoting.head)
        }));
        if let Some(outcome) = self.residence.sweep(&mut self.cx, selector, mode) {
            purge.report.insert(TierId::L0, outcome);
        }
        for tier in self.cx.config.tiers.iter() {
            purge.report.insert(tier.id, PurgeOutcome::Barred);
        }
        self.purging.ban(ban);
        purge
    }

    /// Has the ban kept where it outlives this process: by the local tiers, whose records do so too. What is in another
    /// tier is judged by it as well.
    fn store_ban(&mut self, ban: &Arc<Ban>) -> Vec<Awaited> {
        let local: Vec<TierId> = self.cx.config.local_tiers().collect();
        let store = |tier| {
            let op = self.cx.operation(Pending::StoreBan(tier));
            self.cx.effect(Effect::StoreBan { op, tier, ban: Arc::clone(ban) });
            Awaited::Operation(op)
        };
        local.into_iter().map(store).collect()
    }

    pub(in crate::machine) fn on_purge_heard(&mut self, notice: Notice) {
        let Notice { selector, mode, at } = notice;
        self.cx.event(Event::PurgeHeard { what: selector.kind(), mode });
        let at = self.purging.heard(at, self.cx.wall());
        match (selector, mode) {
            (Selector::Key(key), PurgeMode::Hard) => self.purge_heard(key, at),
            (selector, mode) => drop(self.impose(Ban { selector, mode, at })),
        }
        self.distrust_closed();
    }

    pub(in crate::machine) fn on_purges_missed(&mut self, through: WallTime) {
        self.cx.event(Event::PurgesMissed);
        let at = self.purging.heard(through, self.cx.wall());
        drop(self.impose(Ban { selector: Selector::All, mode: PurgeMode::Hard, at }));
        self.distrust_closed();
    }

    /// Who waits for a fill that was closed may have come when this purge counted already, and without a lease: what the fill
    /// has found is of no use any more without the origin's word, lease or not.
    fn distrust_closed(&mut self) {
        for name in self.fills.names_of(|fill| fill.errand.sharing == Sharing::Closed) {
            let fill = self.fills.get_mut(&name).expect("it was just found");
            fill.errand.stored = fill.errand.stored.take().map(fill::Stored::after_revalidation);
        }
    }

    /// A key was purged elsewhere. Tiers that are publishing it delete it once they have; nobody waits for that.
    fn purge_heard(&mut self, key: CacheKey, at: WallTime) {
        self.purging.raise(key, at);
        self.close_fills(|fill| fill.errand.target == key);
        self.copying.close_promotions(&mut self.cx, |promoting| promoting.at.target == key);
        let (_, lost) = self.copying.close_markers(&mut self.cx, key);
        self.unmark(lost);
        self.uncacheable.forget(key);
        let purging = &self.purging;
        self.residence.purge_born(&mut self.cx, key, |born| purging.is_purged(key, born));
    }
}
