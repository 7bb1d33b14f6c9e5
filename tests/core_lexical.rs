//! The four lexical metrics: what they find against their definitions, what they say they take, what they cost.
//!
//! `SEEDS=50 SEED=1000 cargo test --release --test core_lexical brute` tries more random mixes; a failure names its seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests fail by panicking

mod counting;

use counting::held;
use llmcache::core::similarity::lexical::{similarity, Hit, Metric, Terms};
use llmcache::core::similarity::text::Text;
use llmcache::core::similarity::words::{rarity, Capital, Class, Word};
use llmcache::core::similarity::{guards, Kind};
use std::collections::{BTreeMap, HashSet};
use std::io::Read;

/// Numbers that look drawn at random; the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n.max(1)
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// A text of these words, whose stems lack a final s or é.
fn text(normal: &str) -> Text {
    let word = |word: &str| Word {
        text: word.to_owned(),
        stem: word.trim_end_matches(['s', 'é']).to_owned(),
        idf: 1.0,
        known: true,
        class: Class::Content,
        capital: Capital::None,
        starts: false,
        owns: false,
    };
    Text { normal: normal.to_owned(), words: normal.split_whitespace().map(word).collect(), quoted: Vec::new() }
}

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "a", "b", "é", "語", "aa", "ab", "ba", "abs", "aabb", "who", "whos", "is", "the", "what", "how", "do", "i", "reset",
    "resets", "password", "my", "router", "café", "cafés", "naïve", "日本", "日本語", "of", "in", "to", "an", "nanana",
];

/// A text out of few words, so that prompts collide; now and then none, one letter, letters of other scripts, or 2 KB.
fn random_text(draw: &mut Draw) -> String {
    let words = match draw.below(200) {
        0 | 1 => 0,
        2 => 300 + draw.below(300),
        3..30 => 1,
        30..100 => 2 + draw.below(3),
        _ => 3 + draw.below(9),
    };
    let vocabulary = &WORDS[..[8, 20, WORDS.len()][draw.below(3)]];
    let mut text = (0..words).map(|_| *draw.of(vocabulary)).collect::<Vec<_>>().join(" ");
    if draw.below(4) == 0 {
        // A slip of the pen.
        let mut letters: Vec<char> = text.chars().collect();
        let at = draw.below(letters.len() + 1);
        match draw.below(3) {
            0 => letters.insert(at, *draw.of(&['x', 'e', 'ü', ' ', '\0'])),
            1 if at < letters.len() => drop(letters.remove(at)),
            _ if at + 1 < letters.len() => letters.swap(at, at + 1),
            _ => {}
        }
        text = letters.into_iter().collect();
    }
    while text.len() > 2048 {
        text.pop();
    }
    text
}

type Rows = BTreeMap<u32, (u32, Text)>;

fn brute(metric: Metric, rows: &Rows, query: &Text, floor: f64, k: usize) -> Vec<Hit> {
    let hit = |(slot, (stamp, text)): (&u32, &(u32, Text))| Hit {
        slot: *slot,
        stamp: *stamp,
        similarity: similarity(metric, query, text),
    };
    let mut hits: Vec<_> = rows.iter().map(hit).filter(|hit| hit.similarity >= floor).collect();
    hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.slot.cmp(&b.slot)));
    hits.truncate(k);
    hits
}

/// A floor to search from: none, the highest, one that a row just reaches, or any from 0.3 on.
fn random_floor(draw: &mut Draw, metric: Metric, rows: &Rows, query: &Text) -> f64 {
    match draw.below(8) {
        0 => 0.0,
        1 => 1.0,
        2 => rows.values().nth(draw.below(rows.len())).map_or(0.5, |row| similarity(metric, query, &row.1)),
        _ => 0.3 + draw.below(701) as f64 / 1000.0,
    }
}

