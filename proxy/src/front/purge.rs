//! `PURGE /path`, from this machine only, answered with what was seen in each tier (failure R10).
//!
//! Without more it is about the path itself. `Surrogate-Key`, `Cache-Tag` or `xkey` name surrogate keys
//! instead, `X-Purge: prefix` means everything under the path, `X-Purge: all` everything. `Soft-Purge: 1` (or
//! Fastly's name for it) makes stale what else would go.

use super::{
    pingora::{Exchange, Proxying},
    writing::send_short,
};
use crate::response::{self, Account, ErrorPage};
use bytes::Bytes;
use pingora::{Result, http::RequestHeader, proxy::Session};
use std::{collections::BTreeMap, fmt::Write};
use tiergate_driver::{Elsewhere, World};
use tiergate_engine::{CacheKey, Prefix, PurgeMode, PurgeOutcome, RequestHead, Selector, Tag, TierId};

/// Surrogate keys of one request: each is a ban that lookups read, and the engine remembers 256.
const TAGS_MAX: usize = 64;

pub(super) fn is_purge(request: &RequestHeader) -> bool {
    request.method.as_str() == "PURGE"
}

impl<W: World> Proxying<W> {
    /// 200 when every tier answered and the other edges were told, 502 when one of them may still hold the
    /// object.
    pub(super) async fn purge(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        key: CacheKey,
        head: &RequestHead,
    ) -> Result<bool> {
        let local = session
            .client_addr()
            .and_then(|address| address.as_inet())
            .is_some_and(|address| address.ip().to_canonical().is_loopback());
        if !local {
            let account = Account::own("purge-forbidden");
            return self.answer_error(session, exchange, ErrorPage::PURGE_FORBIDDEN, account).await;
        }
        let Some(wish) = Wish::of(key, head) else {
            let account = Account::own("bad-request");
            return self.answer_error(session, exchange, ErrorPage::BAD_REQUEST, account).await;
        };
        let mut seen: BTreeMap<TierId, PurgeOutcome> = BTreeMap::new();
        let mut elsewhere = Elsewhere::NoFeed;
        for selector in &wish.selectors {
            let purged = self.front.driver.purge_selected(selector, wish.mode).await;
            elsewhere = elsewhere.max(purged.elsewhere);
            for (tier, outcome) in purged.tiers {
                seen.entry(tier).and_modify(|other| *other = other.with(outcome)).or_insert(outcome);
            }
        }
        let report: Vec<_> = seen.into_iter().collect();
        let failed = elsewhere == Elsewhere::Failed
            || report.iter().any(|(_, outcome)| matches!(outcome, PurgeOutcome::Failed));
        let body = line(&wish.selectors, &report, elsewhere);
        let status = if failed { 502 } else { 200 };
        let mut header = response::plain(status, "application/json", body.len())?;
        let account = Account::own("purge");
        account.write(&mut header)?;
        exchange.account = Some(account);
        send_short(session, header, Bytes::from(body)).await?;
        Ok(true)
    }
}

/// What one request wants purged.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    selectors: Vec<Selector>,
    mode: PurgeMode,
}

impl Wish {
    /// Nothing, when the request contradicts itself, or names what nothing can be stored under.
    fn of(key: CacheKey, head: &RequestHead) -> Option<Self> {
        let is_soft = ["soft-purge", "fastly-soft-purge"]
            .iter()
            .flat_map(|name| head.fields.all(name))
            .any(|value| value == b"1");
        let mode = if is_soft { PurgeMode::Soft } else { PurgeMode::Hard };
        let lines = || ["surrogate-key", "cache-tag", "xkey"].iter().flat_map(|name| head.fields.all(name));
        let words = lines()
            .flat_map(|line| line.split(|byte| matches!(byte, b' ' | b'\t' | b',')))
            .filter(|word| !word.is_empty());
        let mut tags = Vec::new();
        for word in words {
            tags.push(Selector::Tag(Tag::new(std::str::from_utf8(word).ok()?).ok()?));
        }
        let mut wider = head.fields.all("x-purge");
        let selectors = match (wider.next(), wider.next(), lines().next()) {
            (None, _, None) => vec![Selector::Key(key)],
            (None, _, Some(_)) if !tags.is_empty() && tags.len() <= TAGS_MAX => tags,
            (Some(b"prefix"), None, None) => {
                vec![Selector::Prefix(Prefix::new(&head.authority, &head.target).ok()?)]
            }
            (Some(b"all"), None, None) => vec![Selector::All],
            (None | Some(_), _, _) => return None,
        };
        Some(Self { selectors, mode })
    }
}

