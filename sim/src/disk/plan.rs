//! What one history is made of, drawn from its seed.

use super::{device::Device, scan::Shape};
use tiergate_engine::{
    Seed,
    store::{Geometry, RawGeometry, Store, StoreFault},
};

/// What a history is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where all its chance comes from.
    pub seed: u64,
    /// How the device is cut up.
    pub geometry: RawGeometry,
    /// Targets that are asked for.
    pub targets: u64,
    /// Tasks in all.
    pub tasks: u32,
    /// One fill in so many has a body of several blocks; the others have one.
    pub large_one_in: u64,
    /// The longest body.
    pub length_max: u64,
    /// A fault in the store, planted on purpose. None without the feature `plant`.
    pub plant: Option<StoreFault>,
}

impl Plan {
    /// A small device with short segments, so that a few dozen fills lap it.
    pub fn small(seed: u64) -> Self {
        let mut chance = Seed(seed).split("plan");
        // From one history to the next: few keys or many, small bodies or large, short laps or long.
        let (segments, tasks) =
            [(7, 110), (8, 110), (6, 150)][usize::try_from(seed % 3).expect("a small number")];
        let segment_bytes = if seed.is_multiple_of(2) { 8_192 } else { 16_384 };
        let geometry = RawGeometry { segments, segment_bytes, sector_bytes: 512, block_bytes: 1_024 };
        let (targets, large_one_in) = (3 + chance.below(9), 2 + chance.below(5));
        let length_max = 2_000 + chance.below(segment_bytes);
        Self { seed, geometry, targets, tasks, large_one_in, length_max, plant: None }
    }

    /// A device of sectors and segments as they are usual: everything that is open has room there.
    pub fn roomy(seed: u64) -> Self {
        let geometry =
            RawGeometry { segments: 16, segment_bytes: 262_144, sector_bytes: 4_096, block_bytes: 8_192 };
        Self {
            geometry,
            targets: 30,
            large_one_in: 2,
            length_max: 100_000,
            tasks: 1_200,
            ..Self::small(seed)
        }
    }

    /// The longest chunk of a body that is written at once.
    pub fn chunk_max(&self) -> u64 {
        u64::from(self.geometry.block_bytes) * 5 / 2
    }

    /// The same device for those who read it by themselves.
    pub fn shape(&self) -> Shape {
        Shape {
            segment_bytes: usize::try_from(self.geometry.segment_bytes).expect("a small segment"),
            sector_bytes: self.geometry.sector_bytes as usize,
        }
    }

    /// An empty device.
    pub fn device(&self) -> Device {
        let Shape { segment_bytes, sector_bytes } = self.shape();
        let chance = Seed(self.seed).split("device");
        Device::new(self.geometry.segments as usize, segment_bytes, sector_bytes, chance)
    }

    /// A store that knows nothing yet.
    pub fn store(&self) -> Store {
        let geometry = Geometry::try_from(self.geometry).expect("the plan's geometry holds together");
        let store = Store::new(geometry, Seed(self.seed));
        #[cfg(feature = "plant")]
        if let Some(fault) = self.plant {
            return store.with_fault(fault);
        }
        store
    }
}
