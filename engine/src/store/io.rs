//! The store's language: what it is told, what it wants of the device, and what it answers.

use super::{
    blocks::Blocks,
    check::{Check, Checked},
    geometry::Geometry,
};
use crate::language::{
    effect::Freshening,
    id::{RecordName, ids},
    key::StoredKey,
    record::Record,
    units::ByteCount,
};
use alloc::sync::Arc;
use bytes::Bytes;

ids! {
    /// One question to the store, named by the caller; none is used twice while it waits for its answer.
    Op,
    /// One record being written, named by the caller.
    Writer,
    /// One record held open, named by the caller.
    Reader,
    /// One operation of the device, named by the store.
    Io,
}

/// Whose bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Those of an open record.
    Reader(Reader),
    /// Those that a writer has acknowledged, committed or not.
    Writer(Writer),
}

/// What the caller says. For one writer, one reader or one key it may not be said before the last was
/// answered, as far as `ByteTier` in the driver demands that; everything else may be under way at once.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Find out what the device holds. Comes first, once; again after [`Event::RecoveryFailed`].
    Recover,
    /// Begin a record under a name that nobody else uses. There is no answer.
    Begin {
        /// Who writes it.
        writer: Writer,
        /// Whose it is.
        key: StoredKey,
        /// What it is called.
        name: RecordName,
    },
    /// Append to a record: [`Event::Appended`].
    Append {
        /// Which question.
        op: Op,
        /// To which record.
        writer: Writer,
        chunk: Bytes,
    },
    /// Make a record visible, at once and whole, in place of any older one of its key: [`Event::Committed`].
    Commit {
        /// Which question.
        op: Op,
        /// Which record.
        writer: Writer,
        /// Its head.
        record: Arc<Record>,
    },
    /// Close a writer. What it has not committed is gone. There is no answer.
    Discard { writer: Writer },
    /// Open the record of a key: [`Event::Found`] or [`Event::Absent`].
    Lookup {
        /// Which question.
        op: Op,
        /// Who holds it open.
        reader: Reader,
        /// Whose record.
        key: StoredKey,
    },
    /// Read at least one and at most so many bytes: [`Event::BodyRead`].
    Read {
        /// Which question.
        op: Op,
        /// Whose bytes.
        source: Source,
        /// From where in the body.
        offset: u64,
        /// At most so many.
        length_max: u64,
    },
    /// Close an open record, whether or not its lookup found one. There is no answer.
    Release { reader: Reader },
    /// Give a record another head: [`Event::Freshened`].
    Freshen {
        /// Which question.
        op: Op,
        /// The record, with the new head.
        record: Arc<Record>,
    },
    /// Take away the record of this name, or all that is stored for the target: [`Event::Deleted`], once that
    /// is durable.
    Delete {
        /// Which question.
        op: Op,
        key: StoredKey,
        /// The one of this name; without one, all of the target, and all that is being written for it.
        name: Option<RecordName>,
    },
    /// Make durable what was committed so far: [`Event::Synced`].
    Sync {
        /// Which question.
        op: Op,
    },
    /// The device is to have fewer segments, and is cut up as before otherwise: empty those beyond, and see
    /// that nothing is found there again. Comes before any other question: [`Event::Shrunk`]. From now on the
    /// store takes no more than has room on the smaller device; everything else may be asked meanwhile.
    Shrink {
        /// Which question.
        op: Op,
        /// What the device is to be.
        geometry: Geometry,
    },
    /// A read of the device is over, and what it gave was checked by the effect's own [`Check`].
    ReadDone {
        io: Io,
        /// What came of it.
        checked: Checked,
    },
    /// A write or a sync of the device is over.
    Done { io: Io },
    /// An operation of the device failed. A write that failed may have changed the bytes it was to change,
    /// and no others.
    Failed { io: Io },
}

/// What the device is to do. Each is answered once. Nothing orders two that are under way at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read, aligned to sectors.
    Read {
        /// Which operation.
        io: Io,
        /// Of which segment.
        segment: u32,
        /// From where in it, bytes.
        offset: u64,
        /// How many bytes.
        length: u64,
        /// What becomes of them, wherever that is convenient: it needs no store.
        check: Check,
    },
    /// Write, aligned to sectors.
    Write {
        /// Which operation.
        io: Io,
        /// To which segment.
        segment: u32,
        /// Where in it, bytes.
        offset: u64,
        /// What. It is sealed wherever that is convenient: it needs no store.
        blocks: Blocks,
    },
    /// Make durable what was written by every write that is over. Must not be said to be done if it is not
    /// sure.
    Sync {
        /// Which operation.
        io: Io,
    },
}

