//! The bounds of faults: each kind takes its own keys.

use super::{
    DISK_MAX, DISK_MIN, OutOfBounds, TEN_MINUTES_MS,
    bounds::{holds, number, time, times},
};
use crate::{
    Between, Fault, FaultKey, FaultKind, Faults, Link, Millis, RawFault, RawScenario, When, Which,
    time::written,
};
use tiergate_engine::{Config, TierId};

pub(super) fn check_faults(raw: &RawScenario, cache: &Config) -> Result<Faults, OutOfBounds> {
    let mut faults = Faults::default();
    for (kind, said) in &raw.faults.0 {
        let path = format!("faults.{}", kind.as_str());
        holds(!said.is_empty(), &path, "[]", "one fault, or a list of some")?;
        for one in said {
            let fault = check_fault(raw, *kind, one, &path)?;
            let tier = kind.tier().or((fault.link == Link::SharedTier).then_some(TierId::L1));
            if let Some(needed) = tier {
                // The feed's log lies where the shared tier does.
                let (or_feed, has_feed) = match needed {
                    TierId::L1 => {
                        (", `cache.l3` or `cache.feed`", raw.cache.feed.is_some() || raw.cache.l3.is_some())
                    }
                    _ => ("", false),
                };
                holds(
                    has_feed || cache.byte_tiers().any(|tier| tier == needed),
                    &path,
                    "present",
                    format_args!("absent, unless `cache.{}`{or_feed} is there", needed.as_str()),
                )?;
            }
            faults.0.entry(*kind).or_default().push(fault);
        }
    }
    Ok(faults)
}

fn check_fault(
    raw: &RawScenario,
    kind: FaultKind,
    said: &RawFault,
    path: &str,
) -> Result<Fault, OutOfBounds> {
    let takes = |key: FaultKey| kind.takes().contains(&key);
    let at = |key: FaultKey| format!("{path}.{}", key.as_str());
    for key in FaultKey::ALL {
        let known: Vec<_> = kind.takes().iter().map(|key| key.as_str()).collect();
        let bound = format!("absent: it takes {}", known.join(", "));
        holds(takes(key) || !said.has(key), &at(key), "present", bound)?;
        let is_there = said.has(key) || !takes(key) || key.is_optional();
        holds(is_there, &at(key), "absent", key.bound())?;
    }
    let when = match (said.times, said.at) {
        (Some(times), None) => {
            number(times, 1, 100, &at(FaultKey::Times))?;
            When::Drawn(times)
        }
        (None, Some(Millis(at_ms))) => {
            time(at_ms, 0, raw.faults_until_ms.saturating_sub(1), &at(FaultKey::At))?;
            When::At(at_ms)
        }
        (None, None) if !takes(FaultKey::Times) => When::Always,
        (None, None) => {
            return holds(false, path, "without `times` and `at`", "with one of them")
                .map(|()| unreachable!("it does not hold"));
        }
        (Some(_), Some(_)) => {
            return holds(false, path, "with `times` and `at`", "with one of them")
                .map(|()| unreachable!("it does not hold"));
        }
    };
    if let Some(percent) = said.percent {
        number(percent, 1, 100, &at(FaultKey::Percent))?;
    }
    let between = |key: FaultKey, said: Option<Between<Millis>>, most_ms: u64| {
        let Some(Between(Millis(least), Millis(most))) = said else { return Ok(Between(0, 0)) };
        times(Between(least, most), 1, most_ms, &at(key)).map(|()| Between(least, most))
    };
    if let Some(rate) = said.bytes_per_second {
        number(rate.0, 1 << 10, 1 << 40, &at(FaultKey::BytesPerSecond))?;
    }
    if let Some(capacity) = said.capacity {
        let has = raw.cache.l2.is_some();
        holds(has, &at(FaultKey::Capacity), "present", "absent, unless `cache.l2` is there")?;
        number(capacity.0, DISK_MIN.0, DISK_MAX.0, &at(FaultKey::Capacity))?;
    }
    let edge = said.edge.unwrap_or_default();
    if let Which::One(edge) = edge {
        number(edge, 0, u64::from(raw.topology.edges) - 1, &at(FaultKey::Edge))?;
    }
    if let Some(object) = said.object {
        number(object, 0, u64::from(raw.objects.count) - 1, &at(FaultKey::Object))?;
    }
    if let Some(Millis(ms)) = said.retry_after {
        let is_right = ms % 1_000 == 0 && ms <= TEN_MINUTES_MS;
        holds(is_right, &at(FaultKey::RetryAfter), written(ms), FaultKey::RetryAfter.bound())?;
    }
    holds(
        said.answer.is_none() || said.object.is_some(),
        &at(FaultKey::Answer),
        "present",
        "absent, unless `object` is there",
    )?;
    Ok(Fault {
        when,
        for_ms: between(FaultKey::For, said.r#for, TEN_MINUTES_MS)?,
        percent: said.percent.unwrap_or_default(),
        delay_ms: between(FaultKey::Delay, said.delay, TEN_MINUTES_MS)?,
        by_ms: between(FaultKey::By, said.by, 60_000)?,
        capacity: said.capacity,
        link: said.link.unwrap_or_default(),
        bytes_per_second: said.bytes_per_second.map_or(0, |rate| rate.0),
        edge,
        direction: said.direction.unwrap_or_default(),
        object: said.object,
        answer: said.answer,
        retry_after_s: said.retry_after.map(|Millis(ms)| ms / 1_000),
    })
}