fn same_as_brute_force(metric: Metric, seed: u64, rows_at_most: usize, steps: usize) {
    println!("{} with seed {seed}, {rows_at_most} rows", metric.name());
    let mut draw = Draw(seed);
    let (mut terms, mut rows) = (Terms::new(metric), Rows::new());
    let mut searches = Vec::new();
    for step in 0..steps {
        let grows = if step < steps / 2 { 8 } else { 5 };
        if draw.below(10) < grows && rows.len() < rows_at_most {
            let (slot, stamp) = (draw.below(rows_at_most * 3) as u32, draw.below(1 << 20) as u32);
            rows.entry(slot).or_insert_with(|| {
                let text = text(&random_text(&mut draw));
                terms.insert(slot, stamp, &text);
                (stamp, text)
            });
        } else if let Some(slot) = rows.keys().nth(draw.below(rows.len())).copied() {
            assert!(terms.take(slot));
            rows.remove(&slot);
            assert!(!terms.take(slot));
        }
        assert_eq!(terms.len(), rows.len());
        if draw.below(8) == 0 {
            let query = match draw.below(3) {
                0 => text(&random_text(&mut draw)),
                _ => rows.values().nth(draw.below(rows.len())).map_or_else(|| text("a"), |row| row.1.clone()),
            };
            let floor = random_floor(&mut draw, metric, &rows, &query);
            let k = 1 + draw.below(8);
            searches.push((terms.snapshot(&query), floor, k, brute(metric, &rows, &query, floor, k), query));
            // Some searches run only after more has been written.
            if draw.below(3) > 0 {
                for (search, floor, k, expected, query) in searches.drain(..) {
                    let what = format!("{} seed {seed} step {step} floor {floor} k {k}: {query:?}", metric.name());
                    assert_eq!(search.best(floor, k), expected, "{what}");
                    assert!(search.cost_from(floor) > 0);
                }
            }
        }
        if step % (steps / 20) == 0 {
            terms.validate().unwrap();
        }
    }
    for slot in rows.keys() {
        assert!(terms.take(*slot));
    }
    terms.validate().unwrap();
    assert_eq!((terms.len(), terms.memory()), (0, Terms::new(metric).memory()));
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn searches_find_what_brute_force_finds() {
    let (first, seeds) = (from_environment("SEED", 1), from_environment("SEEDS", 2));
    for metric in Metric::ALL {
        for seed in first..first + seeds {
            same_as_brute_force(metric, seed, 40, 600);
            same_as_brute_force(metric, seed, 300, 1200);
        }
        if seeds > 2 {
            same_as_brute_force(metric, first, 3000, 9000);
        }
    }
}

/// Words of two and three syllables: some thousand, so that lists are short and sketches tell apart.
fn invented(draw: &mut Draw, words: usize) -> String {
    const SYLLABLES: &[&str] = &["ka", "to", "mi", "ren", "sol", "va", "dul", "pe", "qui", "lo", "sha", "ném"];
    let word = |draw: &mut Draw| (0..2 + draw.below(2)).map(|_| *draw.of(SYLLABLES)).collect::<String>();
    (0..words).map(|_| word(draw)).collect::<Vec<_>>().join(" ")
}

#[test]
fn long_lists_and_those_that_were_given_up_are_searched_the_same() {
    const ROWS: usize = 4600;
    // Jaro-Winkler has no lists.
    for metric in [Metric::Idf, Metric::Dice, Metric::Levenshtein] {
        let mut draw = Draw(5);
        let (mut terms, mut rows) = (Terms::new(metric), Rows::new());
        for slot in 0..ROWS as u32 {
            // Two words that all have, so their lists are given up, and for every other row two that half have.
            let (some, words) = (["", "tell me "][slot as usize % 2], 2 + draw.below(6));
            let text = text(&format!("what is {some}{}", invented(&mut draw, words)));
            terms.insert(slot, slot + 7, &text);
            rows.insert(slot, (slot + 7, text));
        }
        terms.validate().unwrap();
        for step in 0..6 {
            let query = match step {
                0 => text("what is tell me"),
                _ => {
                    let near = &rows.values().nth(draw.below(ROWS / 2)).unwrap().1.normal;
                    text(near.split_at_checked(near.len() - step).map_or(near, |cut| cut.0))
                }
            };
            let floor = [0.5, 0.6, 0.75, 0.85, 0.95][step % 5];
            let search = terms.snapshot(&query);
            let expected = brute(metric, &rows, &query, floor, 5);
            if step % 4 == 0 {
                // Rows go while the search is on its way.
                for _ in 0..200 {
                    let slot = *rows.keys().nth(draw.below(rows.len())).unwrap();
                    assert!(terms.take(slot));
                    rows.remove(&slot);
                }
            }
            assert_eq!(search.best(floor, 5), expected, "{} from {floor}: {query:?}", metric.name());
        }
        terms.validate().unwrap();
    }
}

#[test]
fn twins_that_share_no_bigrams_are_found_however_many_they_are() {
    const TWINS: u32 = 4200; // beyond 4,096 a list may be given up
    let (mut terms, mut rows) = (Terms::new(Metric::Dice), Rows::new());
    for slot in 0..TWINS + 200 {
        let text = if slot < TWINS { text("o ù") } else { text(&format!("où {slot}")) };
        terms.insert(slot, 0, &text);
        rows.insert(slot, (0, text));
    }
    for query in ["où", "où 4300", "ou"].map(text) {
        for (floor, k) in [(0.9, 3), (0.0, 4), (1.0, 8)] {
            let expected = brute(Metric::Dice, &rows, &query, floor, k);
            assert_eq!(terms.snapshot(&query).best(floor, k), expected, "{query:?} from {floor}");
        }
    }
    terms.validate().unwrap();
}

#[test]
fn a_search_runs_on_another_thread_while_others_write() {
    for metric in Metric::ALL {
        let mut draw = Draw(9);
        let (mut terms, mut rows) = (Terms::new(metric), Rows::new());
        for slot in 0..500 {
            let text = text(&invented(&mut draw, 5));
            terms.insert(slot, 0, &text);
            rows.insert(slot, (0, text));
        }
        let query = rows[&77].1.clone();
        let (search, expected) = (terms.snapshot(&query), brute(metric, &rows, &query, 0.2, 8));
        let searching = std::thread::spawn(move || (0..20).map(|_| search.best(0.2, 8)).collect::<Vec<_>>());
        for slot in 0..500 {
            assert!(terms.take(slot));
            terms.insert(slot + 500, 0, &text(&invented(&mut draw, 5)));
        }
        searching.join().unwrap().iter().for_each(|found| assert_eq!(*found, expected));
        terms.validate().unwrap();
    }
}

#[test]
fn a_similarity_is_what_its_definition_says() {
    let of = |metric, a, b| similarity(metric, &text(a), &text(b));
    assert_eq!(of(Metric::Dice, "web applications", "applications of the web"), 26.0 / 33.0);
    assert_eq!(of(Metric::Levenshtein, "kitten", "sitting"), 1.0 - 3.0 / 7.0);
    assert!((of(Metric::JaroWinkler, "martha", "marhta") - 0.9611).abs() < 1e-4);
    // Each stem once, in any order, whatever its form.
    assert_eq!(of(Metric::Idf, "reset the router", "router the the reset resets"), 1.0);
    assert_eq!(of(Metric::Idf, "reset", "router"), 0.0);
    let square = |stem: &str| (f64::from(rarity(stem)) * 100.0).round().powi(2);
    let (reset, router, the) = (square("reset"), square("router"), square("the"));
    let expected = (reset + the) / ((reset + the + router) * (reset + the)).sqrt();
    assert_eq!(of(Metric::Idf, "reset the router", "the resets"), expected);
    assert!(expected > 0.5 && of(Metric::Idf, "reset the router", "the") < 0.3);
}

#[test]
fn metrics_have_names_and_tags() {
    for metric in Metric::ALL {
        assert_eq!(Metric::from_tag(metric as u8), Some(metric));
        assert!((0.5..1.0).contains(&metric.default_threshold()));
    }
    assert_eq!(Metric::ALL.map(Metric::name), ["idf", "dice", "levenshtein", "jaro_winkler"]);
    assert_eq!(Metric::from_tag(4), None);
}

#[test]
fn memory_is_what_the_allocator_has_given() {
    for metric in Metric::ALL {
        let mut draw = Draw(3);
        let texts: Vec<_> = (0..6000).map(|_| 3 + draw.below(9)).collect();
        let texts: Vec<_> = texts.into_iter().map(|words| text(&invented(&mut draw, words))).collect();
        let check = |what: &str, held: isize, terms: &Terms| {
            let error = terms.memory() as f64 / held as f64 - 1.0;
            println!("{} {what}: {} bytes, off by {:.1} %", metric.name(), terms.memory(), error * 100.0);
            assert!(error.abs() < 0.05, "{} {what}: {} is not {held}", metric.name(), terms.memory());
        };
        let before = held();
        let mut terms = Terms::new(metric);
        for (slot, text) in (0..).zip(&texts) {
            terms.insert(slot, 0, text);
            if matches!(slot, 2 | 63 | 70 | 200 | 1000 | 5999) {
                let held = held() - before;
                check(&format!("with {} rows", slot + 1), held, &terms);
            }
        }
        (0..6000).filter(|slot| slot % 4 > 0).for_each(|slot| assert!(terms.take(slot)));
        check("after most have gone", held() - before, &terms);
    }
}

/// The lines of a file of the measuring data, which lies beside the repository (or where `LLMCACHE_DATA` says).
fn data(name: &str) -> Vec<String> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data").to_owned();
    let path = format!("{}/{name}", std::env::var("LLMCACHE_DATA").unwrap_or(beside));
    let mut text = String::new();
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The metrics to measure: all, or the one that `METRIC` names.
fn chosen() -> Vec<Metric> {
    let only = std::env::var("METRIC").ok();
    Metric::ALL.into_iter().filter(|metric| only.as_ref().is_none_or(|only| only == metric.name())).collect()
}

/// A prompt as somebody else might have typed it: a word left out, twice, or elsewhere, or a slip of the pen.
fn varied(draw: &mut Draw, prompt: &str) -> String {
    let mut words: Vec<String> = prompt.split_whitespace().map(str::to_owned).collect();
    for _ in 0..1 + draw.below(2) {
        let at = draw.below(words.len());
        match draw.below(4) {
            0 if words.len() > 3 => drop(words.remove(at)),
            1 => words.insert(draw.below(words.len()), words[at].clone()),
            2 => words.swap(at, 0),
            _ => {
                let mut letters: Vec<char> = words[at].chars().collect();
                let letter = draw.below(letters.len());
                letters[letter] = (b'a' + draw.below(26) as u8) as char;
                words[at] = letters.into_iter().collect();
            }
        }
    }
    words.join(" ")
}

fn micros(what: impl FnOnce()) -> f64 {
    let start = std::time::Instant::now();
    what();
    start.elapsed().as_secs_f64() * 1e6
}

/// The shorter of two runs: on a machine with other work, the longer one tells of that.
fn shorter(mut what: impl FnMut()) -> f64 {
    micros(&mut what).min(micros(&mut what))
}

fn percentiles(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:8.1}  p99 {:8.1}  max {:8.1}", at(0.5), at(0.99), at(1.0))
}

