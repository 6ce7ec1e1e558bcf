//! A scenario file as a document that can be changed and written again: what a seed draws can be pinned in
//! it, so that it says request by request and fault by fault what happens.
//!
//! A pinned file is an ordinary scenario: whoever reads it may change it, run it and keep it.

use crate::world::{Drawn, Episode, Record};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use tiergate_scenarios::{Direction, FaultKey, FaultKind, When};

/// A scenario as a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case(pub(super) Value);

impl Case {
    /// A file that holds a good scenario.
    ///
    /// # Errors
    /// Its text is no document.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map(Self).map_err(|error| error.to_string())
    }

    /// Says of one seed all that it draws before its world begins, and which answers of the origin it spoils.
    pub(super) fn pin(&mut self, seed: u64, drawn: &Drawn, record: &Record) {
        let stall = self.0.pointer("/faults/origin_stalls/for").cloned();
        let retry_after = self.0.pointer("/faults/origin_errors/retry_after").cloned();
        let mut faults = Map::new();
        let mut push = |kind: FaultKind, fault: Value| {
            let list = faults.entry(kind.as_str()).or_insert_with(|| json!([]));
            list.as_array_mut().expect("it was made a list").push(fault);
        };
        for episode in &drawn.episodes {
            push(episode.kind, of_episode(episode));
        }
        for (kind, object, answer) in &record.spoilt {
            let mut fault = json!({"percent": 100, "object": object, "answer": answer});
            if let (FaultKind::OriginStalls, Some(stall)) = (kind, &stall) {
                fault["for"] = stall.clone();
            }
            if let (FaultKind::OriginErrors, Some(retry_after)) = (kind, &retry_after) {
                fault["retry_after"] = retry_after.clone();
            }
            push(*kind, fault);
        }
        for (kind, fault) in drawn.faults.iter().filter(|(kind, _)| kind.tier().is_some()) {
            if fault.when == When::Always {
                push(kind, json!({"percent": fault.percent}));
            }
        }
        let mut requests = Vec::new();
        for (client, streams) in (0..).zip(&drawn.clients) {
            for (stream, jobs) in (0..).zip(streams) {
                requests.extend(jobs.iter().map(|job| of_request(&job.as_request(client, stream))));
            }
        }
        requests.sort_by_key(|request| millis(&request["at"]));
        let timeout = self.0["workload"]["timeout"].clone();
        if self.0.get("seeds").is_none() {
            // Two seeds of one scenario are two cases.
            self.0["name"] = json!(format!("{}-{seed}", self.0["name"].as_str().unwrap_or_default()));
        }
        self.0["workload"] = json!({"requests": requests, "timeout": timeout});
        self.0["faults"] = Value::Object(faults);
        self.0["swarm"] = json!("all");
        self.0["seeds"] = json!([seed]);
    }

    /// How many requests it makes, once it is pinned.
    pub(super) fn requests(&self) -> usize {
        self.0["workload"]["requests"].as_array().map_or(0, Vec::len)
    }

    /// The file.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Value::Object(sections) = &self.0 {
            let rank =
                |name: &str| SECTIONS.iter().position(|section| *section == name).unwrap_or(SECTIONS.len());
            let mut sections: Vec<_> = sections.iter().collect();
            sections.sort_by_key(|(name, _)| rank(name));
            for (name, value) in sections {
                block(&mut text, 0, name, value);
            }
        }
        text
    }
}

/// The sections in the order in which people read them.
const SECTIONS: [&str; 23] = [
    "name",
    "description",
    "seeds",
    "topology",
    "latency",
    "disk_latency",
    "cache",
    "storage",
    "limits",
    "timeouts",
    "origin_limits",
    "forward",
    "origin_host",
    "trusted_proxies",
    "proxy_protocol",
    "objects",
    "workload",
    "faults",
    "swarm",
    "faults_until",
    "settle",
    "invariants",
    "expect",
];

fn of_episode(episode: &Episode) -> Value {
    let mut fault = Map::new();
    for key in episode.kind.takes() {
        let value = match key {
            FaultKey::At => json!(time(episode.from_ms)),
            FaultKey::For => json!(time((episode.to_ms - episode.from_ms).max(1))),
            FaultKey::Capacity if episode.amount > 0 => json!(episode.amount),
            FaultKey::Percent => json!(episode.percent),
            FaultKey::Delay | FaultKey::By => json!(time(episode.amount)),
            FaultKey::Link => json!(episode.link.as_str()),
            FaultKey::BytesPerSecond => json!(episode.amount),
            FaultKey::Edge => json!(episode.edge),
            FaultKey::Direction if episode.direction != Direction::Both => json!(episode.direction.as_str()),
            FaultKey::Times
            | FaultKey::Capacity
            | FaultKey::Direction
            | FaultKey::Object
            | FaultKey::Answer
            | FaultKey::RetryAfter => continue,
        };
        fault.insert(key.as_str().to_owned(), value);
    }
    Value::Object(fault)
}

