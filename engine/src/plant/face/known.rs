//! What a planted fault knows of what has passed: enough to choose what to lose, to double and to alter.

use crate::{
    config::Config,
    durable::{Ask, Stored, Told},
    language::{
        answer::Answer,
        chunk::Chunk,
        effect::{Effect, ReadSource},
        event::{CopyEvent, Event, FetchEvent, RequestEvent, ResidenceEvent, ResilienceEvent},
        head::{Length, RequestHead},
        id::{FillId, OpId, OriginId, RecordId, RecordName, RequestId, TierId, WriterId},
        input::Input,
        key::{CacheKey, StoredKey},
        reason::Dependency,
        record::Record,
        selector::Selector,
        time::{Instant, WallTime},
        units::ByteCount,
    },
    resilience::breaker::BreakerState,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

/// A request that was not served yet.
pub(super) struct Waiting {
    pub(super) key: CacheKey,
    pub(super) head: Arc<RequestHead>,
}

/// A fetch that has not ended.
pub(super) struct Fetching {
    pub(super) key: CacheKey,
    pub(super) variant: CacheKey,
    pub(super) origin: OriginId,
    pub(super) awaits_head: bool,
    /// The length that its head told, and how much has come.
    pub(super) promised: Option<u64>,
    pub(super) received: u64,
}

/// A writer that was not discarded yet.
pub(super) struct Writing {
    pub(super) tier: TierId,
    pub(super) key: StoredKey,
    pub(super) name: RecordName,
    pub(super) chunks: u64,
    pub(super) bytes: u64,
    /// It takes no more: it has failed, or was asked to commit.
    pub(super) is_over: bool,
}

/// All of it. Nothing is forgotten that a run is too short to fill.
pub(super) struct Known<C> {
    pub(super) now: Instant,
    calendar: Option<(Instant, WallTime)>,
    /// What an operation asks that the driver has not answered.
    pub(super) asked: BTreeMap<OpId, Effect<C>>,
    pub(super) waiting: BTreeMap<RequestId, Waiting>,
    /// The last request for each key that had conditions.
    pub(super) conditional: BTreeMap<CacheKey, Arc<RequestHead>>,
    pub(super) fetches: BTreeMap<FillId, Fetching>,
    /// Answers to POSTs that are being stored, with their keys.
    pub(super) adopted: BTreeMap<FillId, CacheKey>,
    /// Keys whose responses could not be stored.
    pub(super) uncacheable: BTreeSet<CacheKey>,
    /// Keys whose fetch somebody else waits for, too.
    pub(super) collapsed: BTreeSet<CacheKey>,
    pub(super) writers: BTreeMap<WriterId, Writing>,
    /// The length that the last head of each key told.
    pub(super) lengths: BTreeMap<CacheKey, u64>,
    /// Records that are being copied from another tier, and into which.
    pub(super) promoting: BTreeSet<(TierId, CacheKey, Option<RecordName>)>,
    /// Open records.
    pub(super) records: BTreeMap<RecordId, (TierId, StoredKey)>,
    /// What was last found under a key.
    pub(super) found: BTreeMap<StoredKey, Record>,
    /// What was told last of a key in the durable tier, and its index's time then.
    pub(super) entries: BTreeMap<CacheKey, Stored>,
    pub(super) index_now: WallTime,
    /// Keys whose expired entry may not be replaced.
    pub(super) refused: BTreeSet<CacheKey>,
    /// Until when each origin's breaker is open.
    pub(super) open: BTreeMap<OriginId, Instant>,
    pub(super) purged: BTreeSet<CacheKey>,
    pub(super) leased_until: Instant,
    pub(super) lease: Duration,
    /// What L0 may hold.
    pub(super) capacity: Option<ByteCount>,
    /// What took another's place in L0.
    pub(super) replaced: u64,
    /// Commits that failed.
    pub(super) failed: BTreeSet<(TierId, RecordName)>,
    /// Reads that another has beaten.
    pub(super) beaten: BTreeSet<OpId>,
    /// How much a read of this gave too little.
    pub(super) missing: Vec<(ReadSource, u64)>,
    /// Operations that the engine knows nothing of.
    pub(super) own: BTreeMap<OpId, Own>,
    /// Requests that get a part of what arrives, and have got none of it.
    pub(super) parts: BTreeSet<RequestId>,
    /// Has a client left in this step?
    pub(super) has_left: bool,
    /// What a tier told in this step that the engine takes for a failure: nothing, or what rotted.
    pub(super) misread: Option<Misread>,
}

/// An answer of a tier that is no failure.
#[derive(Clone, Copy)]
pub(super) enum Misread {
    Absent,
    Rotten(CacheKey),
}

/// What an operation is for that the engine has not asked.
pub(super) enum Own {
    Fetch(FillId, CacheKey),
    Commit(TierId, WriterId),
}

impl<C: Chunk> Known<C> {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            now: Instant::ZERO,
            calendar: None,
            asked: BTreeMap::new(),
            waiting: BTreeMap::new(),
            conditional: BTreeMap::new(),
            fetches: BTreeMap::new(),
            adopted: BTreeMap::new(),
            uncacheable: BTreeSet::new(),
            collapsed: BTreeSet::new(),
            writers: BTreeMap::new(),
            lengths: BTreeMap::new(),
            promoting: BTreeSet::new(),
            records: BTreeMap::new(),
            found: BTreeMap::new(),
            entries: BTreeMap::new(),
            index_now: WallTime::default(),
            refused: BTreeSet::new(),
            open: BTreeMap::new(),
            purged: BTreeSet::new(),
            leased_until: Instant::ZERO,
            lease: config.feed.map_or(Duration::ZERO, |feed| feed.lease()),
            capacity: config.l0.map(|l0| l0.capacity),
            replaced: 0,
            failed: BTreeSet::new(),
            beaten: BTreeSet::new(),
            missing: Vec::new(),
            own: BTreeMap::new(),
            parts: BTreeSet::new(),
            has_left: false,
            misread: None,
        }
    }

    /// The last reading of the calendar.
    pub(super) fn last_reading(&self) -> Option<WallTime> {
        self.calendar.map(|(_, wall)| wall)
    }

    pub(super) fn wall(&self) -> WallTime {
        let (at, wall) = self.calendar.unwrap_or_default();
        wall.after(self.now.since(at))
    }

    /// Is a fetch under way that this covers, and that may be stored as far as is known?
    pub(super) fn is_fetching(&self, selector: &Selector) -> bool {
        let mut fetches = self.fetches.values();
        fetches.any(|fetch| may_be(selector, fetch.key) && !self.uncacheable.contains(&fetch.key))
    }

    /// Says what an answer answers.
    pub(super) fn on_input(&mut self, input: &Input<C>) -> Option<Effect<C>> {
        self.has_left = matches!(input, Input::Leave { .. });
        self.misread = None;
        match input {
            Input::WallClock { wall } => self.calendar = Some((self.now, *wall)),
            Input::LeaseHeld { until } => self.leased_until = *until,
            Input::Request { request, key, head, .. } => {
                self.waiting.insert(*request, Waiting { key: *key, head: Arc::clone(head) });
                let is_condition = |(name, _): (&str, &[u8])| crate::rules::conditional::is_condition(name);
                if head.fields.iter().any(is_condition) {
                    self.conditional.insert(*key, Arc::clone(head));
                }
            }
            Input::Leave { request } => drop(self.waiting.remove(request)),
            Input::AnsweredAround { key, .. } => drop(self.purged.insert(*key)),
            Input::Purge { selector, .. } => self.purged.extend(key_of(selector)),
            Input::RemotePurge { notice } => self.purged.extend(key_of(&notice.selector)),
            _ => {}
        }
        let asked = op_of(input).and_then(|op| self.asked.remove(&op));
        if let (Input::Answer { answer, .. }, Some(asked)) = (input, &asked) {
            self.on_answer(answer, asked);
        }
        asked
    }

    /// An answer says what is stored where, or what came.
    fn on_answer(&mut self, answer: &Answer<C>, asked: &Effect<C>) {
        match (answer, asked) {
            (Answer::Found { record: found, .. }, Effect::Lookup { tier, record, key, .. }) => {
                self.records.insert(*record, (*tier, *key));
                self.found.insert(*key, found.clone());
            }
            (Answer::DurableTold { told: Told::Opened { .. } }, Effect::OpenBlob { record, blob, .. }) => {
                self.records.insert(*record, (TierId::L3, StoredKey::plain(blob.key)));
            }
            (
                Answer::DurableTold { told: Told::Entry { found, now } },
                Effect::Durable { ask: Ask::Read { key }, .. },
            ) => {
                self.index_now = *now;
                match found {
                    Some(stored) => drop(self.entries.insert(*key, stored.clone())),
                    None => drop(self.entries.remove(key)),
                }
            }
            (Answer::WriteFailed, Effect::Commit { tier, record, .. }) => {
                self.failed.insert((*tier, record.name));
            }
            (Answer::WriteFailed, Effect::Open { writer, .. } | Effect::Write { writer, .. }) => {
                if let Some(writing) = self.writers.get_mut(writer) {
                    writing.is_over = true;
                }
            }
            (Answer::Pulled { chunk }, Effect::Pull { fill, .. }) => {
                if let Some(fetch) = self.fetches.get_mut(fill) {
                    fetch.received += chunk.size();
                }
            }
            _ => {}
        }
    }

    pub(super) fn on_event(&mut self, event: &Event) {
        match *event {
            Event::Fetch(FetchEvent::Fetched { fill, key, variant, origin, .. }) => {
                let (awaits_head, promised, received) = (true, None, 0);
                let fetch = Fetching { key, variant, origin, awaits_head, promised, received };
                self.fetches.insert(fill, fetch);
            }
            Event::Fetch(FetchEvent::HeadArrived { fill, key, variant, length, .. }) => {
                match length {
                    Length::Known(length) => drop(self.lengths.insert(variant, length.0)),
                    Length::Unknown => drop(self.lengths.remove(&variant)),
                }
                if let Some(fetch) = self.fetches.get_mut(&fill) {
                    fetch.awaits_head = false;
                }
                self.collapsed.remove(&key);
            }
            Event::Fetch(FetchEvent::Adopted { fill, key, .. }) => drop(self.adopted.insert(fill, key)),
            Event::Fetch(FetchEvent::AdoptionEnded { fill, .. }) => drop(self.adopted.remove(&fill)),
            Event::Fetch(FetchEvent::FetchEnded { fill, key, .. }) => {
                self.fetches.remove(&fill);
                self.collapsed.remove(&key);
            }
            Event::Fetch(FetchEvent::FoundUncacheable { key, .. }) => drop(self.uncacheable.insert(key)),
            Event::Request(RequestEvent::Collapsed { key, .. }) => drop(self.collapsed.insert(key)),
            Event::Copy(CopyEvent::LaneOpened { tier, key, name, promotes: Some(_) }) => {
                self.promoting.insert((tier, key, name));
            }
            Event::Copy(CopyEvent::LaneDropped { tier, key, name, .. })
            | Event::Residence(ResidenceEvent::Stored { tier, key, name, .. }) => {
                self.promoting.remove(&(tier, key, name));
            }
            Event::Resilience(ResilienceEvent::BreakerChanged { who: Dependency::Origin(origin), state }) => {
                match state {
                    BreakerState::Open { until } => drop(self.open.insert(origin, until)),
                    BreakerState::Closed | BreakerState::HalfOpen => drop(self.open.remove(&origin)),
                }
            }
            _ => {}
        }
    }

    pub(super) fn on_effect(&mut self, effect: &Effect<C>) {
        match effect {
            Effect::Open { op, tier, writer, key, name } => {
                let (chunks, bytes, is_over) = (0, 0, false);
                let (tier, key, name) = (*tier, *key, *name);
                self.writers.insert(*writer, Writing { tier, key, name, chunks, bytes, is_over });
                self.asked.insert(*op, effect.clone());
            }
            Effect::Write { op, writer, chunk, .. } => {
                if let Some(writing) = self.writers.get_mut(writer) {
                    writing.chunks += 1;
                    writing.bytes += chunk.size();
                }
                self.asked.insert(*op, effect.clone());
            }
            Effect::Commit { op, writer, .. } => {
                if let Some(writing) = self.writers.get_mut(writer) {
                    writing.is_over = true;
                }
                self.asked.insert(*op, effect.clone());
            }
            Effect::Fetch { op, .. }
            | Effect::Pull { op, .. }
            | Effect::Lookup { op, .. }
            | Effect::Read { op, .. }
            | Effect::Freshen { op, .. }
            | Effect::Delete { op, .. }
            | Effect::StoreBan { op, .. }
            | Effect::Durable { op, .. }
            | Effect::OpenBlob { op, .. } => drop(self.asked.insert(*op, effect.clone())),
            Effect::Release { record, .. } => drop(self.records.remove(record)),
            Effect::Serve { request, .. } | Effect::Pass { request, .. } | Effect::Refuse { request, .. } => {
                self.waiting.remove(request);
            }
            Effect::Adopt { .. }
            | Effect::Cancel { .. }
            | Effect::Discard { .. }
            | Effect::Body { .. }
            | Effect::Finish { .. }
            | Effect::PurgeDone { .. } => {}
        }
    }
}

/// May a purge of this be one of the key?
pub(super) fn may_be(selector: &Selector, key: CacheKey) -> bool {
    match selector {
        Selector::Key(wanted) => *wanted == key,
        Selector::Tag(_) | Selector::Prefix(_) | Selector::All => true,
    }
}

fn key_of(selector: &Selector) -> Option<CacheKey> {
    match selector {
        Selector::Key(key) => Some(*key),
        Selector::Tag(_) | Selector::Prefix(_) | Selector::All => None,
    }
}

/// The operation that an input answers.
pub(super) fn op_of<C>(input: &Input<C>) -> Option<OpId> {
    match input {
        Input::Answer { op, .. } => Some(*op),
        Input::Request { .. }
        | Input::Demand { .. }
        | Input::Leave { .. }
        | Input::Purge { .. }
        | Input::AnsweredAround { .. }
        | Input::RemotePurge { .. }
        | Input::PurgesMissed { .. }
        | Input::LeaseHeld { .. }
        | Input::Recovered { .. }
        | Input::TierJoined { .. }
        | Input::WallClock { .. }
        | Input::Wake => None,
    }
}
