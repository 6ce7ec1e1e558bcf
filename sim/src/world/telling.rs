//! A broken rule of one run in words: what happened to the objects that it is about, from the beginning, and
//! what happened last.

use super::catalogue::Catalogue;
use crate::telling::{Names, Party, words};
use std::collections::VecDeque;
use tiergate_engine::{CacheKey, RequestId};
use tiergate_invariants::{Fact, Version, Violation, What};

/// Lines about the objects that a rule names: the first few of them, and the last ones.
const FIRST_MAX: usize = 20;
const LAST_MAX: usize = 60;

impl Names for Catalogue {
    fn name_of(&self, key: CacheKey) -> String {
        self.target_of(key).map_or_else(|| "a variant".to_owned(), str::to_owned)
    }

    fn length_of(&self, key: CacheKey, version: Version) -> Option<u64> {
        self.length_of(key, version.0)
    }

    /// An edge counts the requests that memory did not answer by itself.
    fn asker(&self, request: RequestId) -> String {
        format!("its request {}", request.0)
    }

    fn client(&self, ask: u64) -> String {
        format!("client {ask}")
    }
}

/// What led to it: of the objects that the violation names everything, from the beginning, and of all the
/// last
/// `count` facts.
pub(super) fn tell(
    names: &Catalogue,
    facts: &VecDeque<Fact>,
    violation: &mut Violation,
    count: usize,
) -> Vec<String> {
    let named = names.keys().filter(|key| violation.detail.contains(&key.to_string()));
    let named: Vec<String> = named.map(|key| key.to_string()).collect();
    let is_about = |fact: &Fact| {
        let text = format!("{:?}", fact.what);
        named.iter().any(|key| text.contains(key))
            || matches!(fact.what, What::EdgeStarted { .. } | What::EdgeCrashed { .. } | What::Healed)
    };
    let mut told = Vec::new();
    if !named.is_empty() {
        let about = facts.iter().filter(|fact| is_about(fact)).filter_map(|fact| line(names, fact));
        told = about.collect::<Vec<_>>();
        if told.len() > FIRST_MAX + LAST_MAX {
            let left_out = told.len() - FIRST_MAX - LAST_MAX;
            told.splice(FIRST_MAX..FIRST_MAX + left_out, [format!("          … {left_out} lines left out")]);
        }
        told.push(format!("and last, of everything (`--facts` says how many, {count}):"));
    }
    let last: Vec<_> = facts.iter().rev().filter_map(|fact| line(names, fact)).take(count).collect();
    told.extend(last.into_iter().rev());
    for key in names.keys() {
        violation.detail = violation.detail.replace(&key.to_string(), &names.name_of(key));
    }
    violation.detail = with_plain_times(&violation.detail);
    told
}

/// Rules write a time as the engine has it, in nanoseconds: `Some(Instant(113000000))`, which is 113 ms.
fn with_plain_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("Instant(") {
        let (nanos, behind) = after.split_once(')').unwrap_or((after, ""));
        let Ok(nanos) = nanos.parse::<u64>() else {
            out.push_str(before);
            out.push_str("Instant(");
            rest = after;
            continue;
        };
        let (before, behind) = match (before.strip_suffix("Some("), behind.strip_prefix(')')) {
            (Some(before), Some(behind)) => (before, behind),
            (_, _) => (before, behind),
        };
        out.push_str(before);
        out.push_str(&format!("{} ms", nanos / 1_000_000));
        rest = behind;
    }
    out + rest
}

fn line(names: &Catalogue, fact: &Fact) -> Option<String> {
    let (party, text) = words::of_fact(names, fact)?;
    let who = match party {
        Party::Clients => "clients".to_owned(),
        Party::Edge(edge) => format!("edge {edge}"),
        Party::Tier(tier) => tier.as_str().to_uppercase(),
        Party::Origin => "origin".to_owned(),
    };
    let at_ms = fact.at.as_nanos() / 1_000_000;
    Some(format!("{at_ms:>6} ms  {who:<9}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times become milliseconds; what only looks like one stays.
    #[test]
    fn times_are_plain() {
        for (text, plain) in [
            (
                "answered at Some(Instant(113000000)), before Instant(114500000).",
                "answered at 113 ms, before 114 ms.",
            ),
            ("nothing at None, an Instant(soon) and Instant(7", "nothing at None, an Instant(soon) and 0 ms"),
            ("no time", "no time"),
        ] {
            assert_eq!(with_plain_times(text), plain);
        }
    }
}
