//! A leader in a few lines: accepts workers, answers their heartbeats, and says what the test wants said.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use raftwork_api::frame::{self, Frame, FrameReader, FrameWriter};
use raftwork_api::kernel::{
    Accepted, CodeHash, Complete, Fail, FunctionId, Language, LeaseRef, Millis, RequestId, TaskId, Token,
    decode, encode,
};
use raftwork_api::stream::{Ending, FromWorker, Hello, MESSAGE, ToWorker, Work};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No step of any test takes this long, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: raftwork/1\r\n\r\n";

/// A node that may lead.
pub(crate) struct Leader {
    listener: TcpListener,
    pub(crate) url: String,
}

/// One worker's connection to it. Heartbeats and questions for code are answered meanwhile, whatever the test does.
pub(crate) struct Peer {
    pub(crate) hello: Hello,
    /// What the test has to answer; closed when the worker has gone.
    inbox: mpsc::UnboundedReceiver<FromWorker>,
    heartbeat: watch::Receiver<Heartbeat>,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

/// What the last heartbeat said.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) held: Vec<(LeaseRef, bool)>,
    pub(crate) draining: bool,
}

/// What is answered without the test.
struct Desk {
    writer: FrameWriter,
    /// Code of the functions that the worker may ask for.
    codes: Mutex<HashMap<FunctionId, Bytes>>,
    silent: AtomicBool,
}

impl Leader {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// The next connection, up to the worker's hello.
    pub(crate) async fn accept(&self) -> Peer {
        timeout(DEADLINE, self.accept_now()).await.expect("a worker connects in time")
    }

    async fn accept_now(&self) -> Peer {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let request = read_head(&mut stream).await;
        assert!(request.starts_with("GET /internal/v1/stream HTTP/1.1\r\n"), "{request}");
        for header in ["upgrade: raftwork/1", "connection: upgrade", "x-raftwork-role: worker"] {
            assert!(request.contains(header), "no '{header}' in {request}");
        }
        stream.write_all(SWITCH.as_bytes()).await.unwrap();
        let (mut reader, writer) = frame::split(stream);
        let FromWorker::Hello(hello) = read(&mut reader).await.expect("the worker speaks first") else {
            panic!("the first message is no hello")
        };
        let desk = Desk { writer, codes: Mutex::default(), silent: AtomicBool::new(false) };
        Peer::new(hello, reader, Arc::new(desk))
    }

    /// Accepts a worker and takes it in.
    pub(crate) async fn welcome(&self, ttl: u64, heartbeat: u64) -> Peer {
        let peer = self.accept().await;
        peer.say(&ToWorker::Welcome { ttl: Millis(ttl), heartbeat: Millis(heartbeat) });
        peer
    }
}

impl Peer {
    fn new(hello: Hello, reader: FrameReader<ReadHalf<TcpStream>>, desk: Arc<Desk>) -> Self {
        let (messages, inbox) = mpsc::unbounded_channel();
        let (heartbeats, heartbeat) = watch::channel(Heartbeat { held: hello.held.clone(), draining: false });
        let task = tokio::spawn(Arc::clone(&desk).serve(reader, messages, heartbeats));
        Self { hello, inbox, heartbeat, desk, task }
    }

    pub(crate) fn say(&self, message: &ToWorker) {
        self.desk.say(message);
    }

    pub(crate) fn grant(&self, work: Vec<Work>) {
        self.say(&ToWorker::Grants { request: RequestId::from_u128(0), work });
    }

    /// Makes code known that the worker may ask for.
    pub(crate) fn knows(&self, function: &Function) {
        self.desk.codes.lock().unwrap().insert(function.id, function.code.clone());
    }

    pub(crate) fn accept_report(&self, lease: LeaseRef) {
        self.say(&ToWorker::Verdicts(vec![(lease, Ok(Accepted::Completed))]));
    }

    /// From now on nothing is answered, but the socket stays open.
    pub(crate) fn fall_silent(&self) {
        self.desk.silent.store(true, Ordering::Relaxed);
    }

    pub(crate) fn last_heartbeat(&self) -> Heartbeat {
        self.heartbeat.borrow().clone()
    }

    /// The next message that the test has to answer.
    pub(crate) async fn next(&mut self) -> FromWorker {
        let message = timeout(DEADLINE, self.inbox.recv()).await.expect("the worker speaks in time");
        message.expect("the worker stays connected")
    }

    /// Waits for a heartbeat that satisfies `wanted`; nothing else must be said until then.
    pub(crate) async fn until_heartbeat(&mut self, wanted: impl Fn(&Heartbeat) -> bool) {
        timeout(DEADLINE, async {
            loop {
                self.heartbeat.changed().await.expect("the worker stays connected");
                if wanted(&self.heartbeat.borrow()) {
                    return;
                }
            }
        })
        .await
        .expect("such a heartbeat comes in time");
        assert_eq!(self.inbox.try_recv().ok(), None);
    }

