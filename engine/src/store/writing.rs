//! Writers: bodies of unknown length, cut into pieces as they come.
//!
//! What is not written yet is kept here and can be read, also after a write has failed.

use super::{
    Event, Failure, Op, Store, Writer,
    appending::{Draft, Job, Written},
    block::Position,
    content::{Content, Extent},
    publishing::Cause,
};
use crate::{
    id::RecordName,
    key::{CacheKey, StoredKey},
    record::Record,
};
use alloc::{sync::Arc, vec::Vec};
use bytes::{Bytes, BytesMut};

/// A record being written.
#[derive(Debug)]
pub(super) struct OpenWriter {
    pub(super) key: StoredKey,
    pub(super) name: RecordName,
    /// Full pieces, in order.
    pub(super) pieces: Vec<Piece>,
    /// What comes after them.
    pub(super) held: BytesMut,
    standing: Standing,
    /// The append whose pieces are on their way.
    appending: Option<Op>,
    under_way: usize,
}

#[derive(Debug)]
pub(super) enum Piece {
    /// Not known to be on the device.
    Kept(Bytes),
    /// On the device.
    Stored(Extent),
}

impl Piece {
    fn bytes(&self) -> u32 {
        match self {
            Self::Kept(bytes) => u32::try_from(bytes.len()).expect("a piece is a block's"),
            Self::Stored(extent) => extent.bytes,
        }
    }
}

/// ```text
/// Open ──commit──▶ Committing ──▶ Committed
///   ╰───────┴──failure, purge, reclaim──▶ Closed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open,
    /// Its record has this place in the log, once it has one.
    Committing(Option<Position>),
    Committed,
    Closed(Failure),
}

impl OpenWriter {
    fn length(&self) -> u64 {
        let pieces: u64 = self.pieces.iter().map(|piece| u64::from(piece.bytes())).sum();
        pieces + self.held.len() as u64
    }

    fn close(&mut self, why: Failure) {
        match self.standing {
            Standing::Open | Standing::Committing(_) => self.standing = Standing::Closed(why),
            Standing::Committed | Standing::Closed(_) => {}
        }
    }

    const fn closed(&self) -> Option<Failure> {
        match self.standing {
            Standing::Open => None,
            Standing::Closed(why) => Some(why),
            Standing::Committing(_) | Standing::Committed => Some(Failure::NotOpen),
        }
    }
}

impl Store {
    pub(super) fn begin(&mut self, writer: Writer, key: StoredKey, name: RecordName) {
        let open = OpenWriter {
            key,
            name,
            pieces: Vec::new(),
            held: BytesMut::new(),
            standing: Standing::Open,
            appending: None,
            under_way: 0,
        };
        let before = self.writers.insert(writer, open);
        assert!(before.is_none(), "the answer rule: {writer:?} began twice");
    }

    pub(super) fn append(&mut self, op: Op, writer: Writer, chunk: &[u8]) {
        let size = self.geometry.block_payload();
        let closed = |open: Option<&OpenWriter>| open.map_or(Some(Failure::NotOpen), OpenWriter::closed);
        if let Some(why) = closed(self.writers.get(&writer)) {
            return self.fail(op, why);
        }
        let open = self.writers.get_mut(&writer).expect("it is open");
        open.held.extend_from_slice(chunk);
        let first = open.pieces.len();
        while open.held.len() >= size {
            let piece = open.held.split_to(size).freeze();
            open.pieces.push(Piece::Kept(piece));
        }
        open.under_way = open.pieces.len() - first;
        if open.under_way == 0 {
            return self.event(Event::Appended { op });
        }
        open.appending = Some(op);
        let jobs: Vec<Job> = (first..)
            .zip(&open.pieces[first..])
            .filter_map(|(piece, kept)| match kept {
                Piece::Kept(payload) => Some(Job::Piece { writer, piece, payload: payload.clone() }),
                Piece::Stored(_) => None,
            })
            .collect();
        for job in jobs {
            self.push(job);
        }
    }

    pub(super) fn write_piece(&mut self, writer: Writer, piece: usize, payload: Bytes) {
        let Some(open) = self.writers.get(&writer) else { return };
        if let Some(why) = open.closed() {
            return self.on_piece_failed(writer, why);
        }
        let (key, name) = (open.key, open.name);
        let offset = piece as u64 * payload.len() as u64;
        let written = |at| Written::Piece { writer, piece, at };
        let (_, size) = self.append_piece(key, name, offset, payload, written);
        self.counts.appended += size;
    }

