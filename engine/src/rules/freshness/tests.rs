//! Lifetimes, ages and windows, as tables around one moment.

use super::*;
use crate::language::head::Fields;
use crate::rules::staleness::StaleWindows;
use proptest::prelude::*;
use std::{string::String, vec::Vec};

/// 2026-11-21 00:00:00.
const NOW: WallTime = WallTime::from_unix_millis(1_795_219_200_000);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A date `offset` seconds from now.
fn at(offset: i64) -> String {
    let span = secs(offset.unsigned_abs());
    http_date::format(if offset < 0 { NOW.before(span) } else { NOW.after(span) })
}

fn head(status: u16, fields: &[(&str, &str)]) -> Head {
    Head { status, fields: fields.iter().copied().collect::<Fields>() }
}

fn lifetime(head: &Head) -> Lifetime {
    let (directives, source) = ResponseDirectives::of(&head.fields);
    Lifetime::of(&Policy::DEFAULT, (&directives, source), head, NOW)
}

/// `max-age` before `Expires`, `Expires` against `Date` and not against our clock, several or wrong ones
/// expired.
#[test]
fn explicit_lifetimes() {
    let (past, now, soon, later) = (&*at(-100), &*at(0), &*at(300), &*at(400));
    let cases: &[(&[(&str, &str)], u64)] = &[
        (&[("cache-control", "max-age=5"), ("expires", later)], 5),
        (&[("cache-control", "max-age=5, s-maxage=9")], 9),
        (&[("cache-control", "max-age=x"), ("expires", later)], 0),
        (&[("expires", soon), ("date", now)], 300),
        (&[("expires", soon), ("date", later)], 0),
        (&[("expires", past), ("date", now)], 0),
        (&[("expires", now), ("date", now)], 0),
        (&[("expires", soon), ("date", past)], 400),
        (&[("expires", soon)], 300),
        (&[("expires", soon), ("date", "foo")], 300),
        (&[("expires", "0"), ("date", now)], 0),
        (&[("expires", soon), ("expires", soon), ("date", now)], 0),
        (&[("expires", "Fri, 31 Dec 9999 23:59:59 GMT"), ("date", now)], 1 << 31),
        (&[("cdn-cache-control", "max-age=7"), ("cache-control", "max-age=1"), ("expires", "0")], 7),
        (&[("cdn-cache-control", "max-age=7, &"), ("cache-control", "max-age=1")], 1),
    ];
    for (fields, expected) in cases {
        assert_eq!(lifetime(&head(503, fields)), Lifetime::Explicit(secs(*expected)), "{fields:?}");
    }
}

/// A tenth of the time since the last change, for the statuses of RFC 9110 section 15.1 or with `public`, at
/// most a day.
#[test]
fn guessed_lifetimes() {
    let changed = |offset| [("date", at(0)), ("last-modified", at(offset))];
    let guess = |status, offset| {
        let fields = changed(offset);
        let fields = fields.iter().map(|(name, value)| (*name, &**value)).collect::<Vec<_>>();
        lifetime(&head(status, &fields))
    };
    assert_eq!(guess(200, -24 * 3600), Lifetime::Heuristic(secs(8640)));
    assert_eq!(guess(200, -5), Lifetime::Heuristic(Duration::from_millis(500)));
    assert_eq!(guess(200, -100 * 24 * 3600), Lifetime::Heuristic(secs(24 * 3600)));
    assert_eq!(guess(200, 50), Lifetime::Heuristic(Duration::ZERO));
    for status in 200..600 {
        let guessed = guess(status, -100) == Lifetime::Heuristic(secs(10));
        let listed = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501].contains(&status);
        assert_eq!(guessed, listed, "{status}");
    }
    let modified = &*at(-100);
    let public = head(599, &[("cache-control", "public"), ("last-modified", modified)]);
    assert_eq!(lifetime(&public), Lifetime::Heuristic(secs(10)));
    assert_eq!(lifetime(&head(200, &[("last-modified", "x")])), Lifetime::Unknown);
    assert_eq!(lifetime(&head(200, &[("etag", "\"x\"")])), Lifetime::Unknown);
    let targeted =
        head(200, &[("cdn-cache-control", "foo"), ("expires", &at(9)), ("last-modified", modified)]);
    assert_eq!(lifetime(&targeted), Lifetime::Heuristic(secs(10)));
    let off = Policy { heuristic: Heuristic::Off, ..Policy::DEFAULT };
    let directives = ResponseDirectives::default();
    assert_eq!(
        Lifetime::of(&off, (&directives, DirectiveSource::Untargeted), &public, NOW),
        Lifetime::Unknown
    );
}

