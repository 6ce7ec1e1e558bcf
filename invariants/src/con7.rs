//! CON7: who asks the origin alone, past those who wait for the same, does so because of an answer.
//!
//! A key counts as uncacheable only after an answer to it that may not be stored, for as long as the
//! configuration says, and no longer than until one that may be stored, or a hard purge of the key. A failure
//! of the origin, or a 304, says nothing of it. The rule does not judge why an answer may not be stored, nor
//! that such a key is remembered at all.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::{collections::BTreeMap, time::Duration};
use tiergate_engine::{
    CacheKey, Event, FetchEvent, Instant, MissReason, PurgeEvent, PurgeMode, RequestEvent, SelectorKind,
    Storable,
};

/// The rule.
#[derive(Debug)]
pub struct AloneForAReason {
    longest: Duration,
    /// Until when each key may count as uncacheable.
    until: BTreeMap<(Edge, CacheKey), Instant>,
}

impl AloneForAReason {
    /// The rule for `collapse.uncacheable_s`.
    pub const fn new(longest: Duration) -> Self {
        Self { longest, until: BTreeMap::new() }
    }

    fn on_event(&mut self, now: Instant, edge: Edge, event: &Event) -> Result<(), String> {
        match event {
            Event::Fetch(FetchEvent::HeadArrived { key, status, storable, .. }) => match (storable, status) {
                (Storable::Yes, _) => {
                    self.until.remove(&(edge, *key));
                }
                (Storable::No(_), 304 | 500 | 502 | 503 | 504) => {}
                (Storable::No(_), _) => {
                    self.until.insert((edge, *key), now.after(self.longest));
                }
            },
            Event::Request(RequestEvent::Missed { key, reason: MissReason::Uncacheable, .. })
            | Event::Fetch(FetchEvent::FoundUncacheable { key, .. }) => {
                let until = self.until.get(&(edge, *key)).copied();
                if until.is_none_or(|until| until <= now) {
                    return Err(format!("edge {}: {event:?}, and answers said so until {until:?}", edge.0));
                }
            }
            // What a purge of many keys, or a soft one, says of it, only the edge can tell.
            Event::Purge(
                PurgeEvent::PurgeBegan { what: SelectorKind::Key(key), mode: PurgeMode::Hard, .. }
                | PurgeEvent::RemotePurged { what: SelectorKind::Key(key), mode: PurgeMode::Hard },
            ) => {
                self.until.remove(&(edge, *key));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Default for AloneForAReason {
    fn default() -> Self {
        Self::new(Duration::MAX)
    }
}

impl Invariant for AloneForAReason {
    fn id(&self) -> &'static str {
        "CON7"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Engine { edge, event, .. } => {
                self.on_event(fact.at, *edge, event).map_err(|detail| Violation { rule: "CON7", detail })
            }
            What::EdgeStarted { edge } | What::EdgeCrashed { edge } => {
                self.until.retain(|(other, _), _| other != edge);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY};
    use tiergate_engine::{FillId, Length, NotStorable, PurgeId, RequestId};

    fn head(status: u16, storable: Storable) -> Event {
        let (fill, length) = (FillId(1), Length::Unknown);
        FetchEvent::HeadArrived { fill, key: KEY, variant: KEY, status, length, storable }.into()
    }

    const NO_STORE: Storable = Storable::No(NotStorable::NoStore);

    fn alone() -> Event {
        RequestEvent::Missed { request: RequestId(1), key: KEY, reason: MissReason::Uncacheable }.into()
    }

    fn history() -> History {
        History::of(AloneForAReason::new(Duration::from_nanos(10)))
    }

    /// For as long as an answer said so it passes, and not a moment longer.
    #[test]
    fn it_ends_with_its_time() {
        let mut history = history();
        assert_eq!(history.event(alone()), Err("CON7"));
        history.event(head(200, NO_STORE)).unwrap();
        let found = Event::Fetch(FetchEvent::FoundUncacheable { key: KEY, why: NotStorable::NoStore });
        assert_eq!(history.event(found), Ok(()));
        history.at(9);
        assert_eq!(history.event(alone()), Ok(()));
        history.at(10);
        assert_eq!(history.event(alone()), Err("CON7"));
    }

    /// A failure says nothing; what may be stored, and a purge, end it.
    #[test]
    fn other_answers_do_not_say_so() {
        for status in [304, 503] {
            let mut history = history();
            history.event(head(status, NO_STORE)).unwrap();
            assert_eq!(history.event(alone()), Err("CON7"), "{status}");
        }
        let (purge, what, mode) = (PurgeId(1), SelectorKind::Key(KEY), PurgeMode::Hard);
        for event in [head(200, Storable::Yes), Event::Purge(PurgeEvent::PurgeBegan { purge, what, mode })] {
            let mut history = history();
            history.event(head(200, NO_STORE)).unwrap();
            history.event(event).unwrap();
            assert_eq!(history.event(alone()), Err("CON7"));
        }
    }
}
