//! What happened in one run: facts in their order, a running hash over them, and the rules that watch.
//!
//! One thread runs one world, so the order in which hosts push facts is the order in which things happened.
//! The lock is there because the driver asks its observer to be shareable, not because anybody waits for it.

use super::{
    Tells,
    catalogue::Catalogue,
    census::{Answerer, Census, Figures, Reading},
    life::Drawn,
    schedule::Episode,
    tally::Tallies,
    telling,
};
use crate::timeline::Timeline;
use std::{
    collections::{BTreeSet, VecDeque},
    fmt::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tiergate_engine::Instant;
use tiergate_invariants::{Edge, Fact, Invariants, Violation, What};
use tiergate_scenarios::{FaultKind, Figure, Scenario};

/// Facts that are kept for a story: some tens of megabytes.
const FACTS_KEPT_MAX: usize = 200_000;

/// The log of one run.
pub(crate) struct Log(Mutex<Inner>);

struct Inner {
    now: Instant,
    rules: Invariants,
    hasher: blake3::Hasher,
    line: String,
    /// Kept for when a rule is broken: all of them, in a world of a usual size.
    recent: VecDeque<Fact>,
    census: Census,
    record: Record,
    is_closed: bool,
}

/// What is left of a run.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// The last facts as text, the newest last.
    pub recent: Vec<String>,
    /// What the seed had drawn, where a rule was broken or it is to be drawn.
    pub drawn: Option<Drawn>,
    /// All that happened, where it is to be drawn.
    pub timeline: Option<Timeline>,
    /// A hash over all facts and their times.
    pub hash: Option<blake3::Hash>,
    /// How many facts.
    pub facts: u64,
    /// How many requests clients sent, purges not among them.
    pub requests: u64,
    /// How often each fault hit.
    pub faults: Tallies,
    /// Which of the faults that come at a moment have hit.
    pub observed: BTreeSet<usize>,
    /// Which answers of the origin were spoilt, and how.
    pub spoilt: BTreeSet<(FaultKind, u32, u32)>,
    /// What each figure came to.
    pub figures: Figures,
    /// How long the world lived.
    pub simulated: Duration,
}

/// What is told of a run.
pub(crate) struct Telling<'a> {
    pub scenario: &'a Scenario,
    /// What things are called.
    pub names: &'a Catalogue,
    pub episodes: &'a [Episode],
    /// How many of the last facts are told of a broken rule.
    pub facts: usize,
    /// Of which runs it is told.
    pub tells: Tells,
}

impl Log {
    /// An empty log, watched by `rules`.
    pub(crate) fn new(rules: Invariants) -> Self {
        Self(Mutex::new(Inner {
            now: Instant::ZERO,
            rules,
            hasher: blake3::Hasher::new(),
            line: String::new(),
            recent: VecDeque::new(),
            census: Census::default(),
            record: Record::default(),
            is_closed: false,
        }))
    }

    /// Every fact from now on happened at `now`.
    ///
    /// The world's time moves between ticks only: within one tick hosts run one after the other, and a host
    /// that runs later may read an earlier time on its own clock.
    pub(crate) fn set_now(&self, now: Duration) {
        let nanos = u64::try_from(now.as_nanos()).expect("a run is bounded to minutes");
        self.lock().now = Instant::from_nanos(nanos);
    }

    /// The world's time.
    pub(crate) fn now(&self) -> Instant {
        self.lock().now
    }

    /// Something happened. Once a rule is broken, or the run is over, nothing more is taken.
    pub(crate) fn push(&self, what: What) {
        let mut inner = self.lock();
        if inner.is_closed {
            return;
        }
        let fact = Fact { at: inner.now, what };
        inner.take(fact);
    }

    /// A rule that only the run itself can see was broken.
    pub(crate) fn fail(&self, violation: Violation) {
        let mut inner = self.lock();
        inner.is_closed = true;
        inner.record.violation.get_or_insert(violation);
    }

    /// Has a rule been broken?
    pub(crate) fn is_broken(&self) -> bool {
        self.lock().record.violation.is_some()
    }

    /// A client sends a request; returns the world's number for it.
    pub(crate) fn ask(&self) -> u64 {
        let mut inner = self.lock();
        inner.record.requests += 1;
        inner.record.requests
    }

    /// A client has the head of its response.
    pub(crate) fn answered(&self, ask: u64, by: Answerer, reading: Reading) {
        self.lock().census.answered(ask, by, reading);
    }

