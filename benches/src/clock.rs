//! Time that this thread has had a processor.
//!
//! On a machine that others use too, elapsed time says more of them than of us. Waits for a lock are not in
//! it.

use std::{fs, sync::LazyLock, time::Instant};

/// Nanoseconds, from some point on. Where the system does not tell, elapsed time stands in.
pub(crate) fn nanoseconds() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    on_processor().unwrap_or_else(|| u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// Linux counts to the last tick of its scheduler, a few milliseconds, so what is timed should take longer.
fn on_processor() -> Option<u64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}
