//! The tiers below L0, opened before anything is served.

use super::StartError;
use crate::config::{Disk, ServerConfig};
use tiergate_engine::{Seed, TierId};
use tiergate_tiers::{AnyTier, FileMedium, Io, LogOptions, LogTier, RedisOptions, RedisTier, TcpConnect};

/// What stands behind the tiers' names.
pub(super) struct Storage {
    redis: Option<RedisTier<TcpConnect>>,
    disk: Option<LogTier<FileMedium>>,
}

impl Storage {
    /// A Redis is connected to when it is first needed: one that is down is no reason not to start. A
    /// directory that cannot be used is.
    pub(super) async fn open(config: &ServerConfig) -> Result<Self, StartError> {
        let redis = config.redis.as_deref();
        let redis = redis.map(|redis| RedisTier::new(TcpConnect, redis, RedisOptions::default()));
        let disk = match &config.disk {
            Some(disk) => Some(open_disk(disk).await?),
            None => None,
        };
        Ok(Self { redis, disk })
    }

    /// How the disk is asked, to be shown.
    pub(super) fn io(&self) -> Option<Io> {
        self.disk.as_ref().and_then(|tier| tier.media().find_map(FileMedium::io))
    }

    /// What stands behind a name. Once for each.
    pub(super) fn take(&mut self, tier: TierId) -> AnyTier<TcpConnect> {
        let taken = match tier {
            TierId::L1 => self.redis.take().map(AnyTier::Redis),
            TierId::L2 => self.disk.take().map(AnyTier::Log),
            TierId::L0 | TierId::L3 => None,
        };
        taken.unwrap_or_else(|| unreachable!("the configuration was checked: {tier:?} has a storage"))
    }
}

async fn open_disk(disk: &Disk) -> Result<LogTier<FileMedium>, StartError> {
    let Disk { directories, io, sync, capacity } = disk;
    let media = directories.iter().map(|directory| FileMedium::new(directory, *io)).collect();
    let seed = Seed(getrandom::u64().map_err(StartError::Chance)?);
    let options = LogOptions { capacity: *capacity, sync: *sync, seed };
    LogTier::open(media, options).await.map_err(StartError::Disk)
}
