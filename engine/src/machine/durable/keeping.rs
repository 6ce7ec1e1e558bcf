//! Keeping L3 in order: purges of a key, what a 304 freshened, and the collector of orphans.
//!
//! The collector runs in rounds, one question at a time, so that it never competes with requests. A sweep
//! that a round does not finish goes on in the next. One engine of a process sweeps for all: see
//! [`Config::without_collector`](crate::Config::without_collector).

use super::{Durable, DurablePurgeId, OpenedManifest, TIER, Work};
use crate::machine::context::Context;
use crate::{
    durable::{Ask, CollectStep, Collector, DurablePurge, PurgeEnd, PurgeStep, Terms, Told},
    language::{
        chunk::Chunk,
        effect::PurgeOutcome,
        event::{DurableEvent, ResilienceEvent, TierOperation},
        key::CacheKey,
        record::Record,
        time::Instant,
    },
    machine::freshening::Freshen,
};
use alloc::sync::Arc;
use core::time::Duration;

/// Questions of one round. At a millisecond each, a round takes seconds; with a round an hour, a store of a
/// million blobs is swept in some days, which only costs room.
const ROUND_MAX: u32 = 16_384;

pub(super) type DurablePurging = DurablePurge;

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

    /// When the next round is due. None, while one is under way.
    pub(super) const fn due(&self) -> Option<Instant> {
        match self.progress {
            Progress::Resting(_) => Some(self.due),
            Progress::Asked(_) => None,
        }
    }

    /// A round is over. One that was due meanwhile is left out.
    fn rest(&mut self, now: Instant, next: Option<Ask>) {
        self.progress = Progress::Resting(next);
        if self.due <= now {
            self.due = now.after(self.every);
        }
    }
}

impl Durable {
    /// Begins to purge a key in L3.
    pub(in crate::machine) fn purge<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        key: CacheKey,
    ) -> DurablePurgeId {
        let id = DurablePurgeId(cx.ids.mint());
        let (purge, ask) = DurablePurge::begin(key, self.terms);
        self.purges.insert(id, purge);
        cx.ask_durable(Work::Purge(id), ask);
        id
    }

    /// The index has answered a purge's question. When that was its last, says what the purge came to.
    pub(in crate::machine) fn on_purge_told<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        id: DurablePurgeId,
        told: Told,
    ) -> Option<PurgeOutcome> {
        let purge = &mut self.purges[&id];
        let end = match purge.on_told(told) {
            PurgeStep::Ask(ask) => {
                cx.ask_durable(Work::Purge(id), ask);
                return None;
            }
            PurgeStep::Ended(end) => end,
        };
        self.purges.remove(&id);
        Some(match end {
            PurgeEnd::Removed(length) => PurgeOutcome::Removed(length),
            PurgeEnd::Absent => PurgeOutcome::Absent,
            PurgeEnd::Failed => {
                cx.event(ResilienceEvent::TierFailed { tier: TIER, operation: TierOperation::Delete });
                PurgeOutcome::Failed
            }
        })
    }

    /// A 304 made this of an open record: its manifest gets the new head, so that other edges need not ask as
    /// well. Who changed the entry meanwhile was faster, and nothing comes of it.
    pub(in crate::machine) fn freshen_manifest<C: Chunk>(
        &self,
        cx: &mut Context<C>,
        manifest: &OpenedManifest,
        freshened: Arc<Record>,
        freshen: Freshen,
    ) {
        let ask = manifest.seen.freshen(freshened, cx.now.since(manifest.at), &self.terms);
        if let Some(ask) = ask {
            cx.ask_durable(Work::Freshen(freshen), ask);
        }
    }

    /// Begins a round of the collector, if one is due and the last one is over.
    pub(in crate::machine) fn collect<C: Chunk>(&mut self, cx: &mut Context<C>) {
        let now = cx.now;
        let Some(collecting) = &mut self.collecting else { return };
        if now < collecting.due {
            return;
        }
        collecting.due = now.after(collecting.every);
        let Progress::Resting(next) = &mut collecting.progress else { return };
        let ask = next.take().unwrap_or_else(|| collecting.collector.begin());
        collecting.progress = Progress::Asked(1);
        cx.ask_durable(Work::Collect, ask);
    }

    pub(in crate::machine) fn on_collector_told<C: Chunk>(&mut self, cx: &mut Context<C>, told: Told) {
        let collecting = self.collecting.as_mut().expect("only a collector asks for this");
        let Progress::Asked(asked) = collecting.progress else {
            unreachable!("told while {:?}", collecting.progress)
        };
        match collecting.collector.on_told(told) {
            CollectStep::Ask(ask) if asked >= ROUND_MAX => {
                collecting.rest(cx.now, Some(ask));
            }
            CollectStep::Ask(ask) => {
                collecting.progress = Progress::Asked(asked + 1);
                cx.ask_durable(Work::Collect, ask);
            }
            CollectStep::Ended(collected) => {
                collecting.rest(cx.now, None);
                cx.event(DurableEvent::Swept { collected });
            }
        }
    }
}
