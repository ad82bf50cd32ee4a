//! Functions that simply run, in all the shapes that they come in.

use std::time::Duration;

use bytes::Bytes;
use raftwork_api::kernel::{LeaseRef, Status, TaskId, Token};
use raftwork_api::tasks::Progress;
use raftwork_worker::python::{FunctionKind, Job, JobErrorKind, Listener};
use tokio::sync::{mpsc, oneshot};

use crate::python;
use crate::support::{DEADLINE, error, job, job_with, options, pool, raw_job, result, run, source_job};

#[tokio::test]
async fn arguments_go_in_and_results_come_out() {
    let pool = pool(1).await;
    let concat = "def f(a, *, sep): return a + sep + a";
    assert_eq!(result(&pool, job_with(concat, "(('x',), {'sep': '-'})")).await, "'x-x'");
    assert_eq!(result(&pool, job("def f(): return lambda: 1")).await.split(' ').next(), Some("<function"));
}

#[tokio::test]
async fn a_payload_of_sixteen_mebibytes_passes_both_ways() {
    let pool = pool(1).await;
    let job = job_with("def f(data): return data[::-1]", "((b'ab' * (8 << 20),), {})");
    let success = run(&pool, job).await.result.unwrap();
    assert_eq!(python::inspect(&success.0, "value == b'ba' * (8 << 20)"), "True");
}

#[tokio::test]
async fn a_task_knows_its_id_token_and_attempt() {
    let source = "
def f():
    import threading
    from raftwork._context import current_task
    seen = []
    thread = threading.Thread(target=lambda: seen.append(current_task()))
    thread.start(); thread.join()
    task = current_task()
    assert seen == [task]
    return task.id, task.token, task.attempt";
    assert_eq!(result(&pool(1).await, job(source)).await, "('0190-task', 77, 2)");
}

