//! The engine: its face, its tables, and the dispatcher.
//!
//! Each machine owns its state, is handed the [`context`], calls no other, and says what came of a step:
//! `residence` (L0 and the variants in it), `fetching` (fills, and who waits for them), `clients` (who is
//! answered, and what they read), `copying` (every way into a tier), `purging` (purges under way, and what is
//! remembered of them), `durable` (L3), `resilience` (breakers and timers). Only three files know
//! them all. Here stand the engine's face, which answer goes where, timers, and purges, which reach
//! everything; in `flows`, the way of a request and of a body; in `durable_flows`, where L3's answers go.

mod auditing;
mod clients;
mod context;
mod copying;
mod durable;
mod durable_flows;
mod feed_lease;
mod fetching;
mod flows;
mod freshening;
mod inspecting;
mod purging;
mod residence;
mod resilience;
mod stored;
mod variants;
mod waking;
mod watermarks;

pub use auditing::Audit;
pub use inspecting::{Inspected, Known};
pub use waking::WakeReason;

use crate::{
    config::Config,
    feed::Notice,
    language::{
        answer::Answer,
        chunk::Chunk,
        effect::{Effect, PurgeOutcome},
        event::{Event, PurgeEvent, ResilienceEvent},
        head::Method,
        id::{FillId, OpId, PurgeId, TierId, WriterId},
        input::Input,
        key::{CacheKey, StoredKey},
        reason::{LaneEnd, Late, OriginFailure},
        resident::Resident,
        selector::{PurgeMode, Selector, SelectorKind},
        time::{Instant, WallTime},
    },
    parts::{bans::Ban, random::Seed},
    plant::Face,
    resilience::deadline::Due,
};
use alloc::{borrow::Cow, collections::BTreeSet, sync::Arc, vec::Vec};
use clients::Clients;
use context::{Context, Open, Pending};
use copying::Copying;
use durable::Durable;
use feed_lease::Trust;
use fetching::{AnsweredAround, Fetching, Fill};
use purging::{Awaited, Purge, Purging, Scope};
use residence::Residence;
use resilience::Timed;

/// One slice of the key space: every decision about it.
///
/// **The drain rule.** One [`Engine::handle`], then [`Engine::poll_effect`] and [`Engine::poll_event`] until
/// both are empty, then the next `handle`. **The answer rule.** Each effect with an `op` is answered once.
pub struct Engine<C: Chunk> {
    cx: Context<C>,

    /// L0.
    residence: Residence<C>,
    clients: Clients<C>,
    fetching: Fetching<C>,
    copying: Copying<C>,
    /// L3, if there is one.
    durable: Option<Durable>,
    purging: Purging,
    /// Where a fault that is planted alters what passes.
    face: Face<C>,
}