/// One line of JSON. Every word of it is ours, so nothing needs escaping.
fn line(selectors: &[Selector], report: &[(TierId, PurgeOutcome)], elsewhere: Elsewhere) -> String {
    let mut line = match selectors {
        [Selector::Key(key)] => format!("{{\"key\":\"{key}\""),
        [Selector::Prefix(_)] => "{\"purged\":\"prefix\"".to_owned(),
        [Selector::All] => "{\"purged\":\"all\"".to_owned(),
        tags => format!("{{\"purged\":\"tags\",\"tags\":{}", tags.len()),
    };
    for (tier, outcome) in report {
        let seen = match outcome {
            PurgeOutcome::Removed(bytes) => format!("{{\"outcome\":\"removed\",\"bytes\":{}}}", bytes.0),
            PurgeOutcome::RemovedUnseen => "{\"outcome\":\"removed\"}".to_owned(),
            PurgeOutcome::Staled(bytes) => format!("{{\"outcome\":\"staled\",\"bytes\":{}}}", bytes.0),
            PurgeOutcome::Barred => "{\"outcome\":\"barred\"}".to_owned(),
            PurgeOutcome::Absent => "{\"outcome\":\"absent\"}".to_owned(),
            PurgeOutcome::Failed => "{\"outcome\":\"failed\"}".to_owned(),
        };
        write!(line, ",\"{}\":{seen}", tier.as_str()).expect("a String takes everything");
    }
    line.push_str(match elsewhere {
        Elsewhere::NoFeed => "",
        Elsewhere::Told => ",\"feed\":\"told\"",
        Elsewhere::Failed => ",\"feed\":\"failed\"",
    });
    line.push_str("}\n");
    line
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;
    use tiergate_engine::{ByteCount, Method};

    fn wish(fields: &[(&str, &str)]) -> Option<Wish> {
        let fields = fields.iter().copied().collect();
        let (authority, target) = ("host".into(), "/a".into());
        Wish::of(CacheKey(1), &RequestHead { method: Method::Other, authority, target, fields })
    }

    /// Each field asks for what it says, and what contradicts itself is refused.
    #[test]
    fn fields_say_what_to_purge() {
        let tag = |text| Selector::Tag(Tag::new(text).expect("a tag"));
        let hard = |selectors| Some(Wish { selectors, mode: PurgeMode::Hard });
        let key = vec![Selector::Key(CacheKey(1))];
        assert_eq!(wish(&[]), hard(key.clone()));
        assert_eq!(wish(&[("soft-purge", "0")]), hard(key.clone()));
        for name in ["soft-purge", "fastly-soft-purge"] {
            assert_eq!(wish(&[(name, "1")]), Some(Wish { selectors: key.clone(), mode: PurgeMode::Soft }));
        }
        for name in ["surrogate-key", "cache-tag", "xkey"] {
            assert_eq!(wish(&[(name, "a, b")]), hard(vec![tag("a"), tag("b")]));
        }
        let prefix = Prefix::new("host", "/a").expect("a prefix");
        assert_eq!(wish(&[("x-purge", "prefix")]), hard(vec![Selector::Prefix(prefix)]));
        assert_eq!(wish(&[("x-purge", "all")]), hard(vec![Selector::All]));
        assert_eq!(wish(&[("x-purge", "everything")]), None);
        assert_eq!(wish(&[("x-purge", "all"), ("xkey", "a")]), None);
        assert_eq!(wish(&[("xkey", " ")]), None);
        assert_eq!(wish(&[("xkey", &"a ".repeat(TAGS_MAX + 1))]), None);
    }

    /// Each outcome has its own word, and a size where one is known.
    #[test]
    fn a_report_says_what_each_tier_saw() {
        let report = [
            (TierId::L0, PurgeOutcome::Removed(ByteCount(12))),
            (TierId::L1, PurgeOutcome::Failed),
            (TierId::L2, PurgeOutcome::Absent),
        ];
        assert_eq!(
            line(&[Selector::Key(CacheKey(0x1f))], &report, Elsewhere::NoFeed),
            "{\"key\":\"0000000000000000000000000000001f\",\"l0\":{\"outcome\":\"removed\",\"bytes\":12},\
             \"l1\":{\"outcome\":\"failed\"},\"l2\":{\"outcome\":\"absent\"}}\n"
        );
        let all = |elsewhere| line(&[Selector::All], &[], elsewhere);
        assert_eq!(all(Elsewhere::Told), "{\"purged\":\"all\",\"feed\":\"told\"}\n");
        assert_eq!(all(Elsewhere::Failed), "{\"purged\":\"all\",\"feed\":\"failed\"}\n");
    }
}
