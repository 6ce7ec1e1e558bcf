//! The feed alone, answer by answer; then several edges against a naive log that loses, delays, repeats and
//! trims.

use super::*;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    vec,
};

const LEASE: u64 = 50;

fn policy() -> FeedPolicy {
    RawFeed { poll_ms: 10, lease_ms: 50 }.try_into().expect("a lease of five polls")
}

fn at(millis: u64) -> Instant {
    Instant::ZERO.after(Duration::from_millis(millis))
}

const fn wall(millis: u64) -> WallTime {
    WallTime::from_unix_millis(millis)
}

const US: FeedOrigin = FeedOrigin(1);
const THEM: FeedOrigin = FeedOrigin(2);

fn feed() -> Feed<u64> {
    Feed::new(policy(), US, Sequence::START, Seed(7))
}

fn entry(sequence: u64, origin: FeedOrigin, ticket: u64, notice: u64) -> FeedEntry<u64> {
    FeedEntry { sequence: Sequence(sequence), origin, ticket: Ticket(ticket), notice }
}

fn entries(entries: Vec<FeedEntry<u64>>, newest: u64) -> FeedTold<u64> {
    FeedTold::Entries { trimmed: None, entries, newest: Sequence(newest) }
}

fn steps(feed: &mut Feed<u64>) -> Vec<FeedStep<u64>> {
    core::iter::from_fn(|| feed.poll_step()).collect()
}

/// Sends the read that is due, and nothing else.
#[track_caller]
fn read(feed: &mut Feed<u64>, now: u64, after: u64) -> AskId {
    let (id, ask) = feed.poll_ask(at(now)).expect("a read is due");
    assert_eq!(ask, FeedAsk::Read { after: Sequence(after) });
    id
}

/// It is had with the first read that reaches the end, from when that was sent, and lost to the millisecond.
#[test]
fn the_lease_counts_from_when_the_read_was_sent() {
    let mut feed = feed();
    assert!(!feed.is_current(at(0)), "before the first read nothing is known");
    let id = read(&mut feed, 3, 0);
    feed.on_told(at(20), id, entries(vec![], 0));
    assert_eq!(steps(&mut feed), [FeedStep::LeaseGained]);
    assert!(feed.is_current(at(52)) && !feed.is_current(at(53)));
    feed.on_wake(at(52));
    assert_eq!(steps(&mut feed), []);
    feed.on_wake(at(53));
    assert_eq!(steps(&mut feed), [FeedStep::LeaseLost]);
}

/// Only who has read to the end knows that nothing is missing; pages follow one another at once.
#[test]
fn a_page_that_is_not_the_last_gives_no_lease() {
    let mut feed = feed();
    let id = read(&mut feed, 0, 0);
    feed.on_told(at(1), id, entries(vec![entry(1, THEM, 1, 11), entry(4, THEM, 2, 12)], 5));
    assert_eq!(steps(&mut feed), [FeedStep::Apply(11), FeedStep::Apply(12)]);
    assert!(!feed.is_current(at(1)));
    let id = read(&mut feed, 1, 4);
    feed.on_told(at(2), id, entries(vec![entry(5, THEM, 3, 13)], 5));
    assert_eq!(steps(&mut feed), [FeedStep::Apply(13), FeedStep::LeaseGained]);
    assert!(feed.poll_ask(at(2)).is_none(), "at the end it rests");
    assert!(feed.poll_wake() > at(8) && feed.poll_wake() <= at(11), "{:?}", feed.poll_wake());
}

/// An own notice is applied by who appends it; the lost answer to its append is made up for by reading it
/// back, and a second sighting of it changes nothing.
#[test]
fn an_own_notice_is_recognised_when_it_is_read_back() {
    let mut feed = feed();
    let ticket = feed.append(at(0), 77);
    assert_eq!(steps(&mut feed), []);
    let id = read(&mut feed, 0, 0);
    let (append, ask) = feed.poll_ask(at(0)).expect("the append is due");
    assert_eq!(ask, FeedAsk::Append { origin: US, ticket, notice: 77 });
    feed.on_told(at(5), append, FeedTold::Failed);
    assert_eq!(steps(&mut feed), []);
    feed.on_told(at(6), id, entries(vec![entry(1, US, 1, 77), entry(2, US, 9, 78)], 2));
    let appended = FeedStep::Appended { ticket, sequence: Sequence(1) };
    assert_eq!(steps(&mut feed), [appended, FeedStep::Apply(78), FeedStep::LeaseGained]);
    assert_eq!(feed.appends_waiting(), 0);
}

