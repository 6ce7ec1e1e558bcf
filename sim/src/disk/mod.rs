//! L2's store on a simulated device: histories, crashes at every boundary, and a device that misbehaves.
//!
//! The store is the engine's own (`tiergate_engine::store`); imitated is the device beneath it, sector by
//! sector ([`device`]). A [`history`] asks the store for fills, reads, deletions and freshenings, several at
//! once, and knows after each step what a crash may leave of every key; [`crash`] lets it crash there, in
//! every way that the device may, and looks. [`scan`] reads the device by itself, from `docs/format.md`, and
//! says what is on it.

mod answers;
pub mod crash;
pub mod device;
pub mod history;
pub mod known;
pub mod misbehaving;
pub mod objects;
pub mod plan;
pub mod prove;
pub mod scan;
pub mod sectors;
pub mod shrinking;
