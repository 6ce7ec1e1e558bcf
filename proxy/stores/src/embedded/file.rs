//! The tables of the file, and how it is opened.
//!
//! | table | key | value |
//! |---|---|---|
//! | `about` | what | a number: see the names below |
//! | `rows` | cache key | version, expires, droppable (milliseconds since 1970), the engine's value |
//! | `droppable` | droppable, cache key | nothing: the rows in the order in which they may go |
//! | `feed` | sequence | origin, ticket, appended (milliseconds since 1970), the notice as a stored ban |
//! | `appended` | origin, ticket | sequence: what lies in `feed` |

use crate::{OpenError, error};
use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError, TableHandle, WriteTransaction,
};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tiergate_driver::{StoreError, TierError};
use tiergate_engine::{
    ByteCount, WallTime,
    feed::{Sequence, Trimmed},
};

/// Raised with every change of the tables.
const LAYOUT: u64 = 1;

pub(super) type RowValue = (u64, u64, u64, &'static [u8]);
pub(super) type FeedValue = (u128, u64, u64, &'static [u8]);

const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
pub(super) const ROWS: TableDefinition<'_, u128, RowValue> = TableDefinition::new("rows");
pub(super) const DROPPABLE: TableDefinition<'_, (u64, u128), ()> = TableDefinition::new("droppable");
pub(super) const FEED: TableDefinition<'_, u64, FeedValue> = TableDefinition::new("feed");
pub(super) const APPENDED: TableDefinition<'_, (u128, u64), u64> = TableDefinition::new("appended");

const ABOUT_LAYOUT: &str = "layout";
/// What the clock will not go back behind.
const ABOUT_CLOCK: &str = "clock";
/// The last sequence that was ever appended.
const ABOUT_NEWEST: &str = "newest";
const ABOUT_TRIMMED_THROUGH: &str = "trimmed through";
const ABOUT_TRIMMED_AT: &str = "trimmed at";

/// A process that is ending may hold the file a little longer, until the disk has answered it.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

pub(super) fn open(path: &Path, cache: ByteCount, now: WallTime) -> Result<Database, OpenError> {
    match fs::metadata(path) {
        Ok(about) if about.is_file() => {}
        Ok(_) => return Err(OpenError::WrongKind { path: path.to_owned(), wanted: "file" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path, now)?,
        Err(error) => return Err(OpenError::unusable(path, "looking at the file")(error)),
    }
    let mut builder = Builder::new();
    builder.set_cache_size(usize::try_from(cache.0).unwrap_or(usize::MAX));
    for _ in 1..LOCK_TRIES {
        match builder.open(path) {
            Ok(database) => return check(path, &database).map(|()| database),
            Err(DatabaseError::DatabaseAlreadyOpen) => thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(not_opened(path, error)),
        }
    }
    Err(OpenError::InUse { path: path.to_owned() })
}

/// Makes a file beside its place, so that a crash leaves all of it there or nothing.
fn make(path: &Path, now: WallTime) -> Result<(), OpenError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        return Err(OpenError::NoParent { path: path.to_owned(), parent: parent.to_owned() });
    }
    let mut name = OsString::from(path);
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(OpenError::unusable(&new, "removing what an earlier start left")(error));
        }
        _ => {}
    }
    let database = Builder::new().create(&new).map_err(|error| not_opened(&new, error))?;
    fill(&database, now).map_err(unreadable(&new))?;
    drop(database);
    // Another process may have made it meanwhile: then that one stays, and is opened.
    match fs::hard_link(&new, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(OpenError::unusable(path, "putting the new file in its place")(error));
        }
        _ => {}
    }
    fs::remove_file(&new).map_err(OpenError::unusable(&new, "removing the name of a new file"))?;
    let synced = fs::File::open(parent).and_then(|folder| folder.sync_all());
    synced.map_err(OpenError::unusable(parent, "syncing the folder of the new file"))
}

/// The tables of a new file. Its feed goes on above the sequences that one before it may have had, and says
/// that all until now was trimmed: if there was a feed that was lost, its purges are not known any more.
fn fill(database: &Database, now: WallTime) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut about = transaction.open_table(ABOUT)?;
        about.insert(ABOUT_LAYOUT, LAYOUT)?;
        about.insert(ABOUT_CLOCK, now.as_unix_millis())?;
        for name in [ABOUT_NEWEST, ABOUT_TRIMMED_THROUGH, ABOUT_TRIMMED_AT] {
            about.insert(name, now.as_unix_millis())?;
        }
        transaction.open_table(ROWS)?;
        transaction.open_table(DROPPABLE)?;
        transaction.open_table(FEED)?;
        transaction.open_table(APPENDED)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Is it ours, and of our layout?
