//! What nodes say of themselves, asked directly: the harness sees past the faults that it makes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use futures::future::join_all;
use raftwork_api::cluster::{ClusterInfo, DigestInfo, Transfer};
use raftwork_api::paths;
use raftwork_api::workers::WorkerList;
use serde::de::DeserializeOwned;

/// How long a node may take: longer than a busy one needs, shorter than a fault lasts.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// A hand-over waits for the other node.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(10);
/// A digest reads every row.
const DIGEST_PATIENCE: Duration = Duration::from_mins(1);

/// What one node says.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The node.
    pub(crate) node: u64,
    /// In its own words.
    pub(crate) info: ClusterInfo,
}

impl View {
    /// Whether it takes itself for the leader.
    pub(crate) fn leads(&self) -> bool {
        self.info.leader == Some(self.info.node)
    }
}

/// Asks nodes for what they say of themselves.
#[derive(Debug, Clone)]
pub(crate) struct Views {
    http: reqwest::Client,
    urls: BTreeMap<u64, String>,
}

impl Views {
    /// Of the nodes with these base URLs.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn new(urls: impl IntoIterator<Item = (u64, String)>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
        Ok(Self { http, urls: urls.into_iter().collect() })
    }

    /// Whom it asks.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.urls.keys().copied()
    }

    /// What every node that answers says.
    pub(crate) async fn all(&self) -> Vec<View> {
        let ask = |id: &u64| {
            let id = *id;
            async move {
                let info = self.get(id, paths::CLUSTER, PATIENCE).await?;
                Some(View { node: id, info })
            }
        };
        join_all(self.urls.keys().map(ask)).await.into_iter().flatten().collect()
    }

    /// The node that leads in the newest term, if one says so.
    pub(crate) async fn leader(&self) -> Option<View> {
        self.all().await.into_iter().filter(View::leads).max_by_key(|view| view.info.term)
    }

    /// Whether a node can serve.
    pub(crate) async fn is_ready(&self, id: u64) -> bool {
        let url = format!("{}{}", self.urls[&id], paths::READYZ);
        let answer = self.http.get(url).timeout(PATIENCE).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Digest of a node's state.
    pub(crate) async fn digest(&self, id: u64) -> Option<DigestInfo> {
        self.get(id, paths::CLUSTER_DIGEST, DIGEST_PATIENCE).await
    }

    /// Asks node `leader` to hand the leadership to node `to`.
    ///
    /// # Errors
    /// When it refuses, or does not answer.
    pub(crate) async fn transfer(&self, leader: u64, to: u64) -> anyhow::Result<()> {
        let url = format!("{}{}", self.urls[&leader], paths::CLUSTER_TRANSFER);
        let body = Transfer { to: Some(to) };
        let answer = self.http.post(url).json(&body).timeout(TRANSFER_PATIENCE).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "node {leader} refuses to hand over: {status} {}", answer.text().await?);
        Ok(())
    }

    /// Number of workers that the leader knows; none if there is no leader.
    pub(crate) async fn workers(&self) -> usize {
        let Some(leader) = self.leader().await else { return 0 };
        let list: Option<WorkerList> = self.get(leader.node, paths::WORKERS, PATIENCE).await;
        list.map_or(0, |list| list.workers.len())
    }

    async fn get<T: DeserializeOwned>(&self, id: u64, path: &str, patience: Duration) -> Option<T> {
        let url = format!("{}{path}", self.urls[&id]);
        let answer = self.http.get(url).timeout(patience).send().await.ok()?;
        serde_json::from_slice(&answer.error_for_status().ok()?.bytes().await.ok()?).ok()
    }
}
