//! What an operator may choose about resilience, and within which bounds.
//!
//! [`RawResilience`] is the `resilience` section as a file says it, [`ResiliencePolicy`] the policies as the
//! machines take them, checked.

use super::{ConfigError, check, within};
use crate::resilience::{
    attempts::{RetryPolicy, RetryWhen},
    backoff::{Backoff, Jitter},
    breaker::{BreakerCount, BreakerPolicy},
    budget::Allowance,
    deadline::DeadlinePolicy,
    hedge::HedgePolicy,
};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// `resilience`. Every key may be left out; unknown keys are errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawResilience {
    /// When a tier or origin that fails is left alone. One breaker each, and two for L3, of its index and of
    /// its blob store; all with these settings.
    pub breaker: RawBreaker,
    /// When a fetch is asked for again.
    pub retry: RawRetry,
    /// When a tier is read twice; `null` is never. Default: never, for it costs reads.
    pub hedge: Option<RawHedge>,
    /// How long each wait of a request may be.
    pub deadline: RawDeadline,
}

/// `resilience.breaker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawBreaker {
    /// What counts against an origin: `no_answer` (no connection, one that broke before the head, a head that
    /// was late) or `server_errors` (5xx but 501 and 505, and answers that are not HTTP, too). Default
    /// `no_answer`. With `server_errors`, whoever finds URLs that fail can close the others.
    pub count: BreakerCount,
    /// How far back answers count, in milliseconds. Default 10000; 100 to 600000.
    pub window_ms: u32,
    /// Answers in the window below which their share of failures says nothing. Default 20; 1 to 1000000.
    pub calls_min: u32,
    /// The share of failures in the window that opens it. Default 50; 1 to 100. A small one opens it on
    /// ordinary noise.
    pub failure_percent: u32,
    /// Failures with no other answer between them that open it, however few calls there are. Default 5; 1 to
    /// 1000. With 1, one lost packet takes a tier away.
    pub failures_in_a_row: u32,
    /// How long it stays open the first time at most; at least half of it. Doubles each time a probe fails.
    /// Default 1000; 1 to 3600000, not above `open_ms_max`.
    pub open_ms_first: u32,
    /// How long it ever stays open. Default 30000; 1 to 3600000. This is how long a recovered origin may go
    /// unnoticed.
    pub open_ms_max: u32,
    /// Calls that are let through to see, and must succeed to close it. Default 3; 1 to 100.
    pub probes: u32,
    /// When such a call that has not answered counts as failed. Default 10000; 1 to 600000, not below
    /// `deadline.head_ms_max` and `deadline.lookup_ms_max`, or calls that are within their deadline would
    /// count as failed.
    pub probe_ms_max: u32,
}

impl Default for RawBreaker {
    fn default() -> Self {
        Self {
            count: BreakerCount::NoAnswer,
            window_ms: 10_000,
            calls_min: 20,
            failure_percent: 50,
            failures_in_a_row: 5,
            open_ms_first: 1_000,
            open_ms_max: 30_000,
            probes: 3,
            probe_ms_max: 10_000,
        }
    }
}

/// `resilience.retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawRetry {
    /// After what it is asked again: `no_answer`, or `temporary_errors` (429, 502, 503, 504 and answers that
    /// are not HTTP, too). Default `no_answer`. With `temporary_errors`, clients wait for what may come.
    pub when: RetryWhen,
    /// How often the origin is asked for one fetch, the first time included. Default 3; 1 to 10. 1 is never
    /// again.
    pub attempts_max: u32,
    /// Within how many milliseconds the first retry begins. Doubles each time. Default 50; 0 to 60000, not
    /// above `delay_ms_max`.
    pub delay_ms_first: u32,
    /// Within how many any retry begins. Default 1000; 0 to 60000.
    pub delay_ms_max: u32,
    /// The longest `Retry-After` that is waited for, where `when` is `temporary_errors`; a longer one is
    /// passed on at once. Default 2000; 0 to 600000. Clients wait as long.
    pub retry_after_ms_max: u32,
    /// Retries per hundred fetches. Default 20; 0 to 100. This is how much an outage is made worse.
    pub budget_percent: u32,
    /// Retries per second that are allowed however few fetches there are; each shard has its part, rounded
    /// up. Default 1; 0 to 1000.
    pub budget_floor_per_s: u32,
    /// Retries that quiet times may save up; each shard of a cache has its part, and at least one. Default
    /// 10; 1 to 10000.
    pub budget_burst: u32,
}

