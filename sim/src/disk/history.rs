//! One history: questions to a store, several under way at once, and what is known of each key at every step.

use super::{
    answers::Answer,
    device::{Device, DeviceFault},
    known::{Known, Standing},
    objects::{Version, key},
    plan::Plan,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{
    Random, Seed, StoredKey,
    store::{Effect, Event, Geometry, Input, Io, Listing, Op, Reader, Source, Store, Writer},
};

/// Tasks that are under way at once.
const TASKS_AT_ONCE: usize = 4;
/// Bodies that are read slowly at once, about.
pub(super) const PARKED_MAX: usize = 6;

/// What is asked of the store, over several questions.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Once a purge of its target came, it may publish nothing.
    Fill {
        at: StoredKey,
        writer: Writer,
        version: Version,
        left: Bytes,
        commits: bool,
        doomed: bool,
    },
    Read {
        at: StoredKey,
        reader: Reader,
        version: Option<Version>,
        got: usize,
    },
    Delete {
        at: StoredKey,
    },
    Purge {
        existed: bool,
        keys: Vec<StoredKey>,
    },
    Freshen {
        at: StoredKey,
        version: Version,
    },
    /// With a head that is older than the one that is there.
    FreshenBack {
        at: StoredKey,
    },
    Sync,
}

/// A body that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked {
    pub(super) at: StoredKey,
    pub(super) reader: Reader,
    pub(super) version: Version,
    pub(super) got: usize,
}

/// A history as it goes.
#[derive(Debug)]
pub struct History {
    pub(super) plan: Plan,
    /// The store, as it is now.
    pub store: Store,
    /// The device, as it is now.
    pub device: Device,
    pub(super) chance: Random,
    known: BTreeMap<StoredKey, Known>,
    pub(super) tasks: BTreeMap<Op, (Task, Option<u64>)>,
    /// Bodies that are open, and not read on for a while.
    pub(super) parked: Vec<Parked>,
    pub(super) busy: BTreeSet<u64>,
    left: u32,
    numbers: u64,
    pub(super) done: u64,
    /// The sync that is under way, and what it covers.
    syncing: Option<(Io, u64)>,
    pub(super) is_faulty: bool,
    /// A write failed, and nothing more is written until another store takes over.
    is_down: bool,
    /// What was seen, by name.
    pub seen: BTreeMap<&'static str, u64>,
}

impl History {
    /// A history on an empty device.
    pub fn new(plan: Plan) -> Self {
        Self::on(plan, plan.device())
    }

    /// A history on this device. With faults planned, what is there may be missing at any time; nothing else
    /// changes.
    pub fn on(plan: Plan, device: Device) -> Self {
        let mut history = Self {
            plan,
            store: plan.store(),
            device,
            chance: Seed(plan.seed).split("history"),
            known: BTreeMap::new(),
            tasks: BTreeMap::new(),
            parked: Vec::new(),
            busy: BTreeSet::new(),
            left: plan.tasks,
            numbers: 0,
            done: 0,
            syncing: None,
            is_faulty: false,
            is_down: false,
            seen: BTreeMap::new(),
        };
        history.tell(Input::Recover);
        history
    }

    /// Plans faults from here on.
    pub fn plan_faults(&mut self, faults: &[(DeviceFault, u64)]) {
        self.device.plan(faults);
        self.is_faulty = true;
    }

    /// What it is made of.
    pub const fn plan(&self) -> Plan {
        self.plan
    }

    /// What is known of each key that was ever asked for.
    pub const fn known(&self) -> &BTreeMap<StoredKey, Known> {
        &self.known
    }

    /// A recovery began anew: anything may be gone.
    pub fn on_formatted(&mut self) {
        for known in self.known.values_mut() {
            known.may_be_gone();
        }
    }

    /// The power fails, and another life begins with what is found, which `state_of` tells and which must be
    /// allowed.
    ///
    /// # Panics
    /// It is not.
    pub fn restart(&mut self, state_of: impl Fn(StoredKey) -> Option<Version>, tasks: u32) {
        for (key, known) in &mut self.known {
            let state = state_of(*key);
            assert!(known.allows(state), "seed {}: {state:?} is left of {key}: {known:?}", self.plan.seed);
            known.settle(state);
        }
        self.store = self.plan.store();
        self.tasks.clear();
        self.parked.clear();
        self.busy.clear();
        self.syncing = None;
        self.left = tasks;
        self.seen.remove("recovered");
        self.tell(Input::Recover);
    }

    /// The device is to have so many segments. The store was recovered, and nothing was asked of it yet.
    pub fn shrink(&mut self, segments: u32) {
        self.plan.geometry.segments = segments;
        let geometry = Geometry::try_from(self.plan.geometry).expect("the plan's geometry holds together");
        let op = Op(self.number());
        self.tell(Input::Shrink { op, geometry });
    }

