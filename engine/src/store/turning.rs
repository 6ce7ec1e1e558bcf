//! The turn from a full segment to the next.
//!
//! A segment is overwritten only when all that was written before is durable, and takes blocks only when its own header
//! is: two syncs a segment. So a sequence whose blocks are on the device has its header there, and what a reclaimed
//! segment held is never needed again: not its records, which were moved or dropped, nor its tombstones, for whatever they
//! buried lay in segments that were overwritten before it, or that a durable header calls free.

use super::{
    Pending, Store,
    appending::Written,
    block::{Checksums, Kind, Label, Place},
    blocks::Blocks,
    content::Mark,
    log::{Open, Standing, summary_sectors},
    plant::StoreFault,
    syncing::Waiter,
};
use alloc::{vec, vec::Vec};
use bytes::Bytes;

/// ```text
/// Idle ──no room──▶ Draining ──nothing under way──▶ Syncing ──▶ Choosing ──one is free──▶ Heading ──▶ Settling ──▶ Idle
///                                                                  ▲ ╰─none: reclaim─╯╰─it fails─╮
///                                                                  ╰─────────────────────────────╯
/// ```
#[derive(Debug)]
pub(super) enum Turn {
    Idle,
    /// Writes to the segment that is full are under way.
    Draining(Option<Open>),
    /// A sync is to make them durable.
    Syncing(Option<Open>),
    /// The next segment is wanted.
    Choosing(Option<Open>),
    /// Its header is being written, and the summary of the one before.
    Heading {
        next: u32,
        failed: bool,
    },
    /// A sync is to make them durable.
    Settling {
        next: u32,
    },
}

impl Store {
    /// There is no room in the open segment.
    pub(super) fn begin_turn(&mut self) {
        if let Turn::Idle = self.turn {
            self.turn = Turn::Draining(self.log.open.take());
            self.go_on_turning();
        }
    }

    /// Does what can be done now.
    pub(super) fn go_on_turning(&mut self) {
        if self.is_read_only() {
            return;
        }
        match core::mem::replace(&mut self.turn, Turn::Idle) {
            Turn::Draining(full) if self.writes == 0 && self.planted.is(StoreFault::TurnsEarly) => {
                self.turn = Turn::Choosing(full);
                self.go_on_turning();
            }
            Turn::Draining(full) if self.writes == 0 => {
                self.turn = Turn::Syncing(full);
                self.want_sync(Waiter::Turn);
            }
            Turn::Choosing(full) => match self.log.free() {
                Some(next) => self.head(full, next),
                None => {
                    self.turn = Turn::Choosing(full);
                    self.begin_reclaim();
                }
            },
            Turn::Heading { failed: true, next } if self.writes == 0 => {
                let sequence = self.log.segment(next).sequence;
                self.log.by_sequence.remove(&sequence);
                self.log.segment(next).standing = Standing::Bad;
                self.turn = Turn::Choosing(None);
                self.go_on_turning();
            }
            Turn::Heading { failed: false, next }
                if self.writes == 0 && self.planted.is(StoreFault::SettlesEarly) =>
            {
                self.turn = Turn::Settling { next };
                self.on_turn_synced();
            }
            Turn::Heading { failed: false, next } if self.writes == 0 => {
                self.turn = Turn::Settling { next };
                self.want_sync(Waiter::Turn);
            }
            waiting @ (Turn::Idle
            | Turn::Draining(_)
            | Turn::Syncing(_)
            | Turn::Heading { .. }
            | Turn::Settling { .. }) => self.turn = waiting,
        }
    }

    pub(super) fn on_turn_synced(&mut self) {
        match core::mem::replace(&mut self.turn, Turn::Idle) {
            Turn::Syncing(full) => {
                self.turn = Turn::Choosing(full);
                self.go_on_turning();
            }
            Turn::Settling { next } => {
                self.log.begin(next);
                self.run_jobs();
                if self.log.free().is_none() {
                    self.begin_reclaim();
                }
            }
            other @ (Turn::Idle | Turn::Draining(_) | Turn::Choosing(_) | Turn::Heading { .. }) => {
                unreachable!("no sync was wanted in {other:?}")
            }
        }
    }

    /// Writes the header of the next segment, and seals the one before.
    fn head(&mut self, full: Option<Open>, next: u32) {
        self.turn = Turn::Heading { next, failed: false };
        if let Some(full) = full {
            self.seal(&full);
        }
        let sequence = self.log.next_sequence;
        let floor = self.log.floor();
        self.log.next_sequence += 1;
        self.log.by_sequence.insert(sequence, next);
        let segment = self.log.segment(next);
        (segment.standing, segment.sequence) = (Standing::Open, sequence);
        let mark = self.mark(floor, 0);
        let mut blocks = Blocks::new(self.geometry);
        for sector in 0..2 {
            let label = Label::of_segment(Kind::Segment, Place { segment: next, sector }, sequence);
            blocks = blocks.with(Checksums::OPEN, label, vec![Bytes::copy_from_slice(&mark.encode())]);
        }
        self.counts.marks += blocks.len();
        self.write(Place { segment: next, sector: 0 }, blocks, Written::Header);
    }

    /// Writes the summary and the footer, which end at the end of the segment.
    fn seal(&mut self, full: &Open) {
        let footer_at = self.geometry.sectors - 1;
        let summary_at = footer_at - summary_sectors(&self.geometry, full.entries.len());
        let mut entries = Vec::new();
        for entry in &full.entries {
            entry.encode_into(&mut entries);
        }
        let label =
            |kind, sector| Label::of_segment(kind, Place { segment: full.segment, sector }, full.sequence);
        let summary = label(Kind::Summary, summary_at);
        let mark = self.mark(0, summary_at).encode();
        let footer = label(Kind::Footer, footer_at);
        let blocks = Blocks::new(self.geometry).with(self.checksums, summary, vec![entries.into()]).with(
            Checksums::OPEN,
            footer,
            vec![Bytes::copy_from_slice(&mark)],
        );
        self.log.segment(full.segment).standing = Standing::Sealed { summary: Some(summary_at) };
        self.counts.marks += blocks.len();
        self.write(Place { segment: full.segment, sector: summary_at }, blocks, Written::Summary);
    }

    pub(super) const fn mark(&self, floor: u64, summary: u32) -> Mark {
        Mark {
            store: self.number,
            floor,
            segments: self.geometry.segments,
            sectors: self.geometry.sectors,
            sector_bytes: self.geometry.sector_bytes,
            summary,
        }
    }

    /// A block could not be written: the summary must not have it.
    pub(super) fn strike(&mut self, place: Place) {
        let full = match &mut self.turn {
            Turn::Draining(full) | Turn::Syncing(full) | Turn::Choosing(full) => full.as_mut(),
            Turn::Idle | Turn::Heading { .. } | Turn::Settling { .. } => None,
        };
        for open in full.into_iter().chain(&mut self.log.open) {
            open.entries.retain(|entry| entry.place(open.segment) != place);
        }
    }

    /// Hands a write to the device.
    pub(super) fn write(&mut self, place: Place, blocks: Blocks, written: Written) {
        let io = self.mint(Pending::Write(place, written));
        self.writes += 1;
        let offset = self.geometry.bytes(place.sector);
        self.effects.push_back(super::Effect::Write { io, segment: place.segment, offset, blocks });
    }
}
