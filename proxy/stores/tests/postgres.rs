//! The index and the feed in a real PostgreSQL.

// The suites are one future each, of many.
#![recursion_limit = "256"]

mod postgres_server;

use bytes::Bytes;
use postgres_server::{PASSWORD, Postgres, USER};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tiergate_driver::{FeedPage, IndexStore, PurgeFeed, Row, Written};
use tiergate_engine::{
    CacheKey, PurgeMode, Selector, WallTime,
    durable::Version,
    feed::{FeedOrigin, Notice, Sequence, Ticket},
};
use tiergate_stores::{
    AnyIndex, FeedBounds, PostgresAddress, PostgresIndex, PostgresOptions,
    conformance::{feed::what_was_trimmed_is_told, feed_conformance, index_conformance},
};
use tiergate_tiers::{Connect, TcpConnect};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls};

const EDGE: FeedOrigin = FeedOrigin(7);
const HOUR: Duration = Duration::from_secs(3_600);

fn address(server: &Postgres) -> PostgresAddress {
    PostgresAddress {
        authority: server.authority(),
        database: "postgres".to_owned(),
        user: USER.to_owned(),
        password: Some(PASSWORD.to_owned()),
    }
}

/// Far more than a call takes, so that a busy machine fails no test.
fn patient() -> PostgresOptions {
    PostgresOptions { call_time_max: Duration::from_secs(60), ..PostgresOptions::default() }
}

async fn index_of(server: &Postgres, options: PostgresOptions) -> PostgresIndex<TcpConnect> {
    PostgresIndex::open(TcpConnect, address(server), options).await.expect("the tables are this release's")
}

/// A client past ours.
async fn client(server: &Postgres) -> Client {
    let stream = TcpStream::connect(server.authority()).await.expect("the server listens");
    let mut config = tokio_postgres::Config::new();
    config.user(USER).password(PASSWORD).dbname("postgres");
    let (client, connection) = config.connect_raw(stream, NoTls).await.expect("the server knows us");
    tokio::spawn(connection);
    client
}

async fn run(server: &Postgres, statements: &str) {
    client(server).await.batch_execute(statements).await.expect("the statements are right");
}

async fn count(server: &Postgres, table: &str) -> i64 {
    let row = client(server).await.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await;
    row.expect("the table is there").get(0)
}

fn row(version: u64, value: &'static str, now: WallTime) -> Row {
    let (expires, droppable) = (now.after(HOUR), now.after(HOUR * 2));
    Row { version: Version(version), value: Bytes::from(value), expires, droppable }
}

fn notice(number: u64) -> Notice {
    let at = WallTime::from_unix_millis(1_700_000_000_000 + number);
    Notice { selector: Selector::Key(CacheKey(number.into())), mode: PurgeMode::Hard, at }
}

async fn append(feed: &impl PurgeFeed, number: u64) -> Sequence {
    feed.append(EDGE, Ticket(number), notice(number)).await.expect("the database answers")
}

async fn read(feed: &impl PurgeFeed, after: Sequence) -> FeedPage {
    feed.read(after).await.expect("the database answers")
}

fn tickets(page: &FeedPage) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.ticket.0).collect()
}

/// PostgreSQL keeps every promise of an index and of a feed's log, as it is configured by default and where
/// every transaction is serializable, as it always is in CockroachDB.
#[tokio::test]
async fn postgres_conforms_as_an_index_and_a_log() {
    for isolation in ["read committed", "serializable"] {
        let server = Postgres::start(&[&format!("default_transaction_isolation={isolation}")]);
        let index = AnyIndex::Postgres(Arc::new(index_of(&server, patient()).await));
        index_conformance(&index).await;
        feed_conformance(&index).await;
        what_was_trimmed_is_told(&index, async || {
            let day: i64 = 24 * 3_600 * 1_000;
            run(&server, &format!("UPDATE tiergate_feed SET appended = appended - {day}")).await;
        })
        .await;
    }
}

/// Of edges that change one row at once, each over connections of its own, exactly one is told that it did,
/// also where every transaction is serializable.
#[tokio::test]
async fn one_of_many_edges_wins() {
    let server = Postgres::start(&["default_transaction_isolation=serializable"]);
    let mut edges = Vec::new();
    for _ in 0..6 {
        edges.push(Arc::new(index_of(&server, patient()).await));
    }
    let now = edges[0].get(CacheKey(1)).await.expect("the database answers").now;
    edges[0].put_new(CacheKey(1), row(0, "none", now)).await.expect("the database answers");
    for version in 1..=20 {
        let tries = edges.iter().map(|edge| {
            let edge = Arc::clone(edge);
            tokio::spawn(async move {
                let changed = edge.cas_update(CacheKey(1), Version(version - 1), row(version, "", now));
                let new = CacheKey(u128::from(1_000 + version));
                let (changed, put) = tokio::join!(changed, edge.put_new(new, row(version, "", now)));
                (changed.expect("it is tried again"), put.expect("it is tried again"))
            })
        });
        let (mut changed, mut put) = (0, 0);
        for told in tries.collect::<Vec<_>>() {
            let told = told.await.expect("nothing panics");
            changed += u32::from(told.0 != Written::Refused);
            put += u32::from(told.1 != Written::Refused);
        }
        assert_eq!((changed, put), (1, 1), "round {version}");
    }
}

