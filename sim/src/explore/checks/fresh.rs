//! What an answer says of its own age, and what may be expected of the next one.
//!
//! C6 sees how old a version is, to within what a calendar loses. Here each answer is held to the moment
//! against what its own head allows: a hit is fresh, and a stale one is within the window that it was served
//! for. Somebody asks at the very moment at which a lifetime or a window ends, for that is where a bound is
//! off by one. After a soft purge that was confirmed, nothing older is a hit (C7). And when nothing is broken
//! any more, what can be kept in L0 is kept (L4).

use crate::explore::{
    world::edge::EdgeHost,
    world::origin::CHECKED,
    world::variety::Wish,
    world::{Step, World, up_to},
};
use crate::judging::{Said, Use, Windows};
use crate::telling::Names;
use std::time::Duration;
use tiergate_engine::{Chunk, Eviction, Head, Instant, MissReason, Outcome, StaleUse, Symbol, TierId};
use tiergate_invariants::Version;

/// What the calendar is cut to.
const CALENDAR_STEP: Duration = Duration::from_millis(1);
/// Objects that an edge is asked for again when it comes back.
const PURGED_MAX: usize = 3;
/// Asks that come at an exact moment, in one run.
const SHARP_MAX: u32 = 100;

/// What one ask has a right to, and was told.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::explore) struct Told {
    /// It comes at an exact moment, and takes no time on its way.
    pub is_sharp: bool,
    /// How often the same is asked again afterwards.
    pub asks_again: u32,
    /// L0 has what it asks for, and until when it is fresh.
    kept_until: Option<Instant>,
    /// A soft purge was confirmed before it asked: when that was asked for, and the newest version then.
    softened: Option<(Instant, Version)>,
    /// It was told to be a hit.
    is_hit: bool,
    /// When it came to its edge, if that held no lease of the purge feed then.
    unleased_at: Option<Instant>,
}

fn said(head: &Head) -> Said {
    Said::of(head.fields.all("cache-control"))
}

impl World {
    /// What a 304 says takes the place of what was stored (RFC 9111 section 3.2).
    pub(in crate::explore) fn check_merged(&mut self, edge: u32, head: &Head, outcome: Outcome) {
        if !matches!((outcome, head.status), (Outcome::Revalidated { .. }, 200)) {
            return;
        }
        if head.fields.only(CHECKED) != self.edges[edge as usize].checked.as_deref() {
            self.breaks("F3", format!("edge {edge} serves {head:?}, which is not what the 304 made of it"));
        }
    }

    /// A request is on its way: what has it a right to?
    pub(in crate::explore) fn expect(&mut self, ask: usize) {
        let (edge, object) = (self.clients.asks[ask].edge, self.clients.asks[ask].object);
        self.clients.asks[ask].told.softened = self.edges[edge as usize].softened.get(&object).copied();
    }

    /// A soft purge was confirmed.
    pub(in crate::explore) fn on_softened(
        &mut self,
        edge: u32,
        object: usize,
        asked_at: Instant,
        newest: Version,
    ) {
        let known = self.edges[edge as usize].softened.entry(object).or_insert((asked_at, newest));
        if known.0 < asked_at {
            *known = (asked_at, newest);
        }
    }

    /// Is an answer within what its head allows?
    pub(in crate::explore) fn check_window(
        &mut self,
        ask: usize,
        head: &Head,
        outcome: Outcome,
        age: Duration,
    ) {
        let said = said(head);
        let used = match outcome {
            Outcome::Hit { .. } => Use::Fresh,
            Outcome::Stale { why: StaleUse::WhileRevalidate, .. } => Use::WhileRevalidate,
            Outcome::Stale { why: StaleUse::IfError, .. } => Use::IfError,
            Outcome::Revalidated { .. } | Outcome::Miss { .. } => return,
        };
        let http = self.plan.raw.http;
        let edges = Windows {
            while_revalidate: http.stale_while_revalidate_s.into(),
            if_error: http.stale_if_error_s.into(),
        };
        if !said.allows(used, age, edges) {
            self.breaks("C6", format!("ask {ask} got {outcome:?}, {age:?} old, of {said:?}"));
        }
    }

    /// A request has come to its edge.
    pub(in crate::explore) fn on_come(&mut self, ask: usize) {
        let host = &self.edges[self.clients.asks[ask].edge as usize];
        let is_current = host.feed_client.as_ref().is_none_or(|feed_client| feed_client.is_current(self.now));
        self.clients.asks[ask].told.unleased_at = (!is_current).then_some(self.now);
    }

