//! The store on a device, and the index that decides like it over sizes, hold the same objects at every step.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tiergate_engine::{
    ByteCount, BytesWritten, LogIndex, Random, RecordName, Seed, StoredKey, format,
    store::{Effect, Event, Geometry, Input, Op, RawGeometry, Reader, Store, Writer},
};
use tiergate_sim::disk::objects::{Version, key};

/// A store whose device does at once what it is asked, one thing after the other, and never fails.
struct Disk {
    store: Store,
    geometry: Geometry,
    chunk: usize,
    bytes: Vec<u8>,
    asked: u64,
    held: BTreeMap<StoredKey, RecordName>,
}

impl Disk {
    fn new(geometry: Geometry, chunk: usize, seed: Seed) -> Self {
        let bytes = vec![0; usize::try_from(geometry.capacity().0).expect("a small device")];
        let store = Store::new(geometry, seed);
        let mut disk = Self { store, geometry, chunk, bytes, asked: 0, held: BTreeMap::new() };
        let events = disk.tell(Input::Recover);
        assert!(matches!(events[..], [Event::Recovered { objects: 0, .. }]), "{events:?}");
        disk
    }

    /// Says something, and does what the store asks for until it asks for nothing. Hands over what it
    /// answered.
    fn tell(&mut self, input: Input) -> Vec<Event> {
        let (mut inputs, mut effects, mut events) = (VecDeque::from([input]), VecDeque::new(), Vec::new());
        while let Some(input) = inputs.pop_front() {
            self.store.handle(input);
            effects.extend(std::iter::from_fn(|| self.store.poll_effect()));
            events.extend(std::iter::from_fn(|| self.store.poll_event()));
            inputs.extend(effects.pop_front().map(|effect| self.run(effect)));
        }
        for event in &events {
            if let Event::Dropped { key, .. } = event {
                assert!(self.held.remove(key).is_some(), "{key} is dropped and was not there");
            }
        }
        events
    }

    fn run(&mut self, effect: Effect) -> Input {
        let at = |segment: u32, offset: u64, length: u64| {
            let begin = u64::from(segment) * self.geometry.segment_bytes() + offset;
            let place = |bytes: u64| usize::try_from(bytes).expect("a small device");
            place(begin)..place(begin + length)
        };
        match effect {
            Effect::Read { io, segment, offset, length, check } => {
                let bytes = Bytes::copy_from_slice(&self.bytes[at(segment, offset, length)]);
                Input::ReadDone { io, checked: check.run(bytes) }
            }
            Effect::Write { io, segment, offset, blocks } => {
                let bytes = blocks.seal();
                self.bytes[at(segment, offset, bytes.len() as u64)].copy_from_slice(&bytes);
                Input::Done { io }
            }
            Effect::Sync { io } => Input::Done { io },
        }
    }

    fn op(&mut self) -> Op {
        self.asked += 1;
        Op(self.asked)
    }

    /// Writes an object in small chunks. What its head takes is the answer.
    fn insert(&mut self, key: StoredKey, version: Version) -> usize {
        let (record, writer) = (version.record(key), Writer(version.number));
        self.tell(Input::Begin { writer, key, name: version.name() });
        let mut body = version.body();
        while !body.is_empty() {
            let chunk = body.split_to(body.len().min(self.chunk));
            let op = self.op();
            let events = self.tell(Input::Append { op, writer, chunk });
            assert!(events.contains(&Event::Appended { op }), "{events:?}");
        }
        let head_bytes = format::encode(&record).len();
        let op = self.op();
        // What the commit itself pushes out is told of before the answer is looked at.
        self.held.insert(key, version.name());
        let events = self.tell(Input::Commit { op, writer, record });
        assert!(events.contains(&Event::Committed { op }), "{events:?}");
        self.tell(Input::Discard { writer });
        head_bytes
    }

    /// Is the object there? That is a use of it.
    fn use_of(&mut self, key: StoredKey) -> bool {
        let (op, reader) = (self.op(), Reader(self.asked));
        let events = self.tell(Input::Lookup { op, reader, key });
        self.tell(Input::Release { reader });
        let found = events.iter().any(|event| matches!(event, Event::Found { .. }));
        assert!(found || events.contains(&Event::Absent { op }), "{events:?}");
        found
    }

