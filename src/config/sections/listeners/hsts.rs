//! `hsts`: Strict-Transport-Security.

use std::time::Duration;

use crate::config::document::{Kind, Reported, Section, Shape, Value, boolean, default, section};
use crate::config::values::{HOUR, duration};
use crate::downstream::Hsts;

const YEAR: Duration = HOUR.saturating_mul(365 * 24);

section! {
    /// Strict-Transport-Security.
    struct HstsSection {
        /// How long clients remember to use TLS. They cannot be told to forget it earlier.
        max_age: Duration = default(duration(Duration::ZERO..=2 * YEAR), YEAR),
        /// Whether it applies to every name below the host's, too.
        include_subdomains: bool = default(boolean(), false),
        /// Asks browsers to ship with the host in their lists. Needs `max_age: 8760h` and
        /// `include_subdomains: true`.
        preload: bool = default(boolean(), false),
    }
}

/// The kind of `hsts`: a section whose keys are checked together.
pub struct HstsKind;

impl Kind for HstsKind {
    type Value = Hsts;

    fn read(&self, value: &Value<'_>) -> Result<Hsts, Reported> {
        let HstsSection { max_age, include_subdomains, preload } =
            crate::config::document::nested().read(value)?;
        if preload && (max_age < YEAR || !include_subdomains) {
            // https://hstspreload.org
            let hint = "write max_age: 8760h or more and include_subdomains: true, or remove preload";
            value.problem("browsers take no host into their lists with these values", hint);
        }
        Ok(Hsts { max_age, include_subdomains, preload })
    }

    fn shape(&self) -> Shape {
        Shape::Section(HstsSection::specs())
    }
}
