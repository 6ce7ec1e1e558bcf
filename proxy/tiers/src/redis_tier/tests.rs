//! The Redis tier against a real `redis-server`, which each test starts for itself on a socket in a directory
//! of its own; and against peers that never answer, on paused time.

use super::*;
use crate::{
    AnyTier,
    conformance::conformance,
    redis_server::{Server, UnixConnect},
};
use std::{
    future::pending,
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};
use tiergate_engine::{ByteCount, Fields, Head, WallTime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::UnixStream,
    sync::Notify,
    time::Instant,
};

/// The record that a lookup found.
fn record_of(found: Option<Found>) -> Option<Record> {
    found.map(|found| found.record)
}

impl Server {
    fn tier(&self) -> RedisTier<UnixConnect> {
        RedisTier::new(self.connect(), "redis:6379", patient())
    }
}

/// A key as it is called where no prefix is configured.
fn named(key: String) -> String {
    format!("tg:{key}")
}

/// On a busy machine a real server may be slow, which is not what these tests are about.
fn patient() -> RedisOptions {
    RedisOptions { command_time_max: Duration::from_secs(20) }
}

const WRITER: Handle<WriterId> = Handle { shard: 0, id: WriterId(1) };
const RECORD: Handle<RecordId> = Handle { shard: 0, id: RecordId(1) };
const SOURCE: Handle<ReadSource> = Handle { shard: 0, id: ReadSource::Record(RecordId(1)) };
const KEYS: Keys = Keys { key: StoredKey::plain(CacheKey(0xabc)), name: RecordName(0xdef) };

fn record(length: usize) -> Arc<Record> {
    Arc::new(Record {
        key: KEYS.key.key,
        target: KEYS.key.target,
        name: KEYS.name,
        head: Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"1\"")]) }),
        length: ByteCount(length as u64),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(5),
            age_then: Duration::from_secs(10),
            lifetime: Duration::from_secs(60),
        },
    })
}

async fn write<C: Connect>(tier: &RedisTier<C>, body: &[u8]) {
    tier.open(WRITER, KEYS.key, KEYS.name).await.expect("it opens");
    tier.write(WRITER, Bytes::copy_from_slice(body)).await.expect("it writes");
}

async fn store<C: Connect>(tier: &RedisTier<C>, body: &[u8]) {
    write(tier, body).await;
    tier.commit(WRITER, record(body.len())).await.expect("it commits");
    tier.discard(WRITER);
}

/// Redis keeps every promise of a byte tier.
#[tokio::test]
async fn redis_conforms() {
    let server = Server::start();
    let tier = server.tier();
    conformance(&AnyTier::<_, crate::FileMedium>::Redis(tier)).await;
}

/// What one edge stored, another reads; what one deletes is gone for both.
#[tokio::test]
async fn edges_share_what_is_stored() {
    let server = Server::start();
    let (one, two) = (server.tier(), server.tier());
    store(&one, b"hello").await;
    assert_eq!(two.lookup(RECORD, KEYS.key).await.map(record_of), Ok(Some((*record(5)).clone())));
    assert_eq!(two.read(SOURCE, 1, 99).await, Ok(Bytes::from_static(b"ello")));
    assert_eq!(two.delete(KEYS.key, None).await, Ok(true));
    assert_eq!(one.lookup(RECORD, KEYS.key).await, Ok(None));
}

/// A purge that another edge asked for closes the writers that this one has open, and only those: what is
/// opened after the purge is published (C7).
#[tokio::test]
async fn a_purge_by_another_edge_closes_writers() {
    let server = Server::start();
    let (one, two) = (server.tier(), server.tier());
    write(&one, b"old").await;
    assert_eq!(two.delete(KEYS.key, None).await, Ok(false));
    let committed = one.commit(WRITER, record(3)).await;
    let error = committed.expect_err("it was opened before the purge").to_string();
    assert!(error.contains("was purged"), "{error}");
    let writer = one.writer(WRITER).expect("it is open");
    assert_eq!(one.shared.take_back(&writer).await, Ok(()));
    assert_eq!(server.ask::<u64>(&[b"DBSIZE"]), 0, "nothing of it is left");
    assert!(one.shared.open().doubts.is_empty(), "a refusal leaves no doubt");
    store(&one, b"newer").await;
    assert_eq!(two.lookup(RECORD, KEYS.key).await.map(record_of), Ok(Some((*record(5)).clone())));
}

fn variant(length: usize) -> (StoredKey, Arc<Record>) {
    let key = StoredKey { key: CacheKey(0x123), ..KEYS.key };
    (key, Arc::new(Record { key: key.key, ..(*record(length)).clone() }))
}