/// A statement that the database aborts for another's sake (SQLSTATE 40001) is tried again, and then finds
/// what the other one wrote: a write is refused, and an append comes behind it.
#[tokio::test]
async fn what_is_aborted_is_tried_again() {
    let server = Postgres::start(&["default_transaction_isolation=serializable"]);
    let index = index_of(&server, patient()).await;
    let now = index.get(CacheKey(1)).await.expect("the database answers").now;
    index.put_new(CacheKey(1), row(1, "first", now)).await.expect("the database answers");
    let before = append(&index, 1).await;
    let (other, watcher) = (client(&server).await, client(&server).await);
    let touched =
        "UPDATE tiergate_rows SET version = 2; UPDATE tiergate_feed_state SET entries = entries + 1";
    other.batch_execute(&format!("BEGIN; {touched}")).await.expect("nobody else is here");
    let release = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        while watcher.query_one(waiting, &[]).await.expect("it is a view").get::<_, i64>(0) < 2 {
            tokio::task::yield_now().await;
        }
        other.batch_execute("COMMIT; SELECT no_such_column").await.expect_err("there is none");
    };
    let swap = index.cas_update(CacheKey(1), Version(1), row(3, "second", now));
    let (swapped, after, ()) = tokio::join!(swap, append(&index, 2), release);
    assert_eq!(swapped, Ok(Written::Refused));
    assert!(after > before);
    assert_eq!(tickets(&read(&index, before).await), [2]);
    // What it wrote to its log before that column was asked for is there by then.
    server.wait_for_log("no_such_column");
    assert_eq!(server.log().matches("ERROR:  could not serialize access").count(), 2);
}

/// What the database cannot say to be done or not (SQLSTATE 40003) is told as failed and not asked again;
/// what it aborts each time is tried so often and no more.
#[tokio::test]
async fn what_is_in_doubt_has_failed() {
    let server = Postgres::start(&[]);
    let index = index_of(&server, patient()).await;
    let now = index.get(CacheKey(1)).await.expect("the database answers").now;
    // What a sequence has counted stays counted when a transaction is aborted.
    let count = "CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM nextval('tries'); RAISE 'no' USING ERRCODE = convert_from(NEW.value, 'UTF8'); END $$";
    run(&server, count).await;
    run(&server, "CREATE TRIGGER fail BEFORE INSERT ON tiergate_rows FOR EACH ROW EXECUTE FUNCTION fail()")
        .await;
    for (code, tries) in [("40003", 1), ("40001", 12), ("40P01", 12)] {
        run(&server, "ALTER SEQUENCE tries RESTART").await;
        let error =
            index.put_new(CacheKey(1), row(1, code, now)).await.expect_err("it is refused").to_string();
        assert!(error.ends_with(&format!(" failed: no (SQLSTATE {code})")), "{error}");
        let tried = client(&server).await.query_one("SELECT last_value FROM tries", &[]).await;
        assert_eq!(tried.expect("it is there").get::<_, i64>(0), tries, "{code}");
    }
}

/// Rows are dropped as writes go by, once they may be, and no others.
#[tokio::test]
async fn droppable_rows_are_swept_as_writes_go_by() {
    let server = Postgres::start(&[]);
    let index = index_of(&server, patient()).await;
    let now = index.get(CacheKey(0)).await.expect("the database answers").now;
    let due = Row { expires: now.before(HOUR), droppable: now.before(HOUR), ..row(1, "due", now) };
    for number in 1..=20 {
        index.put_new(CacheKey(number), due.clone()).await.expect("the database answers");
    }
    let expired = Row { expires: now.before(HOUR), ..row(1, "expired", now) };
    index.put_new(CacheKey(100), expired.clone()).await.expect("the database answers");
    let mut kept = 101;
    while count(&server, "tiergate_rows WHERE key < '\\x00000000000000000000000000000064'").await > 0 {
        index.put_new(CacheKey(kept), expired.clone()).await.expect("the database answers");
        kept += 1;
        assert!(kept < 100_000, "nothing is swept");
    }
    assert_eq!(count(&server, "tiergate_rows").await, i64::try_from(kept - 100).expect("they are few"));
    let found = index.get(CacheKey(100)).await.expect("the database answers");
    assert_eq!(found.row, Some(expired));
    assert!(found.now >= now);
}

