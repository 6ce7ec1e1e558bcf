//! `Vary`: which stored response answers which request (RFC 9111 section 4.1).
//!
//! A variant has a key of its own, made from the key of its target and from the request fields that `Vary`
//! names. Their values are normalised first, in ways that the fields' definitions allow, so that requests
//! which mean the same find the same variant. A response that says in which language it is may also be found
//! by that: [`language_key`].

use super::list::{members, number};
use crate::language::{
    head::{Fields, Head},
    key::CacheKey,
};
use alloc::{boxed::Box, string::String, vec::Vec};

/// What a response depends on beside its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Vary {
    /// Nothing.
    Nothing,
    /// These request fields: lower case, in order, each once.
    Fields(Vec<Box<str>>),
    /// Something that no request shows: `*`, or a name that is none, or more names than [`NAMES_MAX`].
    Anything,
}

const LANGUAGE: &str = "accept-language";

/// More names than this are `*`: each costs every lookup. The longest lists of real origins have about ten.
const NAMES_MAX: usize = 32;

impl Vary {
    /// All `Vary` lines of a response, as one list.
    pub(crate) fn of(head: &Head) -> Self {
        let mut names: Vec<Box<str>> = Vec::new();
        for member in head.fields.all("vary").flat_map(members) {
            if !member.iter().all(|byte| is_token(*byte)) || member == b"*" {
                return Self::Anything;
            }
            names.push(String::from_utf8_lossy(member).to_ascii_lowercase().into_boxed_str());
        }
        names.sort_unstable();
        names.dedup();
        match names.len() {
            0 => Self::Nothing,
            1..=NAMES_MAX => Self::Fields(names),
            _ => Self::Anything,
        }
    }
}

/// RFC 9110 section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// The key of the variant of `target` that a request with these fields wants, when responses depend on
/// `names`.
pub(crate) fn variant_key(target: CacheKey, names: &[Box<str>], request: &Fields) -> CacheKey {
    key_of(target, names, |name| match normalised(name, request) {
        Some(value) => (b'v', value),
        // Absent matches absent only.
        None => (b'a', Vec::new()),
    })
}

/// A key by which a response in `language` to a request with these fields is known, too, where responses
/// depend on `Accept-Language`: whoever likes that language best, and says the same in all other fields,
/// would be sent it by the origin, whatever other languages it names (RFC 9110 section 12.5.4).
pub(crate) fn language_key(
    target: CacheKey,
    names: &[Box<str>],
    request: &Fields,
    language: &str,
) -> Option<CacheKey> {
    if !names.iter().any(|name| **name == *LANGUAGE) {
        return None;
    }
    Some(key_of(target, names, |name| match name {
        LANGUAGE => (b'l', language.as_bytes().to_vec()),
        _ => normalised(name, request).map_or((b'a', Vec::new()), |value| (b'v', value)),
    }))
}

/// The one language that a request likes better than all others; `None` where several are as good, or any.
pub(crate) fn liked_best(request: &Fields) -> Option<String> {
    let mut ranges = weighted(request, LANGUAGE);
    ranges.sort_unstable();
    ranges.dedup();
    let (best, most) = ranges.iter().max_by_key(|(_, weight)| *weight)?;
    let equals = ranges.iter().filter(|(_, weight)| weight == most).count();
    (equals == 1 && *most > 0 && best != "*").then(|| best.clone())
}

/// The one language that a response says it is in.
pub(crate) fn language_of(head: &Head) -> Option<String> {
    let mut said = head.fields.all("content-language").flat_map(members);
    let language = String::from_utf8_lossy(said.next()?).to_ascii_lowercase();
    said.next().is_none().then_some(language)
}

