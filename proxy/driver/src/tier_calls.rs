//! The calls that every tier has, whether it is a byte tier or the durable one: to read what is stored, to
//! write, to close.
//!
//! What only byte tiers are asked (to look up, to freshen, to delete, to keep a ban) goes to [`ByteTier`]
//! directly; what only the durable tier is asked is in `durable`.

use crate::{BlobStore, ByteTier, Handle, TierError, World, call::HandleId, shard::Shared};
use bytes::Bytes;
use std::sync::Arc;
use tiergate_engine::{
    ReadSource, Record, RecordId, RecordName, StoredKey, TierId, WriterId, durable::BlobName,
};

/// A tier, as far as all are alike.
pub(crate) enum Tier<'s, W: World> {
    /// One that keeps its own index.
    Bytes(&'s W::Tier),
    /// The bodies of the one whose index the engine keeps.
    Durable(&'s W::Blobs),
}

impl<W: World> Shared<W> {
    /// A tier that the configuration names.
    pub(crate) fn tier(&self, id: TierId) -> Tier<'_, W> {
        match id {
            TierId::L3 => Tier::Durable(&self.durable().blobs),
            TierId::L0 | TierId::L1 | TierId::L2 => Tier::Bytes(self.byte_tier(id)),
        }
    }
}

impl<W: World> Tier<'_, W> {
    pub(crate) async fn read(
        self,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, TierError> {
        match (self, source.id) {
            (Self::Bytes(tier), _) => tier.read(source, offset, length_max).await,
            (Self::Durable(blobs), ReadSource::Record(id)) => {
                blobs.read(Handle { shard: source.shard, id }, offset, length_max).await
            }
            (Self::Durable(_), ReadSource::Writer(writer)) => {
                unreachable!("{writer:?} uploads, and nothing is read back from an upload")
            }
        }
    }

    pub(crate) async fn open(
        self,
        handle: Handle<WriterId>,
        key: StoredKey,
        name: RecordName,
    ) -> Result<(), TierError> {
        match self {
            Self::Bytes(tier) => tier.open(handle, key, name).await,
            Self::Durable(blobs) => blobs.begin(handle, BlobName { key: key.key, name }).await,
        }
    }

    pub(crate) async fn write(self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), TierError> {
        match self {
            Self::Bytes(tier) => tier.write(handle, chunk).await,
            Self::Durable(blobs) => blobs.append(handle, chunk).await,
        }
    }

    pub(crate) async fn commit(self, handle: Handle<WriterId>, record: Arc<Record>) -> Result<(), TierError> {
        match self {
            Self::Bytes(tier) => tier.commit(handle, record).await,
            Self::Durable(blobs) => blobs.finish(handle, record.length).await,
        }
    }

    /// Closes a record or a writer.
    pub(crate) fn close(self, Handle { shard, id }: Handle<HandleId>) {
        match id {
            HandleId::Record(id) => self.release(Handle { shard, id }),
            HandleId::Writer(id) => self.discard(Handle { shard, id }),
        }
    }

    fn release(self, handle: Handle<RecordId>) {
        match self {
            Self::Bytes(tier) => tier.release(handle),
            Self::Durable(blobs) => blobs.release(handle),
        }
    }

    fn discard(self, handle: Handle<WriterId>) {
        match self {
            Self::Bytes(tier) => tier.discard(handle),
            Self::Durable(blobs) => blobs.abort(handle),
        }
    }
}
