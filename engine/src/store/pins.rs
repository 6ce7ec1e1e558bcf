//! Who has bytes open, and where they lie: what a reclaim must move though no object needs it any more.

use super::{
    block::Position,
    content::Extent,
    io::{Reader, Source, Writer},
};
use crate::language::key::StoredKey;
use alloc::{collections::BTreeSet, vec::Vec};

/// Open readers and writers by the segments in which pieces of theirs lie.
#[derive(Debug, Default)]
pub(super) struct Pins(BTreeSet<(u64, StoredKey, Source)>);

/// The first and the last source.
const FIRST: Source = Source::Reader(Reader(0));
const LAST: Source = Source::Writer(Writer(u64::MAX));

impl Pins {
    pub(super) fn pin(&mut self, at: Position, key: StoredKey, source: Source) {
        self.0.insert((at.sequence, key, source));
    }

    pub(super) fn pin_all(&mut self, extents: &[Extent], key: StoredKey, source: Source) {
        let mut last = None;
        for extent in extents {
            if last.replace(extent.at.sequence) != Some(extent.at.sequence) {
                self.pin(extent.at, key, source);
            }
        }
    }

    pub(super) fn unpin(&mut self, sequence: u64, key: StoredKey, source: Source) {
        self.0.remove(&(sequence, key, source));
    }

    pub(super) fn unpin_all(
        &mut self,
        extents: impl Iterator<Item = Extent>,
        key: StoredKey,
        source: Source,
    ) {
        let mut last = None;
        for extent in extents {
            if last.replace(extent.at.sequence) != Some(extent.at.sequence) {
                self.unpin(extent.at.sequence, key, source);
            }
        }
    }

    /// All that have something in a segment.
    pub(super) fn of_segment(&self, sequence: u64) -> impl Iterator<Item = (StoredKey, Source)> {
        let range = self.0.range((sequence, StoredKey::FIRST, FIRST)..=(sequence, StoredKey::LAST, LAST));
        range.map(|(_, key, source)| (*key, *source))
    }

    /// All that have something of a key in a segment.
    pub(super) fn of_key(&self, sequence: u64, key: StoredKey) -> Vec<Source> {
        let range = self.0.range((sequence, key, FIRST)..=(sequence, key, LAST));
        range.map(|(_, _, source)| *source).collect()
    }

    pub(super) fn has(&self, sequence: u64, key: StoredKey, source: Source) -> bool {
        self.0.contains(&(sequence, key, source))
    }
}
