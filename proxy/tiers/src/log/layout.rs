//! What lies where on a device.
//!
//! ```text
//! 0          64 KiB         4 MiB + 64 KiB  8 MiB + 64 KiB  9 MiB
//! │superblock│ bans, area A │ bans, area B  │ unused       │ segment 0 │ segment 1 │ …
//! ```

use super::{bans::BAN_AREA_BYTES, device::Device, superblock::SUPERBLOCK_BYTES};
use bytes::Bytes;
use std::io;
use tiergate_engine::store::{Geometry, RawGeometry};

/// Where the areas of bans begin.
pub(super) const BAN_AREAS: [u64; 2] = [SUPERBLOCK_BYTES, SUPERBLOCK_BYTES + BAN_AREA_BYTES];
/// Where the first segment begins.
pub(super) const SEGMENTS_BEGIN: u64 = 9 << 20;
const _: () = assert!(BAN_AREAS[1] + BAN_AREA_BYTES <= SEGMENTS_BEGIN);
/// What is overwritten of a segment so that it holds nothing: the two copies of its header, in sectors of any
/// size.
const HEADERS_BYTES: u64 = 2 * 65_536;

/// The bytes of a device whose log is cut up like that.
pub fn device_bytes(geometry: &Geometry) -> u64 {
    SEGMENTS_BEGIN + geometry.capacity().0
}

/// Where a byte of a segment lies on the device.
pub(super) fn place(geometry: &RawGeometry, segment: u32, offset: u64) -> u64 {
    SEGMENTS_BEGIN + u64::from(segment) * geometry.segment_bytes + offset
}

/// Makes sure that the segments hold nothing, durably.
pub(super) async fn erase(
    device: &impl Device,
    geometry: &RawGeometry,
    segments: std::ops::Range<u32>,
) -> io::Result<()> {
    let zeros = vec![0; usize::try_from(HEADERS_BYTES.min(geometry.segment_bytes)).unwrap_or(usize::MAX)];
    let zeros = Bytes::from(zeros);
    for segment in segments {
        device.write(place(geometry, segment, 0), zeros.clone()).await?;
    }
    device.sync().await
}

/// Reads all of it. A device that ends before fails.
pub(super) async fn read_all(device: &impl Device, offset: u64, length: usize) -> io::Result<Bytes> {
    let first = device.read(offset, length).await?;
    if first.len() == length {
        return Ok(first);
    }
    let mut all = first.to_vec();
    while all.len() < length {
        let more = device.read(offset + all.len() as u64, length - all.len()).await?;
        if more.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        all.extend_from_slice(&more);
    }
    Ok(all.into())
}
