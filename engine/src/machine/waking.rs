//! Why an engine wants to be woken.

/// Why the engine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeReason {
    /// A lane may have stalled.
    LaneStall,
    /// A fill asks the origin again.
    Retry,
    /// A wait on the outside is too long.
    Deadline,
    /// A breaker resolves.
    Breaker,
    /// A read of a record is late, and may be asked for twice.
    LateRead,
    /// The lease of an upload into the durable tier is to be renewed.
    LeaseRenewal,
    /// It is time for a round of the durable tier's collector.
    Collection,
}
