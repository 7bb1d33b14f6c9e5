//! A day in the life of a cache, played by the clock: at three times of it every figure of STATS is what `day.txt` says,
//! which was computed by hand; and again after the cache was saved and loaded.

use super::support::{loaded, saved, store, Ask};
use llmcache::core::cache::{Cache, Found, Got, Terms};
use llmcache::core::codec::Codec;
use llmcache::core::entry::Phase;
use llmcache::core::eviction::Pressure;
use llmcache::core::feedback::Opinion;
use llmcache::core::invalidation::Selection;
use llmcache::core::ledger::latency::{Percentiles, Work};
use llmcache::core::ledger::Dimension;
use llmcache::core::matching::{Look, Wanted, ASKED_FOR};
use llmcache::core::money::{MicroUsd, Price};
use llmcache::core::policy::{Compress, Mode, Policy, PolicyChange};
use llmcache::core::report::{Asked, Figures, Value};
use llmcache::core::request::Usage;
use llmcache::core::stats::{Breakdown, Stats};
use llmcache::core::storing::{Answer, Condition, Lifetime, Stored};
use llmcache::core::time::UnixMs;
use std::collections::HashMap;
use std::time::Duration;

/// Midnight, 2025-06-15.
const MIDNIGHT: u64 = 1_749_945_600_000;

/// A gigabyte of memory costs ten dollars a month.
const GB_MONTH: MicroUsd = MicroUsd::from_micros(10_000_000);

fn usd(text: &str) -> MicroUsd {
    MicroUsd::parse(text.as_bytes()).unwrap()
}

fn clock(text: &str) -> UnixMs {
    let seconds = text.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap());
    UnixMs(MIDNIGHT + seconds * 1000)
}

struct Day {
    cache: Cache,
    codec: Codec,
    now: UnixMs,
}

fn ask(scope: &str, model: &str, prompt: &str) -> Ask {
    Ask { scope: scope.into(), model: model.into(), ..Ask::plain(prompt) }
}

impl Day {
    fn new() -> Self {
        let cache = Cache::with_policy(Policy { jitter_percent: 0, compress: Compress::Zstd, ..Policy::default() });
        let mut day = Self { cache, codec: Codec::new(), now: UnixMs(MIDNIGHT) };
        let price = |input, cached: Option<&str>, output| Price {
            input_per_mtok: usd(input),
            cached_per_mtok: cached.map(usd),
            output_per_mtok: usd(output),
        };
        let prices = vec![
            (b"gpt"[..].into(), price("2.50", Some("1.25"), "10")),
            (b"claude"[..].into(), price("3", None, "15")),
        ];
        day.cache.alter(&PolicyChange { prices, ..PolicyChange::default() }, day.now).unwrap();
        day
    }

    fn at(&mut self, time: &str) -> &mut Self {
        assert!(clock(time) >= self.now, "the day goes on");
        self.now = clock(time);
        self
    }

    fn store(&mut self, answer: &Answer<'_>) {
        store(&mut self.cache, answer, self.now);
    }

    /// A store that is not made, and why.
    fn skip(&mut self, answer: &Answer<'_>, why: Stored) {
        let stored = self.cache.set(answer, self.now, Pressure::None, &mut self.codec).unwrap().0;
        assert_eq!(stored, why);
    }

