//! What an HTTP/2 connection is read from and written to.
//!
//! The frames of all responses that are ready leave in one write, when nothing is left to be answered: a
//! write for each frame would cost more than the rest of a small response.

use crate::front::wire::Wire;
use bytes::{Buf as _, BytesMut};
use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

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
    /// How long the client may take for some of it.
    wait: Duration,
    timer: Pin<Box<Sleep>>,
    is_armed: bool,
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
    pub(super) fn new(wire: Wire, wait: Duration) -> Self {
        let timer = Box::pin(sleep(Duration::ZERO));
        Self(Arc::new(Mutex::new(State {
            wire,
            gathered: BytesMut::new(),
            gathering: Gathering::No,
            wait,
            timer,
            is_armed: false,
        })))
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
        let flushed = self.wire.transport().poll_flush(context);
        self.in_time(context, flushed)
    }

    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let wrote = self.wire.transport().poll_write(context, &self.gathered);
            match ready!(self.in_time(context, wrote))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.gathered.advance(count),
            }
        }
        if self.gathered.capacity() > KEPT_BYTES_MAX {
            self.gathered = BytesMut::new();
        } else {
            self.gathered.clear();
        }
        Poll::Ready(Ok(()))
    }

    /// A client that takes nothing has so much time for it.
    fn in_time<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.is_armed = false;
            return polled;
        }
        if !std::mem::replace(&mut self.is_armed, true) {
            self.timer.as_mut().reset(Instant::now() + self.wait);
        }
        self.timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &mut self.state().wire;
        // Past what was read before, without a copy.
        if wire.read.is_empty() {
            return wire.transport().poll_read(context, into);
        }
        wire.poll_take(context, into, usize::MAX)
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
        let shut = state.wire.transport().poll_shutdown(context);
        state.in_time(context, shut)
    }
}