/// The larger of what `Date` shows and what `Age` says, the journey counted with the latter.
#[test]
fn ages() {
    let (past, future) = (&*at(-100), &*at(10));
    let cases: &[(&[(&str, &str)], u64)] = &[
        (&[], 0),
        (&[("age", "5")], 5),
        (&[("age", " 5 , 9")], 5),
        (&[("age", "7200"), ("age", "0")], 7200),
        (&[("age", "0"), ("age", "7200")], 0),
        (&[("age", "x")], 0),
        (&[("age", "-3")], 0),
        (&[("age", "7200.0")], 0),
        (&[("age", "7200;foo=1")], 0),
        (&[("age", "4294967296")], 1 << 31),
        (&[("date", past)], 100),
        (&[("date", past), ("age", "5")], 100),
        (&[("date", past), ("age", "500")], 500),
        (&[("date", future), ("age", "15")], 15),
        (&[("date", "foo")], 0),
    ];
    for (fields, expected) in cases {
        assert_eq!(initial_age(&head(200, fields), NOW, NOW), secs(*expected), "{fields:?}");
    }
    let slow = |fields: &[(&str, &str)]| initial_age(&head(200, fields), NOW.before(secs(3)), NOW);
    assert_eq!(slow(&[]), secs(3));
    assert_eq!(slow(&[("age", "5")]), secs(8));
    assert_eq!(slow(&[("age", "5"), ("date", past)]), secs(100));
    // Nine tenths of a second are no age: `Date` was cut by as much.
    let date = &*at(0);
    let later = NOW.after(Duration::from_millis(900));
    assert_eq!(initial_age(&head(200, &[("date", date)]), later, later), Duration::ZERO);
}

/// What the origin says, else the policy, and nothing where staleness is forbidden.
#[test]
fn stale_windows() {
    let policy = Policy { stale_if_error: secs(60), stale_while_revalidate: secs(7), ..Policy::DEFAULT };
    let windows = |status, line: &str| {
        let head = head(status, &[("cache-control", line)]);
        let found = StaleWindows::of(&policy, &ResponseDirectives::of(&head.fields).0, status);
        (found.while_revalidate.as_secs(), found.if_error.as_secs())
    };
    assert_eq!(windows(200, "max-age=1"), (7, 60));
    assert_eq!(windows(200, "stale-while-revalidate=3, stale-if-error=4"), (3, 4));
    assert_eq!(windows(200, "stale-while-revalidate=0, stale-if-error=0"), (0, 0));
    assert_eq!(windows(200, "stale-if-error=x"), (7, 0));
    assert_eq!(windows(503, "max-age=1"), (7, 0));
    assert_eq!(windows(503, "stale-if-error=4"), (7, 4));
    for forbids in ["no-cache", "must-revalidate", "proxy-revalidate", "s-maxage=9"] {
        let line = std::format!("{forbids}, stale-while-revalidate=3, stale-if-error=4");
        assert_eq!(windows(200, &line), (0, 0), "{forbids}");
    }
    assert_eq!(
        windows(200, "no-cache=\"a\", stale-if-error=4"),
        (7, 4),
        "the policy leaves the named fields out"
    );
}

proptest! {
    /// A response is never younger than `Age` says, nor than its journey was long; and a longer journey never
    /// makes it younger.
    #[test]
    fn age_never_shrinks(age in 0_u64..100_000, date in -10_000_i64..10_000, delay in 0_u64..100_000, more in 0_u64..1000) {
        let (age_text, date) = (std::format!("{age}"), at(date));
        let head = head(200, &[("age", &age_text), ("date", &date)]);
        let received = NOW.after(secs(delay + more));
        let short = initial_age(&head, NOW.after(secs(more)), received);
        let long = initial_age(&head, NOW, received);
        prop_assert!(short >= secs(age + delay));
        prop_assert!(long >= short);
    }

    /// A guess is never longer than a tenth of what the response has lasted, nor than the policy's bound.
    #[test]
    fn guesses_are_bounded(changed in -10_000_000_i64..1000, longest in 0_u64..100_000) {
        let policy = Policy { heuristic: Heuristic::Tenth { longest: secs(longest) }, ..Policy::DEFAULT };
        let (date, modified) = (at(0), at(changed));
        let head = head(200, &[("date", &date), ("last-modified", &modified)]);
        let guess = Lifetime::of(&policy, (&ResponseDirectives::default(), DirectiveSource::Untargeted), &head, NOW).span();
        prop_assert!(guess <= secs(longest));
        prop_assert!(guess * 10 <= secs(changed.min(0).unsigned_abs()));
    }
}