    /// Waits until the worker has ended the connection.
    pub(crate) async fn until_gone(&mut self) {
        let gone = async { while self.inbox.recv().await.is_some() {} };
        timeout(DEADLINE, gone).await.expect("the worker leaves in time");
    }

    pub(crate) async fn next_started(&mut self) -> Vec<LeaseRef> {
        let message = self.next().await;
        let FromWorker::Report { started: leases, .. } = message else {
            panic!("not started, but {message:?}")
        };
        leases
    }

    pub(crate) async fn next_complete(&mut self) -> Complete {
        let message = self.next_report().await;
        let Some(Ending::Complete(complete)) = ending(&message) else {
            panic!("not complete, but {message:?}")
        };
        complete
    }

    pub(crate) async fn next_fail(&mut self) -> Fail {
        let message = self.next_report().await;
        let Some(Ending::Fail(fail)) = ending(&message) else { panic!("not failed, but {message:?}") };
        fail
    }

    /// The next message that is not about a start.
    pub(crate) async fn next_report(&mut self) -> FromWorker {
        loop {
            let message = self.next().await;
            let is_start = matches!(&message, FromWorker::Report { ended, .. } if ended.is_empty());
            if !is_start {
                return message;
            }
        }
    }
}

impl Drop for Peer {
    /// The leader dies: its end of the connection closes.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Desk {
    async fn serve(
        self: Arc<Self>,
        mut reader: FrameReader<ReadHalf<TcpStream>>,
        messages: mpsc::UnboundedSender<FromWorker>,
        heartbeats: watch::Sender<Heartbeat>,
    ) {
        while let Some(message) = read(&mut reader).await {
            if self.silent.load(Ordering::Relaxed) {
                continue;
            }
            if let FromWorker::FetchCode(function) = message {
                let code = self.codes.lock().unwrap().get(&function).cloned();
                self.say(&ToWorker::Code { function, code });
            } else if let FromWorker::Heartbeat { number, held, draining } = message {
                heartbeats.send_replace(Heartbeat { held, draining });
                self.say(&ToWorker::Beat { number, lost: Vec::new() });
            } else if parts(message).into_iter().any(|part| messages.send(part).is_err()) {
                return;
            }
        }
    }

    fn say(&self, message: &ToWorker) {
        let frame = Frame { id: 0, kind: MESSAGE, payload: encode(message).into() };
        // A worker that has just hung up is noticed by what it does not say.
        let _ = self.writer.try_send(frame);
    }
}

/// One message for each thing that was reported, for the test to look at; how much a worker will hold is not one.
fn parts(message: FromWorker) -> Vec<FromWorker> {
    let FromWorker::Report { started, ended } = message else {
        return Vec::from_iter(Some(message).filter(|message| !matches!(message, FromWorker::Capacity(_))));
    };
    let ended =
        ended.into_iter().map(|ending| FromWorker::Report { started: Vec::new(), ended: vec![ending] });
    let started = (!started.is_empty()).then(|| FromWorker::Report { started, ended: Vec::new() });
    ended.chain(started).collect()
}

fn ending(message: &FromWorker) -> Option<Ending> {
    let FromWorker::Report { ended, .. } = message else { return None };
    ended.first().cloned()
}

async fn read(reader: &mut FrameReader<ReadHalf<TcpStream>>) -> Option<FromWorker> {
    let frame = reader.next().await.ok().flatten()?;
    Some(decode("message", &frame.payload).unwrap())
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A registered function.
pub(crate) struct Function {
    id: FunctionId,
    language: Language,
    name: String,
    code: Bytes,
}

impl Function {
    pub(crate) fn pickled(id: u8, source: &str) -> Self {
        let code = crate::python::function(source);
        Self { id: FunctionId::from_u128(id.into()), language: Language::Pickle, name: "f".to_owned(), code }
    }

    pub(crate) fn source(id: u8, name: &str, source: &str) -> Self {
        let code = Bytes::from(source.to_owned());
        Self { id: FunctionId::from_u128(id.into()), language: Language::Source, name: name.to_owned(), code }
    }

    /// A task of it: number of the task, which is its token too.
    pub(crate) fn task(&self, number: u64, args: &Bytes) -> Work {
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(self.id.as_bytes());
        Work {
            lease: lease(number),
            attempt: 1,
            run_max: None,
            function: self.id,
            name: self.name.clone(),
            language: self.language,
            code_hash: CodeHash(hash),
            args: args.clone(),
            in_parts: None,
            given: Vec::new(),
        }
    }
}

pub(crate) fn lease(number: u64) -> LeaseRef {
    LeaseRef { task: TaskId::from_u128(number.into()), token: Token(number) }
}
