//! A record gets its place, and is on the device: it counts from then on, unless something came in between.

use super::{
    Event, Failure, Op, Store, Writer,
    block::Place,
    content::{Content, Grave, Tombstone},
    index::Indexed,
    plant::StoreFault,
    policy::Stream,
};
use crate::language::{
    effect::Freshening,
    id::RecordName,
    key::{CacheKey, StoredKey},
    record::Record,
};
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use bytes::Bytes;

/// A record that waits for its place. Where its pieces are is asked when it gets it.
#[derive(Debug)]
pub(super) enum Draft {
    /// It is new.
    Commit { op: Op, writer: Writer, record: Arc<Record> },
    /// It gets another head; it was at `old`.
    Freshen { op: Op, old: Place, record: Arc<Record>, content: Content, tail: Bytes },
}

/// Why a record is written.
#[derive(Debug)]
pub(super) enum Cause {
    Commit {
        op: Op,
        writer: Writer,
    },
    Freshen {
        op: Op,
        old: Place,
    },
    /// Its segment is reclaimed; it was at `old`.
    Move {
        old: Place,
    },
}

/// A record that is being written.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) key: StoredKey,
    pub(super) place: Place,
    pub(super) stamp: u64,
    /// Sectors of the object.
    pub(super) object: u32,
    pub(super) cause: Cause,
}

/// Records that have their places and are on their way to the device.
#[derive(Debug, Default)]
pub(super) struct Flights {
    by_key: BTreeMap<StoredKey, Vec<Flight>>,
    /// How many refer to pieces in a segment, by its sequence.
    referring: BTreeMap<u64, u32>,
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) stamp: u64,
    pub(super) name: RecordName,
    /// Of the segments where its pieces are.
    pub(super) sequences: Vec<u64>,
    /// Why it will not count.
    pub(super) ended: Option<Ended>,
}

/// Why a record that is on its way will not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// One that got its place later is there already.
    Overtaken,
    /// It was deleted.
    Deleted(Failure),
}

impl Flights {
    pub(super) fn begin(&mut self, key: StoredKey, flight: Flight) {
        for sequence in &flight.sequences {
            *self.referring.entry(*sequence).or_default() += 1;
        }
        self.by_key.entry(key).or_default().push(flight);
    }

    fn end(&mut self, key: StoredKey, stamp: u64) -> Flight {
        let of_key = self.by_key.get_mut(&key).expect("it is on its way");
        let at = of_key.iter().position(|flight| flight.stamp == stamp).expect("it is on its way");
        let flight = of_key.swap_remove(at);
        if of_key.is_empty() {
            self.by_key.remove(&key);
        }
        for sequence in &flight.sequences {
            let count = self.referring.get_mut(sequence).expect("it was counted");
            *count -= 1;
            if *count == 0 {
                self.referring.remove(sequence);
            }
        }
        flight
    }

    /// Is a record of this key on its way to the device?
    pub(super) fn has(&self, key: StoredKey) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Is one on its way that has a piece in this segment?
    pub(super) fn refers(&self, sequence: u64) -> bool {
        self.referring.contains_key(&sequence)
    }

