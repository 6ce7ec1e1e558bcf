//! What the driver asks of the tier.

use super::{GENERATION_TIME, MemcachedTier, OpenRecord, PART_TIME, Slot, failed};
use crate::{
    connect::Connect,
    shared::{
        keys::{self, Keys},
        writer::{Phase, Writer},
    },
};
use bytes::Bytes;
use std::sync::Arc;
use tiergate_driver::{ByteTier, Contents, Found, Handle, TierError};
use tiergate_engine::{Ban, Freshening, ReadSource, Record, RecordId, RecordName, StoredKey, WriterId};

impl<C: Connect> ByteTier for MemcachedTier<C> {
    /// At once, with nothing counted: what others store here is theirs as well.
    async fn join(&self) -> Contents {
        Contents::default()
    }

    /// None: the edge keeps them beside its own tier.
    async fn recover_bans(&self) -> Result<Vec<Ban>, TierError> {
        Ok(Vec::new())
    }

    /// Refused: a ban is one edge's, and what is here is shared.
    async fn store_ban(&self, _: Arc<Ban>) -> Result<(), TierError> {
        Err(failed("a shared tier keeps no bans of one edge"))
    }

    async fn lookup(&self, handle: Handle<RecordId>, key: StoredKey) -> Result<Option<Found>, TierError> {
        let head = self.shared.head(key).await?;
        // What was said to have failed is not shown as stored.
        let is_shown = |found: RecordName| !self.shared.open().doubts.contains(&(key, found));
        let Some(head) = head.filter(|head| is_shown(head.record.name)) else {
            return Ok(None);
        };
        let record = OpenRecord { keys: Keys { key, name: head.record.name }, layout: head.layout };
        self.shared.open().records.insert(handle, record);
        Ok(Some(Found { record: head.record, body: None }))
    }

    async fn read(
        &self,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, TierError> {
        let shard = source.shard;
        let record = match source.id {
            ReadSource::Record(id) => {
                let record = self.shared.open().records.get(&Handle { shard, id }).copied();
                record.ok_or_else(|| failed(format_args!("{source:?} is not open")))?
            }
            ReadSource::Writer(id) => {
                let writer = self.writer(Handle { shard, id })?;
                let state = writer.state();
                match state.tail.held(offset, length_max) {
                    Some(bytes) if bytes.is_empty() => {
                        return Err(failed(format_args!("the body has no byte {offset}")));
                    }
                    Some(bytes) => return Ok(bytes),
                    None => OpenRecord { keys: writer.keys, layout: state.tail.stored() },
                }
            }
        };
        self.shared.read(record, offset, length_max).await
    }

    fn release(&self, handle: Handle<RecordId>) {
        self.shared.open().records.remove(&handle);
    }

    async fn open(
        &self,
        handle: Handle<WriterId>,
        key: StoredKey,
        name: RecordName,
    ) -> Result<(), TierError> {
        let keys = Keys { key, name };
        let generation = self.shared.join_generation(keys).await?;
        if key.is_variant() {
            // So that the commit has an item to exchange, and one that comes late has not.
            let empty = Slot::encode_empty(generation);
            self.shared.link.add(&keys::current(key), &empty, GENERATION_TIME).await?;
        }
        let writer = Arc::new(Writer::new("memcached", keys, generation));
        self.shared.open().writers.insert(handle, writer);
        Ok(())
    }

    async fn write(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), TierError> {
        let writer = self.writer(handle)?;
        writer.writing()?.tail.push(&chunk);
        while let Some((index, part)) = writer.full_part() {
            let stored = self.shared.link.set(&writer.keys.part(index), &part, PART_TIME).await;
            let mut state = writer.state();
            match stored {
                // Until now it was held, so that reads went on.
                Ok(()) => state.tail.on_stored(),
                Err(error) => {
                    state.phase = Phase::Failed;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn commit(&self, handle: Handle<WriterId>, record: Arc<Record>) -> Result<(), TierError> {
        let writer = self.writer(handle)?;
        let committed = self.shared.commit(&writer, &record).await;
        writer.state().phase = match committed {
            Ok(()) => Phase::Committed,
            Err(_) => Phase::Failed,
        };
        committed
    }

    fn discard(&self, handle: Handle<WriterId>) {
        let writer = self.shared.open().writers.remove(&handle);
        let (Some(writer), Ok(runtime)) = (writer, tokio::runtime::Handle::try_current()) else {
            return;
        };
        match writer.state().phase {
            Phase::Committed => return,
            Phase::Writing | Phase::Failed => {}
        }
        let shared = Arc::clone(&self.shared);
        // Ends within a few command time limits; nobody waits for it.
        runtime.spawn(async move { drop(shared.take_back(&writer).await) });
    }

    async fn freshen(&self, record: Arc<Record>) -> Result<Freshening, TierError> {
        self.shared.freshen(&record).await
    }

    async fn delete(&self, key: StoredKey, name: Option<RecordName>) -> Result<bool, TierError> {
        self.shared.delete(key, name).await
    }
}
