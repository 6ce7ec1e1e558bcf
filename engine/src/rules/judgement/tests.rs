//! Whole responses, and what is said of them.

use super::*;
use crate::{
    language::{
        head::{Fields, Method},
        reason::NotStorable,
    },
    rules::{
        http_date,
        policy::{ClientDirectives, CookieHeuristic, NamedFields},
        reuse::{Credentials, Reuse, WhenStale},
        staleness::StaleWindows,
    },
};
use proptest::prelude::*;
use std::string::String;

/// 2026-11-21 00:00:00.
const NOW: WallTime = WallTime::from_unix_millis(1_795_219_200_000);
const TAG: (&str, &str) = ("etag", "\"a\"");
const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const COOKIE: (&str, &str) = ("set-cookie", "a=b");

fn ask(method: Method, fields: &[(&str, &str)]) -> RequestHead {
    RequestHead {
        method,
        authority: "host".into(),
        target: "/own?q".into(),
        fields: fields.iter().copied().collect(),
    }
}

fn head(status: u16, fields: &[(&str, &str)]) -> Head {
    Head { status, fields: fields.iter().copied().collect::<Fields>() }
}

fn of(policy: &Policy, request: &RequestHead, status: u16, fields: &[(&str, &str)]) -> Judgement {
    judge(policy, request, &head(status, fields), NOW, NOW)
}

/// What is said of storing an answer to a plain GET under the defaults.
fn stored(status: u16, fields: &[(&str, &str)]) -> Storable {
    of(&Policy::DEFAULT, &ask(Method::Get, &[]), status, fields).storable
}

fn cc(line: &str) -> [(&str, &str); 1] {
    [("cache-control", line)]
}

fn yesterday() -> String {
    http_date::format(NOW.before(Duration::from_secs(86_400)))
}

/// Every final status but parts is stored with an explicit lifetime.
#[test]
fn any_whole_response_with_a_lifetime_is_stored() {
    for status in [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599] {
        assert_eq!(stored(status, &[FRESH]), Storable::Yes, "{status}");
    }
    for status in [100, 103, 199, 206, 304] {
        assert_eq!(stored(status, &[FRESH, TAG]), Storable::No(NotStorable::Status), "{status}");
    }
}

/// Without an explicit lifetime: a guess or a validator, and a status that allows it; never a server's error
/// for its validator alone.
#[test]
fn without_a_lifetime_little_is_stored() {
    let modified = &*yesterday();
    let modified = ("last-modified", modified);
    let no = Storable::No(NotStorable::NoLifetime);
    assert_eq!(stored(200, &[]), no);
    assert_eq!(stored(200, &[("cache-control", "public")]), no);
    assert_eq!(stored(200, &[TAG]), Storable::Yes);
    for status in [200, 203, 204, 404, 405, 410, 414, 501] {
        assert_eq!(stored(status, &[modified]), Storable::Yes, "{status}");
    }
    for status in [201, 202, 403, 502, 503, 504, 599] {
        assert_eq!(stored(status, &[modified]), no, "{status}");
        assert_eq!(stored(status, &[TAG]), no, "{status}");
        assert_eq!(stored(status, &[modified, ("cache-control", "public")]), Storable::Yes, "{status}");
    }
    assert_eq!(stored(501, &[TAG]), no);
    assert_eq!(stored(503, &[TAG, ("cache-control", "max-age=0")]), no);
    assert_eq!(stored(503, &[TAG, ("cache-control", "public")]), no);
    assert_eq!(stored(503, &[modified, ("expires", "0")]), no);
}

/// A lifetime of zero is stored for its validator, or where the origin gives leave to use it stale.
#[test]
fn a_stale_response_must_be_of_use() {
    let no = Storable::No(NotStorable::NoLifetime);
    assert_eq!(stored(200, &cc("max-age=0")), no);
    assert_eq!(stored(200, &[TAG, ("cache-control", "max-age=0")]), Storable::Yes);
    assert_eq!(stored(403, &[TAG, ("cache-control", "max-age=0")]), Storable::Yes);
    assert_eq!(stored(200, &cc("max-age=0, stale-while-revalidate=9")), Storable::Yes);
    assert_eq!(stored(200, &cc("max-age=0, stale-if-error=9")), Storable::Yes);
    assert_eq!(stored(200, &cc("max-age=0, stale-if-error=0")), no);
    assert_eq!(stored(200, &cc("s-maxage=0, stale-if-error=9")), no);
    assert_eq!(stored(200, &cc("stale-if-error=9")), no);
}

