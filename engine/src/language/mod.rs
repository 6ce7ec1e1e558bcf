//! What the engine is told, asks for and says, and the words of that: requests, heads, keys, names, reasons,
//! times, sizes.
//!
//! It decides nothing. Start at [`input`], [`effect`] and [`event`].

pub(crate) mod answer;
pub(crate) mod chunk;
pub(crate) mod effect;
pub(crate) mod event;
pub(crate) mod head;
pub(crate) mod id;
pub(crate) mod input;
pub(crate) mod key;
pub(crate) mod reason;
pub(crate) mod record;
pub(crate) mod recording;
pub(crate) mod resident;
pub(crate) mod selector;
pub(crate) mod time;
pub(crate) mod units;
