//! `Retry-After` (RFC 9110 section 10.2.3): how long an origin asks to be left alone.

use crate::{
    language::{head::Fields, time::WallTime},
    rules::http_date,
};
use core::time::Duration;

/// What the one line of the field says: whole seconds, or a date, which counts from `now` and is no wait once
/// past. Several lines, or anything else, say nothing.
pub(crate) fn retry_after(fields: &Fields, now: WallTime) -> Option<Duration> {
    let text = fields.only("retry-after")?.trim_ascii();
    if !text.is_empty() && text.iter().all(u8::is_ascii_digit) {
        // More digits than fit are a wait longer than any that is waited for.
        let digits = core::str::from_utf8(text).expect("ASCII digits are UTF-8");
        return Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX)));
    }
    let at = http_date::parse(text, now)?;
    Some(Duration::from_millis(at.as_unix_millis().saturating_sub(now.as_unix_millis())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds and dates are waits; nonsense, several lines and nothing are none.
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // Sun, 09 Sep 2001 01:46:40 GMT.
        let now = WallTime::from_unix_millis(1_000_000_000_000);
        let table: [(&[&str], Option<u64>); 9] = [
            (&["120"], Some(120)),
            (&[" 0 "], Some(0)),
            (&["99999999999999999999999"], Some(u64::MAX)),
            (&["Sun, 09 Sep 2001 01:47:40 GMT"], Some(60)),
            (&["Sun, 09 Sep 2001 01:00:00 GMT"], Some(0)),
            (&["-1"], None),
            (&["soon"], None),
            (&["1", "2"], None),
            (&[], None),
        ];
        for (lines, expected) in table {
            let fields: Fields = lines.iter().map(|line| ("retry-after", *line)).collect();
            assert_eq!(retry_after(&fields, now), expected.map(Duration::from_secs), "{lines:?}");
        }
    }
}
