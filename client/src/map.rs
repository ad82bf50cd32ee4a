//! Maps: any number of items as one request.

use futures::{StreamExt, TryStreamExt, stream};
use raftwork_api::kernel::{
    Accepted, CancelMap, FunctionId, Map, MapId, Pack, Piece, Rejection, Rules, Store, TaskOptions,
};
use raftwork_api::maps;
use raftwork_api::stream::FromClient;

use crate::client::{Client, Failure, expect_accepted, off_contract};
use crate::error::{CancelMapError, SubmitError};

/// Pieces that are under way at once: enough that entries of the log are full.
const PIECES_IN_FLIGHT: usize = 32;
/// How often a map is sent from its beginning, should the cluster forget what it was sent because this side stood still.
const UPLOADS_MAX: usize = 3;

/// One function over many items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMap {
    /// Chosen by the caller ([`crate::new_map_id`]), who so may send the map again, even from another process.
    pub id: MapId,
    /// What to run.
    pub function: FunctionId,
    /// Options of every item.
    pub options: TaskOptions,
    /// Rules of every item.
    pub rules: Rules,
    /// The items, in order.
    pub packs: Vec<Pack>,
}

impl Client {
    /// Submits one function over any number of items. `Ok` means that all of it is durable: the number of items, and
    /// whether this call made the map. Each item is a task ([`MapId::item`]) that can be watched and cancelled.
    ///
    /// # Errors
    /// When the cluster refuses, or no leader answers in time. Nothing runs then, unless the answer was lost: repeat it
    /// under the same id.
    pub async fn map(&self, map: NewMap) -> Result<(u32, bool), SubmitError> {
        let NewMap { id, function, options, rules, packs } = map;
        let pieces = maps::pieces(packs);
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let digest = maps::digest(&pieces);
        let map = Map { map: id, function, options, rules, pieces: count, digest };
        let mut uploads = 0;
        loop {
            self.upload(id, &pieces).await?;
            uploads += 1;
            match expect_accepted(self.call(&FromClient::Map(map.clone()), None).await?) {
                Ok(Accepted::Mapped { items, created }) => return Ok((items, created)),
                Ok(_) => return Err(off_contract().into()),
                Err(Failure::Rejected(Rejection::MapIncomplete { .. })) if uploads < UPLOADS_MAX => {}
                Err(failure) => return Err(failure.into_submit()),
            }
        }
    }

    async fn upload(&self, map: MapId, pieces: &[Piece]) -> Result<(), SubmitError> {
        let stores = (0..).zip(pieces.iter().cloned()).map(|(index, piece)| Store { map, index, piece });
        stream::iter(stores.map(|store| self.store(store)))
            .buffer_unordered(PIECES_IN_FLIGHT)
            .try_collect()
            .await
    }

    async fn store(&self, store: Store) -> Result<(), SubmitError> {
        match expect_accepted(self.call(&FromClient::Store(store), None).await?) {
            Ok(Accepted::Stored) => Ok(()),
            Ok(_) => Err(off_contract().into()),
            Err(failure) => Err(failure.into_submit()),
        }
    }

    /// Ends all items of a map before they end themselves.
    ///
    /// # Errors
    /// When there is no such map, all of its items have ended, or no leader answers in time.
    pub async fn cancel_map(&self, map: MapId) -> Result<(), CancelMapError> {
        match expect_accepted(self.call(&FromClient::CancelMap(CancelMap { map }), None).await?) {
            Ok(Accepted::Cancelled) => Ok(()),
            Err(Failure::Rejected(rejection)) => Err(rejection.into()),
            Ok(_) | Err(Failure::OffContract) => Err(off_contract().into()),
        }
    }
}
