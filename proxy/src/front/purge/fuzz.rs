//! What a `PURGE` says it wants, as anybody may send it.

use super::*;
use tiergate_engine::Method;

tiergate_fuzz::target!(
    /// A request that is understood wants at least one thing, at most as many as are remembered, and all of
    /// one kind.
    purge_wish,
    [
        "surrogate-key:a b,c\nsoft-purge:1",
        "xkey:A\ncache-tag:b",
        "x-purge:prefix\nfastly-soft-purge:1",
        "x-purge:all",
    ],
    |bytes: &[u8]| {
        let fields = bytes.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
        });
        let head = RequestHead {
            method: Method::Other,
            authority: "host".into(),
            target: "/a".into(),
            fields: fields.collect(),
        };
        let Some(wish) = wish(CacheKey(1), &head) else { return };
        assert!((1..=TAGS_MAX).contains(&wish.selectors.len()));
        let are_tags = wish.selectors.iter().all(|selector| matches!(selector, Selector::Tag(_)));
        assert!(are_tags || wish.selectors.len() == 1);
    }
);
