//! The first sector of a device: what the rest of it is. Two copies, far apart.
//!
//! It is written at each opening, one copy after the other with a sync between: a crash leaves one of them
//! whole. A device on which neither is whole, though both were written, is not ours to judge: it is refused.

use super::{device::BootId, device::Device, layout::read_all};
use bytes::Bytes;
use std::io;
use tiergate_engine::store::RawGeometry;

/// What both copies have in all.
pub(super) const SUPERBLOCK_BYTES: u64 = 64 << 10;
/// Where they begin.
const COPIES: [u64; 2] = [0, SUPERBLOCK_BYTES / 2];
/// What is written of one.
const COPY_BYTES: usize = 4096;
const MAGIC: [u8; 8] = *b"tiergate";
/// Magic, version, sync, sequence, boot, geometry.
const USED_BYTES: usize = 8 + 4 + 4 + 8 + 16 + 4 + 8 + 4 + 4;
/// The layout that this build reads and writes. The log itself says so as well.
pub(super) const LAYOUT_VERSION: u32 = 2;

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    /// The larger one counts.
    pub(super) sequence: u64,
    /// During which run of the system it was written.
    pub(super) boot: BootId,
    /// Is what was acknowledged as durable since then on the disk?
    pub(super) durability: Durability,
    /// How the segments are cut.
    pub(super) geometry: RawGeometry,
}

/// What the end of the system's run leaves of what was acknowledged as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// All of it: it was synced.
    Synced,
    /// Nobody knows.
    Unsynced,
}

/// What stands where a superblock is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// Nothing: the device was never used, or a crash came before its first use.
    Blank,
    /// A superblock.
    Known(Superblock),
    /// One of a layout that this build does not know.
    Version(u32),
    /// Something else, or one that is damaged.
    Unreadable,
}

/// One copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    Blank,
    Known(Superblock),
    Version(u32),
    Torn,
}

impl Superblock {
    fn encode(&self) -> Bytes {
        let RawGeometry { segments, segment_bytes, sector_bytes, block_bytes } = self.geometry;
        let mut bytes = Vec::with_capacity(COPY_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&LAYOUT_VERSION.to_le_bytes());
        let durability: u32 = match self.durability {
            Durability::Synced => 0,
            Durability::Unsynced => 1,
        };
        bytes.extend_from_slice(&durability.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.boot.0);
        bytes.extend_from_slice(&segments.to_le_bytes());
        bytes.extend_from_slice(&segment_bytes.to_le_bytes());
        bytes.extend_from_slice(&sector_bytes.to_le_bytes());
        bytes.extend_from_slice(&block_bytes.to_le_bytes());
        debug_assert_eq!(bytes.len(), USED_BYTES);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.resize(COPY_BYTES, 0);
        bytes.into()
    }

    /// Writes it as the next one, durably. Says what that is.
    pub(super) async fn store(self, device: &impl Device) -> io::Result<Self> {
        let next = Self { sequence: self.sequence + 1, ..self };
        for copy in COPIES {
            device.write(copy, next.encode()).await?;
            device.sync().await?;
        }
        Ok(next)
    }
}

/// Reads both copies.
pub(super) async fn load(device: &impl Device) -> io::Result<Label> {
    let mut copies = [Copy::Blank; 2];
    for (copy, at) in copies.iter_mut().zip(COPIES) {
        *copy = decode(&read_all(device, at, COPY_BYTES).await?);
    }
    Ok(judge(copies))
}

fn judge(copies: [Copy; 2]) -> Label {
    match copies {
        [Copy::Known(one), Copy::Known(two)] if two.sequence > one.sequence => Label::Known(two),
        [Copy::Known(one), _] | [Copy::Blank | Copy::Torn, Copy::Known(one)] => Label::Known(one),
        [Copy::Version(version), _] | [Copy::Blank | Copy::Torn, Copy::Version(version)] => {
            Label::Version(version)
        }
        // The first copy is written first, so the device was never used if the second is blank.
        [Copy::Blank | Copy::Torn, Copy::Blank] => Label::Blank,
        [Copy::Blank | Copy::Torn, Copy::Torn] => Label::Unreadable,
    }
}

