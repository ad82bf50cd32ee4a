//! How a pool of children is set up.

use std::path::PathBuf;
use std::time::Duration;

/// What a pool needs to know before it starts.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// The interpreter that runs user code; the one of the user's virtual environment.
    pub python: PathBuf,
    /// The folder of the installed Python package (`.../raftwork`), which holds `_runtime/`.
    pub package_dir: PathBuf,
    /// How many tasks run at once, each in a child of its own.
    pub slots: usize,
    /// Folders put in front of `sys.path`, for functions that were pickled by reference.
    pub path_dirs: Vec<PathBuf>,
    /// Modules that the zygote imports once, so that children start with them.
    pub preload: Vec<String>,
    /// Largest resident size of a task's process tree, in bytes; above it the task is killed.
    pub memory_limit: Option<u64>,
    /// When a child is replaced between tasks.
    pub recycle: Recycle,
    /// How long a task may go on after it was asked to stop, before its process group is killed.
    pub grace: Duration,
    /// Largest encoded result, in bytes; a larger one fails the task.
    pub result_bytes_max: usize,
    /// Processors that one slot may use: the value of `OMP_NUM_THREADS` and its like, unless set.
    pub cpus_per_slot: usize,
}

impl PoolOptions {
    /// Options with the defaults of `raftwork worker`: no limits, 5 s of grace, results up to 64 MiB.
    pub fn new(python: impl Into<PathBuf>, package_dir: impl Into<PathBuf>, slots: usize) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            python: python.into(),
            package_dir: package_dir.into(),
            slots,
            path_dirs: Vec::new(),
            preload: Vec::new(),
            memory_limit: None,
            recycle: Recycle::default(),
            grace: Duration::from_secs(5),
            result_bytes_max: 64 << 20,
            cpus_per_slot: (cpus / slots.max(1)).max(1),
        }
    }
}

/// When a child is replaced between two tasks; its replacement is started first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recycle {
    /// After so many tasks.
    pub max_tasks: Option<u64>,
    /// When its resident size after a task is larger than this, in bytes.
    pub max_rss: Option<u64>,
}
