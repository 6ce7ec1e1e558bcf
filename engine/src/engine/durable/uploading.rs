//! A lane's way into L3: a lease first, then the blob, then the manifest in place of the lease.
//!
//! The lane carries the bytes and [`Publish`] the protocol. The lane ends when its upload has come to an end, or before
//! it: then the upload goes on until its own blob is deleted or left to the collector, and ends exactly once.

use super::{Engine, TIER, Work};
use crate::{
    chunk::Chunk,
    durable::{Ask, BlobFate, BlobName, Completed, Publish, PublishEnd, PublishStep, Stored, Told},
    effect::Effect,
    event::{Event, TierOperation},
    fill::Glimpse,
    id::{RecordName, WriterId},
    key::CacheKey,
    plant::Fault,
    reason::LaneEnd,
    time::Instant,
};

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
    Prepared(Glimpse),
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

impl<C: Chunk> Engine<C> {
    /// A lane into L3 was opened for a fill whose lookup saw this.
    pub(in crate::engine) fn prepare_upload(&mut self, writer: WriterId, glimpse: Glimpse) {
        self.durable().uploads.insert(writer, Upload::Prepared(glimpse));
    }

    /// The first chunk is here: asks for the lease. Until it is had, the lane waits as for a tier that opens.
    pub(in crate::engine) fn begin_upload(&mut self, writer: WriterId) {
        let (key, now) = (self.lanes[&writer].at.key, self.cx.now);
        let lane = self.open_lane(writer);
        lane.on_asked_to_lease();
        let name = lane.name;
        self.watch(writer);
        let terms = self.durable().terms;
        let Some(Upload::Prepared(Glimpse { seen, at })) = self.durable().uploads.remove(&writer) else {
            unreachable!("{writer:?} begins its upload once, and was prepared for it")
        };
        let ran_out = |stored: &Stored| stored.entry.manifest.is_some() && stored.expires <= seen.now;
        if self.cx.config.is_planted(Fault::F6) && seen.stored.as_ref().is_some_and(ran_out) {
            return self.end_lane(writer, LaneEnd::Outrun);
        }
        let (publish, step) = Publish::begin(name, seen, now.since(at), terms);
        let upload = Upload::Begun { key, name, publish, digest: C::Digest::default(), renewal: None };
        self.durable().uploads.insert(writer, upload);
        self.step_upload(writer, step);
    }

    /// A chunk is about to go up.
    pub(in crate::engine) fn digest_upload(&mut self, writer: WriterId, chunk: &C) {
        let upload = self.durable.as_mut().and_then(|durable| durable.uploads.get_mut(&writer));
        if let Some(Upload::Begun { digest, .. }) = upload {
            chunk.digest_into(digest);
        }
    }

    /// The store has the whole blob (D2): the manifest may name it, unless a purge came.
    pub(in crate::engine) fn on_blob_whole(&mut self, writer: WriterId) {
        let is_current = self.is_current(writer);
        let lane = self.open_lane(writer);
        let record = lane.on_blob_whole();
        let owner = self.lanes[&writer].owner;
        let (publish, digest) = self.publish(writer);
        let step = if is_current {
            publish.on_complete(Completed { record, digest: C::digest_of(digest) })
        } else {
            publish.on_abandoned()
        };
        self.step_upload(writer, step);
        self.on_lane_moved(owner);
    }

    pub(super) fn on_upload_told(&mut self, writer: WriterId, told: Told) {
        let is_lost = self.cx.config.is_planted(Fault::X18) && told == Told::Unknown;
        let told = if is_lost && self.publish(writer).0.is_swapping() { Told::Conflict } else { told };
        let step = self.publish(writer).0.on_told(told);
        let owner = self.lanes.get(&writer).map(|open| open.owner);
        self.step_upload(writer, step);
        if let Some(owner) = owner.filter(|_| self.lanes.contains_key(&writer)) {
            self.on_lane_moved(owner);
        }
    }

