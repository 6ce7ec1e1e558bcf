//! The disk tier in a directory of its own: the conformance suite, and what rot, torn files and crashes leave.

use super::*;
use crate::{AnyTier, TcpConnect, conformance::conformance};
use std::time::Duration;
use tempfile::TempDir;
use tiergate_engine::{ByteCount, Fields, Head, StoredFreshness, WallTime, format};

fn directory() -> TempDir {
    tempfile::tempdir().expect("the system has a place for temporary files")
}

fn tier(directory: &TempDir) -> DirTier {
    let tier = DirTier::open(directory.path()).expect("the directory is new and ours");
    // Deletes need not wait: each test calls `recover` itself, where it looks at what an earlier process left.
    tier.joined.send_replace(true);
    tier
}

/// The record that a lookup found.
fn record_of(found: Option<Found>) -> Option<Record> {
    found.map(|found| found.record)
}

const fn writer(id: u64) -> Handle<WriterId> {
    Handle { shard: 0, id: WriterId(id) }
}

const RECORD: Handle<RecordId> = Handle { shard: 0, id: RecordId(1) };
const SOURCE: Handle<ReadSource> = Handle { shard: 0, id: ReadSource::Record(RecordId(1)) };

fn record(key: u128, name: u128, length: usize) -> Arc<Record> {
    Arc::new(Record {
        key: CacheKey(key),
        target: CacheKey(key),
        name: RecordName(name),
        head: Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"1\"")]) }),
        length: ByteCount(length as u64),
        // The same for all: of two records of a key, the calendar does not say which is newer.
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(5),
            age_then: Duration::ZERO,
            lifetime: Duration::from_secs(60),
        },
    })
}

async fn store(tier: &DirTier, record: &Arc<Record>, body: &[u8]) {
    let handle = writer(record.name.0 as u64);
    tier.open(handle, record.stored_key(), record.name).await.expect("it opens");
    tier.write(handle, Bytes::copy_from_slice(body)).await.expect("it writes");
    tier.commit(handle, Arc::clone(record)).await.expect("it commits");
    tier.discard(handle);
}

/// Every file below `records` and `incoming`.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![root.join(RECORDS), root.join(INCOMING)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("it is a directory of ours") {
            let path = entry.expect("nobody removes it meanwhile").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn only_file(root: &Path) -> PathBuf {
    let files = files(root);
    let [file] = &*files else { panic!("one file was expected, there are {files:?}") };
    file.clone()
}

/// The disk keeps every promise of a byte tier.
#[tokio::test]
async fn the_disk_conforms() {
    let directory = directory();
    let tier = tier(&directory);
    assert_eq!(tier.recover().await, Ok(vec![]));
    conformance(&AnyTier::<TcpConnect>::Dir(tier)).await;
}

/// What was committed is there after a restart, oldest first, with its bytes; deletes and discards stay done.
#[tokio::test]
async fn a_restart_finds_what_was_committed() {
    let directory = directory();
    let (a, b, c) = (record(1, 0xf1, 100_000), record(2, 0x12, 3), record(3, 0x13, 3));
    let body = vec![7; 100_000];
    {
        let tier = tier(&directory);
        for (record, body) in [(&a, &*body), (&c, b"old"), (&b, b"new")] {
            store(&tier, record, body).await;
        }
        assert_eq!(tier.delete(c.stored_key(), Some(c.name)).await, Ok(true));
    }
    let tier = tier(&directory);
    assert_eq!(tier.recover().await, Ok(vec![(*a).clone(), (*b).clone()]));
    assert_eq!(tier.lookup(RECORD, a.stored_key()).await.map(record_of), Ok(Some((*a).clone())));
    assert_eq!(tier.read(SOURCE, 0, u64::MAX).await, Ok(Bytes::from(body)));
    assert_eq!(tier.lookup(RECORD, c.stored_key()).await, Ok(None));
}

