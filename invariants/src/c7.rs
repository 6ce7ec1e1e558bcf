//! C7: an edge that confirmed a purge serves nothing that it had only from before the purge was asked.
//!
//! A purge makes stale what the origin answered before it was asked. An answer that the origin gave at or
//! after that moment is newer than the purge, even with the same version: if the origin still publishes what
//! was purged, fetching it again is right. So a response breaks the rule when it was asked for after the
//! confirmation, at the edge that confirmed, and carries a version that the origin last answered, to anybody,
//! before the purge was asked; or to that edge, where edges share no tier.
//!
//! Where edges tell each other of purges within a bound, the same counts at every edge for what was asked for
//! when the bound has passed since the confirmation.
//!
//! It does not check responses asked for between a purge and its confirmation, responses that broke off,
//! other edges before the bound has passed or where there is none, nor purges that a tier or the feed did not
//! confirm.

use crate::{Edge, Fact, Got, Invariant, Span, Version, Violation, What};
use std::{collections::BTreeMap, time::Duration};
use tiergate_engine::{CacheKey, Instant};

/// The rule.
#[derive(Debug, Default)]
pub struct NoResurrection {
    /// When the origin last answered with a version: to each edge, or where edges share a tier to anybody.
    answered: BTreeMap<(Option<Edge>, CacheKey, Version), Instant>,
    sharing: Sharing,
    /// The latest purge that an edge confirmed.
    confirmed: BTreeMap<(Edge, CacheKey), Purge>,
    /// After how long a purge counts everywhere, if ever.
    bound: Option<Duration>,
    /// The purges that were confirmed anywhere, and from when on each counts everywhere.
    everywhere: BTreeMap<CacheKey, Vec<(Instant, Purge)>>,
    /// What each open ask has a right to, from the purges confirmed before it.
    asks: BTreeMap<u64, Purge>,
}

#[derive(Clone, Copy, Debug)]
struct Purge {
    asked_at: Instant,
    newest_when_asked: Version,
}

/// Can an edge have what the origin answered another with?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// It can: they share a tier, or nothing is known of that.
    #[default]
    Any,
    /// It cannot.
    Nothing,
}

impl NoResurrection {
    /// The rule for edges of which each knows within `bound` what another has confirmed.
    pub fn within(bound: Option<Duration>, sharing: Sharing) -> Self {
        Self { bound, sharing, ..Self::default() }
    }

    fn whose(&self, edge: Edge) -> Option<Edge> {
        match self.sharing {
            Sharing::Any => None,
            Sharing::Nothing => Some(edge),
        }
    }

    fn on_confirmed(&mut self, at: Instant, edge: Edge, key: CacheKey, purge: Purge) {
        if let Some(bound) = self.bound {
            self.everywhere.entry(key).or_default().push((at.after(bound), purge));
        }
        let latest = self.confirmed.entry((edge, key)).or_insert(purge);
        if latest.asked_at < purge.asked_at {
            *latest = purge;
        }
    }

    fn on_asked(&mut self, at: Instant, ask: u64, edge: Edge, key: CacheKey) {
        let own = self.confirmed.get(&(edge, key)).copied();
        let all = self.everywhere.get(&key).into_iter().flatten();
        let due = all.filter(|(counts_from, _)| *counts_from <= at).map(|(_, purge)| *purge);
        if let Some(purge) = due.chain(own).max_by_key(|purge| purge.asked_at) {
            self.asks.insert(ask, purge);
        }
    }