async fn store_variant<C: Connect>(tier: &RedisTier<C>, body: &[u8]) {
    let (key, record) = variant(body.len());
    tier.open(WRITER, key, KEYS.name).await.expect("it opens");
    tier.write(WRITER, Bytes::copy_from_slice(body)).await.expect("it is written");
    tier.commit(WRITER, record).await.expect("it commits");
    tier.discard(WRITER);
}

/// One edge purges a target whose variants another stored, and knows none of them: they are gone for both,
/// also after the target has another generation (C7).
#[tokio::test]
async fn a_purge_reaches_variants_of_another_edge() {
    let server = Server::start();
    let (one, two) = (server.tier(), server.tier());
    let (key, record) = variant(5);
    store_variant(&one, b"hello").await;
    assert_eq!(two.lookup(RECORD, key).await.map(record_of), Ok(Some((*record).clone())));
    two.delete(KEYS.key, None).await.expect("it is there");
    assert_eq!(one.lookup(RECORD, key).await, Ok(None));
    let other = Handle { id: WriterId(2), ..WRITER };
    one.open(other, KEYS.key, RecordName(1)).await.expect("it opens");
    assert_eq!(one.lookup(RECORD, key).await, Ok(None));
}

/// A generation lives as long as the longest of the heads that need it, and no writer shortens it; without it
/// a variant is absent.
#[tokio::test]
async fn a_variant_lives_with_its_generation() {
    let server = Server::start();
    let tier = server.tier();
    let (key, record) = variant(5);
    let lifetime = GENERATION_TIME * 3;
    let freshness = StoredFreshness { lifetime, ..record.freshness };
    tier.open(WRITER, key, KEYS.name).await.expect("it opens");
    tier.write(WRITER, Bytes::from_static(b"hello")).await.expect("it is written");
    let record = Arc::new(Record { freshness, ..(*record).clone() });
    tier.commit(WRITER, Arc::clone(&record)).await.expect("it commits");
    let generation = named(keys::generation(KEYS.key.target));
    for _ in 0..2 {
        let left = Duration::from_millis(server.ask(&[b"PTTL", generation.as_bytes()]));
        assert!(left > GENERATION_TIME * 2 && left <= lifetime + STALE_TIME, "{left:?}");
        let other = Handle { id: WriterId(2), ..WRITER };
        tier.open(other, KEYS.key, RecordName(1)).await.expect("it opens");
    }
    assert_eq!(tier.lookup(RECORD, key).await.map(record_of), Ok(Some((*record).clone())));
    let () = server.ask(&[b"DEL", generation.as_bytes()]);
    assert_eq!(tier.lookup(RECORD, key).await, Ok(None));
}

/// A generation that Redis lost, with or without another since, costs the store and publishes nothing.
#[tokio::test]
async fn a_lost_generation_publishes_nothing() {
    for opens_again in [false, true] {
        let server = Server::start();
        let tier = server.tier();
        write(&tier, b"hello").await;
        let () = server.ask(&[b"DEL", named(keys::generation(KEYS.key.target)).as_bytes()]);
        if opens_again {
            let other = Handle { id: WriterId(2), ..WRITER };
            tier.open(other, KEYS.key, RecordName(1)).await.expect("it opens");
        }
        assert!(tier.commit(WRITER, record(5)).await.is_err(), "opens again: {opens_again}");
        assert_eq!(tier.lookup(RECORD, KEYS.key).await, Ok(None));
    }
}

/// Writers of one key share its generation, and each that opens prolongs it.
#[tokio::test]
async fn a_generation_is_shared_and_prolonged() {
    let server = Server::start();
    let (one, two) = (server.tier(), server.tier());
    let generation = named(keys::generation(KEYS.key.target));
    one.open(WRITER, KEYS.key, KEYS.name).await.expect("it opens");
    let () = server.ask(&[b"PEXPIRE", generation.as_bytes(), b"60000"]);
    two.open(WRITER, KEYS.key, RecordName(1)).await.expect("it opens");
    assert_eq!(server.ask::<String>(&[b"GET", generation.as_bytes()]), format!("{:032x}", KEYS.name.0));
    let left = Duration::from_millis(server.ask(&[b"PTTL", generation.as_bytes()]));
    assert!(left > GENERATION_TIME / 2 && left <= GENERATION_TIME, "{left:?}");
}

