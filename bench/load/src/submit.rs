//! Submits over Raftwork's framed stream, through its Rust client.

use anyhow::Context;
use bytes::Bytes;
use raftwork_api::kernel::{FunctionId, PythonVersion, Submit, TaskOptions};
use raftwork_client::{Client, NewFunction, new_task_id};

use crate::measure::Writer;

/// The function of all tasks: nothing to run, the argument is only weight.
pub(crate) const SOURCE: &str = "def weigh(text):\n    return len(text)\n";
/// `pickle.dumps(abs, 3)`.
const PICKLED: &[u8] = b"\x80\x03cbuiltins\nabs\nq\x00.";

pub(crate) struct Submitter {
    client: Client,
    function: FunctionId,
    batch: usize,
    args: Bytes,
}

/// A writer for each lane; they share one connection, as the handles of one program do.
pub(crate) async fn writers(
    urls: &[String],
    batch: usize,
    python: Option<PythonVersion>,
    lanes: usize,
    bytes: usize,
) -> anyhow::Result<Vec<Submitter>> {
    let client = Client::connect(urls)?;
    let function = match python {
        Some(version) => NewFunction::pickled("weigh", PICKLED, version),
        None => NewFunction::source("weigh", SOURCE),
    };
    let function = client.register(&function).await.context("cannot register")?;
    let args = match python {
        // Nobody unpickles them but a worker with that Python.
        Some(_) => Bytes::from(vec![b'v'; bytes]),
        None => Bytes::from(serde_json::json!({ "args": ["v".repeat(bytes)] }).to_string()),
    };
    Ok((0..lanes.max(1))
        .map(|_| Submitter { client: client.clone(), function, batch, args: args.clone() })
        .collect())
}

impl Writer for Submitter {
    async fn write(&mut self) -> anyhow::Result<()> {
        let items = (0..self.batch).map(|_| (new_task_id(), self.args.clone())).collect();
        let submit = Submit { function: self.function, options: TaskOptions::default(), items };
        let created = self.client.submit(submit, None).await?;
        anyhow::ensure!(created as usize == self.batch, "{created} tasks of {} were made", self.batch);
        Ok(())
    }
}
