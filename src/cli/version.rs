//! What `--version` prints. The build script records the values.

/// Version, commit, target, kind of build and TLS library.
pub(super) const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("BUILD_COMMIT"),
    "\ntarget: ",
    env!("BUILD_TARGET"),
    "\nbuild:  ",
    env!("BUILD_KIND"),
    "\ntls:    ",
    env!("BUILD_TLS"),
);
