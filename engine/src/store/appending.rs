//! Appending to the log: blocks of a stream get their places in the order in which they were asked for.

use super::{
    Failure, Op, Pending, Store, Writer,
    block::{Kind, Label, Place, Position},
    blocks::{Blocks, Payload, length},
    content::{Content, Entry, Tombstone, What},
    log::{STREAMS, TOMBSTONE_COPIES, Taken},
    moving::Copied,
    plant::StoreFault,
    policy::Stream,
    publishing::{Cause, Draft, Flight, Publication},
    syncing::Waiter,
};
use crate::language::{id::RecordName, key::StoredKey};
use alloc::{boxed::Box, vec, vec::Vec};
use bytes::Bytes;

/// A block that waits for its place.
#[derive(Debug)]
pub(super) enum Job {
    /// A piece of the body that a writer collects.
    Piece { writer: Writer, piece: usize, payload: Vec<Bytes> },
    /// A record.
    Record(Draft),
}

/// A tombstone that waits for its place.
#[derive(Debug)]
pub(super) struct Burial {
    pub(super) tombstone: Tombstone,
    /// A reclaim that has ended waits for those that were asked for before.
    pub(super) ticket: u64,
    /// Who asked for it, and whether there was something.
    pub(super) asked: Option<(Op, bool)>,
}

/// What a write was for.
#[derive(Debug)]
pub(super) enum Written {
    Piece {
        writer: Writer,
        piece: usize,
        at: Position,
    },
    Record(Publication),
    Burial {
        ticket: u64,
        asked: Option<(Op, bool)>,
    },
    /// What a reclaim writes beside records.
    Copied(Copied),
    Header,
    Summary,
    /// Nothing, in place of a header.
    Blank,
}

/// A piece of a body on its way to the device.
#[derive(Debug)]
pub(super) struct PieceDraft {
    pub(super) key: StoredKey,
    pub(super) name: RecordName,
    /// Where in the body.
    pub(super) offset: u64,
    pub(super) payload: Vec<Bytes>,
}

impl Store {
    /// Takes a job, which waits until there is room for it.
    pub(super) fn push(&mut self, stream: Stream, job: Job) {
        if self.is_read_only() {
            return self.on_job_failed(job, Failure::ReadOnly);
        }
        self.jobs[stream].push_back(job);
    }

    /// Writes the next block of a stream, if there is room. Else its turn comes first. Says whether anything
    /// changed.
    pub(super) fn run_job(&mut self, stream: Stream) -> bool {
        let Some(job) = self.jobs[stream].front() else { return false };
        let sectors = self.sectors_of_job(job);
        if sectors > self.log.sectors_max() {
            let job = self.jobs[stream].pop_front().expect("it is the first");
            self.on_job_failed(job, Failure::TooLarge);
            return true;
        }
        if !self.log.has_room(stream, sectors, 1, self.log.spare(stream)) {
            return self.want_turn(stream, super::turning::KEPT_OF_APPENDS);
        }
        let job = self.jobs[stream].pop_front().expect("it is the first");
        match job {
            Job::Piece { writer, piece, payload } => self.write_piece(stream, writer, piece, payload),
            Job::Record(draft) => self.write_draft(stream, draft),
        }
        true
    }

    fn sectors_of_job(&self, job: &Job) -> u32 {
        match job {
            Job::Piece { payload, .. } => self.geometry.sectors_for(length(payload)),
            Job::Record(Draft::Commit { writer, record, .. }) => {
                let open = self.writers.get(writer);
                self.geometry.sectors_for(open.map_or(0, |open| open.record_bytes(record)))
            }
            Job::Record(Draft::Freshen { content, tail, .. }) => {
                self.geometry.sectors_for(content.front_bytes() + tail.len())
            }
        }
    }

    /// Takes a tombstone. It is acknowledged, if anybody asked for it, once it is durable.
    pub(super) fn bury(&mut self, tombstone: Tombstone, asked: Option<(Op, bool)>) {
        if self.is_read_only() {
            if let Some((op, _)) = asked {
                self.fail(op, Failure::ReadOnly);
            }
            return;
        }
        self.tickets += 1;
        self.burying.insert(self.tickets);
        self.burials.push_back(Burial { tombstone, ticket: self.tickets, asked });
    }

