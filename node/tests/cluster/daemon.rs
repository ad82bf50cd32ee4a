//! One `raftworkd` process: started, signalled, watched, and always gone in the end.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::wait::until;

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub struct Launch {
    pub config: PathBuf,
    pub node: u64,
    /// Where its log lines are added.
    pub log: PathBuf,
    /// A member of the cluster that it is to be added to.
    pub join: Option<String>,
    /// Beyond the environment of the tests.
    pub env: Vec<(String, String)>,
}

/// A running (or paused) daemon. Killed when it is dropped.
pub struct Daemon {
    child: Child,
    launch: Launch,
    pub paused: bool,
}

impl Launch {
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_raftworkd"));
        command.args(["serve", "--node", &self.node.to_string(), "--config"]).arg(&self.config);
        command.args(self.join.iter().flat_map(|url| ["--join", url]));
        command
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("RUST_LOG", "info,openraft=warn");
        command.stdin(Stdio::null());
        command
    }

    pub fn start(&self) -> Daemon {
        let log = open(&self.log);
        let child = self.command().stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Daemon { child, launch: self.clone(), paused: false }
    }

    /// Runs it to its end, which must come by itself. Gives its exit code and what it said.
    pub async fn refused(&self) -> (Option<i32>, String) {
        let log = self.log.with_extension("refused");
        let mut daemon = Self { log: log.clone(), ..self.clone() }.start();
        let code = daemon.end().await.code();
        let said = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        (code, said)
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Returns when none of its threads does anything more. On a busy machine that may take them a while: whoever reads the
    /// signal stops the others.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&self.child)), stopped).unwrap();
        self.paused = true;
    }

    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
        self.paused = false;
    }

    /// `kill -9`, whatever it does. Returns when it is gone.
    pub fn kill(&mut self) {
        self.kill_soon();
        self.child.wait().unwrap();
    }

    /// The same, but returns at once.
    pub fn kill_soon(&mut self) {
        // An error says that it has ended already, which is what is wanted.
        let _ = self.child.kill();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it has ended by itself.
    pub async fn end(&mut self) -> ExitStatus {
        let what = format!("node {} has ended", self.launch.node);
        until(&what, async || self.ended()).await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
