//! A simulated disk as the tier sees it: the same log as in production lies on it.

use super::disk::Disk;
use bytes::Bytes;
use std::{io, sync::Arc};
use tiergate_tiers::{BootId, Device, Medium, OpenError, Opened};

/// One edge's disk, as a medium that can be opened any number of times.
#[derive(Clone)]
pub(crate) struct SimMedium {
    /// The disk.
    pub disk: Arc<Disk>,
    /// What the log calls it.
    pub name: String,
}

impl Medium for SimMedium {
    type Device = SimDevice;

    fn name(&self) -> String {
        self.name.clone()
    }

    async fn open(&self) -> Result<Opened<SimDevice>, OpenError> {
        let failed = |error| OpenError::Device { name: self.name.clone(), doing: "opening", error };
        self.disk.open().await.map_err(failed)?;
        let boot = BootId(u128::from(self.disk.starts()).to_le_bytes());
        Ok(Opened { device: SimDevice(Arc::clone(&self.disk)), boot })
    }
}

/// The disk once it is open. It is as large as anybody asks.
pub(crate) struct SimDevice(Arc<Disk>);

impl Device for SimDevice {
    async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        self.0.read(offset, length).await
    }

    async fn write(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        self.0.write(offset, bytes).await
    }

    async fn sync(&self) -> io::Result<()> {
        self.0.sync().await
    }

    fn try_read_now(&self, offset: u64, length: usize) -> Option<Bytes> {
        self.0.read_now(offset, length)
    }
}

#[cfg(test)]
mod tests;
