//! Ranges as tables, and against every length.

use super::*;
use proptest::prelude::*;

/// Field lines of a table.
type Lines<'t> = &'t [(&'t str, &'t str)];

/// 2026-11-21 00:00:00.
const NOW: WallTime = WallTime::from_unix_millis(1_795_219_200_000);
const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn get(fields: &[(&str, &str)]) -> RequestHead {
    RequestHead {
        method: Method::Get,
        authority: "host".into(),
        target: "/".into(),
        fields: fields.iter().copied().collect(),
    }
}

fn ok(fields: &[(&str, &str)]) -> Head {
    Head { status: 200, fields: fields.iter().copied().collect() }
}

fn of(range: &str, length: u64) -> Portion {
    portion(&get(&[("range", range)]), &ok(&[]), length, NOW)
}

fn one(first: u64, last: u64) -> Portion {
    Portion::One(ByteRange { first, last })
}

fn several(ranges: &[(u64, u64)]) -> Portion {
    Portion::Several(ranges.iter().map(|(first, last)| ByteRange { first: *first, last: *last }).collect())
}

/// Every form of one range, several, and those that are outside.
#[test]
fn ranges_are_cut_to_the_length() {
    let cases = [
        ("bytes=0-1", one(0, 1)),
        ("bytes=1-", one(1, 10)),
        ("bytes=-1", one(10, 10)),
        ("bytes=-99", one(0, 10)),
        ("bytes=0-99999999999999999999999", one(0, 10)),
        ("Bytes = 2-3", one(2, 3)),
        ("bytes=10-10", one(10, 10)),
        ("bytes=0-1, 20-30", one(0, 1)),
        ("bytes=5-6,0-1 , -2", several(&[(5, 6), (0, 1), (9, 10)])),
        ("bytes=0-5,5-9", several(&[(0, 5), (5, 9)])),
        ("bytes=0-,0-", Portion::Whole),
        ("bytes=11-", Portion::Unsatisfiable),
        ("bytes=-0", Portion::Unsatisfiable),
        ("bytes=11-12, 99-", Portion::Unsatisfiable),
        ("bytes=99999999999999999999999-", Portion::Unsatisfiable),
    ];
    for (range, expected) in cases {
        assert_eq!(of(range, 11), expected, "{range}");
    }
    assert_eq!(of("bytes=0-", 0), Portion::Unsatisfiable);
    assert_eq!(of("bytes=-5", 0), Portion::Whole);
    assert_eq!(of("bytes=-0", 0), Portion::Unsatisfiable);
}

/// A mistake, another unit, another method or status: no range at all.
#[test]
fn what_is_no_range_is_ignored() {
    for range in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=2-1",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=1 - 2",
        "bytes=0-1, x",
        "items=0-1",
        "bytes:0-1",
    ] {
        assert_eq!(of(range, 11), Portion::Whole, "{range:?}");
    }
    let twice = get(&[("range", "bytes=0-1"), ("range", "bytes=2-3")]);
    assert_eq!(portion(&twice, &ok(&[]), 11, NOW), Portion::Whole);
    assert_eq!(portion(&get(&[]), &ok(&[]), 11, NOW), Portion::Whole);
    let mut other = get(&[("range", "bytes=0-1")]);
    let missing = Head { status: 404, fields: Fields::new() };
    assert_eq!(portion(&other, &missing, 11, NOW), Portion::Whole);
    other.method = Method::Head;
    assert_eq!(portion(&other, &ok(&[]), 11, NOW), Portion::Whole);
}

/// Sixteen ranges are answered, seventeen are not.
#[test]
fn many_ranges_are_the_whole() {
    let ranges = |count: u64| {
        let specs: Vec<_> = (0..count).map(|at| format!("{at}-{at}")).collect();
        of(&format!("bytes={}", specs.join(",")), 100)
    };
    assert!(matches!(ranges(16), Portion::Several(found) if found.len() == 16));
    assert_eq!(ranges(17), Portion::Whole);
}

