//! What a start finds in the directory, and what it does with it.
//!
//! Deleted: everything in `incoming`, every file that is no whole record of its name, and every record that a later one
//! of its key superseded, and the heads that were put beside any of these. When the system cannot read a file, recovery fails and says which: an unreadable file is not
//! the same as a torn one (failure R12). Bodies are not read; rot in them is found by their readers.

use super::{INCOMING, RECORDS, Shared, failed, file, file::FileError, sync_directory};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};
use tiergate_driver::TierError;
use tiergate_engine::{Record, StoredKey};

/// The whole records that an earlier process left, one for each key, oldest first.
pub(super) fn recover(shared: &Shared) -> Result<Vec<Record>, TierError> {
    let mut unwanted = entries(&shared.root.join(INCOMING))?;
    let mut heads = Vec::new();
    let mut newest: BTreeMap<StoredKey, (u64, Record)> = BTreeMap::new();
    for outer in entries(&shared.root.join(RECORDS))? {
        for leaf in entries(&outer)? {
            for path in entries(&leaf)? {
                if path.extension().is_some_and(|extension| extension == "head") {
                    heads.push(path);
                    continue;
                }
                match examine(shared, &path)? {
                    None => unwanted.push(path),
                    Some((sequence, record)) => match newest.get(&record.stored_key()) {
                        Some((newer, _)) if *newer > sequence => unwanted.push(path),
                        Some(_) | None => {
                            let superseded = newest.insert(record.stored_key(), (sequence, record));
                            unwanted.extend(superseded.map(|(_, older)| shared.record(older.name)));
                        }
                    },
                }
            }
        }
    }
    let kept: BTreeSet<PathBuf> = newest.values().map(|(_, record)| shared.head(record.name)).collect();
    unwanted.extend(heads.into_iter().filter(|head| !kept.contains(head)));
    delete(&unwanted)?;

    let mut records: Vec<(u64, Record)> = newest.into_values().collect();
    records.sort_by_key(|(sequence, _)| *sequence);
    if let Some((last, _)) = records.last() {
        shared.sequence.fetch_max(last.saturating_add(1), Ordering::Relaxed);
    }
    let mut open = shared.open();
    for (_, record) in &records {
        open.names.insert(record.stored_key(), vec![record.name]);
    }
    Ok(records.into_iter().map(|(_, record)| record).collect())
}

/// The record in a file, if it is a whole one and the file is where a lookup would search for it.
fn examine(shared: &Shared, path: &Path) -> Result<Option<(u64, Record)>, TierError> {
    let is_file = path.symlink_metadata().map_err(|error| failed("recovering", path, error))?.is_file();
    if !is_file {
        return Err(failed("recovering", path, "it is no file, so it is not ours: remove it"));
    }
    let file = File::open(path).map_err(|error| failed("recovering", path, error))?;
    match file::read(file) {
        Ok(contents) if shared.record(contents.record.name) == path => {
            Ok(Some((contents.sequence, shared.freshest(contents.record)?)))
        }
        Ok(_) => Ok(None),
        Err(FileError::Io(error)) => Err(failed("recovering", path, error)),
        Err(
            FileError::Length
            | FileError::Footer
            | FileError::Record(_)
            | FileError::BodyLength
            | FileError::Block(..)
            | FileError::Offset(_),
        ) => Ok(None),
    }
}

/// The paths in a directory, in the order of their names: the system's own order is no order.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, TierError> {
    let mut paths = fs::read_dir(directory)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        })
        .map_err(|error| failed("recovering", directory, error))?;
    paths.sort();
    Ok(paths)
}

/// Deletes files for good: a superseded record that came back after the newer one was purged would be served.
fn delete(paths: &[PathBuf]) -> Result<(), TierError> {
    let mut directories = BTreeSet::new();
    for path in paths {
        fs::remove_file(path).map_err(|error| failed("recovering", path, error))?;
        directories.extend(path.parent());
    }
    for directory in directories {
        sync_directory(directory).map_err(|error| failed("recovering", directory, error))?;
    }
    Ok(())
}
