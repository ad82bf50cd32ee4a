//! Real processes that are really killed: whatever they had been told is durable is there.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::*;

const DIR: &str = "RAFTWORK_TEST_LOG";
// Signal numbers of Linux.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// Not a test: the process that [`Victim`] starts. It appends, and prints every index once it was told that it is durable.
#[test]
#[ignore = "it is the process that other tests kill"]
fn victim() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let log = open(Path::new(&dir), None).unwrap();
    durable(|done| log.save_ballot(VOTE, done));
    for first in (0..).step_by(8) {
        let (told, waiting) = mpsc::channel();
        for index in first..first + 8 {
            let told = told.clone();
            let done: Done = Box::new(move |result| told.send(result.map(|()| index)).unwrap());
            log.append(
                vec![Record { position: at(1, index), body: Body::Entry(Bytes::from(vec![7; 1000])) }],
                done,
            );
        }
        for index in waiting.iter().take(8) {
            let Ok(index) = index else {
                // Whoever is told of an error is about to end with the process; if not, this ends it in the wrong way.
                std::thread::sleep(Duration::from_secs(10));
                return;
            };
            // One write, so that a kill cannot cut a number short.
            io::stdout().write_all(format!("{index}\n").as_bytes()).unwrap();
        }
    }
}

struct Victim {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Victim {
    /// Starts this test binary once more, behind the shell commands of `prepare`.
    fn start(dir: &Path, prepare: &str) -> Self {
        let binary = std::env::current_exe().unwrap();
        let test = concat!(module_path!(), "::victim");
        let test = test.split_once("::").unwrap().1;
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{prepare} exec \"$0\" \"$@\"")]).arg(binary);
        command.args(["--exact", test, "--ignored", "--nocapture"]).env(DIR, dir);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The next index that it was told is durable; `None` when it has ended.
    fn told(&mut self) -> Option<u64> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // The test harness prints lines of its own, the first of them without an end.
            if let Ok(index) = line.trim().rsplit(' ').next().unwrap_or_default().parse() {
                return Some(index);
            }
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_was_told_is_durable() {
    for round in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let mut victim = Victim::start(folder.path(), "");
        let mut last = None;
        while last < Some(round * 150) {
            last = Some(victim.told().expect("it goes on for ever"));
        }
        victim.child.kill().unwrap();
        while let Some(index) = victim.told() {
            last = Some(index);
        }
        assert_eq!(victim.child.wait().unwrap().signal(), Some(SIGKILL));
        let log = open(folder.path(), last).unwrap();
        assert!(log.extent().1.map(|end| end.index) >= last, "{:?} < {last:?}", log.extent());
        assert_eq!(log.ballot(), Some(VOTE));
    }
}

/// A disk that takes no more: the process says no to nobody, and does not go on.
#[test]
fn a_failed_write_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    // Files may not grow over 256 KiB, and the signal that would say so is ignored: the write fails instead.
    let mut victim = Victim::start(folder.path(), "trap '' XFSZ; ulimit -f 512;");
    let mut last = None;
    while let Some(index) = victim.told() {
        last = Some(index);
    }
    assert_eq!(victim.child.wait().unwrap().signal(), Some(SIGABRT));
    assert!(last > Some(100), "{last:?}");
    let log = open(folder.path(), last).unwrap();
    assert!(log.extent().1.map(|end| end.index) >= last);
}
