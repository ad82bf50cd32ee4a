//! `raftwork-chaos check`: what a history proves.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::check::{Finding, Judgement, Verdict, check_with};
use crate::history::{EdnWriter, Reader, Run};
use crate::report;

const EXAMPLE: &str = "\
Exit codes: 0 pass: every invariant was examined and held; 1 violated: at least one was broken; 2 unknown: something could
not be examined, a planned fault never happened, or the file is no history. Unknown is not a pass.

    $ raftwork-chaos check run/history.jsonl --report report.html";

/// Holds a recorded history against every invariant.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct CheckOptions {
    /// The history, as `raftwork-chaos run` writes it.
    #[arg(value_name = "HISTORY")]
    history: PathBuf,
    /// Write a page for people: timeline, faults, verdicts, and the story of each violation.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Write the operations in the form of Jepsen, for other checkers.
    #[arg(long, value_name = "FILE.edn")]
    edn: Option<PathBuf>,
}

impl CheckOptions {
    /// Checks this history, and writes a page for people.
    pub fn with_report(history: PathBuf, report: PathBuf) -> Self {
        Self { history, report: Some(report), edn: None }
    }
}

/// Runs the command and prints its verdict.
///
/// # Errors
/// When the history cannot be read, or an output cannot be written: exit with the code of unknown then.
pub fn check_file(options: &CheckOptions) -> anyhow::Result<Verdict> {
    let history = &options.history;
    let in_history = || format!("failed to check {}", history.display());
    let reader = Reader::open(history).with_context(in_history)?;
    let mut edn = options.edn.as_deref().map(create).transpose()?.map(EdnWriter::new);
    let run = reader.run().clone();
    let judgement = check_with(reader, |line| edn.as_mut().map_or(Ok(()), |edn| edn.write(line)))
        .with_context(in_history)?;
    if let Some(edn) = edn {
        edn.finish()?;
    }
    if let Some(path) = &options.report {
        let mut out = create(path)?;
        report::write(&mut out, &judgement)?;
        out.flush()?;
    }
    print(&mut io::stdout().lock(), &run, &judgement)?;
    Ok(judgement.verdict())
}

/// The exit code that goes with a verdict.
pub fn exit_code(verdict: Verdict) -> ExitCode {
    ExitCode::from(verdict.exit_code())
}

fn create(path: &Path) -> anyhow::Result<BufWriter<fs_err::File>> {
    Ok(BufWriter::new(fs_err::File::create(path)?))
}

/// Prints one line for each invariant, the stories of the violations, and the verdict.
///
/// # Errors
/// When `out` fails.
pub fn print(out: &mut impl Write, run: &Run, judgement: &Judgement) -> io::Result<()> {
    for Finding { invariant, verdict, says, violations, .. } in &judgement.findings {
        let times = if *violations > 0 { format!("{violations} times; ") } else { String::new() };
        let name = invariant.to_string();
        writeln!(out, "{:<18}{:<10}{times}{says}", name, verdict.name())?;
    }
    for finding in &judgement.findings {
        for story in &finding.stories {
            writeln!(out, "\n{}: {story}", finding.invariant)?;
        }
    }
    let faults: Vec<String> =
        judgement.faults().into_iter().map(|(name, times)| format!("{name} {times}")).collect();
    if !faults.is_empty() {
        writeln!(out, "\nfaults: {}", faults.join(", "))?;
    }
    let counts = judgement.counts;
    writeln!(
        out,
        "\n{}: {} operations answered ({} refused), {} failed, {} without an answer; again: {}",
        judgement.verdict().name(),
        counts.answered(),
        counts.refused,
        counts.failed,
        counts.unknown,
        run.command
    )
}
