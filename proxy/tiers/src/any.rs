//! The byte tiers that a configuration can name, as one type.

use crate::{Connect, FileMedium, LogTier, Medium, MemcachedTier, RedisTier, TcpConnect};
use bytes::Bytes;
use std::sync::Arc;
use tiergate_driver::{ByteTier, Contents, Found, Handle, TierError};
use tiergate_engine::{Ban, Freshening, ReadSource, Record, RecordId, RecordName, StoredKey, WriterId};

/// Any byte tier: a driver has one type for all of its tiers.
pub enum AnyTier<C: Connect = TcpConnect, M: Medium = FileMedium> {
    /// Logs on the local disk.
    Log(LogTier<M>),
    /// A Redis.
    Redis(RedisTier<C>),
    /// A memcached.
    Memcached(MemcachedTier<C>),
}

/// Calls the same method of whichever tier it is.
macro_rules! forward {
    ($self:ident, $tier:ident => $call:expr) => {
        match $self {
            AnyTier::Log($tier) => $call,
            AnyTier::Redis($tier) => $call,
            AnyTier::Memcached($tier) => $call,
        }
    };
}

impl<C: Connect, M: Medium> ByteTier for AnyTier<C, M> {
    async fn join(&self) -> Contents {
        forward!(self, tier => tier.join().await)
    }

    async fn recover_bans(&self) -> Result<Vec<Ban>, TierError> {
        forward!(self, tier => tier.recover_bans().await)
    }

    async fn store_ban(&self, ban: Arc<Ban>) -> Result<(), TierError> {
        forward!(self, tier => tier.store_ban(ban).await)
    }

    async fn lookup(&self, handle: Handle<RecordId>, key: StoredKey) -> Result<Option<Found>, TierError> {
        forward!(self, tier => tier.lookup(handle, key).await)
    }

    async fn read(
        &self,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, TierError> {
        forward!(self, tier => tier.read(source, offset, length_max).await)
    }

    fn release(&self, handle: Handle<RecordId>) {
        forward!(self, tier => tier.release(handle));
    }

    async fn open(
        &self,
        handle: Handle<WriterId>,
        key: StoredKey,
        name: RecordName,
    ) -> Result<(), TierError> {
        forward!(self, tier => tier.open(handle, key, name).await)
    }

    async fn write(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), TierError> {
        forward!(self, tier => tier.write(handle, chunk).await)
    }

    async fn commit(&self, handle: Handle<WriterId>, record: Arc<Record>) -> Result<(), TierError> {
        forward!(self, tier => tier.commit(handle, record).await)
    }

    fn discard(&self, handle: Handle<WriterId>) {
        forward!(self, tier => tier.discard(handle));
    }

    async fn freshen(&self, record: Arc<Record>) -> Result<Freshening, TierError> {
        forward!(self, tier => tier.freshen(record).await)
    }

    async fn delete(&self, key: StoredKey, name: Option<RecordName>) -> Result<bool, TierError> {
        forward!(self, tier => tier.delete(key, name).await)
    }
}
