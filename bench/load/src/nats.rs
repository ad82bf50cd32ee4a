//! Publishes into a `JetStream` stream that is kept on disk.

use anyhow::Context as _;
use async_nats::ServerAddr;
use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use bytes::Bytes;

use crate::measure::Writer;

const STREAM: &str = "bench";
const SUBJECT: &str = "bench.task";

pub(crate) struct Publisher {
    jetstream: Context,
    payload: Bytes,
}

/// Makes the stream anew, and a writer for each lane; they share one connection, as NATS advises.
pub(crate) async fn writers(
    urls: &[String],
    replicas: usize,
    lanes: usize,
    bytes: usize,
) -> anyhow::Result<Vec<Publisher>> {
    let servers = urls.iter().map(|url| url.parse()).collect::<Result<Vec<ServerAddr>, _>>()?;
    let client = async_nats::connect(servers).await.context("no server answers")?;
    let mut jetstream = async_nats::jetstream::new(client);
    // A failed publish must not hold a lane for the driver's own 5 s of waiting and hide as a slow one.
    jetstream.set_timeout(std::time::Duration::from_secs(30));
    // There is none at the first run; whatever else is wrong shows when the next one is made.
    let _absent = jetstream.delete_stream(STREAM).await;
    let config = Config {
        name: STREAM.to_owned(),
        subjects: vec![SUBJECT.to_owned()],
        num_replicas: replicas,
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        ..Config::default()
    };
    jetstream.create_stream(config).await.context("the stream cannot be made")?;
    let payload = Bytes::from(vec![b'v'; bytes]);
    Ok((0..lanes.max(1))
        .map(|_| Publisher { jetstream: jetstream.clone(), payload: payload.clone() })
        .collect())
}

impl Writer for Publisher {
    async fn write(&mut self) -> anyhow::Result<()> {
        let ack = self.jetstream.publish(SUBJECT, self.payload.clone()).await?.await?;
        anyhow::ensure!(ack.sequence > 0, "an acknowledgement without a sequence number");
        Ok(())
    }
}
