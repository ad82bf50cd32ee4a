//! The pickled exception of a task whose child can no longer pickle one.

use bytes::Bytes;

/// Pickles an exception `WorkerFailure(message)` that every Python can load.
///
/// The class is made while it is loaded, so the reader needs neither the package nor dill: this is
/// what a client of the plain REST contract gets for a lost worker or a missed deadline.
pub fn exception_pickle(message: &str) -> Bytes {
    let mut out = Vec::with_capacity(128 + message.len());
    out.extend_from_slice(b"\x80\x02cbuiltins\ntype\n("); // protocol 2; type; mark
    push_text(&mut out, "WorkerFailure");
    out.extend_from_slice(b"cbuiltins\nException\n\x85}"); // (Exception,), {}
    push_text(&mut out, "__module__");
    push_text(&mut out, "raftwork");
    out.extend_from_slice(b"stR"); // set the item; close the arguments; call type
    push_text(&mut out, message);
    out.extend_from_slice(b"\x85R."); // (message,); call the class; stop
    Bytes::from(out)
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let len = u32::try_from(text.len()).expect("messages are far shorter than 4 GiB");
    out.push(b'X');
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
