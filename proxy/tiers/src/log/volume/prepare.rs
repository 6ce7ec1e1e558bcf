//! What is done to a device before its log is recovered: is it ours, is it cut as it should be, what was
//! purged?
//!
//! First everything is read and judged, and what cannot be used is refused as it stands. Only then is
//! anything written: what must not come back is erased, and the superblock says what the device is from now
//! on.

use super::Settings;
use crate::log::{
    SyncPolicy,
    bans::{self, BanAreas, FoundBans},
    device::{BootId, Device, Medium, Opened},
    error::OpenError,
    layout::{device_bytes, erase},
    superblock::{self, Durability, LAYOUT_VERSION, Label, Superblock},
};
use std::io;
use tiergate_engine::{
    Ban, Seed,
    store::{Geometry, RawGeometry},
};

/// Fewer segments than this leave the log's policy no choice.
const SEGMENTS_MIN: u32 = 16;

/// A device whose log can be recovered.
pub(in crate::log) struct Prepared<D> {
    pub(in crate::log) device: D,
    pub(in crate::log) geometry: Geometry,
    /// What it is to become, if that is smaller.
    pub(in crate::log) smaller: Option<Smaller>,
    pub(in crate::log) bans: BanAreas,
    /// What chance in the store comes from: another one for each opening, so that no two stores have one
    /// number.
    pub(in crate::log) seed: Seed,
}

/// A device that is to end earlier, once nothing lies beyond its new end.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct Smaller {
    pub(in crate::log) geometry: Geometry,
    /// What it has now.
    superblock: Superblock,
}

impl Smaller {
    /// Makes it end there. Nothing lies beyond, durably.
    pub(in crate::log) async fn settle(self, device: &impl Device) -> io::Result<()> {
        Superblock { geometry: self.geometry.raw(), ..self.superblock }.store(device).await?;
        device.resize(device_bytes(&self.geometry)).await
    }
}

/// What is to be done.
struct Plan {
    /// As it is recovered.
    geometry: Geometry,
    /// As it is to be, if it holds more than has room there.
    smaller: Option<Geometry>,
    /// As many segments may hold something.
    segments_before: u32,
    /// The openings so far.
    openings: u64,
    stored: Stored,
    /// Was everything synced that the device was told?
    earlier: Durability,
    bans: BanAreas,
}

/// What becomes of the records that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Kept,
    /// Nobody knows what was purged of it.
    Forgotten,
}

/// Reads, judges, and prepares. `known` are bans in force that the device may lack.
///
/// # Errors
/// The device cannot be used, and is as it was; or it failed.
pub(in crate::log) async fn prepare<M: Medium>(
    medium: &M,
    opened: Opened<M::Device>,
    settings: &Settings,
    known: &[Ban],
) -> Result<Prepared<M::Device>, OpenError> {
    let Opened { device, boot } = opened;
    let failed = |doing: &'static str| {
        let name = medium.name();
        move |error| OpenError::Device { name, doing, error }
    };
    let label = superblock::load(&device).await.map_err(failed("reading its description"))?;
    let found = bans::load(&device).await.map_err(failed("reading its bans"))?;
    let plan = plan(medium.name(), label, found, boot, settings)?;
    let capacity = settings.capacity.0;
    let (geometry, smaller, openings) = (plan.geometry, plan.smaller, plan.openings);
    let (bans, superblock) = plan.carry_out(&device, boot, settings, known).await.map_err(|error| {
        if error.kind() == io::ErrorKind::StorageFull {
            OpenError::NoRoom { name: medium.name(), capacity, error }
        } else {
            failed("preparing it")(error)
        }
    })?;
    let seed = Seed(settings.seed.0 ^ openings.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let smaller = smaller.map(|geometry| Smaller { geometry, superblock });
    Ok(Prepared { device, geometry, smaller, bans, seed })
}

