//! The engine's two clocks, as plain numbers.
//!
//! [`Instant`] never runs backwards and orders everything the engine does. [`WallTime`] is what calendars and
//! HTTP dates speak; it may jump, so it is used only where a time must outlive this process or cross to
//! another one. Neither reads a clock: both arrive from the driver.

use core::time::Duration;
use serde::{Deserialize, Serialize};

/// How much later than it was a birth may seem: the calendar is cut to milliseconds when a record is written
/// and again when it is read.
pub(crate) const BIRTH_ROUNDING: Duration = Duration::from_millis(2);

/// Nanoseconds on the driver's monotonic clock, from an origin of its choosing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant(u64);

impl Instant {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero when `earlier` lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved forward, at most to the clock's end (584 years).
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Milliseconds since 1970-01-01 00:00 UTC, as the host's calendar clock tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallTime(u64);

impl WallTime {
    /// The wall time `millis` milliseconds after 1970.
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub const fn as_unix_millis(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero when `earlier` lies ahead, as it may after the calendar was set back.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This time moved forward, at most to the calendar's end.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This time moved back, at most to 1970.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}