fn check(path: &Path, database: &Database) -> Result<(), OpenError> {
    let looked = || -> Result<_, redb::Error> {
        let seen = database.begin_read()?;
        let tables: Vec<String> = seen.list_tables()?.map(|table| table.name().to_owned()).collect();
        let layout = match seen.open_table(ABOUT) {
            Ok(about) => about.get(ABOUT_LAYOUT)?.map(|layout| layout.value()),
            Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok((layout, tables))
    };
    match looked().map_err(unreadable(path))? {
        (Some(LAYOUT), _) => Ok(()),
        (Some(found), _) => {
            let found = found.to_string();
            Err(OpenError::OtherLayout { path: path.to_owned(), found, known: LAYOUT })
        }
        (None, tables) => {
            let found = format!("a database of something else (its tables: {})", tables.join(", "));
            Err(OpenError::Foreign { path: path.to_owned(), found })
        }
    }
}

fn not_opened(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::InUse { path },
        DatabaseError::UpgradeRequired(found) => {
            OpenError::OtherLayout { path, found: format!("of redb's format {found}"), known: LAYOUT }
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            OpenError::Foreign { path, found: "a file that is no database".to_owned() }
        }
        DatabaseError::Storage(StorageError::Io(error)) => {
            OpenError::Unusable { path, doing: "opening the file", error }
        }
        other => OpenError::Damaged { path, why: other.to_string() },
    }
}

/// For `map_err`: what was opened cannot be read.
pub(super) fn unreadable(path: &Path) -> impl FnOnce(redb::Error) -> OpenError {
    move |error| match error {
        redb::Error::Io(error) => OpenError::unusable(path, "reading the file")(error),
        other => OpenError::Damaged { path: path.to_owned(), why: other.to_string() },
    }
}

/// For `map_err`: something could not be done.
pub(super) fn failed(path: &Path, doing: &'static str) -> impl FnOnce(redb::Error) -> StoreError {
    move |error| match error {
        redb::Error::Io(error) => error::failed(path, doing)(error),
        other => {
            let path = path.display();
            let advice = match other {
                redb::Error::PreviousIo => "see the first failure in the log, and start the process again",
                _ => "restore the file, or move it away to begin with an empty one",
            };
            TierError::Failed(format!("{path}: {doing} failed: {other}: {advice}"))
        }
    }
}

/// What was read is not what was written.
pub(super) fn rotten(path: &Path, why: &str) -> StoreError {
    let path = path.display();
    TierError::Failed(format!("{path}: {why}: restore the file, or move it away to begin with an empty one"))
}

/// What the clock must not go back behind.
pub(super) fn promised(database: &Database) -> Result<WallTime, redb::Error> {
    Ok(WallTime::from_unix_millis(number(&database.begin_read()?, ABOUT_CLOCK)?))
}

pub(super) fn keep_promise(transaction: &WriteTransaction, promise: WallTime) -> Result<(), redb::Error> {
    set_number(transaction, ABOUT_CLOCK, promise.as_unix_millis())
}

/// Takes the next sequence.
pub(super) fn next_sequence(transaction: &WriteTransaction) -> Result<u64, redb::Error> {
    let mut about = transaction.open_table(ABOUT)?;
    let next = about.get(ABOUT_NEWEST)?.map_or(0, |newest| newest.value()) + 1;
    about.insert(ABOUT_NEWEST, next)?;
    Ok(next)
}

pub(super) fn newest(seen: &ReadTransaction) -> Result<u64, redb::Error> {
    number(seen, ABOUT_NEWEST)
}

pub(super) fn trimmed(seen: &ReadTransaction) -> Result<Option<Trimmed>, redb::Error> {
    let through = Sequence(number(seen, ABOUT_TRIMMED_THROUGH)?);
    let at = WallTime::from_unix_millis(number(seen, ABOUT_TRIMMED_AT)?);
    Ok((Sequence::START < through).then_some(Trimmed { through, at }))
}

/// Remembers that all through `through` is gone, with a notice of `at` among it.
pub(super) fn keep_trimmed(
    transaction: &WriteTransaction,
    through: u64,
    at: WallTime,
) -> Result<(), redb::Error> {
    let mut about = transaction.open_table(ABOUT)?;
    let before = about.get(ABOUT_TRIMMED_AT)?.map_or(0, |at| at.value());
    about.insert(ABOUT_TRIMMED_AT, before.max(at.as_unix_millis()))?;
    about.insert(ABOUT_TRIMMED_THROUGH, through)?;
    Ok(())
}

fn number(seen: &ReadTransaction, name: &str) -> Result<u64, redb::Error> {
    Ok(seen.open_table(ABOUT)?.get(name)?.map_or(0, |number| number.value()))
}

fn set_number(transaction: &WriteTransaction, name: &str, number: u64) -> Result<(), redb::Error> {
    transaction.open_table(ABOUT)?.insert(name, number)?;
    Ok(())
}
