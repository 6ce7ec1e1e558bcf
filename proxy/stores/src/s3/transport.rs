//! The HTTP/1.1 client below the SDK, over any connector.
//!
//! It keeps a bounded number of idle connections, each only after a body was read to its end, and sends a
//! request again in one case only: an idle connection breaks before a head came, and either nothing was sent
//! or the request may be repeated. It follows no redirect and has no time limit: its callers have one. Start
//! at [`Transport`].

use aws_sdk_s3::config::{
    HttpClient, RuntimeComponents,
    http::{HttpRequest, HttpResponse},
};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    result::ConnectorError,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header, uri::Scheme};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tiergate_tiers::Connect;
use tokio::{task::AbortHandle, time::Instant};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tokio_util::either::Either;

/// Idle connections kept. Each costs a socket here and at the store.
const IDLE_MAX: usize = 32;
/// How long one is kept idle: less than the 5 s after which common servers close.
const IDLE_TIME_MAX: Duration = Duration::from_secs(4);

/// What is read ahead of a body whose reader is slow, and the largest head.
const BUFFER_BYTES_MAX: usize = 128 << 10;

/// Carries requests of the SDK. Cloning shares the connections.
pub(super) struct Transport<C: Connect>(Arc<Inner<C>>);

struct Inner<C> {
    connector: C,
    /// Who is trusted, for a store that is asked over TLS.
    tls: Option<TlsConnector>,
    idle: Arc<Idle>,
}

impl<C: Connect> Transport<C> {
    pub(super) fn new(connector: C, tls: Option<Arc<ClientConfig>>) -> Self {
        let tls = tls.map(TlsConnector::from);
        Self(Arc::new(Inner { connector, tls, idle: Arc::default() }))
    }
}

impl<C: Connect> Clone for Transport<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Connect> fmt::Debug for Transport<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl<C: Connect> HttpClient for Transport<C> {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl<C: Connect> HttpConnector for Transport<C> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let inner = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move { inner.exchange(request).await })
    }
}

impl<C: Connect> Inner<C> {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let (server, mut request) = prepare(request)?;
        if let Some(mut connection) = self.idle.take(&server).await {
            let copy = repeatable(&request);
            match connection.sender.try_send_request(request).await {
                Ok(response) => return self.answer(response, connection),
                Err(mut error) => match error.take_message().or(copy) {
                    Some(unanswered) => request = unanswered,
                    None => return Err(broken(error.into_error())),
                },
            }
        }
        let mut connection = self.connect(server).await.map_err(|error| ConnectorError::io(error.into()))?;
        let response = connection.sender.send_request(request).await.map_err(broken)?;
        self.answer(response, connection)
    }

    async fn connect(&self, server: Server) -> io::Result<Connection> {
        let stream = self.connector.connect(&server.address).await?;
        let stream = match (&self.tls, server.is_encrypted) {
            (_, false) => Either::Left(stream),
            (Some(tls), true) => {
                let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
                Either::Right(tls.connect(name, stream).await?)
            }
            (None, true) => return Err(io::Error::other("nobody said whose certificates are trusted")),
        };
        let shaken =
            http1::Builder::new().max_buf_size(BUFFER_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (sender, driver) = shaken.map_err(io::Error::other)?;
        // How the connection ended, the sender and the body are told as well.
        let task = tokio::spawn(async move { drop(driver.await) }).abort_handle();
        Ok(Connection { server, sender, _task: Task(task) })
    }

    fn answer(
        &self,
        response: Response<Incoming>,
        connection: Connection,
    ) -> Result<HttpResponse, ConnectorError> {
        let idle = Arc::clone(&self.idle);
        let response = response.map(|incoming| {
            let mut answer = Answer { incoming, connection: Some(connection), idle };
            answer.keep_connection_after_the_end();
            SdkBody::from_body_1_x(answer)
        });
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

fn broken(error: hyper::Error) -> ConnectorError {
    ConnectorError::io(error.into())
}

/// Who is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    host: String,
    /// `host:port`.
    address: String,
    is_encrypted: bool,
}

/// The request as it goes out, and to whom.
fn prepare(request: HttpRequest) -> Result<(Server, Request<SdkBody>), ConnectorError> {
    let user = |what: &'static str| ConnectorError::user(what.into());
    let mut request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let uri = request.uri();
    let authority = uri.authority().ok_or_else(|| user("the endpoint has no host"))?;
    let is_encrypted = uri.scheme() == Some(&Scheme::HTTPS);
    let port = authority.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let server = Server { address: format!("{}:{port}", authority.host()), host, is_encrypted };
    let name = HeaderValue::from_str(authority.as_str()).map_err(|_| user("the endpoint has no host"))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let target = Uri::try_from(path).map_err(|error| ConnectorError::user(error.into()))?;
    request.headers_mut().entry(header::HOST).or_insert(name);
    *request.uri_mut() = target;
    Ok((server, request))
}

/// A copy of what may be sent twice, as when nobody knows whether it arrived. A condition is judged anew each
/// time, and would fail by what its own first sending did.
fn repeatable(request: &Request<SdkBody>) -> Option<Request<SdkBody>> {
    let is_conditional = [header::IF_MATCH, header::IF_NONE_MATCH]
        .iter()
        .any(|condition| request.headers().contains_key(condition));
    let is_idempotent = match *request.method() {
        Method::GET | Method::HEAD => true,
        Method::PUT | Method::DELETE => !is_conditional,
        _ => false,
    };
    let body = is_idempotent.then(|| request.body().try_clone()).flatten()?;
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// A response's body on its way. Dropping it before its last byte closes the connection.
struct Answer {
    incoming: Incoming,
    connection: Option<Connection>,
    idle: Arc<Idle>,
}

impl Answer {
    fn keep_connection_after_the_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(connection) = self.connection.take()
        {
            self.idle.put(connection);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.incoming).poll_frame(context));
        match frame {
            Some(Err(_)) => self.connection = None,
            Some(Ok(_)) | None => self.keep_connection_after_the_end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A connection on which at most one exchange is under way.
struct Connection {
    server: Server,
    sender: http1::SendRequest<SdkBody>,
    _task: Task,
}

/// Ends with its owner.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connections whose last body was read to its end, the most recently used last.
#[derive(Default)]
struct Idle(Mutex<Vec<(Instant, Connection)>>);

impl Idle {
    /// The connection to this server that was used last, if it is still open. Those whose time has come are
    /// closed.
    async fn take(&self, server: &Server) -> Option<Connection> {
        loop {
            let mut connection = {
                let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                connections.retain(|(since, _)| now.duration_since(*since) < IDLE_TIME_MAX);
                let place = connections.iter().rposition(|(_, connection)| connection.server == *server)?;
                connections.remove(place).1
            };
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn put(&self, connection: Connection) {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.len() < IDLE_MAX && !connection.sender.is_closed() {
            connections.push((Instant::now(), connection));
        }
    }
}
