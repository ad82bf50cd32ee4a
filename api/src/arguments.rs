//! The arguments of a call, in requests.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::payload::PickleText;

/// The arguments of one call: `payload` for a pickled function; `args` and `kwargs` for a source function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Arguments {
    /// For pickled functions: base64 of the pickled pair `(args, kwargs)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PickleText>)]
    pub payload: Option<String>,
    /// For source functions: positional arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Value>>)]
    pub args: Option<Vec<Value>>,
    /// For source functions: keyword arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub kwargs: Option<Map<String, Value>>,
}

impl Arguments {
    /// Those of a pickled function.
    pub fn pickled(payload: String) -> Self {
        Self { payload: Some(payload), ..Self::default() }
    }
}
