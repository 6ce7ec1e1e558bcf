//! L3's part of the walk through the tiers.

use super::{Durable, OpenedManifest, TIER, Work};
use crate::machine::{context::Context, fetching::IndexSnapshot, resilience::HeldPermit};
use crate::{
    durable::{self, Ask, BodyDigest, DurableMiss, Looked, LookedFor, Lookup, LookupStep, Manifest, Told},
    language::{
        chunk::Chunk,
        effect::Effect,
        event::{DurableEvent, ResilienceEvent, TierOperation},
        id::{FillId, OpId, RecordId},
        key::CacheKey,
        reason::DurableStore,
        record::Record,
        units::ByteCount,
    },
    machine::Pending,
};
use alloc::{boxed::Box, sync::Arc};

/// A lookup under way: one question at a time, all under the deadline of its fill.
#[derive(Debug)]
pub(super) struct Looking {
    lookup: Lookup,
    /// Under which name it opens what it finds.
    record: RecordId,
    /// The question.
    op: OpId,
    /// Was the blob store asked to open something?
    opens: bool,
}

impl Durable {
    /// Asks L3's index for what a fill is about. What it has is opened under `record`.
    pub(in crate::machine) fn look<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        fill_id: FillId,
        key: CacheKey,
        record: RecordId,
        permit: HeldPermit,
    ) {
        let (lookup, ask) = Lookup::begin(key);
        let pending = Pending::Durable(Work::Lookup(fill_id), DurableStore::Index);
        let op = cx.operation_with(pending, Some(permit));
        self.lookups.insert(fill_id, Looking { lookup, record, op, opens: false });
        cx.effect(Effect::Durable { op, ask });
    }

    /// The index or the blob store has answered a lookup. When that was its last question, says what it came
    /// to.
    pub(in crate::machine) fn on_lookup_told<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        fill_id: FillId,
        told: Told,
    ) -> Option<Seen<C>> {
        let was_opened = matches!(told, Told::Opened { .. });
        let looking = &mut self.lookups[&fill_id];
        let record = looking.record;
        match looking.lookup.on_told(told, &self.terms) {
            LookupStep::Ask(Ask::Open { blob }) => {
                let Some(permit) = cx.admit_tier(TIER, TierOperation::Lookup) else {
                    return Some(on_looked(cx, self.lookups.take(&fill_id).lookup.on_blob_skipped()));
                };
                let pending = Pending::Durable(Work::Lookup(fill_id), DurableStore::Blobs);
                (looking.op, looking.opens) = (cx.operation_with(pending, Some(permit)), true);
                cx.effect(Effect::OpenBlob { op: looking.op, record, blob });
                None
            }
            LookupStep::Ask(ask) => unreachable!("a lookup that has read the index asks for {ask:?}"),
            LookupStep::Done(looked) => {
                self.lookups.remove(&fill_id);
                let seen = on_looked::<C>(cx, looked);
                if was_opened && matches!(seen.found, Found::Nothing(_)) {
                    cx.effect(Effect::Release { tier: TIER, record });
                }
                Some(seen)
            }
        }
    }
}

impl Durable {
    /// Stops waiting for a lookup's answer, if a fill has one here. A fill may go on from what the index has
    /// said by then. What the blob store may still open is released: the driver passes that on once it is.
    pub(in crate::machine) fn give_up_lookup<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        fill_id: FillId,
    ) -> Option<Seen<C>> {
        let Looking { mut lookup, record, op, opens } = self.lookups.remove(&fill_id)?;
        cx.give_up(op);
        if opens {
            cx.effect(Effect::Release { tier: TIER, record });
        }
        match lookup.on_told(Told::Unknown, &self.terms) {
            LookupStep::Done(looked) => Some(on_looked(cx, looked)),
            LookupStep::Ask(ask) => unreachable!("a lookup that was told nothing asks for {ask:?}"),
        }
    }
}

/// A lookup is over. Whatever it found, a fill may go on from what it saw; what it asks besides holds nobody
/// up.
fn on_looked<C: Chunk>(cx: &mut Context<C>, looked: Looked) -> Seen<C> {
    let Looked { outcome, seen, besides } = looked;
    if let Some(ask) = besides {
        cx.ask_durable(Work::Besides, ask);
    }
    let at = cx.now;
    let snapshot = seen.clone().map(|seen| Box::new(IndexSnapshot { seen, at }));
    let found = match outcome {
        LookedFor::Hit(manifest) => {
            let seen = seen.expect("a hit was seen");
            on_hit(cx, manifest, seen)
        }
        LookedFor::Miss(why) => Found::Nothing(why),
    };
    Seen { snapshot, found }
}

/// The manifest that a lookup has found, with its body if that is in the row: then it is checked here.
fn on_hit<C: Chunk>(cx: &mut Context<C>, manifest: Manifest, seen: durable::Seen) -> Found<C> {
    let Manifest { record, digest, in_row, .. } = manifest;
    let (name, length, key) = (record.name, record.length, record.key);
    let is_in_row = in_row.is_some();
    let body = in_row.map(|row| C::from_row(&row).filter(|body| is_whole(body, length, digest)));
    if body.as_ref().is_some_and(Option::is_none) {
        cx.event(ResilienceEvent::TierFailed { tier: TIER, operation: TierOperation::Read });
        cx.event(DurableEvent::Corrupt { key, name });
        if let Some(ask) = seen.repair() {
            cx.ask_durable(Work::Besides, ask);
        }
        return Found::Nothing(DurableMiss::Torn);
    }
    let opened = OpenedManifest { name, length, digest, seen, at: cx.now, is_in_row };
    Found::Record(Record::clone(&record), body.flatten(), Arc::new(opened))
}

/// Is it the body that was stored?
fn is_whole<C: Chunk>(body: &C, length: ByteCount, expected: BodyDigest) -> bool {
    let mut digest = C::Digest::default();
    if body.size() > 0 {
        body.digest_into(&mut digest);
    }
    body.size() == length.0 && C::digest_of(&digest) == expected
}

/// What a lookup came to.
pub(in crate::machine) struct Seen<C> {
    /// What a fill that goes on may publish against.
    pub(in crate::machine) snapshot: Option<Box<IndexSnapshot>>,
    pub(in crate::machine) found: Found<C>,
}

pub(in crate::machine) enum Found<C> {
    /// A record: its blob is open, or its body is here.
    Record(Record, Option<C>, Arc<OpenedManifest>),
    Nothing(DurableMiss),
}
