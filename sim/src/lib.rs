//! Failure scenarios, exploration and trace replay.

pub mod explore;
pub mod replay;
