//! The HTTP/1.1 client that answers fetches, over any connector.
//!
//! One [`HttpOrigin`] speaks to one `host:port`. It keeps a bounded number of idle connections, each only
//! after a body was read to its end. It asks again in one case only: a connection that was idle breaks before
//! a whole head came. All else is reported, once, as an [`OriginFailure`]; retries and breakers belong to the
//! engine. It follows no redirect, sends no body, and adds no field but `Host`. Start at
//! [`HttpOrigin::fetch`].

mod metered;

use crate::{abort::Task, connect::Connect, http_head};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use metered::{HeadTooLarge, Metered};
use std::{
    error::Error,
    io,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tiergate_driver::{Origin, OriginBody};
use tiergate_engine::{Head, Length, Method, OriginFailure, RequestHead};
use tokio::time::{Instant, timeout};

/// No read of a connection brings more, and so no chunk is larger. One byte less than 64 KiB: hyper doubles a
/// buffer that one read has filled.
const READ_BYTES_MAX: u64 = (64 << 10) - 1;

/// How to speak to an origin.
#[derive(Clone, Debug)]
pub struct OriginOptions {
    /// What `Host` says. Default: what the client's request said.
    pub host: HostField,
    /// Bytes of a response's head, interim heads before it included. Default 128 KiB. Beyond it:
    /// [`OriginFailure::Malformed`].
    pub head_bytes_max: usize,
    /// Its field lines. Default 256. Beyond it: [`OriginFailure::Malformed`].
    pub field_lines_max: usize,
    /// How long a connection may take to come about. Default 2 s. Beyond it: [`OriginFailure::Unreachable`].
    pub connect_time_max: Duration,
    /// How long the origin may take from the request to the end of its response's head. Default 30 s. Beyond
    /// it: [`OriginFailure::TimedOut`].
    pub head_time_max: Duration,
    /// How long it may take from one piece of a body to the next. Default 30 s. Beyond it:
    /// [`OriginFailure::TimedOut`].
    pub chunk_time_max: Duration,
    /// Idle connections kept. Default 64. Each costs a socket here and at the origin.
    pub idle_connections_max: NonZeroUsize,
    /// How long a connection is kept idle. Default 4 s, which is less than the 5 s after which common servers
    /// close.
    pub idle_time_max: Duration,
}

impl Default for OriginOptions {
    fn default() -> Self {
        Self {
            host: HostField::Forwarded,
            head_bytes_max: 128 << 10,
            field_lines_max: 256,
            connect_time_max: Duration::from_secs(2),
            head_time_max: Duration::from_secs(30),
            chunk_time_max: Duration::from_secs(30),
            idle_connections_max: NonZeroUsize::new(64).expect("64 is not zero"),
            idle_time_max: Duration::from_secs(4),
        }
    }
}

/// What the origin is told in `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostField {
    /// The authority that the client asked for.
    Forwarded,
    /// Always this.
    Fixed(String),
}

/// An origin behind one `host:port`.
pub struct HttpOrigin<C: Connect> {
    connector: C,
    authority: String,
    options: OriginOptions,
    idle: Arc<IdleConnections>,
}

impl<C: Connect> HttpOrigin<C> {
    /// Connections to `authority`, which is `host:port`, are made when they are needed.
    pub fn new(connector: C, authority: impl Into<String>, options: OriginOptions) -> Self {
        let idle = Arc::new(IdleConnections {
            connections: Mutex::new(Vec::new()),
            count_max: options.idle_connections_max.get(),
            time_max: options.idle_time_max,
        });
        Self { connector, authority: authority.into(), options, idle }
    }

