//! Python children: a pool of processes that run user functions, one task at a time each.
//!
//! The agent never runs user code. It execs a zygote (see `python/raftwork/_runtime`), which forks
//! one child per slot; a [`Pool`] gives a [`Job`] to a free child and turns whatever happens to it,
//! a result, an exception, a crash, a hang, into one [`JobOutcome`]. Leases, heartbeats and retries
//! are not known here.
//!
//! | file | what |
//! |---|---|
//! | `pool` | slots, idle children, recycling |
//! | `child` | one child: its descriptors, its end |
//! | `run` | one task on one child |
//! | `watch` | pure: when to interrupt and when to kill |
//! | `zygote`, `control`, `spawner` | the zygote's link, its messages, the thread that execs it |
//! | `frame`, `functions` | pure: frames of descriptors 3 and 4, which functions a child knows |
//! | `output`, `memory` | captured output, resident size of a process tree |
//! | `report`, `pickle` | pure: the words and the pickled exception for a task that lost its child |

mod child;
mod control;
mod frame;
mod functions;
mod job;
mod memory;
mod options;
mod output;
mod pickle;
mod pool;
mod report;
mod run;
mod spawner;
mod watch;
mod zygote;

pub use self::job::{
    FunctionKey, FunctionKind, Job, JobError, JobErrorKind, JobOutcome, JobSuccess, Listener,
};
pub use self::options::{PoolOptions, Recycle};
pub use self::output::Captured;
pub use self::pickle::exception_pickle;
pub use self::pool::Pool;
pub use self::zygote::{PythonVersion, StartError};
