//! The functions of a run, and registering more of them all the time.

use std::net::SocketAddr;
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

/// What Python workers run: offer the effect to the register, then compute what [`result_of`] says. That takes time, so
/// that workers die with an effect behind them and no result, and there is a second effect of the task.
const WORK: &str = r#"
def work(number):
    import os
    import socket
    import time
    from raftwork import current_task

    def parent(pid):
        with open(f"/proc/{pid}/stat") as stat:
            # The name in parentheses may hold anything; the parent's id is the second field after it.
            return int(stat.read().rpartition(")")[2].split()[1])

    pids = [os.getpid()]
    while pids[-1] > 1:
        pids.append(parent(pids[-1]))
    task = current_task()
    with socket.create_connection(("HOST", PORT), timeout=10) as register:
        words = [task.id, task.token, *pids[:-1]]
        register.sendall((" ".join(map(str, words)) + "\n").encode())
        register.recv(16)
    time.sleep(SECONDS)
    return number * number + 7
"#;
/// How long that takes: a few take a second, beside much else.
const MOSTLY_SHORT: &str = "1 if number % 20 == 0 else 0";
/// The same for steady tasks: 0.1 to 5 seconds, many short ones and a few long ones.
const STEADY: &str = "0.1 + 4.9 * (number % 100 / 100) ** 3";

/// The functions of a run.
#[derive(Debug)]
pub(super) struct Functions {
    /// Run by raw workers.
    pub(super) raw: FunctionId,
    /// Run by Python workers.
    pub(super) python: Option<FunctionId>,
    /// Run by Python workers too, and takes long.
    pub(super) steady: Option<FunctionId>,
}

/// What a task with this number returns.
pub(super) const fn result_of(number: u64) -> u64 {
    number * number + 7
}

impl Functions {
    /// Registers the functions; Python tasks offer their effects at `offers`, and take long if they are to be `steady`.
    ///
    /// # Errors
    /// When the cluster does not take them.
    pub(super) async fn register(shared: &Shared, offers: SocketAddr, steady: bool) -> anyhow::Result<Self> {
        let client = Client::connect(shared.http.urls())?;
        let retry = RetryPolicy { max_attempts: ATTEMPTS, initial_ms: 50, max_ms: 1_000 };
        let mut raw = NewFunction::source("raw", "def raw(number):\n    return number * number + 7\n");
        raw.python = Some(RAW_PYTHON);
        raw.retry = retry;
        let raw = register(shared, &client, &raw).await?;
        let workers = client.rest().workers().await?.workers;
        let Some(worker) = workers.first() else { return Ok(Self { raw, python: None, steady: None }) };
        let seconds = if steady { STEADY } else { MOSTLY_SHORT };
        let (host, port) = (offers.ip().to_string(), offers.port().to_string());
        let code = WORK.replace("HOST", &host).replace("PORT", &port).replace("SECONDS", seconds);
        let mut work = NewFunction::source("work", code);
        work.python = Some(worker.python.parse().context("a worker says which Python it has")?);
        work.retry = retry;
        let work = Some(register(shared, &client, &work).await?);
        let (python, steady) = if steady { (None, work) } else { (work, None) };
        Ok(Self { raw, python, steady })
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
