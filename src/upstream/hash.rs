//! A hash that is the same in every process and on every machine, so that several gateways send a device
//! to the same address. It does not resist deliberate collisions, and does not need to: colliding keys only
//! put load on one address.

/// FNV-1a (Fowler, Noll, Vo), mixed.
pub(super) fn of(bytes: &[u8]) -> u64 {
    let folded = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(folded)
}

/// Lets every input bit change every output bit: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_the_same_for_ever() {
        // If this value changed, an upgrade would move devices to other addresses (`balance: device`).
        assert_eq!(super::of(b"ExampleApproovTokenDID=="), 0x6a24_4218_8877_9c11);
        assert_eq!(super::of(b""), super::mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(super::mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
    }
}
