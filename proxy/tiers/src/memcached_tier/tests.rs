//! The memcached tier against a real server, which each test starts for itself on a socket in a directory of
//! its own; and against peers that are none.

use super::*;
use crate::{AnyTier, conformance::conformance};
use std::{
    future::pending,
    io::{self, Read, Write},
    path::PathBuf,
    pin::Pin,
    process::{Child, Command},
    task::{Context, Poll},
    thread,
};
use tempfile::TempDir;
use tiergate_driver::ByteTier;
use tiergate_engine::{ByteCount, Fields, Head, ReadSource, WallTime};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    net::UnixStream,
    sync::Notify,
};

/// A `memcached` that ends with the test.
struct Server {
    process: Child,
    directory: TempDir,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("the system has a place for temporary files");
        Self { process: run_in(&directory), directory }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn stop(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// At the same place, with nothing in it.
    fn restart(&mut self) {
        std::fs::remove_file(self.socket()).expect("a killed server leaves it");
        self.process = run_in(&self.directory);
    }

    fn tier(&self) -> MemcachedTier<UnixConnect> {
        MemcachedTier::new(UnixConnect(self.socket()), "memcached:11211", patient())
    }

    /// Asks past a client of ours, and reads the first line of the answer.
    fn ask(&self, command: &[u8]) -> String {
        let mut stream = std::os::unix::net::UnixStream::connect(self.socket()).expect("the server runs");
        stream.write_all(command).expect("the server reads");
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the server answers");
            line.push(byte[0]);
        }
        String::from_utf8(line).expect("a line is text")
    }

    fn put(&self, key: &str, value: &[u8]) {
        let line = format!("ms tg:{key} {} T600\r\n", value.len());
        assert_eq!(self.ask(&[line.as_bytes(), value, b"\r\n"].concat()), "HD\r\n");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been stopped by the test.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn run_in(directory: &TempDir) -> Child {
    let socket = directory.path().join("socket");
    let mut process = Command::new("memcached")
        // The user counts only where the test is root, whom it asks for one.
        .args(["-u", "root", "-m", "64", "-U", "0", "-s"])
        .arg(&socket)
        .spawn()
        .expect("`memcached` must be on the path for this test: `scripts/need memcached` installs it");
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert_eq!(process.try_wait().expect("it is our child"), None, "memcached ended before it was ready");
        thread::yield_now();
    }
    process
}

/// Leads to one socket.
struct UnixConnect(PathBuf);

impl Connect for UnixConnect {
    type Stream = UnixStream;

    async fn connect(&self, _: &str) -> io::Result<UnixStream> {
        UnixStream::connect(&self.0).await
    }
}

/// On a busy machine a real server may be slow, which is not what these tests are about.
fn patient() -> MemcachedOptions {
    MemcachedOptions { command_time_max: Duration::from_secs(20) }
}

const WRITER: Handle<WriterId> = Handle { shard: 0, id: WriterId(1) };
const RECORD: Handle<RecordId> = Handle { shard: 0, id: RecordId(1) };
const SOURCE: Handle<ReadSource> = Handle { shard: 0, id: ReadSource::Record(RecordId(1)) };
const TARGET: CacheKey = CacheKey(0xabc);
const KEYS: Keys = Keys { key: StoredKey::plain(TARGET), name: RecordName(0xdef) };
const VARIANT: Keys =
    Keys { key: StoredKey { target: TARGET, key: CacheKey(0x123) }, name: RecordName(0x456) };

fn record(keys: Keys, length: usize) -> Arc<Record> {
    Arc::new(Record {
        key: keys.key.key,
        target: keys.key.target,
        name: keys.name,
        head: Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"1\"")]) }),
        length: ByteCount(length as u64),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(5),
            age_then: Duration::from_secs(10),
            lifetime: Duration::from_secs(60),
        },
    })
}

async fn write<C: Connect>(tier: &MemcachedTier<C>, keys: Keys, body: &[u8]) {
    assert_eq!(tier.open(WRITER, keys.key, keys.name).await, Ok(()));
    assert_eq!(tier.write(WRITER, Bytes::copy_from_slice(body)).await, Ok(()));
}

async fn store<C: Connect>(tier: &MemcachedTier<C>, keys: Keys, body: &[u8]) {
    write(tier, keys, body).await;
    assert_eq!(tier.commit(WRITER, record(keys, body.len())).await, Ok(()));
}

