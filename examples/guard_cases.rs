//! What each guard does to made cases and to real pairs of questions. For those who change a guard.
//!
//!     cargo run --release --no-default-features --example guard_cases [--data DIR] [--half a|b] [--show KIND|GUARD] [--dump FILE] [--sim]
//!
//! `DIR` is the folder of the data for measuring (../shared/data/similarity); nothing of it may come into the repository.
//! The first table takes the similarity for granted: a case counts as served when its prompts are the same after
//! normalising, or but for slips of the pen, or when no guard strikes. The second shows how many true paraphrases a guard
//! costs for the different questions that it stops, among pairs that share most of their words. `--sim` runs the cache
//! simulation with the built-in similarity. `--show` prints the cases that went wrong, `--dump`
//! writes every real pair with what each guard says.

use flate2::read::GzDecoder;
use llmcache::core::similarity::builtin;
use llmcache::core::similarity::guards::{self, Guard};
use llmcache::core::similarity::text::Text;
use llmcache::core::similarity::typo;
use llmcache::core::similarity::words::Class;
use llmcache::core::similarity::Kind;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

struct Options {
    data: PathBuf,
    half: Option<String>,
    show: Option<String>,
    dump: Option<PathBuf>,
    simulate: bool,
}

fn main() -> std::io::Result<()> {
    let mut options =
        Options { data: "../shared/data/similarity".into(), half: None, show: None, dump: None, simulate: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--data" => options.data = arguments.next().unwrap_or_default().into(),
            "--half" => options.half = arguments.next(),
            "--show" => options.show = arguments.next(),
            "--dump" => options.dump = arguments.next().map(PathBuf::from),
            "--sim" => options.simulate = true,
            other => return Err(std::io::Error::other(format!("unknown option {other}"))),
        }
    }
    let start = Instant::now();
    guards::prepare();
    println!("word lists read in {:.1} ms\n", start.elapsed().as_secs_f64() * 1e3);
    safe_synonyms(&options)?;
    made_cases(&options)?;
    real_pairs(&options)?;
    if options.simulate {
        simulation(&options)?;
    }
    Ok(())
}

/// What became of a pair whose similarity is taken for granted.
enum Fate {
    Same,
    Slip,
    Passed,
    Stopped(Guard, String),
}

fn fate(query: &Text, entry: &Text) -> Fate {
    if query.normal == entry.normal {
        return Fate::Same;
    }
    if typo::similarity(query, entry).is_some() {
        return Fate::Slip;
    }
    match guards::first(query, entry, Kind::Builtin) {
        Some(strike) => Fate::Stopped(strike.guard, strike.reason),
        None => Fate::Passed,
    }
}

fn safe_synonyms(options: &Options) -> std::io::Result<()> {
    for file in ["safe_synonyms.tsv", "safe_synonyms_aside.tsv"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let (mut all, mut served) = (0, 0);
        for (a, b) in text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t')) {
            let (Some(query), Some(entry)) = (Text::read(a.as_bytes()), Text::read(b.as_bytes())) else { continue };
            all += 1;
            match fate(&query, &entry) {
                Fate::Stopped(guard, reason) => {
                    show(options, "synonyms", &format!("{} ({reason})", guard.name()), a, b)
                }
                _ => served += 1,
            }
        }
        println!("{file}: {served} of {all} pass ({:.1} %)", 100.0 * f64::from(served) / f64::from(all.max(1)));
    }
    println!();
    Ok(())
}

fn show(options: &Options, kind: &str, why: &str, entry: &str, query: &str) {
    if options.show.as_deref() == Some(kind) {
        println!("    {why}\n        {entry}\n        {query}");
    }
}

/// Of a kind of cases: the label, what became of them, and which guards struck.
type Tally<'a> = (i64, [u32; 4], BTreeMap<&'a str, u32>);

