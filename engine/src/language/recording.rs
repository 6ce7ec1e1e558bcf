//! How inputs and effects are written down, so that a recording of one engine can be read, and lived again.
//!
//! Numbers that name things are written as the logs write them, field values as text, and of a body only its
//! sizes.

use crate::language::chunk::Chunk;
use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt::Write;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A name of 128 bits, as 32 hexadecimal digits.
pub(crate) mod hex {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{number:032x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(|_| {
            de::Error::invalid_value(de::Unexpected::Str(&text), &"at most 32 hexadecimal digits")
        })
    }
}

/// A shared text, as itself.
pub(crate) mod text {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

/// A chunk, as how many bytes it has.
pub(crate) mod size {
    use super::*;

    pub(crate) fn serialize<C: Chunk, S: Serializer>(chunk: &C, serializer: S) -> Result<S::Ok, S::Error> {
        chunk.size().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, C: From<u64>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<C, D::Error> {
        u64::deserialize(deserializer).map(C::from)
    }
}

/// A chunk that may be missing, as how many bytes it has.
pub(crate) mod optional_size {
    use super::*;

    pub(crate) fn serialize<C: Chunk, S: Serializer>(
        chunk: &Option<C>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        chunk.as_ref().map(Chunk::size).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, C: From<u64>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<C>, D::Error> {
        Option::<u64>::deserialize(deserializer).map(|size| size.map(C::from))
    }
}

/// Bytes as text: printable ASCII as it is, a backslash doubled, anything else as `\x` and two digits.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").expect("a string takes what is written"),
        }
    }
    text
}

/// Back from [`escaped`].
///
/// # Errors
/// What is wrong with the text, when `escaped` cannot have written it.
pub(crate) fn unescaped(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        let byte;
        (byte, rest) = match rest {
            [] => return Ok(bytes),
            [b'\\', b'\\', rest @ ..] => (b'\\', rest),
            [b'\\', b'x', high, low, rest @ ..] => {
                let digit =
                    |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return Err("`\\x` stands before two hexadecimal digits");
                };
                (high << 4 | low, rest)
            }
            [b'\\', ..] => return Err("a backslash stands before another one or before `x`"),
            [byte @ b' '..=b'~', rest @ ..] => (*byte, rest),
            [_, ..] => return Err("a field value is written in printable ASCII"),
        };
        bytes.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever a field's value is, it comes back.
        #[test]
        fn every_value_comes_back(bytes: Vec<u8>) {
            prop_assert_eq!(unescaped(&escaped(&bytes)), Ok(bytes));
        }
    }

    /// What nobody wrote is refused.
    #[test]
    fn what_is_not_escaped_is_refused() {
        for text in ["\\", "\\n", "\\x", "\\x1", "\\xzz", "\u{e9}", "a\n"] {
            assert!(unescaped(text).is_err(), "{text:?}");
        }
    }
}
