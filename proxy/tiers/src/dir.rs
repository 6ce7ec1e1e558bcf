//! The local disk as a tier: one file per record below one directory, which belongs to one process.
//!
//! ```text
//! lock                    held while a process uses the directory
//! incoming/<name>         being written; whatever a start finds here is deleted
//! records/<h>/<h>/<name>  whole; `<name>` is the record's, in hexadecimal, and `<h>` its first two digits
//! records/<h>/<h>/<name>.head  the encoded record that counts instead of the one in the file: it was freshened
//! bans                    what was purged by more than its key, one ban after the other
//! ```
//!
//! The crash argument. A commit writes the record and its footer behind the body, syncs the file, renames it into
//! `records`, syncs that directory, and only then is acknowledged. A crash before the rename leaves a file in `incoming`:
//! absent. A rename is atomic, and what it names was synced: after it, the record is there whole, or, if the directory was
//! not synced yet, absent. The record that it supersedes has a file of its own, which nobody touches until the engine
//! deletes it; if the crash comes before that, a start keeps the one that was committed last. So it is absent, old or
//! new, and never a mix. A delete syncs the directory before it is acknowledged, so a purged record does not come back;
//! a purge also closes the writers of its target that are open in this process, and there are none in another.
//! A freshening writes the new head beside the record in the same way: written, synced, renamed, and the directory synced
//! before it is acknowledged. After a crash the record has its old head or the new one, each of them whole; a head without
//! its record is deleted by the next start. Renames of heads and deletes take turns, so that none outlives its record.
//! A ban is behind the others and synced before it is acknowledged; what a crash leaves of one that was not does not count,
//! and is written over by a new log, which takes the old one's place as a record does. If one that others follow is no
//! longer what was written, everything that was made until the last of them counts as purged.
//! A file that is not whole all the same (the disk lied) does not add up, or fails a checksum when it is read.
//!
//! Simple and correct, not fast: each commit and delete waits for the disk, each call takes a thread of tokio's blocking
//! pool. Start at [`DirTier::open`].

mod bans;
mod file;
mod freshen;
mod recover;
mod writer;

pub use file::stored_bytes;

use bans::BanLog;
use bytes::Bytes;
use file::{Contents, FileError, RecordFile};
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};
use tiergate_driver::{ByteTier, Contents as Holdings, Found, Handle, TierError};
use tiergate_engine::{
    Ban, ByteCount, CacheKey, Freshening, ReadSource, Record, RecordId, RecordName, StoredKey, WriterId,
};
use tokio::sync::watch;
use writer::Writer;

const LOCK: &str = "lock";
const INCOMING: &str = "incoming";
const RECORDS: &str = "records";
/// What the name of a head that was put beside a record ends with.
const HEAD_SUFFIX: &str = ".head";
/// The directories at each of the two levels below `records`.
const FAN_OUT: u8 = 16;
const RECOVERED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A directory cannot be used as a tier.
#[derive(Debug)]
pub enum DirError {
    /// Another process uses it. Stop that one, or choose another directory.
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// The system does not let us read and write there. Its error says why.
    Unusable {
        /// Which directory or file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for DirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path } => write!(
                f,
                "cache directory `{}` is in use by another process: stop that process, or choose another directory",
                path.display()
            ),
            Self::Unusable { path, error } => write!(
                f,
                "cache directory `{}` cannot be used ({error}): let this user read and write there, or choose another \
                 directory",
                path.display()
            ),
        }
    }
}

impl std::error::Error for DirError {}

/// A directory that holds records. One process uses it at a time. Call
/// [`ByteTier::join`] once.
pub struct DirTier {
    shared: Arc<Shared>,
    /// Is it known what there is?
    joined: watch::Sender<bool>,
}

/// What calls on the blocking pool need.
struct Shared {
    root: PathBuf,
    /// Counts commits, over restarts too: of two records of a key, the one with the larger number is the newer.
    sequence: AtomicU64,
    open: Mutex<Open>,
    /// Held while a head is put beside its record, or both are removed.
    heads: Mutex<()>,
    bans: Mutex<BanLog>,
    /// Released when the last call is over.
    _lock: File,
}

#[derive(Default)]
struct Open {
    /// The names of the records of each key, those of one target side by side, the current one last. The others are superseded and wait for their delete.
    names: BTreeMap<StoredKey, Vec<RecordName>>,
    records: BTreeMap<Handle<RecordId>, Arc<RecordFile>>,
    writers: BTreeMap<Handle<WriterId>, Arc<Writer>>,
}

