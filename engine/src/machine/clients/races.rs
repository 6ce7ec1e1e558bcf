//! Reads of a record for one reader: the deadline of each, and a second one when the first is later than
//! most.
//!
//! Both go to the record that is open: what it holds is the same from its first byte to its last, so
//! whichever answers first may be used. A follower's read back from a lane is not asked for twice.

use super::{BodySource, Clients, reading::Reading};
use crate::{
    language::{
        chunk::Chunk,
        effect::{Effect, ReadSource},
        event::RequestEvent,
        id::{OpId, RequestId, TierId},
        reason::Dependency,
    },
    machine::{
        context::{Context, Pending},
        resilience::Timed,
    },
    resilience::{
        deadline::Phase,
        hedge::{Answer, Race, RaceStep},
    },
    rules::Piece,
};

/// A read for a client whose response has begun. No breaker keeps it from being made, for that would break
/// off what may well be read on (O2); but one that lets it through hears how it went.
pub(super) fn begin_read<C: Chunk>(cx: &mut Context<C>, request: RequestId, tier: TierId) -> OpId {
    let permit = cx.admit(Dependency::Tier(tier)).ok();
    cx.resilience.deadlines.begin(cx.now, Timed::Reader(request));
    cx.resilience.deadlines.enter(cx.now, Timed::Reader(request), Phase::Chunk);
    cx.operation_with(Pending::Read(request), permit)
}

/// The first read of a race.
pub(super) fn begin<C: Chunk>(cx: &mut Context<C>, request: RequestId, tier: TierId, op: OpId) -> Race {
    let now = cx.now;
    let race = match cx.resilience.hedging(tier) {
        Some(hedging) => hedging.begin(now, op),
        None => Race::Alone { op, since: now, late_at: None },
    };
    if let Some(at) = race.poll_wake() {
        cx.resilience.late_reads.set(request, at);
    }
    race
}

/// A reader has left: what still runs for it is of no interest.
pub(super) fn forget<C: Chunk>(cx: &mut Context<C>, request: RequestId, race: &Race) {
    stop(cx, request);
    race.running().into_iter().flatten().for_each(|op| cx.forget(op));
}

/// Nobody waits for a reader's bytes any more.
pub(super) fn stop<C: Chunk>(cx: &mut Context<C>, request: RequestId) {
    cx.resilience.late_reads.remove(request);
    cx.resilience.deadlines.end(Timed::Reader(request));
}

impl<C: Chunk> Clients<C> {
    /// A read is late: asks the same of the same record once more, if the budget and the breaker allow it.
    pub(in crate::machine) fn read_twice(&mut self, cx: &mut Context<C>, request: RequestId) {
        let now = cx.now;
        let tier = self.tier_read_by(request);
        let Reading { record, pieces, read, .. } = self.reading(request);
        let (record, Some(race), Some(Piece::Bytes { first, count })) = (*record, read, pieces.front())
        else {
            unreachable!("{request:?} is late, but reads nothing")
        };
        let (offset, length_max) = (*first, cx.config.read_size.min(*count));
        let Some(hedging) = cx.resilience.hedging(tier) else { return };
        if !race.on_wake(now, hedging) {
            return;
        }
        let Ok(permit) = cx.admit(Dependency::Tier(tier)) else { return };
        let op = cx.operation_with(Pending::Read(request), Some(permit));
        race.on_hedged(now, op);
        cx.event(RequestEvent::Hedged { request, tier });
        cx.effect(Effect::Read { op, tier, source: ReadSource::Record(record), offset, length_max });
    }

    /// An operation of a reader's has ended, and with it the read that it was made for; but not where another
    /// one runs, at the tier that is returned.
    pub(super) fn on_read_answered(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
        op: OpId,
        answer: Answer,
    ) -> Option<TierId> {
        let now = cx.now;
        if let BodySource::Reading(_) = self.requests[&request].source {
            let tier = self.tier_read_by(request);
            let read = &mut self.reading(request).read;
            let race = read.as_mut().expect("a reader's operations belong to its race");
            cx.resilience.late_reads.remove(request);
            let step = match (cx.resilience.hedging(tier), answer) {
                (Some(hedging), answer) => race.on_answer(now, op, answer, hedging),
                (None, Answer::Given) => RaceStep::Won { cancel: None },
                (None, Answer::Failed) => RaceStep::Lost,
            };
            match step {
                RaceStep::OtherRuns => return Some(tier),
                RaceStep::Won { cancel } => cancel.into_iter().for_each(|op| cx.forget(op)),
                RaceStep::Lost => {}
                RaceStep::Ignored => unreachable!("{op:?} belongs to no read of {request:?}"),
            }
            self.reading(request).read = None;
        }
        cx.resilience.deadlines.end(Timed::Reader(request));
        None
    }

    /// The tier whose record a request reads.
    fn tier_read_by(&mut self, request: RequestId) -> TierId {
        let record = self.reading(request).record;
        self.records[&record].tier.id
    }
}
