//! Kinds of values that the sections share, and the texts they are written as.

mod address;
mod duration;
mod file;
mod host;
mod http;
mod rate;
mod size;
mod store_url;
mod text;
mod url;

pub use address::{
    address_range, admin_address, is_large, listen_address, parse_admin_address, parse_listen_address,
    range_fault,
};
pub use duration::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, duration, show_duration};
pub use file::{file, read_file, read_small_file, shown, warn_if_world_readable};
pub use host::{Domain, domain, host_and_port, host_name, server_name};
pub use http::{check_path, forwarded_header, header_name, media_type, method, route_path, statuses};
pub use rate::{rate, show_rate};
pub use size::{KIB, MIB, show_size, size};
pub use store_url::{StoreUrl, store_url};
pub use text::{printable, short_name};
pub use url::{ServerUrl, key_set_url, server_url};
