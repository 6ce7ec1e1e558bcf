//! Everything that there is: the index, the blob store and the network, imitated, and the actors, which are
//! the real machines with what they asked last. A [`World`] steps only when it is told to; which steps there
//! are, and what must hold after each, stands in `main.rs`.

use crate::{Budget, Plant, Setup};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tiergate_engine::{
    ByteCount, CacheKey, Head, Record, RecordName, StoredFreshness, WallTime,
    durable::{
        Ask, BlobFate, BlobName, BodyDigest, CollectStep, Collector, Completed, DurablePurge, Entry,
        Generation, LookedFor, Lookup, LookupStep, Manifest, Publish, PublishEnd, PublishStep, PurgeEnd,
        PurgeStep, RawTerms, Seen, Stored, Terms, Told, Version,
    },
};

pub(crate) const KEY: CacheKey = CacheKey(7);
/// How long a whole body is. A partial one is shorter.
pub(crate) const WHOLE: ByteCount = ByteCount(2);
pub(crate) const PARTIAL: ByteCount = ByteCount(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Who {
    Writer(usize),
    Reader(usize),
    Purger(usize),
    Collector,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::large_enum_variant,
    reason = "a box for each of a few actors would only slow the search down"
)]
pub(crate) enum Writer {
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
pub(crate) enum Reader {
    /// `floor`: what was confirmed as purged when the index was asked.
    Looking {
        lookup: Lookup,
        ask: Ask,
        floor: u8,
    },
    /// The origin has said that what was found still holds.
    Freshening(Ask),
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::large_enum_variant,
    reason = "a box for each of a few actors would only slow the search down"
)]
pub(crate) enum Purger {
    /// `number`: which of all purges, counted when the index was first asked.
    Purging {
        purge: DurablePurge,
        ask: Ask,
        number: Option<u8>,
    },
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::large_enum_variant,
    reason = "a box for each of a few actors would only slow the search down"
)]
pub(crate) enum Sweeper {
    Sweeping { collector: Collector, ask: Ask, left: u8 },
    Over,
}

/// A rule that was broken by a step, rather than by a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    /// Two manifests under one version, a version that did not rise, a name published twice, or one that came
    /// back.
    Winners,
    /// A writer deleted another's blob, or anybody one that is named or leased to an upload.
    Deleted,
    /// A writer was told that it won, or that its blob is gone, and it is not so.
    WrongEnd,
    /// A lookup went on to what the index had let expire.
    Expired,
    /// A lookup led to something from before a purge that was confirmed when it began.
    Resurrected,
}

/// Everything that there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) clock: u64,
    pub(crate) stored: Option<Stored>,
    pub(crate) blobs: BTreeMap<RecordName, ByteCount>,
    /// Requests that may still be done, or never, and when they were made.
    pub(crate) delayed: Vec<(u64, Ask)>,
    /// Since when each actor's swap is under way.
    pub(crate) swapping: BTreeMap<Who, u64>,
    pub(crate) writers: Vec<Writer>,
    pub(crate) readers: Vec<Reader>,
    pub(crate) purgers: Vec<Purger>,
    pub(crate) sweeper: Sweeper,
    pub(crate) budget: Budget,
    /// Purges begun, and the latest of those confirmed.
    pub(crate) begun: u8,
    pub(crate) confirmed: u8,
    /// How many purges had begun when each writer's fetch did.
    pub(crate) fetched: Vec<u8>,
    /// Every manifest ever visible.
    pub(crate) published: Vec<(Version, RecordName)>,
    pub(crate) ends: Vec<Option<(PublishEnd, BlobFate)>>,
    pub(crate) has_collected: bool,
    pub(crate) broken: Option<Broken>,
}

pub(crate) fn terms() -> Terms {
    let millis = Duration::from_millis;
    let raw = RawTerms {
        lease: millis(1),
        fetch_max: millis(3),
        idle: millis(3),
        total: millis(4),
        grace: millis(0),
        linger: millis(2),
        tries_max: 2,
    };
    raw.try_into().expect("idle is fetch_max, total is more")
}

pub(crate) fn name(writer: usize) -> RecordName {
    RecordName(writer as u128)
}

