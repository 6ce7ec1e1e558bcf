//! Comma-separated lists (RFC 9110 section 5.6.1), and what stands between their commas.

/// What a backslash inside quotes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backslash {
    /// It takes the next byte's meaning (quoted-string, RFC 9110 section 5.6.4).
    Escapes,
    /// Nothing (entity-tag, RFC 9110 section 8.8.3).
    Plain,
}

/// The members of a list, trimmed, without empty ones. Commas inside quoted strings do not separate.
pub(super) fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(line, Backslash::Escapes)
}

/// The same for entity-tags, in which nothing can be escaped.
pub(super) fn entity_tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(line, Backslash::Plain)
}

fn split(line: &[u8], backslash: Backslash) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    // A quote that is never closed quotes nothing: it must not hide the `no-store` behind it.
    let mut quotes_close = true;
    core::iter::from_fn(move || {
        let text = rest?;
        let mut at = 0;
        while at < text.len() && text[at] != b',' {
            if text[at] == b'"' && quotes_close {
                match closing_quote(&text[at..], backslash) {
                    Some(length) => at += length,
                    None => quotes_close = false,
                }
            }
            at += 1;
        }
        rest = text.get(at + 1..);
        Some(&text[..at])
    })
    .map(<[u8]>::trim_ascii)
    .filter(|member| !member.is_empty())
}

/// Where the quote closes that `text` opens with.
fn closing_quote(text: &[u8], backslash: Backslash) -> Option<usize> {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return Some(at),
            b'\\' if backslash == Backslash::Escapes => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// A decimal number, digits only; past `most` it is `most`. `None` when it is none.
pub(super) fn number(digits: &[u8], most: u64) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits.iter().fold(0_u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(most)
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Quotes keep commas together; an open one does not; entity-tags end at the next quote whatever stands
    /// before it.
    #[test]
    fn members_are_what_stands_between_commas() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("", &[], &[]),
            (" , ,", &[], &[]),
            ("a, b ,c", &["a", "b", "c"], &["a", "b", "c"]),
            ("a=\"x, y\", b", &["a=\"x, y\"", "b"], &["a=\"x, y\"", "b"]),
            ("\"a\\\", b\", c", &["\"a\\\", b\"", "c"], &["\"a\\\"", "b\"", "c"]),
            ("a=\"x, no-store", &["a=\"x", "no-store"], &["a=\"x", "no-store"]),
            ("\"\", b", &["\"\"", "b"], &["\"\"", "b"]),
        ];
        for (line, expected, expected_tags) in cases {
            let as_bytes =
                |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
            let found: Vec<_> = members(line.as_bytes()).map(<[u8]>::to_vec).collect();
            assert_eq!(found, as_bytes(expected), "{line}");
            let found: Vec<_> = entity_tags(line.as_bytes()).map(<[u8]>::to_vec).collect();
            assert_eq!(found, as_bytes(expected_tags), "{line}");
        }
    }

    /// Digits only, and never more than the bound.
    #[test]
    fn numbers_are_digits() {
        let cases: &[(&str, Option<u64>)] = &[
            ("0", Some(0)),
            ("007", Some(7)),
            ("99", Some(99)),
            ("100", Some(99)),
            ("99999999999999999999999999", Some(99)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            (" 1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text.as_bytes(), 99), *expected, "{text:?}");
        }
    }

    proptest! {
        /// Members joined again are the same members, whatever the bytes.
        #[test]
        fn splitting_again_changes_nothing(line in prop::collection::vec(any::<u8>(), 0..60)) {
            let once: Vec<_> = members(&line).map(<[u8]>::to_vec).collect();
            let joined = once.join(&b", "[..]);
            let twice: Vec<_> = members(&joined).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(once, twice);
        }
    }
}
