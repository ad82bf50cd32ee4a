//! The pool as a whole: many tasks, worn children, a dead zygote, a dead agent.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use raftwork_worker::python::{
    FunctionKind, JobErrorKind, Pool, PoolOptions, Recycle, StartError, exception_pickle,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::python;
use crate::support::{
    assert_healthy, error, eventually, is_running, job, options, pool, raw_job, result, run,
};

const PID: &str = "import os\ndef f(): return os.getpid()";

#[tokio::test]
async fn the_version_of_python_is_known() {
    let version = pool(1).await.python();
    assert_eq!(version.major, 3);
    let expected = python::inspect(&python::arguments("0"), "__import__('sys').version_info[1]");
    assert_eq!(version.minor.to_string(), expected);
}

#[tokio::test]
async fn an_interpreter_that_cannot_serve_is_refused_with_a_reason() {
    let missing = PoolOptions::new("/no/such/python", python::package_dir(), 1);
    assert!(matches!(Pool::start(missing).await, Err(StartError::Exec { .. })));
    let not_python = PoolOptions::new("/bin/true", python::package_dir(), 1);
    assert!(matches!(Pool::start(not_python).await, Err(StartError::Ended { .. })));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dill.py"), "raise ImportError('no dill here')").unwrap();
    let mut without_dill = options(1);
    without_dill.path_dirs = vec![folder.path().to_owned()];
    let error = Pool::start(without_dill).await.unwrap_err().to_string();
    assert!(error.contains("no dill here") && error.contains("-m pip install dill"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_tasks_on_two_slots_give_their_own_results() {
    let pool = pool(2).await;
    let code = python::function("def f(n): return n * n");
    let source = python::arguments("((123456,), {})");
    let mut running = Vec::new();
    for n in 100_000..102_000_i32 {
        // The argument is the only int of its pickle: BININT and four bytes.
        let mut args = source.to_vec();
        let at = args.windows(4).position(|part| part == 123_456_i32.to_le_bytes()).unwrap();
        args[at..at + 4].copy_from_slice(&n.to_le_bytes());
        let job = raw_job(code.clone(), FunctionKind::Dill, args.into());
        let pool = pool.clone();
        running.push(tokio::spawn(async move { run(&pool, job).await.result.unwrap().0 }));
    }
    let mut results = Vec::new();
    for task in running {
        results.push(task.await.unwrap());
    }
    let expected: Vec<String> = (100_000..102_000_i64).map(|n| (n * n).to_string()).collect();
    assert_eq!(python::reprs(&results), expected);
}

#[tokio::test]
async fn more_functions_than_a_child_keeps_are_sent_again() {
    let pool = pool(1).await;
    let job = |n: usize| crate::support::source_job(&format!("def f(): return {n}"), "f", "");
    for n in (0..150).chain(0..150).chain([149, 20, 149]) {
        assert_eq!(run(&pool, job(n)).await.result.unwrap().0, n.to_string());
    }
}

#[tokio::test]
async fn a_slot_has_its_share_of_the_processors_and_leaves_no_core_files() {
    let mut options = options(2);
    options.cpus_per_slot = 3;
    let pool = Pool::start(options).await.unwrap();
    // Set before Python starts: libraries read them when they are loaded.
    let threads =
        "import os\ndef f(): return [os.environ[n] for n in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS')]";
    assert_eq!(result(&pool, job(threads)).await, "['3', '3']");
    let core = "import resource\ndef f(): return resource.getrlimit(resource.RLIMIT_CORE)";
    assert_eq!(result(&pool, job(core)).await, "(0, 0)");
}

#[tokio::test]
async fn a_preloaded_module_is_imported_once_for_all_children() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slow_to_load.py"), "import os\nLOADED_IN = os.getpid()\n").unwrap();
    let mut options = options(2);
    options.path_dirs = vec![folder.path().to_owned()];
    options.preload = vec!["slow_to_load".to_owned()];
    let pool = Pool::start(options).await.unwrap();
    let source = "import os\ndef f():\n import slow_to_load\n return slow_to_load.LOADED_IN == os.getppid()";
    assert_eq!(result(&pool, job(source)).await, "True");
}

#[tokio::test]
async fn a_worn_child_is_replaced_between_tasks() {
    let mut by_tasks = options(1);
    by_tasks.recycle = Recycle { max_tasks: Some(2), max_rss: None };
    let pool = Pool::start(by_tasks).await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..4 {
        pids.push(result(&pool, job(PID)).await);
    }
    assert!(pids[0] == pids[1] && pids[1] != pids[2] && pids[2] == pids[3], "{pids:?}");

    let mut by_size = options(1);
    by_size.recycle = Recycle { max_tasks: None, max_rss: Some(200 << 20) };
    let pool = Pool::start(by_size).await.unwrap();
    let first = result(&pool, job(PID)).await;
    assert_eq!(result(&pool, job(PID)).await, first);
    result(&pool, job("import sys\ndef f(): sys.held = bytearray(250 << 20)")).await;
    assert_ne!(result(&pool, job(PID)).await, first);
    eventually("the old child has gone", || !is_running(first.parse().unwrap())).await;
}

#[tokio::test]
async fn a_child_that_dies_while_idle_costs_no_task() {
    let pool = pool(1).await;
    let pid = result(&pool, job(PID)).await.parse().unwrap();
    kill(pid, Signal::KILL);
    eventually("the child has gone", || !is_running(pid)).await;
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_zygote_that_dies_is_replaced_and_its_tasks_are_not_blamed() {
    let pool = pool(2).await;
    let error =
        error(&pool, job("import os, time\ndef f():\n os.kill(os.getppid(), 9)\n time.sleep(60)")).await;
    assert_eq!(error.kind, JobErrorKind::Infrastructure);
    let (one, two) = tokio::join!(assert_healthy(&pool), assert_healthy(&pool));
    assert_eq!((one, two), ((), ()));
}

#[tokio::test]
async fn a_shutdown_kills_running_tasks_and_ends_all_processes() {
    let pool = pool(2).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let source = format!(
        "import os, time\ndef f():\n open({path:?}, 'w').write(f'{{os.getpid()}} {{os.getppid()}}')\n time.sleep(600)"
    );
    let running = tokio::spawn({
        let (pool, job) = (pool.clone(), job(&source));
        async move { error(&pool, job).await }
    });
    let pids = || {
        std::fs::read_to_string(&path)
            .unwrap()
            .split(' ')
            .filter_map(|pid| pid.parse().ok())
            .collect::<Vec<u32>>()
    };
    eventually("the task runs", || pids().len() == 2).await;
    pool.shutdown().await;
    assert_eq!(running.await.unwrap().kind, JobErrorKind::Infrastructure);
    assert!(pids().iter().all(|pid| !is_running(*pid)));
    let late = error(&pool, job("def f(): pass")).await;
    assert_eq!(late.kind, JobErrorKind::Infrastructure);
}

/// Not a test: the agent that `killing_the_agent_kills_everything_below_it` kills.
#[tokio::test]
#[ignore = "a helper process of another test"]
async fn agent_to_be_killed() {
    let pool = Arc::new(pool(1).await);
    let source = "
import os, subprocess, time
def f():
    process = subprocess.Popen(['sleep', '600'])
    detached = subprocess.Popen(['sleep', '600'], start_new_session=True)
    open(os.environ['RAFTWORK_TEST_PIPE'], 'w').write(f'{os.getppid()} {os.getpid()} {process.pid} {detached.pid}\\n')
    while True:
        try: time.sleep(600)
        except Exception: pass";
    run(&pool, job(source)).await.result.unwrap();
}

#[tokio::test]
async fn killing_the_agent_kills_everything_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pids");
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "pool::agent_to_be_killed"])
        .env("RAFTWORK_TEST_PIPE", &path)
        .env("RAFTWORK_TEST_PYTHON", python::python())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pids = || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.ends_with('\n')
            .then(|| text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>())
    };
    eventually("the agent's task runs", || pids().is_some()).await;
    let pids = pids().unwrap();
    assert!(pids.len() == 4 && pids.iter().all(|pid| is_running(*pid)), "{pids:?}");
    agent.kill().unwrap();
    agent.wait().unwrap();
    eventually("zygote, child and subprocesses are gone", || pids.iter().all(|pid| !is_running(*pid))).await;
}

