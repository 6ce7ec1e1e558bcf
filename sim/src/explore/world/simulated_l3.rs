//! The durable tier: an index and a blob store that the edges share, and what must hold there after every
//! step.
//!
//! The index has a clock of its own. Questions fail, or are done though their answer is lost, or are done
//! late or twice; blobs get lost, torn or rotten. What is checked at each change: one manifest wins and names
//! its own blob (CON1), it is visible only when that is whole, and nobody deletes what is named or leased to
//! another (D2, T8), a change touches nothing else (C3), and the index's time for an object is what counts
//! (D3). At the end, what nothing names must go.

use crate::explore::{
    campaign::tally::WorldFault,
    world::operation::failure,
    world::plan::Plan,
    world::tier::{Fate, SLOW_MAX},
    world::{Life, Step, World, millis, up_to},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tiergate_engine::{
    Answer, ByteCount, CacheKey, Chunk, CopyEvent, DurableEvent, Effect, Event, FillVerdict, Input, LaneEnd,
    ReadFailure, ReadSource, Record, RecordId, RecordName, Symbol, TierId, WallTime, WriterId,
    durable::{Ask, BlobName, Manifest, PublishEnd, Stored, Terms, Told, Version, decode, encode},
};

/// What the ways over two edges' calendars may differ by.
const ROUNDING: Duration = Duration::from_millis(5);
/// Blobs in one answer, few enough that a listing takes several.
const PAGE: usize = 3;

/// The index and the blob store.
pub(in crate::explore) struct SimulatedL3 {
    terms: Terms,
    rows: BTreeMap<CacheKey, Stored>,
    pub(in crate::explore) blobs: BTreeMap<BlobName, Arc<Vec<Symbol>>>,
    /// Blobs that the store lost by itself, or has not as they were uploaded.
    pub(in crate::explore) lost: BTreeSet<BlobName>,
    /// Those that it still has.
    pub(in crate::explore) rotten: BTreeSet<BlobName>,
    open: BTreeMap<(Life, RecordId), Arc<Vec<Symbol>>>,
    /// Records that were released; an opening that was overtaken must not open them again.
    released: BTreeSet<(Life, RecordId)>,
    uploads: BTreeMap<(Life, WriterId), (BlobName, Vec<Symbol>)>,
    /// Uploads that were closed; a begin that was overtaken must not begin them again.
    closed: BTreeSet<(Life, WriterId)>,
    /// Who began each upload, and how often purges had taken what was stored under its key by then.
    owners: BTreeMap<BlobName, (Life, u64)>,
    /// With which version each name was published, ever.
    published: BTreeMap<RecordName, Version>,
    /// The newest version that each key ever had.
    newest: BTreeMap<CacheKey, Version>,
    /// How often the generation of each key was raised.
    raised: BTreeMap<CacheKey, u64>,
    /// Does it forget rows when it may, or never?
    forgets: bool,
    /// Whose rows it forgot since [`SimulatedL3::begin_turn`].
    forgotten: BTreeSet<CacheKey>,
    /// A question of an edge may take this long to be done.
    slack: Duration,
}

/// What an operation led to: an answer, or nothing.
type Done = Result<Option<Input<Symbol>>, (&'static str, String)>;

impl SimulatedL3 {
    pub(in crate::explore) fn of(plan: &Plan) -> Option<Self> {
        let terms = plan.config.durable_terms()?;
        Some(Self {
            terms,
            rows: BTreeMap::new(),
            blobs: BTreeMap::new(),
            lost: BTreeSet::new(),
            rotten: BTreeSet::new(),
            open: BTreeMap::new(),
            released: BTreeSet::new(),
            uploads: BTreeMap::new(),
            closed: BTreeSet::new(),
            owners: BTreeMap::new(),
            published: BTreeMap::new(),
            newest: BTreeMap::new(),
            raised: BTreeMap::new(),
            forgets: plan.durable.forgets,
            forgotten: BTreeSet::new(),
            slack: (SLOW_MAX + plan.work.latency) * 4,
        })
    }

    /// Nothing is under way, and one object is asked for. An upload whose row goes between its look and its
    /// lease cannot know whether a purge went with it, and gives up.
    pub(in crate::explore) fn begin_turn(&mut self) {
        self.forgotten.clear();
    }

    pub(in crate::explore) fn forget(&mut self, edge: u32) {
        self.open.retain(|(life, _), _| life.edge != edge);
        self.released.retain(|(life, _)| life.edge != edge);
        self.uploads.retain(|(life, _), _| life.edge != edge);
        self.closed.retain(|(life, _)| life.edge != edge);
    }

    pub(in crate::explore) fn holds(&self) -> Option<String> {
        let open = self.open.keys().next().map(|open| format!("l3 {open:?} open"));
        open.or_else(|| self.uploads.keys().next().map(|upload| format!("l3 {upload:?} open")))
    }

    pub(in crate::explore) fn apply(&mut self, from: Life, effect: &Effect<Symbol>, now: WallTime) -> Done {
        match effect {
            Effect::Durable { op, ask } => {
                let told = self.told(Some(from), ask, now)?;
                Ok(Some(Answer::DurableTold { told }.to(*op)))
            }
            Effect::OpenBlob { op, record, blob } => {
                let told = self.open(from, *record, *blob, now)?;
                Ok(Some(Answer::DurableTold { told }.to(*op)))
            }
            Effect::Read { op, source: ReadSource::Record(record), offset, length_max, .. } => {
                let Some(body) = self.open.get(&(from, *record)) else {
                    return Ok(Some(Answer::ReadFailed { why: ReadFailure::Unavailable }.to(*op)));
                };
                let mut before = 0;
                for piece in body.iter() {
                    if *offset < before + piece.size() {
                        let mut chunk = piece.skip(offset - before);
                        chunk.size = chunk.size.min(*length_max);
                        return Ok(Some(Answer::BodyRead { chunk }.to(*op)));
                    }
                    before += piece.size();
                }
                Err(("T10", format!("{record:?} was read at {offset}, but has {before} bytes")))
            }
            Effect::Read { source: ReadSource::Writer(writer), .. } => {
                Err(("C5", format!("{writer:?} uploads, and nothing can be read back from that")))
            }
            Effect::Release { record, .. } => {
                self.open.remove(&(from, *record));
                match self.released.insert((from, *record)) {
                    true => Ok(None),
                    false => Err(("drain", format!("l3 {record:?} was released twice"))),
                }
            }
            Effect::Open { op, writer, .. } if self.closed.contains(&(from, *writer)) => {
                Ok(Some(Answer::WriteFailed.to(*op)))
            }
            Effect::Open { op, writer, key, name, .. } => {
                let blob = BlobName { key: key.key, name: *name };
                let is_leased = self.rows.get(&key.key).is_some_and(|row| row.entry.lease(*name).is_some());
                if !(is_leased || self.is_overdue(key.key)) {
                    return Err(("D2", format!("{blob:?} is uploaded without a lease")));
                }
                self.uploads.insert((from, *writer), (blob, Vec::new()));
                Ok(Some(Answer::Opened.to(*op)))
            }
            Effect::Write { op, writer, chunk, .. } => match self.uploads.get_mut(&(from, *writer)) {
                Some((_, body)) => {
                    body.push(*chunk);
                    Ok(Some(Answer::Written.to(*op)))
                }
                None => Ok(Some(Answer::WriteFailed.to(*op))),
            },
            Effect::Commit { op, writer, record, .. } => {
                let Some((blob, body)) = self.uploads.get(&(from, *writer)) else {
                    return Ok(Some(Answer::WriteFailed.to(*op)));
                };
                let written = ByteCount(body.iter().map(Chunk::size).sum());
                if (record.length, record.key, record.name) != (written, blob.key, blob.name) {
                    return Err(("M4", format!("{blob:?} of {written} was finished as {record:?}")));
                }
                self.blobs.insert(*blob, Arc::new(Symbol::compact(body.clone())));
                Ok(Some(Answer::Committed.to(*op)))
            }
            Effect::Discard { writer, .. } => {
                self.uploads.remove(&(from, *writer));
                self.closed.insert((from, *writer));
                Ok(None)
            }
            other => Err(("drain", format!("L3 was asked for {other:?}"))),
        }
    }

    /// The lease may have run out, been taken or gone with its entry before its upload begins.
    fn is_overdue(&self, key: CacheKey) -> bool {
        self.newest.contains_key(&key)
    }

    fn open(
        &mut self,
        from: Life,
        record: RecordId,
        blob: BlobName,
        now: WallTime,
    ) -> Result<Told, (&'static str, String)> {
        if let Some(row) = self.rows.get(&blob.key).filter(|row| row.entry.names(blob.name))
            && row.expires.after(self.slack) < now
        {
            return Err(("D3", format!("{blob:?} was opened at {now:?}, long after {:?}", row.expires)));
        }
        let Some(body) = self.blobs.get(&blob) else { return Ok(Told::NoBlob) };
        if !self.released.contains(&(from, record)) {
            self.open.insert((from, record), Arc::clone(body));
        }
        Ok(Told::Opened { length: ByteCount(body.iter().map(Chunk::size).sum()) })
    }

    /// Answers a question; `from` is nobody when it is done late, or once more.
    fn told(&mut self, from: Option<Life>, ask: &Ask, now: WallTime) -> Result<Told, (&'static str, String)> {
        if self.forgets {
            let terms = self.terms;
            let over = self.rows.extract_if(.., |_, row| now >= terms.droppable_at(row.expires));
            self.forgotten.extend(over.map(|(key, _)| key));
        }
        match ask {
            Ask::Read { key } => Ok(Told::Entry { found: self.rows.get(key).cloned(), now }),
            Ask::Swap { expected, stored } => self.swap(*expected, stored, now),
            Ask::Touch { key, version, expires } => {
                if let Some(row) = self.rows.get_mut(key).filter(|row| row.entry.version == *version) {
                    let latest = row.entry.manifest.as_ref().map(|manifest| manifest.stored_at);
                    if latest.is_none_or(|stored_at| *expires > stored_at.after(self.terms.longest())) {
                        return Err(("D3", format!("{key} was touched to {expires:?}: {row:?}")));
                    }
                    row.expires = row.expires.max(*expires);
                }
                Ok(Told::Touched)
            }
            Ask::Delete { blob } => {
                let row = self.rows.get(&blob.key);
                let is_own = from.is_none() || from == self.owners.get(blob).map(|(owner, _)| *owner);
                if row.is_some_and(|row| row.entry.names(blob.name)) {
                    return Err(("D2", format!("{from:?} deletes {blob:?}, which its manifest names")));
                }
                let lease = row.and_then(|row| row.entry.lease(blob.name)).filter(|lease| now < lease.until);
                if let Some(lease) = lease.filter(|_| !is_own) {
                    return Err(("D2", format!("{from:?} deletes {blob:?} under {lease:?}")));
                }
                self.blobs.remove(blob);
                Ok(Told::Deleted)
            }
            Ask::List { after } => {
                let behind = self.blobs.keys().filter(|blob| Some(**blob) > *after);
                Ok(Told::Listed { blobs: behind.copied().take(PAGE).collect() })
            }
            Ask::Open { blob } => Err(("drain", format!("{blob:?} is opened by an effect of its own"))),
        }
    }

    fn swap(
        &mut self,
        expected: Option<Version>,
        stored: &Stored,
        now: WallTime,
    ) -> Result<Told, (&'static str, String)> {
        let entry = &stored.entry;
        let key = entry.key;
        let before = self.rows.get(&key);
        if before.map(|row| row.entry.version) != expected {
            return Ok(Told::Conflict);
        }
        if decode(&encode(entry)).as_ref() != Ok(&**entry) {
            return Err(("C3", format!("{entry:?} does not survive its encoding")));
        }
        if self.newest.get(&key).is_some_and(|newest| *newest >= entry.version) {
            return Err((
                "CON1",
                format!("{key} got version {:?} after {:?}", entry.version, self.newest[&key]),
            ));
        }
        if let Some(manifest) = &entry.manifest {
            let (name, blob) = (manifest.record.name, manifest.blob());
            let is_new = manifest.version == entry.version;
            let had = before.and_then(|row| row.entry.manifest.as_ref());
            if !is_new && !had.is_some_and(|had| is_freshened(had, manifest)) {
                return Err(("C3", format!("{key} got a manifest that it did not have: {manifest:?}")));
            }
            if is_new && self.published.insert(name, manifest.version).is_some() {
                return Err(("CON1", format!("{name:?} was published twice")));
            }
            let raised = self.raised.get(&key).copied().unwrap_or(0);
            let own = BlobName { key, name };
            if is_new && self.owners.get(&own).is_some_and(|(_, before)| *before < raised) {
                return Err((
                    "C7",
                    format!("{name:?} of {key} is published over a purge that came after its fetch"),
                ));
            }
            let length = match (blob, &manifest.in_row) {
                (Some(blob), _) if self.lost.contains(&blob) => Some(manifest.record.length),
                (Some(blob), _) => self.blobs.get(&blob).map(|body| length_of(body)),
                (None, row) => row.as_ref().and_then(Symbol::from_row).map(|body| length_of(&[body])),
            };
            if is_new && length != Some(manifest.record.length) {
                return Err(("D2", format!("{name:?} became visible with {length:?} of {manifest:?}")));
            }
        }
        let generation = |row: &Stored| row.entry.generation;
        if entry.generation > before.map(generation).unwrap_or_default() {
            *self.raised.entry(key).or_default() += 1;
        }
        self.newest.insert(key, entry.version);
        self.rows.insert(key, stored.clone());
        Ok(Told::Swapped { now })
    }

    /// Blobs that no manifest names.
    fn unnamed(&self) -> BTreeSet<BlobName> {
        let is_named =
            |blob: &BlobName| self.rows.get(&blob.key).is_some_and(|row| row.entry.names(blob.name));
        self.blobs.keys().filter(|blob| !is_named(blob)).copied().collect()
    }

    /// A manifest whose blob is not there though the store did not lose it.
    fn hollow(&self) -> Option<BlobName> {
        let named = self.rows.values().filter_map(|row| row.entry.manifest.as_ref()?.blob());
        named.into_iter().find(|blob| !self.blobs.contains_key(blob) && !self.lost.contains(blob))
    }
}

fn length_of(body: &[Symbol]) -> ByteCount {
    ByteCount(body.iter().map(Chunk::size).sum())
}

/// Is it the same manifest, with its head or with one that a later 304 gave it (C3)?
fn is_freshened(had: &Manifest, has: &Manifest) -> bool {
    let rest = |manifest: &Manifest| {
        let Record { key, target, name, length, .. } = *manifest.record;
        let body = (manifest.digest, manifest.in_row.clone());
        (key, target, name, length, manifest.version, manifest.stored_at, body)
    };
    let is_younger = had.record.freshness.born() <= has.record.freshness.born().after(ROUNDING);
    rest(had) == rest(has) && (had.record == has.record || is_younger)
}

impl World {
    /// The index's clock.
    pub(in crate::explore) fn index_now(&self) -> WallTime {
        let skewed = crate::explore::world::edge::CALENDAR - 7_200_000 + self.plan.durable.skew_ms;
        WallTime::from_unix_millis(skewed + millis(self.elapsed()))
    }

    /// A question, or a piece of an upload, reaches the stores.
    pub(in crate::explore) fn on_l3_asked(
        &mut self,
        from: Life,
        effect: &Effect<Symbol>,
        fate: Fate,
    ) -> Option<Input<Symbol>> {
        let now = self.index_now();
        self.decay_l3();
        let failed = failure(effect);
        let is_change = match effect {
            Effect::Durable { ask: Ask::Swap { .. } | Ask::Delete { .. } | Ask::Touch { .. }, .. } => true,
            other => matches!(other, Effect::Open { .. } | Effect::Write { .. } | Effect::Commit { .. }),
        };
        match (fate, failed) {
            (Fate::Fails, Some(failed)) => return Some(failed),
            (Fate::Ambiguous, Some(failed)) if !is_change => return Some(failed),
            (Fate::Ambiguous, Some(failed)) => {
                self.half_done(from, effect, now);
                return Some(failed);
            }
            (Fate::Fine | Fate::Fails | Fate::Ambiguous, _) => {}
        }
        match self.simulated_l3.as_mut()?.apply(from, effect, now) {
            Ok(answer) => answer,
            Err((rule, detail)) => {
                self.breaks(rule, detail);
                None
            }
        }
    }

    /// The answer is lost: what was asked is done now, or late, or both.
    fn half_done(&mut self, from: Life, effect: &Effect<Symbol>, now: WallTime) {
        let (is_now, is_late) = match effect {
            Effect::Durable { .. } => [(true, false), (false, true), (true, true)]
                [crate::explore::world::client::place(self.chances.tier.below(3))],
            _ => (true, false),
        };
        if is_now
            && let Some(simulated_l3) = &mut self.simulated_l3
            && let Err((rule, detail)) = simulated_l3.apply(from, effect, now)
        {
            self.breaks(rule, detail);
        }
        if let Effect::Durable { ask, .. } = effect
            && is_late
        {
            self.tally.count(WorldFault::DurableLate).armed += 1;
            let at = self.now.after(up_to(&mut self.chances.tier, SLOW_MAX));
            self.queue.schedule(at, Step::Late(ask.clone()));
        }
    }

    /// A question is done that nobody waits for any more.
    pub(in crate::explore) fn on_late(&mut self, ask: &Ask) {
        let now = self.index_now();
        let Some(simulated_l3) = &mut self.simulated_l3 else { return };
        let told = simulated_l3.told(None, ask, now);
        let count = self.tally.count(WorldFault::DurableLate);
        count.fired += 1;
        match told {
            // It changed what engines find there.
            Ok(Told::Swapped { .. } | Told::Touched | Told::Deleted) => count.observed += 1,
            Ok(_) => {}
            Err((rule, detail)) => self.breaks(rule, detail),
        }
    }

    /// An edge whose process crashed had this under way to the stores, and it is done all the same. Is it?
    pub(in crate::explore) fn crash_in_l3(&mut self, from: Life, effect: &Effect<Symbol>) -> bool {
        let now = self.index_now();
        self.simulated_l3.as_mut().is_some_and(|simulated_l3| simulated_l3.apply(from, effect, now).is_ok())
    }

    /// What an engine says of the durable tier must be so.
    pub(in crate::explore) fn check_durable(&mut self, of: Life, event: &Event) {
        let Some(simulated_l3) = &mut self.simulated_l3 else { return };
        let broken = match event {
            Event::Copy(CopyEvent::LaneOpened { tier: TierId::L3, key, name: Some(name), .. }) => {
                let blob = BlobName { key: *key, name: *name };
                let raised = simulated_l3.raised.get(key).copied().unwrap_or(0);
                let is_used = simulated_l3.owners.insert(blob, (of, raised)).is_some();
                is_used.then(|| ("CON1", format!("{blob:?} is used twice")))
            }
            Event::Durable(DurableEvent::UploadEnded { name, end: PublishEnd::Won { version }, .. }) => {
                (simulated_l3.published.get(name) != Some(version))
                    .then(|| ("CON1", format!("{name:?} was told that it won with {version:?}")))
            }
            Event::Durable(DurableEvent::UploadEnded { name, end: PublishEnd::Lost { winner }, .. }) => {
                (!simulated_l3.published.contains_key(winner) || winner == name)
                    .then(|| ("CON1", format!("{name:?} was told that {winner:?} won")))
            }
            // One after the other, and no faults: nothing is left that could come in between (F6, D1).
            Event::Copy(CopyEvent::Filled {
                tier: TierId::L3,
                key,
                verdict: FillVerdict::Dropped(why),
                ..
            }) if self.is_asking_in_turn && is_strange(*why) && !simulated_l3.forgotten.contains(key) => {
                Some(("D1", format!("{key} was not stored in l3, though nothing was in its way: {why:?}")))
            }
            _ => None,
        };
        if let Some((rule, detail)) = broken {
            self.breaks(rule, detail);
        }
    }

    /// How often purges have taken what L3 has under a key.
    pub(in crate::explore) fn raised(&self, key: CacheKey) -> u64 {
        self.simulated_l3
            .as_ref()
            .and_then(|simulated_l3| simulated_l3.raised.get(&key).copied())
            .unwrap_or(0)
    }

    /// Lets the collector come round until what nothing names must be gone.
    pub(in crate::explore) fn settle_l3(&mut self) -> Result<(), tiergate_invariants::Violation> {
        let Some(simulated_l3) = &self.simulated_l3 else { return Ok(()) };
        let (hollow, orphans) = (simulated_l3.hollow(), simulated_l3.unnamed());
        if let Some(blob) = hollow {
            self.breaks("D2", format!("a manifest names {blob:?}, which is gone"));
        }
        let Some(every) = self.plan.durable.collect_every else { return self.verdict() };
        for _ in 0..4 {
            self.now = self.now.after(every + self.plan.durable.patience);
            for edge in 0..self.plan.edges {
                let life = self.life(edge);
                self.feed(life, Input::Wake);
            }
            self.run_out()?;
        }
        let left = self
            .simulated_l3
            .as_ref()
            .and_then(|simulated_l3| simulated_l3.unnamed().intersection(&orphans).next().copied());
        if let Some(blob) = left {
            self.breaks("D2", format!("nothing names {blob:?}, and the collector left it"));
        }
        self.verdict()
    }
}

/// Can this not be explained by the body, the gate or the pace of a healthy tier? Leases of uploads that were
/// given up hold until they run out, so a key may be crowded for a while after the faults; and who tries once
/// only may fail for the collector's sake.
const fn is_strange(why: LaneEnd) -> bool {
    match why {
        LaneEnd::OverGate
        | LaneEnd::Full
        | LaneEnd::Stalled
        | LaneEnd::TierFailed
        | LaneEnd::TierSkipped
        | LaneEnd::Abandoned
        | LaneEnd::Crowded => false,
        LaneEnd::Superseded | LaneEnd::Outrun | LaneEnd::LeaseLost | LaneEnd::TooLate => true,
    }
}