    /// Without a lease nothing stored is used, and no fetch is joined that is older than one (failure F9).
    fn check_lease(&mut self, ask: usize, outcome: Outcome, age: Duration) {
        let Some(policy) = self.plan.config.feed_policy() else { return };
        let edge = self.clients.asks[ask].edge;
        let is_current = self.edges[edge as usize]
            .feed_client
            .as_ref()
            .is_some_and(|feed_client| feed_client.is_current(self.now));
        if matches!(outcome, Outcome::Hit { .. } | Outcome::Stale { .. }) && !is_current {
            self.breaks("F9", format!("ask {ask} got {outcome:?} at edge {edge}, which has no lease"));
        }
        let came = self.clients.asks[ask].told.unleased_at;
        let is_old = came.is_some_and(|came| age > self.now.since(came) + policy.lease());
        if matches!(outcome, Outcome::Miss { .. }) && is_old {
            self.breaks(
                "F9",
                format!("ask {ask} came to edge {edge} without a lease, and joined {outcome:?}"),
            );
        }
    }

    /// An answer came, and says how old it is, and for how long it will be fresh.
    pub(in crate::explore) fn on_told(
        &mut self,
        ask: usize,
        head: &Head,
        outcome: Outcome,
        (age, fresh_for): (Duration, Duration),
    ) {
        let is_hit = matches!(outcome, Outcome::Hit { .. });
        self.check_lease(ask, outcome, age);
        if is_hit && fresh_for.is_zero() {
            self.breaks("C6", format!("ask {ask} got a hit that is not fresh"));
        }
        self.clients.asks[ask].told.is_hit = is_hit;
        if is_hit && !matches!(outcome, Outcome::Hit { tier: TierId::L0 }) {
            // It is being read, and perhaps copied.
            let (edge, object) = (self.clients.asks[ask].edge, self.clients.asks[ask].object);
            self.purge_soon(edge, object, self.plan.work.latency * 8, 4_000);
        }
        self.check_kept(ask, outcome);
        let is_kept = match outcome {
            Outcome::Hit { tier } => tier == TierId::L0,
            // Who asks alone for what was remembered as uncacheable stores nothing; the next one does (seed
            // 66033).
            Outcome::Miss { reason: MissReason::Uncacheable, .. } => false,
            Outcome::Miss { .. } => self.fits_memory(ask),
            Outcome::Stale { .. } | Outcome::Revalidated { .. } => false,
        };
        let until = (is_kept && !fresh_for.is_zero()).then(|| self.now.after(fresh_for));
        self.clients.asks[ask].told.kept_until = until;
        self.ask_sharply(ask, head, fresh_for);
    }

    /// Somebody asks at the moment from which on the answer is stale, or of no use at all.
    fn ask_sharply(&mut self, ask: usize, head: &Head, fresh_for: Duration) {
        let exact = self.plan.work.exact;
        if self.healed || self.sharp >= SHARP_MAX || exact.0 == 0 || fresh_for.is_zero() {
            return;
        }
        if !self.chances.client.chance(exact.0, 1_000) {
            return;
        }
        let window = said(head).while_revalidate.unwrap_or(0);
        let window = if self.chances.client.chance(1, 2) { window } else { 0 };
        let at = self.now.after(fresh_for + Duration::from_secs(window));
        if at < self.collect_until {
            self.sharp += 1;
            self.ask_same(ask, Told { is_sharp: true, ..Told::default() }, at);
        }
    }

    /// An edge that comes back is asked for what was purged there last.
    pub(in crate::explore) fn ask_after_start(&mut self, edge: u32) {
        for object in self.edges[edge as usize].purged.clone() {
            if !self.healed && self.now < self.collect_until {
                self.ask_plainly(edge, (object, Wish::default()), false, Told::default(), self.now);
            }
        }
    }

    /// Somebody wants to see at once that a purge has worked.
    fn ask_once_purged(&mut self, edge: u32, object: usize) {
        let exact = self.plan.work.exact;
        if !self.healed && self.sharp < SHARP_MAX && self.chances.client.chance(exact.0, 1_000) {
            self.sharp += 1;
            let at = self.now.after(up_to(&mut self.chances.client, self.plan.work.latency * 20));
            self.ask_plainly(edge, (object, Wish::default()), false, Told::default(), at);
        }
    }

    /// A purge was confirmed. Somebody asks each other edge for what was purged, at the moment from which on
    /// it counts there.
    pub(in crate::explore) fn on_purged(&mut self, edge: u32, object: usize) {
        let purged = &mut self.edges[edge as usize].purged;
        purged.retain(|other| *other != object);
        purged.push_back(object);
        if purged.len() > PURGED_MAX {
            purged.pop_front();
        }
        self.ask_once_purged(edge, object);
        let Some(policy) = self.plan.config.feed_policy() else { return };
        let at = self.now.after(policy.lease());
        for other in (0..self.plan.edges).filter(|other| *other != edge) {
            if !self.healed && self.sharp < SHARP_MAX && self.plan.work.exact.0 > 0 && at < self.collect_until
            {
                self.sharp += 1;
                let told = Told { is_sharp: true, ..Told::default() };
                self.ask_plainly(other, (object, Wish::default()), false, told, at);
            }
        }
    }

