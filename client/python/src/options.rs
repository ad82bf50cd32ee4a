//! What a submit of Python's asks for.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use raftwork_api::kernel::{After, Millis, OnFailure, Rule, Rules, TaskOptions, WallTime, limits};

use crate::convert::{self, RetryTuple};

/// A key and how many tasks under it may be leased at a time.
type Concurrency = (String, u32);
/// A key, how many tasks under it may start, and within how many milliseconds.
type Rate = (String, u32, u64);

/// `raftwork._function.TaskOptions`, read by the names of its fields.
#[derive(Default, FromPyObject)]
pub(crate) struct Options {
    priority: Option<u8>,
    delay_ms: Option<u64>,
    retry: Option<RetryTuple>,
    run_max_ms: Option<u64>,
    tags: Option<Vec<String>>,
    no_retry: Option<Vec<String>>,
    start_by_ms: Option<u64>,
    total_ms: Option<u64>,
    run_at_ms: Option<u64>,
    concurrency: Option<Concurrency>,
    rate: Option<Rate>,
    after: Option<Vec<PyBackedBytes>>,
    on_failure: Option<String>,
}

impl Options {
    /// What the kernel has an option for.
    pub(crate) fn options(&self) -> TaskOptions {
        TaskOptions {
            priority: self.priority.unwrap_or(limits::PRIORITY_DEFAULT),
            delay: Millis(self.delay_ms.unwrap_or(0)),
            retry: self.retry.map(convert::retry),
            run_max: convert::millis(self.run_max_ms),
            python: None,
        }
    }

    /// What the kernel has a rule for.
    ///
    /// The task runs after those whose results are to be given to it, too.
    pub(crate) fn into_rules(self, results_of: &[PyBackedBytes]) -> PyResult<Rules> {
        let some = |names: &Vec<String>| !names.is_empty();
        let after = after(self.after.as_deref().unwrap_or_default(), results_of, self.on_failure.as_deref())?;
        let tags = self.tags.filter(some).map(|tags| Rule::Tags(tags.into_iter().collect()));
        let no_retry = self.no_retry.filter(some).map(|names| Rule::NoRetry(names.into_iter().collect()));
        let start_by = convert::millis(self.start_by_ms).map(Rule::StartBy);
        let total = convert::millis(self.total_ms).map(Rule::Total);
        let run_at = self.run_at_ms.map(|at| Rule::RunAt(WallTime(at)));
        let concurrency = self.concurrency.map(|(key, max)| Rule::Concurrency { key, max });
        let rate = self.rate.map(|(key, max, per)| Rule::Rate { key, max, per: Millis(per) });
        Ok([tags, no_retry, start_by, total, run_at, concurrency, rate, after]
            .into_iter()
            .flatten()
            .collect())
    }
}

fn after(
    tasks: &[PyBackedBytes],
    results_of: &[PyBackedBytes],
    on_failure: Option<&str>,
) -> PyResult<Option<Rule>> {
    let policy = match on_failure {
        None => None,
        Some("fail") => Some(OnFailure::Fail),
        Some("run") => Some(OnFailure::Run),
        Some(other) => {
            let text = format!("on_failure = '{other}' is neither 'fail' nor 'run'");
            return Err(PyValueError::new_err(text));
        }
    };
    let results = convert::task_ids(results_of)?.into_iter().collect();
    let after = After::of(convert::task_ids(tasks)?, results, policy);
    Ok(after.map_err(PyValueError::new_err)?.map(Rule::After))
}
