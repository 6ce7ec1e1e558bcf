//! A byte tier in a map, which keeps what is committed when a driver is gone, and sees when a handle is
//! closed too early.

use crate::world::{Lent, locked, pass};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tiergate_driver::{ByteTier, Contents, Found, Handle, TierError};
use tiergate_engine::{
    Ban, Bans, ByteCount, Freshening, ReadSource, Record, RecordId, RecordName, StoredKey, WriterId,
};

/// What a tier does with its calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Takes this long for each.
    Paced(Duration),
    /// Refuses each.
    Fails,
    /// Never answers a write.
    Stuck,
}

/// The tier. Tests see it through an `Arc`, drivers through [`Lent`].
pub(crate) struct MapTier {
    pub(crate) temper: Mutex<Temper>,
    contents: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    bans: Bans,
    stored: Vec<(Record, Vec<u8>)>,
    open: BTreeMap<Handle<RecordId>, Vec<u8>>,
    writing: BTreeMap<Handle<WriterId>, Writing>,
    /// Calls under way, by the handle's text.
    busy: BTreeMap<String, usize>,
    closed_while_busy: Vec<String>,
}

struct Writing {
    key: StoredKey,
    body: Vec<u8>,
    /// Was its target purged meanwhile?
    is_purged: bool,
}

impl MapTier {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            temper: Mutex::new(Temper::Paced(Duration::from_millis(1))),
            contents: Mutex::default(),
        })
    }

    /// The keys and names of what is stored.
    pub(crate) fn stored(&self) -> Vec<Record> {
        let contents = locked(&self.contents);
        contents.stored.iter().map(|(record, _)| record.clone()).collect()
    }

    /// Handles that were not closed.
    pub(crate) fn open_handles(&self) -> usize {
        let contents = locked(&self.contents);
        contents.open.len() + contents.writing.len()
    }

    /// Handles that were closed while another call for them was under way.
    pub(crate) fn closed_while_busy(&self) -> Vec<String> {
        locked(&self.contents).closed_while_busy.clone()
    }

    /// Passes the time that a call takes; the handle is busy meanwhile.
    async fn act(&self, handle: impl std::fmt::Debug, writes: bool) -> Result<(), TierError> {
        let handle = format!("{handle:?}");
        *locked(&self.contents).busy.entry(handle.clone()).or_default() += 1;
        let temper = *locked(&self.temper);
        let result = match temper {
            Temper::Paced(pace) => {
                pass(pace).await;
                Ok(())
            }
            Temper::Fails => Err(TierError::Failed("the script says no".to_owned())),
            Temper::Stuck if writes => std::future::pending().await,
            Temper::Stuck => Ok(()),
        };
        *locked(&self.contents).busy.entry(handle).or_default() -= 1;
        result
    }

    fn close(&self, handle: impl std::fmt::Debug) -> MutexGuard<'_, Records> {
        let handle = format!("{handle:?}");
        let mut contents = locked(&self.contents);
        if contents.busy.get(&handle).is_some_and(|calls| *calls > 0) {
            contents.closed_while_busy.push(handle);
        }
        contents
    }
}

fn no_such_handle() -> TierError {
    TierError::Failed("no such handle".to_owned())
}

impl ByteTier for Lent<MapTier> {
    async fn join(&self) -> Contents {
        Contents { objects: self.stored().len() as u64, bytes: ByteCount::ZERO }
    }

    async fn recover_bans(&self) -> Result<Vec<Ban>, TierError> {
        Ok(locked(&self.contents).bans.iter().cloned().collect())
    }

    async fn store_ban(&self, ban: Arc<Ban>) -> Result<(), TierError> {
        self.act(&ban, true).await?;
        locked(&self.contents).bans.push(Ban::clone(&ban));
        Ok(())
    }

    async fn lookup(&self, handle: Handle<RecordId>, key: StoredKey) -> Result<Option<Found>, TierError> {
        self.act(handle, false).await?;
        let mut contents = locked(&self.contents);
        let found = contents.stored.iter().find(|(record, _)| record.stored_key() == key).cloned();
        Ok(found.map(|(record, body)| {
            contents.open.insert(handle, body);
            Found { record, body: None }
        }))
    }

    async fn read(
        &self,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, TierError> {
        let shard = source.shard;
        match source.id {
            ReadSource::Record(id) => self.act(Handle { shard, id }, false).await?,
            ReadSource::Writer(id) => self.act(Handle { shard, id }, false).await?,
        }
        let contents = locked(&self.contents);
        let body = match source.id {
            ReadSource::Record(id) => contents.open.get(&Handle { shard, id }),
            ReadSource::Writer(id) => {
                contents.writing.get(&Handle { shard, id }).map(|writing| &writing.body)
            }
        };
        let body = body.ok_or_else(no_such_handle)?;
        let start = usize::try_from(offset).expect("test bodies are small").min(body.len());
        let length = usize::try_from(length_max).unwrap_or(usize::MAX).min(body.len() - start);
        Ok(Bytes::copy_from_slice(&body[start..start + length]))
    }

    fn release(&self, handle: Handle<RecordId>) {
        self.close(handle).open.remove(&handle);
    }

    async fn open(
        &self,
        handle: Handle<WriterId>,
        key: StoredKey,
        _name: RecordName,
    ) -> Result<(), TierError> {
        self.act(handle, false).await?;
        locked(&self.contents).writing.insert(handle, Writing { key, body: Vec::new(), is_purged: false });
        Ok(())
    }

    async fn write(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), TierError> {
        self.act(handle, true).await?;
        let mut contents = locked(&self.contents);
        let writing = contents.writing.get_mut(&handle).ok_or_else(no_such_handle)?;
        writing.body.extend_from_slice(&chunk);
        Ok(())
    }

    async fn commit(&self, handle: Handle<WriterId>, record: Arc<Record>) -> Result<(), TierError> {
        self.act(handle, true).await?;
        let mut contents = locked(&self.contents);
        let writing = contents.writing.get(&handle).ok_or_else(no_such_handle)?;
        if writing.is_purged {
            return Err(TierError::Failed("it was purged".to_owned()));
        }
        let body = writing.body.clone();
        contents.stored.retain(|(older, _)| older.key != record.key);
        contents.stored.push(((*record).clone(), body));
        Ok(())
    }

    fn discard(&self, handle: Handle<WriterId>) {
        self.close(handle).writing.remove(&handle);
    }

    async fn freshen(&self, record: Arc<Record>) -> Result<Freshening, TierError> {
        self.act((record.key, record.name), true).await?;
        let mut contents = locked(&self.contents);
        let found = contents.stored.iter_mut().find(|(stored, _)| stored.name == record.name);
        let Some((stored, _)) = found else { return Ok(Freshening::Absent) };
        if stored.freshness.born() > record.freshness.born() {
            return Ok(Freshening::Overtaken);
        }
        *stored = Record::clone(&record);
        Ok(Freshening::Done)
    }

    async fn delete(&self, key: StoredKey, name: Option<RecordName>) -> Result<bool, TierError> {
        self.act((key, name), false).await?;
        let mut contents = locked(&self.contents);
        let before = contents.stored.len();
        contents
            .stored
            .retain(|(record, _)| name.map_or(record.target != key.target, |name| name != record.name));
        if name.is_none() {
            for writing in contents.writing.values_mut() {
                writing.is_purged |= writing.key.target == key.target;
            }
        }
        Ok(contents.stored.len() < before)
    }
}