impl Default for RawRetry {
    fn default() -> Self {
        Self {
            when: RetryWhen::NoAnswer,
            attempts_max: 3,
            delay_ms_first: 50,
            delay_ms_max: 1_000,
            retry_after_ms_max: 2_000,
            budget_percent: 20,
            budget_floor_per_s: 1,
            budget_burst: 10,
        }
    }
}

/// `resilience.hedge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawHedge {
    /// The share of recent reads that a read must outlast to be asked again. Default 95; 50 to 100.
    pub quantile_percent: u32,
    /// It must also outlast this many milliseconds. Default 5; 1 to 60000.
    pub delay_ms_min: u32,
    /// Second reads per hundred. Default 5; 0 to 100.
    pub budget_percent: u32,
    /// Second reads of a tier that quiet times may save up; each shard has its part, and at least one.
    /// Default 10; 1 to 10000.
    pub budget_burst: u32,
}

impl Default for RawHedge {
    fn default() -> Self {
        Self { quantile_percent: 95, delay_ms_min: 5, budget_percent: 5, budget_burst: 10 }
    }
}

/// `resilience.deadline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawDeadline {
    /// How long a tier may take to answer a lookup, L3's index and blob store together, before it counts as
    /// failed and the next is asked. Default 500; 1 to 600000.
    pub lookup_ms_max: u32,
    /// How long the origin may take to its head, each time it is asked. Default 10000; 1 to 600000.
    pub head_ms_max: u32,
    /// How long all tiers and attempts together may take to a head. Default 30000; 1 to 600000, not below
    /// `head_ms_max`.
    pub answer_ms_max: u32,
    /// How long the next chunk of a body may take once it was asked for; and how long L3's stores may take
    /// for each step that no request waits for, before it counts as not known to be done. Default 30000; 1
    /// to 600000.
    pub chunk_ms_max: u32,
}

impl Default for RawDeadline {
    fn default() -> Self {
        Self { lookup_ms_max: 500, head_ms_max: 10_000, answer_ms_max: 30_000, chunk_ms_max: 30_000 }
    }
}

/// Policies that hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResiliencePolicy {
    pub(crate) breaker: BreakerPolicy,
    pub(crate) retry: RetryPolicy,
    pub(crate) retry_allowance: Allowance,
    pub(crate) hedge: Option<HedgePolicy>,
    pub(crate) deadline: DeadlinePolicy,
}

impl TryFrom<RawResilience> for ResiliencePolicy {
    type Error = ConfigError;

    fn try_from(raw: RawResilience) -> Result<Self, ConfigError> {
        let deadline = deadline(raw.deadline)?;
        let breaker = breaker(raw.breaker)?;
        let wait = raw.deadline.head_ms_max.max(raw.deadline.lookup_ms_max);
        check(
            raw.breaker.probe_ms_max >= wait,
            "resilience.breaker.probe_ms_max",
            raw.breaker.probe_ms_max,
            "at least resilience.deadline.head_ms_max and resilience.deadline.lookup_ms_max",
        )?;
        let (retry, retry_allowance) = retry(raw.retry)?;
        let hedge = raw.hedge.map(hedge).transpose()?;
        Ok(Self { breaker, retry, retry_allowance, hedge, deadline })
    }
}

