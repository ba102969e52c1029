//! What the micro benches share.

/// Whether only the working of the bench is checked: `cargo test --benches` passes no `--bench`.
pub fn is_quick() -> bool {
    !std::env::args().any(|argument| argument == "--bench")
}

/// The middle value. The benches take an odd number of rounds.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
