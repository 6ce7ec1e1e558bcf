//! The profile of a seed: one full of faults, or a calm one with some of the tiers disabled.
//!
//! A calm life draws its workload, and how its tiers are made, from the same seed; it has every tier but
//! those that are disabled, one edge, no faults, and messages that take no time. What must hold there is in
//! `flat`.

use crate::explore::{
    world::draws::Draw,
    world::plan::{Faults, PerMille, Work},
};
use std::time::Duration;
use tiergate_engine::{ByteCount, RawCollapse, RawConfig, RawDurableTier, RawFill, RawHttp};

/// More than everything that is ever stored.
const ROOMY: ByteCount = ByteCount::mib(1 << 20);
/// A calm request, and all that follows from it, takes less, and a birth is rounded by less.
pub(in crate::explore) const CALM_PAUSE: Duration = Duration::from_millis(10);
/// Tiers, each a bit.
const TIERS: u8 = 4;

/// The profile of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// All that can befall a cache.
    Faulty,
    /// Nothing does, and these tiers are disabled.
    Calm(Disabled),
}

/// Tiers that are disabled: L0 is the lowest bit. Never all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disabled(u8);

/// What a calm life is.
#[derive(Clone, Copy, Debug)]
pub(in crate::explore) struct Calm {
    /// Which rule it checks.
    pub rule: &'static str,
    /// Is there room for everything where it is looked for first?
    pub is_exact: bool,
}

impl Profile {
    /// Every calm life: with all tiers first, then with each other set of them.
    pub fn calm() -> impl Iterator<Item = Self> {
        (0..(1 << TIERS) - 1).map(|bits| Self::Calm(Disabled(bits)))
    }

    /// This one, unless another was given. The faulty one is the simplest: a case of it does not name its
    /// profile.
    pub(in crate::explore) fn told(self, draw: &Draw) -> Self {
        let number = match self {
            Self::Faulty => 0,
            Self::Calm(Disabled(bits)) => 1 + u64::from(bits),
        };
        let number = draw.told("climate", number, 1 << TIERS);
        let bits = u8::try_from(number).expect("it is below its bound").checked_sub(1);
        bits.map_or(Self::Faulty, |bits| Self::Calm(Disabled(bits)))
    }
}

impl Disabled {
    fn has(self, tier: u8) -> bool {
        self.0 & 1 << tier != 0
    }

    /// The configuration without these tiers, and with nothing in it in which time could show.
    pub(in crate::explore) fn calmed(self, draw: &Draw, raw: RawConfig, work: &Work) -> (RawConfig, Calm) {
        let is_roomy = draw.coin("calm.roomy", 500);
        let forgets_uncacheable = raw.collapse.uncacheable_s == 0 || work.unstorable == PerMille(0);
        let mut raw = RawConfig {
            l0: Some(raw.l0.unwrap_or_default()),
            // A body that comes all at once must not outrun its lanes.
            fill: RawFill { read_size: raw.fill.read_size, ..RawFill::default() },
            collapse: RawCollapse { uncacheable_s: raw.collapse.uncacheable_s, ..RawCollapse::default() },
            http: RawHttp { stale_if_error_s: 0, stale_while_revalidate_s: 0, ..raw.http },
            l3: raw.l3.map(|l3| RawDurableTier { idle_s: 7_200, total_s: 7_200, ..l3 }),
            ..raw
        };
        raw.l0 = raw.l0.filter(|_| !self.has(0));
        raw.l1 = raw.l1.filter(|_| !self.has(1));
        raw.l2 = raw.l2.filter(|_| !self.has(2));
        raw.l3 = raw.l3.filter(|_| !self.has(3));
        // Where it is tight, the lowest alone has room for everything.
        let (has_l1, has_l2, has_l3) = (raw.l1.is_some(), raw.l2.is_some(), raw.l3.is_some());
        if let Some(l0) = raw.l0.as_mut().filter(|_| is_roomy || !(has_l1 || has_l2 || has_l3)) {
            (l0.capacity, l0.gate) = (ROOMY, ByteCount::UNLIMITED);
        }
        if let Some(l1) = raw.l1.as_mut().filter(|_| is_roomy || !(has_l2 || has_l3)) {
            l1.gate = ByteCount::UNLIMITED;
        }
        if let Some(l2) = raw.l2.as_mut().filter(|_| is_roomy || !has_l3) {
            (l2.capacity, l2.gate) = (ROOMY, ByteCount::UNLIMITED);
        }
        if let Some(l3) = &mut raw.l3 {
            l3.gate = ByteCount::UNLIMITED;
        }
        let rule = if self.0 == 0 { "MM1" } else { "MM2" };
        // L3 keeps no variants.
        let keeps_variants = raw.l0.is_some() || has_l1 || has_l2;
        let is_exact = is_roomy && forgets_uncacheable && (keeps_variants || work.vary == PerMille(0));
        (raw, Calm { rule, is_exact })
    }
}

/// The same workload, in which messages take no time.
pub(in crate::explore) fn calmed_work(work: Work) -> Work {
    Work { latency: Duration::ZERO, exact: PerMille(0), ..work }
}

/// Purges stay: they are no faults.
pub(in crate::explore) fn calmed_faults(faults: Faults) -> Faults {
    Faults { purges: faults.purges, ..Faults::default() }
}
