//! What a directory of blobs does beyond the suite: openings, leftovers, locks, and what it says when it
//! cannot.

use super::*;
use crate::{AnyBlobs, conformance::blob_conformance};
use std::{fs, os::unix::fs::PermissionsExt};
use tempfile::TempDir;
use tiergate_engine::{CacheKey, RecordName};

const WRITER: Handle<WriterId> = Handle { shard: 0, id: WriterId(1) };
const READER: Handle<RecordId> = Handle { shard: 0, id: RecordId(1) };

fn blob(key: u128, name: u128) -> BlobName {
    BlobName { key: CacheKey(key), name: RecordName(name) }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("the system has a place for temporary files")
}

async fn open(path: &Path) -> DirectoryBlobs {
    DirectoryBlobs::open(path).await.expect("nothing stands in its way")
}

async fn refused(path: &Path) -> OpenError {
    DirectoryBlobs::open(path).await.expect_err("it cannot be used")
}

/// Says what is wrong with which path and what to do.
#[track_caller]
fn check(error: &OpenError, path: &Path, wanted: &[&str]) {
    let text = error.to_string();
    assert!(text.starts_with(&path.display().to_string()), "{text}");
    for part in wanted {
        assert!(text.contains(part), "{text} does not say {part}");
    }
}

async fn store(blobs: &DirectoryBlobs, blob: BlobName, body: &'static [u8]) {
    assert_eq!(blobs.begin(WRITER, blob).await, Ok(()));
    assert_eq!(blobs.append(WRITER, Bytes::from_static(body)).await, Ok(()));
    assert_eq!(blobs.finish(WRITER, ByteCount(body.len() as u64)).await, Ok(()));
    blobs.abort(WRITER);
}

/// How many files lie among the uploads.
fn leftovers(root: &Path) -> usize {
    fs::read_dir(root.join("uploads")).expect("it was made").count()
}

#[tokio::test]
async fn a_directory_keeps_every_promise() {
    let folder = folder();
    let root = folder.path().join("blobs");
    let blobs = open(&root).await;
    blob_conformance(&blobs).await;
    drop(blobs);
    let blobs = open(&root).await;
    assert_eq!(blobs.list(None).await, Ok(vec![]));
    assert_eq!(leftovers(&root), 0);
}

/// On many threads, where calls truly run beside each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_directory_keeps_every_promise_on_many_threads() {
    let folder = folder();
    blob_conformance(&AnyBlobs::Directory(open(folder.path()).await)).await;
}

/// What was finished is there after a restart; an upload that was under way has left nothing, neither when
/// the store was dropped nor when its process was lost with its file.
#[tokio::test]
async fn a_restart_keeps_what_was_finished_and_nothing_else() {
    let folder = folder();
    let (whole, half) = (blob(1, 1), blob(2, 2));
    let blobs = open(folder.path()).await;
    store(&blobs, whole, b"whole").await;
    assert_eq!(blobs.begin(WRITER, half).await, Ok(()));
    let large = Bytes::from(vec![7; 1 << 20]);
    assert_eq!(blobs.append(WRITER, large).await, Ok(()));
    assert_eq!(leftovers(folder.path()), 1);
    drop(blobs);
    assert_eq!(leftovers(folder.path()), 0);
    fs::write(folder.path().join("uploads/0000000000000000"), b"what a crash leaves").expect("it is ours");
    let blobs = open(folder.path()).await;
    assert_eq!(leftovers(folder.path()), 0);
    assert_eq!(blobs.list(None).await, Ok(vec![whole]));
    assert_eq!(blobs.open(READER, half).await, Ok(None));
    assert_eq!(blobs.open(READER, whole).await, Ok(Some(ByteCount(5))));
    assert_eq!(blobs.read(READER, 0, 9).await, Ok(Bytes::from_static(b"whole")));
}

/// A crash between the making of a directory and its layout is mended by the next opening.
#[tokio::test]
async fn a_half_made_directory_is_made_to_its_end() {
    let folder = folder();
    drop(open(folder.path()).await);
    fs::remove_file(folder.path().join("layout")).expect("it was written");
    fs::remove_dir(folder.path().join("blobs/7f")).expect("it is empty");
    let blobs = open(folder.path()).await;
    store(&blobs, blob(0x7f << 120, 1), b"there").await;
    assert!(folder.path().join("layout").exists());
}

/// Two cannot use one directory; the second is told so, and can once the first has ended.
#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let folder = folder();
    let first = open(folder.path()).await;
    check(&refused(folder.path()).await, folder.path(), &["is in use", "stop the process"]);
    drop(first);
    open(folder.path()).await;
}

/// Nothing of somebody else's is taken for a store, changed or removed.
#[tokio::test]
async fn what_is_no_store_is_refused() {
    let folder = folder();
    let file = folder.path().join("precious");
    fs::write(&file, b"not ours").expect("the folder is new");
    check(&refused(&file).await, &file, &["no directory"]);
    check(&refused(folder.path()).await, folder.path(), &["`precious`", "another path"]);
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
    let orphan = folder.path().join("not/there");
    check(&refused(&orphan).await, &orphan, &["does not exist", "create it"]);
}

