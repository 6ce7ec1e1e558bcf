//! The local disk as a tier: a log on one preallocated file in each directory, by the engine's own store.
//!
//! ```text
//! LogTier ──key──▶ Volume ──▶ Session: the store behind a lock ──▶ Device
//!                  open, recover, heal        steps                  NOWAIT, io_uring, pool
//! ```
//!
//! The store (`tiergate_engine::store`) decides and is simulated; here its effects are run. Several
//! directories share the keys by their bits. `docs/format.md` has the layout, and argues crash by crash.
//! Start at [`LogTier::open`].

mod bans;
mod buffers;
mod device;
mod error;
mod file;
mod layout;
mod now;
mod pool;
mod ring;
mod session;
mod superblock;
mod volume;

pub use device::{BootId, Device, Medium, Opened};
pub use error::{About, OpenError};
pub use file::{FileDevice, FileMedium, Io, IoChoice};
pub use layout::device_bytes;
pub use now::Inline;

use crate::abort::Task;
use bytes::Bytes;
use dashmap::DashMap;
use session::{Answer, OpenRecord, OpenWriter, Session, failed, refused};
use std::{sync::Arc, time::Duration};
use tiergate_driver::{ByteTier, Contents, Found, Handle, TierError};
use tiergate_engine::{
    Ban, ByteCount, CacheKey, Freshening, ReadSource, Record, RecordId, RecordName, Seed, StoredKey,
    WriterId, store::Input,
};
use tokio::sync::Notify;
use volume::{Settings, Volume, prepare};

/// When what was committed is made durable. A purge is durable before it is acknowledged, whatever this says:
/// under [`Never`](SyncPolicy::Never) because everything stored is forgotten when the system has been booted
/// anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Never. A process that ends, however it does, loses nothing; a system that ends loses everything.
    Never,
    /// When a segment is full. A system that ends loses what was stored since then.
    OnSeal,
    /// That, and so often. A system that ends loses what was stored in that time.
    Every(Duration),
}

/// What a log is run with.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Of all media together.
    pub capacity: ByteCount,
    /// When what was committed is made durable.
    pub sync: SyncPolicy,
    /// What chance comes from.
    pub seed: Seed,
}

/// Records in logs on the local disk.
pub struct LogTier<M: Medium> {
    volumes: Vec<Arc<Volume<M>>>,
    records: DashMap<Handle<RecordId>, Arc<OpenRecord<M::Device>>>,
    writers: DashMap<Handle<WriterId>, Arc<OpenWriter<M::Device>>>,
    /// Told when a volume has come up.
    risen: Arc<Notify>,
    /// The lives of the volumes.
    _tasks: Vec<Task>,
}

impl<M: Medium> LogTier<M> {
    /// Takes the media for this process, reads what they say about themselves, and begins to recover what
    /// they hold: see [`ByteTier::join`]. Waits for a few disk writes.
    ///
    /// # Errors
    /// One of them cannot be used. The error says what to do; nothing was deleted.
    pub async fn open(media: Vec<M>, options: LogOptions) -> Result<Self, OpenError> {
        let LogOptions { capacity, sync, seed } = options;
        let capacity = ByteCount(capacity.0 / media.len().max(1) as u64);
        let risen = Arc::new(Notify::new());
        let mut volumes = Vec::new();
        for (number, medium) in (1..).zip(media) {
            let seed = Seed(seed.0.rotate_left(number));
            let settings = Settings { capacity, sync, seed };
            let opened = medium.open().await?;
            let prepared = prepare(&medium, opened, &settings, &[]).await?;
            volumes.push(Arc::new(Volume::new(medium, settings, prepared, Arc::clone(&risen))));
        }
        let tasks = volumes.iter().map(|volume| Task::spawn(Arc::clone(volume).run())).collect();
        Ok(Self { volumes, records: DashMap::new(), writers: DashMap::new(), risen, _tasks: tasks })
    }

    /// The media, as they were given.
    pub fn media(&self) -> impl Iterator<Item = &M> {
        self.volumes.iter().map(|volume| volume.medium())
    }

    /// All records of a target lie on one volume.
    fn volume(&self, target: CacheKey) -> &Arc<Volume<M>> {
        let number = target.0 % self.volumes.len().max(1) as u128;
        &self.volumes[usize::try_from(number).unwrap_or(0)]
    }

    fn session(&self, key: StoredKey) -> Result<Arc<Session<M::Device>>, TierError> {
        self.volume(key.target).session()
    }

    fn writer(&self, handle: Handle<WriterId>) -> Result<Arc<OpenWriter<M::Device>>, TierError> {
        let writer = self.writers.get(&handle).map(|writer| Arc::clone(&writer));
        writer.ok_or_else(|| failed(&format!("writer {handle:?} is not open")))
    }
}

