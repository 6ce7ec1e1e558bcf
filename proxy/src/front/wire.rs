//! One connection to a client: bytes in and out, each wait with its deadline, and what was read ahead.

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
/// What a client that is refused may still send before its connection is closed, and for how long: closed at
/// once, it might lose what it was told.
const LINGERING_BYTES_MAX: usize = 256 << 10;
const LINGERING_TIME_MAX: Duration = Duration::from_secs(2);
/// Pieces in one write.
const PIECES_MAX: usize = 64;

/// What carries the bytes: a socket, or TLS over one.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug + 'static {
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

impl Transport for TlsStream<TcpStream> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}

/// A pipe in memory. Its other end sees that it was closed before its time.
impl Transport for DuplexStream {}

/// A connection to a client.
#[derive(Debug)]
pub(crate) struct Wire {
    transport: Box<dyn Transport>,
    pub(crate) peer: SocketAddr,
    pub(crate) scheme: Scheme,
    /// What was read and not used.
    pub(crate) read: BytesMut,
    timer: Pin<Box<Sleep>>,
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

impl Wire {
    pub(crate) fn new(transport: impl Transport, peer: SocketAddr, scheme: Scheme) -> Self {
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { transport: Box::new(transport), peer, scheme, read: BytesMut::new(), timer }
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

    /// Writes `first` and then `rest`, as many pieces at once as the transport takes. The client must take
    /// some of it within each `wait`.
    pub(crate) async fn write_all<B: AsRef<[u8]>>(
        &mut self,
        first: &[u8],
        rest: &[B],
        wait: Duration,
    ) -> Result<(), WireError> {
        let total = first.len() + rest.iter().map(|piece| piece.as_ref().len()).sum::<usize>();
        let mut written = 0;
        while written < total {
            written += self.write_some(first, rest, written, wait).await?;
        }
        Ok(())
    }

    /// Writes some of what comes after the first `skip` bytes.
    async fn write_some<B: AsRef<[u8]>>(
        &mut self,
        first: &[u8],
        rest: &[B],
        skip: usize,
        wait: Duration,
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
        let mut is_armed = false;
        let mut until = None;
        poll_fn(|context| {
            let Self { transport, timer, .. } = self;
            let transport = Pin::new(&mut **transport);
            let wrote = match &slices[..count] {
                [only] => transport.poll_write(context, only),
                several => transport.poll_write_vectored(context, several),
            };
            match wrote {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(WireError::Closed)),
                Poll::Ready(Ok(count)) => Poll::Ready(Ok(count)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    let until = *until.get_or_insert_with(|| Instant::now() + wait);
                    poll_late(timer, Some(until), &mut is_armed, context).map(Err)
                }
            }
        })
        .await
    }

    /// What was written goes out.
    pub(crate) async fn flush(&mut self) -> Result<(), WireError> {
        poll_fn(|context| Pin::new(&mut *self.transport).poll_flush(context)).await?;
        Ok(())
    }

    /// Says that no more will be written.
    pub(crate) async fn end(&mut self) -> Result<(), WireError> {
        poll_fn(|context| Pin::new(&mut *self.transport).poll_shutdown(context)).await?;
        Ok(())
    }

    /// Reads into `into`, at most `most` bytes of it: first what was read before, then what comes.
    pub(crate) fn poll_take(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            self.read.reserve(READ_BYTES);
            ready!(poll_read_buf(Pin::new(&mut *self.transport), context, &mut self.read))?;
        }
        let count = self.read.len().min(most).min(into.remaining());
        into.put_slice(&self.read.split_to(count));
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

    pub(crate) fn transport(&mut self) -> Pin<&mut dyn Transport> {
        Pin::new(&mut *self.transport)
    }

    /// Says that no more comes, and reads what the client had still to say, so that it reads what it was
    /// told.
    pub(crate) async fn linger(mut self) {
        let until = Instant::now() + LINGERING_TIME_MAX;
        let mut left = LINGERING_BYTES_MAX;
        // One that takes nothing any more would never hear the end.
        if !matches!(tokio::time::timeout_at(until, self.end()).await, Ok(Ok(()))) {
            return;
        }
        loop {
            left = left.saturating_sub(self.read.len());
            self.read.clear();
            if left == 0 || self.read_more(Some(until)).await.is_err() {
                return;
            }
        }
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