fn plan(
    name: String,
    label: Label,
    found: FoundBans,
    boot: BootId,
    settings: &Settings,
) -> Result<Plan, OpenError> {
    let capacity = settings.capacity.0;
    let usual = Geometry::for_capacity(capacity)
        .map_err(|error| OpenError::Capacity { capacity, bound: error.bound.to_owned() })?;
    let (bans, mut stored) = match found {
        FoundBans::Whole(bans) => (bans, Stored::Kept),
        FoundBans::Lost => (BanAreas::default(), Stored::Forgotten),
    };
    match label {
        Label::Blank => {
            let (openings, segments_before, earlier) = (0, 0, Durability::Synced);
            let (geometry, smaller) = (usual, None);
            Ok(Plan { geometry, smaller, segments_before, openings, stored, earlier, bans })
        }
        Label::Known(superblock) => {
            let fitted = fit(name, superblock.geometry, &usual, capacity)?;
            if superblock.durability == Durability::Unsynced && superblock.boot != boot {
                stored = Stored::Forgotten;
            }
            // Segments that go may hold objects, and purges of what lies in those that stay: the store
            // empties them first.
            let there = Geometry::try_from(superblock.geometry).ok();
            let larger = there.filter(|there| there.capacity() > fitted.capacity());
            let (geometry, smaller) = match (stored, larger) {
                (Stored::Kept, Some(larger)) => (larger, Some(fitted)),
                (Stored::Kept, None) | (Stored::Forgotten, _) => (fitted, None),
            };
            Ok(Plan {
                geometry,
                smaller,
                segments_before: superblock.geometry.segments,
                openings: superblock.sequence,
                stored,
                earlier: superblock.durability,
                bans,
            })
        }
        Label::Version(version) => Err(OpenError::LaterLayout { name, version, known: LAYOUT_VERSION }),
        Label::Unreadable => Err(OpenError::NoLog { name }),
    }
}

/// The segments that are there, as many as the capacity allows.
fn fit(name: String, there: RawGeometry, usual: &Geometry, capacity: u64) -> Result<Geometry, OpenError> {
    let RawGeometry { segment_bytes, sector_bytes, block_bytes, .. } = there;
    let RawGeometry { sector_bytes: our_sector, block_bytes: our_block, .. } = usual.raw();
    if (sector_bytes, block_bytes) != (our_sector, our_block) {
        let has = format!("sectors of {sector_bytes} bytes and blocks of {block_bytes}");
        let bound = format!("one of a log with sectors of {our_sector} bytes and blocks of {our_block}");
        return Err(OpenError::Geometry { name, capacity, has, bound });
    }
    let fitted = Geometry::try_from(there).and_then(|there| there.with_capacity(capacity));
    match fitted {
        Ok(geometry) if geometry.raw().segments >= SEGMENTS_MIN => Ok(geometry),
        Ok(_) | Err(_) => {
            let has = format!("segments of {segment_bytes} bytes");
            let least = u64::from(SEGMENTS_MIN).saturating_mul(segment_bytes);
            let bound = format!("at least {least} bytes ({SEGMENTS_MIN} segments)");
            Err(OpenError::Geometry { name, capacity, has, bound })
        }
    }
}

impl Plan {
    async fn carry_out(
        self,
        device: &impl Device,
        boot: BootId,
        settings: &Settings,
        known: &[Ban],
    ) -> io::Result<(BanAreas, Superblock)> {
        let Self { geometry, smaller: _, segments_before, openings, stored, earlier, mut bans } = self;
        let raw = geometry.raw();
        match earlier {
            Durability::Synced => {}
            // Before the superblock says that all is synced, it must be.
            Durability::Unsynced => device.sync().await?,
        }
        if segments_before > raw.segments {
            // A later opening may want them again, and must not find what was deleted meanwhile.
            erase(device, &raw, raw.segments..segments_before).await?;
        }
        device.resize(device_bytes(&geometry)).await?;
        match stored {
            Stored::Kept => {}
            Stored::Forgotten => erase(device, &raw, 0..raw.segments.min(segments_before)).await?,
        }
        bans.merge(known);
        if bans.is_unsettled() {
            bans.store(device, || device.sync()).await?;
        }
        let durability = match settings.sync {
            SyncPolicy::Never => Durability::Unsynced,
            SyncPolicy::OnSeal | SyncPolicy::Every(_) => Durability::Synced,
        };
        let superblock = Superblock { sequence: openings, boot, durability, geometry: raw };
        let superblock = superblock.store(device).await?;
        Ok((bans, superblock))
    }
}