    /// One step: a task begins, or an operation of the device ends. False when all is done.
    ///
    /// # Panics
    /// The store breaks a promise.
    pub fn step(&mut self) -> bool {
        if self.is_down && self.device.under_way() == 0 && self.left > 0 {
            self.heal();
            return true;
        }
        let may_begin = (self.left > 0 || !self.parked.is_empty())
            && self.tasks.len() < TASKS_AT_ONCE
            && self.is_recovered();
        if may_begin && (self.device.under_way() == 0 || self.chance.chance(1, 4)) {
            if self.resume() {
                return true;
            }
            self.left -= 1;
            self.begin();
            return true;
        }
        if self.device.under_way() == 0 {
            assert!(self.tasks.is_empty(), "nothing is under way, but unanswered is {:?}", self.tasks);
            return self.left > 0;
        }
        let input = self.device.complete();
        if let Input::Done { io } = &input
            && let Some((_, through)) = self.syncing.take_if(|(syncing, _)| syncing == io)
        {
            for known in self.known.values_mut() {
                known.on_synced(through);
            }
        }
        self.tell(input);
        true
    }

    /// Reads on where somebody has had a body open for a while, whatever became of the object meanwhile.
    fn resume(&mut self) -> bool {
        let is_asked = !self.parked.is_empty() && (self.left == 0 || self.chance.chance(1, 4));
        if !is_asked {
            return false;
        }
        let place = self.chance.below(self.parked.len() as u64);
        let Parked { at, reader, version, got } =
            self.parked.swap_remove(usize::try_from(place).expect("a place in a list"));
        let length_max = 1 + self.chance.below(3_000);
        let (source, offset) = (Source::Reader(reader), got as u64);
        let task = Task::Read { at, reader, version: Some(version), got };
        self.ask(task, None, |op| Input::Read { op, source, offset, length_max });
        true
    }

    /// Another store takes the device over, as it is: nothing was lost, but who knows what the failed write
    /// has left.
    fn heal(&mut self) {
        self.left -= 1;
        let mut device = self.device.clone();
        device.plan(&[]);
        let held = super::crash::read_all(self.plan, &mut device);
        for (key, known) in &mut self.known {
            known.heal(held.objects.get(key).copied());
        }
        self.saw("healed");
        self.parked.clear();
        self.store = self.plan.store();
        (self.is_down, self.syncing) = (false, None);
        self.seen.remove("recovered");
        self.tell(Input::Recover);
    }

