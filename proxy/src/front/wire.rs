//! One connection to a client: bytes in and out, each wait with its deadline, and what was read ahead.

use super::pace::{Meter, Pace};
use bytes::{Buf as _, BytesMut};
use std::{
    fmt::Debug,
    future::{Future as _, poll_fn},
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tiergate_tiers::http_head::Scheme;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_util::io::poll_read_buf;

/// Room for one read.
const READ_BYTES: usize = 4 << 10;
/// What is read ahead of a response that is still being written at most: then the client waits, and its
/// leaving is seen when it is written to.
const READ_AHEAD_MAX: usize = 64 << 10;
/// What a client that is told something for the last time may still send before its connection is closed, and
/// for how long: closed at once, it might lose what it was told.
const LINGERING_BYTES_MAX: usize = 256 << 10;
const LINGERING_TIME_MAX: Duration = Duration::from_secs(2);
/// Pieces in one write.
const PIECES_MAX: usize = 64;

/// What carries the bytes: a socket, or TLS over one.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug + 'static {
    /// From now on, closing tells the client that something broke off.
    fn reset_on_close(&self) {}
}

impl Transport for TcpStream {
    fn reset_on_close(&self) {
        if let Err(error) = self.set_zero_linger() {
            tracing::debug!(%error, "a connection cannot be reset");
        }
    }
}

impl<S: Transport> Transport for TlsStream<S> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}

/// A pipe in memory. Its other end sees that it was closed before its time.
impl Transport for DuplexStream {}

/// A connection to a client.
#[derive(Debug)]
pub struct Wire {
    transport: Box<dyn Transport>,
    pub(crate) peer: SocketAddr,
    pub(crate) scheme: Scheme,
    /// What was read and not used.
    pub(crate) read: BytesMut,
    timer: Pin<Box<Sleep>>,
    /// How fast the client takes what is written.
    taking: Meter,
    /// Bytes that are still read, once nothing more will be written.
    lingers_for: Option<usize>,
}

/// Why bytes did not get through.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The deadline passed.
    Late,
    /// The client closed, or the connection broke.
    Closed,
}

impl From<io::Error> for WireError {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Late => io::ErrorKind::TimedOut.into(),
            WireError::Closed => io::ErrorKind::ConnectionReset.into(),
        }
    }
}

impl Wire {
    /// A connection whose client may take bytes at any speed.
    pub fn new(transport: impl Transport, peer: SocketAddr, scheme: Scheme) -> Self {
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        let taking = Meter::new(Pace::ANY);
        Self {
            transport: Box::new(transport),
            peer,
            scheme,
            read: BytesMut::new(),
            timer,
            taking,
            lingers_for: None,
        }
    }

    /// From now on, the client must take bytes at this pace.
    pub(super) fn expect(&mut self, taking: Pace) {
        self.taking = Meter::new(taking);
    }

    /// Another response begins: how the last one was taken does not matter.
    pub(super) fn begin_response(&mut self) {
        self.taking.begin();
    }

