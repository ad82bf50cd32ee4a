//! The simulator as a test: a few dozen seeds have nothing wrong, and a seed says the same every time.

use std::process::Command;

fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_raftwork-sim")).args(arguments).output();
    let output = output.expect("the simulator can be run");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Seed 1 once came to no end: a leader without a majority refused workers' wants at once, and was asked again at once.
#[test]
fn clusters_survive_their_faults() {
    let (passed, said) = run(&["--seeds", "0..36", "--seconds", "40"]);
    assert!(passed, "{said}");
}

#[test]
fn a_seed_gives_the_same_trace_every_time() {
    let (passed, said) = run(&["--seeds", "100..106", "--seconds", "20", "--twice"]);
    assert!(passed, "{said}");
}

#[test]
fn another_seed_gives_another_trace() {
    let hash = |seed: &str| {
        let (_, said) = run(&["one", "--seeds", seed, "--seconds", "5"]);
        let start = said.find("\"hash\":\"").expect("a report has a hash") + 8;
        said[start..start + 16].to_owned()
    };
    assert_ne!(hash("1"), hash("2"));
}

#[test]
fn seeds_that_are_none_are_refused() {
    let (passed, said) = run(&["--seeds", "banana"]);
    assert!(!passed && said.contains("\"banana\" is no seed"), "{said}");
}
