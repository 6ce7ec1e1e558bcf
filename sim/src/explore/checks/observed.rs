//! Which faults an engine observed: what came of them reached it, or it said what only comes of them.

use crate::explore::{
    campaign::marks::Mark,
    campaign::tally::{Tally, WorldFault},
    world::plan::PerMille,
    world::{Life, World},
};
use tiergate_engine::{
    AbortReason, Answer, DurableEvent, DurableStore, Effect, End, Event, FetchEnd, FetchEvent, Freshening,
    Input, Late, OriginFailure, PurgeEvent, ReadSource, RequestEvent, ResilienceEvent, Symbol, TierId,
    durable::DurableMiss,
};

impl World {
    /// What a fault brings arrives; an edge that is down, or began anew since, observes nothing.
    pub(in crate::explore) fn observe_fault(&mut self, to: Life, brings: Option<WorldFault>) {
        let is_there = self.life(to.edge) == to && self.edges[to.edge as usize].engine.is_some();
        if let Some(fault) = brings.filter(|_| is_there) {
            self.tally.count(fault).observed += 1;
        }
    }

    /// A feed does what it does where the log does not answer.
    pub(in crate::explore) fn observe_silent_feed(&mut self) {
        self.tally.count(WorldFault::FeedSilent).observed += u64::from(!self.silences.is_empty());
    }

    /// An engine says something.
    pub(in crate::explore) fn feel_event(&mut self, event: &Event) {
        self.tally.saw(event);
        let silences = self.plan.faults.silences;
        let fault = match event {
            Event::Purge(PurgeEvent::PurgeBegan { .. }) => WorldFault::Purged,
            Event::Resilience(ResilienceEvent::DeadlineMissed {
                what: Late::Head | Late::Answer | Late::Chunk,
                ..
            }) if self.plan.faults.origin_hangs != PerMille(0) => WorldFault::OriginHung,
            Event::Resilience(ResilienceEvent::DeadlineMissed {
                what: Late::Head | Late::Answer | Late::Chunk,
                ..
            }) => WorldFault::OriginStalled,
            Event::Fetch(FetchEvent::FetchEnded {
                end: FetchEnd::Failed(OriginFailure::TooShort | OriginFailure::TooLong),
                ..
            }) => WorldFault::OriginLied,
            Event::Resilience(ResilienceEvent::DeadlineMissed {
                what: Late::Lookup(TierId::L3) | Late::Read(TierId::L3),
                ..
            }) if silences.of_l3() > 0 => match silences.index {
                0 => WorldFault::BlobsSilent,
                _ => WorldFault::IndexSilent,
            },
            Event::Durable(DurableEvent::Unanswered { store: DurableStore::Index }) if silences.index > 0 => {
                WorldFault::IndexSilent
            }
            Event::Durable(DurableEvent::Unanswered { store: DurableStore::Blobs }) if silences.blobs > 0 => {
                WorldFault::BlobsSilent
            }
            Event::Durable(DurableEvent::Unanswered { .. }) => WorldFault::TierSlow,
            Event::Resilience(ResilienceEvent::DeadlineMissed {
                what: Late::Lookup(_) | Late::Read(_),
                ..
            }) => WorldFault::TierSlow,
            Event::Durable(DurableEvent::DurableMissed { why: DurableMiss::Lost, .. }) => {
                WorldFault::TierLost
            }
            Event::Durable(
                DurableEvent::DurableMissed { why: DurableMiss::Torn, .. } | DurableEvent::Corrupt { .. },
            ) => WorldFault::TierRotted,
            Event::Request(RequestEvent::Served {
                request,
                end: End::Aborted(AbortReason::ClientLeft),
                ..
            }) => self.why_it_left(*request),
            _ => return,
        };
        self.tally.count(fault).observed += 1;
    }
}

impl Tally {
    /// What an engine is told, and no event tells.
    pub(in crate::explore) fn received(&mut self, input: &Input<Symbol>) {
        let Input::Answer { answer, .. } = input else { return };
        match answer {
            Answer::Freshened { freshening: Freshening::Overtaken } => self.mark(Mark::Overtaken),
            Answer::Freshened { freshening: Freshening::Absent } => self.mark(Mark::FreshenedNothing),
            Answer::Found { record, .. } if record.head.status < 100 => self.mark(Mark::FoundMarker),
            Answer::Found { body: Some(_), .. } => self.mark(Mark::BodyAlong),
            _ => {}
        }
    }

    /// What an engine asks for, and no event tells.
    pub(in crate::explore) fn asked(&mut self, effect: &Effect<Symbol>) {
        if let Effect::Read { source: ReadSource::Writer(_), .. } = effect {
            self.mark(Mark::ReadBehind);
        }
    }
}