/// Microseconds in one context, with real prompts: `SIZES="1000 100000" METRIC=dice FLOOR=0.8` choose what.
#[test]
#[ignore = "a benchmark: cargo test --release --no-default-features --test core_lexical -- --ignored --nocapture speed"]
fn speed() {
    let mut draw = Draw(11);
    let mut seen = HashSet::new();
    let mut prompts: Vec<String> = data("distil/corpus.txt.gz");
    prompts.retain(|prompt| Text::read(prompt.as_bytes()).is_some_and(|text| seen.insert(text.normal)));
    for at in (1..prompts.len()).rev() {
        prompts.swap(at, draw.below(at + 1));
    }
    let sizes = std::env::var("SIZES").unwrap_or("1000 10000 100000".to_owned());
    for metric in chosen() {
        let floor = std::env::var("FLOOR").map_or(metric.default_threshold(), |floor| floor.parse().unwrap());
        for size in sizes.split(' ').map(|size| size.parse::<usize>().unwrap()) {
            let (entries, others) = prompts.split_at(size);
            let entries: Vec<_> = entries.iter().map(|prompt| Text::read(prompt.as_bytes()).unwrap()).collect();
            let mut terms = Terms::new(metric);
            let inserts = (0..).zip(&entries).map(|(slot, text)| micros(|| terms.insert(slot, 0, text))).collect();
            println!("\n{} from {floor}, {size} prompts, {} bytes each", metric.name(), terms.memory() / size);
            println!("  insert               {}", percentiles(inserts));
            let new: Vec<_> = (0..1000).map(|_| draw.of(others).clone()).collect();
            let near: Vec<_> = (0..1000).map(|_| draw.below(size)).collect();
            let near: Vec<_> = near.into_iter().map(|at| varied(&mut draw, &prompts[at])).collect();
            for (what, queries) in [("new", new), ("near", near)] {
                let queries: Vec<_> = queries.iter().filter_map(|query| Text::read(query.as_bytes())).collect();
                let of_each = |measure: &dyn Fn(&Text) -> f64| percentiles(queries.iter().map(measure).collect());
                let found = queries.iter().filter(|query| !terms.snapshot(query).best(floor, 1).is_empty()).count();
                println!("  {what} prompts, {found} of {} found", queries.len());
                println!("    snapshot           {}", of_each(&|query| shorter(|| drop(terms.snapshot(query)))));
                for k in [1, 8] {
                    let search = |query: &Text| {
                        let search = terms.snapshot(query);
                        shorter(|| drop(search.best(floor, k)))
                    };
                    println!("    best {k}             {}", of_each(&search));
                }
                let estimate = |query: &Text| {
                    let search = terms.snapshot(query);
                    shorter(|| assert!(search.cost_from(floor) > 0))
                };
                println!("    time to estimate   {}", of_each(&estimate));
                println!("    the estimate       {}", of_each(&|query| terms.snapshot(query).cost_from(floor) as f64));
            }
            let any = others.iter().take(40).filter_map(|query| Text::read(query.as_bytes()));
            let any = any.map(|query| terms.snapshot(&query)).map(|search| micros(|| drop(search.best(0.0, 5))));
            println!("  best 5 from 0 on     {}", percentiles(any.collect()));
            let (mut takes, mut inserts) = (Vec::new(), Vec::new());
            for _ in 0..500 {
                let (slot, query) = (draw.below(size), draw.below(size));
                let _held = terms.snapshot(&entries[query]);
                takes.push(micros(|| assert!(terms.take(slot as u32))));
                let _held = terms.snapshot(&entries[query]);
                inserts.push(micros(|| terms.insert(slot as u32, 0, &entries[slot])));
            }
            println!("  take under a search  {}", percentiles(takes));
            println!("  insert under one     {}", percentiles(inserts));
        }
        let mut contexts: Vec<_> = (0..100_000).map(|_| Terms::new(metric)).collect();
        let texts: Vec<_> = prompts.iter().take(30_000).map(|prompt| Text::read(prompt.as_bytes()).unwrap()).collect();
        let total = micros(|| {
            for (at, context) in contexts.iter_mut().enumerate() {
                (0..3).for_each(|slot| context.insert(slot, 0, &texts[(at * 3 + slot as usize) % texts.len()]));
            }
        });
        let memory: usize = contexts.iter().map(|context| size_of::<Terms>() + context.memory()).sum();
        let each = |at: usize| shorter(|| drop(contexts[at].snapshot(&texts[at % texts.len()]).best(floor, 1)));
        println!(
            "  in each of 100000 contexts of 3 prompts: {} bytes, {:.1} µs to make",
            memory / 100_000,
            total / 1e5
        );
        println!("  snapshot and search  {}", percentiles((0..1000).map(|nth| each(nth * 97)).collect()));
    }
}

