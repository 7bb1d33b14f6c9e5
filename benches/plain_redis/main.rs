//! What a cache costs against plain SET and GET of the same answers, on one server.
//!
//! `make bench`, or `cargo bench --no-default-features --features e2e --bench plain_redis -- [options]`:
//!
//! ```text
//! --rounds N     rounds per case, each a plain and a cache half in alternating order; made even (16)
//! --entries N    answers stored, at most (all of the data, 8,000 generated ones)
//! --calls N      GETs per half (40,000)
//! --warm-up N    GETs of each side before the rounds of Zipf traffic (100,000)
//! --zipf S       how much more often some are asked than others: the one of rank r as r to the power of −S (1.0)
//! --prompt N     bytes of each prompt (300)
//! --clients N    connections (8)
//! --data DIR     folder with responses/responses_permissive.jsonl.gz (LLMCACHE_DATA, else ../shared/data)
//! --server PATH  another server (LLMCACHE_REDIS_SERVER, else redis-server)
//! --auto         the strategy `auto` picks the TTL, instead of EX 86400 as the plain SET has it
//! --noise        plain against plain: how far a ratio strays from 1 by itself on this machine
//! --quick        4 rounds, 2,000 answers, 10,000 GETs, 20,000 to warm up: a look, no measurement
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
//! an even number of rounds. The server's CPU time of a half runs until the server is idle again, so that work behind the
//! reply is counted.
//!
//! **Cases.** `SET new` fills an empty server, `SET again` overwrites. `GET` asks for what is stored, hits only: *uniform*
//! all equally often, *Zipf* some far more often than others, as users do, in a server that has been asked so for a while.
//! *Cold* means that no answer has an uncompressed copy, so that every one must be decompressed: `MAXMEMORY` is set to what
//! the cache takes without these copies, which lets all go and leaves no room for others. Counting and recency are as ever.
//! LLMCACHE.INFO is asked before and after for how much is hot; a cold case with more than a hundredth ends the benchmark.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;
mod sides;

use common::answers::{self, Entry};
use common::args::Args;
use common::figures::{whole, Spread, Table};
use common::load::Load;
use common::random::{Random, Traffic};
use common::watch::{cool, cpu_us, settle, used_memory, Size};
use common::{data, setting};
use harness::{cmd, Client};
use sides::{Act, Side, CACHE};

/// Of the ranks of Zipf traffic.
const SEED: u64 = 7;

struct Options {
    rounds: usize,
    entries: usize,
    calls: usize,
    warm_up: usize,
    zipf: f64,
    prompt: usize,
    clients: usize,
    data: Option<String>,
    server: Option<String>,
    auto: bool,
    noise: bool,
}

impl Options {
    fn read() -> Options {
        let mut options = Options {
            rounds: 16,
            entries: usize::MAX,
            calls: 40_000,
            warm_up: 100_000,
            zipf: 1.0,
            prompt: answers::PROMPT_BYTES,
            clients: 8,
            data: None,
            server: None,
            auto: false,
            noise: false,
        };
        let mut args = Args::of("plain_redis");
        while let Some(option) = args.option() {
            match option.as_str() {
                "--rounds" => options.rounds = args.count(),
                "--entries" => options.entries = args.count(),
                "--calls" => options.calls = args.count(),
                "--warm-up" => options.warm_up = args.number(),
                "--zipf" => options.zipf = args.number(),
                "--prompt" => options.prompt = args.count(),
                "--clients" => options.clients = args.count(),
                "--data" => options.data = Some(args.word()),
                "--server" => options.server = Some(args.word()),
                "--auto" => options.auto = true,
                "--noise" => options.noise = true,
                "--quick" => {
                    (options.rounds, options.entries, options.calls, options.warm_up) = (4, 2_000, 10_000, 20_000);
                }
                _ => args.unknown(),
            }
        }
        options.rounds += options.rounds % 2;
        options
    }
}

/// What one half of a round showed.
struct Half {
    per_second: f64,
    call_us: f64,
    cpu_us: f64,
}