    /// A lane will never be whole, or is not wanted any more: first its writer is closed, then its upload ends.
    pub(in crate::engine) fn abandon_upload(&mut self, writer: WriterId) {
        let lane = self.open_lane(writer);
        if lane.was_opened() {
            lane.on_discarded();
            self.cx.effect(Effect::Discard { tier: TIER, writer });
        }
        match self.durable().uploads.get_mut(&writer) {
            None => {}
            Some(Upload::Prepared(_)) => drop(self.durable().uploads.remove(&writer)),
            Some(Upload::Begun { publish, .. }) => {
                let step = publish.on_abandoned();
                self.step_upload(writer, step);
            }
        }
    }

    pub(super) fn renew_leases(&mut self) {
        let (now, after) = (self.cx.now, self.durable().terms.renew_after());
        while let Some((at, writer)) = self.durable().renewals.first().copied().filter(|(at, _)| *at <= now) {
            self.durable().renewals.remove(&(at, writer));
            self.renew_at(writer, now.after(after));
            let step = self.publish(writer).0.on_renewal_due();
            self.step_upload(writer, step);
        }
    }

    /// Does what an upload asks for. What can move after that is the caller's to move.
    fn step_upload(&mut self, writer: WriterId, step: PublishStep) {
        match step {
            PublishStep::Wait => {}
            PublishStep::Ask(ask) => {
                let mut ask = ask;
                if let Some(end) = self.publish(writer).0.ending() {
                    self.end_lane_of(writer, end);
                    if let (PublishEnd::Lost { winner }, Ask::Delete { blob }) = (end, &ask)
                        && self.cx.config.is_planted(Fault::T8)
                    {
                        ask = Ask::Delete { blob: BlobName { name: winner, ..*blob } };
                    }
                }
                self.ask_durable(Work::Upload(writer), ask);
            }
            PublishStep::Upload => {
                let at = self.cx.now.after(self.durable().terms.renew_after());
                self.renew_at(writer, at);
                self.open_in_tier(writer);
            }
            PublishStep::Ended(end, blob) => self.end_upload(writer, end, blob),
        }
    }

    fn end_upload(&mut self, writer: WriterId, end: PublishEnd, blob: BlobFate) {
        let Some(Upload::Begun { key, name, renewal, .. }) = self.durable().uploads.remove(&writer) else {
            unreachable!("{writer:?} ends its upload once, after it was begun")
        };
        if let Some(at) = renewal {
            self.durable().renewals.remove(&(at, writer));
        }
        self.cx.event(Event::UploadEnded { key, name, end, blob });
        if end == PublishEnd::IndexFailed {
            self.cx.event(Event::TierFailed { tier: TIER, operation: TierOperation::Write });
        }
        match end {
            PublishEnd::Won { .. } => self.on_lane_published(writer),
            PublishEnd::Lost { .. }
            | PublishEnd::Purged
            | PublishEnd::LeaseLost
            | PublishEnd::TooLate
            | PublishEnd::Crowded
            | PublishEnd::IndexFailed
            | PublishEnd::Abandoned => self.end_lane_of(writer, end),
        }
    }

    /// An upload came to nothing; its lane may have been dropped, and closed, before.
    fn end_lane_of(&mut self, writer: WriterId, end: PublishEnd) {
        if self.lanes.get(&writer).is_some_and(|open| open.lane.is_live()) {
            self.end_lane(writer, why(end));
        }
    }

    fn renew_at(&mut self, writer: WriterId, at: Instant) {
        let durable = self.durable();
        if let Some(Upload::Begun { renewal, .. }) = durable.uploads.get_mut(&writer) {
            *renewal = Some(at);
            durable.renewals.insert((at, writer));
        }
    }

    fn publish(&mut self, writer: WriterId) -> (&mut Publish, &C::Digest) {
        match self.durable().uploads.get_mut(&writer) {
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
