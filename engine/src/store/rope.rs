//! The end of a body that fills no block yet: the slices as they came, not copied.

use alloc::{collections::VecDeque, vec::Vec};
use bytes::{Bytes, BytesMut};

/// Slices that are held at most: beyond that, so short ones came that they are copied together.
const SLICES_MAX: usize = 1024;

/// Bytes in several slices.
#[derive(Debug, Default)]
pub(super) struct Rope {
    slices: VecDeque<Bytes>,
    length: usize,
}

impl Rope {
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.length += bytes.len();
        if !bytes.is_empty() {
            self.slices.push_back(bytes);
        }
    }

    /// Takes the first bytes off. There are so many.
    pub(super) fn split_to(&mut self, length: usize) -> Vec<Bytes> {
        let (mut taken, mut left) = (Vec::new(), length);
        while left > 0 {
            let mut slice = self.slices.pop_front().expect("the caller asks for what there is");
            if slice.len() > left {
                self.slices.push_front(slice.split_off(left));
            }
            left -= slice.len();
            taken.push(slice);
        }
        self.length -= length;
        taken
    }

    /// All of it.
    pub(super) fn slices(&self) -> Vec<Bytes> {
        self.slices.iter().cloned().collect()
    }

    /// Copies what is less than a block together if it came in very many slices.
    pub(super) fn gather(&mut self) {
        if self.slices.len() > SLICES_MAX {
            let mut all = BytesMut::with_capacity(self.length);
            self.slices.iter().for_each(|slice| all.extend_from_slice(slice));
            self.slices = VecDeque::from([all.freeze()]);
        }
    }

    /// The bytes from an offset on, up to the end of a slice and at most so many.
    pub(super) fn part(&self, offset: usize, length_max: u64) -> Bytes {
        part_of(self.slices.iter(), offset, length_max)
    }
}

/// The bytes from an offset on, up to the end of a slice and at most so many; none past the end.
pub(super) fn part_of<'b>(
    slices: impl Iterator<Item = &'b Bytes>,
    mut offset: usize,
    length_max: u64,
) -> Bytes {
    for slice in slices {
        if offset < slice.len() {
            let length = (slice.len() - offset).min(usize::try_from(length_max).unwrap_or(usize::MAX));
            return slice.slice(offset..offset + length);
        }
        offset -= slice.len();
    }
    Bytes::new()
}

#[cfg(test)]
mod tests {
    use super::{super::blocks::length, *};

    fn joined(slices: &[Bytes]) -> Vec<u8> {
        slices.concat()
    }

    /// Whatever the slices, what goes in comes out in order, and can be read at any offset meanwhile.
    #[test]
    fn bytes_come_out_in_order() {
        let all: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        for size in [1, 2, 7, 300] {
            let mut rope = Rope::default();
            all.chunks(size).for_each(|slice| rope.push(Bytes::copy_from_slice(slice)));
            let first = rope.split_to(1_234);
            assert_eq!((length(&first), rope.len()), (1_234, 3_766));
            rope.gather();
            for offset in 0..3_766 {
                let part = rope.part(offset, 5);
                assert!(!part.is_empty() && part[..] == all[1_234 + offset..][..part.len()]);
            }
            assert!(rope.part(3_766, 5).is_empty());
            assert_eq!([joined(&first), joined(&rope.slices())].concat(), all);
        }
    }
}
