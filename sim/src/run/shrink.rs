//! Makes a failing scenario small: fewer requests, faults and hosts, smaller values, and the same failure.
//!
//! A candidate is the document with something left out or lowered. It is lived, and where it fails in the
//! same way it is the new best. Passes follow one another until none finds anything, or the time is over.
//! What they reach is the least for these passes, not the least there is.

use super::case::{Case, millis};
use crate::world::{Order, Planted, Record, Tells, simulate};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tiergate_invariants::Violation;

/// How far it has come.
pub(super) struct Progress {
    /// Worlds lived.
    pub(super) runs: u64,
    /// Requests that are left.
    pub(super) requests: usize,
    /// Faults that are left.
    pub(super) faults: usize,
}

/// What came of it.
pub(super) struct Shrunk {
    /// The smallest that fails in the same way.
    pub(super) case: Case,
    /// What its world came to.
    pub(super) record: Record,
    /// Worlds lived.
    pub(super) runs: u64,
    /// Was the time over before the passes were?
    pub(super) is_cut_short: bool,
}

/// Which failure a violation is: the rule, and for what a scenario expects the figure.
fn failure(violation: &Violation) -> String {
    let figure = violation.detail.split(" is ").next().filter(|_| violation.rule == "expect");
    format!("{} {}", violation.rule, figure.unwrap_or_default())
}

/// Does it fail so? A figure of a world in which few ask says nothing.
fn fails(record: &Record, wanted: &str, asked_min: u64) -> bool {
    let tells = |violation: &&Violation| violation.rule != "expect" || record.requests >= asked_min;
    record.violation.as_ref().filter(tells).is_some_and(|violation| failure(violation) == wanted)
}

/// Lives a case.
fn live(case: &Case, seed: u64, plant: Option<Planted>, tells: Tells) -> Option<Record> {
    let scenario = tiergate_scenarios::parse(Path::new("case.yaml"), &case.text()).ok()?;
    let order = Order { scenario: Arc::new(scenario), seed, plant, facts: 0, tells, record: None };
    Some(simulate(&order))
}

struct Shrinker<'a> {
    best: Case,
    wanted: String,
    /// Requests that must be asked where a figure fails.
    asked_min: u64,
    seed: u64,
    plant: Option<Planted>,
    runs: u64,
    until: Instant,
    on_progress: &'a mut dyn FnMut(&Progress),
}

/// Shrinks a case that fails as `violation` says; `None` if it does not.
#[expect(clippy::disallowed_methods, reason = "how long it may take is measured outside of every world")]
pub(super) fn shrink(
    case: Case,
    seed: u64,
    plant: Option<Planted>,
    violation: &Violation,
    time_max: Duration,
    on_progress: &mut dyn FnMut(&Progress),
) -> Option<Shrunk> {
    let record = live(&case, seed, plant, Tells::Nothing)?;
    let wanted = failure(violation);
    let asked_min = record.requests.div_ceil(2).max(1);
    if !fails(&record, &wanted, asked_min) {
        return None;
    }
    let until = Instant::now() + time_max;
    let mut shrinker = Shrinker { best: case, wanted, asked_min, seed, plant, runs: 1, until, on_progress };
    loop {
        let before = shrinker.best.clone();
        shrinker.round();
        if shrinker.best == before || shrinker.is_over() {
            break;
        }
    }
    let is_cut_short = shrinker.is_over();
    let Shrinker { best: case, runs, .. } = shrinker;
    // Only the last is told of: what the others came to is forgotten.
    let record = live(&case, seed, plant, Tells::OfBroken)?;
    Some(Shrunk { case, record, runs, is_cut_short })
}

