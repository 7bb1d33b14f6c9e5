//! How good similar hits are: the cache simulation and the guard cases over a real server.
//!
//! `make quality`, or `cargo bench --no-default-features --features e2e --bench quality -- [options]`:
//!
//! ```text
//! --data DIR         folder with similarity/*.jsonl.gz (LLMCACHE_DATA, else ../shared/data)
//! --policy OPTIONS   options of LLMCACHE.CREATE beside MODE similar, such as 'SIMILARITY lexical METRIC dice'
//! --answers DIR      write answers.jsonl and guard_answers.jsonl there, as score_similarity.py reads them
//! --thresholds       the simulation at all thresholds, which is how the shipped ones were chosen
//! --all              every kind and metric at its own threshold
//! ```
//!
//! **Simulation.** A cache is filled with all entries and asked every query once. A hit is right when its entry stands in
//! the query's `right`; every other hit is wrong, labelled or not. Precision is right hits over hits, recall right hits
//! over queries that have a right entry.
//!
//! **Guard cases.** Each case is an entry and a query in a scope of their own. A hit on a case whose meaning has changed is
//! wrong, one on a case whose meaning is the same is right.
//!
//! **Synonyms.** `tests/fixtures/safe_synonyms.tsv`: sentences that differ by a synonym, which guards must let through.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod data;
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;

use common::args::Args;
use data::{Case, Data, Query};
use harness::{cmd, Client, Server};
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::PathBuf;

#[derive(Default)]
struct Options {
    data: Option<String>,
    policy: String,
    answers: Option<PathBuf>,
    thresholds: bool,
    all: bool,
}

impl Options {
    fn read() -> Self {
        let mut options = Self::default();
        let mut args = Args::of("quality");
        while let Some(option) = args.option() {
            match option.as_str() {
                "--data" => options.data = Some(args.word()),
                "--policy" => options.policy = args.word(),
                "--answers" => options.answers = Some(args.word().into()),
                "--thresholds" => options.thresholds = true,
                "--all" => options.all = true,
                _ => args.unknown(),
            }
        }
        options
    }
}

/// A query's answer: the entry that was served and its similarity.
type Served = Option<(String, f64)>;

/// What came of asking.
struct Outcome<'a> {
    query: &'a Query,
    served: Served,
    reason: String,
}

fn main() {
    let options = Options::read();
    let folder = common::data::folder(options.data.as_deref());
    let Some(data) = Data::read(&folder) else {
        println!("no labelled prompts in {}/similarity: name a folder with --data or LLMCACHE_DATA", folder.display());
        return;
    };
    let server = Server::start();
    let mut client = server.client();
    let lexical =
        ["idf", "dice", "levenshtein", "jaro_winkler"].map(|metric| format!("SIMILARITY lexical METRIC {metric}"));
    let policies = if options.all {
        [String::new(), "GUARDS off".to_owned()].into_iter().chain(lexical).collect()
    } else {
        vec![options.policy.clone()]
    };
    for policy in policies {
        if options.thresholds {
            thresholds(&mut client, &data, &policy);
        } else {
            measure(&mut client, &data, &policy, options.answers.as_deref());
        }
    }
}

fn fill(client: &mut Client, data: &Data, policy: &str) {
    cmd!(client, "DEL", "sim");
    client.words(format!("LLMCACHE.CREATE sim MODE similar {policy}").trim_end()).ok();
    for chunk in data.entries.chunks(500) {
        let sets = chunk.iter().map(|entry| harness::args!["LLMCACHE.SET", "sim", &entry.text, &entry.id, "PERSIST"]);
        client.pipeline(&sets.collect::<Vec<_>>()).iter().for_each(|reply| reply.ok());
    }
}

/// Asks every query.
fn ask<'a>(client: &mut Client, data: &'a Data, reasons: bool) -> Vec<Outcome<'a>> {
    let mut outcomes = Vec::with_capacity(data.queries.len());
    for chunk in data.queries.chunks(200) {
        let gets = chunk.iter().map(|query| harness::args!["LLMCACHE.GET", "sim", &query.text, "WITHMETA"]);
        let replies = client.pipeline(&gets.collect::<Vec<_>>());
        let served = replies.iter().map(|reply| {
            (!reply.is_null()).then(|| (reply.field("response").text(), reply.field("similarity").number()))
        });
        let explains = chunk.iter().map(|query| harness::args!["LLMCACHE.EXPLAIN", "sim", &query.text]);
        let why = if reasons { client.pipeline(&explains.collect::<Vec<_>>()) } else { Vec::new() };
        for (i, (query, served)) in chunk.iter().zip(served).enumerate() {
            let reason = why.get(i).map_or(String::new(), |reply| reply.field("reason").text());
            outcomes.push(Outcome { query, served, reason });
        }
    }
    outcomes
}

/// Right hits, hits, and queries that have a right entry.
#[derive(Clone, Copy, Default)]
struct Score {
    right: usize,
    hits: usize,
    askable: usize,
}

