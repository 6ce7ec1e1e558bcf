//! Which faults an engine observed: what came of them reached it, or it said what only comes of them.

use crate::explore::{
    campaign::marks::Mark,
    campaign::tally::{Tally, WorldFault},
    world::plan::PerMille,
    world::{Life, World},
};
use tiergate_engine::{
    AbortReason, Answer, DurableEvent, Effect, End, Event, FetchEnd, FetchEvent, Freshening, Input, Late,
    OriginFailure, PurgeEvent, ReadSource, RequestEvent, ResilienceEvent, Symbol, durable::DurableMiss,
};

impl World {
    /// What a fault brings arrives; an edge that is down, or began anew since, observes nothing.
    pub(in crate::explore) fn observe_fault(&mut self, to: Life, brings: Option<WorldFault>) {
        let is_there = self.life(to.edge) == to && self.edges[to.edge as usize].engine.is_some();
        if let Some(fault) = brings.filter(|_| is_there) {
            self.tally.count(fault).observed += 1;
        }
    }

    /// An engine says something.
    pub(in crate::explore) fn feel_event(&mut self, event: &Event) {
        self.tally.saw(event);
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
