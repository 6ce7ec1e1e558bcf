//! Field values as anybody may send them: no rule panics, and what a rule makes of them keeps its bounds.

use super::{
    conditional::{self, Answer},
    directives::{DirectiveSource, RequestDirectives, ResponseDirectives, SECONDS_MAX},
    hop, http_date,
    list::{entity_tags, members},
    range::{ByteRange, Portion, portion},
    retry_after, surrogate, target,
    validator::EntityTag,
    vary::{Vary, variant_key},
};
use crate::language::{
    head::{Fields, Head, Method, RequestHead},
    key::CacheKey,
    time::WallTime,
};
use alloc::{boxed::Box, format, vec::Vec};
use core::time::Duration;

const NOW: WallTime = WallTime::from_unix_millis(1_700_000_000_000);
/// The last second of the year 9999.
const LAST: WallTime = WallTime::from_unix_millis(253_402_300_799_000);
const NONE: [&[u8]; 0] = [];

fn one(name: &str, value: &[u8]) -> Fields {
    Fields::from_iter([(name, value)])
}

fn request(fields: Fields) -> RequestHead {
    RequestHead { method: Method::Get, authority: "host".into(), target: "/a/b?c".into(), fields }
}

/// Two field values, cut at the first line break.
fn two(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

tiergate_fuzz::target!(
    /// Every time span is within its bound, and members mean the same on lines of their own.
    cache_control,
    NONE,
    |bytes: &[u8]| {
        let fields = one("cache-control", bytes);
        let (response, source) = ResponseDirectives::of(&fields);
        assert_eq!(source, DirectiveSource::Untargeted);
        check_spans(&response);
        let lines: Fields = members(bytes).map(|member| ("cache-control", member)).collect();
        assert_eq!(ResponseDirectives::of(&lines).0, response);
        assert_eq!(RequestDirectives::of(&lines), RequestDirectives::of(&fields));
    }
);

fn check_spans(found: &ResponseDirectives) {
    let spans = [found.max_age, found.s_maxage, found.stale_while_revalidate, found.stale_if_error];
    for span in spans.into_iter().flatten() {
        assert!(span <= Duration::from_secs(SECONDS_MAX), "{span:?}");
    }
}

tiergate_fuzz::target!(
    /// A field that is valid is so with spaces around it, and voids `Cache-Control`; one that is not counts
    /// for nothing.
    cdn_cache_control,
    NONE,
    |bytes: &[u8]| {
        let beside = ("cache-control", b"no-store".as_slice());
        let (found, source) = ResponseDirectives::of(&Fields::from_iter([("cdn-cache-control", bytes), beside]));
        check_spans(&found);
        let spaced = [b"  ", bytes, b" "].concat();
        let (again, again_source) = ResponseDirectives::of(&one("cdn-cache-control", &spaced));
        assert_eq!(again_source, source);
        match source {
            DirectiveSource::Targeted => assert_eq!(again, found),
            DirectiveSource::Untargeted => assert!(found.no_store, "the other field counts"),
        }
    }
);

tiergate_fuzz::target!(
    /// Each part lies within the body, together they are no more than it, and a part that is asked for again
    /// is the same.
    range,
    NONE,
    |bytes: &[u8]| {
        let stored = Head { status: 200, fields: Fields::new() };
        for length in [0, 1, 1_000, u64::MAX] {
            let asked = |value: &[u8]| portion(&request(one("range", value)), &stored, length, NOW);
            let check = |part: ByteRange| {
                assert!(part.first() <= part.last() && part.last() < length, "{part:?} of {length}");
                let again = format!("bytes={}-{}", part.first(), part.last());
                assert_eq!(asked(again.as_bytes()), Portion::One(part));
            };
            match asked(bytes) {
                Portion::Whole | Portion::Unsatisfiable => {}
                Portion::One(part) => check(part),
                Portion::Several(parts) => {
                    assert!((2..=16).contains(&parts.len()));
                    let total: u128 = parts.iter().map(|part| u128::from(part.length())).sum();
                    assert!(total <= u128::from(length));
                    parts.into_iter().for_each(check);
                }
            }
        }
    }
);

tiergate_fuzz::target!(
    /// A date that was read is written as one that is read as the same time, and as the end of a wait is that
    /// time.
    date,
    NONE,
    |bytes: &[u8]| {
        if let Some(time) = http_date::parse(bytes, NOW) {
            let written = http_date::format(time);
            assert_eq!(http_date::parse(written.as_bytes(), NOW), Some(time.min(LAST)), "{written}");
            assert_eq!(retry_after::retry_after(&one("retry-after", bytes), NOW), Some(time.since(NOW)));
        }
    }
);

tiergate_fuzz::target!(
    /// Tags that are the same are alike; a condition that lists a response's own tag matches; what Connection
    /// names is in lower case.
    validators,
    NONE,
    |bytes: &[u8]| {
        let (own, line) = two(bytes);
        let tag = EntityTag::of(own);
        assert!(tag.is_like(tag) && tag.is_same(tag) == tag.is_strong());
        for other in entity_tags(line).map(EntityTag::of) {
            assert_eq!(tag.is_like(other), other.is_like(tag));
            assert!(tag.is_like(other) || !tag.is_same(other));
        }
        let stored = Head { status: 200, fields: one("etag", own) };
        let fields = Fields::from_iter([("if-match", &b"*"[..]), ("if-none-match", line)]);
        let is_known = entity_tags(line).any(|other| EntityTag::of(other).is_like(tag));
        if is_known {
            let answer = conditional::answer(&request(fields), &stored, NOW, NOW);
            assert_eq!(answer, Answer::NotModified);
        }
        let every = one("if-match", b"*");
        assert_eq!(conditional::answer(&request(every), &stored, NOW, NOW), Answer::Full);
        for name in hop::nominated([line].into_iter()) {
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }
);

tiergate_fuzz::target!(
    /// The names come sorted, each once, and as a list of their own are the same. A request has one key, and
    /// another only where its fields differ.
    vary,
    NONE,
    |bytes: &[u8]| {
        let (line, language) = two(bytes);
        let head = Head { status: 200, fields: one("vary", line) };
        let names: Vec<Box<str>> = match Vary::of(&head) {
            Vary::Fields(names) => names,
            Vary::Nothing | Vary::Anything => ["accept-language".into(), "accept-encoding".into()].into(),
        };
        let again = Head { status: 200, fields: one("vary", names.join(" , ").as_bytes()) };
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(Vary::of(&again), Vary::Fields(sorted));
        let own = CacheKey(7);
        let fields = Fields::from_iter([("accept-language", language), ("accept-encoding", language)]);
        let spaced = [b" ", language, b" "].concat();
        let spaced = Fields::from_iter([("accept-language", spaced.as_slice()), ("accept-encoding", &spaced)]);
        if names.iter().all(|name| matches!(&**name, "accept-language" | "accept-encoding")) {
            assert_eq!(variant_key(own, &names, &fields), variant_key(own, &names, &spaced));
        }
        assert_ne!(variant_key(own, &names, &fields), own);
    }
);

tiergate_fuzz::target!(
    /// What a reference means has a host in lower case and a path from the root, without a fragment; and as a
    /// reference means the same again.
    reference,
    NONE,
    |bytes: &[u8]| {
        let request = request(Fields::new());
        let Some((authority, target)) = target::resolve(&request, bytes) else { return };
        assert!(!authority.is_empty() && !authority.contains(['@', '/', '#']), "{authority}");
        assert_eq!(*authority, *authority.to_ascii_lowercase());
        assert!(target.starts_with('/') && !target.contains('#'), "{target}");
        let whole = format!("//{authority}{target}");
        assert_eq!(target::resolve(&request, whole.as_bytes()), Some((authority, target)));
    }
);

tiergate_fuzz::target!(
    /// A tag that a response carries stands in its field, and its own text is the tag again.
    surrogate_key,
    NONE,
    |bytes: &[u8]| {
        let (text, line) = two(bytes);
        let Ok(tag) = core::str::from_utf8(text).map_err(drop).and_then(|text| crate::Tag::new(text).map_err(drop))
        else {
            return;
        };
        assert!((1..=crate::TAG_BYTES_MAX).contains(&tag.as_str().len()));
        assert_eq!(crate::Tag::new(tag.as_str()).as_ref(), Ok(&tag));
        let fields = one("surrogate-key", line);
        if surrogate::carries(&fields, tag.as_str().as_bytes()) && line.len() < surrogate::SURROGATE_BYTES_MAX {
            let line = line.to_ascii_lowercase();
            assert!(line.windows(text.len()).any(|part| part == tag.as_str().as_bytes()));
        }
        assert!(surrogate::carries(&one("surrogate-key", text), tag.as_str().as_bytes()), "its own text");
    }
);