impl DirTier {
    /// Takes the directory for this process and creates what is missing of it. Blocks for a few disk writes.
    ///
    /// # Errors
    /// Another process has it, or the system refuses.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, DirError> {
        let root = root.into();
        let lock = prepare(&root).map_err(|error| DirError::Unusable { path: root.clone(), error })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DirError::InUse { path: root }),
            Err(TryLockError::Error(error)) => return Err(DirError::Unusable { path: root, error }),
        }
        let shared = Shared {
            bans: Mutex::new(BanLog::new(&root)),
            root,
            sequence: AtomicU64::new(1),
            open: Mutex::default(),
            heads: Mutex::default(),
            _lock: lock,
        };
        Ok(Self { shared: Arc::new(shared), joined: watch::Sender::new(false) })
    }

    /// Everything whole that an earlier process left, oldest first; what is torn is deleted.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn recover(&self) -> Result<Vec<Record>, TierError> {
        let records = self.blocking(recover::recover).await?;
        self.joined.send_replace(true);
        Ok(records)
    }

    /// Runs `work` where it may wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, TierError> + Send + 'static,
    ) -> Result<T, TierError> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(answer) => answer,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Err(TierError::Failed("disk: the process is shutting down".to_owned())),
            },
        }
    }

    fn writer(&self, handle: Handle<WriterId>) -> Result<Arc<Writer>, TierError> {
        let writer = self.shared.open().writers.get(&handle).map(Arc::clone);
        writer.ok_or_else(|| TierError::Failed(format!("disk: writer {handle:?} is not open")))
    }
}

/// Creates the directories; the lock file comes first, which shows whether this place is writable.
fn prepare(root: &Path) -> io::Result<File> {
    fs::create_dir_all(root)?;
    let lock = File::options().create(true).truncate(false).write(true).open(root.join(LOCK))?;
    let records = root.join(RECORDS);
    create(&root.join(INCOMING))?;
    create(&records)?;
    for outer in 0..FAN_OUT {
        let outer = records.join(format!("{outer:x}"));
        create(&outer)?;
        for inner in 0..FAN_OUT {
            create(&outer.join(format!("{inner:x}")))?;
        }
        sync_directory(&outer)?;
    }
    sync_directory(&records)?;
    sync_directory(root)?;
    Ok(lock)
}