    fn get(&mut self, ask: &Ask, terms: &Terms) -> &'static str {
        match self.cache.get(&ask.identity(), terms, self.now, &mut self.codec).unwrap() {
            Got::Miss => "miss",
            Got::NotModified => "not modified",
            Got::Hit { stale: true, .. } => "stale",
            Got::Hit { .. } => "fresh",
        }
    }

    fn hit(&mut self, ask: &Ask) {
        assert_eq!(self.get(ask, &Terms::default()), "fresh");
    }

    fn stale_hit(&mut self, ask: &Ask) {
        let terms = Terms { stale_ok: true, ..Terms::default() };
        assert_eq!(self.get(ask, &terms), "stale");
    }

    fn miss(&mut self, ask: &Ask) {
        assert_eq!(self.get(ask, &Terms::default()), "miss");
    }

    /// A lookup among similar questions; how similar what answers is.
    fn similar(&mut self, ask: &Ask) -> Option<f64> {
        let terms = Terms { mode: Some(Mode::Similar), ..Terms::default() };
        let mut wanted = Wanted::exactly(ask.identity(), &terms, self.now);
        wanted.comparable = true;
        let found = match self.cache.look(&wanted).unwrap() {
            Look::Found(found) => found,
            Look::Search(asking) => {
                let hits = asking.run(asking.floor(), ASKED_FOR);
                self.cache.settle(&asking, &hits, &wanted)
            }
        };
        match self.cache.serve(found, &wanted, &mut self.codec).unwrap() {
            Got::Hit { similar, .. } => similar,
            _ => None,
        }
    }

    fn expire(&mut self, count: u64) {
        assert_eq!(self.cache.expire(self.now, 100), count);
    }

    fn check(&self, checked: &mut usize) {
        *checked += check(&self.cache, self.now);
        // All of it comes back, but for the times.
        let again = loaded(&saved(&self.cache)).unwrap();
        again.validate().unwrap();
        check(&again, self.now);
    }
}

/// What is told of a cache: of all of it (an empty name), or by name.
fn told(cache: &Cache, by: Option<Dimension>, window_s: Option<u64>, now: UnixMs) -> Vec<(String, Figures)> {
    let scope = Asked { by, window_s }.scope(now, GB_MONTH);
    let memory = cache.memory() as u64;
    let Some(by) = by else {
        let mut stats = Stats::default();
        stats.add(cache, memory, &scope);
        return vec![(String::new(), Figures::new(stats, &scope))];
    };
    let mut breakdown = Breakdown::new(by);
    breakdown.add(cache, memory, false, &scope);
    let named = Figures::of_names(breakdown, &scope).into_iter();
    named.map(|(name, figures)| (String::from_utf8(name.into()).unwrap(), figures)).collect()
}

fn field(figures: &Figures, name: &str) -> Value {
    figures.fields().find(|(field, _)| field.name == name).unwrap().1
}

fn count(figures: &Figures, name: &str) -> u64 {
    match field(figures, name) {
        Value::Count(count) => count,
        other => panic!("{name} is {other:?}"),
    }
}

/// What a row says of a field; nothing said is 0.
struct Row<'a>(HashMap<&'a str, &'a str>);

impl<'a> Row<'a> {
    fn add(&mut self, words: &'a str) {
        let words: Vec<_> = words.split_whitespace().collect();
        for pair in words.chunks(2) {
            assert!(self.0.insert(pair[0], pair[1]).is_none(), "{pair:?} is said twice");
        }
    }

    fn count(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |said| said.parse().unwrap())
    }

    fn sum(&self, names: &[&str]) -> u64 {
        names.iter().map(|name| self.count(name)).sum()
    }

    fn usd(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |said| usd(said).micros())
    }
}

/// Halves up.
fn rounded(a: u128, b: u128) -> u64 {
    ((2 * a + b) / (2 * b)) as u64
}

