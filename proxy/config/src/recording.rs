//! The `recording` section: what one shard decides, written down to be lived again.

use super::error::Problem;
use serde::Deserialize;
use std::{num::NonZeroU32, path::PathBuf};
use tiergate_engine::ByteCount;

/// The least that holds a header and a few requests.
const SIZE_MIN: ByteCount = ByteCount::kib(64);

/// `recording`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRecording {
    /// The file that is written. What is there already is kept beside it, with `.old` behind its name.
    pub file: PathBuf,
    /// The shard that is recorded, from 0. Default 0; below `shards`.
    #[serde(default)]
    pub shard: u32,
    /// Where the recording ends. Default 64MiB; at least 64KiB.
    #[serde(default = "size_max_default")]
    pub size_max: ByteCount,
}

fn size_max_default() -> ByteCount {
    ByteCount::mib(64)
}

/// What is recorded.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The file that is written.
    pub file: PathBuf,
    /// The shard that is recorded, from 0.
    pub shard: u32,
    /// Bytes.
    pub size_max: ByteCount,
}

impl RawRecording {
    pub(super) fn check(self, shards: NonZeroU32) -> Result<Recording, Problem> {
        let Self { file, shard, size_max } = self;
        if file.as_os_str().is_empty() {
            return Err(Problem::value("recording.file", "empty", "a file, such as tiergate.recording"));
        }
        if shard >= shards.get() {
            let bound = format!("below `shards`, which is {shards}");
            return Err(Problem::value("recording.shard", shard, &bound));
        }
        if size_max < SIZE_MIN {
            return Err(Problem::value("recording.size_max", size_max, "at least 64KiB"));
        }
        Ok(Recording { file, shard, size_max })
    }
}
