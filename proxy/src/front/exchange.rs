//! A request, whichever version of HTTP it came in: what it asks for, and what is kept of it until its answer
//! has ended.

use super::{
    Front,
    forwarding::{self, Client},
    log::{LoggedRequest, LoggedResponse},
    request_head::{Fault, Framing, ParsedHead},
    requests::UnderWay,
};
use crate::response::{Account, ErrorPage};
use bytes::Bytes;
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tiergate_driver::World;
use tiergate_engine::{ByteCount, CacheKey, Fields, Outcome, RequestHead, Resident, TierId};

/// What a request asks for.
pub(super) enum Request {
    /// It is in memory, and this old.
    Hit(Arc<Resident<Bytes>>, Duration),
    Ask(Box<Asked>),
    Purge(Box<Asked>),
    /// It comes at a time when nobody is asked for it, and has so much of a body.
    TurnAway(Box<OwnAnswer>, Framing),
}

/// What is not answered at once.
pub(super) struct Asked {
    pub(super) key: CacheKey,
    pub(super) head: Arc<RequestHead>,
    pub(super) framing: Framing,
    pub(super) upgrades: bool,
}

/// A request that is being answered.
pub(super) struct Exchange {
    pub(super) is_head: bool,
    /// There, if something is written of it.
    logged: Option<LoggedRequest>,
    began: Instant,
    /// It counts until its answer has ended.
    _under_way: Option<UnderWay>,
}

/// A short answer of our own, which nobody may store.
pub(super) struct OwnAnswer {
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) body: Bytes,
    pub(super) account: Account,
}

impl OwnAnswer {
    pub(super) fn page(page: ErrorPage, account: Account) -> Self {
        let (status, fields) = (page.status, page.fields());
        Self { status, fields, body: Bytes::from_static(page.text.as_bytes()), account }
    }

    /// To what is no request that anybody could be asked about.
    pub(super) fn fault(fault: Fault) -> Self {
        Self::page(ErrorPage::of_fault(fault), Account::own(fault.detail()))
    }

    pub(super) fn length(&self) -> ByteCount {
        ByteCount(self.body.len() as u64)
    }
}

/// What a response from memory, of this age, says about itself.
pub(super) fn account_of_hit(resident: &Resident<Bytes>, age: Duration) -> Account {
    let fresh_for = resident.freshness.lifetime.saturating_sub(age);
    Account::served(Outcome::Hit { tier: TierId::L0 }, age, fresh_for)
}

impl<W: World> Front<W> {
    /// Looks in memory for what a head that was judged asks for.
    pub(super) fn begin(
        &self,
        parsed: &ParsedHead<'_, '_>,
        peer: IpAddr,
        protocol: &'static str,
    ) -> Result<(Request, Exchange), Fault> {
        let client = || Client::of(peer, parsed.scheme, &self.trusted, parsed.lines());
        let authority = parsed.authority.as_deref().unwrap_or(&self.default_authority);
        let key = CacheKey::of(authority, &parsed.target);
        let method = parsed.engine_method();
        let logged = self.logs().then(|| {
            let mut logged = LoggedRequest {
                method: parsed.method.to_owned(),
                host: authority.to_owned(),
                target: parsed.target.to_string(),
                protocol,
                ..LoggedRequest::of(client().address)
            };
            logged.keep(parsed.lines());
            logged
        });
        let (under_way, turned_away) = match self.admit(|| client().address) {
            Ok(under_way) => (under_way, None),
            Err(why) => (None, Some(why)),
        };
        let is_head = parsed.method == "HEAD";
        let exchange = Exchange { is_head, logged, began: Instant::now(), _under_way: under_way };
        if let Some(why) = turned_away {
            let answer = OwnAnswer::page(why.page(), why.account());
            return Ok((Request::TurnAway(Box::new(answer), parsed.framing), exchange));
        }
        if method.is_lookup()
            && let Some((resident, age)) = self.driver.fresh_hit(key, method, parsed.lines())
        {
            return Ok((Request::Hit(resident, age), exchange));
        }
        let mut head = parsed.engine_head(authority, &self.unforwarded)?;
        let (framing, upgrades) = (parsed.framing, parsed.upgrades);
        let asked = |head| Box::new(Asked { key, head: Arc::new(head), framing, upgrades });
        if parsed.method == "PURGE" {
            return Ok((Request::Purge(asked(head)), exchange));
        }
        if forwarding::is_loop(parsed.lines(), &self.loop_id) {
            return Err(Fault::Loop);
        }
        forwarding::tell_of_client(&mut head.fields, authority, &client(), &self.loop_id);
        Ok((Request::Ask(asked(head)), exchange))
    }

    /// What is kept of a request of which nothing is known but whose it is.
    pub(super) fn begin_unknown(&self, peer: IpAddr, protocol: &'static str) -> Exchange {
        let logged = self.logs().then(|| LoggedRequest { protocol, ..LoggedRequest::of(peer) });
        Exchange { is_head: false, logged, began: Instant::now(), _under_way: None }
    }

    /// An answer has ended, after this many bytes of its body, or broke off.
    pub(super) fn ended<E>(
        &self,
        exchange: &Exchange,
        status: u16,
        account: &Account,
        sent: &Result<u64, E>,
    ) {
        let response = LoggedResponse {
            status,
            bytes: sent.as_ref().copied().unwrap_or(0),
            took: exchange.began.elapsed(),
            cache_status: account.status(),
            is_broken: sent.is_err(),
        };
        self.responded(exchange.logged.as_ref(), &response);
    }
}