/// Compares each field with what a row says, and with what follows from it.
fn check_row(figures: &Figures, row: &Row<'_>, span: u64, place: &str) {
    let hits = row.sum(&["hits_exact", "hits_similar", "hits_stale"]);
    let misses = row.sum(&["miss_absent", "miss_expired", "miss_threshold", "miss_guard"]);
    let tokens = row.sum(&["tokens_saved_in", "tokens_saved_out"]);
    let (lookups, saved) = (row.count("lookups"), u128::from(row.usd("cost_saved_usd")));
    let projected = |days: u128| rounded(saved * days * 86_400, span.into());
    let (memory, entries) = (count(figures, "memory_bytes"), row.count("entries"));
    let cost_of_memory = rounded(10_000_000 * u128::from(memory), 1 << 30);
    let stored = count(figures, "bytes_stored");
    let part = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    for (field, value) in figures.fields() {
        let said = row.0.get(field.name).copied();
        let place = format!("{} {said:?} {place}", field.name);
        match (field.name, value) {
            // As much as there is; that of names is checked together.
            ("memory_bytes" | "bytes_stored", Value::Count(_)) => {}
            ("memory_per_1k_entries", Value::Count(per_1k)) => {
                assert_eq!(per_1k, (memory * 1000).checked_div(entries).unwrap_or(0), "{place}");
            }
            (name, Value::Count(count)) => {
                let expected = match name {
                    "hits" => hits,
                    "misses" => misses,
                    "tokens_saved" => tokens,
                    name => row.count(name),
                };
                assert_eq!(count, expected, "{place}");
                assert!(said.is_none_or(|said| said == count.to_string()), "{place}");
            }
            (name, Value::Usd(micros)) => {
                let expected = match name {
                    "saving_per_day_usd" => projected(1),
                    "saving_per_month_usd" => projected(30),
                    "saving_per_year_usd" => projected(365),
                    "memory_cost_per_month_usd" => cost_of_memory,
                    name => row.usd(name),
                };
                assert_eq!(micros.micros(), expected, "{place}");
                assert!(said.is_none_or(|said| said == micros.to_string()), "{place}, not {micros}");
            }
            (name, Value::Real(real)) => {
                let expected = match name {
                    "hit_rate" => part(hits, lookups),
                    "estimated_share" => part(row.count("estimated"), tokens),
                    "roi" => part(projected(30), cost_of_memory),
                    "compression_saved" => part(row.count("bytes_raw") - stored, row.count("bytes_raw")),
                    name => panic!("{name} is no share"),
                };
                assert!((real - expected).abs() < 1e-12, "{real} {expected} {place}");
                let (a, b) = said.and_then(|said| said.split_once('/')).unwrap_or(("", ""));
                assert!(said.is_none() || real == a.parse::<f64>().unwrap() / b.parse::<f64>().unwrap(), "{place}");
            }
            (_, Value::Times(_)) => {}
        }
    }
}

/// Compares all that is told of a cache with what `day.txt` says of this time; how many rows there were.
fn check(cache: &Cache, now: UnixMs) -> usize {
    let mut rows = 0;
    for part in include_str!("day.txt").split("\n== ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap();
        let [time, windows, span] = head.split(" | ").collect::<Vec<_>>()[..] else { panic!("{head}") };
        if clock(time) != now {
            continue;
        }
        for window in windows.split(' ') {
            let window_s = (window != "ever").then(|| window.parse().unwrap());
            for by in [None].into_iter().chain(Dimension::ALL.map(Some)) {
                let what = by.map_or("all", Dimension::name);
                let mut expected: HashMap<&str, Row<'_>> = HashMap::new();
                for line in body.lines() {
                    let line = line.split('#').next().unwrap();
                    let mut words = line.splitn(3, ' ');
                    if words.next() == Some(what) {
                        let name = words.next().filter(|name| *name != "-").unwrap_or_default();
                        let row = expected.entry(name).or_insert_with(|| Row(HashMap::new()));
                        row.add(words.next().unwrap_or_default());
                    }
                }
                let told = told(cache, by, window_s, now);
                let mut names: Vec<_> = told.iter().map(|(name, _)| &**name).collect();
                names.sort_unstable();
                let mut known: Vec<_> = expected.keys().copied().collect();
                known.sort_unstable();
                assert_eq!(names, known, "names of {what} at {time} in {window}");
                for (name, figures) in &told {
                    let place = format!("of {what} {name:?} at {time} in {window}");
                    check_row(figures, &expected[&**name], span.parse().unwrap(), &place);
                    rows += 1;
                }
                let sum = |field: &str| told.iter().map(|(_, figures)| count(figures, field)).sum::<u64>();
                assert_eq!(sum("memory_bytes"), cache.memory() as u64, "memory by {what} at {time}");
                if by != Some(Dimension::Tag) {
                    let stored = cache.scan(0, u64::MAX, UnixMs(0), |_| true).1;
                    let stored: usize = stored.iter().map(|view| view.packed().bytes.len()).sum();
                    assert_eq!(sum("bytes_stored"), stored as u64, "bytes by {what} at {time}");
                }
            }
        }
    }
    rows
}

