//! What an embedded index does beyond the suites: restarts, its clock, sweeping, trimming, and what it says
//! when it cannot be opened.

use super::*;
use crate::{
    AnyIndex,
    conformance::{feed, feed_conformance, index_conformance},
};
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
use std::{
    fs,
    future::Future,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tempfile::TempDir;
use tiergate_engine::{PurgeMode, Selector};

const BEGAN: u64 = 1_600_000_000_000;

/// A folder for the file, and a clock to turn.
struct Place {
    folder: TempDir,
    millis: Arc<AtomicU64>,
    bounds: FeedBounds,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("the system has a place for temporary files");
        Self { folder, millis: Arc::new(AtomicU64::new(BEGAN)), bounds: FeedBounds::default() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    fn options(&self) -> EmbeddedOptions {
        let millis = Arc::clone(&self.millis);
        let clock = Arc::new(move || WallTime::from_unix_millis(millis.load(Ordering::Relaxed)));
        EmbeddedOptions { clock, feed: self.bounds, ..EmbeddedOptions::default() }
    }

    async fn open(&self) -> EmbeddedIndex {
        EmbeddedIndex::open(self.path(), self.options()).await.expect("nothing stands in its way")
    }

    async fn refused(&self) -> String {
        let refused = EmbeddedIndex::open(self.path(), self.options()).await;
        let text = refused.expect_err("it cannot be used").to_string();
        assert!(text.starts_with(&self.path().display().to_string()), "{text}");
        text
    }

    fn set(&self, after: i64) {
        self.millis.store(BEGAN.checked_add_signed(after).expect("it is small"), Ordering::Relaxed);
    }
}

fn at(after: u64) -> WallTime {
    WallTime::from_unix_millis(BEGAN + after)
}

fn row(version: u64, droppable: WallTime) -> Row {
    Row { version: Version(version), value: "value".into(), expires: droppable, droppable }
}

fn notice(millis: u64) -> Notice {
    Notice { selector: Selector::All, mode: PurgeMode::Hard, at: WallTime::from_unix_millis(millis) }
}

async fn now(index: &EmbeddedIndex) -> WallTime {
    index.get(CacheKey(u128::MAX)).await.expect("the disk is well").now
}

async fn append(index: &EmbeddedIndex, ticket: u64, millis: u64) -> Sequence {
    index.append(FeedOrigin(1), Ticket(ticket), notice(millis)).await.expect("the disk is well")
}

async fn read(index: &EmbeddedIndex) -> FeedPage {
    index.read(Sequence::START).await.expect("the disk is well")
}

/// How many rows the file has, and how many of them wait to be dropped.
fn rows(index: &EmbeddedIndex) -> (u64, u64) {
    let seen = index.0.database.begin_read().expect("the file is open");
    let rows = seen.open_table(file::ROWS).and_then(|table| Ok(table.len()?));
    let droppable = seen.open_table(file::DROPPABLE).and_then(|table| Ok(table.len()?));
    (rows.expect("the table is there"), droppable.expect("the table is there"))
}

#[tokio::test]
async fn the_index_keeps_every_promise() {
    index_conformance(&Place::new().open().await).await;
}

/// On many threads, where calls truly run beside each other, and with the system's clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_keep_every_promise_on_many_threads() {
    let place = Place::new();
    let options = EmbeddedOptions::default();
    let index = EmbeddedIndex::open(place.path(), options).await.expect("nothing stands in its way");
    let index = AnyIndex::<tiergate_tiers::TcpConnect>::Embedded(index);
    tokio::join!(index_conformance(&index), feed_conformance(&index));
}

#[tokio::test]
async fn the_feed_keeps_every_promise() {
    let place = Place::new();
    let index = place.open().await;
    feed_conformance(&index).await;
    let age = async || place.set(24 * 60 * 60 * 1_000);
    feed::what_was_trimmed_is_told(&index, age).await;
}

/// Rows and entries are there after a restart, and sequences go on.
#[tokio::test]
async fn a_restart_keeps_what_was_written() {
    let place = Place::new();
    let index = place.open().await;
    let row = row(1, at(1_000_000));
    assert!(index.put_new(CacheKey(1), row.clone()).await.is_ok());
    let first = append(&index, 1, 5).await;
    let page = read(&index).await;
    drop(index);
    let index = place.open().await;
    assert_eq!(index.get(CacheKey(1)).await.map(|found| found.row), Ok(Some(row)));
    assert_eq!(read(&index).await, page);
    assert_eq!(append(&index, 1, 5).await, first, "it knows what lies there");
    assert!(first < append(&index, 2, 5).await);
}

/// A write whose caller left, and whose process went on for a while, was done whole or not at all.
#[tokio::test]
async fn a_write_that_nobody_waits_for_is_done_or_not() {
    let place = Place::new();
    let index = place.open().await;
    let row = row(1, at(1_000_000));
    for key in 0..20 {
        let write = pin!(index.put_new(CacheKey(key), row.clone()));
        let polled = write.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending | Poll::Ready(Ok(_))), "{polled:?}");
    }
    drop(index);
    let index = place.open().await;
    let mut there = 0;
    for key in 0..20 {
        let found = index.get(CacheKey(key)).await.expect("the disk is well").row;
        assert!(found.is_none() || found == Some(row.clone()));
        there += u64::from(found.is_some());
    }
    assert_eq!(rows(&index), (there, there));
}

