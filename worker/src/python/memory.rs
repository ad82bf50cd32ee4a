//! The resident size of a process and of everything that it started.

use std::collections::HashMap;

/// Bound on the processes that one sample looks at, so that a fork bomb cannot hold up the agent.
const PROCESSES_MAX: usize = 1024;

/// Resident size of one process in bytes; 0 if it is gone.
pub(super) fn process_rss(pid: u32) -> u64 {
    let text = fs_err::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Resident size of a process and its descendants in bytes.
///
/// Pages that forked processes share are counted once for each; what is reported is therefore never
/// less than what is used.
pub(super) fn tree_rss(root: u32) -> u64 {
    let mut sizes = HashMap::new();
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        if sizes.len() < PROCESSES_MAX && !sizes.contains_key(&pid) {
            sizes.insert(pid, process_rss(pid));
            waiting.extend(children(pid));
        }
    }
    sizes.values().sum()
}

/// The processes that any thread of `pid` started and that still live.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs_err::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .filter_map(|thread| fs_err::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_tree_holds_the_processes_that_its_root_started() {
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        let own = std::process::id();
        let found = children(own);
        let (sleeping, tree) = (process_rss(sleeper.id()), tree_rss(own));
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert!(found.contains(&sleeper.id()), "{found:?}");
        assert!(sleeping > 0 && tree > sleeping);
        assert_eq!(process_rss(u32::MAX - 1), 0);
    }
}
