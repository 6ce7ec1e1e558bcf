//! A device gets smaller: the segments beyond its new end are emptied, and what marks them is overwritten.
//!
//! What lies there moves to the segments that stay, as a reclaim moves it. Where these have no room, the
//! policy makes some, as it always does. No new block gets its place beyond the new end, unless there are
//! fewer free segments before it than a reclaim needs.
//!
//! ```text
//! Emptying ──▶ Syncing ──▶ Erasing ──▶ Emptying …, segment by segment
//!     ╰──nothing lies there──▶ Turning ──▶ Clearing ──▶ Settling ──▶ done
//! ```
//!
//! The headers of a segment are overwritten when all is durable that was moved out of it, and before another
//! segment is reclaimed: so it is not found again once something is overwritten that hid what it held. When
//! nothing lies beyond the new end, a header is written that has the new number of segments, so that what is
//! left can be recovered without the rest. `docs/format.md` argues crash by crash.

use super::{
    Event, Op, Store,
    appending::Written,
    block::Place,
    blocks::Blocks,
    geometry::{Geometry, RawGeometry},
    log::{STREAMS, Segment, Standing},
    policy::{FREE_SEGMENTS, Stream},
    reclaiming::Manner,
    syncing::Waiter,
    turning::KEPT_OF_MOVES,
};

/// A device that is to have fewer segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shrinking {
    op: Op,
    /// The segments that it had.
    before: u32,
    /// Segments beyond the end that held something when they were fewest.
    fewest: u32,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Segments beyond the new end hold something.
    Emptying,
    /// One holds nothing any more. A sync is to make that durable.
    Syncing { segment: u32 },
    /// Its headers are being overwritten.
    Erasing { segment: u32 },
    /// A header is being written that has the new number of segments.
    Turning,
    /// The headers of all segments beyond the new end are being overwritten, whatever they held before.
    Clearing { segment: u32 },
    /// A sync is to make that durable.
    Settling,
}

impl Store {
    /// From now on the device has so many segments, and those beyond are emptied.
    pub(super) fn shrink(&mut self, op: Op, geometry: Geometry) {
        let (now, then) = (self.geometry.raw(), geometry.raw());
        assert!(
            then.segments <= now.segments && RawGeometry { segments: now.segments, ..then } == now,
            "the answer rule: a device of {now:?} is to become one of {then:?}"
        );
        assert!(
            !self.log.is_open() && self.is_idle() && !self.is_read_only(),
            "the answer rule: a device gets smaller before anything is asked of its store"
        );
        self.geometry = geometry;
        let step = Step::Emptying;
        self.shrinking = Some(Shrinking { op, before: now.segments, fewest: now.segments, step });
        // Those before the new end are taken first; nothing in any of these can be found, so their order is
        // free.
        self.log.free.make_contiguous().sort_unstable();
        self.retire_free();
    }

    /// Segments beyond the end that hold something. Zero unless the device is getting smaller.
    pub fn segments_beyond(&self) -> u32 {
        let end = self.geometry.segments;
        let live = STREAMS.into_iter().flat_map(|stream| self.log.streams[stream].live.values());
        u32::try_from(live.filter(|segment| **segment >= end).count()).unwrap_or(u32::MAX)
    }

    /// How many segments the headers say that there are: those beyond the end count until nothing lies there.
    pub(super) fn segments_marked(&self) -> u32 {
        match self.shrinking {
            Some(Shrinking {
                before,
                step: Step::Emptying | Step::Syncing { .. } | Step::Erasing { .. },
                ..
            }) => before,
            Some(Shrinking { step: Step::Turning | Step::Clearing { .. } | Step::Settling, .. }) | None => {
                self.geometry.segments
            }
        }
    }

    /// Is it said here what is reclaimed next?
    pub(super) const fn is_emptying(&self) -> bool {
        matches!(
            self.shrinking,
            Some(Shrinking { step: Step::Emptying | Step::Syncing { .. } | Step::Erasing { .. }, .. })
        )
    }

    /// Does what can be done now. Says whether anything changed.
    pub(super) fn go_on_shrinking(&mut self) -> bool {
        match self.shrinking.map(|shrinking| shrinking.step) {
            Some(Step::Emptying) if self.reclaim.is_none() => self.empty_next(),
            Some(Step::Turning) if !self.is_turning(Stream::Main) => {
                self.clear(self.geometry.segments);
                true
            }
            Some(
                Step::Emptying
                | Step::Syncing { .. }
                | Step::Erasing { .. }
                | Step::Turning
                | Step::Clearing { .. }
                | Step::Settling,
            )
            | None => false,
        }
    }

