//! How often keys were seen of late: a count-min sketch of four-bit counters that are halved now and then
//! (TinyLFU: Einziger, Friedman, Manes, ACM Transactions on Storage 2017).

use alloc::{vec, vec::Vec};

/// Counters that one key has, each in a row of its own.
const ROWS: usize = 4;
/// What a counter stops at.
const COUNT_MAX: u64 = 15;
/// Counters in a word.
const PER_WORD: usize = 16;
/// Columns to begin with; a power of two.
const COLUMNS_MIN: usize = 64;
/// Counted per column before all counters are halved.
const SAMPLE: usize = 10;

/// A sketch with at least one column for each object of the tier that it serves.
#[derive(Debug)]
pub(super) struct Sketch {
    /// Row after row; four bits a column.
    words: [Vec<u64>; ROWS],
    columns: usize,
    counted: usize,
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self { words: core::array::from_fn(|_| words_of(COLUMNS_MIN)), columns: COLUMNS_MIN, counted: 0 }
    }

    /// Makes room for `objects`. A key's counters stay what they were.
    pub(super) fn fit(&mut self, objects: usize) {
        while self.columns < objects {
            for row in &mut self.words {
                // One more bit of a hash counts now, and whatever it is, the key finds a copy of its counter.
                row.extend_from_within(..);
            }
            self.columns *= 2;
        }
    }

    /// Counts one sight of a key.
    pub(super) fn count(&mut self, fingerprint: u64) {
        let estimate = u64::from(self.estimate(fingerprint));
        if estimate < COUNT_MAX {
            // Only the lowest counters rise: the others are too high already, for other keys' sake.
            for row in 0..ROWS {
                let (word, shift) = self.place(row, fingerprint);
                if self.words[row][word] >> shift & COUNT_MAX == estimate {
                    self.words[row][word] += 1 << shift;
                }
            }
        }
        self.counted += 1;
        if self.counted >= self.columns * SAMPLE {
            self.halve();
        }
    }

    /// How often a key was seen, at most.
    pub(super) fn estimate(&self, fingerprint: u64) -> u8 {
        (0..ROWS)
            .map(|row| {
                let (word, shift) = self.place(row, fingerprint);
                (self.words[row][word] >> shift & COUNT_MAX) as u8
            })
            .min()
            .expect("there is at least one row")
    }

    fn halve(&mut self) {
        const THREE_BITS: u64 = 0x7777_7777_7777_7777;
        for word in self.words.iter_mut().flatten() {
            *word = *word >> 1 & THREE_BITS;
        }
        self.counted /= 2;
    }

    /// The word and the shift of a key's counter in a row.
    #[expect(clippy::cast_possible_truncation, reason = "a column is taken from the low bits alone")]
    fn place(&self, row: usize, fingerprint: u64) -> (usize, usize) {
        // Odd multipliers, so that keys which share a column in one row part in the others.
        const SPREAD: [u64; ROWS] =
            [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];
        let mixed = fingerprint.wrapping_mul(SPREAD[row]);
        let column = (mixed ^ mixed >> 32) as usize & (self.columns - 1);
        (column / PER_WORD, column % PER_WORD * 4)
    }
}

fn words_of(columns: usize) -> Vec<u64> {
    vec![0; columns / PER_WORD]
}
