//! What many of these tests say: a cache called `faq`, both protocols, the state of a cache as bytes.

use crate::harness::{cmd, until_some, Client, Reply, Server, PATIENCE};
use llmcache::core::cache::Cache;
use llmcache::core::time::UnixMs;
use llmcache::syntax::set::Set;
use llmcache::syntax::Bounds;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Every command of the module that clients use, with arguments that are well formed and the key `KEY`.
pub const COMMANDS: [&str; 22] = [
    "LLMCACHE.GET KEY prompt",
    "LLMCACHE.SET KEY prompt response",
    "LLMCACHE.FETCH KEY prompt LEASE 1000",
    "LLMCACHE.RENEW KEY 00112233445566778899aabbccddeeff 1000",
    "LLMCACHE.RELEASE KEY 00112233445566778899aabbccddeeff",
    "LLMCACHE.DEL KEY 00112233445566778899aabbccddeeff",
    "LLMCACHE.INVALIDATE KEY ALL",
    "LLMCACHE.SCAN KEY 0",
    "LLMCACHE.ENTRY KEY 00112233445566778899aabbccddeeff",
    "LLMCACHE.TTL KEY 00112233445566778899aabbccddeeff",
    "LLMCACHE.EXPIRE KEY 00112233445566778899aabbccddeeff 10",
    "LLMCACHE.CREATE KEY",
    "LLMCACHE.ALTER KEY MAXENTRIES 10",
    "LLMCACHE.INFO KEY",
    "LLMCACHE.STRATEGY KEY LIST",
    "LLMCACHE.RULE KEY LIST",
    "LLMCACHE.STATS KEY",
    "LLMCACHE.RESETSTATS KEY",
    "LLMCACHE.ALERT KEY LIST",
    "LLMCACHE.EXPLAIN KEY prompt",
    "LLMCACHE.FEEDBACK KEY 00112233445566778899aabbccddeeff good",
    "LLMCACHE.WARM KEY STATUS",
];

/// An id that no entry has.
pub const NO_ID: &str = "00112233445566778899aabbccddeeff";

/// Runs a test twice on one server, the second time under RESP3 and with nothing left of the first.
#[track_caller]
pub fn both(test: impl Fn(&mut Client)) {
    let server = Server::start();
    test(&mut server.client());
    cmd!(server.client(), "FLUSHALL").ok();
    test(&mut server.client3());
}

/// Stores an answer for ever and answers its id.
#[track_caller]
pub fn store(c: &mut Client, prompt: &str, response: &str) -> String {
    cmd!(c, "LLMCACHE.SET", "faq", prompt, response, "PERSIST").ok();
    id_of(c, prompt)
}

/// `LLMCACHE.SET faq prompt response …` with the words of a line behind it.
#[track_caller]
pub fn set(c: &mut Client, prompt: &str, response: &str, options: &str) -> Reply {
    let mut words = vec!["LLMCACHE.SET", "faq", prompt, response];
    words.extend(options.split_whitespace());
    c.cmd(&words)
}

/// `LLMCACHE.GET faq prompt …` with the words of a line behind it.
#[track_caller]
pub fn get(c: &mut Client, prompt: &str, options: &str) -> Reply {
    let mut words = vec!["LLMCACHE.GET", "faq", prompt];
    words.extend(options.split_whitespace());
    c.cmd(&words)
}

/// All that a lookup tells, without leaving a trace.
#[track_caller]
pub fn meta(c: &mut Client, prompt: &str, options: &str) -> Reply {
    get(c, prompt, &format!("{options} WITHMETA NOTOUCH"))
}

/// `LLMCACHE.EXPLAIN faq prompt …` with the words of a line behind it.
#[track_caller]
pub fn explain(c: &mut Client, prompt: &str, options: &str) -> Reply {
    let mut words = vec!["LLMCACHE.EXPLAIN", "faq", prompt];
    words.extend(options.split_whitespace());
    c.cmd(&words)
}

/// What EXPLAIN says in two words: `hit similar`, `miss guard:numbers`.
#[track_caller]
pub fn verdict(c: &mut Client, prompt: &str, options: &str) -> String {
    let told = explain(c, prompt, options);
    format!("{} {}", told.field("verdict").text(), told.field("reason").text())
}

/// Waits until the index of similar prompts is whole, and answers how many entries are in it.
#[track_caller]
pub fn indexed(c: &mut Client, key: &str) -> i64 {
    until_some("the index is ready", PATIENCE, || {
        let index = cmd!(c, "LLMCACHE.INFO", key).field("index").clone();
        (*index.field("state") == "ready").then(|| index.field("entries").int())
    })
}

