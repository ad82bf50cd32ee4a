//! Functions that kill their process, never end, or take too much.

use std::time::{Duration, Instant};

use raftwork_worker::python::{JobErrorKind, Pool};
use tokio_util::sync::CancellationToken;

use crate::python;
use crate::support::{assert_healthy, crash, error, eventually, is_running, job, options, pool, result, run};

#[tokio::test]
async fn an_exit_in_mid_task_is_a_crash_with_its_code() {
    let pool = pool(1).await;
    let error = error(
        &pool,
        job("import os\ndef f():\n print('last words', file=__import__('sys').stderr)\n os._exit(3)"),
    )
    .await;
    assert_eq!(error.kind, crash(Some(3), None));
    assert!(error.message.contains("exited with code 3"), "{}", error.message);
    assert_eq!(error.traceback, "last words");
    assert_eq!(
        python::inspect(&error.exception, "type(value).__name__, 'code 3' in str(value)"),
        "('WorkerFailure', True)"
    );
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_segmentation_fault_is_a_crash_with_its_signal_and_python_traceback() {
    let pool = pool(1).await;
    let outcome = run(&pool, job("import ctypes\ndef f(): ctypes.string_at(0)")).await;
    let error = outcome.result.unwrap_err();
    assert_eq!(error.kind, crash(None, Some(libc::SIGSEGV)));
    assert!(
        error.message.contains("SIGSEGV") && error.message.contains("pickled by another Python"),
        "{}",
        error.message
    );
    assert!(error.traceback.contains("string_at"), "{}", error.traceback);
    assert!(outcome.peak_rss > 1 << 20, "{}", outcome.peak_rss);
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_kill_from_outside_is_a_crash_with_a_hint() {
    let pool = pool(1).await;
    let error = error(&pool, job("import os\ndef f(): os.kill(os.getpid(), 9)")).await;
    assert_eq!(error.kind, crash(None, Some(libc::SIGKILL)));
    assert!(error.message.contains("out of memory"), "{}", error.message);
}

#[tokio::test]
async fn closing_the_pipe_to_the_agent_or_writing_to_it_costs_one_child() {
    let pool = pool(1).await;
    for source in [
        "import os, time\ndef f():\n os.close(4)\n time.sleep(60)",
        "import os, time\ndef f():\n os.write(4, b'x' * 100)\n time.sleep(60)",
    ] {
        let error = error(&pool, job(source)).await;
        assert!(matches!(error.kind, JobErrorKind::Crash { .. }), "{error:?}");
        assert_healthy(&pool).await;
    }
    // Without the pipe from the agent, the task can still be answered for.
    run(&pool, job("import os\ndef f(): os.close(3)")).await.result.unwrap();
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_task_that_never_ends_is_interrupted_and_may_clean_up() {
    let pool = pool(1).await;
    let source = "
import time
def f():
    try:
        time.sleep(60)
    finally:
        print('cleaned up')";
    let mut job = job(source);
    job.timeout = Some(Duration::from_millis(200));
    let outcome = run(&pool, job).await;
    let error = outcome.result.unwrap_err();
    assert_eq!(error.kind, JobErrorKind::Timeout);
    assert!(error.message.contains("and it was interrupted; give it a longer timeout"), "{}", error.message);
    assert!(error.traceback.contains("TaskTimeout"), "{}", error.traceback);
    assert_eq!(outcome.stdout.bytes, "cleaned up\n");
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_task_may_catch_its_timeout_and_return() {
    let source = "
import time
def f():
    from raftwork._context import TaskTimeout
    try:
        time.sleep(60)
    except TaskTimeout:
        return 'partial'";
    let mut job = job(source);
    job.timeout = Some(Duration::from_millis(200));
    assert_eq!(result(&pool(1).await, job).await, "'partial'");
}

#[tokio::test]
async fn a_task_that_ignores_the_interruption_is_killed_after_the_grace() {
    let pool = pool(1).await;
    let blocked = "
import signal, time
def f():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    time.sleep(60)";
    // One long call in C: the handler cannot run before it returns.
    let busy = "def f(): return sum(range(10 ** 12))";
    let swallowed = "
import time
def f():
    while True:
        try: time.sleep(60)
        except Exception: pass";
    for source in [blocked, busy, swallowed] {
        let mut job = job(source);
        job.timeout = Some(Duration::from_millis(200));
        let start = Instant::now();
        let error = error(&pool, job).await;
        assert_eq!(error.kind, JobErrorKind::Timeout);
        assert!(error.message.contains("and its process was killed"), "{}", error.message);
        assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
    }
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_cancelled_task_stops_even_if_it_catches_every_exception() {
    let pool = pool(1).await;
    let marker = tempfile::NamedTempFile::new().unwrap();
    let path = marker.path().display().to_string();
    let source = format!(
        "
import time
def f():
    open({path:?}, 'w').write('started')
    while True:
        try: time.sleep(60)
        except Exception: pass"
    );
    let mut job = job(&source);
    job.cancel = CancellationToken::new();
    let cancel = job.cancel.clone();
    let running = tokio::spawn({
        let pool = pool.clone();
        async move { error(&pool, job).await }
    });
    eventually("the task runs", || std::fs::read_to_string(&path).unwrap() == "started").await;
    cancel.cancel();
    let error = running.await.unwrap();
    assert_eq!(error.kind, JobErrorKind::Cancelled);
    assert!(error.message.ends_with("it was interrupted"), "{}", error.message);
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_job_whose_token_fired_before_it_started_never_runs() {
    let pool = pool(1).await;
    let job = job("def f(): return 1");
    job.cancel.cancel();
    let error = error(&pool, job).await;
    assert_eq!(
        (error.kind, error.message.as_str()),
        (JobErrorKind::Cancelled, "the task was cancelled before it started")
    );
}

#[tokio::test]
async fn too_much_memory_is_reported_with_limit_and_peak() {
    let mut options = options(1);
    options.memory_limit = Some(150 << 20);
    let pool = Pool::start(options).await.unwrap();
    let own = "
import time
def f():
    held = []
    while True:
        held.append(bytearray(8 << 20))
        time.sleep(0.01)";
    let in_a_subprocess = "
import subprocess, sys
def f(): subprocess.run([sys.executable, '-c', 'import time; x = bytearray(200 << 20); time.sleep(60)'])";
    for source in [own, in_a_subprocess] {
        let outcome = run(&pool, job(source)).await;
        let error = outcome.result.unwrap_err();
        let JobErrorKind::OutOfMemory { limit, peak } = error.kind else { panic!("{error:?}") };
        assert_eq!(limit, 150 << 20);
        assert!(peak > limit && outcome.peak_rss >= peak, "{peak}");
    }
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn processes_that_a_task_leaves_behind_end_with_it() {
    let pool = pool(1).await;
    let plain = "
import subprocess
def f(): return subprocess.Popen(['sleep', '600']).pid";
    let own_session = "
import subprocess
def f(): return subprocess.Popen(['sleep', '600'], start_new_session=True).pid";
    // The classic double fork: the grandchild loses its parent at once.
    let daemon = "
import os, subprocess
def f():
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        process = subprocess.Popen(['sleep', '600'])
        os.write(writer, str(process.pid).encode())
        os._exit(0)
    pid = int(os.read(reader, 20))
    os.wait()
    return pid";
    for source in [plain, own_session, daemon] {
        let pid: u32 = result(&pool, job(source)).await.parse().unwrap();
        eventually("the process is gone", || !is_running(pid)).await;
    }
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_killed_task_takes_its_processes_along() {
    let pool = pool(1).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let source = format!(
        "
import os, subprocess
def f():
    process = subprocess.Popen(['sleep', '600'])
    open({path:?}, 'w').write(str(process.pid))
    os.abort()"
    );
    assert_eq!(error(&pool, job(&source)).await.kind, crash(None, Some(libc::SIGABRT)));
    let pid: u32 = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    eventually("the process is gone", || !is_running(pid)).await;
}

#[tokio::test]
async fn dropping_a_run_kills_its_task_and_frees_the_slot() {
    let pool = pool(1).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let source =
        format!("import os, time\ndef f():\n open({path:?}, 'w').write(str(os.getpid()))\n time.sleep(600)");
    let running = tokio::spawn({
        let (pool, job) = (pool.clone(), job(&source));
        async move { pool.run(job).await }
    });
    let pid = || std::fs::read_to_string(&path).unwrap().parse::<u32>().ok();
    eventually("the task runs", || pid().is_some()).await;
    running.abort();
    eventually("the child is gone", || !is_running(pid().unwrap())).await;
    assert_healthy(&pool).await;
}
