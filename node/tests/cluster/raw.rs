//! Bytes on a node's port, as they are.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::PATIENCE;

/// A connection that something was sent on. The system takes both for a process that is paused.
pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    pub async fn send(url: &str, bytes: &[u8]) -> Self {
        let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        Self { stream }
    }

    /// No more will be sent, though more may be read.
    pub async fn end(&mut self) {
        // An error says that the node has hung up.
        let _ = self.stream.shutdown().await;
    }

    /// Sends more; `false` if the node has hung up.
    pub async fn more(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Reads until the node hangs up. A connection that it resets is closed as well.
    pub async fn until_closed(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        let closed = self.stream.read_to_end(&mut read);
        // An error is a reset.
        let _ = tokio::time::timeout(PATIENCE, closed).await.expect("the node hangs up");
        read
    }

    /// The status and the JSON of an HTTP answer; status 0 if the node hung up without one.
    pub async fn answer(mut self) -> (u16, Value) {
        let read = String::from_utf8(self.until_closed().await).unwrap();
        let Some(status) = read.split(' ').nth(1) else { return (0, Value::Null) };
        let body = read.find('{').and_then(|from| read.get(from..=read.rfind('}')?));
        (status.parse().unwrap(), body.map_or(Value::Null, |body| serde_json::from_str(body).unwrap()))
    }
}