    fn is_recovered(&self) -> bool {
        self.seen.contains_key("recovered")
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub(super) fn tell(&mut self, input: Input) {
        self.store.handle(input);
        while let Some(effect) = self.store.poll_effect() {
            if let Effect::Sync { io } = effect {
                self.syncing = Some((io, self.done));
            }
            self.device.submit(effect);
        }
        let mut events = Vec::new();
        while let Some(event) = self.store.poll_event() {
            events.push(event);
        }
        for event in events {
            self.on_event(event);
        }
    }

    pub(super) fn ask(&mut self, task: Task, busy: Option<u64>, input: impl FnOnce(Op) -> Input) {
        let op = Op(self.number());
        self.tasks.insert(op, (task, busy));
        self.tell(input(op));
    }

    fn begin(&mut self) {
        let target = self.chance.below(self.plan.targets);
        if !self.busy.insert(target) {
            if self.doom(target) {
                return self.begin_purge(target);
            }
            return self.ask(Task::Sync, None, |op| Input::Sync { op });
        }
        let at = key(target, self.chance.below(8).saturating_sub(5));
        let current = self.known.entry(at).or_insert_with(Known::new).current;
        match (self.chance.below(20), current) {
            (0..8, _) | (15..18, None) => self.begin_fill(target, at),
            (8..15, _) => {
                let reader = Reader(self.number());
                let task = Task::Read { at, reader, version: current, got: 0 };
                self.ask(task, Some(target), |op| Input::Lookup { op, reader, key: at });
            }
            (15, Some(version)) if version.freshened > 0 => {
                let record = Version { freshened: version.freshened - 1, ..version }.record(at);
                self.ask(Task::FreshenBack { at }, Some(target), |op| Input::Freshen { op, record });
            }
            (15..17, Some(version)) => {
                let version = Version { freshened: version.freshened + 1, ..version };
                self.known_of(at).begin(Some(version));
                let record = version.record(at);
                self.ask(Task::Freshen { at, version }, Some(target), |op| Input::Freshen { op, record });
            }
            (17, Some(version)) => {
                self.known_of(at).begin(None);
                let name = Some(version.name());
                self.ask(Task::Delete { at }, Some(target), |op| Input::Delete { op, key: at, name });
            }
            (18, _) => self.begin_purge(target),
            _ => {
                self.busy.remove(&target);
                self.ask(Task::Sync, None, |op| Input::Sync { op });
            }
        }
    }

    /// Dooms the fill that is under way for the target, if there is one to be doomed.
    fn doom(&mut self, target: u64) -> bool {
        let mut filling = self.tasks.values_mut().filter_map(|(task, busy)| match task {
            Task::Fill { doomed, .. } if *busy == Some(target) => Some(doomed),
            _ => None,
        });
        let Some(doomed) = filling.next().filter(|doomed| !**doomed) else { return false };
        *doomed = true;
        self.saw("doomed");
        true
    }

    /// It keeps the target busy, also if a fill does.
    fn begin_purge(&mut self, target: u64) {
        let keys: Vec<StoredKey> = (0..3).map(|variant| key(target, variant)).collect();
        let existed = keys.iter().any(|key| self.known.get(key).is_some_and(|it| it.current.is_some()));
        for key in &keys {
            self.known.entry(*key).or_insert_with(Known::new).begin(None);
        }
        let at = keys[0];
        let purge = Task::Purge { existed, keys };
        self.ask(purge, Some(target), |op| Input::Delete { op, key: at, name: None });
    }

    fn begin_fill(&mut self, target: u64, at: StoredKey) {
        let is_large = self.chance.chance(1, self.plan.large_one_in);
        let length = self.chance.below(if is_large { self.plan.length_max } else { 900 });
        let length = usize::try_from(length).expect("a short body");
        let version = Version { number: self.number(), length, freshened: 0 };
        let writer = Writer(version.number);
        self.tell(Input::Begin { writer, key: at, name: version.name() });
        let commits = self.chance.chance(9, 10);
        let left = version.body();
        let task = Task::Fill { at, writer, version, left, commits, doomed: false };
        self.fill_on(task, target);
    }

    /// The next chunk, the commit, or the end.
    pub(super) fn fill_on(&mut self, task: Task, target: u64) {
        let Task::Fill { at, writer, version, mut left, commits, doomed } = task else {
            unreachable!("only fills are filled: {task:?}")
        };
        if !left.is_empty() {
            let size = 1 + self.chance.below(self.plan.chunk_max().min(left.len() as u64));
            let chunk = left.split_to(usize::try_from(size).expect("a short body"));
            let task = Task::Fill { at, writer, version, left, commits, doomed };
            self.ask(task, Some(target), |op| Input::Append { op, writer, chunk });
        } else if commits {
            if !doomed {
                self.known_of(at).begin(Some(version));
            }
            let record = version.record(at);
            let task = Task::Fill { at, writer, version, left, commits: false, doomed };
            self.ask(task, Some(target), |op| Input::Commit { op, writer, record });
        } else {
            self.saw("abandoned");
            self.tell(Input::Discard { writer });
            if !doomed {
                self.busy.remove(&target);
            }
        }
    }

    pub(super) fn known_of(&mut self, at: StoredKey) -> &mut Known {
        self.known.get_mut(&at).expect("what is asked for is known")
    }

    pub(super) fn acknowledge(&mut self, at: StoredKey, state: Option<Version>) {
        self.done += 1;
        let standing = Standing::Done(self.done);
        self.known_of(at).end(state, standing);
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Recovered { .. } => self.saw("recovered"),
            Event::Shrunk { .. } => self.saw("shrunk"),
            Event::RecoveryFailed { .. } => {
                assert!(self.is_faulty, "a device without faults was not recovered");
                self.saw("recovery failed");
                self.tell(Input::Recover);
            }
            Event::Dropped { key, .. } => {
                self.saw("dropped");
                let known = self.known_of(key);
                known.current = None;
                known.may_be_gone();
            }
            Event::Reclaimed { listing, .. } => {
                self.saw("reclaimed");
                if self.is_faulty && listing == Listing::Walk {
                    for known in self.known.values_mut() {
                        known.may_be_gone();
                    }
                }
            }
            Event::WritesEnded => {
                assert!(
                    self.is_faulty,
                    "seed {}: a device without faults took no more writes",
                    self.plan.seed
                );
                self.saw("writes ended");
                // What a failed sync has lost can still be read, and a full device stays full: only a restart
                // helps.
                self.is_down = !self.device.has_failed_for_good();
            }
            Event::Appended { op } => self.on_answer(op, Answer::Done),
            Event::Committed { op } => self.on_answer(op, Answer::Done),
            Event::Synced { op } => self.on_answer(op, Answer::Done),
            Event::Deleted { op, existed } => self.on_answer(op, Answer::Deleted(existed)),
            Event::Freshened { op, freshening } => self.on_answer(op, Answer::Freshened(freshening)),
            Event::Absent { op } => self.on_answer(op, Answer::Absent),
            Event::BodyRead { op, bytes } => self.on_answer(op, Answer::Bytes(bytes)),
            Event::Failed { op, why } => self.on_answer(op, Answer::Failed(why)),
            Event::Found { op, record, body } => self.on_answer(op, Answer::Found(Box::new(record), body)),
        }
    }
}
