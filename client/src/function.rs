//! Functions as a client registers them.

use bytes::Bytes;
use raftwork_api::kernel::{
    CodeHash, FunctionId, FunctionSpec, Language, Millis, PythonVersion, Register, RetryPolicy, encode,
    limits,
};

/// A function to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFunction {
    /// For people; for source code also the function in it that is called.
    pub name: String,
    /// How code and arguments are written down.
    pub language: Language,
    /// The code.
    pub code: Bytes,
    /// The Python that it needs; `None` runs on any worker.
    pub python: Option<PythonVersion>,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// Longest run of one attempt; `None` sets no bound.
    pub run_max: Option<Millis>,
    /// How long a finished task and its result are kept.
    pub retention: Millis,
}

impl NewFunction {
    /// A function as source text, with JSON arguments and results.
    pub fn source(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(name.into(), Language::Source, Bytes::from(text.into()), None)
    }

    /// A function as `dill.dumps` of the given Python wrote it.
    pub fn pickled(name: impl Into<String>, code: impl Into<Bytes>, python: PythonVersion) -> Self {
        Self::new(name.into(), Language::Pickle, code.into(), Some(python))
    }

    fn new(name: String, language: Language, code: Bytes, python: Option<PythonVersion>) -> Self {
        let retention = limits::RETENTION_DEFAULT;
        Self { name, language, code, python, retry: RetryPolicy::default(), run_max: None, retention }
    }

    /// The command that registers the function.
    ///
    /// The id is a digest of everything that makes the function what it is, so that a program which is started a
    /// thousand times registers one function, and a repeat after a fail-over is recognised.
    pub fn to_register(&self) -> Register {
        let spec = FunctionSpec {
            name: self.name.clone(),
            language: self.language,
            code_hash: CodeHash(*blake3::hash(&self.code).as_bytes()),
            python: self.python,
            retry: self.retry,
            run_max: self.run_max,
            retention: self.retention,
        };
        Register { function: id_of(&spec), spec, code: self.code.clone() }
    }
}

/// The first 128 bits of BLAKE3 over the encoded spec (which holds the code's own hash), as a UUID of version 8.
fn id_of(spec: &FunctionSpec) -> FunctionId {
    let mut hasher = blake3::Hasher::new_derive_key("raftwork 2026 function to function id");
    hasher.update(&encode(spec));
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    FunctionId::from(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_function_has_the_same_id_and_another_has_another() {
        let add = NewFunction::source("add", "def add(a, b): return a + b");
        let mut patient = add.clone();
        patient.run_max = Some(Millis::from_secs(60));
        let edited = NewFunction::source("add", "def add(a, b): return b + a");
        assert_eq!(add.to_register(), add.clone().to_register());
        assert_ne!(add.to_register().function, patient.to_register().function);
        assert_ne!(add.to_register().function, edited.to_register().function);
    }
}
