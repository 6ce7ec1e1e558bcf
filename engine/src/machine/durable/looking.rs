//! L3's part of the walk through the tiers.

use super::{Durable, Work, checking::Opened};
use crate::machine::context::Context;
use crate::{
    chunk::Chunk,
    durable::{Ask, DurableMiss, Looked, LookedFor, Lookup, LookupStep, Told},
    effect::Effect,
    fill::Glimpse,
    id::{FillId, RecordId},
    key::CacheKey,
    machine::Pending,
    record::Record,
};
use alloc::boxed::Box;

impl<C: Chunk> Durable<C> {
    /// Asks L3's index for what a fill is about.
    pub(in crate::machine) fn look(&mut self, cx: &mut Context<C>, fill_id: FillId, key: CacheKey) {
        let (lookup, ask) = Lookup::begin(key);
        self.lookups.insert(fill_id, lookup);
        cx.ask_durable(Work::Lookup(fill_id), ask);
    }

    /// The index or the blob store has answered a lookup that opens what it finds under `record`. When that was its last
    /// question, says what it came to.
    pub(in crate::machine) fn on_lookup_told(
        &mut self,
        cx: &mut Context<C>,
        fill_id: FillId,
        record: RecordId,
        told: Told,
    ) -> Option<Seen> {
        let was_opened = matches!(told, Told::Opened { .. });
        let lookup = self.lookups.get_mut(&fill_id).expect("a lookup lasts until it is done");
        match lookup.on_told(told, &self.terms) {
            LookupStep::Ask(Ask::Open { blob }) => {
                let op = cx.operation(Pending::Durable(Work::Lookup(fill_id)));
                cx.effect(Effect::OpenBlob { op, record, blob });
                None
            }
            LookupStep::Ask(ask) => {
                cx.ask_durable(Work::Lookup(fill_id), ask);
                None
            }
            LookupStep::Done(looked) => {
                self.lookups.remove(&fill_id);
                Some(self.on_looked(cx, record, looked, was_opened))
            }
        }
    }

    /// A lookup is over. Whatever it found, a fill may go on from what it saw; what it asks besides holds nobody up.
    fn on_looked(
        &mut self,
        cx: &mut Context<C>,
        record_id: RecordId,
        looked: Looked,
        was_opened: bool,
    ) -> Seen {
        let Looked { outcome, seen, besides } = looked;
        if let Some(ask) = besides {
            cx.ask_durable(Work::Besides, ask);
        }
        let at = cx.now;
        let glimpse = seen.clone().map(|seen| Box::new(Glimpse { seen, at }));
        let found = match outcome {
            LookedFor::Hit(manifest) => {
                let seen = seen.expect("a hit was seen");
                let (name, length) = (manifest.record.name, manifest.record.length);
                let opened = Opened { name, length, digest: manifest.digest, seen, at };
                self.opened.insert(record_id, opened);
                Found::Record(Record::clone(&manifest.record))
            }
            LookedFor::Miss(why) => Found::Nothing { why, was_opened },
        };
        Seen { glimpse, found }
    }
}

/// What a lookup came to.
pub(in crate::machine) struct Seen {
    /// What a fill that goes on may publish against.
    pub(in crate::machine) glimpse: Option<Box<Glimpse>>,
    pub(in crate::machine) found: Found,
}

pub(in crate::machine) enum Found {
    /// A record, which is open.
    Record(Record),
    /// None; the blob may have been opened all the same.
    Nothing { why: DurableMiss, was_opened: bool },
}
