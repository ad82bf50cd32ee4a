//! What tasks print, and what they do to the descriptors that they print to.

use std::time::Duration;

use crate::support::{assert_healthy, job, pool, result, run};

#[tokio::test]
async fn output_belongs_to_the_task_that_wrote_it() {
    let pool = pool(1).await;
    let source = "
import ctypes, os, subprocess, sys
def f():
    print('python')
    os.write(1, b'raw\\n')
    ctypes.CDLL(None).printf(b'native\\n')
    subprocess.run(['echo', 'process'])
    print('to stderr', end='', file=sys.stderr)";
    for _ in 0..2 {
        let outcome = run(&pool, job(source)).await;
        outcome.result.unwrap();
        let mut lines: Vec<&str> = std::str::from_utf8(&outcome.stdout.bytes).unwrap().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["native", "process", "python", "raw"]);
        assert_eq!(outcome.stderr.bytes, "to stderr");
    }
    assert_eq!(run(&pool, job("def f(): pass")).await.stdout.total, 0);
}

#[tokio::test]
async fn megabytes_of_output_are_counted_and_cut_in_the_middle() {
    let pool = pool(1).await;
    let by_print = "def f():\n print('first')\n for i in range(200000): print('x' * 99)\n print('last')";
    let by_write = "import os\ndef f():\n os.write(1, b'first\\n')\n for i in range(1000): os.write(1, b'y' * 100000)\n os.write(1, b'last\\n')";
    for (source, total) in [(by_print, 20_000_011), (by_write, 100_000_011)] {
        let outcome = run(&pool, job(source)).await;
        outcome.result.unwrap();
        let text = String::from_utf8(outcome.stdout.bytes.to_vec()).unwrap();
        assert_eq!(outcome.stdout.total, total);
        assert!(text.starts_with("first\n") && text.ends_with("last\n"));
        let marker = format!("\n... truncated {} bytes ...\n", total - 2 * 65536);
        assert!(text.contains(&marker) && text.len() == 2 * 65536 + marker.len(), "{}", text.len());
    }
}

#[tokio::test]
async fn a_task_that_prints_for_ever_still_meets_its_timeout() {
    let pool = pool(1).await;
    let mut job = job("import os\ndef f():\n while True: os.write(1, b'z' * 65536)");
    job.timeout = Some(Duration::from_millis(300));
    let outcome = run(&pool, job).await;
    assert_eq!(outcome.result.unwrap_err().kind, raftwork_worker::python::JobErrorKind::Timeout);
    assert!(outcome.stdout.total > 1 << 20);
}

#[tokio::test]
async fn bytes_that_are_not_text_are_kept_as_they_are() {
    let outcome =
        run(&pool(1).await, job("import os\ndef f():\n os.write(1, bytes(range(256)))\n print('\\udcff')"))
            .await;
    outcome.result.unwrap();
    let expected: Vec<u8> = (0..=255).chain(*b"\\udcff\n").collect();
    assert_eq!(outcome.stdout.bytes, expected);
}

#[tokio::test]
async fn closing_or_replacing_the_streams_costs_only_that_tasks_output() {
    let pool = pool(1).await;
    for source in [
        "import os\ndef f():\n os.close(1)\n return 'fine'",
        "import sys\ndef f():\n sys.stdout.close()\n sys.stderr.close()\n return 'fine'",
        "import io, sys\ndef f():\n sys.stdout = sys.stderr = io.StringIO()\n return 'fine'",
        "import sys\ndef f():\n sys.stdout = sys.stderr = None\n return 'fine'",
    ] {
        assert_eq!(result(&pool, job(source)).await, "'fine'");
        let outcome = run(&pool, job("def f(): print('heard')")).await;
        assert_eq!(outcome.stdout.bytes, "heard\n", "after {source}");
    }
    assert_healthy(&pool).await;
}

#[tokio::test]
async fn a_thread_that_goes_on_printing_does_not_hold_up_the_answer() {
    let source = "
import os, threading
def forever():
    while True: os.write(2, b'n' * 1000)
def f(): threading.Thread(target=forever, daemon=True).start()";
    run(&pool(1).await, job(source)).await.result.unwrap();
}
