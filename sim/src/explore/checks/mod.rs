//! What is held against a run beside the rules over facts: each knows something of the world that an engine
//! must agree with.

pub(super) mod attempts;
pub(super) mod flat;
pub(super) mod fresh;
pub(super) mod observed;
pub(super) mod remote_purges;
