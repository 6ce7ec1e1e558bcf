//! The lease under which the purge feed is read: until when an engine can be sure to have heard of every
//! purge elsewhere.
//!
//! Without it, nothing that is stored may be used before the origin has agreed to it, in whatever tier it
//! lies: a purge that was asked for elsewhere is in no store, but for that of a key in L3. Nor does anybody
//! join a fetch that is older than the lease: it asks for itself.

use crate::{
    config::Config,
    language::time::{BIRTH_ROUNDING, Instant, WallTime},
    rules::reuse::{Reuse, Stored},
};
use core::time::Duration;

/// What is known of purges elsewhere.
#[derive(Debug)]
pub(super) enum FeedLease {
    /// Nobody purges elsewhere.
    NoFeed,
    /// All is known until then that was purged a `span` before, or earlier.
    Feed { span: Duration, until: Instant },
}

/// What is stored may be used as its lifetime says, or not without the origin's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// What was purged elsewhere is known.
    Lifetime,
    /// It may be unknown.
    Origin,
}

impl Trust {
    /// What may be done with a stored response now.
    pub(super) fn in_stored(self, stored: Stored) -> Stored {
        match self {
            Self::Lifetime => stored,
            Self::Origin => Stored { reuse: Reuse::AfterRevalidation, ..stored },
        }
    }
}

impl FeedLease {
    pub(super) fn of(config: &Config) -> Self {
        match config.feed {
            None => Self::NoFeed,
            Some(policy) => Self::Feed { span: policy.lease(), until: Instant::ZERO },
        }
    }

    /// The feed was read: the lease holds until then.
    pub(super) fn extend(&mut self, to: Instant) {
        match self {
            Self::NoFeed => panic!("the answer rule: there is no feed to hold a lease of"),
            Self::Feed { until, .. } => *until = to.max(*until),
        }
    }

    pub(super) fn trust(&self, now: Instant) -> Trust {
        match self {
            Self::Feed { until, .. } if now >= *until => Trust::Origin,
            Self::Feed { .. } | Self::NoFeed => Trust::Lifetime,
        }
    }

    /// What was born until then, on a calendar that says `wall`, is older than a purge that was asked for at
    /// `at` on another: calendars need to agree no better than the lease is long. What is fetched from now on
    /// is newer.
    pub(super) fn remote_purge_counts_until(&self, at: WallTime, wall: WallTime) -> WallTime {
        wall.min(at.after(self.span()))
    }

    /// May a request join what was asked for so long ago? A purge that it has missed must be younger than the
    /// lease.
    pub(super) fn covers(&self, now: Instant, asked_ago: Duration) -> bool {
        self.trust(now) == Trust::Lifetime || asked_ago.saturating_add(BIRTH_ROUNDING) < self.span()
    }

    fn span(&self) -> Duration {
        match self {
            Self::NoFeed => Duration::ZERO,
            Self::Feed { span, .. } => *span,
        }
    }
}