/// The clock does not go back when the system's does, over restarts and when only reads told it; and it goes
/// on with the system's when that has caught up.
#[tokio::test]
async fn the_clock_never_goes_back_over_a_restart() {
    let place = Place::new();
    let mut last = WallTime::default();
    for after in [0, 10_000, 10_001, 500, -1_000_000, 20_000, 19_999, 40_000] {
        place.set(after);
        for _ in 0..2 {
            let index = place.open().await;
            let told = now(&index).await;
            assert!(last <= told, "{told:?} after {last:?}");
            assert!(told <= last.max(at(40_000)).after(Duration::from_secs(6)), "it ran ahead");
            last = told;
        }
    }
    place.set(1_000_000);
    assert_eq!(now(&place.open().await).await, at(1_000_000));
}

/// While reads alone go by, the clock is written down now and then, not for each of them.
#[tokio::test]
async fn reads_rarely_write() {
    let place = Place::new();
    let index = place.open().await;
    let promised = || file::promised(&index.0.database).expect("the file is open");
    place.set(1);
    assert_eq!((now(&index).await, promised()), (at(1), at(5_001)));
    place.set(5_001);
    assert_eq!((now(&index).await, promised()), (at(5_001), at(5_001)));
    place.set(5_002);
    assert_eq!((now(&index).await, promised()), (at(5_002), at(10_002)));
}

/// Writes drop what may go, a few at a time, those first that may longest; reads drop nothing, and what may
/// not go stays.
#[tokio::test]
async fn droppable_rows_are_swept_as_writes_go_by() {
    let place = Place::new();
    let index = place.open().await;
    for key in 0..40 {
        let row = row(1, at(1_000 + u64::try_from(key).expect("it is small")));
        assert!(index.put_new(CacheKey(key), row).await.is_ok());
    }
    assert!(index.touch(CacheKey(0), Version(1), at(90_000), at(90_000)).await.is_ok());
    place.set(1_038);
    now(&index).await;
    assert_eq!(rows(&index), (40, 40));
    for (written, left) in [(1, 24), (2, 8), (3, 2)] {
        // Another row of another key is written, which may not go.
        let key = CacheKey(1_000 + u128::from(written));
        assert!(index.put_new(key, row(1, at(90_000))).await.is_ok());
        assert_eq!(rows(&index), (left + written, left + written));
    }
    for (key, is_there) in [(0, true), (1, false), (38, false), (39, true)] {
        let found = index.get(CacheKey(key)).await.expect("the disk is well").row;
        assert_eq!(found.is_some(), is_there, "row {key}");
    }
}

/// The oldest entries go by number, too, and what is told of them is the latest of their times; it is told
/// after a restart as well.
#[tokio::test]
async fn the_feed_is_trimmed_by_number() {
    let mut place = Place::new();
    place.bounds.entries_max = 3;
    let index = place.open().await;
    let mut told = Vec::new();
    let first = read(&index).await;
    for (ticket, millis) in [(1, BEGAN + 70), (2, BEGAN + 90), (3, BEGAN + 80), (4, 7), (5, 7), (6, 7)] {
        told.push(append(&index, ticket, millis).await);
    }
    let page = read(&index).await;
    let sequences: Vec<Sequence> = page.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, told[3..]);
    let trimmed = page.trimmed.expect("three were");
    assert_eq!((trimmed.through, trimmed.at), (told[2], at(90)));
    assert!(first.newest < told[0]);
    drop(index);
    assert_eq!(read(&place.open().await).await, page);
}

