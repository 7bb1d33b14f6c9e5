//! Whoever asks in one scope gets no byte that was stored in another, and who may only read costs nobody an answer.

use crate::harness::{args, cmd, until, Client, Reply, Server, PATIENCE};
use crate::support::{digest, pass, stat, Dice};

const SCOPES: [&str; 4] = ["amber", "birch", "cedar", "delta"];

/// What everything that is stored in a scope has in it.
fn mark(scope: &str) -> String {
    format!("<<{scope}>>")
}

/// The scopes whose marks are in a reply.
fn leaked(reply: &Reply, but: &str) -> Vec<&'static str> {
    let told = format!("{reply:?}");
    SCOPES.into_iter().filter(|scope| *scope != but && told.contains(&mark(scope))).collect()
}

/// The same questions in every scope, in words that are alike, and some that only one scope asks.
fn prompt(scope: &str, dice: &mut Dice) -> String {
    const ASKED: [&str; 6] = [
        "How do I reset my password?",
        "How can I reset the password?",
        "What does the premium plan cost?",
        "How much is the premium plan?",
        "Who is our account manager?",
        "Explain the refund policy",
    ];
    match dice.below(5) {
        0 => format!("What did {} order in week {}?", mark(scope), dice.below(20)),
        _ => format!("{}{}", ASKED[dice.below(6) as usize], [" ", "", " please"][dice.below(3) as usize]),
    }
}

/// One command of somebody who lives in a scope, by chance.
fn ask(c: &mut Client, scope: &str, dice: &mut Dice) -> (String, Reply) {
    let (prompt, key) = (prompt(scope, dice), "faq");
    let model = ["gpt-4o", "claude"][dice.below(2) as usize];
    let (secret, meta) = (format!("{} {}", mark(scope), dice.text(60)), format!("{{\"of\":\"{}\"}}", mark(scope)));
    let context = ["SCOPE", scope, "MODEL", model];
    let mut words: Vec<String> = Vec::new();
    let mut say = |line: &[&str]| words.extend(line.iter().map(|word| (*word).to_owned()));
    match dice.below(24) {
        0..=5 => {
            say(&["LLMCACHE.SET", key, &prompt, &secret]);
            say(&context);
            say(&["META", &meta, "TAGS", "1", "shared"]);
            say([&["EX", "100"][..], &["PX", "30", "STALE", "100"], &["PERSIST"]][dice.below(3) as usize]);
        }
        6..=12 => {
            say(&["LLMCACHE.GET", key, &prompt]);
            say(&context);
            say([&[][..], &["WITHMETA"], &["STALEOK"], &["SIMILAR"], &["SIMILAR", "THRESHOLD", "0.6", "WITHMETA"]]
                [dice.below(5) as usize]);
        }
        13..=15 => {
            say(&["LLMCACHE.FETCH", key, &prompt]);
            say(&context);
            say(&["WITHMETA", "STALEOK", "LEASE", "20"]);
        }
        16 | 17 => {
            say(&["LLMCACHE.EXPLAIN", key, &prompt]);
            say(&context);
            say([&[][..], &["SIMILAR", "THRESHOLD", "0.5"]][dice.below(2) as usize]);
        }
        18 => say(&["LLMCACHE.SCAN", key, "0", "COUNT", "1000", "SCOPE", scope]),
        19 => say(&["LLMCACHE.STATS", key, "BY", ["model", "tag", "strategy", "type"][dice.below(4) as usize]]),
        20 => say(&["LLMCACHE.WARM", key, "DUE", "PROFILE", scope, "COUNT", "5", "LEASE", "5"]),
        21 => {
            let item = format!("[{{\"prompt\":\"{prompt}\",\"meta\":{meta}}}]");
            say(&["LLMCACHE.WARM", key, "PLAN", scope, "EVERY", "1", "SCOPE", scope, "JSON", &item]);
        }
        22 => say(&["LLMCACHE.INVALIDATE", key, "SCOPE", scope, "MODEL", model, "SOFT"]),
        _ => say(&["LLMCACHE.INFO", key]),
    }
    // A script is one more way to ask.
    if dice.below(6) == 0 {
        let mut script = vec!["EVAL".to_owned(), "return redis.call(unpack(ARGV))".to_owned(), "0".to_owned()];
        script.append(&mut words);
        words = script;
    }
    let reply = c.cmd(&words);
    (words.join(" "), reply)
}

