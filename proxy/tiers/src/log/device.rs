//! What a log lies on, as the tier sees it: bytes at offsets, which are durable once a sync is over.
//!
//! A [`Medium`] is opened at start and again after each failure; what it gives is a [`Device`]. Production
//! has a file (`FileMedium`), the simulator its own sectors.

use super::error::OpenError;
use bytes::Bytes;
use std::{future::Future, io};

/// Where the log lies. Any calls may run at once, and nothing orders two that do. Offsets are of the whole
/// device.
pub trait Device: Send + Sync + 'static {
    /// At least one and at most `length` bytes from `offset` on.
    fn read(&self, offset: u64, length: usize) -> impl Future<Output = io::Result<Bytes>> + Send;

    /// Writes all of it. One that failed may have changed the bytes it was to change, and no others.
    fn write(&self, offset: u64, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes durable what every write that is over has written. Must not succeed if that is not sure.
    fn sync(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// All `length` bytes from `offset` on, if they can be had without waiting.
    fn try_read_now(&self, offset: u64, length: usize) -> Option<Bytes>;

    /// From now on the device has this many bytes: what lies beyond is gone, what is new reads as zeros. A
    /// device of a fixed size that is large enough has nothing to do.
    fn resize(&self, _bytes: u64) -> impl Future<Output = io::Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Is this still what the medium's name stands for? A file may have been removed or replaced, which no
    /// write notices.
    fn probe(&self) -> impl Future<Output = io::Result<()>> + Send {
        std::future::ready(Ok(()))
    }
}

/// How a device is opened.
pub trait Medium: Send + Sync + 'static {
    /// What it gives.
    type Device: Device;

    /// What the log calls it.
    fn name(&self) -> String;

    /// Opens the device, and takes it for this process alone. A medium that was never used gives zeros.
    fn open(&self) -> impl Future<Output = Result<Opened<Self::Device>, OpenError>> + Send;
}

/// A device that was opened.
#[derive(Debug)]
pub struct Opened<D> {
    /// The device.
    pub device: D,
    /// Which run of the operating system this is: what was not synced before it changed may be lost.
    pub boot: BootId,
}

/// One run of the operating system, from its boot to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);
