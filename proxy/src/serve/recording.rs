//! The file of a recording.

use super::StartError;
use crate::{config::Recording, world::NewRecording};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
};

/// Makes the file, readable to nobody else: requests have credentials in them. An earlier recording may hold
/// what somebody waits for, so it is kept as `.old`, in place of one before.
pub(super) fn create(recording: &Recording) -> Result<NewRecording, StartError> {
    let Recording { file: path, shard, size_max } = recording;
    let failed = |error| StartError::Recording { file: path.clone(), error };
    let mut old = path.clone().into_os_string();
    old.push(".old");
    match fs::rename(path, old) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    Ok(NewRecording { file, shard: *shard, size_max: *size_max })
}
