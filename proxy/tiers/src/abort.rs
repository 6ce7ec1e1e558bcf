//! A task that ends with its owner, so that none outlives the connection it serves.

use std::future::Future;
use tokio::task::AbortHandle;

/// A running task.
pub(crate) struct Task(AbortHandle);

impl Task {
    /// Runs `future` until it ends or its owner drops it.
    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
