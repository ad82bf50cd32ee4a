//! `raftwork._core`: the Rust client and the worker agent, as far as the Python package needs them.
//!
//! A thin layer: it converts values, lets go of the GIL while it waits, and turns errors into the classes of
//! `raftwork.errors`. Pickling, retries of user code and everything that a user sees are Python's.

mod convert;
mod core;
mod errors;
mod options;
mod wait;
mod worker;

use pyo3::prelude::*;

/// The Rust part of Raftwork's Python package; use `raftwork.Client` instead.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::convert::{new_map_id, new_task_ids};
    #[pymodule_export]
    use crate::core::{Core, LargeResult};
    #[pymodule_export]
    use crate::worker::run_worker;

    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