    /// Writes the next tombstone, if there is room. Says whether anything changed.
    pub(super) fn run_burial(&mut self) -> bool {
        let Some(burial) = self.burials.front() else { return false };
        // A reclaim that waits for it needs no room any more.
        let is_awaited = self.reclaim.as_ref().is_some_and(|reclaim| reclaim.awaits(burial.ticket));
        let spare = if is_awaited { 0 } else { self.log.spare(Stream::Main) };
        if !self.log.has_room(Stream::Main, self.tombstone_sectors(1), 1, spare) {
            let kept = if is_awaited { 0 } else { super::turning::KEPT_OF_MOVES };
            return self.want_turn(Stream::Main, kept);
        }
        self.reclaims_in_vain = 0;
        let Burial { tombstone, ticket, asked } = self.burials.pop_front().expect("it is the first");
        let written = Written::Burial { ticket, asked };
        self.counts.appended += self.append_tombstones(vec![tombstone], written);
        true
    }

    /// What a block of so many tombstones takes, with its copy.
    pub(super) fn tombstone_sectors(&self, tombstones: usize) -> u32 {
        TOMBSTONE_COPIES * self.geometry.sectors_for(super::content::TOMBSTONE_BYTES * tombstones)
    }

    /// Writes a block of tombstones, and its copy. There is room in the main stream. Says how many bytes that
    /// is.
    pub(super) fn append_tombstones(&mut self, tombstones: Vec<Tombstone>, written: Written) -> u64 {
        let sectors = self.tombstone_sectors(tombstones.len());
        let taken = self.log.take(Stream::Main, sectors, |sector, _, entries| {
            let entry = |it: &Tombstone| Entry { what: What::Tombstone(*it), sector, sectors };
            entries.extend(tombstones.iter().map(entry));
        });
        let mut blocks = Blocks::new(self.geometry);
        for copy in 0..TOMBSTONE_COPIES {
            let sector = taken.place.sector + copy * (sectors / TOMBSTONE_COPIES);
            let label = Label {
                place: Place { sector, ..taken.place },
                stamp: taken.stamp,
                ..Label::of_segment(Kind::Tombstone, taken.place, taken.position.sequence)
            };
            blocks = blocks.with(self.checksums, label, Payload::Tombstones(tombstones.clone()));
        }
        self.write(Stream::Main, taken.place, blocks, written)
    }

    /// Gives a piece of a body its place, and writes it. There is room. Says how many bytes that is.
    pub(super) fn append_piece(
        &mut self,
        stream: Stream,
        draft: PieceDraft,
        written: impl FnOnce(Position) -> Written,
    ) -> u64 {
        let PieceDraft { key, name, offset, payload } = draft;
        let sectors = self.geometry.sectors_for(length(&payload));
        let taken = self.log.take(stream, sectors, |sector, stamp, entries| {
            entries.push(Entry { what: What::Body { key, stamp }, sector, sectors });
        });
        let label = label(Kind::Body, taken, key, name, offset);
        let blocks = Blocks::new(self.geometry).with(self.checksums, label, Payload::Body(payload));
        self.write(stream, taken.place, blocks, written(taken.position))
    }

