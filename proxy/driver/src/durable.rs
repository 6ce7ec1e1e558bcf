//! What only the durable tier is asked: each question of the engine is one call of a store, and each answer
//! one input to the engine. The calls that it shares with the other tiers are in `tier_calls`.
//!
//! What a store could not do, or did not say, is told as `Unknown`, for the engine decides what that means.

use crate::{
    BlobStore, FoundRow, IndexStore, Row, StoreError, TierError, World, Written,
    call::{HandleId, Owner},
    shard::{Shared, Turn},
};
use bytes::Bytes;
use std::sync::Arc;
use tiergate_engine::{
    Answer, CacheKey, Input, OpId, RecordId, TierId,
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
        self.ask(TierId::L3, Owner::Nobody, unknown(op), move |shared| async move {
            Ok(Answer::DurableTold { told: shared.told(ask).await? }.to(op))
        });
    }

    pub(crate) fn open_blob(&mut self, op: OpId, record: RecordId, blob: BlobName) {
        let handle = self.handle_of(record);
        let owner = Owner::Handle(HandleId::Record(record));
        self.ask(TierId::L3, owner, unknown(op), move |shared| async move {
            let told = match shared.durable().blobs.open(handle, blob).await? {
                Some(length) => Told::Opened { length },
                None => Told::NoBlob,
            };
            Ok(Answer::DurableTold { told }.to(op))
        });
    }
}

fn unknown(op: OpId) -> Input<Bytes> {
    Answer::DurableTold { told: Told::Unknown }.to(op)
}

impl<W: World> Shared<W> {
    pub(crate) fn durable(&self) -> &DurableParts<W> {
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