struct Bench {
    control: Client,
    load: Load,
    options: Options,
    sides: [Side; 2],
    entries: usize,
    table: Table,
}

impl Bench {
    fn flush(&mut self) {
        cmd!(self.control, "FLUSHALL", "SYNC").ok();
        settle(&mut self.control);
    }

    fn half(&mut self, side: usize, act: Act, order: &[usize], pipeline: usize) -> Half {
        if act == Act::SetNew {
            self.flush();
        }
        cmd!(self.control, "CONFIG", "RESETSTAT").ok();
        let cpu = cpu_us(&mut self.control);
        let (side, get) = (&self.sides[side], act == Act::Get);
        let (wire, stat) = if get { (&side.get, side.stats[1]) } else { (&side.set, side.stats[0]) };
        let wire: Vec<&[u8]> = order.iter().map(|&i| wire[i].as_slice()).collect();
        let time = self.load.drive(&wire, pipeline);
        settle(&mut self.control);
        let cpu_us = (cpu_us(&mut self.control) - cpu) / order.len() as f64;
        let line = self.control.info_field("commandstats", stat).expect("commandstats counts the command");
        let figure = |name: &str| line.split(',').find_map(|f| f.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
        assert_eq!(figure("calls"), Some(order.len() as f64), "{stat}: {line}");
        let call_us = figure("usec_per_call").expect("commandstats tells the time of a call");
        Half { per_second: order.len() as f64 / time.as_secs_f64(), call_us, cpu_us }
    }

    /// Measures a case: GETs of some traffic, or SETs of everything in random orders.
    fn case(&mut self, act: Act, name: &str, pipeline: usize, traffic: Option<&Traffic>) {
        let mut random = Random::new(pipeline as u64);
        let mut halves: [Vec<Half>; 2] = [Vec::new(), Vec::new()];
        // One round more, first and forgotten, in which everything gets warm.
        for round in 0..=self.options.rounds {
            let order = match traffic {
                Some(traffic) => traffic.draws(&mut random, self.options.calls),
                None => random.shuffled(self.entries),
            };
            for side in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let half = self.half(side, act, &order, pipeline);
                if round > 0 {
                    halves[side].push(half);
                }
            }
        }
        let of = |side: usize, figure: fn(&Half) -> f64| halves[side].iter().map(figure).collect::<Vec<_>>();
        let [plain, cache] = [0, 1].map(|side| of(side, |half| half.per_second));
        let both = |figure: fn(&Half) -> f64| {
            let [plain, cache] = [0, 1].map(|side| Spread::of(of(side, figure)).median);
            format!("{plain:.2} / {cache:.2}")
        };
        let how = if pipeline == 1 { "one at a time".into() } else { format!("{pipeline} in a pipeline") };
        let hot = if act == Act::Get { self.hot().map(|share| format!("{:.0} %", share * 100.0)) } else { None };
        self.table.row([
            format!("{how}, {name}"),
            whole(Spread::of(plain.iter().copied()).median),
            whole(Spread::of(cache.iter().copied()).median),
            Spread::of_ratios(&cache, &plain).shown(),
            both(|half| half.call_us),
            both(|half| half.cpu_us),
            hot.unwrap_or_default(),
        ]);
        eprintln!("  {how}, {name}: done");
    }

    /// GETs of all sorts of traffic, of what is filled in.
    fn gets(&mut self, pipeline: usize) {
        let (count, s) = (self.entries, self.options.zipf);
        let (uniform, zipf) = (Traffic::Uniform(count), Traffic::zipf(count, s, SEED));
        self.case(Act::Get, "GET uniform", pipeline, Some(&uniform));
        let order = zipf.draws(&mut Random::new(9), self.options.warm_up);
        for side in &self.sides {
            self.load.drive(&order.iter().map(|&i| side.get[i].as_slice()).collect::<Vec<_>>(), 16);
        }
        self.case(Act::Get, &format!("GET Zipf {s:.1}"), pipeline, Some(&zipf));
        if self.options.noise {
            return;
        }
        self.chill();
        self.case(Act::Get, "GET cold, uniform", pipeline, Some(&uniform));
        self.case(Act::Get, &format!("GET cold, Zipf {s:.1}"), pipeline, Some(&zipf));
        self.must_be_cold();
    }

