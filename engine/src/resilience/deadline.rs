//! What of a request must happen by when.
//!
//! A request waits for one thing at a time: a tier's lookup, the origin's head, the next chunk of a body.
//! Each wait has its own deadline, and all of them until the head share one more, however many tiers and
//! attempts they go through. While the request waits for its own reader, nothing is due: a slow client is not
//! the origin's fault, and is bounded elsewhere. A body as a whole has no deadline, or long downloads would
//! break.
//!
//! It keeps the table and one wake for all. It cancels nothing: who is due is handed out, and the caller
//! acts.

use crate::{
    language::time::Instant,
    parts::{
        agenda::Agenda,
        table::{Name, Table},
    },
};
use core::time::Duration;

/// How long each wait may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeadlinePolicy {
    /// For one tier's answer to a lookup; of L3's, for those of its index and its blob store together.
    pub(crate) lookup_max: Duration,
    /// For the head, from one attempt at the origin.
    pub(crate) head_max: Duration,
    /// For the head, from the request on.
    pub(crate) answer_max: Duration,
    /// For the next chunk, once it was asked for.
    pub(crate) chunk_max: Duration,
    /// For what one of L3's stores is asked, and no request waits for.
    pub(crate) store_max: Duration,
}

/// What a request waits for.
///
/// ```text
/// begin ──▶ Idle ◀──▶ Lookup    until the head came, all of these share `answer_max`
///             ▲ ▲
///             │ ╰───▶ Head ──head──▶ Paused ◀──asked, came──▶ Chunk ──▶ end
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// For its turn: a retry's moment, a place among the fetches.
    Idle,
    /// For a tier's answer.
    Lookup,
    /// For the origin's head.
    Head,
    /// For its own reader.
    Paused,
    /// For the next chunk.
    Chunk,
    /// For one of L3's stores, without a request.
    Store,
}

/// Which wait was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The tier's.
    Lookup,
    /// The attempt's: another may be made.
    Head,
    /// All that the request had until its head: nothing more can be made of it.
    Answer,
    /// The body's.
    Chunk,
    /// The store's.
    Store,
}

/// The deadlines of many requests, under the caller's name for each.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    policy: DeadlinePolicy,
    waits: Table<K, Wait>,
    /// Those of `waits` that have something due.
    agenda: Agenda<K>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    answer_by: Instant,
    /// What is due at the time in the agenda.
    next: Option<Due>,
}

impl<K: Name> Deadlines<K> {
    pub(crate) fn new(policy: DeadlinePolicy) -> Self {
        Self { policy, waits: Table::default(), agenda: Agenda::default() }
    }

    /// A request came. Says by when it must have its head: no retry begins later.
    pub(crate) fn begin(&mut self, now: Instant, key: K) -> Instant {
        let answer_by = now.after(self.policy.answer_max);
        let known = self.waits.insert(key, Wait { answer_by, next: None });
        assert!(known.is_none(), "{key:?} begins twice");
        self.enter(now, key, Phase::Idle);
        answer_by
    }

    /// It waits for something else now; the deadline of what it waited for is off. Entering the same phase
    /// again begins its wait anew.
    pub(crate) fn enter(&mut self, now: Instant, key: K, phase: Phase) {
        let policy = self.policy;
        let wait = self.waits.get_mut(&key).unwrap_or_else(|| unreachable!("{key:?} waits before it begins"));
        let answer = (wait.answer_by, Due::Answer);
        let earlier = |span, due| {
            let at = now.after(span);
            // At the same moment, what ends the request comes first: another attempt would be of no use.
            if at < answer.0 { (at, due) } else { answer }
        };
        let next = match phase {
            Phase::Idle => Some(answer),
            Phase::Lookup => Some(earlier(policy.lookup_max, Due::Lookup)),
            Phase::Head => Some(earlier(policy.head_max, Due::Head)),
            Phase::Paused => None,
            Phase::Chunk => Some((now.after(policy.chunk_max), Due::Chunk)),
            Phase::Store => Some((now.after(policy.store_max), Due::Store)),
        };
        match (next, wait.next) {
            (Some((at, _)), _) => self.agenda.set(key, at),
            (None, Some(_)) => drop(self.agenda.remove(key)),
            (None, None) => {}
        }
        wait.next = next.map(|(_, due)| due);
    }

