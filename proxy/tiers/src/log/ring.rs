//! Asking the disk through io_uring, on a thread of its own: a tokio-uring runtime cannot be part of another
//! runtime.
//!
//! Operations go in through a channel, answers come back through one each. The thread ends when its owner
//! does, after the last operation: none is given up, because what is written later than it was answered could
//! hit the next owner's data.

use bytes::Bytes;
use std::{fs::File, io, rc::Rc, sync::Arc, thread};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

/// Operations that the ring takes at once. More wait in the channel.
const ENTRIES: u32 = 256;

/// A thread with a ring. Dropping it lets the thread end.
#[derive(Debug)]
pub(super) struct Ring {
    operations: mpsc::UnboundedSender<Operation>,
}

/// What the thread is asked for. What may be under way at once is bounded by who asks: the store.
#[derive(Debug)]
enum Operation {
    Read { offset: u64, length: usize, answer: oneshot::Sender<io::Result<Bytes>> },
    Write { offset: u64, bytes: Bytes, answer: oneshot::Sender<io::Result<()>> },
    Sync { answer: oneshot::Sender<io::Result<()>> },
}

impl Ring {
    /// Starts the thread, if the system lets us have a ring and the ring reads this file. `owner` is dropped
    /// when the thread ends.
    pub(super) async fn start(file: &File, owner: impl Send + 'static) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (operations, inbox) = mpsc::unbounded_channel();
        let (started, ready) = oneshot::channel();
        thread::Builder::new().name("l2-ring".to_owned()).spawn(move || {
            let mut builder = tokio_uring::builder();
            builder.entries(ENTRIES);
            match tokio_uring::Runtime::new(&builder) {
                Ok(runtime) => runtime.block_on(serve(file, inbox, started)),
                // Whoever waits has gone, or is told.
                Err(error) => drop(started.send(Err(error))),
            }
            drop(owner);
        })?;
        ready.await.map_err(|_| ended())??;
        Ok(Self { operations })
    }

    /// At least one and at most `length` bytes from `offset` on.
    pub(super) async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        self.ask(|answer| Operation::Read { offset, length, answer }).await
    }

    pub(super) async fn write(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        self.ask(|answer| Operation::Write { offset, bytes, answer }).await
    }

    pub(super) async fn sync(&self) -> io::Result<()> {
        self.ask(|answer| Operation::Sync { answer }).await
    }

    async fn ask<T>(
        &self,
        operation: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Operation,
    ) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        self.operations.send(operation(answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

fn ended() -> io::Error {
    io::Error::other("the io_uring thread has ended")
}

/// The life of the thread.
async fn serve(
    file: File,
    mut inbox: mpsc::UnboundedReceiver<Operation>,
    started: oneshot::Sender<io::Result<()>>,
) {
    let file = Rc::new(tokio_uring::fs::File::from_std(file));
    // The ring may be there and refuse what is asked of it.
    let (tried, _) = file.read_at(Vec::with_capacity(1), 0).await;
    if started.send(tried.map(drop)).is_err() {
        return;
    }
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            operation = inbox.recv() => match operation {
                Some(operation) => {
                    under_way.spawn_local(run(Rc::clone(&file), operation));
                }
                None => break,
            },
            Some(_) = under_way.join_next() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Whoever asked may have gone: then nobody hears the answer.
async fn run(file: Rc<tokio_uring::fs::File>, operation: Operation) {
    match operation {
        Operation::Read { offset, length, answer } => drop(answer.send(read(&file, offset, length).await)),
        Operation::Write { offset, bytes, answer } => {
            let (written, _bytes) = file.write_all_at(bytes, offset).await;
            drop(answer.send(written));
        }
        Operation::Sync { answer } => drop(answer.send(file.sync_data().await)),
    }
}

async fn read(file: &tokio_uring::fs::File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut buffer = Vec::with_capacity(length);
    loop {
        let (read, same) = file.read_at(buffer, offset).await;
        buffer = same;
        match read {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(buffer.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => buffer.clear(),
            Err(error) => return Err(error),
        }
    }
}

/// Kept until the last operation is over, wherever that runs.
pub(super) type Owner = Arc<File>;
