//! A directory of the local disk as a medium: one preallocated file, and a lock.
//!
//! ```text
//! lock   held while a process uses the directory
//! log    all of the log: see `layout`
//! ```
//!
//! Reads of what the page cache holds are made on the caller's thread (`now`); all else goes through io_uring
//! (`ring`) or, where that is refused or not wanted, through the runtime's pool of threads (`pool`). A
//! directory that was removed is made anew when the medium is opened again, its parents are not.

mod kind;

use super::{
    device::{BootId, Device, Medium, Opened},
    error::OpenError,
    layout::SEGMENTS_BEGIN,
    now::{Inline, Now},
    pool,
    ring::{Owner, Ring},
};
use bytes::Bytes;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, fstatvfs};
use std::{
    fs::{self, File, Metadata, TryLockError},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

const LOCK: &str = "lock";
const LOG: &str = "log";
/// What the tier of earlier releases kept in its directory.
const EARLIER: [&str; 2] = ["incoming", "records"];
/// What each block of the log began with in layout 1.
const EARLIER_MAGIC: &[u8] = b"TGBK";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// A process that is ending may hold the lock a little longer, until the disk has answered it.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// What `stat` counts allocated bytes in.
const STAT_BLOCK_BYTES: u64 = 512;

/// How the disk is asked for what the page cache does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoChoice {
    /// By io_uring where the system lets us, by a pool of threads elsewhere.
    #[default]
    Auto,
    /// By io_uring or not at all.
    IoUring,
    /// By a pool of threads.
    Pool,
}

/// How the disk is asked, once that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// By io_uring.
    IoUring,
    /// By a pool of threads.
    Pool,
}

impl Io {
    /// As the log shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Pool => "pool",
        }
    }
}

/// A directory that nobody else writes to.
#[derive(Debug)]
pub struct FileMedium {
    directory: PathBuf,
    choice: IoChoice,
    inline: Inline,
    state: Arc<Mutex<FileState>>,
}

/// What is kept from one opening to the next.
#[derive(Debug, Default)]
struct FileState {
    /// Held from the first opening on.
    lock: Option<Owner>,
    io: Option<Io>,
}

impl FileMedium {
    /// Nothing is touched before it is opened.
    pub fn new(directory: impl Into<PathBuf>, choice: IoChoice) -> Self {
        Self { directory: directory.into(), choice, inline: Inline::Tried, state: Arc::default() }
    }

    /// The same, with another way to read what the page cache holds.
    pub fn with_inline(self, inline: Inline) -> Self {
        Self { inline, ..self }
    }

    /// How the disk is asked, once it was opened.
    pub fn io(&self) -> Option<Io> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).io
    }

    async fn way(&self, file: &Arc<File>, owner: Owner) -> Result<Way, OpenError> {
        match self.choice {
            IoChoice::Pool => Ok(Way::Pool),
            IoChoice::Auto | IoChoice::IoUring => match Ring::start(file, owner).await {
                Ok(ring) => Ok(Way::Ring(ring)),
                Err(error) if self.choice == IoChoice::IoUring => Err(OpenError::NoIoUring { error }),
                Err(error) => {
                    tracing::info!(%error, "the system refuses io_uring");
                    Ok(Way::Pool)
                }
            },
        }
    }
}

impl Medium for FileMedium {
    type Device = FileDevice;

    fn name(&self) -> String {
        self.directory.display().to_string()
    }

    async fn open(&self) -> Result<Opened<FileDevice>, OpenError> {
        let (directory, state) = (self.directory.clone(), Arc::clone(&self.state));
        let taken = pool::blocking(move || Ok(take(&directory, &state))).await;
        let taken =
            taken.map_err(|error| OpenError::Device { name: self.name(), doing: "opening it", error })?;
        let Taken { file, lock, boot } = taken?;
        let way = self.way(&file, Arc::clone(&lock)).await?;
        let io = match way {
            Way::Ring(_) => Io::IoUring,
            Way::Pool => Io::Pool,
        };
        let said = self.state.lock().unwrap_or_else(PoisonError::into_inner).io.replace(io);
        if said != Some(io) {
            tracing::info!(directory = self.name(), io = io.as_str(), "how L2's disk is asked");
        }
        let path = self.directory.join(LOG);
        let device = FileDevice { file, path, now: Now::new(self.inline), way, owner: lock };
        Ok(Opened { device, boot })
    }
}

/// A directory that is ours.
struct Taken {
    file: Arc<File>,
    lock: Owner,
    boot: BootId,
}

/// Takes the directory for this process, and creates what is missing of it. Waits for the disk.
fn take(directory: &Path, state: &Mutex<FileState>) -> Result<Taken, OpenError> {
    let unusable = |doing: &'static str, path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::Unusable { path, doing, error }
    };
    make(directory)?;
    for name in EARLIER {
        if directory.join(name).exists() {
            return Err(OpenError::EarlierLayout { path: directory.to_owned(), found: name.to_owned() });
        }
    }
    kind::check(directory)?;
    let was_open = state.lock().unwrap_or_else(PoisonError::into_inner).lock.is_some();
    let lock = lock(directory, state)?;
    let path = directory.join(LOG);
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(unusable("opening", &path))?;
    refuse_earlier(directory, &file).map_err(unusable("reading", &path))??;
    let length = file.metadata().map_err(unusable("reading", &path))?.len();
    if length < SEGMENTS_BEGIN {
        match fallocate(&file, FallocateFlags::empty(), 0, SEGMENTS_BEGIN) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP) => return Err(kind::cannot_preallocate(directory)),
            Err(error) => return Err(unusable("preallocating", &path)(error.into())),
        }
        // The names in a directory are durable once that is synced; its own name, once its parent is.
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        for path in [Some(directory), parent].into_iter().flatten() {
            File::open(path).and_then(|file| file.sync_all()).map_err(unusable("syncing", path))?;
        }
    }
    if was_open {
        // After a failed write or sync the page cache may hold as clean what the disk does not have.
        fadvise(&file, 0, None, Advice::DontNeed)
            .map_err(|error| unusable("dropping the cached pages of", &path)(error.into()))?;
    }
    let boot = fs::read_to_string(BOOT_ID).map_err(unusable("reading", Path::new(BOOT_ID)))?;
    Ok(Taken { file: Arc::new(file), lock, boot: boot_id(&boot) })
}

