//! Index rows and the purge feed in a PostgreSQL database, or one that speaks its protocol, of all edges that
//! reach it.
//!
//! ```text
//! tiergate_rows         a row for each key: version (64 bits, signed here), times in milliseconds, value
//! tiergate_feed_state   one row: the last sequence, how many entries there ever were, and what was trimmed
//! tiergate_feed         the entries, each with the sequence of the one before it
//! tiergate_layout       one row: what the tables look like
//! ```
//!
//! Each operation is one statement, and each statement a transaction of its own. A database that aborts it
//! for another's sake (`SERIALIZABLE`, CockroachDB) says so by SQLSTATE 40001: it is tried again, so often and
//! no more. What the database does not know to be done or not (40003) has failed: the engine reads back. No
//! statement is prepared under a name, so a pool such as PgBouncer may stand between.
//!
//! **A log that is lost is told as trimmed.** A restored backup, or a failover to a replica that lags, may
//! lack entries. Sequences are the time in microseconds, and each entry names the one before it. Whoever has
//! read more than the log has, or meets an entry whose predecessor they have not read, has it written down
//! that everything before now is unknown; then no edge trusts what is older. An entry that was lost before
//! any edge but its own had read it is not missed: a replica that must not lose purges is a synchronous one.
//!
//! As writes go by, droppable rows are swept, some at a time, beside the calls; the feed is trimmed by
//! appends. Nothing here makes a connection before it is needed. `statements` has what is asked, `link` the
//! connections, `schema` the tables. Start at [`PostgresIndex`].

mod link;
mod schema;
mod statements;

use crate::{FeedBounds, OpenError};
use bytes::Bytes;
use link::{Failure, Link, Task};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tiergate_driver::{FeedPage, FoundRow, IndexStore, PurgeFeed, StoreError, Written};
use tiergate_engine::{
    Ban, CacheKey, WallTime,
    durable::Version,
    feed::{FeedEntry, FeedOrigin, Notice, Sequence, Ticket, Trimmed},
    format::{decode_ban, encode_ban},
};
use tiergate_tiers::Connect;
use tokio_postgres::{
    Row,
    error::SqlState,
    types::{FromSqlOwned, Type},
};

/// Entries of one answer. One has at most some 8 KiB.
const PAGE_ENTRIES_MAX: i64 = 256;
/// Entries that one append trims at most: more than it adds, so that they do not pile up.
const TRIMMED_MAX: i64 = 64;
/// Rows that one sweep drops at most, and how long the next one waits.
const SWEPT_MAX: i64 = 1_000;
const SWEEP_REST: Duration = Duration::from_secs(1);
/// No sequence is later: the year 2255. Who reads behind a later one asks where the log ends.
const SEQUENCE_MAX: u64 = 1 << 53;
/// How often a call of the feed begins anew when the log changes under its hands.
const FEED_ATTEMPTS_MAX: u32 = 4;

/// Where a database is, and as whom it is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    /// `host:port`.
    pub authority: String,
    /// The database's name.
    pub database: String,
    /// Who asks.
    pub user: String,
    /// What proves it, if the server wants a proof.
    pub password: Option<String>,
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.authority, self.database)
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresAddress({}@{self})", self.user)
    }
}

/// How a database is used.
#[derive(Clone, Copy, Debug)]
pub struct PostgresOptions {
    /// How long one call may take, with the connection that it needs. Default: 2 s.
    pub call_time_max: Duration,
    /// Connections at most, each made when it is first needed. Default: 4.
    pub connections: usize,
    /// How much of the feed is kept. Default: a day, and 100 000 entries.
    pub feed: FeedBounds,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { call_time_max: Duration::from_secs(2), connections: 4, feed: FeedBounds::default() }
    }
}

/// An index and a feed in one database.
pub struct PostgresIndex<C: Connect> {
    link: Arc<Link<C>>,
    feed: FeedBounds,
    /// The latest time that was told: the database's clock may be set back, ours does not follow.
    told: AtomicU64,
    sweep: Mutex<Sweep>,
}

/// The last sweep that was begun.
#[derive(Default)]
struct Sweep {
    last: Option<(Instant, Task)>,
}