fn made_cases(options: &Options) -> std::io::Result<()> {
    let mut kinds: BTreeMap<String, Tally> = BTreeMap::new();
    let mut time = Time::default();
    for (number, case) in rows(&options.data.join("guards.jsonl.gz"))?.into_iter().enumerate() {
        let wanted = options.half.as_ref().is_none_or(|half| (half == "a") == (number % 2 == 0));
        let (kind, label) = (string(&case, "kind"), case["label"].as_i64().unwrap_or_default());
        let (query, entry) = (string(&case, "query"), string(&case, "entry"));
        let (Some(q), Some(e)) = (Text::read(query.as_bytes()), Text::read(entry.as_bytes())) else { continue };
        if !wanted {
            continue;
        }
        time.take(&q, &e);
        let row = kinds.entry(kind.clone()).or_insert((label, [0; 4], BTreeMap::new()));
        let (column, why) = match fate(&q, &e) {
            Fate::Same => (0, "same".to_owned()),
            Fate::Slip => (1, "slip".to_owned()),
            Fate::Passed => (2, "passed".to_owned()),
            Fate::Stopped(guard, reason) => {
                *row.2.entry(guard.name()).or_default() += 1;
                (3, format!("{} ({reason})", guard.name()))
            }
        };
        row.1[column] += 1;
        if (column < 3) != (label == 1) || (kind == "safe_typo" && column == 2) {
            show(options, &kind, &why, &entry, &query);
        }
    }
    println!("{:<18}{:>6}{:>8}{:>8}{:>8}{:>9}  served", "made cases", "label", "same", "slip", "passed", "stopped");
    for (kind, (label, fates, by)) in kinds {
        let all: u32 = fates.iter().sum();
        let served = 100.0 * f64::from(all - fates[3]) / f64::from(all);
        let [same, slip, passed, stopped] = fates;
        println!("{kind:<18}{label:>6}{same:>8}{slip:>8}{passed:>8}{stopped:>9}  {served:5.1} %  {by:?}");
    }
    println!("\n{}\n", time.report());
    Ok(())
}

/// How long all guards take, by the number of words.
#[derive(Default)]
struct Time(BTreeMap<usize, (f64, u32)>);

impl Time {
    fn take(&mut self, query: &Text, entry: &Text) {
        let times = 20;
        let start = Instant::now();
        for _ in 0..times {
            std::hint::black_box(guards::all(query, entry, Kind::Builtin));
        }
        let row = self.0.entry(query.words.len() / 8).or_default();
        row.0 += start.elapsed().as_secs_f64() * 1e6;
        row.1 += times;
    }

    fn report(&self) -> String {
        let row = |(words, (micros, times)): (&usize, &(f64, u32))| {
            format!("{}–{} words {:.1} µs", words * 8, words * 8 + 7, micros / f64::from(*times))
        };
        format!("all guards: {}", self.0.iter().map(row).collect::<Vec<_>>().join(", "))
    }
}

