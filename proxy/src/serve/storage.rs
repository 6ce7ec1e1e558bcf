//! The tiers below L0, opened before anything is served.

use super::StartError;
use crate::{
    config::{Blobs, Disk, Durable, FeedLog, Index, RawSharedTerms, ServerConfig},
    world::Production,
};
use std::sync::Arc;
use tiergate_driver::DurableParts;
use tiergate_engine::{RawDurableTier, Seed, TierId};
use tiergate_stores::{
    Agreeing, AnyBlobs, AnyIndex, DirectoryBlobs, EmbeddedIndex, EmbeddedOptions, NotAgreed, Replacing,
    SharedTerms,
};
use tiergate_tiers::{
    AnyTier, FileMedium, Io, LogOptions, LogTier, RedisOptions, RedisStore, RedisStoreOptions, RedisTier,
    TcpConnect,
};

/// What stands behind the tiers' names.
pub(super) struct Storage {
    redis: Option<RedisTier<TcpConnect>>,
    disk: Option<LogTier<FileMedium>>,
    durable: Option<DurableParts<Production>>,
    feed: Option<AnyIndex<TcpConnect>>,
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
        let durable = match (&config.durable, &config.cache.as_written().l3) {
            (Some(durable), Some(tier)) => Some(open_durable(durable, tier).await?),
            (Some(_) | None, Some(_) | None) => None,
        };
        let feed = config.feed.as_ref().map(|log| match (log, &durable) {
            (FeedLog::Redis(redis), _) => redis_index(redis),
            (FeedLog::Index, Some(durable)) => durable.index.index().clone(),
            (FeedLog::Index, None) => unreachable!("the configuration was checked: there is an index"),
        });
        Ok(Self { redis, disk, durable, feed })
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
    pub(super) fn take_feed(&mut self) -> Option<AnyIndex<TcpConnect>> {
        self.feed.take()
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

/// A Redis or a bucket is connected to when it is first needed. A directory or a file that cannot be used stops
/// the start, and so do other terms than those of the edges that share the index, if it says them now. One that
/// is away is asked before it is used.
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
        Index::Redis(redis) => shared(redis_index(redis)),
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

fn redis_index(redis: &str) -> AnyIndex<TcpConnect> {
    let store = RedisStore::new(TcpConnect, redis.to_owned(), RedisStoreOptions::default());
    AnyIndex::Redis(Arc::new(store))
}

async fn open_disk(disk: &Disk) -> Result<LogTier<FileMedium>, StartError> {
    let Disk { directories, io, sync, capacity } = disk;
    let media = directories.iter().map(|directory| FileMedium::new(directory, *io)).collect();
    let seed = Seed(getrandom::u64().map_err(StartError::Chance)?);
    let options = LogOptions { capacity: *capacity, sync: *sync, seed };
    LogTier::open(media, options).await.map_err(StartError::Disk)
}