impl Score {
    fn of(outcomes: &[Outcome<'_>], threshold: f64) -> Self {
        let mut score = Self::default();
        for outcome in outcomes {
            score.askable += usize::from(!outcome.query.right.is_empty());
            if let Some((id, _)) = outcome.served.as_ref().filter(|(_, similarity)| *similarity >= threshold) {
                score.hits += 1;
                score.right += usize::from(outcome.query.right.contains(id));
            }
        }
        score
    }

    fn precision(&self) -> f64 {
        100.0 * self.right as f64 / self.hits.max(1) as f64
    }

    fn recall(&self) -> f64 {
        100.0 * self.right as f64 / self.askable.max(1) as f64
    }
}

/// The simulation at one low threshold tells those above it as well: candidates are tried from the most similar one on,
/// so whoever is served at a low threshold is served at every higher one that it reaches.
fn thresholds(client: &mut Client, data: &Data, policy: &str) {
    fill(client, data, &format!("{policy} THRESHOLD 0.5"));
    let outcomes = ask(client, data, false);
    println!("{}: similarity, precision %, recall %", named(policy));
    for step in 0..=100 {
        let threshold = 0.5 + f64::from(step) * 0.005;
        let score = Score::of(&outcomes, threshold);
        println!("  {threshold:.3}  {:5.1}  {:5.1}", score.precision(), score.recall());
    }
}

fn named(policy: &str) -> &str {
    if policy.is_empty() {
        "builtin"
    } else {
        policy
    }
}

fn measure(client: &mut Client, data: &Data, policy: &str, answers: Option<&std::path::Path>) {
    fill(client, data, policy);
    let threshold = cmd!(client, "LLMCACHE.INFO", "sim").field("threshold").number();
    let outcomes = ask(client, data, true);
    let score = Score::of(&outcomes, 0.0);
    println!("\n{}, threshold {threshold}", named(policy));
    println!(
        "  simulation     precision {:.1} %  recall {:.1} %  ({} hits)",
        score.precision(),
        score.recall(),
        score.hits
    );
    let mut guarded: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for outcome in &outcomes {
        if let Some(guard) = outcome.reason.strip_prefix("guard:") {
            let (answerable, other) = guarded.entry(guard).or_default();
            *if outcome.query.right.is_empty() { other } else { answerable } += 1;
        }
    }
    for (guard, (answerable, other)) in &guarded {
        println!("  guard {guard:<12} stopped {other:>5} where nothing is right, {answerable:>4} where something is");
    }
    let cases = cases(client, data, policy);
    println!("  guard cases, share served:");
    for (label, what) in [(0, "must not be"), (1, "must be")] {
        let kinds: BTreeMap<&str, (usize, usize)> =
            data.cases.iter().zip(&cases).filter(|(case, _)| case.label == label).fold(
                BTreeMap::new(),
                |mut kinds, (case, hit)| {
                    let (hits, all) = kinds.entry(&*case.kind).or_default();
                    (*hits, *all) = (*hits + usize::from(*hit), *all + 1);
                    kinds
                },
            );
        for (kind, (hits, all)) in kinds {
            println!("    {kind:<18} {:5.1} %   {what}", 100.0 * hits as f64 / all as f64);
        }
    }
    synonyms(client, data, policy);
    if let Some(folder) = answers {
        write(folder, &outcomes, data, &cases).expect("the answers can be written");
    }
}

/// Asks the guard cases: whether each was a hit.
fn cases(client: &mut Client, data: &Data, policy: &str) -> Vec<bool> {
    cmd!(client, "DEL", "cases");
    client.words(format!("LLMCACHE.CREATE cases MODE similar {policy}").trim_end()).ok();
    let mut hits = Vec::with_capacity(data.cases.len());
    for chunk in data.cases.chunks(200) {
        let sets = chunk
            .iter()
            .map(|Case { id, entry, .. }| harness::args!["LLMCACHE.SET", "cases", entry, "r", "SCOPE", id, "PERSIST"]);
        client.pipeline(&sets.collect::<Vec<_>>()).iter().for_each(|reply| reply.ok());
        let gets =
            chunk.iter().map(|Case { id, query, .. }| harness::args!["LLMCACHE.GET", "cases", query, "SCOPE", id]);
        hits.extend(client.pipeline(&gets.collect::<Vec<_>>()).iter().map(|reply| !reply.is_null()));
    }
    hits
}

fn synonyms(client: &mut Client, data: &Data, policy: &str) {
    cmd!(client, "DEL", "synonyms");
    client.words(format!("LLMCACHE.CREATE synonyms MODE similar {policy}").trim_end()).ok();
    let mut reasons: HashMap<String, usize> = HashMap::new();
    for (i, (a, b)) in data.synonyms.iter().enumerate() {
        cmd!(client, "LLMCACHE.SET", "synonyms", a, "r", "SCOPE", i, "PERSIST").ok();
        let reason = cmd!(client, "LLMCACHE.EXPLAIN", "synonyms", b, "SCOPE", i).field("reason").text();
        *reasons.entry(reason).or_default() += 1;
    }
    let all = data.synonyms.len().max(1) as f64;
    let share = |wanted: &dyn Fn(&str) -> bool| {
        100.0 * reasons.iter().filter(|(reason, _)| wanted(reason)).map(|(_, n)| n).sum::<usize>() as f64 / all
    };
    let vetoed = share(&|reason| reason.starts_with("guard:"));
    println!(
        "  safe synonyms ({} pairs): {:.1} % served, {vetoed:.1} % stopped by a guard",
        data.synonyms.len(),
        share(&|reason| reason == "similar")
    );
}

fn write(folder: &std::path::Path, outcomes: &[Outcome<'_>], data: &Data, cases: &[bool]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut answers = std::fs::File::create(folder.join("answers.jsonl"))?;
    for Outcome { query, served, .. } in outcomes {
        match served {
            Some((id, similarity)) => {
                writeln!(answers, r#"{{"query":"{}","hit":"{id}","similarity":{similarity}}}"#, query.id)?;
            }
            None => writeln!(answers, r#"{{"query":"{}","hit":null}}"#, query.id)?,
        }
    }
    let mut answers = std::fs::File::create(folder.join("guard_answers.jsonl"))?;
    for (case, hit) in data.cases.iter().zip(cases) {
        writeln!(answers, r#"{{"query":"{}","hit":{hit}}}"#, case.id)?;
    }
    Ok(())
}
