//! Bodies that name themselves: every 16 bytes say which object, which version and which offset they are.
//!
//! A client that got bytes can so tell where each of them came from, however they were cut and spliced on the
//! way. It does not judge: [`decode`] only reports spans. Start at [`bytes`] and [`decode`].

use bytes::{BufMut, Bytes, BytesMut};

/// One word: object (4 bytes, masked), version (4 bytes), offset (8 bytes).
const WORD: u64 = 16;

/// Keeps the word of object 0 at offset 0 from looking like a run of zeros.
const MASK: u32 = 0x7469_6572;

/// More objects than any scenario has.
const OBJECTS_MAX: u32 = 10_000;

/// In how many languages there are bodies.
pub(crate) const LANGUAGES: u8 = 3;

/// Bits of an object's number below its language.
const OBJECT_BITS: u32 = 16;

/// Longer than any body of a scenario.
const LENGTH_MAX: u64 = 1 << 32;

/// The shortest body that says all of its name; a shorter one can only be empty.
pub(crate) const SHORTEST: u64 = WORD;

/// A run of bytes of one version of one object; unknown bytes belong to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Object and version; `None` for bytes that are no part of any body.
    pub of: Option<(u32, u32)>,
    /// Where in that body.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
}

/// The number that the bytes of an object carry which has a body for each language.
pub(crate) fn number(object: u32, language: u8) -> u32 {
    object | u32::from(language) << OBJECT_BITS
}

/// The object and the language of a number.
pub(crate) fn named(number: u32) -> (u32, u8) {
    let language = u8::try_from(number >> OBJECT_BITS).unwrap_or(u8::MAX);
    (number & ((1 << OBJECT_BITS) - 1), language)
}

/// The bytes of a body from `offset` on.
pub(crate) fn bytes(object: u32, version: u32, offset: u64, length: u64) -> Bytes {
    let first = offset - offset % WORD;
    let end = offset + length;
    let mut words = BytesMut::with_capacity(usize_of(end - first + WORD));
    let mut at = first;
    while at < end {
        words.put_slice(&word(object, version, at));
        at += WORD;
    }
    words.freeze().slice(usize_of(offset - first)..usize_of(end - first))
}

/// Where each byte came from, neighbours joined.
pub(crate) fn decode(body: &[u8]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let expected = runs.last().and_then(|run| Some((run.of?, run.offset + run.length)));
        let going_on = expected.and_then(|(of, offset)| continued(rest, of, offset));
        // A whole word names itself, so it tells more than the first bytes of a word that looks like what was
        // expected.
        let whole = going_on.filter(|run| (run.offset + run.length) % WORD == 0);
        let run =
            whole.or_else(|| begun(rest)).or(going_on).unwrap_or(Run { of: None, offset: 0, length: 1 });
        rest = &rest[usize_of(run.length)..];
        match runs.last_mut() {
            Some(last) if touches(last, &run) => last.length += run.length,
            Some(_) | None => runs.push(run),
        }
    }
    runs
}

fn touches(last: &Run, next: &Run) -> bool {
    last.of == next.of && (next.of.is_none() || last.offset + last.length == next.offset)
}

/// As much of `rest` as goes on with the body `of` from `offset`: its whole words, or where there is none, a
/// part of one.
fn continued(rest: &[u8], of: (u32, u32), offset: u64) -> Option<Run> {
    if offset.is_multiple_of(WORD) {
        let mut length = 0;
        while rest.get(usize_of(length)..).and_then(<[u8]>::first_chunk)
            == Some(&word(of.0, of.1, offset + length))
        {
            length += WORD;
        }
        if length > 0 {
            return Some(Run { of: Some(of), offset, length });
        }
    }
    let word = word(of.0, of.1, offset - offset % WORD);
    let expected = &word[usize_of(offset % WORD)..];
    let same = expected.iter().zip(rest).take_while(|(a, b)| a == b).count() as u64;
    (same > 0).then_some(Run { of: Some(of), offset, length: same })
}

