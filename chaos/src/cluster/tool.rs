//! Programs of the system that the harness needs.

use std::process::Command;

use anyhow::{Context, ensure};

/// The first of these programs that is not there.
pub(super) fn missing<'a>(programs: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    programs.into_iter().find(|program| Command::new(program).arg("-V").output().is_err())
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
