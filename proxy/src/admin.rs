//! The admin listener: health, metrics and purges, for operators.
//!
//! It is a small server of its own, so that clients' port never answers any of this. One request is taken
//! on a connection, and head, body and answer have their deadlines: whoever is slow holds one of a few
//! places, for a short while. `access` decides who may ask, `crate::purging` what a purge names. Start at
//! [`Listener::run`].

mod access;

pub use access::Guard;

use crate::{
    inspecting,
    metrics::{self, Metrics},
    purging::{self, Wish},
    readiness::{Readiness, Ready},
};
use access::Denied;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tiergate_driver::{Driver, World};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::timeout,
};

/// Connections at a time. Others wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How long a request's head may take, and its body.
const READ_TIME_MAX: Duration = Duration::from_secs(10);
/// How long somebody waits for a purge. It goes on after that.
const PURGE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long somebody waits for what the tiers know.
const OBJECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection lives, whatever is done on it.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);
const _: () = assert!(
    2 * READ_TIME_MAX.as_secs() + PURGE_TIME_MAX.as_secs() < CONNECTION_TIME_MAX.as_secs(),
    "an answer that is late can still be told"
);
/// Bytes of a head at most. Prometheus sends a few hundred.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of a form at most: as many as the longest prefix has when each is encoded, and more.
const BODY_BYTES_MAX: usize = 64 << 10;
/// What a failed `accept` is followed by, so that a shortage of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What there is to ask.
const PAGES: &str = "\
GET  /healthz   200 while the process runs
GET  /readyz    200 when requests are welcome, 503 before and while the server drains
GET  /metrics   for Prometheus
GET  /object    url=: what is known of it in each tier; encoded, as in a form
POST /purge     url=, tag= (repeatable), prefix= or all=true; soft=true; as query or form
";

/// What the admin listener tells about.
pub struct Listener<W: World> {
    /// Purges, and knows what the tiers have.
    pub driver: Driver<W>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether requests are welcome.
    pub readiness: Arc<Readiness>,
    /// Who may ask.
    pub guard: Guard,
}

impl<W: World> Listener<W> {
    /// Serves until it is aborted.
    pub(crate) async fn run(self, listener: TcpListener) {
        let own = Arc::new(self);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.expect("nobody closes the semaphore");
            match listener.accept().await {
                Ok((stream, _client)) => {
                    let own = Arc::clone(&own);
                    tokio::spawn(async move {
                        own.serve(stream).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Answers one request over a connection, and closes it.
    pub async fn serve(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(request).await));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READ_TIME_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        match timeout(CONNECTION_TIME_MAX, served).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a connection to the admin listener broke"),
            Err(_elapsed) => tracing::debug!("a connection to the admin listener took too long"),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let is_probe = matches!(path, "/healthz" | "/readyz");
        let allowed = if is_probe { self.guard.probe(&request) } else { self.guard.admit(&request) };
        if let Err(denied) = allowed {
            return refusal(denied);
        }
        let page = match path {
            "/healthz" => Page::Health,
            "/readyz" => Page::Readiness,
            "/metrics" => Page::Metrics,
            "/object" => Page::Object,
            "/purge" => Page::Purge,
            "/" => Page::List(StatusCode::OK),
            _ => Page::List(StatusCode::NOT_FOUND),
        };
        let is_right = match page {
            Page::Purge => request.method() == Method::POST,
            Page::Health | Page::Readiness | Page::Metrics | Page::Object | Page::List(_) => {
                matches!(*request.method(), Method::GET | Method::HEAD)
            }
        };
        if !is_right {
            let allowed = if page == Page::Purge { "POST" } else { "GET, HEAD" };
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("{path} takes {allowed}.\n"));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            return response;
        }
        match page {
            Page::Health => text(StatusCode::OK, "ok\n"),
            Page::Readiness => readiness(self.readiness.now()),
            Page::Metrics => self.metrics().await,
            Page::Object => self.object(request.uri().query().unwrap_or_default()).await,
            Page::Purge if access::is_of_a_web_page(&request) => refusal(Denied::WebPage),
            Page::Purge => self.purge(request).await,
            Page::List(status) => text(status, PAGES),
        }
    }

    /// Files of the system's are read, which is no work for a thread that serves.
    async fn metrics(&self) -> Response<Full<Bytes>> {
        let metrics = Arc::clone(&self.metrics);
        let Ok(exposition) = tokio::task::spawn_blocking(move || metrics.exposition()).await else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "The metrics could not be written.\n");
        };
        response(StatusCode::OK, metrics::CONTENT_TYPE, exposition)
    }

