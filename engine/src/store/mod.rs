//! L2's store: append-only logs of fixed segments on a device, and an index in memory.
//!
//! A record is appended as blocks: pieces of its body as they fill, from several writers in turn, and in the
//! end a block with its head, the places of the pieces and the rest of the body, which makes the whole
//! visible. What is superseded or deleted stays where it is until its segment is reclaimed. There are two
//! streams of segments, newcomers and main, and `policy.rs` says who is moved to the end of the main one and
//! who leaves. `docs/format.md` has the layout and argues crash by crash that a key is found absent, old or
//! new, never a mix, and that what was deleted stays away.
//!
//! ```text
//!             Append, Commit, Delete, …          Lookup, Read
//!                       ▼                             ▼
//!            jobs of each stream, in order          index ──▶ reads, checked
//!                       ▼
//!    room? ──no──▶ turn: drain, sync, header of the next segment, sync
//!      ╰─yes─▶ write                       ╰─few are free─▶ reclaim the oldest of a stream
//! ```
//!
//! The same rules as for the engine: it does no I/O and reads no clock. One [`Store::handle`], then effects
//! and events to `None`; each effect is answered once. Nothing here hashes or copies bodies: that is done by
//! [`Check::run`] and [`Blocks::seal`], outside of any lock around the store. When to sync is the caller's
//! policy: the store asks for it where a deletion, the turn to another segment or a device that gets smaller
//! needs it, [`Input::Sync`] asks for more. Start at [`Store`].

mod appending;
mod block;
mod blocks;
mod bodies;
mod check;
#[cfg(test)]
mod codec_tests;
mod content;
mod deleting;
mod freshening;
#[cfg(test)]
mod fuzz;
mod geometry;
mod ghosts;
mod index;
mod io;
mod layout;
mod log;
mod log_index;
mod merging;
mod moving;
mod pins;
mod plant;
mod policy;
mod publishing;
mod reading;
mod reclaiming;
mod recovering;
mod rope;
mod shrinking;
mod syncing;
mod turning;
mod walk;
mod writing;

pub use blocks::Blocks;
pub use check::{Check, Checked};
pub use geometry::{Geometry, GeometryError, RawGeometry};
pub use io::{Counts, Effect, Event, Failure, Input, Io, Listing, Loss, Op, Reader, Source, Writer};
pub use log_index::{BytesWritten, LogIndex, TooLarge};
pub use plant::StoreFault;

use crate::{
    language::{key::StoredKey, units::ByteCount},
    parts::random::{Random, Seed},
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
};
use appending::{Burial, Job, Written};
use block::Checksums;
use bodies::OpenReader;
use ghosts::Ghosts;
use index::Index;
use log::{Both, Log, STREAMS};
use pins::Pins;
use plant::Planted;
use policy::Stream;
use publishing::Flights;
use reading::Reading;
use reclaiming::Reclaim;
use recovering::Recovery;
use shrinking::Shrinking;
use syncing::Syncing;
use turning::Turn;
use writing::OpenWriter;

/// One device, and what it holds.
#[derive(Debug)]
pub struct Store {
    geometry: Geometry,
    random: Random,
    /// What tells this store from others; drawn when nothing is found.
    number: u128,
    checksums: Checksums,
    phase: Phase,
    log: Log,
    index: Index,
    ghosts: Ghosts,
    writers: BTreeMap<Writer, OpenWriter>,
    /// The same by their keys.
    writers_of: BTreeSet<(StoredKey, Writer)>,
    readers: BTreeMap<Reader, OpenReader>,
    pins: Pins,
    /// Blocks that wait for their place, in order.
    jobs: Both<VecDeque<Job>>,
    /// Tombstones that do.
    burials: VecDeque<Burial>,
    /// Those whose writes are not over.
    burying: BTreeSet<u64>,
    tickets: u64,
    flights: Flights,
    turns: Both<Turn>,
    reclaim: Option<Reclaim>,
    /// Segments that were reclaimed since anything was appended.
    reclaims_in_vain: u32,
    shrinking: Option<Shrinking>,
    syncing: Syncing,
    ios: BTreeMap<Io, Pending>,
    ios_begun: u64,
    effects: VecDeque<Effect>,
    events: VecDeque<Event>,
    counts: Counts,
    planted: Planted,
}

/// ```text
/// Closed ──Recover──▶ Recovering ──▶ Writing ──a write or a sync fails──▶ ReadOnly
///    ╰◀────it fails───────╯
/// ```
#[derive(Debug)]
enum Phase {
    Closed,
    Recovering(Box<Recovery>),
    Writing,
    ReadOnly,
}

/// What an operation of the device is for.
#[derive(Debug)]
enum Pending {
    Read(Reading),
    Write(Stream, Written),
    Sync,
}

