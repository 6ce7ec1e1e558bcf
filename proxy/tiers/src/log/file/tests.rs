use super::*;
use crate::log::{LogOptions, LogTier, SyncPolicy};
use std::os::unix::fs::symlink;
use tempfile::TempDir;
use tiergate_driver::ByteTier;
use tiergate_engine::{ByteCount, Seed};

const OPTIONS: LogOptions =
    LogOptions { capacity: ByteCount(16 << 20), sync: SyncPolicy::OnSeal, seed: Seed(1) };

fn place() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

async fn open(path: &Path) -> Result<LogTier<FileMedium>, OpenError> {
    LogTier::open(vec![FileMedium::new(path, IoChoice::Pool)], OPTIONS).await
}

async fn complaint(path: &Path) -> String {
    let text = open(path).await.err().expect("it must be refused").to_string();
    assert!(!text.contains('\n'), "{text}");
    text.replace(&*path.to_string_lossy(), "HERE")
}

/// A directory is made if only its own name is missing; what is in the way is told, and stays as it is.
#[tokio::test]
async fn a_place_that_cannot_be_a_directory_is_refused() {
    let place = place();
    let file = place.path().join("file");
    fs::write(&file, b"precious").expect("it is ours");
    assert_eq!(
        complaint(&file).await,
        "is HERE, but that is not a directory: remove it, or choose another directory"
    );
    let below = file.join("below");
    let text = complaint(&below).await;
    assert!(
        text.ends_with("file, but that is not a directory: remove it, or choose another directory"),
        "{text}"
    );
    let far = place.path().join("absent/cache");
    let text = complaint(&far).await;
    assert!(text.contains("absent does not exist: create it, or choose another directory"), "{text}");
    assert!(!place.path().join("absent").exists());
    assert_eq!(fs::read(&file).expect("it is there"), b"precious");
    let link = place.path().join("link");
    symlink(place.path(), &link).expect("it is ours");
    drop(open(&link.join("new")).await.expect("only its own name is missing"));
}

/// What the system refuses is told with its reason. A directory in the lock's place stands for a missing
/// permission, which would not stop root.
#[tokio::test]
async fn a_directory_that_is_not_writable_is_refused() {
    let place = place();
    fs::create_dir(place.path().join(LOCK)).expect("it is ours");
    assert_eq!(
        complaint(place.path()).await,
        "must let this user read and write, but opening HERE/lock failed (Is a directory (os error 21)): change its owner \
         or its mode, or choose another directory"
    );
    assert!(!place.path().join(LOG).exists());
}

/// One process per directory: a second is told so, and gets in when the first has gone.
#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let place = place();
    let first = open(place.path()).await.expect("it is ours");
    assert_eq!(
        complaint(place.path()).await,
        "is HERE, but that is in use by another process: stop that process, or choose another directory"
    );
    drop(first);
    open(place.path()).await.expect("it is free again");
}

/// What earlier releases left is refused, not read and not removed.
#[tokio::test]
async fn an_earlier_layout_is_refused() {
    for name in EARLIER {
        let place = place();
        fs::create_dir(place.path().join(name)).expect("it is ours");
        let text = complaint(place.path()).await;
        let expected = format!(
            "is HERE, but an earlier release left `{name}` there, which this one does not read: remove what is in the \
             directory to start empty, or choose another directory"
        );
        assert_eq!(text, expected);
        assert_eq!(fs::read_dir(place.path()).expect("it is ours").count(), 1);
    }
    let place = place();
    fs::write(place.path().join(LOG), b"TGBK\x01 and more").expect("it is ours");
    let text = complaint(place.path()).await;
    assert!(text.contains("an earlier release left `log` there"), "{text}");
    assert_eq!(fs::read(place.path().join(LOG)).expect("it is there"), b"TGBK\x01 and more");
}

/// A capacity that the disk has no room for is refused before the disk is full.
#[tokio::test]
async fn a_disk_without_room_is_left_as_it_is() {
    let place = place();
    let options = LogOptions { capacity: ByteCount(1 << 49), ..OPTIONS };
    let medium = FileMedium::new(place.path(), IoChoice::Pool);
    let error = LogTier::open(vec![medium], options).await.err().expect("no disk has as much");
    let text = error.to_string();
    assert!(text.contains("but the disk has "), "{text}");
    assert!(text.ends_with(" more are needed: lower it, or make room"), "{text}");
    let length = fs::metadata(place.path().join(LOG)).expect("it is ours").len();
    assert_eq!(length, SEGMENTS_BEGIN);
}

