//! Which objects are asked for.

use tiergate_engine::Seed;

/// As on the web: the n-th most popular object is asked for in proportion to n to the power of minus this
/// (Breslau et al., INFOCOM 1999).
const EXPONENT: f64 = 0.9;

/// `count` draws among `objects`, the same for each seed. Popularity has nothing to do with order.
pub(crate) fn draws(objects: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut sums = Vec::with_capacity(objects);
    let mut sum = 0.0;
    for rank in 1..=objects {
        sum += (rank as f64).powf(-EXPONENT);
        sums.push(sum);
    }
    let mut random = Seed(seed).split("zipf");
    let mut shuffled: Vec<usize> = (0..objects).collect();
    for at in (1..objects).rev() {
        shuffled.swap(at, random.below(at as u64 + 1) as usize);
    }
    let draw = |random: &mut tiergate_engine::Random| {
        let at = random.below(1 << 53) as f64 / (1_u64 << 53) as f64 * sum;
        shuffled[sums.partition_point(|other| *other < at).min(objects - 1)]
    };
    (0..count).map(|_| draw(&mut random)).collect()
}