impl Shrinker<'_> {
    #[expect(clippy::disallowed_methods, reason = "how long it may take is measured outside of every world")]
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Every pass once, those first that leave out most.
    ///
    /// What a scenario expects of a figure fails in many worlds, of which most tell nothing of the one that
    /// failed. So there only requests and faults are left out, one half of the requests at most, and the
    /// configuration and the hosts stay as they are.
    fn round(&mut self) {
        if self.wanted.starts_with("expect ") {
            self.drop_keys("/faults");
            for kind in self.keys("/faults") {
                self.drop_elements(&format!("/faults/{kind}"));
            }
            self.drop_elements("/workload/requests");
            return;
        }
        self.drop_keys("/faults");
        self.drop_elements("/workload/requests");
        for kind in self.keys("/faults") {
            self.drop_elements(&format!("/faults/{kind}"));
        }
        self.fewer_hosts();
        self.simpler_world();
        self.simpler_requests();
        self.sooner();
        self.drop_below("/cache");
    }

    /// Lives a candidate; keeps it if it fails in the same way.
    fn attempt(&mut self, candidate: Value) -> bool {
        let candidate = Case(candidate);
        if candidate == self.best || self.is_over() {
            return false;
        }
        let Some(record) = live(&candidate, self.seed, self.plant, Tells::Nothing) else { return false };
        self.runs += 1;
        let is_same = fails(&record, &self.wanted, self.asked_min);
        if is_same {
            self.best = candidate;
        }
        let faults = self.best.0["faults"].as_object().into_iter().flat_map(|kinds| kinds.values());
        let faults = faults.map(|list| list.as_array().map_or(1, Vec::len)).sum();
        let requests = self.best.requests();
        (self.on_progress)(&Progress { runs: self.runs, requests, faults });
        is_same
    }

    /// The best so far, changed.
    fn with(&mut self, change: impl FnOnce(&mut Value)) -> bool {
        let mut candidate = self.best.0.clone();
        change(&mut candidate);
        self.attempt(candidate)
    }

    fn keys(&self, pointer: &str) -> Vec<String> {
        let map = self.best.0.pointer(pointer).and_then(Value::as_object);
        map.into_iter().flat_map(|map| map.keys().cloned()).collect()
    }

    fn length(&self, pointer: &str) -> usize {
        self.best.0.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Leaves out each key below `pointer` that can be.
    fn drop_keys(&mut self, pointer: &str) {
        for key in self.keys(pointer) {
            self.with(|case| {
                if let Some(map) = case.pointer_mut(pointer).and_then(Value::as_object_mut) {
                    map.remove(&key);
                }
            });
        }
    }

    /// The same, and below what must stay.
    fn drop_below(&mut self, pointer: &str) {
        self.drop_keys(pointer);
        for key in self.keys(pointer) {
            self.drop_below(&format!("{pointer}/{key}"));
        }
    }

    /// Leaves out runs of a list's elements, in halving sizes.
    fn drop_elements(&mut self, pointer: &str) {
        let mut size = self.length(pointer);
        while size > 0 {
            let mut from = 0;
            while from < self.length(pointer) {
                let is_dropped = self.with(|case| {
                    if let Some(list) = case.pointer_mut(pointer).and_then(Value::as_array_mut) {
                        list.drain(from..(from + size).min(list.len()));
                    }
                });
                if !is_dropped {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    /// Sets each to what is simplest there.
    fn set(&mut self, pointer: &str, value: Value) {
        let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
        self.with(|case| {
            let Some(map) = case.pointer_mut(parent).and_then(Value::as_object_mut) else { return };
            match value {
                Value::Null => drop(map.remove(key)),
                value => drop(map.insert(key.to_owned(), value)),
            }
        });
    }

    /// Everybody at one host, where that does.
    fn fewer_hosts(&mut self) {
        for host in ["client", "edge"] {
            let requests = self.length("/workload/requests");
            self.with(|case| (0..requests).for_each(|n| case["workload"]["requests"][n][host] = json!(0)));
        }
        let highest = |case: &Value, host: &str| {
            let requests = case["workload"]["requests"].as_array().into_iter().flatten();
            requests.filter_map(|request| request[host].as_u64()).max().unwrap_or(0)
        };
        for (host, count) in [("client", "clients"), ("edge", "edges")] {
            let needed = highest(&self.best.0, host) + 1;
            self.set(&format!("/topology/{count}"), json!(needed));
        }
        self.first_objects();
        let objects = highest(&self.best.0, "object") + 1;
        self.set("/objects/count", json!(objects));
        self.set("/topology/shards", Value::Null);
    }

    /// The objects that are left get the lowest numbers, where the others are of the same kind.
    fn first_objects(&mut self) {
        let requests = self.best.0["workload"]["requests"].as_array().into_iter().flatten();
        let used: BTreeSet<u64> = requests.filter_map(|request| request["object"].as_u64()).collect();
        for (to, from) in (0..).zip(used) {
            self.with(|case| {
                each_moment(case, &mut |one| {
                    if one.get("object").and_then(Value::as_u64) == Some(from) {
                        one["object"] = json!(to);
                    }
                });
            });
        }
    }

    /// Values that a reader need not think about.
    fn simpler_world(&mut self) {
        for (pointer, value) in [
            ("/latency", json!(["1ms", "1ms"])),
            ("/disk_latency", json!(["1ms", "1ms"])),
            ("/storage", Value::Null),
            ("/expect", Value::Null),
            ("/objects/large", Value::Null),
            ("/objects/vary_percent", Value::Null),
            ("/objects/cookie_percent", Value::Null),
            ("/objects/interim_percent", Value::Null),
            ("/objects/tags", Value::Null),
            ("/objects/not_storable_percent", json!(0)),
            ("/objects/chunked_percent", json!(0)),
            ("/objects/chunked_percent", json!(100)),
            ("/objects/version_every", json!(["10min", "10min"])),
            ("/objects/lifetime", json!(["1h", "1h"])),
            ("/objects/size", json!(["16", "16"])),
            ("/objects/size", json!(["4KiB", "4KiB"])),
            ("/objects/size", json!(["64KiB", "64KiB"])),
            ("/cache/l1", json!({})),
            ("/cache/l0", json!({})),
        ] {
            if !pointer.starts_with("/cache") || self.best.0.pointer(pointer).is_some() {
                self.set(pointer, value);
            }
        }
    }

    /// Requests that want and do less.
    fn simpler_requests(&mut self) {
        for number in 0..self.length("/workload/requests") {
            let request = format!("/workload/requests/{number}");
            for key in [
                "leaves_after",
                "pauses",
                "range",
                "head",
                "conditional",
                "post",
                "http2",
                "language",
                "stream",
            ] {
                self.set(&format!("{request}/{key}"), Value::Null);
            }
            for key in ["client", "edge"] {
                self.set(&format!("{request}/{key}"), json!(0));
            }
        }
    }

    /// The same at earlier moments, with less time between them.
    fn sooner(&mut self) {
        let mut moments = moments(&self.best.0);
        moments.dedup();
        let mut before = 0;
        for moment in moments {
            let gap = moment.saturating_sub(before);
            let mut shorter = gap / 2;
            while shorter > 0 && !self.with(|case| shift(case, moment, shorter)) {
                shorter /= 2;
            }
            before = moment - if shorter > 0 { shorter } else { 0 };
        }
    }
}

/// Every moment that a pinned case names, in order.
fn moments(case: &Value) -> Vec<u64> {
    let requests = case["workload"]["requests"].as_array().into_iter().flatten();
    let kinds = case["faults"].as_object().into_iter().flat_map(|kinds| kinds.values());
    let faults = kinds.filter_map(Value::as_array).flatten();
    let mut moments: Vec<u64> = requests.chain(faults).filter_map(|one| millis(&one["at"])).collect();
    moments.sort_unstable();
    moments
}

/// Moves everything from `from` on to `by` milliseconds earlier.
fn shift(case: &mut Value, from: u64, by: u64) {
    each_moment(case, &mut |one| {
        if let Some(at) = one.get("at").and_then(millis).filter(|at| *at >= from) {
            one["at"] = json!(format!("{}ms", at - by));
        }
    });
}

/// Changes each request and each fault of a pinned case.
fn each_moment(case: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    let requests = case["workload"]["requests"].as_array_mut();
    requests.into_iter().flatten().for_each(&mut *change);
    let kinds = case["faults"].as_object_mut().into_iter().flat_map(|kinds| kinds.values_mut());
    kinds.filter_map(Value::as_array_mut).flatten().for_each(change);
}
