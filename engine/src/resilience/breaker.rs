//! A circuit breaker: stops asking whoever keeps failing, and finds out when they are well again.
//!
//! One for each tier and each origin. It stands behind the cache: what is stored is served whatever it says
//! (O2). A half-open breaker always resolves, whatever becomes of its probes, at the latest two `probe_max`
//! after it began: answers resolve it, and a probe that never answers is lost and counts as a failure
//! (failure R2). It does not ask, and it does not judge answers beyond [`Verdict`]. What it decides depends
//! on what happened when, not on when it is looked at.

use crate::{
    language::{reason::OriginFailure, time::Instant},
    parts::random::Random,
    resilience::backoff::Backoff,
};
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Which answers count against the origin that gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BreakerCount {
    /// None: only that no answer came does. An answer of any status is proof that the origin lives.
    NoAnswer,
    /// Those that say that the origin failed, too: 5xx but 501 and 505, and what is not HTTP.
    ServerErrors,
}

/// When to stop asking, and how to begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerPolicy {
    /// What counts against an origin. A tier has no statuses.
    pub(crate) count: BreakerCount,
    /// How far back answers count.
    pub(crate) window: Duration,
    /// Fewer answers than this in the window say nothing about a share.
    pub(crate) calls_min: u32,
    /// The share of failures that opens it.
    pub(crate) failure_percent: u32,
    /// As many failures with no healthy answer between them open it, however few calls there are.
    pub(crate) failures_in_a_row: u32,
    /// How long it stays open.
    pub(crate) open: Backoff,
    /// Healthy probes that close it, and the most that are out at a time.
    pub(crate) probes: u32,
    /// A probe that has not answered by then is lost.
    pub(crate) probe_max: Duration,
}

/// What an answer says about the health of whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They did their work. That the answer was 404, 304 or “absent” makes no difference.
    Healthy,
    /// They did not.
    Failing,
    /// Nobody waited for the answer, or nobody was asked: nothing was learned, and a probe is free for
    /// another.
    Untold,
}

impl Verdict {
    /// What a response head says. 429 is a healthy origin's word; 501 and 505 are about the request.
    pub(crate) const fn of_status(count: BreakerCount, status: u16) -> Self {
        match (count, status) {
            (BreakerCount::NoAnswer, _) | (BreakerCount::ServerErrors, 501 | 505) => Self::Healthy,
            (BreakerCount::ServerErrors, 500..=599) => Self::Failing,
            (BreakerCount::ServerErrors, _) => Self::Healthy,
        }
    }

    /// What a failed fetch says. What was no HTTP, or had the wrong length, was an answer all the same.
    pub(crate) const fn of_failure(count: BreakerCount, failure: OriginFailure) -> Self {
        match failure {
            OriginFailure::Unreachable | OriginFailure::TimedOut | OriginFailure::Broken => Self::Failing,
            OriginFailure::Malformed | OriginFailure::TooShort | OriginFailure::TooLong => match count {
                BreakerCount::NoAnswer => Self::Healthy,
                BreakerCount::ServerErrors => Self::Failing,
            },
            OriginFailure::Unsendable | OriginFailure::Abandoned => Self::Untold,
        }
    }
}

/// May one call be made?
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admit {
    /// Yes; the permit goes back with the answer.
    Yes(Permit),
    /// No, and unless an answer comes, not before `until`.
    No {
        /// When to ask again.
        until: Instant,
    },
}

/// The right to one call. It cannot be copied, so it is returned at most once (failure A3).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit goes back to its breaker with the call's verdict"]
pub(crate) struct Permit {
    /// Of which of the breaker's states it is.
    era: u64,
    /// Which of that state's permits it is.
    serial: u64,
}

/// Where a breaker stands, for events and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All calls are made.
    Closed,
    /// None is before `until`; from then on the next one is a probe.
    Open {
        /// When it ends.
        until: Instant,
    },
    /// A few are, to see.
    HalfOpen,
}