#[test]
fn on_a_day_every_figure_is_what_it_is_by_hand() {
    let (mut day, mut checked) = (Day::new(), 0);
    let response = vec![b'r'; 400];
    let with = |length: usize| &response[..length];
    let strategy = Lifetime::Strategy;

    let first = ask("ann", "gpt", "the first");
    let one = Answer {
        lifetime: strategy("standard"),
        typ: Some(b"chat"),
        tags: vec![b"x", b"y"],
        tokens: Some((1000, 400)),
        latency_ms: 2000,
        ..first.answer(with(100))
    };
    day.at("00:00:00").store(&one);
    // Fresh until 00:30:10, stale until 01:30:10.
    let second = ask("bob", "claude", &"b".repeat(40));
    let two = Answer {
        lifetime: Lifetime::After(1_800_000),
        stale_ms: Some(3_600_000),
        typ: Some(b"chat"),
        tags: vec![b"y"],
        cost: Some(usd("0.02")),
        latency_ms: 1500,
        ..second.answer(with(200))
    };
    day.at("00:00:10").store(&two);
    // For a quarter of an hour.
    let third = ask("ann", "gpt", "the third");
    let three = Answer {
        lifetime: strategy("realtime"),
        typ: Some(b"code"),
        usage: Some(Usage { input: 2000, cached: 1500, output: 300 }),
        latency_ms: 3000,
        ..third.answer(with(50))
    };
    day.at("00:00:20").store(&three);
    day.at("00:01:00").hit(&first);
    day.miss(&ask("ann", "gpt", "nobody knows"));
    day.at("00:20:00").miss(&third);
    day.at("00:20:01").expire(1);
    let fourth = ask("bob", "local", &"d".repeat(80));
    day.at("00:30:00").store(&Answer { tags: vec![b"z"], latency_ms: 500, ..fourth.answer(with(400)) });
    day.at("00:40:00").stale_hit(&second);
    day.at("00:58:00").hit(&fourth);
    let nocache = Answer { lifetime: strategy("nocache"), tags: vec![b"x"], ..one.clone() };
    day.at("01:00:00").skip(&nocache, Stored::NoCache);
    day.at("01:00:10").hit(&first);
    let has_it = Terms { if_none_match: Some(super::support::etag(with(100))), ..Terms::default() };
    assert_eq!(day.at("01:00:20").get(&first, &has_it), "not modified");
    // What leaves no trace is not counted.
    let no_touch = Terms { no_touch: true, ..Terms::default() };
    assert_eq!(day.get(&first, &no_touch), "fresh");
    assert_eq!(day.get(&third, &no_touch), "miss");
    day.at("01:00:30").check(&mut checked);

    day.at("02:00:00").cache.note(&first.id(), Opinion::Good, None, clock("02:00:00")).0.unwrap();
    let fifth = ask("ann", "claude", "the fifth");
    let five = Answer {
        lifetime: strategy("aggressive"),
        typ: Some(b"chat"),
        tags: vec![b"x"],
        tokens: Some((100, 200)),
        latency_ms: 900,
        ..fifth.answer(with(60))
    };
    day.at("05:00:00").store(&five);
    let slot = day.cache.store().find(&fifth.digest()).unwrap();
    day.cache.coalesce(Found::Exact(slot, Phase::Fresh), &Terms::default(), 3, day.now);
    // The second is dead since 01:30:10, the first since 06:00:00.
    day.at("07:00:00").expire(2);
    let sixth = ask("bob", "gpt", "Show the sales figures of the year 2024");
    let six = Answer {
        lifetime: strategy("conservative"),
        typ: Some(b"qa"),
        tags: vec![b"y", b"z"],
        tokens: Some((10, 20)),
        latency_ms: 700,
        ..sixth.answer(with(70))
    };
    day.at("09:00:00").store(&six);
    let like_it = ask("bob", "gpt", "show the sales figures of the year 2024");
    assert_eq!(day.at("09:30:00").similar(&like_it), Some(1.0));
    assert_eq!(day.at("09:31:00").similar(&ask("bob", "gpt", "Show the sales figures of the year 2025")), None);
    assert_eq!(day.at("09:32:00").similar(&ask("bob", "gpt", "How do I boil an egg?")), None);
    let bad = day.at("09:33:00").cache.note(&sixth.id(), Opinion::Bad, Some(&like_it.digest()), clock("09:33:00"));
    bad.0.unwrap();
    assert_eq!(day.at("09:34:00").similar(&like_it), None);
    // The fourth was used the longest time ago.
    let two_entries = PolicyChange { max_entries: Some(2), ..PolicyChange::default() };
    let effects = day.at("10:00:00").cache.alter(&two_entries, clock("10:00:00")).unwrap();
    assert_eq!(effects.evicted, [fourth.id()]);
    let tag_x = Selection { tags: vec![b"x"], ..Selection::default() };
    assert_eq!(day.at("11:00:00").cache.invalidate(&tag_x, clock("11:00:00")).0, 1);
    day.at("11:55:00").miss(&ask("bob", "claude", "nobody knows"));
    let (seventh, long) = (ask("ann", "local", "the seventh"), vec![b'a'; 4000]);
    let seven = Answer {
        typ: Some(b"code"),
        tokens: Some((5, 5)),
        cost: Some(usd("0.5")),
        latency_ms: 100,
        ..seventh.answer(&long)
    };
    day.at("11:59:30").store(&seven);
    day.cache.press_some(usize::MAX, &mut day.codec);
    assert!(day.cache.store().answer_bytes().1 < 1000, "4000 times the same letter");
    day.at("11:59:59").hit(&seventh);
    day.at("12:00:00").check(&mut checked);

    // The server is started anew.
    day.cache = loaded(&saved(&day.cache)).unwrap();
    day.at("13:00:00").expire(1);
    day.at("14:00:00").skip(&Answer { condition: Condition::Absent, ..seven.clone() }, Stored::ConditionFailed);
    let eighth = ask("ann", "gpt", "the eighth");
    let eight = Answer {
        lifetime: strategy("aggressive"),
        typ: Some(b"chat"),
        tags: vec![b"x", b"x"],
        usage: Some(Usage { input: 100, cached: 0, output: 10 }),
        latency_ms: 50,
        ..eighth.answer(with(80))
    };
    day.at("15:00:00").store(&eight);
    day.at("22:30:00").hit(&eighth);
    assert_eq!(day.at("23:30:00").cache.make_stale(&tag_x, clock("23:30:00")).0, 1);
    day.at("23:55:00").miss(&ask("ann", "local", "nobody knows"));
    day.at("23:59:10").stale_hit(&eighth);
    let passing = ask("bob", "claude", "passing");
    let passing = Answer {
        lifetime: strategy("nocache"),
        tags: vec![b"z"],
        tokens: Some((7, 3)),
        latency_ms: 11,
        ..passing.answer(b"by")
    };
    let effort = day.at("23:59:50").cache.effort(&passing);
    day.cache.coalesce_passing(&passing, &effort, 2, day.now);
    let over = Answer { lifetime: Lifetime::Until(clock("23:00:00")), ..seven };
    day.at("23:59:55").skip(&over, Stored::AlreadyOver);
    day.at("23:59:58").cache.note(&eighth.id(), Opinion::Bad, None, clock("23:59:58")).0.unwrap();
    let ninth = ask("bob", "claude", "twelve bytes");
    day.at("23:59:59").store(&Answer { typ: Some(b"chat"), tags: vec![b"y"], ..ninth.answer(with(30)) });
    day.at("24:00:20").check(&mut checked);
    assert!(checked > 150, "{checked} rows");

    // Two such caches are one twice as large.
    let scope = Asked { by: None, window_s: Some(3600) }.scope(day.now, GB_MONTH);
    let mut both = Stats::default();
    (0..2).for_each(|_| both.add(&day.cache, 1000, &scope));
    let both = Figures::new(both, &scope);
    assert_eq!((count(&both, "lookups"), count(&both, "entries"), count(&both, "memory_bytes")), (8, 2, 2000));
    // 2 × 482 × 86,400 ÷ 3,620
    assert_eq!(field(&both, "saving_per_day_usd"), Value::Usd(usd("0.023008")));

    // Nothing of it is left after RESETSTATS, but for what the cache holds.
    day.cache.ledger_mut().reset();
    for (_, figures) in told(&day.cache, None, None, day.now) {
        let left = ["entries", "bytes_raw", "lookups", "stores"].map(|name| count(&figures, name));
        assert_eq!((left, field(&figures, "saving_per_day_usd")), ([1, 30, 0, 0], Value::Usd(MicroUsd::ZERO)));
    }
}

