//! Writes on their way to the device. What lies side by side and waits goes as one write.
//!
//! The store hands out each block of a log as a write of its own, and the blocks of an open segment lie side
//! by side. A few writers take them from here ([`Writes::next`]), so that while these are busy, small blocks
//! gather. Nobody waits in order to gather more. To the store they stay what they were: each is answered, and
//! the store orders no two writes that are under way, so a crash may keep, lose or tear each of them as
//! before (`docs/format.md`).

use bytes::Bytes;
use std::collections::VecDeque;
use tiergate_engine::store::{Blocks, Io};

/// Writers at a time: while one waits for the device, another one hashes and copies.
const WRITERS_MAX: usize = 2;
/// The bytes of a joined write at most. Joining copies once more, which is worth it for small blocks alone.
const JOINED_BYTES_MAX: u64 = 128 << 10;
/// How many waiting writes are looked at for one that lies behind the last. Two streams are written in turn,
/// so it is near.
const LOOKED_AT_MAX: usize = 64;

/// One write of the store's.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) io: Io,
    /// Where on the device.
    pub(super) at: u64,
    pub(super) blocks: Blocks,
}

impl Write {
    fn end(&self) -> u64 {
        self.at + self.blocks.len()
    }
}

/// Those that wait, in the order in which the store asked for them, and how many writers there are.
#[derive(Debug, Default)]
pub(super) struct Writes {
    waiting: VecDeque<Write>,
    writers: usize,
}

/// Does a write need a new writer?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// Start one, which calls [`Writes::next`] until there is nothing.
    Needed,
    /// Those that are there will come to it.
    Busy,
}

impl Writes {
    pub(super) fn push(&mut self, write: Write) -> Writer {
        self.waiting.push_back(write);
        if self.writers == WRITERS_MAX {
            return Writer::Busy;
        }
        self.writers += 1;
        Writer::Needed
    }

    /// What a writer is to write now: writes that lie side by side. Nothing ends that writer.
    pub(super) fn next(&mut self) -> Option<Vec<Write>> {
        let Some(first) = self.waiting.pop_front() else {
            self.writers -= 1;
            return None;
        };
        let (mut end, mut left) = (first.end(), JOINED_BYTES_MAX.saturating_sub(first.blocks.len()));
        let mut joined = vec![first];
        let mut place = 0;
        while place < self.waiting.len().min(LOOKED_AT_MAX) {
            let write = &self.waiting[place];
            if write.at != end || write.blocks.len() > left {
                place += 1;
                continue;
            }
            end = write.end();
            left -= write.blocks.len();
            joined.extend(self.waiting.remove(place));
        }
        Some(joined)
    }
}

/// The bytes of writes that lie side by side. Hashes and copies, so it is called without a lock.
pub(super) fn seal(writes: &[Write]) -> Bytes {
    if let [write] = writes {
        return write.blocks.seal();
    }
    let sealed: Vec<Bytes> = writes.iter().map(|write| write.blocks.seal()).collect();
    sealed.concat().into()
}
