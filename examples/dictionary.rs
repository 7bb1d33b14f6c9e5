//! What dictionaries save: feeds answers to a cache as they would come, trains when it wants to, and tells how well it
//! does on answers that it has not seen.
//!
//!     cargo run --release --no-default-features --example dictionary -- answers.jsonl.gz [entries …]
//!
//! The file has an object a line, with `prompt` and `response`. Every second prompt is kept aside.
#![allow(clippy::unwrap_used)] // a tool for a person

use flate2::read::GzDecoder;
use llmcache::core::cache::Cache;
use llmcache::core::codec::Codec;
use llmcache::core::eviction::Pressure;
use llmcache::core::identity::{Context, Identity, Shape};
use llmcache::core::pressing::Pressing;
use llmcache::core::storing::{Answer, Condition, Lifetime};
use llmcache::core::time::UnixMs;
use llmcache::core::training::Room;
use std::io::{BufRead, BufReader};
use std::time::Instant;

fn put(cache: &mut Cache, prompt: &str, response: &[u8], codec: &mut Codec) {
    let context = Context { shape: Shape::Plain, scope: b"", model: b"", system: b"", params: b"" };
    let identity = Identity { context, prompt: prompt.as_bytes() };
    let answer = Answer {
        identity,
        digest: identity.digest(),
        response,
        condition: Condition::Always,
        lifetime: Lifetime::Never,
        stale_ms: None,
        typ: None,
        tags: Vec::new(),
        tokens: None,
        usage: None,
        cost: None,
        latency_ms: 0,
        meta: None,
        temperature_above_one: false,
        comparable: true,
        vector: None,
    };
    cache.set(&answer, UnixMs(1), Pressure::None, codec).unwrap();
}

/// What the timer and the threads do in the server.
fn settle(cache: &mut Cache, codec: &mut Codec) {
    for pressing in cache.take_pressings(usize::MAX, None) {
        cache.bring_back(pressing.press(codec));
    }
    if let Some(mut training) = cache.begin_training(usize::MAX) {
        let started = Instant::now();
        while !cache.gather(&mut training, 256) {}
        let gathered = started.elapsed();
        let trained = training.train(codec);
        let took = started.elapsed() - gathered;
        cache.adopt(trained, Room::Any, UnixMs(1));
        println!("  trained at {} entries: gathered in {gathered:?}, made in {took:?}", cache.store().len());
    }
    while cache.is_moving() {
        for pressing in cache.take_moves(1 << 20) {
            cache.bring_back(pressing.press(codec));
        }
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn main() {
    let mut args = std::env::args().skip(1);
    let file = std::fs::File::open(args.next().unwrap()).unwrap();
    let counts: Vec<usize> = args.map(|count| count.parse().unwrap()).collect();
    let pairs: Vec<(String, String)> = BufReader::new(GzDecoder::new(file))
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            (text("prompt"), text("response"))
        })
        .collect();
    let context = Context { shape: Shape::Plain, scope: b"", model: b"", system: b"", params: b"" };
    let lot = |prompt: &str| Identity { context, prompt: prompt.as_bytes() }.digest().lot();
    let (mut known, unseen): (Vec<_>, Vec<_>) = pairs.iter().partition(|(prompt, _)| lot(prompt) % 2 == 0);
    known.sort_by_key(|(prompt, response)| (lot(prompt), response));
    println!("{} answers to learn from, {} unseen", known.len(), unseen.len());
    for count in counts {
        let (mut cache, mut codec) = (Cache::default(), Codec::new());
        println!("{count} entries:");
        for (i, (prompt, response)) in known.iter().take(count).enumerate() {
            put(&mut cache, &format!("{i} {prompt}"), response.as_bytes(), &mut codec);
            if i % 10 == 9 {
                settle(&mut cache, &mut codec);
            }
        }
        settle(&mut cache, &mut codec);
        let (raw, stored) = cache.store().answer_bytes();
        let memory = cache.store().dictionaries().memory();
        println!("  {raw} bytes stored as {stored}, dictionaries take {memory}, the cache {}", cache.memory());
        for shown in cache.store().dictionaries().list() {
            println!("  {:?} users {}", shown.dictionary, shown.users);
        }
        let mut probe = cache.clone();
        for (i, (prompt, response)) in unseen.iter().enumerate() {
            put(&mut probe, &format!("u{i} {prompt}"), response.as_bytes(), &mut codec);
        }
        let taken: Vec<Pressing> = probe.take_pressings(usize::MAX, None);
        let started = Instant::now();
        let pressed: Vec<_> = taken.iter().map(|pressing| pressing.press(&mut codec)).collect();
        let nanos = started.elapsed().as_nanos() / pressed.len() as u128;
        let plain = |bytes: &[u8]| Codec::new().pack(bytes, Some(3)).bytes.len();
        let saving = |raw: usize, stored: usize| 100.0 * (1.0 - stored as f64 / raw as f64);
        let by: Vec<_> =
            pressed.iter().map(|one| saving(one.packed.raw_len as usize, one.packed.bytes.len())).collect();
        let zstd: Vec<_> = taken.iter().map(|one| saving(one.stored.bytes.len(), plain(&one.stored.bytes))).collect();
        println!("  unseen: median saving {:.1} %, zstd alone {:.1} %, {nanos} ns each", median(by), median(zstd));
        let entries: Vec<_> = cache.store().from_slot(0).map(|(_, view)| view).collect();
        let started = Instant::now();
        let bytes: usize =
            entries.iter().map(|view| codec.unpack(view.packed(), view.dictionary()).unwrap().len()).sum();
        let nanos = started.elapsed().as_nanos() / entries.len() as u128;
        println!("  reading: {nanos} ns each, of {} bytes", bytes / entries.len());
    }
}
