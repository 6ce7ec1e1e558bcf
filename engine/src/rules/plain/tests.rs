//! The rules as a table.

use super::{PlainJudgement, judge_plain};
use crate::{
    head::{Fields, Head},
    reason::{NotStorable, Storable},
};
use core::time::Duration;

fn judged(status: u16, fields: &[(&str, &str)]) -> PlainJudgement {
    judge_plain(&Head { status, fields: fields.iter().copied().collect::<Fields>() })
}

/// Each directive, alone and against others.
#[test]
fn directives_decide_storing() {
    let yes = |seconds| (Storable::Yes, seconds);
    let no = |why| (Storable::No(why), 0);
    let cases: &[(&str, (Storable, u64))] = &[
        ("max-age=60", yes(60)),
        ("MAX-AGE=60", yes(60)),
        ("max-age=\"60\"", yes(60)),
        ("public, max-age=60 , s-maxage=5", yes(5)),
        ("max-age=60, max-age=30", yes(30)),
        ("max-age=99999999999999999999", yes(1 << 31)),
        ("x=\"a, no-store\", max-age=7", yes(7)),
        ("no-store, max-age=60", no(NotStorable::NoStore)),
        ("private, max-age=60", no(NotStorable::Private)),
        ("private=\"set-cookie\", max-age=60", no(NotStorable::Private)),
        ("no-cache, max-age=60", no(NotStorable::NoCache)),
        ("max-age=0", no(NotStorable::NoLifetime)),
        ("s-maxage=0, max-age=60", no(NotStorable::NoLifetime)),
        ("max-age=1.5", no(NotStorable::NoLifetime)),
        ("max-age=-1", no(NotStorable::NoLifetime)),
        ("max-age", no(NotStorable::NoLifetime)),
        ("", no(NotStorable::NoLifetime)),
    ];
    for (line, (storable, lifetime)) in cases {
        let judgement = judged(200, &[("Cache-Control", line)]);
        assert_eq!(judgement.storable, *storable, "{line}");
        if *storable == Storable::Yes {
            assert_eq!(judgement.lifetime, Duration::from_secs(*lifetime), "{line}");
        }
    }
}

/// Only whole, final responses are stored, whatever their lifetime.
#[test]
fn statuses_decide_storing() {
    for status in 100..600 {
        let stored = judged(status, &[("cache-control", "max-age=9")]).storable == Storable::Yes;
        let expected = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501].contains(&status);
        assert_eq!(stored, expected, "{status}");
    }
}

/// A response that depends on request fields is not stored under the plain key.
#[test]
fn vary_is_not_stored() {
    let judgement = judged(200, &[("cache-control", "max-age=9"), ("Vary", "accept")]);
    assert_eq!(judgement.storable, Storable::No(NotStorable::Vary));
}

/// Two lengths, or no number, are refused.
#[test]
fn contradictory_lengths_are_not_stored() {
    for lengths in [&["1", "2"][..], &["x"], &["-1"]] {
        let lines = lengths.iter().map(|length| ("content-length", *length));
        let fields = lines.chain([("cache-control", "max-age=9")]).collect::<Fields>();
        let judgement = judge_plain(&Head { status: 200, fields });
        assert_eq!(judgement.storable, Storable::No(NotStorable::Length), "{lengths:?}");
    }
}

/// `Age`: the first member, if a number.
#[test]
fn age_is_the_first_number() {
    for (line, age) in
        [("5", 5), ("5, 9", 5), (" 7 ", 7), ("x", 0), ("-3", 0), ("", 0), ("4294967296", 1 << 31)]
    {
        let judgement = judged(200, &[("age", line)]);
        assert_eq!(judgement.age, Duration::from_secs(age), "{line:?}");
    }
}
