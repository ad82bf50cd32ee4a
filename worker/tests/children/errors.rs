//! Functions that raise, return what cannot be sent, or cannot be loaded.

use bytes::Bytes;
use raftwork_worker::python::{FunctionKind, JobErrorKind};

use crate::python;
use crate::support::{assert_healthy, error, job, options, pool, raw_job, result, run};

#[tokio::test]
async fn an_exception_comes_back_as_itself() {
    let pool = pool(1).await;
    let error = error(&pool, job("def f(): raise KeyError('lost', 3)")).await;
    assert_eq!(error.kind, JobErrorKind::Exception);
    assert_eq!((error.type_name.as_str(), error.message.as_str()), ("KeyError", "('lost', 3)"));
    assert_eq!(error.bases, ["LookupError", "Exception", "BaseException"]);
    assert!(error.traceback.contains("in f") && error.traceback.contains("KeyError"), "{}", error.traceback);
    assert!(!error.traceback.contains("_runtime"), "{}", error.traceback);
    assert_eq!(
        python::inspect(&error.exception, "type(value).__name__, value.args"),
        "('KeyError', ('lost', 3))"
    );
}

#[tokio::test]
async fn an_exception_of_the_users_own_class_comes_back_with_its_attributes() {
    let source = "
class Broken(Exception):
    pass
def f():
    error = Broken('why')
    error.detail = 5
    raise error";
    let error = error(&pool(1).await, job(source)).await;
    assert_eq!(error.type_name, "Broken");
    assert_eq!(
        python::inspect(&error.exception, "type(value).__name__, str(value), value.detail"),
        "('Broken', 'why', 5)"
    );
}

#[tokio::test]
async fn an_exception_whose_init_defeats_pickle_comes_back_all_the_same() {
    let source = "
class Picky(Exception):
    def __init__(self, a, b):
        super().__init__(a + b)
        self.b = b
def f(): raise Picky('a', 'b')";
    let error = error(&pool(1).await, job(source)).await;
    assert_eq!((error.kind, error.type_name.as_str()), (JobErrorKind::Exception, "Picky"));
    assert_eq!(
        python::inspect(&error.exception, "type(value).__name__, value.args, value.b"),
        "('Picky', ('ab',), 'b')"
    );
}

#[tokio::test]
async fn an_exception_that_cannot_be_pickled_becomes_one_that_carries_its_text() {
    let pool = pool(1).await;
    let unpicklable = "
def f():
    error = ValueError('holds a generator')
    error.generator = (i for i in [])
    raise error";
    let broken_text = "
class Mute(Exception):
    def __str__(self): raise RuntimeError('no')
    def __reduce__(self): raise RuntimeError('no')
def f(): raise Mute()";
    for (source, name) in [(unpicklable, "ValueError"), (broken_text, "Mute")] {
        let error = error(&pool, job(source)).await;
        assert_eq!((error.kind, error.type_name.as_str()), (JobErrorKind::Exception, name));
        let expression = "type(value).__name__, value.type_name, 'Traceback' in value.traceback";
        assert_eq!(
            python::inspect(&error.exception, expression),
            format!("('RuntimeError', '{name}', True)")
        );
    }
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_result_that_cannot_be_pickled_is_an_error_that_names_its_type() {
    let pool = pool(1).await;
    let error = error(&pool, job("def f(): return (i for i in range(3))")).await;
    assert_eq!(error.kind, JobErrorKind::UnpicklableResult);
    assert!(
        error.message.starts_with("the result of type 'generator' cannot be pickled"),
        "{}",
        error.message
    );
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_result_of_a_class_from_main_loads_anywhere() {
    let source = "
class Point:
    def __init__(self, x): self.x = x
def f(): return Point(9)";
    let success = run(&pool(1).await, job(source)).await.result.unwrap();
    assert_eq!(python::inspect(&success.0, "type(value).__name__, value.x"), "('Point', 9)");
}

#[tokio::test]
async fn a_result_over_the_limit_is_an_error() {
    let mut options = options(1);
    options.result_bytes_max = 1000;
    let pool = raftwork_worker::python::Pool::start(options).await.unwrap();
    let error = error(&pool, job("def f(): return b'x' * 1000")).await;
    assert_eq!(error.kind, JobErrorKind::ResultTooLarge);
    assert!(error.message.ends_with("this worker sends at most 1000"), "{}", error.message);
    assert_eq!(result(&pool, job("def f(): return 'x' * 900")).await.len(), 902);
}

#[tokio::test]
async fn leaving_by_exception_fails_the_task_and_keeps_the_child() {
    let pool = pool(1).await;
    let before = result(&pool, job("import os\ndef f(): return os.getpid()")).await;
    for (source, name) in [
        ("import sys\ndef f(): sys.exit(3)", "SystemExit"),
        ("def f(): raise KeyboardInterrupt", "KeyboardInterrupt"),
        (
            "import os, signal, time\ndef f():\n os.kill(os.getpid(), signal.SIGINT)\n time.sleep(60)",
            "KeyboardInterrupt",
        ),
        ("def f(): return f()", "RecursionError"),
    ] {
        let error = error(&pool, job(source)).await;
        assert_eq!((error.kind, error.type_name.as_str()), (JobErrorKind::Exception, name));
    }
    assert_eq!(result(&pool, job("import os\ndef f(): return os.getpid()")).await, before);
}

#[tokio::test]
async fn garbage_payloads_are_load_errors() {
    let pool = pool(1).await;
    let good = python::function("def f(x): return x");
    let arguments = python::arguments("((1,), {})");
    let cases = [
        (
            Bytes::from_static(b"\x80\x04garbage."),
            arguments.clone(),
            "the function could not be loaded by Python 3.",
        ),
        (python::arguments("5"), arguments.clone(), "the function's payload holds an object of type 'int'"),
        (good.clone(), Bytes::from_static(b"garbage"), "the arguments could not be loaded"),
        (
            good.clone(),
            python::arguments("5"),
            "the arguments must be a pickled pair (args, kwargs), not 'int'",
        ),
        (Bytes::new(), arguments, "the function could not be loaded"),
    ];
    for (code, args, start) in cases {
        // Twice: a payload that failed once must fail the same way from the child's cache.
        for _ in 0..2 {
            let error = error(&pool, raw_job(code.clone(), FunctionKind::Dill, args.clone())).await;
            assert_eq!((error.kind, error.type_name.as_str()), (JobErrorKind::Load, "LoadFailure"));
            assert!(error.message.starts_with(start), "{}", error.message);
            let expected = format!("RuntimeError LoadFailure: {}", error.message);
            assert_eq!(
                python::inspect(&error.exception, "type(value).__name__ + ' ' + str(value)"),
                expected
            );
        }
    }
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn modules_come_from_the_path_folders_and_a_missing_one_gets_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shopping_list.py"), "def total(a, b):\n    return a + b\n").unwrap();
    // What pickle writes for a function of an importable module: its name.
    let by_reference = Bytes::from_static(b"\x80\x02cshopping_list\ntotal\n.");
    let call = || raw_job(by_reference.clone(), FunctionKind::Dill, python::arguments("((40, 2), {})"));

    let error = error(&pool(1).await, call()).await;
    assert_eq!(error.kind, JobErrorKind::Load);
    assert!(error.message.contains("No module named 'shopping_list'"), "{}", error.message);
    assert!(error.message.contains("raftwork worker --path DIR"), "{}", error.message);

    let mut options = options(1);
    options.path_dirs = vec![folder.path().to_owned()];
    let pool = raftwork_worker::python::Pool::start(options).await.unwrap();
    assert_eq!(result(&pool, call()).await, "42");
}
