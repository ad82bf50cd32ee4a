//! Many seeds, each in a process of its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use tempfile::TempDir;

use crate::RunArguments;
use crate::world::Report;

/// The planted bugs that a simulation can meet; the others need real processes and disks.
const MUTANTS: [&str; 19] = [
    "M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8", "M9", "M11", "M12", "M13", "M14", "M16", "M18", "M21",
    "M22", "M23", "M24",
];

/// What to run, and how.
pub(crate) struct Runs {
    seeds: Range<u64>,
    seconds: u64,
    jobs: usize,
    trace: bool,
    twice: bool,
}

impl Runs {
    /// What is asked for, with these seeds if none are.
    pub(crate) fn of(run: &RunArguments, seeds: Range<u64>) -> Self {
        let RunArguments { seconds, jobs, trace, twice, .. } = *run;
        Self { seeds: run.seeds.clone().unwrap_or(seeds), seconds, jobs, trace, twice }
    }
}

/// One seed, or a range of them.
pub(crate) fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?} is no seed: {error}"));
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => number(text).map(|seed| seed..seed + 1),
    }
}

/// A folder for one simulation's files, in memory if the system has such.
pub(crate) fn folder() -> anyhow::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.context("cannot make a folder for the simulation")
}

/// Runs every seed; true if nothing was wrong.
pub(crate) fn seeds(runs: &Runs) -> anyhow::Result<bool> {
    let started = Instant::now();
    let reports = run_all(runs, None, |report| {
        if let Some(violation) = &report.violation {
            say(&format!("seed {}: {violation}\n  replay: {}", report.seed, replay(runs, report.seed)));
        }
        true
    })?;
    let wrong = reports.iter().filter(|report| report.violation.is_some()).count();
    let took = started.elapsed().as_secs_f64();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let virtual_hours = reports.iter().map(|report| report.seconds).sum::<f64>() / 3600.0;
    say(&format!(
        "{} seeds in {took:.0} s ({:.1} a second), {virtual_hours:.1} virtual hours, {} faults, {} tasks, {} events: {}",
        reports.len(),
        f64::from(u32::try_from(reports.len()).unwrap_or(u32::MAX)) / took.max(0.001),
        sum(|report| report.faults),
        sum(|report| report.tasks),
        sum(|report| report.events),
        if wrong == 0 { "nothing was wrong".to_owned() } else { format!("{wrong} were wrong") }
    ));
    let mut coverage: BTreeMap<&String, u64> = BTreeMap::new();
    for (what, times) in reports.iter().flat_map(|report| &report.coverage) {
        *coverage.entry(what).or_insert(0) += times;
    }
    let coverage: Vec<String> = coverage.iter().map(|(what, times)| format!("{what} {times}")).collect();
    say(&format!("exercised: {}", coverage.join(", ")));
    Ok(wrong == 0)
}

/// Plants one bug after the other, or those of these names; true if all were caught.
pub(crate) fn mutants(runs: &Runs, only: &[String], json: bool) -> anyhow::Result<bool> {
    anyhow::ensure!(
        cfg!(feature = "mutants"),
        "built without bugs to plant: cargo run --features mutants ..."
    );
    let unknown = only.iter().find(|name| !MUTANTS.contains(&name.as_str()));
    anyhow::ensure!(unknown.is_none(), "no simulation can meet {}", unknown.map_or("", String::as_str));
    let chosen: Vec<&str> =
        MUTANTS.into_iter().filter(|name| only.is_empty() || only.iter().any(|one| one == name)).collect();
    let mut caught = 0;
    for mutant in &chosen {
        let runs = Runs { trace: false, twice: false, seeds: runs.seeds.clone(), ..*runs };
        let tried = run_all(&runs, Some(mutant), |report| report.violation.is_none())?;
        let found = tried.iter().filter(|report| report.violation.is_some()).min_by_key(|report| report.seed);
        let seeds = found.map_or(tried.len() as u64, |report| report.seed - runs.seeds.start + 1);
        let violation = found.and_then(|report| report.violation.as_ref());
        caught += usize::from(violation.is_some());
        if json {
            let told = serde_json::json!({"mutant": mutant, "seeds": seeds, "violation": violation});
            say(&told.to_string());
        } else {
            match violation {
                Some(violation) => say(&format!("{mutant:<4} caught after {seeds:>3} seeds: {violation}")),
                None => say(&format!("{mutant:<4} MISSED in {seeds} seeds")),
            }
        }
    }
    if !json {
        say(&format!("{caught} of {} planted bugs were caught", chosen.len()));
    }
    Ok(caught == chosen.len())
}

/// Runs the seeds on several processes, as long as `go_on` says so.
fn run_all(
    runs: &Runs,
    mutant: Option<&str>,
    go_on: impl Fn(&Report) -> bool + Sync,
) -> anyhow::Result<Vec<Report>> {
    let next = AtomicU64::new(runs.seeds.start);
    let reports = Mutex::new(Vec::new());
    let work = || -> anyhow::Result<()> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= runs.seeds.end {
                return Ok(());
            }
            let report = run_one(runs, seed, mutant)?;
            if !go_on(&report) {
                next.store(runs.seeds.end, Ordering::Relaxed);
            }
            reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..runs.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a runner does not panic"))
    })?;
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|report| report.seed);
    Ok(reports)
}

fn run_one(runs: &Runs, seed: u64, mutant: Option<&str>) -> anyhow::Result<Report> {
    let mut report = spawn(runs, seed, mutant)?;
    if runs.twice {
        let again = spawn(runs, seed, mutant)?;
        if (&again.hash, again.events) != (&report.hash, report.events) {
            let differ = format!("the second run had trace {} instead of {}", again.hash, report.hash);
            report.violation.get_or_insert(differ);
        }
    }
    Ok(report)
}

/// One process: its report, or what it died of.
fn spawn(runs: &Runs, seed: u64, mutant: Option<&str>) -> anyhow::Result<Report> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.args(["one", "--seeds", &seed.to_string(), "--seconds", &runs.seconds.to_string()]);
    let folder = folder()?;
    command.arg("--folder").arg(folder.path());
    if runs.trace {
        command.arg("--trace");
    }
    if let Some(mutant) = mutant {
        command.env("RAFTWORK_MUTANT", mutant);
    }
    let Output { stdout, stderr, status } = command.output().context("cannot run this program again")?;
    let stdout = String::from_utf8_lossy(&stdout);
    if runs.trace {
        say(&format!("{stdout}{}", String::from_utf8_lossy(&stderr)));
    }
    let report = stdout.lines().last().and_then(|line| serde_json::from_str(line).ok());
    Ok(report.unwrap_or_else(|| {
        let how = format!("the process died: {status}: {}", last_words(&stderr));
        Report::without_end(seed, how)
    }))
}

/// The end of what a process said before it died.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join(" | ")
}

fn replay(runs: &Runs, seed: u64) -> String {
    format!("cargo run --profile sim -p raftwork-sim -- --seeds {seed} --seconds {} --trace", runs.seconds)
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
