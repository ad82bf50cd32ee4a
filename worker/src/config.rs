//! What a worker is told when it starts: checked here once, believed everywhere else.

use std::path::PathBuf;
use std::time::Duration;

use raftwork_api::Span;
use raftwork_api::kernel::limits::{ACQUIRE_MAX, PAYLOAD_BYTES_MAX};
use raftwork_api::kernel::{Millis, Tags};
use raftwork_api::workers::WorkerMode;
use serde::Deserialize;

use crate::python::{PoolOptions, Recycle};

/// Most tasks that one worker runs at once: each is a process.
pub const SLOTS_MAX: u16 = 1024;

/// Everything that a worker can be told. In JSON, only `urls`, `python` and `package_dir` must be there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    /// Base URLs of nodes, as in `http://127.0.0.1:7001`. One that works is enough; more survive its loss.
    pub urls: Vec<String>,
    /// The interpreter that runs the tasks: the one of the user's virtual environment.
    pub python: PathBuf,
    /// Folder of the installed `raftwork` package, where the children's own modules are.
    pub package_dir: PathBuf,
    /// For people: host and process id if empty.
    #[serde(default)]
    pub name: String,
    /// Tasks that run at once, each in a process of its own.
    #[serde(default = "defaults::slots")]
    pub slots: u16,
    /// Tasks held beyond `slots`, ready to start. By default as many as keep the slots busy for a few rounds of the
    /// cluster, judged by the tasks that were run; none if these are long, for a task that waits here might run elsewhere.
    #[serde(default)]
    pub prefetch: Option<u16>,
    /// Whether the leader sends tasks on its own or the worker asks.
    #[serde(default = "defaults::mode")]
    pub mode: WorkerMode,
    /// What it offers beside its Python, as in `gpu` or `zone=eu`: it also gets tasks that need some of these.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Folders in front of `sys.path`, for functions that were pickled by reference.
    #[serde(default)]
    pub path_dirs: Vec<PathBuf>,
    /// Modules that are imported once, so that every child starts with them.
    #[serde(default)]
    pub preload: Vec<String>,
    /// Largest resident size of a task's process tree, in bytes.
    #[serde(default)]
    pub memory_limit: Option<u64>,
    /// Replace a child after so many tasks.
    #[serde(default)]
    pub max_tasks_per_child: Option<u64>,
    /// Replace a child whose resident size after a task is larger, in bytes.
    #[serde(default)]
    pub max_rss_per_child: Option<u64>,
    /// How long a task may go on after it was asked to stop, before it is killed.
    #[serde(default = "defaults::grace")]
    pub grace: Span,
    /// How long running tasks may go on when the worker was told to leave.
    #[serde(default = "defaults::drain_timeout")]
    pub drain_timeout: Span,
    /// Memory for the code of functions, in bytes.
    #[serde(default = "defaults::code_cache")]
    pub code_cache: usize,
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nowhere to connect to.
    #[error("no node is named; give the URL of at least one, as in http://127.0.0.1:7001")]
    NoUrl,
    /// Not the base URL of a node.
    #[error("'{0}' is not the URL of a node; write it as in http://127.0.0.1:7001")]
    BadUrl(String),
    /// A tag that no task can need, or too many.
    #[error("{0}")]
    Tags(String),
    /// A worker that could run nothing, or too much.
    #[error("{0} slots; a worker has 1 to {SLOTS_MAX}")]
    Slots(u16),
    /// More than one worker may hold.
    #[error(
        "{slots} slots and {prefetch} tasks prefetched are over the limit of {ACQUIRE_MAX} tasks held by one worker"
    )]
    Capacity {
        /// What was asked for.
        slots: u16,
        /// What was asked for.
        prefetch: u16,
    },
}

