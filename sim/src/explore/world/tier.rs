//! The byte tiers: records that appear whole or not at all, readers pinned to what they opened, writers in
//! between.
//!
//! An operation is asked for, takes effect, and is answered at three different times. It may fail before it
//! takes effect, or afterwards so that only the answer is lost; it never takes effect after it was said to
//! have failed. A lost chunk is always a failed operation. What a tier loses by itself it loses whole.

mod mishaps;

use crate::explore::{
    campaign::tally::WorldFault,
    world::index::Index,
    world::operation::{changes, failure, is_durable, is_published_by, tier_of},
    world::plan::Plan,
    world::{Life, Step, World, up_to},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tiergate_engine::{
    Answer, Ban, Bans, ByteCount, CacheKey, Chunk, Effect, Freshening, Input, Instant, OpId, ReadFailure,
    ReadSource, Record, RecordId, RecordName, Seed, StoredKey, Symbol, TierId, WriterId,
};

/// The longest that an operation takes to reach a tier that has faults, and as long again for the way back.
pub(in crate::explore) const SLOW_MAX: Duration = Duration::from_secs(3);

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum Fate {
    /// It takes effect and says so.
    Fine,
    /// It fails and changes nothing.
    Fails,
    /// It takes effect and says that it failed.
    Ambiguous,
}

/// One tier, on one edge or shared.
pub(in crate::explore) struct Tier {
    id: TierId,
    /// By name; these survive a crash.
    pub(in crate::explore) records: BTreeMap<RecordName, Arc<Stored>>,
    /// The record that a key stands for.
    index: Index,
    /// These survive a crash, too.
    bans: Bans,
    open: BTreeMap<(Life, RecordId), Arc<Stored>>,
    writers: BTreeMap<(Life, WriterId), Writer>,
    /// Writers that were closed; an `Open` that was overtaken must not open them again.
    discarded: BTreeSet<(Life, WriterId)>,
    /// Records that were released; a lookup that was overtaken must not open them again.
    released: BTreeSet<(Life, RecordId)>,
    /// Keys whose record it lost by itself, and nobody has noticed.
    pub(in crate::explore) lost: BTreeSet<StoredKey>,
    pub(in crate::explore) commits: u64,
    /// The record that the next lookup opens instead of its own.
    strays_to: Option<RecordName>,
    /// Does the next lookup bring the body along?
    brings_body: bool,
    /// When it can be asked after its edge's start, where that is still to come.
    pub(in crate::explore) joins_at: Option<Instant>,
}

pub(in crate::explore) struct Stored {
    pub(in crate::explore) record: Record,
    body: Vec<Symbol>,
    /// Which commit it was, to know old from young.
    order: u64,
}

struct Writer {
    key: StoredKey,
    name: RecordName,
    body: Vec<Symbol>,
    /// Was its target purged since it was opened?
    is_purged: bool,
    /// How many commits there were before.
    begun: u64,
}

/// What an operation led to.
enum Outcome {
    Answer(Input<Symbol>),
    Nothing,
    /// The engine asked for what no tier should be asked for.
    Breach(&'static str, String),
}

impl Tier {
    /// L1 first, if there is one, then the L2 of each edge.
    pub(in crate::explore) fn all(plan: &Plan) -> Vec<Self> {
        let shared = plan.has_l1.then_some(TierId::L1);
        let own = (0..plan.edges).filter(|_| plan.has_l2);
        let capacity = plan.raw.l2.as_ref().map_or(ByteCount::UNLIMITED, |l2| l2.capacity);
        let shared = shared.map(|id| Self::new(id, Index::boundless()));
        let log = |edge| Index::log(capacity, Seed(plan.seed.split(&format!("log of edge {edge}")).bits()));
        shared.into_iter().chain(own.map(|edge| Self::new(TierId::L2, log(edge)))).collect()
    }

    fn new(id: TierId, index: Index) -> Self {
        Self {
            id,
            records: BTreeMap::new(),
            index,
            bans: Bans::default(),
            open: BTreeMap::new(),
            writers: BTreeMap::new(),
            discarded: BTreeSet::new(),
            released: BTreeSet::new(),
            lost: BTreeSet::new(),
            commits: 0,
            strays_to: None,
            brings_body: false,
            joins_at: None,
        }
    }

    /// How many records it holds, and their bytes.
    pub(in crate::explore) fn contents(&self) -> (u64, ByteCount) {
        let bytes = self.records.values().map(|stored| stored.record.length.0).sum();
        (self.records.len() as u64, ByteCount(bytes))
    }

    /// The bans in force.
    pub(in crate::explore) fn recover_bans(&self) -> Vec<Ban> {
        self.bans.iter().cloned().collect()
    }

    /// What was open or half written on a crashed edge is gone.
    pub(in crate::explore) fn forget(&mut self, edge: u32) {
        self.open.retain(|(life, _), _| life.edge != edge);
        self.writers.retain(|(life, _), _| life.edge != edge);
        self.discarded.retain(|(life, _)| life.edge != edge);
        self.released.retain(|(life, _)| life.edge != edge);
    }

    /// What somebody did not close, if anything.
    pub(in crate::explore) fn holds(&self) -> Option<String> {
        let open = self
            .open
            .keys()
            .next()
            .map(|(life, record)| format!("{} {record:?} open for {life:?}", self.id.as_str()));
        let writer = self.writers.keys().next();
        open.or_else(|| {
            writer.map(|(life, writer)| format!("{} {writer:?} open for {life:?}", self.id.as_str()))
        })
    }

    /// A local tier does not put an older response in the place of a younger one that came while it was
    /// written (failure F3).
    fn is_superseded(&self, begun: u64, record: &Record) -> bool {
        let current = self.index.get(record.stored_key()).and_then(|name| self.records.get(&name));
        self.id == TierId::L2
            && current.is_some_and(|stored| {
                stored.order > begun && stored.record.freshness.born() > record.freshness.born()
            })
    }

    /// Does it hold anything of a target that was there before so many commits?
    pub(in crate::explore) fn holds_from(&self, target: CacheKey, commits: u64) -> bool {
        self.records.values().any(|stored| stored.record.target == target && stored.order <= commits)
    }

    /// The name of some record, if there is one.
    fn any(&self, choice: u64) -> Option<RecordName> {
        let count = self.records.len() as u64;
        (count > 0).then(|| crate::explore::world::client::place(choice % count)).and_then(|place| {
            let mut names = self.records.keys();
            names.nth(place).copied()
        })
    }

    pub(in crate::explore) fn remove(&mut self, name: RecordName) -> bool {
        let Some(stored) = self.records.remove(&name) else {
            return false;
        };
        if self.index.get(stored.record.stored_key()) == Some(name) {
            self.index.remove(stored.record.stored_key());
        }
        true
    }

    /// Removes whatever was ever stored for a target, current or not, and closes whoever writes for it.
    fn remove_every(&mut self, target: CacheKey) -> bool {
        for writer in self.writers.values_mut() {
            writer.is_purged |= writer.key.target == target;
        }
        self.index.remove_target(target);
        let before = self.records.len();
        self.records.retain(|_, stored| stored.record.target != target);
        self.records.len() < before
    }

    fn apply(&mut self, from: Life, effect: &Effect<Symbol>) -> Outcome {
        match effect {
            Effect::Lookup { op, record, key, .. } => {
                let name = self.strays_to.take().or_else(|| self.index.use_of(*key));
                self.lookup(from, *op, *record, name)
            }
            Effect::Read { op, source, offset, length_max, .. } => {
                self.read(from, *op, *source, *offset, *length_max)
            }
            Effect::Release { record, .. } => {
                if !self.released.insert((from, *record)) {
                    return Outcome::Breach("drain", format!("{record:?} was released twice"));
                }
                self.open.remove(&(from, *record));
                Outcome::Nothing
            }
            Effect::Open { op, writer, .. } if self.discarded.contains(&(from, *writer)) => {
                Outcome::Answer(Answer::WriteFailed.to(*op))
            }
            Effect::Open { op, writer, key, name, .. } => {
                let body = Vec::new();
                let writing = Writer { key: *key, name: *name, body, is_purged: false, begun: self.commits };
                self.writers.insert((from, *writer), writing);
                Outcome::Answer(Answer::Opened.to(*op))
            }
            Effect::Write { op, writer, chunk, .. } => match self.writers.get_mut(&(from, *writer)) {
                Some(open) => {
                    open.body.push(*chunk);
                    Outcome::Answer(Answer::Written.to(*op))
                }
                None => Outcome::Answer(Answer::WriteFailed.to(*op)),
            },
            Effect::Commit { op, writer, record, .. } => self.commit(from, *op, *writer, record),
            Effect::Discard { writer, .. } => {
                self.writers.remove(&(from, *writer));
                self.discarded.insert((from, *writer));
                Outcome::Nothing
            }
            Effect::Freshen { op, record, .. } => self.freshen(*op, record),
            Effect::StoreBan { op, ban, .. } => {
                self.bans.push(Ban::clone(ban));
                Outcome::Answer(Answer::BanStored.to(*op))
            }
            Effect::Delete { op, key, name, .. } => {
                let existed = match name {
                    Some(name) => self.remove(*name),
                    None => self.remove_every(key.target),
                };
                Outcome::Answer(Answer::Deleted { existed }.to(*op))
            }
            Effect::Durable { .. }
            | Effect::OpenBlob { .. }
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

    fn freshen(&mut self, op: OpId, record: &Record) -> Outcome {
        let Some(stored) = self.records.get_mut(&record.name) else {
            return Outcome::Answer(Answer::Freshened { freshening: Freshening::Absent }.to(op));
        };
        if (stored.record.stored_key(), stored.record.length) != (record.stored_key(), record.length) {
            let detail = format!("{:?} is not the head of {:?}", record, stored.record);
            return Outcome::Breach("F3", detail);
        }
        if stored.record.freshness.born() > record.freshness.born() {
            return Outcome::Answer(Answer::Freshened { freshening: Freshening::Overtaken }.to(op));
        }
        // Who has it open keeps the old one.
        let body = stored.body.clone();
        *stored = Arc::new(Stored { record: record.clone(), body, order: stored.order });
        Outcome::Answer(Answer::Freshened { freshening: Freshening::Done }.to(op))
    }

    fn lookup(&mut self, from: Life, op: OpId, id: RecordId, name: Option<RecordName>) -> Outcome {
        match name.and_then(|name| self.records.get(&name)) {
            Some(stored) => {
                let record = stored.record.clone();
                if !self.released.contains(&(from, id)) {
                    self.open.insert((from, id), Arc::clone(stored));
                }
                let body = match stored.body[..] {
                    [whole] if self.brings_body => Some(whole),
                    [] | [_, ..] => None,
                };
                Outcome::Answer(Answer::Found { record, body }.to(op))
            }
            None => Outcome::Answer(Answer::Absent.to(op)),
        }
    }

    fn read(&self, from: Life, op: OpId, source: ReadSource, offset: u64, length_max: u64) -> Outcome {
        let body = match source {
            ReadSource::Record(id) => self.open.get(&(from, id)).map(|stored| &stored.body),
            ReadSource::Writer(id) => self.writers.get(&(from, id)).map(|writer| &writer.body),
        };
        let Some(body) = body else {
            // Its closing has overtaken the read.
            return Outcome::Answer(Answer::ReadFailed { why: ReadFailure::Unavailable }.to(op));
        };
        let mut before = 0;
        for piece in body {
            if offset < before + piece.size() {
                let mut chunk = piece.skip(offset - before);
                chunk.size = chunk.size.min(length_max);
                return Outcome::Answer(Answer::BodyRead { chunk }.to(op));
            }
            before += piece.size();
        }
        Outcome::Breach("T10", format!("{source:?} was read at {offset}, but has {before} bytes"))
    }

    fn commit(&mut self, from: Life, op: OpId, writer: WriterId, record: &Record) -> Outcome {
        let Some(open) = self.writers.get(&(from, writer)) else {
            return Outcome::Answer(Answer::WriteFailed.to(op));
        };
        let written = open.body.iter().map(Chunk::size).sum();
        if (record.length, record.stored_key(), record.name) != (ByteCount(written), open.key, open.name) {
            return Outcome::Breach(
                "M4",
                format!(
                    "{} was told to commit {} bytes of {} as {:?}, but holds {written} of {} as {:?}",
                    self.id.as_str(),
                    record.length.0,
                    record.key,
                    record.name,
                    open.key,
                    open.name
                ),
            );
        }
        if open.is_purged || self.is_superseded(open.begun, record) {
            return Outcome::Answer(Answer::WriteFailed.to(op));
        }
        let body = Symbol::compact(open.body.clone());
        let Ok(gone) = self.index.insert(record.stored_key(), record.length, record.name) else {
            return Outcome::Answer(Answer::WriteFailed.to(op));
        };
        for name in gone {
            self.records.remove(&name);
        }
        self.commits += 1;
        let stored = Stored { record: record.clone(), body, order: self.commits };
        self.records.insert(record.name, Arc::new(stored));
        Outcome::Answer(Answer::Committed.to(op))
    }
}

impl World {
    /// Where in the table a tier of an edge is.
    pub(in crate::explore) fn tier_place(&self, edge: u32, id: TierId) -> usize {
        match id {
            TierId::L1 => 0,
            TierId::L2 => usize::from(self.plan.has_l1) + edge as usize,
            TierId::L0 | TierId::L3 => unreachable!("{id:?} is not a byte tier of this world"),
        }
    }

    /// An effect is on its way to a tier. Closing a handle may overtake what is under way on it, or come
    /// after.
    pub(in crate::explore) fn ask_tier(&mut self, from: Life, effect: Effect<Symbol>) {
        let fate = if failure(&effect).is_none() { Fate::Fine } else { self.fate() };
        let (at, slow) = self.tier_delay();
        let brings = match fate {
            Fate::Fine => slow,
            Fate::Fails => Some(WorldFault::TierFailed),
            Fate::Ambiguous => Some(WorldFault::TierAmbiguous),
        };
        self.queue.schedule(at, Step::TierAsked { from, effect, fate, brings });
    }

    fn fate(&mut self) -> Fate {
        let faults = self.plan.faults;
        if self.hits(faults.tier_fails, WorldFault::TierFailed, |chances| &mut chances.tier) {
            Fate::Fails
        } else if self.hits(faults.tier_ambiguous, WorldFault::TierAmbiguous, |chances| &mut chances.tier) {
            Fate::Ambiguous
        } else {
            Fate::Fine
        }
    }

    /// When a message arrives, and whether that is a fault.
    fn tier_delay(&mut self) -> (Instant, Option<WorldFault>) {
        let mut at = self.soon();
        let mut slow = None;
        if self.hits(self.plan.faults.tier_slow, WorldFault::TierSlow, |chances| &mut chances.tier) {
            at = at.after(up_to(&mut self.chances.tier, SLOW_MAX));
            slow = Some(WorldFault::TierSlow);
        }
        (at, slow)
    }

    /// The operation reaches the tier and takes effect, or not.
    pub(in crate::explore) fn on_tier_asked(
        &mut self,
        from: Life,
        effect: Effect<Symbol>,
        fate: Fate,
        brings: Option<WorldFault>,
    ) {
        self.note_fate(&effect, fate);
        if is_durable(&effect) {
            if self.is_l3_silent(from, &effect) {
                return;
            }
            if let Some(input) = self.on_l3_asked(from, &effect, fate) {
                self.answer_from_tier(from, input, brings);
            }
            return;
        }
        let place = self.tier_place(from.edge, tier_of(&effect));
        if let (Some(at), Effect::Delete { .. }) = (self.tiers[place].joins_at, &effect) {
            return self.queue.schedule(at, Step::TierAsked { from, effect, fate, brings });
        }
        self.decay_tier(place, &effect);
        let (effect, mixed) = self.mixed_up(place, effect);
        let rotten = self.rotten_read(place, from, &effect, fate);
        let brings = rotten.as_ref().map(|_| WorldFault::RecordRotted).or(mixed).or(brings);
        let outcome = match (fate, failure(&effect)) {
            (Fate::Fine, _) if rotten.is_some() => Outcome::Answer(rotten.expect("it was just looked at")),
            (Fate::Fails, Some(failed)) => Outcome::Answer(failed),
            (Fate::Ambiguous, Some(failed)) if changes(&effect) => {
                match self.tiers[place].apply(from, &effect) {
                    breach @ Outcome::Breach(..) => breach,
                    Outcome::Answer(_) | Outcome::Nothing => Outcome::Answer(failed),
                }
            }
            (Fate::Ambiguous, Some(failed)) => Outcome::Answer(failed),
            (Fate::Fine | Fate::Fails | Fate::Ambiguous, _) => self.tiers[place].apply(from, &effect),
        };
        // Also where a failure came first.
        (self.tiers[place].strays_to, self.tiers[place].brings_body) = (None, false);
        match outcome {
            Outcome::Answer(input) => {
                let misses_lost = match (&effect, &input) {
                    (Effect::Lookup { key, .. }, Input::Answer { answer: Answer::Absent, .. }) => {
                        self.tiers[place].lost.remove(key)
                    }
                    _ => false,
                };
                let brings = if misses_lost { Some(WorldFault::TierLost) } else { brings };
                self.answer_from_tier(from, input, brings);
            }
            Outcome::Nothing => {}
            Outcome::Breach(rule, detail) => self.breaks(rule, detail),
        }
    }

    fn answer_from_tier(&mut self, to: Life, input: Input<Symbol>, brings: Option<WorldFault>) {
        let (at, slow) = self.tier_delay();
        self.queue.schedule(at, Step::FromTier { to, input, brings: brings.or(slow) });
    }
}

#[cfg(test)]
mod tests;