fn create(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes the names in a directory durable.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The tier's error for one file, as its log shows it.
fn failed(doing: &str, path: &Path, error: impl fmt::Display) -> TierError {
    TierError::Failed(format!("disk: {doing} `{}`: {error}", path.display()))
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bans(&self) -> MutexGuard<'_, BanLog> {
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incoming(&self, name: RecordName) -> PathBuf {
        self.root.join(INCOMING).join(format!("{:032x}", name.0))
    }

    /// The directory of a record.
    fn leaf(&self, name: RecordName) -> PathBuf {
        let (outer, inner) = (name.0 >> 124, (name.0 >> 120) & 0xf);
        self.root.join(RECORDS).join(format!("{outer:x}/{inner:x}"))
    }

    fn record(&self, name: RecordName) -> PathBuf {
        self.leaf(name).join(format!("{:032x}", name.0))
    }

    /// Reads the head of a record that is there whole, if it is there at all.
    fn find(&self, key: StoredKey, name: RecordName) -> Result<Option<Contents>, TierError> {
        let path = self.record(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("opening", &path, error)),
        };
        let contents = file::read(file).map_err(|error| failed("reading", &path, error))?;
        if (contents.record.stored_key(), contents.record.name) != (key, name) {
            return Err(failed("reading", &path, "it holds another record"));
        }
        let record = self.freshest(contents.record)?;
        Ok(Some(Contents { record, ..contents }))
    }

    /// Removes one record's files for good; says whether there was one.
    fn remove(&self, name: RecordName) -> Result<bool, TierError> {
        let path = self.record(name);
        {
            let _turn = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(failed("deleting", &path, error)),
            }
            let head = self.head(name);
            match fs::remove_file(&head) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("deleting", &head, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        sync_directory(&self.leaf(name)).map_err(|error| failed("deleting", &path, error))?;
        Ok(true)
    }

    /// What was opened before now publishes nothing, or has done so already and is among the names.
    fn close_writers(&self, target: CacheKey) {
        let writers: Vec<Arc<Writer>> = {
            let open = self.open();
            open.writers.values().filter(|writer| writer.key().target == target).map(Arc::clone).collect()
        };
        for writer in writers {
            writer.close_by_purge();
        }
    }

    /// Removes what a commit has taken the place of. If that fails, a purge or the next start does it.
    fn remove_superseded(&self, key: StoredKey) {
        let names = self.open().names.get(&key).cloned().unwrap_or_default();
        let Some((_, superseded)) = names.split_last() else { return };
        for name in superseded {
            drop(self.delete(key, Some(*name)));
        }
    }

    fn delete(&self, key: StoredKey, name: Option<RecordName>) -> Result<bool, TierError> {
        let named: Vec<(StoredKey, RecordName)> = match name {
            Some(name) => vec![(key, name)],
            // With the current records go those that they superseded, or the next start would find them.
            None => {
                self.close_writers(key.target);
                let of = |own: u128| StoredKey { target: key.target, key: CacheKey(own) };
                let open = self.open();
                let names = open.names.range(of(0)..=of(u128::MAX));
                names.flat_map(|(key, names)| names.iter().map(|name| (*key, *name))).collect()
            }
        };
        let mut existed = false;
        for (key, name) in named {
            existed |= self.remove(name)?;
            let mut open = self.open();
            if let Some(names) = open.names.get_mut(&key) {
                names.retain(|other| *other != name);
                if names.is_empty() {
                    open.names.remove(&key);
                }
            }
        }
        Ok(existed)
    }
}

impl ByteTier for DirTier {
    /// Tries again where the system refuses.
    async fn join(&self) -> Holdings {
        loop {
            if let Ok(records) = self.recover().await {
                let bytes = records.iter().fold(ByteCount::ZERO, |sum, record| sum.plus(record.length.0));
                return Holdings { objects: records.len() as u64, bytes };
            }
            tokio::time::sleep(RECOVERED_AGAIN_AFTER).await;
        }
    }

    async fn recover_bans(&self) -> Result<Vec<Ban>, TierError> {
        self.blocking(|shared| shared.bans().recover()).await
    }

    async fn store_ban(&self, ban: Arc<Ban>) -> Result<(), TierError> {
        self.blocking(move |shared| shared.bans().store(&ban)).await
    }

    async fn lookup(&self, handle: Handle<RecordId>, key: StoredKey) -> Result<Option<Found>, TierError> {
        let name = self.shared.open().names.get(&key).and_then(|names| names.last().copied());
        let Some(name) = name else {
            return Ok(None);
        };
        let Some(contents) = self.blocking(move |shared| shared.find(key, name)).await? else {
            return Ok(None);
        };
        self.shared.open().records.insert(handle, Arc::new(contents.file));
        Ok(Some(Found { record: contents.record, body: None }))
    }

    async fn read(
        &self,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, TierError> {
        let shard = source.shard;
        let wrong = move |error: FileError| TierError::Failed(format!("disk: reading {source:?}: {error}"));
        match source.id {
            ReadSource::Record(id) => {
                let record = self.shared.open().records.get(&Handle { shard, id }).map(Arc::clone);
                let record =
                    record.ok_or_else(|| TierError::Failed(format!("disk: {source:?} is not open")))?;
                self.blocking(move |_| record.read(offset, length_max).map_err(wrong)).await
            }
            ReadSource::Writer(id) => {
                let writer = self.writer(Handle { shard, id })?;
                match writer.held(offset, length_max) {
                    Some(bytes) if bytes.is_empty() => Err(wrong(FileError::Offset(offset))),
                    Some(bytes) => Ok(bytes),
                    None => {
                        self.blocking(move |_| writer.read_stored(offset, length_max).map_err(wrong)).await
                    }
                }
            }
        }
    }

    fn release(&self, handle: Handle<RecordId>) {
        let record = self.shared.open().records.remove(&handle);
        drop_elsewhere(record);
    }

    async fn open(
        &self,
        handle: Handle<WriterId>,
        key: StoredKey,
        name: RecordName,
    ) -> Result<(), TierError> {
        let writer = self.blocking(move |shared| Writer::create(shared.incoming(name), key, name)).await?;
        self.shared.open().writers.insert(handle, Arc::new(writer));
        Ok(())
    }

    async fn write(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), TierError> {
        let writer = self.writer(handle)?;
        if writer.push(&chunk)? {
            self.blocking(move |_| writer.store_full_blocks()).await?;
        }
        Ok(())
    }

    async fn commit(&self, handle: Handle<WriterId>, record: Arc<Record>) -> Result<(), TierError> {
        let writer = self.writer(handle)?;
        self.blocking(move |shared| {
            writer.commit(shared, &record)?;
            shared.remove_superseded(record.stored_key());
            Ok(())
        })
        .await
    }

    fn discard(&self, handle: Handle<WriterId>) {
        let writer = self.shared.open().writers.remove(&handle);
        drop_elsewhere(writer);
    }

    async fn freshen(&self, record: Arc<Record>) -> Result<Freshening, TierError> {
        self.blocking(move |shared| freshen::freshen(shared, &record)).await
    }

    async fn delete(&self, key: StoredKey, name: Option<RecordName>) -> Result<bool, TierError> {
        // Before that, not every name is known.
        let mut joined = self.joined.subscribe();
        joined.wait_for(|joined| *joined).await.expect("the sender lives as long as `self`");
        self.blocking(move |shared| shared.delete(key, name)).await
    }
}

/// Closing, and unlinking, a large file takes the system a while.
fn drop_elsewhere<T: Send + 'static>(files: Option<Arc<T>>)
where
    Arc<T>: Send,
{
    let (Some(files), Ok(runtime)) = (files, tokio::runtime::Handle::try_current()) else {
        return;
    };
    // Not awaited: nobody waits for the space, and a start cleans up what a crash left.
    drop(runtime.spawn_blocking(move || drop(files)));
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
