//! The store of blobs that edges share: in memory, some milliseconds away, and at times silent or failing.
//!
//! What it does is proven by the suite that real ones pass; how it is reached is not anybody's wire.

use super::{catalogue::between, stage::Stage};
use bytes::Bytes;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tiergate_driver::{BlobStore, Handle, StoreError, TierError};
use tiergate_engine::{ByteCount, Random, RecordId, WriterId, durable::BlobName};
use tiergate_scenarios::{Between, FaultKind};
use tiergate_stores::MemoryBlobs;
use tokio::time::sleep;

/// How long an operation takes, in milliseconds.
const LATENCY_MS: Between<u64> = Between(1, 8);
/// A store that is silent is looked at so often.
const SILENT_FOR: Duration = Duration::from_millis(5);

/// The store, as one life of one edge has it.
pub(crate) struct SimBlobs {
    stage: Arc<Stage>,
    /// Tells its handles from those of other edges and lives.
    place: u32,
    pace: Mutex<Random>,
}

impl SimBlobs {
    /// Of this edge's life.
    pub(crate) fn new(stage: Arc<Stage>, edge: u32, start: u64) -> Self {
        let pace = stage.seed.split(&format!("blobs of edge {edge}, start {start}"));
        let life = u32::try_from(start % 4_096).expect("below a u32");
        Self { place: edge << 28 | life << 16, pace: Mutex::new(pace), stage }
    }

    fn store(&self) -> &MemoryBlobs {
        &self.stage.blobs
    }

    fn own<I>(&self, Handle { shard, id }: Handle<I>) -> Handle<I> {
        Handle { shard: self.place | shard, id }
    }

    /// Waits as long as an operation takes, and says whether it fails.
    async fn wait(&self) -> Result<(), StoreError> {
        let takes_ms = between(&mut self.pace.lock().unwrap_or_else(PoisonError::into_inner), LATENCY_MS);
        sleep(Duration::from_millis(takes_ms)).await;
        while self.stage.store_faults.hits(FaultKind::BlobsSilent).is_some() {
            sleep(SILENT_FOR).await;
        }
        match self.stage.store_faults.hits(FaultKind::BlobsFail) {
            Some(_) => Err(TierError::Failed("the store of blobs is busy".to_owned())),
            None => Ok(()),
        }
    }
}

impl BlobStore for SimBlobs {
    async fn open(&self, handle: Handle<RecordId>, blob: BlobName) -> Result<Option<ByteCount>, StoreError> {
        self.wait().await?;
        self.store().open(self.own(handle), blob).await
    }

    async fn read(
        &self,
        handle: Handle<RecordId>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, StoreError> {
        self.wait().await?;
        self.store().read(self.own(handle), offset, length_max).await
    }

    fn release(&self, handle: Handle<RecordId>) {
        self.store().release(self.own(handle));
    }

    async fn begin(&self, handle: Handle<WriterId>, blob: BlobName) -> Result<(), StoreError> {
        self.wait().await?;
        self.store().begin(self.own(handle), blob).await
    }

    async fn append(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), StoreError> {
        self.wait().await?;
        self.store().append(self.own(handle), chunk).await
    }

    async fn finish(&self, handle: Handle<WriterId>, length: ByteCount) -> Result<(), StoreError> {
        self.wait().await?;
        self.store().finish(self.own(handle), length).await
    }

    fn abort(&self, handle: Handle<WriterId>) {
        self.store().abort(self.own(handle));
    }

    async fn delete(&self, blob: BlobName) -> Result<(), StoreError> {
        self.wait().await?;
        self.store().delete(blob).await
    }

    async fn list(&self, after: Option<BlobName>) -> Result<Vec<BlobName>, StoreError> {
        self.wait().await?;
        self.store().list(after).await
    }
}
