//! A real Python with dill, and payloads made by it as a client would make them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use bytes::Bytes;

/// The interpreter that the tests use: `RAFTWORK_TEST_PYTHON`, or `python3` if it has dill, or a
/// virtual environment that is made once in the build folder.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        if let Some(path) = std::env::var_os("RAFTWORK_TEST_PYTHON") {
            return path.into();
        }
        if succeeds(Command::new("python3").args(["-c", "import dill"])) {
            return "python3".into();
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let python = folder.join("bin/python");
        if !succeeds(Command::new(&python).args(["-c", "import dill"])) {
            assert!(
                succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder)),
                "cannot make a venv"
            );
            let pip = ["-m", "pip", "install", "--quiet", "dill"];
            assert!(succeeds(Command::new(&python).args(pip)), "cannot install dill");
        }
        python
    })
}

fn succeeds(command: &mut Command) -> bool {
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The folder of the package that is under test.
pub fn package_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../python/raftwork")
}

/// Pickles the function `f` that `source` defines in `__main__`, as the SDK does.
pub fn function(source: &str) -> Bytes {
    evaluate(&format!("{source}\nimport dill as _dill\nprint(_dill.dumps(f, recurse=True).hex())"))
}

/// Pickles a pair `(args, kwargs)` written as a Python expression.
pub fn arguments(expression: &str) -> Bytes {
    evaluate(&format!("import dill\nprint(dill.dumps({expression}).hex())"))
}

/// What a client sees that loads these payloads: the `repr` of each.
pub fn reprs(payloads: &[Bytes]) -> Vec<String> {
    let script = "import dill, sys\nfor line in sys.stdin: print(repr(dill.loads(bytes.fromhex(line))))";
    let lines: String = payloads.iter().map(|payload| hex(payload) + "\n").collect();
    run(script, &lines).lines().map(str::to_owned).collect()
}

/// What plain pickle makes of one payload, without the package: an expression over `value`.
pub fn inspect(payload: &Bytes, expression: &str) -> String {
    let script = format!(
        "import pickle, dill, sys\nvalue = dill.loads(bytes.fromhex(sys.stdin.read()))\nprint(({expression}))"
    );
    run(&script, &hex(payload)).trim_end().to_owned()
}

fn evaluate(script: &str) -> Bytes {
    let text = run(script, "");
    let digits = text.trim();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect::<Vec<_>>()
        .into()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn run(script: &str, input: &str) -> String {
    let mut child = Command::new(python())
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the helper script failed: {script}");
    String::from_utf8(output.stdout).unwrap()
}
