//! Byte counts that cannot be mistaken for other numbers, and how people write them.

use alloc::{format, string::String};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, de};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ByteCount(pub u64);

impl ByteCount {
    /// No bytes.
    pub const ZERO: Self = Self(0);
    /// More than any object has.
    pub const UNLIMITED: Self = Self(u64::MAX);

    /// `n` times 1,024 bytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` times 1,048,576 bytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The sum, at most [`ByteCount::UNLIMITED`].
    pub const fn plus(self, more: u64) -> Self {
        Self(self.0.saturating_add(more))
    }

    /// Reads `1048576`, `64KiB`, `2 MiB`, `10GB` or `unlimited`.
    ///
    /// `KB`, `MB`, `GB`, `TB` count in 1,000s; `KiB`, `MiB`, `GiB`, `TiB` in 1,024s.
    ///
    /// # Errors
    /// The text again, with the forms that are understood, when it is none of these or does not fit 64 bits.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a size: write bytes, or a number with KB, KiB, MB, MiB, GB, GiB, TB or TiB, or `unlimited`"
            )
        };
        let trimmed = text.trim();
        if trimmed == "unlimited" {
            return Ok(Self::UNLIMITED);
        }
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = trimmed[..digits].parse().map_err(|_| wrong())?;
        let unit: u64 = match trimmed[digits..].trim() {
            "" | "B" => 1,
            "KB" => 1_000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "GiB" => 1 << 30,
            "TB" => 1_000_000_000_000,
            "TiB" => 1 << 40,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] =
            [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        if *self == Self::UNLIMITED {
            return f.write_str("unlimited");
        }
        match UNITS.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteCount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 1048576, 64KiB, 10GB or unlimited")
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteCount, E> {
                Ok(ByteCount(bytes))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteCount, E> {
                u64::try_from(bytes)
                    .map(ByteCount)
                    .map_err(|_| E::custom(format!("`{bytes}` is below 0 bytes")))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteCount, E> {
                ByteCount::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
