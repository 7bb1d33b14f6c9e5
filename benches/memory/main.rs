//! What 1,000 answers take: plain strings, caches of every compression, and a vector set beside strings.
//!
//! `make bench-memory`, or `cargo bench --no-default-features --features e2e --bench memory -- [options]`:
//!
//! ```text
//! --entries N       answers, at most (all of the data, 8,000 generated ones)
//! --prompt N        bytes of each prompt (300)
//! --dims A,B,…      dimensions of the vectors of a vector set (384,256)
//! --quiet MS        how long a cache must have looked the same to count as settled (3,000)
//! --data DIR        folder with responses/responses_permissive.jsonl.gz (LLMCACHE_DATA, else ../shared/data)
//! --server PATH     another server (LLMCACHE_REDIS_SERVER, else redis-server); from Redis 8 on with the vector set
//! --quick           1,500 answers, vectors of 256, settled after 500 ms: a look, no measurement
//! ```
//!
//! **How.** Everything is stored in an empty server, one thing after the other. *used_memory* is what the server has
//! allocated more than before, beside the buffers of clients; *MEMORY USAGE* is the sum over all keys (plain strings) or the
//! one of the cache. A cache is measured when nothing goes on behind its replies any more. MB are 1,000,000 bytes.
//!
//! **What is stored.** Plain strings have a key of 40 bytes, the answer and a TTL. A cache also keeps the prompt, which a
//! plain key does not. *Hot* are uncompressed copies of answers, which a cache keeps up to 4 MiB or an eighth of its answers
//! and lets go first when memory is short; a small cache is thus larger than its share of a large one. So the tables tell
//! also what a cache takes without them: `used_memory` again, once a `MAXMEMORY` has made them go. *Vectors apart* leaves the index of similar prompts out as well.
//!
//! **By hand** is what one builds without a module: a vector set (`VADD key FP32 …`, its own quantization Q8) whose elements
//! are the keys of plain strings. Its vectors are random, which is what a store's size does not depend on. It keeps no prompt.
//!
//! **Unknown answers.** A dictionary knows what it was trained on. So a cache is filled with one half of the answers (all
//! answers to one prompt are in the same half), given time to train, and then has the other half stored in portions; what
//! `ENTRY` tells of each is `1 − stored / size`. A portion is deleted before the next comes, so that no later dictionary has
//! seen it for long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;
mod unknown;

use common::answers::{self, Entry};
use common::args::Args;
use common::figures::Table;
use common::load::Load;
use common::random::Random;
use common::watch::{cool, rest, settle, used_memory, Size};
use common::{data, setting, vectors};
use harness::{cmd, encode, Client};
use std::time::Duration;

const CACHE: &str = "faq";
const TTL: &str = "86400";

/// How long a cache may take to settle.
const DEADLINE: Duration = Duration::from_secs(90);

pub struct Options {
    entries: usize,
    prompt: usize,
    dims: Vec<usize>,
    quiet: Duration,
    data: Option<String>,
    server: Option<String>,
}

impl Options {
    fn read() -> Options {
        let mut options = Options {
            entries: usize::MAX,
            prompt: answers::PROMPT_BYTES,
            dims: vec![384, 256],
            quiet: Duration::from_secs(3),
            data: None,
            server: None,
        };
        let mut args = Args::of("memory");
        while let Some(option) = args.option() {
            match option.as_str() {
                "--entries" => options.entries = args.count(),
                "--prompt" => options.prompt = args.count(),
                "--dims" => options.dims = args.counts(),
                "--quiet" => options.quiet = Duration::from_millis(args.number()),
                "--data" => options.data = Some(args.word()),
                "--server" => options.server = Some(args.word()),
                "--quick" => {
                    (options.entries, options.dims) = (1_500, vec![256]);
                    options.quiet = Duration::from_millis(500);
                }
                _ => args.unknown(),
            }
        }
        options
    }
}

pub struct Bench {
    control: Client,
    load: Load,
    options: Options,
}

/// A way to keep answers.
enum Way {
    Plain,
    /// A cache, created with these options.
    Cache(&'static str),
    /// A vector set of so many dimensions beside plain strings.
    ByHand(usize),
}

/// What a way takes, in bytes of all entries.
struct Taken {
    used: f64,
    /// The same without hot copies.
    cold: f64,
    usage: f64,
    /// Of a cache.
    size: Option<Size>,
    /// Of a vector set.
    vectors: Option<f64>,
}

impl Bench {
    /// Creates the cache, unless this module cannot do what is asked for: then why not.
    pub fn create(&mut self, options: &str) -> Result<(), String> {
        let reply = self.control.words(format!("LLMCACHE.CREATE {CACHE} {options}").trim_end());
        match reply.is_error() {
            true => Err(reply.error().to_owned()),
            false => Ok(()),
        }
    }

    /// Waits until the cache does nothing any more.
    pub fn rest(&mut self) {
        if !rest(&mut self.control, CACHE, self.options.quiet, DEADLINE) {
            println!("(a cache had not settled after {DEADLINE:?}; it was measured as it was)\n");
        }
    }

