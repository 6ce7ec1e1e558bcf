//! What edges tell each other of a purge.

use crate::language::{
    selector::{PurgeMode, Selector},
    time::WallTime,
};
use serde::{Deserialize, Serialize};

/// One purge, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub selector: Selector,
    /// What happens to that.
    pub mode: PurgeMode,
    /// When it was asked for, on the calendar of the edge that was asked.
    pub at: WallTime,
}