#[test]
fn the_failure_of_a_lost_task_loads_with_plain_pickle_and_no_package() {
    let script = "import pickle, sys\nvalue = pickle.loads(sys.stdin.buffer.read())\n\
                  print(type(value).__module__, type(value).__name__, isinstance(value, Exception), value)";
    let mut child = Command::new(python::python())
        .args(["-I", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&exception_pickle("lost: ü")).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(line, "raftwork WorkerFailure True lost: ü\n");
}

/// Prints the cost of a warm task; run with `--ignored --nocapture`, and `--release` for real numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_a_warm_task() {
    let pool = pool(1).await;
    let (code, args) = (python::function("def f(): pass"), python::arguments("((), {})"));
    for round in 0..5 {
        let (pool, code, args) = (pool.clone(), code.clone(), args.clone());
        let measured = tokio::spawn(async move {
            let start = Instant::now();
            let mut inside = Duration::ZERO;
            for _ in 0..5000 {
                let outcome = pool.run(raw_job(code.clone(), FunctionKind::Dill, args.clone())).await;
                outcome.result.unwrap();
                inside += outcome.duration;
            }
            (start.elapsed() / 5000, inside / 5000)
        });
        let (whole, inside) = measured.await.unwrap();
        writeln!(std::io::stdout(), "round {round}: {whole:?} a task, {inside:?} of it in the call").unwrap();
    }
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}
