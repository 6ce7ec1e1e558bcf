//! What stands in for the stores below L0: each answers at once, never fails, and keeps sizes instead of
//! bytes.
//!
//! The engine decides what L3 holds. What L1 holds is its store's own affair: here it is the least recently
//! used records that fit, whose lookups count as uses. What L2 holds is decided by its log, which is followed
//! block by block. The collector of L3 does not run, so what expired there stays.

use super::{
    few::Few,
    settings::{Below, Disk},
    totals::Count,
};
use hashbrown::HashTable;
use std::{collections::BTreeMap, sync::Arc};
use tiergate_engine::{
    Answer, ByteCount, BytesWritten, CacheKey, Chunk, Effect, Input, LogIndex, ReadSource, Record, RecordId,
    RecordName, Seed, StoredKey, Symbol, TierId, WallTime, WriterId,
    durable::{Ask, BlobName, Stored, Told},
    format,
};

/// The body of an object: what it stands for is told by its key.
pub(super) fn body(key: CacheKey, size: ByteCount) -> Symbol {
    // The low half tells objects apart as well as the whole does, in a replay.
    Symbol { object: key.0 as u64, version: 1, offset: 0, size: size.0 }
}

/// Every store below L0.
pub(super) struct Stores {
    l1: Tier,
    l2: Tier,
    simulated_l3: SimulatedL3,
    /// What L1 keeps.
    recency: Recency,
    /// What L2 keeps.
    log: Log,
}

impl Stores {
    /// Empty ones.
    pub(super) fn new(below: Below) -> Self {
        let (recency, log) = (Recency::new(below.l1), Log::new(below.l2));
        Self { l1: Tier::default(), l2: Tier::default(), simulated_l3: SimulatedL3::default(), recency, log }
    }

    /// Answers an effect about a tier. `now` is the clock of L3's index.
    pub(super) fn answer(&mut self, effect: &Effect<Symbol>, now: WallTime) -> Option<Input<Symbol>> {
        match effect {
            Effect::Durable { op, ask } => {
                Some(Answer::DurableTold { told: self.simulated_l3.tell(ask, now) }.to(*op))
            }
            Effect::OpenBlob { op, record, blob } => {
                Some(Answer::DurableTold { told: self.simulated_l3.open(*record, *blob) }.to(*op))
            }
            Effect::Lookup { op, tier, record, key } => {
                let name =
                    if *tier == TierId::L1 { self.recency.use_of(*key) } else { self.log.use_of(*key) };
                let found = name.and_then(|name| self.tier(*tier).open(*record, name));
                let answer = found.map_or(Answer::Absent, |record| Answer::Found { record, body: None });
                Some(answer.to(*op))
            }
            Effect::Read { tier, op, source: ReadSource::Record(record), offset, length_max } => {
                let whole = self.opened(*tier, *record);
                let mut chunk = whole.skip(*offset);
                chunk.size = chunk.size.min(*length_max);
                Some(Answer::BodyRead { chunk }.to(*op))
            }
            Effect::Read { source: ReadSource::Writer(_), .. } => {
                unreachable!("who reads alone never falls behind: {effect:?}")
            }
            Effect::Release { tier, record } => {
                let open = if *tier == TierId::L3 {
                    &mut self.simulated_l3.open
                } else {
                    &mut self.tier(*tier).open
                };
                open.remove(record);
                None
            }
            Effect::Open { op, tier, writer, key, name } => {
                let blob = BlobName { key: key.key, name: *name };
                let writers = if *tier == TierId::L3 {
                    &mut self.simulated_l3.uploads
                } else {
                    &mut self.tier(*tier).writers
                };
                writers.insert(*writer, Writing { blob, size: 0 });
                Some(Answer::Opened.to(*op))
            }
            Effect::Write { op, tier, writer, chunk } => {
                self.writing(*tier, *writer).size += chunk.size;
                Some(Answer::Written.to(*op))
            }
            Effect::Commit { op, tier, writer, record } => {
                self.commit(*tier, *writer, record);
                Some(Answer::Committed.to(*op))
            }
            Effect::Discard { tier, writer } => {
                self.discard(*tier, *writer);
                None
            }
            Effect::Freshen { .. } => unreachable!("nothing in a trace grows stale: {effect:?}"),
            Effect::Delete { op, tier, key, name } => {
                match tier {
                    TierId::L1 => drop(self.recency.remove(*key, *name)),
                    TierId::L2 => self.log.remove(*key, *name),
                    TierId::L0 | TierId::L3 => unreachable!("{tier:?} is no byte tier"),
                }
                let existed = name.is_some_and(|name| self.tier(*tier).remove(name));
                Some(Answer::Deleted { existed }.to(*op))
            }
            Effect::StoreBan { .. }
            | Effect::Fetch { .. }
            | Effect::Adopt { .. }
            | Effect::Pull { .. }
            | Effect::Cancel { .. }
            | Effect::Serve { .. }
            | Effect::Body { .. }
            | Effect::Finish { .. }
            | Effect::Pass { .. }
            | Effect::Refuse { .. }
            | Effect::PurgeDone { .. } => unreachable!("not a tier's effect: {effect:?}"),
        }
    }

