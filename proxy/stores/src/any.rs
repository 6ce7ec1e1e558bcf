//! The stores that a configuration can name, as one type for each trait.

#[cfg(feature = "postgres")]
use crate::PostgresIndex;
use crate::{DirectoryBlobs, EmbeddedIndex, MemoryBlobs, MemoryIndex};
#[cfg(feature = "s3")]
use crate::{S3Blobs, S3Index};
use bytes::Bytes;
use std::sync::Arc;
use tiergate_driver::{
    BlobStore, FeedPage, FoundRow, Handle, IndexStore, PurgeFeed, Row, StoreError, Written,
};
use tiergate_engine::{
    ByteCount, CacheKey, RecordId, WallTime, WriterId,
    durable::{BlobName, Version},
    feed::{FeedOrigin, Notice, Sequence, Ticket},
};
use tiergate_tiers::{Connect, RedisStore};

/// Any store of blobs.
#[derive(Debug)]
pub enum AnyBlobs {
    /// Files in a directory.
    Directory(DirectoryBlobs),
    /// In memory: gone with the process.
    Memory(MemoryBlobs),
    /// Objects in a bucket, of all who reach it.
    #[cfg(feature = "s3")]
    S3(S3Blobs),
}

/// Any index, and the purge feed beside its rows. Cloning shares it: one clone is the index, another the
/// feed.
pub enum AnyIndex<C: Connect> {
    /// One file, of this process alone.
    Embedded(EmbeddedIndex),
    /// In memory: gone with the process.
    Memory(MemoryIndex),
    /// A Redis, of all who reach it.
    Redis(Arc<RedisStore<C>>),
    /// Objects in a bucket, of all who reach it. It keeps no feed.
    #[cfg(feature = "s3")]
    S3(Arc<S3Index>),
    /// A PostgreSQL database, of all who reach it.
    #[cfg(feature = "postgres")]
    Postgres(Arc<PostgresIndex<C>>),
}

impl<C: Connect> Clone for AnyIndex<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Embedded(index) => Self::Embedded(index.clone()),
            Self::Memory(index) => Self::Memory(index.clone()),
            Self::Redis(index) => Self::Redis(Arc::clone(index)),
            #[cfg(feature = "s3")]
            Self::S3(index) => Self::S3(Arc::clone(index)),
            #[cfg(feature = "postgres")]
            Self::Postgres(index) => Self::Postgres(Arc::clone(index)),
        }
    }
}

/// Calls the same method of whichever store it is.
macro_rules! forward {
    ($any:ident: $($(#[$attribute:meta])* $variant:ident)|+, $self:ident, $store:ident => $call:expr) => {
        match $self {
            $($(#[$attribute])* $any::$variant($store) => $call,)+
        }
    };
}

macro_rules! blobs {
    ($self:ident, $store:ident => $call:expr) => {
        forward!(AnyBlobs: Directory | Memory | #[cfg(feature = "s3")] S3, $self, $store => $call)
    };
}

macro_rules! index {
    ($self:ident, $store:ident => $call:expr) => {
        forward!(
            AnyIndex: Embedded | Memory | Redis | #[cfg(feature = "s3")] S3
                | #[cfg(feature = "postgres")] Postgres,
            $self, $store => $call
        )
    };
}

impl BlobStore for AnyBlobs {
    async fn open(&self, handle: Handle<RecordId>, blob: BlobName) -> Result<Option<ByteCount>, StoreError> {
        blobs!(self, store => store.open(handle, blob).await)
    }

    async fn read(
        &self,
        handle: Handle<RecordId>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, StoreError> {
        blobs!(self, store => store.read(handle, offset, length_max).await)
    }

    fn release(&self, handle: Handle<RecordId>) {
        blobs!(self, store => store.release(handle));
    }

    async fn begin(&self, handle: Handle<WriterId>, blob: BlobName) -> Result<(), StoreError> {
        blobs!(self, store => store.begin(handle, blob).await)
    }

    async fn append(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), StoreError> {
        blobs!(self, store => store.append(handle, chunk).await)
    }

    async fn finish(&self, handle: Handle<WriterId>, length: ByteCount) -> Result<(), StoreError> {
        blobs!(self, store => store.finish(handle, length).await)
    }

    fn abort(&self, handle: Handle<WriterId>) {
        blobs!(self, store => store.abort(handle));
    }

    async fn delete(&self, blob: BlobName) -> Result<(), StoreError> {
        blobs!(self, store => store.delete(blob).await)
    }

    async fn list(&self, after: Option<BlobName>) -> Result<Vec<BlobName>, StoreError> {
        blobs!(self, store => store.list(after).await)
    }
}

impl<C: Connect> IndexStore for AnyIndex<C> {
    async fn get(&self, key: CacheKey) -> Result<FoundRow, StoreError> {
        index!(self, store => store.get(key).await)
    }

    async fn put_new(&self, key: CacheKey, row: Row) -> Result<Written, StoreError> {
        index!(self, store => store.put_new(key, row).await)
    }

    async fn cas_update(&self, key: CacheKey, expected: Version, row: Row) -> Result<Written, StoreError> {
        index!(self, store => store.cas_update(key, expected, row).await)
    }

    async fn touch(
        &self,
        key: CacheKey,
        version: Version,
        expires: WallTime,
        droppable: WallTime,
    ) -> Result<(), StoreError> {
        index!(self, store => store.touch(key, version, expires, droppable).await)
    }

    async fn delete(&self, key: CacheKey, version: Version) -> Result<(), StoreError> {
        index!(self, store => store.delete(key, version).await)
    }
}

impl<C: Connect> PurgeFeed for AnyIndex<C> {
    async fn append(
        &self,
        origin: FeedOrigin,
        ticket: Ticket,
        notice: Notice,
    ) -> Result<Sequence, StoreError> {
        index!(self, store => store.append(origin, ticket, notice).await)
    }

    async fn read(&self, after: Sequence) -> Result<FeedPage, StoreError> {
        index!(self, store => store.read(after).await)
    }
}
