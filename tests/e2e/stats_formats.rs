//! STATS FORMAT: the same figures as JSON and in Prometheus' text format.

use crate::harness::{cmd, until, Client, Reply, Server, PATIENCE};
use crate::support::{at_one_moment, both, get, set, stats, store, whole};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a cache must have for most figures to differ from 0.
fn fill(c: &mut Client) {
    set(c, "p", &"text ".repeat(100), "MODEL gpt SCOPE ann TYPE t TAGS 2 x y COST 0.25 TOKENS 100 20 LATENCY 7").ok();
    set(c, "q", "r", "MODEL mini STALE 100").ok();
    for (prompt, options) in [("p", "MODEL gpt SCOPE ann"), ("q", "MODEL mini"), ("none", "")] {
        get(c, prompt, options);
    }
    c.words("LLMCACHE.FETCH faq q MODEL mini LEASE 1");
}

#[track_caller]
fn json(told: &Reply) -> Value {
    serde_json::from_str(&told.text()).unwrap_or_else(|e| panic!("{e}: {told:?}"))
}

/// Whether a reply and JSON say the same: numbers as numbers, dollars as text, null as null.
fn is_same(told: &Reply, json: &Value) -> bool {
    match (told, json) {
        (Reply::Int(number), json) => json.as_i64() == Some(*number),
        (Reply::Double(number), json) => json.as_f64() == Some(*number),
        (Reply::Null, json) => json.is_null(),
        (Reply::Bulk(text), Value::String(json)) => *text == json.as_bytes(),
        // RESP2 tells a fraction as a text.
        (Reply::Bulk(_), Value::Number(json)) => json.as_f64() == Some(told.number()),
        (Reply::Array(items), Value::Array(json)) => {
            items.len() == json.len() && items.iter().zip(json).all(|(told, json)| is_same(told, json))
        }
        (told, Value::Object(json)) => {
            let pairs = told.pairs();
            pairs.len() == json.len()
                && pairs.iter().all(|(name, told)| json.get(&name.text()).is_some_and(|json| is_same(told, json)))
        }
        _ => false,
    }
}

#[test]
fn json_says_what_the_map_says() {
    both(|c| {
        fill(c);
        c.words("LLMCACHE.ALERT faq SET full entries ABOVE 1").ok();
        c.words("LLMCACHE.ALERT faq SET saving cost_saved_usd ABOVE 0.000001 WINDOW 3600").ok();
        until("both alerts fire", PATIENCE, || stats(c, "").field("alerts").items().len() == 2);
        for options in [
            "faq",
            "faq WINDOW 60",
            "faq BY model",
            "faq BY tag WINDOW 3600",
            "",
            "BY strategy",
            "none",
            "none BY type",
        ] {
            let lines = [format!("LLMCACHE.STATS {options}"), format!("LLMCACHE.STATS {options} FORMAT json")];
            let told = at_one_moment(c, &[&lines[0], &lines[1]]);
            assert!(matches!(told[1], Reply::Bulk(_)), "{options}");
            assert!(is_same(&told[0], &json(&told[1])), "{options}: {:?}\n{}", told[0], told[1].text());
        }
        let told = json(&stats(c, "FORMAT JSON"));
        assert_eq!((&told["lookups"], &told["cost_saved_usd"]), (&4.into(), &"0.250000".into()));
        assert!(told["get_exact_us"]["max"].as_f64().is_some_and(|max| max > 0.0));
        assert_eq!(told["alerts"][0]["name"], "full");
        assert_eq!(json(&c.words("LLMCACHE.STATS FORMAT json"))["alerts"][0]["key"], "faq");
        assert_eq!(json(&stats(c, "BY model FORMAT json"))["gpt"]["hits"], 1);
    });
}

#[test]
fn json_is_text_whatever_a_name_is() {
    both(|c| {
        for name in [&b"a\xffb"[..], b"\0\x1b", "größe".as_bytes(), b"\"\\\n"] {
            cmd!(c, "LLMCACHE.SET", "faq", "p", "r", "SCOPE", name).ok();
        }
        let told = json(&stats(c, "BY scope FORMAT json"));
        let names: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        for name in ["a\u{fffd}ffb", "\0\x1b", "größe", "\"\\\n"] {
            assert_eq!(told[name]["entries"], 1, "{name:?} in {names:?}");
        }
    });
}

