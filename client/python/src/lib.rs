//! The Python extension: a small, private surface over the Rust worker; everything that a user touches is Python.

mod worker;

use pyo3::prelude::*;

/// `raftwork._core`.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(worker::run_worker, module)?)?;
    Ok(())
}
