//! The functions of a run, and registering more of them all the time.

use std::time::Duration;

use anyhow::{Context, ensure};
use raftwork_api::kernel::{FunctionId, PythonVersion, RetryPolicy};
use raftwork_api::{paths, task_of_key};
use raftwork_client::{Client, NewFunction};
use serde_json::{Value, json};

use super::caller::Caller;
use super::http::Ask;
use super::shared::{Shared, Stage};
use crate::history::{Call, Fingerprint, Outcome, Reply};

/// The Python that raw workers say they have, so that tasks meant for them go to them alone. No real one will have it.
pub(super) const RAW_PYTHON: PythonVersion = PythonVersion { major: 3, minor: 99 };
/// Pause between two functions that are registered beside the load.
const PAUSE: Duration = Duration::from_millis(300);
/// Attempts of a task before its failure is final.
const ATTEMPTS: u16 = 3;

/// What Python workers run: offer the effect to the register, then compute what [`result_of`] says. Some take a second for
/// that, so that workers die with an effect behind them and no result, and there is a second effect of the task.
const WORK: &str = r#"
def work(number):
    import socket
    import time
    from raftwork import current_task
    task = current_task()
    with socket.create_connection(("127.0.0.1", PORT), timeout=10) as register:
        register.sendall(f"{task.id} {task.token}\n".encode())
        register.recv(16)
    if number % 20 == 0:
        time.sleep(1)
    return number * number + 7
"#;

/// The functions of a run.
#[derive(Debug)]
pub(super) struct Functions {
    /// Run by raw workers.
    pub(super) raw: FunctionId,
    /// Run by Python workers.
    pub(super) python: Option<FunctionId>,
}

/// What a task with this number returns.
pub(super) const fn result_of(number: u64) -> u64 {
    number * number + 7
}

impl Functions {
    /// Registers the functions; Python tasks offer their effects at `port`.
    ///
    /// # Errors
    /// When the cluster does not take them.
    pub(super) async fn register(shared: &Shared, port: u16) -> anyhow::Result<Self> {
        let client = Client::connect(shared.http.urls())?;
        let retry = RetryPolicy { max_attempts: ATTEMPTS, initial_ms: 50, max_ms: 1_000 };
        let mut raw = NewFunction::source("raw", "def raw(number):\n    return number * number + 7\n");
        raw.python = Some(RAW_PYTHON);
        raw.retry = retry;
        let workers = client.rest().workers().await?.workers;
        let python = match workers.first() {
            None => None,
            Some(worker) => {
                let mut work = NewFunction::source("work", WORK.replace("PORT", &port.to_string()));
                work.python = Some(worker.python.parse().context("a worker says which Python it has")?);
                work.retry = retry;
                Some(register(shared, &client, &work).await?)
            }
        };
        Ok(Self { raw: register(shared, &client, &raw).await?, python })
    }
}

async fn register(shared: &Shared, client: &Client, function: &NewFunction) -> anyhow::Result<FunctionId> {
    let process = shared.new_process();
    let id = function.to_register().function;
    let call = Call::Register { function: Some(id), code: Fingerprint::of(&function.code) };
    let op = shared.recorder.invoke(process, None, call);
    let registered = client.register(function).await;
    let outcome = match &registered {
        Ok(function) => Outcome::Ok(Reply::Registered { function: *function }),
        Err(error) => Outcome::Info { why: error.to_string() },
    };
    shared.recorder.returned(op, None, outcome);
    ensure!(registered? == id, "the cluster gave function {} another id", function.name);
    Ok(id)
}

/// Registers a new function every now and then.
pub(super) async fn run(mut caller: Caller) {
    while caller.shared.stage() == Stage::Load {
        let (seed, number) = (caller.shared.seed, caller.shared.new_number());
        let key = format!("function-{seed}-{number}");
        let code = format!("def f(x):\n    return x + {number}\n");
        let Ok(id) = task_of_key(&key, 0) else { return };
        let call = Call::Register {
            function: Some(FunctionId::from(id.as_uuid())),
            code: Fingerprint::of(code.as_bytes()),
        };
        let ask = Ask::post(paths::FUNCTIONS, Some(json!({"name": "f", "format": "source", "code": code})))
            .keyed(&key);
        caller.call(caller.some_node(), call, ask, registered).await;
        tokio::time::sleep(PAUSE).await;
    }
}

fn registered(body: &Value) -> Option<Reply> {
    Some(Reply::Registered { function: body["function_id"].as_str()?.parse().ok()? })
}
