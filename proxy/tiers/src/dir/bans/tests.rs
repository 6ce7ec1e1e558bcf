//! The log of bans in a directory of its own: the suite, and what crashes, rot and full disks leave.

use super::*;
use crate::conformance::{KeepsBans, bans_conformance};
use tempfile::TempDir;
use tiergate_driver::ByteTier;
use tiergate_engine::{PurgeMode, Selector, Tag, WallTime};

/// One process after the other in one directory.
struct Lives {
    directory: TempDir,
    tier: Option<crate::DirTier>,
}

impl Lives {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("the system has a place for temporary files");
        let tier = Some(crate::DirTier::open(directory.path()).expect("the directory is new and ours"));
        Self { directory, tier }
    }

    fn tier(&self) -> &crate::DirTier {
        self.tier.as_ref().expect("it is taken only while it starts anew")
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(BANS)
    }

    /// How many bans the file holds.
    fn written(&self) -> usize {
        let bytes = fs::read(self.path()).expect("it was written");
        format::decode_bans(&bytes).expect("it is of this version").bans.len()
    }
}

impl KeepsBans for Lives {
    async fn store(&mut self, ban: &Ban) -> Result<(), TierError> {
        let stored = self.tier().store_ban(ban.clone().into()).await;
        let (written, in_force) = (self.written(), self.tier().recover_bans().await?.len());
        assert!(written <= 2 * in_force, "the file holds {written} bans, and {in_force} are in force");
        stored
    }

    async fn restart(&mut self) -> Vec<Ban> {
        // Only one process at a time may have the directory.
        drop(self.tier.take());
        self.tier = Some(crate::DirTier::open(self.directory.path()).expect("the lock is free"));
        assert_eq!(self.tier().recover().await, Ok(vec![]));
        self.tier().recover_bans().await.expect("the system reads")
    }
}

fn ban(number: u64) -> Ban {
    let tag = Tag::new(&format!("t{number}")).expect("letters and a number");
    Ban { selector: Selector::Tag(tag), mode: PurgeMode::Hard, at: WallTime::from_unix_millis(number) }
}

/// The disk keeps bans as every local tier must, and its log never holds more than twice what is in force.
#[tokio::test]
async fn the_disk_conforms() {
    bans_conformance(&mut Lives::new()).await;
}

/// A ban of which a crash left a part is forgotten, those before it are not, and the next one is kept whole.
#[tokio::test]
async fn a_torn_tail_does_not_count() {
    let last = format::encode_ban(&ban(3)).len();
    for cut in 1..last {
        let mut lives = Lives::new();
        for number in 1..=3 {
            lives.store(&ban(number)).await.expect("the disk is well");
        }
        let bytes = fs::read(lives.path()).expect("it was written");
        fs::write(lives.path(), &bytes[..bytes.len() - cut]).expect("the directory is ours");
        assert_eq!(lives.restart().await, [ban(1), ban(2)]);
        lives.store(&ban(4)).await.expect("the disk is well");
        assert_eq!(lives.restart().await, [ban(1), ban(2), ban(4)]);
    }
}

/// Of a log that is being written anew when the crash comes, the old one counts.
#[tokio::test]
async fn a_new_log_counts_once_it_is_in_place() {
    let mut lives = Lives::new();
    lives.store(&ban(1)).await.expect("the disk is well");
    let half = format::encode_ban(&ban(9));
    fs::write(lives.directory.path().join(INCOMING).join(BANS), half).expect("the directory is ours");
    assert_eq!(lives.restart().await, [ban(1)]);
}

/// Where a ban that others follow is rotten, everything until the last of them counts as purged, over more restarts too.
#[tokio::test]
async fn rot_in_the_middle_purges_everything() {
    let mut lives = Lives::new();
    for number in 1..=3 {
        lives.store(&ban(number)).await.expect("the disk is well");
    }
    let mut bytes = fs::read(lives.path()).expect("it was written");
    bytes[format::encode_ban(&ban(1)).len() + 12] ^= 1;
    fs::write(lives.path(), bytes).expect("the directory is ours");
    let all = Ban { selector: Selector::All, ..ban(3) };
    assert_eq!(lives.restart().await, [ban(1), ban(3), all.clone()]);
    lives.store(&ban(4)).await.expect("the disk is well");
    assert_eq!(lives.restart().await, [ban(1), ban(3), all, ban(4)]);
}

/// A log that another build wrote stops the start, for to pass it over would bring back what was purged (failure R12).
#[tokio::test]
async fn a_log_of_another_version_is_an_error() {
    let mut lives = Lives::new();
    lives.store(&ban(1)).await.expect("the disk is well");
    let mut bytes = fs::read(lives.path()).expect("it was written");
    // As the first one, but for its version and so its checksum.
    bytes[4] = 2;
    let content = bytes.len() - 8;
    bytes[content..].copy_from_slice(&[186, 30, 221, 201, 147, 236, 142, 183]);
    fs::write(lives.path(), bytes).expect("the directory is ours");
    drop(lives.tier.take());
    let tier = crate::DirTier::open(lives.directory.path()).expect("the lock is free");
    let error = tier.recover_bans().await.expect_err("it is of another version");
    assert!(error.to_string().contains("it has version 2 and this build reads 1"), "{error}");
    let refused = tier.store_ban(ban(2).into()).await;
    assert!(refused.is_err(), "a log that cannot be read was written over");
}

/// A write that fails is said to have failed, and the next one starts a new log, which holds both.
#[tokio::test]
async fn a_failed_write_is_told_and_made_good() {
    let mut lives = Lives::new();
    lives.store(&ban(1)).await.expect("the disk is well");
    lives.tier().shared.bans().break_file();
    let error = lives.tier().store_ban(ban(2).into()).await.expect_err("the file takes no writes");
    assert!(error.to_string().starts_with("disk: writing `"), "{error}");
    lives.store(&ban(3)).await.expect("a new log is written");
    assert_eq!(lives.restart().await, [ban(1), ban(2), ban(3)]);
}
