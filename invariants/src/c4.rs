//! C4: a copy whose reader left, or could not read on, never becomes visible.
//!
//! It checks each `Stored` that came from another tier: one of those for whom such a copy was being made has
//! had all of the response. Copies of one key into L0 are not told apart, so there a reader who has had all
//! of it excuses another. It does not check copies of what the origin sends, which may go on without readers;
//! that a fetch which broke off is not kept is C5's.

use crate::{
    Fact, Invariant, Violation,
    readers::{Reader, Readers},
};

/// The rule.
#[derive(Debug, Default)]
pub struct DroppedReaders {
    readers: Readers,
}

impl Invariant for DroppedReaders {
    fn id(&self) -> &'static str {
        "C4"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match self.readers.observe(fact) {
            Some((key, tier, Reader::Dropped)) => Err(Violation {
                rule: "C4",
                detail: format!("{key} is visible in {tier:?}, though its reader has not had all of it"),
            }),
            Some((_, _, Reader::Reading(_) | Reader::Whole)) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, copied, lane_opened, served};
    use tiergate_engine::{AbortReason, End, TierId};

    const L1: TierId = TierId::L1;
    const LEFT: End = End::Aborted(AbortReason::ClientLeft);

    /// A reader that leaves takes its copy along; one that has had all of it does not, and excuses the other.
    #[test]
    fn only_a_whole_reader_leaves_a_copy() {
        for (ends, expected) in
            [(vec![End::Complete], Ok(())), (vec![LEFT], Err("C4")), (vec![LEFT, End::Complete], Ok(()))]
        {
            let mut history = History::of(DroppedReaders::default());
            for (request, end) in (1..).zip(&ends) {
                history.event(lane_opened(TierId::L0, Some((L1, request)))).unwrap();
                history.event(served(request, 3, *end)).unwrap();
            }
            assert_eq!(history.event(copied(TierId::L0, Some(L1))), expected, "{ends:?}");
        }
    }
}
