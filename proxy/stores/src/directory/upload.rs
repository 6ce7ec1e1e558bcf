//! One upload into a directory of blobs.

use super::{
    layout::{Layout, create, sync_folder},
    locked, not_open,
};
use crate::error::failed;
use bytes::Bytes;
use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, TryLockError},
};
use tiergate_driver::{StoreError, TierError};
use tiergate_engine::{ByteCount, durable::BlobName};

/// Bytes that are kept back: less would be one visit to the pool of threads for each chunk.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// A blob on its way. Its work runs on the pool of threads, each piece under the lock, so that a piece whose
/// caller has left still comes before or after the others.
#[derive(Debug)]
pub(super) struct Upload {
    layout: Arc<Layout>,
    blob: BlobName,
    state: Mutex<State>,
}

/// ```text
/// New ──begin──▶ Taking ──finish──▶ Closed
///  ╰──close──────── ╰──close, failed ──▶ Closed
/// ```
#[derive(Debug)]
enum State {
    /// Nothing is on the disk.
    New,
    /// Its file lies among the uploads.
    Taking(Taking),
    /// It is finished, or nothing of it is left.
    Closed,
}

#[derive(Debug)]
struct Taking {
    file: File,
    path: PathBuf,
    written: u64,
    kept: Vec<Bytes>,
    kept_bytes: usize,
}

impl Upload {
    pub(super) fn new(layout: &Arc<Layout>, blob: BlobName) -> Self {
        Self { layout: Arc::clone(layout), blob, state: Mutex::new(State::New) }
    }

    pub(super) fn begin(&self) -> Result<(), StoreError> {
        let mut state = locked(&self.state);
        let State::New = *state else { return Err(not_open("upload")) };
        let path = self.layout.upload_path();
        let file = create(&path).map_err(failed(&path, "beginning an upload"))?;
        *state = State::Taking(Taking { file, path, written: 0, kept: Vec::new(), kept_bytes: 0 });
        Ok(())
    }

    /// Takes the chunk without touching the disk, or gives it back.
    pub(super) fn keep_back(&self, chunk: Bytes) -> Result<Option<Bytes>, StoreError> {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            // A call whose caller has left is still at work: wait for it in the pool.
            Err(TryLockError::WouldBlock) => return Ok(Some(chunk)),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        let State::Taking(taking) = &mut *state else { return Err(not_open("upload")) };
        if KEPT_BYTES_MAX < taking.kept_bytes + chunk.len() {
            return Ok(Some(chunk));
        }
        taking.keep(chunk);
        Ok(None)
    }

    pub(super) fn append(&self, chunk: Bytes) -> Result<(), StoreError> {
        let mut state = locked(&self.state);
        let State::Taking(taking) = &mut *state else { return Err(not_open("upload")) };
        taking.keep(chunk);
        let written = taking.write();
        if written.is_err() {
            close(&mut state);
        }
        written
    }

    pub(super) fn finish(&self, length: ByteCount) -> Result<(), StoreError> {
        let mut state = locked(&self.state);
        let State::Taking(taking) = &mut *state else { return Err(not_open("upload")) };
        let published = taking.publish(&self.layout, self.blob, length);
        match published {
            // The file has its place, and its name among the uploads is free.
            Ok(()) => *state = State::Closed,
            Err(_) => close(&mut state),
        }
        published
    }

    pub(super) fn close(&self) {
        close(&mut locked(&self.state));
    }
}

impl Taking {
    fn keep(&mut self, chunk: Bytes) {
        self.kept_bytes += chunk.len();
        self.kept.push(chunk);
    }

    fn write(&mut self) -> Result<(), StoreError> {
        for chunk in self.kept.drain(..) {
            self.file.write_all(&chunk).map_err(failed(&self.path, "writing an upload"))?;
            self.written += chunk.len() as u64;
        }
        self.kept_bytes = 0;
        Ok(())
    }

    fn publish(&mut self, layout: &Layout, blob: BlobName, length: ByteCount) -> Result<(), StoreError> {
        self.write()?;
        if self.written != length.0 {
            let (path, written, length) = (self.path.display(), self.written, length.0);
            let why =
                format!("{path}: the upload has {written} bytes and was to have {length}: send it again");
            return Err(TierError::Failed(why));
        }
        self.file.sync_all().map_err(failed(&self.path, "syncing an upload"))?;
        let place = layout.path_of(blob);
        fs::rename(&self.path, &place).map_err(failed(&place, "putting a blob in its place"))?;
        for folder in [layout.folder_of(blob.key), layout.uploads_folder()] {
            sync_folder(&folder).map_err(failed(&folder, "syncing the folder of a new blob"))?;
        }
        Ok(())
    }
}

/// What was not finished leaves nothing. What cannot be removed now is removed when the directory is opened.
fn close(state: &mut State) {
    if let State::Taking(taking) = std::mem::replace(state, State::Closed) {
        let _ = fs::remove_file(&taking.path);
    }
}

impl Drop for Upload {
    /// A store that is dropped with uploads under way.
    fn drop(&mut self) {
        close(self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}
