//! HTTP dates (RFC 9110 section 5.6.7): three formats read, one written.
//!
//! Names may be in any case, and the weekday need not fit the date, for origins get both wrong. Everything
//! else is exact: the digits' count, the single spaces, `GMT` and no other zone.

use crate::language::{head::Fields, time::WallTime};
use alloc::{format, string::String};

const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// The time that `text` names. A date before 1970 is 1970. `now` tells the century of a year with two digits.
pub(crate) fn parse(text: &[u8], now: WallTime) -> Option<WallTime> {
    let mut text = Text(text.trim_ascii());
    let weekday = text.letters();
    let date = if is_one_of(weekday, &DAYS, WEEKDAY_SHORT) && text.literal(b", ") {
        imf_fixdate(&mut text)?
    } else if is_one_of(weekday, &DAYS, WEEKDAY_WHOLE) && text.literal(b", ") {
        rfc_850(&mut text, now)?
    } else if is_one_of(weekday, &DAYS, WEEKDAY_SHORT) && text.literal(b" ") {
        asctime(&mut text)?
    } else {
        return None;
    };
    text.0.is_empty().then_some(date)
}

/// The date that the only line of field `name` holds: none, several or an invalid one are no date.
pub(crate) fn field(fields: &Fields, name: &str, now: WallTime) -> Option<WallTime> {
    fields.only(name).and_then(|text| parse(text, now))
}

/// `time` as an IMF-fixdate, at most the last second of the year 9999.
pub fn format(time: WallTime) -> String {
    let millis = time.as_unix_millis().min(253_402_300_799_000);
    let days = millis / DAY_MILLIS;
    let second = millis % DAY_MILLIS / 1000;
    let (year, month, day) = civil(i64::try_from(days).expect("the year 9999 bounds it"));
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        &DAYS[usize::try_from(days % 7).expect("seven at most")][..WEEKDAY_SHORT],
        MONTHS[month - 1],
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

/// Adds a `Date` to a response that came without one (RFC 9110 section 6.6.1).
pub fn stamp(fields: &mut Fields, received: WallTime) {
    if !fields.contains("date") {
        fields.push("date", format(received).as_bytes());
    }
}

/// How much of a weekday's name is written.
const WEEKDAY_SHORT: usize = 3;
const WEEKDAY_WHOLE: usize = usize::MAX;

/// Is `name` one of `names`, each cut to `length`?
fn is_one_of(name: &[u8], names: &[&str], length: usize) -> bool {
    names.iter().any(|known| known.as_bytes()[..known.len().min(length)].eq_ignore_ascii_case(name))
}

/// `06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &mut Text<'_>) -> Option<WallTime> {
    let day = text.digits(2)?;
    text.expect(b" ")?;
    let month = text.month()?;
    text.expect(b" ")?;
    let year = text.digits(4)?;
    text.expect(b" ")?;
    let second = text.time_of_day()?;
    text.expect(b" ")?;
    text.gmt()?;
    date(year, month, day, second)
}

/// `06-Nov-94 08:49:37 GMT`
fn rfc_850(text: &mut Text<'_>, now: WallTime) -> Option<WallTime> {
    let day = text.digits(2)?;
    text.expect(b"-")?;
    let month = text.month()?;
    text.expect(b"-")?;
    let year = text.digits(2)?;
    text.expect(b" ")?;
    let second = text.time_of_day()?;
    text.expect(b" ")?;
    text.gmt()?;
    date(full_year(year, month, day, now), month, day, second)
}

/// `Nov  6 08:49:37 1994`
fn asctime(text: &mut Text<'_>) -> Option<WallTime> {
    let month = text.month()?;
    text.expect(b" ")?;
    let day = if text.literal(b" ") { text.digits(1)? } else { text.digits(2)? };
    text.expect(b" ")?;
    let second = text.time_of_day()?;
    text.expect(b" ")?;
    date(text.digits(4)?, month, day, second)
}

/// The year ending in these two digits that lies no more than 50 years ahead.
fn full_year(two_digits: i64, month: usize, day: i64, now: WallTime) -> i64 {
    let (this_year, this_month, today) = civil(
        i64::try_from(now.as_unix_millis() / DAY_MILLIS).expect("a u64 of milliseconds has fewer days"),
    );
    let (latest, from) = ((this_year + 50, this_month, today), this_year - this_year % 100);
    [from + 100, from, from - 100]
        .map(|century| century + two_digits)
        .into_iter()
        .find(|year| (*year, month, day) <= latest)
        .unwrap_or(from - 100 + two_digits)
}

/// The time of a date that the calendar has. A leap second is the next minute's first.
fn date(year: i64, month: usize, day: i64, second: i64) -> Option<WallTime> {
    let days = days_since_1970(year, month, day);
    // The calendar's days come back as they were written; 31 April does not.
    if civil(days) != (year, month, day) {
        return None;
    }
    let seconds = u64::try_from(days * 24 * 60 * 60 + second).unwrap_or(0);
    Some(WallTime::from_unix_millis(seconds * 1000))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, so that a leap day is
/// their last, and come in eras of 400.
fn days_since_1970(year: i64, month: usize, day: i64) -> i64 {
    let month = i64::try_from(month).expect("twelve at most");
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day: [`days_since_1970`] backwards.
fn civil(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = (march_month + 2) % 12 + 1;
    let year = year_of_era + days.div_euclid(146_097) * 400 + i64::from(month <= 2);
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    (year, usize::try_from(month).expect("1 to 12"), day)
}

/// What is left to read. Each method takes what it names from the front.
struct Text<'t>(&'t [u8]);

impl<'t> Text<'t> {
    fn literal(&mut self, wanted: &[u8]) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, wanted: &[u8]) -> Option<()> {
        self.literal(wanted).then_some(())
    }

    fn letters(&mut self) -> &'t [u8] {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (letters, rest) = self.0.split_at(length);
        self.0 = rest;
        letters
    }

    /// 1 to 12.
    fn month(&mut self) -> Option<usize> {
        let name = self.letters();
        let at = MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
        Some(at + 1)
    }

    fn gmt(&mut self) -> Option<()> {
        self.letters().eq_ignore_ascii_case(b"GMT").then_some(())
    }

    /// A number of exactly `count` digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits
            .iter()
            .try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    }

    /// `08:49:37`, as seconds since midnight.
    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.digits(2)?;
        self.expect(b":")?;
        let minute = self.digits(2)?;
        self.expect(b":")?;
        let second = self.digits(2)?;
        (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
    }
}

#[cfg(test)]
mod tests;