    /// Somebody purges what the origin answered just now, where nothing is under way that the purge would
    /// stop: sooner than a calendar can tell the one from the other.
    pub(in crate::explore) fn purge_what_was_answered(&mut self, edge: u32, object: usize) {
        // Where that takes less than the calendar's step, it is worth more tries.
        let is_close = self.plan.has_l1 && self.plan.edges > 1 && self.plan.work.latency < CALENDAR_STEP / 4;
        let per = if is_close { 1_000 } else { 4_000 };
        self.purge_soon((edge + 1) % self.plan.edges, object, self.plan.work.latency * 2, per);
    }

    /// Somebody purges an object within a short while.
    fn purge_soon(&mut self, edge: u32, object: usize, longest: Duration, per: u64) {
        let (exact, purges) = (self.plan.work.exact, self.plan.faults.purges);
        if self.healed || exact.0 == 0 || purges.0 == 0 || !self.chances.origin.chance(exact.0, per) {
            return;
        }
        let at = self.now.after(up_to(&mut self.chances.origin, longest));
        self.queue.schedule(at, Step::Purge { edge, object });
    }

    /// The same again, when nothing is broken any more: the first may have taught the edge what the second
    /// stores.
    pub(in crate::explore) fn ask_again(&mut self, ask: usize) {
        let told = self.clients.asks[ask].told;
        if told.asks_again > 0 && told.kept_until.is_some() {
            let next =
                Told { asks_again: told.asks_again - 1, kept_until: told.kept_until, ..Told::default() };
            self.ask_same(ask, next, self.now);
        }
    }

    /// What the client before was told to be in L0 is there.
    fn check_kept(&mut self, ask: usize, outcome: Outcome) {
        let told = self.clients.asks[ask].told;
        let has_lease = |host: &EdgeHost| {
            host.feed_client.as_ref().is_none_or(|feed_client| feed_client.is_current(self.now))
        };
        let is_in_memory = matches!(outcome, Outcome::Hit { tier: TierId::L0 });
        let is_expected = self.clients.asks[ask].after_healing
            && told.asks_again == 0
            && told.kept_until.is_some_and(|until| self.now < until)
            && has_lease(&self.edges[self.clients.asks[ask].edge as usize]);
        if is_expected && !is_in_memory {
            self.breaks("L4", format!("ask {ask} was answered by {outcome:?}, and L0 had room for it"));
        }
    }

    /// May L0 keep what this ask got from the origin, as far as its head and size go?
    fn fits_memory(&self, ask: usize) -> bool {
        let Some(l0) = &self.plan.raw.l0 else { return false };
        let object = self.clients.asks[ask].object;
        let (head, version) = (self.origin.newest_head(object), self.newest(object));
        let length = self.length_of(self.origin.objects[object].key, version).unwrap_or(u64::MAX);
        let said = said(head);
        let is_useful = said.max_age.is_some_and(|seconds| seconds > 0)
            && !said.no_cache
            && !said.is_barred
            && !head.fields.all("vary").any(|names| names == b"*");
        // The entity tag is not in this head yet.
        let size = length + head.fields.size().0 + 64;
        let capacity = match l0.eviction.policy {
            // It admits what fits the queue of those that are new.
            Eviction::S3Fifo => l0.capacity.0 / 10,
            Eviction::Lru | Eviction::Sieve | Eviction::WTinyLfu | Eviction::Gdsf | Eviction::GhostGdsf => {
                l0.capacity.0
            }
        };
        is_useful && length <= l0.gate.0 && size < capacity
    }

    /// Nothing from before a soft purge is a hit.
    pub(in crate::explore) fn check_softened(&mut self, ask: usize, pieces: &[Symbol]) {
        let (object, told) = (self.clients.asks[ask].object, self.clients.asks[ask].told);
        let (Some((asked_at, newest)), true) = (told.softened, told.is_hit) else { return };
        let Some(piece) = pieces.iter().find(|piece| piece.object != Symbol::TEXT && piece.size() > 0) else {
            return;
        };
        let version = Version(piece.version);
        let answered = self.origin.answered.get(&(object, version)).copied();
        if version <= newest && answered.is_none_or(|at| at < asked_at) {
            self.breaks(
                "C7",
                format!(
                    "ask {ask} got version {} as a hit, last answered at {answered:?}, after a soft purge asked at {asked_at:?}",
                    version.0
                ),
            );
        }
    }
}
