//! foyer's hybrid cache with no room in memory: its disk engine.

use crate::{BATCH, Disk};
use bytes::Bytes;
use foyer::{
    BlockEngineConfig, DeviceBuilder, FileDeviceBuilder, HybridCache, HybridCacheBuilder, IoEngineConfig,
    PsyncIoEngineConfig, UringIoEngineConfig,
};
use std::{ops::Range, path::Path, sync::Arc};
use tiergate_engine::ByteCount;

const QUEUE_BYTES: usize = 64 << 20;

/// How foyer asks the disk.
#[derive(Clone, Copy)]
pub(crate) enum Engine {
    Psync,
    IoUring,
}

impl Engine {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Psync => "psync",
            Self::IoUring => "io_uring",
        }
    }
}

pub(crate) struct Foyer {
    cache: HybridCache<u64, Bytes>,
}

impl Foyer {
    pub(crate) async fn open(file: &Path, capacity: ByteCount, engine: Engine) -> Result<Self, String> {
        let bytes = usize::try_from(capacity.0).map_err(|error| error.to_string())?;
        let device =
            FileDeviceBuilder::new(file).with_capacity(bytes).build().map_err(|error| error.to_string())?;
        let block = BlockEngineConfig::new(device)
            .with_block_size(16 << 20)
            .with_buffer_pool_size(QUEUE_BYTES)
            .with_submit_queue_size_threshold(QUEUE_BYTES);
        let storage = HybridCacheBuilder::new().memory(1).storage();
        let storage = match engine {
            Engine::Psync => storage.with_io_engine_config(PsyncIoEngineConfig::new()),
            Engine::IoUring => {
                storage.with_io_engine_config(Box::new(UringIoEngineConfig::new()) as Box<dyn IoEngineConfig>)
            }
        };
        let cache = storage.with_engine_config(block).build().await.map_err(|error| error.to_string())?;
        Ok(Self { cache })
    }

    pub(crate) async fn close(&self) -> Result<(), String> {
        self.cache.close().await.map_err(|error| error.to_string())
    }
}

impl Disk for Foyer {
    async fn store(self: Arc<Self>, numbers: Range<u64>, body: Bytes) -> Result<(), String> {
        for number in numbers {
            drop(self.cache.storage_writer(number).force().insert(body.clone()));
            if number % BATCH == BATCH - 1 {
                self.cache.storage().wait().await;
            }
        }
        self.cache.storage().wait().await;
        Ok(())
    }

    async fn read(&self, number: u64) -> Result<Option<u64>, String> {
        let entry = self.cache.get(&number).await.map_err(|error| error.to_string())?;
        Ok(entry.map(|entry| entry.value().len() as u64))
    }
}