    /// Makes room, or empties the next segment beyond the end. Says whether anything changed.
    fn empty_next(&mut self) -> bool {
        if STREAMS.into_iter().any(|stream| self.is_turning(stream)) {
            return false;
        }
        let end = self.geometry.segments;
        let beyond = |store: &Self, stream: Stream| {
            let mut live = store.log.streams[stream].live.iter();
            live.find(|(_, segment)| **segment >= end).map(|(sequence, segment)| (*sequence, *segment))
        };
        let next = STREAMS.into_iter().filter_map(|stream| beyond(self, stream)).min();
        let live: usize = STREAMS.into_iter().map(|stream| self.log.streams[stream].live.len()).sum();
        let is_short = live + FREE_SEGMENTS as usize > end as usize;
        if is_short && self.begin_reclaim() {
            return true;
        }
        let Some((_, segment)) = next else {
            self.log.free.retain(|segment| *segment < end);
            let is_begun = self.want_turn(Stream::Main, KEPT_OF_MOVES) || self.want_turn(Stream::Main, 0);
            if is_begun {
                self.enter(Step::Turning);
            }
            return is_begun;
        };
        match self.log.segment(segment).standing {
            Standing::Open => {
                let stream = self.log.segment(segment).stream;
                self.want_turn(stream, KEPT_OF_MOVES) || self.want_turn(stream, 0)
            }
            Standing::Sealed { .. } => self.reclaim_segment(segment, Manner::Vacating),
            standing @ (Standing::Free | Standing::Next | Standing::Full) => {
                unreachable!("no stream turns, but segment {segment} is {standing:?}")
            }
        }
    }

    fn enter(&mut self, step: Step) {
        if let Some(shrinking) = &mut self.shrinking {
            shrinking.step = step;
        }
    }

    /// A segment holds nothing any more. Before the end it is free. Beyond it is erased.
    pub(super) fn on_emptied(&mut self, segment: u32) {
        if segment < self.geometry.segments {
            self.log.release(segment);
            return self.retire_free();
        }
        self.log.vacate(segment);
        let left = self.segments_beyond();
        if let Some(shrinking) = &mut self.shrinking
            && shrinking.fewest > left
        {
            shrinking.fewest = left;
            self.reclaims_in_vain = 0;
        }
        self.enter(Step::Syncing { segment });
        self.want_sync(Waiter::Shrinking);
    }

    /// Free segments beyond the end are lent as long as there are not enough before it: without any, none can
    /// be emptied.
    fn retire_free(&mut self) {
        let end = self.geometry.segments;
        let staying = self.log.free.iter().filter(|segment| **segment < end).count();
        let mut lent = (FREE_SEGMENTS as usize).saturating_sub(staying);
        self.log.free.retain(|segment| {
            let is_taken = *segment < end || lent > 0;
            if *segment >= end {
                lent = lent.saturating_sub(1);
            }
            is_taken
        });
    }

    pub(super) fn on_shrink_synced(&mut self) {
        let Some(Shrinking { op, step, .. }) = self.shrinking else {
            unreachable!("no sync was wanted to make a device smaller")
        };
        match step {
            Step::Syncing { segment } => {
                self.enter(Step::Erasing { segment });
                self.erase(segment);
            }
            Step::Settling => {
                self.shrinking = None;
                self.event(Event::Shrunk { op });
            }
            Step::Emptying | Step::Erasing { .. } | Step::Turning | Step::Clearing { .. } => {
                unreachable!("no sync was wanted in {step:?}")
            }
        }
    }

    /// Overwrites the headers of a segment.
    fn erase(&mut self, segment: u32) {
        let blocks = Blocks::blank(self.geometry, 2);
        let place = Place { segment, sector: 0 };
        self.counts.marks += self.write(Stream::Main, place, blocks, Written::Blank);
    }

    pub(super) fn on_erased(&mut self) {
        let Some(Shrinking { step, .. }) = self.shrinking else { return };
        match step {
            Step::Erasing { segment } => {
                let stream = self.log.segment(segment).stream;
                *self.log.segment(segment) =
                    Segment { standing: Standing::Free, stream, sequence: 0, stamp: 0 };
                self.log.free.push_back(segment);
                self.retire_free();
                self.enter(Step::Emptying);
            }
            Step::Clearing { segment } => self.clear(segment + 1),
            Step::Emptying | Step::Syncing { .. } | Step::Turning | Step::Settling => {
                unreachable!("nothing was erased in {step:?}")
            }
        }
    }

    /// Goes on with this segment, or with the end of it all.
    fn clear(&mut self, segment: u32) {
        let before = self.shrinking.map_or(0, |shrinking| shrinking.before);
        if segment < before {
            self.enter(Step::Clearing { segment });
            self.erase(segment);
        } else {
            self.enter(Step::Settling);
            self.want_sync(Waiter::Shrinking);
        }
    }

    /// Nothing is written any more: whoever asked for it is told.
    pub(super) fn fail_shrinking(&mut self) {
        if let Some(Shrinking { op, .. }) = self.shrinking.take() {
            self.fail(op, super::Failure::ReadOnly);
        }
    }
}
