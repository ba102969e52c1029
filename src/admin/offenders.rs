//! Banned addresses: `GET /offenders` lists them, `DELETE /offenders/ADDRESS` lifts the ban of one and
//! forgets its failures, `DELETE /offenders` does so for all.

use std::net::IpAddr;

use http::{Response, StatusCode};
use serde_json::json;

use super::access::Peer;
use super::pages::Admin;
use super::response::{response, text};
use crate::clock;

const PAGE: &str = "/offenders";

pub(super) fn is_page(path: &str) -> bool {
    path.strip_prefix(PAGE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Admin {
    pub(super) fn offenders(&self, path: &str) -> Response<Vec<u8>> {
        if path != PAGE {
            return text(StatusCode::NOT_FOUND, "GET /offenders lists all bans\n");
        }
        let limits = &self.shared.snapshot.load().limits;
        let (now, present) = (limits.now(), clock::timestamp());
        let until = |end| {
            let end = present.checked_add(now.until(end)).unwrap_or(present);
            (end > present).then(|| format!("{end:.3}"))
        };
        let offenders = limits.offenders();
        let offenders = offenders.iter().map(|offender| {
            let bans = offender.strikes;
            json!({ "address": offender.range.to_string(), "banned_until": until(offender.until), "bans": bans })
        });
        let offenders = json!({ "offenders": offenders.collect::<Vec<_>>() });
        response(StatusCode::OK, "application/json", format!("{offenders}\n"))
    }

    pub(super) fn forgive(&self, path: &str, peer: Peer) -> Response<Vec<u8>> {
        let limits = &self.shared.snapshot.load().limits;
        let rest = path.strip_prefix(PAGE).unwrap_or_default().trim_start_matches('/');
        // The list shows an IPv6 network with its prefix length.
        let address = rest.split(['/', '%']).next().unwrap_or_default();
        let forgiven = match (rest, address.parse::<IpAddr>()) {
            ("", _) => limits.forgive(None),
            (_, Ok(address)) => limits.forgive(Some(address)),
            (_, Err(_)) => {
                return text(
                    StatusCode::BAD_REQUEST,
                    "write DELETE /offenders/ADDRESS, or DELETE /offenders\n",
                );
            }
        };
        let whose = if rest.is_empty() { "every address".to_owned() } else { address.to_owned() };
        log::info!("audit: bans of {whose} lifted by {peer}: {forgiven}");
        response(StatusCode::OK, "application/json", format!("{}\n", json!({ "forgiven": forgiven })))
    }
}
