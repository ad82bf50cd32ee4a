//! Programs of the system that the harness needs.

use std::process::Command;

use anyhow::{Context, ensure};

/// What is missing for something that root can do with these programs, if anything is.
pub(super) fn missing(what: &str, programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some(format!("needs root: {what}"));
    }
    let absent = programs.iter().find(|program| Command::new(program).arg("-V").output().is_err());
    absent.map(|program| format!("needs {program}"))
}

/// Runs a command to its end, and returns what it printed.
///
/// # Errors
/// When it fails; it says why.
pub(super) fn run(command: &mut Command) -> anyhow::Result<String> {
    let done = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(done.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
