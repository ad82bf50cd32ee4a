//! The command line of `raftwork-chaos run`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use raftwork_api::Span;
use rand::Rng;

use crate::cluster::{Image, Networks, Plan, Settings};
use crate::nemesis::{self, Nemesis};

const EXAMPLE: &str = "\
What it does: starts a cluster of real processes in a folder of its own, with a proxy on every link; puts it under load
(submits, raw workers, Python workers, reads on every node, cancels, batches and maps through the SDK); breaks things, one
or two at a time, and mends them; lets everything end; and then judges what every client saw against the Raft log.
Root gives every node a disk that can lose its power, and every node and the workers networks whose kernel loses what a
partition loses (with ip and nft); for everybody else there are no power failures, and the proxies hold it back.

    $ raftwork-chaos run --minutes 10 --nemesis all
    $ raftwork-chaos run --nodes 5 --nemesis kill-leader,partition-one-way --seed 7
    $ raftwork-chaos run --list

A seed repeats the choices of a run, not its timing. Everything that was seen is in FOLDER/history.jsonl, which
`raftwork-chaos check` judges again.

Exit codes: 0 every claim holds; 1 one is broken; 2 nothing was proved (a fault never happened, wrong usage).";

/// Break a cluster of real processes under load, and check that it loses nothing
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLE)]
pub struct Options {
    /// How long to load and break it; longer, until each fault had its turn.
    #[arg(long, default_value_t = 2, value_name = "MINUTES")]
    minutes: u32,
    /// Number of nodes.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=7))]
    nodes: u64,
    /// Which faults: `all`, `none`, or names from --list with commas between them.
    #[arg(long, default_value = "all", value_name = "NAME,...")]
    nemesis: String,
    /// Repeats the choices of an earlier run.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long a fault lasts at most, and a pause between two.
    #[arg(long, default_value = "4s", value_name = "SPAN")]
    period: Span,
    /// Python workers, half of them push and half pull; 0 for none (no Python is needed then).
    #[arg(long, default_value_t = 2, value_name = "N")]
    workers: usize,
    /// Give no node a disk of its own, although root could: power failures are left out then.
    #[arg(long)]
    no_disks: bool,
    /// Give nobody a network of their own, although root could: what a partition loses is held by proxies then.
    #[arg(long)]
    no_networks: bool,
    /// Where everything goes; must not exist.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The node daemon (default: beside this program).
    #[arg(long, env = "RAFTWORKD", value_name = "FILE")]
    raftworkd: Option<PathBuf>,
    /// The `raftwork` program of the Python environment whose workers and SDK are used (default: the one in PATH).
    #[arg(long, env = "RAFTWORK", value_name = "FILE")]
    raftwork: Option<PathBuf>,
    /// Say which faults there are, and end.
    #[arg(long)]
    pub(super) list: bool,
}

/// Names of faults that cannot happen here, each with the reason.
type Skipped = Vec<(String, String)>;

/// What a run does, with nothing left open.
pub(super) struct Run {
    pub(super) length: Duration,
    pub(super) seed: u64,
    pub(super) period: Duration,
    pub(super) workers: usize,
    pub(super) raftwork: Option<PathBuf>,
    pub(super) folder: PathBuf,
    pub(super) plan: Plan,
    pub(super) nemeses: Vec<Box<dyn Nemesis>>,
    /// Faults that were asked for and cannot happen here, with the reason.
    pub(super) skipped: Skipped,
    /// The command line that does it again.
    pub(super) command: String,
}