/// Two records of one key, as a crash before the delete leaves them: the one committed last stays, whatever its name and
/// the calendar say, and after another restart as well.
#[tokio::test]
async fn of_two_records_of_a_key_the_last_committed_stays() {
    for names in [[0x20, 0x10], [0x10, 0x20]] {
        let directory = directory();
        let [old, new, newest] = [record(1, names[0], 3), record(1, names[1], 3), record(1, 0x15, 3)];
        {
            let tier = tier(&directory);
            store(&tier, &old, b"old").await;
            store(&tier, &new, b"new").await;
            assert_eq!(files(directory.path()).len(), 2);
        }
        {
            let tier = tier(&directory);
            assert_eq!(tier.recover().await, Ok(vec![(*new).clone()]));
            assert_eq!(files(directory.path()).len(), 1);
            store(&tier, &newest, b"3rd").await;
        }
        let tier = tier(&directory);
        assert_eq!(tier.recover().await, Ok(vec![(*newest).clone()]));
    }
}

/// Without a name, a delete removes what was superseded as well: the next start does not bring it back.
#[tokio::test]
async fn a_delete_leaves_nothing_for_the_next_start() {
    let directory = directory();
    let (old, new) = (record(1, 0x20, 3), record(1, 0x10, 3));
    {
        let tier = tier(&directory);
        store(&tier, &old, b"old").await;
        store(&tier, &new, b"new").await;
        assert_eq!(tier.delete(StoredKey::plain(CacheKey(1)), None).await, Ok(true));
    }
    assert_eq!(tier(&directory).recover().await, Ok(vec![]));
}

/// Any flipped bit in a file is seen: in the body by the read, in what follows by the lookup. Never other bytes.
#[tokio::test]
async fn rot_is_an_error_and_never_wrong_bytes() {
    let directory = directory();
    let record = record(1, 0x10, 20);
    let tier = tier(&directory);
    store(&tier, &record, b"twenty bytes of body").await;
    let path = only_file(directory.path());
    let whole = fs::read(&path).expect("it was just written");
    for byte in 0..whole.len() {
        let mut rotten = whole.clone();
        rotten[byte] ^= 1 << (byte % 8);
        fs::write(&path, &rotten).expect("it is ours");
        let found = tier.lookup(RECORD, record.stored_key()).await.map(record_of);
        if byte < 24 {
            assert_eq!(found, Ok(Some((*record).clone())), "byte {byte}");
            let read = tier.read(SOURCE, 0, 1).await;
            assert!(read.is_err(), "byte {byte}: {read:?}");
        } else {
            assert!(found.is_err(), "byte {byte}: {found:?}");
        }
    }
    fs::write(&path, &whole).expect("it is ours");
    tier.lookup(RECORD, record.stored_key()).await.expect("it is whole again");
    let body = Bytes::from_static(b"twenty bytes of body");
    assert_eq!(tier.read(SOURCE, 0, 99).await, Ok(body));
}

/// A file that loses its end while it is open gives an error, not zeroes (failure T10).
#[tokio::test]
async fn a_short_read_is_an_error() {
    let directory = directory();
    let record = record(1, 0x10, 200_000);
    let tier = tier(&directory);
    store(&tier, &record, &[7; 200_000]).await;
    tier.lookup(RECORD, record.stored_key()).await.expect("it is whole");
    let file = File::options().write(true).open(only_file(directory.path())).expect("it is ours");
    file.set_len(150_000).expect("it is ours");
    assert_eq!(tier.read(SOURCE, 0, 65_536).await, Ok(Bytes::from(vec![7; 65_536])), "what is left is right");
    let read = tier.read(SOURCE, 140_000, 65_536).await;
    assert!(read.is_err(), "{read:?}");
}

/// A file cut short anywhere, or grown, is not recovered, and is deleted.
#[tokio::test]
async fn a_torn_file_is_not_recovered() {
    let directory = directory();
    let record = record(1, 0x10, 5);
    {
        let tier = tier(&directory);
        store(&tier, &record, b"hello").await;
    }
    let path = only_file(directory.path());
    let whole = fs::read(&path).expect("it was just written");
    let mut grown = whole.clone();
    grown.push(0);
    let cuts = (0..whole.len()).map(|cut| whole[..cut].to_vec());
    for torn in cuts.chain([grown]) {
        fs::write(&path, &torn).expect("it is ours");
        let found = tier(&directory).recover().await;
        assert_eq!(found, Ok(vec![]), "{} bytes", torn.len());
        assert_eq!(files(directory.path()), Vec::<PathBuf>::new());
    }
    fs::write(&path, &whole).expect("it is ours");
    assert_eq!(tier(&directory).recover().await, Ok(vec![(*record).clone()]));
}

