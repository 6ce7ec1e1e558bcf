//! The tiers below L0, opened before anything is served.

use super::{StartError, servers};
use crate::{
    config::{Blobs, Disk, Durable, FeedLog, Index, RawSharedTerms, ServerConfig},
    store_connect::StoreConnect,
    world::Production,
};
use tiergate_driver::DurableParts;
use tiergate_engine::{RawDurableTier, Seed, TierId};
use tiergate_stores::{
    Agreeing, AnyBlobs, AnyIndex, DirectoryBlobs, EmbeddedIndex, EmbeddedOptions, NotAgreed, Replacing,
    SharedTerms,
};
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
        let durable = match (&config.durable, &config.cache.as_written().l3) {
            (Some(durable), Some(tier)) => Some(open_durable(durable, tier).await?),
            (Some(_) | None, Some(_) | None) => None,
        };
        let feed = match (&config.feed, &durable) {
            (Some(FeedLog::Redis(redis)), _) => Some(servers::redis_index(redis)?),
            (Some(FeedLog::Index), Some(durable)) => Some(durable.index.index().clone()),
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

/// A Redis or a bucket is connected to when it is first needed. A directory or a file that cannot be used
/// stops the start, and so do other terms than those of the edges that share the index, if it says them now.
/// One that is away is asked before it is used.
async fn open_durable(
    durable: &Durable,
    tier: &RawDurableTier,
) -> Result<DurableParts<Production>, StartError> {
    let failed = |key| move |error| StartError::Store { key, error };
    let blobs = match &durable.blobs {
        Blobs::Dir(directory) => {
            let opened = DirectoryBlobs::open(directory).await;
            AnyBlobs::Directory(opened.map_err(failed("storage.l3.blobs.dir"))?)
        }
        #[cfg(feature = "s3")]
        Blobs::S3(bucket) => super::bucket::open_blobs(bucket)?,
        #[cfg(not(feature = "s3"))]
        Blobs::S3(_) => return Err(without_s3("storage.l3.blobs.s3")),
    };
    let replacing = match durable.terms {
        RawSharedTerms::Compare => Replacing::No,
        RawSharedTerms::Replace => Replacing::Yes,
    };
    let shared = |index| Agreeing::new(index, SharedTerms::of(tier), replacing);
    let index = match &durable.index {
        Index::Redis(redis) => shared(servers::redis_index(redis)?),
        Index::Postgres(postgres) => shared(servers::postgres_index(postgres).await?),
        Index::Embedded(file) => {
            let opened = EmbeddedIndex::open(file, EmbeddedOptions::default()).await;
            Agreeing::alone(AnyIndex::Embedded(opened.map_err(failed("storage.l3.index.embedded"))?))
        }
        #[cfg(feature = "s3")]
        Index::S3(bucket) => shared(super::bucket::open_index(bucket).await?),
        #[cfg(not(feature = "s3"))]
        Index::S3(_) => return Err(without_s3("storage.l3.index.s3")),
    };
    match index.agree().await {
        Ok(()) => {}
        Err(NotAgreed::Disagreement(differs)) => return Err(StartError::Terms(differs)),
        Err(NotAgreed::Unknown(error)) => {
            tracing::warn!(%error, "the index of L3 is away: it is used once it is back, and agrees in its terms");
        }
    }
    Ok(DurableParts { blobs, index })
}

#[cfg(not(feature = "s3"))]
fn without_s3(key: &str) -> StartError {
    let why = "is given, but this program was built without the feature `s3`: build it with that";
    StartError::Bucket { key: key.to_owned(), why: why.to_owned() }
}

async fn open_disk(disk: &Disk) -> Result<LogTier<FileMedium>, StartError> {
    let Disk { directories, io, sync, capacity } = disk;
    let media = directories.iter().map(|directory| FileMedium::new(directory, *io)).collect();
    let seed = Seed(getrandom::u64().map_err(StartError::Chance)?);
    let options = LogOptions { capacity: *capacity, sync: *sync, seed };
    LogTier::open(media, options).await.map_err(StartError::Disk)
}
