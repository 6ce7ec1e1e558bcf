//! A budget for asking more often than one was asked.
//!
//! Each request pays in a share of one extra, time pays in a little more, and an extra takes a whole one out.
//! So an outage is answered with at most `percent` more load and not with a multiple of it (I15), whatever
//! each call would like. The shape is Finagle's, but the balance is capped by `burst` where Finagle lets
//! deposits expire: a cap needs no memory of when each came. It does not know what an extra is: a retry here,
//! a hedge there.

use crate::language::time::Instant;

/// What a budget allows: over any stretch of time, extras ≤ `burst` + `percent` of the requests +
/// `floor_per_s` × seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Extras per hundred requests.
    pub(crate) percent: u32,
    /// Extras per second that are allowed however few requests there are.
    pub(crate) floor_per_s: u32,
    /// Extras that may be saved up.
    pub(crate) burst: u32,
}

/// One extra, in the budget's unit. A nanosecond of a floor of 1 per second pays in exactly `NANOSECOND`, one
/// percent of one request exactly `PERCENT`, so nothing is ever rounded.
const EXTRA: u64 = 100 * PERCENT;
const PERCENT: u64 = 1_000_000_000;
const NANOSECOND: u64 = EXTRA / 1_000_000_000;

/// A token bucket, filled by requests.
#[derive(Debug)]
pub(crate) struct Budget {
    allowance: Allowance,
    /// In parts of an extra, at most `burst` of them.
    balance: u64,
    /// Until when time has paid in.
    paid_until: Instant,
}

impl Budget {
    /// Begins full: the first requests after a start may fail like any others.
    pub(crate) fn new(allowance: Allowance, now: Instant) -> Self {
        Self { allowance, balance: u64::from(allowance.burst).saturating_mul(EXTRA), paid_until: now }
    }

    /// Someone asked. Extras do not count: they would pay for each other.
    pub(crate) fn on_request(&mut self, now: Instant) {
        self.accrue(now);
        self.pay_in(u64::from(self.allowance.percent).saturating_mul(PERCENT));
    }

    /// Takes one extra out, if there is one. What is taken stays taken, even if the extra is not asked in the
    /// end.
    #[must_use]
    pub(crate) fn spend(&mut self, now: Instant) -> bool {
        self.accrue(now);
        match self.balance.checked_sub(EXTRA) {
            Some(rest) => {
                self.balance = rest;
                true
            }
            None => false,
        }
    }

    fn accrue(&mut self, now: Instant) {
        let elapsed = now.since(self.paid_until).as_nanos();
        let rate = u64::from(self.allowance.floor_per_s).saturating_mul(NANOSECOND);
        self.paid_until = self.paid_until.max(now);
        self.pay_in(u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_mul(rate));
    }

    fn pay_in(&mut self, amount: u64) {
        let cap = u64::from(self.allowance.burst).saturating_mul(EXTRA);
        self.balance = self.balance.saturating_add(amount).min(cap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn at(millis: u64) -> Instant {
        Instant::ZERO.after(Duration::from_millis(millis))
    }

    fn spent(budget: &mut Budget, now: Instant, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(budget.spend(now))).sum()
    }

    /// A dead origin and a thousand requests, each of which would like three more: it gets a fifth more, and
    /// the burst.
    #[test]
    fn an_outage_is_not_amplified() {
        let mut budget = Budget::new(Allowance { percent: 20, floor_per_s: 0, burst: 10 }, at(0));
        let mut extras = 0;
        for _ in 0..1_000 {
            budget.on_request(at(0));
            extras += spent(&mut budget, at(0), 3);
        }
        assert_eq!(extras, 10 + 200 - 1, "the first request finds the budget full, so its fifth is lost");
    }

    /// One request an hour is retried: the floor pays for it. Many quiet hours save up no more than the
    /// burst.
    #[test]
    fn quiet_times_have_a_floor_and_save_no_more_than_the_burst() {
        let mut budget = Budget::new(Allowance { percent: 20, floor_per_s: 1, burst: 3 }, at(0));
        assert_eq!(spent(&mut budget, at(0), 9), 3);
        assert_eq!(spent(&mut budget, at(999), 9), 0);
        assert_eq!(spent(&mut budget, at(1_000), 9), 1, "exactly after a second");
        assert_eq!(spent(&mut budget, at(100_000_000), 9), 3);
        assert_eq!(spent(&mut budget, Instant::from_nanos(u64::MAX), 9), 3, "no overflow");
    }

    /// A clock that steps back pays nothing twice.
    #[test]
    fn time_is_paid_once() {
        let mut budget = Budget::new(Allowance { percent: 0, floor_per_s: 1, burst: 9 }, at(10_000));
        assert_eq!(spent(&mut budget, at(10_000), 20), 9);
        assert_eq!(spent(&mut budget, at(1_000), 20), 0);
        assert_eq!(spent(&mut budget, at(11_000), 20), 1);
    }

    proptest! {
        /// Whatever comes: over each stretch between any two moments, extras stay within the allowance.
        #[test]
        fn no_stretch_exceeds_the_allowance(
            percent in 0_u32..=100, floor_per_s in 0_u32..4, burst in 0_u32..6,
            steps in proptest::collection::vec((0_u64..400, 0_u32..4, 0_u32..6), 1..60),
        ) {
            let mut budget = Budget::new(Allowance { percent, floor_per_s, burst }, at(0));
            let mut now = 0;
            let mut log = Vec::new();
            for (pause, requests, wishes) in steps {
                now += pause;
                (0..requests).for_each(|_| budget.on_request(at(now)));
                log.push((now, requests, spent(&mut budget, at(now), wishes)));
            }
            for from in 0..log.len() {
                for to in from..log.len() {
                    let stretch = &log[from..=to];
                    let requests: u64 = stretch.iter().map(|(_, requests, _)| u64::from(*requests)).sum();
                    let extras: u64 = stretch.iter().map(|(_, _, extras)| u64::from(*extras)).sum();
                    // The stretch begins just before its first step, and the pause before that has paid in up
                    // to the burst.
                    let millis = log[to].0 - log[from].0;
                    let allowed = u64::from(burst) * 100_000
                        + requests * u64::from(percent) * 1_000
                        + u64::from(floor_per_s) * millis * 100;
                    prop_assert!(extras * 100_000 <= allowed, "{extras} extras for {requests} in {millis} ms");
                }
            }
        }

        /// And it gives what it promises: with no burst in the way, a steady flow gets its share, rounded
        /// down.
        #[test]
        fn a_steady_flow_gets_its_share(percent in 0_u32..=100, requests in 1_u32..2_000) {
            let mut budget = Budget::new(Allowance { percent, floor_per_s: 0, burst: 2 }, at(0));
            let first = spent(&mut budget, at(0), 9);
            let mut extras = 0;
            for _ in 0..requests {
                budget.on_request(at(0));
                extras += spent(&mut budget, at(0), 1);
            }
            prop_assert_eq!((first, extras), (2, requests * percent / 100));
        }
    }
}
