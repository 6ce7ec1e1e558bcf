//! A process that is killed while it writes: what it said to be done is there afterwards, and nothing by
//! half.
//!
//! The process is this test program again, told by an environment variable to write until it is killed. It
//! says what was acknowledged, a line each.

use crate::{DirectoryBlobs, EmbeddedIndex, EmbeddedOptions};
use bytes::Bytes;
use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};
use tiergate_driver::{BlobStore, Handle, IndexStore, PurgeFeed, Row};
use tiergate_engine::{
    ByteCount, CacheKey, PurgeMode, RecordId, RecordName, Selector, WallTime, WriterId,
    durable::{BlobName, Version},
    feed::{FeedOrigin, Notice, Sequence, Ticket},
};

/// Where the process that is killed writes.
const WHERE: &str = "TIERGATE_STORES_CRASH";
const SAID: &str = "acknowledged ";
/// Rounds until it is killed.
const KILLED_AFTER: u64 = 25;

fn blob(round: u64) -> BlobName {
    BlobName { key: CacheKey(u128::from(round) << 100), name: RecordName(u128::from(round)) }
}

/// Several times what is kept back, and of another length each round.
fn body(round: u64) -> Bytes {
    vec![round as u8; 900_000 + usize::try_from(round).expect("it is small")].into()
}

fn row(round: u64) -> Row {
    let never = WallTime::from_unix_millis(u64::MAX);
    Row { version: Version(round), value: body(round).slice(..5_000), expires: never, droppable: never }
}

fn notice(round: u64) -> Notice {
    let selector = Selector::Key(CacheKey(u128::from(round)));
    Notice { selector, mode: PurgeMode::Hard, at: WallTime::from_unix_millis(round) }
}

async fn open(folder: &Path) -> (DirectoryBlobs, EmbeddedIndex) {
    let blobs = DirectoryBlobs::open(folder.join("blobs")).await;
    let index = EmbeddedIndex::open(folder.join("index"), EmbeddedOptions::default()).await;
    (blobs.expect("the folder is ours"), index.expect("the folder is ours"))
}

/// Writes until it is killed; a test like others, which has nothing to do, when nobody asked for that.
#[tokio::test]
async fn writes_until_it_is_killed() {
    let Some(folder) = env::var_os(WHERE) else { return };
    let (blobs, index) = open(Path::new(&folder)).await;
    for round in 1.. {
        let writer = Handle { shard: 0, id: WriterId(round) };
        blobs.begin(writer, blob(round)).await.expect("the disk is well");
        for chunk in body(round).chunks(100_000) {
            blobs.append(writer, Bytes::copy_from_slice(chunk)).await.expect("the disk is well");
        }
        let length = ByteCount(body(round).len() as u64);
        blobs.finish(writer, length).await.expect("the disk is well");
        blobs.abort(writer);
        let (key, row) = (CacheKey(u128::from(round)), row(round));
        index.put_new(key, row).await.expect("the disk is well");
        let ticket = Ticket(round);
        index.append(FeedOrigin(1), ticket, notice(round)).await.expect("the disk is well");
        // The harness has printed a part of its own line.
        println!("\n{SAID}{round}");
        std::io::stdout().flush().expect("somebody reads");
    }
}

#[tokio::test]
async fn a_killed_process_leaves_what_it_acknowledged_and_nothing_by_half() {
    let folder = tempfile::tempdir().expect("the system has a place for temporary files");
    let mut process = Command::new(env::current_exe().expect("it runs"))
        .args(["--exact", "crash::writes_until_it_is_killed", "--nocapture"])
        .env(WHERE, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs once more");
    let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let mut said = lines.filter_map(|line| line.strip_prefix(SAID)?.parse::<u64>().ok());
    let reached = said.by_ref().find(|round| *round == KILLED_AFTER);
    process.kill().expect("it writes for ever");
    process.wait().expect("it was killed");
    // It went on while it was being killed.
    let acknowledged = said.last().or(reached).expect("it wrote so many rounds");

    let (blobs, index) = open(folder.path()).await;
    let listed = blobs.list(None).await.expect("the disk is well");
    let page = index.read(Sequence::START).await.expect("the disk is well");
    for round in 1..=acknowledged + 1 {
        let is_due = round <= acknowledged;
        expect_blob(&blobs, &listed, round, is_due).await;
        let found = index.get(CacheKey(u128::from(round))).await.expect("the disk is well").row;
        assert!(found == Some(row(round)) || (!is_due && found.is_none()), "row {round}: {found:?}");
        let entry = page.entries.iter().find(|entry| entry.ticket == Ticket(round));
        let told = entry.map(|entry| entry.notice.clone());
        assert!(told == Some(notice(round)) || (!is_due && told.is_none()), "entry {round}: {told:?}");
    }
    let leftovers = std::fs::read_dir(folder.path().join("blobs/uploads")).expect("it was made").count();
    assert_eq!(leftovers, 0);
}

/// It is whole, or, where it need not be there, not there at all.
async fn expect_blob(blobs: &DirectoryBlobs, listed: &[BlobName], round: u64, is_due: bool) {
    let reader = Handle { shard: 0, id: RecordId(round) };
    let opened = blobs.open(reader, blob(round)).await.expect("the disk is well");
    assert_eq!(listed.contains(&blob(round)), opened.is_some(), "blob {round}");
    assert!(opened.is_some() || !is_due, "blob {round} was acknowledged and is gone");
    let Some(length) = opened else { return };
    assert_eq!(length, ByteCount(body(round).len() as u64), "blob {round}");
    let read = blobs.read(reader, 0, u64::MAX).await.expect("it is there");
    assert!(read == body(round), "blob {round} has other bytes");
    blobs.release(reader);
}
