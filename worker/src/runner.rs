//! The loop between the agent and the world: collects what happened, asks the agent, does what it says.

use std::time::Instant;

use raftwork_api::kernel::{PythonVersion, WorkerId};
use uuid::Uuid;

use crate::agent::{Action, Agent, Identity, Input, Moment};
use crate::config::WorkerConfig;
use crate::connection::http_client;
use crate::exit::{ExitReason, WorkerError};
use crate::jobs::Jobs;
use crate::line::Line;
use crate::payloads::Payloads;
use crate::python::{self, Pool};
use crate::shutdown::{Request, Shutdown};

/// Most inputs that the agent gets at once: enough to share their messages, few enough to stay prompt.
const BATCH: usize = 256;

/// Runs a worker until it leaves.
///
/// Needs a tokio runtime with time and I/O; one thread is enough, and cheaper than more.
///
/// # Errors
/// When it cannot start: a configuration that cannot work, or no usable Python. Once started, it only ends with a reason.
pub async fn run(config: WorkerConfig, mut shutdown: Shutdown) -> Result<ExitReason, WorkerError> {
    let config = config.checked()?;
    let http = http_client().map_err(|error| WorkerError::Setup(error.to_string()))?;
    let pool = tokio::select! {
        pool = Pool::start(config.pool_options()) => pool?,
        _ = shutdown.next() => return Ok(ExitReason::Stopped),
    };
    let runner = Runner::new(&config, http, pool);
    let reason = runner.run(&mut shutdown).await;
    tracing::info!(%reason, "the worker has left");
    Ok(reason)
}

/// As [`run`], on a runtime of its own, until SIGTERM or SIGINT.
///
/// # Errors
/// As [`run`].
pub fn run_blocking(config: WorkerConfig) -> Result<ExitReason, WorkerError> {
    let setup = |error: std::io::Error| WorkerError::Setup(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(setup)?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals().map_err(setup)?;
        run(config, shutdown).await
    })
}

struct Runner {
    agent: Agent,
    line: Line,
    jobs: Jobs,
    started: Instant,
}

impl Runner {
    fn new(config: &WorkerConfig, http: reqwest::Client, pool: Pool) -> Self {
        let identity = Identity {
            worker: WorkerId::from(Uuid::new_v4()),
            name: config.name.clone(),
            python: version(pool.python()),
            slots: config.slots,
            prefetch: config.prefetch,
            mode: config.mode,
            tags: config.offer(),
        };
        let Identity { worker, name, python, slots, prefetch, .. } = &identity;
        tracing::info!(%worker, name, %python, slots, prefetch, mode = ?config.mode, "the worker starts");
        let payloads = Payloads::new(http.clone(), config.urls.clone());
        Self {
            agent: Agent::new(identity, config.drain_timeout(), config.code_cache),
            line: Line::new(http, config.urls.clone(), payloads.clone()),
            jobs: Jobs::new(pool, payloads),
            started: Instant::now(),
        }
    }

    async fn run(mut self, shutdown: &mut Shutdown) -> ExitReason {
        let reason = loop {
            let mut inputs = vec![self.next_input(shutdown).await];
            self.gather(&mut inputs).await;
            let actions = self.agent.step(self.now(), inputs);
            if let Some(reason) = actions.into_iter().find_map(|action| self.perform(action)) {
                break reason;
            }
        };
        self.line.close().await;
        self.jobs.close().await;
        reason
    }

    fn now(&self) -> Moment {
        self.started.elapsed()
    }

    async fn next_input(&mut self, shutdown: &mut Shutdown) -> Input {
        let wake = self.agent.next_wake(self.now()).map(|wake| self.started + wake);
        tokio::select! {
            biased;
            request = shutdown.next() => match request {
                Request::Drain => Input::Drain,
                Request::AtOnce => Input::Stop,
            },
            () = sleep_until(wake) => Input::Tick,
            input = self.line.next() => input,
            input = self.jobs.next() => input,
        }
    }

    /// Adds what has happened meanwhile: under load, many tasks then share their messages and system calls.
    async fn gather(&mut self, inputs: &mut Vec<Input>) {
        while inputs.len() < BATCH {
            let Some(input) = self.jobs.next_ready() else { break };
            inputs.push(input);
        }
        while inputs.len() < BATCH {
            let Some(input) = self.line.next_ready().await else { break };
            inputs.push(input);
        }
    }

    fn perform(&mut self, action: Action) -> Option<ExitReason> {
        match action {
            Action::Send(message) => self.line.send(&message),
            Action::Run { work, code } => {
                let (task, token, attempt) = (work.lease.task, work.lease.token, work.attempt);
                tracing::debug!(%task, %token, attempt, name = work.name, "granted, and started");
                self.jobs.start(*work, code);
            }
            Action::Kill(lease) => self.jobs.stop(&lease),
            Action::HangUp { leader } => self.line.hang_up(leader.as_deref()),
            Action::Exit(reason) => return Some(reason),
        }
        None
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

fn version(python: python::PythonVersion) -> PythonVersion {
    let narrow = |part: u32| u8::try_from(part).unwrap_or(u8::MAX);
    PythonVersion { major: narrow(python.major), minor: narrow(python.minor) }
}
