//! Asking the disk on the runtime's pool of threads: where io_uring is refused, and what is too rare for it.

use super::file::HeldFile;
use bytes::Bytes;
use std::{io, os::unix::fs::FileExt};

/// At least one and at most `length` bytes from `offset` on.
pub(super) async fn read(file: HeldFile, offset: u64, length: usize) -> io::Result<Bytes> {
    blocking(move || {
        let mut bytes = vec![0; length];
        loop {
            match file.file.read_at(&mut bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    bytes.truncate(read);
                    return Ok(bytes.into());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    })
    .await
}

pub(super) async fn write(file: HeldFile, offset: u64, bytes: Bytes) -> io::Result<()> {
    blocking(move || file.file.write_all_at(&bytes, offset)).await
}

pub(super) async fn sync(file: HeldFile) -> io::Result<()> {
    blocking(move || file.file.sync_data()).await
}

/// Runs `work` where it may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => Err(io::Error::other("the process is shutting down")),
        },
    }
}