/// A body that begins here, perhaps in the middle of a word: then the next whole word tells which.
fn begun(rest: &[u8]) -> Option<Run> {
    (0..WORD).find_map(|skipped| {
        let (of, offset) = read_word(rest.get(usize_of(skipped)..)?)?;
        let begin = offset.checked_sub(skipped)?;
        let before = word(of.0, of.1, begin - begin % WORD);
        let matches = skipped == 0 || rest[..usize_of(skipped)] == before[usize_of(WORD - skipped)..];
        matches.then_some(Run { of: Some(of), offset: begin, length: skipped + WORD })
    })
}

/// A whole word that [`word`] could have made for an object of a scenario.
fn read_word(rest: &[u8]) -> Option<((u32, u32), u64)> {
    let (object, rest) = rest.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (offset, _) = rest.split_first_chunk()?;
    let object = u32::from_be_bytes(*object) ^ MASK;
    let offset = u64::from_be_bytes(*offset);
    let is_plausible = named(object).0 < OBJECTS_MAX
        && named(object).1 < LANGUAGES
        && offset < LENGTH_MAX
        && offset % WORD == 0;
    is_plausible.then_some(((object, u32::from_be_bytes(*version)), offset))
}

fn word(object: u32, version: u32, offset: u64) -> [u8; 16] {
    let mut word = [0; 16];
    word[..4].copy_from_slice(&(object ^ MASK).to_be_bytes());
    word[4..8].copy_from_slice(&version.to_be_bytes());
    word[8..].copy_from_slice(&offset.to_be_bytes());
    word
}

fn usize_of(length: u64) -> usize {
    usize::try_from(length).expect("a simulated body fits memory: scenarios bound it to 16 MiB")
}

#[cfg(test)]
mod tests {
    use super::{Run, bytes, decode};

    fn run(of: (u32, u32), offset: u64, length: u64) -> Run {
        Run { of: Some(of), offset, length }
    }

    /// Any cut of any body is recognised as what it is, whole words or not.
    #[test]
    fn each_piece_names_itself() {
        for length in [16, 17, 40, 1000] {
            assert_eq!(decode(&bytes(3, 7, 0, length)), [run((3, 7), 0, length)]);
        }
        for offset in 0..33 {
            assert_eq!(decode(&bytes(0, 1, offset, 64)), [run((0, 1), offset, 64)], "from {offset}");
        }
    }

    /// Two versions spliced at any byte show as two spans; so do a gap and a repetition.
    #[test]
    fn a_splice_shows_as_two_runs() {
        for cut in 16..40 {
            let mut body = bytes(1, 1, 0, cut).to_vec();
            body.extend_from_slice(&bytes(1, 2, cut, 64));
            let runs = decode(&body);
            assert_eq!(runs.iter().map(|run| run.length).sum::<u64>(), cut + 64);
            assert_eq!(runs.first().map(|run| run.of), Some(Some((1, 1))), "cut at {cut}");
            assert_eq!(runs.last().map(|run| run.of), Some(Some((1, 2))), "cut at {cut}");
        }
        let mut gap = bytes(1, 1, 0, 32).to_vec();
        gap.extend_from_slice(&bytes(1, 1, 48, 32));
        assert_eq!(decode(&gap), [run((1, 1), 0, 32), run((1, 1), 48, 32)]);
    }

    /// Zeros, texts and cut first words belong to nobody.
    #[test]
    fn foreign_bytes_belong_to_nobody() {
        for foreign in [&[0_u8; 40][..], b"an error page, longer than one word", &bytes(2, 2, 0, 9)] {
            let nobody = Run { of: None, offset: 0, length: foreign.len() as u64 };
            assert_eq!(decode(foreign), [nobody]);
        }
        let mut appended = bytes(2, 2, 0, 32).to_vec();
        appended.extend_from_slice(b"oops");
        let runs = decode(&appended);
        assert_eq!(runs.len(), 2);
        assert_eq!(runs[1].of, None);
    }
}
