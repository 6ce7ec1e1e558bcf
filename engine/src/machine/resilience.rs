//! ResiliencePolicy, as the engine uses it: who may be asked, what an answer says of whoever gave it, what is
//! due and when.
//!
//! It stands behind the cache, never before it: what L0 has is served, and an open record is read on,
//! whatever a breaker says (O2, failure R2). Each operation that a breaker was asked for keeps its permit
//! beside it until it is answered, is given up or is forgotten, so none is lost and none is returned twice
//! (CON6).

use super::{
    WakeReason,
    context::{Context, Open},
};
use crate::{
    config::{Config, ResiliencePolicy},
    durable::Told,
    language::{
        answer::Answer,
        chunk::Chunk,
        event::{ResilienceEvent, TierOperation},
        id::{FillId, OpId, OriginId, RequestId, TierId},
        reason::{Dependency, ReadFailure},
        time::Instant,
    },
    parts::{
        agenda::Agenda,
        random::{Random, Seed},
        table::Name,
    },
    resilience::{
        breaker::{Admit, Breaker, BreakerCount, BreakerState, Permit, Verdict},
        budget::Budget,
        deadline::Deadlines,
        hedge::Hedging,
    },
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    vec::Vec,
};

/// Origins whose health is remembered though nothing is under way with them: enough for every bucket of an
/// edge. One more takes the place of one that is well.
const ORIGINS_MAX: usize = 1_024;

/// Every machine of resilience, and their timers.
#[derive(Debug)]
pub(super) struct Resilience {
    resilience: ResiliencePolicy,
    seed: Seed,
    /// Local tiers that are not ready yet.
    joining: Vec<TierId>,
    tiers: BTreeMap<TierId, TierCare>,
    /// L3's index's, where there is one.
    index: Option<Breaker>,
    origins: BTreeMap<OriginId, Breaker>,
    /// When time alone changes a breaker.
    changes: BTreeSet<(Instant, Dependency)>,
    /// For asking the origin again.
    pub(super) budget: Budget,
    pub(super) random: Random,
    /// When each fill that rests asks again.
    pub(super) retries: Agenda<FillId>,
    /// When each read of a record is late.
    pub(super) late_reads: Agenda<RequestId>,
    pub(super) deadlines: Deadlines<Timed>,
}

#[derive(Debug)]
struct TierCare {
    breaker: Breaker,
    hedging: Option<Hedging>,
}

/// Who waits for the outside, and for how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timed {
    /// A lookup, a head, or the next chunk of a body.
    Fill(FillId),
    /// The next bytes of a record.
    Reader(RequestId),
    /// What one of L3's stores is asked, and no request waits for.
    Store(OpId),
}

impl Name for Timed {
    fn hash(self, salt: u128) -> u64 {
        // The same number may name both a fill and a request. The engine mints the names of fills and
        // operations from one source.
        match self {
            Self::Fill(fill) => fill.hash(salt),
            Self::Reader(request) => !request.hash(salt),
            Self::Store(op) => op.hash(salt),
        }
    }
}

/// The right to one operation, and whose breaker gave it.
pub(super) type HeldPermit = (Dependency, Permit);

impl Resilience {
    pub(super) fn new(config: &Config, seed: Seed, now: Instant) -> Self {
        let resilience = config.resilience;
        let tiers = config.byte_tiers().map(|tier| {
            let random = seed.split(&format!("breaker of {}", tier.as_str()));
            let breaker = Breaker::new(resilience.breaker, random);
            (tier, TierCare { breaker, hedging: resilience.hedge.map(|policy| Hedging::new(policy, now)) })
        });
        Self {
            joining: config.local_tiers().collect(),
            tiers: tiers.collect(),
            index: config
                .durable_terms()
                .map(|_| Breaker::new(resilience.breaker, seed.split("breaker of l3's index"))),
            origins: BTreeMap::new(),
            changes: BTreeSet::new(),
            budget: Budget::new(resilience.retry_allowance, now),
            random: seed.split("retries"),
            retries: Agenda::default(),
            late_reads: Agenda::default(),
            deadlines: Deadlines::new(resilience.deadline),
            resilience,
            seed,
        }
    }

