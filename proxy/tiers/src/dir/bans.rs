//! The log of bans beside the records: what was purged by more than its key, kept over a restart.
//!
//! A ban is appended and synced before it is acknowledged. A log that holds more than twice what is in force is written
//! anew beside the old one, synced, and renamed over it, and the directory is synced; so is one whose end is not what we
//! wrote, because a crash tore it or a write failed.

use super::{INCOMING, failed, sync_directory};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use tiergate_driver::TierError;
use tiergate_engine::{
    Ban, Bans,
    format::{self, LogEnding},
};

const BANS: &str = "bans";

/// What is in force, and the file that says so.
pub(super) struct BanLog {
    root: PathBuf,
    bans: Bans,
    state: State,
}

/// ```text
/// Unread ──read──▶ Sound ──failure──▶ Unsound ──rewrite──▶ Sound
///    └─────torn or absent────────────────▲
/// ```
enum State {
    /// What an earlier process left is not known yet.
    Unread,
    /// More can be appended.
    Sound {
        file: File,
        /// Bans in the file, in force or not.
        written: usize,
    },
    /// It must be written anew.
    Unsound,
}

impl BanLog {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), bans: Bans::default(), state: State::Unread }
    }

    /// The bans in force. Waits for the disk.
    pub(super) fn recover(&mut self) -> Result<Vec<Ban>, TierError> {
        self.read()?;
        Ok(self.bans.iter().cloned().collect())
    }

    /// Makes a ban durable. Waits for the disk.
    pub(super) fn store(&mut self, ban: &Ban) -> Result<(), TierError> {
        self.read()?;
        let in_force = |bans: &Bans| bans.iter().count();
        let path = self.root.join(BANS);
        let stored = match &mut self.state {
            // Each shard of the process has it stored, and one of them was the last.
            State::Sound { .. } if self.bans.say(ban) => return Ok(()),
            State::Sound { file, written } => {
                self.bans.push(ban.clone());
                *written += 1;
                if *written > 2 * in_force(&self.bans) {
                    self.rewrite()
                } else {
                    file.write_all(&format::encode_ban(ban)).and_then(|()| file.sync_data())
                }
            }
            State::Unread | State::Unsound => {
                self.bans.push(ban.clone());
                self.rewrite()
            }
        };
        stored.map_err(|error| {
            self.state = State::Unsound;
            failed("writing", &path, error)
        })
    }

    fn read(&mut self) -> Result<(), TierError> {
        match self.state {
            State::Unread => {}
            State::Sound { .. } | State::Unsound => return Ok(()),
        }
        let path = self.root.join(BANS);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.state = State::Unsound;
                return Ok(());
            }
            Err(error) => return Err(failed("recovering", &path, error)),
        };
        let log = format::decode_bans(&bytes).map_err(|error| failed("recovering", &path, error))?;
        let written = log.bans.len();
        for ban in log.bans {
            self.bans.push(ban);
        }
        self.state = match log.ending {
            LogEnding::Clean => {
                let file = File::options().append(true).open(&path);
                State::Sound { file: file.map_err(|error| failed("recovering", &path, error))?, written }
            }
            LogEnding::Torn => State::Unsound,
        };
        Ok(())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let incoming = self.root.join(INCOMING).join(BANS);
        let path = self.root.join(BANS);
        let bytes: Vec<u8> = self.bans.iter().flat_map(format::encode_ban).collect();
        // What an earlier attempt left there is nobody's.
        let mut file = File::create(&incoming)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&incoming, &path)?;
        sync_directory(&self.root)?;
        self.state = State::Sound { file, written: self.bans.iter().count() };
        Ok(())
    }

    /// The same log over a handle that takes no writes.
    #[cfg(test)]
    pub(super) fn break_file(&mut self) {
        let file = File::open(self.root.join(BANS)).expect("it was written");
        self.state = State::Sound { file, written: 1 };
    }
}

#[cfg(test)]
mod tests;
