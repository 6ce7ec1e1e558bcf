//! What an HTTP/2 connection is read from and written to.
//!
//! The frames of all responses that are ready leave in one write, when nothing is left to be answered: a
//! write for each frame would cost more than the rest of a small response.

use crate::front::wire::Wire;
use bytes::{Buf as _, BytesMut};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is gathered at most before it is written.
const GATHERED_MAX: usize = 64 << 10;
/// A buffer that has grown beyond this is not kept.
const KEPT_BYTES_MAX: usize = 16 << 10;

/// Two hands on one connection: the `h2` crate's, and the one that says when frames leave.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    wire: Wire,
    /// Frames that have not left.
    gathered: BytesMut,
    gathering: Gathering,
}

/// Who says when frames leave?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gathering {
    /// A flush.
    No,
    /// [`Line::poll_leave`].
    Yes,
}

impl Line {
    pub(super) fn new(wire: Wire) -> Self {
        let (gathered, gathering) = (BytesMut::new(), Gathering::No);
        Self(Arc::new(Mutex::new(State { wire, gathered, gathering })))
    }

    /// From now on frames leave by [`Line::poll_leave`] only, or when there are many.
    pub(super) fn gather(&self) {
        self.state().gathering = Gathering::Yes;
    }

    /// What was gathered leaves.
    pub(super) fn poll_leave(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().poll_leave(context)
    }

    /// The connection, if this is the last hand on it.
    pub(super) fn into_wire(self) -> Option<Wire> {
        let state = Arc::into_inner(self.0)?.into_inner();
        Some(state.unwrap_or_else(PoisonError::into_inner).wire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll_leave(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(context))?;
        self.wire.poll_flush(context).map_err(io::Error::from)
    }

    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let count = ready!(self.wire.poll_write(context, &[IoSlice::new(&self.gathered)]))?;
            self.gathered.advance(count);
        }
        if self.gathered.capacity() > KEPT_BYTES_MAX {
            self.gathered = BytesMut::new();
        } else {
            self.gathered.clear();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.state().wire.poll_read(context, into)
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.gathered.len() >= GATHERED_MAX {
            ready!(state.poll_empty(context))?;
        }
        let count = bytes.len().min(GATHERED_MAX - state.gathered.len());
        state.gathered.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        match state.gathering {
            Gathering::No => state.poll_leave(context),
            Gathering::Yes => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        ready!(state.poll_leave(context))?;
        state.wire.poll_end(context).map_err(io::Error::from)
    }
}
