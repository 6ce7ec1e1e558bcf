//! Reading what the page cache holds, on the caller's own thread: `preadv2` with `RWF_NOWAIT`.
//!
//! A copy out of the page cache costs less than telling another thread about it, up to a size at which it
//! holds up the other tasks of the caller's thread.

use super::buffers::Buffer;
use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::{
    fs::File,
    io::IoSliceMut,
    sync::atomic::{AtomicBool, Ordering},
};

/// The longest read that is tried: two blocks of a body, which is the longest first read of a record. A copy
/// of that length takes about 50 µs.
pub(super) const NOW_BYTES_MAX: usize = 512 << 10;

/// Does the system do it at all? Not every file system does.
#[derive(Debug)]
pub(super) struct Now {
    works: AtomicBool,
}

impl Now {
    pub(super) fn new(wanted: Inline) -> Self {
        let works = match wanted {
            Inline::Tried => true,
            Inline::Never => false,
        };
        Self { works: AtomicBool::new(works) }
    }

    /// All `length` bytes from `offset` on, if they are in memory.
    pub(super) fn read(&self, file: &File, offset: u64, length: usize) -> Option<Bytes> {
        if length > NOW_BYTES_MAX || !self.works.load(Ordering::Relaxed) {
            return None;
        }
        let mut buffer = Buffer::new(length);
        match preadv2(file, &mut [IoSliceMut::new(buffer.as_mut())], offset, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == length => Some(buffer.freeze()),
            // A part of it is, or a signal came: whoever may wait reads it all.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => None,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.works.store(false, Ordering::Relaxed);
                None
            }
            // Whoever may wait meets it again, and reports it.
            Err(_) => None,
        }
    }
}

/// Are reads tried on the caller's thread first?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inline {
    /// Yes, where the system can say whether it would wait.
    Tried,
    /// No: each goes another way. For tests and measurements.
    Never,
}