/// The file has all of its size from the start, and follows the capacity up and down.
#[tokio::test]
async fn the_file_is_preallocated() {
    let place = place();
    for mib in [16, 40, 20] {
        let options = LogOptions { capacity: ByteCount(mib << 20), ..OPTIONS };
        let medium = FileMedium::new(place.path(), IoChoice::Pool);
        let tier = LogTier::open(vec![medium], options).await.expect("it is ours");
        tier.join().await;
        let metadata = || fs::metadata(place.path().join(LOG)).expect("it is ours");
        // A smaller one is cut off once nothing lies beyond.
        while metadata().len() > SEGMENTS_BEGIN + (mib << 20) {
            tokio::task::yield_now().await;
        }
        let found = metadata();
        assert_eq!(found.len(), SEGMENTS_BEGIN + (mib << 20));
        assert!(found.blocks() * STAT_BLOCK_BYTES >= found.len(), "{} of {}", found.blocks(), found.len());
        assert_eq!(found.mode() & 0o777, 0o600, "nobody else reads what is stored");
    }
}

/// A file that was removed, or whose place another has taken, is not ours any more, though it can still be
/// written to.
#[tokio::test]
async fn a_removed_file_is_noticed() {
    let place = place();
    let directory = place.path().join("cache");
    let medium = FileMedium::new(&directory, IoChoice::Pool);
    let Opened { device, .. } = medium.open().await.expect("it is ours");
    device.probe().await.expect("it is there");
    fs::remove_dir_all(&directory).expect("it is ours");
    device.write(0, Bytes::from_static(b"lost")).await.expect("no write notices");
    assert_eq!(device.probe().await.map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    let Opened { device: again, .. } = medium.open().await.expect("it is made anew");
    again.probe().await.expect("it is there");
    assert!(device.probe().await.is_err(), "another one has taken its place");
}

/// Both ways to ask the disk give and take the same, also past the end of the file; so does reading at once.
#[tokio::test]
async fn both_ways_do_the_same() {
    for (choice, inline) in [(IoChoice::Auto, Inline::Tried), (IoChoice::Pool, Inline::Never)] {
        let place = place();
        let medium = FileMedium::new(place.path(), choice).with_inline(inline);
        let Opened { device, .. } = medium.open().await.expect("it is ours");
        let bytes = Bytes::from(vec![7; 300_000]);
        device.write(4096, bytes.clone()).await.expect("there is room");
        device.sync().await.expect("the disk is well");
        assert_eq!(device.read(4096, 300_000).await.expect("it is there"), bytes);
        assert_eq!(device.read(0, 4096).await.expect("it is there"), vec![0; 4096]);
        let short = device.read(SEGMENTS_BEGIN - 10, 4096).await.expect("ten bytes are there");
        assert_eq!(short, vec![0; 10]);
        let beyond = device.read(SEGMENTS_BEGIN, 4096).await;
        assert_eq!(beyond.map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
        match inline {
            Inline::Tried => {}
            Inline::Never => assert_eq!(device.try_read_now(4096, 300_000), None),
        }
    }
}

/// Opened again, a file is read from the disk: what the page cache has of it is not trusted after a failure.
#[tokio::test]
async fn a_file_that_is_opened_again_is_read_from_the_disk() {
    const LENGTH: usize = 64 << 10;
    let place = place();
    let medium = FileMedium::new(place.path(), IoChoice::Pool);
    let first = medium.open().await.expect("an empty directory will do").device;
    let blocks = 0..SEGMENTS_BEGIN / LENGTH as u64;
    for block in blocks.clone() {
        let written = first.write(block * LENGTH as u64, Bytes::from(vec![7; LENGTH])).await;
        written.expect("there is room");
    }
    first.sync().await.expect("the disk is well");
    let in_memory = |device: &FileDevice| {
        let read = |block| device.try_read_now(block * LENGTH as u64, LENGTH);
        blocks.clone().filter_map(read).count()
    };
    let before = in_memory(&first);
    drop(first);
    let second = medium.open().await.expect("it was ours before").device;
    assert!(before > 0, "nothing that was just written is in memory");
    assert!(in_memory(&second) < before, "all {before} blocks are still in memory");
    assert_eq!(second.read(0, LENGTH).await.expect("it was written"), vec![7; LENGTH]);
}
