//! Which `CDN-Cache-Control` counts, and what it says.

use super::*;
use proptest::prelude::*;
use std::format;

fn of(lines: &[&str]) -> Option<ResponseDirectives> {
    targeted(&lines.iter().map(|line| ("cdn-cache-control", *line)).collect())
}

fn age(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

/// Valid fields speak; what a later member says replaces an earlier one.
#[test]
fn a_valid_field_speaks() {
    let cases: &[(&[&str], Option<Duration>)] = &[
        (&["max-age=3600"], age(3600)),
        (&["max-age=0"], age(0)),
        (&["max-age=-5"], age(0)),
        (&["max-age=99999999999"], age(1 << 31)),
        (&["foobar, max-age=3600"], age(3600)),
        (&["max-age=3600;x=1;y"], age(3600)),
        (&["max-age=1", "max-age=2"], age(2)),
        (&["  a=(1 \"x\";q  b) ,\tmax-age=7  "], age(7)),
        (&["a=1.5, b=tok/en:x, c=:YWI=:, d=?0, e=@17, f=%\"%c3%bc\", max-age=7"], age(7)),
        (&["foo"], None),
    ];
    for (lines, max_age) in cases {
        assert_eq!(of(lines).expect("the table's fields are valid").max_age, *max_age, "{lines:?}");
    }
    assert!(of(&["no-store"]).is_some_and(|found| found.no_store));
    assert!(of(&["no-store=?0"]).is_some_and(|found| !found.no_store));
    assert_eq!(of(&["private"]).map(|found| found.private), Some(Scope::Whole));
    assert_eq!(
        of(&["no-cache=\"A, b\""]).map(|found| found.no_cache),
        Some(Scope::Fields(["a".into(), "b".into()].into()))
    );
}

/// One mistake, or a directive of the wrong type, voids the field.
#[test]
fn an_invalid_field_is_ignored_whole() {
    for line in [
        "",
        "   ",
        "max-age=10000, &&&&&",
        "max-age=\"10000\"",
        "max-age=10.0",
        "max-age",
        "max-age=x",
        "no-store=1",
        "private=x",
        "max-age =100",
        "max-age= 100",
        "MaX-aGe=3600",
        "max-age=1,",
        ",max-age=1",
        "max-age=1 b",
        "max-age=1234567890123456",
        "max-age=1, a=1.2345",
        "max-age=1, a=(1",
        "max-age=1, a=(1\"x\")",
        "max-age=1, a=\"x",
        "max-age=1, a=\"\\x\"",
        "max-age=1, a=\"\u{fc}\"",
        "max-age=1, a=?2",
        "max-age=1, a=@1.5",
        "max-age=1, a=:!:",
        "max-age=1, a=%\"%C3\"",
        "max-age=1, a=%\"%c3\"",
        "max-age=1;",
        "\tmax-age=1",
    ] {
        assert_eq!(of(&[line]), None, "{line:?}");
    }
    assert_eq!(of(&[]), None);
}

proptest! {
    /// Any bytes are read or refused, without a panic.
    #[test]
    fn any_bytes_end(line in prop::collection::vec(prop::sample::select(&b"a=1,;( )\"\\?@%:.-\xff"[..]), 0..40)) {
        Parser::dictionary(&line);
    }

    /// What is written down as a dictionary is read back.
    #[test]
    fn integers_come_back(members in prop::collection::btree_map("[a-z*][a-z0-9_.*-]{0,8}", -999_999_999_999_999_i64..=999_999_999_999_999, 1..6)) {
        let text = members.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ");
        let expected: Vec<_> = members.into_iter().map(|(name, value)| (name, Value::Integer(value))).collect();
        prop_assert_eq!(Parser::dictionary(text.as_bytes()), Some(expected));
    }
}
