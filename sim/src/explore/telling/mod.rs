//! A run in words: as a story, and each fact for itself.

pub(super) mod story;