    pub(super) fn on_piece_written(&mut self, writer: Writer, piece: usize, at: Position) {
        let Some(open) = self.writers.get_mut(&writer) else { return };
        if self.log.place(at).is_none() {
            open.close(Failure::Reclaimed);
        } else {
            let bytes = open.pieces[piece].bytes();
            open.pieces[piece] = Piece::Stored(Extent { at, bytes });
        }
        self.on_piece_over(writer);
    }

    pub(super) fn on_piece_failed(&mut self, writer: Writer, why: Failure) {
        if let Some(open) = self.writers.get_mut(&writer) {
            open.close(why);
            self.on_piece_over(writer);
        }
    }

    fn on_piece_over(&mut self, writer: Writer) {
        let open = self.writers.get_mut(&writer).expect("the caller found it");
        open.under_way -= 1;
        if open.under_way > 0 {
            return;
        }
        let op = open.appending.take().expect("pieces are on their way for an append");
        match open.closed() {
            None => self.event(Event::Appended { op }),
            Some(why) => self.fail(op, why),
        }
    }

    pub(super) fn commit(&mut self, op: Op, writer: Writer, record: &Arc<Record>) {
        let Some(open) = self.writers.get_mut(&writer) else {
            return self.fail(op, Failure::NotOpen);
        };
        if let Some(why) = open.closed() {
            return self.fail(op, why);
        }
        assert!(open.appending.is_none(), "the answer rule: {writer:?} commits while it appends");
        if (record.stored_key(), record.name, record.length.0) != (open.key, open.name, open.length()) {
            return self.fail(op, Failure::Mismatch);
        }
        let extents: Vec<Extent> = open
            .pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Stored(extent) => Some(*extent),
                Piece::Kept(_) => None,
            })
            .collect();
        assert_eq!(extents.len(), open.pieces.len(), "{writer:?} is open, so all it appended is stored");
        open.standing = Standing::Committing(None);
        let sectors = extents.iter().map(|extent| self.geometry.sectors_for(extent.bytes as usize)).sum();
        let tail = Bytes::copy_from_slice(&open.held);
        let content = Content { record: Record::clone(record), sectors, extents, tail };
        self.push(Job::Record(Draft { content, cause: Cause::Commit { op, writer } }));
    }

    /// Is this writer's record still to be published?
    pub(super) fn commits(&self, writer: Writer) -> Result<(), Failure> {
        match self.writers.get(&writer).map(|open| open.standing) {
            Some(Standing::Committing(_)) => Ok(()),
            Some(Standing::Closed(why)) => Err(why),
            Some(Standing::Open | Standing::Committed) | None => Err(Failure::NotOpen),
        }
    }

    pub(super) fn on_record_placed(&mut self, writer: Writer, position: Position) {
        if let Some(open) = self.writers.get_mut(&writer) {
            open.standing = Standing::Committing(Some(position));
        }
    }

    pub(super) fn on_committed(&mut self, op: Op, writer: Writer) {
        if let Some(open) = self.writers.get_mut(&writer) {
            open.standing = Standing::Committed;
        }
        self.event(Event::Committed { op });
    }

    pub(super) fn on_commit_failed(&mut self, op: Op, writer: Writer, why: Failure) {
        if let Some(open) = self.writers.get_mut(&writer) {
            open.close(why);
        }
        self.fail(op, why);
    }

    /// What was begun for the target before now publishes nothing.
    pub(super) fn close_writers(&mut self, target: CacheKey) {
        for open in self.writers.values_mut().filter(|open| open.key.target == target) {
            open.close(Failure::Purged);
        }
    }

    /// A record was deleted: what is being committed under its key and is older goes with it.
    pub(super) fn close_older(&mut self, key: StoredKey, through: Position) {
        for open in self.writers.values_mut().filter(|open| open.key == key) {
            if let Standing::Committing(Some(position)) = open.standing
                && position <= through
            {
                open.close(Failure::Superseded);
            }
        }
    }

    /// A segment is reclaimed: who has written there and not committed has lost it.
    pub(super) fn close_in(&mut self, sequence: u64) {
        for open in self.writers.values_mut() {
            let lies_there = |piece: &Piece| match piece {
                Piece::Stored(extent) => extent.at.sequence == sequence,
                Piece::Kept(_) => false,
            };
            if open.pieces.iter().any(lies_there) {
                open.close(Failure::Reclaimed);
            }
        }
    }
}
