//! Appending to the log: blocks get their places in the order in which they were asked for.

use super::{
    Event, Failure, Op, Store, Writer,
    block::{Kind, Label, Place, Position},
    blocks::Blocks,
    content::{Content, Entry, Grave, TOMBSTONE_BYTES, What},
    plant::StoreFault,
    publishing::{Cause, Publication},
    syncing::Waiter,
    turning::Turn,
};
use crate::{id::RecordName, key::StoredKey};
use alloc::vec;
use bytes::Bytes;

/// A block that waits for its place.
#[derive(Debug)]
pub(super) enum Job {
    /// A piece of the body that a writer collects.
    Piece { writer: Writer, piece: usize, payload: Bytes },
    /// A record.
    Record(Draft),
    /// A tombstone.
    Tombstone { op: Op, key: StoredKey, name: RecordName, grave: Grave, existed: bool },
}

/// A record that waits for its place.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) content: Content,
    pub(super) cause: Cause,
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
    Tombstone {
        op: Op,
        existed: bool,
    },
    /// A piece of a body that is moved.
    Moved,
    Header,
    Summary,
}

/// A tombstone is written twice, so that one sector that goes bad takes no deletion back.
pub(super) const TOMBSTONE_COPIES: u32 = 2;

impl Store {
    pub(super) fn push(&mut self, job: Job) {
        if self.is_read_only() {
            return self.on_job_failed(job, Failure::ReadOnly);
        }
        self.jobs.push_back(job);
        self.run_jobs();
    }

    /// Writes what there is room for. The first that there is no room for begins the turn to the next segment.
    pub(super) fn run_jobs(&mut self) {
        while let Some(job) = self.jobs.pop_front() {
            let sectors = match &job {
                Job::Piece { payload, .. } => self.geometry.sectors_for(payload.len()),
                Job::Record(draft) => draft.content.encode(&self.geometry).own,
                Job::Tombstone { .. } => TOMBSTONE_COPIES * self.geometry.sectors_for(TOMBSTONE_BYTES),
            };
            if sectors > self.log.sectors_max() {
                self.on_job_failed(job, Failure::TooLarge);
            } else if self.log.has_room(sectors) {
                self.run(job);
            } else {
                self.jobs.push_front(job);
                return self.begin_turn();
            }
        }
    }

    fn run(&mut self, job: Job) {
        match job {
            Job::Piece { writer, piece, payload } => self.write_piece(writer, piece, payload),
            Job::Record(draft) => self.write_draft(draft),
            Job::Tombstone { op, key, name, grave, existed } => {
                let sectors = TOMBSTONE_COPIES * self.geometry.sectors_for(TOMBSTONE_BYTES);
                let what = What::Tombstone(grave);
                let (place, position) = self.log.take(|sector| Entry { what, sector, sectors, key, name });
                let mut blocks = Blocks::new(self.geometry);
                for copy in 0..TOMBSTONE_COPIES {
                    let sector = place.sector + copy * (sectors / TOMBSTONE_COPIES);
                    let label = Label {
                        kind: Kind::Tombstone,
                        place: Place { sector, ..place },
                        sequence: position.sequence,
                        key,
                        name,
                        offset: 0,
                    };
                    let payload = vec![Bytes::copy_from_slice(&grave.encode())];
                    blocks = blocks.with(self.checksums, label, payload);
                }
                self.counts.appended += blocks.len();
                self.write(place, blocks, Written::Tombstone { op, existed });
            }
        }
    }

    /// Gives a piece of a body its place, and writes it. There is room.
    pub(super) fn append_piece(
        &mut self,
        key: StoredKey,
        name: RecordName,
        offset: u64,
        payload: Bytes,
        written: impl FnOnce(Position) -> Written,
    ) -> (Position, u64) {
        let sectors = self.geometry.sectors_for(payload.len());
        let (place, at) = self.log.take(|sector| Entry { what: What::Body, sector, sectors, key, name });
        let label = Label { kind: Kind::Body, place, sequence: at.sequence, key, name, offset };
        let blocks = Blocks::new(self.geometry).with(self.checksums, label, vec![payload]);
        let size = blocks.len();
        self.write(place, blocks, written(at));
        (at, size)
    }

    /// Gives a record its place, and writes it. There is room.
    pub(super) fn append_record(&mut self, draft: Draft) -> u64 {
        let Draft { content, cause } = draft;
        let (key, name) = (content.record.stored_key(), content.record.name);
        let encoded = content.encode(&self.geometry);
        let (sectors, object) = (encoded.own, encoded.object);
        let first = content.extents.first().map(|extent| extent.at.sequence);
        let first = first.unwrap_or(self.log.open_sequence());
        let what = What::Record { object, first };
        let (place, position) = self.log.take(|sector| Entry { what, sector, sectors, key, name });
        let sequence = position.sequence;
        let label = Label { kind: Kind::Record, place, sequence, key, name, offset: 0 };
        let payload = vec![encoded.front.into(), content.tail];
        let blocks = Blocks::new(self.geometry).with(self.checksums, label, payload);
        let size = blocks.len();
        if let Cause::Commit { writer, .. } = cause {
            self.on_record_placed(writer, position);
        }
        self.write(place, blocks, Written::Record(Publication { key, place, object, cause }));
        size
    }

    pub(super) fn on_written(&mut self, written: Written) {
        self.writes -= 1;
        match written {
            Written::Piece { writer, piece, at } => self.on_piece_written(writer, piece, at),
            Written::Record(publication) => self.publish(publication),
            Written::Tombstone { op, existed } if self.planted.is(StoreFault::DeletesEarly) => {
                self.event(Event::Deleted { op, existed });
            }
            Written::Tombstone { op, existed } => self.want_sync(Waiter::Deleted { op, existed }),
            Written::Moved => self.on_moved_written(),
            Written::Header | Written::Summary => {}
        }
        self.go_on_turning();
    }

    pub(super) fn on_write_failed(&mut self, place: Place, written: Written) {
        self.writes -= 1;
        self.strike(place);
        match written {
            Written::Piece { writer, .. } => self.on_piece_failed(writer, Failure::Device),
            Written::Record(publication) => self.on_publication_failed(publication),
            Written::Tombstone { op, .. } => self.fail(op, Failure::Device),
            Written::Moved => self.on_moved_failed(),
            Written::Header => {
                if let Turn::Heading { failed, .. } = &mut self.turn {
                    *failed = true;
                }
            }
            // A walk through the segment finds what it would have said.
            Written::Summary => {}
        }
        self.go_on_turning();
    }

    /// A job will never be written.
    pub(super) fn on_job_failed(&mut self, job: Job, why: Failure) {
        match job {
            Job::Piece { writer, .. } => self.on_piece_failed(writer, why),
            Job::Record(draft) => match draft.cause {
                Cause::Commit { op, writer } => self.on_commit_failed(op, writer, why),
                Cause::Freshen { op, .. } => self.fail(op, why),
                Cause::Move { .. } => unreachable!("moves do not wait: {draft:?}"),
            },
            Job::Tombstone { op, .. } => self.fail(op, why),
        }
    }
}
