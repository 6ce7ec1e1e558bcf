//! Times as logs write them, in milliseconds since 1970.

use time::{
    OffsetDateTime, PrimitiveDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

/// What a time may look like.
pub(super) const BOUND: &str =
    "a time: ISO 8601, `27/Nov/2026:01:50:54 +0000`, or a number of s, ms, µs or ns since 1970";

/// `%t` of Apache, `$time_local` of nginx.
const COMMON: &[BorrowedFormatItem<'_>] = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);
const ISO_BASIC_OFFSET: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]][offset_hour sign:mandatory][offset_minute]"
);
/// Without a zone: taken for UTC.
const ISO_BARE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]");

/// Numbers below are seconds, from here on milliseconds, and so on in thousands: read as seconds, this is the
/// year 5138; read as milliseconds, 1973.
const SECONDS_MAX: f64 = 1e11;

/// The time in `[…]` of a common log.
pub(super) fn common(text: &str) -> Option<u64> {
    millis(OffsetDateTime::parse(text, COMMON).ok()?)
}

/// Any of the forms that [`BOUND`] tells. `column` is where it stands: a name that ends in a unit says which
/// one.
pub(super) fn any(column: &str, text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return of_number(column, number);
    }
    if text.as_bytes().get(2) == Some(&b'/') {
        return common(text.trim_start_matches('[').trim_end_matches(']'));
    }
    let text = text.replacen(' ', "T", 1);
    OffsetDateTime::parse(&text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&text, ISO_BASIC_OFFSET))
        .or_else(|_| PrimitiveDateTime::parse(&text, ISO_BARE).map(PrimitiveDateTime::assume_utc))
        .ok()
        .and_then(millis)
}

/// A number of seconds, or of what the column's name or its size says.
pub(super) fn of_number(column: &str, number: f64) -> Option<u64> {
    let column = column.to_ascii_lowercase();
    let per_milli = match number {
        _ if column.ends_with("_ms") => 1.0,
        _ if column.ends_with("_us") => 1e3,
        _ if column.ends_with("_ns") => 1e6,
        _ if number < SECONDS_MAX || column.ends_with("_s") => 1e-3,
        _ if number < SECONDS_MAX * 1e3 => 1.0,
        _ if number < SECONDS_MAX * 1e6 => 1e3,
        _ => 1e6,
    };
    let millis = number / per_milli;
    let fits = millis >= 0.0 && millis < u64::MAX as f64 / 2.0;
    // Milliseconds are whole from here on.
    fits.then_some(millis as u64)
}

fn millis(time: OffsetDateTime) -> Option<u64> {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One instant in every form.
    #[test]
    fn every_form_is_read() {
        const INSTANT: u64 = 1_795_744_254_000;
        let forms = [
            ("time_local", "27/Nov/2026:01:50:54 +0000"),
            ("time_local", "27/Nov/2026:03:50:54 +0200"),
            ("ts", "2026-11-27T01:50:54Z"),
            ("ts", "2026-11-27T01:50:54.000Z"),
            ("ts", "2026-11-27T03:50:54+02:00"),
            ("ts", "2026-11-27T03:50:54.000+0200"),
            ("ts", "2026-11-27 01:50:54"),
            ("ts", "1795744254"),
            ("ts", "1795744254.000"),
            ("ts", "1795744254000"),
            ("ts", "1795744254000000"),
            ("ts", "1795744254000000000"),
        ];
        for (column, text) in forms {
            assert_eq!(any(column, text), Some(INSTANT), "{text}");
        }
        assert_eq!(any("time_ms", "12"), Some(12), "a name with a unit");
        assert_eq!(any("time_us", "12000"), Some(12), "a name with a unit");
        assert_eq!(any("time", "12"), Some(12_000), "seconds");
        for wrong in ["", "-", "-5", "nan", "inf", "yesterday", "27/Nov/2026", "2026-11-27", "1e300"] {
            assert_eq!(any("ts", wrong), None, "{wrong}");
        }
    }
}
