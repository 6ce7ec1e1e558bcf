//! The real world, as the driver is given it in production.

use crate::origin_connect::OriginConnect;
use crate::{
    metrics::{BreakerChange, BreakerStep, Metrics},
    readiness::Readiness,
    store_connect::StoreConnect,
    tap::Tap,
};
use std::{
    collections::BTreeMap,
    fs::File,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant as Moment},
};
use tiergate_driver::{Beginning, Observer, Recorder, TierError, TokioClock, TokioSpawn, World};
use tiergate_engine::{ByteCount, Dependency, Event, Instant, ResilienceEvent, TierId};
use tiergate_recording::JsonRecorder;
use tiergate_stores::{Agreeing, AnyBlobs, AnyIndex};
use tiergate_tiers::{AnyTier, HttpOrigin};

/// A tier that fails says so this often at most: one that is down fails with every request.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Real clocks, real connections, real disks.
pub struct Production;

impl World for Production {
    type Clock = TokioClock;
    type Spawn = TokioSpawn;
    type Origin = HttpOrigin<OriginConnect>;
    type Tier = AnyTier<StoreConnect>;
    type Blobs = AnyBlobs;
    type Index = Agreeing<AnyIndex<StoreConnect>>;
    type Feed = AnyIndex<StoreConnect>;
    type Observer = Journal;
}

/// Counts events, and writes what somebody should know to the log.
#[derive(Debug)]
pub struct Journal {
    complaints: Mutex<Complaints>,
    /// Until it is handed to the shard that is to be recorded.
    recording: Mutex<Option<NewRecording>>,
    tap: Option<Tap>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// A recording whose file is made, of a shard that has not begun.
#[derive(Debug)]
pub struct NewRecording {
    /// The file, empty.
    pub file: File,
    /// The shard that is recorded, from 0.
    pub shard: u32,
    /// Where it ends.
    pub size_max: ByteCount,
}

/// What was said last about each failing tier.
#[derive(Debug, Default)]
struct Complaints(BTreeMap<TierId, Complaint>);

/// What was said last about a failing tier.
#[derive(Debug)]
struct Complaint {
    said: Moment,
    kept_back: u64,
}

impl Journal {
    /// One that records and watches as well, if it is to.
    pub fn new(
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
        recording: Option<NewRecording>,
        tap: Option<Tap>,
    ) -> Self {
        let recording = Mutex::new(recording);
        Self { complaints: Mutex::default(), recording, tap, metrics, readiness }
    }
}

impl Complaints {
    /// How many failures went unsaid since the last complaint, if it is time for another.
    fn complain(&mut self, tier: TierId, now: Moment) -> Option<u64> {
        match self.0.get_mut(&tier) {
            Some(last) if now.duration_since(last.said) < COMPLAINT_INTERVAL => {
                last.kept_back += 1;
                None
            }
            Some(last) => {
                last.said = now;
                Some(std::mem::take(&mut last.kept_back))
            }
            None => {
                let first = Complaint { said: now, kept_back: 0 };
                self.0.insert(tier, first);
                Some(0)
            }
        }
    }
}

impl Observer for Journal {
    fn observe(&self, shard: u32, now: Instant, event: &Event) {
        if let Event::Resilience(ResilienceEvent::TierJoined { tier, objects, bytes }) = event
            && self.readiness.joined()
        {
            tracing::info!(tier = tier.as_str(), objects, bytes = bytes.0, "a tier has joined");
        }
        if let Some(tap) = &self.tap {
            tap.show(shard, now, event);
        }
        match self.metrics.observe(shard, now, event) {
            // The disk says itself when it is down, once, and when it is back.
            Some(BreakerStep { of: Dependency::Tier(TierId::L2), .. }) | None => {}
            Some(BreakerStep { of, change: BreakerChange::FirstOpened }) => {
                tracing::warn!(
                    ?of,
                    "a breaker has opened: who it guards has failed too often to be asked as before"
                );
            }
            Some(BreakerStep { of, change: BreakerChange::AllClosed }) => {
                tracing::warn!(?of, "every breaker has closed again: who they guard is asked as before");
            }
        }
        tracing::debug!(shard, ?event);
    }

    fn fresh_hit(&self, shard: u32) {
        self.metrics.fresh_hit(shard);
    }

    fn tier_failed(&self, tier: TierId, error: &TierError) {
        // As above.
        if tier == TierId::L2 {
            return tracing::debug!(%error, "L2 failed a call");
        }
        let complaints = self.complaints.lock();
        let due = complaints.unwrap_or_else(PoisonError::into_inner).complain(tier, Moment::now());
        if let Some(kept_back) = due {
            tracing::warn!(tier = tier.as_str(), %error, kept_back, "a tier failed; requests go on without it");
        }
    }

    fn recorder(&self, beginning: &Beginning<'_>) -> Option<Box<dyn Recorder>> {
        let mut waiting = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        let NewRecording { file, size_max, .. } =
            waiting.take_if(|recording| recording.shard == beginning.shard)?;
        Some(Box::new(JsonRecorder::begin(file, size_max.0, beginning)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tier that keeps failing is complained about once in each interval, with the number of failures kept
    /// back.
    #[test]
    fn a_failing_tier_does_not_flood_the_log() {
        let mut complaints = Complaints::default();
        let start = Moment::now();
        assert_eq!(complaints.complain(TierId::L1, start), Some(0));
        assert_eq!(complaints.complain(TierId::L1, start), None);
        assert_eq!(complaints.complain(TierId::L1, start), None);
        assert_eq!(complaints.complain(TierId::L3, start), Some(0));
        assert_eq!(complaints.complain(TierId::L1, start + COMPLAINT_INTERVAL), Some(2));
    }
}
