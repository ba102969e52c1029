//! `routing`: how paths are compared with those of routes.

use crate::config::document::{default, section, words};
use crate::policy::LookAlikes;

section! {
    /// How paths are compared with those of routes.
    pub struct RoutingSection {
        /// Which route serves a path that differs from the path of another route only in letter case or in
        /// the last slash. `strictest`: the stricter of the two, because some origins ignore such
        /// differences (Express does). `exact`: paths are compared byte by byte.
        pub look_alikes: LookAlikes =
            default(words(LookAlikes::ALL.map(|rule| (rule.label(), rule))), LookAlikes::Strictest),
    }
}
