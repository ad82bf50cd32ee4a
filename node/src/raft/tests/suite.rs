//! openraft's own contract tests of a log store, about fifty of them.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::super::log_store::LogStore;
use super::super::types::TypeConfig;
use super::machine::Machine;
use crate::store::log::{Log, Witness};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Witness { applied: None, existed: false }).unwrap();
        Ok((folder, LogStore::new(log), Machine::default()))
    }
}

#[tokio::test]
async fn the_log_store_keeps_openrafts_contract() {
    Suite::test_all(Builder).await.unwrap();
}