/// What the origin forbids is not stored, whatever else it says.
#[test]
fn prohibitions_win() {
    let cases = [
        ("no-store, max-age=60", NotStorable::NoStore),
        ("private, max-age=60", NotStorable::Private),
        ("private=\"x\", max-age=60", NotStorable::Private),
        ("no-cache, max-age=60", NotStorable::NoCache),
        ("no-cache=\"x\", max-age=60", NotStorable::NoCache),
    ];
    for (line, why) in cases {
        assert_eq!(stored(200, &cc(line)), Storable::No(why), "{line}");
    }
    for (name, value, why) in
        [("vary", "foo, *", NotStorable::Vary), ("content-length", "x", NotStorable::Length)]
    {
        assert_eq!(stored(200, &[FRESH, (name, value)]), Storable::No(why), "{name}");
    }
    assert_eq!(
        stored(200, &[FRESH, ("content-length", "1"), ("content-length", "1")]),
        Storable::No(NotStorable::Length)
    );
    assert_eq!(stored(200, &[FRESH, ("pragma", "no-cache")]), Storable::Yes, "it says nothing of responses");
}

/// `no-cache` with a validator is stored, and asked about each time.
#[test]
fn no_cache_is_stored_for_revalidation() {
    for line in ["no-cache", "no-cache, max-age=60", "no-cache=\"x\""] {
        let found = of(&Policy::DEFAULT, &ask(Method::Get, &[]), 200, &[TAG, ("cache-control", line)]);
        assert_eq!(found.storable, Storable::Yes, "{line}");
        assert_eq!(found.staleness.reuse, Reuse::AfterRevalidation, "{line}");
        assert_eq!(found.staleness.when_stale, WhenStale::Forbidden, "{line}");
        assert_eq!(found.staleness.windows, StaleWindows::default(), "{line}");
    }
}

/// `must-understand` takes the place of `no-store` for statuses that are understood, and forbids the others.
#[test]
fn must_understand_is_understood() {
    let line = cc("max-age=60, no-store, must-understand");
    assert_eq!(stored(200, &line), Storable::Yes);
    assert_eq!(stored(404, &line), Storable::Yes);
    assert_eq!(stored(599, &line), Storable::No(NotStorable::NotUnderstood));
    assert_eq!(stored(299, &cc("max-age=60, must-understand")), Storable::No(NotStorable::NotUnderstood));
}

/// A response to credentials is shared only with the origin's leave (RFC 9111 section 3.5).
#[test]
fn credentials_are_not_shared() {
    let with = |line: &str| {
        let request = ask(Method::Get, &[("authorization", "x")]);
        of(&Policy::DEFAULT, &request, 200, &cc(line)).storable
    };
    let no = Storable::No(NotStorable::Authorization);
    assert_eq!(with("max-age=60"), no);
    assert_eq!(with("max-age=60, proxy-revalidate"), no);
    for leave in ["max-age=60, public", "max-age=60, must-revalidate", "s-maxage=60"] {
        assert_eq!(with(leave), Storable::Yes, "{leave}");
    }
}

/// Cookies follow an explicit lifetime, or the policy.
#[test]
fn cookies_follow_the_policy() {
    let with = |set_cookie, fields: &[(&str, &str)]| {
        let policy = Policy { set_cookie, ..Policy::DEFAULT };
        let found = of(&policy, &ask(Method::Get, &[]), 200, fields);
        (found.storable, found.left_out)
    };
    let no = Storable::No(NotStorable::SetCookie);
    let all = std::vec::Vec::new;
    assert_eq!(stored(200, &[FRESH, COOKIE]), no, "the default");
    assert_eq!(with(SetCookie::FollowLifetime, &[FRESH, COOKIE]), (Storable::Yes, all()));
    assert_eq!(with(SetCookie::FollowLifetime, &[TAG, COOKIE]), (no, all()));
    assert_eq!(with(SetCookie::Refuse, &[FRESH, COOKIE]), (no, all()));
    assert_eq!(with(SetCookie::Refuse, &[FRESH]), (Storable::Yes, all()));
    assert_eq!(with(SetCookie::LeaveOut, &[TAG, COOKIE]), (Storable::Yes, ["set-cookie".into()].into()));
}