    /// By when it must have its head, if it has begun.
    pub(crate) fn answer_by(&self, key: K) -> Option<Instant> {
        self.waits.get(&key).map(|wait| wait.answer_by)
    }

    /// It goes on under another name, with what time it has left, and waits for its turn.
    pub(crate) fn hand_over(&mut self, now: Instant, from: K, to: K) {
        let answer_by =
            self.answer_by(from).unwrap_or_else(|| unreachable!("{from:?} is handed over before it begins"));
        self.end(from);
        let known = self.waits.insert(to, Wait { answer_by, next: None });
        assert!(known.is_none(), "{to:?} begins twice");
        self.enter(now, to, Phase::Idle);
    }

    /// It is over, or was never begun.
    pub(crate) fn end(&mut self, key: K) {
        if let Some(Wait { next: Some(_), .. }) = self.waits.remove(&key) {
            self.agenda.remove(key);
        }
    }

    /// The next request whose wait was too long. It is handed out once and then waits for nothing: the caller
    /// ends it, or has it enter another phase.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Option<(K, Due)> {
        let (_, key) = self.agenda.pop_due(now)?;
        let wait = self.waits.get_mut(&key).expect("the agenda names requests that wait");
        let due = wait.next.take().expect("the agenda names what is due");
        Some((key, due))
    }

    /// When the next wait is too long, and which.
    pub(crate) fn poll_wake(&self) -> Option<(Instant, Due)> {
        let (at, key) = self.agenda.first()?;
        self.waits[&key].next.map(|due| (at, due))
    }

    /// Every name that is known, in no order.
    pub(crate) fn known(&self) -> impl Iterator<Item = K> {
        self.waits.names()
    }

    /// How many have something due.
    pub(crate) fn timers(&self) -> usize {
        self.agenda.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::id::RequestId;
    use proptest::prelude::*;
    use std::vec::Vec;

    const POLICY: DeadlinePolicy = DeadlinePolicy {
        lookup_max: Duration::from_millis(100),
        head_max: Duration::from_millis(400),
        answer_max: Duration::from_millis(1_000),
        chunk_max: Duration::from_millis(300),
        store_max: Duration::from_millis(200),
    };
    const R: RequestId = RequestId(1);

    fn at(millis: u64) -> Instant {
        Instant::ZERO.after(Duration::from_millis(millis))
    }

    /// Phases entered at moments, and what is due then: `None` is nothing at all.
    #[test]
    fn each_phase_has_its_own_deadline() {
        type Case = (&'static str, &'static [(u64, Phase)], Option<(u64, Due)>);
        let table: [Case; 11] = [
            ("a request that nobody takes up", &[], Some((1_000, Due::Answer))),
            ("a tier", &[(10, Phase::Lookup)], Some((110, Due::Lookup))),
            ("the next tier", &[(10, Phase::Lookup), (90, Phase::Lookup)], Some((190, Due::Lookup))),
            ("the origin", &[(50, Phase::Lookup), (90, Phase::Head)], Some((490, Due::Head))),
            ("between attempts", &[(50, Phase::Head), (450, Phase::Idle)], Some((1_000, Due::Answer))),
            ("the last attempt", &[(700, Phase::Head)], Some((1_000, Due::Answer))),
            ("exactly both", &[(600, Phase::Head)], Some((1_000, Due::Answer))),
            ("a chunk", &[(50, Phase::Head), (90, Phase::Chunk)], Some((390, Due::Chunk))),
            (
                "a late chunk",
                &[(90, Phase::Chunk), (100, Phase::Paused), (90_000, Phase::Chunk)],
                Some((90_300, Due::Chunk)),
            ),
            ("a store", &[(900, Phase::Store)], Some((1_100, Due::Store))),
            ("a slow client", &[(90, Phase::Chunk), (100, Phase::Paused)], None),
        ];
        for (name, steps, expected) in table {
            let mut deadlines = Deadlines::new(POLICY);
            assert_eq!(deadlines.begin(at(0), R), at(1_000));
            for (millis, phase) in steps {
                deadlines.enter(at(*millis), R, *phase);
            }
            let Some((millis, due)) = expected else {
                assert_eq!(
                    (deadlines.poll_wake(), deadlines.poll_due(at(u64::MAX / 2))),
                    (None, None),
                    "{name}"
                );
                continue;
            };
            assert_eq!(deadlines.poll_wake(), Some((at(millis), due)), "{name}");
            assert_eq!(deadlines.poll_due(at(millis - 1)), None, "{name}: not yet");
            assert_eq!(deadlines.poll_due(at(millis)), Some((R, due)), "{name}");
            assert_eq!((deadlines.poll_due(at(millis)), deadlines.poll_wake()), (None, None), "{name}: once");
            deadlines.end(R);
            assert!(deadlines.known().next().is_none());
        }
    }

    /// A request as the test keeps it: its name, its `answer_by`, and what is due.
    type Known = (RequestId, Instant, Option<(Instant, Due)>);

    proptest! {
        /// Many requests: each wake is kept exactly, in order, nobody is due who was not asked for, and ends
        /// leave nothing.
        #[test]
        fn the_agenda_is_exact(
            steps in proptest::collection::vec((0_u64..6, 0_u8..8, 0_u64..300), 1..120),
        ) {
            let mut deadlines = Deadlines::new(POLICY);
            let mut model: Vec<Known> = Vec::new();
            let mut now = at(0);
            for (request, step, pause) in steps {
                let request = RequestId(request);
                now = now.after(Duration::from_millis(pause));
                let place = model.iter().position(|(name, ..)| *name == request);
                let phases = [
                    Phase::Idle, Phase::Lookup, Phase::Head, Phase::Paused, Phase::Chunk, Phase::Store,
                ];
                match (place, step) {
                    (None, 0..7) => {
                        let by = deadlines.begin(now, request);
                        model.push((request, by, Some((by, Due::Answer))));
                    }
                    (Some(place), 0..6) => {
                        let phase = phases[usize::from(step)];
                        deadlines.enter(now, request, phase);
                        let by = model[place].1;
                        let (span, due) = match phase {
                            Phase::Idle | Phase::Paused => (Duration::MAX, Due::Answer),
                            Phase::Lookup => (POLICY.lookup_max, Due::Lookup),
                            Phase::Head => (POLICY.head_max, Due::Head),
                            Phase::Chunk => (POLICY.chunk_max, Due::Chunk),
                            Phase::Store => (POLICY.store_max, Due::Store),
                        };
                        model[place].2 = match phase {
                            Phase::Paused => None,
                            Phase::Chunk | Phase::Store => Some((now.after(span), due)),
                            Phase::Idle | Phase::Lookup | Phase::Head if now.after(span) < by => {
                                Some((now.after(span), due))
                            }
                            Phase::Idle | Phase::Lookup | Phase::Head => Some((by, Due::Answer)),
                        };
                    }
                    (place, _) => {
                        deadlines.end(request);
                        if let Some(place) = place {
                            model.swap_remove(place);
                        }
                    }
                }
                let waits = model.iter().filter_map(|(name, _, next)| next.map(|(at, due)| (at, *name, due)));
                let next = waits.min_by_key(|(at, name, _)| (*at, *name));
                prop_assert_eq!(deadlines.poll_wake(), next.map(|(at, _, due)| (at, due)));
                while let Some((name, due)) = deadlines.poll_due(now) {
                    let entry = model.iter_mut().find(|(known, ..)| *known == name).expect("only who waits is due");
                    let (at, expected) = entry.2.take().expect("only once");
                    prop_assert!(at <= now && expected == due);
                }
                prop_assert!(model.iter().all(|(_, _, next)| next.is_none_or(|(at, _)| at > now)));
            }
            model.iter().for_each(|(name, ..)| deadlines.end(*name));
            prop_assert!(deadlines.known().next().is_none() && deadlines.poll_wake().is_none());
        }
    }
}
