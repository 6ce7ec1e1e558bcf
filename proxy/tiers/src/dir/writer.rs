//! A record being written: blocks go into a file in `incoming` as they fill, and a commit moves it into `records`.

use super::{Shared, failed, file, file::FileError, sync_directory};
use crate::blocks::{self, Tail};
use bytes::Bytes;
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
};
use tiergate_driver::TierError;
use tiergate_engine::{Record, RecordName, StoredKey};

/// One writer. Dropping it removes its file unless it was committed.
pub(super) struct Writer {
    path: PathBuf,
    key: StoredKey,
    name: RecordName,
    file: File,
    state: Mutex<State>,
    /// Held while it is published, so that a purge comes before that or after it.
    publishing: Mutex<Publishing>,
}

/// Has a purge closed this writer?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publishing {
    /// No.
    Allowed,
    /// Yes: its key was purged since it was opened.
    Purged,
}

struct State {
    tail: Tail,
    phase: Phase,
}

/// ```text
/// Writing ──commit──▶ Committed
///    └────failure───▶ Failed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Takes chunks.
    Writing,
    /// Its file is in `records`.
    Committed,
    /// Takes nothing more. What was acknowledged stays readable.
    Failed,
}

impl Writer {
    /// Creates the file. A file of that name would be another writer's: names are unique (failure T2).
    pub(super) fn create(path: PathBuf, key: StoredKey, name: RecordName) -> Result<Self, TierError> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| failed("creating", &path, error))?;
        let state = State { tail: Tail::new(file::BLOCK_BYTES), phase: Phase::Writing };
        Ok(Self {
            path,
            key,
            name,
            file,
            state: Mutex::new(state),
            publishing: Mutex::new(Publishing::Allowed),
        })
    }

    /// Takes in a chunk; says whether there are blocks to store now.
    pub(super) fn push(&self, chunk: &[u8]) -> Result<bool, TierError> {
        let mut state = self.writing()?;
        state.tail.push(chunk);
        Ok(state.tail.full_block().is_some())
    }

    /// Waits for the disk.
    pub(super) fn store_full_blocks(&self) -> Result<(), TierError> {
        loop {
            let mut sealed = Vec::new();
            let begin = {
                let state = self.writing()?;
                let Some((_, block)) = state.tail.full_block() else {
                    return Ok(());
                };
                blocks::seal_into(&mut sealed, block);
                self.end_of_stored(&state)?
            };
            // Reads go on meanwhile: the block is held until it is stored.
            self.store(&sealed, begin)?;
            self.state().tail.on_stored();
        }
    }

    /// Makes the record durable and visible. Waits for the disk.
    pub(super) fn commit(&self, shared: &Shared, record: &Record) -> Result<(), TierError> {
        let mut sealed = Vec::new();
        let begin = {
            let state = self.writing()?;
            let given = (record.stored_key(), record.name, record.length.0);
            if given != (self.key, self.name, state.tail.length()) {
                return Err(failed("committing", &self.path, "its record is not that of what was written"));
            }
            if let Some((_, block)) = state.tail.last_block() {
                blocks::seal_into(&mut sealed, block);
            }
            self.end_of_stored(&state)?
        };
        sealed.extend(file::ending(record, shared.sequence.fetch_add(1, Ordering::Relaxed)));
        self.store(&sealed, begin)?;
        let publishing = self.publishing();
        match *publishing {
            Publishing::Allowed => {}
            Publishing::Purged => {
                self.state().phase = Phase::Failed;
                return Err(failed(
                    "committing",
                    &self.path,
                    "its key was purged since the writer was opened",
                ));
            }
        }
        let published = self.publish(shared);
        let mut state = self.state();
        match published {
            Ok(()) => {
                state.phase = Phase::Committed;
                shared.open().names.entry(self.key).or_default().push(self.name);
                Ok(())
            }
            Err(error) => {
                state.phase = Phase::Failed;
                // It may be there all the same. A purge of the key must find it, a lookup must not.
                shared.open().names.entry(self.key).or_default().insert(0, self.name);
                Err(failed("committing", &self.path, error))
            }
        }
    }

    /// From now on it publishes nothing. Waits for a commit that is under way.
    pub(super) fn close_by_purge(&self) {
        *self.publishing() = Publishing::Purged;
    }

    pub(super) fn key(&self) -> StoredKey {
        self.key
    }

    fn publishing(&self) -> MutexGuard<'_, Publishing> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, shared: &Shared) -> std::io::Result<()> {
        self.file.sync_all()?;
        let path = shared.record(self.name);
        fs::rename(&self.path, &path)?;
        sync_directory(&shared.leaf(self.name)).inspect_err(|_| {
            // Whether it would survive a crash is not known, so it must not be seen. If it cannot be removed either, a
            // start finds a whole record that nobody was told of, which is allowed.
            drop(fs::remove_file(&path));
        })
    }

    /// Held bytes from `offset` on; `None` when that byte is in the file.
    pub(super) fn held(&self, offset: u64, length_max: u64) -> Option<Bytes> {
        self.state().tail.held(offset, length_max)
    }

    /// Checked bytes out of the file. Waits for the disk.
    pub(super) fn read_stored(&self, offset: u64, length_max: u64) -> Result<Bytes, FileError> {
        let layout = self.state().tail.stored();
        file::read_blocks(&self.file, layout, offset, length_max)
    }

    /// The same writer over a handle that takes no writes.
    #[cfg(test)]
    pub(super) fn with_read_only_file(&self) -> Self {
        let mut state = self.state();
        let block_bytes = file::BLOCK_BYTES;
        let state = State {
            tail: std::mem::replace(&mut state.tail, Tail::new(block_bytes)),
            phase: std::mem::replace(&mut state.phase, Phase::Committed),
        };
        Self {
            path: self.path.clone(),
            key: self.key,
            name: self.name,
            file: File::open(&self.path).expect("the writer created it"),
            state: Mutex::new(state),
            publishing: Mutex::new(Publishing::Allowed),
        }
    }

    fn store(&self, bytes: &[u8], begin: u64) -> Result<(), TierError> {
        self.file.write_all_at(bytes, begin).map_err(|error| {
            self.state().phase = Phase::Failed;
            failed("writing", &self.path, error)
        })
    }

    fn end_of_stored(&self, state: &State) -> Result<u64, TierError> {
        let stored = state.tail.stored();
        stored
            .begin(stored.count())
            .ok_or_else(|| failed("writing", &self.path, "the body is longer than files can be"))
    }

    fn writing(&self) -> Result<MutexGuard<'_, State>, TierError> {
        let state = self.state();
        match state.phase {
            Phase::Writing => Ok(state),
            Phase::Committed => Err(failed("writing", &self.path, "it is committed already")),
            Phase::Failed => Err(failed("writing", &self.path, "an earlier write failed")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        match self.state().phase {
            Phase::Committed => {}
            // If this fails, the next start does it.
            Phase::Writing | Phase::Failed => drop(fs::remove_file(&self.path)),
        }
    }
}
