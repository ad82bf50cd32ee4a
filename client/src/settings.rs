//! Where the cluster is and how patient a client is with it.

use std::time::Duration;

use crate::error::ConnectError;

/// How a client behaves. The defaults fit a cluster on a local network.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long one request is repeated before it fails with [`crate::Unavailable`].
    ///
    /// The default of 30 s outlives an election (about one second) and a node's restart.
    pub patience: Duration,
    /// How long one attempt to reach one node may take. Short, because a paused machine accepts connections and then says
    /// nothing, while the next node in the list may lead.
    pub dial_timeout: Duration,
    /// How long the leader may say nothing at all, although it was asked, before the connection is given up.
    pub silence_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(30),
            dial_timeout: Duration::from_millis(1_500),
            silence_max: Duration::from_secs(4),
        }
    }
}

/// Base URLs in their one form: with a scheme, without a slash at the end, each once.
pub(crate) fn base_urls<I>(urls: I) -> Result<Vec<String>, ConnectError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut found = Vec::new();
    for text in urls {
        let url = base_url(text.as_ref())?;
        if !found.contains(&url) {
            found.push(url);
        }
    }
    if found.is_empty() { Err(ConnectError::NoUrl) } else { Ok(found) }
}

fn base_url(text: &str) -> Result<String, ConnectError> {
    let invalid = |reason: String| ConnectError::InvalidUrl { url: text.to_owned(), reason };
    let trimmed = text.trim();
    let full = if trimmed.contains("://") { trimmed.to_owned() } else { format!("http://{trimmed}") };
    let parsed = reqwest::Url::parse(&full).map_err(|error| invalid(error.to_string()))?;
    if parsed.scheme() != "http" {
        return Err(invalid(format!("the scheme '{}' is not http", parsed.scheme())));
    }
    Ok(full.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_brought_into_one_form() {
        let urls = base_urls(["127.0.0.1:7001", "http://127.0.0.1:7001/", " http://node-2:7000 "]).unwrap();
        assert_eq!(urls, ["http://127.0.0.1:7001", "http://node-2:7000"]);
    }

    #[test]
    fn what_is_no_url_is_named() {
        assert!(matches!(base_urls([""; 0]), Err(ConnectError::NoUrl)));
        let error = base_urls(["ftp://node"]).unwrap_err().to_string();
        assert!(error.contains("ftp://node") && error.contains("is not http"), "{error}");
        assert!(base_urls(["http://"]).is_err());
    }
}
