//! Admission of a connection: denied and banned addresses, caps, the rate of new connections.

use std::net::IpAddr;

use super::Limits;
use crate::limits::{Cause, Permit, TableKey, Work};

impl Limits {
    /// Admits a connection to the listener at this position. `client` is the address of the client,
    /// or `None` if a trusted proxy has connected.
    ///
    /// # Errors
    /// The limit that refuses the connection.
    pub fn admit_connection(&self, client: Option<IpAddr>, listener: usize) -> Result<Permit, Cause> {
        let key = match client {
            Some(address) => self.admit_address(address)?,
            None => None,
        };
        self.connections.enter(Work::Unverified, key, Some(listener)).map_err(Cause::of_connections)
    }

    /// Admits the client that a trusted proxy has named for a connection.
    ///
    /// # Errors
    /// The limit that refuses the connection.
    pub fn admit_client(&self, permit: &mut Permit, address: IpAddr) -> Result<(), Cause> {
        match self.admit_address(address)? {
            Some(key) => self.connections.enter_address(permit, key).map_err(Cause::of_connections),
            None => Ok(()),
        }
    }

    /// The key under which the connections of an address are counted; `None` for an allowed address.
    fn admit_address(&self, address: IpAddr) -> Result<Option<TableKey>, Cause> {
        let Some(key) = self.client_key(address, false).key else { return Ok(None) };
        if self.deny.contains(address) {
            return Err(Cause::DeniedAddress);
        }
        let now = self.now();
        if self.banned_until(address, now).is_some() {
            return Err(Cause::BannedAddress);
        }
        if !self.connection_rate.admits(key, now) {
            return Err(Cause::ConnectionsRate);
        }
        Ok(Some(key))
    }
}