/// What was asked for with a cookie is not guessed about, nor kept for the case of an error: it must say for
/// how long it is fresh, or that the origin is to be asked each time.
#[test]
fn what_a_cookie_brought_is_not_guessed_about() {
    let modified = &*yesterday();
    let modified = ("last-modified", modified);
    let with = |heuristic_with_cookie, fields: &[(&str, &str)]| {
        let policy = Policy { heuristic_with_cookie, ..Policy::DEFAULT };
        of(&policy, &ask(Method::Get, &[("cookie", "a=b")]), 200, fields).storable
    };
    let no = Storable::No(NotStorable::Cookie);
    let public = ("cache-control", "public");
    for fields in
        [&[modified][..], &[TAG], &[modified, public], &[modified, ("cache-control", "must-revalidate")]]
    {
        assert_eq!(with(CookieHeuristic::Refuse, fields), no, "{fields:?}");
        assert_eq!(with(CookieHeuristic::Allow, fields), Storable::Yes, "{fields:?}");
        assert_eq!(stored(200, fields), Storable::Yes, "without a cookie: {fields:?}");
    }
    for fields in [&[FRESH][..], &[("expires", modified.1), TAG], &[("cache-control", "no-cache"), TAG]] {
        assert_eq!(with(CookieHeuristic::Refuse, fields), Storable::Yes, "{fields:?}");
    }
}

/// Named fields are left out where the policy reads names; the rest is stored.
#[test]
fn named_fields_may_be_left_out() {
    let policy = Policy { named_fields: NamedFields::LeaveOut, ..Policy::DEFAULT };
    let line = cc("max-age=60, private=\"b, a\", no-cache=\"A\"");
    let found = of(&policy, &ask(Method::Get, &[]), 200, &line);
    assert_eq!(found.storable, Storable::Yes);
    assert_eq!(found.staleness.reuse, Reuse::WhileFresh);
    assert_eq!(found.left_out, ["a".into(), "b".into()]);
    let whole = of(&policy, &ask(Method::Get, &[]), 200, &cc("max-age=60, private"));
    assert_eq!(whole.storable, Storable::No(NotStorable::Private));
}

/// A POST's answer is what a GET would get only when it says so, and says for how long; other methods' never
/// are.
#[test]
fn post_must_name_its_own_target() {
    let post = |status, fields: &[(&str, &str)]| {
        of(&Policy::DEFAULT, &ask(Method::Post, &[]), status, fields).storable
    };
    let no = Storable::No(NotStorable::Method);
    for own in ["", "/own?q", "own?q", "http://host/own?q", "https://HOST:443/own?q#x"] {
        assert_eq!(post(200, &[FRESH, ("content-location", own)]), Storable::Yes, "{own:?}");
    }
    for other in ["/own", "/other", "http://other/own?q", "mailto:x"] {
        assert_eq!(post(200, &[FRESH, ("content-location", other)]), no, "{other:?}");
    }
    assert_eq!(post(200, &[FRESH]), no);
    assert_eq!(post(200, &[TAG, ("content-location", "")]), no);
    for method in [Method::Head, Method::OtherSafe, Method::Other] {
        let found = of(&Policy::DEFAULT, &ask(method, &[]), 200, &[FRESH, ("content-location", "")]);
        assert_eq!(found.storable, no, "{method:?}");
    }
}

/// A client's `no-store` counts where clients are obeyed.
#[test]
fn a_clients_no_store_counts_by_choice() {
    let request = ask(Method::Get, &cc("no-store"));
    let obey = Policy { client_directives: ClientDirectives::Obey, ..Policy::DEFAULT };
    assert_eq!(of(&obey, &request, 200, &[FRESH]).storable, Storable::No(NotStorable::RequestNoStore));
    assert_eq!(of(&Policy::DEFAULT, &request, 200, &[FRESH]).storable, Storable::Yes);
}

