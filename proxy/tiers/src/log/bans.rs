//! The bans in force, kept on the device: what was purged by more than its key.
//!
//! Two areas hold the whole list, with a sequence number and a checksum. A ban is acknowledged once it is in
//! both, each synced before the other is begun, so a crash tears one at most, and rot in one loses nothing. A
//! torn area is not what was acknowledged, so the other counts. If neither is whole though both were written,
//! nobody knows what was purged, and everything stored counts as purged: the tier forgets it.

use super::{
    device::Device,
    layout::{BAN_AREAS, read_all},
};
use bytes::Bytes;
use std::io;
use tiergate_engine::{
    BANS_MAX, Ban, Bans, PREFIX_BYTES_MAX,
    format::{self, LogEnding},
};

/// The bytes of one area.
pub(super) const BAN_AREA_BYTES: u64 = 4 << 20;
const MAGIC: [u8; 8] = *b"tgtbans2";
/// Magic, sequence, length.
const HEADER_BYTES: usize = 8 + 8 + 8;
const CHECKSUM_BYTES: usize = 4;
/// Two bans of everything may come on top. An encoded ban has less than this beside its selector.
const _: () = assert!(
    (BANS_MAX + 2) * (PREFIX_BYTES_MAX + 128) + HEADER_BYTES + CHECKSUM_BYTES <= BAN_AREA_BYTES as usize
);
/// What is read first: enough for a few.
const FIRST_READ: usize = 4096;

/// What is in force, and what the areas hold of it.
#[derive(Clone, Debug, Default)]
pub(super) struct BanAreas {
    bans: Bans,
    sequence: u64,
    /// The area to write first: what is lost there is no loss.
    first: usize,
    /// Do both areas hold what is in force?
    standing: Standing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// Yes.
    Settled,
    /// Not for sure.
    #[default]
    Unsettled,
}

/// What was found on a device.
#[derive(Clone, Debug)]
pub(super) enum FoundBans {
    /// All that was acknowledged.
    Whole(BanAreas),
    /// Nobody knows.
    Lost,
}

/// One area.
#[derive(Clone, Debug)]
enum Area {
    Blank,
    Whole { sequence: u64, bans: Vec<Ban> },
    Torn,
}

/// Reads both areas.
pub(super) async fn load(device: &impl Device) -> io::Result<FoundBans> {
    let [one, two] = [read(device, BAN_AREAS[0]).await?, read(device, BAN_AREAS[1]).await?];
    Ok(judge(one, two))
}

async fn read(device: &impl Device, area: u64) -> io::Result<Area> {
    let first = read_all(device, area, FIRST_READ).await?;
    let Some(length) = length(&first) else {
        let is_blank = first.iter().all(|byte| *byte == 0);
        return Ok(if is_blank { Area::Blank } else { Area::Torn });
    };
    if length <= first.len() {
        return Ok(decode(&first));
    }
    Ok(decode(&read_all(device, area, length).await?))
}

/// The bytes of an area's list with all that belongs to it, as its header says.
fn length(bytes: &[u8]) -> Option<usize> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let length = u64::from_le_bytes(*rest.get(8..)?.first_chunk()?);
    let length = usize::try_from(length).ok()?.checked_add(HEADER_BYTES + CHECKSUM_BYTES)?;
    (*magic == MAGIC && length as u64 <= BAN_AREA_BYTES).then_some(length)
}

fn decode(bytes: &[u8]) -> Area {
    let whole = || {
        let bytes = bytes.get(..length(bytes)?)?;
        let (summed, sum) = bytes.split_last_chunk()?;
        if u32::from_le_bytes(*sum) != crc32fast::hash(summed) {
            return None;
        }
        let sequence = u64::from_le_bytes(*summed.get(8..)?.first_chunk()?);
        let log = format::decode_bans(summed.get(HEADER_BYTES..)?).ok()?;
        match log.ending {
            LogEnding::Clean => Some(Area::Whole { sequence, bans: log.bans }),
            LogEnding::Torn => None,
        }
    };
    whole().unwrap_or(Area::Torn)
}

fn encode(sequence: u64, bans: &Bans) -> Bytes {
    let list: Vec<u8> = bans.iter().flat_map(format::encode_ban).collect();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + list.len() + CHECKSUM_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&(list.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&list);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    // Reads are of whole sectors.
    bytes.resize(bytes.len().next_multiple_of(FIRST_READ), 0);
    bytes.into()
}

fn judge(one: Area, two: Area) -> FoundBans {
    let found = |sequence, bans: Vec<Ban>, first, standing| {
        let mut taken = Bans::default();
        for ban in bans {
            taken.push(ban);
        }
        FoundBans::Whole(BanAreas { bans: taken, sequence, first, standing })
    };
    match (one, two) {
        (Area::Whole { sequence: one, bans }, Area::Whole { sequence: two, .. }) if one == two => {
            found(one, bans, 0, Standing::Settled)
        }
        (Area::Whole { sequence: one, .. }, Area::Whole { sequence: two, bans }) if one < two => {
            found(two, bans, 0, Standing::Unsettled)
        }
        (Area::Whole { sequence, bans }, Area::Whole { .. } | Area::Blank | Area::Torn) => {
            found(sequence, bans, 1, Standing::Unsettled)
        }
        (Area::Blank | Area::Torn, Area::Whole { sequence, bans }) => {
            found(sequence, bans, 0, Standing::Unsettled)
        }
        // The first list of all was being written: it was not acknowledged.
        (Area::Blank | Area::Torn, Area::Blank) | (Area::Blank, Area::Torn) => {
            found(0, Vec::new(), 0, Standing::Unsettled)
        }
        (Area::Torn, Area::Torn) => FoundBans::Lost,
    }
}

impl BanAreas {
    /// What is in force, oldest first.
    pub(super) fn in_force(&self) -> Vec<Ban> {
        self.bans.iter().cloned().collect()
    }

    /// Takes over what another device held, or this one before it failed.
    pub(super) fn merge(&mut self, other: &[Ban]) {
        for ban in other {
            if !self.bans.say(ban) {
                self.bans.push(ban.clone());
                self.standing = Standing::Unsettled;
            }
        }
    }

    /// Puts another ban into force.
    pub(super) fn push(&mut self, ban: &Ban) {
        self.merge(std::slice::from_ref(ban));
    }

    /// Do the areas lack something?
    pub(super) fn is_unsettled(&self) -> bool {
        match self.standing {
            Standing::Settled => false,
            Standing::Unsettled => true,
        }
    }

    /// Writes what is in force into both areas; `sync` says how each is made durable.
    pub(super) async fn store<S: Future<Output = io::Result<()>>>(
        &mut self,
        device: &impl Device,
        sync: impl Fn() -> S,
    ) -> io::Result<()> {
        self.standing = Standing::Unsettled;
        self.sequence += 1;
        let bytes = encode(self.sequence, &self.bans);
        let first = self.first;
        for area in [first, 1 - first] {
            // Until this one is whole, the other must stay.
            self.first = area;
            device.write(BAN_AREAS[area], bytes.clone()).await?;
            sync().await?;
        }
        self.standing = Standing::Settled;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
