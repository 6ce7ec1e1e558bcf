//! A lane's way into L3: a lease first, then the blob, then the manifest in place of the lease. A small body
//! is kept here until all of it has come, and goes into the row with its manifest.
//!
//! The lane carries the bytes and [`Publish`] the protocol. The lane ends when its upload has come to an end,
//! or before it: then the upload goes on until its own blob is deleted or left to the collector, and ends
//! exactly once.

use super::{
    Came, Moved,
    lanes::{Lanes, OpenLane},
};
use crate::machine::{
    context::Context,
    durable::{TIER, Work},
    fetching::IndexSnapshot,
};
use crate::{
    config::Config,
    durable::{BlobFate, Completed, Publish, PublishEnd, PublishStep, Terms, Told},
    language::{
        chunk::Chunk,
        effect::Effect,
        event::{DurableEvent, ResilienceEvent, TierOperation},
        head::Length,
        id::{RecordName, WriterId},
        key::CacheKey,
        reason::LaneEnd,
        record::Record,
        time::Instant,
        units::ByteCount,
    },
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

/// The protocol's side of a lane.
///
/// ```text
/// Prepared ──first chunk──▶ Begun ──▶ ended
///    │ ▲                      ▲
///    │ ╰too much╮             │
///    ├─may fit a row─▶ Kept ──╯ all has come
///    ╰──the lane is dropped──▶ ended
/// ```
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "almost every upload is begun in the step after it was prepared"
)]
pub(super) enum Upload<C: Chunk> {
    /// No byte has come. `fits`: all of it may fit a row.
    Prepared { snapshot: IndexSnapshot, fits: bool },
    /// So far all that has come fits a row.
    Kept { snapshot: IndexSnapshot, pieces: Vec<C>, size: u64 },
    /// The index knows, or will know, of it.
    Begun {
        key: CacheKey,
        name: RecordName,
        publish: Publish,
        digest: C::Digest,
        /// When its lease is to be renewed.
        renewal: Option<Instant>,
    },
}

/// Every upload under way.
#[derive(Debug)]
pub(super) struct Uploads<C: Chunk> {
    /// None, where no tier is durable.
    terms: Option<Terms>,
    /// The largest body that goes into a row.
    row_body_max: ByteCount,
    by_writer: BTreeMap<WriterId, Upload<C>>,
    /// When each lease that is held is to be renewed.
    renewals: BTreeSet<(Instant, WriterId)>,
}

impl<C: Chunk> Uploads<C> {
    pub(super) fn of(config: &Config) -> Self {
        let row_body_max = config.row_body_max();
        Self {
            terms: config.durable_terms(),
            row_body_max,
            by_writer: BTreeMap::new(),
            renewals: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_writer.len()
    }

    pub(super) fn renewals(&self) -> usize {
        self.renewals.len()
    }

    pub(super) fn renewal_at(&self) -> Option<Instant> {
        self.renewals.first().map(|(at, _)| *at)
    }

    fn terms(&self) -> Terms {
        self.terms.expect("only lanes into a durable tier have uploads")
    }
}

impl<C: Chunk> Lanes<C> {
    /// A lane into L3 was opened for a fill whose lookup saw this.
    pub(in crate::machine) fn prepare_upload(
        &mut self,
        writer: WriterId,
        snapshot: IndexSnapshot,
        length: Length,
    ) {
        let most = self.uploads.row_body_max;
        let fits = match length {
            Length::Known(length) => length <= most,
            Length::Unknown => true,
        };
        let fits = fits && most > ByteCount::ZERO;
        self.uploads.by_writer.insert(writer, Upload::Prepared { snapshot, fits });
    }

    /// The first chunk is here, or the end, of what may fit a row: it is kept from here on.
    pub(super) fn begin_to_keep(&mut self, writer: WriterId) -> bool {
        let Some(upload) = self.uploads.by_writer.get_mut(&writer) else { return false };
        let Upload::Prepared { snapshot, fits: true } = upload else { return false };
        *upload = Upload::Kept { snapshot: snapshot.clone(), pieces: Vec::new(), size: 0 };
        self.open_lane(writer).on_keep();
        true
    }

    /// Keeps a chunk, if its upload is for a row. With one too many, all goes the way of other bodies.
    pub(super) fn keep(&mut self, writer: WriterId, chunk: &C) -> bool {
        let most = self.uploads.row_body_max.0;
        let Some(upload) = self.uploads.by_writer.get_mut(&writer) else { return false };
        let Upload::Kept { snapshot, pieces, size } = upload else { return false };
        *size = size.saturating_add(chunk.size());
        pieces.push(chunk.clone());
        if *size <= most {
            self.open_lane(writer).on_kept(chunk.size());
            return true;
        }
        let kept = core::mem::take(pieces);
        *upload = Upload::Prepared { snapshot: snapshot.clone(), fits: false };
        // In one piece: a queue has a bound for pieces.
        self.open_lane(writer).on_too_large(C::compact(kept));
        true
    }

