//! Puts into etcd: the one call of its gRPC service that is needed, with the fields that it has.

use anyhow::Context;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::measure::Writer;

const PUT: &str = "/etcdserverpb.KV/Put";
/// Keys that writes go round in, as a user overwrites what is there.
const KEYS: usize = 10_000;

/// `etcdserverpb.PutRequest`, without the fields that stay at their defaults.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: bytes::Bytes,
}

/// `etcdserverpb.PutResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

/// `etcdserverpb.ResponseHeader`, as far as it is looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    #[prost(int64, tag = "3")]
    revision: i64,
}

pub(crate) struct Putter {
    grpc: Grpc<Channel>,
    lane: usize,
    puts: usize,
    value: bytes::Bytes,
}

/// A writer for each lane; lanes are spread over the connections, connections over the members.
pub(crate) fn writers(
    urls: &[String],
    connections: usize,
    lanes: usize,
    bytes: usize,
) -> anyhow::Result<Vec<Putter>> {
    let channels = (0..connections.clamp(1, lanes.max(1)))
        .map(|number| {
            let endpoint = Endpoint::from_shared(urls[number % urls.len()].clone()).context("not a URL")?;
            Ok(endpoint.tcp_nodelay(true).connect_lazy())
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let value = bytes::Bytes::from(vec![b'v'; bytes]);
    Ok((0..lanes.max(1))
        .map(|lane| {
            let grpc = Grpc::new(channels[lane % channels.len()].clone());
            Putter { grpc, lane, puts: 0, value: value.clone() }
        })
        .collect())
}

impl Writer for Putter {
    async fn write(&mut self) -> anyhow::Result<()> {
        let key = format!("bench/{:05}", (self.lane * 7919 + self.puts) % KEYS);
        self.puts += 1;
        self.grpc.ready().await.context("no connection")?;
        let request = tonic::Request::new(PutRequest { key: key.into(), value: self.value.clone() });
        let codec: ProstCodec<PutRequest, PutResponse> = ProstCodec::default();
        let answer = self.grpc.unary(request, PathAndQuery::from_static(PUT), codec).await?;
        let header = answer.into_inner().header.context("an answer without a header")?;
        anyhow::ensure!(header.revision > 0, "a put without a revision");
        Ok(())
    }
}