    /// Gives a record its place, and writes it. There is room. `sectors` of the content are those of its
    /// pieces; the record's own are added. Says how many bytes that is.
    pub(super) fn append_record(
        &mut self,
        stream: Stream,
        mut content: Content,
        tail: Vec<Bytes>,
        cause: Cause,
    ) -> u64 {
        let (key, name) = (content.record.stored_key(), content.record.name);
        let sectors = self.geometry.sectors_for(content.front_bytes() + length(&tail));
        content.sectors = content.sectors.saturating_add(sectors);
        let object = content.sectors;
        let taken = self.log.take(stream, sectors, |sector, stamp, entries| {
            entries.push(Entry { what: What::Record { key, stamp, object }, sector, sectors });
        });
        let mut sequences: Vec<u64> = content.extents.iter().map(|extent| extent.at.sequence).collect();
        sequences.dedup();
        self.flights.begin(key, Flight { stamp: taken.stamp, name, sequences, ended: None });
        let label = label(Kind::Record, taken, key, name, 0);
        let payload = Payload::Record(Box::new(content), tail);
        let blocks = Blocks::new(self.geometry).with(self.checksums, label, payload);
        let publication = Publication { key, place: taken.place, stamp: taken.stamp, object, cause };
        self.write(stream, taken.place, blocks, Written::Record(publication))
    }

    /// Hands a write to the device. Says how many bytes it has.
    pub(super) fn write(&mut self, stream: Stream, place: Place, blocks: Blocks, written: Written) -> u64 {
        let io = self.mint(Pending::Write(stream, written));
        self.log.streams[stream].writes += 1;
        let (segment, offset, size) = (place.segment, self.geometry.bytes(place.sector), blocks.len());
        self.effects.push_back(super::Effect::Write { io, segment, offset, blocks });
        size
    }

    pub(super) fn on_written(&mut self, stream: Stream, written: Written) {
        self.log.streams[stream].writes -= 1;
        match written {
            Written::Piece { writer, piece, at } => self.on_piece_written(writer, piece, at),
            Written::Record(publication) => self.publish(publication),
            Written::Burial { ticket, asked } => {
                self.burying.remove(&ticket);
                match asked {
                    Some((op, existed)) if self.planted.is(StoreFault::DeletesEarly) => {
                        self.event(super::Event::Deleted { op, existed });
                    }
                    Some((op, existed)) => self.want_sync(Waiter::Deleted { op, existed }),
                    None => {}
                }
            }
            Written::Copied(copied) => self.on_copied(copied),
            Written::Header | Written::Summary => {}
            Written::Blank => self.on_erased(),
        }
    }

    /// What the device could not write once it may not be able to write again, and what it holds now nobody
    /// knows.
    pub(super) fn on_write_failed(&mut self, stream: Stream, written: Written) {
        self.log.streams[stream].writes -= 1;
        self.end_writes();
        match written {
            Written::Piece { writer, .. } => self.on_piece_failed(writer, Failure::Device),
            Written::Record(publication) => self.on_publication_failed(publication),
            Written::Burial { asked: Some((op, _)), .. } => self.fail(op, Failure::Device),
            Written::Burial { asked: None, .. } | Written::Copied(_) => {}
            Written::Header | Written::Summary | Written::Blank => {}
        }
    }

    /// A job will never be written.
    pub(super) fn on_job_failed(&mut self, job: Job, why: Failure) {
        match job {
            Job::Piece { writer, .. } => self.on_piece_failed(writer, why),
            Job::Record(Draft::Commit { op, writer, .. }) => self.on_commit_failed(op, writer, why),
            Job::Record(Draft::Freshen { op, .. }) => self.fail(op, why),
        }
    }

    /// Nothing that waits will ever be written.
    pub(super) fn fail_jobs(&mut self) {
        let held = self.reclaim.take().map(|reclaim| reclaim.held).unwrap_or_default();
        for (_, job) in held {
            self.on_job_failed(job, Failure::ReadOnly);
        }
        for stream in STREAMS {
            for job in core::mem::take(&mut self.jobs[stream]) {
                self.on_job_failed(job, Failure::ReadOnly);
            }
        }
        for Burial { asked, .. } in core::mem::take(&mut self.burials) {
            if let Some((op, _)) = asked {
                self.fail(op, Failure::ReadOnly);
            }
        }
        self.fail_shrinking();
    }
}

fn label(kind: Kind, taken: Taken, key: StoredKey, name: RecordName, offset: u64) -> Label {
    let (place, sequence, stamp) = (taken.place, taken.position.sequence, taken.stamp);
    Label { kind, place, sequence, stamp, key, name, offset }
}
