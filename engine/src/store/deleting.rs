//! Deletions: gone from the index at once, acknowledged when a tombstone is durable.

use super::{
    Failure, Op, Store,
    appending::Job,
    block::{Header, Kind, Place, Position, Unfit},
    check::Expected,
    content::Grave,
    plant::StoreFault,
    reading::Want,
};
use crate::{
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
    /// Everything of a target.
    pub(super) fn purge(&mut self, op: Op, target: CacheKey) {
        if !self.planted.is(StoreFault::PurgesStored) {
            self.close_writers(target);
        }
        let existed = self.index.remove_target(target) > 0;
        let (key, name) = (StoredKey::plain(target), RecordName(0));
        self.push(Job::Tombstone { op, key, name, grave: Grave::Target, existed });
    }

    /// One record. The index does not know its name, so the device is asked.
    pub(super) fn delete(&mut self, op: Op, key: StoredKey, name: RecordName) {
        match self.index.find(key) {
            Some(indexed) => {
                let deletion = Deletion { op, key, name, place: indexed.place };
                let sequence = self.log.position(indexed.place).sequence;
                let expected = Expected::Header { sequence };
                self.begin_read(indexed.place, 1, expected, Want::Name(deletion));
            }
            None => self.bury(op, key, name, None),
        }
    }

    /// The header of what is there was read.
    pub(super) fn on_name_read(&mut self, deletion: Deletion, header: Result<Header, Unfit>) {
        let Deletion { op, key, name, place } = deletion;
        if self.index.find(key).is_none_or(|indexed| indexed.place != place) {
            return self.delete(op, key, name);
        }
        match header {
            Ok(header) if header.label.kind == Kind::Record && header.label.key == key => {
                let is_it = header.label.name == name;
                self.bury(op, key, name, is_it.then_some(place));
            }
            // Whatever it was, it is not served any more, so it may as well be what is deleted.
            Ok(_) | Err(_) => {
                self.drop_rotten(key, place);
                self.bury(op, key, name, Some(place));
            }
        }
    }

    pub(super) fn on_name_failed(&mut self, deletion: Deletion) {
        self.fail(deletion.op, Failure::Device);
    }

    /// `there`: where it is, if it is what is current. What it superseded goes with it.
    fn bury(&mut self, op: Op, key: StoredKey, name: RecordName, there: Option<Place>) {
        let mut through = Position::default();
        let mut existed = false;
        if let Some(place) = there {
            existed = self.index.remove_at(key, place).is_some();
            through = self.log.position(place);
            self.close_older(key, through);
        }
        self.push(Job::Tombstone { op, key, name, grave: Grave::Record { through }, existed });
    }
}
