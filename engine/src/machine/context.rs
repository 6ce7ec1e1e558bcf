//! What every machine is handed: the time, the configuration, chance, names, and the ways out of the engine.
//!
//! It decides nothing. A machine that asks the outside for something does so through [`Context::operation`];
//! who may be asked is in `resilience`, whose breakers and deadlines are kept here with the operations that
//! they watch.

use super::{
    Audit,
    durable::Work,
    feed_lease::Trust,
    freshening::Freshen,
    purging::Deletion,
    resilience::{HeldPermit, Resilience, Timed},
};
use crate::{
    config::Config,
    durable::Ask,
    language::{
        chunk::Chunk,
        effect::Effect,
        event::{Event, RequestEvent, ResilienceEvent},
        id::{FillId, Minter, OpId, RequestId, TierId, WriterId},
        reason::{Bypass, DurableStore, Refusal},
        time::{Instant, WallTime},
        units::ByteCount,
    },
    parts::{
        random::{Random, Seed},
        table::Table,
    },
    plant::Out,
    resilience::deadline::Phase,
};
use alloc::collections::VecDeque;

/// One engine's surroundings.
pub(super) struct Context<C: Chunk> {
    pub(super) config: Config,
    pub(super) now: Instant,
    /// May what is stored be used as its lifetime says, as far as purges elsewhere go?
    pub(super) trust: Trust,
    /// What the calendar said at some instant.
    calendar: (Instant, WallTime),
    /// Draws the names of records.
    pub(super) names: Random,
    /// Draws what stands between the parts of multipart answers.
    pub(super) boundaries: Random,
    pub(super) ids: Minter,
    pub(super) resilience: Resilience,
    pub(super) pending: Table<OpId, Open>,
    pub(super) effects: VecDeque<Effect<C>>,
    pub(super) events: VecDeque<Event>,
}

impl<C: Chunk> Context<C> {
    pub(super) fn new(config: Config, seed: Seed, now: Instant) -> Self {
        Self {
            resilience: Resilience::new(&config, seed, now),
            config,
            now,
            trust: Trust::Origin,
            calendar: (now, WallTime::default()),
            names: seed.split("record names"),
            boundaries: seed.split("multipart boundaries"),
            ids: Minter::default(),
            pending: Table::default(),
            effects: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The calendar says this now.
    pub(super) fn set_wall(&mut self, wall: WallTime) {
        self.calendar = (self.now, wall);
    }

    /// What the calendar says now.
    pub(super) fn wall(&self) -> WallTime {
        self.wall_at(self.now)
    }

    /// What it says at `now`, which is no earlier than all that was handled.
    pub(super) fn wall_at(&self, now: Instant) -> WallTime {
        let (at, wall) = self.calendar;
        wall.after(now.since(at))
    }

    /// The ways out.
    pub(super) fn out(&mut self) -> Out<'_, C> {
        Out { effects: &mut self.effects, events: &mut self.events, ids: &mut self.ids }
    }

    pub(super) fn effect(&mut self, effect: Effect<C>) {
        self.effects.push_back(effect);
    }

    pub(super) fn event(&mut self, event: impl Into<Event>) {
        self.events.push_back(event.into());
    }

    /// Sends a request around the cache.
    pub(super) fn pass(&mut self, request: RequestId, bypass: Bypass) {
        self.event(RequestEvent::Passed { request, bypass });
        self.effect(Effect::Pass { request, bypass });
    }

    /// Answers a request with an error.
    pub(super) fn refuse(&mut self, request: RequestId, refusal: Refusal) {
        self.event(RequestEvent::Refused { request, refusal });
        self.effect(Effect::Refuse { request, refusal });
    }

    /// Counts what is open, and asserts that the permits that are out are those of the open operations.
    pub(super) fn audit(&self) -> Audit {
        let permits = self.resilience.permits();
        let permit = self.pending.values().filter(|open| open.permit.is_some()).count();
        assert_eq!(permits, permit as u64, "the permits that are out are not those of the open operations");
        Audit {
            operations: self.pending.len(),
            permits,
            timers: self.resilience.timers(),
            ..Audit::default()
        }
    }

    /// Asks something of the durable tier's stores that no request waits for. What is not answered in time
    /// counts as not known to be done.
    pub(super) fn ask_durable(&mut self, work: Work, ask: Ask) {
        let op = self.operation(Pending::Durable(work, ask.store()));
        self.answer_in_time(op);
        self.effect(Effect::Durable { op, ask });
    }

    /// One of the durable tier's stores has a deadline for this.
    pub(super) fn answer_in_time(&mut self, op: OpId) {
        let deadlines = &mut self.resilience.deadlines;
        deadlines.begin(self.now, Timed::Store(op));
        deadlines.enter(self.now, Timed::Store(op), Phase::Store);
    }

    /// An operation is over; none, if it was over before.
    pub(super) fn take_pending(&mut self, op: OpId) -> Option<Open> {
        let open = self.pending.remove(&op)?;
        if let Pending::Durable(..) | Pending::Lane(_) = open.pending {
            self.resilience.deadlines.end(Timed::Store(op));
        }
        Some(open)
    }

    /// A local tier is ready.
    pub(super) fn on_tier_joined(&mut self, tier: TierId, objects: u64, bytes: ByteCount) {
        self.resilience.on_joined(tier);
        self.event(ResilienceEvent::TierJoined { tier, objects, bytes });
    }

    /// A new operation, and who waits for its answer.
    pub(super) fn operation(&mut self, pending: Pending) -> OpId {
        self.operation_with(pending, None)
    }

    /// The same with the permit of a breaker that was asked for it, if one was.
    pub(super) fn operation_with(&mut self, pending: Pending, permit: Option<HeldPermit>) -> OpId {
        let op = OpId(self.ids.mint());
        self.pending.insert(op, Open { pending, permit });
        op
    }
}

/// An operation without an answer.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) pending: Pending,
    /// What it was allowed by.
    pub(super) permit: Option<HeldPermit>,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Fetch(FillId),
    Pull(FillId),
    Lookup(FillId),
    Read(RequestId),
    Lane(WriterId),
    Freshen(Freshen),
    Delete(Deletion),
    StoreBan(TierId),
    /// With the store that was asked.
    Durable(Work, DurableStore),
}