fn decode(bytes: &[u8]) -> Copy {
    if bytes.iter().all(|byte| *byte == 0) {
        return Copy::Blank;
    }
    let whole = || {
        let (used, rest) = bytes.split_at_checked(USED_BYTES)?;
        let (sum, rest) = rest.split_first_chunk()?;
        let is_whole =
            u32::from_le_bytes(*sum) == crc32fast::hash(used) && rest.iter().all(|byte| *byte == 0);
        is_whole.then_some(used)
    };
    let magic = bytes.get(..8) == Some(&MAGIC[..]);
    let version = bytes.get(8..12).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    match (magic, version, whole()) {
        (true, Some(LAYOUT_VERSION), Some(used)) => fields(used).map_or(Copy::Torn, Copy::Known),
        // Its checksum may lie elsewhere.
        (true, Some(version), None) if version != LAYOUT_VERSION && version < 100 => Copy::Version(version),
        (true, Some(version), Some(_)) => Copy::Version(version),
        (_, _, _) => Copy::Torn,
    }
}

fn fields(used: &[u8]) -> Option<Superblock> {
    let four = |at: usize| used.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let eight = |at: usize| used.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let durability = match four(12)? {
        0 => Durability::Synced,
        1 => Durability::Unsynced,
        _ => return None,
    };
    Some(Superblock {
        sequence: eight(16)?,
        boot: BootId(used.get(24..40)?.try_into().ok()?),
        durability,
        geometry: RawGeometry {
            segments: four(40)?,
            segment_bytes: eight(44)?,
            sector_bytes: four(52)?,
            block_bytes: four(56)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Superblock = Superblock {
        sequence: 7,
        boot: BootId(*b"0123456789abcdef"),
        durability: Durability::Unsynced,
        geometry: RawGeometry {
            segments: 64,
            segment_bytes: 1 << 20,
            sector_bytes: 4096,
            block_bytes: 1 << 18,
        },
    };

    /// What was written comes back; the larger sequence counts, wherever it stands.
    #[test]
    fn the_newest_copy_counts() {
        let newer = Superblock { sequence: 8, durability: Durability::Synced, ..BLOCK };
        assert_eq!(decode(&BLOCK.encode()), Copy::Known(BLOCK));
        let (old, new) = (decode(&BLOCK.encode()), decode(&newer.encode()));
        assert_eq!(judge([old, new]), Label::Known(newer));
        assert_eq!(judge([new, old]), Label::Known(newer));
    }

    /// Crash by crash: nothing written, the first copy torn before the device was ever used, either of two
    /// torn later.
    #[test]
    fn a_crash_leaves_a_copy_that_counts() {
        let (whole, blank) = (Copy::Known(BLOCK), Copy::Blank);
        assert_eq!(judge([blank, blank]), Label::Blank);
        assert_eq!(judge([Copy::Torn, blank]), Label::Blank);
        for copies in [[whole, blank], [whole, Copy::Torn], [Copy::Torn, whole]] {
            assert_eq!(judge(copies), Label::Known(BLOCK));
        }
        assert_eq!(judge([Copy::Torn, Copy::Torn]), Label::Unreadable);
    }

    /// A copy cut short anywhere, or with any bit of it changed, does not count.
    #[test]
    fn a_damaged_copy_does_not_count() {
        let whole = BLOCK.encode();
        for cut in 0..USED_BYTES + 4 {
            assert!(!matches!(decode(&whole[..cut]), Copy::Known(_)), "{cut} bytes");
            let mut torn = whole[..cut].to_vec();
            torn.resize(COPY_BYTES, 0);
            let is_same = torn == whole;
            assert!(is_same || !matches!(decode(&torn), Copy::Known(_)), "{cut} bytes, then zeros");
        }
        for bit in 0..8 * COPY_BYTES {
            let mut rotten = whole.to_vec();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(decode(&rotten), Copy::Known(_)), "bit {bit}");
        }
    }

    /// A later layout is told from damage, so that its owner is not asked to remove it.
    #[test]
    fn another_version_is_told() {
        let mut bytes = BLOCK.encode().to_vec();
        bytes[8] = 3;
        assert_eq!(judge([decode(&bytes), Copy::Blank]), Label::Version(3));
    }

    tiergate_fuzz::target!(
        /// A description that decodes says nothing that its bytes do not.
        log_superblock,
        [BLOCK.encode().to_vec()],
        |bytes: &[u8]| {
            if let Copy::Known(superblock) = decode(bytes) {
                assert!(bytes.starts_with(&superblock.encode()[..USED_BYTES]));
            }
        }
    );
}
