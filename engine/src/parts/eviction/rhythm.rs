//! Does an object come in even steps? So does whatever is read round and round.
//!
//! Where more goes round than fits, whoever came last has the longest to wait: to keep it keeps nobody until
//! its turn comes, and to let it go keeps those who are in.

/// How much a step may differ from the one before, as a divisor of it.
const TOLERANCE_DIVISOR: u32 = 16;
/// As many even steps, one after the other, are no chance.
const EVEN_STEPS: u8 = 2;

/// When an object came, and in which steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    /// By a clock that counts what is asked for, and may wrap.
    came: u32,
    /// The time between the last two comings; zero before there were two.
    step: u32,
    /// How many steps were as long as the one before, up to the last.
    even_steps: u8,
}

impl Rhythm {
    /// Of an object that comes for the first time.
    pub(super) const fn new(now: u32) -> Self {
        Self { came: now, step: 0, even_steps: 0 }
    }

    /// The object came again.
    pub(super) const fn come(self, now: u32) -> Self {
        let step = now.wrapping_sub(self.came);
        let is_even = self.step > 0 && step.abs_diff(self.step) <= self.step / TOLERANCE_DIVISOR;
        let even_steps = if is_even { self.even_steps.saturating_add(1) } else { 0 };
        Self { came: now, step, even_steps }
    }

    /// The object was used while it was in: it need not go for the others' sake.
    pub(super) const fn on_used(&mut self) {
        self.even_steps = 0;
    }

    /// Will it be long before the object comes again?
    pub(super) const fn is_even(self) -> bool {
        self.even_steps >= EVEN_STEPS
    }
}