    /// The first bytes that were read are used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.read.advance(count);
    }

    /// Reads more, or says that there is no more.
    pub(crate) async fn read_more(&mut self, until: Option<Instant>) -> Result<(), WireError> {
        self.read.reserve(READ_BYTES);
        let mut is_armed = false;
        poll_fn(|context| {
            let Self { transport, read, timer, .. } = self;
            match poll_read_buf(Pin::new(&mut **transport), context, read) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(WireError::Closed)),
                Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                Poll::Pending => poll_late(timer, until, &mut is_armed, context).map(Err),
            }
        })
        .await
    }

    /// Ends when the client leaves; what it sends meanwhile is kept, up to a limit.
    pub(crate) async fn left(&mut self) {
        poll_fn(|context| self.poll_left(context)).await;
    }

    /// Writes `first` and then `rest`, as many pieces at once as the transport takes.
    pub(crate) async fn write_all<B: AsRef<[u8]>>(
        &mut self,
        first: &[u8],
        rest: &[B],
    ) -> Result<(), WireError> {
        let total = first.len() + rest.iter().map(|piece| piece.as_ref().len()).sum::<usize>();
        let mut written = 0;
        while written < total {
            written += self.write_some(first, rest, written).await?;
        }
        Ok(())
    }

    /// Writes some of what comes after the first `skip` bytes.
    async fn write_some<B: AsRef<[u8]>>(
        &mut self,
        first: &[u8],
        rest: &[B],
        skip: usize,
    ) -> Result<usize, WireError> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let (mut count, mut skip) = (0, skip);
        for piece in std::iter::once(first).chain(rest.iter().map(AsRef::as_ref)) {
            if skip >= piece.len() {
                skip -= piece.len();
            } else if count < PIECES_MAX {
                slices[count] = IoSlice::new(&piece[skip..]);
                (count, skip) = (count + 1, 0);
            }
        }
        poll_fn(|context| self.poll_write(context, &slices[..count])).await
    }

    /// Writes some of these pieces, of which one at least is not empty.
    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize, WireError>> {
        let transport = Pin::new(&mut *self.transport);
        let wrote = match pieces {
            [only] => transport.poll_write(context, only),
            several => transport.poll_write_vectored(context, several),
        };
        match wrote {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(WireError::Closed)),
            Poll::Ready(Ok(count)) => {
                self.taking.moved(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => self.poll_late(context),
        }
    }

    /// Is the client too slow? What was written for it and not taken would be kept by the system.
    fn poll_late<T>(&mut self, context: &mut Context<'_>) -> Poll<Result<T, WireError>> {
        ready!(self.taking.poll_late(context));
        self.transport.reset_on_close();
        self.lingers_for = Some(0);
        Poll::Ready(Err(WireError::Late))
    }

    /// What was written goes out.
    pub(crate) async fn flush(&mut self) -> Result<(), WireError> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        let flushed = Pin::new(&mut *self.transport).poll_flush(context);
        self.or_late(flushed, context)
    }

    /// Says that no more will be written, and reads what the client had still to say, so that it reads what
    /// it was told.
    pub(super) async fn linger(&mut self) {
        poll_fn(|context| self.poll_linger(context)).await;
    }

    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.lingers_for.is_none() {
            if ready!(self.poll_end(context)).is_err() {
                return Poll::Ready(());
            }
            self.lingers_for = Some(LINGERING_BYTES_MAX);
            self.timer.as_mut().reset(Instant::now() + LINGERING_TIME_MAX);
        }
        let Self { transport, read, timer, lingers_for: Some(left), .. } = self else {
            return Poll::Ready(());
        };
        while *left > 0 && timer.as_mut().poll(context).is_pending() {
            *left = left.saturating_sub(read.len());
            read.clear();
            read.reserve(READ_BYTES);
            match ready!(poll_read_buf(Pin::new(&mut **transport), context, read)) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Poll::Ready(())
    }

    pub(super) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        let ended = Pin::new(&mut *self.transport).poll_shutdown(context);
        self.or_late(ended, context)
    }

    /// What TLS has still to write waits for the client as any other write does.
    fn or_late(
        &mut self,
        done: Poll<io::Result<()>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), WireError>> {
        match done {
            Poll::Ready(done) => {
                self.taking.moved(0);
                Poll::Ready(done.map_err(WireError::from))
            }
            Poll::Pending => self.poll_late(context),
        }
    }

    /// Waits until something is there to read, or nothing more will come.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            self.read.reserve(READ_BYTES);
            ready!(poll_read_buf(Pin::new(&mut *self.transport), context, &mut self.read))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Is the client gone? What it sends meanwhile is kept, up to a limit.
    pub(crate) fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.read.len() >= READ_AHEAD_MAX {
                return Poll::Pending;
            }
            self.read.reserve(READ_BYTES);
            match ready!(poll_read_buf(Pin::new(&mut *self.transport), context, &mut self.read)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }

    /// Reads into `into`: first what was read before, then what comes.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut *self.transport).poll_read(context, into);
        }
        let count = self.read.len().min(into.remaining());
        into.put_slice(&self.read.split_to(count));
        Poll::Ready(Ok(()))
    }

    /// Closes in a way that tells the client that something broke off.
    pub(crate) fn reset(self) {
        self.transport.reset_on_close();
    }
}

/// Is the deadline past? Wakes when it is.
fn poll_late(
    timer: &mut Pin<Box<Sleep>>,
    until: Option<Instant>,
    is_armed: &mut bool,
    context: &mut Context<'_>,
) -> Poll<WireError> {
    let Some(until) = until else { return Poll::Pending };
    if !std::mem::replace(is_armed, true) {
        timer.as_mut().reset(until);
    }
    timer.as_mut().poll(context).map(|()| WireError::Late)
}
