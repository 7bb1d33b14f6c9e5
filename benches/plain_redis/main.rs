//! What a cache costs against plain SET and GET of the same answers, on one server.
//!
//! `make bench`, or `cargo bench --no-default-features --features e2e --bench plain_redis -- [options]`:
//!
//! ```text
//! --rounds N     rounds per case, each a plain and a cache half in alternating order; made even (16)
//! --entries N    answers stored, at most (all of the data, 8,000 generated ones)
//! --calls N      GETs per half (40,000)
//! --clients N    connections (8)
//! --data DIR     folder with responses/responses_permissive.jsonl.gz (LLMCACHE_DATA, else ../shared/data)
//! --auto         the strategy `auto` picks the TTL, instead of EX 86400 as the plain SET has it
//! --noise        plain against plain: how far a ratio strays from 1 by itself on this machine
//! --quick        4 rounds, 2,000 answers, 10,000 GETs: a look, no measurement
//! ```
//!
//! **Load.** One thread drives all connections in turn: it takes the replies of one, sends it the next batch, and goes
//! on to the next connection, so that all but one always have work at the server. With two cores the server has one and
//! this thread the other. More threads would take the server's core from it; polling without blocking would only spin.
//!
//! **Fairness.** Both halves of a round send the same entries in the same order over the same connections; what is timed
//! is encoded beforehand. A plain key is what an application makes of a prompt, `llm:` and 36 hex digits of its SHA-256;
//! the hashing is the application's and not timed, while the cache hashes the whole prompt itself and that is timed.
//! What a half leaves in the processor's caches favours the same side's next half if that comes first, hence the swap and
//! an even number of rounds. `SET new` fills an empty server, `SET again` overwrites, `GET` asks uniformly for what is
//! stored: hits only. The server's CPU time of a half runs until the server is idle again, so that work behind the reply
//! is counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod answers;
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;
mod load;

use answers::{Entry, Random};
use harness::{cmd, encode, module_path, until, Client, Server, PATIENCE};
use load::Load;
use std::fmt::Write as _;
use std::time::Duration;

const CACHE: &str = "faq";
const TTL: &str = "86400";

struct Options {
    rounds: usize,
    entries: usize,
    calls: usize,
    clients: usize,
    data: Option<String>,
    auto: bool,
    noise: bool,
}

impl Options {
    fn parse(args: impl Iterator<Item = String>) -> Result<Options, String> {
        let data = std::env::var("LLMCACHE_DATA").ok();
        let (rounds, entries, calls) = (16, usize::MAX, 40_000);
        let mut options = Options { rounds, entries, calls, clients: 8, data, auto: false, noise: false };
        let mut args = args.peekable();
        while let Some(arg) = args.next() {
            let mut count = || match args.next().map(|n| n.parse()) {
                Some(Ok(n)) if n > 0 => Ok(n),
                other => Err(format!("{arg} needs a number above 0, got {other:?}")),
            };
            match arg.as_str() {
                "--rounds" => options.rounds = count()?,
                "--entries" => options.entries = count()?,
                "--calls" => options.calls = count()?,
                "--clients" => options.clients = count()?,
                "--data" => options.data = Some(args.next().ok_or("--data needs a folder")?),
                "--auto" => options.auto = true,
                "--noise" => options.noise = true,
                "--quick" => (options.rounds, options.entries, options.calls) = (4, 2_000, 10_000),
                "--bench" => {} // cargo's own
                _ => return Err(format!("unknown option '{arg}'; the head of benches/plain_redis/main.rs lists them")),
            }
        }
        options.rounds += options.rounds % 2;
        Ok(options)
    }
}

/// One of the two things compared: its commands, encoded, by entry.
struct Side {
    name: &'static str,
    set: Vec<Vec<u8>>,
    get: Vec<Vec<u8>>,
    /// The names under which INFO commandstats counts SET and GET.
    stats: [&'static str; 2],
}

impl Side {
    fn plain(entries: &[Entry], name: &'static str) -> Side {
        let key = |e: &Entry| if name == "plain" { e.key.clone() } else { e.key.replace("llm:", "alt:") };
        let set = entries.iter().map(|e| encode(&[b"SET", key(e).as_bytes(), &e.response, b"EX", TTL.as_bytes()]));
        let get = entries.iter().map(|e| encode(&[b"GET", key(e).as_bytes()]));
        Side { name, set: set.collect(), get: get.collect(), stats: ["cmdstat_set", "cmdstat_get"] }
    }

