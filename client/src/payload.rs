//! Arguments and results that are too large for one message: sent and read in parts.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use raftwork_api::kernel::limits::PAYLOAD_BYTES_MAX;
use raftwork_api::kernel::{
    Accepted, InParts, PayloadId, Rejection, Rule, Rules, StorePart, Submit, TaskId, TaskOptions,
};
use raftwork_api::parts::{PARTS_IN_FLIGHT, cut, join};
use raftwork_api::paths;
use raftwork_api::stream::FromClient;
use reqwest::Method;

use crate::client::{Client, expect_accepted, off_contract};
use crate::error::{RestError, SubmitError};
use crate::watch::Watcher;

/// How often arguments are sent from the beginning, should the cluster drop what it was sent because this side stood still.
const UPLOADS_MAX: usize = 3;

impl Client {
    /// Submits a task whose arguments do not fit into a message: its parts, and then the task. Each part, and the submit, is
    /// repeated over any fail-over.
    pub(crate) async fn submit_in_parts(
        &self,
        (function, options): (raftwork_api::kernel::FunctionId, TaskOptions),
        (task, args): (TaskId, Bytes),
        rules: &Rules,
        watcher: Option<&Watcher>,
    ) -> Result<u32, SubmitError> {
        if args.len() > PAYLOAD_BYTES_MAX {
            return Err(SubmitError::ArgumentsTooLarge { bytes: args.len() });
        }
        let (said, parts) = cut(&args);
        let rules: Rules = rules.iter().cloned().chain([Rule::InParts(said)]).collect();
        let items = vec![(task, Bytes::new())];
        let submit = Submit { function, options, items };
        let mut uploads = 0;
        loop {
            self.send_parts(PayloadId::arguments(task), &parts).await?;
            uploads += 1;
            match self.submit_whole(submit.clone(), rules.clone(), watcher).await {
                Err(SubmitError::Rejected(Rejection::PartMissing { .. })) if uploads < UPLOADS_MAX => {}
                outcome => return outcome,
            }
        }
    }

    async fn send_parts(&self, of: PayloadId, parts: &[Bytes]) -> Result<(), SubmitError> {
        let sends = (0..).zip(parts.iter().cloned()).map(|(index, bytes)| StorePart { of, index, bytes });
        stream::iter(sends.map(|part| self.send_part(part)))
            .buffer_unordered(PARTS_IN_FLIGHT)
            .try_collect()
            .await
    }

    async fn send_part(&self, part: StorePart) -> Result<(), SubmitError> {
        match expect_accepted(self.call(&FromClient::StorePart(part), None).await?) {
            Ok(Accepted::Stored) => Ok(()),
            Ok(_) => Err(off_contract().into()),
            Err(failure) => Err(failure.into_submit()),
        }
    }

    /// Reads a payload that is in parts, from whichever nodes answer, and checks that it is what was sent.
    ///
    /// # Errors
    /// When a node does not answer in time, the task was forgotten, or the bytes are not what their sender said.
    pub async fn payload(&self, of: PayloadId, said: &InParts) -> Result<Bytes, RestError> {
        let path = if of.lease().is_some() { paths::TASK_RESULT_PART } else { paths::TASK_ARGUMENTS_PART };
        let path = path.replace("{task_id}", &of.task.to_string());
        let reads = (0..said.count).map(|index| self.read_part(path.replace("{index}", &index.to_string())));
        let parts: Vec<Bytes> = stream::iter(reads).buffered(PARTS_IN_FLIGHT).try_collect().await?;
        join(said, parts).map_err(|error| RestError::Malformed { url: path, reason: error.to_string() })
    }

    async fn read_part(&self, path: String) -> Result<Bytes, RestError> {
        let answer = self.rest().request(Method::GET, &path, None).await?;
        answer.check()?;
        Ok(answer.body)
    }
}
