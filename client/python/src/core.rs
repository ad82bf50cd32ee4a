//! The client as Python holds it: one runtime with one thread, one connection, one stream of ended tasks.

#![expect(clippy::needless_pass_by_value, reason = "pyo3 makes arguments out of Python's by value")]

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyTuple};
use raftwork_api::kernel::{InParts, PayloadId, Submit, limits};
use raftwork_client::{Client, FinishedTasks, NewFunction, NewMap, Settings, Watcher};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::convert::{self, PackOrItem, RetryTuple};
use crate::errors::{IntoPython, closed, forked};
use crate::options::Options;
use crate::wait::wait;

/// A connection to a cluster; see `raftwork._core` for the methods.
#[pyclass(frozen, module = "raftwork._core")]
pub(crate) struct Core {
    inner: Mutex<Option<Arc<Inner>>>,
    /// The process that made it: threads do not survive a fork.
    pid: u32,
}

struct Inner {
    /// Dropped by hand, because a runtime must not be waited for with the GIL held.
    runtime: ManuallyDrop<Runtime>,
    client: Client,
    watcher: Watcher,
    /// Taken out while somebody waits at it.
    finished: Mutex<Option<FinishedTasks>>,
    /// Tells the one who waits that the client was closed.
    closing: watch::Sender<bool>,
}

impl Inner {
    fn connect(urls: &[String], patience: Duration) -> PyResult<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("raftwork").enable_all().build()?;
        let entered = runtime.enter();
        let settings = Settings { patience, ..Settings::default() };
        let client = Client::with_settings(urls, settings)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let (watcher, finished) = client.watcher();
        let closing = watch::Sender::new(false);
        drop(entered);
        let runtime = ManuallyDrop::new(runtime);
        Ok(Self { runtime, client, watcher, finished: Mutex::new(Some(finished)), closing })
    }

    fn finished(&self) -> std::sync::MutexGuard<'_, Option<FinishedTasks>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    #[expect(unsafe_code, reason = "taking a value out of ManuallyDrop")]
    fn drop(&mut self) {
        // SAFETY: `self` is being dropped, so nobody uses the field after this.
        let runtime = unsafe { ManuallyDrop::take(&mut self.runtime) };
        runtime.shutdown_background();
    }
}

impl Core {
    fn inner(&self) -> PyResult<Arc<Inner>> {
        if std::process::id() != self.pid {
            return Err(forked());
        }
        self.slot().clone().ok_or_else(closed)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Inner>>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let inner = self.slot().take();
        if std::process::id() != self.pid {
            // The runtime's threads and locks belong to the parent; touching them here could hang.
            std::mem::forget(inner);
        }
    }
}

#[pymethods]
impl Core {
    #[new]
    fn new(urls: Vec<String>, patience: f64) -> PyResult<Self> {
        let patience = Duration::try_from_secs_f64(patience)
            .map_err(|error| PyValueError::new_err(format!("patience = {patience}: {error}")))?;
        let inner = Mutex::new(Some(Arc::new(Inner::connect(&urls, patience)?)));
        Ok(Self { inner, pid: std::process::id() })
    }

