//! What the durable tier is made of: a store of blobs and an index, each behind a trait of its own, in any
//! combination.
//!
//! Every failure is told as [`StoreError`]: the engine then takes it that what was asked was done, was not
//! done, or is done later, and finds out. So a client need not know which it was, and must not guess: `Ok`
//! only after the store has confirmed. Retries after a pause are the engine's; a client may send one request
//! twice, for each is safe to repeat.

use crate::{FeedPage, Handle, PurgeFeed, TierError};
use bytes::Bytes;
use std::future::Future;
use tiergate_engine::{
    ByteCount, CacheKey, RecordId, WallTime, WriterId,
    durable::{BlobName, Version},
    feed::{FeedOrigin, Notice, Sequence, Ticket},
};

/// What a store did not do, or may not have done. Why is for the log.
pub type StoreError = TierError;

/// Holds blobs: bodies under names that are used once. One call at a time for each handle, but for reads,
/// which may run beside each other; `release` and `abort` come last, never while another call for the handle
/// is under way.
pub trait BlobStore: Send + Sync + 'static {
    /// Opens a blob for reading under `handle` and says how long it is; `None` when the store is sure that
    /// there is none, and nothing is open then. Who has it open reads it to its end, should it be deleted
    /// meanwhile, or is told.
    fn open(
        &self,
        handle: Handle<RecordId>,
        blob: BlobName,
    ) -> impl Future<Output = Result<Option<ByteCount>, StoreError>> + Send;

    /// At least one and at most `length_max` bytes from `offset` on.
    fn read(
        &self,
        handle: Handle<RecordId>,
        offset: u64,
        length_max: u64,
    ) -> impl Future<Output = Result<Bytes, StoreError>> + Send;

    /// Closes an open blob. Also called for a handle whose `open` failed. Starts what takes long and returns.
    fn release(&self, handle: Handle<RecordId>);

    /// Begins an upload. Nothing of it can be opened or listed before it is finished.
    fn begin(
        &self,
        handle: Handle<WriterId>,
        blob: BlobName,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes the next bytes. They may be kept back until there are enough for a part.
    fn append(
        &self,
        handle: Handle<WriterId>,
        chunk: Bytes,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes the blob whole, durable and visible at once, and `length` bytes long.
    fn finish(
        &self,
        handle: Handle<WriterId>,
        length: ByteCount,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Closes an upload; what was not finished leaves nothing behind. Also called for a handle whose `begin`
    /// failed or never ran. Starts what takes long and returns.
    fn abort(&self, handle: Handle<WriterId>);

    /// Removes a blob; one that is not there is fine.
    fn delete(&self, blob: BlobName) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Blobs behind `after` in the order of their names, key first, at most as many as fit one answer; none
    /// when there are no more.
    fn list(&self, after: Option<BlobName>)
    -> impl Future<Output = Result<Vec<BlobName>, StoreError>> + Send;
}

/// One row of an index. `value` is the engine's affair; the other columns are what the store compares and
/// forgets by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Raised with every change but a touch.
    pub version: Version,
    /// What the engine keeps, encoded.
    pub value: Bytes,
    /// From then on what the row names counts as absent. The store still tells it.
    pub expires: WallTime,
    /// From then on the store may drop the row, and never before.
    pub droppable: WallTime,
}

/// What an index holds under a key, as it is now: a replica that may lag is not good enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRow {
    /// The row, if there is one.
    pub row: Option<Row>,
    /// The store's clock, one for all its clients.
    pub now: WallTime,
}

/// What came of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is written.
    Done {
        /// The store's clock.
        now: WallTime,
    },
    /// The condition did not hold: nothing is written, and never will be by this call.
    Refused,
}

/// Holds one row for each key and changes it by compare-and-set.
pub trait IndexStore: Send + Sync + 'static {
    /// Reads a row.
    fn get(&self, key: CacheKey) -> impl Future<Output = Result<FoundRow, StoreError>> + Send;

    /// Writes a row where there is none.
    fn put_new(&self, key: CacheKey, row: Row) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// Writes a row in place of the one of exactly this version.
    fn cas_update(
        &self,
        key: CacheKey,
        expected: Version,
        row: Row,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// Moves both times of the row of exactly this version, if it is there and not later already.
    fn touch(
        &self,
        key: CacheKey,
        version: Version,
        expires: WallTime,
        droppable: WallTime,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Drops the row of exactly this version, if it is droppable. For who keeps a store that does not forget
    /// by itself; the driver never asks for it.
    fn delete(&self, key: CacheKey, version: Version) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The stores of a world without a durable tier, or without a feed.
#[derive(Clone, Copy, Debug)]
pub enum NoStore {}

impl BlobStore for NoStore {
    async fn open(&self, _: Handle<RecordId>, _: BlobName) -> Result<Option<ByteCount>, StoreError> {
        match *self {}
    }

    async fn read(&self, _: Handle<RecordId>, _: u64, _: u64) -> Result<Bytes, StoreError> {
        match *self {}
    }

    fn release(&self, _: Handle<RecordId>) {
        match *self {}
    }

    async fn begin(&self, _: Handle<WriterId>, _: BlobName) -> Result<(), StoreError> {
        match *self {}
    }

    async fn append(&self, _: Handle<WriterId>, _: Bytes) -> Result<(), StoreError> {
        match *self {}
    }

    async fn finish(&self, _: Handle<WriterId>, _: ByteCount) -> Result<(), StoreError> {
        match *self {}
    }

    fn abort(&self, _: Handle<WriterId>) {
        match *self {}
    }

    async fn delete(&self, _: BlobName) -> Result<(), StoreError> {
        match *self {}
    }

    async fn list(&self, _: Option<BlobName>) -> Result<Vec<BlobName>, StoreError> {
        match *self {}
    }
}

impl IndexStore for NoStore {
    async fn get(&self, _: CacheKey) -> Result<FoundRow, StoreError> {
        match *self {}
    }

    async fn put_new(&self, _: CacheKey, _: Row) -> Result<Written, StoreError> {
        match *self {}
    }

    async fn cas_update(&self, _: CacheKey, _: Version, _: Row) -> Result<Written, StoreError> {
        match *self {}
    }

    async fn touch(&self, _: CacheKey, _: Version, _: WallTime, _: WallTime) -> Result<(), StoreError> {
        match *self {}
    }

    async fn delete(&self, _: CacheKey, _: Version) -> Result<(), StoreError> {
        match *self {}
    }
}

impl PurgeFeed for NoStore {
    async fn append(&self, _: FeedOrigin, _: Ticket, _: Notice) -> Result<Sequence, StoreError> {
        match *self {}
    }

    async fn read(&self, _: Sequence) -> Result<FeedPage, StoreError> {
        match *self {}
    }
}