/// A new file does not pass for the log of before: it goes on above the sequences that one had, and tells
/// that all until now is not known any more.
#[tokio::test]
async fn a_file_that_was_lost_is_told_as_trimmed() {
    let place = Place::new();
    let index = place.open().await;
    let before = append(&index, 1, BEGAN).await;
    drop(index);
    fs::remove_file(place.path()).expect("it is ours");
    place.set(60_000);
    let page = read(&place.open().await).await;
    let trimmed = page.trimmed.expect("nobody knows what it held");
    assert!(before < trimmed.through && trimmed.through == page.newest);
    assert_eq!((page.entries, trimmed.at), (vec![], at(60_000)));
}

/// An entry that is not what was written is told as a failure, not passed over.
#[tokio::test]
async fn an_entry_that_cannot_be_read_is_a_failure() {
    let place = Place::new();
    let index = place.open().await;
    append(&index, 1, 1).await;
    let damage = || -> Result<(), redb::Error> {
        let transaction = index.0.database.begin_write()?;
        {
            let mut feed = transaction.open_table(file::FEED)?;
            let sequence = feed.last()?.expect("one was appended").0.value();
            feed.insert(sequence, (1, 1, BEGAN, &b"no notice"[..]))?;
        }
        Ok(transaction.commit()?)
    };
    damage().expect("the file is open");
    let why = index.read(Sequence::START).await.expect_err("it cannot be told").to_string();
    assert!(why.contains("of the purge feed") && why.contains("move it away"), "{why}");
}

/// Another process, or another index of this one, is refused while it is open.
#[tokio::test]
async fn a_file_in_use_is_refused() {
    let place = Place::new();
    let index = place.open().await;
    let why = place.refused().await;
    assert!(why.contains("is in use: stop the process"), "{why}");
    drop(index);
    place.open().await;
}

/// Nothing of somebody else's is taken for an index, or changed.
#[tokio::test]
async fn what_is_no_index_is_refused() {
    let place = Place::new();
    for text in ["not ours", "", &"x".repeat(100_000)] {
        fs::write(place.path(), text).expect("the folder is ours");
        let why = place.refused().await;
        assert!(why.contains("move it away"), "{why}");
        assert_eq!(fs::read_to_string(place.path()).expect("it is there"), text);
    }
    fs::remove_file(place.path()).expect("it is ours");
    fs::create_dir(place.path()).expect("the folder is ours");
    assert!(place.refused().await.contains("is no file"));
    let orphan = place.folder.path().join("not/there");
    let refused = EmbeddedIndex::open(orphan, place.options()).await;
    let text = refused.expect_err("there is no such folder").to_string();
    assert!(text.contains("does not exist: create it"), "{text}");
}

/// A database of something else, and one of another layout, are left as they are.
#[tokio::test]
async fn another_layout_is_refused() {
    const THEIRS: TableDefinition<'_, &str, u64> = TableDefinition::new("theirs");
    const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
    let place = Place::new();
    let write = |table, name, number: u64| -> Result<(), redb::Error> {
        let transaction = Database::create(place.path())?.begin_write()?;
        transaction.open_table(table)?.insert(name, number)?;
        Ok(transaction.commit()?)
    };
    write(THEIRS, "a", 1).expect("the folder is ours");
    let why = place.refused().await;
    assert!(why.contains("a database of something else (its tables: theirs)"), "{why}");
    write(ABOUT, "layout", 2).expect("the folder is ours");
    let why = place.refused().await;
    assert!(why.contains("has layout 2, and this release reads 1: start the release that made it"), "{why}");
}

/// What a crash left of a file that was being made is no obstacle.
#[tokio::test]
async fn a_half_made_file_is_made_anew() {
    let place = Place::new();
    let new = place.folder.path().join("index.new");
    fs::write(&new, [0; 4_096]).expect("the folder is ours");
    append(&place.open().await, 1, 1).await;
    assert!(!new.exists());
}
