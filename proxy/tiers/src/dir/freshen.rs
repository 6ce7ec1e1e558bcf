//! The head that was put beside a record, and counts instead of the one in its file.

use super::{HEAD_SUFFIX, INCOMING, Shared, failed, sync_directory};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{PoisonError, atomic::Ordering},
};
use tiergate_driver::TierError;
use tiergate_engine::{Freshening, Record, RecordName, format};

/// Puts a new head beside its record, if the record is there and not younger. Waits for the disk.
pub(super) fn freshen(shared: &Shared, record: &Record) -> Result<Freshening, TierError> {
    if let Some(refused) = refusal(shared, record)? {
        return Ok(refused);
    }
    // Two freshenings of one record may be under way: each has a file of its own until it is renamed.
    let number = shared.sequence.fetch_add(1, Ordering::Relaxed);
    let incoming = shared.root.join(INCOMING).join(format!("{:032x}.{number}{HEAD_SUFFIX}", record.name.0));
    let done = write(&incoming, record).and_then(|()| publish(shared, record, &incoming));
    if !matches!(done, Ok(Freshening::Done)) {
        // If this fails, the next start does it.
        drop(fs::remove_file(&incoming));
    }
    done
}

fn write(incoming: &Path, record: &Record) -> Result<(), TierError> {
    let written = File::options().write(true).create_new(true).open(incoming).and_then(|mut file| {
        file.write_all(&format::encode(record))?;
        file.sync_all()
    });
    written.map_err(|error| failed("freshening", incoming, error))
}

fn publish(shared: &Shared, record: &Record, incoming: &Path) -> Result<Freshening, TierError> {
    let head = shared.head(record.name);
    {
        let _turn = shared.heads.lock().unwrap_or_else(PoisonError::into_inner);
        // A delete or a younger head may have come while this one was written.
        if let Some(refused) = refusal(shared, record)? {
            return Ok(refused);
        }
        fs::rename(incoming, &head).map_err(|error| failed("freshening", &head, error))?;
    }
    sync_directory(&shared.leaf(record.name)).map_err(|error| failed("freshening", &head, error))?;
    Ok(Freshening::Done)
}

/// Why a head is not put beside its record, if it is not.
fn refusal(shared: &Shared, record: &Record) -> Result<Option<Freshening>, TierError> {
    let Some(stored) = shared.find(record.stored_key(), record.name)? else {
        return Ok(Some(Freshening::Absent));
    };
    if stored.record.length != record.length {
        return Err(failed("freshening", &shared.record(record.name), "the new head is of another body"));
    }
    let is_younger = stored.record.freshness.born() > record.freshness.born();
    Ok(is_younger.then_some(Freshening::Overtaken))
}

impl Shared {
    /// Where the head lies that was put beside a record.
    pub(super) fn head(&self, name: RecordName) -> PathBuf {
        self.leaf(name).join(format!("{:032x}{HEAD_SUFFIX}", name.0))
    }

    /// The record as it was last freshened. A head that cannot be read, or is of something else, does not count: the
    /// record's own is older, and as true as it was.
    pub(super) fn freshest(&self, stored: Record) -> Result<Record, TierError> {
        let path = self.head(stored.name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stored),
            Err(error) => return Err(failed("reading", &path, error)),
        };
        let is_of =
            |head: &Record| (head.key, head.name, head.length) == (stored.key, stored.name, stored.length);
        Ok(format::decode(&bytes).ok().filter(is_of).unwrap_or(stored))
    }
}
