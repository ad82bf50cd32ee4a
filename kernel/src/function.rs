//! Functions: what a task runs, without the code itself, which the kernel never looks into.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::retry::RetryPolicy;
use crate::time::{Millis, WallTime};

/// A Python version, major and minor: pickled code of one crashes another, so tasks are matched to workers by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PythonVersion {
    /// As in `3`.
    pub major: u8,
    /// As in `11`.
    pub minor: u8,
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Text that is not a Python version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a Python version such as 3.11")]
pub struct ParsePythonVersionError {
    text: String,
}

impl FromStr for PythonVersion {
    type Err = ParsePythonVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text
            .split_once('.')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }));
        // `u8` also reads `+3` and `03`, but a version has one textual form.
        let parsed = parsed.filter(|version| version.to_string() == text);
        parsed.ok_or_else(|| ParsePythonVersionError { text: text.chars().take(32).collect() })
    }
}

/// How the code and the arguments of a function are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// Code is `dill.dumps(function)`; arguments are the pickled pair `(args, kwargs)`; results are pickles.
    Pickle,
    /// Code is Python source text; arguments and results are JSON.
    Source,
}

/// Digest of a function's code (BLAKE3, 32 bytes): the key under which workers cache it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CodeHash(pub [u8; 32]);

impl fmt::Display for CodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeHash({self})")
    }
}

/// What somebody registers, apart from the code: the row that submits look up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSpec {
    /// For people; need not be unique.
    pub name: String,
    /// How code and arguments are written down.
    pub language: Language,
    /// Digest of the code.
    pub code_hash: CodeHash,
    /// The Python that pickled the code; `None` runs on any worker.
    pub python: Option<PythonVersion>,
    /// What happens after a failed attempt, unless the task says otherwise.
    pub retry: RetryPolicy,
    /// Longest run of one attempt, unless the task says otherwise; `None` sets no bound.
    pub run_max: Option<Millis>,
    /// How long a finished task and its result are kept.
    pub retention: Millis,
}

/// A registered function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// What was registered.
    pub spec: FunctionSpec,
    /// When, for people.
    pub registered_wall: WallTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_back() {
        assert_eq!("3.11".parse(), Ok(PythonVersion { major: 3, minor: 11 }));
        assert_eq!(PythonVersion { major: 3, minor: 9 }.to_string(), "3.9");
        for text in ["three", "3", "3.", "3.+11", "3.011", " 3.11", "3.11.2", "3.256"] {
            assert!(text.parse::<PythonVersion>().is_err(), "{text}");
        }
    }
}
