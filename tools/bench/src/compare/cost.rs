//! What an operator's view costs of a request. The access log and the request id can be switched off by
//! settings. Metrics and the trace context cannot: `cargo bench --bench instructions` counts the share of
//! the functions that record.

use super::table::{CPU, Table};

/// Without a log and a request id, with the defaults, and with one request in a hundred traced.
const QUIET: &str = "gateway:quiet";
const USUAL: &str = "gateway";
const TRACED: &str = "gateway:traced";

pub const PEERS: [&str; 3] = [QUIET, USUAL, TRACED];

pub const MODES: [&str; 2] = ["accepted", "refused"];

/// Prints the ratios, and whether they are within their limits.
pub fn print(tables: &[Table]) {
    println!("\n{:44} {:>8} {:>8}", "cost: CPU time of a request", "ratio", "at most");
    for table in tables {
        let name = table.mode.name;
        for (what, this, other, most) in
            [("access log and request id", USUAL, QUIET, 1.05), ("tracing of 1 %", TRACED, USUAL, 1.02)]
        {
            let (Some(this), Some(other)) = (table.row(this), table.row(other)) else { continue };
            let ratio = this.ratio(other, CPU);
            let verdict = if ratio <= most { "ok" } else { "MISSED" };
            println!("{:44} {ratio:>8.3} {most:>8.2} {verdict}", format!("{name}: {what}"));
        }
    }
}