impl ResiliencePolicy {
    /// These policies for one of `shards` engines: what is allowed in all is divided, but never to nothing.
    /// Breakers are not divided: what each shard sees of an origin is a fair sample.
    pub(crate) fn for_shard(self, shards: u32) -> Self {
        let share = |allowance: Allowance| Allowance {
            percent: allowance.percent,
            floor_per_s: allowance.floor_per_s.div_ceil(shards.max(1)),
            burst: allowance.burst.div_ceil(shards.max(1)),
        };
        let hedge = self.hedge.map(|hedge| HedgePolicy { allowance: share(hedge.allowance), ..hedge });
        Self { retry_allowance: share(self.retry_allowance), hedge, ..self }
    }
}

fn breaker(raw: RawBreaker) -> Result<BreakerPolicy, ConfigError> {
    within(raw.window_ms, 100..=600_000, "resilience.breaker.window_ms", "100 to 600000")?;
    within(raw.calls_min, 1..=1_000_000, "resilience.breaker.calls_min", "1 to 1000000")?;
    within(raw.failure_percent, 1..=100, "resilience.breaker.failure_percent", "1 to 100")?;
    within(raw.failures_in_a_row, 1..=1_000, "resilience.breaker.failures_in_a_row", "1 to 1000")?;
    within(raw.open_ms_max, 1..=3_600_000, "resilience.breaker.open_ms_max", "1 to 3600000")?;
    within(
        raw.open_ms_first,
        1..=raw.open_ms_max,
        "resilience.breaker.open_ms_first",
        "1 to resilience.breaker.open_ms_max",
    )?;
    within(raw.probes, 1..=100, "resilience.breaker.probes", "1 to 100")?;
    within(raw.probe_ms_max, 1..=600_000, "resilience.breaker.probe_ms_max", "1 to 600000")?;
    Ok(BreakerPolicy {
        count: raw.count,
        window: millis(raw.window_ms),
        calls_min: raw.calls_min,
        failure_percent: raw.failure_percent,
        failures_in_a_row: raw.failures_in_a_row,
        open: Backoff {
            first: millis(raw.open_ms_first),
            max: millis(raw.open_ms_max),
            jitter: Jitter::Half,
        },
        probes: raw.probes,
        probe_max: millis(raw.probe_ms_max),
    })
}

fn retry(raw: RawRetry) -> Result<(RetryPolicy, Allowance), ConfigError> {
    within(raw.attempts_max, 1..=10, "resilience.retry.attempts_max", "1 to 10")?;
    within(raw.delay_ms_max, 0..=60_000, "resilience.retry.delay_ms_max", "0 to 60000")?;
    within(
        raw.delay_ms_first,
        0..=raw.delay_ms_max,
        "resilience.retry.delay_ms_first",
        "0 to resilience.retry.delay_ms_max",
    )?;
    within(raw.retry_after_ms_max, 0..=600_000, "resilience.retry.retry_after_ms_max", "0 to 600000")?;
    within(raw.budget_percent, 0..=100, "resilience.retry.budget_percent", "0 to 100")?;
    within(raw.budget_floor_per_s, 0..=1_000, "resilience.retry.budget_floor_per_s", "0 to 1000")?;
    within(raw.budget_burst, 1..=10_000, "resilience.retry.budget_burst", "1 to 10000")?;
    let policy = RetryPolicy {
        when: raw.when,
        attempts_max: raw.attempts_max,
        backoff: Backoff {
            first: millis(raw.delay_ms_first),
            max: millis(raw.delay_ms_max),
            jitter: Jitter::Full,
        },
        retry_after_max: millis(raw.retry_after_ms_max),
    };
    let allowance = Allowance {
        percent: raw.budget_percent,
        floor_per_s: raw.budget_floor_per_s,
        burst: raw.budget_burst,
    };
    Ok((policy, allowance))
}

