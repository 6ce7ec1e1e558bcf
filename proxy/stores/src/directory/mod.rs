//! Blobs as files in a directory, of one process at a time.
//!
//! ```text
//! lock       held while a process uses the directory
//! layout     the number of this layout; written last when a directory is made
//! uploads/   what was begun and not finished; emptied when the directory is opened
//! blobs/00/ … blobs/ff/   by the key's first byte: files named <key>-<name>, 32 hex digits each
//! ```
//!
//! A blob is written in `uploads`, synced, and renamed into its place; then both folders are synced, and only
//! then is it said to be whole. A crash at any point leaves the blob whole or an upload that the next opening
//! removes. It keeps no checksums: the engine compares every body with the digest in its manifest. Start at
//! [`DirectoryBlobs`].

mod layout;
#[cfg(test)]
mod tests;
mod upload;

use crate::{
    OpenError,
    blocking::{blocking, start},
    error::failed,
};
use bytes::Bytes;
use layout::Layout;
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tiergate_driver::{BlobStore, Handle, StoreError, TierError};
use tiergate_engine::{ByteCount, RecordId, WriterId, durable::BlobName};
use upload::Upload;

/// Bytes of one read: what is read at once is held in memory for a client that may be slow.
const READ_BYTES_MAX: u64 = 1 << 20;

/// Blobs of one listing: a page costs memory here and time before its first answer.
const PAGE_BLOBS_MAX: usize = 1_000;

/// A directory of blobs that no other process writes to. Dropping it closes it, once the disk has answered
/// what was asked of it.
#[derive(Debug)]
pub struct DirectoryBlobs {
    layout: Arc<Layout>,
    open: Mutex<BTreeMap<Handle<RecordId>, Arc<OpenBlob>>>,
    uploads: Mutex<BTreeMap<Handle<WriterId>, Arc<Upload>>>,
}

/// A blob under a reader. The file stays readable when its name is removed.
#[derive(Debug)]
struct OpenBlob {
    file: File,
    path: PathBuf,
    length: u64,
}

impl DirectoryBlobs {
    /// Opens the directory, or makes it below a folder that exists, and removes what uploads of earlier
    /// processes left.
    ///
    /// # Errors
    /// It cannot be used; the error says what to do.
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let directory = directory.into();
        let path = directory.clone();
        let opened = tokio::task::spawn_blocking(move || Layout::open(directory)).await;
        let layout = match opened {
            Ok(layout) => layout?,
            Err(error) => return Err(OpenError::unusable(&path, "opening")(io::Error::other(error))),
        };
        Ok(Self { layout: Arc::new(layout), open: Mutex::default(), uploads: Mutex::default() })
    }

    fn opened(&self, handle: Handle<RecordId>) -> Result<Arc<OpenBlob>, StoreError> {
        locked(&self.open).get(&handle).cloned().ok_or_else(|| not_open("blob"))
    }

    fn upload(&self, handle: Handle<WriterId>) -> Result<Arc<Upload>, StoreError> {
        locked(&self.uploads).get(&handle).cloned().ok_or_else(|| not_open("upload"))
    }
}

impl BlobStore for DirectoryBlobs {
    async fn open(&self, handle: Handle<RecordId>, blob: BlobName) -> Result<Option<ByteCount>, StoreError> {
        let path = self.layout.path_of(blob);
        let Some(opened) = blocking(move || OpenBlob::open(path)).await? else { return Ok(None) };
        let length = ByteCount(opened.length);
        locked(&self.open).insert(handle, Arc::new(opened));
        Ok(Some(length))
    }

    async fn read(
        &self,
        handle: Handle<RecordId>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, StoreError> {
        let opened = self.opened(handle)?;
        blocking(move || opened.read(offset, length_max)).await
    }

    fn release(&self, handle: Handle<RecordId>) {
        let opened = locked(&self.open).remove(&handle);
        // The last to close a deleted file waits until the disk has freed all of it.
        if let Some(opened) = opened {
            start(move || drop(opened));
        }
    }

    async fn begin(&self, handle: Handle<WriterId>, blob: BlobName) -> Result<(), StoreError> {
        let upload = Arc::new(Upload::new(&self.layout, blob));
        locked(&self.uploads).insert(handle, Arc::clone(&upload));
        blocking(move || upload.begin()).await
    }

    async fn append(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), StoreError> {
        let upload = self.upload(handle)?;
        match upload.keep_back(chunk)? {
            None => Ok(()),
            Some(chunk) => blocking(move || upload.append(chunk)).await,
        }
    }

    async fn finish(&self, handle: Handle<WriterId>, length: ByteCount) -> Result<(), StoreError> {
        let upload = self.upload(handle)?;
        blocking(move || upload.finish(length)).await
    }

    fn abort(&self, handle: Handle<WriterId>) {
        let upload = locked(&self.uploads).remove(&handle);
        if let Some(upload) = upload {
            start(move || upload.close());
        }
    }

    async fn delete(&self, blob: BlobName) -> Result<(), StoreError> {
        let layout = Arc::clone(&self.layout);
        blocking(move || layout.delete(blob)).await
    }

    async fn list(&self, after: Option<BlobName>) -> Result<Vec<BlobName>, StoreError> {
        let layout = Arc::clone(&self.layout);
        blocking(move || layout.list(after, PAGE_BLOBS_MAX)).await
    }
}

impl OpenBlob {
    fn open(path: PathBuf) -> Result<Option<Self>, StoreError> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder_exists(&path) => return Ok(None),
            Err(error) => return Err(failed(&path, "opening a blob")(error)),
        };
        let about = file.metadata().map_err(failed(&path, "looking at a blob"))?;
        Ok(Some(Self { file, path, length: about.len() }))
    }

    fn read(&self, offset: u64, length_max: u64) -> Result<Bytes, StoreError> {
        let Self { file, path, length } = self;
        let wanted = length.saturating_sub(offset).min(length_max).min(READ_BYTES_MAX);
        if wanted == 0 {
            let path = path.display();
            let why = format!("{path}: no byte can be read at {offset} of {length}, {length_max} at most");
            return Err(TierError::Failed(why));
        }
        let mut bytes = vec![0; usize::try_from(wanted).expect("it is at most READ_BYTES_MAX")];
        let read = loop {
            match file.read_at(&mut bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(failed(path, "reading a blob"))?,
            }
        };
        if read == 0 {
            let path = path.display();
            return Err(TierError::Rotten(format!("{path}: had {length} bytes and ends at {offset} now")));
        }
        bytes.truncate(read);
        Ok(bytes.into())
    }
}

/// A folder that is gone, as with a disk that was unmounted, says nothing of the blobs in it.
fn folder_exists(path: &Path) -> bool {
    path.parent().is_some_and(Path::is_dir)
}

fn not_open(what: &str) -> StoreError {
    TierError::Failed(format!("no {what} is open under this handle"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