impl WorkerConfig {
    /// The defaults: a pushed worker with one slot for each processor.
    pub fn new(
        urls: impl IntoIterator<Item = impl Into<String>>,
        python: impl Into<PathBuf>,
        package_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            python: python.into(),
            package_dir: package_dir.into(),
            name: String::new(),
            slots: defaults::slots(),
            prefetch: None,
            mode: defaults::mode(),
            tags: Vec::new(),
            path_dirs: Vec::new(),
            preload: Vec::new(),
            memory_limit: None,
            max_tasks_per_child: None,
            max_rss_per_child: None,
            grace: defaults::grace(),
            drain_timeout: defaults::drain_timeout(),
            code_cache: defaults::code_cache(),
        }
    }

    /// Checks the values and fills in what was left empty.
    pub(crate) fn checked(mut self) -> Result<Self, ConfigError> {
        if self.urls.is_empty() {
            return Err(ConfigError::NoUrl);
        }
        self.urls = self.urls.iter().map(|url| checked_url(url)).collect::<Result<_, _>>()?;
        if self.slots == 0 || self.slots > SLOTS_MAX {
            return Err(ConfigError::Slots(self.slots));
        }
        let prefetch = self.prefetch.unwrap_or(0);
        if self.slots.saturating_add(prefetch) > ACQUIRE_MAX {
            return Err(ConfigError::Capacity { slots: self.slots, prefetch });
        }
        self.offer().check().map_err(ConfigError::Tags)?;
        if self.name.is_empty() {
            self.name = default_name();
        }
        Ok(self)
    }

    /// What it offers.
    pub(crate) fn offer(&self) -> Tags {
        self.tags.iter().collect()
    }

    /// How the Python children are set up.
    pub(crate) fn pool_options(&self) -> PoolOptions {
        PoolOptions {
            path_dirs: self.path_dirs.clone(),
            preload: self.preload.clone(),
            memory_limit: self.memory_limit,
            recycle: Recycle { max_tasks: self.max_tasks_per_child, max_rss: self.max_rss_per_child },
            grace: self.grace.into(),
            result_bytes_max: PAYLOAD_BYTES_MAX,
            ..PoolOptions::new(&self.python, &self.package_dir, self.slots.into())
        }
    }

    /// How long running tasks may go on when the worker was told to leave.
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.drain_timeout.into()
    }
}

/// A base URL without its trailing slash.
fn checked_url(text: &str) -> Result<String, ConfigError> {
    let bad = || ConfigError::BadUrl(text.chars().take(200).collect());
    let url = reqwest::Url::parse(text.trim()).map_err(|_| bad())?;
    if url.scheme() != "http" || url.host_str().is_none() || url.query().is_some() {
        return Err(bad());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Host and process id.
fn default_name() -> String {
    let host = fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "worker" } else { host.trim() };
    format!("{host}-{}", std::process::id())
}

mod defaults {
    use super::{Millis, Span, WorkerMode};

    pub(super) fn slots() -> u16 {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        u16::try_from(processors).unwrap_or(super::SLOTS_MAX).min(super::SLOTS_MAX)
    }

    pub(super) const fn mode() -> WorkerMode {
        WorkerMode::Push
    }

    pub(super) const fn grace() -> Span {
        Span(Millis::from_secs(5))
    }

    /// As long as service managers commonly wait (30 s for a container, 90 s for a unit), with room for the rest.
    pub(super) const fn drain_timeout() -> Span {
        Span(Millis::from_secs(25))
    }

    /// A few of the largest functions, or many thousands of common ones.
    pub(super) const fn code_cache() -> usize {
        128 << 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(urls: &[&str]) -> WorkerConfig {
        WorkerConfig::new(urls.iter().copied(), "/usr/bin/python3", "/opt/raftwork")
    }

    #[test]
    fn a_small_json_is_enough_and_a_typo_is_refused() {
        let json = r#"{"urls": ["http://a:1/"], "python": "p", "package_dir": "d", "grace": "250ms"}"#;
        let config: WorkerConfig = serde_json::from_str(json).unwrap();
        let config = config.checked().unwrap();
        assert_eq!(config.urls, ["http://a:1"]);
        assert_eq!(config.pool_options().grace, Duration::from_millis(250));
        assert!(!config.name.is_empty());
        let typo = r#"{"urls": [], "python": "p", "package_dir": "d", "prefech": 3}"#;
        let error = serde_json::from_str::<WorkerConfig>(typo).unwrap_err();
        assert!(error.to_string().contains("prefech"), "{error}");
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        assert_eq!(config(&[]).checked().unwrap_err(), ConfigError::NoUrl);
        for url in ["localhost:7001", "https://a:1", "http://", "nonsense"] {
            assert_eq!(config(&[url]).checked().unwrap_err(), ConfigError::BadUrl(url.to_owned()));
        }
        let none = WorkerConfig { slots: 0, ..config(&["http://a:1"]) };
        assert_eq!(none.checked().unwrap_err(), ConfigError::Slots(0));
        let odd = WorkerConfig { tags: vec!["big gpu".to_owned()], ..config(&["http://a:1"]) };
        assert!(odd.checked().unwrap_err().to_string().contains("'big gpu' is no tag"));
        let greedy = WorkerConfig { slots: 1000, prefetch: Some(25), ..config(&["http://a:1"]) };
        assert_eq!(greedy.checked().unwrap_err(), ConfigError::Capacity { slots: 1000, prefetch: 25 });
    }
}
