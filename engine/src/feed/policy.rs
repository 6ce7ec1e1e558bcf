//! How often the feed is read, and how long a reading is good for.

use crate::{
    config::{ConfigError, check},
    plant::Plant,
};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// `feed` as written. Every edge that shares the log should use the same `lease_ms`: the longest is the
/// bound.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawFeed {
    /// Milliseconds between two reads of the log; each is up to a quarter shorter by chance. Less costs the
    /// index store more reads. Default 1000; 1 to 600000.
    pub poll_ms: u32,
    /// Milliseconds for which an edge may serve what it holds without having read the log. A purge that was
    /// acknowledged is applied everywhere, or nothing of it served, after as long. Less makes a shorter
    /// outage of the index store felt. Default 5000; twice `poll_ms` to 3600000.
    pub lease_ms: u32,
}

impl Default for RawFeed {
    fn default() -> Self {
        Self { poll_ms: 1_000, lease_ms: 5_000 }
    }
}

/// Checked terms of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeedPolicy {
    pub(super) poll: Duration,
    pub(super) lease: Duration,
    pub(super) plant: Plant,
}

impl TryFrom<RawFeed> for FeedPolicy {
    type Error = ConfigError;

    fn try_from(raw: RawFeed) -> Result<Self, ConfigError> {
        let RawFeed { poll_ms, lease_ms } = raw;
        check((1..=600_000).contains(&poll_ms), "feed.poll_ms", poll_ms, "1 to 600000")?;
        let is_bounded = (2 * poll_ms..=3_600_000).contains(&lease_ms);
        check(is_bounded, "feed.lease_ms", lease_ms, "twice `feed.poll_ms` to 3600000")?;
        let millis = |span: u32| Duration::from_millis(span.into());
        Ok(Self { poll: millis(poll_ms), lease: millis(lease_ms), plant: Plant::default() })
    }
}

impl FeedPolicy {
    /// This policy, for a feed with a fault planted on purpose.
    #[cfg(feature = "plant")]
    pub(crate) const fn with_plant(self, plant: Plant) -> Self {
        Self { plant, ..self }
    }

    /// The stated bound: how long after its acknowledgement a purge may be unknown to an edge that serves.
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// An ask that has no answer by then is given up and made again. At least one poll, and short enough that
    /// an answer in time always leaves some of the lease.
    pub(super) fn ask_max(&self) -> Duration {
        self.lease / 2
    }

    /// The rest after a failure. It does not grow: what it is about is over within a lease.
    pub(super) fn retry(&self) -> Duration {
        (self.poll / 4).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each bound is checked, and the error names the key, its value and what it may be.
    #[test]
    fn keys_out_of_bounds_are_refused_by_name() {
        let check = |poll_ms, lease_ms| FeedPolicy::try_from(RawFeed { poll_ms, lease_ms });
        let refused = |poll_ms, lease_ms| {
            let error = check(poll_ms, lease_ms).expect_err("out of bounds");
            (error.field, error.value.parse::<u32>(), error.bound)
        };
        let RawFeed { poll_ms, lease_ms } = RawFeed::default();
        assert_eq!(check(poll_ms, lease_ms).map(|policy| policy.lease()), Ok(Duration::from_secs(5)));
        assert_eq!(check(1, 2).map(|policy| policy.lease()), Ok(Duration::from_millis(2)));
        assert_eq!(check(600_000, 3_600_000).map(|policy| policy.poll), Ok(Duration::from_secs(600)));
        assert_eq!(refused(0, 5_000), ("feed.poll_ms", Ok(0), "1 to 600000"));
        assert_eq!(refused(600_001, 3_600_000), ("feed.poll_ms", Ok(600_001), "1 to 600000"));
        assert_eq!(refused(10, 19), ("feed.lease_ms", Ok(19), "twice `feed.poll_ms` to 3600000"));
        assert_eq!(
            refused(10, 3_600_001),
            ("feed.lease_ms", Ok(3_600_001), "twice `feed.poll_ms` to 3600000")
        );
    }
}
