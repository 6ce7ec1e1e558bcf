//! The engine: its face, its tables, and the dispatcher.
//!
//! Each machine owns its state, is handed the [`context`], calls no other, and says what came of a step: `clients` (requests,
//! and what they read), `copying` (every way into a tier), `residence` (L0 and the variants in it), `purging` (purges under
//! way, and what is remembered of them), `durable` (L3), `caring` (breakers and timers). What they mean for one another
//! stands in `flows`, which hold no state of their own. This file only says which input goes where.

mod auditing;
mod caring;
mod clients;
mod context;
mod copying;
mod durable;
mod feed_lease;
mod fetching;
mod flows;
mod freshening;
mod purging;
mod residence;
mod stored;
mod variants;
mod waking;
mod watermarks;

pub use auditing::Audit;
pub use waking::WakeReason;

use crate::{
    care::deadline::Due,
    chunk::Chunk,
    config::Config,
    effect::{Effect, PurgeOutcome},
    event::Event,
    head::Method,
    id::FillId,
    input::Input,
    key::CacheKey,
    memory::Resident,
    plant::Fault,
    random::Seed,
    reason::{Late, OriginFailure},
    time::Instant,
};
use alloc::sync::Arc;
use caring::Timed;
use clients::Clients;
use context::{Context, Open, Pending};
use copying::Copying;
use durable::Durable;
use feed_lease::Trust;
use fetching::Fetching;
use purging::{Awaited, Purging};
use residence::Residence;

/// One slice of the key space: every decision about it.
///
/// **The drain rule.** One [`Engine::handle`], then [`Engine::poll_effect`] and [`Engine::poll_event`] until both are
/// empty, then the next `handle`. **The answer rule.** Each effect with an `op` is answered once.
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
}

