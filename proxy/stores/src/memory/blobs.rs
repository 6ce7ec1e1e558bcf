//! Blobs in memory.

use super::locked;
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex},
};
use tiergate_driver::{BlobStore, Handle, StoreError, TierError};
use tiergate_engine::{ByteCount, RecordId, WriterId, durable::BlobName};

/// Blobs of one listing: few, so that who lists meets more than one page.
const PAGE_BLOBS_MAX: usize = 64;

/// Blobs in memory. Cloning shares them, for processes of a simulation that share one store; each names its
/// handles for itself, so only the blobs are shared.
#[derive(Debug, Default)]
pub struct MemoryBlobs {
    blobs: Arc<Mutex<BTreeMap<BlobName, Bytes>>>,
    open: Mutex<BTreeMap<Handle<RecordId>, Bytes>>,
    uploads: Mutex<BTreeMap<Handle<WriterId>, Upload>>,
}

#[derive(Debug)]
struct Upload {
    blob: BlobName,
    body: Vec<u8>,
}

impl Clone for MemoryBlobs {
    fn clone(&self) -> Self {
        Self { blobs: Arc::clone(&self.blobs), open: Mutex::default(), uploads: Mutex::default() }
    }
}

impl MemoryBlobs {
    /// A store without a blob.
    pub fn new() -> Self {
        Self::default()
    }
}

impl BlobStore for MemoryBlobs {
    async fn open(&self, handle: Handle<RecordId>, blob: BlobName) -> Result<Option<ByteCount>, StoreError> {
        let Some(body) = locked(&self.blobs).get(&blob).cloned() else { return Ok(None) };
        let length = ByteCount(body.len() as u64);
        locked(&self.open).insert(handle, body);
        Ok(Some(length))
    }

    async fn read(
        &self,
        handle: Handle<RecordId>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, StoreError> {
        let body = locked(&self.open).get(&handle).cloned().ok_or_else(|| not_open("blob"))?;
        let length = body.len() as u64;
        let end = offset.saturating_add(length_max).min(length);
        if end <= offset {
            let why = format!("no byte can be read at {offset} of {length}, {length_max} at most");
            return Err(TierError::Failed(why));
        }
        let place = |place| usize::try_from(place).expect("it is not behind the body's end");
        Ok(body.slice(place(offset)..place(end)))
    }

    fn release(&self, handle: Handle<RecordId>) {
        locked(&self.open).remove(&handle);
    }

    async fn begin(&self, handle: Handle<WriterId>, blob: BlobName) -> Result<(), StoreError> {
        locked(&self.uploads).insert(handle, Upload { blob, body: Vec::new() });
        Ok(())
    }

    async fn append(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), StoreError> {
        let mut uploads = locked(&self.uploads);
        let Upload { blob: _, body } = uploads.get_mut(&handle).ok_or_else(|| not_open("upload"))?;
        body.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(&self, handle: Handle<WriterId>, length: ByteCount) -> Result<(), StoreError> {
        let Upload { blob, body } =
            locked(&self.uploads).remove(&handle).ok_or_else(|| not_open("upload"))?;
        if body.len() as u64 != length.0 {
            let why = format!("the upload has {} bytes and was to have {}", body.len(), length.0);
            return Err(TierError::Failed(why));
        }
        locked(&self.blobs).insert(blob, body.into());
        Ok(())
    }

    fn abort(&self, handle: Handle<WriterId>) {
        locked(&self.uploads).remove(&handle);
    }

    async fn delete(&self, blob: BlobName) -> Result<(), StoreError> {
        locked(&self.blobs).remove(&blob);
        Ok(())
    }

    async fn list(&self, after: Option<BlobName>) -> Result<Vec<BlobName>, StoreError> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = locked(&self.blobs);
        Ok(blobs.range((begin, Bound::Unbounded)).map(|(blob, _)| *blob).take(PAGE_BLOBS_MAX).collect())
    }
}

fn not_open(what: &str) -> StoreError {
    TierError::Failed(format!("no {what} is open under this handle"))
}