impl<C: Chunk> Engine<C> {
    /// An empty engine. `seed` decides the names it gives to records: two engines that share a tier need two
    /// seeds.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self {
        let face = Face::new(&config);
        let config = config.plant.bounds(config);
        let mut salts = seed.split("salt");
        let residence = Residence::new(config.l0, &mut salts);
        let fetching = Fetching::new(&mut salts);
        let copying = Copying::new(&config, &mut salts);
        let durable = Durable::of(&config, now);
        let purging = Purging::new(&config);
        let (clients, cx) = (Clients::default(), Context::new(config, seed, now));
        Self { cx, residence, clients, fetching, copying, durable, purging, face }
    }

    /// The only way in.
    ///
    /// # Panics
    /// When the driver broke the drain rule or the answer rule.
    pub fn handle(&mut self, now: Instant, input: Input<C>) {
        assert!(
            self.cx.effects.is_empty() && self.cx.events.is_empty(),
            "the drain rule: {} effects and {} events were left before {input:?}",
            self.cx.effects.len(),
            self.cx.events.len(),
        );
        self.cx.now = self.cx.now.max(now);
        let mut told = self.face.enter(self.cx.now, input, self.cx.out());
        while let Some(input) = told {
            self.step(input);
            told = self.face.leave(self.cx.out());
        }
    }

    fn step(&mut self, input: Input<C>) {
        self.cx.trust = self.purging.trust(self.cx.now);
        match input {
            Input::Request { request, key, origin, head } => self.on_request(request, key, origin, head),
            Input::Demand { request } => self.on_demand(request),
            Input::Leave { request } => self.on_leave(request),
            Input::Purge { purge, selector, mode } => self.on_purge(purge, selector, mode),
            Input::AnsweredAround { purge, key, origin, request, response, sent } => {
                let answered = AnsweredAround { key, origin, request, response, sent };
                self.on_answered_around(purge, answered);
            }
            Input::RemotePurge { notice } => self.on_remote_purge(notice),
            Input::PurgesMissed { through } => self.on_purges_missed(through),
            Input::LeaseHeld { until } => self.purging.on_lease_held(until),
            Input::Recovered { tier, bans } => self.on_recovered(tier, bans),
            Input::TierJoined { tier, objects, bytes } => self.cx.on_tier_joined(tier, objects, bytes),
            Input::WallClock { wall } => self.cx.set_wall(wall),
            Input::Wake => {
                if let Some(durable) = &mut self.durable {
                    self.copying.lanes.renew_leases(&mut self.cx);
                    durable.collect(&mut self.cx);
                }
                for moved in self.copying.lanes.on_lanes_stalled(&mut self.cx) {
                    self.on_moved(moved);
                }
                self.on_care_due();
            }
            Input::Answer { op, answer } => match self.cx.take_pending(op) {
                Some(Open { pending, permit }) => {
                    self.cx.judge_answer(permit, &answer);
                    self.on_answer(pending, op, answer);
                }
                None => self.cx.events.push_back(Event::Resilience(ResilienceEvent::LateAnswer { op })),
            },
        }
    }

    /// An answer to a live operation.
    fn on_answer(&mut self, pending: Pending, op: OpId, answer: Answer<C>) {
        match (pending, answer) {
            (Pending::Fetch(fill), Answer::Head { head }) => self.on_head(fill, head),
            (Pending::Fetch(fill), Answer::FetchFailed { failure }) => self.on_fetch_failed(fill, failure),
            (Pending::Pull(fill), Answer::Pulled { chunk }) => self.on_pulled(fill, chunk),
            (Pending::Pull(fill), Answer::PullEnded) => self.on_pull_ended(fill),
            (Pending::Pull(fill), Answer::PullFailed { failure }) => self.break_off(fill, failure),
            (Pending::Lookup(fill), Answer::Found { record, body }) => {
                self.on_found(fill, record, body, None)
            }
            (Pending::Lookup(fill), Answer::Absent) => {
                let looked = self.fetching.take_lookup(fill);
                self.look_further(fill, looked)
            }
            (Pending::Lookup(fill), Answer::LookupFailed) => {
                let looked = self.fetching.on_lookup_failed(&mut self.cx, fill);
                self.look_further(fill, looked)
            }
            (Pending::Read(request), Answer::BodyRead { chunk }) => self.on_body_read(request, op, chunk),
            (Pending::Read(request), Answer::ReadFailed { why }) => self.on_read_failed(request, op, why),
            (Pending::Lane(writer), Answer::Opened) => {
                let moved = self.copying.lanes.on_lane_opened(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Lane(writer), Answer::Written) => {
                let moved = self.copying.lanes.on_lane_written(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Lane(writer), Answer::Committed) => {
                let moved = self.copying.lanes.on_lane_committed(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Lane(writer), Answer::WriteFailed) => {
                let moved = self.copying.lanes.on_lane_failed(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Freshen(freshen), Answer::Freshened { freshening }) => {
                self.on_freshened(freshen, freshening)
            }
            (Pending::Freshen(freshen), Answer::WriteFailed) => freshen.fail(&mut self.cx),
            (Pending::Delete(deletion), Answer::Deleted { existed }) => {
                self.purging.on_deleted(&mut self.cx, op, deletion, existed)
            }
            (Pending::Delete(deletion), Answer::DeleteFailed) => {
                self.purging.on_delete_failed(&mut self.cx, op, deletion)
            }
            (Pending::StoreBan(tier), Answer::BanStored) => {
                self.purging.report_answer(&mut self.cx, Awaited::Operation(op), tier, PurgeOutcome::Barred)
            }
            (Pending::StoreBan(tier), Answer::WriteFailed) => {
                self.purging.on_ban_not_stored(&mut self.cx, op, tier)
            }
            (Pending::Durable(work, _), Answer::DurableTold { told }) => self.on_durable_told(work, told),
            (pending, answer) => panic!("the answer rule: {answer:?} does not answer {pending:?}"),
        }
    }

    /// The next piece of work for the driver.
    pub fn poll_effect(&mut self) -> Option<Effect<C>> {
        self.cx.effects.pop_front()
    }

    /// The next fact for whoever watches.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.cx.events.pop_front()
    }

    /// When to call [`Engine::handle`] with [`Input::Wake`], and why.
    pub fn poll_wake(&self) -> Option<(Instant, WakeReason)> {
        let stall = self.copying.lanes.stalls_at().map(|at| (at, WakeReason::LaneStall));
        let renewal = self.copying.lanes.renewal_at().map(|at| (at, WakeReason::LeaseRenewal));
        let round = self.durable.as_ref().and_then(Durable::wake);
        let wakes = [stall, renewal, round].into_iter().chain(self.cx.resilience.wakes()).flatten();
        wakes.filter(|(_, reason)| self.face.wakes(*reason)).min_by_key(|(at, _)| *at)
    }

    /// The fast path: a fresh L0 hit, or the 304, 412, 206 or 416 that a request's conditions and its range
    /// make of it. It queues nothing, and counts as a use; for the whole it allocates nothing and copies
    /// nothing. For a `HEAD` the head of it is the answer.
    ///
    /// `None` means "ask properly", with [`Input::Request`]. `fields` are the request's, with names in lower
    /// case.
    pub fn fresh_hit<'f>(
        &mut self,
        now: Instant,
        key: CacheKey,
        method: Method,
        fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> Option<Cow<'_, Arc<Resident<C>>>> {
        let now = self.face.fast_path_at(now);
        if self.purging.trust(now) != Trust::Lifetime {
            return None;
        }
        self.residence.fresh((now, self.cx.wall_at(now)), key, method, fields)
    }

    /// The bans of earlier processes count from the first request on.
    fn on_recovered(&mut self, tier: TierId, bans: Vec<Ban>) {
        let is_idle = self.clients.is_idle() && self.fetching.is_idle();
        assert!(is_idle, "the answer rule: {tier:?} was recovered after the first request");
        for ban in bans {
            self.purging.ban(ban);
        }
    }

    fn on_purge(&mut self, purge_id: PurgeId, selector: Selector, mode: PurgeMode) {
        self.cx.event(PurgeEvent::PurgeBegan { purge: purge_id, what: selector.kind(), mode });
        let purge = match (selector, mode) {
            (Selector::Key(key), PurgeMode::Hard) => self.purge_key(key),
            (selector, mode) => self.ban(selector, mode),
        };
        self.purging.begin(purge_id, purge);
        self.purging.end_done(&mut self.cx);
    }

    /// A purge closes the fill under way for its key, so that nobody joins it and no tier keeps it; stops
    /// promotions; removes the key from L0; deletes it in every byte tier, and once more where a tier was
    /// just publishing it. Until every tier has answered, lookups of the key skip the byte tiers (failures
    /// F1, F2, R10).
    fn purge_key(&mut self, key: CacheKey) -> Purge {
        let mut purge = Purge::new(SelectorKind::Key(key));
        self.purging.raise(key, self.cx.wall());
        purge.commits = self.stop(Scope::Target(key));
        let (markers, lost) = self.copying.lanes.close_markers(&mut self.cx, key);
        self.unmark(lost);
        purge.commits.extend(markers);
        self.fetching.forget_uncacheable(key);
        if let Some(outcome) = self.residence.purge(&mut self.cx, key) {
            purge.report.insert(TierId::L0, outcome);
        }
        for tier in Arc::clone(&self.cx.config.tiers).iter() {
            // Whatever the tier has of the target, also what it failed to delete before, and would bring back
            // after a restart (failure F2).
            purge.awaited.insert(if tier.is_durable() {
                let (durable, cx) = self.durable();
                Awaited::Durable(durable.purge(cx, key))
            } else {
                self.delete(tier.id, StoredKey::plain(key), None)
            });
        }
        self.residence.forget_variants(key);
        purge
    }

    /// What is on its way and covered arrives nowhere: fills go on for those who wait for them, and nothing
    /// keeps them; promotions end. Says which tiers are just publishing one.
    fn stop(&mut self, scope: Scope<'_>) -> BTreeSet<WriterId> {
        let mut committing = BTreeSet::new();
        let covers = |fill: &Fill<C>| scope.covers(fill.context.at(), &fill.context.uri, fill.head());
        for fill in self.fetching.names_of(covers) {
            if self.fetching.close(fill) {
                let (copied, _, copies) = self.fetching.copied_of(fill);
                let (at, why) = (copied.at, LaneEnd::Superseded);
                committing.extend(self.copying.lanes.abandon_copies(&mut self.cx, at, copies, why));
                self.pump(fill);
            }
        }
        let covers = |at, uri: &_, head: &_| scope.covers(at, uri, Some(head));
        committing.extend(self.copying.close_promotions(&mut self.cx, covers));
        committing
    }

    /// A purge that no tier can be asked for by key, or that leaves what it covers where it is. A local tier
    /// keeps it over a restart, and it is done only when that has; what is in another tier is judged by it as
    /// well.
    fn ban(&mut self, selector: Selector, mode: PurgeMode) -> Purge {
        let ban = Ban { selector, mode, at: self.cx.wall() };
        let mut purge = self.impose(ban.clone());
        let ban = Arc::new(ban);
        let local: Vec<TierId> = self.cx.config.local_tiers().collect();
        for tier in local {
            let op = self.cx.operation(Pending::StoreBan(tier));
            self.cx.effect(Effect::StoreBan { op, tier, ban: Arc::clone(&ban) });
            purge.awaited.insert(Awaited::Operation(op));
        }
        purge
    }

    /// Bans what was born until then, and closes what is under way as a purge of its key would. What is
    /// fetched afterwards is newer, so nothing that becomes resident later needs a look.
    fn impose(&mut self, ban: Ban) -> Purge {
        let Ban { ref selector, mode, .. } = ban;
        let mut purge = Purge::new(selector.kind());
        purge.commits = self.stop(Scope::Ban(selector));
        if let Some(outcome) = self.residence.sweep(&mut self.cx, selector, mode) {
            purge.report.insert(TierId::L0, outcome);
        }
        for tier in self.cx.config.tiers.iter() {
            purge.report.insert(tier.id, PurgeOutcome::Barred);
        }
        self.purging.ban(ban);
        purge
    }

    /// Another edge was asked to purge. Shared stores are left alone: it has purged them, and what is
    /// published there too late is known by its birth. No tier keeps what is heard: after a restart it is
    /// read again.
    fn on_remote_purge(&mut self, notice: Notice) {
        let Notice { selector, mode, at } = notice;
        self.cx.event(PurgeEvent::RemotePurged { what: selector.kind(), mode });
        let at = self.purging.remote_purge_counts_until(at, self.cx.wall());
        match (selector, mode) {
            (Selector::Key(key), PurgeMode::Hard) => self.purge_remotely(key, at),
            (selector, mode) => drop(self.impose(Ban { selector, mode, at })),
        }
        self.fetching.distrust_closed();
    }

    fn on_purges_missed(&mut self, through: WallTime) {
        self.cx.event(PurgeEvent::PurgesMissed);
        let at = self.purging.remote_purge_counts_until(through, self.cx.wall());
        drop(self.impose(Ban { selector: Selector::All, mode: PurgeMode::Hard, at }));
        self.fetching.distrust_closed();
    }

    /// A key was purged elsewhere. Tiers that are publishing it delete it once they have; nobody waits for
    /// that.
    fn purge_remotely(&mut self, key: CacheKey, at: WallTime) {
        self.purging.raise(key, at);
        self.stop(Scope::Target(key));
        let (_, lost) = self.copying.lanes.close_markers(&mut self.cx, key);
        self.unmark(lost);
        self.fetching.forget_uncacheable(key);
        let purging = &self.purging;
        self.residence.purge_born(&mut self.cx, key, |born| purging.is_purged(key, born));
    }

    /// Does what has become due: breakers that resolve, reads that are late, fills that ask again, waits that
    /// were too long.
    fn on_care_due(&mut self) {
        self.cx.resolve_breakers();
        while let Some((_, request)) = self.cx.resilience.late_reads.pop_due(self.cx.now) {
            self.clients.read_twice(&mut self.cx, request);
        }
        while let Some((_, fill)) = self.cx.resilience.retries.pop_due(self.cx.now) {
            let over = self.fetching.ask_again(&mut self.cx, fill);
            self.end(over);
        }
        while let Some((waiter, due)) = self.cx.resilience.deadlines.poll_due(self.cx.now) {
            match waiter {
                Timed::Fill(fill) => self.on_fill_late(fill, due),
                Timed::Reader(request) => {
                    assert!(due == Due::Chunk, "{request:?} only reads, but {due:?} is due");
                    self.on_read_late(request);
                }
                Timed::Store(op) => {
                    assert!(due == Due::Store, "{op:?} is at a store, but {due:?} is due");
                    self.on_store_silent(op);
                }
            }
        }
    }

    /// Something that a fill waits for did not come in time.
    fn on_fill_late(&mut self, fill: FillId, due: Due) {
        match due {
            Due::Lookup => {
                self.give_up_in_durable(fill);
                let looked = self.fetching.on_lookup_late(&mut self.cx, fill);
                self.look_further(fill, looked);
            }
            Due::Head => {
                let over = self.fetching.on_head_late(&mut self.cx, fill);
                self.end(over);
            }
            Due::Answer => {
                self.give_up_in_durable(fill);
                let over = self.fetching.on_answer_late(&mut self.cx, fill);
                self.end(Some(over));
            }
            Due::Chunk => {
                self.fetching.give_up_fetch(&mut self.cx, fill, Late::Chunk);
                self.break_off(fill, OriginFailure::TimedOut);
            }
            Due::Store => unreachable!("no fill waits for a store, but {fill:?} is due"),
        }
    }

    /// What is open now, counted from the tables themselves.
    ///
    /// # Panics
    /// When a total does not equal the sum of its parts: a bug of ours.
    pub fn audit(&self) -> Audit {
        self.residence.audit();
        for timed in self.cx.resilience.deadlines.known() {
            let is_known = match timed {
                Timed::Fill(fill) => self.fetching.contains(fill),
                Timed::Reader(request) => self.clients.contains(request),
                Timed::Store(op) => self.cx.pending.contains_key(&op),
            };
            assert!(is_known, "{timed:?} has a deadline but does not exist");
        }
        let open = self.fetching.audit().plus(self.clients.audit(self.fetching.keepers()));
        open.plus(self.copying.audit()).plus(self.cx.audit()).plus(self.purging.audit())
    }
}

#[cfg(test)]
mod tests;
