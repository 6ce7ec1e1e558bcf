//! What every store of the durable tier promises, as one suite for each trait: run on the real stores here,
//! and on imitated ones by the simulator.
//!
//! Start at [`blob_conformance`], [`index_conformance`] and [`feed_conformance`]. Each promise is a function
//! of its own; they use different names, so they may run on one store in any order. Failures (crashes, a
//! server that does not answer) are each store's own tests.

pub mod blobs;
pub mod feed;
pub mod index;
mod rivals;

pub use blobs::blob_conformance;
pub use feed::feed_conformance;
pub use index::index_conformance;

use rivals::all;

/// Bytes without a short period, so that no piece passes for another: SplitMix64, eight bytes a step.
fn bytes_of(number: u64, length: usize) -> bytes::Bytes {
    let mut state = number;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(mixed ^ mixed >> 31).to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
