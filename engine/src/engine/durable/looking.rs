//! L3's part of the walk through the tiers.

use super::{Engine, TIER, Work, checking::Opened};
use crate::{
    chunk::Chunk,
    durable::{Ask, DurableMiss, Looked, LookedFor, Lookup, LookupStep, Told},
    effect::Effect,
    engine::Pending,
    event::Event,
    fill::{Glimpse, Stage},
    id::{FillId, RecordId},
    key::CacheKey,
    plant::Fault,
    record::Record,
};
use alloc::boxed::Box;

impl<C: Chunk> Engine<C> {
    /// Asks L3's index for what a fill is about.
    pub(in crate::engine) fn look_in_durable(&mut self, fill_id: FillId, key: CacheKey) {
        let (lookup, ask) = Lookup::begin(key);
        self.durable().lookups.insert(fill_id, lookup);
        self.cx.ask_durable(Work::Lookup(fill_id), ask);
    }

    pub(super) fn on_lookup_told(&mut self, fill_id: FillId, told: Told) {
        let record = self.looked_for(fill_id);
        let mut told = told;
        if let Told::Entry { now, .. } = &mut told
            && self.cx.config.is_planted(Fault::X58)
        {
            *now = self.cx.wall();
        }
        let was_opened = matches!(told, Told::Opened { .. });
        let terms = self.durable().terms;
        let lookup = self.durable().lookups.get_mut(&fill_id).expect("a lookup lasts until it is done");
        match lookup.on_told(told, &terms) {
            LookupStep::Ask(Ask::Open { blob }) => {
                let op = self.cx.operation(Pending::Durable(Work::Lookup(fill_id)));
                self.cx.effect(Effect::OpenBlob { op, record, blob });
            }
            LookupStep::Ask(ask) => self.cx.ask_durable(Work::Lookup(fill_id), ask),
            LookupStep::Done(looked) => {
                self.durable().lookups.remove(&fill_id);
                self.on_looked(fill_id, record, looked, was_opened);
            }
        }
    }

    /// A lookup is over. Whatever it found, a fill may go on from what it saw; what it asks besides holds nobody up.
    fn on_looked(&mut self, fill_id: FillId, record_id: RecordId, looked: Looked, was_opened: bool) {
        let Looked { outcome, seen, besides } = looked;
        if let Some(ask) = besides {
            self.cx.ask_durable(Work::Besides, ask);
        }
        let at = self.cx.now;
        let fill = self.fills.get_mut(&fill_id).expect("a lookup's fill waits for its answer");
        let key = fill.errand.key;
        fill.errand.glimpse = seen.clone().map(|seen| Box::new(Glimpse { seen, at }));
        match outcome {
            LookedFor::Hit(manifest) => {
                let seen = seen.expect("a hit was seen");
                let (name, length) = (manifest.record.name, manifest.record.length);
                let opened = Opened { name, length, digest: manifest.digest, seen, at };
                self.durable().opened.insert(record_id, opened);
                self.on_found(fill_id, Record::clone(&manifest.record), None);
            }
            LookedFor::Miss(why) => {
                if was_opened {
                    self.release(TIER, record_id);
                }
                self.cx.event(Event::DurableMissed { key, why });
                match why {
                    DurableMiss::IndexFailed | DurableMiss::BlobFailed => self.on_lookup_failed(fill_id),
                    DurableMiss::Absent | DurableMiss::Expired | DurableMiss::Lost | DurableMiss::Torn => {
                        self.on_absent(fill_id);
                    }
                }
            }
        }
    }

    /// The name under which a fill's lookup opens what it finds.
    fn looked_for(&self, fill_id: FillId) -> RecordId {
        match self.fills.get(&fill_id).map(|fill| &fill.stage) {
            Some(Stage::Looking { record, .. }) => *record,
            other => unreachable!("{fill_id:?} should look in L3, but is {other:?}"),
        }
    }
}