/// A head lives for a time after its response grew stale, and its parts longer; a writer's parts do not live
/// for ever either. A freshening prolongs all of them.
#[tokio::test]
async fn everything_expires_and_parts_last() {
    let server = Server::start();
    let tier = server.tier();
    let left = |key: String| Duration::from_millis(server.ask(&[b"PTTL", key.as_bytes()]));
    let (minute, fresh_for) = (Duration::from_secs(60), Duration::from_secs(50));
    let kept = fresh_for + STALE_TIME;
    write(&tier, &[7; 300_000]).await;
    let part = left(named(KEYS.part(0)));
    assert!(part > PART_TIME - minute && part <= PART_TIME, "{part:?}");
    tier.commit(WRITER, record(300_000)).await.expect("it commits");
    let head = left(named(keys::current(KEYS.key)));
    assert!(head <= kept && head > kept - minute, "{head:?}");
    for index in 0..2 {
        let part = left(named(KEYS.part(index)));
        assert!(part > PART_TIME && part <= PART_TIME + kept, "part {index}: {part:?}");
    }
    let generation = left(named(keys::generation(KEYS.key.target)));
    assert!(generation > kept - minute && generation <= kept, "{generation:?}");
    assert_eq!(server.ask::<u64>(&[b"DBSIZE"]), 4, "nothing else is left");

    let mut longer = Record::clone(&record(300_000));
    longer.freshness.lifetime += minute * 60;
    assert_eq!(tier.freshen(Arc::new(longer)).await, Ok(Freshening::Done));
    for key in [named(keys::current(KEYS.key)), named(KEYS.part(0)), named(KEYS.part(1))] {
        let prolonged = left(key);
        assert!(prolonged > kept + minute * 59, "{prolonged:?}");
    }
    assert_eq!(server.ask::<u64>(&[b"DBSIZE"]), 4, "nothing else is left");
}

/// A body that has lost a part is not freshened: nobody could read it whole.
#[tokio::test]
async fn a_body_with_a_hole_is_not_freshened() {
    let server = Server::start();
    let tier = server.tier();
    write(&tier, &[7; 300_000]).await;
    tier.commit(WRITER, record(300_000)).await.expect("it commits");
    let () = server.ask(&[b"DEL", named(KEYS.part(1)).as_bytes()]);
    assert_eq!(tier.freshen(record(300_000)).await, Ok(Freshening::Absent));
}

/// A head lives for the lifetime that is left and the time after it, within its own bound.
#[test]
fn a_head_outlives_its_lifetime() {
    let year = 366 * 24 * 3_600;
    for (age, lifetime, expected) in
        [(10, 60, 3_650), (0, 60, 3_660), (60, 60, 3_600), (70, 60, 3_600), (0, u64::MAX, year)]
    {
        let freshness = StoredFreshness {
            as_of: WallTime::from_unix_millis(0),
            age_then: Duration::from_secs(age),
            lifetime: Duration::from_secs(lifetime),
        };
        assert_eq!(remaining(&freshness), Duration::from_secs(expected));
    }
}

/// A part that changed, lost its end, or is missing gives an error, and never other bytes.
#[tokio::test]
async fn a_part_that_changed_is_an_error() {
    let server = Server::start();
    let tier = server.tier();
    store(&tier, b"hello").await;
    tier.lookup(RECORD, KEYS.key).await.expect("it is whole");
    let key = named(KEYS.part(0));
    let whole: Vec<u8> = server.ask(&[b"GET", key.as_bytes()]);
    for byte in 0..whole.len() {
        let mut rotten = whole.clone();
        rotten[byte] ^= 1;
        let () = server.ask(&[b"SET", key.as_bytes(), &rotten]);
        let read = tier.read(SOURCE, 0, 1).await;
        assert!(read.is_err(), "byte {byte}: {read:?}");
        let () = server.ask(&[b"SET", key.as_bytes(), &whole[..byte]]);
        let read = tier.read(SOURCE, 0, 1).await;
        assert!(read.is_err(), "cut at {byte}: {read:?}");
    }
    let () = server.ask(&[b"SET", key.as_bytes(), &whole]);
    assert_eq!(tier.read(SOURCE, 0, 9).await, Ok(Bytes::from_static(b"hello")));
    let () = server.ask(&[b"DEL", key.as_bytes()]);
    let gone = tier.read(SOURCE, 0, 1).await;
    assert_eq!(gone, Err(TierError::Rotten(format!("redis: `{key}` is gone"))));
}

