//! The part of an arriving body that is held in memory for its readers.

use crate::language::chunk::Chunk;
use alloc::{collections::VecDeque, sync::Arc};
use core::sync::atomic::{AtomicU64, Ordering};

/// What all windows of an engine hold: each counts in it for as long as it lives. An engine is one thread's
/// at a time, so no order of memory is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct WindowBytes(Arc<AtomicU64>);

impl WindowBytes {
    /// Bytes that are held.
    pub(super) fn held(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Chunks from `base` to `end`, in order and without gaps.
#[derive(Debug)]
pub(super) struct Window<C> {
    /// All but the newest.
    older: VecDeque<(u64, C)>,
    /// Beside the others, for most small bodies have no other.
    newest: Option<(u64, C)>,
    base: u64,
    end: u64,
    all: WindowBytes,
}

impl<C> Drop for Window<C> {
    fn drop(&mut self) {
        self.all.take(self.end - self.base);
    }
}

impl<C: Chunk> Window<C> {
    /// An empty one, which counts in `all`.
    pub(super) const fn new(all: WindowBytes) -> Self {
        Self { older: VecDeque::new(), newest: None, base: 0, end: 0, all }
    }

    /// What all windows hold together.
    pub(super) fn held_by_all(&self) -> u64 {
        self.all.held()
    }

    /// The first byte still here.
    pub(super) const fn base(&self) -> u64 {
        self.base
    }

    /// How many bytes have come in all.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Bytes held.
    pub(super) const fn held(&self) -> u64 {
        self.end - self.base
    }

    /// Bytes held without those of the last chunk.
    pub(super) fn held_before_last(&self) -> u64 {
        self.newest.as_ref().map_or(0, |(start, _)| start.saturating_sub(self.base))
    }

    pub(super) fn push(&mut self, chunk: C) {
        let size = chunk.size();
        self.older.extend(self.newest.replace((self.end, chunk)));
        self.end = self.end.saturating_add(size);
        self.all.add(size);
    }

    /// The bytes from `position` on, as far as one chunk reaches. `None` before the base and at the end.
    pub(super) fn at(&self, position: u64) -> Option<C> {
        if position < self.base || position >= self.end {
            return None;
        }
        let (start, chunk) = match &self.newest {
            Some(newest) if newest.0 <= position => newest,
            Some(_) | None => &self.older[self.older.partition_point(|(start, _)| *start <= position) - 1],
        };
        let skip = position - start;
        Some(if skip == 0 { chunk.clone() } else { chunk.skip(skip) })
    }

    /// Lets go of the oldest chunk, if it ends at or before `limit`.
    pub(super) fn pop_oldest(&mut self, limit: u64) -> bool {
        let oldest = self.older.front().or(self.newest.as_ref());
        let Some(end) = oldest.map(|(start, chunk)| start.saturating_add(chunk.size())) else { return false };
        if end > limit {
            return false;
        }
        self.all.take(end - self.base);
        self.base = end;
        if self.older.pop_front().is_none() {
            self.newest = None;
        }
        true
    }
}