    /// Which part of the answers' bytes has an uncompressed copy.
    fn hot(&mut self) -> Option<f64> {
        let is_cache = !self.options.noise && cmd!(self.control, "EXISTS", CACHE) == 1;
        is_cache.then(|| Size::of(&mut self.control, CACHE)).map(|size| size.hot / size.raw)
    }

    /// Lets all uncompressed copies go and leaves no room for others.
    fn chill(&mut self) {
        cool(&mut self.control, CACHE);
        self.must_be_cold();
    }

    fn must_be_cold(&mut self) {
        let size = Size::of(&mut self.control, CACHE);
        assert_eq!(size.entries, self.entries as f64, "MAXMEMORY has cost entries");
        assert!(size.hot <= size.raw / 100.0, "not cold: {} of {} bytes are hot", size.hot, size.raw);
    }

    /// Stores everything once and checks that it comes back byte for byte.
    fn fill(&mut self, side: usize, entries: &[Entry]) {
        self.load.drive(&self.sides[side].set, 16);
        for (entry, get) in entries.iter().zip(&self.sides[side].get) {
            self.control.send_raw(get);
            assert_eq!(self.control.read().bytes(), entry.response, "{} answers something else", self.sides[side].name);
        }
        settle(&mut self.control);
    }

    fn memory(&mut self, entries: &[Entry]) {
        let n = entries.len() as f64;
        let mean = |size: fn(&Entry) -> usize| entries.iter().map(size).sum::<usize>() as f64 / n;
        let (prompts, answers) = (mean(|e| e.prompt.len()), mean(|e| e.response.len()));
        let mut table = Table::new(&["", "used_memory, bytes an entry"]);
        for side in 0..2 {
            self.flush();
            let before = used_memory(&mut self.control);
            self.fill(side, entries);
            let what = if self.sides[side].name == "LLMCACHE" { "prompt" } else { "40 B key" };
            let used = (used_memory(&mut self.control) - before) / n;
            table.row([format!("{}: {what}, answer, TTL", self.sides[side].name), whole(used)]);
        }
        table.row([format!("as they come: prompt {prompts:.0}, answer {answers:.0}"), whole(prompts + answers)]);
        println!();
        table.print();
    }
}

fn main() {
    let options = Options::read();
    let folder = data::folder(options.data.as_deref());
    let (mut entries, source) = answers::load(&folder, options.entries, options.prompt);
    let builder = setting::builder(options.server.as_deref());
    let mut server = if options.noise { builder.plain().start() } else { builder.start() };
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

    let expiry = if options.auto { "plain EX 86400, LLMCACHE by its strategy" } else { "EX 86400 on both" };
    let (rounds, clients, prompt) = (options.rounds, options.clients, options.prompt);
    let load = format!("{rounds} rounds a case, alternating; {clients} connections, driven by one thread");
    let further = [
        ("answers", format!("{} from {source}, prompts of {prompt} bytes", entries.len())),
        ("expiry", expiry.into()),
        ("load", format!("{load}; ranks of Zipf traffic by seed {SEED}")),
    ];
    setting::print("plain_redis", &mut control, &further);
    let table = Table::new(&[
        "",
        &format!("{}, calls/s", sides[0].name),
        &format!("{}, calls/s", sides[1].name),
        "ratio of a round, median (range)",
        "µs in a call, both",
        "µs of CPU a call, both",
        "answers hot",
    ]);
    let load = Load::connect(server.addr(), clients);
    let mut bench = Bench { control, load, options, sides, entries: entries.len(), table };
    for pipeline in [1, 16] {
        bench.case(Act::SetNew, "SET new", pipeline, None);
        bench.flush();
        bench.fill(0, &entries);
        bench.fill(1, &entries);
        bench.case(Act::SetAgain, "SET again", pipeline, None);
        bench.gets(pipeline);
    }
    bench.table.print();
    bench.memory(&entries);
    server.stop();
}