/// For each query of the simulation its best entry, and whether it is right, without and with guards.
fn simulated(metric: Metric, entries: &[serde_json::Value], queries: &[serde_json::Value]) -> [Vec<(f64, bool)>; 2] {
    let read = |row: &serde_json::Value| Text::read(row["text"].as_str().unwrap().as_bytes());
    let texts: Vec<_> = entries.iter().map(read).collect();
    let mut terms = Terms::new(metric);
    for (slot, text) in (0..).zip(&texts) {
        text.iter().for_each(|text| terms.insert(slot, 0, text));
    }
    let mut best = [Vec::new(), Vec::new()];
    for query in queries {
        let Some(text) = read(query) else { continue };
        let hits = terms.snapshot(&text).best(0.6, 8);
        let is_right = |hit: &Hit| query["right"].as_array().unwrap().contains(&entries[hit.slot as usize]["id"]);
        let passes = |hit: &&Hit| {
            let entry = texts[hit.slot as usize].as_ref().unwrap();
            guards::first(&text, entry, Kind::Lexical).is_none()
        };
        let first = [hits.first(), hits.iter().find(passes)];
        for (best, hit) in best.iter_mut().zip(first) {
            best.extend(hit.map(|hit| (hit.similarity, is_right(hit))));
        }
    }
    best
}

