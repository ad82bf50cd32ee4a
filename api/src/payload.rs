//! Payloads at the edge: MIME base64 in JSON, raw bytes inside. Nothing is ever unpickled here.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use bytes::Bytes;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A payload that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not base64.
    #[error("the payload is not base64: {0}")]
    NotBase64(base64::DecodeError),
    /// Base64, but of something that no pickler writes.
    #[error("the payload is base64, but not of a pickle (protocol 2 or newer): it {0}")]
    NotPickle(&'static str),
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes MIME base64: line breaks and blanks between the characters are allowed, as `codecs.encode(.., "base64")` writes them.
///
/// # Errors
/// [`PayloadError::NotBase64`].
pub fn from_base64(text: &str) -> Result<Bytes, PayloadError> {
    let decoded = if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let compact: String = text.split_ascii_whitespace().collect();
        LENIENT.decode(compact)
    } else {
        LENIENT.decode(text)
    };
    decoded.map(Bytes::from).map_err(PayloadError::NotBase64)
}

/// Encodes bytes as one line of base64.
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Checks that bytes look like a pickle: first byte `0x80` (PROTO), last byte `.` (STOP). No Python needed.
///
/// # Errors
/// [`PayloadError::NotPickle`] saying what is missing.
pub fn check_pickle(bytes: &[u8]) -> Result<(), PayloadError> {
    match (bytes.first(), bytes.last()) {
        (None, _) => Err(PayloadError::NotPickle("is empty")),
        (Some(&0x80), Some(b'.')) if bytes.len() >= 3 => Ok(()),
        (Some(&0x80), _) => Err(PayloadError::NotPickle("ends before its STOP opcode, so it was cut short")),
        (Some(_), _) => Err(PayloadError::NotPickle("does not begin with the PROTO opcode 0x80")),
    }
}

/// Schema of the base64 of a pickle: what [`from_base64`] and [`check_pickle`] accept, so far as a pattern can say it. The
/// first characters are of the byte 0x80, the last ones of a full stop.
pub(crate) struct PickleText;

impl PartialSchema for PickleText {
    fn schema() -> RefOr<Schema> {
        const PATTERN: &str = r"^g[A-P]([AEIMQUYcgkosw048]u|[A-Za-z0-9+/]{2}([ \t\r\n]?[A-Za-z0-9+/]{4})*[ \t\r\n]?(Lg==|[A-Za-z0-9+/][CSiy]4=|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]u))[ \t\r\n]*$";
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(PATTERN));
        text.description(Some("Base64 of a pickle, protocol 2 or newer"))
            .examples(["gARLB4WUfZSGlC4="])
            .into()
    }
}

impl ToSchema for PickleText {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mime_base64_with_line_breaks_is_read() {
        assert_eq!(from_base64("gAR9\nlC4=\n").unwrap(), Bytes::from_static(b"\x80\x04}\x94."));
    }

    #[test]
    fn what_is_no_pickle_is_refused_with_the_reason() {
        for (bytes, reason) in
            [(&b""[..], "is empty"), (b"hello.", "PROTO"), (b"\x80\x04}", "STOP"), (b"\x80.", "STOP")]
        {
            assert!(check_pickle(bytes).unwrap_err().to_string().contains(reason), "{bytes:?}");
        }
        assert_eq!(check_pickle(b"\x80\x04}\x94."), Ok(()));
    }
}
