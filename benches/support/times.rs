//! Times, as they are printed.

use std::time::Duration;

/// Prints the median and the 95th percentile, and returns the median.
pub(crate) fn report(name: &str, times: &mut [Duration]) -> Duration {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{name:24} {:7.2} ms {:7.2} ms",
        millis(at(0.5)),
        millis(at(0.95))
    );
    at(0.5)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