#[test]
fn nothing_that_one_scope_stored_comes_to_another() {
    let server = Server::start();
    let mut dice = Dice::new("isolation");
    for similarity in ["builtin", "lexical"] {
        let mut clients = [server.client(), server.client3()];
        clients[0].words("FLUSHALL").ok();
        clients[0].words(&format!("LLMCACHE.CREATE faq MODE similar SIMILARITY {similarity} THRESHOLD 0.5")).ok();
        let mut own = 0;
        for _ in 0..3000 {
            let scope = SCOPES[dice.below(4) as usize];
            let c = &mut clients[dice.below(2) as usize];
            let (line, reply) = ask(c, scope, &mut dice);
            assert_eq!(leaked(&reply, scope), [""; 0], "{similarity}: {line} of {scope} answers {reply:?}");
            assert!(!reply.is_error(), "{line}: {reply:?}");
            own += usize::from(format!("{reply:?}").contains(&mark(scope)));
        }
        assert!(own > 500, "each scope gets its own: {own}");
        // Who names no scope has one of its own.
        let c = &mut clients[1];
        for _ in 0..200 {
            let prompt = prompt("nobody", &mut dice);
            let line = [
                &["LLMCACHE.GET", "faq", &prompt, "SIMILAR", "THRESHOLD", "0.5", "WITHMETA"][..],
                &["LLMCACHE.EXPLAIN", "faq", &prompt],
            ];
            for words in line {
                let reply = c.cmd(words);
                assert_eq!(leaked(&reply, ""), [""; 0], "{words:?} answers {reply:?}");
            }
        }
        assert!(stat(c, "hits_similar") > 0, "{similarity} finds what is similar");
    }
}

#[test]
fn who_may_only_read_costs_nobody_an_answer() {
    let server = Server::start();
    let (mut admin, mut dice) = (server.client3(), Dice::new("readers"));
    admin.words("LLMCACHE.CREATE faq MAXMEMORY 400000 EVICT cost MODE similar").ok();
    for i in 0..2000 {
        let text = dice.text(200);
        assert!(!cmd!(admin, "LLMCACHE.SET", "faq", format!("question {i}"), text, "PERSIST").is_error());
    }
    let evictions = stat(&mut admin, "evictions");
    assert!(evictions > 0, "the cache is full");
    let figures = |c: &mut Client| {
        let info = c.words("LLMCACHE.INFO faq");
        (info.field("entries").int(), info.field("memory_bytes").int())
    };
    let (before, entries) = (digest(&mut admin, "faq"), figures(&mut admin).0);
    let reads =
        "+llmcache.get +llmcache.scan +llmcache.entry +llmcache.ttl +llmcache.info +llmcache.stats +llmcache.explain";
    let reads = if server.version().is_redis(7, 4) || server.version().is_valkey(8, 0) { "+@read" } else { reads };
    admin.words(&format!("ACL SETUSER reader on >pw resetkeys %R~faq -@all +auth +ping {reads}")).ok();
    let mut reader = server.client();
    reader.words("AUTH reader pw").ok();
    for step in 0..6000 {
        // Names that nobody has used, which are counted like any; questions that are there, over and over.
        let (name, question) = (dice.text(20), format!("question {}", dice.below(2500)));
        let reply = match dice.below(10) {
            0..=2 => cmd!(reader, "LLMCACHE.GET", "faq", question),
            3 => cmd!(reader, "LLMCACHE.GET", "faq", question, "SCOPE", name, "MODEL", format!("model {step}")),
            4 => cmd!(reader, "LLMCACHE.GET", "faq", format!("{question} {name}"), "SIMILAR", "THRESHOLD", "0.5"),
            5 => cmd!(reader, "LLMCACHE.EXPLAIN", "faq", question, "SIMILAR"),
            6 => cmd!(reader, "LLMCACHE.STATS", "faq", "BY", "scope"),
            _ => cmd!(reader, "LLMCACHE.SCAN", "faq", dice.below(2000), "COUNT", 5),
        };
        assert!(!reply.is_error(), "{reply:?}");
        for line in [
            "LLMCACHE.SET faq q r",
            "LLMCACHE.FETCH faq q LEASE 1000",
            "LLMCACHE.RELEASE faq 00112233445566778899aabbccddeeff",
            "LLMCACHE.FEEDBACK faq 00112233445566778899aabbccddeeff bad",
            "LLMCACHE.INVALIDATE faq ALL",
        ] {
            if step % 500 == 0 {
                assert!(reader.words(line).error().starts_with("NOPERM"), "{line}");
            }
        }
        if step % 100 == 0 {
            assert!(figures(&mut admin).1 <= 400_000, "step {step}: {:?}", figures(&mut admin));
        }
    }
    assert_eq!(figures(&mut admin).0, entries);
    assert_eq!(stat(&mut admin, "evictions"), evictions);
    assert_eq!(digest(&mut admin, "faq"), before);
}

