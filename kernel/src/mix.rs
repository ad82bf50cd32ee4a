//! Mixing of bits: what spreads retries and buckets. The same on every replica, and no secret.

/// A number whose every bit depends on every bit of `z` (the finaliser of `SplitMix64`, Steele et al. 2014).
pub(crate) const fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
