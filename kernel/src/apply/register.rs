//! `register`: makes a function known.

use super::bounds::{check_retry, within};
use super::transition::Transition;
use crate::command::Register;
use crate::function::Function;
use crate::limits::{CODE_BYTES_MAX, FUNCTION_NAME_BYTES_MAX};
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn register(&mut self, command: &Register) -> Reply {
        within("the length of the name", command.spec.name.len(), FUNCTION_NAME_BYTES_MAX)?;
        within("the size of the code", command.code.len(), CODE_BYTES_MAX)?;
        check_retry(&command.spec.retry)?;
        if let Some(before) = self.function(&command.function) {
            let same = before.spec == command.spec;
            return if same {
                Ok(Accepted::Registered)
            } else {
                Err(Rejection::FunctionConflict(command.function))
            };
        }
        let function = Function { spec: command.spec.clone(), registered_wall: self.state.scalars.wall_time };
        self.put_function(command.function, function, command.code.clone());
        Ok(Accepted::Registered)
    }
}
