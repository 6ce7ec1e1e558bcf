//! Chance, from one seed.
//!
//! Each user of chance has a generator of its own, split from the seed by name, so that a new draw in one
//! place moves nothing in another.

/// What all chance in one engine, world or workload comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The generator of the user called `name`.
    pub fn split(self, name: &str) -> Random {
        // FNV-1a over the name, then one round of SplitMix64 over both.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut random = Random(self.0 ^ hash);
        random.0 = random.bits();
        random
    }
}

/// A deterministic generator (SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Random(u64);

impl Random {
    /// Sixty-four fresh bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, evenly drawn (Lemire's multiplication; the bias is below 2⁻³² for bounds below
    /// 2³²).
    ///
    /// # Panics
    /// When `bound` is zero: there is nothing to draw.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw needs at least one outcome");
        u64::try_from((u128::from(self.bits()) * u128::from(bound)) >> 64)
            .expect("a product of two u64, shifted by 64, fits u64")
    }

    /// True in `numerator` of `denominator` draws.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// A hundred and twenty-eight fresh bits.
    pub fn wide_bits(&mut self) -> u128 {
        (u128::from(self.bits()) << 64) | u128::from(self.bits())
    }
}
