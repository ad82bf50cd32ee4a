//! `set_limit`: sets a limit by hand, or leaves it to what submits say.

use super::bounds::within;
use super::transition::Transition;
use crate::command::SetLimit;
use crate::limits::LIMIT_KEYS_MAX;
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn set_limit(&mut self, command: &SetLimit) -> Reply {
        let SetLimit { name, bound } = command;
        name.check(*bound).map_err(Rejection::Invalid)?;
        if bound.is_some() && !self.state.live.has_room_for_limits([name]) {
            within("the number of limits", LIMIT_KEYS_MAX + 1, LIMIT_KEYS_MAX)?;
        }
        let now = self.now();
        self.state.live.change_limit(name, now, |limit| limit.by_hand = *bound);
        Ok(Accepted::LimitSet)
    }
}