async fn delete<M: Medium>(
    volume: &Volume<M>,
    key: StoredKey,
    name: Option<RecordName>,
) -> Result<bool, TierError> {
    let session = volume.recovered().await?;
    match session.ask(|op| Input::Delete { op, key, name }).await? {
        (Answer::Deleted { existed }, _) => Ok(existed),
        (Answer::Failed(why), _) => Err(refused("deleting", why)),
        (
            Answer::Done | Answer::Found { .. } | Answer::Absent | Answer::Read(_) | Answer::Freshened(_),
            _,
        ) => unreachable!("a deletion has other answers"),
    }
}

impl<M: Medium> ByteTier for LogTier<M> {
    async fn join(&self) -> Contents {
        loop {
            let risen = self.risen.notified();
            let mut all = Contents::default();
            let mut up = 0;
            for volume in &self.volumes {
                if let Some(Contents { objects, bytes }) = volume.contents().await {
                    up += 1;
                    all.objects += objects;
                    all.bytes.0 += bytes.0;
                }
            }
            if up > 0 {
                return all;
            }
            // All of them are down: as soon as one is not, there is something to ask.
            risen.await;
        }
    }

    async fn recover_bans(&self) -> Result<Vec<Ban>, TierError> {
        let mut bans: Vec<Ban> = Vec::new();
        for volume in &self.volumes {
            let more = volume.bans().await;
            bans.extend(more.into_iter().filter(|ban| !bans.contains(ban)).collect::<Vec<_>>());
        }
        bans.sort_by_key(|ban| ban.at);
        Ok(bans)
    }

    async fn store_ban(&self, ban: Arc<Ban>) -> Result<(), TierError> {
        let mut stored = Ok(());
        for volume in &self.volumes {
            let (volume, ban) = (Arc::clone(volume), Arc::clone(&ban));
            // A task of its own: it must not end in the middle because nobody waits any more.
            let task = tokio::spawn(async move { volume.store_ban(&ban).await });
            let one = task.await.unwrap_or_else(|error| Err(failed(&format!("storing a ban: {error}"))));
            stored = stored.and(one);
        }
        stored
    }

    async fn lookup(&self, handle: Handle<RecordId>, key: StoredKey) -> Result<Option<Found>, TierError> {
        let Some((found, open)) = self.session(key)?.lookup(key).await? else {
            return Ok(None);
        };
        self.records.insert(handle, Arc::new(open));
        Ok(Some(found))
    }

    async fn read(
        &self,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, TierError> {
        let shard = source.shard;
        match source.id {
            ReadSource::Record(id) => {
                let record = self.records.get(&Handle { shard, id }).map(|record| Arc::clone(&record));
                let record = record.ok_or_else(|| failed(&format!("{source:?} is not open")))?;
                record.read(offset, length_max).await
            }
            ReadSource::Writer(id) => self.writer(Handle { shard, id })?.read(offset, length_max).await,
        }
    }

    fn release(&self, handle: Handle<RecordId>) {
        self.records.remove(&handle);
    }

    async fn open(
        &self,
        handle: Handle<WriterId>,
        key: StoredKey,
        name: RecordName,
    ) -> Result<(), TierError> {
        let writer = self.session(key)?.open_writer(key, name)?;
        self.writers.insert(handle, Arc::new(writer));
        Ok(())
    }

    async fn write(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), TierError> {
        self.writer(handle)?.append(chunk).await
    }

    async fn commit(&self, handle: Handle<WriterId>, record: Arc<Record>) -> Result<(), TierError> {
        self.writer(handle)?.commit(record).await
    }

    fn discard(&self, handle: Handle<WriterId>) {
        self.writers.remove(&handle);
    }

    async fn freshen(&self, record: Arc<Record>) -> Result<Freshening, TierError> {
        let session = self.session(record.stored_key())?;
        match session.ask(|op| Input::Freshen { op, record }).await? {
            (Answer::Freshened(freshening), _) => Ok(freshening),
            (Answer::Failed(why), _) => Err(refused("freshening", why)),
            (
                Answer::Done
                | Answer::Found { .. }
                | Answer::Absent
                | Answer::Read(_)
                | Answer::Deleted { .. },
                _,
            ) => unreachable!("a freshening has other answers"),
        }
    }

    async fn delete(&self, key: StoredKey, name: Option<RecordName>) -> Result<bool, TierError> {
        match name {
            Some(name) => delete(self.volume(key.target), key, Some(name)).await,
            // With another number of directories, a target had another place: a purge goes everywhere.
            None => {
                let mut deleted = Ok(false);
                for volume in &self.volumes {
                    let one = delete(volume, key, None).await;
                    deleted = match (deleted, one) {
                        (Ok(before), Ok(existed)) => Ok(before || existed),
                        (Err(error), _) | (Ok(_), Err(error)) => Err(error),
                    };
                }
                deleted
            }
        }
    }
}

#[cfg(test)]
mod tests;
