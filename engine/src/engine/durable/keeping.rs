//! Keeping L3 in order: purges of a key, what a 304 freshened, and the collector of orphans.
//!
//! The collector runs in rounds, one question at a time, so that it never competes with requests. A sweep that a round
//! does not finish goes on in the next. One engine of a process sweeps for all: see
//! [`Config::without_collector`](crate::Config::without_collector).

use super::{Engine, TIER, Work};
use crate::{
    chunk::Chunk,
    durable::{Ask, CollectStep, Collector, DurablePurge, PurgeEnd, PurgeStep, Terms, Told},
    effect::{Freshening, PurgeOutcome},
    engine::freshening::Freshen,
    event::{Event, TierOperation},
    id::{OpId, RecordId},
    key::CacheKey,
    record::Record,
    time::Instant,
};
use alloc::sync::Arc;
use core::time::Duration;

/// Questions of one round. At a millisecond each, a round takes seconds; with a round an hour, a store of a million
/// blobs is swept in some days, which only costs room.
const ROUND_MAX: u32 = 16_384;

pub(super) type Purging = DurablePurge;

/// The collector and its rounds.
#[derive(Debug)]
pub(super) struct Collecting {
    collector: Collector,
    every: Duration,
    /// When the next round is due.
    due: Instant,
    progress: Progress,
}

/// ```text
/// Resting ──due──▶ Asked ──told──▶ Asked ──told, many asked──▶ Resting(the next question)
///    ▲                                ╰──sweep over──▶ Resting(none)
/// ```
#[derive(Debug)]
enum Progress {
    /// Until the next round, which goes on with this, or begins a sweep.
    Resting(Option<Ask>),
    /// So many questions were asked in this round, and the last one is open.
    Asked(u32),
}

impl Collecting {
    pub(super) fn new(terms: Terms, every: Duration, now: Instant) -> Self {
        let collector = Collector::new(terms);
        Self { collector, every, due: now.after(every), progress: Progress::Resting(None) }
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }
}

impl<C: Chunk> Engine<C> {
    /// Purges a key in L3. The operation that is returned is over when the purge is.
    pub(in crate::engine) fn purge_durable(&mut self, key: CacheKey) -> OpId {
        let token = OpId(self.cx.ids.mint());
        let (purge, ask) = DurablePurge::begin(key, self.durable().terms);
        self.durable().purges.insert(token, purge);
        self.cx.ask_durable(Work::Purge(token), ask);
        token
    }

    pub(super) fn on_purge_told(&mut self, token: OpId, told: Told) {
        let purge = self.durable().purges.get_mut(&token).expect("a purge lasts until it has ended");
        let end = match purge.on_told(told) {
            PurgeStep::Ask(ask) => return self.cx.ask_durable(Work::Purge(token), ask),
            PurgeStep::Ended(end) => end,
        };
        self.durable().purges.remove(&token);
        let outcome = match end {
            PurgeEnd::Removed(length) => PurgeOutcome::Removed(length),
            PurgeEnd::Absent => PurgeOutcome::Absent,
            PurgeEnd::Failed => {
                self.cx.event(Event::TierFailed { tier: TIER, operation: TierOperation::Delete });
                PurgeOutcome::Failed
            }
        };
        self.purging.report_answer(&mut self.cx, token, TIER, outcome);
    }

    /// A 304 made this of an open record: its manifest gets the new head, so that other edges need not ask as well. Who
    /// changed the entry meanwhile was faster, and nothing comes of it.
    pub(in crate::engine) fn freshen_manifest(
        &mut self,
        record: RecordId,
        freshened: Arc<Record>,
        freshen: Freshen,
    ) {
        let now = self.cx.now;
        let durable = self.durable();
        let opened = durable.opened.get(&record).expect("a record is open while it is kept");
        let ask = opened.seen.freshen(freshened, now.since(opened.at), &durable.terms);
        if let Some(ask) = ask {
            self.cx.ask_durable(Work::Freshen(freshen), ask);
        }
    }

    pub(super) fn on_freshen_told(&mut self, freshen: Freshen, told: Told) {
        match told {
            Told::Swapped { now: _ } => self.on_freshened(freshen, Freshening::Done),
            Told::Conflict => self.on_freshened(freshen, Freshening::Overtaken),
            Told::Unknown => self.on_freshen_failed(freshen),
            Told::Entry { .. }
            | Told::Touched
            | Told::Opened { .. }
            | Told::NoBlob
            | Told::Deleted
            | Told::Listed { .. } => unreachable!("the answer to a swap was {told:?}"),
        }
    }

    /// Begins a round of the collector, if one is due and the last one is over.
    pub(super) fn collect(&mut self) {
        let now = self.cx.now;
        let Some(collecting) = &mut self.durable().collecting else { return };
        if now < collecting.due {
            return;
        }
        collecting.due = now.after(collecting.every);
        let Progress::Resting(next) = &mut collecting.progress else { return };
        let ask = next.take().unwrap_or_else(|| collecting.collector.begin());
        collecting.progress = Progress::Asked(1);
        self.cx.ask_durable(Work::Collect, ask);
    }

    pub(super) fn on_collector_told(&mut self, told: Told) {
        let collecting = self.durable().collecting.as_mut().expect("only a collector asks for this");
        let Progress::Asked(asked) = collecting.progress else {
            unreachable!("told while {:?}", collecting.progress)
        };
        match collecting.collector.on_told(told) {
            CollectStep::Ask(ask) if asked >= ROUND_MAX => {
                collecting.progress = Progress::Resting(Some(ask));
            }
            CollectStep::Ask(ask) => {
                collecting.progress = Progress::Asked(asked + 1);
                self.cx.ask_durable(Work::Collect, ask);
            }
            CollectStep::Ended(collected) => {
                collecting.progress = Progress::Resting(None);
                self.cx.event(Event::Swept { collected });
            }
        }
    }
}
