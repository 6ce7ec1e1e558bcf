//! The text format of Prometheus, version 0.0.4.

use super::tally::{BUCKETS_MS, Times};
use std::fmt::{Display, Write};

/// How it is named in `Content-Type`.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's numbers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// They only grow.
    Counter,
    /// They come and go.
    Gauge,
}

/// Families, as text.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// What is written is a `String`, which takes everything.
const TAKES_ALL: &str = "a String takes everything";

impl Exposition {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.head(name, kind, help);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(TAKES_ALL);
    }

    /// A number of the family. The values are words of ours, so nothing needs escaping.
    pub(super) fn row(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, word)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            write!(self.0, "{before}{label}=\"{word}\"").expect(TAKES_ALL);
        }
        let end = if labels.is_empty() { "" } else { "}" };
        writeln!(self.0, "{end} {value}").expect(TAKES_ALL);
    }

    /// A family of one number.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.row(name, &[], value);
    }

    /// A family that is a histogram of times.
    pub(super) fn histogram(&mut self, name: &str, help: &str, times: &Times) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut so_far = 0;
        for (bound, count) in BUCKETS_MS.iter().zip(times.buckets) {
            so_far += count;
            let seconds = std::time::Duration::from_millis(*bound).as_secs_f64().to_string();
            self.row(&bucket, &[("le", &seconds)], so_far);
        }
        self.row(&bucket, &[("le", "+Inf")], times.count);
        self.row(&format!("{name}_sum"), &[], times.sum.as_secs_f64());
        self.row(&format!("{name}_count"), &[], times.count);
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tally::Histogram, *};
    use std::time::Duration;

    /// Buckets count what is at most their bound, everything before included, and the last one all.
    #[test]
    fn a_histogram_is_cumulative() {
        let histogram = Histogram::default();
        for ms in [1, 3, 3, 40_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let mut times = Times::default();
        histogram.add_to(&mut times);
        let mut text = Exposition::default();
        text.histogram("t_seconds", "Help.", &times);
        let text = text.into_text();
        assert!(text.starts_with("# HELP t_seconds Help.\n# TYPE t_seconds histogram\n"), "{text}");
        for line in [
            "t_seconds_bucket{le=\"0.001\"} 1",
            "t_seconds_bucket{le=\"0.002\"} 1",
            "t_seconds_bucket{le=\"0.005\"} 3",
            "t_seconds_bucket{le=\"30\"} 3",
            "t_seconds_bucket{le=\"+Inf\"} 4",
            "t_seconds_sum 40.007",
            "t_seconds_count 4",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }

    /// A row has its labels between braces, and none without labels.
    #[test]
    fn rows_are_written_as_prometheus_reads_them() {
        let mut text = Exposition::default();
        text.family("a_total", Kind::Counter, "What.");
        text.row("a_total", &[("b", "c"), ("d", "e")], 7);
        text.single("f", Kind::Gauge, "Which.", 1.5);
        assert_eq!(
            text.into_text(),
            "# HELP a_total What.\n# TYPE a_total counter\na_total{b=\"c\",d=\"e\"} 7\n\
             # HELP f Which.\n# TYPE f gauge\nf 1.5\n"
        );
    }
}
