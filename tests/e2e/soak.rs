//! Rounds of operations by chance, after each of which everything is taken away: then nothing may be left.
//!
//! `make soak` runs a million operations, `LLMCACHE_SOAK_OPERATIONS` says another number, and `scripts/valgrind.sh` watches
//! some thousand of them.

use crate::harness::{args, cmd, until, Client, Reply, Server, PATIENCE};
use crate::pressure::settled;
use crate::support::Dice;
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

/// How many caches there are, and how many clients.
const CACHES: u64 = 6;
const CLIENTS: u64 = 3;

/// How many threads of a kind the module may have.
const THREADS: usize = 2;

/// What may be left of a round: the server's own buffers and tables differ by less.
const LEFT: u64 = 2 << 20;

type Words = Vec<Vec<u8>>;

/// One client's part of a round.
struct Player {
    c: Client,
    dice: Dice,
    /// What is to be done with leases that were given.
    next: Vec<Words>,
    errors: u64,
}

impl Player {
    fn play(&mut self, operations: u64) {
        let mut done = 0;
        while done < operations {
            let mut batch = std::mem::take(&mut self.next);
            batch.extend((0..12).map(|_| self.operation()));
            done += batch.len() as u64;
            let replies = self.c.pipeline(&batch);
            for (words, reply) in batch.iter().zip(replies) {
                self.look_at(words, &reply);
            }
        }
    }

    /// Stores with leases; counts errors, of which there are few: of caches that are not there.
    fn look_at(&mut self, words: &Words, reply: &Reply) {
        if reply.is_error() {
            let text = reply.error();
            let is_known = ["no such", "exist", "are the same"].iter().any(|known| text.contains(known));
            assert!(is_known || text.starts_with("OOM"), "{text} to {}", String::from_utf8_lossy(&words[0]));
            self.errors += 1;
            return;
        }
        let token = match words[0].as_slice() {
            b"LLMCACHE.FETCH" => reply.get("token").map(Reply::text),
            _ => None,
        };
        if let Some(token) = token {
            let (key, prompt) = (&words[1], &words[2]);
            match self.dice.below(8) {
                0 => {}
                1 => self.next.push(args!["LLMCACHE.RELEASE", key, token, "ERROR", "on purpose"]),
                2 => self.next.push(args!["LLMCACHE.RENEW", key, token, 100]),
                _ => {
                    let text = self.dice.prose(4);
                    self.next.push(args!["LLMCACHE.SET", key, prompt, text, "TOKEN", token, "EX", 100]);
                }
            }
        }
    }

