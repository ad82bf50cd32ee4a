//! Steady tasks: a caller for each, who submits it, waits for its result, and begins anew. They take from 0.1 to 5 seconds on
//! Python workers, so that every kill meets some.

use std::sync::Arc;

use super::caller::Caller;
use super::functions::Functions;
use super::shared::Stage;
use super::{read, submit};

/// Keeps one task unfinished until the load is over.
pub(super) async fn run(mut caller: Caller, functions: Arc<Functions>) {
    let Some(function) = functions.steady else { return };
    while caller.shared.stage() == Stage::Load {
        if let Some(task) = submit::one(&mut caller, function).await {
            read::until_ended(&mut caller, task).await;
        }
    }
}