/// Why a question has no better answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The device failed.
    Device,
    /// What was read is not what was written. The object is dropped.
    Rotten,
    /// It was in a segment that was reclaimed, and there was no room to move it for its writer, or it could
    /// not be read.
    Reclaimed,
    /// The target was purged since the writer began.
    Purged,
    /// A record of its key that is younger was committed since the writer began, or one that is newer was
    /// deleted meanwhile.
    Superseded,
    /// Its record fits no segment, or its body is larger than a quarter of the device.
    TooLarge,
    /// The record to commit is not that of what was written; or the head to freshen is of another body.
    Mismatch,
    /// No such writer or reader is open, or it is closed to this.
    NotOpen,
    /// There is no byte at this offset.
    Beyond,
    /// A write or a sync failed, so nothing that is written from then on can be relied on; see
    /// [`Event::WritesEnded`].
    ReadOnly,
}

/// Why an object is gone that nobody deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its segment was reclaimed, and it was not used since it was written, or there was no room to move it.
    Reclaimed,
    /// Its bytes are not what was written.
    Rotten,
}

/// How the blocks of a segment were found that was reclaimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// By its summary, which has them all: for each object that was dropped there was an [`Event::Dropped`].
    Summary,
    /// Block by block. What is rotten or cannot be read was dropped without being told of.
    Walk,
}

/// Answers, and facts.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All is found that the device holds; everything else may be asked now.
    Recovered {
        /// How many objects.
        objects: u64,
        /// What they take on the device.
        bytes: ByteCount,
    },
    /// The device cannot be read there, and what it holds is not known. Recover again, or format.
    RecoveryFailed {
        /// Which segment.
        segment: u32,
    },
    /// The bytes can be read from the writer.
    Appended {
        /// Whose answer.
        op: Op,
    },
    /// The record can be looked up. After a crash it is there if a sync was asked for after this and is over.
    Committed {
        /// Whose answer.
        op: Op,
    },
    /// The record is open.
    Found {
        /// Whose answer.
        op: Op,
        /// Its head.
        record: Record,
        /// All of its body, if that lies beside the head.
        body: Option<Bytes>,
    },
    /// There is none.
    Absent {
        /// Whose answer.
        op: Op,
    },
    /// Bytes of a body, checked.
    BodyRead {
        /// Whose answer.
        op: Op,
        /// At least one.
        bytes: Bytes,
    },
    /// What became of a freshening.
    Freshened {
        /// Whose answer.
        op: Op,
        freshening: Freshening,
    },
    /// It is gone, and stays so.
    Deleted {
        /// Whose answer.
        op: Op,
        /// Was there something?
        existed: bool,
    },
    /// What was committed before is durable.
    Synced {
        /// Whose answer.
        op: Op,
    },
    /// Nothing lies beyond the new end of the device, durably: it may end there from now on. A store that
    /// recovers it may be told of either size.
    Shrunk {
        /// Whose answer.
        op: Op,
    },
    /// It was not done.
    Failed {
        /// Whose answer.
        op: Op,
        why: Failure,
    },
    /// An object is gone that nobody deleted.
    Dropped { key: StoredKey, why: Loss },
    /// A segment can be written to again.
    Reclaimed {
        segment: u32,
        /// Were all told of that were dropped?
        listing: Listing,
    },
    /// A write or a sync failed: which of the writes before it are durable, nobody knows. Reads go on;
    /// nothing is written any more, until another store recovers what is there.
    WritesEnded,
}

/// What a store has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes written for records and tombstones that were asked for.
    pub appended: u64,
    /// Bytes written again for objects that were moved out of a segment.
    pub moved: u64,
    /// Bytes written for headers, summaries and footers of segments.
    pub marks: u64,
    /// Objects moved.
    pub objects_moved: u64,
    /// Objects dropped by reclaim.
    pub objects_dropped: u64,
    /// Objects dropped because they were rotten.
    pub objects_rotten: u64,
    /// Segments of newcomers reclaimed.
    pub newcomer_reclaims: u64,
    /// Segments of the main stream reclaimed.
    pub main_reclaims: u64,
    /// Tombstones written again when their segment was reclaimed.
    pub tombstones_carried: u64,
    /// Tombstones written for objects that reclaim dropped and that hid an older one, or lay in other
    /// segments, too.
    pub tombstones_of_dropped: u64,
    /// Pieces of open records that were read elsewhere after a reclaim.
    pub readers_repointed: u64,
    /// Pieces of records being written that were moved by a reclaim.
    pub writers_repointed: u64,
    /// Pieces that readers keep in memory because there was no room to move them.
    pub pieces_in_memory: u64,
    /// Pieces of records being written that there was no room to move, or that could not be read.
    pub writers_broken: u64,
    /// Recoveries that found no room to go on with what was there and began anew.
    pub formatted: u64,
    /// Syncs asked of the device.
    pub syncs: u64,
}