/// One breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    policy: BreakerPolicy,
    random: Random,
    state: BreakerInner,
    /// Grows with each change of state, so that permits of an earlier one are known.
    era: u64,
    /// Permits given so far.
    given: u64,
    /// Permits given and not returned.
    out: u64,
}

/// ```text
/// Closed ──a row or share of failures──▶ Open ──until, then a call──▶ HalfOpen
///    ▲                                   ▲  ▲                          │ │ │
///    │                                   │  ╰─a probe failed, was lost─╯ │ │
///    │                                   ╰──grants over, nothing learned─╯ │
///    ╰──enough probes healthy, or grants over and those out were healthy───╯
/// ```
#[derive(Debug)]
enum BreakerInner {
    /// All may ask. `row` are the failures since the last healthy answer.
    Closed { window: Window, row: u32 },
    /// Nobody may. `trips` are the times it opened since it was closed.
    Open { until: Instant, trips: u32 },
    /// A few may, until `grants_until`; those `out` are in the order in which they are lost.
    HalfOpen { out: Vec<Probe>, healthy: u32, grants_until: Instant, trips: u32 },
}

/// A call that is to show whether they are well again.
#[derive(Debug)]
struct Probe {
    serial: u64,
    lost_at: Instant,
}

impl Breaker {
    /// A closed one. `random` is its own, split by its name.
    pub(crate) fn new(policy: BreakerPolicy, random: Random) -> Self {
        Self {
            policy,
            random,
            state: BreakerInner::Closed { window: Window::new(), row: 0 },
            era: 0,
            given: 0,
            out: 0,
        }
    }

    /// May a call be made now?
    pub(crate) fn admit(&mut self, now: Instant) -> Admit {
        self.on_wake(now);
        match &mut self.state {
            BreakerInner::Closed { .. } => {}
            BreakerInner::Open { until, .. } if now < *until => return Admit::No { until: *until },
            BreakerInner::Open { trips, .. } => {
                let (trips, grants_until) = (*trips, now.after(self.policy.probe_max));
                self.enter(BreakerInner::HalfOpen { out: Vec::new(), healthy: 0, grants_until, trips });
            }
            BreakerInner::HalfOpen { out, healthy, grants_until, .. } => {
                let enough = out.len() >= (self.policy.probes - *healthy) as usize;
                if enough || now >= *grants_until {
                    let first = out.first().expect("half-open without a probe out is resolved or grants one");
                    return Admit::No { until: first.lost_at };
                }
            }
        }
        self.given += 1;
        self.out += 1;
        let serial = self.given;
        if let BreakerInner::HalfOpen { out, .. } = &mut self.state {
            out.push(Probe { serial, lost_at: now.after(self.policy.probe_max) });
        }
        Admit::Yes(Permit { era: self.era, serial })
    }

    /// A call is over. The answer of an earlier state's permit says nothing about this one.
    pub(crate) fn on_outcome(&mut self, now: Instant, permit: Permit, verdict: Verdict) {
        self.on_wake(now);
        self.out = self.out.checked_sub(1).expect("a permit comes from this breaker and cannot be copied");
        if permit.era != self.era {
            return;
        }
        match &mut self.state {
            BreakerInner::Closed { window, row } => {
                let opens = window.judge(now, verdict, row, &self.policy);
                if opens {
                    self.open(now, 0);
                }
            }
            BreakerInner::Open { .. } => {
                unreachable!("an open breaker gives no permits: {permit:?}, {self:?}")
            }
            BreakerInner::HalfOpen { out, healthy, trips, .. } => {
                let trips = *trips;
                out.retain(|probe| probe.serial != permit.serial);
                match verdict {
                    Verdict::Healthy => {
                        *healthy += 1;
                        if *healthy == self.policy.probes {
                            self.close();
                        }
                    }
                    Verdict::Failing => self.open(now, trips),
                    Verdict::Untold => {}
                }
                // The last one out may be what a resolution waited for.
                self.on_wake(now);
            }
        }
    }

