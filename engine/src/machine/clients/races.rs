//! Reads of a record for one reader: the deadline of each, and a second one when the first is later than most.
//!
//! Both go to the record that is open: what it holds is the same from its first byte to its last, so whichever answers
//! first may be used. A follower's read back from a lane is not asked for twice.

use super::{Clients, Progress};
use crate::{
    care::{
        deadline::Phase,
        hedge::{Answer, Race, RaceStep},
    },
    chunk::Chunk,
    effect::{Effect, ReadSource},
    event::Event,
    id::{OpId, RequestId, TierId},
    machine::{Pending, caring::Waiter, context::Context},
    reason::Guarded,
    rules::Piece,
};

/// What the end of an operation means for the read that it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) enum ReadStep {
    /// It is the read's end.
    Over,
    /// Another one runs, at this tier.
    GoesOn(TierId),
}

impl Clients {
    /// A read for a client whose response has begun. No breaker keeps it from being made, for that would break off what
    /// may well be read on (O2); but one that lets it through hears how it went.
    pub(in crate::machine) fn begin_read<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
        tier: TierId,
    ) -> OpId {
        let held = cx.admit(Guarded::Tier(tier)).ok();
        cx.caring.deadlines.begin(cx.now, Waiter::Reader(request));
        cx.caring.deadlines.enter(cx.now, Waiter::Reader(request), Phase::Chunk);
        cx.operation_with(Pending::Read(request), held)
    }

    pub(in crate::machine) fn begin_race<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
        tier: TierId,
        op: OpId,
    ) -> Race {
        let now = cx.now;
        let race = match cx.caring.hedging(tier) {
            Some(hedging) => hedging.begin(now, op),
            None => Race::Alone { op, since: now, late_at: None },
        };
        if let Some(at) = race.poll_wake() {
            cx.caring.late_reads.set(request, at);
        }
        race
    }

    /// A read is late: asks the same of the same record once more, if the budget and the breaker allow it.
    pub(in crate::machine) fn read_twice<C: Chunk>(&mut self, cx: &mut Context<C>, request: RequestId) {
        let now = cx.now;
        let reader = self.requests.get_mut(&request).expect("a race is forgotten with its request");
        let Progress::Reading { record, pieces, read: Some(race), .. } = &mut reader.progress else {
            unreachable!("{request:?} is late but is {:?}", reader.progress);
        };
        let Some(Piece::Bytes { first, count }) = pieces.front() else {
            unreachable!("{request:?} reads bytes, but waits for {pieces:?}");
        };
        let (offset, length_max) = (*first, cx.config.read_size.min(*count));
        let (record, tier) = (*record, self.records[record].tier);
        let hedging = cx.caring.hedging(tier).expect("only hedged reads are late");
        if !race.on_wake(now, hedging) {
            return;
        }
        let Ok(held) = cx.admit(Guarded::Tier(tier)) else {
            return;
        };
        let op = cx.operation_with(Pending::Read(request), Some(held));
        if let Some(Progress::Reading { read: Some(race), .. }) =
            self.requests.get_mut(&request).map(|reader| &mut reader.progress)
        {
            race.on_hedged(now, op);
        }
        cx.event(Event::Hedged { request, tier });
        cx.effect(Effect::Read { op, tier, source: ReadSource::Record(record), offset, length_max });
    }

    /// An operation of a reader's has ended.
    pub(in crate::machine) fn on_read_answered<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
        op: OpId,
        answer: Answer,
    ) -> ReadStep {
        let now = cx.now;
        let reader = self.requests.get_mut(&request).expect("a read is forgotten with its request");
        let step = match &mut reader.progress {
            Progress::Waiting(_) => unreachable!("{request:?} reads before it was served"),
            Progress::Following { .. } => RaceStep::Won { cancel: None },
            Progress::Reading { record, read, .. } => {
                let tier = self.records[record].tier;
                let race = read.as_mut().expect("a reader's operations belong to its race");
                cx.caring.late_reads.remove(request);
                let step = match (cx.caring.hedging(tier), answer) {
                    (Some(hedging), answer) => race.on_answer(now, op, answer, hedging),
                    (None, Answer::Given) => RaceStep::Won { cancel: None },
                    (None, Answer::Failed) => RaceStep::Lost,
                };
                if step == RaceStep::OtherRuns {
                    return ReadStep::GoesOn(tier);
                }
                *read = None;
                step
            }
        };
        match step {
            RaceStep::Won { cancel } => cancel.into_iter().for_each(|op| cx.forget(op)),
            RaceStep::Lost => {}
            RaceStep::OtherRuns | RaceStep::Ignored => unreachable!("{op:?} of {request:?} is {step:?}"),
        }
        cx.caring.deadlines.end(Waiter::Reader(request));
        ReadStep::Over
    }

    /// A reader has left: what still runs for it is of no interest.
    pub(in crate::machine) fn forget_race<C: Chunk>(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
        race: &Race,
    ) {
        stop_race(cx, request);
        race.running().into_iter().flatten().for_each(|op| cx.forget(op));
    }
}

/// Nobody waits for a reader's bytes any more.
pub(in crate::machine) fn stop_race<C: Chunk>(cx: &mut Context<C>, request: RequestId) {
    cx.caring.late_reads.remove(request);
    cx.caring.deadlines.end(Waiter::Reader(request));
}
