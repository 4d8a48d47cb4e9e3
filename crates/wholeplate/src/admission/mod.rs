//! Admission: which request gets a worker, memory and disk, when, and which one is refused.

pub(crate) mod allocator;
mod compute;
mod estimate;
mod figures;
mod input;
mod memory;
mod pool;
mod queue;
mod reads;
mod spool;

pub(crate) use self::compute::Compute;
pub(crate) use self::input::InputData;
pub(crate) use self::memory::{MemoryFull, MemoryPermit, MemoryPool, MemoryPools};
pub(crate) use self::pool::{Pool, RenderOutcome, render_here};
pub(crate) use self::queue::Client;
pub(crate) use self::reads::{ReadQueue, ReadTurns};
pub(crate) use self::spool::{InputLength, InputSpace, Spool, SpoolError};