    /// All of it has come and is kept, if its upload is for a row: asks the index to take it.
    pub(super) fn publish_kept(
        &mut self,
        cx: &mut Context<C>,
        writer: WriterId,
        record: &Arc<Record>,
    ) -> bool {
        let upload = self.uploads.by_writer.remove(&writer);
        let (IndexSnapshot { seen, at }, pieces) = match upload {
            Some(Upload::Kept { snapshot, pieces, .. }) => (snapshot, pieces),
            other => {
                self.uploads.by_writer.extend(other.map(|upload| (writer, upload)));
                return false;
            }
        };
        let (key, terms) = (self.lanes[&writer].at.key, self.uploads.terms());
        let mut digest = C::Digest::default();
        pieces.iter().for_each(|piece| piece.digest_into(&mut digest));
        let in_row = Some(C::to_row(&pieces));
        let completed = Completed { record: Arc::clone(record), digest: C::digest_of(&digest), in_row };
        let name = record.name;
        self.open_lane(writer).on_all_kept();
        let (publish, step) = Publish::begin_in_row(completed, seen, cx.now.since(at), terms);
        self.uploads.by_writer.insert(writer, Upload::Begun { key, name, publish, digest, renewal: None });
        let moved = self.step_upload(cx, writer, step);
        assert!(moved.is_none(), "{writer:?} published before its index was asked");
        true
    }

    /// The first chunk is here: asks for the lease. Until it is had, the lane waits as for a tier that opens.
    pub(in crate::machine) fn begin_upload(&mut self, cx: &mut Context<C>, writer: WriterId) {
        let (key, now) = (self.lanes[&writer].at.key, cx.now);
        let lane = self.open_lane(writer);
        lane.on_asked_to_lease();
        let name = lane.name;
        self.watch(cx, writer);
        let terms = self.uploads.terms();
        let Some(Upload::Prepared { snapshot: IndexSnapshot { seen, at }, .. }) =
            self.uploads.by_writer.remove(&writer)
        else {
            unreachable!("{writer:?} begins its upload once, and was prepared for it")
        };
        let (publish, step) = Publish::begin(name, seen, now.since(at), terms);
        let upload = Upload::Begun { key, name, publish, digest: C::Digest::default(), renewal: None };
        self.uploads.by_writer.insert(writer, upload);
        self.step_upload(cx, writer, step);
    }

    /// A chunk is about to go up.
    pub(in crate::machine) fn digest_upload(&mut self, writer: WriterId, chunk: &C) {
        if let Some(Upload::Begun { digest, .. }) = self.uploads.by_writer.get_mut(&writer) {
            chunk.digest_into(digest);
        }
    }

    /// The store has the whole blob (D2): the manifest may name it, unless a purge came.
    pub(super) fn on_blob_whole(&mut self, cx: &mut Context<C>, writer: WriterId) -> Moved {
        let record = self.open_lane(writer).on_blob_whole();
        let OpenLane { owner, is_superseded, .. } = self.lanes[&writer];
        let (publish, digest) = self.publish(writer);
        let step = if is_superseded {
            publish.on_abandoned()
        } else {
            publish.on_complete(Completed { record, digest: C::digest_of(digest), in_row: None })
        };
        let moved = self.step_upload(cx, writer, step);
        moved.unwrap_or(Moved { writer, owner, came: Came::Nothing })
    }

    /// The index has answered. What the lane was for may go on, if there is one still.
    pub(in crate::machine) fn on_upload_told(
        &mut self,
        cx: &mut Context<C>,
        writer: WriterId,
        told: Told,
    ) -> Option<Moved> {
        let step = self.publish(writer).0.on_told(told);
        let moved = self.step_upload(cx, writer, step);
        let owner = self.lanes.get(&writer).map(|open| open.owner);
        moved.or(owner.map(|owner| Moved { writer, owner, came: Came::Nothing }))
    }