/// A head that changed, or lies under another key, is an error.
#[tokio::test]
async fn a_head_that_changed_is_an_error() {
    let server = Server::start();
    let tier = server.tier();
    store(&tier, b"hello").await;
    let key = named(keys::current(KEYS.key));
    let whole: Vec<u8> = server.ask(&[b"GET", key.as_bytes()]);
    for byte in 0..whole.len() {
        let mut rotten = whole.clone();
        rotten[byte] ^= 1;
        let () = server.ask(&[b"SET", key.as_bytes(), &rotten]);
        let found = tier.lookup(RECORD, KEYS.key).await;
        assert!(found.is_err(), "byte {byte}: {found:?}");
    }
    let other = StoredKey::plain(CacheKey(1));
    let () = server.ask(&[b"SET", named(keys::current(other)).as_bytes(), &whole]);
    let found = tier.lookup(RECORD, other).await;
    assert!(found.is_err(), "{found:?}");
}

/// A part that Redis evicted before the commit is noticed: nothing is published.
#[tokio::test]
async fn a_commit_without_all_parts_fails() {
    let server = Server::start();
    let tier = server.tier();
    write(&tier, &[7; 300_000]).await;
    let () = server.ask(&[b"DEL", named(KEYS.part(0)).as_bytes()]);
    let committed = tier.commit(WRITER, record(300_000)).await;
    assert!(committed.is_err(), "{committed:?}");
    assert_eq!(tier.lookup(RECORD, KEYS.key).await, Ok(None));
}

/// What a writer left that did not commit is taken back to the last key, but for the generation, which others
/// may share.
#[tokio::test]
async fn a_discarded_writer_leaves_no_key() {
    let server = Server::start();
    let tier = server.tier();
    write(&tier, &[7; 600_000]).await;
    assert_eq!(server.ask::<u64>(&[b"DBSIZE"]), 3);
    let writer = tier.writer(WRITER).expect("it is open");
    assert_eq!(tier.shared.take_back(&writer).await, Ok(()));
    let left: Vec<String> = server.ask(&[b"KEYS", b"*"]);
    assert_eq!(left, [named(keys::generation(KEYS.key.target))]);
}

/// While Redis is away every call fails; what was acknowledged and is still held can be read; when it is
/// back, the next call works.
#[tokio::test]
async fn a_server_that_died_is_found_again() {
    let mut server = Server::start();
    let tier = server.tier();
    store(&tier, b"hello").await;
    tier.lookup(RECORD, KEYS.key).await.expect("it is whole");
    write(&tier, b"held").await;
    server.stop();
    let failed = [
        tier.lookup(RECORD, KEYS.key).await.map(drop),
        tier.read(SOURCE, 0, 1).await.map(drop),
        tier.write(WRITER, Bytes::from(vec![1; 300_000])).await,
        tier.commit(WRITER, record(4)).await,
        tier.delete(KEYS.key, None).await.map(drop),
    ];
    assert!(failed.iter().all(Result::is_err), "{failed:?}");
    let held = Handle { shard: 0, id: ReadSource::Writer(WRITER.id) };
    assert_eq!(tier.read(held, 0, 4).await, Ok(Bytes::from_static(b"held")));
    tier.discard(WRITER);
    server.restart();
    assert_eq!(tier.lookup(RECORD, KEYS.key).await, Ok(None));
    store(&tier, b"hello").await;
    assert_eq!(tier.lookup(RECORD, KEYS.key).await.map(record_of), Ok(Some((*record(5)).clone())));
    assert_eq!(tier.read(SOURCE, 0, 9).await, Ok(Bytes::from_static(b"hello")));
}

/// A command that Redis refuses fails alone: others on the same connection go on.
#[tokio::test]
async fn a_refused_command_keeps_the_connection() {
    let server = Server::start();
    let tier = server.tier();
    store(&tier, b"hello").await;
    let clients = || server.ask::<String>(&[b"INFO", b"stats"]);
    let connections = |info: String| {
        let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.and_then(|count| count.trim().parse::<u64>().ok())
    };
    let before = connections(clients());
    let () = server.ask(&[b"LPUSH", named(keys::current(StoredKey::plain(CacheKey(9)))).as_bytes(), b"x"]);
    let found = tier.lookup(RECORD, StoredKey::plain(CacheKey(9))).await;
    let error = found.expect_err("a list is no head").to_string();
    assert!(error.contains("GET") && error.contains("refused"), "{error}");
    assert_eq!(tier.lookup(RECORD, KEYS.key).await.map(record_of), Ok(Some((*record(5)).clone())));
    // The two commands of this test's own since then.
    assert_eq!(connections(clients()), before.map(|count| count + 2));
}

/// Makes connections that do not come about, or on which nobody answers.
struct Silent {
    connects: bool,
    peers: Mutex<Vec<DuplexStream>>,
}

impl Connect for Silent {
    type Stream = DuplexStream;

    async fn connect(&self, _: &str) -> io::Result<DuplexStream> {
        if !self.connects {
            pending::<()>().await;
        }
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        self.peers.lock().expect("no test panics inside").push(theirs);
        Ok(ours)
    }
}