/// What a crash left behind is deleted at the next start: half-written files, and files under a wrong name.
#[tokio::test]
async fn a_start_cleans_up_after_a_crash() {
    let directory = directory();
    let kept = record(1, 0x10, 5);
    {
        let tier = tier(&directory);
        store(&tier, &kept, b"hello").await;
    }
    let path = only_file(directory.path());
    let whole = fs::read(&path).expect("it was just written");
    let root = directory.path();
    let leftovers = [
        root.join(INCOMING).join("half"),
        path.with_file_name("00000000000000000000000000000011"),
        root.join(RECORDS).join("1/2/00000000000000000000000000000010"),
    ];
    for leftover in &leftovers {
        fs::write(leftover, &whole).expect("it is ours");
    }
    assert_eq!(tier(&directory).recover().await, Ok(vec![(*kept).clone()]));
    assert_eq!(files(root), [path]);
}

/// A discarded writer's file goes, and so does that of a tier that is dropped in the middle.
#[test]
fn what_is_not_committed_leaves_no_file() {
    let directory = directory();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O always starts")
    };
    let running = runtime();
    running.block_on(async {
        let tier = tier(&directory);
        for id in [1, 2] {
            let name = RecordName(id.into());
            tier.open(writer(id), StoredKey::plain(CacheKey(1)), name).await.expect("it opens");
            tier.write(writer(id), Bytes::from(vec![1; 100_000])).await.expect("it writes");
        }
        assert_eq!(files(directory.path()).len(), 2);
        tier.discard(writer(1));
    });
    // Waits for the blocking pool.
    drop(running);
    assert_eq!(files(directory.path()), Vec::<PathBuf>::new());
    assert_eq!(runtime().block_on(tier(&directory).recover()), Ok(vec![]));
}

/// A name that is being written is nobody else's: the second writer is refused, and the first goes on (failure T2).
#[tokio::test]
async fn two_writers_never_share_a_file() {
    let directory = directory();
    let tier = tier(&directory);
    let record = record(1, 0x10, 5);
    tier.open(writer(1), record.stored_key(), record.name).await.expect("it opens");
    tier.write(writer(1), Bytes::from_static(b"hello")).await.expect("it writes");
    let second = tier.open(writer(2), record.stored_key(), record.name).await;
    assert!(second.is_err(), "{second:?}");
    tier.discard(writer(2));
    assert_eq!(tier.commit(writer(1), Arc::clone(&record)).await, Ok(()));
    assert_eq!(tier.lookup(RECORD, record.stored_key()).await.map(record_of), Ok(Some((*record).clone())));
    assert_eq!(tier.read(SOURCE, 0, 9).await, Ok(Bytes::from_static(b"hello")));
}

/// One process per directory: a second is told so in one line, and gets in when the first has gone.
#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let directory = directory();
    let first = tier(&directory);
    let error = DirTier::open(directory.path()).err().expect("it is in use");
    assert_eq!(
        error.to_string(),
        format!(
            "cache directory `{}` is in use by another process: stop that process, or choose another directory",
            directory.path().display()
        )
    );
    drop(first);
    drop(tier(&directory));
}

