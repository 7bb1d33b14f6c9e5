//! Figures in the text exposition format of Prometheus, version 0.0.4.
//!
//! Each field is one metric, `llmcache_` and its name; what is counted since the beginning ends with `_total`. In a window
//! everything is a gauge.

use super::json::readable;
use super::{Field, Figures, Kind, Value, FIELDS};
use std::fmt::Write;

/// A label's name and its value.
pub type Label<'a> = (&'a str, &'a [u8]);

/// What figures are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Those of a window.
    pub window: bool,
    /// Those of names, of which no times are known.
    pub names: bool,
}

impl Extent {
    /// Whether a field has figures here. Times are known since the beginning, and of whole caches.
    fn tells(self, field: &Field) -> bool {
        field.kind != Kind::Summary || !(self.names || self.window)
    }
}

/// Writes figures, each with the labels that tell it from the others, as one exposition. One of the series may be the rest
/// that the others leave: it falls when a name that it holds is told by itself, so nothing that is counted is told of it.
pub fn exposition(series: &[(Vec<Label<'_>>, &Figures)], rest: Option<usize>, extent: Extent) -> String {
    let mut text = String::new();
    let columns: Vec<Vec<Value>> =
        series.iter().map(|(_, figures)| figures.fields().map(|(_, value)| value).collect()).collect();
    for (i, field) in FIELDS.iter().enumerate().filter(|(_, field)| extent.tells(field)) {
        let (suffix, kind) = match field.kind {
            Kind::Counter if !extent.window => ("_total", "counter"),
            Kind::Counter | Kind::Gauge => ("", "gauge"),
            Kind::Summary => ("", "summary"),
        };
        let name = format!("llmcache_{}{suffix}", field.name);
        let falls = |at: usize| rest == Some(at) && kind == "counter";
        let told = || series.iter().zip(&columns).enumerate().filter(|(at, _)| !falls(*at));
        let values = || told().filter_map(|(_, ((labels, _), values))| Some((labels, values.get(i)?)));
        head(&mut text, &name, kind, field.help);
        for (labels, value) in values() {
            match value {
                Value::Count(count) => sample(&mut text, &name, labels, None, count),
                Value::Real(real) => sample(&mut text, &name, labels, None, real),
                Value::Usd(usd) => sample(&mut text, &name, labels, None, usd),
                Value::Times(times) => {
                    for (quantile, value) in [("0.5", times.p50), ("0.95", times.p95), ("0.99", times.p99)] {
                        sample(&mut text, &name, labels, Some(("quantile", quantile.as_bytes())), value);
                    }
                    sample(&mut text, &format!("{name}_sum"), labels, None, times.sum);
                    sample(&mut text, &format!("{name}_count"), labels, None, times.count);
                }
            }
        }
        if field.kind == Kind::Summary {
            let name = format!("{name}_max");
            head(&mut text, &name, "gauge", &format!("{}: the longest", field.help));
            for (labels, value) in values() {
                if let Value::Times(times) = value {
                    sample(&mut text, &name, labels, None, times.max);
                }
            }
        }
    }
    text
}

/// Writes a metric of its own: 1 for each of these series.
pub fn flags(text: &mut String, name: &str, help: &str, series: &[Vec<Label<'_>>]) {
    head(text, name, "gauge", help);
    series.iter().for_each(|labels| sample(text, name, labels, None, 1));
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &[Label<'_>], more: Option<Label<'_>>, value: impl std::fmt::Display) {
    text.push_str(name);
    let mut opening = '{';
    for (label, value) in labels.iter().copied().chain(more) {
        let _ = write!(text, "{opening}{label}=\"{}\"", escaped(value));
        opening = ',';
    }
    let closing = if opening == ',' { "}" } else { "" };
    let _ = writeln!(text, "{closing} {value}");
}

/// A label's value as it may stand between quotes. Scrapers split lines at a line feed alone, but some readers split at
/// other ends of lines as well: what controls is written by its bytes, as is what is no UTF-8.
fn escaped(value: &[u8]) -> String {
    let is_plain = |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
    readable(value, is_plain).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::money::MicroUsd;
    use crate::core::report::Asked;
    use crate::core::stats::Stats;
    use crate::core::time::UnixMs;

    fn figures(lookups: u64) -> Figures {
        let scope = Asked { by: None, window_s: None }.scope(UnixMs(0), MicroUsd::ZERO);
        let mut stats = Stats::default();
        (stats.counters.lookups, stats.counters.hits_exact, stats.counters.micros_saved) = (lookups, 1, 1_500_000);
        Figures::new(stats, &scope)
    }

    #[test]
    fn each_metric_is_announced_once_and_has_one_line_for_each_series() {
        let (a, b) = (figures(4), figures(2));
        let text = exposition(
            &[(vec![("model", b"a")], &a), (vec![("model", b"b\"\\\n\x07\xff")], &b)],
            None,
            Extent::default(),
        );
        let lines: Vec<_> = text.lines().filter(|line| line.contains("llmcache_lookups_total")).collect();
        let help = "# HELP llmcache_lookups_total Lookups";
        let second = "llmcache_lookups_total{model=\"b\\\"\\\\\\n\u{fffd}07\u{fffd}ff\"} 2";
        assert_eq!(
            lines,
            [help, "# TYPE llmcache_lookups_total counter", "llmcache_lookups_total{model=\"a\"} 4", second]
        );
        assert!(text.contains("\nllmcache_hit_rate{model=\"a\"} 0.25\n"));
        assert!(text.contains("\nllmcache_cost_saved_usd_total{model=\"a\"} 1.500000\n"));
        assert!(text.contains("\n# TYPE llmcache_set_us summary\nllmcache_set_us{model=\"a\",quantile=\"0.5\"} 0\n"));
        let mut heads: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let count = heads.len();
        heads.sort_unstable();
        heads.dedup();
        assert_eq!(heads.len(), count);
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn a_window_has_gauges_alone() {
        let text = exposition(&[(vec![], &figures(4))], None, Extent { window: true, names: false });
        assert!(text.contains("# TYPE llmcache_lookups gauge\nllmcache_lookups 4\n"), "{text}");
        assert!(!text.contains("_total") && !text.contains("get_exact_us"));
    }

    #[test]
    fn nothing_is_counted_for_a_rest_that_may_fall() {
        let (a, b) = (figures(4), figures(2));
        let series = [(vec![("model", &b"a"[..])], &a), (vec![("model", b"other")], &b)];
        for (window, counted) in [(false, 1), (true, 2)] {
            let text = exposition(&series, Some(1), Extent { window, names: true });
            let lines = |metric: &str| text.lines().filter(|line| line.starts_with(&format!("{metric}{{"))).count();
            assert_eq!(lines(if window { "llmcache_lookups" } else { "llmcache_lookups_total" }), counted);
            assert_eq!(lines("llmcache_entries"), 2);
        }
    }
}
