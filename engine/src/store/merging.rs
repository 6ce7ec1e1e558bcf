//! Puts together what the segments hold, from the newest record to the oldest.
//!
//! In each stream, what lies in a later segment, or later in one, has the greater stamp. So the two streams
//! are gone through backwards side by side, always where the greater stamp is. The first record of a key is
//! the one, or none if a tombstone takes it away. A record whose body is not all there counts for nothing:
//! the older one stands. One whose body was reclaimed counts for nothing either, but hides the older one.

use super::{
    Store,
    block::Place,
    content::{Entry, Extent, Grave, Tombstone, What},
    log::{Both, STREAMS},
    plant::StoreFault,
    policy::Stream,
    recovering::Found,
    walk::Walked,
};
use crate::language::key::{CacheKey, StoredKey};
use alloc::{collections::BTreeMap, vec::Vec};

/// What is left to take in, and what was deleted.
#[derive(Debug, Default)]
pub(super) struct Merge {
    cursors: Both<Cursor>,
    /// The deletions that were met, and through which stamps.
    keys: BTreeMap<StoredKey, u64>,
    targets: BTreeMap<CacheKey, u64>,
}

/// How far a stream was gone through.
#[derive(Debug, Default)]
struct Cursor {
    /// The oldest first.
    segments: Vec<Found>,
    /// Records of the segment where it is, the oldest first.
    records: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    key: StoredKey,
    stamp: u64,
    place: Place,
    object: u32,
    is_lost: bool,
}

impl Merge {
    /// The next segment of a stream, in the order of the log.
    pub(super) fn add(&mut self, stream: Stream, found: Found) {
        self.cursors[stream].segments.push(found);
    }

    fn bury(&mut self, tombstone: Tombstone) {
        let through = match tombstone.of {
            Grave::Key(key) => self.keys.entry(key).or_default(),
            Grave::Target(target) => self.targets.entry(target).or_default(),
        };
        *through = tombstone.through.max(*through);
    }

    fn is_buried(&self, key: StoredKey, stamp: u64) -> bool {
        let through = |it: Option<&u64>| it.is_some_and(|through| *through >= stamp);
        through(self.keys.get(&key)) || through(self.targets.get(&key.target))
    }
}

impl Store {
    /// Takes in what is left, as far as it is known.
    pub(super) fn merge(&mut self) {
        loop {
            for stream in STREAMS {
                if !self.fill_cursor(stream) {
                    return;
                }
            }
            let cursors = &mut self.recovery().merge.cursors;
            let last = |stream: Stream| cursors[stream].records.last().map(|record| record.stamp);
            let stream =
                if last(Stream::Main) > last(Stream::Newcomer) { Stream::Main } else { Stream::Newcomer };
            match cursors[stream].records.pop() {
                Some(record) => self.take_record(record),
                None => return self.end_recovery(),
            }
        }
    }

    /// Goes to the next segment of a stream that has records. False if it must be read first.
    fn fill_cursor(&mut self, stream: Stream) -> bool {
        loop {
            let recovery = self.recovery();
            let cursor = &mut recovery.merge.cursors[stream];
            let Some(found) = cursor.segments.last().copied().filter(|_| cursor.records.is_empty()) else {
                return true;
            };
            match (recovery.walked.get(&found.sequence).cloned(), found.summary) {
                (Some(walked), _) => {
                    recovery.merge.cursors[stream].segments.pop();
                    self.take_walked(stream, found, &walked);
                }
                (None, Some(sector)) => {
                    self.read_summary(stream, found, sector);
                    return false;
                }
                (None, None) => unreachable!("a segment without a summary was walked"),
            }
        }
    }

    pub(super) fn on_entries_read(&mut self, stream: Stream, entries: Vec<Entry>) {
        let cursor = &mut self.recovery().merge.cursors[stream];
        let found = cursor.segments.pop().expect("its summary was asked for");
        for entry in entries {
            self.take_entry(stream, found, entry, false);
        }
        self.merge();
    }

    /// The summary is not what was written.
    pub(super) fn walk_instead(&mut self, stream: Stream) {
        let recovery = self.recovery();
        let segments = &mut recovery.merge.cursors[stream].segments;
        let found = segments.last_mut().expect("its summary was asked for");
        found.summary = None;
        let found = *found;
        recovery.unsealed.push(found);
        self.log.segment(found.segment).standing = super::log::Standing::Sealed { summary: None };
        self.walk_next();
    }

    fn take_walked(&mut self, stream: Stream, found: Found, walked: &[Walked]) {
        for Walked { entry, name, extents } in walked {
            let is_lost = |extent: &Extent| self.log.place(extent.at).is_none();
            let is_lost = extents.iter().any(is_lost);
            let is_whole = is_lost || self.planted.is(StoreFault::CountsTorn) || {
                let recovery = self.recovery();
                extents.iter().all(|extent| {
                    !recovery.walked.contains_key(&extent.at.sequence)
                        || recovery.pieces.get(&extent.at) == Some(name)
                })
            };
            if is_whole {
                self.take_entry(stream, found, *entry, is_lost);
            }
        }
    }

    fn take_entry(&mut self, stream: Stream, found: Found, entry: Entry, is_lost: bool) {
        self.log.next_stamp = self.log.next_stamp.max(entry.stamp() + 1);
        match entry.what {
            What::Body { .. } => {}
            What::Tombstone(_) if self.planted.is(StoreFault::OverlooksGraves) => {}
            What::Tombstone(tombstone) => self.recovery().merge.bury(tombstone),
            What::Record { key, stamp, object } => {
                let place = entry.place(found.segment);
                let candidate = Candidate { key, stamp, place, object, is_lost };
                self.recovery().merge.cursors[stream].records.push(candidate);
            }
        }
    }

    fn take_record(&mut self, record: Candidate) {
        let Candidate { key, stamp, place, object, is_lost } = record;
        let merge = &mut self.recovery().merge;
        if merge.is_buried(key, stamp) {
            return;
        }
        if is_lost {
            merge.bury(Tombstone { of: Grave::Key(key), through: stamp });
            self.index.on_hides(key);
        } else if self.planted.is(StoreFault::PrefersOld) {
            self.index.insert(key, place, object);
        } else {
            self.index.insert_older(key, place, object);
        }
    }
}
