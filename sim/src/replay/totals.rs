//! What became of a trace, in numbers.

use std::collections::BTreeMap;
use tiergate_engine::{ByteCount, BytesWritten, TierId};

/// Requests or objects, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The number of requests or objects.
    pub requests: u64,
    /// The sum of their sizes: for requests, as the trace has them; for objects, of their bodies.
    pub bytes: u64,
}

impl Count {
    pub(super) fn add(&mut self, size: ByteCount) {
        self.requests += 1;
        self.bytes = self.bytes.saturating_add(size.0);
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self { requests: self.requests - other.requests, bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

/// What one tier did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierTotals {
    /// Requests that it answered.
    pub hits: Count,
    /// Objects that it took in.
    pub stored: Count,
    /// Those of them that came from a slower tier.
    pub promoted: Count,
    /// Objects that left it to make room.
    pub evicted: Count,
    /// What it held at the end. Of L3 it is not known.
    pub resident: Count,
    /// What was written to its device, with all that lies around bodies. L2 only.
    pub device: Option<BytesWritten>,
}

impl TierTotals {
    /// Bytes written to the device for each byte of body that was taken in. Nothing when nothing was.
    pub fn write_amplification(&self) -> Option<f64> {
        let device = self.device.filter(|_| self.stored.bytes > 0)?;
        Some(device.sum() as f64 / self.stored.bytes as f64)
    }

    /// Bytes written to the device for each byte written for objects that were taken in: what is the log's
    /// own doing, and not that of sectors and heads. Nothing when nothing was taken in.
    pub fn log_amplification(&self) -> Option<f64> {
        let device = self.device.filter(|device| device.appended > 0)?;
        Some(device.sum() as f64 / device.appended as f64)
    }
}

/// What became of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All that was asked for.
    pub asked: Count,
    /// Each tier of the configuration, fastest first.
    pub tiers: BTreeMap<TierId, TierTotals>,
    /// What the origin had to answer.
    pub origin: Count,
    /// Milliseconds between the first request and the last.
    pub span_ms: u64,
}

impl Totals {
    /// The part of the requests, and of the bytes, that no tier answered.
    pub fn miss_ratios(&self) -> (f64, f64) {
        ratios(self.origin, self.asked)
    }

    /// Each tier with the requests that came to it, which no faster tier had answered.
    pub fn walk(&self) -> impl Iterator<Item = (TierId, Count, &TierTotals)> {
        let mut left = self.asked;
        self.tiers.iter().map(move |(tier, totals)| {
            let asked = left;
            left = left.minus(totals.hits);
            (*tier, asked, totals)
        })
    }
}

/// `part` of `whole`, by number and by bytes; none of nothing.
pub(super) fn ratios(part: Count, whole: Count) -> (f64, f64) {
    let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    (ratio(part.requests, whole.requests), ratio(part.bytes, whole.bytes))
}
