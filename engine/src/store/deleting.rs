//! Deletions: gone from the index at once, acknowledged when a tombstone is durable.

use super::{
    Failure, Op, Store,
    block::{Header, Kind, Place, Unfit},
    check::Expected,
    content::{Grave, Tombstone},
    plant::StoreFault,
    publishing::Ended,
    reading::Want,
};
use crate::language::{
    id::RecordName,
    key::{CacheKey, StoredKey},
};

/// A deletion by name, while the name of what is there is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deletion {
    pub(super) op: Op,
    pub(super) key: StoredKey,
    pub(super) name: RecordName,
    pub(super) place: Place,
}

impl Store {
    /// Everything of a target that has its place by now.
    pub(super) fn purge(&mut self, op: Op, target: CacheKey) {
        if !self.planted.is(StoreFault::PurgesStored) {
            self.close_writers(target);
            self.flights.end_target(target);
        }
        let existed = self.index.remove_target(target) > 0;
        let through = self.log.last_stamp();
        self.bury(Tombstone { of: Grave::Target(target), through }, Some((op, existed)));
    }

    /// One record. The index does not know its name, so the device is asked.
    pub(super) fn delete(&mut self, op: Op, key: StoredKey, name: RecordName) {
        match self.index.find(key) {
            Some(indexed) => {
                let place = indexed.place;
                let deletion = Deletion { op, key, name, place };
                let sequence = self.log.position(place).sequence;
                self.begin_read(place, 1, Expected::Header { sequence }, Want::Name(deletion));
            }
            None => {
                let through = self.through_before_flights(key);
                self.bury_named(op, key, name, through, false);
            }
        }
    }

    /// The header of what is there was read.
    pub(super) fn on_name_read(&mut self, deletion: Deletion, header: Result<Header, Unfit>) {
        let Deletion { op, key, name, place } = deletion;
        if self.index.find(key).is_none_or(|indexed| indexed.place != place) {
            return self.delete(op, key, name);
        }
        match header {
            Ok(Header { label, .. }) if label.kind == Kind::Record && label.key == key => {
                if label.name == name {
                    self.index.remove_at(key, place);
                    self.bury_named(op, key, name, label.stamp, true);
                } else {
                    self.bury_named(op, key, name, label.stamp - 1, false);
                }
            }
            // Whatever it was, it is not served any more, so it may as well be what is deleted.
            Ok(_) | Err(_) => {
                self.drop_rotten(key, place);
                let through = self.through_before_flights(key);
                self.bury_named(op, key, name, through, true);
            }
        }
    }

    /// What is on its way under the name goes, too, and whatever of the key has its place before it.
    fn bury_named(&mut self, op: Op, key: StoredKey, name: RecordName, through: u64, existed: bool) {
        let named = self.flights.of_key(key).iter().filter(|flight| flight.name == name);
        let through = named.map(|flight| flight.stamp).max().unwrap_or(0).max(through);
        self.flights.end_through(key, through, Ended::Deleted(Failure::Superseded));
        self.bury(Tombstone { of: Grave::Key(key), through }, Some((op, existed)));
    }

    /// The newest stamp before those of the key's records that are on their way.
    pub(super) fn through_before_flights(&self, key: StoredKey) -> u64 {
        let first = self.flights.of_key(key).iter().map(|flight| flight.stamp - 1).min();
        first.unwrap_or(self.log.last_stamp())
    }
}
