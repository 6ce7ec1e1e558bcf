//! Connections of the simulated network, of which each end knows its link.

use super::links::{Between, End, Links};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tiergate_proxy::front::{Socket, Transport};
use tiergate_tiers::Connect;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use turmoil::net::TcpStream;

/// One end of one edge's link.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub between: Between,
    pub end: End,
    /// What is wrong with it.
    pub links: Arc<Links>,
}

impl Wire {
    /// A stream of this link.
    pub(crate) fn on(self, stream: TcpStream) -> Watched {
        Watched { stream, wire: self, wait: None, again: None }
    }
}

impl Connect for Wire {
    type Stream = Watched;

    async fn connect(&self, authority: &str) -> io::Result<Watched> {
        self.links.connect(self.between);
        let stream = TcpStream::connect(authority.to_owned()).await?;
        Ok(self.clone().on(stream))
    }
}

/// A connection over a link that something may be wrong with.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: TcpStream,
    wire: Wire,
    /// Until when the next piece has to wait.
    wait: Option<Pin<Box<Sleep>>>,
    /// When a write that waits for room is tried again: this network does not tell who waits for room that
    /// the peer has closed the connection, or reset it.
    again: Option<Pin<Box<Sleep>>>,
}

/// How soon that is.
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(20);

impl Transport for Watched {}

impl Socket for Watched {
    fn poll_peek(&mut self, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        self.stream.poll_peek(context, room)
    }
}

impl Watched {
    /// Has the peer, to whom nothing more can be sent for the moment, closed or reset the connection?
    fn is_gone(&mut self, context: &mut Context<'_>) -> bool {
        let mut byte = [0];
        match self.stream.poll_peek(context, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Ok(count)) => count == 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.wait.is_none() {
            let wait = self.wire.links.send(self.wire.between, self.wire.end, bytes.len());
            self.wait = (!wait.is_zero()).then(|| Box::pin(sleep(wait)));
        }
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(context));
        }
        loop {
            if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(context, bytes) {
                (self.wait, self.again) = (None, None);
                return Poll::Ready(written);
            }
            let again = self.again.get_or_insert_with(|| Box::pin(sleep(TRIED_AGAIN_AFTER)));
            ready!(again.as_mut().poll(context));
            self.again = None;
            if self.is_gone(context) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
