//! How long things last in the durable tier, and how often its machines try.

use crate::{
    language::time::WallTime,
    plant::{Fault, Plant},
};
use core::{fmt, time::Duration};

/// [`Terms`] as written, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawTerms {
    /// How long an upload lease holds without renewal. Too short costs uploads, too long keeps orphans.
    pub lease: Duration,
    /// The longest time from a lookup's answer to the lease of the fill that it led to. A purge's generation
    /// is remembered for as long; later fills are not stored.
    pub fetch_max: Duration,
    /// How long an object stays that nobody asks for. At least `fetch_max`.
    pub idle: Duration,
    /// How long an object stays at most, however often it is asked for. At least `idle`.
    pub total: Duration,
    /// How long the collector leaves a blob that nothing names any more, so that who reads it can finish.
    pub grace: Duration,
    /// How long the index keeps an entry behind its expiry. Longer than any two requests to the index take,
    /// one after the other, from being asked to being done, answered or not: a request from an entry's life
    /// that is done after its end could bring it back.
    pub linger: Duration,
    /// How often one exchange with the index is tried before it is given up. At least 1.
    pub tries_max: u32,
}

/// Checked terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms(RawTerms, Plant);

/// Why terms cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermsError {
    /// `idle` is shorter than `fetch_max`: a stored object could expire and take the memory of a purge with
    /// it.
    IdleBelowFetch {
        /// The value.
        idle: Duration,
        /// The least.
        fetch_max: Duration,
    },
    /// `total` is shorter than `idle`.
    TotalBelowIdle {
        /// The value.
        total: Duration,
        /// The least.
        idle: Duration,
    },
    /// `lease` is zero: no upload would ever hold one.
    NoLease,
    /// `tries_max` is zero: nothing would ever be stored.
    NoTries,
}

impl fmt::Display for TermsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdleBelowFetch { idle, fetch_max } => {
                write!(f, "`idle` is {idle:?} and must be at least `fetch_max`, {fetch_max:?}")
            }
            Self::TotalBelowIdle { total, idle } => {
                write!(f, "`total` is {total:?} and must be at least `idle`, {idle:?}")
            }
            Self::NoLease => write!(f, "`lease` is 0 and must be more"),
            Self::NoTries => write!(f, "`tries_max` is 0 and must be at least 1"),
        }
    }
}

impl core::error::Error for TermsError {}

impl TryFrom<RawTerms> for Terms {
    type Error = TermsError;

    fn try_from(raw: RawTerms) -> Result<Self, TermsError> {
        let RawTerms { lease, fetch_max, idle, total, grace: _, linger: _, tries_max } = raw;
        if idle < fetch_max {
            return Err(TermsError::IdleBelowFetch { idle, fetch_max });
        }
        if total < idle {
            return Err(TermsError::TotalBelowIdle { total, idle });
        }
        if lease.is_zero() {
            return Err(TermsError::NoLease);
        }
        if tries_max == 0 {
            return Err(TermsError::NoTries);
        }
        Ok(Self(raw, Plant::default()))
    }
}

impl Terms {
    /// These terms, for machines with a fault planted on purpose.
    #[cfg(feature = "plant")]
    pub(crate) const fn with_plant(self, plant: Plant) -> Self {
        Self(self.0, plant)
    }

    /// Was this fault planted?
    pub(super) fn is_planted(&self, fault: Fault) -> bool {
        self.1.is(fault)
    }

    pub(super) const fn lease(&self) -> Duration {
        self.0.lease
    }

    pub(super) const fn fetch_max(&self) -> Duration {
        self.0.fetch_max
    }

    pub(super) const fn idle(&self) -> Duration {
        self.0.idle
    }

    pub(super) const fn total(&self) -> Duration {
        self.0.total
    }

    pub(super) const fn grace(&self) -> Duration {
        self.0.grace
    }

    pub(super) const fn tries_max(&self) -> u32 {
        self.0.tries_max
    }

    /// From when on the index may drop an entry that expires then: what to give a store that drops by itself.
    pub fn droppable_at(&self, expires: WallTime) -> WallTime {
        expires.after(self.0.linger)
    }

    /// How long an object stays at most.
    pub const fn longest(&self) -> Duration {
        self.0.total
    }

    /// How long after a lease was granted or renewed to ask for its renewal: early enough for a second try.
    pub fn renew_after(&self) -> Duration {
        self.0.lease / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Terms under which a purge could be forgotten too early, or nothing could be stored, are refused by
    /// name.
    #[test]
    fn terms_that_cannot_be_kept_are_refused() {
        let good = RawTerms {
            lease: seconds(9),
            fetch_max: seconds(10),
            idle: seconds(10),
            total: seconds(10),
            grace: seconds(0),
            linger: seconds(1),
            tries_max: 1,
        };
        let check = |raw: RawTerms| Terms::try_from(raw).map(|terms| terms.renew_after());
        assert_eq!(check(good), Ok(seconds(3)));
        let droppable_at =
            Terms::try_from(good).map(|terms| terms.droppable_at(WallTime::from_unix_millis(5)));
        assert_eq!(droppable_at, Ok(WallTime::from_unix_millis(1_005)));
        let (idle, fetch_max) = (seconds(9), seconds(10));
        assert_eq!(check(RawTerms { idle, ..good }), Err(TermsError::IdleBelowFetch { idle, fetch_max }));
        let (total, idle) = (seconds(9), seconds(10));
        assert_eq!(check(RawTerms { total, ..good }), Err(TermsError::TotalBelowIdle { total, idle }));
        assert_eq!(check(RawTerms { lease: seconds(0), ..good }), Err(TermsError::NoLease));
        assert_eq!(check(RawTerms { tries_max: 0, ..good }), Err(TermsError::NoTries));
    }
}
