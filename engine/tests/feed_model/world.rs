//! The log and the network, imitated, and the edges, which are the real feeds with what they told. A
//! [`World`] steps only when it is told to; which steps there are, and what must hold after each, stands in
//! `main.rs`.

use crate::{Budget, Plant, Setup};
use std::{collections::BTreeMap, time::Duration};
use tiergate_engine::{
    Instant, Seed, WallTime,
    feed::{
        AskId, Feed, FeedAsk, FeedEntry, FeedOrigin, FeedPolicy, FeedStep, FeedTold, RawFeed, Sequence,
        Ticket, Trimmed,
    },
};

const LEASE: u64 = 2;

/// So short that no wait has room for chance: the same steps lead to the same state.
fn policy() -> FeedPolicy {
    RawFeed { poll_ms: 1, lease_ms: 2 }.try_into().expect("a lease of two polls")
}

/// A rule that was broken by a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    Bound,
    Once,
    NotInTheLog,
    NotAnswered,
}

/// What happened at least once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SeenSoFar {
    pub(crate) is_read: bool,
    pub(crate) is_read_back: bool,
    pub(crate) is_lost: bool,
    pub(crate) is_gap: bool,
}

/// A question or its answer on the way, and to which life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Parcel {
    edge: usize,
    origin: FeedOrigin,
    id: AskId,
    pub(crate) ask: FeedAsk<u8>,
    pub(crate) told: Option<FeedTold<u8>>,
}

/// One life of one edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    feed: Feed<u8>,
    origin: FeedOrigin,
    /// In the order in which they were applied.
    applied: Vec<u8>,
    barred: Option<WallTime>,
    /// Purges without an answer, and when they were made.
    open: BTreeMap<Ticket, u64>,
}

