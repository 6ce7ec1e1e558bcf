//! Writers: bodies of unknown length, cut into pieces as they come.
//!
//! What is not written yet is kept here and can be read, also after a write has failed. Nothing is copied: a
//! body is the slices that came.

use super::{
    Event, Failure, Op, Source, Store, Writer,
    appending::{Job, PieceDraft, Written},
    block::Position,
    blocks::length,
    content::{Content, EXTENT_BYTES, Extent, RECORD_FIXED},
    moving::Now,
    policy::{self, Replaced, Stream},
    publishing::Draft,
    rope::Rope,
};
use crate::{
    format,
    language::{
        id::RecordName,
        key::{CacheKey, StoredKey},
        record::Record,
        time::WallTime,
    },
};
use alloc::{sync::Arc, vec::Vec};
use bytes::Bytes;

/// A record being written.
#[derive(Debug)]
pub(super) struct OpenWriter {
    pub(super) key: StoredKey,
    pub(super) name: RecordName,
    /// Full pieces, in order.
    pub(super) pieces: Vec<Piece>,
    /// What comes after them.
    pub(super) rest: Rope,
    /// All bytes.
    length: u64,
    /// Where it is written, all of it; chosen with its first block.
    stream: Option<Stream>,
    standing: Standing,
    /// The append whose pieces are on their way.
    appending: Option<Op>,
    under_way: usize,
    /// The youngest record of its key that was committed since it began.
    youngest: Option<WallTime>,
}

#[derive(Debug)]
pub(super) enum Piece {
    /// Not known to be on the device.
    Kept(Vec<Bytes>),
    /// On the device.
    Stored(Extent),
}

impl Piece {
    pub(super) const fn stored(&self) -> Option<Extent> {
        match self {
            Self::Stored(extent) => Some(*extent),
            Self::Kept(_) => None,
        }
    }
}

/// ```text
/// Open ──commit──▶ Committing ──▶ Committed
///   ╰───────┴──failure, purge──▶ Closed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open,
    Committing,
    Committed,
    Closed(Failure),
}

impl OpenWriter {
    pub(super) fn close(&mut self, why: Failure) {
        match self.standing {
            Standing::Open | Standing::Committing => self.standing = Standing::Closed(why),
            Standing::Committed | Standing::Closed(_) => {}
        }
    }

    const fn closed(&self) -> Option<Failure> {
        match self.standing {
            Standing::Open => None,
            Standing::Closed(why) => Some(why),
            Standing::Committing | Standing::Committed => Some(Failure::NotOpen),
        }
    }

    /// The pieces that are on the device.
    pub(super) fn extents(&self) -> impl Iterator<Item = Extent> {
        self.pieces.iter().filter_map(Piece::stored)
    }

    /// What its record's block carries.
    pub(super) fn record_bytes(&self, record: &Record) -> usize {
        let head = format::encoded_length(record);
        RECORD_FIXED + head + EXTENT_BYTES * self.pieces.len() + self.rest.len()
    }

    /// It is committed, and may its record be published?
    fn commits(&self, record: &Record) -> Result<(), Failure> {
        match self.standing {
            Standing::Committing => {
                let is_late = self.youngest.is_some_and(|youngest| youngest > record.freshness.born());
                if is_late { Err(Failure::Superseded) } else { Ok(()) }
            }
            Standing::Closed(why) => Err(why),
            Standing::Open | Standing::Committed => Err(Failure::NotOpen),
        }
    }
}

impl Store {
    pub(super) fn begin(&mut self, writer: Writer, key: StoredKey, name: RecordName) {
        let open = OpenWriter {
            key,
            name,
            pieces: Vec::new(),
            rest: Rope::default(),
            length: 0,
            stream: None,
            standing: Standing::Open,
            appending: None,
            under_way: 0,
            youngest: None,
        };
        let before = self.writers.insert(writer, open);
        assert!(before.is_none(), "the answer rule: {writer:?} began twice");
        self.writers_of.insert((key, writer));
    }

    pub(super) fn discard(&mut self, writer: Writer) {
        if let Some(open) = self.writers.remove(&writer) {
            self.writers_of.remove(&(open.key, writer));
            self.pins.unpin_all(open.extents(), open.key, Source::Writer(writer));
        }
    }

    pub(super) fn append(&mut self, op: Op, writer: Writer, chunk: Bytes) {
        let (size, largest) = (self.geometry.block_payload(), self.geometry.object_max().0);
        let Some(open) = self.writers.get_mut(&writer) else {
            return self.fail(op, Failure::NotOpen);
        };
        if let Some(why) = open.closed() {
            return self.fail(op, why);
        }
        open.length += chunk.len() as u64;
        if open.length > largest {
            open.close(Failure::TooLarge);
            return self.fail(op, Failure::TooLarge);
        }
        open.rest.push(chunk);
        let mut jobs = Vec::new();
        while open.rest.len() >= size {
            let payload = open.rest.split_to(size);
            jobs.push(Job::Piece { writer, piece: open.pieces.len(), payload: payload.clone() });
            open.pieces.push(Piece::Kept(payload));
        }
        open.rest.gather();
        open.under_way = jobs.len();
        if jobs.is_empty() {
            return self.event(Event::Appended { op });
        }
        open.appending = Some(op);
        let stream = self.stream_of_writer(writer);
        for job in jobs {
            self.push(stream, job);
        }
    }