/// A vector as `FP32` takes it.
pub fn fp32(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The id of a stored prompt without context.
#[track_caller]
pub fn id_of(c: &mut Client, prompt: &str) -> String {
    meta(c, prompt, "STALEOK").field("id").text()
}

/// `LLMCACHE.ENTRY` of a stored prompt without context.
#[track_caller]
pub fn entry(c: &mut Client, prompt: &str) -> Reply {
    let id = id_of(c, prompt);
    cmd!(c, "LLMCACHE.ENTRY", "faq", id, "WITHRESPONSE")
}

/// One figure of `LLMCACHE.STATS faq`.
#[track_caller]
pub fn stat(c: &mut Client, name: &str) -> i64 {
    cmd!(c, "LLMCACHE.STATS", "faq").field(name).int()
}

/// `LLMCACHE.STATS faq …` with the words of a line behind it.
#[track_caller]
pub fn stats(c: &mut Client, options: &str) -> Reply {
    c.words(&format!("LLMCACHE.STATS faq {options}"))
}

/// The numbers of STATS that add up: over names, and over caches.
pub const SUMS: &str = "entries lookups hits hits_exact hits_similar hits_stale misses miss_absent miss_expired \
    miss_threshold miss_guard coalesced stores skips evictions expirations invalidations feedback_good feedback_bad \
    tokens_saved_in tokens_saved_out tokens_saved cost_saved_usd cost_spent_usd latency_saved_ms bytes_raw bytes_stored \
    memory_bytes";

/// A number of STATS as a whole one: dollars in millionths.
#[track_caller]
pub fn whole(told: &Reply, name: &str) -> i64 {
    match told.field(name) {
        Reply::Int(number) => *number,
        usd => (usd.number() * 1e6).round() as i64,
    }
}

/// Checks some figures: names and values in turn.
#[track_caller]
pub fn shows(told: &Reply, expected: &str) {
    let words: Vec<_> = expected.split_whitespace().collect();
    for pair in words.chunks(2) {
        let [name, value] = *pair else { panic!("a name without a value: {expected}") };
        match told.field(name) {
            Reply::Int(found) => assert_eq!(found.to_string(), value, "{name}"),
            usd if name.ends_with("_usd") => assert_eq!(usd.text(), value, "{name}"),
            real => {
                assert!((real.number() - value.parse::<f64>().unwrap()).abs() < 1e-6, "{name}: {real:?}, not {value}")
            }
        }
    }
}

/// Asks several things at one moment.
#[track_caller]
pub fn at_one_moment(c: &mut Client, lines: &[&str]) -> Vec<Reply> {
    c.words("MULTI").ok();
    lines.iter().for_each(|line| assert_eq!(c.words(line), "QUEUED", "{line}"));
    c.words("EXEC").items().to_vec()
}

/// What a cache did before the test, and how long before.
#[derive(Default)]
pub struct Past(Cache);

impl Past {
    /// A hit so many seconds ago, of an answer that was stored with these options. The oldest one comes first.
    pub fn hit(mut self, seconds_ago: u64, options: &str) -> Past {
        let now = UnixMs(now_ms() - seconds_ago * 1000);
        let words: Vec<&[u8]> = "faq p r ".split(' ').chain(options.split(' ')).map(str::as_bytes).collect();
        let words: Vec<&[u8]> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let bounds = Bounds { now, max_prompt_bytes: 99, max_response_bytes: 99 };
        let set = Set::parse(&words, &bounds).expect("options of SET");
        let (answer, effort) = (set.answer(), self.0.effort(&set.answer()));
        self.0.coalesce_passing(&answer, &effort, 1, now);
        self
    }

    /// Gives it to `faq`, which is there.
    #[track_caller]
    pub fn give(&self, c: &mut Client) {
        cmd!(c, "LLMCACHE.APPLY", "faq", "COUNTERS", self.0.counters_record()).ok();
    }
}

/// Figures or INFO without what is each run's own: times, which are not saved, and the memory that goes with them.
#[track_caller]
pub fn kept(told: &Reply) -> Vec<(String, Reply)> {
    let pairs = told.pairs().into_iter().map(|(name, value)| (name.text(), value.clone()));
    pairs.filter(|(name, _)| !name.starts_with("memory") && !name.ends_with("_us")).collect()
}

/// The whole cache as bytes: policy, counters, entries and the order of their use. Null where there is none.
#[track_caller]
pub fn state(c: &mut Client) -> Reply {
    cmd!(c, "DUMP", "faq")
}

/// The server's digest of what a key holds: equal caches have equal ones, whatever their counters.
#[track_caller]
pub fn digest(c: &mut Client, key: &str) -> String {
    c.cmd(&["DEBUG", "DIGEST-VALUE", key]).at(0).text()
}

/// Ids and prompts of all that SCAN finds.
#[track_caller]
pub fn scan(c: &mut Client, options: &str) -> Vec<(String, String)> {
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let page = c.words(&format!("LLMCACHE.SCAN faq {cursor} {options}"));
        cursor = page.at(0).text();
        found.extend(page.at(1).items().iter().map(|pair| (pair.at(0).text(), pair.at(1).text())));
        if cursor == "0" {
            return found;
        }
    }
}

