//! A membership as the row store keeps it: opaque bytes there, an image here.

use super::image::{self, ImageError, MembershipImage};
use super::types::Membership;
use crate::store::log::Position;
use crate::store::rows::StoredMembers;

/// What to store of the membership that the entry at `position` set.
pub(super) fn encode_members(position: Position, membership: &Membership) -> StoredMembers {
    let encoded = image::encode(&MembershipImage::from(membership)).into();
    StoredMembers { position: Some(position), encoded }
}

/// The stored membership; an empty one before the first.
pub(super) fn decode_members(members: &StoredMembers) -> Result<MembershipImage, ImageError> {
    if members.encoded.is_empty() {
        return Ok(MembershipImage::default());
    }
    image::decode(&members.encoded)
}
