//! How recent a read of a store must be.

/// How recent a read must be, in DynamoDB's terms (Amazon DynamoDB Developer Guide, "Read consistency").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// The answer reflects every write that succeeded before the read.
    Strong,
    /// The answer may miss the latest writes, and the read costs half. Only for reads whose caller says why a stale answer
    /// does no harm.
    Eventual,
}
