//! Conditions as tables.

use super::*;
use crate::language::head::Method;
use proptest::prelude::*;
use std::{format, string::String, vec::Vec};

/// Field lines of a table.
type Lines<'t> = &'t [(&'t str, &'t str)];

/// 2026-11-21 00:00:00.
const NOW: WallTime = WallTime::from_unix_millis(1_795_219_200_000);

/// A date `seconds` ago.
fn ago(seconds: u64) -> String {
    http_date::format(NOW.before(core::time::Duration::from_secs(seconds)))
}

fn stored(status: u16, fields: &[(&str, &str)]) -> Head {
    Head { status, fields: fields.iter().copied().collect() }
}

fn ask(method: Method, fields: &[(&str, &str)]) -> RequestHead {
    RequestHead {
        method,
        authority: "host".into(),
        target: "/".into(),
        fields: fields.iter().copied().collect(),
    }
}

fn is_304(conditions: &[(&str, &str)], fields: &[(&str, &str)]) -> bool {
    let found = answer(&ask(Method::Get, conditions), &stored(200, fields), NOW, NOW);
    found == Answer::NotModified
}

/// Any member may match, weakly; a star matches everything; a tag matches no response without one.
#[test]
fn if_none_match_compares_weakly() {
    let cases: &[(&[&str], &str, bool)] = &[
        (&["\"a\""], "\"a\"", true),
        (&["W/\"a\""], "\"a\"", true),
        (&["\"a\""], "W/\"a\"", true),
        (&["\"a\", \"b\", \"c\""], "\"b\"", true),
        (&["\"a\"", "\"b\""], "\"b\"", true),
        (&["\"x,y\", \"b\""], "\"x,y\"", true),
        (&["\"x\\\", \"b\""], "\"b\"", true),
        (&["*"], "\"b\"", true),
        (&["\"\u{fc}\""], "\"\u{fc}\"", true),
        (&["a"], "a", true),
        (&["w/\"a\""], "w/\"a\"", true),
        (&["a"], "\"a\"", false),
        (&["\"a\""], "a", false),
        (&["\"A\""], "\"a\"", false),
        (&[""], "\"a\"", false),
        (&["\"a"], "\"a\"", false),
    ];
    for (lines, tag, expected) in cases {
        let conditions: Vec<_> = lines.iter().map(|line| ("if-none-match", *line)).collect();
        assert_eq!(is_304(&conditions, &[("etag", tag)]), *expected, "{lines:?} {tag}");
    }
    assert!(!is_304(&[("if-none-match", "\"a\"")], &[]));
    assert!(!is_304(&[("if-none-match", "\"a\"")], &[("etag", "\"a\""), ("etag", "\"b\"")]));
    assert!(is_304(&[("if-none-match", "*")], &[]));
    assert!(!is_304(&[], &[("etag", "\"a\"")]));
}

/// Not changed after that date; without `Last-Modified` not made after it; no date, no condition.
#[test]
fn if_modified_since_compares_dates() {
    let since = |text: &str, fields: &[(&str, &str)]| is_304(&[("if-modified-since", text)], fields);
    let (old, middle, new) = (&*ago(3000), &*ago(2000), &*ago(0));
    assert!(since(old, &[("last-modified", old)]));
    assert!(since(middle, &[("last-modified", old)]));
    assert!(!since(old, &[("last-modified", middle)]));
    assert!(since("Saturday, 21-Nov-26 00:00:00 GMT", &[("last-modified", new)]));
    assert!(!since("yesterday", &[("last-modified", old)]));
    assert!(!since(new, &[("last-modified", "yesterday"), ("date", old)]));
    assert!(since(middle, &[("date", old)]));
    assert!(!since(old, &[("date", middle)]), "section 4.3.2 compares with Date");
    assert!(since(new, &[]), "it came now");
    assert!(!since(middle, &[]));
    let twice = [("if-modified-since", new), ("if-modified-since", new)];
    assert!(!is_304(&twice, &[("last-modified", old)]));
}

/// `If-None-Match` decides alone where it is (RFC 9110 section 13.2.2).
#[test]
fn if_none_match_goes_first() {
    let (old, new) = (&*ago(10_000), &*ago(5000));
    let fields = [("etag", "\"a\""), ("last-modified", new)];
    assert!(is_304(&[("if-none-match", "\"a\""), ("if-modified-since", old)], &fields));
    assert!(!is_304(&[("if-none-match", "\"b\""), ("if-modified-since", new)], &fields));
}

/// Only successes, and only for GET and HEAD.
#[test]
fn other_answers_are_whole() {
    let conditions = [("if-none-match", "*")];
    for (method, status, expected) in [
        (Method::Get, 200, Answer::NotModified),
        (Method::Head, 203, Answer::NotModified),
        (Method::Get, 301, Answer::Full),
        (Method::Get, 404, Answer::Full),
        (Method::Post, 200, Answer::Full),
        (Method::Other, 200, Answer::Full),
        (Method::OtherSafe, 200, Answer::Full),
    ] {
        let found = answer(&ask(method, &conditions), &stored(status, &[("etag", "\"a\"")]), NOW, NOW);
        assert_eq!(found, expected, "{method:?} {status}");
    }
}

