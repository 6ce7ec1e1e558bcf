//! Times as people write them: `250ms`, `3s`, `10min`. In the types they are whole milliseconds, or seconds.

use crate::Between;
use serde::{Deserialize, Deserializer, de};
use std::{fmt, time::Duration};

/// Whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// Whole seconds.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(u64);

/// Reads a time.
pub(crate) fn ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Millis::deserialize(deserializer).map(|Millis(ms)| ms)
}

/// Reads two times between which one is drawn.
pub(crate) fn between_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Between<u64>, D::Error> {
    Between::deserialize(deserializer).map(|Between(Millis(least), Millis(most))| Between(least, most))
}

/// The same in seconds.
pub(crate) fn between_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Between<u64>, D::Error> {
    Between::deserialize(deserializer).map(|Between(Seconds(least), Seconds(most))| Between(least, most))
}

/// A time in milliseconds as a file would say it.
pub(crate) fn written(ms: u64) -> String {
    match ms {
        0 => "0s".to_owned(),
        ms if ms % 60_000 == 0 => format!("{}min", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (time, text) = deserializer.deserialize_str(Text)?;
        let ms = u64::try_from(time.as_millis()).ok().filter(|ms| Duration::from_millis(*ms) == time);
        ms.map(Self).ok_or_else(|| de::Error::custom(format_args!("`{text}` is not in whole milliseconds")))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (time, text) = deserializer.deserialize_str(Text)?;
        if time.subsec_nanos() > 0 {
            return Err(de::Error::custom(format_args!("`{text}` is not in whole seconds")));
        }
        Ok(Self(time.as_secs()))
    }
}

/// Is it a whole number with one of the units that are documented? Of others people think differently: `m` is
/// a minute to one and a month to the next.
fn is_plain(text: &str) -> bool {
    let unit = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    unit.len() < text.len() && ["ms", "s", "min", "h"].contains(&unit)
}

/// Reads the text, and keeps it for what is wrong with it.
struct Text;

impl de::Visitor<'_> for Text {
    type Value = (Duration, String);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time with its unit, as in `250ms`, `3s` or `10min`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let unit = "a time is a number and its unit, as in `250ms`, `3s` or `10min`";
        let time = match text.trim() {
            "0" => Ok::<_, ()>(Duration::ZERO),
            text => is_plain(text)
                .then(|| humantime::parse_duration(text))
                .ok_or(())
                .and_then(|time| time.map_err(drop)),
        };
        let time = time.map_err(|_| E::custom(format_args!("`{text}` is no time: {unit}")))?;
        Ok((time, text.to_owned()))
    }
}