pub(crate) fn record(name: RecordName) -> Arc<Record> {
    let zero = Duration::ZERO;
    Arc::new(Record {
        key: KEY,
        target: KEY,
        name,
        head: Arc::new(Head { status: 200, fields: [("etag", "x")].into_iter().collect() }),
        length: WHOLE,
        freshness: StoredFreshness { as_of: WallTime::default(), age_then: zero, lifetime: zero },
    })
}

/// What a writer has fetched: with its bytes, or with a blob that has them.
pub(crate) fn completed(n: usize, is_in_row: bool) -> Completed {
    let in_row = is_in_row.then(|| [u8::try_from(n).expect("a few writers")].to_vec().into());
    Completed { record: record(name(n)), digest: BodyDigest(1), in_row }
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
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

    pub(crate) fn now(&self) -> WallTime {
        WallTime::from_unix_millis(self.clock)
    }

    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.stored.as_ref().map(|stored| &*stored.entry)
    }

    /// What an actor has asked and not been answered.
    pub(crate) fn asked(&self, who: Who) -> Option<&Ask> {
        match who {
            Who::Writer(n) => match &self.writers[n] {
                Writer::Looking(_, ask) => Some(ask),
                Writer::Publishing { ask, .. } => ask.as_ref(),
                Writer::Fetching(_) | Writer::Over => None,
            },
            Who::Reader(n) => match &self.readers[n] {
                Reader::Looking { ask, .. } | Reader::Freshening(ask) => Some(ask),
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

    pub(crate) fn is_over(&self, who: Who) -> bool {
        match who {
            Who::Writer(n) => self.writers[n] == Writer::Over,
            Who::Reader(n) => self.readers[n] == Reader::Over,
            Who::Purger(n) => self.purgers[n] == Purger::Over,
            Who::Collector => self.sweeper == Sweeper::Over,
        }
    }

    pub(crate) fn everybody(&self) -> impl Iterator<Item = Who> {
        (0..self.writers.len())
            .map(Who::Writer)
            .chain((0..self.readers.len()).map(Who::Reader))
            .chain((0..self.purgers.len()).map(Who::Purger))
            .chain([Who::Collector])
    }

    pub(crate) fn delay(&mut self, ask: Option<Ask>) {
        self.delayed.extend(ask.map(|ask| (self.clock, ask)));
    }

    /// No request is done two ticks after it was made: that is what `linger` says of the network.
    pub(crate) fn tick(&mut self, plant: Option<Plant>) {
        self.clock += 1;
        if plant != Some(Plant::RequestsOutliveEntries) {
            self.delayed.retain(|(since, _)| self.clock < since + 2);
        }
    }

    pub(crate) fn may_tick(&self) -> bool {
        self.swapping.values().all(|since| *since == self.clock)
    }

    /// What is under way in the network, in an order that means nothing.
    pub(crate) fn settle(&mut self) {
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

    pub(crate) fn break_rule(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    /// The index and the blob store, doing what they are asked.
    pub(crate) fn execute(&mut self, who: Option<Who>, ask: &Ask, plant: Option<Plant>) -> Told {
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

    pub(crate) fn swap(&mut self, expected: Option<Version>, stored: &Stored, plant: Option<Plant>) -> Told {
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
        } else if let Some(manifest) = &stored.entry.manifest {
            let before = self.entry().and_then(|entry| entry.manifest.as_ref());
            let is_it =
                |before: &Manifest| (before.version, before.blob()) == (manifest.version, manifest.blob());
            if !before.is_some_and(is_it) && plant != Some(Plant::SwapIgnoresVersion) {
                self.break_rule(Broken::Winners);
            }
        }
        self.stored = Some(stored);
        Told::Swapped { now: self.now() }
    }

    pub(crate) fn delete(&mut self, who: Option<Who>, blob: RecordName) {
        // A delayed request was judged when it was made; only its writer asks for a blob that is still
        // leased.
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
    pub(crate) fn tell(&mut self, who: Who, told: Told, setup: &Setup) {
        self.swapping.remove(&who);
        match who {
            Who::Writer(n) => self.tell_writer(n, told, setup),
            Who::Reader(n) => self.tell_reader(n, told, setup),
            Who::Purger(n) => self.tell_purger(n, told),
            Who::Collector => self.tell_collector(told, setup.plant),
        }
    }

    pub(crate) fn tell_writer(&mut self, n: usize, mut told: Told, setup: &Setup) {
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

    pub(crate) fn open_upload(&mut self, n: usize, is_in_row: bool) {
        let Writer::Fetching(seen) = std::mem::replace(&mut self.writers[n], Writer::Over) else {
            unreachable!("an upload follows a fetch")
        };
        let elapsed = self.now().since(seen.now);
        let (publish, step) = if is_in_row {
            Publish::begin_in_row(completed(n, true), seen, elapsed, terms())
        } else {
            Publish::begin(name(n), seen, elapsed, terms())
        };
        self.take_step(n, publish, false, step);
    }

    pub(crate) fn take_step(&mut self, n: usize, publish: Publish, is_uploading: bool, step: PublishStep) {
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
    pub(crate) fn on_end(&mut self, n: usize, end: PublishEnd, fate: BlobFate) {
        let was_published = self.published.iter().find(|(_, of)| *of == name(n));
        let is_true = match (end, fate) {
            (PublishEnd::Won { version }, BlobFate::Named | BlobFate::InRow) => {
                was_published == Some(&(version, name(n)))
            }
            (PublishEnd::Won { .. }, _) | (_, BlobFate::Named) => false,
            (PublishEnd::Lost { winner }, _) if winner == name(n) => false,
            (_, BlobFate::Deleted) => !self.blobs.contains_key(&name(n)),
            (_, BlobFate::NotBegun) => was_published.is_none() && !self.blobs.contains_key(&name(n)),
            // Its swap may be under way still, where its fate is unknown; a blob it never had.
            (_, BlobFate::InRow) => !self.blobs.contains_key(&name(n)),
            (_, BlobFate::Left) => true,
        };
        if !is_true {
            self.break_rule(Broken::WrongEnd);
        }
        self.ends[n] = Some((end, fate));
    }

    pub(crate) fn tell_reader(&mut self, n: usize, told: Told, setup: &Setup) {
        let (mut lookup, ask, mut floor) = match std::mem::replace(&mut self.readers[n], Reader::Over) {
            Reader::Looking { lookup, ask, floor } => (lookup, ask, floor),
            Reader::Freshening(_) => return,
            Reader::Over => unreachable!("a reader that is over asked nothing"),
        };
        if matches!(ask, Ask::Read { .. }) {
            floor = self.confirmed;
        }
        match lookup.on_told(told, &terms()) {
            LookupStep::Ask(ask) => {
                if self.stored.as_ref().is_none_or(|stored| stored.expires <= self.now()) {
                    self.break_rule(Broken::Expired);
                }
                self.readers[n] = Reader::Looking { lookup, ask, floor };
            }
            LookupStep::Done(looked) => {
                self.delay(looked.besides);
                if let (LookedFor::Hit(manifest), Some(seen)) = (looked.outcome, looked.seen) {
                    if self.fetched_at(manifest.record.name) < floor {
                        self.break_rule(Broken::Resurrected);
                    }
                    if setup.freshens {
                        let mut record = Record::clone(&manifest.record);
                        record.freshness.as_of = self.now();
                        let elapsed = self.now().since(seen.now);
                        let ask = seen.freshen(Arc::new(record), elapsed, &terms());
                        self.readers[n] = ask.map_or(Reader::Over, Reader::Freshening);
                    }
                }
            }
        }
    }

    pub(crate) fn fetched_at(&self, name: RecordName) -> u8 {
        self.fetched[usize::try_from(name.0).expect("names are the writers' numbers")]
    }

    pub(crate) fn tell_purger(&mut self, n: usize, told: Told) {
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

    pub(crate) fn tell_collector(&mut self, mut told: Told, plant: Option<Plant>) {
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

    pub(crate) fn crash(&mut self, who: Who) {
        match who {
            Who::Writer(n) => self.writers[n] = Writer::Over,
            Who::Reader(n) => self.readers[n] = Reader::Over,
            Who::Purger(n) => self.purgers[n] = Purger::Over,
            Who::Collector => self.sweeper = Sweeper::Over,
        }
    }

    /// Something other than an answer happens to an upload.
    pub(crate) fn poke(
        &mut self,
        n: usize,
        is_uploading: bool,
        step: impl FnOnce(&mut Publish) -> PublishStep,
    ) {
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
    pub(crate) fn is_quiet(&self) -> bool {
        self.everybody().all(|who| self.is_over(who))
    }

    /// Once all leases ran out, one sweep without faults leaves the named blob and no other (D4).
    pub(crate) fn is_reclaimed_by_a_sweep(&self) -> bool {
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
