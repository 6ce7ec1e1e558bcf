//! Which requests find which variant.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const TARGET: CacheKey = CacheKey(7);

fn vary(lines: &[&str]) -> Vary {
    Vary::of(&Head { status: 200, fields: lines.iter().map(|line| ("vary", *line)).collect() })
}

fn names(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

fn key_of(vary: &[&str], lines: &[(&str, &str)]) -> CacheKey {
    variant_key(TARGET, &names(vary), &lines.iter().copied().collect())
}

/// A star anywhere, or what is no name, is a star; names lose case, order and doubles.
#[test]
fn a_star_in_any_form_is_a_star() {
    for lines in [
        &["*"][..],
        &["*, *"],
        &["*", "*"],
        &[", *"],
        &["", "*"],
        &["*, Foo"],
        &["Foo, *"],
        &["Foo Bar"],
        &["\u{fc}"],
    ] {
        assert_eq!(vary(lines), Vary::Anything, "{lines:?}");
    }
    for lines in [&[][..], &[""], &[" , "]] {
        assert_eq!(vary(lines), Vary::Nothing, "{lines:?}");
    }
    assert_eq!(vary(&["Foo, BAR", "foo"]), Vary::Fields(names(&["bar", "foo"])));
    let many: Vec<_> = (0..33).map(|n| std::format!("x{n}")).collect();
    assert_eq!(vary(&[&many.join(",")]), Vary::Anything);
    assert!(matches!(vary(&[&many[..32].join(",")]), Vary::Fields(_)));
}

/// Only what `Vary` names counts, and absent is not empty.
#[test]
fn only_named_fields_count() {
    let foo = key_of(&["foo"], &[("foo", "1")]);
    assert_eq!(foo, key_of(&["foo"], &[("foo", "1"), ("other", "2")]));
    for others in [&[("foo", "2")][..], &[], &[("foo", "")], &[("foo", "1"), ("foo", "2")], &[("bar", "1")]] {
        assert_ne!(foo, key_of(&["foo"], others), "{others:?}");
    }
    assert_ne!(key_of(&["foo"], &[]), key_of(&["foo"], &[("foo", "")]));
    assert_eq!(key_of(&[], &[("foo", "1")]), TARGET);
    assert_ne!(foo, variant_key(CacheKey(8), &names(&["foo"]), &[("foo", "1")].into_iter().collect()));
    let both = ["bar", "foo"];
    assert_ne!(key_of(&both, &[("foo", "1"), ("bar", "2")]), key_of(&both, &[("foo", "2"), ("bar", "1")]));
    assert_eq!(key_of(&both, &[("foo", "1")]), key_of(&both, &[("foo", "1"), ("baz", "2")]));
}

/// Values that mean the same find the same variant; all of a row differ from all of the other rows.
#[test]
fn values_are_normalised() {
    let rows: &[(&str, &[&[&[&str]]])] = &[
        (
            "foo",
            &[
                &[&["1, 2"], &["1", "2"], &["1,2"], &[" 1 ,  2 "], &["1,,2", ""]],
                &[&["2, 1"]],
                &[&["1 2"]],
                &[&["\"1, 2\""]],
                &[&["\"1,2\""]],
                &[&["A"]],
                &[&["a"]],
            ],
        ),
        (
            "accept-language",
            &[
                &[
                    &["en, de"],
                    &["de, en"],
                    &["eN, De"],
                    &[" en ,   de"],
                    &["en", "de"],
                    &["de;q=1.000, en; q=1, en"],
                ],
                &[&["en, de;q=0.5"], &["de; Q=0.50, en"]],
                &[&["en;q=0.5, de"]],
                &[&["en"]],
                &[&["en;q=0"]],
                &[&["en;q=2"]],
                &[&["*"]],
            ],
        ),
        (
            "accept-encoding",
            &[
                &[
                    &["gzip, br"],
                    &["br, gzip"],
                    &["br;q=0.1", "X-GZip"],
                    &["gzip, br, identity"],
                    &["gzip,br,zstd;q=0"],
                ],
                &[&["gzip"], &["gzip;q=0.5, identity;q=0.1"]],
                &[&["gzip, identity;q=0"], &["gzip, *;q=0"]],
                &[&["identity"], &[""], &["gzip;q=0"]],
                &[&["*"]],
                &[&["*, gzip;q=0"]],
                &[&["*;q=0"]],
                &[&["gzip, *"]],
            ],
        ),
    ];
    for (name, rows) in rows {
        let mut keys: Vec<Vec<CacheKey>> = Vec::new();
        for row in *rows {
            let row_keys: Vec<_> = row
                .iter()
                .map(|lines| key_of(&[name], &lines.iter().map(|line| (*name, *line)).collect::<Vec<_>>()))
                .collect();
            assert!(row_keys.iter().all(|key| *key == row_keys[0]), "{name}: {row:?}");
            assert!(keys.iter().all(|other| other[0] != row_keys[0]), "{name}: {row:?}");
            keys.push(row_keys);
        }
    }
}

/// Which language a request likes best, if it is one.
#[test]
fn one_language_is_liked_best() {
    let cases: &[(&[&str], Option<&str>)] = &[
        (&["de"], Some("de")),
        (&["fr;q=0.5, de;q=1.0"], Some("de")),
        (&["fr;q=0.5", "DE"], Some("de")),
        (&["de-CH, de;q=0.9, *;q=0.1"], Some("de-ch")),
        (&["fr;q=0.2, de;q=0.3"], Some("de")),
        (&["de, de"], Some("de")),
        (&["en, de"], None),
        (&["*, de;q=0.5"], None),
        (&["*, de"], None),
        (&["de;q=0"], None),
        (&[""], None),
        (&[], None),
    ];
    for (lines, expected) in cases {
        let request: Fields = lines.iter().map(|line| ("accept-language", *line)).collect();
        assert_eq!(liked_best(&request).as_deref(), *expected, "{lines:?}");
    }
    let said = |lines: &[&str]| {
        let fields = lines.iter().map(|line| ("content-language", *line)).collect();
        language_of(&Head { status: 200, fields })
    };
    assert_eq!(said(&["De"]).as_deref(), Some("de"));
    for none in [&[][..], &[""], &["de, en"], &["de", "en"]] {
        assert_eq!(said(none), None, "{none:?}");
    }
}

/// A language's key is nobody's own, depends on all other fields, and is there only where languages count.
#[test]
fn a_language_has_a_key_of_its_own() {
    let both = names(&["accept-language", "foo"]);
    let key = |foo, language| {
        let request = [("accept-language", "en, de"), ("foo", foo)].into_iter().collect();
        language_key(TARGET, &both, &request, language).expect("languages count")
    };
    assert_eq!(key("1", "de"), key("1", "de"));
    for other in [
        key("2", "de"),
        key("1", "en"),
        key_of(&["accept-language", "foo"], &[("accept-language", "de"), ("foo", "1")]),
    ] {
        assert_ne!(key("1", "de"), other);
    }
    assert_eq!(language_key(TARGET, &names(&["foo"]), &Fields::new(), "de"), None);
}

proptest! {
    /// Without commas, quotes and blanks there is nothing to normalise: two values share a key only if they
    /// are equal.
    #[test]
    fn different_values_have_different_keys(one in "[a-zA-Z0-9=;/]{1,12}", other in "[a-zA-Z0-9=;/]{1,12}") {
        let same = key_of(&["foo"], &[("foo", &one)]) == key_of(&["foo"], &[("foo", &other)]);
        prop_assert_eq!(same, one == other);
    }

    /// The order of what is accepted is nothing, whatever is accepted; nor is it an error.
    #[test]
    fn order_is_nothing(members in prop::collection::vec("[a-c*]{1,2}(;q=(0|1|0\\.[0-9]{0,4}))?", 0..5)) {
        let reversed: Vec<_> = members.iter().rev().map(|member| &**member).collect();
        let name = "accept-language";
        let there = key_of(&[name], &[(name, &members.join(", "))]);
        let back = key_of(&[name], &[(name, &reversed.join(","))]);
        prop_assert_eq!(there, back);
    }
}
