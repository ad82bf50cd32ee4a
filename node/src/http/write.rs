//! Proposing one command for one request, and what stands before it.

use raftwork_api::ErrorCode;
use raftwork_api::kernel::{Accepted, Rejection, Submit, limits};
use raftwork_kernel::Command;

use super::error::{ApiError, ApiResult};
use super::state::AppState;

/// Proposes `command`: when it is `Ok`, it is durable on a majority and applied here.
pub(super) async fn propose(state: &AppState, command: Command) -> ApiResult<Accepted> {
    check_size(&command)?;
    let replies = state.group.propose(vec![command]).await?;
    let reply = replies.into_iter().next().expect("one command has one reply");
    Ok(reply?)
}

/// Refuses what the state machine would refuse for its size, before the log and the network carry it.
pub(super) fn check_size(command: &Command) -> Result<(), Rejection> {
    match command {
        Command::Register(register) => {
            within("the function's name", register.spec.name.len(), limits::FUNCTION_NAME_BYTES_MAX)?;
            within("the function's code", register.code.len(), limits::CODE_BYTES_MAX)
        }
        Command::Submit(submit) => check_items(submit),
        Command::SubmitUnder(under) => {
            under.rules.check().map_err(Rejection::Invalid)?;
            check_items(&under.submit)
        }
        Command::Complete(complete) => {
            within("the result's size", complete.result.len(), limits::RESULT_BYTES_MAX)
        }
        Command::StorePart(part) => within("the size of a part", part.bytes.len(), limits::PART_BYTES_MAX),
        Command::CompleteInParts(complete) => complete.parts.check().map_err(Rejection::Invalid),
        Command::SetLimit(set) => set.name.check(set.bound).map_err(Rejection::Invalid),
        Command::PutSchedule(put) => {
            within("the size of a schedule's arguments", put.spec.args.len(), limits::SCHEDULE_ARGS_BYTES_MAX)
        }
        Command::ChangeSchedule(_)
        | Command::Fire(_)
        | Command::Trigger(_)
        | Command::Acquire(_)
        | Command::AcquireWith(_)
        | Command::Extend(_)
        | Command::Fail(_)
        | Command::Release(_)
        | Command::Cancel(_)
        | Command::Expire(_)
        | Command::Forget(_)
        | Command::Redrive(_)
        | Command::CancelMap(_) => Ok(()),
        Command::Store(store) => store.piece.check().map_err(Rejection::Invalid),
        Command::Map(map) => map.rules.check_shared().map_err(Rejection::Invalid),
    }
}

fn check_items(submit: &Submit) -> Result<(), Rejection> {
    within("the number of tasks", submit.items.len(), limits::SUBMIT_ITEMS_MAX)?;
    let mut sizes = submit.items.iter().map(|(_, args)| args.len());
    sizes.try_for_each(|size| within("the arguments' size", size, limits::ARGS_BYTES_MAX))
}

fn within(what: &str, got: usize, limit: usize) -> Result<(), Rejection> {
    if got <= limit {
        return Ok(());
    }
    Err(Rejection::OverLimit { what: what.to_owned(), got: got as u64, limit: limit as u64 })
}

/// For a reply that does not answer the command: a defect, told as one.
pub(super) fn unexpected(accepted: &Accepted) -> ApiError {
    tracing::error!(?accepted, "a command got another command's reply");
    ApiError::new(ErrorCode::Internal, "the state machine's answer does not fit the request")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raftwork_kernel::{FunctionId, TaskId, TaskOptions};

    use super::*;

    #[test]
    fn what_is_over_a_limit_never_reaches_the_log() {
        let submit = |size: usize| {
            Command::Submit(Submit {
                function: FunctionId::from_u128(1),
                options: TaskOptions::default(),
                items: vec![(TaskId::from_u128(1), Bytes::from(vec![0; size]))],
            })
        };
        assert_eq!(check_size(&submit(limits::ARGS_BYTES_MAX)), Ok(()));
        let error = check_size(&submit(limits::ARGS_BYTES_MAX + 1)).unwrap_err();
        assert!(error.to_string().contains("over the limit of 25165824"), "{error}");
    }
}