    /// Does what time alone demands. [`Breaker::admit`] and [`Breaker::on_outcome`] do it too.
    pub(crate) fn on_wake(&mut self, now: Instant) {
        let BreakerInner::HalfOpen { out, healthy, grants_until, trips } = &self.state else {
            return;
        };
        let (healthy, grants_until, trips) = (*healthy, *grants_until, *trips);
        match out.first() {
            Some(probe) if probe.lost_at <= now => self.open(probe.lost_at, trips),
            Some(_) => {}
            None if now < grants_until => {}
            None if healthy > 0 => self.close(),
            // Every probe was called off: the next call may try, and nobody waits longer for it.
            None => self.enter(BreakerInner::Open { until: grants_until, trips }),
        }
    }

    /// When time alone changes something.
    pub(crate) fn poll_wake(&self) -> Option<Instant> {
        match &self.state {
            BreakerInner::Closed { .. } | BreakerInner::Open { .. } => None,
            BreakerInner::HalfOpen { out, grants_until, .. } => {
                Some(out.first().map_or(*grants_until, |probe| probe.lost_at))
            }
        }
    }

    /// Where it stands.
    pub(crate) const fn state(&self) -> BreakerState {
        match &self.state {
            BreakerInner::Closed { .. } => BreakerState::Closed,
            BreakerInner::Open { until, .. } => BreakerState::Open { until: *until },
            BreakerInner::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Permits given and not returned: none when nothing is under way (CON6).
    pub(crate) const fn permits_out(&self) -> u64 {
        self.out
    }

    fn open(&mut self, at: Instant, trips: u32) {
        let until = at.after(self.policy.open.delay(trips, &mut self.random));
        self.enter(BreakerInner::Open { until, trips: trips.saturating_add(1) });
    }

    fn close(&mut self) {
        self.enter(BreakerInner::Closed { window: Window::new(), row: 0 });
    }

    fn enter(&mut self, state: BreakerInner) {
        self.state = state;
        self.era += 1;
    }
}

/// The window's pieces: it forgets a tenth at a time.
const PIECES: u64 = 10;

/// Answers of late, counted in pieces of time.
#[derive(Debug)]
struct Window {
    pieces: [Piece; PIECES as usize],
    /// The number of the newest piece, counted from the clock's origin.
    newest: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    calls: u64,
    failures: u64,
}

impl Window {
    const fn new() -> Self {
        Self { pieces: [Piece { calls: 0, failures: 0 }; PIECES as usize], newest: 0 }
    }

    /// Counts an answer, and says whether it is one failure too many.
    fn judge(&mut self, now: Instant, verdict: Verdict, row: &mut u32, policy: &BreakerPolicy) -> bool {
        let failed = match verdict {
            Verdict::Healthy => false,
            Verdict::Failing => true,
            Verdict::Untold => return false,
        };
        let piece = self.piece(now, policy.window);
        piece.calls += 1;
        piece.failures += u64::from(failed);
        *row = if failed { row.saturating_add(1) } else { 0 };
        let calls: u64 = self.pieces.iter().map(|piece| piece.calls).sum();
        let failures: u64 = self.pieces.iter().map(|piece| piece.failures).sum();
        let share = calls >= u64::from(policy.calls_min)
            && failures.saturating_mul(100) >= calls.saturating_mul(policy.failure_percent.into());
        failed && (share || *row >= policy.failures_in_a_row)
    }

    /// The piece that `now` lies in, after forgetting what is too old.
    fn piece(&mut self, now: Instant, window: Duration) -> &mut Piece {
        let width = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).div_ceil(PIECES).max(1);
        let newest = self.newest.max(now.as_nanos() / width);
        for number in (self.newest + 1..=newest).take(PIECES as usize) {
            self.pieces[slot(number)] = Piece::default();
        }
        self.newest = newest;
        &mut self.pieces[slot(newest)]
    }
}

fn slot(number: u64) -> usize {
    usize::try_from(number % PIECES).expect("a remainder of ten fits usize")
}

#[cfg(test)]
mod tests;
