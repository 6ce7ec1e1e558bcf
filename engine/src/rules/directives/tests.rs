//! `Cache-Control` as tables.

use super::*;
use proptest::prelude::*;
use std::{format, vec};

fn response(lines: &[&str]) -> ResponseDirectives {
    let fields: Fields = lines.iter().map(|line| ("cache-control", *line)).collect();
    let (directives, source) = ResponseDirectives::of(&fields);
    assert_eq!(source, DirectiveSource::Untargeted);
    directives
}

fn names(names: &[&str]) -> Scope {
    Scope::Fields(names.iter().map(|name| (*name).into()).collect())
}

/// `max-age` in every spelling: digits, quoted or not, the smallest of several, capped; else stale.
#[test]
fn max_age_is_read_strictly() {
    let cases: &[(&[&str], Option<u64>)] = &[
        (&[], None),
        (&["max-age=60"], Some(60)),
        (&["MAX-AGE=60"], Some(60)),
        (&["max-age=003600"], Some(3600)),
        (&["max-age=\"60\""], Some(60)),
        (&["max-age='60'"], Some(0)),
        (&["max-age =60"], Some(0)),
        (&["max-age= 60"], Some(0)),
        (&["max-age=60.0"], Some(0)),
        (&["max-age=60.5"], Some(0)),
        (&["max-age=a60"], Some(0)),
        (&["max-age=60a"], Some(0)),
        (&["max-age=-1"], Some(0)),
        (&["max-age"], Some(0)),
        (&["max-age="], Some(0)),
        (&["max-age=1800, max-age=1"], Some(1)),
        (&["max-age=1", "max-age=1800"], Some(1)),
        (&["max-age=2147483648"], Some(1 << 31)),
        (&["max-age=99999999999999999999"], Some(1 << 31)),
        (&["extension=\"max-age=3600\", max-age=1"], Some(1)),
        (&["max-age=1, extension=\"max-age=3600\""], Some(1)),
        (&["x=\"\\\", max-age=9\""], None),
    ];
    for (lines, seconds) in cases {
        assert_eq!(response(lines).max_age, seconds.map(Duration::from_secs), "{lines:?}");
    }
}

/// What forbids is found in any spelling, and behind a quote that never closes.
#[test]
fn prohibitions_are_read_generously() {
    for line in ["no-store", "No-StOrE", " no-store ", "no-store=1", "no-store = x", "a=\"b, no-store"] {
        assert!(response(&[line]).no_store, "{line}");
    }
    assert!(!response(&["x=\"no-store\""]).no_store);
    assert!(!response(&["no-stores"]).no_store);
}

/// Without names the whole response is meant, and so with anything that names none.
#[test]
fn scopes_tell_fields_from_the_whole() {
    let cases: &[(&[&str], Scope)] = &[
        (&["max-age=1"], Scope::Absent),
        (&["private"], Scope::Whole),
        (&["private=\"\""], Scope::Whole),
        (&["private=x"], Scope::Whole),
        (&["private=\"A\""], names(&["a"])),
        (&["private=\"a , B\""], names(&["a", "b"])),
        (&["private=\"a\"", "private=\"b\""], names(&["a", "b"])),
        (&["private=\"a\", private"], Scope::Whole),
        (&["private, private=\"a\""], Scope::Whole),
    ];
    for (lines, scope) in cases {
        assert_eq!(response(lines).private, *scope, "{lines:?}");
        let no_cache: vec::Vec<_> = lines.iter().map(|line| line.replace("private", "no-cache")).collect();
        let no_cache: vec::Vec<_> = no_cache.iter().map(|line| &**line).collect();
        assert_eq!(response(&no_cache).no_cache, *scope, "{no_cache:?}");
    }
}

