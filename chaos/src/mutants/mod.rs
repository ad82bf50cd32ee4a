//! `raftwork-chaos mutants`: plants known bugs, one at a time, and sees which are caught, by what, and at which price.
//!
//! A bug that nothing catches shows what the checks are blind to. The same checks hold the same build without a bug, and
//! must be silent.

mod catalogue;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use serde::Deserialize;

use self::catalogue::{CATALOGUE, Means, Mutant};

const EXAMPLE: &str = "\
The bugs are compiled in with the feature `mutants` alone, and planted by the environment variable RAFTWORK_MUTANT:

    $ cargo build --features mutants -p raftwork-node -p raftwork-sim -p raftwork-chaos
    $ raftwork-chaos mutants --only M1,M19

Some need disks that lose their power, and so root; one needs a C compiler.

Exit codes: 0 every bug was caught, and the build without one was silent; 1 not so; 2 wrong usage.";

/// The environment variable that plants a bug.
const PLANT: &str = "RAFTWORK_MUTANT";
/// The first seed of the control: not one of those that the bugs are looked for with.
const CONTROL_FROM: u64 = 1_000_000;

/// Plant known bugs, and see whether each is caught
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLE)]
pub struct MutantsOptions {
    /// These alone.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    only: Vec<String>,
    /// How long a bug may take on real processes before it counts as missed.
    #[arg(long, default_value_t = 10, value_name = "MINUTES")]
    minutes: u64,
    /// Seeds of 60 virtual seconds that a bug may take in the simulator.
    #[arg(long, default_value_t = 500, value_name = "N")]
    seeds: u64,
    /// Seeds that must be silent without a bug; and each kind of run on real processes, once.
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    control: u64,
    /// Simulations at a time.
    #[arg(long, default_value_t = 2, value_name = "N")]
    jobs: usize,
    /// The simulator (default: beside this program).
    #[arg(long, value_name = "FILE")]
    sim: Option<PathBuf>,
    /// The node daemon (default: beside this program).
    #[arg(long, env = "RAFTWORKD", value_name = "FILE")]
    raftworkd: Option<PathBuf>,
    /// Where runs that found something are kept (default: nowhere).
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// What became of one bug.
#[derive(Debug)]
struct Fate {
    mutant: Mutant,
    /// What caught it.
    by: Option<String>,
    /// What that took, for people.
    price: String,
}

/// What the simulator prints of a bug.
#[derive(Debug, Deserialize)]
struct Simulated {
    seeds: u64,
    violation: Option<String>,
}

/// What one run on real processes came to.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Passed,
    Violated(String),
    /// Nothing was proved, for this reason.
    Unknown(String),
}

/// The programs under test.
struct Programs {
    chaos: PathBuf,
    sim: PathBuf,
    raftworkd: PathBuf,
}

/// Plants every bug; true if all were caught and nothing was seen without one.
///
/// # Errors
/// When a program is missing, or has no bugs to plant.
pub fn mutants(options: &MutantsOptions) -> anyhow::Result<bool> {
    let unknown = options.only.iter().find(|name| CATALOGUE.iter().all(|mutant| mutant.name != *name));
    ensure!(unknown.is_none(), "there is no bug {}", unknown.map_or("", String::as_str));
    let programs = Programs::find(options)?;
    let is_wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|one| one == name);
    let chosen = CATALOGUE.into_iter().filter(|mutant| is_wanted(mutant.name));
    let mut fates = Vec::new();
    for mutant in chosen {
        let fate = match mutant.means {
            Means::Simulation => programs.simulate(options, mutant)?,
            Means::Processes(faults) => programs.run_until_caught(options, mutant, faults)?,
        };
        say(&line(&fate));
        fates.push(fate);
    }
    let silent = options.control == 0 || programs.control(options, &fates)?;
    let caught = fates.iter().filter(|fate| fate.by.is_some()).count();
    say(&format!("{caught} of {} planted bugs were caught", fates.len()));
    Ok(silent && caught == fates.len())
}

