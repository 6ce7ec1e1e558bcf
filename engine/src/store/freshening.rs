//! Another head for a record: the same body under a record that is written anew.

use super::{
    Event, Failure, Op, Store,
    appending::{Draft, Job},
    content::Content,
    plant::StoreFault,
    publishing::Cause,
    reading::{Load, Loader},
};
use crate::{effect::Freshening, record::Record};
use alloc::sync::Arc;

impl Store {
    pub(super) fn freshen(&mut self, op: Op, record: Arc<Record>) {
        let key = record.stored_key();
        match self.index.find(key) {
            Some(indexed) => {
                let loader = Loader::Freshen { op, record };
                self.load(Load { key, place: indexed.place, object: indexed.sectors, loader });
            }
            None => self.event(Event::Freshened { op, freshening: Freshening::Absent }),
        }
    }

    /// What is there was read.
    pub(super) fn on_freshen_loaded(&mut self, load: &Load, op: Op, record: Arc<Record>, old: Content) {
        if old.record.name != record.name {
            return self.event(Event::Freshened { op, freshening: Freshening::Absent });
        }
        if old.record.length != record.length {
            return self.fail(op, Failure::Mismatch);
        }
        let is_younger = old.record.freshness.born() > record.freshness.born();
        if is_younger && !self.planted.is(StoreFault::FreshensBack) {
            return self.event(Event::Freshened { op, freshening: Freshening::Overtaken });
        }
        let sectors = self.sectors_of(&old.extents);
        let content = Content { record: Record::clone(&record), sectors, ..old };
        let cause = Cause::Freshen { op, old: load.place, record };
        self.push(Job::Record(Draft { content, cause }));
    }
}
