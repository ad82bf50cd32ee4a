//! A TCP proxy that stands between two parties and lets through what their wires allow. No privileges are needed.
//!
//! It copies bytes and knows no protocol, but one thing: on a node's door, where clients and workers come in alike, the
//! first request says which of the two it is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::wires::{Party, Wire, Wires};

/// Bytes that travel as one piece.
const PIECE: usize = 64 << 10;
/// How long the first request may take to arrive before its sender is taken for a client.
const INTRODUCTION: Duration = Duration::from_secs(1);

/// Who connects through a proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From {
    /// One known node.
    Node(u64),
    /// Clients and workers.
    Outside,
}

/// A running proxy; dropping it ends it with all its connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    task: AbortHandle,
}

impl Proxy {
    /// Listens on `listen` and passes connections on to node `to`, which listens on `target`.
    ///
    /// # Errors
    /// When the address cannot be taken.
    pub(crate) async fn open(
        listen: SocketAddr,
        from: From,
        to: u64,
        target: SocketAddr,
        wires: Arc<Wires>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let way = Way { from, to: Party::Node(to), own: listen.ip(), target, wires };
        let task = tokio::spawn(serve(listener, way));
        Ok(Self { task: task.abort_handle() })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Way {
    from: From,
    to: Party,
    /// By this address both sides know the proxy.
    own: IpAddr,
    target: SocketAddr,
    wires: Arc<Wires>,
}

async fn serve(listener: TcpListener, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connect(stream, way.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, from its first byte to its end. However it ends, both sides see a reset at once or a clean close.
async fn connect(near: TcpStream, way: Way) {
    let _ = near.set_nodelay(true);
    let from = match way.from {
        From::Node(id) => Party::Node(id),
        From::Outside => introduction(&near).await,
    };
    let there = way.wires.wire(from, way.to);
    let back = way.wires.wire(way.to, from);
    if !opened(there.clone(), &way.wires).await {
        return;
    }
    // What is refused there is refused here: a reset says that nobody listens.
    let Ok(far) = dial(way.own, way.target).await else {
        reset(&near);
        return;
    };
    let _ = far.set_nodelay(true);
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let ended = tokio::select! {
        ended = pump(near_read, far_write, there, &way.wires) => ended,
        ended = pump(far_read, near_write, back, &way.wires) => ended,
    };
    drop(ended);
}

async fn dial(own: IpAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(own, 0))?;
    socket.connect(target).await
}

fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Whether a worker comes, or a client, by the head of the first request.
async fn introduction(stream: &TcpStream) -> Party {
    let mut head = [0; 2048];
    let read = async {
        loop {
            let length = stream.peek(&mut head).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
            if text.contains("x-raftwork-role: worker") {
                return Party::Workers;
            }
            if length == 0 || length == head.len() || text.contains("\r\n\r\n") {
                return Party::Clients;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(INTRODUCTION, read).await.unwrap_or(Party::Clients)
}

/// Waits until the wire is open; false if it never will be again.
async fn opened(mut wire: watch::Receiver<Wire>, wires: &Wires) -> bool {
    if wire.borrow_and_update().shut {
        wires.held.fetch_add(1, Ordering::Relaxed);
    }
    wire.wait_for(|wire| !wire.shut).await.is_ok()
}

/// Copies one direction until it ends.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    wire: watch::Receiver<Wire>,
    wires: &Wires,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        if !opened(wire.clone(), wires).await || length == 0 {
            return to.shutdown().await;
        }
        let Wire { delay, cut_one_in, .. } = *wire.borrow();
        if !delay.is_zero() {
            wires.delayed.fetch_add(1, Ordering::Relaxed);
            let jitter = rand::rng().random_range(0.5..1.5);
            tokio::time::sleep(delay.mul_f64(jitter)).await;
            // A partition that began meanwhile holds what is under way.
            if !opened(wire.clone(), wires).await {
                return Ok(());
            }
        }
        if cut_one_in > 0 && rand::rng().random_ratio(1, cut_one_in) {
            wires.cut.fetch_add(1, Ordering::Relaxed);
            to.write_all(&piece[..length / 2]).await?;
            reset(to.as_ref());
            return Ok(());
        }
        to.write_all(&piece[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::layout::{Layout, Nets};
    use super::super::wires::both_ways;
    use super::*;

    const ANY: &str = "127.0.0.1:0";

    /// An address that is free, for a proxy that is to listen on one that is known.
    fn free() -> SocketAddr {
        Layout::new(Path::new("run"), Nets::loopback()).door(1)
    }

    /// A server that sends back what it gets, and a proxy before it at the address that is returned.
    async fn echo(wires: &Arc<Wires>, from: From) -> (Proxy, SocketAddr) {
        let (listener, addr) = (TcpListener::bind(ANY).await.unwrap(), free());
        let target = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        (Proxy::open(addr, from, 2, target, Arc::clone(wires)).await.unwrap(), addr)
    }

    async fn say(stream: &mut TcpStream, text: &str) -> io::Result<String> {
        stream.write_all(text.as_bytes()).await?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await?;
        Ok(String::from_utf8(answer).unwrap())
    }

    #[tokio::test]
    async fn a_shut_wire_holds_bytes_and_an_opened_one_delivers_them() {
        let wires = Arc::new(Wires::default());
        let (_proxy, addr) = echo(&wires, From::Node(1)).await;
        let mut stream = TcpStream::connect(addr).await.unwrap();
        assert_eq!(say(&mut stream, "one").await.unwrap(), "one");
        // The way there is open, the way back is shut: the answer is held.
        wires.shut(&[(Party::Node(2), Party::Node(1))]).unwrap();
        stream.write_all(b"two").await.unwrap();
        while wires.held().unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        wires.mend().unwrap();
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"two");
    }

    #[tokio::test]
    async fn a_cutting_wire_ends_the_connection_in_the_middle_of_a_message() {
        let wires = Arc::new(Wires::default());
        let (_proxy, addr) = echo(&wires, From::Node(1)).await;
        wires.change_both(Party::Node(1), Party::Node(2), |wire| wire.cut_one_in = 1);
        let mut stream = TcpStream::connect(addr).await.unwrap();
        assert!(say(&mut stream, "a whole message").await.is_err());
        assert_eq!(wires.cut.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn workers_are_told_from_clients_by_their_first_request() {
        let wires = Arc::new(Wires::default());
        let (_proxy, addr) = echo(&wires, From::Outside).await;
        wires.shut(&both_ways([(Party::Workers, Party::Node(2))])).unwrap();
        let mut client = TcpStream::connect(addr).await.unwrap();
        let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(say(&mut client, request).await.unwrap(), request);
        let mut worker = TcpStream::connect(addr).await.unwrap();
        worker.write_all(b"GET / HTTP/1.1\r\nX-Raftwork-Role: worker\r\n\r\n").await.unwrap();
        while wires.held().unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_node_that_does_not_listen_is_a_reset() {
        let wires = Arc::new(Wires::default());
        let nobody = TcpListener::bind(ANY).await.unwrap().local_addr().unwrap();
        let addr = free();
        let _proxy = Proxy::open(addr, From::Node(1), 2, nobody, wires).await.unwrap();
        let mut stream = TcpStream::connect(addr).await.unwrap();
        assert!(stream.read_u8().await.is_err());
    }
}
