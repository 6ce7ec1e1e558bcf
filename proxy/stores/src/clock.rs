//! The calendar that an index reads, handed in from outside so that a simulation can turn it.

use std::time::{SystemTime, UNIX_EPOCH};
use tiergate_engine::WallTime;

/// Tells the time on the calendar. It may be set back: the indexes here see to it that what they tell their
/// callers never goes back.
pub trait WallClock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> WallTime;
}

impl<F: Fn() -> WallTime + Send + Sync + 'static> WallClock for F {
    fn now(&self) -> WallTime {
        self()
    }
}

/// The clock of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    /// 1970 on a machine whose clock was never set and says an earlier year.
    fn now(&self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
