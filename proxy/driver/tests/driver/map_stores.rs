//! A blob store and an index in maps, which drivers share and which lose replies after the change is made.

use crate::world::{Lent, locked, pass};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tiergate_driver::{BlobStore, FoundRow, Handle, IndexStore, Row, StoreError, TierError, Written};
use tiergate_engine::{
    ByteCount, CacheKey, RecordId, WallTime, WriterId,
    durable::{BlobName, Version},
};
use tokio::time::Instant;

/// What the stores do with their calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Each takes a millisecond.
    Fine,
    /// Refuses each.
    Fails,
    /// Makes so many changes more of the index without saying so.
    LosesReplies(u32),
}

/// The stores. Tests see them through an `Arc`, drivers through [`Lent`].
pub(crate) struct MapStores {
    pub(crate) mood: Mutex<Mood>,
    contents: Mutex<RowsAndBlobs>,
    began: Instant,
}

#[derive(Default)]
struct RowsAndBlobs {
    rows: BTreeMap<CacheKey, Row>,
    blobs: BTreeMap<BlobName, Vec<u8>>,
    open: BTreeMap<Handle<RecordId>, Vec<u8>>,
    uploads: BTreeMap<Handle<WriterId>, (BlobName, Vec<u8>)>,
    listings: usize,
}

impl MapStores {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { mood: Mutex::new(Mood::Fine), contents: Mutex::default(), began: Instant::now() })
    }

    pub(crate) fn rows(&self) -> BTreeMap<CacheKey, Row> {
        self.contents().rows.clone()
    }

    /// Writes over a row, as no driver would.
    pub(crate) fn overwrite(&self, key: CacheKey, value: Bytes) {
        self.contents().rows.get_mut(&key).expect("the test stored it").value = value;
    }

    pub(crate) fn blobs(&self) -> usize {
        self.contents().blobs.len()
    }

    pub(crate) fn listings(&self) -> usize {
        self.contents().listings
    }

    /// Handles that were not closed.
    pub(crate) fn open_handles(&self) -> usize {
        let contents = self.contents();
        contents.open.len() + contents.uploads.len()
    }

    fn contents(&self) -> MutexGuard<'_, RowsAndBlobs> {
        locked(&self.contents)
    }

    fn now(&self) -> WallTime {
        WallTime::from_unix_millis(1_600_000_000_000).after(self.began.elapsed())
    }

    async fn act(&self) -> Result<(), StoreError> {
        pass(Duration::from_millis(1)).await;
        match *locked(&self.mood) {
            Mood::Fails => Err(TierError::Failed("the script says no".to_owned())),
            Mood::Fine | Mood::LosesReplies(_) => Ok(()),
        }
    }

    /// The change is made; is it said?
    fn reply(&self, written: Written) -> Result<Written, StoreError> {
        let mut mood = locked(&self.mood);
        match *mood {
            Mood::LosesReplies(left) if left > 0 => {
                *mood = Mood::LosesReplies(left - 1);
                Err(TierError::Failed("the connection broke".to_owned()))
            }
            Mood::Fine | Mood::Fails | Mood::LosesReplies(_) => Ok(written),
        }
    }

    fn write(&self, key: CacheKey, expected: Option<Version>, row: Row) -> Written {
        let mut contents = self.contents();
        if contents.rows.get(&key).map(|row| row.version) != expected {
            return Written::Refused;
        }
        contents.rows.insert(key, row);
        Written::Done { now: self.now() }
    }
}

fn missing() -> StoreError {
    TierError::Failed("no such handle".to_owned())
}

impl BlobStore for Lent<MapStores> {
    async fn open(&self, handle: Handle<RecordId>, blob: BlobName) -> Result<Option<ByteCount>, StoreError> {
        self.act().await?;
        let mut contents = self.contents();
        let Some(body) = contents.blobs.get(&blob).cloned() else { return Ok(None) };
        let length = ByteCount(body.len() as u64);
        contents.open.insert(handle, body);
        Ok(Some(length))
    }

    async fn read(
        &self,
        handle: Handle<RecordId>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, StoreError> {
        self.act().await?;
        let contents = self.contents();
        let body = contents.open.get(&handle).ok_or_else(missing)?;
        let first = usize::try_from(offset).expect("small bodies");
        let end = body.len().min(first + usize::try_from(length_max).expect("small reads"));
        Ok(Bytes::copy_from_slice(&body[first..end]))
    }

    fn release(&self, handle: Handle<RecordId>) {
        self.contents().open.remove(&handle).expect("only what is open is released");
    }

    async fn begin(&self, handle: Handle<WriterId>, blob: BlobName) -> Result<(), StoreError> {
        self.act().await?;
        self.contents().uploads.insert(handle, (blob, Vec::new()));
        Ok(())
    }

    async fn append(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), StoreError> {
        self.act().await?;
        let mut contents = self.contents();
        contents.uploads.get_mut(&handle).ok_or_else(missing)?.1.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(&self, handle: Handle<WriterId>, length: ByteCount) -> Result<(), StoreError> {
        self.act().await?;
        let mut contents = self.contents();
        let (blob, body) = contents.uploads.get(&handle).cloned().ok_or_else(missing)?;
        assert_eq!(body.len() as u64, length.0, "a blob is finished at its length");
        contents.blobs.insert(blob, body);
        Ok(())
    }

    fn abort(&self, handle: Handle<WriterId>) {
        self.contents().uploads.remove(&handle);
    }

    async fn delete(&self, blob: BlobName) -> Result<(), StoreError> {
        self.act().await?;
        self.contents().blobs.remove(&blob);
        Ok(())
    }

    async fn list(&self, after: Option<BlobName>) -> Result<Vec<BlobName>, StoreError> {
        self.act().await?;
        let mut contents = self.contents();
        contents.listings += 1;
        Ok(contents.blobs.keys().filter(|blob| Some(**blob) > after).copied().take(2).collect())
    }
}

impl IndexStore for Lent<MapStores> {
    async fn get(&self, key: CacheKey) -> Result<FoundRow, StoreError> {
        self.act().await?;
        Ok(FoundRow { row: self.contents().rows.get(&key).cloned(), now: self.now() })
    }

    async fn put_new(&self, key: CacheKey, row: Row) -> Result<Written, StoreError> {
        self.act().await?;
        self.reply(self.write(key, None, row))
    }

    async fn cas_update(&self, key: CacheKey, expected: Version, row: Row) -> Result<Written, StoreError> {
        self.act().await?;
        self.reply(self.write(key, Some(expected), row))
    }

    async fn touch(
        &self,
        key: CacheKey,
        version: Version,
        expires: WallTime,
        droppable: WallTime,
    ) -> Result<(), StoreError> {
        self.act().await?;
        if let Some(row) = self.contents().rows.get_mut(&key).filter(|row| row.version == version) {
            row.expires = row.expires.max(expires);
            row.droppable = row.droppable.max(droppable);
        }
        Ok(())
    }

    async fn delete(&self, key: CacheKey, version: Version) -> Result<(), StoreError> {
        self.act().await?;
        let now = self.now();
        self.contents()
            .rows
            .retain(|other, row| (*other, row.version) != (key, version) || now < row.droppable);
        Ok(())
    }
}
