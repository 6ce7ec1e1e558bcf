//! A small origin on loopback, so that `tiergate serve` shows something without a configuration.
//!
//! Each path shows one behaviour of a cache. Bodies are made as they are sent, so that a large one costs no
//! memory.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// What `/big` sends when it is not told how much.
const BIG_MB_DEFAULT: u64 = 50;
const BIG_MB_MAX: u64 = 100_000;
const CHUNK_BYTES: u64 = 64 << 10;
/// How long `/slow` thinks.
const SLOW: Duration = Duration::from_secs(3);
/// What a failed `accept` is followed by, so that a shortage of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>Tiergate demonstration</title>
</head>
<body>
<h1>Tiergate demonstration</h1>
<p>This page comes from a small origin server that Tiergate brings along. You read it through the cache if you asked
the cache's port. The response header <code>Cache-Status</code> says what happened.</p>
<dl>
<dt><a href=\"/hello\">/hello</a></dt>
<dd>Fresh for 60 seconds. The second request is a hit; <code>Age</code> grows.</dd>
<dt><a href=\"/big?mb=50\">/big?mb=50</a></dt>
<dd>Fresh for an hour, 50 MB, streamed. Start several downloads at once: the origin sends one.</dd>
<dt><a href=\"/slow\">/slow</a></dt>
<dd>Takes three seconds, once a minute. Requests that come meanwhile wait for the same answer.</dd>
<dt><a href=\"/nostore\">/nostore</a></dt>
<dd>May not be stored. Every request comes here.</dd>
</dl>
</body>
</html>
";

/// Binds the origin to a free port of the loopback interface.
pub(crate) async fn bind() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until the runtime ends.
pub(crate) async fn run(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _client)) => drop(tokio::spawn(connection(stream))),
            Err(error) => {
                tracing::warn!(%error, "the demonstration origin cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream) {
    let service = hyper::service::service_fn(async |request| Ok::<_, Infallible>(answer(&request).await));
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the demonstration origin broke");
    }
}

async fn answer(request: &Request<Incoming>) -> Response<Content> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "Only GET and HEAD are answered here.\n";
        return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "no-store", Content::text(text));
    }
    let ok = StatusCode::OK;
    match request.uri().path() {
        "/" => response(ok, "text/html; charset=utf-8", "max-age=60", Content::text(PAGE)),
        "/hello" => response(ok, TEXT, "max-age=60", Content::text("Hello from the origin.\n")),
        "/nostore" => response(ok, TEXT, "no-store", Content::text("Not to be stored.\n")),
        "/slow" => {
            tokio::time::sleep(SLOW).await;
            response(ok, TEXT, "max-age=60", Content::text("That took three seconds.\n"))
        }
        "/big" => match megabytes(request.uri().query().unwrap_or_default()) {
            Some(megabytes) => {
                let bytes = megabytes * 1_000_000;
                response(ok, "application/octet-stream", "max-age=3600", Content::Pattern { at: 0, bytes })
            }
            None => {
                let text = "mb must be a whole number from 0 to 100000.\n";
                response(StatusCode::BAD_REQUEST, TEXT, "no-store", Content::text(text))
            }
        },
        _ => response(
            StatusCode::NOT_FOUND,
            TEXT,
            "no-store",
            Content::text("There is no such page here; / lists them.\n"),
        ),
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn response(
    status: StatusCode,
    kind: &'static str,
    control: &'static str,
    content: Content,
) -> Response<Content> {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(control));
    response
}

/// `mb=…` in a query; `None` when it is no number within bounds.
fn megabytes(query: &str) -> Option<u64> {
    match query.split('&').find_map(|pair| pair.strip_prefix("mb=")) {
        None => Some(BIG_MB_DEFAULT),
        Some(text) => text.parse().ok().filter(|megabytes| *megabytes <= BIG_MB_MAX),
    }
}

/// A body.
enum Content {
    Text(Option<Bytes>),
    /// Lines of 64 bytes that number themselves, so that any two parts of the body differ.
    Pattern {
        at: u64,
        bytes: u64,
    },
}

impl Content {
    const fn text(text: &'static str) -> Self {
        Self::Text(Some(Bytes::from_static(text.as_bytes())))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = match &mut *self {
            Self::Text(text) => text.take(),
            Self::Pattern { at, bytes } => pattern(*at, *bytes).inspect(|chunk| *at += chunk.len() as u64),
        };
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Pattern { at, bytes } => at == bytes,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Text(text) => text.as_ref().map_or(0, |text| text.len() as u64),
            Self::Pattern { at, bytes } => bytes - at,
        })
    }
}

/// The next chunk of a pattern of `bytes` bytes, from `at` on, which is a multiple of the chunk size.
fn pattern(at: u64, bytes: u64) -> Option<Bytes> {
    let size = usize::try_from((bytes - at).min(CHUNK_BYTES)).ok()?;
    let mut chunk = Vec::with_capacity(size + 64);
    for line in (at / 64).. {
        if chunk.len() >= size {
            break;
        }
        chunk.extend_from_slice(format!("{line:063}\n").as_bytes());
    }
    chunk.truncate(size);
    (!chunk.is_empty()).then(|| Bytes::from(chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks join to lines that number themselves, and end where they were told to.
    #[test]
    fn a_pattern_has_the_asked_size_and_no_two_equal_lines() {
        let bytes = CHUNK_BYTES + 100;
        let first = pattern(0, bytes).expect("the first chunk");
        let second = pattern(CHUNK_BYTES, bytes).expect("the second chunk");
        assert_eq!((first.len() as u64, second.len()), (CHUNK_BYTES, 100));
        assert_eq!(pattern(bytes, bytes), None);
        assert!(first.ends_with(format!("{:063}\n", 1023).as_bytes()));
        assert!(second.starts_with(format!("{:063}\n", 1024).as_bytes()));
    }

    /// A size is a whole number within bounds, 50 when none is given.
    #[test]
    fn a_size_is_checked() {
        assert_eq!(megabytes(""), Some(50));
        assert_eq!(megabytes("x=1&mb=7"), Some(7));
        assert_eq!(megabytes("mb=100001"), None);
        assert_eq!(megabytes("mb=-1"), None);
    }
}
