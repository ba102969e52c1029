//! Medians, percentiles and how figures are printed.

use std::fmt::Display;
use std::time::Duration;

/// The middle value, or the mean of the two middle ones; NaN without any value.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The duration that `percent` of all durations do not exceed; zero without any duration.
pub fn percentile(durations: &[Duration], percent: f64) -> Duration {
    let mut durations = durations.to_vec();
    let index = (durations.len().saturating_sub(1) as f64 * percent / 100.0).round() as usize;
    if index >= durations.len() {
        return Duration::ZERO;
    }
    *durations.select_nth_unstable(index).1
}

pub fn ratio(this: Duration, other: Duration) -> f64 {
    this.as_secs_f64() / other.as_secs_f64()
}

/// Microseconds below a millisecond, milliseconds below a second, else seconds.
pub fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        _ if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

pub fn show(duration: Duration) -> String {
    time(duration.as_secs_f64())
}

/// Two durations, and the second as a multiple of the first.
pub fn compared(without: Duration, with: Duration) -> String {
    format!("{} {} ({:.2})", show(without), show(with), ratio(with, without))
}

pub fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

/// Prints a figure in a line of its own.
pub fn line(what: &str, value: impl Display) {
    println!("{what:<48} {value}");
}