/// The prompts that SCAN finds, sorted.
#[track_caller]
pub fn prompts(c: &mut Client, options: &str) -> Vec<String> {
    let mut prompts: Vec<_> = scan(c, options).into_iter().map(|(_, prompt)| prompt).collect();
    prompts.sort();
    prompts
}

/// The time of day in milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Asks for a prompt until it is gone, which must happen between two moments in milliseconds. However slow the machine is,
/// an answer that comes to a question asked too late is one.
#[track_caller]
pub fn goes_between(c: &mut Client, prompt: &str, earliest: u64, latest: u64) {
    loop {
        let asked = now_ms();
        let gone = get(c, prompt, "").is_null();
        let answered = now_ms();
        assert!(!gone || answered >= earliest, "gone {} ms too early", earliest - answered);
        assert!(gone || asked <= latest, "there {} ms too late", asked - latest);
        if gone {
            return;
        }
    }
}

/// Waits for a TTL to pass: the one thing that has to be slept for.
pub fn pass(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Numbers by chance, from a seed that a failing test prints with its output.
pub struct Dice(u64);

impl Dice {
    /// Thrown anew each time; `LLMCACHE_SEED` repeats a game.
    pub fn new(what: &str) -> Dice {
        let seed = std::env::var("LLMCACHE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(now_ms);
        println!("{what}: LLMCACHE_SEED={seed}");
        Dice(seed | 1)
    }

    /// The same numbers each time.
    pub fn fixed(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Another game from the same seed.
    pub fn skip(self, games: u64) -> Dice {
        Dice(self.0.wrapping_add(games.wrapping_mul(0x9e37_79b9_7f4a_7c16)) | 1)
    }

    /// A game of its own that this one decides.
    pub fn other(&mut self) -> Dice {
        Dice(self.below(u64::MAX).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// So many bytes that no compressor gets smaller.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }

    /// Sentences that other answers have as well, in another order: what a dictionary is good for.
    pub fn prose(&mut self, sentences: u64) -> String {
        let sentence = |n: u64| format!("{}, {}. ", Dice::fixed(1000 + n).text(70), n * 7919 % 1000);
        (0..sentences).map(|_| sentence(self.below(40))).collect()
    }

    /// So many hex digits.
    pub fn text(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from_digit(self.below(16) as u32, 16).unwrap()).collect()
    }
}

/// Every kind of write, by chance.
pub fn write_something(c: &mut Client, dice: &mut Dice) {
    let prompt = format!("prompt {}", dice.below(120));
    let tag = dice.below(8);
    match dice.below(26) {
        0 => drop(c.words(&format!("LLMCACHE.INVALIDATE faq TAG 1 {tag}"))),
        1 => drop(c.words(&format!("LLMCACHE.INVALIDATE faq TAG 2 {tag} 9 SOFT"))),
        2 => {
            let price = format!("PRICE m{} {tag} 1 {}", dice.below(2), ["", "CACHED 0.5"][dice.below(2) as usize]);
            c.words(&format!("LLMCACHE.ALTER faq MAXENTRIES {} JITTER {tag} {price}", 20 + dice.below(60))).ok();
        }
        3 => drop(c.words(&format!("LLMCACHE.STRATEGY faq SET s{tag} TTL {} STALE 7", 1 + dice.below(9999)))),
        4 => drop(c.words(&format!("LLMCACHE.STRATEGY faq DEL s{tag}"))),
        5 => drop(c.words(&format!("LLMCACHE.RULE faq SET r{tag} PROMPT pro*{tag} STRATEGY s{tag}"))),
        6 => drop(c.words(&format!("LLMCACHE.RULE faq SET r{tag} PROMPT *{tag} STRATEGY realtime"))),
        7 => drop(c.words(&format!("LLMCACHE.RULE faq DEL r{tag}"))),
        8 | 9 => {
            let found = meta(c, &prompt, "STALEOK");
            if !found.is_null() {
                let id = found.field("id").text();
                if tag < 4 {
                    cmd!(c, "LLMCACHE.DEL", "faq", id);
                } else {
                    cmd!(c, "LLMCACHE.EXPIRE", "faq", id, dice.below(3) * 500);
                }
            }
        }
        10 => drop(c.words(&format!("LLMCACHE.SET faq x{tag} r PXAT 1"))),
        11 if tag == 0 => drop(c.words("LLMCACHE.INVALIDATE faq ALL")),
        12 if tag == 0 => drop(c.words("COPY faq copy REPLACE")),
        13 => drop(get(c, &prompt, "STALEOK")),
        // One that never has a value, so that only commands change it.
        24 => drop(c.words(&format!("LLMCACHE.ALERT faq SET a{tag} roi ABOVE {tag}"))),
        25 => drop(c.words(&format!("LLMCACHE.ALERT faq DEL a{tag}"))),
        _ => {
            let options =
                ["", "EX 1000 STALE 5", "PERSIST", "STRATEGY realtime", "KEEPTTL", "XX", "NX"][dice.below(7) as usize];
            let labels = format!("TAGS 2 {tag} {} MODEL m{} META {tag}", dice.below(8), dice.below(2));
            let length = 1 << dice.below(9);
            let text = dice.text(length);
            assert!(!set(c, &prompt, &text, &format!("{options} {labels}")).is_error());
        }
    }
}

/// The way from a replica to its primary, on which what the primary says can be held up or broken off. The threads end with
/// the servers' connections.
pub struct Link {
    addr: SocketAddr,
    road: Arc<Road>,
}

#[derive(Default)]
struct Road {
    state: Mutex<RoadState>,
    changed: Condvar,
}

#[derive(Default)]
struct RoadState {
    is_held: bool,
    is_closed: bool,
    /// So many bytes go through, then the connection breaks.
    left: Option<usize>,
    open: Vec<TcpStream>,
}

impl Link {
    pub fn to(primary: SocketAddr) -> Link {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let link = Link { addr: listener.local_addr().unwrap(), road: Arc::default() };
        let road = link.road.clone();
        thread::spawn(move || {
            for replica in listener.incoming().map_while(Result::ok) {
                if road.state.lock().unwrap().is_closed {
                    continue;
                }
                // A primary that is gone has nothing more to say.
                let Ok(primary) = TcpStream::connect(primary) else { return };
                let (back, forth) = (replica.try_clone().unwrap(), primary.try_clone().unwrap());
                road.state.lock().unwrap().open.extend([replica.try_clone().unwrap(), primary.try_clone().unwrap()]);
                let road = road.clone();
                thread::spawn(move || Link::pump(replica, forth, Some));
                thread::spawn(move || Link::pump(primary, back, |count| road.pass(count)));
            }
        });
        link
    }

    fn pump(mut from: TcpStream, mut to: TcpStream, pass: impl Fn(usize) -> Option<usize>) {
        let mut buffer = [0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let Some(passed) = pass(count) else { break };
            if to.write_all(&buffer[..passed]).is_err() || passed < count {
                break;
            }
        }
        for end in [from, to] {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Holds up what the primary says, or lets it go on.
    pub fn hold(&self, hold: bool) {
        self.road.state.lock().unwrap().is_held = hold;
        self.road.changed.notify_all();
    }

    /// Breaks what is open, and lets nobody through until [`Link::open`].
    pub fn cut(&self) {
        let mut state = self.road.state.lock().unwrap();
        (state.is_closed, state.left) = (true, None);
        state.open.drain(..).for_each(|end| drop(end.shutdown(Shutdown::Both)));
    }

    pub fn open(&self) {
        self.road.state.lock().unwrap().is_closed = false;
    }

    /// Breaks the connection after so many more bytes of the primary's, wherever in a command or a snapshot that is.
    pub fn break_after(&self, bytes: usize) {
        self.road.state.lock().unwrap().left = Some(bytes);
    }
}

impl Road {
    /// How many of so many bytes may go on; none where the connection has broken.
    fn pass(&self, count: usize) -> Option<usize> {
        let mut state = self.changed.wait_while(self.state.lock().unwrap(), |state| state.is_held).unwrap();
        let Some(left) = state.left else { return Some(count) };
        let passed = left.min(count);
        state.left = (passed == count).then_some(left - passed);
        Some(passed)
    }
}