    /// What was written to the device of L2.
    pub(super) fn device(&self) -> BytesWritten {
        self.log.index.written()
    }

    /// What L2 evicted, and what it holds.
    pub(super) const fn l2(&self) -> (Count, Count) {
        (self.log.evicted, self.log.held)
    }

    /// What L1 evicted, and what it holds.
    pub(super) fn l1(&self) -> (Count, Count) {
        (self.recency.evicted, self.recency.held)
    }

    fn tier(&mut self, tier: TierId) -> &mut Tier {
        match tier {
            TierId::L1 => &mut self.l1,
            TierId::L2 => &mut self.l2,
            TierId::L0 | TierId::L3 => unreachable!("{tier:?} is no byte tier"),
        }
    }

    fn opened(&mut self, tier: TierId, record: RecordId) -> Symbol {
        let open = if tier == TierId::L3 { &self.simulated_l3.open } else { &self.tier(tier).open };
        *open.get(&record).expect("only an open record is read")
    }

    fn writing(&mut self, tier: TierId, writer: WriterId) -> &mut Writing {
        let writers =
            if tier == TierId::L3 { &mut self.simulated_l3.uploads } else { &mut self.tier(tier).writers };
        writers.get_mut(&writer).expect("only an open writer is written to")
    }

    fn commit(&mut self, tier: TierId, writer: WriterId, record: &Arc<Record>) {
        let written = self.writing(tier, writer);
        let (blob, size) = (written.blob, written.size);
        match tier {
            TierId::L3 => {
                self.simulated_l3.blobs.insert(blob, ByteCount(size));
            }
            TierId::L2 => {
                self.l2.writers.remove(&writer);
                self.l2.insert(record);
                for name in self.log.admit(record) {
                    self.l2.remove(name);
                }
            }
            TierId::L1 => {
                for name in self.recency.admit(record) {
                    self.l1.remove(name);
                }
                self.l1.writers.remove(&writer);
                self.l1.insert(record);
            }
            TierId::L0 => unreachable!("L0 is in the engine"),
        }
    }

    fn discard(&mut self, tier: TierId, writer: WriterId) {
        let writers =
            if tier == TierId::L3 { &mut self.simulated_l3.uploads } else { &mut self.tier(tier).writers };
        writers.remove(&writer);
    }
}

/// A record on its way in.
struct Writing {
    blob: BlobName,
    size: u64,
}

/// A tier that holds records without their bytes.
#[derive(Default)]
struct Tier {
    /// Beside each the name that it is found by.
    records: HashTable<(RecordName, Arc<Record>)>,
    open: Few<RecordId, Symbol>,
    writers: Few<WriterId, Writing>,
}

/// Names are drawn at random, so their own bits serve.
const fn hash(name: RecordName) -> u64 {
    name.0 as u64
}

impl Tier {
    fn open(&mut self, id: RecordId, name: RecordName) -> Option<Record> {
        let (_, found) = self.records.find(hash(name), |(other, _)| *other == name)?;
        self.open.insert(id, body(found.key, found.length));
        Some(Record::clone(found))
    }

    fn insert(&mut self, record: &Arc<Record>) {
        let named = (record.name, Arc::clone(record));
        self.records.insert_unique(hash(record.name), named, |(name, _)| hash(*name));
    }

    fn remove(&mut self, name: RecordName) -> bool {
        match self.records.find_entry(hash(name), |(other, _)| *other == name) {
            Ok(found) => {
                found.remove();
                true
            }
            Err(_) => false,
        }
    }
}

/// Who was used when, and who leaves.
struct Recency {
    capacity: ByteCount,
    turn: u64,
    /// Name, size, and the turn of the last use.
    held_by_key: BTreeMap<StoredKey, (RecordName, u64, u64)>,
    by_turn: BTreeMap<u64, StoredKey>,
    held: Count,
    evicted: Count,
}

impl Recency {
    fn new(capacity: ByteCount) -> Self {
        let (held_by_key, by_turn) = (BTreeMap::new(), BTreeMap::new());
        Self { capacity, turn: 0, held_by_key, by_turn, held: Count::default(), evicted: Count::default() }
    }

    fn use_of(&mut self, key: StoredKey) -> Option<RecordName> {
        let (name, _, turn) = self.held_by_key.get_mut(&key)?;
        self.by_turn.remove(turn);
        self.turn += 1;
        *turn = self.turn;
        self.by_turn.insert(self.turn, key);
        Some(*name)
    }