fn real_pairs(options: &Options) -> std::io::Result<()> {
    let mut dump = options.dump.as_ref().map(File::create).transpose()?;
    // Pairs with these shares of common stems, and for each guard what it stops by label: all, and alone.
    for (from, to) in [(0.6, 1.01), (0.75, 1.01)] {
        let mut pairs = [0_u32; 2];
        let mut stops: HashMap<Guard, [[u32; 2]; 2]> = HashMap::new();
        let (mut any, mut slips) = ([0_u32; 2], [0_u32; 2]);
        for pair in rows(&options.data.join("pairs_qqp.jsonl.gz"))? {
            let (a, b) = (string(&pair, "a"), string(&pair, "b"));
            let label = usize::from(pair["label"].as_i64() == Some(1));
            let (Some(query), Some(entry)) = (Text::read(a.as_bytes()), Text::read(b.as_bytes())) else { continue };
            let dice = dice(&query, &entry);
            if query.normal == entry.normal {
                continue;
            }
            if typo::similarity(&query, &entry).is_some() {
                slips[label] += 1;
                if label == 0 {
                    show(options, "slips", "slip", &a, &b);
                }
                continue;
            }
            if dice < from || dice >= to {
                continue;
            }
            pairs[label] += 1;
            let struck: Vec<_> = guards::all(&query, &entry, Kind::Builtin);
            let struck: Vec<_> = struck.into_iter().filter_map(|(guard, reason)| Some((guard, reason?))).collect();
            any[label] += u32::from(!struck.is_empty());
            if let Some(dump) = dump.as_mut().filter(|_| from < 0.7) {
                let said: Vec<_> = struck.iter().map(|(guard, reason)| format!("{}: {reason}", guard.name())).collect();
                writeln!(dump, "{label}\t{dice:.3}\t{}\t{a}\t{b}", said.join(" | "))?;
            }
            for (guard, reason) in &struck {
                let row = stops.entry(*guard).or_default();
                row[0][label] += 1;
                row[1][label] += u32::from(struck.len() == 1);
                if from < 0.7 && label == 1 {
                    show(options, guard.name(), reason, &a, &b);
                }
            }
        }
        let base = f64::from(pairs[1]) / f64::from(pairs[0] + pairs[1]);
        println!(
            "pairs with dice {from}–{to}: {} different, {} paraphrases ({:.0} %)",
            pairs[0],
            pairs[1],
            base * 100.0
        );
        println!("the same but for slips, at any dice: {} different, {} paraphrases", slips[0], slips[1]);
        println!(
            "{:<12}{:>10}{:>10}{:>8}   {:>24}{:>8}",
            "guard", "different", "paraphr.", "right", "alone: diff., paraphr.", "right"
        );
        let line = |name: &str, all: [u32; 2], alone: [u32; 2]| {
            let right =
                |[different, same]: [u32; 2]| 100.0 * f64::from(different) / f64::from((different + same).max(1));
            println!(
                "{name:<12}{:>10}{:>10}{:>6.0} %   {:>16}{:>8}{:>6.0} %",
                all[0],
                all[1],
                right(all),
                alone[0],
                alone[1],
                right(alone)
            );
        };
        for guard in Guard::ALL {
            let [all, alone] = stops.get(&guard).copied().unwrap_or_default();
            line(guard.name(), all, alone);
        }
        line("any", any, any);
        let left = [pairs[0] - any[0], pairs[1] - any[1]];
        println!(
            "left: {} different, {} paraphrases ({:.0} %)\n",
            left[0],
            left[1],
            100.0 * f64::from(left[1]) / f64::from((left[0] + left[1]).max(1))
        );
    }
    Ok(())
}

/// The share of stems of content words that two prompts have in common.
fn dice(a: &Text, b: &Text) -> f64 {
    let stems = |text: &Text| {
        let words = text.words.iter().filter(|word| word.class != Class::Function);
        let mut stems: Vec<String> = words.map(|word| word.stem.clone()).collect();
        stems.sort_unstable();
        stems.dedup();
        stems
    };
    let (a, b) = (stems(a), stems(b));
    let common = a.iter().filter(|stem| b.binary_search(stem).is_ok()).count();
    2.0 * common as f64 / (a.len() + b.len()).max(1) as f64
}