/// Nobody hears “appended” who is not: after a lease of failures, and when too many wait, they hear that it
/// failed.
#[test]
fn an_append_that_is_not_known_to_be_there_fails() {
    let mut feed = feed();
    let ticket = feed.append(at(0), 5);
    read(&mut feed, 0, 0);
    let (append, _) = feed.poll_ask(at(0)).expect("the append is due");
    feed.on_wake(at(49));
    assert_eq!(steps(&mut feed), []);
    feed.on_wake(at(50));
    assert_eq!(steps(&mut feed), [FeedStep::AppendFailed { ticket }]);
    feed.on_told(at(51), append, FeedTold::Appended { sequence: Sequence(1) });
    assert_eq!(steps(&mut feed), [], "who was given up hears nothing more");
    for _ in 0..APPENDS_MAX {
        feed.append(at(60), 6);
    }
    steps(&mut feed);
    let ticket = feed.append(at(60), 7);
    assert_eq!(steps(&mut feed), [FeedStep::AppendFailed { ticket }]);
}

/// What was trimmed before it was read bars all that is older, before anything else is applied.
#[test]
fn a_trimmed_log_bars_what_is_older() {
    let mut feed = feed();
    let id = read(&mut feed, 0, 0);
    let trimmed = Some(Trimmed { through: Sequence(8), at: wall(900) });
    let newest = Sequence(9);
    feed.on_told(at(1), id, FeedTold::Entries { trimmed, entries: vec![entry(9, THEM, 9, 99)], newest });
    let gap = FeedStep::Gap { through: wall(900) };
    assert_eq!(steps(&mut feed), [gap, FeedStep::Apply(99), FeedStep::LeaseGained]);
    let id = read(&mut feed, 11, 9);
    feed.on_told(at(12), id, FeedTold::Entries { trimmed, entries: vec![], newest });
    assert_eq!(steps(&mut feed), [], "what was read before it was trimmed is no gap");
}

/// An answer that contradicts itself or goes back is a failure: nothing of it is applied.
#[test]
fn malformed_answers_are_failures() {
    let trimmed = |through| Some(Trimmed { through: Sequence(through), at: wall(1) });
    let bad = [
        (None, vec![entry(2, THEM, 2, 2), entry(1, THEM, 1, 1)], 2),
        (None, vec![entry(1, THEM, 1, 1), entry(1, THEM, 1, 1)], 1),
        (None, vec![entry(0, THEM, 1, 1)], 1),
        (None, vec![entry(5, THEM, 1, 1)], 4),
        (None, vec![], 3),
        (trimmed(3), vec![entry(3, THEM, 1, 1)], 3),
        (trimmed(3), vec![], 2),
    ];
    for (trimmed, entries, newest) in bad {
        let mut feed = feed();
        let id = read(&mut feed, 0, 0);
        let told = FeedTold::Entries { trimmed, entries, newest: Sequence(newest) };
        feed.on_told(at(1), id, told.clone());
        assert_eq!((steps(&mut feed), feed.applied()), (vec![], Sequence::START), "{told:?}");
        assert!(feed.poll_ask(at(1)).is_none(), "it rests before it reads again");
        read(&mut feed, 4, 0);
    }
}

/// A read that never returns is made again in time; what it says late is not heard.
#[test]
fn a_read_that_hangs_is_made_again() {
    let mut feed = feed();
    let hung = read(&mut feed, 0, 0);
    assert_eq!(feed.poll_wake(), at(25));
    feed.on_wake(at(25));
    let id = read(&mut feed, 28, 0);
    feed.on_told(at(29), hung, entries(vec![entry(1, THEM, 1, 1)], 1));
    assert_eq!(steps(&mut feed), []);
    feed.on_told(at(29), id, entries(vec![entry(1, THEM, 1, 1)], 1));
    assert_eq!(steps(&mut feed), [FeedStep::Apply(1), FeedStep::LeaseGained]);
}

/// The log as it should be: it keeps everything, and shows what is not trimmed.
#[derive(Debug, Default)]
struct Log {
    /// In order; the place in the list, from one, is the sequence. With when it was appended.
    all: Vec<(FeedEntry<u64>, u64)>,
    trimmed: Option<Trimmed>,
    is_down: bool,
}

/// Entries that fit one answer.
const PAGE: usize = 3;

impl Log {
    fn execute(&mut self, now: u64, ask: &FeedAsk<u64>) -> FeedTold<u64> {
        if self.is_down {
            return FeedTold::Failed;
        }
        match ask {
            FeedAsk::Append { origin, ticket, notice } => {
                let known =
                    self.all.iter().find(|(entry, _)| entry.origin == *origin && entry.ticket == *ticket);
                if let Some((entry, _)) = known {
                    return FeedTold::Appended { sequence: entry.sequence };
                }
                let sequence = self.newest().0 + 1;
                self.all.push((entry(sequence, *origin, ticket.0, *notice), now));
                FeedTold::Appended { sequence: Sequence(sequence) }
            }
            FeedAsk::Read { after } => {
                let begin = self.trimmed.map_or(*after, |trimmed| trimmed.through.max(*after));
                let rest = self.all.iter().map(|(entry, _)| entry).filter(|entry| entry.sequence > begin);
                let entries = rest.take(PAGE).cloned().collect();
                FeedTold::Entries { trimmed: self.trimmed, entries, newest: self.newest() }
            }
        }
    }