async fn is_found<C: Connect>(tier: &MemcachedTier<C>, key: StoredKey) -> bool {
    tier.lookup(RECORD, key).await.expect("the server is well").is_some()
}

/// memcached keeps every promise of a byte tier.
#[tokio::test]
async fn memcached_conforms() {
    let server = Server::start();
    conformance(&AnyTier::<_, crate::FileMedium>::Memcached(server.tier())).await;
}

/// A purge by one edge closes the writers of another, of the target and of its variants, and reaches what the
/// other stored.
#[tokio::test]
async fn a_purge_reaches_other_edges() {
    let server = Server::start();
    let (one, two) = (server.tier(), server.tier());
    store(&one, VARIANT, b"variant").await;
    assert!(is_found(&two, VARIANT.key).await);
    for keys in [KEYS, VARIANT] {
        write(&one, keys, b"hello").await;
        two.delete(KEYS.key, None).await.expect("the server is well");
        assert!(one.commit(WRITER, record(keys, 5)).await.is_err());
        // Also when somebody has begun anew meanwhile.
        write(&one, keys, b"hello").await;
        two.delete(KEYS.key, None).await.expect("the server is well");
        let other = Handle { id: WriterId(2), ..WRITER };
        two.open(other, KEYS.key, RecordName(1)).await.expect("it opens");
        assert!(one.commit(WRITER, record(keys, 5)).await.is_err());
        assert!(!is_found(&one, KEYS.key).await && !is_found(&two, VARIANT.key).await);
    }
    store(&two, VARIANT, b"again").await;
    assert!(is_found(&one, VARIANT.key).await);
}

/// What the server loses costs what was stored, and publishes nothing.
#[tokio::test]
async fn a_lost_generation_publishes_nothing() {
    for (keys, opens_again) in [(KEYS, false), (KEYS, true), (VARIANT, false), (VARIANT, true)] {
        let server = Server::start();
        let tier = server.tier();
        write(&tier, keys, b"hello").await;
        assert_eq!(server.ask(b"md tg:{00000000000000000000000000000abc}\r\n"), "HD\r\n");
        if opens_again {
            let other = Handle { id: WriterId(2), ..WRITER };
            tier.open(other, KEYS.key, RecordName(1)).await.expect("it opens");
        }
        assert!(tier.commit(WRITER, record(keys, 5)).await.is_err(), "opens again: {opens_again}");
        assert!(!is_found(&tier, keys.key).await);
    }
    let server = Server::start();
    let tier = server.tier();
    write(&tier, KEYS, &[7; 300_000]).await;
    assert_eq!(server.ask(format!("md tg:{}\r\n", KEYS.part(0)).as_bytes()), "HD\r\n");
    assert!(tier.commit(WRITER, record(KEYS, 300_000)).await.is_err(), "a part is gone");
    assert!(!is_found(&tier, KEYS.key).await);
}

/// How long a key still lives.
fn left(server: &Server, key: &str) -> Duration {
    let line = server.ask(format!("mg tg:{key} t\r\n").as_bytes());
    let seconds = line.strip_prefix("HD t").unwrap_or_else(|| panic!("{key}: {line}"));
    Duration::from_secs(seconds.trim().parse().expect("a number, and not for ever"))
}

/// A head lives for a time after its response grew stale, its parts longer, and a generation as long as the
/// longest head that was published under it.
#[tokio::test]
async fn everything_expires_and_parts_last() {
    let server = Server::start();
    let tier = server.tier();
    let (minute, kept) = (Duration::from_secs(60), Duration::from_secs(50) + STALE_TIME);
    write(&tier, KEYS, &[7; 300_000]).await;
    assert!(left(&server, &KEYS.part(0)) > PART_TIME - minute);
    assert!((PART_TIME - minute..=PART_TIME).contains(&left(&server, &keys::current(KEYS.key))));
    tier.commit(WRITER, record(KEYS, 300_000)).await.expect("it commits");
    let longer = |keys| {
        let record = Record::clone(&record(keys, 5));
        let freshness = StoredFreshness { lifetime: minute * 60, ..record.freshness };
        Arc::new(Record { freshness, ..record })
    };
    assert!((kept - minute..=kept).contains(&left(&server, &keys::current(KEYS.key))));
    assert!(left(&server, &KEYS.part(1)) > kept + PART_TIME - minute);
    write(&tier, VARIANT, b"hello").await;
    tier.commit(WRITER, longer(VARIANT)).await.expect("it commits");
    let longest = left(&server, &keys::current(KEYS.key));
    assert!(longest > kept + minute * 50, "{longest:?}");
    let shorter = Keys { name: RecordName(9), ..KEYS };
    store(&tier, shorter, b"hello").await;
    assert!(left(&server, &keys::current(KEYS.key)) > kept + minute * 50);
    assert_eq!(
        remaining(&StoredFreshness { lifetime: Duration::MAX, ..longer(KEYS).freshness }),
        HEAD_TIME_MAX
    );
}

