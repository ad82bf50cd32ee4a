//! Every key of the row store. Numbers are big endian, so that the order of keys is the order of what they name.

use raftwork_kernel::{LogTime, MapId, PayloadId, Seq, TaskId, Token};

pub(super) fn output(task: TaskId, token: Token) -> [u8; 24] {
    joined(task.as_bytes(), &token.0.to_be_bytes())
}

pub(super) fn seq(seq: Seq) -> [u8; 8] {
    seq.0.to_be_bytes()
}

pub(super) fn expiry(expires: LogTime, task: TaskId) -> [u8; 24] {
    joined(&expires.0.to_be_bytes(), task.as_bytes())
}

pub(super) fn piece(map: MapId, index: u32) -> [u8; 20] {
    joined(map.as_bytes(), &index.to_be_bytes())
}

pub(super) fn payload(of: PayloadId) -> [u8; 24] {
    output(of.task, of.token)
}

pub(super) fn part(of: PayloadId, index: u32) -> [u8; 28] {
    joined(&payload(of), &index.to_be_bytes())
}

/// The payload of a key.
pub(super) fn parse_payload(key: &[u8]) -> Option<PayloadId> {
    let task = TaskId::from_bytes(key.get(..16)?.try_into().ok()?);
    Some(PayloadId { task, token: parse_output_token(key)? })
}

/// The log time and the task of an expiry key.
pub(super) fn parse_expiry(key: &[u8]) -> Option<(LogTime, TaskId)> {
    let (expires, task) = key.split_at_checked(8)?;
    Some((LogTime(u64::from_be_bytes(expires.try_into().ok()?)), TaskId::from_bytes(task.try_into().ok()?)))
}

/// The token of an output key.
pub(super) fn parse_output_token(key: &[u8]) -> Option<Token> {
    Some(Token(u64::from_be_bytes(key.get(16..24)?.try_into().ok()?)))
}

fn joined<const N: usize>(first: &[u8], second: &[u8]) -> [u8; N] {
    let mut key = [0; N];
    key[..first.len()].copy_from_slice(first);
    key[first.len()..].copy_from_slice(second);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_what_they_name_and_read_back() {
        let task = TaskId::from_u128(7);
        assert!(expiry(LogTime(255), task) < expiry(LogTime(256), TaskId::from_u128(0)));
        assert!(output(task, Token(255)) < output(task, Token(256)));
        assert!(piece(MapId::from_u128(7), 255) < piece(MapId::from_u128(7), 256));
        let of = PayloadId { task, token: Token(9) };
        assert!(part(of, 255) < part(of, 256));
        assert_eq!(parse_payload(&payload(of)), Some(of));
        assert_eq!(parse_expiry(&expiry(LogTime(9), task)), Some((LogTime(9), task)));
        assert_eq!(parse_output_token(&output(task, Token(9))), Some(Token(9)));
    }
}
