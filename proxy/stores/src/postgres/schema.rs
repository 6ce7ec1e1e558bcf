//! The tables, made at first use, and the layout that they say they have.
//!
//! A user who may not make tables needs none of this where somebody else has made them: what is there is
//! looked at first.

use super::link::{Connection, Failure};
use tokio_postgres::error::SqlState;

/// The layout that this release reads and writes.
pub(super) const LAYOUT: i64 = 1;

/// How often the tables are made when another edge makes them at the same time.
const ATTEMPTS_MAX: u32 = 5;

const FIND_LAYOUT: &str = "SELECT layout FROM tiergate_layout WHERE id = 1";

/// Each a transaction of its own, and each does nothing where it was done. The layout comes last: who finds
/// it finds the rest.
const MAKE: [&str; 6] = [
    "CREATE TABLE IF NOT EXISTS tiergate_rows (key bytea PRIMARY KEY, version bigint NOT NULL, \
     expires bigint NOT NULL, droppable bigint NOT NULL, value bytea NOT NULL)",
    "CREATE INDEX IF NOT EXISTS tiergate_rows_droppable ON tiergate_rows (droppable)",
    "CREATE TABLE IF NOT EXISTS tiergate_feed_state (id bigint PRIMARY KEY, newest bigint NOT NULL, \
     previous bigint NOT NULL, entries bigint NOT NULL, through bigint NOT NULL, trimmed_made bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tiergate_feed (sequence bigint PRIMARY KEY, previous bigint NOT NULL, \
     number bigint NOT NULL, origin bytea NOT NULL, ticket bigint NOT NULL, made bigint NOT NULL, \
     appended bigint NOT NULL, notice bytea NOT NULL, UNIQUE (origin, ticket))",
    "CREATE TABLE IF NOT EXISTS tiergate_layout (id bigint PRIMARY KEY, layout bigint NOT NULL)",
    "INSERT INTO tiergate_layout (id, layout) VALUES (1, 1) ON CONFLICT (id) DO NOTHING",
];

/// Makes sure that the tables are there and are ours to use.
pub(super) async fn ensure(connection: &Connection) -> Result<(), Failure> {
    if let Some(found) = layout(connection).await? {
        return is_known(found);
    }
    make(connection).await
}

/// Makes those tables that are not there.
pub(super) async fn make(connection: &Connection) -> Result<(), Failure> {
    for statement in MAKE {
        let mut attempt = 1;
        while let Err(failure) = connection.query(statement, &[]).await {
            // Two that make one table at once may both begin to.
            let is_race = failure.code().is_some_and(|code| {
                [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::T_R_SERIALIZATION_FAILURE]
                    .contains(code)
            });
            if !is_race || attempt == ATTEMPTS_MAX {
                return Err(failure);
            }
            attempt += 1;
        }
    }
    match layout(connection).await? {
        Some(found) => is_known(found),
        None => Err(Failure::Odd("the table `tiergate_layout` was made and is empty".to_owned())),
    }
}

/// `None` where nothing of ours was ever made.
async fn layout(connection: &Connection) -> Result<Option<i64>, Failure> {
    match connection.query(FIND_LAYOUT, &[]).await {
        Ok(rows) => rows.first().map(|row| row.try_get(0).map_err(Failure::Database)).transpose(),
        Err(failure) if failure.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn is_known(found: i64) -> Result<(), Failure> {
    if found == LAYOUT { Ok(()) } else { Err(Failure::OtherLayout(found)) }
}