    /// Over an idle connection if one is left, and once more over a new one if that was closed under our
    /// hands.
    async fn exchange<F: Fn(Head) + Send + Sync + 'static>(
        &self,
        head: &RequestHead,
        interim: &Arc<F>,
    ) -> Result<(Response<Incoming>, Connection), OriginFailure> {
        let mut request = self.request(head, Arc::clone(interim))?;
        if let Some(mut connection) = self.idle.take().await {
            match timeout(self.options.head_time_max, connection.sender.send_request(request)).await {
                Ok(Ok(response)) => return Ok((response, connection)),
                // GET and HEAD are idempotent, and no part of a response was handed on (RFC 9110 section
                // 9.2.2).
                Ok(Err(error)) if is_no_head(&error) => return Err(OriginFailure::Malformed),
                Ok(Err(_)) => request = self.request(head, Arc::clone(interim))?,
                Err(_elapsed) => return Err(OriginFailure::TimedOut),
            }
        }
        let mut connection = self.connect().await?;
        match timeout(self.options.head_time_max, connection.sender.send_request(request)).await {
            Ok(Ok(response)) => Ok((response, connection)),
            Ok(Err(error)) if is_no_head(&error) => Err(OriginFailure::Malformed),
            Ok(Err(_)) => Err(OriginFailure::Broken),
            Err(_elapsed) => Err(OriginFailure::TimedOut),
        }
    }

    async fn connect(&self) -> Result<Connection, OriginFailure> {
        let stream = timeout(self.options.connect_time_max, self.connector.connect(&self.authority))
            .await
            .map_err(|_elapsed| OriginFailure::Unreachable)?
            .map_err(|_| OriginFailure::Unreachable)?;
        let stream = Metered::new(stream, self.options.head_bytes_max, READ_BYTES_MAX);
        let (sender, driver) = http1::Builder::new()
            // Never reached: heads are counted where they are read.
            .max_buf_size(self.options.head_bytes_max.saturating_add(2 * READ_BYTES_MAX as usize))
            .max_headers(self.options.field_lines_max)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| OriginFailure::Unreachable)?;
        // How the connection ended, the sender and the body are told as well.
        let task = Task::spawn(async move { drop(driver.await) });
        Ok(Connection { sender, _task: task })
    }

    /// The request as it goes out. What cannot be written as HTTP/1.1 without a body is refused before a
    /// connection is made: the engine asks for nothing but GET and HEAD.
    fn request<F: Fn(Head) + Send + Sync + 'static>(
        &self,
        head: &RequestHead,
        interim: Arc<F>,
    ) -> Result<Request<Empty<Bytes>>, OriginFailure> {
        let method = match head.method {
            Method::Get => http::Method::GET,
            Method::Head => http::Method::HEAD,
            Method::Post | Method::OtherSafe | Method::Other => return Err(OriginFailure::Unsendable),
        };
        let host = match &self.options.host {
            HostField::Forwarded => http_head::host_field(&head.authority),
            HostField::Fixed(host) => host,
        };
        let mut headers = http_head::header_map(&head.fields).map_err(|_| OriginFailure::Unsendable)?;
        for unsent in [header::CONTENT_LENGTH, header::EXPECT] {
            headers.remove(unsent);
        }
        headers.insert(header::HOST, host.parse().map_err(|_| OriginFailure::Unsendable)?);
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.uri_mut() = head.target.parse().map_err(|_| OriginFailure::Unsendable)?;
        *request.headers_mut() = headers;
        hyper::ext::on_informational(&mut request, move |response| {
            let fields = http_head::end_to_end(response.headers());
            interim(Head { status: response.status().as_u16(), fields });
        });
        Ok(request)
    }
}

impl<C: Connect> Origin for HttpOrigin<C> {
    type Body = HttpBody;

    async fn fetch(
        &self,
        head: Arc<RequestHead>,
        interim: impl Fn(Head) + Send + Sync + 'static,
    ) -> Result<(Head, HttpBody), OriginFailure> {
        let (response, connection) = self.exchange(&head, &Arc::new(interim)).await?;
        let (parts, incoming) = response.into_parts();
        // A coding other than `chunked` is still in the body, and the field that tells of it is not stored.
        let coded = parts
            .headers
            .get_all(header::TRANSFER_ENCODING)
            .iter()
            .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if coded || parts.status.as_u16() < 200 {
            return Err(OriginFailure::Malformed);
        }
        let head = http_head::response_head(&parts);
        let length = head.length();
        let is_empty = incoming.is_end_stream();
        let mut body = HttpBody {
            state: Reading::Open { incoming, connection, length },
            idle: Arc::clone(&self.idle),
            chunk_time_max: self.options.chunk_time_max,
        };
        // A 304 is not read on: its connection must not be lost with it.
        if is_empty {
            body.end();
        }
        Ok((head, body))
    }
}

