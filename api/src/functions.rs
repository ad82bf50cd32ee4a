//! `/v1/functions`.

use raftwork_kernel::RetryPolicy;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::payload::PickleText;
use crate::span::Positive;
use crate::{Span, number};

/// How code, arguments and results are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CodeFormat {
    /// Base64 of pickles: the code by `dill.dumps`, the arguments as the pair `(args, kwargs)`.
    Pickle,
    /// Python source text; arguments and results are JSON.
    Source,
}

/// Body of `POST /v1/functions`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "format", rename_all = "lowercase")]
#[schema(example = json!({"name": "add", "format": "source", "code": "def add(a, b):\n    return a + b\n"}))]
pub enum NewFunction {
    /// A function pickled by `dill.dumps`; its arguments are pickled pairs `(args, kwargs)`.
    Pickle(NewPickle),
    /// Python source text; arguments and results are JSON.
    Source(NewSource),
}

/// A pickled function.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewPickle {
    /// For people.
    pub name: String,
    /// Base64 of the pickle.
    #[schema(value_type = PickleText)]
    pub code: String,
    /// Anything else.
    #[serde(flatten)]
    pub terms: FunctionTerms,
}

/// A function as source text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewSource {
    /// The function in the code that is called.
    #[schema(pattern = "^[^\\W\\d]\\w*$")]
    pub name: String,
    /// The text.
    #[schema(pattern = "[^ \\t\\r\\n\\f]")]
    pub code: String,
    /// Anything else.
    #[serde(flatten)]
    pub terms: FunctionTerms,
}

/// Under which terms the tasks of a function run, unless they say otherwise.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct FunctionTerms {
    /// The Python that it needs, as in `3.11`; leave it out to run on any worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        pattern = "^(0|[1-9]\\d?|1\\d\\d|2[0-4]\\d|25[0-5])\\.(0|[1-9]\\d?|1\\d\\d|2[0-4]\\d|25[0-5])$"
    )]
    pub python: Option<String>,
    /// What happens after a failed attempt; the default is no retry.
    #[serde(default, deserialize_with = "number::retry", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Retry>)]
    pub retry: Option<RetryPolicy>,
    /// Longest run of one attempt, as in `30s`; the default is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Positive>)]
    pub timeout: Option<Span>,
    /// How long a finished task and its result are kept; the default is `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Span>,
}

/// A registered function.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FunctionInfo {
    /// Names the function.
    pub function_id: String,
    /// For people.
    pub name: String,
    /// How its code, arguments and results are written down.
    pub format: CodeFormat,
    /// BLAKE3 of the code, in hexadecimal.
    pub code_hash: String,
    /// The Python that it needs, if any.
    pub python: Option<String>,
    /// What happens after a failed attempt.
    #[schema(value_type = Retry)]
    pub retry: RetryPolicy,
    /// Longest run of one attempt.
    pub timeout: Option<Span>,
    /// How long a finished task is kept.
    pub retention: Span,
    /// When it was registered, RFC 3339 in UTC.
    pub registered_at: String,
}

/// A page of functions, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FunctionPage {
    /// The functions.
    pub functions: Vec<FunctionInfo>,
    /// Give it as `after` for the next page; absent on the last one.
    pub next: Option<String>,
}

/// A retry policy as requests write it (the type itself is the kernel's).
#[derive(Debug, Deserialize, ToSchema)]
pub struct Retry {
    /// Failed attempts after which the task has failed; 1 means no retry.
    #[serde(deserialize_with = "number::number")]
    #[schema(maximum = 1000)]
    pub(crate) max_attempts: u16,
    /// Upper bound of the first pause, in milliseconds; it doubles with every failure.
    #[serde(deserialize_with = "number::number")]
    pub(crate) initial_ms: u32,
    /// Upper bound of any pause, in milliseconds.
    #[serde(deserialize_with = "number::number")]
    pub(crate) max_ms: u32,
}