/// Makes the directory if only its own name is missing.
fn make(directory: &Path) -> Result<(), OpenError> {
    let path = directory.to_owned();
    match fs::metadata(directory) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(OpenError::NotADirectory { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let parent = directory.parent().unwrap_or(directory).to_owned();
            return Err(OpenError::NotADirectory { path: parent });
        }
        Err(error) => return Err(OpenError::Unusable { path, doing: "looking at", error }),
    }
    match fs::create_dir(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = directory.parent().unwrap_or(directory).to_owned();
            Err(OpenError::NoParent { path, parent })
        }
        Err(error) => Err(OpenError::Unusable { path, doing: "creating", error }),
    }
}

/// The lock of this process on the directory: the one that it has, if that is still the one in the directory.
fn lock(directory: &Path, state: &Mutex<FileState>) -> Result<Owner, OpenError> {
    let path = directory.join(LOCK);
    let failed = |error| OpenError::Unusable { path: path.clone(), doing: "opening", error };
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(held) = &state.lock
        && is_same(&held.metadata().map_err(failed)?, &file.metadata().map_err(failed)?)
    {
        return Ok(Arc::clone(held));
    }
    let mut tries = 0..LOCK_TRIES;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tries.next().is_some() => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: directory.to_owned() }),
            Err(TryLockError::Error(error)) => {
                return Err(OpenError::Unusable { path, doing: "locking", error });
            }
        }
    }
    let lock = Arc::new(file);
    state.lock = Some(Arc::clone(&lock));
    Ok(lock)
}

fn is_same(one: &Metadata, two: &Metadata) -> bool {
    (one.dev(), one.ino()) == (two.dev(), two.ino())
}

/// A log of layout 1 has no description in front, but its first segment.
fn refuse_earlier(directory: &Path, file: &File) -> io::Result<Result<(), OpenError>> {
    let mut magic = [0; EARLIER_MAGIC.len()];
    let read = file.read_at(&mut magic, 0)?;
    if read == magic.len() && magic == EARLIER_MAGIC {
        let (path, found) = (directory.to_owned(), LOG.to_owned());
        return Ok(Err(OpenError::EarlierLayout { path, found }));
    }
    Ok(Ok(()))
}

/// The id as bytes. One that is written in another way than today is told from others all the same.
fn boot_id(text: &str) -> BootId {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id =
        u128::from_str_radix(&digits, 16).unwrap_or_else(|_| u128::from(crc32fast::hash(text.as_bytes())));
    BootId(id.to_be_bytes())
}

/// A file of the local disk.
#[derive(Debug)]
pub struct FileDevice {
    file: Arc<File>,
    path: PathBuf,
    now: Now,
    way: Way,
    /// The lock on the directory.
    owner: Owner,
}

#[derive(Debug)]
enum Way {
    Ring(Ring),
    Pool,
}

impl Device for FileDevice {
    async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        match &self.way {
            Way::Ring(ring) => ring.read(offset, length).await,
            Way::Pool => pool::read(self.held(), offset, length).await,
        }
    }

    async fn write(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        match &self.way {
            Way::Ring(ring) => ring.write(offset, bytes).await,
            Way::Pool => pool::write(self.held(), offset, bytes).await,
        }
    }

    async fn sync(&self) -> io::Result<()> {
        match &self.way {
            Way::Ring(ring) => ring.sync().await,
            Way::Pool => pool::sync(self.held()).await,
        }
    }

    fn try_read_now(&self, offset: u64, length: usize) -> Option<Bytes> {
        self.now.read(&self.file, offset, length)
    }

    async fn resize(&self, bytes: u64) -> io::Result<()> {
        let file = self.held();
        pool::blocking(move || resize(&file.file, bytes)).await
    }

    async fn probe(&self) -> io::Result<()> {
        let file = self.held();
        let path = self.path.clone();
        pool::blocking(move || {
            let is_ours = is_same(&fs::metadata(path)?, &file.file.metadata()?);
            let gone = || io::Error::new(io::ErrorKind::NotFound, "another file has taken its place");
            is_ours.then_some(()).ok_or_else(gone)
        })
        .await
    }
}

/// The file, and the lock that no operation outlives.
#[derive(Debug)]
pub(super) struct HeldFile {
    pub(super) file: Arc<File>,
    _owner: Owner,
}

impl FileDevice {
    fn held(&self) -> HeldFile {
        HeldFile { file: Arc::clone(&self.file), _owner: Arc::clone(&self.owner) }
    }
}

/// Gives the file exactly this size, and all of it a place on the disk. A disk that has not so much room is
/// left as it is.
fn resize(file: &File, bytes: u64) -> io::Result<()> {
    let found = file.metadata()?;
    if found.len() > bytes {
        file.set_len(bytes)?;
    }
    let has = found.blocks().saturating_mul(STAT_BLOCK_BYTES).min(bytes);
    let disk = fstatvfs(file)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < bytes - has {
        let why = format!("the disk has {free} bytes left, and {} more are needed", bytes - has);
        return Err(io::Error::new(io::ErrorKind::StorageFull, why));
    }
    fallocate(file, FallocateFlags::empty(), 0, bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests;