    /// So much more of a figure that no fact tells.
    pub(crate) fn count(&self, figure: Figure, more: u64) {
        self.lock().census.count(figure, more);
    }

    /// One more of a figure that tells of a request which waits for its answer.
    pub(crate) fn count_of(&self, ask: u64, figure: Figure) {
        self.lock().census.count_of(ask, figure);
    }

    /// What the figures have come to.
    pub(crate) fn figures(&self) -> Figures {
        self.lock().census.figures.clone()
    }

    /// The world ends.
    pub(crate) fn end(&self) {
        self.lock().census.end();
    }

    /// An edge answers from now on.
    pub(crate) fn serves(&self, edge: Edge) {
        self.lock().census.serves(edge);
    }

    /// An edge's disk is slow from now on.
    pub(crate) fn slow_begins(&self, edge: Edge) {
        self.lock().census.slow_begins(edge);
    }

    /// It is not any more.
    pub(crate) fn slow_ends(&self, edge: Edge) {
        self.lock().census.slow_ends(edge);
    }

    /// This many faults of this kind are meant to befall.
    pub(crate) fn plan(&self, kind: FaultKind, times: u64) {
        self.lock().record.faults.of(kind).planned += times;
    }

    /// The moment for one of them has come.
    pub(crate) fn arm(&self, kind: FaultKind) {
        self.lock().record.faults.of(kind).armed += 1;
    }

    /// It hit.
    pub(crate) fn fire(&self, kind: FaultKind) {
        self.lock().record.faults.of(kind).fired += 1;
    }

    /// The fault with this number among those that come at a moment has hit.
    pub(crate) fn fire_episode(&self, kind: FaultKind, episode: usize) {
        let mut inner = self.lock();
        inner.record.faults.of(kind).fired += 1;
        inner.record.observed.insert(episode);
    }

    /// The origin has spoilt its answer with this number about an object.
    pub(crate) fn fire_answer(&self, kind: FaultKind, object: u32, answer: u32) {
        let mut inner = self.lock();
        inner.record.faults.of(kind).fired += 1;
        inner.record.spoilt.insert((kind, object, answer));
    }

    /// How often faults of this kind came so far.
    #[cfg(test)]
    pub(crate) fn tally(&self, kind: FaultKind) -> super::tally::Tally {
        *self.lock().record.faults.of(kind)
    }

    /// Closes the log; what hosts do while they are torn down is no part of the run. `telling` says what is
    /// told of it.
    pub(crate) fn close(&self, simulated: Duration, telling: Option<&Telling<'_>>) -> Record {
        let mut inner = self.lock();
        inner.is_closed = true;
        let mut record = std::mem::take(&mut inner.record);
        let is_told = |telling: &&Telling<'_>| telling.tells.of(record.violation.is_some());
        if let Some(telling) = telling.filter(is_told) {
            let names = telling.names;
            let mut broken = None;
            if let Some(violation) = &mut record.violation {
                let about = telling::about(names, violation);
                record.recent =
                    telling::tell(names, &inner.recent, telling.episodes, violation, telling.facts);
                broken = Some((&*violation, about));
            }
            let is_observed = |(number, episode): (usize, &Episode)| {
                let is_disks = episode.disk_fault().is_some();
                (*episode, is_disks || record.observed.contains(&number))
            };
            let episodes: Vec<_> = telling.episodes.iter().enumerate().map(is_observed).collect();
            let scenario = telling.scenario;
            let drawn = telling::timeline(scenario, names, &inner.recent, &episodes, broken, inner.now);
            record.timeline = Some(drawn);
        }
        record.figures = std::mem::take(&mut inner.census.figures);
        record.hash = Some(inner.hasher.finalize());
        record.simulated = simulated;
        record
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere is counted by the runner; the log only has to tell what came before it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self, fact: Fact) {
        self.record.facts += 1;
        self.census.observe(&fact);
        self.line.clear();
        // The text of a fact is its fields in their order: no addresses, no unordered maps.
        write!(self.line, "{} {:?}", fact.at.as_nanos(), fact.what).expect("a String takes any text");
        self.hasher.update(self.line.as_bytes());
        self.hasher.update(b"\n");
        if self.recent.len() >= FACTS_KEPT_MAX {
            self.recent.pop_front();
        }
        let verdict = self.rules.observe(&fact);
        self.recent.push_back(fact);
        if let Err(violation) = verdict {
            self.is_closed = true;
            self.record.violation = Some(violation);
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}