    /// Is it too early to ask this tier?
    pub(super) fn is_joining(&self, tier: TierId) -> bool {
        self.joining.contains(&tier)
    }

    pub(super) fn on_joined(&mut self, tier: TierId) {
        let awaited = self.joining.len();
        self.joining.retain(|other| *other != tier);
        assert!(self.joining.len() < awaited, "the answer rule: {tier:?} joins once");
    }

    fn breaker(&mut self, who: Dependency) -> &mut Breaker {
        match who {
            Dependency::Tier(tier) => {
                &mut self.tiers.get_mut(&tier).expect("effects name configured tiers").breaker
            }
            Dependency::Index => self.index.as_mut().expect("only a configured durable tier is asked"),
            Dependency::Origin(origin) => {
                if !self.origins.contains_key(&origin) {
                    self.make_room();
                }
                let (resilience, seed) = (&self.resilience, self.seed);
                self.origins.entry(origin).or_insert_with(|| {
                    Breaker::new(resilience.breaker, seed.split(&format!("breaker of origin {}", origin.0)))
                })
            }
        }
    }

    /// Forgets an origin if there are too many: one that is well, or else any that nothing is under way with.
    /// Those with something under way are bounded by `collapse.fills_max`.
    fn make_room(&mut self) {
        if self.origins.len() < ORIGINS_MAX {
            return;
        }
        let idle = || self.origins.iter().filter(|(_, breaker)| breaker.permits_out() == 0);
        let well = idle().find(|(_, breaker)| breaker.state() == BreakerState::Closed);
        let forgotten = well.or_else(|| idle().next()).map(|(origin, _)| *origin);
        if let Some(breaker) = forgotten.and_then(|origin| self.origins.remove(&origin))
            && let (Some(at), Some(origin)) = (breaker.poll_wake(), forgotten)
        {
            self.changes.remove(&(at, Dependency::Origin(origin)));
        }
    }

    pub(super) fn hedging(&mut self, tier: TierId) -> Option<&mut Hedging> {
        self.tiers.get_mut(&tier).and_then(|tier| tier.hedging.as_mut())
    }

    /// Permits that are out.
    pub(super) fn permits(&self) -> u64 {
        let tiers = self.tiers.values().map(|tier| tier.breaker.permits_out());
        let others = self.index.iter().chain(self.origins.values()).map(Breaker::permits_out);
        tiers.chain(others).sum()
    }

    /// Timers that are set.
    pub(super) fn timers(&self) -> usize {
        self.changes.len() + self.retries.len() + self.late_reads.len() + self.deadlines.timers()
    }

    /// The first of each kind.
    pub(super) fn wakes(&self) -> [Option<(Instant, WakeReason)>; 4] {
        [
            self.retries.first().map(|(at, _)| (at, WakeReason::Retry)),
            self.late_reads.first().map(|(at, _)| (at, WakeReason::LateRead)),
            self.deadlines.poll_wake().map(|(at, _)| (at, WakeReason::Deadline)),
            self.changes.first().map(|(at, _)| (*at, WakeReason::Breaker)),
        ]
    }
}

impl<C: Chunk> Context<C> {
    /// May `who` be asked now? If not, not before the moment that is returned.
    pub(super) fn admit(&mut self, who: Dependency) -> Result<HeldPermit, Instant> {
        match self.with_breaker(who, |breaker, now| breaker.admit(now)) {
            Admit::Yes(permit) => Ok((who, permit)),
            Admit::No { until } => Err(until),
        }
    }

    /// The same for a tier; when not, the event says what is skipped.
    pub(super) fn admit_tier(&mut self, tier: TierId, operation: TierOperation) -> Option<HeldPermit> {
        self.admit_of(Dependency::Tier(tier), tier, operation)
    }

    /// The same for L3's index.
    pub(super) fn admit_index(&mut self, operation: TierOperation) -> Option<HeldPermit> {
        self.admit_of(Dependency::Index, TierId::L3, operation)
    }

