//! A lane's way into L3: a lease first, then the blob, then the manifest in place of the lease.
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
        id::{RecordName, WriterId},
        key::CacheKey,
        reason::LaneEnd,
        time::Instant,
    },
};
use alloc::collections::{BTreeMap, BTreeSet};

/// The protocol's side of a lane.
///
/// ```text
/// Prepared ──first chunk──▶ Begun ──▶ ended
///    ╰──the lane is dropped──▶ ended
/// ```
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "almost every upload is begun in the step after it was prepared"
)]
pub(super) enum Upload<C: Chunk> {
    /// No byte has come.
    Prepared(IndexSnapshot),
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
    by_writer: BTreeMap<WriterId, Upload<C>>,
    /// When each lease that is held is to be renewed.
    renewals: BTreeSet<(Instant, WriterId)>,
}

impl<C: Chunk> Uploads<C> {
    pub(super) fn of(config: &Config) -> Self {
        Self { terms: config.durable_terms(), by_writer: BTreeMap::new(), renewals: BTreeSet::new() }
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
    pub(in crate::machine) fn prepare_upload(&mut self, writer: WriterId, snapshot: IndexSnapshot) {
        self.uploads.by_writer.insert(writer, Upload::Prepared(snapshot));
    }

    /// The first chunk is here: asks for the lease. Until it is had, the lane waits as for a tier that opens.
    pub(in crate::machine) fn begin_upload(&mut self, cx: &mut Context<C>, writer: WriterId) {
        let (key, now) = (self.lanes[&writer].at.key, cx.now);
        let lane = self.open_lane(writer);
        lane.on_asked_to_lease();
        let name = lane.name;
        self.watch(cx, writer);
        let terms = self.uploads.terms();
        let Some(Upload::Prepared(IndexSnapshot { seen, at })) = self.uploads.by_writer.remove(&writer)
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
            publish.on_complete(Completed { record, digest: C::digest_of(digest) })
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
            Some(Upload::Prepared(_)) => drop(self.uploads.by_writer.remove(&writer)),
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
