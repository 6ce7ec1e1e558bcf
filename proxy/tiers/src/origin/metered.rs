//! A connection whose heads are counted, byte by byte.
//!
//! hyper compares what lies in its buffer with a limit between two reads, so whether it refuses a head that
//! is a little too large depends on how the bytes arrive. Here the bytes of a head are counted: a head of
//! exactly the limit passes, and one byte more fails the read with [`HeadTooLarge`].

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

/// The head of a response has more bytes than it may have.
#[derive(Debug)]
pub(super) struct HeadTooLarge;

impl fmt::Display for HeadTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the head of a response is too large")
    }
}

impl std::error::Error for HeadTooLarge {}

/// A stream to an origin.
pub(super) struct Metered<S> {
    stream: Take<S>,
    head_bytes_max: usize,
    read_bytes_max: u64,
    place: Place,
}

/// Where in a response the next byte belongs.
///
/// ```text
/// Head ──empty line──▶ Body ──a request is written──▶ Head
/// ```
enum Place {
    /// In the head, interim heads before it included: `bytes` came, `line` of them since the last line feed.
    Head { bytes: usize, line: usize, status: Status },
    /// After it.
    Body,
}

/// What is known of the status line that came last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Unknown,
    /// It begins with 1, and another head follows.
    Interim,
    Final,
}

/// Where the first digit of the status stands in `HTTP/1.1 200 OK`.
const STATUS_AT: usize = 9;

impl<S: AsyncRead> Metered<S> {
    /// No head that comes over `stream` may have more than `head_bytes_max`, and no read brings more than
    /// `read_bytes_max`.
    pub(super) fn new(stream: S, head_bytes_max: usize, read_bytes_max: u64) -> Self {
        Self { stream: stream.take(read_bytes_max), head_bytes_max, read_bytes_max, place: Place::Body }
    }

    /// These bytes came. Is the head too large?
    fn count(&mut self, came: &[u8]) -> Result<(), HeadTooLarge> {
        for byte in came {
            let Place::Head { bytes, line, status } = &mut self.place else { return Ok(()) };
            *bytes += 1;
            if *bytes > self.head_bytes_max {
                return Err(HeadTooLarge);
            }
            if *status == Status::Unknown && *line == STATUS_AT {
                *status = if *byte == b'1' { Status::Interim } else { Status::Final };
            }
            match byte {
                b'\n' if *line == 0 => match status {
                    Status::Interim => *status = Status::Unknown,
                    // An empty line before a status line ends no head.
                    Status::Unknown => {}
                    Status::Final => self.place = Place::Body,
                },
                b'\n' => *line = 0,
                // Of an empty line.
                b'\r' if *line == 0 => {}
                _ => *line += 1,
            }
        }
        Ok(())
    }

    /// A request goes out: what comes next is a head.
    fn expect_head(&mut self) {
        if matches!(self.place, Place::Body) {
            self.place = Place::Head { bytes: 0, line: 0, status: Status::Unknown };
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = into.filled().len();
        this.stream.set_limit(this.read_bytes_max);
        ready!(Pin::new(&mut this.stream).poll_read(context, into))?;
        this.count(&into.filled()[before..]).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.expect_head();
        Pin::new(self.stream.get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.expect_head();
        Pin::new(self.stream.get_mut()).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(context)
    }
}