/// `CDN-Cache-Control` decides alone when it is valid (RFC 9213).
#[test]
fn the_targeted_field_decides() {
    let with = |targeted: &'static str, line: &'static str| {
        stored(200, &[("cdn-cache-control", targeted), ("cache-control", line)])
    };
    assert_eq!(with("max-age=60", "no-store"), Storable::Yes);
    assert_eq!(with("private", "max-age=60"), Storable::No(NotStorable::Private));
    assert_eq!(with("no-store", "max-age=60"), Storable::No(NotStorable::NoStore));
    assert_eq!(with("no-cache", "max-age=60"), Storable::No(NotStorable::NoCache));
    for invalid in ["max-age=60, &&&&&", "max-age=\"60\""] {
        assert_eq!(with(invalid, "no-store"), Storable::No(NotStorable::NoStore), "{invalid}");
        assert_eq!(with(invalid, "max-age=60"), Storable::Yes, "{invalid}");
    }
}

/// All parts of an answer at once.
#[test]
fn a_judgement_has_all_parts() {
    let fields = [
        ("cache-control", "max-age=60, stale-while-revalidate=5, stale-if-error=6"),
        ("age", "7"),
        ("vary", "Foo"),
    ];
    let found = judge(
        &Policy::DEFAULT,
        &ask(Method::Get, &[]),
        &head(200, &fields),
        NOW.before(Duration::from_secs(2)),
        NOW,
    );
    let expected = Judgement {
        storable: Storable::Yes,
        lifetime: Lifetime::Explicit(Duration::from_secs(60)),
        initial_age: Duration::from_secs(9),
        staleness: Staleness {
            windows: StaleWindows {
                while_revalidate: Duration::from_secs(5),
                if_error: Duration::from_secs(6),
            },
            reuse: Reuse::WhileFresh,
            when_stale: WhenStale::Allowed,
            credentials: Credentials::Apart,
        },
        vary: Vary::Fields(["foo".into()].into()),
        left_out: std::vec::Vec::new(),
    };
    assert_eq!(found, expected);
}

const LINES: [&str; 14] = [
    "no-store",
    "no-cache",
    "private",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "max-age=0",
    "max-age=9",
    "s-maxage=0",
    "s-maxage=9",
    "stale-while-revalidate=9",
    "stale-if-error=9",
    "no-cache=\"x\"",
];

proptest! {
    /// In any mixture: a prohibition holds, what forbids staleness leaves no window, and what is stored is of
    /// use.
    #[test]
    fn mixtures_keep_their_prohibitions(
        picked in prop::collection::vec(prop::sample::select(&LINES[..]), 0..6),
        status in prop::sample::select(&[200_u16, 206, 299, 404, 500, 503][..]),
        tagged in any::<bool>(),
    ) {
        let line = picked.join(", ");
        let fields = [("cache-control", &*line), TAG];
        let fields = &fields[..if tagged { 2 } else { 1 }];
        let found = of(&Policy::DEFAULT, &ask(Method::Get, &[]), status, fields);
        let has = |name: &str| picked.contains(&name);
        let is_stored = found.storable == Storable::Yes;
        prop_assert!(!is_stored || !has("private"));
        prop_assert!(!is_stored || !has("no-store") || has("must-understand"));
        prop_assert!(!is_stored || status != 206);
        prop_assert!(!is_stored || tagged || !found.lifetime.span().is_zero() || found.staleness.windows != StaleWindows::default());
        prop_assert!(!is_stored || status < 500 || !found.lifetime.span().is_zero());
        let strict = ["no-cache", "must-revalidate", "proxy-revalidate", "s-maxage=0", "s-maxage=9"];
        if strict.iter().any(|name| has(name)) {
            prop_assert_eq!(found.staleness.windows, StaleWindows::default());
            prop_assert_eq!(found.staleness.when_stale, WhenStale::Forbidden);
        }
        prop_assert_eq!(found.staleness.reuse == Reuse::AfterRevalidation, picked.iter().any(|line| line.starts_with("no-cache")));
    }

    /// Any bytes in any field are judged without a panic.
    #[test]
    fn any_bytes_are_judged(fields in prop::collection::vec(
        (prop::sample::select(&["cache-control", "cdn-cache-control", "expires", "date", "age", "vary", "last-modified", "etag", "content-location", "content-length"][..]),
         prop::collection::vec(any::<u8>(), 0..24)), 0..8), millis in any::<u64>()) {
        let head = Head { status: 200, fields: fields.into_iter().collect() };
        let at = WallTime::from_unix_millis(millis);
        for method in [Method::Get, Method::Post] {
            let found = judge(&Policy::DEFAULT, &ask(method, &[]), &head, NOW, at);
            prop_assert!(found.lifetime.span() <= Duration::from_secs(1 << 31));
        }
    }
}