/// A command that gets no answer ends with its time limit, whether the connection does not come about or is
/// silent, and the next one tries a new connection.
#[tokio::test(start_paused = true)]
async fn a_silent_server_costs_one_time_limit() {
    for connects in [false, true] {
        let silent = Silent { connects, peers: Mutex::default() };
        let tier = RedisTier::new(silent, "redis:6379", RedisOptions::default());
        for attempt in 1..=2 {
            let began = Instant::now();
            let both = tokio::join!(tier.lookup(RECORD, KEYS.key), tier.delete(KEYS.key, None));
            assert!(both.0.is_err() && both.1.is_err(), "{both:?}");
            assert_eq!(began.elapsed().as_millis() / 10, 25, "250 ms is the default");
            let peers = tier.shared.link.connector().peers.lock().expect("no test panics inside");
            assert_eq!(peers.len(), if connects { attempt } else { 0 });
        }
    }
}

/// Passes bytes on to a real server; while armed, holds back the first piece with an `EVAL` in it, and all
/// after it, until told to go on.
struct Delaying {
    socket: PathBuf,
    delay: Arc<Delay>,
}

#[derive(Default)]
struct Delay {
    armed: AtomicBool,
    go_on: Notify,
    passed: Notify,
}

impl Connect for Delaying {
    type Stream = DuplexStream;

    async fn connect(&self, _: &str) -> io::Result<DuplexStream> {
        let server = UnixStream::connect(&self.socket).await?;
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        tokio::spawn(relay(theirs, server, Arc::clone(&self.delay)));
        Ok(ours)
    }
}

async fn relay(client: DuplexStream, server: UnixStream, delay: Arc<Delay>) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        // The client may be gone.
        drop(tokio::io::copy(&mut from_server, &mut to_client).await);
    });
    let mut piece = vec![0; 1 << 20];
    while let Ok(size @ 1..) = from_client.read(&mut piece).await {
        let publishes = piece[..size].windows(4).any(|word| word == b"EVAL");
        let is_held = publishes && delay.armed.swap(false, Ordering::Relaxed);
        if is_held {
            delay.go_on.notified().await;
        }
        if to_server.write_all(&piece[..size]).await.is_err() {
            break;
        }
        if is_held {
            // The server reads to the end of what it was sent before it closes.
            to_server.shutdown().await.expect("the server is there");
            drop(answers.await);
            delay.passed.notify_one();
            return;
        }
    }
}

/// What happens after a commit was given up, before its script arrives.
#[derive(Clone, Copy, Debug)]
enum Then {
    Discards,
    DeletesByName,
    Purges,
}

/// A script that arrives after its commit was given up, and after a purge, a delete by name or a discard was
/// acknowledged, publishes nothing (F1).
#[tokio::test]
async fn a_late_commit_does_not_undo_a_delete() {
    for then in [Then::Discards, Then::DeletesByName, Then::Purges] {
        let server = Server::start();
        let delay = Arc::<Delay>::default();
        let connector = Delaying { socket: server.socket(), delay: Arc::clone(&delay) };
        let tier = RedisTier::new(connector, "redis:6379", patient());
        write(&tier, b"hello").await;
        delay.armed.store(true, Ordering::Relaxed);
        {
            let commit = std::pin::pin!(tier.commit(WRITER, record(5)));
            let held = async {
                while delay.armed.load(Ordering::Relaxed) {
                    tokio::task::yield_now().await;
                }
            };
            // The commit is given up once its script is under way: dropped, as a caller with less patience
            // would.
            tokio::select! {
                biased;
                () = held => {}
                committed = commit => panic!("the script is held, and yet {committed:?}"),
            }
        }
        // On a new connection, as after a time limit.
        tier.shared.link.give_up().await;
        match then {
            Then::Discards => {
                let writer = tier.writer(WRITER).expect("it is open");
                assert_eq!(tier.shared.take_back(&writer).await, Ok(()));
            }
            Then::DeletesByName => assert_eq!(tier.delete(KEYS.key, Some(KEYS.name)).await, Ok(false)),
            Then::Purges => assert_eq!(tier.delete(KEYS.key, None).await, Ok(false)),
        }
        delay.go_on.notify_one();
        delay.passed.notified().await;
        assert_eq!(tier.lookup(RECORD, KEYS.key).await, Ok(None));
        let is_visible: bool = server.ask(&[b"EXISTS", named(keys::current(KEYS.key)).as_bytes()]);
        assert!(!is_visible, "the late script published it: {then:?}");
        assert!(tier.shared.open().doubts.is_empty());
    }
}