impl Programs {
    fn find(options: &MutantsOptions) -> anyhow::Result<Self> {
        let chaos = std::env::current_exe().context("cannot find this program")?;
        let beside = |name: &str| chaos.with_file_name(name);
        let sim = options.sim.clone().unwrap_or_else(|| beside("raftwork-sim"));
        let raftworkd = options.raftworkd.clone().unwrap_or_else(|| beside("raftworkd"));
        for program in [&chaos, &sim, &raftworkd] {
            let said = Command::new(program).arg("--version").output();
            let said = said.with_context(|| format!("cannot run {}", program.display()))?.stdout;
            ensure!(
                String::from_utf8_lossy(&said).contains("mutants"),
                "{} has no bugs to plant; build it with --features mutants",
                program.display()
            );
        }
        Ok(Self { chaos, sim, raftworkd })
    }

    fn simulate(&self, options: &MutantsOptions, mutant: Mutant) -> anyhow::Result<Fate> {
        let begun = Instant::now();
        let (seeds, jobs) = (format!("0..{}", options.seeds), options.jobs.to_string());
        let mut command = Command::new(&self.sim);
        command.args(["mutants", "--json", "--only", mutant.name, "--seeds", &seeds, "--jobs", &jobs]);
        let Output { stdout, stderr, .. } = command.output().context("cannot run the simulator")?;
        let told: Simulated = serde_json::from_slice(&stdout)
            .with_context(|| format!("the simulator said {}", String::from_utf8_lossy(&stderr)))?;
        let price = format!("{} seeds, {} s", told.seeds, begun.elapsed().as_secs());
        Ok(Fate { mutant, by: told.violation, price })
    }

    fn run_until_caught(
        &self,
        options: &MutantsOptions,
        mutant: Mutant,
        faults: &str,
    ) -> anyhow::Result<Fate> {
        let (begun, budget) = (Instant::now(), Duration::from_mins(options.minutes));
        let mut runs = 0;
        let mut trouble = String::new();
        let by = loop {
            runs += 1;
            match self.run(options, Some(mutant.name), faults, runs)? {
                Ended::Violated(by) => break Some(by),
                Ended::Passed => {}
                Ended::Unknown(why) => trouble = format!("; {why}"),
            }
            if begun.elapsed() > budget {
                break None;
            }
        };
        let price = format!("{runs} runs, {} s", begun.elapsed().as_secs());
        let price = if by.is_some() { price } else { price + &trouble };
        Ok(Fate { mutant, by, price })
    }

    /// One short run: each of the faults once, on three nodes.
    fn run(
        &self,
        options: &MutantsOptions,
        mutant: Option<&str>,
        faults: &str,
        seed: u64,
    ) -> anyhow::Result<Ended> {
        let folder = std::env::temp_dir().join(format!("raftwork-mutants-{}-{seed}", std::process::id()));
        let mut command = Command::new(&self.chaos);
        command.args(["run", "--minutes", "0", "--nodes", "3", "--workers", "0", "--period", "1500ms"]);
        command.args(["--nemesis", faults, "--seed", &seed.to_string()]).arg("--folder").arg(&folder);
        command.env("RAFTWORKD", &self.raftworkd).env_remove(PLANT);
        command.envs(mutant.map(|mutant| (PLANT, mutant)));
        let output = command.output().context("cannot run this program again")?;
        let ended = ended(&output);
        match (&options.keep, &ended) {
            (Some(keep), Ended::Violated(_)) => {
                let kept = keep.join(format!("{}-{seed}", mutant.unwrap_or("none")));
                keep_run(&folder, &kept)?;
            }
            // A run that could not begin has left none.
            _ if folder.exists() => fs_err::remove_dir_all(&folder)?,
            _ => {}
        }
        Ok(ended)
    }