    fn cache(entries: &[Entry], auto: bool) -> Side {
        let expiry: &[&[u8]] = if auto { &[] } else { &[b"EX", TTL.as_bytes()] };
        let set = entries.iter().map(|e| {
            encode(&[&[b"LLMCACHE.SET", CACHE.as_bytes(), &e.prompt, &e.response] as &[&[u8]], expiry].concat())
        });
        let get = entries.iter().map(|e| encode(&[b"LLMCACHE.GET", CACHE.as_bytes(), &e.prompt]));
        let stats = ["cmdstat_LLMCACHE.SET", "cmdstat_LLMCACHE.GET"];
        Side { name: "cache", set: set.collect(), get: get.collect(), stats }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    SetNew,
    SetAgain,
    Get,
}

/// What one half of a round showed.
struct Half {
    per_second: f64,
    call_us: f64,
    cpu_us: f64,
}

struct Bench {
    server: Server,
    control: Client,
    load: Load,
    options: Options,
    sides: [Side; 2],
    entries: usize,
}

impl Bench {
    fn cpu_us(&mut self) -> f64 {
        let info = self.control.info("cpu");
        let seconds = |name: &str| info.iter().find(|(n, _)| n == name).map_or(0.0, |(_, v)| v.parse().unwrap());
        (seconds("used_cpu_user") + seconds("used_cpu_sys")) * 1e6
    }

    /// Waits until the server's threads have nothing left to do.
    fn settle(&mut self) {
        const LOOK: Duration = Duration::from_millis(20);
        until("the server is idle", PATIENCE * 3, || {
            let before = self.cpu_us();
            std::thread::sleep(LOOK);
            self.cpu_us() - before < LOOK.as_micros() as f64 / 10.0
        });
    }

    fn flush(&mut self) {
        cmd!(self.control, "FLUSHALL", "SYNC").ok();
        self.settle();
    }

    fn half(&mut self, side: usize, case: Case, order: &[usize], pipeline: usize) -> Half {
        if case == Case::SetNew {
            self.flush();
        }
        cmd!(self.control, "CONFIG", "RESETSTAT").ok();
        let cpu = self.cpu_us();
        let (side, get) = (&self.sides[side], case == Case::Get);
        let (wire, stat) = if get { (&side.get, side.stats[1]) } else { (&side.set, side.stats[0]) };
        let wire: Vec<&[u8]> = order.iter().map(|&i| wire[i].as_slice()).collect();
        let stat = stat.to_owned();
        let time = self.load.drive(&wire, pipeline);
        self.settle();
        let cpu_us = (self.cpu_us() - cpu) / order.len() as f64;
        let line = self.control.info_field("commandstats", &stat).expect("commandstats counts the command");
        let figure = |name: &str| line.split(',').find_map(|f| f.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
        assert_eq!(figure("calls"), Some(order.len() as f64), "{stat}: {line}");
        let call_us = figure("usec_per_call").expect("commandstats tells the time of a call");
        Half { per_second: order.len() as f64 / time.as_secs_f64(), call_us, cpu_us }
    }

    fn case(&mut self, case: Case, name: &str, pipeline: usize) {
        let mut random = Random::new(pipeline as u64);
        let mut halves: [Vec<Half>; 2] = [Vec::new(), Vec::new()];
        // One round more, first and forgotten, in which everything gets warm.
        for round in 0..=self.options.rounds {
            let order: Vec<usize> = match case {
                Case::Get => (0..self.options.calls).map(|_| random.below(self.entries)).collect(),
                _ => random.shuffled(self.entries),
            };
            for side in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let half = self.half(side, case, &order, pipeline);
                if round > 0 {
                    halves[side].push(half);
                }
            }
        }
        let of = |side: usize, figure: fn(&Half) -> f64| Spread::of(halves[side].iter().map(figure));
        let ratio = Spread::of(halves[0].iter().zip(&halves[1]).map(|(a, b)| b.per_second / a.per_second));
        let (plain, cache) = (of(0, |h| h.per_second).median, of(1, |h| h.per_second).median);
        let mut row = format!("P{pipeline:<3} {name:<10} {plain:>9.0} {cache:>9.0}");
        write!(row, "   {:>5.2} ({:.2}–{:.2})", ratio.median, ratio.min, ratio.max).unwrap();
        for figure in [|h: &Half| h.call_us, |h: &Half| h.cpu_us] {
            write!(row, "  {:>7.2} {:>7.2}", of(0, figure).median, of(1, figure).median).unwrap();
        }
        println!("{row}");
    }

