//! The durable tier's calls: each question of the engine is one call of a store, and each answer one word to the engine.
//!
//! What a store could not do, or did not say, is told as `Unknown`, for the engine decides what that means.

use crate::{
    BlobStore, ByteTier, FoundRow, Handle, IndexStore, Row, StoreError, TierError, World, Written,
    call::{Held, Part},
    shard::{Shared, Turn},
};
use bytes::Bytes;
use std::sync::Arc;
use tiergate_engine::{
    CacheKey, Input, OpId, ReadSource, Record, RecordId, RecordName, StoredKey, TierId, WriterId,
    durable::{Ask, BlobName, Stored, Terms, Told, Version, decode, encode},
};

/// The stores of a durable tier.
pub struct DurableParts<W: World> {
    /// Where its bodies are.
    pub blobs: W::Blobs,
    /// Where its rows are.
    pub index: W::Index,
}

impl<W: World> Turn<'_, W> {
    pub(crate) fn ask_durable(&mut self, op: OpId, ask: Ask) {
        self.ask(TierId::L3, Part::Alone, unknown(op), move |shared| async move {
            Ok(Input::DurableTold { op, told: shared.told(ask).await? })
        });
    }

    pub(crate) fn open_blob(&mut self, op: OpId, record: RecordId, blob: BlobName) {
        let handle = self.handle_of(record);
        let part = Part::Handle(Held::Record(record));
        self.ask(TierId::L3, part, unknown(op), move |shared| async move {
            let told = match shared.durable().blobs.open(handle, blob).await? {
                Some(length) => Told::Opened { length },
                None => Told::NoBlob,
            };
            Ok(Input::DurableTold { op, told })
        });
    }
}

fn unknown(op: OpId) -> Input<Bytes> {
    Input::DurableTold { op, told: Told::Unknown }
}

impl<W: World> Shared<W> {
    fn durable(&self) -> &DurableParts<W> {
        self.parts.durable.as_ref().expect("`Driver::start` found the stores of the configured durable tier")
    }

    fn terms(&self) -> &Terms {
        self.terms.as_ref().expect("only a configured durable tier is asked")
    }

    async fn told(&self, ask: Ask) -> Result<Told, StoreError> {
        let DurableParts { blobs, index } = self.durable();
        Ok(match ask {
            Ask::Read { key } => read(index.get(key).await?, key)?,
            Ask::Swap { expected, stored } => self.swap(index, expected, &stored).await?,
            Ask::Touch { key, version, expires } => {
                index.touch(key, version, expires, self.terms().droppable_at(expires)).await?;
                Told::Touched
            }
            Ask::Delete { blob } => {
                blobs.delete(blob).await?;
                Told::Deleted
            }
            Ask::List { after } => Told::Listed { blobs: blobs.list(after).await? },
            Ask::Open { blob } => unreachable!("{blob:?} is opened by an effect of its own"),
        })
    }

    async fn swap(
        &self,
        index: &W::Index,
        expected: Option<Version>,
        stored: &Stored,
    ) -> Result<Told, StoreError> {
        let key = stored.entry.key;
        let row = Row {
            version: stored.entry.version,
            value: encode(&stored.entry).into(),
            expires: stored.expires,
            droppable: self.terms().droppable_at(stored.expires),
        };
        let written = match expected {
            None => index.put_new(key, row).await?,
            Some(version) => index.cas_update(key, version, row).await?,
        };
        Ok(match written {
            Written::Done { now } => Told::Swapped { now },
            Written::Refused => Told::Conflict,
        })
    }

    /// The calls that every tier has, for whichever this one is.
    pub(crate) async fn read(
        &self,
        tier: TierId,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, TierError> {
        match (tier, source.id) {
            (TierId::L3, ReadSource::Record(id)) => {
                self.durable().blobs.read(Handle { shard: source.shard, id }, offset, length_max).await
            }
            (TierId::L3, ReadSource::Writer(writer)) => {
                unreachable!("{writer:?} uploads, and nothing is read back from an upload")
            }
            (TierId::L0 | TierId::L1 | TierId::L2, _) => {
                self.tier(tier).read(source, offset, length_max).await
            }
        }
    }

    pub(crate) async fn open(
        &self,
        tier: TierId,
        handle: Handle<WriterId>,
        key: StoredKey,
        name: RecordName,
    ) -> Result<(), TierError> {
        match tier {
            TierId::L3 => self.durable().blobs.begin(handle, BlobName { key: key.key, name }).await,
            TierId::L0 | TierId::L1 | TierId::L2 => self.tier(tier).open(handle, key, name).await,
        }
    }

    pub(crate) async fn write(
        &self,
        tier: TierId,
        handle: Handle<WriterId>,
        chunk: Bytes,
    ) -> Result<(), TierError> {
        match tier {
            TierId::L3 => self.durable().blobs.append(handle, chunk).await,
            TierId::L0 | TierId::L1 | TierId::L2 => self.tier(tier).write(handle, chunk).await,
        }
    }

    pub(crate) async fn commit(
        &self,
        tier: TierId,
        handle: Handle<WriterId>,
        record: Arc<Record>,
    ) -> Result<(), TierError> {
        match tier {
            TierId::L3 => self.durable().blobs.finish(handle, record.length).await,
            TierId::L0 | TierId::L1 | TierId::L2 => self.tier(tier).commit(handle, record).await,
        }
    }

    pub(crate) fn release(&self, tier: TierId, handle: Handle<RecordId>) {
        match tier {
            TierId::L3 => self.durable().blobs.release(handle),
            TierId::L0 | TierId::L1 | TierId::L2 => self.tier(tier).release(handle),
        }
    }

    pub(crate) fn discard(&self, tier: TierId, handle: Handle<WriterId>) {
        match tier {
            TierId::L3 => self.durable().blobs.abort(handle),
            TierId::L0 | TierId::L1 | TierId::L2 => self.tier(tier).discard(handle),
        }
    }
}

/// A row that cannot be read, or is another's, may be a newer build's: it is neither used nor overwritten.
fn read(found: FoundRow, key: CacheKey) -> Result<Told, StoreError> {
    let FoundRow { row, now } = found;
    let Some(row) = row else { return Ok(Told::Entry { found: None, now }) };
    let entry =
        decode(&row.value).map_err(|wrong| TierError::Failed(format!("the row of {key}: {wrong}")))?;
    if (entry.key, entry.version) != (key, row.version) {
        return Err(TierError::Failed(format!("the row of {key} holds another's, or another version")));
    }
    let stored = Stored { entry: Arc::new(entry), expires: row.expires };
    Ok(Told::Entry { found: Some(stored), now })
}
