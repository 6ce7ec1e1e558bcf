//! The tiers below L0, opened before anything is served.

use super::{StartError, servers};
use crate::{
    config::{Disk, Durable, FeedLog, Index, RawBlobs, ServerConfig},
    store_connect::StoreConnect,
    world::Production,
};
use tiergate_driver::DurableParts;
use tiergate_engine::{Seed, TierId};
use tiergate_stores::{AnyBlobs, AnyIndex, DirectoryBlobs, EmbeddedIndex, EmbeddedOptions};
use tiergate_tiers::{AnyTier, FileMedium, Io, LogOptions, LogTier};

/// What stands behind the tiers' names.
pub(super) struct Storage {
    shared: Option<AnyTier<StoreConnect>>,
    disk: Option<LogTier<FileMedium>>,
    durable: Option<DurableParts<Production>>,
    feed: Option<AnyIndex<StoreConnect>>,
}

impl Storage {
    /// A server is connected to when it is first needed: one that is down is no reason not to start. A
    /// directory that cannot be used is, and a password that cannot be read.
    pub(super) async fn open(config: &ServerConfig) -> Result<Self, StartError> {
        let shared = config.shared.as_ref().map(servers::shared_memory).transpose()?;
        let disk = match &config.disk {
            Some(disk) => Some(open_disk(disk).await?),
            None => None,
        };
        let durable = match &config.durable {
            Some(durable) => Some(open_durable(durable).await?),
            None => None,
        };
        let feed = match (&config.feed, &durable) {
            (Some(FeedLog::Redis(redis)), _) => Some(servers::redis_index(redis)?),
            (Some(FeedLog::Index), Some(durable)) => Some(durable.index.clone()),
            (Some(FeedLog::Index), None) => {
                unreachable!("the configuration was checked: there is an index")
            }
            (None, _) => None,
        };
        Ok(Self { shared, disk, durable, feed })
    }

    /// How the disk is asked, to be shown.
    pub(super) fn io(&self) -> Option<Io> {
        self.disk.as_ref().and_then(|tier| tier.media().find_map(FileMedium::io))
    }

    /// The stores of L3, if there is one. Once.
    pub(super) fn take_durable(&mut self) -> Option<DurableParts<Production>> {
        self.durable.take()
    }

    /// The log of the feed, if there is one. Once.
    pub(super) fn take_feed(&mut self) -> Option<AnyIndex<StoreConnect>> {
        self.feed.take()
    }

    /// What stands behind a name. Once for each.
    pub(super) fn take(&mut self, tier: TierId) -> AnyTier<StoreConnect> {
        let taken = match tier {
            TierId::L1 => self.shared.take(),
            TierId::L2 => self.disk.take().map(AnyTier::Log),
            TierId::L0 | TierId::L3 => None,
        };
        taken.unwrap_or_else(|| unreachable!("the configuration was checked: {tier:?} has a storage"))
    }
}

/// A Redis is connected to when it is first needed. A directory or a file that cannot be used stops the
/// start.
async fn open_durable(durable: &Durable) -> Result<DurableParts<Production>, StartError> {
    let RawBlobs::Dir(directory) = &durable.blobs;
    let failed = |key| move |error| StartError::Store { key, error };
    let blobs = DirectoryBlobs::open(directory).await.map_err(failed("storage.l3.blobs.dir"))?;
    let index = match &durable.index {
        Index::Redis(redis) => servers::redis_index(redis)?,
        Index::Postgres(postgres) => servers::postgres_index(postgres).await?,
        Index::Embedded(file) => {
            let opened = EmbeddedIndex::open(file, EmbeddedOptions::default()).await;
            AnyIndex::Embedded(opened.map_err(failed("storage.l3.index.embedded"))?)
        }
    };
    Ok(DurableParts { blobs: AnyBlobs::Directory(blobs), index })
}

async fn open_disk(disk: &Disk) -> Result<LogTier<FileMedium>, StartError> {
    let Disk { directories, io, sync, capacity } = disk;
    let media = directories.iter().map(|directory| FileMedium::new(directory, *io)).collect();
    let seed = Seed(getrandom::u64().map_err(StartError::Chance)?);
    let options = LogOptions { capacity: *capacity, sync: *sync, seed };
    LogTier::open(media, options).await.map_err(StartError::Disk)
}
