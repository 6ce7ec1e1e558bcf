//! Work that may wait for the disk, on the runtime's pool of threads.

use tiergate_driver::{StoreError, TierError};

/// Runs `work` where it may wait. It runs to its end, also when nobody waits for it any more.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => Err(TierError::Failed("the process is shutting down".to_owned())),
        },
    }
}

/// Starts `work` for whoever may not wait, and on this thread where there is no runtime, as at the end of a
/// process.
pub(crate) fn start(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        // Nobody waits for it: what it does is also done when a store is opened.
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_no_runtime) => work(),
    }
}
