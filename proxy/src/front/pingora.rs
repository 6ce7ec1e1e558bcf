//! Pingora's part of the front: what goes around the cache, and HTTP/2.
//!
//! A request of HTTP/1 comes here when the engine has passed it, and is proxied. One of HTTP/2 has not been
//! asked about yet: it is answered from here, by the same engine, through Pingora's session. pingora-cache is
//! never entered: its machine costs as much as the rest of a small request. Start at
//! [`Proxying::request_filter`](ProxyHttp::request_filter).

use super::{
    Fault, Front,
    forwarding::{self, Client},
    log::{LoggedRequest, LoggedResponse},
    proxied, purge,
    writing::{send_short, send_streamed, send_whole},
};
use crate::response::{self, Account, CACHE_STATUS, ErrorPage};
use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    Error, ErrorSource, ErrorType, OrErr, Result,
    apps::HttpServerOptions,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    protocols::http::v2::server::H2Options,
    proxy::{FailToProxy, HttpProxy, ProxyHttp, Session},
    server::configuration::ServerConf,
    upstreams::peer::HttpPeer,
};
use std::{
    any::Any,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tiergate_driver::{Answer, Served, World};
use tiergate_engine::{
    CacheKey, Head, Length, Method, OriginFailure, Outcome, Refusal, RequestHead, Resident, TierId,
};
use tiergate_tiers::http_head::{self, Scheme};

/// Streams of one HTTP/2 connection at a time; the default of nginx is 128.
const STREAMS_MAX: u32 = 128;
/// Streams that a client has reset and that are still known. More end the connection: nobody but an attacker
/// opens streams only to reset them (CVE-2023-44487).
const STREAMS_RESET_MAX: usize = 20;
/// Streams that were reset for what the client did wrong; more end the connection (CVE-2025-8671).
const STREAMS_ERRED_MAX: usize = 100;

/// Pingora's server of a front.
pub struct Proxying<W: World> {
    pub(super) front: Arc<Front<W>>,
    /// How its clients reached us.
    scheme: Scheme,
}

/// Pingora, which asks this front.
pub(super) fn proxy<W: World>(
    front: Arc<Front<W>>,
    scheme: Scheme,
    roots: Option<&Path>,
) -> HttpProxy<Proxying<W>> {
    let mut h2 = H2Options::default();
    let head_bytes_max = u32::try_from(front.head_limits.head_bytes_max).unwrap_or(u32::MAX);
    h2.max_header_list_size(head_bytes_max)
        .max_concurrent_streams(STREAMS_MAX)
        .max_concurrent_reset_streams(STREAMS_RESET_MAX)
        .max_pending_accept_reset_streams(STREAMS_RESET_MAX)
        .max_local_error_reset_streams(Some(STREAMS_ERRED_MAX));
    let idle = front.timeouts.idle;
    let ca_file = roots.map(|file| file.to_string_lossy().into_owned());
    let conf = Arc::new(ServerConf { ca_file, ..ServerConf::default() });
    let mut proxy = HttpProxy::new(Proxying { front, scheme }, conf);
    proxy.h2_options = Some(h2);
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(idle);
    proxy.server_options = Some(options);
    proxy.handle_init_modules();
    proxy
}

/// A request that the engine has passed.
pub(super) struct Passed {
    pub(super) account: Account,
    pub(super) head: Arc<RequestHead>,
}

/// What is known of one request.
pub struct Exchange {
    began: Instant,
    /// Set once it is known how the request is answered.
    pub(super) account: Option<Account>,
    /// What the engine passed: its answer may make stored responses stale.
    passed: Option<Arc<RequestHead>>,
}

/// What came of looking in memory before anything is copied.
enum Looked {
    /// There it is, and its age.
    Hit(Arc<Resident<Bytes>>, Duration),
    /// Memory has no fresh response of this key that could be used at once.
    Absent(CacheKey),
    /// Nobody looked: the request is not so simple.
    NotYet,
}

impl<W: World> Proxying<W> {
    /// Asks the engine, unless the client goes away before it answers: dropping the question tells the
    /// engine.
    async fn ask(&self, session: &mut Session, key: CacheKey, head: Arc<RequestHead>) -> Result<Answer<W>> {
        let bodiless = head.method.is_lookup();
        let answer = self.front.driver.request(key, head);
        if !bodiless {
            return Ok(answer.await);
        }
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            // Pipelining is on, so bytes of a next request are kept and do not end the wait.
            left = session.as_downstream_mut().read_body_or_idle(true) => match left {
                Err(error) => Err(error.into_down()),
                Ok(_) => Err(Error::new_down(ErrorType::ConnectionClosed)),
            },
        }
    }

    /// A fresh L0 hit that can be told without copying the request's head: whether it was looked for, and
    /// what was found.
    fn look_at_once(&self, session: &mut Session) -> Looked {
        let downstream = session.as_downstream_mut();
        let is_get = downstream.req_header().method == http::Method::GET;
        if !is_get || !downstream.is_body_empty() || downstream.is_upgrade_req() {
            return Looked::NotYet;
        }
        let request = session.req_header();
        let Some(key) = http_head::plain_key(request, self.client_scheme(session)) else {
            return Looked::NotYet;
        };
        match self.front.driver.fresh_hit(key, Method::Get, http_head::lines(&request.headers)) {
            Some((resident, age)) => Looked::Hit(resident, age),
            None => Looked::Absent(key),
        }
    }

    /// The engine's view of a request. A `GET` that brings a body or wants another protocol is no question to
    /// a cache: as any other method, it is passed with all it brings.
    fn engine_head(&self, session: &mut Session) -> std::result::Result<RequestHead, Fault> {
        let brings_more =
            !session.as_downstream_mut().is_body_empty() || session.as_downstream().is_upgrade_req();
        let request = session.req_header();
        if matches!(request.method, http::Method::TRACE | http::Method::CONNECT) {
            return Err(Fault::Method);
        }
        if request.headers.len() > self.front.head_limits.field_lines_max {
            return Err(Fault::TooManyFields);
        }
        if request.uri.path().len() > self.front.head_limits.target_bytes_max {
            return Err(Fault::TargetTooLong);
        }
        if forwarding::is_loop(field_lines(request), &self.front.loop_id) {
            return Err(Fault::Loop);
        }
        let mut head = http_head::request_head(request, self.client_scheme(session))?;
        if brings_more && head.method.is_lookup() {
            head.method = Method::OtherSafe;
        }
        let method = request.method.as_str();
        head.fields.remove(|name| self.front.unforwarded.has(name, method));
        let authority = Arc::clone(&head.authority);
        forwarding::tell_of_client(&mut head.fields, &authority, &self.client(session), &self.front.loop_id);
        Ok(head)
    }

    fn client(&self, session: &Session) -> Client {
        let lines = field_lines(session.req_header());
        Client::of(peer(session), self.client_scheme(session), &self.front.trusted, lines)
    }

    fn client_scheme(&self, session: &Session) -> Scheme {
        let standing = self.front.trusted.standing(peer(session));
        forwarding::client_scheme(self.scheme, standing, field_lines(session.req_header()))
    }

    /// A response of the engine's.
    async fn serve(&self, session: &mut Session, exchange: &mut Exchange, served: Served<W>) -> Result<bool> {
        let Served { head, length, age, fresh_for, outcome, body } = served;
        let account = Account::served(outcome, age, fresh_for);
        let Some(header) = self.served_header(session, exchange, &head, length, account).await? else {
            return Ok(true);
        };
        match body.whole() {
            Some(resident) => send_whole(session, header, resident).await?,
            None => send_streamed(session, header, body).await?,
        }
        Ok(true)
    }

    /// The fast path's answer.
    async fn serve_resident(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        resident: &Resident<Bytes>,
        age: Duration,
    ) -> Result<bool> {
        let fresh_for = resident.freshness.lifetime.saturating_sub(age);
        let account = Account::served(Outcome::Hit { tier: TierId::L0 }, age, fresh_for);
        let length = response::exactly(resident.length);
        let header = self.served_header(session, exchange, &resident.head, length, account).await?;
        if let Some(header) = header {
            send_whole(session, header, resident).await?;
        }
        Ok(true)
    }

    /// The head of a response that is served, for the client. One that HTTP cannot carry is answered with an
    /// error page, and there is none.
    async fn served_header(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        head: &Head,
        length: Length,
        account: Account,
    ) -> Result<Option<ResponseHeader>> {
        let Ok(mut header) = response::header(head, length) else {
            let account = Account::own("bad-stored-head");
            self.answer_error(session, exchange, ErrorPage::OURS, account).await?;
            return Ok(None);
        };
        account.write(&mut header)?;
        exchange.account = Some(account);
        Ok(Some(header))
    }

    /// An error page. The connection can be used again.
    pub(super) async fn answer_error(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        page: ErrorPage,
        account: Account,
    ) -> Result<bool> {
        let header = page.header(&account)?;
        exchange.account = Some(account);
        send_short(session, header, Bytes::from_static(page.text.as_bytes())).await?;
        Ok(true)
    }
}

