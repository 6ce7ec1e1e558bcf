//! The durable tier's protocol on every interleaving of a few actors.
//!
//! The machines are the real ones of `engine/src/durable`; imitated are the index, the blob store and the network
//! between: answers get lost, requests are done later or twice, actors crash, the clock ticks, the index drops what
//! expired. One key, few actors, small budgets: what is proven is proven for these. Start at [`World`], then at the
//! rules in `properties`. The last tests plant faults and want them found, so that the net is known to hold.

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tiergate_engine::{
    ByteCount, CacheKey, Head, Record, RecordName, StoredFreshness, WallTime,
    durable::{
        Ask, BlobFate, BlobName, BodyDigest, CollectStep, Collector, Completed, DurablePurge, Entry,
        Generation, LookedFor, Lookup, LookupStep, Publish, PublishEnd, PublishStep, PurgeEnd, PurgeStep,
        RawTerms, Seen, Stored, Terms, Told, Version,
    },
};

const KEY: CacheKey = CacheKey(7);
/// How long a whole body is. A partial one is shorter.
const WHOLE: ByteCount = ByteCount(2);
const PARTIAL: ByteCount = ByteCount(1);

/// What one model tries.
#[derive(Clone, Debug)]
struct Setup {
    writers: usize,
    readers: usize,
    purgers: usize,
    /// Sweeps of the one collector, one after the other.
    sweeps: u8,
    budget: Budget,
    /// Do writers take what they find for stale and replace it?
    is_stale: bool,
    plant: Option<Plant>,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    /// Answers that are lost, or whose request is done twice.
    losses: u8,
    crashes: u8,
    ticks: u8,
    renewals: u8,
    breaks: u8,
}

