//! The imitated tiers pass the suite that the real ones pass.

use super::*;
use bytes::{Bytes, BytesMut};
use std::sync::{Mutex, MutexGuard};
use tiergate_driver::{ByteTier, Contents, Found, Handle, TierError};
use tiergate_engine::Answer;
use tiergate_tiers::conformance::{KeepsBans, bans_conformance, conformance};

impl KeepsBans for Tier {
    async fn store(&mut self, ban: &Ban) -> Result<(), TierError> {
        self.keep(ban)
    }

    async fn restart(&mut self) -> Vec<Ban> {
        self.forget(0);
        self.recover_bans()
    }
}

impl Tier {
    fn keep(&mut self, ban: &Ban) -> Result<(), TierError> {
        let effect = Effect::StoreBan { op: OpId(1), tier: self.id, ban: Arc::new(ban.clone()) };
        match self.apply(Life { edge: 0, life: 1 }, &effect) {
            Outcome::Answer(Input::Answer { op: OpId(1), answer: Answer::BanStored }) => Ok(()),
            Outcome::Answer(_) | Outcome::Nothing => Err(TierError::Failed("it was not stored".to_owned())),
            Outcome::Breach(rule, detail) => Err(TierError::Failed(format!("{rule}: {detail}"))),
        }
    }
}

/// The part of the suite that is about bans.
#[tokio::test]
async fn the_imitated_disk_keeps_bans() {
    bans_conformance(&mut Tier::new(TierId::L2, Index::boundless())).await;
}

/// Who asks in these tests.
const LIFE: Life = Life { edge: 0, life: 1 };

/// An imitated tier with the bytes that its symbols stand for. An engine never uses an id twice, and the suite
/// does, so each handle stands for an id of its own each time it is opened.
struct WithBytes(Mutex<Inner>);

struct Inner {
    tier: Tier,
    /// What was written, by the object number of its symbols.
    bytes: BTreeMap<u64, BytesMut>,
    records: BTreeMap<Handle<RecordId>, u64>,
    writers: BTreeMap<Handle<WriterId>, u64>,
    ids: u64,
}

