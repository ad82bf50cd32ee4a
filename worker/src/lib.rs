//! The worker: leases tasks from the cluster and runs them in Python child processes.
//!
//! [`run`] is the whole of it. Inside, `agent` decides (pure), `runner` carries out, `python` owns the processes:
//!
//! | file | what |
//! |---|---|
//! | `config`, `times` | what the worker is told, and the times that it chooses |
//! | `agent` | pure: leases, heartbeats, reports, asks, self-stop, drain |
//! | `runner` | the loop between the agent and the world |
//! | `line`, `route`, `connection` | the way to the leader: keep one connection, where to look next, frames |
//! | `jobs`, `outcome` | tasks given to children, and what is reported of them |
//! | `payloads` | arguments and results in parts |
//! | `shutdown`, `exit` | being told to leave, and how a worker ends |
//! | `python` | Python children: zygote, limits, captured output |

mod agent;
mod config;
mod connection;
mod exit;
mod jobs;
mod line;
mod outcome;
mod payloads;
pub mod python;
mod route;
mod runner;
mod shutdown;
mod times;

pub use self::config::{ConfigError, SLOTS_MAX, WorkerConfig};
pub use self::exit::{ExitReason, WorkerError};
pub use self::runner::{run, run_blocking};
pub use self::shutdown::{Shutdown, ShutdownHandle};