/// A part or a head that changed, lost its end, is another's or is missing gives an error, and never other
/// bytes; and what cannot be read is in nobody's way for long.
#[tokio::test]
async fn what_changed_is_an_error() {
    let server = Server::start();
    let tier = server.tier();
    store(&tier, KEYS, b"hello").await;
    for (key, is_head) in [(KEYS.part(0), false), (keys::current(KEYS.key), true)] {
        let whole = tier.shared.link.get(&key).await.expect("the server is well").expect("it is there").bytes;
        let read = async || match is_head {
            true => tier.lookup(RECORD, KEYS.key).await.map(drop),
            false => tier.read(SOURCE, 0, 1).await.map(drop),
        };
        assert!(tier.lookup(RECORD, KEYS.key).await.is_ok());
        for byte in 0..whole.len() {
            let mut rotten = whole.to_vec();
            rotten[byte] ^= 2;
            server.put(&key, &rotten);
            assert!(read().await.is_err(), "byte {byte} of {key}");
            server.put(&key, &whole[..byte]);
            assert!(read().await.is_err(), "{key} cut at {byte}");
        }
        server.put(&key, &whole);
        assert_eq!(tier.lookup(RECORD, KEYS.key).await.map(|found| found.is_some()), Ok(true));
        assert_eq!(tier.read(SOURCE, 0, 9).await, Ok(Bytes::from_static(b"hello")));
        if is_head {
            let other = StoredKey::plain(CacheKey(1));
            server.put(&keys::current(other), &whole);
            assert!(tier.lookup(RECORD, other).await.is_err(), "another's head");
            server.put(&key, b"nothing of ours");
            store(&tier, Keys { name: RecordName(5), ..KEYS }, b"again").await;
            assert!(is_found(&tier, KEYS.key).await);
        }
    }
    let again = Keys { name: RecordName(5), ..KEYS };
    assert_eq!(server.ask(format!("md tg:{}\r\n", again.part(0)).as_bytes()), "HD\r\n");
    let gone = tier.read(SOURCE, 0, 1).await;
    assert_eq!(gone, Err(TierError::Rotten(format!("memcached: `tg:{}` is gone", again.part(0)))));
}

/// While the server is away every call fails; when it is back, the next call works, on what is left: nothing.
#[tokio::test]
async fn a_server_may_be_away() {
    let mut server = Server::start();
    let tier = server.tier();
    store(&tier, KEYS, b"hello").await;
    server.stop();
    for _ in 0..2 {
        let error = tier.lookup(RECORD, KEYS.key).await.expect_err("nobody listens").to_string();
        let expected = "memcached: mg of tg:{00000000000000000000000000000abc} at memcached:11211: ";
        assert!(error.starts_with(expected), "{error}");
    }
    server.restart();
    assert!(!is_found(&tier, KEYS.key).await);
    store(&tier, KEYS, b"hello").await;
    assert!(is_found(&tier, KEYS.key).await);
}

/// Keeps exchanges from the server until they are released.
struct Holding {
    socket: PathBuf,
    held: Arc<Mutex<Vec<u8>>>,
    holds: Arc<Notify>,
}

struct HoldingStream {
    stream: UnixStream,
    held: Arc<Mutex<Vec<u8>>>,
    holds: Arc<Notify>,
}

impl Connect for Holding {
    type Stream = HoldingStream;

    async fn connect(&self, _: &str) -> io::Result<HoldingStream> {
        let stream = UnixStream::connect(&self.socket).await?;
        Ok(HoldingStream { stream, held: Arc::clone(&self.held), holds: Arc::clone(&self.holds) })
    }
}

