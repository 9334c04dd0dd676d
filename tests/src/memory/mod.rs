//! The ports of the functions in memory, in place of AWS. They answer as AWS does: the suites of `tests/stores` run against both.

mod activity;
mod breakers;
mod import_jobs;
mod index;
mod key_index;
mod lagging_map;
mod logs;
mod mappings;
mod orders;
mod owed;
mod passes;
mod queues;
mod reports;

pub use activity::MemoryActivity;
pub use breakers::MemoryBreakers;
pub use import_jobs::MemoryImportJobs;
pub use logs::MemoryLogs;
pub use mappings::MemoryMappings;
pub use orders::MemoryOrders;
pub use owed::MemoryOwed;
pub use passes::MemoryPasses;
pub use queues::{DeadLetter, MemoryQueue, QueuedMessage, Redrive, handling};
pub use reports::MemoryReports;
