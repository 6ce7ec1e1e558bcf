//! Which file is where in a directory of blobs, and what is done to names alone: opening, listing, deleting.

use crate::{OpenError, error::failed};
use std::{
    collections::BinaryHeap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};
use tiergate_driver::StoreError;
use tiergate_engine::{CacheKey, RecordName, durable::BlobName};

/// Raised with every change of the layout.
const LAYOUT: u64 = 1;
const ABOUT: &str = "tiergate blobs, layout ";

const LOCK: &str = "lock";
const LAYOUT_FILE: &str = "layout";
const LAYOUT_NEW: &str = "layout.new";
const UPLOADS: &str = "uploads";
const BLOBS: &str = "blobs";
/// What a directory may hold before its layout is written. The last is what some file systems put there.
const OURS: [&str; 5] = [LOCK, LAYOUT_NEW, UPLOADS, BLOBS, "lost+found"];

/// A process that is ending may hold the lock a little longer, until the disk has answered it.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A directory that is open, and locked while this lives.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    /// Counts uploads, to name their files: the folder was empty when it was opened.
    uploads: AtomicU64,
    _lock: File,
}

impl Layout {
    pub(super) fn open(root: PathBuf) -> Result<Self, OpenError> {
        make_root(&root)?;
        let is_new = look(&root)?;
        let lock = lock(&root)?;
        make_folder(&root.join(UPLOADS))?;
        make_folder(&root.join(BLOBS))?;
        for byte in 0..=u8::MAX {
            make_folder(&root.join(BLOBS).join(format!("{byte:02x}")))?;
        }
        sync_folder(&root.join(BLOBS)).map_err(OpenError::unusable(&root, "syncing its folders"))?;
        remove_uploads(&root.join(UPLOADS))?;
        if is_new {
            write_layout(&root).map_err(OpenError::unusable(&root, "writing its layout"))?;
        }
        Ok(Self { root, uploads: AtomicU64::new(0), _lock: lock })
    }

    pub(super) fn folder_of(&self, key: CacheKey) -> PathBuf {
        self.folder((key.0 >> 120) as u8)
    }

    fn folder(&self, first_byte: u8) -> PathBuf {
        self.root.join(BLOBS).join(format!("{first_byte:02x}"))
    }

    pub(super) fn path_of(&self, blob: BlobName) -> PathBuf {
        self.folder_of(blob.key).join(format!("{:032x}-{:032x}", blob.key.0, blob.name.0))
    }

    pub(super) fn uploads_folder(&self) -> PathBuf {
        self.root.join(UPLOADS)
    }

    /// A path that no other upload has.
    pub(super) fn upload_path(&self) -> PathBuf {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        self.uploads_folder().join(format!("{number:016x}"))
    }

    pub(super) fn delete(&self, blob: BlobName) -> Result<(), StoreError> {
        let path = self.path_of(blob);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && super::folder_exists(&path) => {}
            other => other.map_err(failed(&path, "deleting a blob"))?,
        }
        // Also for one that is not there: an earlier removal may not have reached the disk.
        let folder = self.folder_of(blob.key);
        sync_folder(&folder).map_err(failed(&folder, "syncing the folder of a deleted blob"))
    }

    /// At most `max` blobs behind `after`. A folder that has more than fit is read again for the next page.
    pub(super) fn list(&self, after: Option<BlobName>, max: usize) -> Result<Vec<BlobName>, StoreError> {
        let first = after.map_or(0, |after| (after.key.0 >> 120) as u8);
        let mut listed = Vec::new();
        for byte in first..=u8::MAX {
            let folder = self.folder(byte);
            let found = smallest(&folder, after, max - listed.len());
            listed.extend(found.map_err(failed(&folder, "listing blobs"))?);
            if listed.len() == max {
                break;
            }
        }
        Ok(listed)
    }
}

/// The smallest `max` blobs of a folder behind `after`, in order.
fn smallest(folder: &Path, after: Option<BlobName>, max: usize) -> io::Result<Vec<BlobName>> {
    let mut heap = BinaryHeap::new();
    for entry in fs::read_dir(folder)? {
        // What somebody else put there is none of ours, and is left alone.
        let Some(blob) = entry?.file_name().to_str().and_then(parse) else { continue };
        if Some(blob) <= after {
            continue;
        }
        heap.push((blob.key, blob.name));
        if max < heap.len() {
            heap.pop();
        }
    }
    Ok(heap.into_sorted_vec().into_iter().map(|(key, name)| BlobName { key, name }).collect())
}

fn parse(file: &str) -> Option<BlobName> {
    let (key, name) = file.split_once('-')?;
    let number = |hex: &str| {
        let is_ours = hex.len() == 32 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_ours.then(|| u128::from_str_radix(hex, 16).ok()).flatten()
    };
    Some(BlobName { key: CacheKey(number(key)?), name: RecordName(number(name)?) })
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file that is new, for writing.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn make_root(root: &Path) -> Result<(), OpenError> {
    match fs::metadata(root) {
        Ok(about) if about.is_dir() => return Ok(()),
        Ok(_) => return Err(OpenError::WrongKind { path: root.to_owned(), wanted: "directory" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(OpenError::unusable(root, "looking at the directory")(error)),
    }
    let parent = match root.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        return Err(OpenError::NoParent { path: root.to_owned(), parent: parent.to_owned() });
    }
    make_folder(root)?;
    sync_folder(parent).map_err(OpenError::unusable(parent, "syncing the folder above a new directory"))
}

/// Says whether the directory is yet to be made ours.
fn look(root: &Path) -> Result<bool, OpenError> {
    match fs::read_to_string(root.join(LAYOUT_FILE)) {
        Ok(text) => match text.trim_end().strip_prefix(ABOUT) {
            Some(found) if found == LAYOUT.to_string() => Ok(false),
            Some(found) => {
                Err(OpenError::OtherLayout { path: root.to_owned(), found: found.to_owned(), known: LAYOUT })
            }
            None => Err(foreign(root, LAYOUT_FILE)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let doing = "listing the directory";
            for entry in fs::read_dir(root).map_err(OpenError::unusable(root, doing))? {
                let name = entry.map_err(OpenError::unusable(root, doing))?.file_name();
                if !OURS.iter().any(|ours| name == *ours) {
                    return Err(foreign(root, &name.to_string_lossy()));
                }
            }
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(foreign(root, LAYOUT_FILE)),
        Err(error) => Err(OpenError::unusable(root, "reading its layout")(error)),
    }
}

fn foreign(root: &Path, found: &str) -> OpenError {
    OpenError::Foreign { path: root.to_owned(), found: format!("`{found}`") }
}

fn lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(OpenError::unusable(&path, "opening the lock"))?;
    for _ in 1..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(OpenError::unusable(&path, "locking")(error)),
        }
    }
    Err(OpenError::InUse { path: root.to_owned() })
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other.map_err(OpenError::unusable(path, "creating the folder")),
    }
}

fn remove_uploads(folder: &Path) -> Result<(), OpenError> {
    let doing = "removing what uploads left";
    for entry in fs::read_dir(folder).map_err(OpenError::unusable(folder, doing))? {
        let path = entry.map_err(OpenError::unusable(folder, doing))?.path();
        fs::remove_file(&path).map_err(OpenError::unusable(&path, doing))?;
    }
    Ok(())
}

fn write_layout(root: &Path) -> io::Result<()> {
    let new = root.join(LAYOUT_NEW);
    let mut file = File::create(&new)?;
    file.write_all(format!("{ABOUT}{LAYOUT}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, root.join(LAYOUT_FILE))?;
    sync_folder(root)
}