#[test]
fn times_are_told_as_exactly_as_is_said() {
    let mut cache = Cache::default();
    for micros in 1..=100 {
        cache.ledger_mut().note(Work::GetExact, || Duration::from_micros(micros));
    }
    cache.ledger_mut().note(Work::Set, || Duration::from_micros(1234));
    for nanos in [50, 50, 50, 500] {
        cache.ledger_mut().note(Work::Fetch, || Duration::from_nanos(nanos));
    }
    let times = |cache: &Cache| {
        let (_, figures) = told(cache, None, Some(60), UnixMs(MIDNIGHT)).pop().unwrap();
        ["get_exact_us", "get_similar_us", "set_us", "fetch_us"].map(|name| match field(&figures, name) {
            Value::Times(times) => times,
            other => panic!("{name} is {other:?}"),
        })
    };
    let near = |told: f64, real: f64| (told - real).abs() <= 0.064_f64.max(real * 0.07);
    let [exact, similar, set, fetch] = times(&cache);
    // Of a hundred, the 50th, the 95th and the 99th.
    assert!(near(exact.p50, 50.0) && near(exact.p95, 95.0) && near(exact.p99, 99.0), "{exact:?}");
    assert_eq!((exact.max, exact.count, exact.sum), (100.0, 100, 5050.0));
    assert!([set.p50, set.p95, set.p99].iter().all(|told| near(*told, 1234.0)), "{set:?}");
    assert_eq!((set.max, set.count), (1234.0, 1));
    assert!(near(fetch.p50, 0.05) && near(fetch.p95, 0.5) && near(fetch.p99, 0.5), "{fetch:?}");
    assert_eq!((fetch.max, fetch.count, similar), (0.5, 4, Percentiles::default()));
    // They are of this run of the server, and of the whole cache.
    assert_eq!(times(&loaded(&saved(&cache)).unwrap()), [Percentiles::default(); 4]);
    store(&mut cache, &Ask::plain("q").answer(b"a"), UnixMs(MIDNIGHT));
    for (name, figures) in told(&cache, Some(Dimension::Model), None, UnixMs(MIDNIGHT)) {
        assert_eq!(field(&figures, "get_exact_us"), Value::Times(Percentiles::default()), "{name}");
    }
}