impl<C: Chunk> Engine<C> {
    /// An empty engine. `seed` decides the names it gives to records: two engines that share a tier need two seeds.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self {
        let mut salts = seed.split("salt");
        let residence = Residence::new(config.l0, &mut salts);
        let fetching = Fetching::new(&mut salts);
        let copying = Copying::new(&config, &mut salts);
        let durable = Durable::of(&config, now);
        let purging = Purging::new(&config);
        let (clients, cx) = (Clients::default(), Context::new(config, seed, now));
        Self { cx, residence, clients, fetching, copying, durable, purging }
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
        self.cx.trust = self.purging.trust(self.cx.now);
        match input {
            Input::Request { request, key, origin, head } => self.on_request(request, key, origin, head),
            Input::Demand { request } => self.on_demand(request),
            Input::Leave { request } => self.on_leave(request),
            Input::Purge { purge, selector, mode } => self.on_purge(purge, selector, mode),
            Input::PurgeHeard { notice } => self.on_purge_heard(notice),
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
            Input::Head { op, .. }
            | Input::FetchFailed { op, .. }
            | Input::Pulled { op, .. }
            | Input::PullEnded { op }
            | Input::PullFailed { op, .. }
            | Input::Found { op, .. }
            | Input::Absent { op }
            | Input::LookupFailed { op }
            | Input::BodyRead { op, .. }
            | Input::ReadFailed { op, .. }
            | Input::Opened { op }
            | Input::Written { op }
            | Input::Committed { op }
            | Input::Freshened { op, .. }
            | Input::BanStored { op }
            | Input::WriteFailed { op }
            | Input::Deleted { op, .. }
            | Input::DeleteFailed { op }
            | Input::DurableTold { op, .. } => match self.cx.pending.remove(&op) {
                Some(Open { pending, held }) => {
                    self.cx.judge_answer(held, &input);
                    self.on_answer(pending, input);
                }
                None => self.cx.events.push_back(Event::LateAnswer { op }),
            },
        }
    }

    /// An answer to a live operation.
    fn on_answer(&mut self, pending: Pending, input: Input<C>) {
        match (pending, input) {
            (Pending::Fetch(fill), Input::Head { head, .. }) => self.on_head(fill, head),
            (Pending::Fetch(fill), Input::FetchFailed { failure, .. }) => self.on_fetch_failed(fill, failure),
            (Pending::Pull(fill), Input::Pulled { chunk, .. }) => self.on_pulled(fill, chunk),
            (Pending::Pull(fill), Input::PullEnded { .. }) => self.on_pull_ended(fill),
            (Pending::Pull(fill), Input::PullFailed { failure, .. }) => self.on_pull_failed(fill, failure),
            (Pending::Lookup(fill), Input::Found { record, body, .. }) => {
                self.on_found(fill, record, body, None)
            }
            (Pending::Lookup(fill), Input::Absent { .. }) => {
                let looked = self.fetching.take_lookup(fill);
                self.look_further(fill, looked)
            }
            (Pending::Lookup(fill), Input::LookupFailed { .. }) => {
                let looked = self.fetching.on_lookup_failed(&mut self.cx, fill);
                self.look_further(fill, looked)
            }
            (Pending::Read(request), Input::BodyRead { op, chunk }) => self.on_body_read(request, op, chunk),
            (Pending::Read(request), Input::ReadFailed { op, why }) => self.on_read_failed(request, op, why),
            (Pending::Lane(writer), Input::Opened { .. }) => {
                let moved = self.copying.lanes.on_lane_opened(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Lane(writer), Input::Written { .. }) => {
                let moved = self.copying.lanes.on_lane_written(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Lane(writer), Input::Committed { .. }) => {
                let moved = self.copying.lanes.on_lane_committed(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Lane(writer), Input::WriteFailed { .. }) => {
                let moved = self.copying.lanes.on_lane_failed(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Freshen(freshen), Input::Freshened { freshening, .. }) => {
                self.on_freshened(freshen, freshening)
            }
            (Pending::Freshen(freshen), Input::WriteFailed { .. }) => freshen.fail(&mut self.cx),
            (Pending::Delete(deletion), Input::Deleted { op, existed }) => {
                self.purging.on_deleted(&mut self.cx, op, deletion, existed)
            }
            (Pending::Delete(deletion), Input::DeleteFailed { op }) => {
                self.purging.on_delete_failed(&mut self.cx, op, deletion)
            }
            (Pending::StoreBan(tier), Input::BanStored { op }) => {
                self.purging.report_answer(&mut self.cx, Awaited::Operation(op), tier, PurgeOutcome::Barred)
            }
            (Pending::StoreBan(tier), Input::WriteFailed { op }) => {
                self.purging.on_ban_not_stored(&mut self.cx, op, tier)
            }
            (Pending::Durable(work), Input::DurableTold { told, .. }) => self.on_durable_told(work, told),
            (pending, input) => panic!("the answer rule: {input:?} does not answer {pending:?}"),
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
        let stall = stall.filter(|_| !self.cx.config.is_planted(Fault::X17));
        let renewal = self.copying.lanes.renewal_at().map(|at| (at, WakeReason::LeaseRenewal));
        let round = self.durable.as_ref().and_then(Durable::wake);
        [stall, renewal, round, self.cx.caring.poll_wake(self.cx.config.plant)]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// The fast door: a fresh L0 hit. It queues nothing, allocates nothing and copies nothing; it counts as a use.
    ///
    /// `None` means "ask properly", with [`Input::Request`]. `fields` are the request's, with names in lower case.
    pub fn fresh_hit<'f>(
        &mut self,
        now: Instant,
        key: CacheKey,
        method: Method,
        fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> Option<&Arc<Resident<C>>> {
        let is_current = self.purging.trust(now) == Trust::Lifetime || self.cx.config.is_planted(Fault::X23);
        if !is_current {
            return None;
        }
        self.residence.fresh(now, key, method, fields, self.cx.config.plant)
    }

    /// Does what has become due: breakers that resolve, reads that are late, fills that ask again, waits that were too long.
    fn on_care_due(&mut self) {
        self.cx.resolve_breakers();
        while let Some((_, request)) = self.cx.caring.late_reads.pop_due(self.cx.now) {
            self.clients.read_twice(&mut self.cx, request);
        }
        while let Some((_, fill)) = self.cx.caring.retries.pop_due(self.cx.now) {
            let over = self.fetching.ask_again(&mut self.cx, fill);
            self.end(over);
        }
        while let Some((waiter, due)) = self.cx.caring.deadlines.poll_due(self.cx.now) {
            match waiter {
                Timed::Fill(fill) => self.on_fill_late(fill, due),
                Timed::Reader(request) => {
                    assert!(due == Due::Chunk, "{request:?} only reads, but {due:?} is due");
                    self.on_read_late(request);
                }
            }
        }
    }

    /// Something that a fill waits for did not come in time.
    fn on_fill_late(&mut self, fill: FillId, due: Due) {
        match due {
            Due::Lookup => {
                let looked = self.fetching.on_lookup_late(&mut self.cx, fill);
                self.look_further(fill, looked);
            }
            Due::Head => {
                let over = self.fetching.on_head_late(&mut self.cx, fill);
                self.end(over);
            }
            Due::Answer => {
                let over = self.fetching.on_answer_late(&mut self.cx, fill);
                self.end(Some(over));
            }
            Due::Chunk => {
                self.fetching.give_up_fetch(&mut self.cx, fill, Late::Chunk);
                self.break_off(fill, OriginFailure::TimedOut);
            }
        }
    }

    /// What is open now, counted from the tables themselves.
    ///
    /// # Panics
    /// When a total does not equal the sum of its parts: a bug of ours.
    pub fn audit(&self) -> Audit {
        self.residence.audit();
        for timed in self.cx.caring.deadlines.known() {
            let is_known = match timed {
                Timed::Fill(fill) => self.fetching.contains(fill),
                Timed::Reader(request) => self.clients.contains(request),
            };
            assert!(is_known, "{timed:?} has a deadline but does not exist");
        }
        let open = self.fetching.audit().plus(self.clients.audit());
        assert_eq!(
            open.holders,
            open.readers + open.keepers,
            "records are held by others than say so: {open:?}"
        );
        open.plus(self.copying.audit()).plus(self.cx.audit()).plus(self.purging.audit())
    }
}

#[cfg(test)]
mod tests;