#[tokio::test]
async fn results_of_other_tasks_are_put_in_the_place_of_references() {
    let pool = pool(1).await;
    let (first, second) = (TaskId::from_u128(1), TaskId::from_u128(2));
    let taking = format!(
        r#"{{"args": [{{"$result_of": "{first}"}}], "kwargs": {{"b": [{{"$result_of": "{second}"}}]}}}}"#
    );
    let mut job = source_job("def f(a, b): return [a, b]", "f", &taking);
    // One of a pickled function, one of a function in source text.
    let (pickle, json) = (python::arguments("'one'"), Bytes::from_static(b"{\"two\": 2}"));
    job.given = vec![(first, Ok(pickle)), (second, Ok(json))];
    assert_eq!(&run(&pool, job).await.result.unwrap().0[..], br#"["one",[{"two":2}]]"#);
}

#[tokio::test]
async fn a_reference_to_what_has_no_result_or_was_not_given_fails_the_load_and_names_the_task() {
    let pool = pool(1).await;
    let task = TaskId::from_u128(1);
    let taking = format!(r#"[{{"$result_of": "{task}"}}]"#);
    for (given, expected) in [
        (vec![(task, Err(Status::Failed))], format!("task {task}, whose result is an argument, failed")),
        (
            vec![(task, Err(Status::Cancelled))],
            format!("task {task}, whose result is an argument, was cancelled"),
        ),
        (
            vec![(TaskId::from_u128(2), Ok(Bytes::from_static(b"1")))],
            format!("the result of task {task} is not among"),
        ),
        (
            vec![(task, Ok(Bytes::from_static(b"\x80broken")))],
            format!("the result of task {task}, which is an argument, could not"),
        ),
    ] {
        let mut job = source_job("def f(a): return a", "f", &taking);
        job.given = given;
        let error = error(&pool, job).await;
        assert_eq!(error.kind, JobErrorKind::Load);
        assert!(error.message.contains(&expected), "{}", error.message);
    }
    // What came with one task is not there for the next.
    let mut job = source_job("def f(a): return a", "f", "[7]");
    job.given = Vec::new();
    assert_eq!(&run(&pool, job).await.result.unwrap().0[..], b"7");
}

#[tokio::test]
async fn progress_is_told_while_the_task_runs_and_never_after() {
    let pool = pool(1).await;
    let lease = LeaseRef { task: TaskId::from_u128(1), token: Token(77) };
    let (to, mut said) = mpsc::channel(1000);
    let source = "
def f():
    import threading, time
    from raftwork._context import current_task
    task = current_task()
    def go_on():
        while True:
            task.progress(3)
            time.sleep(0.001)
    threading.Thread(target=go_on, daemon=True).start()
    for n in range(10000):
        task.progress(n + 1, 10000, 'counting')
    return 1";
    let mut counting = job(source);
    counting.progress = Some(Listener { lease, to });
    assert_eq!(result(&pool, counting).await, "1");
    let words: Vec<_> = std::iter::from_fn(|| said.try_recv().ok()).collect();
    assert!(words.len() < 1000 && words.iter().all(|(of, _)| *of == lease), "{} words", words.len());
    let last = Progress { done: 10_000, total: Some(10_000), message: "counting".to_owned() };
    assert!(words.iter().any(|(_, word)| *word == last), "{words:?}");
    // The thread that it left behind has no say in what comes next.
    for _ in 0..20 {
        let next = Job { token: 78, ..job("def f(): return __import__('time').sleep(0.01)") };
        assert_eq!(result(&pool, next).await, "None");
    }
}

#[tokio::test]
async fn started_is_told_before_the_end() {
    let pool = pool(1).await;
    let gate = tempfile::tempdir().unwrap();
    let path = gate.path().join("open").display().to_string();
    let mut job = job(&format!(
        "import os, time\ndef f():\n while not os.path.exists({path:?}): time.sleep(0.01)\n return 1"
    ));
    let (started, on_start) = oneshot::channel();
    job.started = Some(started);
    let running = tokio::spawn(async move { result(&pool, job).await });
    tokio::time::timeout(DEADLINE, on_start).await.unwrap().unwrap();
    assert!(!running.is_finished());
    std::fs::write(&path, "").unwrap();
    assert_eq!(running.await.unwrap(), "1");
}

#[tokio::test]
async fn coroutines_run_to_their_end_and_leave_nothing_on_the_loop() {
    let pool = pool(1).await;
    let source = "
import asyncio
async def f():
    forgotten = asyncio.ensure_future(asyncio.sleep(600))
    await asyncio.sleep(0.01)
    return len(asyncio.all_tasks())";
    for _ in 0..2 {
        assert_eq!(result(&pool, job(source)).await, "2");
    }
    let mut slow = job("import asyncio\nasync def f(): await asyncio.sleep(600)");
    slow.timeout = Some(Duration::from_millis(200));
    assert_eq!(error(&pool, slow).await.kind, JobErrorKind::Timeout);
    assert_eq!(result(&pool, job(source)).await, "2");
}

#[tokio::test]
async fn functions_that_use_threads_and_process_pools_work() {
    let pool = pool(1).await;
    let threads = "
from concurrent.futures import ThreadPoolExecutor
def f():
    with ThreadPoolExecutor(4) as executor: return sum(executor.map(abs, range(-10, 0)))";
    let processes = "
from concurrent.futures import ProcessPoolExecutor
def f():
    with ProcessPoolExecutor(2) as executor: return sum(executor.map(abs, range(-10, 0)))";
    assert_eq!(result(&pool, job(threads)).await, "55");
    assert_eq!(result(&pool, job(processes)).await, "55");
}

#[tokio::test]
async fn main_belongs_to_each_function_alone() {
    let pool = pool(1).await;
    // Pickled the way the oldest clients do: its globals land in the child's `__main__`.
    let writes = "def f():\n global leak\n leak = globals().get('leak', 0) + 1\n return leak\nimport dill; dill.settings['recurse'] = False";
    let plain = |source: &str| {
        let code = python::function(&source.replace("recurse=True", ""));
        raw_job(code, FunctionKind::Dill, python::arguments("((), {})"))
    };
    let reads =
        "def f():\n import __main__\n return sorted(k for k in vars(__main__) if not k.startswith('__'))";
    assert_eq!(result(&pool, plain(writes)).await, "1");
    assert_eq!(result(&pool, job(reads)).await, "[]");
    assert_eq!(result(&pool, plain(writes)).await, "2", "the same function finds its own state again");
}

#[tokio::test]
async fn source_functions_take_and_return_json() {
    let pool = pool(1).await;
    let source = "import math\ndef helper(x): return x * 2\ndef area(r, *, digits=2): return {'area': round(math.pi * r * r, digits)}\ndef other(): return 'other'\ndef _private(): pass\n";
    for (name, arguments, expected) in [
        ("area", r#"{"args": [2], "kwargs": {"digits": 3}}"#, r#"{"area":12.566}"#),
        ("area", "[1]", r#"{"area":3.14}"#),
        ("area", r#"{"r": 1, "digits": 1}"#, r#"{"area":3.1}"#),
        ("helper", r#"["ä"]"#, r#""\u00e4\u00e4""#),
        // No function of that name: the last public one.
        ("nightly report", "null", r#""other""#),
        ("other", "", r#""other""#),
    ] {
        let success = run(&pool, source_job(source, name, arguments)).await.result.unwrap();
        assert_eq!(success.0, expected, "{name} {arguments}");
    }
}

#[tokio::test]
async fn source_functions_fail_with_clear_words() {
    let pool = pool(1).await;
    for (source, arguments, kind, text) in [
        (
            "x = 1",
            "",
            JobErrorKind::Load,
            "the source defines no function named 'f' and no other public function",
        ),
        ("def f(:", "", JobErrorKind::Load, "SyntaxError"),
        ("import no_such_module", "", JobErrorKind::Load, "No module named 'no_such_module'"),
        ("def f(): pass", "{", JobErrorKind::Load, "the arguments are not JSON"),
        ("def f(): pass", "5", JobErrorKind::Load, "the arguments must be a JSON list"),
        ("def f(): pass", "[1]", JobErrorKind::Exception, "takes 0 positional arguments"),
        (
            "def f(): return {1, 2}",
            "",
            JobErrorKind::UnpicklableResult,
            "the result of type 'set' cannot be written as JSON",
        ),
        ("def f(): return float('nan')", "", JobErrorKind::UnpicklableResult, "cannot be written as JSON"),
    ] {
        let error = error(&pool, source_job(source, "f", arguments)).await;
        assert_eq!(error.kind, kind, "{source}");
        assert!(error.message.contains(text), "{}", error.message);
    }
    let error = error(&pool, source_job("def f():\n    return 1 / 0  # the culprit\n", "f", "")).await;
    assert!(error.traceback.contains("# the culprit"), "{}", error.traceback);
}

#[tokio::test]
async fn a_zygote_with_threads_executes_its_children_instead() {
    let folder = tempfile::tempdir().unwrap();
    let module =
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()\n";
    std::fs::write(folder.path().join("starts_a_thread.py"), module).unwrap();
    let mut options = options(1);
    options.path_dirs = vec![folder.path().to_owned()];
    options.preload = vec!["starts_a_thread".to_owned()];
    let pool = raftwork_worker::python::Pool::start(options).await.unwrap();
    // A forked child would have the module; an executed one starts afresh, on the same path.
    let source = "import sys\ndef f():\n before = 'starts_a_thread' in sys.modules\n import starts_a_thread\n return before";
    assert_eq!(result(&pool, job(source)).await, "False");
    assert_eq!(
        error(&pool, job("import os\ndef f(): os._exit(4)")).await.kind,
        crate::support::crash(Some(4), None)
    );
    assert_eq!(result(&pool, job(source)).await, "False");
}