impl Options {
    /// Settles everything that was left open, and checks that it can be done.
    ///
    /// # Errors
    /// When something is missing or makes no sense; the message says what to do.
    pub(super) fn settle(&self) -> anyhow::Result<Run> {
        let seed = self.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
        let folder = self.folder.clone().unwrap_or_else(|| PathBuf::from(format!("raftwork-chaos/{seed}")));
        let folder = std::path::absolute(folder)?;
        ensure!(!folder.exists(), "{} exists already; remove it, or give another --folder", folder.display());
        let raftworkd = self.daemon()?;
        let plan = Plan {
            failpoints: failpoints(&raftworkd),
            raftworkd,
            nodes: self.nodes,
            own_disks: !self.no_disks && Image::unavailable().is_none(),
            own_networks: !self.no_networks && Networks::unavailable().is_none(),
            levers: std::process::Command::new("cc").arg("--version").output().is_ok(),
            settings: Settings::default(),
        };
        let raftwork = (self.workers > 0).then(|| self.python_side()).transpose()?;
        let (nemeses, skipped) = self.choose(&plan)?;
        let Self { minutes, nodes, nemesis, period, workers, .. } = self;
        let less = [(self.no_disks, " --no-disks"), (self.no_networks, " --no-networks")];
        let less: String = less.into_iter().filter(|(wanted, _)| *wanted).map(|(_, option)| option).collect();
        let command = format!(
            "raftwork-chaos run --seed {seed} --minutes {minutes} --nodes {nodes} --nemesis {nemesis} --period {period} \
             --workers {workers}{less}"
        );
        let (length, period) = (Duration::from_mins((*minutes).into()), (*period).into());
        Ok(Run { length, seed, period, workers: *workers, raftwork, folder, plan, nemeses, skipped, command })
    }

    fn choose(&self, plan: &Plan) -> anyhow::Result<(Vec<Box<dyn Nemesis>>, Skipped)> {
        let wanted: Vec<&str> = match self.nemesis.as_str() {
            "none" => Vec::new(),
            names => names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(),
        };
        let all = nemesis::all(&plan.failpoints);
        if let Some(unknown) =
            wanted.iter().find(|name| all.iter().all(|nemesis| !answers_to(nemesis.name(), name)))
        {
            bail!("--nemesis {unknown}: there is no such fault; `raftwork-chaos run --list` shows all");
        }
        let (mut chosen, mut skipped) = (Vec::new(), Vec::new());
        for nemesis in all {
            if !wanted.iter().any(|name| answers_to(nemesis.name(), name)) {
                continue;
            }
            match nemesis.needs().unmet(plan, self.workers) {
                None => chosen.push(nemesis),
                Some(reason) => skipped.push((nemesis.name().to_owned(), reason)),
            }
        }
        Ok((chosen, skipped))
    }

    fn daemon(&self) -> anyhow::Result<PathBuf> {
        let beside =
            || -> anyhow::Result<PathBuf> { Ok(std::env::current_exe()?.with_file_name("raftworkd")) };
        let path = self.raftworkd.clone().map_or_else(beside, Ok)?;
        let found = std::path::absolute(&path)?;
        ensure!(found.is_file(), "there is no {}; build it, or give --raftworkd", path.display());
        Ok(found)
    }

    fn python_side(&self) -> anyhow::Result<PathBuf> {
        let found = match &self.raftwork {
            Some(path) => Some(std::path::absolute(path)?).filter(|path| path.is_file()),
            None => in_path("raftwork"),
        };
        found.context(
            "there is no `raftwork` program for the Python workers; `pip install .` makes one, --raftwork names one, and \
             --workers 0 does without",
        )
    }
}

/// Whether a fault is meant by a word of `--nemesis`: all are, or its family is, which comes before the colon.
fn answers_to(name: &str, wanted: &str) -> bool {
    let family = name.split_once(':').map(|(family, _)| family);
    wanted == "all" || wanted == name || family == Some(wanted)
}

/// The places at which a daemon can be made to crash.
fn failpoints(raftworkd: &Path) -> Vec<String> {
    let said = std::process::Command::new(raftworkd).arg("failpoints").output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    said.lines().map(ToOwned::to_owned).collect()
}

/// A program, where the shell would find it.
pub(super) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file: &PathBuf| Path::is_file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_meant_by_its_name_its_family_or_all() {
        for (wanted, meant) in
            [("all", true), ("failpoint", true), ("failpoint:truncate.mid", true), ("fail", false)]
        {
            assert_eq!(answers_to("failpoint:truncate.mid", wanted), meant, "{wanted}");
        }
        assert!(answers_to("kill-all", "kill-all") && !answers_to("kill-all", "kill"));
    }
}
