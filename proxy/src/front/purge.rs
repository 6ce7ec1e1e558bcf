//! `PURGE /path` at the clients' listener, from whoever knows its token (failure R10).
//!
//! Without more it is about the path itself. `Surrogate-Key`, `Cache-Tag` or `xkey` name surrogate keys
//! instead, `X-Purge: prefix` means everything under the path, `X-Purge: all` everything. `Soft-Purge: 1` (or
//! Fastly's name for it) makes stale what else would go. The admin listener takes purges, too (`admin`).

use super::{
    Front,
    exchange::{Asked, OwnAnswer},
};
use crate::{
    config::Token,
    purging::{self, TAGS_MAX, Wish},
    response::{Account, ErrorPage},
};
use tiergate_driver::World;
use tiergate_engine::{CacheKey, Fields, Prefix, PurgeMode, RequestHead, Selector, Tag};

impl<W: World> Front<W> {
    /// 200 when every tier answered and the other edges were told, 502 when one of them may still hold the
    /// object.
    pub(super) async fn purge(&self, asked: &Asked) -> OwnAnswer {
        let Asked { key, head, .. } = asked;
        let given = head.fields.all("authorization").next();
        let given = given.and_then(|value| value.strip_prefix(b"Bearer "));
        let is_known = |token: &Token| given.is_some_and(|given| token.is(given));
        if !self.purge_token.as_ref().is_some_and(is_known) {
            return OwnAnswer::page(ErrorPage::PURGE_FORBIDDEN, Account::own("purge-forbidden"));
        }
        let Some(wish) = wish(*key, head) else {
            return OwnAnswer::page(ErrorPage::BAD_REQUEST, Account::own("bad-request"));
        };
        let report = purging::purge(&self.driver, &wish).await;
        let mut fields = Fields::new();
        fields.push("content-type", b"application/json");
        fields.push("cache-control", b"no-store");
        OwnAnswer {
            status: if report.is_incomplete() { 502 } else { 200 },
            fields,
            body: report.line(&wish.selectors),
            account: Account::own("purge"),
        }
    }
}

/// What a request wants purged. Nothing, when it contradicts itself, or names what nothing can be stored
/// under.
fn wish(key: CacheKey, head: &RequestHead) -> Option<Wish> {
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
    Some(Wish { selectors, mode })
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;
    use tiergate_engine::Method;

    fn wished(fields: &[(&str, &str)]) -> Option<Wish> {
        let fields = fields.iter().copied().collect();
        let (authority, target) = ("host".into(), "/a".into());
        wish(CacheKey(1), &RequestHead { method: Method::Other, authority, target, fields })
    }

    /// Each field asks for what it says, and what contradicts itself is refused.
    #[test]
    fn fields_say_what_to_purge() {
        let tag = |text| Selector::Tag(Tag::new(text).expect("a tag"));
        let hard = |selectors| Some(Wish { selectors, mode: PurgeMode::Hard });
        let key = vec![Selector::Key(CacheKey(1))];
        assert_eq!(wished(&[]), hard(key.clone()));
        assert_eq!(wished(&[("soft-purge", "0")]), hard(key.clone()));
        for name in ["soft-purge", "fastly-soft-purge"] {
            assert_eq!(wished(&[(name, "1")]), Some(Wish { selectors: key.clone(), mode: PurgeMode::Soft }));
        }
        for name in ["surrogate-key", "cache-tag", "xkey"] {
            assert_eq!(wished(&[(name, "a, b")]), hard(vec![tag("a"), tag("b")]));
        }
        let prefix = Prefix::new("host", "/a").expect("a prefix");
        assert_eq!(wished(&[("x-purge", "prefix")]), hard(vec![Selector::Prefix(prefix)]));
        assert_eq!(wished(&[("x-purge", "all")]), hard(vec![Selector::All]));
        assert_eq!(wished(&[("x-purge", "everything")]), None);
        assert_eq!(wished(&[("x-purge", "all"), ("xkey", "a")]), None);
        assert_eq!(wished(&[("xkey", " ")]), None);
        assert_eq!(wished(&[("xkey", &"a ".repeat(TAGS_MAX + 1))]), None);
    }
}