/// Labels by their names.
type Labels = BTreeMap<String, String>;

/// A metric: its type, and its samples by the end of their name and their labels.
#[derive(Debug)]
struct Metric {
    kind: String,
    samples: BTreeMap<(String, Labels), f64>,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `name="value",…` with `\\`, `\"` and `\n` as the only escapes.
fn labels(text: &str) -> Labels {
    let (mut found, mut rest) = (Labels::new(), text);
    while !rest.is_empty() {
        let (name, behind) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {rest}"));
        assert!(is_name(name), "no label's name: {name}");
        let (mut value, mut chars) = (String::new(), behind.char_indices());
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("a value that does not end: {behind}")) {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, c @ ('\\' | '"'))) => c,
                    other => panic!("an unknown escape {other:?}: {behind}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(found.insert(name.to_owned(), value).is_none(), "a label given twice: {text}");
        rest = &behind[end + 1..];
        rest = rest.strip_prefix(',').inspect(|rest| assert!(!rest.is_empty(), "{text}")).unwrap_or(rest);
    }
    found
}

/// Reads an exposition by a strict grammar: of each metric HELP, TYPE, and its samples directly behind them.
#[track_caller]
fn exposition(told: &Reply) -> BTreeMap<String, Metric> {
    let text = told.text();
    assert!(text.ends_with('\n') && !text.contains('\r'), "lines end with a line feed");
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let head = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("no HELP: {line}"));
        let (name, help) = head.split_once(' ').unwrap_or_else(|| panic!("no text: {line}"));
        assert!(is_name(name) && name.starts_with("llmcache_") && !help.trim().is_empty(), "{line}");
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")).map(str::to_owned));
        let kind = kind.unwrap_or_else(|| panic!("no TYPE behind: {line}"));
        assert!(["counter", "gauge", "summary"].contains(&&*kind), "{name} is a {kind}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        let mut samples = BTreeMap::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            let (full, inside) = match series.split_once('{') {
                Some((full, rest)) => (full, rest.strip_suffix('}').unwrap_or_else(|| panic!("no end: {line}"))),
                None => (series, ""),
            };
            assert!(is_name(full) && !(series.contains('{') && inside.is_empty()), "{line}");
            let end = full.strip_prefix(name).unwrap_or_else(|| panic!("a sample of {full} among those of {name}"));
            let labels = labels(inside);
            let parts: &[&str] = match (&*kind, labels.contains_key("quantile")) {
                ("summary", true) => &[""],
                ("summary", false) => &["_sum", "_count"],
                (_, quantile) => {
                    assert!(!quantile, "{line}");
                    &[""]
                }
            };
            assert!(parts.contains(&end), "{line}");
            let number = value.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(samples.insert((end.to_owned(), labels), number).is_none(), "a series told twice: {line}");
        }
        assert!(metrics.insert(name.to_owned(), Metric { kind, samples }).is_none(), "{name} is announced twice");
    }
    metrics
}

