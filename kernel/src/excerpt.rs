//! Long text and output, cut in the middle: head and tail are what people look for.

use bytes::Bytes;

/// The text, if it is not longer than `limit` bytes; else its head and its tail, and between them how much is missing.
pub(crate) fn of_text(text: &str, limit: usize) -> String {
    let Some((head, tail)) = ends(text.len(), limit) else { return text.to_owned() };
    let (head, tail) = (text.floor_char_boundary(head), text.ceil_char_boundary(tail));
    format!("{}{}{}", &text[..head], marker(tail - head), &text[tail..])
}

/// The same for output, which need not be text.
pub(crate) fn of_bytes(bytes: &Bytes, limit: usize) -> Bytes {
    let Some((head, tail)) = ends(bytes.len(), limit) else { return bytes.clone() };
    [&bytes[..head], marker(tail - head).as_bytes(), &bytes[tail..]].concat().into()
}

/// Where the head ends and the tail begins; nothing if all of it may stay.
const fn ends(len: usize, limit: usize) -> Option<(usize, usize)> {
    if len <= limit { None } else { Some((limit / 2, len - limit / 2)) }
}

fn marker(missing: usize) -> String {
    format!("\n... {missing} bytes left out ...\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(of_text("0123456789", 10), "0123456789");
        assert_eq!(of_bytes(&Bytes::from_static(b"0123456789"), 10), "0123456789");
    }

    #[test]
    fn what_is_too_long_keeps_both_ends() {
        assert_eq!(of_text("0123456789", 4), "01\n... 6 bytes left out ...\n89");
        assert_eq!(of_bytes(&Bytes::from_static(b"0123456789"), 4), "01\n... 6 bytes left out ...\n89");
    }

    #[test]
    fn no_letter_is_cut_in_two() {
        assert_eq!(of_text("\u{fc}\u{fc}\u{fc}\u{fc}", 6), "\u{fc}\n... 4 bytes left out ...\n\u{fc}");
    }
}