    fn admit_of(&mut self, who: Dependency, tier: TierId, operation: TierOperation) -> Option<HeldPermit> {
        match self.admit(who) {
            Ok(permit) => Some(permit),
            Err(until) => {
                self.event(ResilienceEvent::TierSkipped { tier, operation, until });
                None
            }
        }
    }

    /// Does this one's breaker let nobody through?
    pub(super) fn is_open(&mut self, who: Dependency) -> bool {
        match self.resilience.breaker(who).state() {
            BreakerState::Open { until } => self.now < until,
            BreakerState::Closed | BreakerState::HalfOpen => false,
        }
    }

    fn with_breaker<R>(&mut self, who: Dependency, step: impl FnOnce(&mut Breaker, Instant) -> R) -> R {
        let now = self.now;
        let breaker = self.resilience.breaker(who);
        let (before, woken) = (breaker.state(), breaker.poll_wake());
        let result = step(breaker, now);
        let (state, wakes) = (breaker.state(), breaker.poll_wake());
        if woken != wakes {
            woken.map(|at| self.resilience.changes.remove(&(at, who)));
            self.resilience.changes.extend(wakes.map(|at| (at, who)));
        }
        if state != before {
            self.event(ResilienceEvent::BreakerChanged { who, state });
        }
        result
    }

    /// Nobody waits for the answer any more; it says nothing of whoever was asked.
    pub(super) fn forget(&mut self, op: OpId) {
        self.end_operation(op, Verdict::Untold);
    }

    /// The answer took too long, and is of no interest any more.
    pub(super) fn give_up(&mut self, op: OpId) {
        self.end_operation(op, Verdict::Failing);
    }

    fn end_operation(&mut self, op: OpId, verdict: Verdict) {
        if let Some(Open { permit: Some((who, permit)), .. }) = self.take_pending(op) {
            self.with_breaker(who, |breaker, now| breaker.on_outcome(now, permit, verdict));
        }
    }

    /// An answer says how whoever gave it is.
    pub(super) fn judge_answer(&mut self, permit: Option<HeldPermit>, answer: &Answer<C>) {
        if let Some((who, permit)) = permit {
            let verdict = verdict(self.config.resilience.breaker.count, answer);
            self.with_breaker(who, |breaker, now| breaker.on_outcome(now, permit, verdict));
        }
    }

    /// By when the fill must have its head.
    pub(super) fn answer_by(&mut self, fill: FillId) -> Instant {
        let waiter = Timed::Fill(fill);
        match self.resilience.deadlines.answer_by(waiter) {
            Some(at) => at,
            None => self.resilience.deadlines.begin(self.now, waiter),
        }
    }

    /// Lets breakers resolve whose time has come.
    pub(super) fn resolve_breakers(&mut self) {
        while let Some((_, who)) = self.resilience.changes.first().copied().filter(|(at, _)| *at <= self.now)
        {
            self.with_breaker(who, Breaker::on_wake);
        }
    }
}

/// What an answer says of whoever gave it. “Absent” is an answer like any other, and so are 404 and 304.
fn verdict<C>(count: BreakerCount, answer: &Answer<C>) -> Verdict {
    match answer {
        Answer::Head { head } => Verdict::of_status(count, head.status),
        Answer::FetchFailed { failure } => Verdict::of_failure(count, *failure),
        Answer::Found { .. } | Answer::Absent | Answer::BodyRead { .. } | Answer::Opened => Verdict::Healthy,
        Answer::ReadFailed { why: ReadFailure::Rotten } => Verdict::Healthy,
        Answer::DurableTold { told: Told::Unknown } => Verdict::Failing,
        // Of the durable tier's stores only a lookup's questions have a permit.
        Answer::DurableTold { .. } => Verdict::Healthy,
        Answer::LookupFailed | Answer::ReadFailed { why: ReadFailure::Unavailable } | Answer::WriteFailed => {
            Verdict::Failing
        }
        Answer::Pulled { .. }
        | Answer::PullEnded
        | Answer::PullFailed { .. }
        | Answer::Written
        | Answer::Committed
        | Answer::Freshened { .. }
        | Answer::BanStored
        | Answer::Deleted { .. }
        | Answer::DeleteFailed => Verdict::Untold,
    }
}
