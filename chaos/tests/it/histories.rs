//! Histories as files: written, read back, torn, damaged, exported.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use raftwork_api::kernel::{Status, TaskId, Token};
use raftwork_chaos::history::{
    Call, EdnWriter, Event, FORMAT, Fault, FaultStep, Line, Outcome, ReadError, Reader, Reason, Recorder,
    Refusal, Reply, Run, Wanted,
};

fn run() -> Run {
    Run {
        format: FORMAT,
        seed: 7,
        nodes: vec![1, 2, 3],
        commit: String::new(),
        command: "raftwork-chaos run --seed 7".to_owned(),
        started: String::new(),
        settings: [("ttl".to_owned(), "15s".to_owned())].into(),
        faults: vec!["kill-leader".to_owned()],
        skipped: [("power-failure".to_owned(), "needs root".to_owned())].into(),
        wanted: Wanted::default(),
        without_log: false,
    }
}

/// A file in memory that the test can look into.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A history with a read that is answered, a cancel that is refused, and a fault.
fn recorded() -> Vec<u8> {
    let sink = Sink::default();
    let recorder = Recorder::new(Box::new(sink.clone()), run());
    let task = TaskId::from_u128(1);
    let read = recorder.invoke(4, Some(2), Call::Status { task, stale: true });
    let cancel = recorder.invoke(5, None, Call::Cancel { task });
    let fault = |step| {
        Event::Fault(Fault {
            id: 1,
            name: "kill-leader".to_owned(),
            step,
            nodes: vec![1],
            workers: vec![],
            detail: String::new(),
        })
    };
    recorder.record(fault(FaultStep::Start));
    let reply = Reply::Seen { status: Status::Queued, token: Some(Token(0)), attempts: None, result: None };
    recorder.returned(read, Some(17), Outcome::Ok(reply));
    recorder.returned(cancel, None, Outcome::Refused { code: Refusal::UnknownTask, current: None });
    recorder.record(fault(FaultStep::Stop { happened: true }));
    recorder.flush().unwrap();
    drop(recorder);
    Arc::into_inner(sink.0).unwrap().into_inner().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<Line>, ReadError> {
    Reader::new(bytes)?.collect()
}

#[test]
fn what_was_recorded_reads_back_in_order() {
    let written = recorded();
    let mut reader = Reader::new(written.as_slice()).unwrap();
    let lines: Vec<Line> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(reader.run(), &run());
    assert!(!reader.torn());
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| match &line.event {
            Event::Invoke(invoke) => format!("{} {}", invoke.op, invoke.call.name()),
            Event::Return(answer) => format!("{} {:?}", answer.op, answer.index),
            Event::Fault(fault) => format!("{:?}", fault.step),
            other @ (Event::Run(_)
            | Event::Phase(_)
            | Event::Leader(_)
            | Event::Digest(_)
            | Event::Log(_)
            | Event::Effect(_)) => panic!("{other:?} was not recorded"),
        })
        .collect();
    assert_eq!(kinds, ["1 status", "2 cancel", "Start", "1 Some(17)", "2 None", "Stop { happened: true }"]);
    assert!(lines.is_sorted_by_key(|line| line.at));
}

#[test]
fn a_torn_last_line_is_dropped_wherever_it_is_torn() {
    let written = recorded();
    let whole = read(&written).unwrap();
    let last = written[..written.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for end in last + 1..written.len() {
        let mut reader = Reader::new(&written[..end]).unwrap();
        let lines: Vec<Line> = reader.by_ref().collect::<Result<_, _>>().unwrap();
        assert_eq!(lines, whole[..whole.len() - 1], "cut at {end}");
        assert!(reader.torn(), "cut at {end}");
    }
}

#[test]
fn a_damaged_line_is_named_with_its_number() {
    let written = String::from_utf8(recorded()).unwrap();
    let damaged = |from: &str, to: &str| read(written.replacen(from, to, 1).as_bytes()).unwrap_err();
    let cases = [
        (damaged("\"cancel\"", "\"cancle\""), 3, "unknown variant `cancle`"),
        (damaged("{\"at\":", "{\"when\":"), 1, "unknown field `when`"),
        (damaged("\"kill-leader\",\"step\":\"start\"", "\"kill-leader\""), 4, "missing field `step`"),
        (damaged("\"queued\"", "\"asleep\""), 5, "unknown variant `asleep`"),
    ];
    for (error, line, what) in cases {
        assert_eq!(error.line, line, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_file_that_is_no_history_is_refused() {
    for (bytes, line) in [(&b"\x7fELF\x00\n"[..], 1), (b"", 1), (b"{}\n", 1), (b"\n", 1)] {
        let error = read(bytes).unwrap_err();
        assert_eq!(error.line, line, "{error}");
    }
    let without_header: Vec<u8> =
        recorded().split_inclusive(|byte| *byte == b'\n').skip(1).flatten().copied().collect();
    assert!(matches!(read(&without_header), Err(ReadError { line: 1, reason: Reason::NoHeader })));
}

#[test]
fn another_format_and_a_second_header_are_refused() {
    let written = String::from_utf8(recorded()).unwrap();
    let other = written.replacen("\"format\":1", "\"format\":2", 1);
    assert!(matches!(read(other.as_bytes()), Err(ReadError { line: 1, reason: Reason::Format(2) })));
    let header = written.lines().next().unwrap();
    let last = written.lines().last().unwrap().replace("{\"at\":", "").split(',').next().unwrap().to_owned();
    let twice = format!("{written}{}\n", header.replacen("\"at\":0", &format!("\"at\":{last}"), 1));
    assert!(
        matches!(read(twice.as_bytes()), Err(ReadError { line: 8, reason: Reason::SecondHeader })),
        "{twice}"
    );
}

#[test]
fn time_that_goes_back_is_refused() {
    let mut lines: Vec<String> = String::from_utf8(recorded()).unwrap().lines().map(str::to_owned).collect();
    lines[1] = lines[1].replacen("{\"at\":", "{\"at\":9", 1);
    let error = read((lines.join("\n") + "\n").as_bytes()).unwrap_err();
    assert_eq!(error.line, 3);
    assert!(matches!(error.reason, Reason::TimeGoesBack { .. }), "{error}");
}

#[test]
fn jepsen_reads_our_operations() {
    let written = recorded();
    let mut edn = EdnWriter::new(Vec::new());
    for line in Reader::new(written.as_slice()).unwrap() {
        let line = line.unwrap();
        edn.write(&Line { at: 5, ..line }).unwrap();
    }
    let text = String::from_utf8(edn.finish().unwrap()).unwrap();
    let task = "\"00000000-0000-0000-0000-000000000001\"";
    let expected = [
        format!("{{:index 0, :time 5000, :type :invoke, :process 4, :f :status, :value {{:stale true, :task {task}}}, :node \"n2\"}}"),
        format!("{{:index 1, :time 5000, :type :invoke, :process 5, :f :cancel, :value {{:task {task}}}}}"),
        "{:index 2, :time 5000, :type :info, :process :nemesis, :f :start-kill-leader, :value {:detail \"\", :nodes [1]}}".to_owned(),
        format!("{{:index 3, :time 5000, :type :ok, :process 4, :f :status, :value {{:stale true, :status \"queued\", :task {task}, :token 0}}, :node \"n2\"}}"),
        format!("{{:index 4, :time 5000, :type :fail, :process 5, :f :cancel, :value {{:task {task}}}, :error :unknown-task}}"),
        "{:index 5, :time 5000, :type :info, :process :nemesis, :f :stop-kill-leader, :value {:detail \"\", :nodes [1]}}".to_owned(),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}