/// Every other directive sets its own field and no other.
#[test]
fn each_directive_sets_its_own_field() {
    let base = ResponseDirectives::default;
    let cases: [(&str, ResponseDirectives); 10] = [
        ("public", ResponseDirectives { public: true, ..base() }),
        ("must-revalidate", ResponseDirectives { must_revalidate: true, ..base() }),
        ("proxy-revalidate", ResponseDirectives { proxy_revalidate: true, ..base() }),
        ("must-understand", ResponseDirectives { must_understand: true, ..base() }),
        ("no-transform", ResponseDirectives { no_transform: true, ..base() }),
        ("immutable", ResponseDirectives { immutable: true, ..base() }),
        ("s-maxage=5", ResponseDirectives { s_maxage: Some(Duration::from_secs(5)), ..base() }),
        (
            "stale-while-revalidate=6",
            ResponseDirectives { stale_while_revalidate: Some(Duration::from_secs(6)), ..base() },
        ),
        ("stale-if-error=7", ResponseDirectives { stale_if_error: Some(Duration::from_secs(7)), ..base() }),
        ("nothing-to-see-here", base()),
    ];
    for (line, expected) in cases {
        assert_eq!(response(&[line]), expected, "{line}");
    }
}

/// `s-maxage` goes before `max-age`, whichever is longer.
#[test]
fn a_shared_cache_prefers_s_maxage() {
    assert_eq!(response(&["max-age=1, s-maxage=9"]).lifetime(), Some(Duration::from_secs(9)));
    assert_eq!(response(&["s-maxage=0, max-age=9"]).lifetime(), Some(Duration::ZERO));
    assert_eq!(response(&["max-age=9"]).lifetime(), Some(Duration::from_secs(9)));
}

/// Requests: each directive, and `Pragma` where nothing else speaks.
#[test]
fn request_directives_are_read() {
    let of = |name: &str, line: &str| RequestDirectives::of(&[(name, line)].into_iter().collect());
    let base = RequestDirectives::default;
    let second = Duration::from_secs(1);
    let cases = [
        ("no-cache", RequestDirectives { no_cache: true, ..base() }),
        ("no-store", RequestDirectives { no_store: true, ..base() }),
        ("only-if-cached", RequestDirectives { only_if_cached: true, ..base() }),
        ("max-age=1, max-age=2", RequestDirectives { max_age: Some(second), ..base() }),
        ("min-fresh=1, min-fresh=0", RequestDirectives { min_fresh: Some(second), ..base() }),
        ("max-stale", RequestDirectives { max_stale: Some(MaxStale::Any), ..base() }),
        ("max-stale, max-stale=1", RequestDirectives { max_stale: Some(MaxStale::Within(second)), ..base() }),
        ("max-stale=1, max-stale", RequestDirectives { max_stale: Some(MaxStale::Within(second)), ..base() }),
        (
            "max-stale=2, max-stale=1",
            RequestDirectives { max_stale: Some(MaxStale::Within(second)), ..base() },
        ),
        ("nothing-to-see-here", base()),
    ];
    for (line, expected) in cases {
        assert_eq!(of("cache-control", line), expected, "{line}");
    }
    assert!(of("pragma", "foo, No-Cache").no_cache);
    assert!(!of("pragma", "foo").no_cache);
    let both = [("pragma", "no-cache"), ("cache-control", "max-age=1")];
    assert!(!RequestDirectives::of(&both.into_iter().collect()).no_cache);
}

proptest! {
    /// Any bytes are read without a panic, and no number grows past the cap.
    #[test]
    fn any_bytes_are_read(line in prop::collection::vec(any::<u8>(), 0..80)) {
        let fields: Fields = [("cache-control", &line)].into_iter().collect();
        let (directives, _) = ResponseDirectives::of(&fields);
        prop_assert!(directives.lifetime().unwrap_or_default() <= Duration::from_secs(SECONDS_MAX));
        RequestDirectives::of(&fields);
    }

    /// A further member never lengthens a lifetime, whatever it is; order does not matter.
    #[test]
    fn more_directives_never_lengthen(ages in prop::collection::vec(0_u64..5000, 1..6)) {
        let members: vec::Vec<_> = ages.iter().map(|age| format!("max-age={age}")).collect();
        let smallest = ages.iter().min().copied().map(Duration::from_secs);
        prop_assert_eq!(response(&[&members.join(", ")]).max_age, smallest);
        let lines: vec::Vec<_> = members.iter().rev().map(|member| &**member).collect();
        prop_assert_eq!(response(&lines).max_age, smallest);
    }
}
