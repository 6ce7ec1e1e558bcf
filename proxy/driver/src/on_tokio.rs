//! A clock and a spawner on tokio, for worlds that need nothing else.

use crate::{Clock, Spawn};
use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tiergate_engine::{Instant, WallTime};
use tokio::runtime::Handle;

/// Tokio's clock, counted from the making of this one, and the host's calendar.
#[derive(Clone, Debug)]
pub struct TokioClock {
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that stands at zero now.
    pub fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::ZERO.after(self.origin.elapsed())
    }

    /// A calendar set before 1970 counts as 1970.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one clock that reads the host's calendar; everybody else is given it"
    )]
    fn wall(&self) -> WallTime {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        WallTime::default().after(since_1970.unwrap_or(Duration::ZERO))
    }

    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until(self.origin + Duration::from_nanos(at.as_nanos())).await;
    }
}

/// Spawns on the runtime that the caller runs on; where there is none, as in a `Drop` after a runtime's end,
/// on the one that this was made on.
///
/// Where several runtimes share a driver, none may stop while others go on: the fetches that it runs may
/// serve clients elsewhere, and they would see them break off.
#[derive(Clone, Debug)]
pub struct TokioSpawn {
    home: Handle,
}

impl TokioSpawn {
    /// Spawns on the current runtime, or by default on this one.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn current() -> Self {
        Self { home: Handle::current() }
    }
}

impl Spawn for TokioSpawn {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Nobody waits for the handle: a task of the driver tells the engine how it ended.
        match Handle::try_current() {
            Ok(here) => drop(here.spawn(task)),
            Err(_) => drop(self.home.spawn(task)),
        }
    }
}
