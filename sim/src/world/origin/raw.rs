//! What the origin says beside what an HTTP server would write: interim responses before a head, and heads
//! that are none.
//!
//! Whoever answers says so before the response is written, and the origin's end of the connection puts it
//! into what leaves. One answer is under way on a connection at a time.

use bytes::{Buf, Bytes};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the interim response before a final one has in `Link`.
pub(crate) const HINT: &str = "</style.css>; rel=preload";
/// What each malformed head has: a client must never see it.
pub(crate) const MALFORMED: &str = "x-malformed";

/// What is said with the next head.
#[derive(Debug)]
enum Said {
    /// An interim response before it.
    Hint,
    /// The malformed head with this number instead of it; then the connection is closed.
    Malformed(usize),
    /// These bytes instead of all that would be written at once. The connection stays open.
    Lie(Bytes),
}

/// What is said with the next head of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Next(Arc<Mutex<Option<Said>>>);

impl Next {
    /// The next head comes after `103 Early Hints`.
    pub(super) fn hints(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Said::Hint);
    }

    /// The next head is the malformed one with this number.
    pub(super) fn is_malformed(&self, number: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Said::Malformed(number));
    }

    /// Instead of the next response, which is only a head, these bytes are written.
    pub(super) fn is_a_lie(&self, bytes: Bytes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Said::Lie(bytes));
    }

    fn take(&self) -> Option<Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How many malformed heads there are.
pub(super) const MALFORMED_HEADS: u64 = HEADS.len() as u64;

/// The largest head that an edge may be told to take has 1 MiB, and 256 field lines.
const LARGE: usize = 1 << 20;
const MANY: usize = 300;

/// Each breaks RFC 9112, or a limit of `origin_limits`. `{m}` are fields by which it would be stored if it
/// were taken, and lines end with CR LF, unless there is a `\n` that is meant.
const HEADS: [&str; 20] = [
    "SSH-2.0-OpenSSH_9.9||",
    "HTTP/1.1 OK|{m}Content-Length: 9||malformed",
    "HTTP/1.1 99 Low|{m}Content-Length: 9||malformed",
    "HTTP/1.1 099 Low|{m}Content-Length: 9||malformed",
    "HTTP/1.1 1000 High|{m}Content-Length: 9||malformed",
    "HTTP/9.1 200 OK|{m}Content-Length: 9||malformed",
    "HTTP/1.1 200 OK|{m}no field|Content-Length: 9||malformed",
    "HTTP/1.1 200 OK|{m}: nameless|Content-Length: 9||malformed",
    "HTTP/1.1 200 OK|{m}X-A: a\0b|Content-Length: 9||malformed",
    "HTTP/1.1 200 OK|{m}X-A: a\rb|Content-Length: 9||malformed",
    "HTTP/1.1 200 OK|{m}X-A: a\nno field|Content-Length: 9||malformed",
    "HTTP/1.1 200 OK|{m}Content-Length: 9|Content-Length: 4||malformed",
    "HTTP/1.1 200 OK|{m}Content-Length: 9, 4||malformed",
    "HTTP/1.1 200 OK|{m}Content-Length: many||malformed",
    "HTTP/1.1 200 OK|{m}Content-Length: -9||malformed",
    "HTTP/1.1 200 OK|{m}Transfer-Encoding: gzip||malformed",
    "HTTP/1.1 101 Switching Protocols|{m}Connection: upgrade|Upgrade: another||malformed",
    "HTTP/1.1 200 OK|{m}X-Large: {large}|Content-Length: 9||malformed",
    "HTTP/1.1 200 OK|{m}{many}Content-Length: 9||malformed",
    "HTTP/1.1 200 OK|{m}Content-Len",
];

fn head(number: usize) -> Bytes {
    let text = HEADS[number];
    let many = |text: &str| if text.contains("{many}") { "X-Many: 1|".repeat(MANY) } else { String::new() };
    let marks = format!("{MALFORMED}: {number}|Cache-Control: max-age=600|");
    let text = text.replace("{many}", &many(text)).replace("{m}", &marks).replace('|', "\r\n");
    text.replace("{large}", &"a".repeat(if text.contains("{large}") { LARGE } else { 0 })).into()
}

/// The origin's end of a connection.
#[derive(Debug)]
pub(super) struct Raw<S> {
    stream: S,
    next: Next,
    /// What leaves before anything else.
    left: Bytes,
    /// The connection is closed after that.
    ends: bool,
    /// So much of what is written is not, for something else was written instead.
    swallows: bool,
}

impl<S> Raw<S> {
    pub(super) fn new(stream: S, next: Next) -> Self {
        Self { stream, next, left: Bytes::new(), ends: false, swallows: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Raw<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Raw<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, next, left, ends, swallows } = &mut *self;
        match next.take() {
            Some(Said::Hint) => {
                *left = format!("HTTP/1.1 103 Early Hints\r\nLink: {HINT}\r\n\r\n").into();
            }
            Some(Said::Malformed(number)) => (*left, *ends) = (head(number), true),
            Some(Said::Lie(lie)) => (*left, *swallows) = (lie, true),
            None => {}
        }
        while !left.is_empty() {
            let count = ready!(Pin::new(&mut *stream).poll_write(context, left))?;
            left.advance(count);
        }
        if *ends {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if std::mem::take(swallows) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
