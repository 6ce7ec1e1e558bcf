//! What the tiers on servers that edges share have in common: the names of what they store, a head as it is
//! stored, and a body on its way there, in parts.

pub(crate) mod keys;
pub(crate) mod stored_head;
pub(crate) mod writer;
