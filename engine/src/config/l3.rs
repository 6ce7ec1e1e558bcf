//! The durable tier's section.

use super::{ConfigError, IndexKeeper, OnFull, check};
use crate::{
    durable::{RawTerms, Terms},
    language::units::ByteCount,
};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// How large a body in a row is at most, unless somebody says otherwise: rows of this size cost an index no
/// more than two requests to a blob store would.
const ROW_BODY_DEFAULT: ByteCount = ByteCount::kib(64);
/// Stores bound their rows: DynamoDB's hold 400 KB.
const ROW_BODY_MOST: ByteCount = ByteCount::kib(256);

/// `l3`. Every edge that shares the store must use the same `idle_s`, `total_s`, `fetch_ms_max` and
/// `linger_ms`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawDurableTier {
    /// The largest body admitted. Default unlimited.
    pub gate: ByteCount,
    /// What a fill does when uploads are slower than the origin. Default `drop`: no client ever waits for
    /// this tier.
    pub on_full: OnFull,
    /// The largest body that lies in its row of the index, with no blob beside it: one write stores it, and
    /// one read finds it. 0: none does. Default 64KiB; at most 256KiB.
    pub row_body_max: ByteCount,
    /// How long an upload lease holds without renewal. Too short costs uploads, too long keeps orphans of
    /// edges that crashed. Default 60000; 1 to 86400000.
    pub lease_ms: u32,
    /// The longest time from a lookup to the beginning of the upload that it leads to. What takes longer is
    /// not stored; a purge is remembered for as long. Default 600000; 1 to 86400000.
    pub fetch_ms_max: u32,
    /// How long an object stays that nobody asks for. Default 2592000, which is 30 days; 1 to 315360000, and
    /// at least `fetch_ms_max`.
    pub idle_s: u32,
    /// How long an object stays at most, however often it is asked for. Default 31536000, a year; `idle_s` to
    /// 315360000.
    pub total_s: u32,
    /// How long the collector leaves a blob that nothing names, for those who still read it. Default 3600; 0
    /// to 31536000.
    pub grace_s: u32,
    /// How long the index keeps an entry behind its end: longer than any request to the index may be under
    /// way. Default 60000; 1 to 86400000.
    pub linger_ms: u32,
    /// How often one exchange with the index is tried. Default 5; 1 to 100.
    pub tries_max: u32,
    /// Time between two rounds of the collector of orphans; 0 switches it off, as all but one of the edges
    /// that share a store may do. Default 3600; to 31536000.
    pub collect_s: u32,
}

impl Default for RawDurableTier {
    fn default() -> Self {
        Self {
            gate: ByteCount::UNLIMITED,
            on_full: OnFull::Drop,
            row_body_max: ROW_BODY_DEFAULT,
            lease_ms: 60_000,
            fetch_ms_max: 600_000,
            idle_s: 30 * 86_400,
            total_s: 365 * 86_400,
            grace_s: 3_600,
            linger_ms: 60_000,
            tries_max: 5,
            collect_s: 3_600,
        }
    }
}

impl RawDurableTier {
    pub(super) fn into_keeper(self) -> Result<IndexKeeper, ConfigError> {
        let (day_ms, year_s) = (86_400_000, 31_536_000);
        check(self.row_body_max <= ROW_BODY_MOST, "l3.row_body_max", self.row_body_max, "at most 262144")?;
        check((1..=day_ms).contains(&self.lease_ms), "l3.lease_ms", self.lease_ms, "1 to 86400000")?;
        check(
            (1..=day_ms).contains(&self.fetch_ms_max),
            "l3.fetch_ms_max",
            self.fetch_ms_max,
            "1 to 86400000",
        )?;
        check((1..=10 * year_s).contains(&self.idle_s), "l3.idle_s", self.idle_s, "1 to 315360000")?;
        check(self.total_s <= 10 * year_s, "l3.total_s", self.total_s, "`l3.idle_s` to 315360000")?;
        check(self.grace_s <= year_s, "l3.grace_s", self.grace_s, "0 to 31536000")?;
        check((1..=day_ms).contains(&self.linger_ms), "l3.linger_ms", self.linger_ms, "1 to 86400000")?;
        check((1..=100).contains(&self.tries_max), "l3.tries_max", self.tries_max, "1 to 100")?;
        check(self.collect_s <= year_s, "l3.collect_s", self.collect_s, "0 to 31536000")?;
        let (millis, seconds) =
            (|span: u32| Duration::from_millis(span.into()), |span: u32| Duration::from_secs(span.into()));
        let raw = RawTerms {
            lease: millis(self.lease_ms),
            fetch_max: millis(self.fetch_ms_max),
            idle: seconds(self.idle_s),
            total: seconds(self.total_s),
            grace: seconds(self.grace_s),
            linger: millis(self.linger_ms),
            tries_max: self.tries_max,
        };
        check(raw.idle >= raw.fetch_max, "l3.idle_s", self.idle_s, "at least `l3.fetch_ms_max`")?;
        check(raw.total >= raw.idle, "l3.total_s", self.total_s, "`l3.idle_s` to 315360000")?;
        let terms = Terms::try_from(raw).expect("each of its bounds was checked above");
        let collect_every = (self.collect_s > 0).then(|| seconds(self.collect_s));
        Ok(IndexKeeper::Durable { terms, collect_every, row_body_max: self.row_body_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each bound is checked, and the error names the key, its value and what it may be.
    #[test]
    fn keys_out_of_bounds_are_refused_by_name() {
        let check = |change: fn(&mut RawDurableTier), field: &str, value: &str, bound: &str| {
            let mut raw = RawDurableTier::default();
            assert!(raw.into_keeper().is_ok(), "the defaults hold together");
            change(&mut raw);
            let error = raw.into_keeper().expect_err(field);
            assert_eq!((error.field, error.value.as_str(), error.bound), (field, value, bound));
        };
        check(|raw| raw.row_body_max = ByteCount(262_145), "l3.row_body_max", "262145", "at most 262144");
        check(|raw| raw.lease_ms = 0, "l3.lease_ms", "0", "1 to 86400000");
        check(|raw| raw.fetch_ms_max = 86_400_001, "l3.fetch_ms_max", "86400001", "1 to 86400000");
        check(|raw| raw.idle_s = 0, "l3.idle_s", "0", "1 to 315360000");
        check(|raw| raw.idle_s = 599, "l3.idle_s", "599", "at least `l3.fetch_ms_max`");
        check(|raw| raw.total_s = 86_400, "l3.total_s", "86400", "`l3.idle_s` to 315360000");
        check(|raw| raw.total_s = 315_360_001, "l3.total_s", "315360001", "`l3.idle_s` to 315360000");
        check(|raw| raw.grace_s = 31_536_001, "l3.grace_s", "31536001", "0 to 31536000");
        check(|raw| raw.linger_ms = 0, "l3.linger_ms", "0", "1 to 86400000");
        check(|raw| raw.tries_max = 101, "l3.tries_max", "101", "1 to 100");
        check(|raw| raw.collect_s = 31_536_001, "l3.collect_s", "31536001", "0 to 31536000");
    }
}
