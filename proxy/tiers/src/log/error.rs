//! Why a log cannot be used, and what to do about it. Nothing is changed on the disk when one of these is
//! returned.

use std::{fmt, io, path::PathBuf};

/// A directory, or a device, cannot be used as a log. Its text goes behind the name of the key that
/// [`about`](OpenError::about) says.
#[derive(Debug)]
pub enum OpenError {
    /// Its parent does not exist. Create that, or choose another directory.
    NoParent {
        /// The directory.
        path: PathBuf,
        /// What does not exist.
        parent: PathBuf,
    },
    /// It is a file, or something else. Choose another directory.
    NotADirectory {
        /// What is none.
        path: PathBuf,
    },
    /// Another process uses it. Stop that one, or choose another directory.
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The system does not let us do that there. Its error says why.
    Unusable {
        /// The directory or file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// A log does not work on a file system of this kind. Choose another directory.
    FileSystem {
        /// The directory.
        path: PathBuf,
        /// The kind of its file system.
        kind: String,
        /// What it lacks.
        lacks: &'static str,
    },
    /// An earlier release left something there. Remove it, or choose another directory.
    EarlierLayout {
        /// The directory.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// A later release left a log there. Use that release, or choose another directory.
    LaterLayout {
        /// Where the log lies.
        name: String,
        /// Its layout.
        version: u32,
        /// Ours.
        known: u32,
    },
    /// Something is there that is no log, or one whose description is damaged. Remove it, or choose another
    /// directory.
    NoLog {
        /// Where it lies.
        name: String,
    },
    /// The log there was cut up in a way that this capacity does not allow.
    Geometry {
        /// Where the log lies.
        name: String,
        /// The capacity asked for, of this one directory.
        capacity: u64,
        /// What the log has.
        has: String,
        /// What would be right.
        bound: String,
    },
    /// The capacity is out of bounds, whatever is there.
    Capacity {
        /// The capacity asked for, of this one directory.
        capacity: u64,
        /// What it must be.
        bound: String,
    },
    /// The disk has not so much room.
    NoRoom {
        /// Where the log is to lie.
        name: String,
        /// The capacity asked for, of this one directory.
        capacity: u64,
        /// How much there is.
        error: io::Error,
    },
    /// io_uring was asked for by name, and is refused here. Its error says why.
    NoIoUring {
        /// The system's reason.
        error: io::Error,
    },
    /// The device failed.
    Device {
        /// Where the log lies.
        name: String,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        error: io::Error,
    },
}

/// What an operator changes to be rid of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The directory's name, or what is in it.
    Directory,
    /// How much it may hold.
    Capacity,
    /// How the disk is asked.
    Io,
}

impl OpenError {
    /// What to change.
    pub fn about(&self) -> About {
        match self {
            Self::NoParent { .. }
            | Self::NotADirectory { .. }
            | Self::InUse { .. }
            | Self::Unusable { .. }
            | Self::FileSystem { .. }
            | Self::EarlierLayout { .. }
            | Self::LaterLayout { .. }
            | Self::NoLog { .. }
            | Self::Device { .. } => About::Directory,
            Self::Geometry { .. } | Self::Capacity { .. } | Self::NoRoom { .. } => About::Capacity,
            Self::NoIoUring { .. } => About::Io,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoParent { path, parent } => write!(
                f,
                "is {}, but {} does not exist: create it, or choose another directory",
                path.display(),
                parent.display()
            ),
            Self::NotADirectory { path } => write!(
                f,
                "is {}, but that is not a directory: remove it, or choose another directory",
                path.display()
            ),
            Self::InUse { path } => write!(
                f,
                "is {}, but that is in use by another process: stop that process, or choose another directory",
                path.display()
            ),
            Self::Unusable { path, doing, error } => write!(
                f,
                "must let this user read and write, but {doing} {} failed ({error}): change its owner or its mode, or \
                 choose another directory",
                path.display()
            ),
            Self::FileSystem { path, kind, lacks } => write!(
                f,
                "is {}, but the file system there ({kind}) {lacks}: choose a directory on a local disk, such as ext4 or xfs",
                path.display()
            ),
            Self::EarlierLayout { path, found } => write!(
                f,
                "is {}, but an earlier release left `{found}` there, which this one does not read: remove what is in the \
                 directory to start empty, or choose another directory",
                path.display()
            ),
            Self::LaterLayout { name, version, known } => write!(
                f,
                "is {name}, but the log there has layout {version}, and this release reads layout {known}: run the release \
                 that wrote it, or remove the file `log` to start empty"
            ),
            Self::NoLog { name } => write!(
                f,
                "is {name}, but the file `log` there is not a log, or its description is damaged: remove it to start empty, \
                 or choose another directory"
            ),
            Self::Geometry { name, capacity, has, bound } => write!(
                f,
                "is {capacity} bytes for {name}, but the log there has {has}: make it {bound}, or remove the file `log` to \
                 start empty"
            ),
            Self::Capacity { capacity, bound } => {
                write!(f, "is {capacity} bytes for each directory, but must be {bound}")
            }
            Self::NoRoom { name, capacity, error } => {
                write!(f, "is {capacity} bytes for {name}, but {error}: lower it, or make room")
            }
            Self::NoIoUring { error } => write!(
                f,
                "is io_uring, but the system refuses it ({error}): allow it (kernel.io_uring_disabled, seccomp, locked \
                 memory), or make it `auto` or `pool`"
            ),
            Self::Device { name, doing, error } => {
                write!(f, "is {name}, but {doing} failed: {error}")
            }
        }
    }
}

impl std::error::Error for OpenError {}
