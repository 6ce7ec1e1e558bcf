//! C2: a copy that a hit makes on its way becomes visible after the hit's response has ended, not before.
//!
//! It checks each `Stored` that came from another tier: one of those for whom such a copy was being made has
//! had all of the response, or has left (C4 says that a copy must not be visible then). It does not check
//! that a copy is whole (C5), nor that it was wanted (P3), and not copies of what the origin sends, which
//! their readers follow.

use crate::{
    Fact, Invariant, Violation,
    readers::{Reader, Readers},
};

/// The rule.
#[derive(Debug, Default)]
pub struct HitsFirst {
    readers: Readers,
}

impl Invariant for HitsFirst {
    fn id(&self) -> &'static str {
        "C2"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match self.readers.observe(fact) {
            Some((key, tier, Reader::Reading(request))) => Err(Violation {
                rule: "C2",
                detail: format!("{key} is visible in {tier:?} while the response of {request:?} goes on"),
            }),
            Some((_, _, Reader::Whole | Reader::Dropped)) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, copied, copied_as, lane_opened, lane_opened_as, served};
    use tiergate_engine::{CopyEvent, End, Event, LaneEnd, RecordName, TierId};

    const L1: TierId = TierId::L1;

    /// Visible after the reader's end passes, however many copies are made, and one that the origin sent is
    /// no matter.
    #[test]
    fn after_the_end_passes() {
        let mut history = History::of(HitsFirst::default());
        for event in [
            lane_opened(TierId::L0, Some((L1, 1))),
            lane_opened(L1, None),
            copied(L1, None),
            served(1, 9, End::Complete),
            lane_opened(TierId::L0, Some((L1, 2))),
            copied(TierId::L0, Some(L1)),
        ] {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
    }

    /// Seed 90394 of `explore`: the copy that is given up is the origin's, not the one that a reader makes.
    #[test]
    fn copies_are_told_apart_by_name() {
        let mut history = History::of(HitsFirst::default());
        let dropped = Event::Copy(CopyEvent::LaneDropped {
            tier: L1,
            key: KEY,
            name: Some(RecordName(2)),
            why: LaneEnd::Abandoned,
        });
        for event in [
            lane_opened_as(Some(1), L1, Some((TierId::L2, 1))),
            lane_opened_as(Some(2), L1, None),
            dropped,
            served(1, 9, End::Complete),
            lane_opened_as(Some(3), L1, Some((TierId::L2, 2))),
            copied_as(Some(1), L1, Some(TierId::L2)),
        ] {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
        assert_eq!(
            history.event(copied_as(Some(3), L1, Some(TierId::L2))),
            Err("C2"),
            "request 2 still reads"
        );
    }

    /// Visible before the end.
    #[test]
    fn before_the_end_is_named() {
        let mut history = History::of(HitsFirst::default());
        history.event(lane_opened(TierId::L0, Some((L1, 1)))).unwrap();
        assert_eq!(history.event(copied(TierId::L0, Some(L1))), Err("C2"));
    }
}
