//! Dates as tables, and there and back.

use super::*;
use proptest::prelude::*;
use std::{string::ToString, vec::Vec};

/// 2026-11-21 00:00:00.
const NOW: WallTime = WallTime::from_unix_millis(1_795_219_200_000);

fn seconds(text: &str) -> Option<u64> {
    parse(text.as_bytes(), NOW).map(|time| time.as_unix_millis() / 1000)
}

/// The RFC's own example in its three formats, names in any case, a wrong weekday, a leap second, the far
/// future.
#[test]
fn three_formats_are_read() {
    let cases: &[(&str, u64)] = &[
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        (" Sun, 06 Nov 1994 08:49:37 GMT ", 784_111_777),
        ("sUN, 06 nOV 1994 08:49:37 gMT", 784_111_777),
        ("SUNDAY, 06-NOV-94 08:49:37 gmt", 784_111_777),
        ("Mon, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Thu Aug  8 02:01:18 2050", 2_543_536_878),
        ("Thu Aug 18 02:01:18 2050", 2_544_400_878),
        ("Thursday, 18-Aug-50 02:01:18 GMT", 2_544_400_878),
        ("Tue, 19 Jan 2038 14:14:08 GMT", 2_147_523_248),
        ("Sun, 21 Nov 2286 04:46:39 GMT", 10_000_039_599),
        ("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0),
    ];
    for (text, expected) in cases {
        assert_eq!(seconds(text), Some(*expected), "{text}");
    }
}

/// What is not exactly one of the three is no date.
#[test]
fn anything_else_is_no_date() {
    for text in [
        "",
        "0",
        "foo",
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 AEST",
        "Thu, 18 Aug 2050 02:01:18",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 8 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT+1",
        "Thu, 18 Aug 2050 02:01:18 GMT GMT",
        "Thu, 18 August 2050 02:01:18 GMT",
        "Foo, 18 Aug 2050 02:01:18 GMT",
        "Thu, 00 Aug 2050 02:01:18 GMT",
        "Thu, 32 Aug 2050 02:01:18 GMT",
        "Thu, 31 Apr 2050 02:01:18 GMT",
        "Thu, 29 Feb 2023 02:01:18 GMT",
        "Thu, 29 Feb 1900 02:01:18 GMT",
        "Thu, 18 Aug 2050 24:00:00 GMT",
        "Thu, 18 Aug 2050 02:60:18 GMT",
        "Thu, 18 Aug 2050 02:01:61 GMT",
        "Thu, 18-Aug-50 02:01:18 GMT",
        "Thursday, 18 Aug 2050 02:01:18 GMT",
        "Thu Aug 8 02:01:18 2050",
        "Thu Aug  8 02:01:18 2050 GMT",
        "Thu, +8 Aug 2050 02:01:18 GMT",
    ] {
        assert_eq!(seconds(text), None, "{text:?}");
    }
}

/// Two digits name the year that lies no more than 50 years ahead (RFC 9110 section 5.6.7).
#[test]
fn two_digits_look_fifty_years_ahead() {
    let year = |text: &str, now: WallTime| {
        let written = format(parse(text.as_bytes(), now).expect("the table's dates are valid"));
        written[12..16].to_string()
    };
    assert_eq!(year("Friday, 20-Nov-76 00:00:00 GMT", NOW), "2076");
    assert_eq!(year("Friday, 21-Nov-76 23:00:00 GMT", NOW), "2076");
    assert_eq!(year("Friday, 22-Nov-76 00:00:00 GMT", NOW), "1976");
    assert_eq!(year("Friday, 01-Jan-77 00:00:00 GMT", NOW), "1977");
    assert_eq!(year("Friday, 01-Jan-00 00:00:00 GMT", NOW), "2000");
    let in_2090 = WallTime::from_unix_millis(3_786_912_000_000);
    assert_eq!(year("Friday, 01-Jan-10 00:00:00 GMT", in_2090), "2110");
    assert_eq!(year("Friday, 01-Jan-89 00:00:00 GMT", in_2090), "2089");
}

/// A field with several lines has no date; one line has.
#[test]
fn several_lines_are_no_date() {
    let line = ("expires", "Sun, 06 Nov 1994 08:49:37 GMT");
    assert!(field(&[line].into_iter().collect(), "expires", NOW).is_some());
    assert_eq!(field(&[line, line].into_iter().collect(), "expires", NOW), None);
    assert_eq!(field(&Fields::new(), "expires", NOW), None);
}

/// `Date` is added once, and never over the origin's.
#[test]
fn stamping_keeps_the_origins_date() {
    let mut fields = Fields::new();
    stamp(&mut fields, NOW);
    stamp(&mut fields, WallTime::from_unix_millis(0));
    let dates: Vec<_> = fields.all("date").collect();
    assert_eq!(dates, [&b"Sat, 21 Nov 2026 00:00:00 GMT"[..]]);
}

proptest! {
    /// Every second up to the year 9999 is read back as it was written.
    #[test]
    fn dates_come_back(second in 0_u64..253_402_300_800) {
        let time = WallTime::from_unix_millis(second * 1000);
        prop_assert_eq!(parse(format(time).as_bytes(), NOW), Some(time));
    }

    /// The day after a day is one day later, and the calendar agrees with counting.
    #[test]
    fn days_follow_each_other(days in -1_000_000_i64..3_000_000) {
        let (year, month, day) = civil(days);
        prop_assert_eq!(days_since_1970(year, month, day), days);
        let (next_year, next_month, next_day) = civil(days + 1);
        prop_assert!((next_year, next_month, next_day) > (year, month, day));
        prop_assert!(next_day == day + 1 || (next_day == 1 && day >= 28));
    }

    /// Any bytes are read or refused; a year far ahead does not overflow.
    #[test]
    fn any_bytes_end(text in "[A-Za-z]{3,9},? [0-9 -]{2}[A-Za-z -]{5}[0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT", now in any::<u64>()) {
        parse(text.as_bytes(), WallTime::from_unix_millis(now));
    }
}