impl WithBytes {
    fn new(id: TierId) -> Self {
        let tier = Tier::new(id, Index::boundless());
        Self(Mutex::new(Inner {
            tier,
            bytes: BTreeMap::new(),
            records: BTreeMap::new(),
            writers: BTreeMap::new(),
            ids: 0,
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl Inner {
    fn ask(&mut self, effect: &Effect<Symbol>) -> Result<Answer<Symbol>, TierError> {
        match self.tier.apply(LIFE, effect) {
            Outcome::Answer(Input::Answer { answer, .. }) => Ok(answer),
            Outcome::Answer(_) | Outcome::Nothing => Err(TierError::Failed("no answer".to_owned())),
            Outcome::Breach(rule, detail) => Err(TierError::Failed(format!("{rule}: {detail}"))),
        }
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// What the handle stands for; an id that nobody has, if it is not open.
    fn record(&self, handle: Handle<RecordId>) -> RecordId {
        RecordId(self.records.get(&handle).copied().unwrap_or(0))
    }

    fn writer(&self, handle: Handle<WriterId>) -> WriterId {
        WriterId(self.writers.get(&handle).copied().unwrap_or(0))
    }

    fn bytes_of(&self, symbol: Symbol) -> Bytes {
        let from = usize::try_from(symbol.offset).expect("it lies in memory");
        let length = usize::try_from(symbol.size).expect("it lies in memory");
        Bytes::copy_from_slice(&self.bytes[&symbol.object][from..from + length])
    }
}

fn failed<T>(answer: Answer<Symbol>) -> Result<T, TierError> {
    Err(TierError::Failed(format!("{answer:?}")))
}

impl ByteTier for WithBytes {
    async fn join(&self) -> Contents {
        Contents::default()
    }

    async fn recover_bans(&self) -> Result<Vec<Ban>, TierError> {
        Ok(self.inner().tier.recover_bans())
    }

    async fn store_ban(&self, ban: Arc<Ban>) -> Result<(), TierError> {
        self.inner().tier.keep(&ban)
    }

    async fn lookup(&self, handle: Handle<RecordId>, key: StoredKey) -> Result<Option<Found>, TierError> {
        let mut inner = self.inner();
        let id = inner.id();
        inner.records.insert(handle, id);
        let tier = inner.tier.id;
        match inner.ask(&Effect::Lookup { op: OpId(1), tier, record: RecordId(id), key })? {
            Answer::Found { record, body } => {
                Ok(Some(Found { record, body: body.map(|body| inner.bytes_of(body)) }))
            }
            Answer::Absent => Ok(None),
            other => failed(other),
        }
    }

    async fn read(
        &self,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, TierError> {
        let mut inner = self.inner();
        let shard = source.shard;
        let source = match source.id {
            ReadSource::Record(id) => ReadSource::Record(inner.record(Handle { shard, id })),
            ReadSource::Writer(id) => ReadSource::Writer(inner.writer(Handle { shard, id })),
        };
        let tier = inner.tier.id;
        match inner.ask(&Effect::Read { op: OpId(1), tier, source, offset, length_max })? {
            Answer::BodyRead { chunk } => Ok(inner.bytes_of(chunk)),
            other => failed(other),
        }
    }

    fn release(&self, handle: Handle<RecordId>) {
        let mut inner = self.inner();
        if let Some(id) = inner.records.remove(&handle) {
            let tier = inner.tier.id;
            let released = inner.tier.apply(LIFE, &Effect::Release { tier, record: RecordId(id) });
            assert!(matches!(released, Outcome::Nothing), "it is released once");
        }
    }

    async fn open(
        &self,
        handle: Handle<WriterId>,
        key: StoredKey,
        name: RecordName,
    ) -> Result<(), TierError> {
        let mut inner = self.inner();
        let id = inner.id();
        inner.writers.insert(handle, id);
        let tier = inner.tier.id;
        match inner.ask(&Effect::Open { op: OpId(1), tier, writer: WriterId(id), key, name })? {
            Answer::Opened => Ok(()),
            other => failed(other),
        }
    }

    async fn write(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), TierError> {
        let mut inner = self.inner();
        let writer = inner.writer(handle);
        let all = inner.bytes.entry(writer.0).or_default();
        let symbol =
            Symbol { object: writer.0, version: 1, offset: all.len() as u64, size: chunk.len() as u64 };
        all.extend_from_slice(&chunk);
        let tier = inner.tier.id;
        match inner.ask(&Effect::Write { op: OpId(1), tier, writer, chunk: symbol })? {
            Answer::Written => Ok(()),
            other => failed(other),
        }
    }

    async fn commit(&self, handle: Handle<WriterId>, record: Arc<Record>) -> Result<(), TierError> {
        let mut inner = self.inner();
        let (tier, writer) = (inner.tier.id, inner.writer(handle));
        match inner.ask(&Effect::Commit { op: OpId(1), tier, writer, record })? {
            Answer::Committed => Ok(()),
            other => failed(other),
        }
    }

    fn discard(&self, handle: Handle<WriterId>) {
        let mut inner = self.inner();
        if let Some(id) = inner.writers.remove(&handle) {
            let tier = inner.tier.id;
            inner.tier.apply(LIFE, &Effect::Discard { tier, writer: WriterId(id) });
        }
    }

    async fn freshen(&self, record: Arc<Record>) -> Result<Freshening, TierError> {
        let mut inner = self.inner();
        let tier = inner.tier.id;
        match inner.ask(&Effect::Freshen { op: OpId(1), tier, record })? {
            Answer::Freshened { freshening } => Ok(freshening),
            other => failed(other),
        }
    }

    async fn delete(&self, key: StoredKey, name: Option<RecordName>) -> Result<bool, TierError> {
        let mut inner = self.inner();
        let tier = inner.tier.id;
        match inner.ask(&Effect::Delete { op: OpId(1), tier, key, name })? {
            Answer::Deleted { existed } => Ok(existed),
            other => failed(other),
        }
    }
}

/// The whole suite, of the tier that edges share and of the one that each has.
#[tokio::test]
async fn the_imitated_tiers_are_tiers() {
    for id in [TierId::L1, TierId::L2] {
        conformance(&WithBytes::new(id)).await;
    }
}
