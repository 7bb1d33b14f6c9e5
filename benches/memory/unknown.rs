//! How much smaller answers get that no dictionary was trained on.

use super::{cache_sets, Bench, CACHE};
use crate::common::answers::Entry;
use crate::common::figures::{at_share, Table};
use crate::common::watch::Size;
use crate::harness::{args, cmd, Reply};
use sha2::{Digest as _, Sha256};

/// How many unknown answers are stored at a time.
const PORTION: usize = 500;

/// Which half an answer belongs to: that of its prompt.
const SEED: &[u8] = b"halves 1";

pub fn measure(bench: &mut Bench, entries: Vec<Entry>) {
    let is_known = |entry: &Entry| {
        let digest = Sha256::new().chain_update(SEED).chain_update(entry.asked.as_bytes()).finalize();
        digest[0] & 1 == 0
    };
    let (known, unknown): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(is_known);
    let (k, u) = (known.len(), unknown.len());
    println!(
        "**Unknown answers**: saving of {u}, stored after {k} others to other prompts. All, and those of 1.5–2.1 KB:\n"
    );
    let mut table = Table::new(&[
        "",
        "median",
        "10 % save less than",
        "10 % save more than",
        "of all bytes",
        "median at 1.5–2.1 KB",
        "dictionaries before",
        "after",
    ]);
    for compress in ["zstd", "dict"] {
        cmd!(bench.control, "FLUSHALL", "SYNC").ok();
        if let Err(why) = bench.create(&format!("COMPRESS {compress}")) {
            println!("(COMPRESS {compress}: skipped, {why})\n");
            continue;
        }
        bench.load.drive(&cache_sets(&known), 16);
        bench.rest();
        let dictionaries = |bench: &mut Bench| Size::of(&mut bench.control, CACHE).dictionaries;
        let before = dictionaries(bench);
        let mut lengths = Vec::new();
        for portion in unknown.chunks(PORTION) {
            bench.load.drive(&cache_sets(portion), 16);
            bench.rest();
            lengths.extend(stored(bench, portion));
        }
        let after = dictionaries(bench);
        let saving = |(size, stored): &(f64, f64)| 1.0 - stored / size;
        let sorted = |of: &mut dyn Iterator<Item = &(f64, f64)>| {
            let mut savings: Vec<f64> = of.map(saving).collect();
            savings.sort_by(f64::total_cmp);
            savings
        };
        let all = sorted(&mut lengths.iter());
        let middle = sorted(&mut lengths.iter().filter(|(size, _)| (1_500.0..=2_100.0).contains(size)));
        let (raw, packed) = lengths.iter().fold((0.0, 0.0), |sum, length| (sum.0 + length.0, sum.1 + length.1));
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        table.row([
            format!("COMPRESS {compress}"),
            percent(at_share(&all, 0.5)),
            percent(at_share(&all, 0.1)),
            percent(at_share(&all, 0.9)),
            percent(1.0 - packed / raw),
            if middle.is_empty() { String::new() } else { percent(at_share(&middle, 0.5)) },
            before.unwrap_or_else(|| "not told".into()),
            after.unwrap_or_else(|| "not told".into()),
        ]);
        eprintln!("  unknown answers, COMPRESS {compress}: done");
    }
    table.print();
}

/// The length of each answer as it came and as it is stored. The entries are deleted.
fn stored(bench: &mut Bench, portion: &[Entry]) -> Vec<(f64, f64)> {
    let gets = portion.iter().map(|entry| args!["LLMCACHE.GET", CACHE, entry.prompt, "WITHMETA", "NOTOUCH"]);
    let ids: Vec<Vec<u8>> =
        bench.control.pipeline(&gets.collect::<Vec<_>>()).iter().map(|hit| hit.field("id").bytes().to_vec()).collect();
    let shown: Vec<Vec<Vec<u8>>> = ids.iter().map(|id| args!["LLMCACHE.ENTRY", CACHE, id]).collect();
    let figure = |entry: &Reply, name: &str| entry.field(name).int() as f64;
    let lengths = bench.control.pipeline(&shown).iter().map(|e| (figure(e, "size"), figure(e, "stored"))).collect();
    let gone = bench.control.cmd(&[args!["LLMCACHE.DEL", CACHE], ids].concat());
    assert_eq!(gone, portion.len() as i64, "all were there");
    lengths
}
