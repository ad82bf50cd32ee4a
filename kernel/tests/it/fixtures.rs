//! Bytes that earlier builds wrote keep their meaning.
//!
//! The files in `tests/fixtures/v1` are hexadecimal text. A format that a release has written never changes: a new one
//! gets a folder and a format byte of its own. Before the first release, `UPDATE_FIXTURES=1` writes the files anew.

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use raftwork_kernel::{
    Command, DecodeError, Entry, FORMAT, FunctionId, LogTime, Scalars, Submit, Task, TaskId, TaskOptions,
    WallTime, decode, decode_shared, encode,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::support::samples;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v1/{name}.hex"))
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(48) {
        for byte in line {
            write!(text, "{byte:02x}").expect("strings take everything");
        }
        text.push('\n');
    }
    text
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let byte =
        |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).expect("a fixture is hexadecimal");
    digits.chunks(2).map(byte).collect()
}

/// The file must hold exactly the values, and this build must write exactly the file.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, values: &T) {
    let written = encode(values);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(path(name), to_hex(&written)).expect("the fixture can be written");
    }
    let bytes = from_hex(&std::fs::read_to_string(path(name)).expect("the fixture is there"));
    assert_eq!(&decode::<T>("fixture", &bytes).expect("this build reads format 1"), values, "{name}");
    assert_eq!(
        to_hex(&written),
        to_hex(&bytes),
        "this build writes {name} differently under the same format"
    );
}

#[test]
fn entries_with_every_command_keep_their_meaning() {
    check("entry", &samples::entry());
    check("later_commands", &samples::later_commands());
}

/// A new command must be added here, and then to the sample.
#[test]
fn the_entry_has_every_command() {
    let number = |command: &Command| match command {
        Command::Register(_) => 0,
        Command::Submit(_) => 1,
        Command::Acquire(_) => 2,
        Command::Extend(_) => 3,
        Command::Complete(_) => 4,
        Command::Fail(_) => 5,
        Command::Release(_) => 6,
        Command::Cancel(_) => 7,
        Command::Expire(_) => 8,
        Command::Forget(_) => 9,
        Command::SubmitUnder(_) => 10,
        Command::AcquireWith(_) => 11,
        Command::Redrive(_) => 12,
        Command::Store(_) => 13,
        Command::Map(_) => 14,
        Command::CancelMap(_) => 15,
        Command::SetLimit(_) => 16,
        Command::PutSchedule(_) => 17,
        Command::ChangeSchedule(_) => 18,
        Command::Fire(_) => 19,
        Command::Trigger(_) => 20,
        Command::StorePart(_) => 21,
        Command::CompleteInParts(_) => 22,
    };
    let commands = [samples::entry().commands, samples::later_commands()].concat();
    let there: BTreeSet<_> = commands.iter().map(number).collect();
    assert_eq!(there, (0..23).collect());
}

#[test]
fn rows_keep_their_meaning() {
    check("function", &samples::function());
    check("task_row", &samples::task_row());
    check("tasks", &samples::tasks());
    check("records", &samples::records());
    check("rules", &samples::rules());
    check("limits", &samples::limits());
    check("schedule", &samples::schedule());
    check("output", &samples::output());
    check("scalars", &samples::scalars());
    check("piece", &samples::piece());
    check("map_row", &samples::map_row());
    check("map_standings", &samples::map_standings());
    check("upload", &samples::upload());
}

#[test]
fn replies_keep_their_meaning() {
    check("replies", &samples::replies());
    check("later_replies", &samples::later_replies());
    check("later_rejections", &samples::later_rejections());
}

#[test]
fn empty_bytes_are_refused() {
    let error = decode::<Entry>("entry", &[]).unwrap_err();
    assert_eq!(error, DecodeError::Empty { what: "entry" });
    assert_eq!(error.to_string(), "empty value where an encoded entry was expected");
}

#[test]
fn a_newer_format_is_refused() {
    let mut bytes = encode(&samples::scalars());
    bytes[0] = FORMAT + 1;
    let error = decode::<Scalars>("scalars", &bytes).unwrap_err();
    assert_eq!(error, DecodeError::Format { what: "scalars", found: FORMAT + 1 });
    assert!(error.to_string().contains("run the newer build on this data"), "{error}");
}

#[test]
fn a_value_that_was_cut_off_is_refused_wherever_it_was_cut() {
    let bytes = encode(&samples::entry());
    for len in 1..bytes.len() {
        let error = decode::<Entry>("entry", &bytes[..len]).unwrap_err();
        assert!(matches!(error, DecodeError::Damaged { what: "entry", .. }), "{len} bytes: {error}");
    }
}

#[test]
fn a_value_with_something_behind_it_is_refused() {
    let mut bytes = encode(&Scalars { log_time: LogTime(1), wall_time: WallTime(2), ..Scalars::default() });
    bytes.push(0);
    let error = decode::<Scalars>("scalars", &bytes).unwrap_err();
    assert_eq!(error.to_string(), "damaged scalars: 1 bytes are left over");
}

#[test]
fn flipped_bits_never_panic() {
    let bytes = encode(&samples::tasks());
    for bit in 8..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // Some damage still decodes, to something else: finding that is the business of checksums.
        if let Ok(tasks) = decode::<Vec<Task>>("tasks", &damaged) {
            assert_ne!(tasks, samples::tasks());
        }
    }
}

#[test]
fn a_shared_entry_is_the_same_and_its_payloads_are_not_copied() {
    let payload = Bytes::from(vec![7; 1000]);
    let submit = Submit {
        function: FunctionId::from_u128(1),
        options: TaskOptions::default(),
        items: vec![(TaskId::from_u128(1), payload), (TaskId::from_u128(2), Bytes::from_static(b"short"))],
    };
    let entry = Entry { commands: vec![Command::Submit(submit)], ..samples::entry() };
    let bytes = Bytes::from(encode(&entry));
    let shared: Entry = decode_shared("entry", &bytes).unwrap();
    assert_eq!(shared, entry);
    assert_eq!(decode_shared::<Entry>("entry", &encode(&samples::entry()).into()), Ok(samples::entry()));
    let [Command::Submit(submit)] = &shared.commands[..] else { panic!("there is one submit") };
    let args = submit.items[0].1.as_ptr_range();
    assert!(bytes.as_ptr_range().start < args.start && args.end < bytes.as_ptr_range().end);
}