impl Store {
    /// The store on a device whose contents are not known yet.
    pub fn new(geometry: Geometry, seed: Seed) -> Self {
        let mut random = seed.split("store");
        let index = Index::new(random.wide_bits());
        Self {
            geometry,
            random,
            number: 0,
            checksums: Checksums::OPEN,
            phase: Phase::Closed,
            log: Log::new(geometry),
            index,
            ghosts: Ghosts::new(seed),
            writers: BTreeMap::new(),
            writers_of: BTreeSet::new(),
            readers: BTreeMap::new(),
            pins: Pins::default(),
            jobs: Both::default(),
            burials: VecDeque::new(),
            burying: BTreeSet::new(),
            tickets: 0,
            flights: Flights::default(),
            turns: Both::default(),
            reclaim: None,
            reclaims_in_vain: 0,
            shrinking: None,
            syncing: Syncing::default(),
            ios: BTreeMap::new(),
            ios_begun: 0,
            effects: VecDeque::new(),
            events: VecDeque::new(),
            counts: Counts::default(),
            planted: Planted::NONE,
        }
    }

    /// Takes what the caller or the device says.
    ///
    /// # Panics
    /// The drain rule or the answer rule is broken.
    pub fn handle(&mut self, input: Input) {
        assert!(
            self.effects.is_empty() && self.events.is_empty(),
            "the drain rule: {} effects and {} events are left",
            self.effects.len(),
            self.events.len()
        );
        let is_early = matches!(self.phase, Phase::Closed | Phase::Recovering(_))
            && !matches!(
                input,
                Input::Recover | Input::ReadDone { .. } | Input::Done { .. } | Input::Failed { .. }
            );
        assert!(!is_early, "the answer rule: {input:?} before the store is recovered");
        match input {
            Input::ReadDone { io, checked } => self.on_read_done(io, checked),
            Input::Done { io } => self.on_done(io),
            Input::Failed { io } => self.on_failed(io),
            Input::Recover => self.recover(),
            Input::Begin { writer, key, name } => self.begin(writer, key, name),
            Input::Append { op, writer, chunk } => self.append(op, writer, chunk),
            Input::Commit { op, writer, record } => self.commit(op, writer, record),
            Input::Discard { writer } => self.discard(writer),
            Input::Lookup { op, reader, key } => self.lookup(op, reader, key),
            Input::Read { op, source, offset, length_max } => self.read(op, source, offset, length_max),
            Input::Release { reader } => self.release(reader),
            Input::Freshen { op, record } => self.freshen(op, record),
            Input::Delete { op, key, name: Some(name) } => self.delete(op, key, name),
            Input::Delete { op, key, name: None } => self.purge(op, key.target),
            Input::Sync { op } => self.want_sync(syncing::Waiter::Asked { op }),
            Input::Shrink { op, geometry } => self.shrink(op, geometry),
        }
        self.go_on();
    }

    /// Does all that can be done now.
    fn go_on(&mut self) {
        while matches!(self.phase, Phase::Writing) {
            let has_changed = self.run_burial()
                || STREAMS.into_iter().any(|stream| self.run_job(stream) || self.go_on_turning(stream))
                || self.go_on_reclaiming()
                || self.go_on_shrinking();
            if has_changed {
                continue;
            }
            if (self.is_queued() || self.shrinking.is_some()) && self.ios.is_empty() {
                // Nothing will make room: there are too few segments, or all are needed.
                self.end_writes();
            }
            return;
        }
    }

    /// The next thing that the device is to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next answer or fact.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How many objects it holds.
    pub const fn objects(&self) -> u64 {
        self.index.len()
    }

    /// What they take on the device: whole sectors, with heads and headers.
    pub const fn used(&self) -> ByteCount {
        ByteCount(self.index.sectors() * self.geometry.sector_bytes as u64)
    }

    /// What the device holds.
    pub fn capacity(&self) -> ByteCount {
        self.geometry.capacity()
    }

    /// What the memory of those that left has taken from the allocator.
    pub fn ghost_bytes(&self) -> ByteCount {
        self.ghosts.allocated()
    }

    /// What the index has taken from the allocator.
    pub fn index_bytes(&self) -> ByteCount {
        self.index.allocated()
    }

    /// What it has done so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Is nothing under way, and nothing waiting?
    pub fn is_idle(&self) -> bool {
        self.ios.is_empty() && !self.is_queued() && self.reclaim.is_none() && self.shrinking.is_none()
    }

    /// Does anything wait for its place?
    fn is_queued(&self) -> bool {
        !self.jobs.newcomer.is_empty() || !self.jobs.main.is_empty() || !self.burials.is_empty()
    }

    const fn is_read_only(&self) -> bool {
        matches!(self.phase, Phase::ReadOnly)
    }

    fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn fail(&mut self, op: Op, why: Failure) {
        self.event(Event::Failed { op, why });
    }

    fn mint(&mut self, pending: Pending) -> Io {
        self.ios_begun += 1;
        let io = Io(self.ios_begun);
        self.ios.insert(io, pending);
        io
    }

    fn answered(&mut self, io: Io) -> Pending {
        self.ios.remove(&io).unwrap_or_else(|| unreachable!("the answer rule: {io:?} is not under way"))
    }

    fn on_done(&mut self, io: Io) {
        match self.answered(io) {
            Pending::Write(stream, written) => self.on_written(stream, written),
            Pending::Sync => self.on_synced(),
            Pending::Read(reading) => unreachable!("the answer rule: {reading:?} gives bytes"),
        }
    }

    fn on_failed(&mut self, io: Io) {
        match self.answered(io) {
            Pending::Write(stream, written) => self.on_write_failed(stream, written),
            Pending::Sync => self.on_sync_failed(),
            Pending::Read(reading) => self.on_read_failed(reading),
        }
    }
}