fn of_request(request: &tiergate_scenarios::Request) -> Value {
    let mut said = Map::new();
    let mut put = |key: &str, value: Value| drop(said.insert(key.to_owned(), value));
    put("at", json!(time(request.at.0)));
    put("client", json!(request.client));
    put("stream", json!(request.stream));
    put("edge", json!(request.edge));
    put("object", json!(request.object));
    put("language", json!(request.language));
    if let Some(after) = request.leaves_after {
        put("leaves_after", json!(after.0));
    }
    if let Some(pause) = request.pauses {
        put("pauses", json!(time(pause.0)));
    }
    if let Some(what) = request.purge {
        put("purge", json!(what.as_str()));
    }
    if let Some((first, last)) = request.range {
        put("range", json!([first, last]));
    }
    if let Some(number) = request.admin {
        put("admin", json!(number));
    }
    if let Some(number) = request.odd {
        put("odd", json!(number));
    }
    for (key, is_so) in [
        ("everywhere", request.everywhere),
        ("head", request.head),
        ("conditional", request.conditional),
        ("post", request.post),
        ("http2", request.http2),
        ("tls", request.tls),
    ] {
        if is_so {
            put(key, json!(true));
        }
    }
    Value::Object(said)
}

fn time(ms: u64) -> String {
    format!("{ms}ms")
}

/// A time of a pinned file.
pub(super) fn millis(time: &Value) -> Option<u64> {
    time.as_str()?.strip_suffix("ms")?.parse().ok()
}

/// One key with its value: in one line, unless it holds what holds more.
fn block(text: &mut String, depth: usize, name: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    // Writing to a string cannot fail.
    let _ = match value {
        Value::Object(map) if map.values().any(|inner| inner.is_object() || is_long(inner)) => {
            let _ = writeln!(text, "{indent}{name}:");
            map.iter().for_each(|(name, inner)| block(text, depth + 1, name, inner));
            Ok(())
        }
        Value::Array(list) if is_long(value) => {
            let _ = writeln!(text, "{indent}{name}:");
            list.iter().try_for_each(|inner| writeln!(text, "{indent}  - {}", line(inner)))
        }
        short => writeln!(text, "{indent}{name}: {}", line(short)),
    };
}

fn is_long(value: &Value) -> bool {
    value.as_array().is_some_and(|list| list.iter().any(Value::is_object))
}

/// A value in one line, as YAML has it.
fn line(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            // A moment comes first, whatever its name.
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(name, _)| (*name != "at", *name != "for"));
            let keys: Vec<String> =
                keys.into_iter().map(|(name, inner)| format!("{name}: {}", line(inner))).collect();
            format!("{{{}}}", keys.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(line).collect::<Vec<_>>().join(", ")),
        Value::String(word) if is_plain(word) => word.clone(),
        other => other.to_string(),
    }
}

/// Does YAML take it for text without quotes?
fn is_plain(word: &str) -> bool {
    let begins = word.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let unit = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let has_unit = unit.len() < word.len() && ["ms", "s", "min", "h", "KiB", "MiB", "GiB"].contains(&unit);
    let is_word = begins && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let means_else = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    (is_word || has_unit) && !means_else.contains(&word.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Order, Tells, simulate};
    use std::{path::Path, sync::Arc};

    /// A seed that is pinned lives the same life, fact by fact.
    #[test]
    fn what_is_pinned_happens_again() {
        let text = include_str!("../../../scenarios/two-edges-shared-tier.yaml");
        let lived = |text: &str, seed| {
            let scenario = tiergate_scenarios::parse(Path::new("x.yaml"), text).expect("a good scenario");
            let scenario = Arc::new(scenario);
            simulate(&Order { scenario, seed, plant: None, facts: 0, tells: Tells::Always, record: None })
        };
        for seed in 0..6 {
            let record = lived(text, seed);
            let mut case = Case::of(text).expect("a document");
            case.pin(seed, record.drawn.as_ref().expect("it was asked for"), &record);
            let again = lived(&case.text(), seed);
            assert_eq!(
                (record.facts, record.hash),
                (again.facts, again.hash),
                "seed {seed}:\n{}",
                case.text()
            );
        }
    }

    /// What is written is read as it was, whatever it looks like.
    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({
            "name": "a-name",
            "description": "Ends, with: a colon and a # mark.\nAnd a second line.",
            "workload": {"requests": [{"at": "12ms", "object": 3, "head": true}], "timeout": "1s"},
            "objects": {"size": [0, "72KiB"], "tags": 0},
            "odd": {"a": "1e3", "b": "12", "c": "true", "d": "", "e": "null", "f": {"g": "0x1"}},
        });
        let case = Case(value);
        assert_eq!(Case::of(&case.text()), Ok(case));
    }
}