    /// Stores everything once and checks that it comes back byte for byte.
    fn fill(&mut self, side: usize, entries: &[Entry]) {
        self.load.drive(&self.sides[side].set.iter().map(Vec::as_slice).collect::<Vec<_>>(), 16);
        for (entry, get) in entries.iter().zip(&self.sides[side].get) {
            self.control.send_raw(get);
            assert_eq!(self.control.read().bytes(), entry.response, "{} answers something else", self.sides[side].name);
        }
        self.settle();
    }

    fn used_memory(&mut self) -> f64 {
        let info = self.control.info("memory");
        let bytes = |name: &str| info.iter().find(|(n, _)| n == name).map_or(0.0, |(_, v)| v.parse().unwrap());
        bytes("used_memory") - bytes("mem_clients_normal")
    }

    fn memory(&mut self, entries: &[Entry]) {
        let n = entries.len() as f64;
        let mean = |size: fn(&Entry) -> usize| entries.iter().map(size).sum::<usize>() as f64 / n;
        let (prompts, answers) = (mean(|e| e.prompt.len()), mean(|e| e.response.len()));
        println!("\nbytes per entry        used_memory   MEMORY USAGE   stored");
        for side in 0..2 {
            self.flush();
            let before = self.used_memory();
            self.fill(side, entries);
            let used = (self.used_memory() - before) / n;
            let mut usage = |key: &str| cmd!(self.control, "MEMORY", "USAGE", key, "SAMPLES", 0).int() as f64;
            let (name, what) =
                (self.sides[side].name, if self.sides[side].name == "cache" { "prompt" } else { "40 B key" });
            let usage = match name {
                "plain" => entries.iter().map(|e| usage(&e.key)).sum::<f64>() / n,
                "cache" => usage(CACHE) / n,
                _ => entries.iter().map(|e| usage(&e.key.replace("llm:", "alt:"))).sum::<f64>() / n,
            };
            println!("  {name:<20} {used:>11.0} {usage:>14.0}   {what}, answer, TTL");
        }
        println!("  raw: prompt {prompts:.0}, answer {answers:.0}");
    }
}

struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Spread { median: (low + high) / 2.0, min: values[0], max: values[values.len() - 1] }
    }
}

fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown CPU");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let model = model.trim_start_matches(['\t', ' ', ':']);
    format!("{model}, {cores} cores, load {} before", load.split(' ').next().unwrap_or("unknown"))
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let options = Options::parse(args.iter().cloned()).unwrap_or_else(|why| {
        eprintln!("{why}");
        std::process::exit(2)
    });
    let machine = machine();
    let (mut entries, source) = answers::load(options.data.as_deref(), options.entries);
    let server = if options.noise { Server::builder().plain().start() } else { Server::start() };
    let mut control = server.client();
    if options.auto && !options.noise {
        // What the built-in rules do not store cannot be hit.
        let side = Side::cache(&entries, true);
        let mut stored = side.set.iter().map(|set| {
            control.send_raw(set);
            control.read().is_ok()
        });
        entries.retain(|_| stored.next() == Some(true));
    }
    let other = if options.noise { Side::plain(&entries, "plain too") } else { Side::cache(&entries, options.auto) };
    let sides = [Side::plain(&entries, "plain"), other];

    let version = server.version();
    println!("machine  {machine}");
    println!("server   {} {}.{}, one process, nothing on disk", version.product, version.major, version.minor);
    if !options.noise {
        println!("module   {}", module_path().file_name().unwrap_or_default().to_string_lossy());
    }
    println!("answers  {} from {source}", entries.len());
    println!("expiry   {}", if options.auto { "plain EX 86400, cache by its strategy" } else { "EX 86400 on both" });
    println!("command  plain_redis {}", args.join(" "));
    let (rounds, clients) = (options.rounds, options.clients);
    println!("rounds   {rounds} a case, alternating; {clients} connections, driven by one thread\n");
    println!("                        calls per second    ratio of a round     µs in a call    µs of CPU a call");
    println!("case               {:>9} {:>9}    median (range)", sides[0].name, sides[1].name);

    let load = Load::connect(server.addr(), clients);
    let mut bench = Bench { server, control, load, options, sides, entries: entries.len() };
    for pipeline in [1, 16] {
        bench.case(Case::SetNew, "SET new", pipeline);
        bench.flush();
        bench.fill(0, &entries);
        bench.fill(1, &entries);
        bench.case(Case::SetAgain, "SET again", pipeline);
        bench.case(Case::Get, "GET", pipeline);
    }
    bench.memory(&entries);
    bench.server.stop();
}
