//! Another head for a record: the same body under a record that is written anew.

use super::{
    Event, Failure, Op, Store,
    appending::Job,
    block::Place,
    check::Loaded,
    content::Content,
    plant::StoreFault,
    publishing::Draft,
    reading::{Load, Loader},
};
use crate::language::{effect::Freshening, record::Record};
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
    pub(super) fn on_freshen_loaded(&mut self, op: Op, old: Place, record: Arc<Record>, loaded: Loaded) {
        let Loaded { content, tail, .. } = loaded;
        let before = &content.record;
        if before.name != record.name {
            return self.event(Event::Freshened { op, freshening: Freshening::Absent });
        }
        if before.length != record.length {
            return self.fail(op, Failure::Mismatch);
        }
        let is_younger = before.freshness.born() > record.freshness.born();
        if is_younger && !self.planted.is(StoreFault::FreshensBack) {
            return self.event(Event::Freshened { op, freshening: Freshening::Overtaken });
        }
        let sectors = self.sectors_of(&content.extents);
        let content = Content { record: Record::clone(&record), sectors, extents: content.extents };
        let stream = self.log.stream_of(old);
        self.push(stream, Job::Record(Draft::Freshen { op, old, record, content, tail }));
    }
}