    fn trim(&mut self, through: u64) {
        let through = through.min(self.newest().0);
        let latest =
            self.all.iter().filter(|(entry, _)| entry.sequence.0 <= through).map(|(_, at)| *at).max();
        if let Some(latest) = latest {
            let trimmed = Trimmed { through: Sequence(through), at: wall(latest) };
            self.trimmed = self.trimmed.max(Some(trimmed));
        }
    }

    fn newest(&self) -> Sequence {
        self.all.last().map_or(Sequence::START, |(entry, _)| entry.sequence)
    }
}

/// One life of one edge, and what it was told to do.
struct Edge {
    feed: Feed<u64>,
    origin: FeedOrigin,
    applied: BTreeSet<u64>,
    /// The last of others' that was applied.
    last: u64,
    barred: Option<WallTime>,
    open: BTreeMap<Ticket, u64>,
    is_told_current: bool,
}

/// A question or its answer on the way, and to which life of which edge.
#[derive(Clone)]
struct Parcel {
    edge: usize,
    origin: FeedOrigin,
    id: AskId,
    ask: FeedAsk<u64>,
    told: Option<FeedTold<u64>>,
}

struct World {
    now: u64,
    log: Log,
    edges: Vec<Edge>,
    parcels: Vec<Parcel>,
    /// Lives begun, and notices made.
    lives: u128,
    notices: u64,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Time passes and nothing moves.
    Wait(u64),
    /// Time passes and whatever is on the way arrives.
    Calm(u64),
    Purge(usize),
    /// A parcel gets one step further: the log does it, or the edge hears of it.
    Move(usize),
    /// The same, but the log will be asked once more.
    Repeat(usize),
    /// A parcel is lost; if it was a question its edge hears of a failure.
    Lose(usize),
    Outage(bool),
    Trim(u64),
    /// With or without what it knew.
    Restart(usize, bool),
}

impl World {
    fn new() -> Self {
        let mut world =
            Self { now: 0, log: Log::default(), edges: vec![], parcels: vec![], lives: 0, notices: 0 };
        for _ in 0..3 {
            let edge = world.born(Sequence::START, BTreeSet::new(), None);
            world.edges.push(edge);
        }
        world
    }

    fn born(&mut self, applied: Sequence, knows: BTreeSet<u64>, barred: Option<WallTime>) -> Edge {
        self.lives += 1;
        let origin = FeedOrigin(self.lives);
        let seed = Seed(u64::try_from(self.lives).expect("few lives"));
        let feed = Feed::new(policy(), origin, applied, seed);
        // What an earlier life applied is known from the log's own place only: the rest is applied again.
        let known = self.log.all.iter().map(|(entry, _)| entry).filter(|entry| entry.sequence <= applied);
        let applied_then = known.map(|entry| entry.notice).filter(|notice| knows.contains(notice)).collect();
        Edge {
            feed,
            origin,
            applied: applied_then,
            last: applied.0,
            barred,
            open: BTreeMap::new(),
            is_told_current: false,
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Wait(span) => self.now += span,
            Op::Calm(span) => {
                for _ in 0..span {
                    self.now += 1;
                    self.settle();
                    while !self.parcels.is_empty() {
                        self.forward(0, false);
                        self.settle();
                    }
                }
            }
            Op::Purge(n) => {
                let n = n % self.edges.len();
                self.notices += 1;
                let edge = &mut self.edges[n];
                let ticket = edge.feed.append(at(self.now), self.notices);
                edge.open.insert(ticket, self.now);
                edge.applied.insert(self.notices);
            }
            Op::Move(n) if !self.parcels.is_empty() => self.forward(n % self.parcels.len(), false),
            Op::Repeat(n) if !self.parcels.is_empty() => self.forward(n % self.parcels.len(), true),
            Op::Lose(n) if !self.parcels.is_empty() => {
                let mut parcel = self.parcels.swap_remove(n % self.parcels.len());
                parcel.told = Some(FeedTold::Failed);
                self.parcels.push(parcel);
            }
            Op::Move(_) | Op::Repeat(_) | Op::Lose(_) => {}
            Op::Outage(is_down) => self.log.is_down = is_down,
            Op::Trim(keep) => self.log.trim(self.log.newest().0.saturating_sub(keep)),
            Op::Restart(n, knows) => {
                let n = n % self.edges.len();
                let (applied, known, barred) = match knows {
                    true => {
                        (self.edges[n].feed.applied(), self.edges[n].applied.clone(), self.edges[n].barred)
                    }
                    false => (Sequence::START, BTreeSet::new(), None),
                };
                self.edges[n] = self.born(applied, known, barred);
            }
        }
        self.settle();
    }