    fn operation(&mut self) -> Words {
        let dice = &mut self.dice;
        let key = format!("cache {}", dice.below(CACHES));
        let other = format!("cache {}", dice.below(CACHES));
        let number = dice.below(900);
        let prompt = format!("how do I reset the password of account number {number} on page {}", number % 7);
        let (tag, scope) = (dice.below(12), format!("scope {}", dice.below(3)));
        match dice.below(200) {
            0 => args!["DEL", key],
            1 => args!["UNLINK", key],
            2 => args!["COPY", key, other, "REPLACE"],
            3 => args!["LLMCACHE.INVALIDATE", key, "ALL"],
            4..=7 => args!["LLMCACHE.INVALIDATE", key, "TAG", 2, tag, 3],
            8 => args!["LLMCACHE.INVALIDATE", key, "MATCH", format!("*{tag} on page*"), "SOFT"],
            9 => args!["LLMCACHE.INVALIDATE", key, "SCOPE", scope],
            10 => match dice.below(20) {
                0 => args!["FLUSHALL"],
                1 => args!["FLUSHALL", "ASYNC"],
                _ => args!["LLMCACHE.STATS", "BY", "tag"],
            },
            11 => {
                let (name, value) = [
                    ("llmcache.threads", "1"),
                    ("llmcache.threads", "2"),
                    ("llmcache.memory-reserve-percent", "5"),
                    ("llmcache.log-prompts", "no"),
                    ("maxmemory", "0"),
                    ("maxmemory", "24mb"),
                    ("maxmemory", "400mb"),
                ][dice.below(7) as usize];
                args!["CONFIG", "SET", name, value]
            }
            12..=14 => {
                let mode = ["exact", "similar"][dice.below(2) as usize];
                let compress = ["dict", "zstd", "none"][dice.below(3) as usize];
                let most = [0, 0, 300, 900][dice.below(4) as usize];
                let policy = args!["MODE", mode, "COMPRESS", compress, "MAXENTRIES", most];
                let (name, kind) =
                    [("ALTER", "builtin"), ("ALTER", "lexical"), ("CREATE", "builtin")][dice.below(3) as usize];
                [args![format!("LLMCACHE.{name}"), key, "SIMILARITY", kind], policy].concat()
            }
            15 | 16 => {
                let mut words = args!["LLMCACHE.WARM", key, "EX", 50, "TAGS", 1, tag, "ITEMS", 6];
                (0..6).for_each(|_| words.extend(args![format!("warm {}", dice.below(400)), dice.prose(3)]));
                words
            }
            17 => {
                let items: Vec<_> = (0..10)
                    .map(|_| format!(r#"{{"prompt":"json {}","response":"{}"}}"#, dice.below(300), dice.prose(2)))
                    .collect();
                args!["LLMCACHE.WARM", key, "JSON", format!("[{}]", items.join(","))]
            }
            18 => {
                let items = format!(r#"[{{"prompt":"planned {number}"}},{{"prompt":"planned {tag}"}}]"#);
                args!["LLMCACHE.WARM", key, "PLAN", format!("plan{tag}"), "EVERY", 5, "JSON", items]
            }
            19 => args!["LLMCACHE.WARM", key, "UNPLAN", format!("plan{tag}")],
            20 => args!["LLMCACHE.WARM", key, "DUE", "LEASE", 50],
            21 => args!["LLMCACHE.ALERT", key, "SET", format!("alert{tag}"), "hit_rate", "BELOW", "0.5", "WINDOW", 60],
            22 => args!["LLMCACHE.RULE", key, "SET", format!("rule{tag}"), "PROMPT", "*3*", "STRATEGY", "realtime"],
            23 => args!["LLMCACHE.STATS", key, "BY", "scope"],
            24 => args!["LLMCACHE.INFO", key],
            25 => args!["LLMCACHE.SCAN", key, 0, "COUNT", 20, "TAG", tag],
            26 => args!["DUMP", key],
            27 => args!["LLMCACHE.EXPLAIN", key, prompt],
            28 => args!["EXPIRE", key, 1],
            29 => args!["LLMCACHE.FETCH", key, prompt, "LEASE", 60, "BLOCK", dice.below(3)],
            30..=50 => args!["LLMCACHE.FETCH", key, prompt, "LEASE", 60],
            51..=110 => {
                let about = format!("please, {prompt}?");
                let asked = if dice.below(3) == 0 { &about } else { &prompt };
                args!["LLMCACHE.GET", key, asked, "SCOPE", scope]
            }
            111..=120 => args!["LLMCACHE.GET", key, prompt, "STALEOK", "WITHMETA"],
            _ => {
                let sentences = dice.below(12);
                let text = dice.prose(sentences) + "end";
                let lives = [20, 300, 3000, 100_000][dice.below(4) as usize];
                let labels = args!["TAGS", 2, tag, dice.below(4), "MODEL", ["", "m"][dice.below(2) as usize]];
                let scoped = if dice.below(2) == 0 { args!["SCOPE", scope] } else { Vec::new() };
                [args!["LLMCACHE.SET", key, prompt, text, "PX", lives, "STALE", tag % 3], labels, scoped].concat()
            }
        }
    }
}

/// The module's threads by their names.
fn threads(server: &Server) -> BTreeMap<String, usize> {
    let mut of_name = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{}/task", server.pid())).into_iter().flatten().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim_end().to_owned();
        if name.starts_with("llmcache") {
            *of_name.entry(name).or_default() += 1;
        }
    }
    of_name
}

/// How everything goes at the end of a round.
fn take_away(c: &mut Client, way: u64) {
    let keys: Vec<_> = (0..CACHES).map(|i| format!("cache {i}")).collect();
    match way {
        0 => c.words("FLUSHALL").ok(),
        1 => keys.iter().for_each(|key| drop(cmd!(c, "UNLINK", key))),
        2 => {
            keys.iter().for_each(|key| drop(cmd!(c, "LLMCACHE.INVALIDATE", key, "ALL")));
            keys.iter().for_each(|key| drop(cmd!(c, "DEL", key)));
        }
        _ => keys.iter().for_each(|key| drop(cmd!(c, "PEXPIRE", key, 1))),
    }
    // The server's own search for what has expired takes a while, and a look at a key is quicker.
    until("all keys are gone", PATIENCE, || {
        keys.iter().for_each(|key| drop(cmd!(c, "EXISTS", key)));
        cmd!(c, "DBSIZE") == 0
    });
}

/// What is left when everything is taken away.
fn rest(server: &Server, way: u64) -> u64 {
    let mut c = server.client3();
    cmd!(c, "CONFIG", "SET", "llmcache.threads", THREADS).ok();
    cmd!(c, "CONFIG", "SET", "maxmemory", 0).ok();
    take_away(&mut c, way);
    until("nothing waits to be freed, and nobody for an answer", PATIENCE, || {
        let is_none = |c: &mut Client, section, name| c.info_field(section, name).as_deref() == Some("0");
        is_none(&mut c, "memory", "lazyfree_pending_objects")
            && is_none(&mut c, "clients", "blocked_clients")
            && c.info_field("clients", "connected_clients").as_deref() == Some("1")
    });
    let told = c.words("LLMCACHE.STATS");
    assert_eq!(["entries", "memory_bytes"].map(|name| told.field(name).int()), [0, 0]);
    // Leases of 100 ms at most run out.
    cmd!(c, "LLMCACHE.CREATE", "probe").ok();
    until("no lease is left", PATIENCE, || *cmd!(c, "LLMCACHE.INFO", "probe").field("leases") == 0);
    cmd!(c, "DEL", "probe");
    drop(c);
    // Those who compress and those who search stay, as many of each as the settings say. Readers end with what they read.
    until("no thread is left over", PATIENCE, || {
        threads(server)
            .iter()
            .all(|(name, count)| *count <= THREADS && !["llmcache-json", "llmcache-free"].contains(&name.as_str()))
    });
    settled(&mut server.client())
}

fn soak(operations: u64, rounds: u64) {
    let mut dice = Dice::new("soak");
    let mut server = Server::builder().module_args(&format!("threads {THREADS}")).start();
    let mut seen: Vec<u64> = Vec::new();
    let begun = Instant::now();
    // The first one is for tables and threads that the server makes once; what it leaves is what all others are measured by.
    for round in 0..rounds + 1 {
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let mut c = server.client3();
                c.set_patience(Duration::from_secs(120));
                let mut player = Player { c, dice: dice.other(), next: Vec::new(), errors: 0 };
                scope.spawn(move || {
                    player.play(operations / rounds / CLIENTS);
                    assert!(player.errors < operations / rounds / CLIENTS / 20, "{} errors", player.errors);
                });
            }
        });
        let used = rest(&server, round % 4);
        println!("round {round}, after {:.1?}: {used} bytes used, threads {:?}", begun.elapsed(), threads(&server));
        seen.push(used);
    }
    let first = seen[0];
    for (round, used) in seen.iter().enumerate() {
        assert!(*used < first + LEFT, "round {round}: {used} bytes used, {first} after the first");
    }
    // Growth from round to round would show in each half of the rounds.
    let least = |part: &[u64]| part.iter().copied().min().unwrap_or(0);
    let (early, late) = seen[1..].split_at(seen[1..].len() / 2);
    let grown = least(late).saturating_sub(least(early));
    assert!(grown < 128 << 10, "{grown} bytes more in the later rounds than in the earlier ones");
    assert!(!server.log().contains("internal error"), "a panic was caught; see {}", server.dir().display());
    // To the end, so that whoever watches the server can look at what it leaves behind.
    assert!(server.stop().success());
}

fn asked() -> Option<u64> {
    std::env::var("LLMCACHE_SOAK_OPERATIONS").ok().and_then(|operations| operations.parse().ok())
}

#[test]
fn nothing_is_left_of_fifty_thousand_operations() {
    soak(asked().unwrap_or(50_000), 4);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn nothing_is_left_of_a_million_operations() {
    soak(asked().unwrap_or(1_000_000), 10);
}
