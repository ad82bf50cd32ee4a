//! A node for tests: speaks the real upgrade and the real frames over a real socket, and acts as it is told.

use std::sync::{Arc, Mutex};

use raftwork_api::frame::{self, Frame, FrameWriter};
use raftwork_api::kernel::{decode, encode};
use raftwork_api::stream::{FromClient, MESSAGE, ToClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the node does about a message.
pub(crate) enum Act {
    /// Answer it.
    Answer(ToClient),
    /// Say this of its own accord, then answer.
    PushThenAnswer(ToClient, ToClient),
    /// Say nothing.
    Silence,
    /// Cut the connection.
    Cut,
}

type Behaviour = dyn FnMut(usize, &FromClient) -> Act + Send;

/// The node. Its connections end when it is dropped.
pub(crate) struct FakeNode {
    /// Base URL.
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<FromClient>>>,
    tasks: tokio::task::JoinHandle<()>,
}

impl FakeNode {
    /// Starts a node; `behaviour` is asked about each message, with the number heard before it,
    /// pings left out.
    pub(crate) async fn start(behaviour: impl FnMut(usize, &FromClient) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, behaviour)
    }

    /// Starts a node on a socket that exists already.
    pub(crate) fn serve(
        listener: TcpListener,
        behaviour: impl FnMut(usize, &FromClient) -> Act + Send + 'static,
    ) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let behaviour: Arc<Mutex<Behaviour>> = Arc::new(Mutex::new(behaviour));
        let log = Arc::clone(&heard);
        let tasks = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(serve_connection(socket, Arc::clone(&log), Arc::clone(&behaviour)));
            }
        });
        Self { url, heard, tasks }
    }

    /// Everything that the node was told, pings left out.
    pub(crate) fn heard(&self) -> Vec<FromClient> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|message| !is_ping(message)).cloned().collect()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

async fn serve_connection(
    mut socket: TcpStream,
    heard: Arc<Mutex<Vec<FromClient>>>,
    behaviour: Arc<Mutex<Behaviour>>,
) {
    upgrade(&mut socket).await;
    let (mut reader, writer) = frame::split(socket);
    while let Ok(Some(Frame { id, payload, .. })) = reader.next().await {
        let message: FromClient = decode("message", &payload).unwrap();
        let act = {
            let mut heard = heard.lock().unwrap();
            let count = heard.iter().filter(|message| !is_ping(message)).count();
            heard.push(message.clone());
            (behaviour.lock().unwrap())(count, &message)
        };
        match act {
            Act::Answer(answer) => say(&writer, id, &answer).await,
            Act::PushThenAnswer(push, answer) => {
                say(&writer, 0, &push).await;
                say(&writer, id, &answer).await;
            }
            Act::Silence => {}
            Act::Cut => return,
        }
    }
}

async fn say(writer: &FrameWriter, id: u64, message: &ToClient) {
    let payload = encode(message).into();
    // The client may have gone; that is its right.
    let _ = writer.send(Frame { id, kind: MESSAGE, payload }).await;
}

async fn upgrade(socket: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /internal/v1/stream "), "{head}");
    for line in ["upgrade: raftwork/1", "connection: upgrade", "x-raftwork-role: client"] {
        assert!(head.contains(line), "{line} is missing in {head}");
    }
    let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: raftwork/1\r\nconnection: upgrade\r\n\r\n";
    socket.write_all(answer.as_bytes()).await.unwrap();
}

/// An empty watch is how a client asks for a sign of life.
fn is_ping(message: &FromClient) -> bool {
    *message == FromClient::Watch(Vec::new())
}