    /// What each tier knows of a URL. 504 when one of them does not answer in time.
    async fn object(&self, query: &str) -> Response<Full<Bytes>> {
        let key = match inspecting::asked_of(query) {
            Ok(key) => key,
            Err(error) => return failure(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        match timeout(OBJECT_TIME_MAX, inspecting::inspect(&self.driver, key)).await {
            Ok(told) => response(StatusCode::OK, JSON, told),
            Err(_elapsed) => failure(StatusCode::GATEWAY_TIMEOUT, "a tier has not answered in time"),
        }
    }

    /// 200 when every tier answered and the other edges were told, 502 when one of them may still hold what
    /// was purged, 504 when that is not known yet.
    async fn purge(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let form = match form(request).await {
            Ok(form) => form,
            Err(refusal) => return refusal,
        };
        let wish = match Wish::of_form(&form) {
            Ok(wish) => wish,
            Err(error) => return failure(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        // A task of its own: it is to go on when nobody waits for it any more.
        let driver = self.driver.clone();
        let purge = tokio::spawn(async move {
            let report = purging::purge(&driver, &wish).await;
            (report.is_incomplete(), report.line(&wish.selectors))
        });
        match timeout(PURGE_TIME_MAX, purge).await {
            Ok(Ok((is_incomplete, line))) => {
                let status = if is_incomplete { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
                response(status, JSON, line)
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a purge failed");
                failure(StatusCode::INTERNAL_SERVER_ERROR, "the cache failed; purge again")
            }
            Err(_elapsed) => {
                let late =
                    "a tier has not answered yet; the purge goes on, and nothing purged is served here";
                failure(StatusCode::GATEWAY_TIMEOUT, late)
            }
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Health,
    Readiness,
    Metrics,
    Object,
    Purge,
    /// What there is.
    List(StatusCode),
}

/// The query and the body, as one form.
async fn form(request: Request<Incoming>) -> Result<String, Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let read = timeout(READ_TIME_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let body = match read {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(failure(StatusCode::PAYLOAD_TOO_LARGE, "a form has at most 65536 bytes"));
        }
        Ok(Err(_broken)) => return Err(failure(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_elapsed) => return Err(failure(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    };
    let is_form = |kind: &HeaderValue| {
        let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    };
    if !body.is_empty() && !parts.headers.get(header::CONTENT_TYPE).is_some_and(is_form) {
        let wanted = "a body must be a form: application/x-www-form-urlencoded";
        return Err(failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, wanted));
    }
    let Ok(body) = std::str::from_utf8(&body) else {
        return Err(failure(StatusCode::BAD_REQUEST, "a form is text"));
    };
    Ok(format!("{}&{}", parts.uri.query().unwrap_or_default(), body.trim_end_matches(['\r', '\n'])))
}

const JSON: &str = "application/json";

fn readiness(ready: Ready) -> Response<Full<Bytes>> {
    match ready {
        Ready::Yes => text(StatusCode::OK, "ready\n"),
        Ready::TierJoins => text(StatusCode::SERVICE_UNAVAILABLE, "not ready: a tier has not joined yet\n"),
        Ready::Drains => text(StatusCode::SERVICE_UNAVAILABLE, "not ready: draining\n"),
    }
}

fn refusal(denied: Denied) -> Response<Full<Bytes>> {
    let mut response = text(denied.status(), denied.text());
    if denied == Denied::NoToken {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Why nothing was purged, or not yet. The words are ours, so nothing needs escaping.
fn failure(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    response(status, JSON, format!("{{\"error\":\"{why}\"}}\n"))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body)
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
