//! What a transaction does to rows.

use super::file::{DROPPABLE, ROWS};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use tiergate_driver::Row;
use tiergate_engine::{CacheKey, WallTime, durable::Version};

/// Rows that one write sweeps at most: more than it adds, so that they do not pile up, and few, so that it
/// stays quick.
const SWEPT_MAX: usize = 16;

pub(super) fn get(seen: &ReadTransaction, key: CacheKey) -> Result<Option<Row>, redb::Error> {
    Ok(seen.open_table(ROWS)?.get(key.0)?.map(|value| row(value.value())))
}

/// Writes the row if the one there has this version, or if there is none; says whether it did.
pub(super) fn swap(
    transaction: &WriteTransaction,
    key: CacheKey,
    expected: Option<Version>,
    row: &Row,
) -> Result<bool, redb::Error> {
    let before = find(transaction, key)?;
    if before.as_ref().map(|before| before.version) != expected {
        return Ok(false);
    }
    put(transaction, key, before.as_ref(), row)?;
    Ok(true)
}

/// Moves the times of the row of this version, never back; says whether it did.
pub(super) fn touch(
    transaction: &WriteTransaction,
    key: CacheKey,
    version: Version,
    expires: WallTime,
    droppable: WallTime,
) -> Result<bool, redb::Error> {
    let Some(before) = find(transaction, key)?.filter(|before| before.version == version) else {
        return Ok(false);
    };
    let row = Row {
        expires: before.expires.max(expires),
        droppable: before.droppable.max(droppable),
        ..before.clone()
    };
    if row == before {
        return Ok(false);
    }
    put(transaction, key, Some(&before), &row)?;
    Ok(true)
}

/// Drops the row of this version if it may go; says whether it did.
pub(super) fn drop_if_due(
    transaction: &WriteTransaction,
    key: CacheKey,
    version: Version,
    now: WallTime,
) -> Result<bool, redb::Error> {
    match find(transaction, key)? {
        Some(row) if row.version == version && row.droppable <= now => {
            remove(transaction, row.droppable.as_unix_millis(), key.0)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Drops some of the rows that may go, those that may longest first.
pub(super) fn sweep(transaction: &WriteTransaction, now: WallTime) -> Result<(), redb::Error> {
    let mut due = Vec::new();
    {
        let droppable = transaction.open_table(DROPPABLE)?;
        for entry in droppable.range(..=(now.as_unix_millis(), u128::MAX))?.take(SWEPT_MAX) {
            due.push(entry?.0.value());
        }
    }
    for (droppable, key) in due {
        remove(transaction, droppable, key)?;
    }
    Ok(())
}

fn find(transaction: &WriteTransaction, key: CacheKey) -> Result<Option<Row>, redb::Error> {
    Ok(transaction.open_table(ROWS)?.get(key.0)?.map(|value| row(value.value())))
}

fn put(
    transaction: &WriteTransaction,
    key: CacheKey,
    before: Option<&Row>,
    row: &Row,
) -> Result<(), redb::Error> {
    let Row { version, value, expires, droppable } = row;
    let (expires, droppable) = (expires.as_unix_millis(), droppable.as_unix_millis());
    let mut index = transaction.open_table(DROPPABLE)?;
    if let Some(before) = before {
        index.remove((before.droppable.as_unix_millis(), key.0))?;
    }
    index.insert((droppable, key.0), ())?;
    transaction.open_table(ROWS)?.insert(key.0, (version.0, expires, droppable, &value[..]))?;
    Ok(())
}

fn remove(transaction: &WriteTransaction, droppable: u64, key: u128) -> Result<(), redb::Error> {
    transaction.open_table(DROPPABLE)?.remove((droppable, key))?;
    transaction.open_table(ROWS)?.remove(key)?;
    Ok(())
}

fn row((version, expires, droppable, value): (u64, u64, u64, &[u8])) -> Row {
    Row {
        version: Version(version),
        value: value.to_vec().into(),
        expires: WallTime::from_unix_millis(expires),
        droppable: WallTime::from_unix_millis(droppable),
    }
}
