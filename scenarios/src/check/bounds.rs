//! What a value is held against, and how it is told that it is out of bounds.

use super::OutOfBounds;
use crate::{Between, time::written};
use std::fmt::Display;
use tiergate_engine::ByteCount;

pub(super) fn holds(
    holds: bool,
    field: &str,
    value: impl Display,
    bound: impl Display,
) -> Result<(), OutOfBounds> {
    if holds { Ok(()) } else { Err(OutOfBounds::new(field, value, bound)) }
}

pub(super) fn bytes(size: Between<ByteCount>) -> Between<u64> {
    Between(size.0.0, size.1.0)
}

pub(super) fn number(value: impl Into<u64>, least: u64, most: u64, field: &str) -> Result<(), OutOfBounds> {
    let value = value.into();
    holds((least..=most).contains(&value), field, value, format_args!("{least} to {most}"))
}

pub(super) fn time(value_ms: u64, least_ms: u64, most_ms: u64, field: &str) -> Result<(), OutOfBounds> {
    let bound = format!("{} to {}", written(least_ms), written(most_ms));
    holds((least_ms..=most_ms).contains(&value_ms), field, written(value_ms), bound)
}

pub(super) fn times(
    value: Between<u64>,
    least_ms: u64,
    most_ms: u64,
    field: &str,
) -> Result<(), OutOfBounds> {
    let Between(low, high) = value;
    holds(
        least_ms <= low && low <= high && high <= most_ms,
        field,
        format_args!("[{}, {}]", written(low), written(high)),
        format_args!("two times in order, from {} to {}", written(least_ms), written(most_ms)),
    )
}

pub(super) fn range(value: Between<u64>, least: u64, most: u64, field: &str) -> Result<(), OutOfBounds> {
    let Between(low, high) = value;
    holds(
        least <= low && low <= high && high <= most,
        field,
        format_args!("[{low}, {high}]"),
        format_args!("two numbers in order, from {least} to {most}"),
    )
}
