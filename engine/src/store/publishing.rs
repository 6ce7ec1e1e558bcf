//! A record is on the device: it counts from now on, unless something came in between.

use super::{
    Event, Failure, Op, Pending, Store, Writer,
    appending::{Draft, Written},
    block::Place,
    plant::StoreFault,
};
use crate::{effect::Freshening, key::StoredKey, record::Record};
use alloc::sync::Arc;

/// Why a record is written.
#[derive(Debug)]
pub(super) enum Cause {
    /// It is new.
    Commit { op: Op, writer: Writer },
    /// It gets another head; it was at `old`.
    Freshen { op: Op, old: Place, record: Arc<Record> },
    /// Its segment is reclaimed; it was at `old`.
    Move { old: Place },
}

/// A record that is being written.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) key: StoredKey,
    pub(super) place: Place,
    /// Sectors of the object.
    pub(super) object: u32,
    pub(super) cause: Cause,
}

impl Store {
    /// A record has its turn. What it is based on may have changed since it was asked for.
    pub(super) fn write_draft(&mut self, draft: Draft) {
        let key = draft.content.record.stored_key();
        match &draft.cause {
            Cause::Commit { op, writer } => {
                if let Err(why) = self.commits(*writer) {
                    return self.fail(*op, why);
                }
            }
            Cause::Freshen { op, old, record } => {
                let is_there = self.index.find(key).is_some_and(|indexed| indexed.place == *old);
                if !is_there || self.is_being_written(key) {
                    // Behind another in the log, the older record would count again.
                    let (op, record) = (*op, Arc::clone(record));
                    return if is_there {
                        self.event(Event::Freshened { op, freshening: Freshening::Overtaken });
                    } else {
                        self.freshen(op, record);
                    };
                }
            }
            Cause::Move { .. } => unreachable!("moves do not wait: {draft:?}"),
        }
        self.counts.appended += self.append_record(draft);
    }

    /// Is a record of this key on its way to the device?
    pub(super) fn is_being_written(&self, key: StoredKey) -> bool {
        self.ios.values().any(|pending| match pending {
            Pending::Write(_, Written::Record(publication)) => publication.key == key,
            Pending::Write(..) | Pending::Read(_) | Pending::Sync => false,
        })
    }

    pub(super) fn publish(&mut self, publication: Publication) {
        let Publication { key, place, object, cause } = publication;
        match cause {
            Cause::Commit { op, writer } => match self.commits(writer) {
                Ok(()) => {
                    let position = self.log.position(place);
                    let older = self.index.find(key).map(|indexed| self.log.position(indexed.place));
                    if older.is_none_or(|older| older < position) {
                        if self.planted.is(StoreFault::KeepsCount) && older.is_some() {
                            self.index.count_again(key);
                        }
                        self.index.insert(key, place, object);
                    }
                    self.on_committed(op, writer);
                }
                // It is on the device, and stands before what it was to supersede, but its body begins in a segment that
                // was reclaimed.
                Err(Failure::Reclaimed) => {
                    if let Some(indexed) = self.index.find(key)
                        && self.log.position(indexed.place) < self.log.position(place)
                    {
                        self.drop_reclaimed(key, indexed.place);
                    }
                    self.fail(op, Failure::Reclaimed);
                }
                Err(why) => self.fail(op, why),
            },
            Cause::Freshen { op, old, .. } => {
                let freshening = if self.index.move_to(key, old, place, object) {
                    Freshening::Done
                } else if self.index.find(key).is_some() {
                    Freshening::Overtaken
                } else {
                    Freshening::Absent
                };
                self.event(Event::Freshened { op, freshening });
            }
            Cause::Move { old } => self.on_move_written(key, old, place, object),
        }
    }

    pub(super) fn on_publication_failed(&mut self, publication: Publication) {
        match publication.cause {
            Cause::Commit { op, writer } => self.on_commit_failed(op, writer, Failure::Device),
            Cause::Freshen { op, .. } => self.fail(op, Failure::Device),
            Cause::Move { .. } => self.on_moved_failed(),
        }
    }
}
