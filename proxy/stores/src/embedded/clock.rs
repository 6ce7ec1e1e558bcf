//! A clock that never goes back, not even over a restart after the system's clock was set back.
//!
//! A time is told only when the file promises that no later life tells less. Each write promises some seconds
//! more than it needs, so that reads rarely have to write. After a restart the clock stands still until the
//! system's has caught up with the promise: some seconds, or as far as the system's clock was set back.

use crate::WallClock;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tiergate_engine::WallTime;

/// How far a promise reaches ahead. Longer spares writes when only reads go by, and is how long the clock may
/// stand still after a restart.
const AHEAD: Duration = Duration::from_secs(5);

/// What to promise when this time is told.
pub(super) fn promise_at(now: WallTime) -> WallTime {
    now.after(AHEAD)
}

pub(super) struct KeptClock {
    source: Arc<dyn WallClock>,
    state: Mutex<State>,
}

struct State {
    /// The last that was told, or was to be.
    last: WallTime,
    /// On the disk.
    promised: WallTime,
}

impl KeptClock {
    /// Goes on from what an earlier life promised.
    pub(super) fn new(source: Arc<dyn WallClock>, promised: WallTime) -> Self {
        Self { source, state: Mutex::new(State { last: promised, promised }) }
    }

    /// The time for a write, which promises it before it is told.
    pub(super) fn now(&self) -> WallTime {
        self.moved_on().last
    }

    /// The time, unless it must be promised before it is told.
    pub(super) fn promised_now(&self) -> Option<WallTime> {
        let state = self.moved_on();
        (state.last <= state.promised).then_some(state.last)
    }

    pub(super) fn on_promised(&self, promised: WallTime) {
        let mut state = self.locked();
        state.promised = state.promised.max(promised);
    }

    fn moved_on(&self) -> MutexGuard<'_, State> {
        let mut state = self.locked();
        state.last = state.last.max(self.source.now());
        state
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
