//! L3's part of the walk through the tiers.

use super::{Durable, OpenedManifest, TIER, Work};
use crate::machine::{context::Context, fetching::IndexSnapshot};
use crate::{
    durable::{Ask, DurableMiss, Looked, LookedFor, Lookup, LookupStep, Told},
    language::{
        chunk::Chunk,
        effect::Effect,
        id::{FillId, RecordId},
        key::CacheKey,
        record::Record,
    },
    machine::Pending,
};
use alloc::{boxed::Box, sync::Arc};

impl Durable {
    /// Asks L3's index for what a fill is about. What it has is opened under `record`.
    pub(in crate::machine) fn look<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        fill_id: FillId,
        key: CacheKey,
        record: RecordId,
    ) {
        let (lookup, ask) = Lookup::begin(key);
        self.lookups.insert(fill_id, (lookup, record));
        cx.ask_durable(Work::Lookup(fill_id), ask);
    }

    /// The index or the blob store has answered a lookup. When that was its last question, says what it came
    /// to.
    pub(in crate::machine) fn on_lookup_told<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        fill_id: FillId,
        told: Told,
    ) -> Option<Seen> {
        let was_opened = matches!(told, Told::Opened { .. });
        let (lookup, record) = &mut self.lookups[&fill_id];
        let record = *record;
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
                let seen = on_looked(cx, looked);
                if was_opened && matches!(seen.found, Found::Nothing(_)) {
                    cx.effect(Effect::Release { tier: TIER, record });
                }
                Some(seen)
            }
        }
    }
}

/// A lookup is over. Whatever it found, a fill may go on from what it saw; what it asks besides holds nobody
/// up.
fn on_looked<C: Chunk>(cx: &mut Context<C>, looked: Looked) -> Seen {
    let Looked { outcome, seen, besides } = looked;
    if let Some(ask) = besides {
        cx.ask_durable(Work::Besides, ask);
    }
    let at = cx.now;
    let snapshot = seen.clone().map(|seen| Box::new(IndexSnapshot { seen, at }));
    let found = match outcome {
        LookedFor::Hit(manifest) => {
            let seen = seen.expect("a hit was seen");
            let (name, length) = (manifest.record.name, manifest.record.length);
            let opened = OpenedManifest { name, length, digest: manifest.digest, seen, at };
            Found::Record(Record::clone(&manifest.record), Arc::new(opened))
        }
        LookedFor::Miss(why) => Found::Nothing(why),
    };
    Seen { snapshot, found }
}

/// What a lookup came to.
pub(in crate::machine) struct Seen {
    /// What a fill that goes on may publish against.
    pub(in crate::machine) snapshot: Option<Box<IndexSnapshot>>,
    pub(in crate::machine) found: Found,
}

pub(in crate::machine) enum Found {
    /// A record, which is open.
    Record(Record, Arc<OpenedManifest>),
    Nothing(DurableMiss),
}
