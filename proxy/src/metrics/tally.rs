//! Counters: one for each value of a label, and a histogram of times.

use super::labels::Label;
use std::{
    array,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper bounds of the buckets of a histogram of times, in milliseconds.
pub(super) const BUCKETS_MS: [u64; 14] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

/// One counter for each value of a label. `N` is how many values there are.
#[derive(Debug)]
pub(super) struct Tally<L, const N: usize> {
    counts: [AtomicU64; N],
    label: PhantomData<L>,
}

impl<L: Label, const N: usize> Default for Tally<L, N> {
    fn default() -> Self {
        const { assert!(N == L::COUNT, "a counter for each value") };
        Self { counts: array::from_fn(|_| AtomicU64::new(0)), label: PhantomData }
    }
}

impl<L: Label, const N: usize> Tally<L, N> {
    pub(super) fn count(&self, value: L) {
        self.counts[value.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, sums: &mut [u64]) {
        for (sum, count) in sums.iter_mut().zip(&self.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

/// How long something took, in buckets of fixed size.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// The times up to each bound, and not to the one before.
    buckets: [AtomicU64; BUCKETS_MS.len()],
    /// All times, those beyond the last bound among them.
    count: AtomicU64,
    sum_ns: AtomicU64,
}

/// What histograms hold together.
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) buckets: [u64; BUCKETS_MS.len()],
    pub(super) count: u64,
    pub(super) sum: Duration,
}

impl Histogram {
    pub(super) fn observe(&self, took: Duration) {
        let bucket = BUCKETS_MS.iter().position(|bound| took <= Duration::from_millis(*bound));
        if let Some(bucket) = bucket {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, times: &mut Times) {
        for (sum, bucket) in times.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        times.count += self.count.load(Ordering::Relaxed);
        times.sum += Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed));
    }
}
