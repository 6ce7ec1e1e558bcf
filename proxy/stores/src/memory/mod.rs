//! Blobs, rows and the purge feed in the memory of one process, for simulation and tests. The clock is handed
//! in. What lies here is gone with the process.

mod blobs;
mod index;
#[cfg(test)]
mod tests;

pub use blobs::MemoryBlobs;
pub use index::MemoryIndex;

use std::sync::{Mutex, MutexGuard};

/// Nothing here calls back while it is locked, so a poisoned lock is a panic of its own making.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it is locked")
}