impl<C: Connect> fmt::Debug for PostgresIndex<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresIndex").field(self.link.address()).finish()
    }
}

impl<C: Connect> PostgresIndex<C> {
    /// Connects once, to see whose tables are there. A database that is away is asked again when it is
    /// needed.
    ///
    /// # Errors
    /// Another release's tables are there.
    pub async fn open(
        connector: C,
        address: PostgresAddress,
        options: PostgresOptions,
    ) -> Result<Self, OpenError> {
        let PostgresOptions { call_time_max, connections, feed } = options;
        let link = Arc::new(Link::new(connector, address, call_time_max, connections));
        let opened = tokio::time::timeout(call_time_max, link.connection()).await;
        if let Ok(Err(Failure::OtherLayout(found))) = opened {
            let database = link.address().to_string();
            return Err(OpenError::OtherTables { database, found, known: schema::LAYOUT });
        }
        Ok(Self { link, feed, told: AtomicU64::new(0), sweep: Mutex::default() })
    }

    fn tell(&self, now: i64) -> WallTime {
        let now = unsigned(now);
        WallTime::from_unix_millis(self.told.fetch_max(now, Ordering::Relaxed).max(now))
    }

    fn written(&self, rows: &[Row]) -> Result<Written, Failure> {
        let Some(row) = rows.first() else { return Ok(Written::Refused) };
        Ok(Written::Done { now: self.tell(column(row, 0)?) })
    }

    /// Drops some of the rows that may go, beside the calls, unless that was done a moment ago.
    fn sweep(&self) {
        let mut sweep = self.sweep.lock().unwrap_or_else(PoisonError::into_inner);
        if sweep.last.as_ref().is_some_and(|(begun, _)| begun.elapsed() < SWEEP_REST) {
            return;
        }
        let link = Arc::clone(&self.link);
        let task = Task::spawn(async move {
            let rows = (&SWEPT_MAX as _, Type::INT8);
            // What is not swept now is swept later.
            drop(link.within("a sweep", link.ask(statements::SWEEP, &[rows])).await);
        });
        sweep.last = Some((Instant::now(), task));
    }

    /// Drops the oldest entries that are too many or too old.
    async fn trim(&self) -> Result<(), Failure> {
        let keep = i64::try_from(self.feed.keep.as_millis()).unwrap_or(i64::MAX >> 1);
        let entries = i64::try_from(self.feed.entries_max).unwrap_or(i64::MAX >> 1);
        let parameters =
            [(&keep as _, Type::INT8), (&entries as _, Type::INT8), (&TRIMMED_MAX as _, Type::INT8)];
        self.link.ask(statements::TRIM, &parameters).await.map(drop)
    }

