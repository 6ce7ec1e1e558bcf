//! The surrogate keys that an origin puts on a response, to purge it together with others.
//!
//! Three fields are read, each by the custom of those who use it: `Surrogate-Key` (Fastly; between spaces),
//! `Cache-Tag` (Cloudflare, Akamai; between commas), `xkey` (Varnish's vmod of that name; either). No RFC
//! names them, and origins mix the two separators, so both separate in all three. Letter case does not count:
//! some of those caches compare with it and some without, and one purge too many costs a fetch where one too
//! few costs a stale page.

use crate::language::head::Fields;

/// The fields, in lower case.
const FIELDS: [&str; 3] = ["surrogate-key", "cache-tag", "xkey"];

/// Bytes of these fields that are read. A response with more counts as carrying every surrogate key: in doubt
/// it is purged. Heads of this size already exceed what the fields' own caches take.
pub(crate) const SURROGATE_BYTES_MAX: usize = 16_384;

/// Does the response carry the surrogate key `tag`?
pub(crate) fn carries(fields: &Fields, tag: &[u8]) -> bool {
    let lines = || FIELDS.iter().flat_map(|name| fields.all(name));
    let size = lines().fold(0_usize, |sum, line| sum.saturating_add(line.len()));
    size > SURROGATE_BYTES_MAX
        || lines()
            .flat_map(|line| line.split(|byte| matches!(byte, b' ' | b'\t' | b',')))
            .any(|other| !other.is_empty() && other.eq_ignore_ascii_case(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// Each field and separator; whole words only; other fields carry nothing.
    #[test]
    fn tags_are_whole_words_of_three_fields() {
        let cases: &[(&str, &str, &str, bool)] = &[
            ("surrogate-key", "a post-7 b", "post-7", true),
            ("cache-tag", "a,post-7,b", "post-7", true),
            ("xkey", "a,  post-7\tb", "post-7", true),
            ("Surrogate-Key", "POST-7", "post-7", true),
            ("surrogate-key", "post-77 xpost-7", "post-7", false),
            ("surrogate-key", "", "post-7", false),
            ("surrogate-key", "a  b", "", false),
            ("surrogate-control", "post-7", "post-7", false),
        ];
        for (name, value, tag, expected) in cases {
            let fields: Fields = [(*name, *value)].into_iter().collect();
            assert_eq!(carries(&fields, tag.as_bytes()), *expected, "{name}: {value}");
        }
    }

    /// Every line of every field is read.
    #[test]
    fn lines_add_up() {
        let fields: Fields = [("xkey", "a"), ("xkey", "b"), ("cache-tag", "c")].into_iter().collect();
        for tag in ["a", "b", "c"] {
            assert!(carries(&fields, tag.as_bytes()), "{tag}");
        }
    }

    /// What is too long to be read is carried in doubt, and only then.
    #[test]
    fn too_many_tags_count_as_every_tag() {
        for (size, expected) in [(SURROGATE_BYTES_MAX, false), (SURROGATE_BYTES_MAX + 1, true)] {
            let fields: Fields = [("xkey", vec![b'x'; size])].into_iter().collect();
            assert_eq!(carries(&fields, b"other"), expected, "{size}");
        }
    }
}