    pub(super) fn of_key(&self, key: StoredKey) -> &[Flight] {
        self.by_key.get(&key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Those of a key with at most this stamp will not count.
    pub(super) fn end_through(&mut self, key: StoredKey, through: u64, why: Ended) {
        for flight in self.by_key.get_mut(&key).into_iter().flatten() {
            if flight.stamp <= through && flight.ended.is_none() {
                flight.ended = Some(why);
            }
        }
    }

    pub(super) fn end_target(&mut self, target: CacheKey) {
        let [first, last] = [CacheKey(0), CacheKey(u128::MAX)].map(|key| StoredKey { target, key });
        for (_, flights) in self.by_key.range_mut(first..=last) {
            for flight in flights {
                flight.ended = Some(Ended::Deleted(Failure::Purged));
            }
        }
    }
}

impl Store {
    /// A record has its turn. What it is based on may have changed since it was asked for. There is room.
    pub(super) fn write_draft(&mut self, stream: Stream, draft: Draft) {
        if let Some(reclaim) = &self.reclaim {
            let is_held = match &draft {
                Draft::Commit { writer, record, .. } => {
                    self.pins.has(reclaim.sequence, record.stored_key(), super::Source::Writer(*writer))
                }
                Draft::Freshen { content, .. } => {
                    content.extents.iter().any(|extent| extent.at.sequence == reclaim.sequence)
                }
            };
            if is_held {
                // Its pieces are about to be moved.
                let reclaim = self.reclaim.as_mut().expect("it was just looked at");
                return reclaim.held.push((stream, super::appending::Job::Record(draft)));
            }
        }
        match draft {
            Draft::Commit { op, writer, record } => match self.committed_content(writer, &record) {
                Ok((content, tail)) => {
                    self.on_born(record.stored_key(), record.freshness.born());
                    let cause = Cause::Commit { op, writer };
                    self.reclaims_in_vain = 0;
                    self.counts.appended += self.append_record(stream, content, tail, cause);
                }
                Err(why) => self.on_commit_failed(op, writer, why),
            },
            Draft::Freshen { op, old, record, content, tail } => {
                let key = record.stored_key();
                let is_there = self.index.find(key).is_some_and(|indexed| indexed.place == old);
                if !is_there {
                    self.freshen(op, record);
                } else if self.flights.has(key) {
                    // It would get the greater stamp, and count again after a crash.
                    self.event(Event::Freshened { op, freshening: Freshening::Overtaken });
                } else {
                    self.on_born(key, record.freshness.born());
                    let cause = Cause::Freshen { op, old };
                    self.reclaims_in_vain = 0;
                    self.counts.appended += self.append_record(stream, content, alloc::vec![tail], cause);
                }
            }
        }
    }

    pub(super) fn publish(&mut self, publication: Publication) {
        let Publication { key, place, stamp, object, cause } = publication;
        let ended = self.flights.end(key, stamp).ended;
        match cause {
            Cause::Commit { op, writer } => match ended {
                Some(Ended::Deleted(why)) => self.on_commit_failed(op, writer, why),
                Some(Ended::Overtaken) => {
                    self.index.on_hides(key);
                    self.on_committed(op, writer);
                }
                None => {
                    if self.planted.is(StoreFault::KeepsCount) && self.index.find(key).is_some() {
                        self.index.count_again(key);
                    }
                    self.index.insert(key, place, object);
                    self.flights.end_through(key, stamp, Ended::Overtaken);
                    self.ghosts.forget(key);
                    self.on_committed(op, writer);
                }
            },
            Cause::Freshen { op, old } => {
                let uses = self.index.find(key).map_or(0, |indexed| indexed.uses);
                let new = Indexed { place, sectors: object, uses, hides: true };
                let freshening = if self.index.move_to(key, old, new) {
                    Freshening::Done
                } else if self.on_left_behind(key, stamp) {
                    Freshening::Overtaken
                } else {
                    Freshening::Absent
                };
                self.event(Event::Freshened { op, freshening });
            }
            Cause::Move { old } => self.on_move_written(old, place, object, stamp),
        }
    }

    /// A record was written and does not count, for what it was made of is gone. It must not come back. Says
    /// whether another has taken its place.
    pub(super) fn on_left_behind(&mut self, key: StoredKey, stamp: u64) -> bool {
        let is_hidden = self.index.find(key).is_some();
        if is_hidden {
            self.index.on_hides(key);
        } else {
            self.bury(Tombstone { of: Grave::Key(key), through: stamp }, None);
        }
        is_hidden
    }

    pub(super) fn on_publication_failed(&mut self, publication: Publication) {
        match publication.cause {
            Cause::Commit { op, writer } => self.on_commit_failed(op, writer, Failure::Device),
            Cause::Freshen { op, .. } => self.fail(op, Failure::Device),
            Cause::Move { .. } => {}
        }
    }
}