/// The cache simulation with the built-in similarity: of the best candidates the first one that no guard stops is served.
fn simulation(options: &Options) -> std::io::Result<()> {
    let read = |row: &Value| {
        let text = Text::read(string(row, "text").as_bytes())?;
        let vector = builtin::encode(&text)?;
        Some((text, vector))
    };
    let entries: Vec<_> = rows(&options.data.join("sim_entries.jsonl.gz"))?
        .iter()
        .filter_map(|row| read(row).map(|(text, vector)| (string(row, "id"), text, vector)))
        .collect();
    let mut dump = options.dump.as_ref().map(|path| File::create(path.with_extension("sim.tsv"))).transpose()?;
    let mut queries = Vec::new();
    let mut askable = 0_u32;
    for row in rows(&options.data.join("sim_queries.jsonl.gz"))? {
        let right: Vec<&str> = row["right"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        askable += u32::from(!right.is_empty());
        let Some((query, vector)) = read(&row) else { continue };
        let mut nearest: Vec<_> = entries.iter().enumerate().map(|(at, entry)| (dot(&vector, &entry.2), at)).collect();
        nearest.select_nth_unstable_by(LOOKED_AT, |a, b| b.0.total_cmp(&a.0));
        let mut candidates: Vec<_> = nearest
            .into_iter()
            .take(LOOKED_AT)
            .filter(|(cosine, _)| *cosine >= LEAST)
            .map(|(cosine, at)| {
                let (id, entry, _) = &entries[at];
                let right = right.contains(&id.as_str());
                if query.normal == entry.normal {
                    return (1.0, right, Vec::new(), entry);
                }
                if let Some(similarity) = typo::similarity(&query, entry) {
                    return (similarity, right, Vec::new(), entry);
                }
                let said = guards::all(&query, entry, Kind::Builtin).into_iter();
                let said: Vec<_> = said.filter_map(|(guard, reason)| Some((guard, reason?))).collect();
                (builtin::pair::score(&query, entry, cosine), right, said, entry)
            })
            .collect();
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (place, (score, right, said, entry)) in candidates.iter().enumerate() {
            if let Some(dump) = dump.as_mut() {
                let reasons: Vec<_> =
                    said.iter().map(|(guard, reason)| format!("{}: {reason}", guard.name())).collect();
                let (right, asked, stored) = (u8::from(*right), string(&row, "text"), &entry.normal);
                writeln!(dump, "{right}\t{score:.4}\t{}\t{asked}\t{stored}\t{place}", reasons.join(" | "))?;
            }
        }
        let brief = |(score, right, said, _): (f32, bool, Vec<(Guard, String)>, &Text)| {
            (score, right, said.into_iter().map(|(guard, _)| guard).collect::<Vec<_>>())
        };
        queries.push(candidates.into_iter().map(brief).collect::<Vec<_>>());
    }
    println!("simulation, built-in: recall at precision 0.80, 0.82, 0.85 and 0.90");
    let report = |name: &str, stops: &dyn Fn(&[Guard]) -> bool| {
        let served = queries.iter().filter_map(|candidates| candidates.iter().find(|candidate| !stops(&candidate.2)));
        let mut served: Vec<(f32, bool)> = served.map(|(score, right, _)| (*score, *right)).collect();
        served.sort_by(|a, b| b.0.total_cmp(&a.0));
        let at = |least: f64| {
            let (mut hits, mut right, mut best) = (0_u32, 0_u32, 0_u32);
            for (_, is_right) in &served {
                hits += 1;
                right += u32::from(*is_right);
                if f64::from(right) >= least * f64::from(hits) {
                    best = right;
                }
            }
            100.0 * f64::from(best) / f64::from(askable)
        };
        println!("    {name:<22}{:>6.1} {:>6.1} {:>6.1} {:>6.1}", at(0.80), at(0.82), at(0.85), at(0.90));
    };
    report("no guards", &|_| false);
    report("all guards", &|struck| !struck.is_empty());
    for guard in Guard::ALL {
        report(&format!("without {}", guard.name()), &|struck| struck.iter().any(|other| *other != guard));
    }
    for guard in Guard::ALL {
        report(&format!("only {}", guard.name()), &|struck| struck.contains(&guard));
    }
    Ok(())
}

/// Candidates by cosine that are scored, and the least cosine.
const LOOKED_AT: usize = 5;
const LEAST: f32 = 0.7;

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

fn rows(path: &Path) -> std::io::Result<Vec<Value>> {
    let file = File::open(path)?;
    let reader: Box<dyn Read> =
        if path.extension().is_some_and(|kind| kind == "gz") { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    BufReader::new(reader).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

fn string(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap_or_default().to_owned()
}
