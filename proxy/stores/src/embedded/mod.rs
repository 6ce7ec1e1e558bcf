//! Index rows and the purge feed in one file of this process, a redb database.
//!
//! Every write is one transaction that is on the disk before it is acknowledged, one at a time, on the
//! runtime's pool of threads; reads run beside it. As writes go by, a few droppable rows are swept and the
//! feed is trimmed. Nothing is dropped by a read. `file` has the tables and their opening, `clock` the clock
//! that never goes back, `rows` and `log` what is done in a transaction. Start at [`EmbeddedIndex`].

mod clock;
mod file;
mod log;
mod rows;
#[cfg(test)]
mod tests;

use crate::{FeedBounds, OpenError, SystemClock, WallClock, blocking::blocking};
use clock::KeptClock;
use redb::{Database, ReadableDatabase, WriteTransaction};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tiergate_driver::{FeedPage, FoundRow, IndexStore, PurgeFeed, Row, StoreError, Written};
use tiergate_engine::{
    ByteCount, CacheKey, WallTime,
    durable::Version,
    feed::{FeedOrigin, Notice, Sequence, Ticket},
};

/// How an embedded index is kept.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// What its clock is made of. Default: the system's.
    pub clock: Arc<dyn WallClock>,
    /// How much of the feed is kept. Default: a day, and 100 000 entries.
    pub feed: FeedBounds,
    /// Memory for pages of the file. Default: 64 MiB.
    pub cache: ByteCount,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), feed: FeedBounds::default(), cache: ByteCount(64 << 20) }
    }
}

impl fmt::Debug for EmbeddedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clock: _, feed, cache } = self;
        f.debug_struct("EmbeddedOptions").field("feed", feed).field("cache", cache).finish_non_exhaustive()
    }
}

/// An index and a feed in one file that no other process has open. Cloning shares it. Dropping the last clone
/// closes the file, once the disk has answered what was asked of it.
#[derive(Clone)]
pub struct EmbeddedIndex(Arc<Inner>);

struct Inner {
    path: PathBuf,
    database: Database,
    clock: KeptClock,
    bounds: FeedBounds,
    /// Held by whoever writes. The database would make threads of the pool wait instead of tasks.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What a transaction did.
enum Done<T> {
    /// It wrote: the answer is told once that is on the disk.
    Wrote(T),
    /// It only looked.
    Looked(T),
}

impl fmt::Debug for EmbeddedIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedIndex").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl EmbeddedIndex {
    /// Opens the file, or makes it in a folder that exists.
    ///
    /// # Errors
    /// It cannot be used; the error says what to do.
    pub async fn open(path: impl Into<PathBuf>, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let path = path.into();
        let tried = path.clone();
        match tokio::task::spawn_blocking(move || Self::open_now(path, options)).await {
            Ok(opened) => opened,
            Err(error) => Err(OpenError::unusable(&tried, "opening")(io::Error::other(error))),
        }
    }

    fn open_now(path: PathBuf, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let EmbeddedOptions { clock, feed: bounds, cache } = options;
        let database = file::open(&path, cache, clock.now())?;
        let promised = file::promised(&database).map_err(file::unreadable(&path))?;
        let clock = KeptClock::new(clock, promised);
        Ok(Self(Arc::new(Inner { path, database, clock, bounds, turn: Arc::default() })))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    async fn look<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let looked = inner.database.begin_read().map_err(redb::Error::from).and_then(|seen| work(&seen));
            looked.map_err(file::failed(&inner.path, doing))
        })
        .await
    }

    async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&WriteTransaction, WallTime) -> Result<Done<T>, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.0.turn).lock_owned().await;
        let inner = Arc::clone(&self.0);
        blocking(move || {
            // The turn ends with the work, also when its caller has left.
            let _turn = turn;
            inner.transact(work).map_err(file::failed(&inner.path, doing))
        })
        .await
    }

    async fn swap(&self, key: CacheKey, expected: Option<Version>, row: Row) -> Result<Written, StoreError> {
        self.write("writing a row", move |transaction, now| {
            Ok(match rows::swap(transaction, key, expected, &row)? {
                true => Done::Wrote(Written::Done { now }),
                false => Done::Looked(Written::Refused),
            })
        })
        .await
    }
}

impl Inner {
    fn transact<T>(
        &self,
        work: impl FnOnce(&WriteTransaction, WallTime) -> Result<Done<T>, redb::Error>,
    ) -> Result<T, redb::Error> {
        let transaction = self.database.begin_write()?;
        let now = self.clock.now();
        match work(&transaction, now)? {
            Done::Looked(answer) => {
                transaction.abort()?;
                Ok(answer)
            }
            Done::Wrote(answer) => {
                rows::sweep(&transaction, now)?;
                log::trim(&transaction, self.bounds, now)?;
                let promise = clock::promise_at(now);
                file::keep_promise(&transaction, promise)?;
                transaction.commit()?;
                self.clock.on_promised(promise);
                Ok(answer)
            }
        }
    }
}

impl IndexStore for EmbeddedIndex {
    async fn get(&self, key: CacheKey) -> Result<FoundRow, StoreError> {
        let row = self.look("reading a row", move |seen| rows::get(seen, key)).await?;
        let now = match self.0.clock.promised_now() {
            Some(now) => now,
            // A later life must not tell less, so it is written down first.
            None => self.write("keeping the time", |_, now| Ok(Done::Wrote(now))).await?,
        };
        Ok(FoundRow { row, now })
    }

    async fn put_new(&self, key: CacheKey, row: Row) -> Result<Written, StoreError> {
        self.swap(key, None, row).await
    }

    async fn cas_update(&self, key: CacheKey, expected: Version, row: Row) -> Result<Written, StoreError> {
        self.swap(key, Some(expected), row).await
    }

    async fn touch(
        &self,
        key: CacheKey,
        version: Version,
        expires: WallTime,
        droppable: WallTime,
    ) -> Result<(), StoreError> {
        self.write("touching a row", move |transaction, _| {
            Ok(match rows::touch(transaction, key, version, expires, droppable)? {
                true => Done::Wrote(()),
                false => Done::Looked(()),
            })
        })
        .await
    }

    async fn delete(&self, key: CacheKey, version: Version) -> Result<(), StoreError> {
        self.write("dropping a row", move |transaction, now| {
            Ok(match rows::drop_if_due(transaction, key, version, now)? {
                true => Done::Wrote(()),
                false => Done::Looked(()),
            })
        })
        .await
    }
}

impl PurgeFeed for EmbeddedIndex {
    async fn append(
        &self,
        origin: FeedOrigin,
        ticket: Ticket,
        notice: Notice,
    ) -> Result<Sequence, StoreError> {
        self.write("appending to the purge feed", move |transaction, now| {
            log::append(transaction, origin, ticket, notice, now)
        })
        .await
    }

    async fn read(&self, after: Sequence) -> Result<FeedPage, StoreError> {
        let page = self.look("reading the purge feed", move |seen| log::page(seen, after)).await?;
        page.map_err(|why| file::rotten(&self.0.path, &why))
    }
}