/// However a log loses anything, whoever has read less than was in it is told that everything is unknown, and
/// sequences go on behind those that were lost.
#[tokio::test]
async fn a_lost_log_is_told_as_trimmed() {
    let server = Postgres::start(&[]);
    // The last entries, as where a replica that lagged takes over; also when somebody appends there first.
    let back = "DELETE FROM tiergate_feed WHERE sequence > (SELECT min(sequence) FROM tiergate_feed); \
                UPDATE tiergate_feed_state SET newest = (SELECT min(sequence) FROM tiergate_feed)";
    let holes = ["DELETE FROM tiergate_feed WHERE ticket % 10 = 4", "DELETE FROM tiergate_feed"];
    let losses = [
        ("DELETE FROM tiergate_feed_state", false),
        ("TRUNCATE tiergate_feed_state, tiergate_feed", false),
        ("DROP TABLE tiergate_feed_state, tiergate_feed", false),
        ("DROP TABLE tiergate_feed_state, tiergate_feed", true),
        (holes[0], false),
        (holes[1], false),
        (back, false),
        (back, true),
    ];
    for ((loss, appends_first), round) in losses.into_iter().zip(1_u64..) {
        let index = index_of(&server, patient()).await;
        let number = |last| round * 10 + last;
        let begin = read(&index, Sequence(u64::MAX >> 1)).await.newest;
        append(&index, number(1)).await;
        let known = append(&index, number(2)).await;
        append(&index, number(3)).await;
        append(&index, number(4)).await;
        let last = append(&index, number(5)).await;
        assert_eq!(tickets(&read(&index, begin).await).len(), 5, "{loss}");
        run(&server, loss).await;
        if appends_first {
            append(&index, number(6)).await;
        }
        // One edge has read it all, and one a part of it. A hole is seen by whoever reads across it.
        let is_hole = holes.contains(&loss);
        for after in if is_hole { [known, last] } else { [last, known] } {
            let page = read(&index, after).await;
            let trimmed = page.trimmed.unwrap_or_else(|| panic!("{loss}: the loss is not told"));
            assert!(trimmed.through > known && page.newest >= trimmed.through, "{loss}: {page:?}");
            assert!(trimmed.through >= last, "{loss}: {page:?} after {last:?}");
            assert!(trimmed.at > notice(number(5)).at, "{loss}: {trimmed:?}");
        }
        let end = read(&index, known).await.newest;
        let next = append(&index, number(7)).await;
        assert!(next > end, "{loss}");
        assert_eq!(tickets(&read(&index, end).await), [number(7)], "{loss}");
        run(&server, "TRUNCATE tiergate_feed_state, tiergate_feed").await;
    }
}

/// More entries than are to be kept are trimmed, oldest first, and told with the latest time among them.
#[tokio::test]
async fn entries_beyond_the_bound_are_trimmed() {
    let server = Postgres::start(&[]);
    let feed = FeedBounds { entries_max: 2, ..FeedBounds::default() };
    let index = index_of(&server, PostgresOptions { feed, ..patient() }).await;
    let begin = read(&index, Sequence::START).await;
    let began = begin.trimmed.expect("what was before is unknown");
    assert!(begin.entries.is_empty() && began.through == begin.newest);
    let late = began.at.after(HOUR);
    let mut sequences = vec![append(&index, 1).await];
    let later = Notice { at: late, ..notice(2) };
    sequences.push(index.append(EDGE, Ticket(2), later).await.expect("the database answers"));
    sequences.push(append(&index, 3).await);
    sequences.push(append(&index, 4).await);
    let page = read(&index, begin.newest).await;
    assert_eq!(tickets(&page), [3, 4]);
    let trimmed = page.trimmed.expect("two entries are gone");
    assert_eq!((trimmed.through, trimmed.at), (sequences[1], late));
    // What was trimmed is not known any more, so it is another one.
    assert!(append(&index, 1).await > sequences[3]);
}

/// Another layout is refused with what to do, at start and later; and nothing is changed there.
#[tokio::test]
async fn another_layout_is_refused() {
    let server = Postgres::start(&[]);
    let index = index_of(&server, patient()).await;
    let now = index.get(CacheKey(0)).await.expect("the database answers").now;
    index.put_new(CacheKey(1), row(1, "kept", now)).await.expect("the database answers");
    drop(index);
    run(&server, "UPDATE tiergate_layout SET layout = 9").await;
    let refused = PostgresIndex::open(TcpConnect, address(&server), patient()).await;
    assert_eq!(
        refused.expect_err("another release's tables").to_string(),
        format!(
            "{}/postgres: its tables have layout 9, and this release reads 1: start the release that made them, \
             or name another database",
            server.authority()
        )
    );
    assert_eq!(count(&server, "tiergate_rows").await, 1);
}