    fn on_whole(&self, purge: Purge, edge: Edge, key: CacheKey, spans: &[Span]) -> Result<(), String> {
        for (_, version) in spans.iter().filter_map(|span| span.of) {
            if version > purge.newest_when_asked {
                continue;
            }
            let answered = self.answered.get(&(self.whose(edge), key, version)).copied();
            if answered.is_none_or(|at| at < purge.asked_at) {
                return Err(format!(
                    "version {}, which the origin last answered at {:?}, before the purge asked at {:?}",
                    version.0, answered, purge.asked_at
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for NoResurrection {
    fn id(&self) -> &'static str {
        "C7"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::OriginAnswered { edge, key, version } => {
                self.answered.insert((self.whose(*edge), *key, *version), fact.at);
            }
            What::PurgeConfirmed { edge, key, newest_when_asked, asked_at } => self.on_confirmed(
                fact.at,
                *edge,
                *key,
                Purge { asked_at: *asked_at, newest_when_asked: *newest_when_asked },
            ),
            What::ClientAsked { ask, edge, key, .. } => self.on_asked(fact.at, *ask, *edge, *key),
            What::ClientGot { ask, edge, key, got } => {
                let purge = self.asks.remove(ask);
                if let (Some(purge), Got::Whole { spans, .. }) = (purge, got) {
                    self.on_whole(purge, *edge, *key, spans).map_err(|detail| Violation {
                        rule: "C7",
                        detail: format!(
                            "ask {ask} for {key} came to edge {} after a purge that counts there and got {detail}",
                            edge.0
                        ),
                    })?;
                }
            }
            What::Engine { .. }
            | What::EdgeStarted { .. }
            | What::EdgeCrashed { .. }
            | What::Published { .. }
            | What::PurgeAsked { .. }
            | What::Audited { .. }
            | What::Healed
            | What::Settled { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, span};

    /// A history in which version 1 was answered at 10 and a purge was asked for at 20 and confirmed at 30.
    fn purged() -> History {
        let mut history = History::of(NoResurrection::default());
        history.at(10);
        history.answered(KEY, 1).unwrap();
        history.at(30);
        history.purge_confirmed(KEY, 1, 20).unwrap();
        history
    }

    fn get(history: &mut History, ask: u64, version: u32) -> Result<(), &'static str> {
        history.asked(ask, KEY)?;
        history.whole(ask, KEY, 200, None, vec![span(KEY, version, 0, 100)])
    }

    /// What was purged comes back although nobody fetched it again.
    #[test]
    fn a_purged_version_that_returns_is_named() {
        assert_eq!(get(&mut purged(), 1, 1), Err("C7"));
    }

    /// The same version, fetched again after the purge was asked, is right; so is a newer one.
    #[test]
    fn what_the_origin_still_serves_passes() {
        let mut history = purged();
        history.answered(KEY, 1).unwrap();
        assert_eq!(get(&mut history, 1, 1), Ok(()));
        history.answered(KEY, 2).unwrap();
        assert_eq!(get(&mut history, 2, 2), Ok(()));
    }

    /// Whoever asked before the confirmation may still get the old version.
    #[test]
    fn an_ask_from_before_the_confirmation_passes() {
        let mut history = History::of(NoResurrection::default());
        history.at(10);
        history.answered(KEY, 1).unwrap();
        history.asked(1, KEY).unwrap();
        history.at(30);
        history.purge_confirmed(KEY, 1, 20).unwrap();
        assert_eq!(history.whole(1, KEY, 200, None, vec![span(KEY, 1, 0, 100)]), Ok(()));
    }

    /// What one edge confirmed counts at another once the bound has passed, and not before; without a bound,
    /// never.
    #[test]
    fn a_purge_counts_elsewhere_after_the_bound() {
        let cases = [(Some(5), 34, Ok(())), (Some(5), 35, Err("C7")), (None, 1_000, Ok(()))];
        for (bound, at, expected) in cases {
            let mut history =
                History::of(NoResurrection::within(bound.map(Duration::from_nanos), Sharing::Any));
            history.at(10);
            history.answered(KEY, 1).unwrap();
            history.at(30);
            history.purge_confirmed(KEY, 1, 20).unwrap();
            history.at(at);
            let edge = Edge(1);
            history.show(What::ClientAsked { ask: 1, edge, key: KEY, request: None }).unwrap();
            let got = Got::Whole { status: 200, age: None, spans: vec![span(KEY, 1, 0, 100)] };
            assert_eq!(history.show(What::ClientGot { ask: 1, edge, key: KEY, got }), expected, "{bound:?}");
        }
    }

    /// An older purge that is confirmed late does not make a younger one forget.
    #[test]
    fn the_latest_purge_counts() {
        let mut history = History::of(NoResurrection::default());
        history.at(10);
        history.answered(KEY, 1).unwrap();
        history.at(30);
        history.purge_confirmed(KEY, 1, 20).unwrap();
        history.purge_confirmed(KEY, 1, 5).unwrap();
        assert_eq!(get(&mut history, 1, 1), Err("C7"));
    }

    /// What another edge was answered with since is no excuse where they share nothing.
    #[test]
    fn another_edges_answer_excuses_where_they_share() {
        for (sharing, expected) in [(Sharing::Any, Ok(())), (Sharing::Nothing, Err("C7"))] {
            let mut history = History::of(NoResurrection::within(None, sharing));
            history.at(10);
            history.answered(KEY, 1).unwrap();
            history.at(30);
            history.purge_confirmed(KEY, 1, 20).unwrap();
            let (edge, version) = (Edge(1), Version(1));
            history.show(What::OriginAnswered { edge, key: KEY, version }).unwrap();
            assert_eq!(get(&mut history, 1, 1), expected, "{sharing:?}");
        }
    }
}
