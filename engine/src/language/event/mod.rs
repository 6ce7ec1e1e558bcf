//! What the engine did, for those who watch. Ignoring events changes nothing.
//!
//! Events come in groups, one file and enum for each: a rule that cares for one group names the other groups,
//! not each of their events. The name of a variant is unique over all groups.

mod copy;
mod durable;
mod fetch;
mod purge;
mod request;
mod residence;
mod resilience;

pub use copy::{CopyEvent, FillVerdict};
pub use durable::DurableEvent;
pub use fetch::{FetchEnd, FetchEvent, NotAdopted, Purpose};
pub use purge::PurgeEvent;
pub use request::RequestEvent;
pub use residence::ResidenceEvent;
pub use resilience::{ResilienceEvent, TierOperation};

use core::fmt;

/// A fact, past tense.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// What became of a client's request. Each event names the request.
    Request(RequestEvent),
    /// What the origin was asked, and what it answered.
    Fetch(FetchEvent),
    /// Copies into a tier: begun, given up, or not wanted.
    Copy(CopyEvent),
    /// What can be found in a tier, and what no longer can.
    Residence(ResidenceEvent),
    /// Which tiers and origins can be asked: who failed, was late or is not asked for a while.
    Resilience(ResilienceEvent),
    /// What was purged, here and at other edges.
    Purge(PurgeEvent),
    /// What only the durable tier does.
    Durable(DurableEvent),
}

/// The text of an event leaves the group out, because the name of a variant says which group it is in.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(event) => event.fmt(f),
            Self::Fetch(event) => event.fmt(f),
            Self::Copy(event) => event.fmt(f),
            Self::Residence(event) => event.fmt(f),
            Self::Resilience(event) => event.fmt(f),
            Self::Purge(event) => event.fmt(f),
            Self::Durable(event) => event.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event is copied into queues: which group it is in takes no room beside the largest of them.
    #[test]
    fn the_group_takes_no_room() {
        assert_eq!(size_of::<Event>(), size_of::<ResidenceEvent>());
    }
}
