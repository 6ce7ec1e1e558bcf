//! Where the answers of L3's stores go, and what becomes of what they do not answer.
//!
//! One of the files that know every machine; it keeps nothing.

use super::{
    Engine,
    context::{Context, Open, Pending},
    durable::{Durable, Found, Seen, TIER, Work},
    freshening::freshening_of,
    purging::Awaited,
};
use crate::{
    durable::Told,
    language::{
        chunk::Chunk,
        event::DurableEvent,
        id::{FillId, OpId},
        reason::DurableStore,
    },
};

impl<C: Chunk> Engine<C> {
    pub(super) fn on_durable_told(&mut self, work: Work, told: Told) {
        match work {
            Work::Lookup(fill) => self.on_lookup_told(fill, told),
            Work::Upload(writer) => {
                let moved = self.copying.lanes.on_upload_told(&mut self.cx, writer, told);
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
            Work::Freshen(freshen) => match freshening_of(told) {
                Some(freshening) => self.on_freshened(freshen, freshening),
                None => freshen.fail(&mut self.cx),
            },
            Work::Besides => {}
        }
    }

    fn on_lookup_told(&mut self, fill: FillId, told: Told) {
        let (durable, cx) = self.durable();
        if let Some(seen) = durable.on_lookup_told(cx, fill, told) {
            self.on_seen_in_durable(fill, seen);
        }
    }

    /// L3's stores have said what they have for a fill.
    fn on_seen_in_durable(&mut self, fill: FillId, Seen { snapshot, found }: Seen<C>) {
        let key = self.fetching.note_seen(fill, snapshot);
        match found {
            Found::Record(record, body, opened) => self.on_found(fill, record, body, Some(opened)),
            Found::Nothing(why) => {
                self.cx.event(DurableEvent::DurableMissed { key, why });
                let looked = self.fetching.on_durable_missed(&mut self.cx, fill, why);
                self.look_further(fill, looked);
            }
        }
    }

    /// L3's stores are not waited for any longer, if a fill waits for them. What the index has said counts.
    pub(super) fn give_up_in_durable(&mut self, fill: FillId) {
        let Some(durable) = &mut self.durable else { return };
        let Some(Seen { snapshot, found }) = durable.give_up_lookup(&mut self.cx, fill) else { return };
        let key = self.fetching.note_seen(fill, snapshot);
        match found {
            Found::Nothing(why) => self.cx.event(DurableEvent::DurableMissed { key, why }),
            Found::Record(..) => unreachable!("a lookup that was given up found something"),
        }
    }

    /// One of L3's stores did not answer in time what no request waits for: it may be done, or be done later.
    pub(super) fn on_store_silent(&mut self, op: OpId) {
        let Some(Open { pending, permit }) = self.cx.take_pending(op) else {
            unreachable!("{op:?} is due, and is over")
        };
        assert!(permit.is_none(), "no breaker was asked for {pending:?}");
        match pending {
            Pending::Durable(work, store) => {
                self.cx.event(DurableEvent::Unanswered { store });
                self.on_durable_told(work, Told::Unknown);
            }
            Pending::Lane(writer) => {
                self.cx.event(DurableEvent::Unanswered { store: DurableStore::Blobs });
                let moved = self.copying.lanes.on_lane_failed(&mut self.cx, writer);
                self.on_moved(moved);
            }
            Pending::Fetch(_)
            | Pending::Pull(_)
            | Pending::Lookup(_)
            | Pending::Read(_)
            | Pending::Freshen(_)
            | Pending::Delete(_)
            | Pending::StoreBan(_) => unreachable!("{pending:?} has no deadline of a store"),
        }
    }

    /// The durable tier, and what its machines are handed.
    pub(super) fn durable(&mut self) -> (&mut Durable, &mut Context<C>) {
        let durable = self.durable.as_mut();
        let durable = durable.expect("only L3's machines and effects of L3 come here, and L3 is configured");
        (durable, &mut self.cx)
    }
}
