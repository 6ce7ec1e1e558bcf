//! When an edge asks the origin again, held against what it was told and what it said, and all attempts
//! against their deadline.

use crate::explore::world::{Life, World};
use std::time::Duration;
use tiergate_engine::{Event, FetchEvent};

impl World {
    /// Whoever was told to wait waits as long before it asks again (I15, failure R3), and not longer than it
    /// says (L2).
    pub(in crate::explore) fn check_retry(&mut self, of: Life, event: &Event) {
        self.check_answer_by(of, event);
        if let Event::Fetch(FetchEvent::HeadArrived { fill, .. }) = event
            && let Some((_, is_received)) = self.origin.told_to_wait.get_mut(&(of, *fill))
        {
            *is_received = true;
        }
        if let Event::Fetch(FetchEvent::Fetched { fill, .. }) = event
            && let Some(due) = self.origin.due.remove(&(of, *fill))
            && due < self.now
        {
            self.breaks("L2", format!("{fill:?} was to be asked for at {due:?}, and nobody was woken"));
        }
        let Event::Fetch(FetchEvent::Retried { fill, next, at, .. }) = event else { return };
        self.origin.due.insert((of, *next), *at);
        let Some((told, true)) = self.origin.told_to_wait.remove(&(of, *fill)) else { return };
        if at.since(self.now) < told {
            self.breaks("I15", format!("{fill:?} was told to wait {told:?}, and asks again at {at:?}"));
        }
    }

    /// All attempts of one fetch have `resilience.deadline.answer_ms_max` together until a head comes (CON6).
    fn check_answer_by(&mut self, of: Life, event: &Event) {
        let longest = Duration::from_millis(self.plan.raw.resilience.deadline.answer_ms_max.into());
        let begun = &mut self.origin.begun;
        let began = match event {
            Event::Fetch(FetchEvent::Fetched { fill, .. }) => {
                begun.entry((of, *fill)).or_insert(self.now);
                return;
            }
            Event::Fetch(FetchEvent::Retried { fill, next, .. }) => {
                if let Some(began) = begun.remove(&(of, *fill)) {
                    begun.insert((of, *next), began);
                }
                return;
            }
            Event::Fetch(FetchEvent::HeadArrived { fill, .. }) => begun.remove(&(of, *fill)),
            Event::Fetch(FetchEvent::FetchEnded { fill, .. }) => begun.get(&(of, *fill)).copied(),
            _ => return,
        };
        if let Some(took) = began.map(|began| self.now.since(began)).filter(|took| *took > longest) {
            self.breaks("CON6", format!("{event:?} after {took:?}, and {longest:?} is all that it had"));
        }
    }
}
