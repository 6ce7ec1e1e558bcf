//! Pingora's part of the front: what goes around the cache.
//!
//! A request comes here when the engine has passed it, and is proxied. pingora-cache is never entered: its
//! machine costs as much as the rest of a small request. Start at
//! [`Proxying::upstream_peer`](ProxyHttp::upstream_peer).

use super::{
    Front,
    forwarding::{self, Client},
    log::{LoggedRequest, LoggedResponse},
    origin_date::OriginDate,
    proxied,
};
use crate::response::{self, Account, CACHE_STATUS, ErrorPage};
use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    Error, ErrorSource, ErrorType, OrErr, Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
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
use tiergate_driver::{Adopted, Sent, World};
use tiergate_engine::{Head, OriginFailure, Refusal, RequestHead};
use tiergate_tiers::http_head::{self, Scheme};

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
    let ca_file = roots.map(|file| file.to_string_lossy().into_owned());
    let conf = Arc::new(ServerConf { ca_file, ..ServerConf::default() });
    let mut proxy = HttpProxy::new(Proxying { front, scheme }, conf);
    proxy.handle_init_modules();
    proxy
}

/// A request that the engine has passed.
pub(super) struct Passed {
    pub(super) account: Account,
    pub(super) head: Arc<RequestHead>,
    /// What the client speaks.
    pub(super) protocol: &'static str,
    /// What the origin will say of when it made its response.
    pub(super) date: OriginDate,
}

/// What is known of one request.
pub struct Passing<W: World> {
    began: Instant,
    passed: Option<Passed>,
    /// When it was about to be sent.
    sent: Option<Sent>,
    /// Who stores the answer, if the engine wants it.
    adopted: Option<Adopted<W>>,
}

impl<W: World> Passing<W> {
    /// How the request is answered.
    fn account(&self) -> Option<&Account> {
        self.passed.as_ref().map(|passed| &passed.account)
    }
}

impl<W: World> Proxying<W> {
    fn client(&self, session: &Session) -> Client {
        let lines = field_lines(session.req_header());
        Client::of(peer(session), self.client_scheme(session), &self.front.trusted, lines)
    }

    fn client_scheme(&self, session: &Session) -> Scheme {
        let standing = self.front.trusted.standing(peer(session));
        forwarding::client_scheme(self.scheme, standing, field_lines(session.req_header()))
    }

    async fn answer_error(&self, session: &mut Session, page: ErrorPage, account: &Account) -> Result<()> {
        let header = page.header(account)?;
        let is_bodiless = session.req_header().method == http::Method::HEAD;
        session.write_response_header(Box::new(header), is_bodiless).await.map_err(Error::into_down)?;
        if is_bodiless {
            return Ok(());
        }
        let body = Bytes::from_static(page.text.as_bytes());
        session.write_response_body(Some(body), true).await.map_err(Error::into_down)
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
    type CTX = Passing<W>;

    fn new_ctx(&self) -> Passing<W> {
        Passing { began: Instant::now(), passed: None, sent: None, adopted: None }
    }

    /// None. Pingora's default is one that compresses, and is off.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    /// The engine has passed this one already.
    fn on_connection_reuse(
        &self,
        _session: &mut Session,
        passing: &mut Passing<W>,
        passed: Box<dyn Any + Send + Sync>,
    ) {
        passing.passed = passed.downcast::<Passed>().ok().map(|passed| *passed);
    }

    async fn request_filter(&self, session: &mut Session, passing: &mut Passing<W>) -> Result<bool> {
        session.as_downstream_mut().set_write_timeout(Some(self.front.timeouts.write));
        // Clients of HTTP/1.0 know no interim responses (RFC 9110 section 15.2).
        let is_http_10 = session.req_header().version == http::Version::HTTP_10;
        session.as_downstream_mut().set_ignore_info_resp(is_http_10);
        if passing.passed.is_none() {
            return Error::e_explain(ErrorType::InternalError, "the engine has not passed this request");
        }
        passing.sent = Some(self.front.driver.sent_now());
        Ok(false)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _passing: &mut Passing<W>,
    ) -> Result<Box<HttpPeer>> {
        let Front { origin, origin_name, dial, .. } = &*self.front;
        proxied::peer(origin, origin_name, dial.as_ref()).await
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        passing: &mut Passing<W>,
    ) -> Result<()> {
        let method = session.req_header().method.as_str();
        let unforwarded = |name: &str| self.front.unforwarded.has(name, method);
        let strangers: Vec<_> =
            request.headers.keys().filter(|name| unforwarded(name.as_str())).cloned().collect();
        for name in &strangers {
            request.remove_header(name);
        }
        let authority =
            passing.passed.as_ref().map_or("", |passed| http_head::host_field(&passed.head.authority));
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
        if self.front.dial.is_some() {
            request.insert_header(http::header::CONNECTION, "close")?;
        }
        request.append_header("cdn-loop", &self.front.loop_id)?;
        request.append_header(http::header::VIA, response::VIA)?;
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        passing: &mut Passing<W>,
    ) -> Result<()> {
        let upgrades = session.as_downstream().is_upgrade_req();
        if let Err(error) = proxied::judge(response, &self.front.response_limits, upgrades) {
            if let Some(passed) = &mut passing.passed {
                passed.account = Account::refused(Refusal::Origin(OriginFailure::Malformed));
            }
            return Err(error);
        }
        if let (Some(passed), Some(sent)) = (&passing.passed, passing.sent)
            && !response.status.is_informational()
        {
            let fields = http_head::end_to_end(&response.headers);
            let head = Head { status: response.status.as_u16(), fields };
            passing.adopted = self.front.driver.answered_around(&passed.head, sent, head);
        }
        if let Some(passed) = &passing.passed
            && !response.status.is_informational()
            && let Some(date) = response.headers.get(http::header::DATE)
        {
            passed.date.is(date.as_bytes());
        }
        proxied::strip_hop_by_hop(response);
        Ok(())
    }

    /// Before the client has a piece, so that after the last one it finds what was stored.
    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _is_last: bool,
        passing: &mut Passing<W>,
    ) -> Result<Option<Duration>> {
        if let (Some(adopted), Some(piece)) = (&mut passing.adopted, body) {
            adopted.passes(piece);
        }
        Ok(None)
    }