    /// Where it is written: that is asked once.
    fn stream_of_writer(&mut self, writer: Writer) -> Stream {
        let open = self.writers.get_mut(&writer).expect("the caller found it");
        if let Some(stream) = open.stream {
            return stream;
        }
        let replaced = self
            .index
            .find(open.key)
            .map(|indexed| Replaced { stream: self.log.stream_of(indexed.place), uses: indexed.uses });
        let stream = policy::stream_of(replaced, self.ghosts.contains(open.key));
        open.stream = Some(stream);
        stream
    }

    pub(super) fn write_piece(&mut self, stream: Stream, writer: Writer, piece: usize, payload: Vec<Bytes>) {
        let Some(open) = self.writers.get(&writer) else { return };
        if let Some(why) = open.closed() {
            return self.on_piece_failed(writer, why);
        }
        let (key, name, offset) = (open.key, open.name, (piece * length(&payload)) as u64);
        let draft = PieceDraft { key, name, offset, payload };
        let written = |at| Written::Piece { writer, piece, at };
        self.reclaims_in_vain = 0;
        self.counts.appended += self.append_piece(stream, draft, written);
    }

    pub(super) fn on_piece_written(&mut self, writer: Writer, piece: usize, at: Position) {
        let Some(open) = self.writers.get_mut(&writer) else { return };
        if let Piece::Kept(payload) = &open.pieces[piece] {
            let bytes = u32::try_from(length(payload)).expect("a piece is a block's");
            open.pieces[piece] = Piece::Stored(Extent { at, bytes });
            self.pins.pin(at, open.key, Source::Writer(writer));
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

    pub(super) fn commit(&mut self, op: Op, writer: Writer, record: Arc<Record>) {
        let Some(open) = self.writers.get_mut(&writer) else {
            return self.fail(op, Failure::NotOpen);
        };
        if let Some(why) = open.closed() {
            return self.fail(op, why);
        }
        assert!(open.appending.is_none(), "the answer rule: {writer:?} commits while it appends");
        if (record.stored_key(), record.name, record.length.0) != (open.key, open.name, open.length) {
            return self.fail(op, Failure::Mismatch);
        }
        open.standing = Standing::Committing;
        let stream = self.stream_of_writer(writer);
        self.push(stream, Job::Record(Draft::Commit { op, writer, record }));
    }

    /// What a writer's record is to say, and the end of its body, if it may still be published.
    pub(super) fn committed_content(
        &self,
        writer: Writer,
        record: &Record,
    ) -> Result<(Content, Vec<Bytes>), Failure> {
        let open = self.writers.get(&writer).ok_or(Failure::NotOpen)?;
        open.commits(record)?;
        let extents: Vec<Extent> = open.extents().collect();
        assert_eq!(extents.len(), open.pieces.len(), "{writer:?} is open, so all it appended is stored");
        let sectors = self.sectors_of(&extents);
        Ok((Content { record: Record::clone(record), sectors, extents }, open.rest.slices()))
    }

    /// A record of a key gets its place: who began before and commits an older one has lost.
    pub(super) fn on_born(&mut self, key: StoredKey, born: WallTime) {
        let others = self.writers_of.range((key, Writer(0))..=(key, Writer(u64::MAX)));
        for (_, writer) in others {
            let open = self.writers.get_mut(writer).expect("every writer of the list is open");
            open.youngest = open.youngest.max(Some(born));
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
        let [first, last] = [CacheKey(0), CacheKey(u128::MAX)].map(|key| StoredKey { target, key });
        for (_, writer) in self.writers_of.range((first, Writer(0))..=(last, Writer(u64::MAX))) {
            let open = self.writers.get_mut(writer).expect("every writer of the list is open");
            open.close(Failure::Purged);
        }
    }

    /// A piece of a writer that lay there is elsewhere now, or nowhere on the device.
    pub(super) fn repoint_writer(&mut self, writer: Writer, old: Position, now: &Now) {
        let new = match now {
            Now::At(new) => Some(*new),
            Now::InMemory(_) | Now::Nowhere => None,
        };
        let Some(open) = self.writers.get_mut(&writer) else { return };
        let (key, source) = (open.key, Source::Writer(writer));
        if !open.extents().any(|extent| extent.at == old) {
            return;
        }
        for piece in &mut open.pieces {
            if let Piece::Stored(extent) = piece
                && extent.at == old
                && let Some(new) = new
            {
                extent.at = new;
                self.pins.pin(new, key, source);
                self.counts.writers_repointed += 1;
            }
        }
        let is_left = open.extents().any(|extent| extent.at.sequence == old.sequence);
        if new.is_none() {
            open.close(Failure::Reclaimed);
            self.counts.writers_broken += 1;
        }
        if new.is_none() || !is_left {
            self.pins.unpin(old.sequence, key, source);
        }
    }
}