/// A response's body on its way. Dropping it before its last byte closes the connection.
pub struct HttpBody {
    state: Reading,
    idle: Arc<IdleConnections>,
    chunk_time_max: Duration,
}

/// ```text
/// Open ──end of framing──▶ Ended
///   └──────failure───────▶ Failed
/// ```
enum Reading {
    /// More may come.
    Open { incoming: Incoming, connection: Connection, length: Length },
    /// All of it was handed over; the connection is idle.
    Ended,
    /// It broke off; the connection is closed.
    Failed(OriginFailure),
}

impl OriginBody for HttpBody {
    async fn next(&mut self) -> Result<Option<Bytes>, OriginFailure> {
        loop {
            let (incoming, length) = match &mut self.state {
                Reading::Open { incoming, length, .. } => (incoming, *length),
                Reading::Ended => return Ok(None),
                Reading::Failed(failure) => return Err(*failure),
            };
            match timeout(self.chunk_time_max, incoming.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => {
                        // The last byte that was promised is the end: whoever has it may drop the body.
                        if incoming.is_end_stream() {
                            self.end();
                        }
                        return Ok(Some(chunk));
                    }
                    // Trailers are not carried.
                    Ok(_) | Err(_) => {}
                },
                Ok(None) => self.end(),
                Ok(Some(Err(error))) => self.state = Reading::Failed(body_failure(&error, length)),
                Err(_elapsed) => self.state = Reading::Failed(OriginFailure::TimedOut),
            }
        }
    }
}

impl HttpBody {
    /// All of it is here: the connection is free for another exchange.
    fn end(&mut self) {
        if let Reading::Open { connection, .. } = std::mem::replace(&mut self.state, Reading::Ended) {
            self.idle.put(connection);
        }
    }
}

/// Did something come that is no head, or none that is taken?
fn is_no_head(error: &hyper::Error) -> bool {
    let is_too_large = io_error(error)
        .and_then(io::Error::get_ref)
        .is_some_and(<dyn Error + Send + Sync>::is::<HeadTooLarge>);
    if error.is_parse() || is_too_large {
        tracing::debug!(%error, is_too_large, "the origin's answer is not taken");
    }
    error.is_parse() || is_too_large
}

fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    error.source().and_then(|source| source.downcast_ref::<io::Error>())
}

/// Why a body broke off, from the reason that hyper keeps as an I/O error below its own.
fn body_failure(error: &hyper::Error, length: Length) -> OriginFailure {
    let kind = io_error(error).map(io::Error::kind);
    match (kind, length) {
        (Some(io::ErrorKind::UnexpectedEof), Length::Known(_)) => OriginFailure::TooShort,
        (Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData), _) => OriginFailure::Malformed,
        (Some(_) | None, Length::Known(_) | Length::Unknown) => OriginFailure::Broken,
    }
}

/// A connection on which at most one exchange is under way.
struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    _task: Task,
}

/// Connections whose last body was read to its end, the most recently used last.
struct IdleConnections {
    connections: Mutex<Vec<(Instant, Connection)>>,
    count_max: usize,
    time_max: Duration,
}

impl IdleConnections {
    /// The connection that was used last, if it is still open. The others are closed when their time has
    /// come.
    async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = {
                let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                connections.retain(|(since, _)| now.duration_since(*since) < self.time_max);
                connections.pop()?.1
            };
            // Only a connection that has left the last exchange behind becomes ready; hyper refuses one that
            // received bytes nobody asked for. Nothing of this waits for the origin; the time limit is for
            // what we overlook.
            if let Ok(Ok(())) = timeout(self.time_max, connection.sender.ready()).await {
                return Some(connection);
            }
        }
    }

    fn put(&self, connection: Connection) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.len() < self.count_max && !connection.sender.is_closed() {
            connections.push((Instant::now(), connection));
        }
    }
}

#[cfg(test)]
mod tests;