/// A place that is no directory, or below a file, is refused with its path and the system's reason.
#[test]
fn a_place_that_cannot_be_a_directory_is_refused() {
    let directory = directory();
    let file = directory.path().join("file");
    fs::write(&file, b"").expect("it is ours");
    for path in [file.clone(), file.join("below")] {
        let error = DirTier::open(&path).err().expect("a file is in the way").to_string();
        assert!(error.contains(&format!("`{}`", path.display())), "{error}");
        assert!(error.contains("os error"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

/// When a write fails, what was acknowledged can still be read, and nothing more is written or committed.
#[tokio::test]
async fn a_failed_write_leaves_what_was_acknowledged() {
    let directory = directory();
    let tier = tier(&directory);
    tier.open(writer(1), StoredKey::plain(CacheKey(1)), RecordName(1)).await.expect("it opens");
    tier.write(writer(1), Bytes::from(vec![7; 100_000])).await.expect("it writes");
    // A file that does not take writes stands for a full disk.
    let refuse = Arc::clone(&tier.shared.open().writers[&writer(1)]);
    let broken = refuse.with_read_only_file();
    tier.shared.open().writers.insert(writer(1), Arc::new(broken));
    let failed = tier.write(writer(1), Bytes::from(vec![8; 100_000])).await;
    let error = failed.expect_err("the file refuses").to_string();
    assert!(error.starts_with("disk: writing `"), "{error}");
    let source = Handle { shard: 0, id: ReadSource::Writer(WriterId(1)) };
    for offset in [0, 65_536, 99_999] {
        let read = tier.read(source, offset, 1).await;
        assert_eq!(read, Ok(Bytes::from_static(&[7])), "at {offset}");
    }
    let committed = tier.commit(writer(1), record(1, 1, 200_000)).await;
    assert!(committed.is_err(), "{committed:?}");
    assert_eq!(tier.lookup(RECORD, StoredKey::plain(CacheKey(1))).await, Ok(None));
}

/// `record` as it is after a 304.
fn freshened(record: &Record) -> Record {
    let head = Head { status: 200, fields: Fields::from_iter([("etag", "\"1\""), ("x-new", "1")]) };
    let as_of = WallTime::from_unix_millis(1_000);
    Record {
        head: Arc::new(head),
        freshness: StoredFreshness { as_of, ..record.freshness },
        ..record.clone()
    }
}

/// A freshened head is there after a restart, and goes with its record: by name, by a purge, and when it is superseded.
#[tokio::test]
async fn a_freshened_head_lasts_as_long_as_its_record() {
    let directory = directory();
    let [a, b, c, old] = [record(1, 0xa1, 3), record(2, 0xb1, 3), record(3, 0xc1, 3), record(4, 0xd1, 3)];
    {
        let tier = tier(&directory);
        for record in [&a, &b, &c, &old] {
            store(&tier, record, b"old").await;
            assert_eq!(tier.freshen(Arc::new(freshened(record))).await, Ok(Freshening::Done));
        }
        store(&tier, &record(4, 0xd2, 3), b"new").await;
        assert_eq!(tier.delete(b.stored_key(), Some(b.name)).await, Ok(true));
        assert_eq!(tier.delete(c.stored_key(), None).await, Ok(true));
    }
    let tier = tier(&directory);
    assert_eq!(tier.recover().await, Ok(vec![freshened(&a), (*record(4, 0xd2, 3)).clone()]));
    assert_eq!(files(directory.path()).len(), 3, "two records, and the head of one");
    assert_eq!(tier.lookup(RECORD, a.stored_key()).await.map(record_of), Ok(Some(freshened(&a))));
    assert_eq!(tier.read(SOURCE, 0, u64::MAX).await, Ok(Bytes::from_static(b"old")));
}

/// Crash by crash: a head that is not yet renamed, one without its record, one cut short or rotten, one of another record.
/// The record is there with its old head, or is gone; nothing is a mix.
#[tokio::test]
async fn a_head_that_is_not_whole_does_not_count() {
    let (old, other) = (record(1, 0xa1, 3), record(2, 0xb1, 3));
    let head = format::encode(&freshened(&old));
    let mut rotten = head.clone();
    rotten[50] ^= 1;
    let cases: [(&[u8], &Record); 4] = [
        (&head, &freshened(&old)),
        (&head[..head.len() - 1], &old),
        (&rotten, &old),
        (&format::encode(&freshened(&other)), &old),
    ];
    for (bytes, expected) in cases {
        let directory = directory();
        let path = {
            let tier = tier(&directory);
            store(&tier, &old, b"old").await;
            tier.shared.head(old.name)
        };
        fs::write(&path, bytes).expect("the directory is ours");
        fs::write(directory.path().join(INCOMING).join("x.1.head"), &head).expect("the directory is ours");
        let tier = tier(&directory);
        assert_eq!(tier.recover().await, Ok(vec![expected.clone()]));
        assert_eq!(tier.lookup(RECORD, old.stored_key()).await.map(record_of), Ok(Some(expected.clone())));
        fs::remove_file(tier.shared.record(old.name)).expect("it is there");
        tier.release(RECORD);
        drop(tier);
        // The lock is released with the last call, which may end after the tier.
        let tier = DirTier::open(directory.path()).expect("the directory is ours");
        assert_eq!(tier.recover().await, Ok(vec![]));
        assert_eq!(files(directory.path()), Vec::<PathBuf>::new());
    }
}