/// Everything that there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    clock: u64,
    /// All that was ever appended, with when.
    log: Vec<(FeedEntry<u8>, u64)>,
    trimmed: Option<Trimmed>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) parcels: Vec<Parcel>,
    pub(crate) budget: Budget,
    lives: u128,
    notices: u8,
    pub(crate) seen: SeenSoFar,
    pub(crate) broken: Option<Broken>,
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut world = Self {
            clock: 1,
            log: Vec::new(),
            trimmed: None,
            edges: Vec::new(),
            parcels: Vec::new(),
            budget: setup.budget,
            lives: 0,
            notices: 0,
            seen: SeenSoFar::default(),
            broken: None,
        };
        for _ in 0..2 {
            let edge = world.born();
            world.edges.push(edge);
        }
        world.settle(setup.plant);
        world
    }

    fn born(&mut self) -> Edge {
        self.lives += 1;
        let origin = FeedOrigin(self.lives);
        let feed = Feed::new(policy(), origin, Sequence::START, Seed(0));
        Edge { feed, origin, applied: Vec::new(), barred: None, open: BTreeMap::new() }
    }

    fn now(&self) -> Instant {
        Instant::ZERO.after(Duration::from_millis(self.clock))
    }

    pub(crate) fn purge(&mut self, edge: usize) {
        self.notices += 1;
        let (now, clock) = (self.now(), self.clock);
        let edge = &mut self.edges[edge];
        let ticket = edge.feed.append(now, self.notices);
        edge.open.insert(ticket, clock);
        edge.applied.push(self.notices);
    }

    pub(crate) fn execute(&mut self, n: usize, plant: Option<Plant>) {
        let told = match self.parcels[n].ask.clone() {
            FeedAsk::Append { origin, ticket, notice } => self.append(origin, ticket, notice, plant),
            FeedAsk::Read { after } => self.read(after, plant),
        };
        self.parcels[n].told = Some(told);
    }

    fn append(
        &mut self,
        origin: FeedOrigin,
        ticket: Ticket,
        notice: u8,
        plant: Option<Plant>,
    ) -> FeedTold<u8> {
        let known = self.log.iter().find(|(entry, _)| entry.origin == origin && entry.ticket == ticket);
        if let Some((entry, _)) = known
            && plant != Some(Plant::AppendsAreNotRecognised)
        {
            return FeedTold::Appended { sequence: entry.sequence };
        }
        let sequence = Sequence(self.log.len() as u64 + 1);
        self.log.push((FeedEntry { sequence, origin, ticket, notice }, self.clock));
        FeedTold::Appended { sequence }
    }

    fn read(&self, after: Sequence, plant: Option<Plant>) -> FeedTold<u8> {
        let begin = self.trimmed.map_or(after, |trimmed| trimmed.through.max(after));
        let is_shown = |appended: u64| plant != Some(Plant::ReadsLag) || appended + LEASE <= self.clock;
        let shown = self.log.iter().filter(|(_, appended)| is_shown(*appended)).map(|(entry, _)| entry);
        let newest = shown.clone().map(|entry| entry.sequence).max().unwrap_or(Sequence::START);
        let entries = shown.filter(|entry| entry.sequence > begin).cloned().collect();
        FeedTold::Entries { trimmed: self.trimmed, entries, newest }
    }

    pub(crate) fn repeat(&mut self, n: usize) {
        let again = self.parcels[n].clone();
        self.parcels.push(again);
    }

    pub(crate) fn hear(&mut self, n: usize) {
        let now = self.now();
        let parcel = self.parcels.remove(n);
        let edge = &mut self.edges[parcel.edge];
        if edge.origin == parcel.origin {
            let told = parcel.told.expect("offered for those that were answered");
            edge.feed.on_told(now, parcel.id, told);
        }
    }

    pub(crate) fn lose(&mut self, n: usize, plant: Option<Plant>) {
        let is_append = matches!(self.parcels[n].ask, FeedAsk::Append { .. });
        let acknowledges = plant == Some(Plant::LostAppendsAreAcknowledged) && is_append;
        let sequence = Sequence(1);
        let told = if acknowledges { FeedTold::Appended { sequence } } else { FeedTold::Failed };
        self.parcels[n].told = Some(told);
        self.hear(n);
    }

    pub(crate) fn crash(&mut self, edge: usize) {
        self.edges[edge] = self.born();
    }

    pub(crate) fn may_trim(&self) -> bool {
        !self.log.is_empty()
    }

    pub(crate) fn trim(&mut self) {
        let through = Sequence(self.log.len() as u64);
        let at = self.log.last().map(|(_, appended)| *appended).expect("offered while there is something");
        self.trimmed = Some(Trimmed { through, at: WallTime::from_unix_millis(at) });
    }

    pub(crate) const fn tick(&mut self) {
        self.clock += 1;
    }

    /// Every edge does what is due; what it says is judged.
    pub(crate) fn settle(&mut self, plant: Option<Plant>) {
        let now = self.now();
        for n in 0..self.edges.len() {
            while let Some((id, ask)) = self.edges[n].feed.poll_ask(now) {
                let origin = self.edges[n].origin;
                // Of a read that was given up nothing can come any more.
                if matches!(ask, FeedAsk::Read { .. }) {
                    self.parcels
                        .retain(|parcel| parcel.edge != n || matches!(parcel.ask, FeedAsk::Append { .. }));
                }
                self.parcels.push(Parcel { edge: n, origin, id, ask, told: None });
            }
            while let Some(step) = self.edges[n].feed.poll_step() {
                self.heed(n, step, plant);
            }
            let edge = &self.edges[n];
            if edge.open.values().any(|since| since + LEASE <= self.clock) {
                self.broken = Some(Broken::NotAnswered);
            }
            let serves = plant == Some(Plant::LeaseIsIgnored) || edge.feed.is_current(now);
            let lacks = |(entry, appended): &(FeedEntry<u8>, u64)| {
                appended + LEASE <= self.clock
                    && !edge.applied.contains(&entry.notice)
                    && edge.barred.is_none_or(|barred| barred < WallTime::from_unix_millis(*appended))
            };
            if serves && self.log.iter().any(lacks) {
                self.broken = Some(Broken::Bound);
            }
        }
        // Which of two that are under way is named first makes no difference.
        self.parcels.sort_by_key(|parcel| (parcel.origin, parcel.id));
    }

    fn heed(&mut self, n: usize, step: FeedStep<u8>, plant: Option<Plant>) {
        let edge = &mut self.edges[n];
        let others = |notice: &u8| {
            let mut log = self.log.iter().map(|(entry, _)| entry);
            log.find(|entry| entry.notice == *notice && entry.origin != edge.origin)
                .map(|entry| entry.sequence)
        };
        match step {
            FeedStep::Apply(notice) => {
                let before = edge.applied.iter().filter_map(others).max();
                let is_late =
                    others(&notice).is_some_and(|place| before.is_some_and(|before| before > place));
                if edge.applied.contains(&notice) || is_late {
                    self.broken = Some(Broken::Once);
                }
                self.seen.is_read |= others(&notice).is_some();
                edge.applied.push(notice);
            }
            FeedStep::Appended { ticket, sequence } => {
                let is_there = |(entry, _): &(FeedEntry<u8>, u64)| {
                    (entry.origin, entry.ticket, entry.sequence) == (edge.origin, ticket, sequence)
                };
                if !self.log.iter().any(is_there) {
                    self.broken = Some(Broken::NotInTheLog);
                }
                // Whoever hears of it by the append's own answer has not read so far yet.
                self.seen.is_read_back |= edge.feed.applied() >= sequence;
                if edge.open.remove(&ticket).is_none() {
                    self.broken = Some(Broken::NotAnswered);
                }
            }
            FeedStep::AppendFailed { ticket } => {
                if edge.open.remove(&ticket).is_none() {
                    self.broken = Some(Broken::NotAnswered);
                }
            }
            FeedStep::Gap { through } => {
                self.seen.is_gap = true;
                if plant != Some(Plant::GapIsIgnored) {
                    edge.barred = edge.barred.max(Some(through));
                }
            }
            FeedStep::LeaseGained => {}
            FeedStep::LeaseLost => self.seen.is_lost = true,
        }
    }
}