    /// A lane will never be whole, or is not wanted any more: first its writer is closed, then its upload
    /// ends.
    pub(in crate::machine) fn abandon_upload(&mut self, cx: &mut Context<C>, writer: WriterId) {
        let lane = self.open_lane(writer);
        if lane.was_opened() {
            lane.on_discarded();
            cx.effect(Effect::Discard { tier: TIER, writer });
        }
        match self.uploads.by_writer.get_mut(&writer) {
            None => {}
            Some(Upload::Prepared { .. } | Upload::Kept { .. }) => {
                drop(self.uploads.by_writer.remove(&writer));
            }
            Some(Upload::Begun { publish, .. }) => {
                let step = publish.on_abandoned();
                let published = self.step_upload(cx, writer, step);
                assert!(published.is_none(), "{writer:?} was given up and published");
            }
        }
    }

    pub(in crate::machine) fn renew_leases(&mut self, cx: &mut Context<C>) {
        let (now, after) = (cx.now, self.uploads.terms().renew_after());
        while let Some((at, writer)) = self.uploads.renewals.first().copied().filter(|(at, _)| *at <= now) {
            self.uploads.renewals.remove(&(at, writer));
            self.renew_at(writer, now.after(after));
            let step = self.publish(writer).0.on_renewal_due();
            let published = self.step_upload(cx, writer, step);
            assert!(published.is_none(), "{writer:?} published when its lease was to be renewed");
        }
    }

    /// Does what an upload asks for. What can move after that is the caller's to move.
    fn step_upload(&mut self, cx: &mut Context<C>, writer: WriterId, step: PublishStep) -> Option<Moved> {
        match step {
            PublishStep::Wait => None,
            PublishStep::Ask(ask) => {
                if let Some(end) = self.publish(writer).0.ending() {
                    self.end_lane_of(cx, writer, end);
                }
                cx.ask_durable(Work::Upload(writer), ask);
                None
            }
            PublishStep::Upload => {
                let at = cx.now.after(self.uploads.terms().renew_after());
                self.renew_at(writer, at);
                self.open_in_tier(cx, writer);
                None
            }
            PublishStep::Ended(end, blob) => self.end_upload(cx, writer, end, blob),
        }
    }

    fn end_upload(
        &mut self,
        cx: &mut Context<C>,
        writer: WriterId,
        end: PublishEnd,
        blob: BlobFate,
    ) -> Option<Moved> {
        let Some(Upload::Begun { key, name, renewal, .. }) = self.uploads.by_writer.remove(&writer) else {
            unreachable!("{writer:?} ends its upload once, after it was begun")
        };
        if let Some(at) = renewal {
            self.uploads.renewals.remove(&(at, writer));
        }
        cx.event(DurableEvent::UploadEnded { key, name, end, blob });
        if end == PublishEnd::IndexFailed {
            cx.event(ResilienceEvent::TierFailed { tier: TIER, operation: TierOperation::Write });
        }
        match end {
            PublishEnd::Won { .. } => Some(self.on_lane_published(cx, writer)),
            PublishEnd::Lost { .. }
            | PublishEnd::Purged
            | PublishEnd::LeaseLost
            | PublishEnd::TooLate
            | PublishEnd::Crowded
            | PublishEnd::IndexFailed
            | PublishEnd::Abandoned => {
                self.end_lane_of(cx, writer, end);
                None
            }
        }
    }

    /// An upload came to nothing; its lane may have been dropped, and closed, before.
    fn end_lane_of(&mut self, cx: &mut Context<C>, writer: WriterId, end: PublishEnd) {
        if self.lanes.get(&writer).is_some_and(|open| open.lane.is_live()) {
            self.end_lane(cx, writer, why(end));
        }
    }

    fn renew_at(&mut self, writer: WriterId, at: Instant) {
        if let Some(Upload::Begun { renewal, .. }) = self.uploads.by_writer.get_mut(&writer) {
            *renewal = Some(at);
            self.uploads.renewals.insert((at, writer));
        }
    }

    fn publish(&mut self, writer: WriterId) -> (&mut Publish, &C::Digest) {
        match self.uploads.by_writer.get_mut(&writer) {
            Some(Upload::Begun { publish, digest, .. }) => (publish, digest),
            other => unreachable!("{writer:?} should upload, but is {other:?}"),
        }
    }
}

fn why(end: PublishEnd) -> LaneEnd {
    match end {
        PublishEnd::Won { .. } => unreachable!("what is published is not dropped"),
        PublishEnd::Lost { .. } => LaneEnd::Outrun,
        PublishEnd::Purged => LaneEnd::Superseded,
        PublishEnd::LeaseLost => LaneEnd::LeaseLost,
        PublishEnd::TooLate => LaneEnd::TooLate,
        PublishEnd::Crowded => LaneEnd::Crowded,
        PublishEnd::IndexFailed => LaneEnd::TierFailed,
        PublishEnd::Abandoned => LaneEnd::Abandoned,
    }
}
