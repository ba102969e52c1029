//! Bans: addresses that fail verification again and again.

use std::net::IpAddr;

use super::{ClientKey, Limits};
use crate::approov::Rejection;
use crate::limits::{AddressKey, Decree, Ipv6Prefix, Moment, Offender, OffenderRules};

impl Limits {
    /// The end of the ban of this address, if the address is banned.
    pub(super) fn banned_until(&self, address: IpAddr, now: Moment) -> Option<Moment> {
        self.offenders.as_ref()?.1.banned(address, now)
    }

    /// Counts a request that failed verification. Returns whether its address is now banned for it.
    pub fn verification_failed(&self, client: ClientKey, why: Option<Rejection>, now: Moment) -> bool {
        let (Some((rules, offenders)), ClientKey { address, key: Some(_) }) = (&self.offenders, client)
        else {
            return false;
        };
        if is_private(address) || !why.is_some_and(|why| self.offences.contain(why)) {
            return false;
        }
        let Some(until) = offenders.failed(address, now) else { return false };
        let range = AddressKey::new(address, self.prefix).range(self.prefix);
        let (failures, seconds) = (rules.failures, now.until(until).as_secs());
        log::warn!(
            "{range} is banned for {seconds} s: {failures} failed verifications within {:?}",
            rules.within
        );
        true
    }

    /// Counts a request that passed verification.
    pub fn verification_passed(&self, client: ClientKey, now: Moment) {
        if let (Some((_, offenders)), ClientKey { address, key: Some(_) }) = (&self.offenders, client) {
            offenders.accepted(address, now);
        }
    }

    /// The addresses that are banned, and those whose last bans still count.
    pub fn offenders(&self) -> Vec<Offender> {
        let now = self.now();
        self.offenders.as_ref().map_or_else(Vec::new, |(_, offenders)| offenders.list(now))
    }

    /// The number of addresses that are banned now.
    pub fn banned(&self) -> usize {
        let now = self.now();
        self.offenders().iter().filter(|offender| offender.until > now).count()
    }

    /// Forgets the failures and bans of one address, or of all addresses for `None`. Returns how many
    /// addresses were listed.
    pub fn forgive(&self, address: Option<IpAddr>) -> usize {
        let now = self.now();
        match (&self.offenders, address) {
            (Some((_, offenders)), Some(address)) => offenders.clear(address, now).into(),
            (Some((_, offenders)), None) => offenders.clear_all(now),
            (None, _) => 0,
        }
    }
}

/// What nodes tell each other.
impl Limits {
    /// The rules for bans, and the part of an IPv6 address that is banned. `None` if no address is banned.
    pub fn ban_rules(&self) -> Option<(OffenderRules, Ipv6Prefix)> {
        self.offenders.as_ref().map(|(rules, _)| (*rules, self.prefix))
    }

    /// Whether this node has decided something about bans that other nodes do not know.
    pub fn has_decrees(&self) -> bool {
        self.offenders.as_ref().is_some_and(|(_, offenders)| offenders.has_decrees())
    }

    /// What this node has decided about bans since the last call.
    pub fn take_decrees(&self) -> Vec<Decree> {
        self.offenders.as_ref().map_or_else(Vec::new, |(_, offenders)| offenders.take_decrees())
    }

    /// Follows what another node has decided, unless the address is exempt here.
    pub fn follow(&self, decree: Decree) {
        let (Some((_, offenders)), now) = (&self.offenders, self.now()) else { return };
        if let Decree::Ban { address, .. } = decree
            && is_private(address.first())
        {
            return;
        }
        let until = offenders.follow(decree, now);
        if let (Some(until), Decree::Ban { address, .. }) = (until, decree) {
            let (range, seconds) = (address.range(self.prefix), now.until(until).as_secs());
            log::info!("{range} is banned for {seconds} s by another node");
        }
    }
}

/// Whether an address is of a private network. Such an address is more likely a proxy that is not
/// configured as trusted than a client, and must not be banned.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // RFC 1918, RFC 3927, and RFC 6598, which private clouds use as well.
            let [first, second, ..] = address.octets();
            address.is_private() || address.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}
