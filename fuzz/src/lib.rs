//! Fuzz targets: what decodes bytes from outside, run on a kept corpus and on what chance makes of it.
//!
//! A target is a test, made by [`target!`] beside the decoder. It takes each file of `corpus/<name>/`, and a
//! fixed number of inputs that chance makes of these, the same in every run. For longer, and from another
//! place:
//!
//! ```text
//! FUZZ_ROUNDS=1000000 FUZZ_SEED=7 cargo test --release -p tiergate-engine --lib fuzz
//! ```
//!
//! An input that broke something stays in the corpus.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Changed inputs that a plain test runs; `FUZZ_ROUNDS` asks for another number.
const ROUNDS: usize = 4_000;

/// Where chance begins; `FUZZ_SEED` asks for another place.
const SEED: u64 = 1;

/// Bytes of an input, at most. No decoder needs more to be wrong.
const BYTES_MAX: usize = 4_096;

/// Changes made to one input, at most.
const CHANGES_MAX: u64 = 4;

/// What parsers and counters are apt to get wrong.
const TOKENS: [&[u8]; 22] = [
    b"0",
    b"1",
    b"-1",
    b"+1",
    b"255",
    b"65536",
    b"2147483648",
    b"4294967296",
    b"9223372036854775807",
    b"18446744073709551615",
    b"18446744073709551616",
    b",",
    b";",
    b"=",
    b"\"",
    b"\\",
    b" ",
    b"\t",
    b"\r\n",
    b"\0",
    b"\xff\xff\xff\xff",
    b"\xc3\xa9",
];

/// Declares a test that runs `check` on the corpus of its name, on `seeds`, and on changed ones.
#[macro_export]
macro_rules! target {
    ($(#[$doc:meta])* $name:ident, $seeds:expr, $check:expr) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            $crate::run(stringify!($name), &$seeds, $check);
        }
    };
}

/// Runs `check` on everything that a plain test takes.
///
/// # Panics
/// When `check` does, after saying on what; when there is nothing to begin with, or a number cannot be read.
pub fn run<S: AsRef<[u8]>>(name: &str, seeds: &[S], check: impl Fn(&[u8])) {
    let mut known = corpus(&corpus_of(name));
    known.extend(seeds.iter().map(|seed| seed.as_ref().to_vec()));
    assert!(!known.is_empty(), "{name} has neither a corpus nor seeds");
    known.push(Vec::new());
    for input in &known {
        watched(name, input, &check);
    }
    let number = |key, otherwise| {
        env::var(key)
            .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{key} is no number: {text}")))
    };
    let mut chance = Chance(number("FUZZ_SEED", SEED));
    for _ in 0..number("FUZZ_ROUNDS", ROUNDS as u64) {
        let input = chance.changed(&known);
        watched(name, &input, &check);
    }
}

fn corpus_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

/// The files of a folder in the order of their names.
fn corpus(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(files) => files.map(|file| file.expect("the corpus can be listed").path()).collect(),
        Err(_) => Vec::new(),
    };
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).expect("the corpus can be read")).collect()
}

/// Says what the input was when `check` panics.
fn watched(name: &str, input: &[u8], check: impl Fn(&[u8])) {
    struct Watch<'i>(&'i str, &'i [u8]);
    impl Drop for Watch<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let Self(name, input) = self;
                eprintln!("{name} broke on b\"{}\": keep it in fuzz/corpus/{name}/", input.escape_ascii());
            }
        }
    }
    let watch = Watch(name, input);
    check(watch.1);
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One of the known inputs, changed in a few places.
    fn changed(&mut self, known: &[Vec<u8>]) -> Vec<u8> {
        let mut input = known[self.below(known.len())].clone();
        for _ in 0..=self.next() % CHANGES_MAX {
            let other = &known[self.below(known.len())];
            self.change(&mut input, other);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below(input.len() - at + 1).min(32);
        match self.next() % 8 {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.byte(),
            2 => input.insert(at, self.byte()),
            3 => drop(input.drain(at..end)),
            4 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            5 => input.truncate(at),
            6 => {
                let token = TOKENS[self.below(TOKENS.len())];
                input.splice(at..end.min(at + token.len()), token.iter().copied());
            }
            _ => {
                let from = self.below(other.len() + 1);
                let to = from + self.below(other.len() - from + 1);
                input.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Two runs make the same inputs, hundreds of them, and the known ones come first.
    #[test]
    fn a_run_is_the_same_again() {
        let inputs = || {
            let seen = RefCell::new(Vec::new());
            run("nothing", &[b"max-age=60, public".as_slice(), b"no-store"], |input| {
                seen.borrow_mut().push(input.to_vec());
            });
            seen.into_inner()
        };
        let seen = inputs();
        assert_eq!(seen[..3], [b"max-age=60, public".to_vec(), b"no-store".to_vec(), Vec::new()]);
        let mut different = seen.clone();
        different.sort();
        different.dedup();
        assert!(different.len() > ROUNDS / 2, "{} inputs", different.len());
        assert_eq!(seen, inputs());
    }

    /// A decoder that breaks on one byte behind another is found out.
    #[test]
    fn a_broken_decoder_is_found() {
        let broken = std::panic::catch_unwind(|| {
            run("nothing", &[b"max-age=60"], |input| assert!(!input.windows(2).any(|two| two == b"=\"")));
        });
        assert!(broken.is_err());
    }
}
