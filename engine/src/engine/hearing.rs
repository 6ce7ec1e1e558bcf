//! The purge feed as an engine sees it: what other edges purged, and until when it can be sure to have heard of it.
//!
//! What is heard counts for what was born until it was asked for, on the calendar of the edge that was asked, and a lease
//! longer, so that calendars need to agree no better than that; but not beyond now, for what is fetched from now on is
//! newer. What is under way is closed as by a purge of our own. Shared stores are left alone: who was asked has purged
//! them, and what is published there too late is known by its birth. No tier keeps what is heard: after a restart it is
//! read again.
//!
//! Without the lease, nothing that is stored may be used before the origin has agreed to it, in whatever tier it lies: a
//! purge that was asked for elsewhere is in no store, but for that of a key in L3. Nor does anybody join a fetch that is
//! older than the lease: it asks for itself.

use super::{Engine, purging::BIRTH_ROUNDING};
use crate::{
    bans::Ban,
    chunk::Chunk,
    config::Config,
    event::Event,
    feed::Notice,
    fill::{self, Sharing, Stage},
    key::CacheKey,
    plant::Fault,
    reason::Removal,
    rules::reuse::{Reuse, Stored},
    selector::{PurgeMode, Selector},
    time::{Instant, WallTime},
};
use core::time::Duration;

/// What is known of purges elsewhere.
#[derive(Debug)]
pub(super) struct Hearing {
    lease: Duration,
    until: Instant,
}

impl Hearing {
    pub(super) fn of(config: &Config) -> Option<Self> {
        config.feed.map(|policy| Self { lease: policy.lease(), until: Instant::ZERO })
    }

    /// Is all known that was purged elsewhere a lease ago or longer? Where there is no feed, nobody purges elsewhere.
    pub(super) fn is_current(hearing: Option<&Self>, now: Instant) -> bool {
        hearing.is_none_or(|hearing| now < hearing.until)
    }
}

impl<C: Chunk> Engine<C> {
    pub(super) fn on_lease_held(&mut self, until: Instant) {
        let hearing = self.hearing.as_mut().expect("the answer rule: there is no feed to hold a lease of");
        hearing.until = hearing.until.max(until);
    }

    pub(super) fn on_purge_heard(&mut self, notice: Notice) {
        let Notice { selector, mode, at } = notice;
        self.event(Event::PurgeHeard { what: selector.kind(), mode });
        if self.config.is_planted(Fault::F9) {
            return;
        }
        let at = self.heard_at(at);
        match (selector, mode) {
            (Selector::Key(key), PurgeMode::Hard) => self.purge_heard(key, at),
            (selector, mode) => drop(self.impose(Ban { selector, mode, at })),
        }
        self.distrust_closed();
    }

    pub(super) fn on_purges_missed(&mut self, through: WallTime) {
        self.event(Event::PurgesMissed);
        let at = self.heard_at(through);
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

    /// What was born until then, on our calendar, is older than a purge that was asked for at `at` on another.
    fn heard_at(&self, at: WallTime) -> WallTime {
        let lease = self.hearing.as_ref().map_or(Duration::ZERO, |hearing| hearing.lease);
        self.wall().min(at.after(lease))
    }

    /// A key was purged elsewhere. Tiers that are publishing it delete it once they have; nobody waits for that.
    fn purge_heard(&mut self, key: CacheKey, at: WallTime) {
        self.floors.raise(key, at);
        if !self.config.is_planted(Fault::X24) {
            self.close_fills(|fill| fill.errand.target == key);
            self.close_promotions(|promoting| promoting.at.target == key);
        }
        drop(self.close_markers(key));
        self.uncacheable.forget(key);
        let (now, wall) = (self.now, self.wall());
        for stored in self.variants.of(key) {
            let born = self.memory.as_ref().and_then(|memory| {
                memory.find(stored).map(|slot| memory.value(slot).freshness.born(now, wall))
            });
            if born.is_some_and(|born| self.is_purged(key, born)) {
                self.remove_from_memory(stored, Removal::Purged);
            }
        }
    }

    /// May what is stored be used as it is, as far as purges elsewhere go?
    pub(super) fn has_lease(&self) -> bool {
        Hearing::is_current(self.hearing.as_ref(), self.now)
    }

    /// What may be done with a stored response now: nothing without the origin's word, while purges may be unknown.
    pub(super) fn under_lease(&self, stored: Stored) -> Stored {
        if self.has_lease() { stored } else { Stored { reuse: Reuse::AfterRevalidation, ..stored } }
    }

    /// May a request join a fill at this stage? A purge that it has missed must be younger than the lease.
    pub(super) fn may_join(&self, stage: &Stage<C>) -> bool {
        let asked_ago = match stage {
            Stage::Looking { .. } | Stage::Resting { .. } => Duration::ZERO,
            Stage::Asking { since, .. } => self.now.since(*since),
            Stage::Streaming(stream) => stream.freshness.age(self.now),
        };
        let is_young = |hearing: &Hearing| asked_ago.saturating_add(BIRTH_ROUNDING) < hearing.lease;
        self.has_lease() || self.config.is_planted(Fault::X25) || self.hearing.as_ref().is_some_and(is_young)
    }
}