impl AsyncWrite for HoldingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let is_exchange = bytes.starts_with(b"ms ") && line.windows(2).any(|two| two == b" C");
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // The first of them only.
        if is_exchange && held.is_empty() {
            held.extend_from_slice(bytes);
            drop(held);
            self.holds.notify_one();
            return Poll::Ready(Ok(bytes.len()));
        }
        drop(held);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for HoldingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// What happens between a commit that was not answered and the arrival of its exchange.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Discards,
    DeletesByName,
    Purges,
}

/// An exchange that comes late does not undo a delete, a purge or a writer's end; one that nobody stood in
/// the way of still publishes, but not to who was told that it failed.
#[tokio::test]
async fn a_late_commit_does_not_undo_a_delete() {
    for keys in [KEYS, VARIANT] {
        for then in [Then::Nothing, Then::Discards, Then::DeletesByName, Then::Purges] {
            let server = Server::start();
            let (held, holds) = (Arc::default(), Arc::new(Notify::new()));
            let connector =
                Holding { socket: server.socket(), held: Arc::clone(&held), holds: Arc::clone(&holds) };
            let tier = MemcachedTier::new(connector, "memcached:11211", patient());
            write(&tier, keys, b"hello").await;
            tokio::select! {
                biased;
                () = holds.notified() => {}
                committed = tier.commit(WRITER, record(keys, 5)) => panic!("it is held, and yet {committed:?}"),
            }
            tier.shared.link.give_up();
            match then {
                Then::Nothing => {}
                Then::Discards => {
                    let writer = tier.writer(WRITER).expect("it is open");
                    assert_eq!(tier.shared.take_back(&writer).await, Ok(()));
                }
                Then::DeletesByName => assert_eq!(tier.delete(keys.key, Some(keys.name)).await, Ok(false)),
                Then::Purges => assert_eq!(tier.delete(KEYS.key, None).await, Ok(false)),
            }
            let late = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = server.ask(&late);
            let is_published = matches!(then, Then::Nothing);
            // A late head of a variant may lie there, and does not count.
            let lies_there = is_published || (keys.key.is_variant() && matches!(then, Then::Purges));
            assert_eq!(answer == "HD\r\n", lies_there, "{then:?}, {}: {answer}", keys.key);
            assert!(!is_found(&tier, keys.key).await, "{then:?}, {}", keys.key);
            assert_eq!(is_found(&server.tier(), keys.key).await, is_published, "{then:?}, {}", keys.key);
            if is_published {
                // Until it is deleted, it is there for others; then for nobody.
                assert_eq!(tier.delete(keys.key, Some(keys.name)).await, Ok(false));
                assert!(!is_found(&server.tier(), keys.key).await);
            }
        }
    }
}

/// Leads to a peer that says this, whatever it is asked, and then nothing more.
struct Saying(&'static [u8]);

impl Connect for Saying {
    type Stream = DuplexStream;

    async fn connect(&self, _: &str) -> io::Result<DuplexStream> {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let said = self.0;
        tokio::spawn(async move {
            let mut asked = [0; 3];
            drop(theirs.read_exact(&mut asked).await);
            drop(theirs.write_all(said).await);
            if said.ends_with(b"!") {
                return;
            }
            pending::<()>().await;
        });
        Ok(ours)
    }
}

/// What no memcached says is an error of one line, at once or after the time limit, and nothing is read into
/// memory that is too large.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_no_memcached_is_an_error() {
    let cases: [(&[u8], &str); 11] = [
        (b"", "no answer within 250ms"),
        (b"HD", "no answer within 250ms"),
        (b"!", "no line of text"),
        (b"HTTP/1.1 400 Bad Request\r\n", "it says \"HTTP/1.1 400 Bad Request\""),
        (b"SERVER_ERROR out of memory\r\n", "it says \"SERVER_ERROR out of memory\""),
        (b"HD\r\n", "was answered by HD"),
        (b"VA x c1 t1\r\n", "a value that is none"),
        (b"VA 5\r\nhello\r\n", "a value that is none"),
        (b"VA 5 c1 t1\r\nhello world\r\n", "a value that is none"),
        (b"VA 99999999 c1 t1\r\n", "a value has 99999999 bytes, more than 8388608"),
        (b"\xff\xff\r\n", "no line of text"),
    ];
    for (said, expected) in cases {
        let tier = MemcachedTier::new(Saying(said), "memcached:11211", MemcachedOptions::default());
        let error = tier.lookup(RECORD, KEYS.key).await.expect_err("that is no answer").to_string();
        assert!(error.contains(expected), "{error}");
    }
}