    /// Stores all entries one way in an empty server.
    fn take(&mut self, way: &Way, entries: &[Entry]) -> Result<Taken, String> {
        cmd!(self.control, "FLUSHALL", "SYNC").ok();
        settle(&mut self.control);
        let before = used_memory(&mut self.control);
        match way {
            Way::Plain => self.load.drive(&plain_sets(entries), 16),
            Way::Cache(options) => {
                self.create(options)?;
                self.load.drive(&cache_sets(entries), 16)
            }
            Way::ByHand(dims) => {
                self.load.drive(&vector_adds(entries, *dims), 16);
                self.load.drive(&plain_sets(entries), 16)
            }
        };
        let size = match way {
            Way::Cache(_) => {
                self.rest();
                Some(Size::of(&mut self.control, CACHE))
            }
            _ => None,
        };
        settle(&mut self.control);
        let used = used_memory(&mut self.control) - before;
        let vectors = matches!(way, Way::ByHand(_)).then(|| self.usage("vectors"));
        let strings = match way {
            Way::Cache(_) => self.usage(CACHE),
            _ => entries.iter().map(|entry| self.usage(&entry.key)).sum(),
        };
        let cold = match &size {
            Some(size) if size.hot > 0.0 => {
                cool(&mut self.control, CACHE);
                settle(&mut self.control);
                let left = Size::of(&mut self.control, CACHE);
                assert!(left.hot == 0.0 && left.entries == size.entries, "only hot copies have gone");
                used_memory(&mut self.control) - before
            }
            _ => used,
        };
        Ok(Taken { used, cold, usage: strings + vectors.unwrap_or(0.0), size, vectors })
    }

    fn usage(&mut self, key: &str) -> f64 {
        cmd!(self.control, "MEMORY", "USAGE", key, "SAMPLES", 0).int() as f64
    }

    /// The table of all ways for these entries.
    fn table(&mut self, what: &str, entries: &[Entry]) {
        let n = entries.len() as f64;
        let mean = entries.iter().map(|entry| entry.response.len()).sum::<usize>() as f64 / n;
        println!("**{what}**: {} answers of {mean:.0} bytes (mean). MB per 1,000 entries:\n", entries.len());
        let mb = |bytes: f64| format!("{:.3}", bytes / n / 1000.0);
        let mut table = Table::new(&[
            "",
            "used_memory",
            "of plain strings",
            "MEMORY USAGE",
            "hot copies",
            "index or vectors",
            "without hot copies",
            "vectors apart too",
            "compression",
        ]);
        let mut ways = vec![("plain strings, 40 B key".to_owned(), Way::Plain)];
        for (name, options) in [
            ("LLMCACHE, defaults", ""),
            ("LLMCACHE, COMPRESS none", "COMPRESS none"),
            ("LLMCACHE, COMPRESS zstd", "COMPRESS zstd"),
            ("LLMCACHE, COMPRESS dict", "COMPRESS dict"),
            ("LLMCACHE, MODE similar, builtin", "MODE similar SIMILARITY builtin"),
        ] {
            ways.push((name.to_owned(), Way::Cache(options)));
        }
        if setting::has_command(&mut self.control, "VADD") {
            let dims = self.options.dims.iter();
            ways.extend(dims.map(|dims| (format!("by hand: vector set of {dims}, strings"), Way::ByHand(*dims))));
        }
        let mut plain = None;
        for (name, way) in ways {
            let taken = match self.take(&way, entries) {
                Ok(taken) => taken,
                Err(why) => {
                    println!("({name}: skipped, {why})\n");
                    continue;
                }
            };
            let plain = *plain.get_or_insert(taken.used);
            let (hot, index) = taken.size.as_ref().map_or((0.0, 0.0), |size| (size.hot, size.index));
            let index = taken.vectors.unwrap_or(index);
            table.row([
                name.clone(),
                mb(taken.used),
                format!("{:.2}", taken.used / plain),
                mb(taken.usage),
                mb(hot),
                mb(index),
                mb(taken.cold),
                mb(taken.cold - index),
                taken.size.map_or(String::new(), |size| format!("{}, {:.2}", size.compress, size.raw / size.stored)),
            ]);
            eprintln!("  {what}, {name}: done");
        }
        table.print();
        println!();
    }
}

fn plain_sets(entries: &[Entry]) -> Vec<Vec<u8>> {
    let sets = entries.iter().map(|e| encode(&[b"SET", e.key.as_bytes(), &e.response, b"EX", TTL.as_bytes()]));
    sets.collect()
}

pub fn cache_sets(entries: &[Entry]) -> Vec<Vec<u8>> {
    let sets = entries.iter().map(|e| {
        encode(&[b"LLMCACHE.SET", CACHE.as_bytes(), &e.prompt, &e.response, b"EX", TTL.as_bytes()] as &[&[u8]])
    });
    sets.collect()
}

fn vector_adds(entries: &[Entry], dims: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(11);
    let adds = entries.iter().map(|entry| {
        let vector = vectors::blob(&vectors::unit(&mut random, dims));
        encode(&[b"VADD" as &[u8], b"vectors", b"FP32", &vector, entry.key.as_bytes()])
    });
    adds.collect()
}

fn main() {
    let options = Options::read();
    let folder = data::folder(options.data.as_deref());
    let (entries, source) = answers::load(&folder, options.entries, options.prompt);
    let mut server = setting::builder(options.server.as_deref()).start();
    let mut control = server.client();
    let further = [
        ("answers", format!("{} from {source}", entries.len())),
        ("prompts", format!("{} bytes each; caches keep them, plain strings and vector sets do not", options.prompt)),
    ];
    setting::print("memory", &mut control, &further);
    if !setting::has_command(&mut control, "VADD") {
        println!("(this server has no vector set; Redis 8 has: name one with --server)\n");
    }
    let load = Load::connect(server.addr(), 4);
    let mut bench = Bench { control, load, options };
    bench.table("All", &entries);
    let (middle, others): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| (1_500..=2_100).contains(&entry.response.len()));
    if !middle.is_empty() {
        bench.table("Answers of 1.5 to 2.1 KB", &middle);
    }
    let all: Vec<Entry> = middle.into_iter().chain(others).collect();
    unknown::measure(&mut bench, all);
    server.stop();
}
