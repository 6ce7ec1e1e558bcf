//! Memory to read into, used again: it need not be cleared each time, nor be asked of the system.
//!
//! A buffer comes back when the last of the bytes read into it is dropped, to the thread that does so. Sizes
//! are rounded up to a quarter of a power of two, so that whoever keeps what was read keeps little more than
//! that.

use bytes::Bytes;
use std::cell::RefCell;

/// Buffers that a thread keeps, and the largest of them. What is beyond goes back to the system.
const KEPT_MAX: usize = 32;
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Smaller ones are of this size.
const SIZE_MIN: usize = 4096;

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept { buffers: Vec::new(), bytes: 0 }) };
}

/// What a thread keeps, the last that came back at the end.
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Kept {
    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        let place = self.buffers.iter().rposition(|buffer| buffer.len() == size)?;
        self.bytes -= size;
        Some(self.buffers.swap_remove(place))
    }

    fn put(&mut self, buffer: Vec<u8>) {
        self.bytes += buffer.len();
        self.buffers.push(buffer);
        while self.buffers.len() > KEPT_MAX || self.bytes > KEPT_BYTES_MAX {
            self.bytes -= self.buffers.swap_remove(0).len();
        }
    }
}

/// Memory of at least a size, filled with anything. Dropping it keeps it for another read.
pub(super) struct Buffer {
    /// Its length is that of its class.
    bytes: Vec<u8>,
    wanted: usize,
}

impl Buffer {
    pub(super) fn new(wanted: usize) -> Self {
        let size = class(wanted);
        // A thread that ends has nothing kept.
        let kept = KEPT.try_with(|kept| kept.borrow_mut().take(size)).ok().flatten();
        Self { bytes: kept.unwrap_or_else(|| vec![0; size]), wanted }
    }

    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.wanted]
    }

    /// What was read into it.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.wanted]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // A thread that ends keeps nothing.
        let _ = KEPT.try_with(|kept| kept.borrow_mut().put(bytes));
    }
}

/// The size of the buffers that serve reads of this size.
fn class(wanted: usize) -> usize {
    let step = (wanted.max(SIZE_MIN).next_power_of_two() / 8).max(SIZE_MIN);
    wanted.next_multiple_of(step).max(SIZE_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A class is as large as what is wanted, and hardly larger.
    #[test]
    fn a_class_fits() {
        for wanted in (1..70).chain([4095, 4096, 4097, 69_632, 262_144, 266_240, 524_288, 1_000_000]) {
            let size = class(wanted);
            assert!(size >= wanted && size.is_multiple_of(SIZE_MIN), "{wanted}: {size}");
            assert!(wanted < 4 * SIZE_MIN || size * 4 <= wanted * 5, "{wanted}: {size}");
            assert_eq!(class(size), size);
        }
    }

    /// A buffer is used again once the last of its bytes is gone, and not before.
    #[test]
    fn a_buffer_is_used_again() {
        let mut first = Buffer::new(5_000);
        first.as_mut().fill(7);
        let place = first.as_ref().as_ptr();
        let bytes = first.freeze();
        let part = bytes.slice(100..200);
        drop(bytes);
        assert_ne!(Buffer::new(5_000).as_ref().as_ptr(), place);
        assert_eq!(part, [7; 100][..]);
        drop(part);
        let again = Buffer::new(6_000);
        assert_eq!((again.as_ref().as_ptr(), again.as_ref().len()), (place, 6_000));
    }

    /// What a thread keeps is bounded.
    #[test]
    fn little_is_kept() {
        let buffers: Vec<Buffer> = (0..100).map(|number| Buffer::new(number * 4096)).collect();
        drop(buffers);
        KEPT.with(|kept| {
            let kept = kept.borrow();
            assert!(kept.buffers.len() <= KEPT_MAX && kept.bytes <= KEPT_BYTES_MAX);
            assert_eq!(kept.bytes, kept.buffers.iter().map(Vec::len).sum::<usize>());
        });
    }
}