/// `If-Match` wants the same bytes; `If-Unmodified-Since` no later change; neither is no condition.
#[test]
fn preconditions_compare_strongly() {
    let (old, new) = (&*ago(3000), &*ago(2000));
    let fields = [("etag", "\"a\""), ("last-modified", new)];
    let cases: &[(Lines<'_>, Lines<'_>, Precondition)] = &[
        (&[], &fields, Precondition::Holds),
        (&[("if-match", "\"b\", \"a\"")], &fields, Precondition::Holds),
        (&[("if-match", "*")], &[], Precondition::Holds),
        (&[("if-match", "\"b\"")], &fields, Precondition::Failed),
        (&[("if-match", "W/\"a\"")], &fields, Precondition::Failed),
        (&[("if-match", "W/\"a\"")], &[("etag", "W/\"a\"")], Precondition::Failed),
        (&[("if-match", "\"a\"")], &[], Precondition::Failed),
        (&[("if-unmodified-since", new)], &fields, Precondition::Holds),
        (&[("if-unmodified-since", old)], &fields, Precondition::Failed),
        (&[("if-unmodified-since", old)], &[], Precondition::Holds),
        (&[("if-unmodified-since", "x")], &fields, Precondition::Holds),
        (&[("if-match", "\"a\""), ("if-unmodified-since", old)], &fields, Precondition::Holds),
    ];
    for (conditions, fields, expected) in cases {
        let found = precondition(&conditions.iter().copied().collect(), &stored(200, fields), NOW);
        assert_eq!(found, *expected, "{conditions:?}");
    }
}

/// A precondition counts before the others, and like them for successes and lookups only.
#[test]
fn preconditions_go_first() {
    let cases = [
        (Method::Get, 200, &[("if-match", "\"b\"")][..], Answer::Failed),
        (Method::Head, 200, &[("if-match", "\"b\"")], Answer::Failed),
        (Method::Get, 404, &[("if-match", "\"b\"")], Answer::Full),
        (Method::Post, 200, &[("if-match", "\"b\"")], Answer::Full),
        (Method::Get, 200, &[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Answer::Failed),
        (Method::Get, 200, &[("if-match", "\"a\""), ("if-none-match", "\"a\"")], Answer::NotModified),
        (Method::Get, 200, &[("if-match", "\"a\""), ("if-none-match", "\"b\"")], Answer::Full),
    ];
    for (method, status, conditions, expected) in cases {
        let found = answer(&ask(method, conditions), &stored(status, &[("etag", "\"a\"")]), NOW, NOW);
        assert_eq!(found, expected, "{method:?} {status} {conditions:?}");
    }
}

/// A 304 keeps what caches and browsers act on, and nothing that describes the body.
#[test]
fn a_304_describes_no_body() {
    let kept = [
        "cache-control",
        "content-location",
        "date",
        "etag",
        "expires",
        "vary",
        "set-cookie",
        "content-security-policy",
        "x",
    ];
    let gone = [
        "content-type",
        "content-length",
        "content-encoding",
        "content-language",
        "content-range",
        "last-modified",
    ];
    let mut head = stored(200, &[]);
    for name in kept.iter().chain(&gone) {
        head.fields.push(name, b"1");
    }
    let not_modified = not_modified_head(&head);
    assert_eq!(not_modified.status, 304);
    assert_eq!(not_modified.fields.iter().map(|(name, _)| name).collect::<Vec<_>>(), kept);
    head.fields.remove(|name| name == "etag");
    assert!(not_modified_head(&head).fields.contains("last-modified"));
}

/// A fetch for everybody asks for the whole, whatever its cause asked for.
#[test]
fn a_shared_fetch_has_no_conditions() {
    let mut fields: Fields = [
        "if-none-match",
        "if-modified-since",
        "if-match",
        "if-unmodified-since",
        "if-range",
        "range",
        "accept",
    ]
    .map(|name| (name, "x"))
    .into_iter()
    .collect();
    remove_conditions(&mut fields);
    assert_eq!(fields.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["accept"]);
}

proptest! {
    /// A response's own tag, among any others, is a 304; no other tag is.
    #[test]
    fn the_own_tag_matches(tag in "[!#-~]{0,8}", others in prop::collection::vec("[!#-~]{0,8}", 0..4), at in 0_usize..5) {
        let mut listed: Vec<_> = others.iter().map(|other| format!("\"{other}\"")).collect();
        let own = format!("\"{tag}\"");
        let fields = [("etag", &*own)];
        let without = listed.join(", ");
        prop_assert_eq!(is_304(&[("if-none-match", &without)], &fields), others.contains(&tag));
        listed.insert(at.min(listed.len()), own.clone());
        prop_assert!(is_304(&[("if-none-match", &listed.join(","))], &fields));
    }
}
