//! A broken rule of one run in words: what happened to the objects that it is about, from the beginning, and
//! what happened last.

use super::{
    catalogue::Catalogue,
    schedule::Episode,
    stage::{SHARED_TIER, edge_name},
};
use crate::{
    telling::{Names, Party, words},
    timeline::{Broken, Entry, Lane, LaneKind, Shade, Timeline, Weight},
};
use std::collections::{BTreeSet, VecDeque};
use tiergate_engine::{CacheKey, Event, Instant, RequestEvent, RequestId};
use tiergate_invariants::{Fact, Got, Version, Violation, What, promise};
use tiergate_scenarios::{Link, Scenario};

/// Lines about the objects that a rule names: the first few of them, and the last ones.
const FIRST_MAX: usize = 20;
const LAST_MAX: usize = 60;

/// Facts on a page, at most: the last ones.
const DRAWN_MAX: usize = 5_000;

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

/// What led to it: of the objects that the violation names everything, from the beginning, with the faults,
/// and of all the last `count` facts; where it names none, more of these.
pub(super) fn tell(
    names: &Catalogue,
    facts: &VecDeque<Fact>,
    episodes: &[Episode],
    violation: &mut Violation,
    count: usize,
) -> Vec<String> {
    let named: Vec<String> = named_in(names, &violation.detail).map(|key| key.to_string()).collect();
    let is_about = |fact: &Fact| {
        let text = format!("{:?}", fact.what);
        named.iter().any(|key| text.contains(key))
            || matches!(fact.what, What::EdgeStarted { .. } | What::EdgeCrashed { .. } | What::Healed)
    };
    let mut told = Vec::new();
    if !named.is_empty() {
        let about = facts.iter().filter(|fact| is_about(fact));
        told = lines(names, about, episodes);
        if told.len() > FIRST_MAX + LAST_MAX {
            let left_out = told.len() - FIRST_MAX - LAST_MAX;
            told.splice(FIRST_MAX..FIRST_MAX + left_out, [format!("          … {left_out} lines left out")]);
        }
    }
    if violation.rule == "expect" {
        told.extend(unserved(names, facts, episodes));
    }
    let count = if told.is_empty() { count.max(LAST_MAX) } else { count };
    if count > 0 {
        told.push(format!("and last, of everything (`--facts` says how many, {count}):"));
        let from = facts.len().saturating_sub(count);
        told.extend(lines(names, facts.iter().skip(from), episodes));
    }
    for key in names.keys() {
        violation.detail = violation.detail.replace(&key.to_string(), &names.name_of(key));
    }
    violation.detail = with_plain_times(&violation.detail);
    told
}

/// Who was not answered in full, the first of them, with the faults around.
fn unserved(names: &Catalogue, facts: &VecDeque<Fact>, episodes: &[Episode]) -> Vec<String> {
    let is_unserved =
        |fact: &&Fact| matches!(&fact.what, What::ClientGot { got: Got::Broken | Got::Nothing, .. });
    let refused = |fact: &&Fact| {
        matches!(&fact.what, What::Engine { event: Event::Request(RequestEvent::Refused { .. }), .. })
    };
    let all: Vec<&Fact> = facts.iter().filter(|fact| is_unserved(fact) || refused(fact)).collect();
    let mut told = lines(names, all.iter().copied().take(LAST_MAX), episodes);
    if all.len() > LAST_MAX {
        told.push(format!("          … {} lines more", all.len() - LAST_MAX));
    }
    told
}

/// A line for each of these facts, and for each fault that begins or ends between the first and the last.
fn lines<'a>(
    names: &Catalogue,
    facts: impl Iterator<Item = &'a Fact> + Clone,
    episodes: &[Episode],
) -> Vec<String> {
    let millis = |fact: &Fact| fact.at.as_nanos() / 1_000_000;
    let (Some(first), Some(last)) = (facts.clone().next().map(millis), facts.clone().last().map(millis))
    else {
        return Vec::new();
    };
    let ends = |episode: &Episode| {
        let begins = (episode.from_ms, format!("{} begins: {}", episode.kind.as_str(), episode.whom()));
        let is_over = (episode.to_ms, format!("{} is over: {}", episode.kind.as_str(), episode.whom()));
        [Some(begins), (episode.to_ms > episode.from_ms).then_some(is_over)]
    };
    let mut faults: Vec<(u64, String)> = episodes.iter().flat_map(ends).flatten().collect();
    faults.retain(|(at_ms, _)| (first..=last).contains(at_ms));
    faults.sort_by_key(|(at_ms, _)| *at_ms);
    let mut faults = faults.into_iter().peekable();
    let mut told = Vec::new();
    for fact in facts {
        while let Some((at_ms, text)) = faults.next_if(|(at_ms, _)| *at_ms <= millis(fact)) {
            told.push(format!("{at_ms:>6} ms  {:<9}{text}", "fault"));
        }
        told.extend(line(names, fact));
    }
    told
}

/// What a text is about.
fn named_in<'a>(names: &'a Catalogue, text: &'a str) -> impl Iterator<Item = CacheKey> + 'a {
    names.keys().filter(|key| text.contains(&key.to_string()))
}

/// The objects that a broken rule names.
pub(super) fn about(names: &Catalogue, violation: &Violation) -> Vec<String> {
    named_in(names, &violation.detail).map(|key| names.name_of(key)).collect()
}