/// A fault put between the machines and their world. None needs a switch in the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    /// The collector sees no leases.
    CollectorIgnoresLeases,
    /// A writer whose swap got no answer takes that for a refusal and deletes its blob.
    DeletesOnUnknown,
    /// A writer does not see that a generation was raised.
    SwapIgnoresGeneration,
    /// The index writes whatever version it holds.
    SwapIgnoresVersion,
    /// The index drops entries before their time, and with them what they remember of a purge.
    IndexForgetsPurges,
    /// The store says that a blob is there before all of it is.
    ManifestBeforeBlob,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Who {
    Writer(usize),
    Reader(usize),
    Purger(usize),
    Collector,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// The request is done and its answer arrives.
    Answer(Who),
    /// As `Answer`, and the request is done once more later.
    AnswerTwice(Who),
    /// The request is done and the answer is lost.
    LoseAnswer(Who),
    /// No answer comes; the request may be done later.
    Delay(Who),
    /// A delayed request is done.
    Arrive(usize),
    Crash(Who),
    /// The origin's head came.
    Open(usize),
    /// A blob is whole.
    Finish(usize),
    /// An upload breaks off.
    Break(usize),
    /// A lease is to be renewed.
    Renew(usize),
    Tick,
    /// The index drops an entry whose time is up.
    Expire,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Writer {
    Looking(Lookup, Ask),
    /// The origin was asked.
    Fetching(Seen),
    /// `is_uploading`: the lease is had and the blob is not whole.
    Publishing {
        publish: Publish,
        ask: Option<Ask>,
        is_uploading: bool,
    },
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reader {
    /// `floor`: what was confirmed as purged when the index was asked.
    Looking {
        lookup: Lookup,
        ask: Ask,
        floor: u8,
    },
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Purger {
    /// `number`: which of all purges, counted when the index was first asked.
    Purging {
        purge: DurablePurge,
        ask: Ask,
        number: Option<u8>,
    },
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Sweeper {
    Sweeping { collector: Collector, ask: Ask, left: u8 },
    Over,
}

/// A rule that was broken by a step, rather than by a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Broken {
    /// Two manifests under one version, a version that did not rise, or a name published twice.
    Winners,
    /// A writer deleted another's blob, or anybody one that is named or leased to an upload.
    Deleted,
    /// A writer was told that it won, or that its blob is gone, and it is not so.
    WrongEnd,
    /// A lookup led to something from before a purge that was confirmed when it began.
    Resurrected,
}

/// Everything that there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    clock: u64,
    stored: Option<Stored>,
    blobs: BTreeMap<RecordName, ByteCount>,
    /// Requests that may still be done, or never, and when they were made.
    delayed: Vec<(u64, Ask)>,
    /// Since when each actor's swap is under way.
    swapping: BTreeMap<Who, u64>,
    writers: Vec<Writer>,
    readers: Vec<Reader>,
    purgers: Vec<Purger>,
    sweeper: Sweeper,
    budget: Budget,
    /// Purges begun, and the latest of those confirmed.
    begun: u8,
    confirmed: u8,
    /// How many purges had begun when each writer's fetch did.
    fetched: Vec<u8>,
    /// Every manifest ever visible.
    published: Vec<(Version, RecordName)>,
    ends: Vec<Option<(PublishEnd, BlobFate)>>,
    has_collected: bool,
    broken: Option<Broken>,
}

fn terms() -> Terms {
    let millis = Duration::from_millis;
    let raw = RawTerms {
        lease: millis(1),
        fetch_max: millis(1),
        idle: millis(1),
        total: millis(2),
        grace: millis(0),
        linger: millis(2),
        tries_max: 2,
    };
    raw.try_into().expect("idle is fetch_max, total is more")
}

fn name(writer: usize) -> RecordName {
    RecordName(writer as u128)
}

fn record(name: RecordName) -> Arc<Record> {
    let zero = Duration::ZERO;
    Arc::new(Record {
        key: KEY,
        name,
        head: Arc::new(Head { status: 200, fields: [("etag", "x")].into_iter().collect() }),
        length: WHOLE,
        freshness: StoredFreshness { as_of: WallTime::default(), age_then: zero, lifetime: zero },
    })
}

impl World {
    fn new(setup: &Setup) -> Self {
        let (lookup, ask) = Lookup::begin(KEY);
        let (purge, read) = DurablePurge::begin(KEY, terms());
        let mut collector = Collector::new(terms());
        let sweeper = match setup.sweeps.checked_sub(1) {
            Some(left) => Sweeper::Sweeping { ask: collector.begin(), collector, left },
            None => Sweeper::Over,
        };
        Self {
            clock: 10,
            stored: None,
            blobs: BTreeMap::new(),
            delayed: Vec::new(),
            swapping: BTreeMap::new(),
            writers: vec![Writer::Looking(lookup.clone(), ask.clone()); setup.writers],
            readers: vec![Reader::Looking { lookup, ask, floor: 0 }; setup.readers],
            purgers: vec![Purger::Purging { purge, ask: read, number: None }; setup.purgers],
            sweeper,
            budget: setup.budget,
            begun: 0,
            confirmed: 0,
            fetched: vec![0; setup.writers],
            published: Vec::new(),
            ends: vec![None; setup.writers],
            has_collected: false,
            broken: None,
        }
    }

    fn now(&self) -> WallTime {
        WallTime::from_unix_millis(self.clock)
    }

    fn entry(&self) -> Option<&Entry> {
        self.stored.as_ref().map(|stored| &*stored.entry)
    }

    /// What an actor has asked and not been answered.
    fn asked(&self, who: Who) -> Option<&Ask> {
        match who {
            Who::Writer(n) => match &self.writers[n] {
                Writer::Looking(_, ask) => Some(ask),
                Writer::Publishing { ask, .. } => ask.as_ref(),
                Writer::Fetching(_) | Writer::Over => None,
            },
            Who::Reader(n) => match &self.readers[n] {
                Reader::Looking { ask, .. } => Some(ask),
                Reader::Over => None,
            },
            Who::Purger(n) => match &self.purgers[n] {
                Purger::Purging { ask, .. } => Some(ask),
                Purger::Over => None,
            },
            Who::Collector => match &self.sweeper {
                Sweeper::Sweeping { ask, .. } => Some(ask),
                Sweeper::Over => None,
            },
        }
    }

    fn is_over(&self, who: Who) -> bool {
        match who {
            Who::Writer(n) => self.writers[n] == Writer::Over,
            Who::Reader(n) => self.readers[n] == Reader::Over,
            Who::Purger(n) => self.purgers[n] == Purger::Over,
            Who::Collector => self.sweeper == Sweeper::Over,
        }
    }

    fn everybody(&self) -> impl Iterator<Item = Who> {
        (0..self.writers.len())
            .map(Who::Writer)
            .chain((0..self.readers.len()).map(Who::Reader))
            .chain((0..self.purgers.len()).map(Who::Purger))
            .chain([Who::Collector])
    }

    fn delay(&mut self, ask: Option<Ask>) {
        self.delayed.extend(ask.map(|ask| (self.clock, ask)));
    }

    /// No request is done two ticks after it was made: that is what `linger` says of the network.
    fn tick(&mut self) {
        self.clock += 1;
        self.delayed.retain(|(since, _)| self.clock < since + 2);
    }

    fn may_tick(&self) -> bool {
        self.swapping.values().all(|since| *since == self.clock)
    }

    /// What is under way in the network, in an order that means nothing.
    fn settle(&mut self) {
        for who in self.everybody().collect::<Vec<_>>() {
            match self.asked(who) {
                Some(Ask::Swap { .. }) => {
                    self.swapping.entry(who).or_insert(self.clock);
                }
                Some(_) | None => {
                    self.swapping.remove(&who);
                }
            }
        }
        if self.delayed.len() > 1 {
            self.delayed.sort_by_cached_key(|ask| format!("{ask:?}"));
        }
    }

    fn break_rule(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    /// The index and the blob store, doing what they are asked.
    fn execute(&mut self, who: Option<Who>, ask: &Ask, plant: Option<Plant>) -> Told {
        match ask {
            Ask::Read { key: _ } => Told::Entry { found: self.stored.clone(), now: self.now() },
            Ask::Swap { expected, stored } => self.swap(*expected, stored, plant),
            Ask::Touch { key: _, version, expires } => {
                if let Some(stored) = &mut self.stored
                    && stored.entry.version == *version
                {
                    stored.expires = *expires;
                }
                Told::Touched
            }
            Ask::Open { blob } => match self.blobs.get(&blob.name) {
                Some(length) => Told::Opened { length: *length },
                None => Told::NoBlob,
            },
            Ask::Delete { blob } => {
                self.delete(who, blob.name);
                Told::Deleted
            }
            Ask::List { after } => {
                let blobs = self.blobs.keys().map(|name| BlobName { key: KEY, name: *name });
                Told::Listed { blobs: blobs.filter(|blob| Some(*blob) > *after).take(2).collect() }
            }
        }
    }

    fn swap(&mut self, expected: Option<Version>, stored: &Stored, plant: Option<Plant>) -> Told {
        let held = self.entry().map(|entry| entry.version);
        if held != expected && plant != Some(Plant::SwapIgnoresVersion) {
            return Told::Conflict;
        }
        let mut stored = stored.clone();
        if plant == Some(Plant::SwapIgnoresGeneration) {
            let held = self.entry().map_or(Generation::default(), |entry| entry.generation);
            let entry = Arc::make_mut(&mut stored.entry);
            entry.generation = entry.generation.max(held);
        }
        if held >= Some(stored.entry.version) {
            self.break_rule(Broken::Winners);
        }
        if let Some(manifest) = &stored.entry.manifest
            && manifest.version == stored.entry.version
        {
            let (version, name) = (manifest.version, manifest.record.name);
            if self.published.iter().any(|(other, of)| *other >= version || *of == name) {
                self.break_rule(Broken::Winners);
            }
            self.published.push((version, name));
        }
        self.stored = Some(stored);
        Told::Swapped { now: self.now() }
    }

    fn delete(&mut self, who: Option<Who>, blob: RecordName) {
        // A delayed request was judged when it was made; only its writer asks for a blob that is still leased.
        let is_own = who.is_none_or(|who| matches!(who, Who::Writer(n) if name(n) == blob));
        let is_live = |entry: &Entry| {
            entry.names(blob) || entry.lease(blob).is_some_and(|lease| !is_own && self.now() < lease.until)
        };
        let is_foreign = matches!(who, Some(Who::Writer(_))) && !is_own;
        if self.blobs.contains_key(&blob) && (is_foreign || self.entry().is_some_and(is_live)) {
            self.break_rule(Broken::Deleted);
        }
        self.blobs.remove(&blob);
    }

    /// An actor hears the answer to what it asked.
    fn tell(&mut self, who: Who, told: Told, setup: &Setup) {
        self.swapping.remove(&who);
        match who {
            Who::Writer(n) => self.tell_writer(n, told, setup),
            Who::Reader(n) => self.tell_reader(n, told),
            Who::Purger(n) => self.tell_purger(n, told),
            Who::Collector => self.tell_collector(told, setup.plant),
        }
    }

    fn tell_writer(&mut self, n: usize, mut told: Told, setup: &Setup) {
        match std::mem::replace(&mut self.writers[n], Writer::Over) {
            Writer::Looking(mut lookup, _) => match lookup.on_told(told, &terms()) {
                LookupStep::Ask(ask) => self.writers[n] = Writer::Looking(lookup, ask),
                LookupStep::Done(looked) => {
                    self.delay(looked.besides);
                    let is_served = matches!(looked.outcome, LookedFor::Hit(_)) && !setup.is_stale;
                    if let (false, Some(seen)) = (is_served, looked.seen) {
                        self.fetched[n] = self.begun;
                        self.writers[n] = Writer::Fetching(seen);
                    }
                }
            },
            Writer::Publishing { mut publish, ask, is_uploading } => {
                let is_swap_to_ours =
                    matches!(&ask, Some(Ask::Swap { stored, .. }) if stored.entry.names(name(n)));
                if setup.plant == Some(Plant::DeletesOnUnknown) && is_swap_to_ours && told == Told::Unknown {
                    return self.delete(None, name(n));
                }
                if let (Some(Plant::SwapIgnoresGeneration), Told::Entry { found: Some(stored), .. }) =
                    (setup.plant, &mut told)
                {
                    Arc::make_mut(&mut stored.entry).generation = Generation::default();
                }
                let step = publish.on_told(told);
                self.take_step(n, publish, is_uploading, step);
            }
            Writer::Fetching(_) | Writer::Over => unreachable!("this writer asked nothing"),
        }
    }

    fn open_upload(&mut self, n: usize) {
        let Writer::Fetching(seen) = std::mem::replace(&mut self.writers[n], Writer::Over) else {
            unreachable!("an upload follows a fetch")
        };
        let elapsed = self.now().since(seen.now);
        let (publish, step) = Publish::begin(name(n), seen, elapsed, terms());
        self.take_step(n, publish, false, step);
    }

    fn take_step(&mut self, n: usize, publish: Publish, is_uploading: bool, step: PublishStep) {
        self.writers[n] = match step {
            PublishStep::Wait => Writer::Publishing { publish, ask: None, is_uploading },
            PublishStep::Ask(ask) => Writer::Publishing { publish, ask: Some(ask), is_uploading },
            PublishStep::Upload => {
                self.blobs.insert(name(n), PARTIAL);
                Writer::Publishing { publish, ask: None, is_uploading: true }
            }
            PublishStep::Ended(end, fate) => {
                self.on_end(n, end, fate);
                Writer::Over
            }
        };
    }

    /// What a machine says of its end must be so.
    fn on_end(&mut self, n: usize, end: PublishEnd, fate: BlobFate) {
        let was_published = self.published.iter().find(|(_, of)| *of == name(n));
        let is_true = match (end, fate) {
            (PublishEnd::Won { version }, BlobFate::Named) => was_published == Some(&(version, name(n))),
            (PublishEnd::Won { .. }, _) | (_, BlobFate::Named) => false,
            (PublishEnd::Lost { winner }, _) if winner == name(n) => false,
            (_, BlobFate::Deleted) => !self.blobs.contains_key(&name(n)),
            (_, BlobFate::NotBegun) => was_published.is_none() && !self.blobs.contains_key(&name(n)),
            (_, BlobFate::Left) => true,
        };
        if !is_true {
            self.break_rule(Broken::WrongEnd);
        }
        self.ends[n] = Some((end, fate));
    }

    fn tell_reader(&mut self, n: usize, told: Told) {
        let Reader::Looking { mut lookup, ask, mut floor } =
            std::mem::replace(&mut self.readers[n], Reader::Over)
        else {
            unreachable!("a reader that is over asked nothing")
        };
        if matches!(ask, Ask::Read { .. }) {
            floor = self.confirmed;
        }
        match lookup.on_told(told, &terms()) {
            LookupStep::Ask(ask) => self.readers[n] = Reader::Looking { lookup, ask, floor },
            LookupStep::Done(looked) => {
                self.delay(looked.besides);
                if let LookedFor::Hit(manifest) = looked.outcome
                    && self.fetched_at(manifest.record.name) < floor
                {
                    self.break_rule(Broken::Resurrected);
                }
            }
        }
    }

    fn fetched_at(&self, name: RecordName) -> u8 {
        self.fetched[usize::try_from(name.0).expect("names are the writers' numbers")]
    }

    fn tell_purger(&mut self, n: usize, told: Told) {
        let Purger::Purging { mut purge, number, .. } = std::mem::replace(&mut self.purgers[n], Purger::Over)
        else {
            unreachable!("a purger that is over asked nothing")
        };
        let number = number.unwrap_or_else(|| {
            self.begun += 1;
            self.begun
        });
        match purge.on_told(told) {
            PurgeStep::Ask(ask) => self.purgers[n] = Purger::Purging { purge, ask, number: Some(number) },
            PurgeStep::Ended(PurgeEnd::Removed(_) | PurgeEnd::Absent) => {
                self.confirmed = self.confirmed.max(number);
            }
            PurgeStep::Ended(PurgeEnd::Failed) => {}
        }
    }

    fn tell_collector(&mut self, mut told: Told, plant: Option<Plant>) {
        let Sweeper::Sweeping { mut collector, left, .. } =
            std::mem::replace(&mut self.sweeper, Sweeper::Over)
        else {
            unreachable!("a collector that is over asked nothing")
        };
        if let (Some(Plant::CollectorIgnoresLeases), Told::Entry { found: Some(stored), .. }) =
            (plant, &mut told)
        {
            Arc::make_mut(&mut stored.entry).leases.clear();
        }
        self.sweeper = match (collector.on_told(told), left.checked_sub(1)) {
            (CollectStep::Ask(ask), _) => Sweeper::Sweeping { collector, ask, left },
            (CollectStep::Ended(collected), next) => {
                self.has_collected |= collected.deleted > 0;
                match next {
                    Some(left) => Sweeper::Sweeping { ask: collector.begin(), collector, left },
                    None => Sweeper::Over,
                }
            }
        };
    }

    fn crash(&mut self, who: Who) {
        match who {
            Who::Writer(n) => self.writers[n] = Writer::Over,
            Who::Reader(n) => self.readers[n] = Reader::Over,
            Who::Purger(n) => self.purgers[n] = Purger::Over,
            Who::Collector => self.sweeper = Sweeper::Over,
        }
    }

    /// Something other than an answer happens to an upload.
    fn poke(&mut self, n: usize, is_uploading: bool, step: impl FnOnce(&mut Publish) -> PublishStep) {
        let Writer::Publishing { mut publish, ask, .. } =
            std::mem::replace(&mut self.writers[n], Writer::Over)
        else {
            unreachable!("only uploads are poked")
        };
        match step(&mut publish) {
            PublishStep::Wait => self.writers[n] = Writer::Publishing { publish, ask, is_uploading },
            step @ (PublishStep::Ask(_) | PublishStep::Ended(..)) => {
                assert_eq!(ask, None, "one question at a time");
                self.take_step(n, publish, is_uploading, step);
            }
            PublishStep::Upload => unreachable!("an upload begins with an answer"),
        }
    }

    /// Is nobody doing anything? Delayed requests may still be done, or not.
    fn is_quiet(&self) -> bool {
        self.everybody().all(|who| self.is_over(who))
    }

    /// Once all leases ran out, one sweep without faults leaves the named blob and no other (D4).
    fn is_reclaimed_by_a_sweep(&self) -> bool {
        let mut later = self.clone();
        // What is stored shall not expire meanwhile: only orphans may go.
        if let Some(stored) = &mut later.stored {
            later.clock = 1_000;
            stored.expires = WallTime::from_unix_millis(2_000);
        }
        let mut collector = Collector::new(terms());
        let mut ask = collector.begin();
        loop {
            let told = later.execute(Some(Who::Collector), &ask, None);
            match collector.on_told(told) {
                CollectStep::Ask(next) => ask = next,
                CollectStep::Ended(_) => break,
            }
        }
        let named = |blob: &RecordName| later.entry().is_some_and(|entry| entry.names(*blob));
        later.broken == self.broken && later.blobs.keys().all(named)
    }
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        let budget = world.budget;
        for who in world.everybody() {
            if let Some(ask) = world.asked(who) {
                actions.push(Action::Answer(who));
                if budget.losses > 0 {
                    let changes = matches!(ask, Ask::Swap { .. } | Ask::Delete { .. });
                    actions.push(Action::LoseAnswer(who));
                    if changes {
                        actions.extend([Action::AnswerTwice(who), Action::Delay(who)]);
                    }
                }
            }
            if budget.crashes > 0 && !world.is_over(who) {
                actions.push(Action::Crash(who));
            }
        }
        actions.extend((0..world.delayed.len()).map(Action::Arrive));
        for (n, writer) in world.writers.iter().enumerate() {
            if let Writer::Fetching(_) = writer {
                actions.push(Action::Open(n));
            }
            if let Writer::Publishing { is_uploading: true, ask, .. } = writer {
                actions.push(Action::Finish(n));
                if budget.breaks > 0 {
                    actions.push(Action::Break(n));
                }
                if budget.renewals > 0 && ask.is_none() {
                    actions.push(Action::Renew(n));
                }
            }
        }
        if budget.ticks > 0 && world.may_tick() {
            actions.push(Action::Tick);
        }
        let forgets = self.plant == Some(Plant::IndexForgetsPurges);
        if world
            .stored
            .as_ref()
            .is_some_and(|stored| forgets || terms().droppable_at(stored.expires) <= world.now())
        {
            actions.push(Action::Expire);
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        let asked = |who| before.asked(who).cloned().expect("offered for those who asked");
        match action {
            Action::Answer(who) => {
                let told = world.execute(Some(who), &asked(who), self.plant);
                world.tell(who, told, self);
            }
            Action::AnswerTwice(who) => {
                world.budget.losses -= 1;
                world.delay(Some(asked(who)));
                let told = world.execute(Some(who), &asked(who), self.plant);
                world.tell(who, told, self);
            }
            Action::LoseAnswer(who) => {
                world.budget.losses -= 1;
                world.execute(Some(who), &asked(who), self.plant);
                world.tell(who, Told::Unknown, self);
            }
            Action::Delay(who) => {
                world.budget.losses -= 1;
                world.delay(Some(asked(who)));
                world.tell(who, Told::Unknown, self);
            }
            Action::Arrive(at) => {
                let (_, ask) = world.delayed.remove(at);
                world.execute(None, &ask, self.plant);
            }
            Action::Crash(who) => {
                world.budget.crashes -= 1;
                world.crash(who);
            }
            Action::Open(n) => world.open_upload(n),
            Action::Finish(n) => {
                if self.plant != Some(Plant::ManifestBeforeBlob) && world.blobs.contains_key(&name(n)) {
                    world.blobs.insert(name(n), WHOLE);
                }
                let completed = Completed { record: record(name(n)), digest: BodyDigest(1) };
                world.poke(n, false, |publish| publish.on_complete(completed));
            }
            Action::Break(n) => {
                world.budget.breaks -= 1;
                world.poke(n, false, Publish::on_abandoned);
            }
            Action::Renew(n) => {
                world.budget.renewals -= 1;
                world.poke(n, true, Publish::on_renewal_due);
            }
            Action::Tick => {
                world.budget.ticks -= 1;
                world.tick();
            }
            Action::Expire => world.stored = None,
        }
        world.settle();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(WHOLE_BLOBS, |_, world: &World| {
                world.entry().and_then(|entry| entry.manifest.as_ref()).is_none_or(|manifest| {
                    world.blobs.get(&manifest.record.name) == Some(&manifest.record.length)
                })
            }),
            Property::always(ONE_WINNER, |_, world: &World| world.broken != Some(Broken::Winners)),
            Property::always(DELETED, |_, world: &World| world.broken != Some(Broken::Deleted)),
            Property::always("ends are told as they are", |_, world: &World| {
                world.broken != Some(Broken::WrongEnd)
            }),
            Property::always("F1: nothing from before a confirmed purge is served", |_, world: &World| {
                world.broken != Some(Broken::Resurrected)
            }),
            Property::always(PURGED_IS_GONE, |_, world: &World| {
                world.entry().and_then(|entry| entry.manifest.as_ref()).is_none_or(|manifest| {
                    world.now() >= world.stored.as_ref().expect("it has an entry").expires
                        || world.fetched_at(manifest.record.name) >= world.confirmed
                })
            }),
            Property::always("D4: every orphan is reclaimed", |_, world: &World| {
                !world.is_quiet() || world.is_reclaimed_by_a_sweep()
            }),
            Property::sometimes("a writer wins", |_, world: &World| {
                world.ends.iter().flatten().any(|(end, _)| matches!(end, PublishEnd::Won { .. }))
            }),
        ];
        if self.writers > 1 && !self.is_stale {
            properties.push(Property::sometimes("a writer loses and deletes its own", |_, world: &World| {
                let lost = |(end, fate): &(PublishEnd, BlobFate)| {
                    matches!(end, PublishEnd::Lost { .. }) && *fate == BlobFate::Deleted
                };
                world.ends.iter().flatten().any(lost)
            }));
        }
        if self.purgers > 0 {
            properties.push(Property::sometimes("a purge stops an upload", |_, world: &World| {
                world.ends.contains(&Some((PublishEnd::Purged, BlobFate::Deleted)))
            }));
        }
        if self.sweeps > 0 && self.budget.crashes > 0 {
            properties
                .push(Property::sometimes("the collector reclaims", |_, world: &World| world.has_collected));
        }
        properties
    }
}

const WHOLE_BLOBS: &str = "D2: what is named is whole";
const ONE_WINNER: &str = "CON1: one winner for each version";
const DELETED: &str = "T8: nobody deletes what is named or leased";
const PURGED_IS_GONE: &str = "F1: nothing from before a confirmed purge is visible";

const CALM: Budget = Budget { losses: 0, crashes: 0, ticks: 0, renewals: 0, breaks: 0 };

const ALONE: Setup =
    Setup { writers: 1, readers: 0, purgers: 0, sweeps: 0, budget: CALM, is_stale: false, plant: None };

/// Everything holds, in as many different states as there are at least.
#[track_caller]
fn holds(setup: Setup) {
    let checker = setup.checker().spawn_bfs().join();
    println!("{} states, {} steps deep", checker.unique_state_count(), checker.max_depth());
    let discoveries = checker.discoveries();
    for property in checker.model().properties() {
        match (property.expectation, discoveries.get(property.name)) {
            (Expectation::Always, None) | (Expectation::Sometimes, Some(_)) => {}
            (Expectation::Always, Some(path)) => {
                // The states on the way are too long to read; the steps lead there again.
                let steps = path.clone().into_actions();
                panic!("`{}` is broken by {steps:#?}", property.name);
            }
            (Expectation::Sometimes, None) => panic!("`{}` never happened", property.name),
            (Expectation::Eventually, _) => unreachable!("no such rule here"),
        }
    }
}

/// The planted fault breaks this rule, and the machines without it do not.
#[track_caller]
fn finds(plant: Plant, rule: &'static str, setup: Setup) {
    let planted = Setup { plant: Some(plant), ..setup };
    let found = HasDiscoveries::AnyOf([rule].into());
    let checker = planted.checker().finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(rule);
    println!("{plant:?} found after {} states: {:?}", checker.unique_state_count(), path.into_actions());
}

/// Two writers of one key, with every loss, crash and broken upload: one wins, or none.
#[test]
fn two_writers_have_one_winner() {
    let budget = Budget { losses: 2, crashes: 1, breaks: 1, ..CALM };
    holds(Setup { writers: 2, budget, ..ALONE });
}

/// Three writers race, one answer is lost.
#[test]
fn three_writers_have_one_winner() {
    holds(Setup { writers: 3, budget: Budget { losses: 1, ..CALM }, ..ALONE });
}

/// Writers that replace what they found stale or expired: the old manifest never blocks them (failure F6).
#[test]
fn stale_manifests_are_replaced() {
    let budget = Budget { losses: 1, ticks: 4, ..CALM };
    holds(Setup { writers: 2, is_stale: true, budget, ..ALONE });
}

/// A purge races a writer while leases, manifests and the purge's own memory run out: nothing old comes back.
#[test]
fn purges_are_final() {
    let budget = Budget { losses: 2, ticks: 4, ..CALM };
    holds(Setup { purgers: 1, budget, ..ALONE });
}

/// Two purges at once, and two writers.
#[test]
fn purges_beside_each_other_are_final() {
    holds(Setup { writers: 2, purgers: 2, ..ALONE });
}

/// The collector beside a slow upload whose lease runs out, is renewed or not, and whose writer may crash.
#[test]
fn the_collector_deletes_orphans_only() {
    let budget = Budget { losses: 1, crashes: 1, ticks: 4, renewals: 1, ..CALM };
    holds(Setup { sweeps: 1, budget, ..ALONE });
}

/// The collector between two writers of which the second replaces what the first stored.
#[test]
fn the_collector_follows_replacements() {
    let budget = Budget { ticks: 2, ..CALM };
    holds(Setup { writers: 2, sweeps: 1, is_stale: true, budget, ..ALONE });
}

/// Everybody at once.
#[test]
fn all_hold_together() {
    let budget = Budget { crashes: 1, ticks: 2, ..CALM };
    holds(Setup { readers: 1, purgers: 1, sweeps: 1, budget, ..ALONE });
}

/// Each fault breaks the rule that it should, on the same machines.
#[test]
fn planted_faults_are_found() {
    let collecting = Setup { sweeps: 1, ..ALONE };
    finds(Plant::CollectorIgnoresLeases, DELETED, collecting.clone());
    finds(Plant::CollectorIgnoresLeases, WHOLE_BLOBS, collecting);
    let losing = Setup { budget: Budget { losses: 1, ..CALM }, ..ALONE };
    finds(Plant::DeletesOnUnknown, WHOLE_BLOBS, losing);
    let purging = Setup { purgers: 1, ..ALONE };
    finds(Plant::SwapIgnoresGeneration, PURGED_IS_GONE, purging.clone());
    finds(Plant::IndexForgetsPurges, PURGED_IS_GONE, purging);
    finds(Plant::SwapIgnoresVersion, ONE_WINNER, Setup { writers: 2, ..ALONE });
    finds(Plant::ManifestBeforeBlob, WHOLE_BLOBS, ALONE);
}
