//! How long to wait before asking again.
//!
//! The ceiling doubles with each try up to a bound; the wait is drawn below it, so that those who failed
//! together do not come back together. It counts nothing: whoever waits knows the number of the try.

use crate::parts::random::Random;
use core::time::Duration;

/// Waits that grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The first ceiling. Not above `max`.
    pub(crate) first: Duration,
    /// The last ceiling.
    pub(crate) max: Duration,
    pub(crate) jitter: Jitter,
}

/// Where below its ceiling a wait is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jitter {
    /// Anywhere: spreads many best, at the least work for whom it asks. For retries.
    Full,
    /// In the upper half: never soon. For breakers, where a wait near zero would be none.
    Half,
}

impl Backoff {
    /// The wait before the `nth` next try, counted from zero.
    pub(crate) fn delay(&self, nth: u32, random: &mut Random) -> Duration {
        let ceiling = nanos(self.ceiling(nth));
        let floor = match self.jitter {
            Jitter::Full => 0,
            Jitter::Half => ceiling.div_ceil(2),
        };
        let outcomes = (ceiling - floor).saturating_add(1);
        Duration::from_nanos(floor + random.below(outcomes))
    }

    /// No `nth` wait is longer; never falls with `nth`, never above `max`.
    pub(crate) fn ceiling(&self, nth: u32) -> Duration {
        let factor = 1_u32.checked_shl(nth).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::random::Seed;
    use proptest::prelude::*;
    use std::{collections::BTreeSet, vec::Vec};

    const fn backoff(jitter: Jitter) -> Backoff {
        Backoff { first: Duration::from_millis(50), max: Duration::from_millis(1_000), jitter }
    }

    /// The ceiling doubles, and then stays.
    #[test]
    fn ceilings_double_up_to_the_bound() {
        let ceilings: Vec<_> = (0..7).map(|nth| backoff(Jitter::Full).ceiling(nth).as_millis()).collect();
        assert_eq!(ceilings, [50, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(backoff(Jitter::Full).ceiling(u32::MAX).as_millis(), 1_000, "no overflow brings it down");
    }

    /// A hundred who failed together draw a hundred waits, over the whole range that the jitter names.
    #[test]
    fn a_crowd_is_spread() {
        for (jitter, low) in [(Jitter::Full, 0), (Jitter::Half, 400)] {
            let draw = |n| backoff(jitter).delay(4, &mut Seed(n).split("waits")).as_millis();
            let waits: BTreeSet<_> = (0..100).map(draw).collect();
            let (first, last) =
                (*waits.first().expect("100 were drawn"), *waits.last().expect("100 were drawn"));
            assert!(waits.len() > 60, "{jitter:?}: {} different waits", waits.len());
            assert!(first >= low && first < low + 50, "{jitter:?} begins at {first}");
            assert!(last <= 800 && last > 750, "{jitter:?} ends at {last}");
        }
    }

    proptest! {
        /// Whatever the bounds and the seed: each wait lies between its floor and its ceiling, and no ceiling
        /// falls.
        #[test]
        fn waits_stay_within_bounds(
            first in any::<u64>(), more in any::<u64>(), nth in 0_u32..80, seed in any::<u64>(), half in any::<bool>(),
        ) {
            let jitter = if half { Jitter::Half } else { Jitter::Full };
            let (first, max) = (Duration::from_nanos(first), Duration::from_nanos(first.saturating_add(more)));
            let backoff = Backoff { first, max, jitter };
            let wait = backoff.delay(nth, &mut Seed(seed).split("waits"));
            prop_assert!(wait <= backoff.ceiling(nth) && backoff.ceiling(nth) <= max);
            prop_assert!(backoff.ceiling(nth) <= backoff.ceiling(nth + 1));
            prop_assert!(!half || wait >= backoff.ceiling(nth) / 2);
        }
    }
}