    #[pyo3(signature = (name, language, code, *, python=None, retry=None, run_max_ms=None, retention_ms=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments, as Python has them")]
    fn register<'py>(
        &self,
        py: Python<'py>,
        name: String,
        language: &str,
        code: PyBackedBytes,
        python: Option<(u8, u8)>,
        retry: Option<RetryTuple>,
        run_max_ms: Option<u64>,
        retention_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let inner = self.inner()?;
        let function = NewFunction {
            name,
            language: convert::language(language)?,
            code: Bytes::copy_from_slice(&code),
            python: python.map(convert::python_version),
            retry: retry.map(convert::retry).unwrap_or_default(),
            run_max: convert::millis(run_max_ms),
            retention: convert::millis(retention_ms).unwrap_or(limits::RETENTION_DEFAULT),
        };
        let answer = wait(py, &inner.runtime, inner.client.register(&function))?;
        let id = answer.map_err(|error| error.into_python(py))?;
        Ok(PyBytes::new(py, id.as_bytes()))
    }

    #[pyo3(signature = (function, ids, args, options=None, *, watch=true, results_of=Vec::new()))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments, as Python has them")]
    fn submit(
        &self,
        py: Python<'_>,
        function: &[u8],
        ids: Vec<PyBackedBytes>,
        args: Vec<PyBackedBytes>,
        options: Option<Options>,
        watch: bool,
        results_of: Vec<PyBackedBytes>,
    ) -> PyResult<u32> {
        let inner = self.inner()?;
        if ids.len() != args.len() {
            let text = format!("{} ids for {} argument payloads", ids.len(), args.len());
            return Err(PyValueError::new_err(text));
        }
        let function = convert::function_id(function)?;
        let tasks = convert::task_ids(&ids)?;
        let items = tasks.into_iter().zip(args.iter().map(|args| Bytes::copy_from_slice(args))).collect();
        let asked = options.unwrap_or_default();
        let submit = Submit { function, options: asked.options(), items };
        let watcher = watch.then_some(&inner.watcher);
        let rules = asked.into_rules(&results_of)?;
        let answer = wait(py, &inner.runtime, inner.client.submit_under(submit, rules, watcher))?;
        answer.map_err(|error| error.into_python(py))
    }

    #[pyo3(signature = (function, id, packs, options=None))]
    fn map(
        &self,
        py: Python<'_>,
        function: &[u8],
        id: &[u8],
        packs: Vec<PackOrItem>,
        options: Option<Options>,
    ) -> PyResult<u32> {
        let inner = self.inner()?;
        let asked = options.unwrap_or_default();
        let map = NewMap {
            id: convert::map_id(id)?,
            function: convert::function_id(function)?,
            options: asked.options(),
            rules: asked.into_rules(&[])?,
            packs: packs.into_iter().map(PackOrItem::into_pack).collect(),
        };
        let answer = wait(py, &inner.runtime, inner.client.map(map))?;
        answer.map(|(items, _)| items).map_err(|error| error.into_python(py))
    }

    fn cancel_map(&self, py: Python<'_>, id: &[u8]) -> PyResult<()> {
        let inner = self.inner()?;
        let map = convert::map_id(id)?;
        wait(py, &inner.runtime, inner.client.cancel_map(map))?.map_err(|error| error.into_python(py))
    }

    fn watch(&self, py: Python<'_>, ids: Vec<PyBackedBytes>) -> PyResult<()> {
        let inner = self.inner()?;
        let tasks = convert::task_ids(&ids)?;
        wait(py, &inner.runtime, inner.watcher.watch(tasks))
    }

    fn finished<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Bound<'py, PyTuple>>>> {
        let inner = self.inner()?;
        let taken = inner.finished().take();
        let mut finished =
            taken.ok_or_else(|| PyRuntimeError::new_err("another thread waits for ended tasks already"))?;
        let mut closing = inner.closing.subscribe();
        let next = async {
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => None,
                batch = finished.next() => batch,
            }
        };
        let batch = wait(py, &inner.runtime, next);
        *inner.finished() = Some(finished);
        let large = |of, said| LargeResult { inner: Arc::downgrade(&inner), pid: self.pid, of, said };
        batch?.map(|batch| convert::finished(py, batch, &large)).transpose()
    }

    fn status(&self, py: Python<'_>, id: &[u8]) -> PyResult<&'static str> {
        let inner = self.inner()?;
        let task = convert::task_id(id)?;
        let answer = wait(py, &inner.runtime, inner.client.status(task))?;
        let (status, _) = answer.map_err(|error| error.into_python(py))?;
        Ok(convert::status_word(status))
    }

    fn cancel(&self, py: Python<'_>, id: &[u8]) -> PyResult<()> {
        let inner = self.inner()?;
        let task = convert::task_id(id)?;
        wait(py, &inner.runtime, inner.client.cancel(task))?.map_err(|error| error.into_python(py))
    }

    fn redrive<'py>(&self, py: Python<'py>, id: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let inner = self.inner()?;
        let task = convert::task_id(id)?;
        let answer = wait(py, &inner.runtime, inner.client.redrive(task))?;
        let into = answer.map_err(|error| error.into_python(py))?;
        Ok(PyBytes::new(py, into.as_bytes()))
    }

    #[pyo3(signature = (method, path, body=None))]
    fn rest<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        path: &str,
        body: Option<PyBackedBytes>,
    ) -> PyResult<(u16, Bound<'py, PyBytes>)> {
        let inner = self.inner()?;
        let method = method.parse().map_err(|_| PyValueError::new_err(format!("'{method}' is no method")))?;
        let body = body.map(|body| Bytes::copy_from_slice(&body));
        let answer = wait(py, &inner.runtime, inner.client.rest().request(method, path, body))?;
        let answer = answer.map_err(|error| error.into_python(py))?;
        Ok((answer.status, PyBytes::new(py, &answer.body)))
    }

    fn close(&self) -> PyResult<()> {
        if std::process::id() != self.pid {
            return Err(forked());
        }
        if let Some(inner) = self.slot().take() {
            inner.closing.send_replace(true);
        }
        Ok(())
    }
}

/// The result of a task that is too large to be told whole; see `raftwork._core`.
#[pyclass(frozen, module = "raftwork._core")]
pub(crate) struct LargeResult {
    inner: Weak<Inner>,
    pid: u32,
    of: PayloadId,
    said: InParts,
}

#[pymethods]
impl LargeResult {
    #[getter]
    const fn size(&self) -> u64 {
        self.said.bytes
    }

    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        if std::process::id() != self.pid {
            return Err(forked());
        }
        let inner = self.inner.upgrade().ok_or_else(closed)?;
        let answer = wait(py, &inner.runtime, inner.client.payload(self.of, &self.said))?;
        let payload = answer.map_err(|error| error.into_python(py))?;
        Ok(PyBytes::new(py, &payload))
    }
}