    /// Takes a record in, and says what it replaces or whom it puts out.
    fn admit(&mut self, record: &Record) -> Vec<RecordName> {
        let (key, size) = (record.stored_key(), record.length.0);
        let mut left: Vec<_> = self.remove(key, None).into_iter().map(|(name, _)| name).collect();
        if size > self.capacity.0 {
            // The store takes it and puts it out at once: the lookup that comes next finds nothing.
            self.evicted.add(record.length);
            return left;
        }
        while self.held.bytes + size > self.capacity.0 {
            let Some((_, victim)) = self.by_turn.first_key_value() else { break };
            if let Some((name, bytes)) = self.remove(*victim, None) {
                self.evicted.add(ByteCount(bytes));
                left.push(name);
            }
        }
        self.turn += 1;
        self.by_turn.insert(self.turn, key);
        self.held_by_key.insert(key, (record.name, size, self.turn));
        self.held.add(record.length);
        left
    }

    /// Takes out what the key has, if it is the one of that name.
    fn remove(&mut self, key: StoredKey, name: Option<RecordName>) -> Option<(RecordName, u64)> {
        let (found, size, turn) = *self.held_by_key.get(&key)?;
        if name.is_some_and(|name| name != found) {
            return None;
        }
        self.held_by_key.remove(&key);
        self.by_turn.remove(&turn);
        self.held.requests -= 1;
        self.held.bytes -= size;
        Some((found, size))
    }
}

/// What the disk of L2 decides.
struct Log {
    index: LogIndex<(RecordName, ByteCount)>,
    held: Count,
    evicted: Count,
}

impl Log {
    fn new(disk: Disk) -> Self {
        let index = match disk {
            Disk::Device(geometry) => LogIndex::new(geometry, Seed(0)),
            Disk::Bodies(capacity) => LogIndex::of_bodies(capacity, Seed(0)),
        };
        Self { index, held: Count::default(), evicted: Count::default() }
    }

    fn use_of(&mut self, key: StoredKey) -> Option<RecordName> {
        self.index.use_of(key).map(|(name, _)| *name)
    }

    /// Takes a record in, and says what it replaces and who left for it.
    fn admit(&mut self, record: &Record) -> Vec<RecordName> {
        let (key, named) = (record.stored_key(), (record.name, record.length));
        let head_bytes = format::encode(record).len();
        let replaced = self.index.find(key).copied();
        if self.index.insert(key, head_bytes, record.length, named).is_err() {
            // The disk takes it and loses it at once: the lookup that comes next finds nothing.
            self.evicted.add(record.length);
            return vec![record.name];
        }
        self.held.add(record.length);
        let mut gone = Vec::new();
        for (_, (name, length)) in self.index.take_left() {
            self.evicted.add(length);
            self.held = self.held.minus(Count { requests: 1, bytes: length.0 });
            gone.push(name);
        }
        if let Some((name, length)) = replaced.filter(|(name, _)| !gone.contains(name)) {
            self.held = self.held.minus(Count { requests: 1, bytes: length.0 });
            gone.push(name);
        }
        gone
    }

    /// Takes out what the key has, if it is the one of that name.
    fn remove(&mut self, key: StoredKey, name: Option<RecordName>) {
        let found = self.index.find(key).copied();
        if let Some((_, length)) = found.filter(|(found, _)| name.is_none_or(|name| name == *found)) {
            self.index.remove(key);
            self.held = self.held.minus(Count { requests: 1, bytes: length.0 });
        }
    }
}

/// L3: an index and a blob store.
#[derive(Default)]
struct SimulatedL3 {
    rows: BTreeMap<CacheKey, Stored>,
    blobs: BTreeMap<BlobName, ByteCount>,
    open: Few<RecordId, Symbol>,
    uploads: Few<WriterId, Writing>,
}

impl SimulatedL3 {
    fn tell(&mut self, ask: &Ask, now: WallTime) -> Told {
        match ask {
            Ask::Read { key } => Told::Entry { found: self.rows.get(key).cloned(), now },
            Ask::Swap { expected, stored } => {
                let key = stored.entry.key;
                if self.rows.get(&key).map(|row| row.entry.version) != *expected {
                    return Told::Conflict;
                }
                self.rows.insert(key, stored.clone());
                Told::Swapped { now }
            }
            Ask::Touch { key, version, expires } => {
                if let Some(row) = self.rows.get_mut(key).filter(|row| row.entry.version == *version) {
                    row.expires = row.expires.max(*expires);
                }
                Told::Touched
            }
            Ask::Delete { blob } => {
                self.blobs.remove(blob);
                Told::Deleted
            }
            Ask::Open { .. } | Ask::List { .. } => {
                unreachable!("blobs are opened by an effect of its own, and the collector is off: {ask:?}")
            }
        }
    }

    fn open(&mut self, record: RecordId, blob: BlobName) -> Told {
        let Some(length) = self.blobs.get(&blob).copied() else { return Told::NoBlob };
        self.open.insert(record, body(blob.key, length));
        Told::Opened { length }
    }
}
