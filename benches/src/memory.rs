//! What L0 takes of the machine's memory for each object, beside its body and head.
//!
//! The figure is the growth of the process as the system counts it, so what the allocator rounds up is in it.
//! Bodies are symbols of a few bytes and all objects share one head; both would come on top.

use crate::engine::Origin;
use std::{fs, process::ExitCode};
use tiergate_engine::{CacheKey, Eviction};

pub(crate) fn measure(objects: u64) -> ExitCode {
    let Some(before) = resident_bytes() else {
        eprintln!("/proc/self/status does not tell VmRSS: this bench needs Linux");
        return ExitCode::from(2);
    };
    let mut origin = Origin::new(Eviction::Lru);
    (0..objects).for_each(|object| {
        let spread = u128::from(object).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        origin.fetch(CacheKey(spread));
    });
    let after = resident_bytes().unwrap_or(before);
    let each = after.saturating_sub(before) as f64 / objects as f64;
    println!("{objects} objects: {each:.0} bytes of memory for each, without body and head (lru)");
    ExitCode::SUCCESS
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