/// A directory of another layout is left as it is.
#[tokio::test]
async fn another_layout_is_refused() {
    let folder = folder();
    drop(open(folder.path()).await);
    let layout = folder.path().join("layout");
    for (text, wanted) in [
        ("tiergate blobs, layout 2\n", "has layout 2, and this release reads 1"),
        ("somebody's notes", "`layout`, which is no part of a store"),
    ] {
        fs::write(&layout, text).expect("it is ours");
        check(&refused(folder.path()).await, folder.path(), &[wanted]);
    }
    fs::write(&layout, [0xff, 0xfe]).expect("it is ours");
    check(&refused(folder.path()).await, folder.path(), &["`layout`"]);
}

/// Files that somebody put among the blobs are not listed, and stay.
#[tokio::test]
async fn files_of_others_are_left_alone() {
    let folder = folder();
    let blobs = open(folder.path()).await;
    store(&blobs, blob(3, 4), b"ours").await;
    let upper = format!("{:032X}-{:032x}", 10, 4);
    for name in
        ["notes.txt", "-", "+0000000000000000000000000000003-00000000000000000000000000000004", &upper]
    {
        fs::write(folder.path().join("blobs/00").join(name), b"theirs").expect("it was made");
    }
    assert_eq!(blobs.list(None).await, Ok(vec![blob(3, 4)]));
    assert_eq!(fs::read_dir(folder.path().join("blobs/00")).expect("it was made").count(), 5);
}

/// A page has a bound, and the pages together have everything, in order, across folders.
#[tokio::test]
async fn pages_are_bounded() {
    let folder = folder();
    let blobs = open(folder.path()).await;
    let mut wanted = Vec::new();
    for key in [0, 1, 0x01 << 120, u128::MAX] {
        for name in 0..5 {
            let blob = blob(key, name * 7);
            fs::write(blobs.layout.path_of(blob), b"").expect("it was made");
            wanted.push(blob);
        }
    }
    for max in [1, 3, 7, 100] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = blobs.layout.list(after, max).expect("it is there");
            assert!(page.len() <= max);
            let Some(last) = page.last() else { break };
            assert!(after < page.first().copied(), "a page that goes back");
            after = Some(*last);
            listed.extend(page);
        }
        assert_eq!(listed, wanted, "{max} a page");
    }
}

/// A folder that is gone, as with a disk that was unmounted, is a failure and not the absence of its blobs;
/// a file that was cut off under its reader is rotten.
#[tokio::test]
async fn what_is_lost_is_told() {
    let folder = folder();
    let blobs = open(folder.path()).await;
    let (gone, cut) = (blob(5, 5), blob(0x11 << 120, 5));
    store(&blobs, cut, b"all of it").await;
    assert_eq!(blobs.open(READER, cut).await, Ok(Some(ByteCount(9))));
    fs::write(blobs.layout.path_of(cut), b"all").expect("it is ours");
    let read = blobs.read(READER, 4, 5).await;
    assert!(matches!(&read, Err(TierError::Rotten(why)) if why.contains("had 9 bytes")), "{read:?}");
    fs::remove_dir(blobs.layout.folder_of(gone.key)).expect("it is empty");
    for told in
        [blobs.open(READER, gone).await.map(drop), blobs.delete(gone).await, blobs.list(None).await.map(drop)]
    {
        let why = told.expect_err("nobody knows").to_string();
        assert!(why.contains("blobs/00") && why.contains("moved or removed"), "{why}");
    }
}

/// An upload that the disk refuses leaves nothing, and says what to do.
#[tokio::test]
async fn an_upload_that_fails_leaves_nothing() {
    let folder = folder();
    let blobs = open(folder.path()).await;
    let blob = blob(6, 6);
    assert_eq!(blobs.begin(WRITER, blob).await, Ok(()));
    fs::remove_dir(blobs.layout.folder_of(blob.key)).expect("it is empty");
    let why = blobs.finish(WRITER, ByteCount(0)).await.expect_err("there is no such folder").to_string();
    assert!(why.contains("putting a blob in its place"), "{why}");
    assert_eq!(leftovers(folder.path()), 0);
    let late = blobs.append(WRITER, Bytes::from_static(b"more")).await;
    assert!(late.is_err(), "an upload went on after it failed");
}

/// What is stored is read by nobody but its owner.
#[tokio::test]
async fn files_are_for_their_owner() {
    let folder = folder();
    let root = folder.path().join("blobs");
    let blobs = open(&root).await;
    store(&blobs, blob(1, 1), b"private").await;
    for (path, wanted) in [(root, 0o700), (blobs.layout.path_of(blob(1, 1)), 0o600)] {
        let mode = fs::metadata(&path).expect("it was made").permissions().mode() & 0o777;
        assert_eq!(mode, wanted, "{}", path.display());
    }
}
