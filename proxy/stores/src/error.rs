//! Why a store cannot be opened, or did not do something, and what to do about it.

use std::{fmt, io, path::Path, path::PathBuf};
use tiergate_driver::{StoreError, TierError};

/// A store on the disk cannot be used. Nothing that was there is changed when one of these is returned.
#[derive(Debug)]
pub enum OpenError {
    /// The folder above it does not exist. Create that, or choose another path.
    NoParent {
        /// The store's path.
        path: PathBuf,
        /// What does not exist.
        parent: PathBuf,
    },
    /// It is something else. Choose another path.
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What it must be.
        wanted: &'static str,
    },
    /// Another process uses it, or this one uses it already. Stop that one, or choose another path.
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something is there that this store has not made. Choose another path, or move that away.
    Foreign {
        /// The path.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// Another release left its store there. Start that release, or choose another path.
    OtherLayout {
        /// The path.
        path: PathBuf,
        /// What the store there says of its layout.
        found: String,
        /// The one that this release reads.
        known: u64,
    },
    /// It cannot be read any more. Restore it, or move it away and begin with an empty one.
    Damaged {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The system does not let us do that. Its error says why.
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// Another release's tables are in the database. Start that release, or name another database.
    OtherTables {
        /// Where it is, and its name.
        database: String,
        /// The layout that is written there.
        found: i64,
        /// The one that this release reads.
        known: i64,
    },
}

impl OpenError {
    /// For `map_err`.
    pub(crate) fn unusable(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Unusable { path: path.to_owned(), doing, error }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoParent { path, parent } => {
                let (path, parent) = (path.display(), parent.display());
                write!(f, "{path}: {parent} does not exist: create it, or choose another path")
            }
            Self::WrongKind { path, wanted } => {
                write!(f, "{}: is no {wanted}: choose another path", path.display())
            }
            Self::InUse { path } => {
                let path = path.display();
                write!(f, "{path}: is in use: stop the process that uses it, or choose another path")
            }
            Self::Foreign { path, found } => {
                let path = path.display();
                write!(
                    f,
                    "{path}: holds {found}, which is no part of a store: move it away, or choose another path"
                )
            }
            Self::OtherLayout { path, found, known } => {
                let path = path.display();
                write!(
                    f,
                    "{path}: has layout {found}, and this release reads {known}: start the release that made \
                     it, or choose another path"
                )
            }
            Self::Damaged { path, why } => {
                let path = path.display();
                write!(
                    f,
                    "{path}: cannot be read ({why}): restore it, or move it away to begin with an empty one"
                )
            }
            Self::Unusable { path, doing, error } => {
                write!(f, "{}: {doing} failed: {error}: {}", path.display(), advice(error))
            }
            Self::OtherTables { database, found, known } => {
                write!(
                    f,
                    "{database}: its tables have layout {found}, and this release reads {known}: start the release \
                     that made them, or name another database"
                )
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// For `map_err`: the disk did not do what was asked of it.
pub(crate) fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |error| TierError::Failed(format!("{}: {doing} failed: {error}: {}", path.display(), advice(&error)))
}

/// What to do about an error of the system.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on its disk",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "let the user of this process write there"
        }
        io::ErrorKind::NotFound => "see whether somebody moved or removed it, and start again",
        _ => "look for errors of its disk in the log of the system",
    }
}