fn key_of(target: CacheKey, names: &[Box<str>], value_of: impl Fn(&str) -> (u8, Vec<u8>)) -> CacheKey {
    if names.is_empty() {
        return target;
    }
    // Each part goes in with its length before it, so that no two lists of parts read alike.
    let mut hasher = blake3::Hasher::new();
    hasher.update(&target.0.to_le_bytes());
    let mut part = |tag: u8, bytes: &[u8]| {
        hasher.update(&[tag]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for name in names {
        part(b'n', name.as_bytes());
        let (tag, value) = value_of(name);
        part(tag, &value);
    }
    let digest = hasher.finalize();
    let (first, _) =
        digest.as_bytes().split_first_chunk().expect("a digest has 32 bytes, of which 16 are taken");
    CacheKey(u128::from_le_bytes(*first))
}

/// What a request says in field `name`, in the one form that all values of the same meaning share; `None`
/// when it does not have the field.
fn normalised(name: &str, request: &Fields) -> Option<Vec<u8>> {
    if !request.contains(name) {
        return None;
    }
    Some(match name {
        LANGUAGE => {
            let mut ranges = weighted(request, LANGUAGE);
            // Their order among equals says nothing (RFC 9110 section 12.5.4).
            ranges.sort_by(|(one, one_weight), (other, other_weight)| {
                other_weight.cmp(one_weight).then_with(|| one.cmp(other))
            });
            ranges.dedup();
            joined(ranges.iter().map(|(range, weight)| alloc::format!("{range};{weight}")))
        }
        "accept-encoding" => joined(encodings(request)),
        _ => {
            let members: Vec<&[u8]> = request.all(name).flat_map(members).collect();
            members.join(&b","[..])
        }
    })
}

fn joined(members: impl IntoIterator<Item = String>) -> Vec<u8> {
    members.into_iter().collect::<Vec<_>>().join(",").into_bytes()
}

/// The content codings that a request accepts, as a set: what an origin may choose from. Weights above zero
/// only say what is liked better (RFC 9110 section 12.5.3), so they do not make a variant of their own.
fn encodings(request: &Fields) -> Vec<String> {
    let members = weighted(request, "accept-encoding");
    let weight_of = |wanted: &str| {
        let found = members.iter().find(|(coding, _)| coding == wanted);
        found.map(|(_, weight)| *weight)
    };
    let others_accepted = weight_of("*").is_some_and(|weight| weight > 0);
    let mut accepted: Vec<String> = members
        .iter()
        .filter(|(coding, _)| coding != "identity")
        .filter_map(|(coding, weight)| match (*weight > 0, others_accepted) {
            (true, _) => Some(String::from(same_coding(coding))),
            // A refusal says something only where the rest is accepted.
            (false, true) => Some(String::from("!") + same_coding(coding)),
            (false, false) => None,
        })
        .collect();
    // `identity` is accepted unless it is refused, or `*` is and nothing else is said of it.
    if weight_of("identity").or(weight_of("*")) == Some(0) {
        accepted.push("!identity".into());
    }
    accepted.sort_unstable();
    accepted.dedup();
    accepted
}

/// RFC 9110 section 8.4.1 has two names for two codings.
fn same_coding(coding: &str) -> &str {
    match coding {
        "x-gzip" => "gzip",
        "x-compress" => "compress",
        _ => coding,
    }
}

/// The members of a field with weights (RFC 9110 section 12.4.2), in lower case and without blanks. What is
/// no weight stays part of the member.
fn weighted(request: &Fields, name: &str) -> Vec<(String, u64)> {
    let members = request.all(name).flat_map(members);
    members
        .map(|member| {
            let mut text = String::from_utf8_lossy(member).to_ascii_lowercase();
            text.retain(|letter| !matches!(letter, ' ' | '\t'));
            match text.split_once(";q=").map(|(value, weight)| (value, thousandths(weight))) {
                Some((value, Some(weight))) => (String::from(value), weight),
                Some((_, None)) | None => (text, 1000),
            }
        })
        .collect()
}

/// `0.75` is 750.
fn thousandths(weight: &str) -> Option<u64> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 {
        return None;
    }
    let padded = alloc::format!("{whole}{fraction:0<3}");
    number(padded.as_bytes(), 1001).filter(|thousandths| *thousandths <= 1000)
}

#[cfg(test)]
mod tests;