/// The table that the default thresholds were chosen from. The data serves to measure and ships nowhere.
#[test]
#[ignore = "measures: cargo test --release --no-default-features --test core_lexical -- --ignored --nocapture quality"]
fn quality() {
    let rows = |name: &str| -> Vec<serde_json::Value> {
        data(name).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (entries, queries) = (rows("similarity/sim_entries.jsonl.gz"), rows("similarity/sim_queries.jsonl.gz"));
    let positives = queries.iter().filter(|query| !query["right"].as_array().unwrap().is_empty()).count();
    for metric in chosen() {
        let simulated = simulated(metric, &entries, &queries);
        for (what, mut best) in ["without guards", "with guards"].into_iter().zip(simulated) {
            best.sort_by(|a, b| b.0.total_cmp(&a.0));
            println!("\n{} {what}", metric.name());
            let at = |floor: f64| {
                let hits = best.iter().filter(|hit| hit.0 >= floor).count();
                let right = best.iter().filter(|hit| hit.0 >= floor && hit.1).count();
                let share = |a: usize, b: usize| 100.0 * a as f64 / b.max(1) as f64;
                let (precision, recall) = (share(right, hits), share(right, positives));
                println!("  {floor:.3}  precision {precision:5.1}  recall {recall:5.1}  hits {hits}");
            };
            (0..=16).map(|step| 0.68 + f64::from(step) * 0.02).for_each(at);
            for wanted in [0.8, 0.82, 0.84, 0.86] {
                let (mut right, mut lowest) = (0, None);
                for (n, (floor, is_right)) in best.iter().enumerate() {
                    right += usize::from(*is_right);
                    if right as f64 / (n + 1) as f64 >= wanted && best.get(n + 1).is_none_or(|next| next.0 < *floor) {
                        lowest = Some(*floor);
                    }
                }
                print!("  lowest with precision {wanted}:");
                lowest.map_or_else(|| println!(" none"), at);
            }
            print!("  default:");
            at(metric.default_threshold());
        }
    }
}
