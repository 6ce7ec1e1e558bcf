//! Who reads a stream, and where each of them is.

use crate::id::RequestId;
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// Readers by their positions: the slowest is found at once, however many there are.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    positions: BTreeMap<RequestId, u64>,
    by_position: BTreeSet<(u64, RequestId)>,
}

impl Followers {
    /// Takes in a reader, at the first byte.
    pub(crate) fn insert(&mut self, request: RequestId) {
        self.positions.insert(request, 0);
        self.by_position.insert((0, request));
    }

    pub(crate) fn remove(&mut self, request: RequestId) {
        if let Some(position) = self.positions.remove(&request) {
            self.by_position.remove(&(position, request));
        }
    }

    /// A reader was handed everything before `position`.
    pub(crate) fn move_to(&mut self, request: RequestId, position: u64) {
        if let Some(before) = self.positions.insert(request, position) {
            self.by_position.remove(&(before, request));
        }
        self.by_position.insert((position, request));
    }

    /// Where the slowest reader is.
    pub(crate) fn slowest(&self) -> Option<u64> {
        self.by_position.first().map(|(position, _)| *position)
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// All of them, in the order in which they asked.
    pub(crate) fn all(&self) -> Vec<RequestId> {
        self.positions.keys().copied().collect()
    }
}