    /// On the way to the client, from wherever it came.
    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        passing: &mut Passing<W>,
    ) -> Result<()> {
        if response.status.is_informational() {
            return Ok(());
        }
        if session.req_header().version == http::Version::HTTP_10 {
            // A client of 1.0 does not know chunks: the end of the connection is the end of the body, and
            // nothing tells that client when a body of unknown length broke off. HTTP/1.0 has no word for it.
            response.remove_header(&http::header::TRANSFER_ENCODING);
        }
        if let Some(account) = passing.account() {
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
        passing: &mut Passing<W>,
    ) -> FailToProxy {
        let sent = session.response_written().is_some_and(|response| !response.status.is_informational());
        let page = match proxied::page(error) {
            Some(page) if !sent => page,
            Some(_) | None => {
                return FailToProxy { error_code: 0, can_reuse_downstream: false };
            }
        };
        let account = match (passing.account(), error.esource()) {
            _ if page == ErrorPage::BODY_LATE => Account::own("request-timed-out"),
            _ if page == ErrorPage::BAD_CHUNKS => Account::own("bad-chunks"),
            (Some(account), _) => account.clone(),
            (None, ErrorSource::Upstream | ErrorSource::Internal | ErrorSource::Unset) => {
                Account::own("internal-error")
            }
            (None, ErrorSource::Downstream) => Account::own("bad-request"),
        };
        session.set_keepalive(None);
        if let Err(error) = self.answer_error(session, page, &account).await {
            tracing::debug!(%error, "the client did not take an error page");
        }
        FailToProxy { error_code: page.status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, passing: &mut Passing<W>) {
        let request = session.req_header();
        let passed = passing.passed.as_ref();
        let logged = self.front.logs().then(|| {
            let mut logged = LoggedRequest {
                method: request.method.to_string(),
                host: passed.map_or_else(String::new, |passed| passed.head.authority.to_string()),
                target: String::from_utf8_lossy(request.raw_path()).into_owned(),
                protocol: passed.map_or("HTTP/1.1", |passed| passed.protocol),
                ..LoggedRequest::of(self.client(session).address)
            };
            logged.keep(field_lines(request));
            logged
        });
        let written = session.response_written();
        let response = LoggedResponse {
            status: written.map_or(0, |response| response.status.as_u16()),
            bytes: session.body_bytes_sent() as u64,
            took: passing.began.elapsed(),
            cache_status: written
                .and_then(|response| response.headers.get_all(CACHE_STATUS).iter().next_back())
                .map_or(&b"-"[..], http::HeaderValue::as_bytes),
            is_broken: error.is_some(),
        };
        self.front.responded(logged.as_ref(), &response);
    }
}