    /// Takes away what has this name, or all of the target.
    fn delete(&mut self, key: StoredKey, name: Option<RecordName>) {
        let op = self.op();
        let events = self.tell(Input::Delete { op, key, name });
        assert!(events.iter().any(|event| matches!(event, Event::Deleted { .. })), "{events:?}");
        self.held.retain(|other, held| name.map_or(other.target != key.target, |name| *held != name));
    }

    fn written(&self) -> BytesWritten {
        let counts = self.store.counts();
        BytesWritten { appended: counts.appended, moved: counts.moved, marks: counts.marks }
    }
}

/// A key that few others are as often asked for as, one of two variants.
fn zipf(random: &mut Random) -> StoredKey {
    let rank = (1 << random.below(10)) + random.below(64);
    key(rank, random.below(6) / 5)
}

/// A history, of so many steps.
struct Plan {
    geometry: Geometry,
    seed: u64,
    steps: u64,
    /// Bodies are below the first of these more than half the time, and as large as the last in one of 64
    /// cases.
    lengths: [u64; 5],
    /// Bytes that are appended at once.
    chunk: usize,
}

impl Plan {
    fn length(&self, random: &mut Random) -> usize {
        let most = match random.below(64) {
            0 => return usize::try_from(self.lengths[4]).expect("it is small"),
            1..4 => self.lengths[3],
            4..12 => self.lengths[2],
            12..28 => self.lengths[1],
            _ => self.lengths[0],
        };
        usize::try_from(random.below(most)).expect("it is small")
    }
}

/// One history of lookups, fills, deletions and purges.
fn compare(plan: &Plan) -> BytesWritten {
    let Plan { geometry, seed, steps, .. } = *plan;
    let mut disk = Disk::new(geometry, plan.chunk, Seed(seed));
    let mut index = LogIndex::new(geometry, Seed(seed));
    let mut random = Seed(seed).split("compare");
    for step in 0..steps {
        let key = zipf(&mut random);
        match random.below(100) {
            0 => {
                disk.delete(key, None);
                index.remove_target(key.target);
            }
            1 => {
                let name = disk.held.get(&key).copied();
                disk.delete(key, Some(name.unwrap_or(RecordName(1))));
                index.remove(key);
            }
            _ => {
                let is_there = index.use_of(key).is_some();
                assert_eq!(disk.use_of(key), is_there, "seed {seed}, step {step}: {key}");
                if !is_there || random.chance(1, 20) {
                    let version = Version { number: step, length: plan.length(&mut random), freshened: 0 };
                    let head_bytes = disk.insert(key, version);
                    let body = ByteCount(version.length as u64);
                    index.insert(key, head_bytes, body, ()).expect("every object fits");
                }
            }
        }
        index.take_left();
        let held: BTreeSet<StoredKey> = disk.held.keys().copied().collect();
        let indexed: BTreeSet<StoredKey> = index.iter().map(|(key, ())| key).collect();
        let differ: Vec<_> = held.symmetric_difference(&indexed).collect();
        assert!(differ.is_empty(), "seed {seed}, step {step}: only one has {differ:?}");
        assert_eq!(disk.store.objects(), index.len());
        assert_eq!(disk.store.used(), index.used());
        assert_eq!(disk.written(), index.written(), "seed {seed}, step {step}");
    }
    index.written()
}

/// After every step of a history the store and the index hold the same, and have written the same.
#[test]
fn the_index_decides_as_the_store_does() {
    for (segments, seed) in [(16, 1), (20, 2), (28, 3)] {
        let raw =
            RawGeometry { segments, segment_bytes: 32 * 1_024, sector_bytes: 512, block_bytes: 4 * 512 };
        let geometry = Geometry::try_from(raw).expect("the bounds hold");
        let lengths = [200, 1_000, 2_500, 8_000, 20_000];
        let written = compare(&Plan { geometry, seed, steps: 3_500, lengths, chunk: 300 });
        assert!(written.moved > 0, "seed {seed}: nothing was used and moved");
    }
}

/// The same on a device as it is cut up by its capacity, with bodies that are larger than all that newcomers
/// may have.
#[test]
fn it_does_so_for_the_largest_bodies() {
    let geometry = Geometry::for_capacity(16 << 20).expect("it is the smallest");
    let lengths = [9_000, 50_000, 300_000, 900_000, 4_190_000];
    let written = compare(&Plan { geometry, seed: 1, steps: 400, lengths, chunk: 300_000 });
    assert!(written.moved > 0, "nothing was used and moved");
}
