//! The durable tier and who waits for it: what the answers of its stores mean for fills, lanes and purges.

use crate::machine::{
    Engine,
    context::Context,
    durable::{Durable, Found, Seen, TIER, Work},
    purging::Awaited,
};
use crate::{
    chunk::Chunk,
    durable::{DurableMiss, Told},
    effect::{Effect, Freshening},
    event::Event,
    fill::Stage,
    id::{FillId, RecordId, TierId},
};

impl<C: Chunk> Engine<C> {
    pub(in crate::machine) fn on_durable_told(&mut self, work: Work, told: Told) {
        match work {
            Work::Lookup(fill) => self.on_lookup_told(fill, told),
            Work::Upload(writer) => {
                let moved = self.copying.on_upload_told(&mut self.cx, writer, told);
                moved.into_iter().for_each(|moved| self.on_moved(moved));
            }
            Work::Purge(purge) => {
                let (durable, cx) = self.durable();
                if let Some(outcome) = durable.on_purge_told(cx, purge, told) {
                    self.purging.report_answer(&mut self.cx, Awaited::Durable(purge), TIER, outcome);
                }
            }
            Work::Collect => {
                let (durable, cx) = self.durable();
                durable.on_collector_told(cx, told);
            }
            Work::Freshen(freshen) => match told {
                Told::Swapped { now: _ } => self.on_freshened(freshen, Freshening::Done),
                Told::Conflict => self.on_freshened(freshen, Freshening::Overtaken),
                Told::Unknown => self.on_freshen_failed(freshen),
                Told::Entry { .. }
                | Told::Touched
                | Told::Opened { .. }
                | Told::NoBlob
                | Told::Deleted
                | Told::Listed { .. } => unreachable!("the answer to a swap was {told:?}"),
            },
            Work::Besides => {}
        }
    }

    pub(in crate::machine) fn wake_durable(&mut self) {
        if let Some(durable) = &mut self.durable {
            self.copying.renew_leases(&mut self.cx);
            durable.collect(&mut self.cx);
        }
    }

    fn on_lookup_told(&mut self, fill_id: FillId, told: Told) {
        let record_id = match self.fills.get(&fill_id).map(|fill| &fill.stage) {
            Some(Stage::Looking { record, .. }) => *record,
            other => unreachable!("{fill_id:?} should look in L3, but is {other:?}"),
        };
        let (durable, cx) = self.durable();
        let Some(Seen { glimpse, found }) = durable.on_lookup_told(cx, fill_id, record_id, told) else {
            return;
        };
        let fill = self.fills.get_mut(&fill_id).expect("a lookup's fill waits for its answer");
        let key = fill.errand.key;
        fill.errand.glimpse = glimpse;
        match found {
            Found::Record(record) => self.on_found(fill_id, record, None),
            Found::Nothing { why, was_opened } => {
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

    /// Closes an open record.
    pub(in crate::machine) fn release(&mut self, tier: TierId, record: RecordId) {
        self.cx.effect(Effect::Release { tier, record });
        if let Some(durable) = &mut self.durable {
            durable.on_released(record);
        }
    }

    /// The durable tier, and what its machines are handed.
    pub(in crate::machine) fn durable(&mut self) -> (&mut Durable<C>, &mut Context<C>) {
        let durable = self.durable.as_mut();
        let durable = durable.expect("only L3's machines and effects of L3 come here, and L3 is configured");
        (durable, &mut self.cx)
    }
}