/// Everything that happened, as a page shows it: `ended` is when.
pub(super) fn timeline(
    scenario: &Scenario,
    names: &Catalogue,
    facts: &VecDeque<Fact>,
    episodes: &[(Episode, bool)],
    broken: Option<(&Violation, Vec<String>)>,
    ended: Instant,
) -> Timeline {
    let lanes = Lanes::of(scenario);
    let left_out = facts.len().saturating_sub(DRAWN_MAX);
    let entries: Vec<Entry> =
        facts.iter().skip(left_out).filter_map(|fact| entry(names, &lanes, fact)).collect();
    let millis = |at: Instant| at.as_nanos() / 1_000_000;
    let healed = facts.iter().find(|fact| matches!(fact.what, What::Healed));
    // A figure is nobody's alone.
    let is_of_one = broken.as_ref().is_some_and(|(violation, _)| violation.rule != "expect");
    let last_edge = facts.iter().rev().find_map(edge_of).filter(|_| is_of_one).map(|edge| lanes.edge(edge));
    Timeline {
        scenario: scenario.name.clone(),
        description: scenario.description.trim().to_owned(),
        seed: 0,
        command: String::new(),
        version: String::new(),
        planted: None,
        ends_at_ms: millis(ended),
        healed_at_ms: healed.map(|fact| millis(fact.at)),
        shades: episodes.iter().map(|(episode, is_observed)| shade(&lanes, episode, *is_observed)).collect(),
        entries,
        broken: broken.map(|(violation, about)| Broken {
            at_ns: ended.as_nanos(),
            rule: violation.rule.to_owned(),
            promise: promise(violation.rule).map(str::to_owned),
            seen: violation.detail.clone(),
            lanes: last_edge.into_iter().collect(),
            about,
        }),
        left_out: left_out as u64,
        lanes: lanes.all,
    }
}

/// The edge that a fact is about.
fn edge_of(fact: &Fact) -> Option<u32> {
    match &fact.what {
        What::ClientGot { edge, .. } | What::ClientAsked { edge, .. } | What::Engine { edge, .. } => {
            Some(edge.0)
        }
        _ => None,
    }
}

/// The hosts, from top to bottom.
struct Lanes {
    all: Vec<Lane>,
    store: Option<usize>,
    /// Where the first of the disks is.
    disks: Option<usize>,
}

impl Lanes {
    fn of(scenario: &Scenario) -> Self {
        let lane = |name: String, kind| Lane { name, kind };
        let edges = 0..scenario.topology.edges;
        let mut all = vec![lane("clients".to_owned(), LaneKind::Clients)];
        all.extend(edges.clone().map(|edge| lane(edge_name(edge), LaneKind::Edge)));
        let disks = scenario.has_disks().then_some(all.len());
        if disks.is_some() {
            all.extend(edges.map(|edge| lane(format!("disk of edge {edge}"), LaneKind::Disk)));
        }
        let store = scenario.has_store().then_some(all.len());
        all.extend(store.map(|_| lane(SHARED_TIER.to_owned(), LaneKind::Tier)));
        all.push(lane("origin".to_owned(), LaneKind::Origin));
        Self { all, store, disks }
    }

    fn edge(&self, edge: u32) -> usize {
        1 + edge as usize
    }

    fn origin(&self) -> usize {
        self.all.len() - 1
    }
}

fn shade(lanes: &Lanes, episode: &Episode, observed: bool) -> Shade {
    let edge = episode.edge.map(|edge| lanes.edge(edge));
    let far = match (episode.trouble(), episode.disk_fault()) {
        (Some((between, _)), _) => match between.link {
            Link::Origin => Some(lanes.origin()),
            Link::SharedTier => lanes.store,
            Link::Clients => Some(0),
        },
        (None, Some(_)) => lanes.disks.zip(episode.edge).map(|(first, edge)| first + edge as usize),
        (None, None) if episode.edge.is_none() => lanes.store,
        (None, None) => None,
    };
    let (from_ms, to_ms) = (episode.from_ms, episode.to_ms);
    Shade {
        name: episode.kind.as_str().to_owned(),
        from_ms,
        to_ms,
        lanes: edge.into_iter().chain(far).collect(),
        observed,
    }
}

fn entry(names: &Catalogue, lanes: &Lanes, fact: &Fact) -> Option<Entry> {
    let (party, text) = words::of_fact(names, fact)?;
    if matches!(fact.what, What::Healed) {
        return None;
    }
    let lane = match party {
        Party::Clients => 0,
        Party::Edge(edge) => lanes.edge(edge),
        Party::Tier(_) => lanes.store?,
        Party::Origin => lanes.origin(),
    };
    let weight = match &fact.what {
        What::EdgeCrashed { .. } | What::ClientGot { got: Got::Broken | Got::Nothing, .. } => Weight::Bad,
        What::EdgeStarted { .. } | What::PurgeAsked { .. } | What::PurgeConfirmed { .. } => Weight::Key,
        _ => Weight::Usual,
    };
    // A client's end names its object in its fact, not always in its text.
    let keys = format!("{:?}", fact.what);
    let about: BTreeSet<String> = named_in(names, &keys).map(|key| names.name_of(key)).collect();
    Some(Entry { at_ns: fact.at.as_nanos(), lane, text, about: about.into_iter().collect(), weight })
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
