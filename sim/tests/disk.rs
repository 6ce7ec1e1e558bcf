//! L2's store on the simulated device: crashes at every boundary, rot in every bit, and a device that misbehaves.

use tiergate_sim::disk::{
    crash::{Enumerated, enumerate},
    history::Plan,
};

/// Histories whose every boundary is a crash.
const HISTORIES: u64 = 20;

/// Wherever the power fails, each key is absent, old or new; what was acknowledged as durable is there, what was
/// acknowledged as deleted is not; and the sums are those of what is on the device (D4, D5).
#[test]
fn a_crash_at_any_boundary_leaves_absent_old_or_new() {
    let mut total = Enumerated::default();
    for seed in 0..HISTORIES {
        enumerate(Plan::small(seed), &mut total);
    }
    println!("{total:?}");
    for what in ["committed", "deleted", "freshened", "reclaimed", "dropped", "moved", "abandoned", "read whole", "synced"] {
        assert!(total.seen.get(what).is_some_and(|count| *count >= HISTORIES), "{what}: {total:?}");
    }
    assert!(total.boundaries > 100 * HISTORIES && total.lost > 0 && total.found > total.crashes, "{total:?}");
}
