//! What the database is asked, one statement an operation, each a transaction of its own.
//!
//! They keep to what PostgreSQL and CockroachDB have in common: no statement changes a table twice, and none
//! needs a lock that only one of them knows.

/// The database's clock in milliseconds, as it is while the statement runs.
macro_rules! now {
    () => {
        "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

/// The same as it was when the statement began: one time for the whole statement, by which an index can be
/// searched.
macro_rules! begun {
    () => {
        "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint"
    };
}

/// Where a new log begins, in microseconds: behind all that an earlier one had, and behind `$1`.
macro_rules! anew {
    ($least:literal) => {
        concat!(
            "greatest(floor(extract(epoch FROM statement_timestamp()) * 1000000)::bigint, $1 + 1, ",
            $least,
            ")"
        )
    };
}

/// `$1` key. Always one row.
pub(super) const GET: &str = concat!(
    "SELECT ",
    now!(),
    ", version, expires, droppable, value FROM (SELECT 1) AS one LEFT JOIN tiergate_rows ON key = $1"
);

/// `$1` key, `$2` version, `$3` expires, `$4` droppable, `$5` value. One row if it is written.
pub(super) const PUT_NEW: &str = concat!(
    "INSERT INTO tiergate_rows (key, version, expires, droppable, value) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (key) DO NOTHING RETURNING ",
    now!()
);

/// As [`PUT_NEW`], and `$6` the version that must be there.
pub(super) const CAS_UPDATE: &str = concat!(
    "UPDATE tiergate_rows SET version = $2, expires = $3, droppable = $4, value = $5 \
     WHERE key = $1 AND version = $6 RETURNING ",
    now!()
);

/// `$1` key, `$2` version, `$3` expires, `$4` droppable.
pub(super) const TOUCH: &str = "UPDATE tiergate_rows \
     SET expires = greatest(expires, $3), droppable = greatest(droppable, $4) \
     WHERE key = $1 AND version = $2 AND (expires < $3 OR droppable < $4)";

/// `$1` key, `$2` version.
pub(super) const DELETE: &str =
    concat!("DELETE FROM tiergate_rows WHERE key = $1 AND version = $2 AND droppable <= ", begun!());

/// `$1` how many rows at most. Rows that somebody changes just now wait for the next sweep.
pub(super) const SWEEP: &str = concat!(
    "DELETE FROM tiergate_rows WHERE key IN (SELECT key FROM tiergate_rows WHERE droppable <= ",
    begun!(),
    " ORDER BY droppable LIMIT $1 FOR UPDATE SKIP LOCKED) AND droppable <= ",
    begun!(),
    " RETURNING 1"
);

/// `$1` origin, `$2` ticket, `$3` when the notice was made, `$4` the notice. One row with the sequence; none
/// where the log was never begun; an error where an entry of this origin and ticket is there.
///
/// Who appends holds the one row of `tiergate_feed_state` until the entry can be seen, so no entry is ever
/// seen before one with a smaller sequence.
pub(super) const APPEND: &str = concat!(
    "WITH next AS (UPDATE tiergate_feed_state SET previous = newest, entries = entries + 1, \
     newest = greatest(newest + 1, floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint) \
     WHERE id = 1 RETURNING newest, previous, entries) \
     INSERT INTO tiergate_feed (sequence, previous, number, origin, ticket, made, appended, notice) \
     SELECT newest, previous, entries, $1, $2, $3, ",
    now!(),
    ", $4 FROM next RETURNING sequence"
);

/// `$1` origin, `$2` ticket.
pub(super) const FIND_ENTRY: &str = "SELECT sequence FROM tiergate_feed WHERE origin = $1 AND ticket = $2";

/// `$1` after which sequence, `$2` how many entries at most. No row where the log was never begun; otherwise
/// at least one, which has no entry where there are no more.
pub(super) const READ: &str = "SELECT newest, through, trimmed_made, \
     entry.sequence, entry.before, origin, ticket, notice \
     FROM tiergate_feed_state LEFT JOIN \
     (SELECT sequence, previous AS before, origin, ticket, notice FROM tiergate_feed \
     WHERE sequence > $1 AND sequence > (SELECT through FROM tiergate_feed_state WHERE id = 1) \
     ORDER BY sequence LIMIT $2) AS entry ON true \
     WHERE id = 1 ORDER BY entry.sequence";

/// Begins a log where there is none. `$1` a sequence that somebody has read, or 0.
pub(super) const BEGIN_LOG: &str = concat!(
    "WITH begun AS (INSERT INTO tiergate_feed_state (id, newest, previous, entries, through, trimmed_made) \
     VALUES (1, ",
    anew!("0"),
    ", 0, 0, ",
    anew!("0"),
    ", ",
    begun!(),
    ") ON CONFLICT (id) DO NOTHING RETURNING id) \
     DELETE FROM tiergate_feed WHERE EXISTS (SELECT 1 FROM begun)"
);

/// Begins anew a log that has lost something. `$1` a sequence that somebody has read, `$2` the last that the
/// log has: another one shows that somebody was here meanwhile, and then nothing is done.
pub(super) const BEGIN_ANEW: &str = concat!(
    "WITH begun AS (UPDATE tiergate_feed_state SET newest = ",
    anew!("newest + 1"),
    ", through = ",
    anew!("newest + 1"),
    ", trimmed_made = greatest(trimmed_made, ",
    begun!(),
    ", (SELECT coalesce(max(made), 0) FROM tiergate_feed)) WHERE id = 1 AND newest = $2 RETURNING id) \
     DELETE FROM tiergate_feed WHERE EXISTS (SELECT 1 FROM begun)"
);

/// `$1` for how many milliseconds an entry is kept, `$2` how many are, `$3` how many of the oldest are looked
/// at. Drops nothing but the oldest, and says so in the same statement.
pub(super) const TRIM: &str = concat!(
    "WITH gone AS (DELETE FROM tiergate_feed WHERE sequence <= (SELECT max(sequence) FROM \
     (SELECT sequence, number, appended FROM tiergate_feed ORDER BY sequence LIMIT $3) AS oldest \
     WHERE appended <= ",
    begun!(),
    " - $1 OR number <= (SELECT entries - $2 FROM tiergate_feed_state WHERE id = 1)) \
     RETURNING sequence, made) \
     UPDATE tiergate_feed_state SET through = greatest(through, (SELECT max(sequence) FROM gone)), \
     trimmed_made = greatest(trimmed_made, (SELECT max(made) FROM gone)) \
     WHERE id = 1 AND EXISTS (SELECT 1 FROM gone)"
);
