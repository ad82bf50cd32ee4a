//! Where a new node finds the cluster that it is to be added to: the members, as any node of it names them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raftwork_api::cluster::ClusterInfo;
use raftwork_api::paths;

use crate::raft::admission::Contacts;
use crate::raft::types::NodeId;

/// Time for a node to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the nodes at `urls`, in turn, for the members of `cluster`.
///
/// # Errors
/// When the HTTP client cannot be set up.
pub(crate) fn contacts(cluster: &str, urls: &[String]) -> Result<Contacts, reqwest::Error> {
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let (cluster, urls): (Arc<str>, Arc<[String]>) = (cluster.into(), urls.into());
    Ok(Arc::new(move || {
        let (http, cluster, urls) = (http.clone(), Arc::clone(&cluster), Arc::clone(&urls));
        Box::pin(async move {
            for url in &*urls {
                match members(&http, &cluster, url).await {
                    Ok(members) if !members.is_empty() => return members,
                    Ok(_) => {}
                    Err(reason) => tracing::debug!(url, reason, "no members from there"),
                }
            }
            BTreeMap::new()
        })
    }))
}

async fn members(
    http: &reqwest::Client,
    cluster: &str,
    url: &str,
) -> Result<BTreeMap<NodeId, String>, String> {
    let base = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let asked = http.get(format!("{}{}", base.trim_end_matches('/'), paths::CLUSTER)).send().await;
    let info: ClusterInfo = match asked.and_then(reqwest::Response::error_for_status) {
        Ok(answer) => answer.json().await.map_err(|error| error.to_string())?,
        Err(error) => return Err(error.to_string()),
    };
    if info.cluster != cluster {
        tracing::warn!(url, theirs = info.cluster, own = cluster, "--join names a node of another cluster");
        return Err("it is of another cluster".to_owned());
    }
    let place = |url: &str| url.trim_start_matches("http://").to_owned();
    Ok(info.nodes.iter().map(|node| (node.id, place(&node.url))).collect())
}