fn labelled(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Checks that an exposition has all figures of these maps, each under its labels, and no others.
#[track_caller]
fn has_all_of(metrics: &BTreeMap<String, Metric>, told: &[(Labels, &Reply)], in_window: bool, by_name: bool) {
    let gauges = "entries hit_rate estimated_share saving_per_day_usd saving_per_month_usd saving_per_year_usd \
        memory_cost_per_month_usd roi bytes_raw bytes_stored compression_saved memory_bytes memory_per_1k_entries";
    let mut expected = BTreeMap::new();
    for name in told[0].1.names().iter().filter(|name| *name != "alerts") {
        let of_gauge = gauges.split_whitespace().any(|gauge| gauge == name);
        let is_summary = name.ends_with("_us");
        let (suffix, kind) = match (is_summary, of_gauge || in_window) {
            (true, _) if by_name || in_window => continue,
            (true, _) => ("", "summary"),
            (_, true) => ("", "gauge"),
            (_, false) => ("_total", "counter"),
        };
        let full = format!("llmcache_{name}{suffix}");
        let metric = metrics.get(&full).unwrap_or_else(|| panic!("no {full} in {:?}", metrics.keys()));
        assert_eq!(metric.kind, kind, "{full}");
        // The rest may fall, and what falls is not counted.
        let told =
            || told.iter().filter(|(labels, _)| kind != "counter" || !labels.values().any(|name| name == "other"));
        for (labels, told) in told() {
            let sample = |end: &str, more: &[(&str, &str)]| {
                let mut labels = labels.clone();
                labels.extend(labelled(more));
                let key = (end.to_owned(), labels);
                *metric.samples.get(&key).unwrap_or_else(|| panic!("no {key:?} in {metric:?}"))
            };
            let field = told.field(name);
            if is_summary {
                for (quantile, part) in [("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99")] {
                    assert_eq!(sample("", &[("quantile", quantile)]), field.field(part).number(), "{full} {part}");
                }
                let (sum, count) = (sample("_sum", &[]), sample("_count", &[]));
                assert!((count > 0.0) == (field.field("max").number() > 0.0) && (sum > 0.0) == (count > 0.0));
                let longest = &metrics[&format!("{full}_max")];
                assert_eq!(longest.samples[&(String::new(), labels.clone())], field.field("max").number());
            } else {
                assert_eq!(sample("", &[]), field.number(), "{full}");
            }
        }
        let series = told().count() * if is_summary { 5 } else { 1 };
        assert_eq!(metric.samples.len(), series, "{full}");
        expected.insert(full.clone(), kind);
        if is_summary {
            expected.insert(format!("{full}_max"), "gauge");
        }
    }
    let others: Vec<_> = metrics.keys().filter(|name| !expected.contains_key(*name)).collect();
    let alerts = ["llmcache_alert_firing"];
    assert_eq!(others, alerts[..if by_name { 0 } else { 1 }], "and no more");
}

#[test]
fn an_exposition_says_what_the_map_says() {
    both(|c| {
        fill(c);
        for (options, own) in [("faq", vec![("cache", "faq")]), ("", vec![]), ("none", vec![("cache", "none")])] {
            for window in ["", "60", "3600"] {
                let mut own = own.clone();
                let mut line = format!("LLMCACHE.STATS {options}");
                if !window.is_empty() {
                    line += &format!(" WINDOW {window}");
                    own.push(("window", window));
                }
                let told = at_one_moment(c, &[&line, &format!("{line} FORMAT Prometheus")]);
                let metrics = exposition(&told[1]);
                has_all_of(&metrics, &[(labelled(&own), &told[0])], !window.is_empty(), false);
                for dimension in ["model", "scope", "strategy", "type", "tag"] {
                    let line = format!("{line} BY {dimension}");
                    let told = at_one_moment(c, &[&line, &format!("{line} FORMAT prometheus")]);
                    let metrics = exposition(&told[1]);
                    let series = told[0].pairs().into_iter().map(|(name, figures)| {
                        let name = name.text();
                        let labels = own.iter().copied().chain([(dimension, &*name)]).collect::<Vec<_>>();
                        (labelled(&labels), figures)
                    });
                    let series: Vec<_> = series.collect();
                    if series.is_empty() {
                        assert!(metrics.values().all(|metric| metric.samples.is_empty()), "{line}");
                    } else {
                        has_all_of(&metrics, &series, !window.is_empty(), true);
                    }
                }
            }
        }
    });
}

#[test]
fn names_of_all_kinds_stay_labels_of_their_own() {
    let server = Server::start();
    let mut c = server.client();
    let names = [
        (&b"plain"[..], "plain"),
        (b"quote\"back\\slash", "quote\"back\\slash"),
        (b"line\nfeed", "line\nfeed"),
        (b"} 5\nllmcache_lookups_total 99", "} 5\nllmcache_lookups_total 99"),
        (b"cr\r\x07", "cr\u{fffd}0d\u{fffd}07"),
        (b"a\xffb", "a\u{fffd}ffb"),
        (b"a,b=\"c\"", "a,b=\"c\""),
        ("größe-🤝".as_bytes(), "größe-🤝"),
        (b"", ""),
    ];
    for (name, _) in names {
        cmd!(c, "LLMCACHE.SET", "faq", "p", "r", "MODEL", name, "PERSIST").ok();
        cmd!(c, "LLMCACHE.GET", "faq", "p", "MODEL", name);
    }
    let metrics = exposition(&stats(&mut c, "BY model FORMAT prometheus"));
    let lookups = &metrics["llmcache_lookups_total"].samples;
    assert_eq!(lookups.len(), names.len());
    for (_, shown) in names {
        let key = (String::new(), labelled(&[("cache", "faq"), ("model", shown)]));
        assert_eq!(lookups.get(&key), Some(&1.0), "{shown:?} in {lookups:?}");
    }
    // The name of the cache itself, too.
    for (name, shown) in names {
        cmd!(c, "LLMCACHE.SET", name, "p", "r").ok();
        let metrics = exposition(&cmd!(c, "LLMCACHE.STATS", name, "FORMAT", "prometheus"));
        let key = (String::new(), labelled(&[("cache", shown)]));
        assert_eq!(metrics["llmcache_entries"].samples.get(&key), Some(&1.0), "{shown:?}");
    }
}

#[test]
fn an_exposition_tells_which_alerts_fire() {
    both(|c| {
        store(c, "p", "r");
        cmd!(c, "LLMCACHE.SET", "other", "p", "r").ok();
        let firing = |told: &Reply| exposition(told).remove("llmcache_alert_firing").expect("it is always there");
        let none = firing(&stats(c, "FORMAT prometheus"));
        assert_eq!((none.kind.as_str(), none.samples.len()), ("gauge", 0));
        for (key, name, bound) in
            [("faq", "full", 0), ("faq", r#"a"b\c"#, 0), ("faq", "silent", 5), ("other", "full", 0)]
        {
            cmd!(c, "LLMCACHE.ALERT", key, "SET", name, "entries", "ABOVE", bound).ok();
        }
        let mut told = || c.words("LLMCACHE.STATS FORMAT prometheus");
        until("three alerts fire", PATIENCE, || firing(&told()).samples.len() == 3);
        let key = |cache: &str, alert: &str| (String::new(), labelled(&[("cache", cache), ("alert", alert)]));
        let all = firing(&told());
        assert!(all.samples.values().all(|value| *value == 1.0));
        let expected = [key("faq", "full"), key("faq", r#"a"b\c"#), key("other", "full")];
        assert!(expected.iter().all(|key| all.samples.contains_key(key)), "{all:?}");
        let own = firing(&stats(c, "FORMAT prometheus WINDOW 60"));
        assert_eq!(own.samples.keys().collect::<Vec<_>>(), [&expected[1], &expected[0]]);
        // Of names there is nothing to tell.
        assert!(!stats(c, "BY model FORMAT prometheus").text().contains("alert"));
        c.words("LLMCACHE.ALERT faq DEL full");
        assert_eq!(firing(&stats(c, "FORMAT prometheus")).samples.len(), 1);
    });
}

#[test]
fn a_counter_is_told_to_its_last_digit() {
    both(|c| {
        set(c, "p", "r", "COST 2000000000000 TOKENS 900000000000000 1").ok();
        get(c, "p", "");
        let told = stats(c, "");
        assert_eq!(
            (whole(&told, "tokens_saved"), told.field("cost_saved_usd").text()),
            (900_000_000_000_001, "2000000000000.000000".into())
        );
        let json = stats(c, "FORMAT json").text();
        assert!(
            json.contains(r#""tokens_saved":900000000000001,"#) && json.contains(r#":"2000000000000.000000""#),
            "{json}"
        );
        let text = stats(c, "FORMAT prometheus").text();
        assert!(text.contains("\nllmcache_tokens_saved_total{cache=\"faq\"} 900000000000001\n"), "{text}");
        assert!(text.contains("\nllmcache_cost_saved_usd_total{cache=\"faq\"} 2000000000000.000000\n"), "{text}");
    });
}
