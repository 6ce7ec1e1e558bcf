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
mod flows;
mod purging;
mod residence;
mod uncacheable;
mod variants;
mod watermarks;

pub use auditing::Audit;

use crate::{
    care::deadline::Due,
    chunk::Chunk,
    config::Config,
    effect::{Effect, PurgeOutcome},
    event::Event,
    fill::Fill,
    head::Method,
    id::{FillId, RequestId, TierId, WriterId},
    input::Input,
    key::CacheKey,
    memory::Resident,
    plant::Face,
    random::Seed,
    table::Table,
    time::Instant,
};
use alloc::sync::Arc;
use caring::{Held, Waiter};
use clients::Clients;
use context::Context;
use copying::Copying;
use durable::{Durable, Work};
use feed_lease::Trust;
use flows::Freshen;
use purging::{Awaited, Deletion, Purging};
use residence::Residence;
use uncacheable::Uncacheable;

/// Why the engine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeReason {
    /// A lane may have stalled.
    LaneStall,
    /// A fill asks the origin again.
    Retry,
    /// A wait on the outside is too long.
    Deadline,
    /// A breaker resolves.
    Breaker,
    /// A read of a record is late, and may be asked for twice.
    LateRead,
    /// The lease of an upload into the durable tier is to be renewed.
    LeaseRenewal,
    /// It is time for a round of the durable tier's collector.
    Collection,
}

/// One slice of the key space: every decision about it.
///
/// **The drain rule.** One [`Engine::handle`], then [`Engine::poll_effect`] and [`Engine::poll_event`] until both are
/// empty, then the next `handle`. **The answer rule.** Each effect with an `op` is answered once.
pub struct Engine<C: Chunk> {
    cx: Context<C>,

    /// L0.
    residence: Residence<C>,
    clients: Clients,
    /// The fill that a new request for a key joins.
    flights: Table<CacheKey, FillId>,
    fills: Table<FillId, Fill<C>>,
    /// How many fills have the origin at work.
    fetches: usize,
    copying: Copying<C>,
    /// Keys whose requests share no fetch.
    uncacheable: Uncacheable,
    /// L3, if there is one.
    durable: Option<Durable<C>>,
    purging: Purging,
    /// Where a fault that is planted alters what passes.
    face: Face<C>,
}

/// An operation without an answer.
#[derive(Debug)]
struct Open {
    pending: Pending,
    /// What it was allowed by.
    held: Option<Held>,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Fetch(FillId),
    Pull(FillId),
    Lookup(FillId),
    Read(RequestId),
    Lane(WriterId),
    Freshen(Freshen),
    Delete(Deletion),
    StoreBan(TierId),
    Durable(Work),
}

impl<C: Chunk> Engine<C> {
    /// An empty engine. `seed` decides the names it gives to records: two engines that share a tier need two seeds.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self {
        let face = Face::new(&config);
        let config = config.plant.bounds(config);
        let mut salts = seed.split("salt");
        let residence = Residence::new(config.l0, &mut salts);
        let flights = Table::salted(salts.wide_bits());
        let copying = Copying::new(&config, &mut salts);
        let durable = Durable::of(&config, now);
        Self {
            purging: Purging::new(&config),
            cx: Context::new(config, seed, now),
            residence,
            clients: Clients::default(),
            flights,
            copying,
            fills: Table::default(),
            fetches: 0,
            uncacheable: Uncacheable::default(),
            durable,
            face,
        }
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
                self.wake_durable();
                self.on_lanes_stalled();
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
            (Pending::Lookup(fill), Input::Found { record, body, .. }) => self.on_found(fill, record, body),
            (Pending::Lookup(fill), Input::Absent { .. }) => self.on_absent(fill),
            (Pending::Lookup(fill), Input::LookupFailed { .. }) => self.on_lookup_failed(fill),
            (Pending::Read(request), Input::BodyRead { op, chunk }) => self.on_body_read(request, op, chunk),
            (Pending::Read(request), Input::ReadFailed { op, why }) => self.on_read_failed(request, op, why),
            (Pending::Lane(writer), Input::Opened { .. }) => {
                let moved = self.copying.on_lane_opened(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Lane(writer), Input::Written { .. }) => {
                let moved = self.copying.on_lane_written(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Lane(writer), Input::Committed { .. }) => {
                let moved = self.copying.on_lane_committed(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Lane(writer), Input::WriteFailed { .. }) => {
                let moved = self.copying.on_lane_failed(&mut self.cx, writer);
                self.on_moved(moved)
            }
            (Pending::Freshen(freshen), Input::Freshened { freshening, .. }) => {
                self.on_freshened(freshen, freshening)
            }
            (Pending::Freshen(freshen), Input::WriteFailed { .. }) => self.on_freshen_failed(freshen),
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
        let stall = self.copying.stalls_at().map(|at| (at, WakeReason::LaneStall));
        let renewal = self.copying.renewal_at().map(|at| (at, WakeReason::LeaseRenewal));
        let round = self.durable.as_ref().and_then(Durable::wake);
        let wakes = [stall, renewal, round].into_iter().chain(self.cx.caring.wakes()).flatten();
        wakes.filter(|(_, reason)| self.face.wakes(*reason)).min_by_key(|(at, _)| *at)
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
        let now = self.face.fast_path_at(now);
        if self.purging.trust(now) != Trust::Lifetime {
            return None;
        }
        self.residence.fresh(now, key, method, fields)
    }

    /// Does what has become due: breakers that resolve, reads that are late, fills that ask again, waits that were too long.
    fn on_care_due(&mut self) {
        self.cx.resolve_breakers();
        while let Some((_, request)) = self.cx.caring.late_reads.pop_due(self.cx.now) {
            self.clients.read_twice(&mut self.cx, request);
        }
        while let Some((_, fill)) = self.cx.caring.retries.pop_due(self.cx.now) {
            self.ask_again(fill);
        }
        while let Some((waiter, due)) = self.cx.caring.deadlines.poll_due(self.cx.now) {
            match waiter {
                Waiter::Fill(fill) => self.on_fill_late(fill, due),
                Waiter::Reader(request) => {
                    assert!(due == Due::Chunk, "{request:?} only reads, but {due:?} is due");
                    self.on_read_late(request);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