    fn forward(&mut self, n: usize, again: bool) {
        let mut parcel = self.parcels.remove(n);
        let Some(told) = parcel.told.take() else {
            if again {
                self.parcels.push(parcel.clone());
            }
            parcel.told = Some(self.log.execute(self.now, &parcel.ask));
            self.parcels.push(parcel);
            return;
        };
        let edge = &mut self.edges[parcel.edge];
        if edge.origin == parcel.origin {
            edge.feed.on_told(at(self.now), parcel.id, told);
        }
    }

    /// Every edge does what is due; then all that it was told is checked.
    fn settle(&mut self) {
        for n in 0..self.edges.len() {
            let edge = &mut self.edges[n];
            while let Some((id, ask)) = edge.feed.poll_ask(at(self.now)) {
                self.parcels.push(Parcel { edge: n, origin: edge.origin, id, ask, told: None });
            }
            assert!(edge.feed.poll_wake() > at(self.now), "edge {n} would spin");
            while let Some(step) = edge.feed.poll_step() {
                edge.heed(step, &self.log);
            }
            assert_eq!(edge.feed.is_current(at(self.now)), edge.is_told_current, "edge {n}");
            let waits = |since: &u64| self.now - since < LEASE;
            assert!(edge.open.values().all(waits), "edge {n} leaves a purge without answer");
            for (entry, appended) in &self.log.all {
                let has = edge.applied.contains(&entry.notice)
                    || edge.barred.is_some_and(|barred| barred >= wall(*appended));
                assert!(
                    has || !edge.is_told_current || appended + LEASE > self.now,
                    "edge {n} serves at {} without {entry:?}, appended at {appended}",
                    self.now,
                );
            }
        }
    }
}

impl Edge {
    fn heed(&mut self, step: FeedStep<u64>, log: &Log) {
        let find = |notice| log.all.iter().map(|(entry, _)| entry).find(|entry| entry.notice == notice);
        match step {
            FeedStep::Apply(notice) => {
                assert!(self.applied.insert(notice), "{notice} is applied twice");
                if let Some(entry) = find(notice).filter(|entry| entry.origin != self.origin) {
                    assert!(entry.sequence.0 > self.last, "{notice} is applied out of order");
                    self.last = entry.sequence.0;
                }
            }
            FeedStep::Appended { ticket, sequence } => {
                assert!(self.open.remove(&ticket).is_some(), "{ticket:?} is answered twice");
                let found = log.all.iter().any(|(entry, _)| {
                    (entry.origin, entry.ticket, entry.sequence) == (self.origin, ticket, sequence)
                });
                assert!(found, "{ticket:?} is acknowledged and not in the log");
            }
            FeedStep::AppendFailed { ticket } => {
                assert!(self.open.remove(&ticket).is_some(), "{ticket:?} is answered twice");
            }
            FeedStep::Gap { through } => self.barred = self.barred.max(Some(through)),
            FeedStep::LeaseGained => assert!(!core::mem::replace(&mut self.is_told_current, true)),
            FeedStep::LeaseLost => assert!(core::mem::replace(&mut self.is_told_current, false)),
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1_u64..30).prop_map(Op::Wait),
        3 => (1_u64..80).prop_map(Op::Calm),
        5 => (0_usize..3).prop_map(Op::Purge),
        9 => (0_usize..16).prop_map(Op::Move),
        2 => (0_usize..16).prop_map(Op::Repeat),
        2 => (0_usize..16).prop_map(Op::Lose),
        1 => any::<bool>().prop_map(Op::Outage),
        1 => (0_u64..6).prop_map(Op::Trim),
        1 => (0_usize..3, any::<bool>()).prop_map(|(edge, knows)| Op::Restart(edge, knows)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The stated bound: no edge that serves lacks what was appended a lease ago; each notice is applied once
    /// in a life and in order; who is acknowledged is in the log; every purge is answered within a lease.
    /// Once the faults end, all edges serve and have everything.
    #[test]
    fn no_edge_serves_without_what_was_appended_a_lease_ago(ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.step(op));
        world.step(Op::Outage(false));
        world.step(Op::Calm(2 * LEASE));
        for edge in &world.edges {
            prop_assert!(edge.is_told_current && edge.open.is_empty());
            prop_assert_eq!(edge.feed.applied(), world.log.newest());
        }
    }
}
