//! I6: each request that an engine takes has exactly one end, and nothing is told of it afterwards.
//!
//! An end is `Served`, `Passed` or `Refused`. It checks that no request is taken twice at a time, that each
//! end and whatever else is told of a request belongs to one that is open, and that none is open when its
//! edge has settled. It does not see the fast path, which tells nothing. What clients see of it is CON6's,
//! and what the driver sees I13's.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::BTreeSet;
use tiergate_engine::{Event, RequestEvent, RequestId};

/// The rule.
#[derive(Debug, Default)]
pub struct OneVerdict {
    open: BTreeSet<(Edge, u32, RequestId)>,
}

/// What an event says of a request.
enum Said {
    Begins,
    GoesOn,
    Ends,
}

fn said(event: &Event) -> Option<(RequestId, Said)> {
    match event {
        Event::Request(event) => Some(said_of_request(event)),
        Event::Fetch(_)
        | Event::Copy(_)
        | Event::Residence(_)
        | Event::Resilience(_)
        | Event::Purge(_)
        | Event::Durable(_) => None,
    }
}

const fn said_of_request(event: &RequestEvent) -> (RequestId, Said) {
    match event {
        RequestEvent::Requested { request, .. } => (*request, Said::Begins),
        RequestEvent::Hit { request, .. }
        | RequestEvent::ServedStale { request, .. }
        | RequestEvent::Revalidated { request, .. }
        | RequestEvent::Missed { request, .. }
        | RequestEvent::Collapsed { request, .. }
        | RequestEvent::AttachRefused { request, .. }
        | RequestEvent::LeaderReplaced { request, .. }
        | RequestEvent::FollowsPart { request, .. }
        | RequestEvent::Hedged { request, .. } => (*request, Said::GoesOn),
        RequestEvent::Passed { request, .. }
        | RequestEvent::Refused { request, .. }
        | RequestEvent::Served { request, .. } => (*request, Said::Ends),
    }
}

impl Invariant for OneVerdict {
    fn id(&self) -> &'static str {
        "I6"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        let broken = |detail| Err(Violation { rule: "I6", detail });
        match &fact.what {
            What::Engine { edge, shard, event } => {
                let Some((request, said)) = said(event) else { return Ok(()) };
                let name = (*edge, *shard, request);
                let is_right = match said {
                    Said::Begins => self.open.insert(name),
                    Said::GoesOn => self.open.contains(&name),
                    Said::Ends => self.open.remove(&name),
                };
                if is_right {
                    return Ok(());
                }
                broken(format!("edge {} says of a request that is not at that point: {event:?}", edge.0))
            }
            What::EdgeStarted { edge } | What::EdgeCrashed { edge } => {
                self.open.retain(|(other, ..)| other != edge);
                Ok(())
            }
            What::Settled { edge, .. } => match self.open.iter().find(|(other, ..)| other == edge) {
                Some((_, _, request)) => broken(format!("{request:?} at edge {} has no end", edge.0)),
                None => Ok(()),
            },
            What::Published { .. }
            | What::OriginAnswered { .. }
            | What::ClientAsked { .. }
            | What::ClientGot { .. }
            | What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Audited { .. }
            | What::Healed => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, requested, served};
    use tiergate_engine::{Audit, End, TierId};

    fn hit(request: u64) -> Event {
        RequestEvent::Hit { request: RequestId(request), key: KEY, tier: TierId::L0 }.into()
    }

    /// Taken, answered and ended, one after the other under one name.
    #[test]
    fn one_end_each_passes() {
        let mut history = History::of(OneVerdict::default());
        for event in [requested(1), hit(1), served(1, 0, End::Complete), requested(1)] {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
        history.show(What::EdgeCrashed { edge: Edge(0) }).unwrap();
        assert_eq!(history.show(What::Settled { edge: Edge(0), open: Audit::default() }), Ok(()));
    }

    /// A second end, what comes after an end, a second beginning, and no end at all.
    #[test]
    fn anything_else_is_named() {
        let end = || served(1, 0, End::Complete);
        for (before, wrong) in [
            (vec![requested(1), end()], end()),
            (vec![requested(1), end()], hit(1)),
            (vec![], hit(1)),
            (vec![requested(1)], requested(1)),
        ] {
            let mut history = History::of(OneVerdict::default());
            for event in before {
                history.event(event).unwrap();
            }
            assert_eq!(history.event(wrong), Err("I6"), "{wrong:?}");
        }
        let mut history = History::of(OneVerdict::default());
        history.event(requested(1)).unwrap();
        assert_eq!(history.show(What::Settled { edge: Edge(0), open: Audit::default() }), Err("I6"));
    }
}