/// Who is at the other end of the connection.
fn peer(session: &Session) -> IpAddr {
    let address = session.client_addr().and_then(|address| address.as_inet());
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip)
}

fn field_lines(request: &RequestHeader) -> impl Iterator<Item = (&str, &[u8])> {
    request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

#[async_trait]
impl<W: World> ProxyHttp for Proxying<W> {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange { began: Instant::now(), account: None, passed: None }
    }

    /// None. Pingora's default is one that compresses, and is off.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    /// The engine has passed this one already.
    fn on_connection_reuse(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
        passed: Box<dyn Any + Send + Sync>,
    ) {
        if let Ok(passed) = passed.downcast::<Passed>() {
            let Passed { account, head } = *passed;
            (exchange.account, exchange.passed) = (Some(account), Some(head));
        }
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        session.as_downstream_mut().set_write_timeout(Some(self.front.timeouts.write));
        if exchange.passed.is_some() {
            return Ok(false);
        }
        let looked = match self.look_at_once(session) {
            Looked::Hit(resident, age) => {
                return self.serve_resident(session, exchange, &resident, age).await;
            }
            Looked::Absent(key) => Some(key),
            Looked::NotYet => None,
        };
        let head = match self.engine_head(session) {
            Ok(head) => head,
            Err(fault) => {
                let (page, account) = (ErrorPage::of_fault(fault), Account::own(fault.detail()));
                return self.answer_error(session, exchange, page, account).await;
            }
        };
        let key = looked.unwrap_or_else(|| CacheKey::of(&head.authority, &head.target));
        if purge::is_purge(session.req_header()) {
            return self.purge(session, exchange, key, &head).await;
        }
        if looked.is_none()
            && let Some((resident, age)) = self.front.driver.fresh_hit(key, head.method, head.fields.iter())
        {
            return self.serve_resident(session, exchange, &resident, age).await;
        }
        let head = Arc::new(head);
        match self.ask(session, key, Arc::clone(&head)).await? {
            Answer::Serve(served) => self.serve(session, exchange, served).await,
            Answer::Pass(bypass) => {
                exchange.account = Some(Account::passed(bypass));
                exchange.passed = Some(head);
                Ok(false)
            }
            Answer::Refuse(refusal) => {
                let account = Account::refused(refusal);
                self.answer_error(session, exchange, ErrorPage::of(refusal), account).await
            }
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, _exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        proxied::peer(&self.front.origin, &self.front.origin_name).await
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let method = session.req_header().method.as_str();
        let unforwarded = |name: &str| self.front.unforwarded.has(name, method);
        let strangers: Vec<_> =
            request.headers.keys().filter(|name| unforwarded(name.as_str())).cloned().collect();
        for name in &strangers {
            request.remove_header(name);
        }
        let authority = exchange.passed.as_ref().map_or("", |head| http_head::host_field(&head.authority));
        if let Some(host) = &self.front.origin_host {
            request.insert_header(http::header::HOST, host)?;
        }
        for (name, value) in self.client(session).fields(authority) {
            request.insert_header(
                name,
                http::HeaderValue::from_bytes(value)
                    .or_err(ErrorType::InvalidHTTPHeader, "a list of addresses")?,
            )?;
        }
        request.append_header("cdn-loop", &self.front.loop_id)?;
        request.append_header(http::header::VIA, response::VIA)?;
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Err(error) = proxied::judge(response, &self.front.response_limits) {
            exchange.account = Some(Account::refused(Refusal::Origin(OriginFailure::Malformed)));
            return Err(error);
        }
        if let Some(request) = &exchange.passed
            && !response.status.is_informational()
        {
            let fields = http_head::end_to_end(&response.headers);
            self.front.driver.answered_around(request, &Head { status: response.status.as_u16(), fields });
        }
        proxied::strip_hop_by_hop(response);
        Ok(())
    }

    /// On the way to the client, from wherever it came.
    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if response.status.is_informational() {
            return Ok(());
        }
        if session.req_header().version == http::Version::HTTP_10 {
            // A client of 1.0 does not know chunks: the end of the connection is the end of the body, and
            // nothing tells that client when a body of unknown length broke off. HTTP/1.0 has no word for it.
            response.remove_header(&http::header::TRANSFER_ENCODING);
        }
        if let Some(account) = &exchange.account {
            account.write(response)?;
        }
        Ok(())
    }

    /// Before the head was sent, an error page; after it, nothing but the end of the connection tells the
    /// truth.
    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let sent = session.response_written().is_some_and(|response| !response.status.is_informational());
        let page = match proxied::page(error) {
            Some(page) if !sent => page,
            Some(_) | None => {
                return FailToProxy { error_code: 0, can_reuse_downstream: false };
            }
        };
        let account = match (&exchange.account, error.esource()) {
            _ if page == ErrorPage::BODY_LATE => Account::own("request-timed-out"),
            _ if page == ErrorPage::BAD_CHUNKS => Account::own("bad-chunks"),
            (Some(account), _) => account.clone(),
            (None, ErrorSource::Upstream | ErrorSource::Internal | ErrorSource::Unset) => {
                Account::own("internal-error")
            }
            (None, ErrorSource::Downstream) => Account::own("bad-request"),
        };
        session.set_keepalive(None);
        if let Err(error) = self.answer_error(session, exchange, page, account).await {
            tracing::debug!(%error, "the client did not take an error page");
        }
        FailToProxy { error_code: page.status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        let request = session.req_header();
        let logged = self.front.logs().then(|| {
            let mut logged = LoggedRequest {
                method: request.method.to_string(),
                host: exchange.passed.as_ref().map_or_else(String::new, |head| head.authority.to_string()),
                target: String::from_utf8_lossy(request.raw_path()).into_owned(),
                protocol: match request.version {
                    http::Version::HTTP_10 => "HTTP/1.0",
                    http::Version::HTTP_2 => "HTTP/2.0",
                    _ => "HTTP/1.1",
                },
                ..LoggedRequest::of(self.client(session).address)
            };
            logged.keep(field_lines(request));
            logged
        });
        let written = session.response_written();
        let response = LoggedResponse {
            status: written.map_or(0, |response| response.status.as_u16()),
            bytes: session.body_bytes_sent() as u64,
            took: exchange.began.elapsed(),
            cache_status: written
                .and_then(|response| response.headers.get_all(CACHE_STATUS).iter().next_back())
                .map_or(&b"-"[..], http::HeaderValue::as_bytes),
            is_broken: error.is_some(),
        };
        self.front.responded(logged.as_ref(), &response);
    }
}