/// The very same strong tag, or the very same date when that is strong; all else is the whole.
#[test]
fn if_range_wants_a_strong_validator() {
    let dated = [("last-modified", OLD), ("date", NEW)];
    let cases: &[(&str, Lines<'_>, bool)] = &[
        ("\"a\"", &[("etag", "\"a\"")], true),
        ("\"b\"", &[("etag", "\"a\"")], false),
        ("W/\"a\"", &[("etag", "W/\"a\"")], false),
        ("\"a\"", &[("etag", "W/\"a\"")], false),
        ("\"a\"", &[], false),
        ("*", &[("etag", "\"a\"")], false),
        (OLD, &dated, true),
        ("Sunday, 06-Nov-94 08:49:37 GMT", &dated, true),
        (NEW, &dated, false),
        (OLD, &[("last-modified", OLD), ("date", OLD)], false),
        (OLD, &[("last-modified", OLD)], false),
    ];
    for (condition, fields, holds) in cases {
        let request = get(&[("range", "bytes=0-1"), ("if-range", condition)]);
        let expected = if *holds { one(0, 1) } else { Portion::Whole };
        assert_eq!(portion(&request, &ok(fields), 11, NOW), expected, "{condition} {fields:?}");
    }
    let twice = get(&[("range", "bytes=0-1"), ("if-range", "\"a\""), ("if-range", "\"a\"")]);
    assert_eq!(portion(&twice, &ok(&[("etag", "\"a\"")]), 11, NOW), Portion::Whole);
}

/// Heads say what follows them.
#[test]
fn heads_describe_the_part() {
    let stored =
        ok(&[("content-type", "a/b"), ("content-length", "11"), ("etag", "\"a\""), ("content-md5", "x")]);
    let partial = Head {
        status: 206,
        fields: [
            ("content-type", "a/b"),
            ("etag", "\"a\""),
            ("content-range", "bytes 2-5/11"),
            ("content-length", "4"),
        ]
        .into_iter()
        .collect(),
    };
    assert_eq!(partial_head(&stored, ByteRange { first: 2, last: 5 }, 11), partial);
    let unsatisfiable = Head {
        status: 416,
        fields: [("content-range", "bytes */11"), ("content-length", "0")].into_iter().collect(),
    };
    assert_eq!(unsatisfiable_head(11), unsatisfiable);
}

/// The pieces of a multipart answer, put together, are as long as its head says, and read as the RFC shows.
#[test]
fn multipart_pieces_fit_together() {
    let stored = ok(&[("content-type", "a/b"), ("content-length", "11")]);
    let ranges = [ByteRange { first: 0, last: 1 }, ByteRange { first: 9, last: 10 }];
    let found = multipart(&stored, &ranges, 11, 0xab);
    let body = b"0123456789A";
    let mut text = String::new();
    for (head, range) in &found.parts {
        let bytes = usize::try_from(range.first()).unwrap_or(0)..=usize::try_from(range.last()).unwrap_or(0);
        text += head;
        text += core::str::from_utf8(&body[bytes]).expect("digits are text");
    }
    text += &found.close;
    let boundary = "000000000000000000000000000000ab";
    let expected = format!(
        "\r\n--{boundary}\r\nContent-Type: a/b\r\nContent-Range: bytes 0-1/11\r\n\r\n01\
         \r\n--{boundary}\r\nContent-Type: a/b\r\nContent-Range: bytes 9-10/11\r\n\r\n9A\
         \r\n--{boundary}--\r\n"
    );
    assert_eq!(text, expected);
    let length = format!("{}", text.len());
    assert_eq!(found.head.fields.only("content-length"), Some(length.as_bytes()));
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    assert_eq!(found.head.fields.only("content-type"), Some(content_type.as_bytes()));
    assert_eq!(found.head.status, 206);
    let untyped = multipart(&ok(&[]), &ranges, 11, 1);
    assert!(!untyped.parts[0].0.contains("Content-Type"));
}

proptest! {
    /// Whatever is asked of whatever length, every part lies within it, and together they are no more than
    /// it.
    #[test]
    fn parts_lie_within(specs in prop::collection::vec("[0-9]{0,3}-[0-9]{0,3}", 1..20), length in 0_u64..1000) {
        let portion = of(&format!("bytes={}", specs.join(", ")), length);
        let ranges = match portion {
            Portion::One(range) => Vec::from([range]),
            Portion::Several(ranges) => ranges,
            Portion::Whole | Portion::Unsatisfiable => Vec::new(),
        };
        for range in &ranges {
            prop_assert!(range.first() <= range.last() && range.last() < length);
        }
        prop_assert!(ranges.iter().map(|range| range.length()).sum::<u64>() <= length);
    }

    /// One range gives exactly the bytes that slicing gives.
    #[test]
    fn one_range_is_a_slice(first in 0_u64..200, more in 0_u64..200, length in 1_u64..200) {
        let last = first + more;
        let expected = if first < length { one(first, last.min(length - 1)) } else { Portion::Unsatisfiable };
        prop_assert_eq!(of(&format!("bytes={first}-{last}"), length), expected);
        let suffix = one(length - length.min(more + 1), length - 1);
        prop_assert_eq!(of(&format!("bytes=-{}", more + 1), length), suffix);
    }
}