/// An index of similar questions that only a reader asks for takes what room there is.
#[test]
fn a_similar_lookup_of_a_reader_costs_no_answer_near_maxmemory() {
    const ENTRIES: i64 = 20_000;
    let server = Server::builder().config("maxmemory-policy noeviction").start();
    let (mut c, mut dice) = (server.client3(), Dice::new("asked for"));
    c.words("LLMCACHE.CREATE faq COMPRESS none").ok();
    for from in (0..ENTRIES).step_by(1000) {
        let set = |i: i64| args!["LLMCACHE.SET", "faq", format!("question {i} about {i}"), dice.text(300), "PERSIST"];
        c.pipeline(&(from..from + 1000).map(set).collect::<Vec<_>>()).iter().for_each(|reply| reply.ok());
    }
    let limit = crate::pressure::settled(&mut c) * 108 / 100;
    cmd!(c, "CONFIG", "SET", "maxmemory", limit).ok();
    let index = |c: &mut Client| c.words("LLMCACHE.INFO faq").field("index").field("entries").int();
    for _ in 0..50 {
        cmd!(c, "LLMCACHE.GET", "faq", "zzz unknown thing", "SIMILAR");
        cmd!(c, "LLMCACHE.EXPLAIN", "faq", "zzz unknown thing", "SIMILAR");
    }
    let mut before = -1;
    until("the index has taken what it may", PATIENCE, || {
        pass(300);
        std::mem::replace(&mut before, index(&mut c)) == before
    });
    assert!(before > 0 && before < ENTRIES, "{before} entries in the index");
    assert_eq!((stat(&mut c, "entries"), stat(&mut c, "evictions")), (ENTRIES, 0));
    // Other data come: the index goes before any answer.
    let used = crate::pressure::used(&mut c);
    let own = c.words("LLMCACHE.INFO faq").field("memory").field("index").int() as u64;
    assert!(own > 100_000, "{own} bytes of index");
    let room = limit * 975 / 1000 - used.min(limit * 975 / 1000);
    for i in 0..(room + own / 2) / 10_000 {
        cmd!(c, "SET", format!("other {i}"), "x".repeat(9_900)).ok();
    }
    until("the index is given up", PATIENCE, || index(&mut c) == 0);
    pass(500);
    assert_eq!((stat(&mut c, "entries"), stat(&mut c, "evictions")), (ENTRIES, 0));
}

#[test]
fn a_permission_that_is_taken_away_counts_for_who_waits() {
    let server = Server::start();
    let mut c = server.client3();
    for (taken, what) in [("resetkeys ~other", "keys"), ("-llmcache.fetch", "the command"), ("", "nothing")] {
        c.words("FLUSHALL").ok();
        let token = c.words("LLMCACHE.FETCH faq q LEASE 60000").field("token").text();
        c.words("ACL SETUSER u on >pw resetkeys ~* -@all +ping +llmcache.fetch +llmcache.get").ok();
        let mut waiting = server.client3();
        waiting.words("AUTH u pw").ok();
        waiting.send(&args!["LLMCACHE.FETCH", "faq", "q", "LEASE", 60_000, "BLOCK", 60_000]);
        until("it waits", PATIENCE, || c.info_field("clients", "blocked_clients").as_deref() == Some("1"));
        c.words(format!("ACL SETUSER u {taken}").trim()).ok();
        let told = match what {
            // The lease goes to nobody then, and can be had again.
            "the command" => {
                assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", &token), 1);
                let told = waiting.read();
                until("the lease is back", PATIENCE, || {
                    *c.words("LLMCACHE.FETCH faq q LEASE 60000").field("state") == "lease"
                });
                told
            }
            _ => {
                cmd!(c, "LLMCACHE.SET", "faq", "q", "secret", "EX", 100).ok();
                waiting.read()
            }
        };
        if what == "nothing" {
            assert_eq!(*told.field("response"), "secret");
        } else {
            assert!(told.error().starts_with("NOPERM "), "{what}: {told:?}");
        }
    }
}