/// A database that is away is no reason not to start; each call fails meanwhile, and says where and why; and
/// the first after its return finds what was there.
#[tokio::test]
async fn a_database_may_be_away() {
    let mut server = Postgres::start(&[]);
    let kept = index_of(&server, patient()).await;
    let now = kept.get(CacheKey(0)).await.expect("the database answers").now;
    kept.put_new(CacheKey(1), row(1, "kept", now)).await.expect("the database answers");
    server.stop();
    let new = index_of(&server, patient()).await;
    for index in [&kept, &new] {
        let error = index.get(CacheKey(1)).await.expect_err("nobody listens").to_string();
        let place = format!("postgres: reading a row at {}/postgres failed: ", server.authority());
        assert!(error.contains(&place), "{error}");
        assert!(index.append(EDGE, Ticket(1), notice(1)).await.is_err());
    }
    server.restart();
    for index in [&kept, &new] {
        // A connection that the crash has cut may be noticed by the first call over it.
        let found = match index.get(CacheKey(1)).await {
            Ok(found) => found,
            Err(_) => index.get(CacheKey(1)).await.expect("the database is back"),
        };
        assert_eq!(found.row, Some(row(1, "kept", now)));
    }
}

/// A user without the right password is told so, and the password is nowhere in what is said.
#[tokio::test]
async fn a_password_is_never_told() {
    let server = Postgres::start(&[]);
    let wrong = PostgresAddress { password: Some("open sesame".to_owned()), ..address(&server) };
    let said = format!("{wrong:?} {wrong}");
    let index = PostgresIndex::open(TcpConnect, wrong, patient()).await.expect("it may become right");
    let error = index.get(CacheKey(1)).await.expect_err("the password is wrong").to_string();
    assert!(
        error.contains("password authentication failed for user \"postgres\" (SQLSTATE 28P01)"),
        "{error}"
    );
    for text in [error, said, format!("{index:?}")] {
        assert!(!text.contains("sesame"), "{text}");
    }
}

/// A user who may not make tables needs none of it where they are there.
#[tokio::test]
async fn a_user_without_rights_to_make_tables_is_enough() {
    let server = Postgres::start(&[]);
    drop(index_of(&server, patient()).await);
    run(
        &server,
        "CREATE ROLE edge LOGIN PASSWORD 'edge'; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO edge",
    )
    .await;
    let edge =
        PostgresAddress { user: "edge".to_owned(), password: Some("edge".to_owned()), ..address(&server) };
    let index = PostgresIndex::open(TcpConnect, edge, patient()).await.expect("the tables are ours");
    index_conformance(&index).await;
    append(&index, 1).await;
}

/// Counts the connections that are made.
struct Counting(Arc<AtomicU32>);

impl Connect for Counting {
    type Stream = TcpStream;

    async fn connect(&self, authority: &str) -> io::Result<TcpStream> {
        self.0.fetch_add(1, Ordering::Relaxed);
        TcpConnect.connect(authority).await
    }
}

/// A call that waits too long, here for a lock that somebody holds, fails; the next goes over another
/// connection, and calls that fail in the usual way keep theirs.
#[tokio::test]
async fn a_call_that_takes_too_long_fails() {
    let server = Postgres::start(&[]);
    let made = Arc::new(AtomicU32::new(0));
    let options = PostgresOptions {
        call_time_max: Duration::from_secs(3),
        connections: 1,
        ..PostgresOptions::default()
    };
    let index = PostgresIndex::open(Counting(Arc::clone(&made)), address(&server), options);
    let index = index.await.expect("the tables are this release's");
    let now = index.get(CacheKey(0)).await.expect("the database answers").now;
    index.put_new(CacheKey(1), row(1, "first", now)).await.expect("the database answers");
    append(&index, 1).await;
    append(&index, 1).await;
    assert_eq!(made.load(Ordering::Relaxed), 1);
    let holder = client(&server).await;
    holder
        .batch_execute("BEGIN; UPDATE tiergate_rows SET droppable = droppable")
        .await
        .expect("the rows are there");
    let late = index.cas_update(CacheKey(1), Version(1), row(2, "second", now)).await;
    let error = late.expect_err("somebody holds the row").to_string();
    assert!(error.contains("writing a row at") && error.ends_with("no answer within 3s"), "{error}");
    let found = index.get(CacheKey(1)).await.expect("the database answers");
    assert_eq!(found.row, Some(row(1, "first", now)));
    assert_eq!(made.load(Ordering::Relaxed), 2);
}