    /// The same without a bug; true if nothing was seen.
    fn control(&self, options: &MutantsOptions, fates: &[Fate]) -> anyhow::Result<bool> {
        let mut silent = true;
        if fates.iter().any(|fate| fate.mutant.means == Means::Simulation) {
            let seeds = format!("{CONTROL_FROM}..{}", CONTROL_FROM + options.control);
            let mut command = Command::new(&self.sim);
            command.args(["--seeds", &seeds, "--jobs", &options.jobs.to_string()]).env_remove(PLANT);
            let output = command.output().context("cannot run the simulator")?;
            silent &= output.status.success();
            let said = String::from_utf8_lossy(&output.stdout);
            say(&format!("without a bug: {}", said.lines().rev().nth(1).unwrap_or_default()));
        }
        let mut kinds: Vec<&str> = fates.iter().filter_map(|fate| fate.mutant.means.faults()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for faults in kinds {
            let ended = self.run(options, None, faults, 1)?;
            silent &= ended == Ended::Passed;
            say(&format!("without a bug, {faults}: {ended:?}"));
        }
        Ok(silent)
    }
}

impl Means {
    const fn faults(self) -> Option<&'static str> {
        match self {
            Self::Simulation => None,
            Self::Processes(faults) => Some(faults),
        }
    }
}

/// What a run came to, by its exit code; the reason is its first finding.
fn ended(output: &Output) -> Ended {
    let said = String::from_utf8_lossy(&output.stdout);
    // "I8 replicas  violated  ...": the verdict comes after the invariant's number and name.
    let judged = |line: &&str, verdict| line.split_whitespace().nth(2) == Some(verdict);
    let found = said.lines().find(|line| line.starts_with("violated: ") || judged(line, "violated"));
    let found = found.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    match output.status.code() {
        Some(0) => Ended::Passed,
        Some(1) => Ended::Violated(found.unwrap_or_default()),
        _ => {
            let trouble = String::from_utf8_lossy(&output.stderr);
            let unknown = said.lines().find(|line| judged(line, "unknown"));
            Ended::Unknown(unknown.or_else(|| trouble.lines().last()).unwrap_or_default().to_owned())
        }
    }
}

/// Keeps what speaks for itself: the history, the report, and what the nodes said.
fn keep_run(folder: &Path, kept: &Path) -> anyhow::Result<()> {
    fs_err::create_dir_all(kept)?;
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.extension().is_some_and(|kind| kind == "jsonl" || kind == "html" || kind == "log") {
            fs_err::copy(&path, kept.join(name))?;
        }
    }
    fs_err::remove_dir_all(folder)?;
    Ok(())
}

fn line(Fate { mutant, by, price }: &Fate) -> String {
    let verdict = by.as_ref().map_or("MISSED", |_| "caught");
    let by = by.as_deref().unwrap_or_default();
    format!("{:<4} {:<66} {verdict} {price:<18} {by}", mutant.name, mutant.bug)
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn output(code: i32, stdout: &str) -> Output {
        let status = ExitStatus::from_raw(code << 8);
        Output { status, stdout: stdout.into(), stderr: b"raftwork-chaos: no power here".to_vec() }
    }

    #[test]
    fn a_run_came_to_what_its_exit_code_says_for_the_reason_that_it_prints() {
        let found =
            "I1 durable        pass      7 tasks\nI8 replicas       violated  2 times; nodes differ\n";
        for (code, said, expected) in [
            (0, "all is well", Ended::Passed),
            (1, "violated: node 2 goes on", Ended::Violated("violated: node 2 goes on".to_owned())),
            (1, found, Ended::Violated("I8 replicas violated 2 times; nodes differ".to_owned())),
            (
                2,
                "I14 coverage  unknown  no kill",
                Ended::Unknown("I14 coverage  unknown  no kill".to_owned()),
            ),
            (2, "", Ended::Unknown("raftwork-chaos: no power here".to_owned())),
        ] {
            assert_eq!(ended(&output(code, said)), expected, "{said}");
        }
    }
}
