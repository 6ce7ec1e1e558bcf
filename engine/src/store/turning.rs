//! The turn of a stream from its full segment to the next.
//!
//! A segment is overwritten only when all is durable that was written before, and takes blocks only when its
//! own header is: two syncs a segment. The streams turn one after the other, and segments are overwritten in
//! the order in which they were freed. So whatever a freed segment held is never needed again:
//! `docs/format.md` says why.

use super::{
    Store,
    appending::Written,
    block::{Checksums, Kind, Label, Place},
    blocks::{Blocks, Payload},
    content::Mark,
    log::{Both, Open, STREAMS, Segment, Standing, summary_sectors},
    plant::StoreFault,
    policy::Stream,
    syncing::Waiter,
};

/// Free segments that a turn leaves, if it is for what clients append: with the next one, a reclaim has where
/// to move.
pub(super) const KEPT_OF_APPENDS: usize = 2;
/// Free segments that a turn leaves, if it is for a reclaim or a tombstone: a recovery needs one to begin
/// with.
pub(super) const KEPT_OF_MOVES: usize = 1;

/// ```text
/// Idle ──no room──▶ Draining ──its writes over, no other turn──▶ Syncing ──▶ Heading ──▶ Settling ──▶ Idle
/// ```
#[derive(Debug, Default)]
pub(super) enum Turn {
    #[default]
    Idle,
    /// Writes to the segment that is full are under way, or the other stream turns.
    Draining { full: Option<Open>, next: u32 },
    /// A sync is to make them durable, and everything that made the next segment free.
    Syncing { full: Option<Open>, next: Next },
    /// Its header is being written, and the summary of the one before.
    Heading { next: Next },
    /// A sync is to make them durable.
    Settling { next: Next },
}

/// The segment that is to take appends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    segment: u32,
    sequence: u64,
    stamp: u64,
    /// When the sync began that comes before its header: what was freed since is not covered by it.
    floors: Both<u64>,
}

impl Store {
    /// There is no room in the open segment of a stream. Its turn begins if it leaves so many free segments.
    /// Says whether it began.
    pub(super) fn want_turn(&mut self, stream: Stream, kept: usize) -> bool {
        let Turn::Idle = self.turns[stream] else { return false };
        let has_none = stream == Stream::Main && self.log.streams[stream].open.is_none();
        let kept = if has_none { 0 } else { kept };
        if self.log.free.len() <= kept {
            return false;
        }
        let next = self.log.free.pop_front().expect("there are more than are kept");
        self.log.segment(next).standing = Standing::Next;
        let full = self.log.streams[stream].open.take();
        if let Some(full) = &full {
            self.log.segment(full.segment).standing = Standing::Full;
        }
        self.turns[stream] = Turn::Draining { full, next };
        true
    }

    pub(super) const fn is_turning(&self, stream: Stream) -> bool {
        let turn = match stream {
            Stream::Newcomer => &self.turns.newcomer,
            Stream::Main => &self.turns.main,
        };
        match turn {
            Turn::Idle => false,
            Turn::Draining { .. } | Turn::Syncing { .. } | Turn::Heading { .. } | Turn::Settling { .. } => {
                true
            }
        }
    }

    /// Does what can be done now. Says whether anything changed.
    pub(super) fn go_on_turning(&mut self, stream: Stream) -> bool {
        let is_drained = self.log.streams[stream].writes == 0;
        let is_alone = !STREAMS.into_iter().any(|stream| {
            matches!(self.turns[stream], Turn::Syncing { .. } | Turn::Heading { .. } | Turn::Settling { .. })
        });
        match core::mem::take(&mut self.turns[stream]) {
            Turn::Draining { full, next } if is_drained && is_alone => {
                let (sequence, stamp) = (self.log.next_sequence, self.log.next_stamp);
                self.log.next_sequence += 1;
                self.log.streams[stream].live.insert(sequence, next);
                let next = Next { segment: next, sequence, stamp, floors: self.log.floors_now() };
                self.turns[stream] = Turn::Syncing { full, next };
                if self.planted.is(StoreFault::TurnsEarly) {
                    self.on_turn_synced(stream);
                } else {
                    self.want_sync(Waiter::Turn { stream });
                }
                true
            }
            Turn::Heading { next } if is_drained => {
                self.turns[stream] = Turn::Settling { next };
                if self.planted.is(StoreFault::SettlesEarly) {
                    self.on_turn_synced(stream);
                } else {
                    self.want_sync(Waiter::Turn { stream });
                }
                true
            }
            waiting @ (Turn::Idle
            | Turn::Draining { .. }
            | Turn::Syncing { .. }
            | Turn::Heading { .. }
            | Turn::Settling { .. }) => {
                self.turns[stream] = waiting;
                false
            }
        }
    }

    pub(super) fn on_turn_synced(&mut self, stream: Stream) {
        match core::mem::take(&mut self.turns[stream]) {
            Turn::Syncing { full, next } => {
                if let Some(full) = full {
                    self.seal(stream, full);
                }
                self.head(stream, next);
                self.turns[stream] = Turn::Heading { next };
            }
            Turn::Settling { next } => {
                let Next { segment, sequence, stamp, floors } = next;
                *self.log.segment(segment) = Segment { standing: Standing::Open, stream, sequence, stamp };
                self.log.floors = floors;
                self.log.begin(stream, segment);
            }
            other @ (Turn::Idle | Turn::Draining { .. } | Turn::Heading { .. }) => {
                unreachable!("no sync was wanted in {other:?}")
            }
        }
    }

    /// Writes the header of the next segment, twice.
    fn head(&mut self, stream: Stream, next: Next) {
        let mark = Mark { stamp: next.stamp, floors: next.floors, ..self.mark(stream, 0) };
        let mut blocks = Blocks::new(self.geometry);
        for sector in 0..2 {
            let label =
                Label::of_segment(Kind::Segment, Place { segment: next.segment, sector }, next.sequence);
            blocks = blocks.with(Checksums::OPEN, label, Payload::Mark(mark));
        }
        let place = Place { segment: next.segment, sector: 0 };
        self.counts.marks += self.write(stream, place, blocks, Written::Header);
    }

    /// Writes the summary and the footer, which end at the end of the segment.
    fn seal(&mut self, stream: Stream, full: Open) {
        let footer_at = self.geometry.sectors - 1;
        let summary_at = footer_at - summary_sectors(&self.geometry, full.entries.len());
        let label =
            |kind, sector| Label::of_segment(kind, Place { segment: full.segment, sector }, full.sequence);
        let mark = self.mark(stream, summary_at);
        let blocks = Blocks::new(self.geometry)
            .with(self.checksums, label(Kind::Summary, summary_at), Payload::Summary(full.entries))
            .with(Checksums::OPEN, label(Kind::Footer, footer_at), Payload::Mark(mark));
        self.log.segment(full.segment).standing = Standing::Sealed { summary: Some(summary_at) };
        let place = Place { segment: full.segment, sector: summary_at };
        self.counts.marks += self.write(stream, place, blocks, Written::Summary);
    }

    fn mark(&self, stream: Stream, summary: u32) -> Mark {
        Mark {
            store: self.number,
            stamp: 0,
            floors: Both::default(),
            segments: self.segments_marked(),
            sectors: self.geometry.sectors,
            sector_bytes: self.geometry.sector_bytes,
            summary,
            stream,
        }
    }
}