    async fn append_now(
        &self,
        origin: FeedOrigin,
        ticket: Ticket,
        notice: Notice,
    ) -> Result<Sequence, Failure> {
        let Notice { selector, mode, at } = notice;
        // A notice and a ban say the same, and bans have a layout with a checksum.
        let value = encode_ban(&Ban { selector, mode, at });
        let (origin, ticket, made) = (&origin.0.to_be_bytes()[..], ticket.0.cast_signed(), signed_time(at));
        let value = &value[..];
        let entry = [
            (&origin as _, Type::BYTEA),
            (&ticket as _, Type::INT8),
            (&made as _, Type::INT8),
            (&value as _, Type::BYTEA),
        ];
        for _ in 0..FEED_ATTEMPTS_MAX {
            let rows = match self.link.ask(statements::APPEND, &entry).await {
                // It is there already, and the statement has undone all of itself.
                Err(failure) if failure.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                    self.link.ask(statements::FIND_ENTRY, &entry[..2]).await?
                }
                Ok(rows) if rows.is_empty() => {
                    self.link.ask(statements::BEGIN_LOG, &[(&0_i64 as _, Type::INT8)]).await?;
                    continue;
                }
                other => other?,
            };
            // One that was there may have been trimmed meanwhile.
            if let Some(row) = rows.first() {
                return Ok(Sequence(unsigned(column(row, 0)?)));
            }
        }
        Err(Failure::Odd("the log changes whenever it is appended to".to_owned()))
    }

    async fn read_now(&self, after: Sequence) -> Result<FeedPage, Failure> {
        let begin = i64::try_from(after.0).unwrap_or(i64::MAX);
        // What nobody can have read is no sign of a loss.
        let read = if after.0 > SEQUENCE_MAX { 0 } else { begin };
        for _ in 0..FEED_ATTEMPTS_MAX {
            let parameters = [(&begin as _, Type::INT8), (&PAGE_ENTRIES_MAX as _, Type::INT8)];
            let rows = self.link.ask(statements::READ, &parameters).await?;
            let Some(state) = rows.first() else {
                self.link.ask(statements::BEGIN_LOG, &[(&read as _, Type::INT8)]).await?;
                continue;
            };
            let (newest, through, made) =
                (column::<i64>(state, 0)?, column::<i64>(state, 1)?, column(state, 2)?);
            let found =
                rows.iter().map(entry).filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
            if after.0 <= SEQUENCE_MAX && is_something_lost(begin.max(through), newest, &found) {
                let parameters = [(&read as _, Type::INT8), (&newest as _, Type::INT8)];
                self.link.ask(statements::BEGIN_ANEW, &parameters).await?;
                continue;
            }
            let at = WallTime::from_unix_millis(unsigned(made));
            return Ok(FeedPage {
                trimmed: Some(Trimmed { through: Sequence(unsigned(through)), at }),
                entries: found.into_iter().map(|(_, entry)| entry).collect(),
                newest: Sequence(unsigned(newest)),
            });
        }
        Err(Failure::Odd("the log changes whenever it is read".to_owned()))
    }
}

/// Each entry names the one before it; the first of a page the one that was read last, and the last page ends
/// with the newest. Anything else shows that entries are gone that nobody trimmed.
fn is_something_lost(begin: i64, newest: i64, found: &[(i64, FeedEntry<Notice>)]) -> bool {
    let mut end = unsigned(begin);
    for (before, entry) in found {
        if unsigned(*before) != end {
            return true;
        }
        end = entry.sequence.0;
    }
    let is_page_full = i64::try_from(found.len()).is_ok_and(|found| found == PAGE_ENTRIES_MAX);
    !is_page_full && end != unsigned(newest)
}

/// The entry of a row of [`statements::READ`] and the sequence before it, if it has one.
fn entry(row: &Row) -> Result<Option<(i64, FeedEntry<Notice>)>, Failure> {
    let Some(sequence) = column::<Option<i64>>(row, 3)? else { return Ok(None) };
    let (before, origin, ticket) = (column(row, 4)?, column::<Vec<u8>>(row, 5)?, column::<i64>(row, 6)?);
    let notice: Vec<u8> = column(row, 7)?;
    // A purge that is passed over would bring back what it removed.
    let wrong = || Failure::Odd(format!("entry {sequence} of the purge feed is none that this build reads"));
    let origin = <[u8; 16]>::try_from(&origin[..]).map_err(|_| wrong())?;
    let (Ban { selector, mode, at }, _) = decode_ban(&notice).map_err(|_| wrong())?;
    let entry = FeedEntry {
        sequence: Sequence(unsigned(sequence)),
        origin: FeedOrigin(u128::from_be_bytes(origin)),
        ticket: Ticket(ticket.cast_unsigned()),
        notice: Notice { selector, mode, at },
    };
    Ok(Some((before, entry)))
}

fn column<T: FromSqlOwned>(row: &Row, index: usize) -> Result<T, Failure> {
    row.try_get(index).map_err(Failure::Database)
}

/// A time or a sequence. None of ours is negative.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Times beyond the year 292 million are the last one before it.
fn signed_time(time: WallTime) -> i64 {
    i64::try_from(time.as_unix_millis()).unwrap_or(i64::MAX)
}