fn hedge(raw: RawHedge) -> Result<HedgePolicy, ConfigError> {
    within(raw.quantile_percent, 50..=100, "resilience.hedge.quantile_percent", "50 to 100")?;
    within(raw.delay_ms_min, 1..=60_000, "resilience.hedge.delay_ms_min", "1 to 60000")?;
    within(raw.budget_percent, 0..=100, "resilience.hedge.budget_percent", "0 to 100")?;
    within(raw.budget_burst, 1..=10_000, "resilience.hedge.budget_burst", "1 to 10000")?;
    Ok(HedgePolicy {
        quantile_percent: raw.quantile_percent,
        delay_min: millis(raw.delay_ms_min),
        // No floor: a tier that is read seldom is never in such a hurry.
        allowance: Allowance { percent: raw.budget_percent, floor_per_s: 0, burst: raw.budget_burst },
    })
}

fn deadline(raw: RawDeadline) -> Result<DeadlinePolicy, ConfigError> {
    within(raw.lookup_ms_max, 1..=600_000, "resilience.deadline.lookup_ms_max", "1 to 600000")?;
    within(raw.head_ms_max, 1..=600_000, "resilience.deadline.head_ms_max", "1 to 600000")?;
    within(
        raw.answer_ms_max,
        raw.head_ms_max..=600_000,
        "resilience.deadline.answer_ms_max",
        "resilience.deadline.head_ms_max to 600000",
    )?;
    within(raw.chunk_ms_max, 1..=600_000, "resilience.deadline.chunk_ms_max", "1 to 600000")?;
    Ok(DeadlinePolicy {
        lookup_max: millis(raw.lookup_ms_max),
        head_max: millis(raw.head_ms_max),
        answer_max: millis(raw.answer_ms_max),
        chunk_max: millis(raw.chunk_ms_max),
        store_max: millis(raw.chunk_ms_max),
    })
}

fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        format,
        string::{String, ToString},
    };

    fn read(text: &str) -> Result<ResiliencePolicy, String> {
        let raw: RawResilience = toml::from_str(text).map_err(|error| error.message().to_string())?;
        ResiliencePolicy::try_from(raw).map_err(|error| error.to_string())
    }

    /// An empty file means the documented defaults.
    #[test]
    fn defaults_hold_together() {
        let resilience = read("").expect("the defaults are within their bounds");
        assert_eq!(resilience, ResiliencePolicy::try_from(RawResilience::default()).expect("the same"));
        assert_eq!(
            (resilience.hedge, resilience.breaker.failures_in_a_row, resilience.retry.attempts_max),
            (None, 5, 3)
        );
        assert_eq!(resilience.retry_allowance, Allowance { percent: 20, floor_per_s: 1, burst: 10 });
        assert_eq!(resilience.deadline.lookup_max, Duration::from_millis(500));
    }

    /// By default only silence counts, and only silence is asked about again; both can be widened.
    #[test]
    fn answers_count_by_choice() {
        let read = |text| read(text).map(|found| (found.breaker.count, found.retry.when));
        assert_eq!(read(""), Ok((BreakerCount::NoAnswer, RetryWhen::NoAnswer)));
        let wide = "[breaker]\ncount = \"server_errors\"\n[retry]\nwhen = \"temporary_errors\"";
        assert_eq!(read(wide), Ok((BreakerCount::ServerErrors, RetryWhen::TemporaryErrors)));
        assert!(read("[retry]\nwhen = \"always\"").is_err());
    }

    /// Shards divide what all may do together, and none of them is left with nothing.
    #[test]
    fn shards_share_the_allowances() {
        let raw = RawResilience { hedge: Some(RawHedge::default()), ..RawResilience::default() };
        let resilience = ResiliencePolicy::try_from(raw).expect("the defaults are within their bounds");
        for (shards, burst) in [(0, 10), (1, 10), (3, 4), (64, 1)] {
            let share = resilience.for_shard(shards);
            assert_eq!(share.retry_allowance, Allowance { percent: 20, floor_per_s: 1, burst });
            assert_eq!(share.hedge.expect("it is on").allowance.burst, burst);
            assert_eq!(
                (share.breaker, share.retry, share.deadline),
                (resilience.breaker, resilience.retry, resilience.deadline)
            );
        }
    }

    /// Each key, at each end of its bounds and one beyond: (section, key, least, most, what else the section
    /// says).
    #[test]
    fn each_bound_is_checked() {
        let table: [(&str, &str, u32, u32, &str); 23] = [
            ("breaker", "window_ms", 100, 600_000, ""),
            ("breaker", "calls_min", 1, 1_000_000, ""),
            ("breaker", "failure_percent", 1, 100, ""),
            ("breaker", "failures_in_a_row", 1, 1_000, ""),
            ("breaker", "open_ms_first", 1, 30_000, ""),
            ("breaker", "open_ms_first", 1, 77, "open_ms_max = 77"),
            ("breaker", "open_ms_max", 1_000, 3_600_000, ""),
            ("breaker", "open_ms_max", 1, 3_600_000, "open_ms_first = 1"),
            ("breaker", "probes", 1, 100, ""),
            ("breaker", "probe_ms_max", 10_000, 600_000, ""),
            ("retry", "attempts_max", 1, 10, ""),
            ("retry", "delay_ms_first", 0, 1_000, ""),
            ("retry", "delay_ms_max", 50, 60_000, ""),
            ("retry", "retry_after_ms_max", 0, 600_000, ""),
            ("retry", "budget_percent", 0, 100, ""),
            ("retry", "budget_floor_per_s", 0, 1_000, ""),
            ("retry", "budget_burst", 1, 10_000, ""),
            ("hedge", "quantile_percent", 50, 100, ""),
            ("hedge", "delay_ms_min", 1, 60_000, ""),
            ("hedge", "budget_percent", 0, 100, ""),
            ("hedge", "budget_burst", 1, 10_000, ""),
            ("deadline", "answer_ms_max", 10_000, 600_000, ""),
            ("deadline", "chunk_ms_max", 1, 600_000, ""),
        ];
        for (section, key, least, most, more) in table {
            let with = |value: u32| read(&format!("[{section}]\n{key} = {value}\n{more}"));
            let (low, high) = (with(least), with(most));
            assert!(low.is_ok() && high.is_ok(), "{section}.{key}: {low:?}, {high:?}");
            assert_ne!(low, high, "{section}.{key} changes nothing");
            for beyond in least.checked_sub(1).into_iter().chain([most + 1]) {
                let error = with(beyond).expect_err("one beyond the bound");
                assert!(error.contains(&format!("`resilience.{section}.")), "{error}");
            }
        }
        let deadline = |key: &str, value: u32| {
            let text = format!(
                "[deadline]\nanswer_ms_max = 600000\n{key} = {value}\n[breaker]\nprobe_ms_max = 600000"
            );
            read(&text)
        };
        for key in ["lookup_ms_max", "head_ms_max"] {
            assert_ne!(deadline(key, 1).expect("least"), deadline(key, 600_000).expect("most"));
            for beyond in [0, 600_001] {
                let error = deadline(key, beyond).expect_err("one beyond the bound");
                assert!(
                    error.starts_with(&format!("`resilience.deadline.{key}` is {beyond}, but must be")),
                    "{error}"
                );
            }
        }
    }

    /// A probe must have as long as the calls it stands for.
    #[test]
    fn probes_outlive_their_deadlines() {
        let error = read("[breaker]\nprobe_ms_max = 9999").expect_err("heads may take 10000");
        assert!(
            error.starts_with("`resilience.breaker.probe_ms_max` is 9999, but must be at least"),
            "{error}"
        );
        let error = read("[deadline]\nlookup_ms_max = 10001").expect_err("probes may take 10000");
        assert!(error.starts_with("`resilience.breaker.probe_ms_max` is 10000"), "{error}");
    }

    /// Unknown keys, in every section, are errors that name them.
    #[test]
    fn unknown_keys_are_errors() {
        for section in ["", "[breaker]", "[retry]", "[hedge]", "[deadline]"] {
            let error = read(&format!("{section}\nretires = 1")).expect_err("no such key");
            assert!(error.contains("`retires`"), "{error}");
        }
    }
}
