/// Passes in memory, for everything that runs in one process.
#[derive(Debug, Default)]
pub struct MemoryPasses;