impl<C: Connect> IndexStore for PostgresIndex<C> {
    async fn get(&self, key: CacheKey) -> Result<FoundRow, StoreError> {
        let work = async {
            let key = &key.0.to_be_bytes()[..];
            let rows = self.link.ask(statements::GET, &[(&key as _, Type::BYTEA)]).await?;
            let row = rows.first().ok_or_else(|| Failure::Odd("no clock was told".to_owned()))?;
            let now = self.tell(column(row, 0)?);
            let Some(version) = column::<Option<i64>>(row, 1)? else {
                return Ok(FoundRow { row: None, now });
            };
            let found = tiergate_driver::Row {
                version: Version(version.cast_unsigned()),
                value: Bytes::from(column::<Vec<u8>>(row, 4)?),
                expires: WallTime::from_unix_millis(unsigned(column(row, 2)?)),
                droppable: WallTime::from_unix_millis(unsigned(column(row, 3)?)),
            };
            Ok(FoundRow { row: Some(found), now })
        };
        self.link.within("reading a row", work).await
    }

    async fn put_new(&self, key: CacheKey, row: tiergate_driver::Row) -> Result<Written, StoreError> {
        self.swap(key, None, row).await
    }

    async fn cas_update(
        &self,
        key: CacheKey,
        expected: Version,
        row: tiergate_driver::Row,
    ) -> Result<Written, StoreError> {
        self.swap(key, Some(expected), row).await
    }

    async fn touch(
        &self,
        key: CacheKey,
        version: Version,
        expires: WallTime,
        droppable: WallTime,
    ) -> Result<(), StoreError> {
        let key = &key.0.to_be_bytes()[..];
        let (version, expires, droppable) =
            (version.0.cast_signed(), signed_time(expires), signed_time(droppable));
        let parameters = [
            (&key as _, Type::BYTEA),
            (&version as _, Type::INT8),
            (&expires as _, Type::INT8),
            (&droppable as _, Type::INT8),
        ];
        self.link.within("touching a row", self.link.ask(statements::TOUCH, &parameters)).await?;
        self.sweep();
        Ok(())
    }

    async fn delete(&self, key: CacheKey, version: Version) -> Result<(), StoreError> {
        let (key, version) = (&key.0.to_be_bytes()[..], version.0.cast_signed());
        let parameters = [(&key as _, Type::BYTEA), (&version as _, Type::INT8)];
        self.link.within("dropping a row", self.link.ask(statements::DELETE, &parameters)).await.map(drop)
    }
}

impl<C: Connect> PostgresIndex<C> {
    async fn swap(
        &self,
        key: CacheKey,
        expected: Option<Version>,
        row: tiergate_driver::Row,
    ) -> Result<Written, StoreError> {
        let tiergate_driver::Row { version, value, expires, droppable } = row;
        let (key, value) = (&key.0.to_be_bytes()[..], &value[..]);
        let (version, expires, droppable) =
            (version.0.cast_signed(), signed_time(expires), signed_time(droppable));
        let expected = expected.map(|expected| expected.0.cast_signed());
        let parameters = [
            (&key as _, Type::BYTEA),
            (&version as _, Type::INT8),
            (&expires as _, Type::INT8),
            (&droppable as _, Type::INT8),
            (&value as _, Type::BYTEA),
            (&expected as _, Type::INT8),
        ];
        let (statement, parameters) = match expected {
            None => (statements::PUT_NEW, &parameters[..5]),
            Some(_) => (statements::CAS_UPDATE, &parameters[..]),
        };
        let work = async { self.written(&self.link.ask(statement, parameters).await?) };
        let written = self.link.within("writing a row", work).await?;
        if let Written::Done { .. } = written {
            self.sweep();
        }
        Ok(written)
    }
}

impl<C: Connect> PurgeFeed for PostgresIndex<C> {
    async fn append(
        &self,
        origin: FeedOrigin,
        ticket: Ticket,
        notice: Notice,
    ) -> Result<Sequence, StoreError> {
        let work = self.append_now(origin, ticket, notice);
        let sequence = self.link.within("appending to the purge feed", work).await?;
        // It lies there. What is not trimmed now is trimmed by the next append.
        drop(self.link.within("trimming the purge feed", self.trim()).await);
        Ok(sequence)
    }

    async fn read(&self, after: Sequence) -> Result<FeedPage, StoreError> {
        self.link.within("reading the purge feed", self.read_now(after)).await
    }
}
