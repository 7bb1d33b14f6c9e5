//! WARM with answers: what it stores, what it refuses, and that nobody waits for it.

use crate::harness::{cmd, until, Client, Pair, Reply, Server, PATIENCE};
use crate::support::{both, digest, entry, get, meta, pass, prompts, set, stat, state, store};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// `LLMCACHE.WARM faq …` with the words of a line, and one more behind them.
#[track_caller]
fn warm(c: &mut Client, line: &str, last: &str) -> Reply {
    let mut words = vec!["LLMCACHE.WARM", "faq"];
    words.extend(line.split_whitespace());
    words.extend((!last.is_empty()).then_some(last));
    c.cmd(&words)
}

/// Stored, skipped, rejected.
#[track_caller]
fn sums(told: &Reply) -> [i64; 3] {
    assert!(!told.is_error(), "{told:?}");
    ["stored", "skipped", "rejected"].map(|name| told.field(name).int())
}

#[track_caller]
fn errors(told: &Reply) -> Vec<(i64, String)> {
    told.field("errors").items().iter().map(|pair| (pair.at(0).int(), pair.at(1).text())).collect()
}

/// So many prompts and responses behind `LLMCACHE.WARM faq … ITEMS n`.
fn items(options: &str, count: usize, response: &str) -> Vec<String> {
    let mut words: Vec<String> = ["LLMCACHE.WARM", "faq"].map(str::to_owned).into();
    words.extend(options.split_whitespace().map(str::to_owned));
    words.extend(["ITEMS".to_owned(), count.to_string()]);
    words.extend((0..count).flat_map(|n| [format!("question {n}"), format!("{response} {n}")]));
    words
}

/// The same as an array of JSON.
fn array(count: usize, response: &str) -> String {
    let item = |n| format!(r#"{{"prompt":"question {n}","response":"{response} {n}","persist":true}}"#);
    format!("[{}]", (0..count).map(item).collect::<Vec<_>>().join(","))
}

#[test]
fn items_are_stored_as_set_would() {
    both(|c| {
        let told = warm(c, "EX 100 MODEL m TAGS 2 ITEMS JSON TYPE t ITEMS 2 p r q s", "");
        assert_eq!((sums(&told), errors(&told)), ([2, 0, 0], vec![]));
        assert_eq!(told.names(), ["stored", "skipped", "rejected", "errors"]);
        assert_eq!(get(c, "p", "MODEL m"), "r");
        let told = meta(c, "q", "MODEL m");
        assert_eq!((told.field("response").text(), told.field("type").text()), ("s".into(), "t".into()));
        assert_eq!(told.field("tags").texts(), ["ITEMS", "JSON"]);
        assert!((99..=100).contains(&told.field("ttl").int()));
        // NX stores what is not there.
        assert_eq!(sums(&warm(c, "NX MODEL m ITEMS 2 p new n new", "")), [1, 1, 0]);
        assert_eq!((get(c, "p", "MODEL m"), get(c, "n", "MODEL m")), ("r".into_reply(), "new".into_reply()));
        assert_eq!(sums(&warm(c, "XX MODEL m PERSIST ITEMS 2 p newer x new", "")), [1, 1, 0]);
        assert_eq!((get(c, "p", "MODEL m"), meta(c, "p", "MODEL m").field("ttl").int()), ("newer".into_reply(), -1));
        assert_eq!(["stores", "skips"].map(|name| stat(c, name)), [4, 2]);
        assert_eq!(sums(&warm(c, "STRATEGY nocache ITEMS 1 z z", "")), [0, 1, 0]);
    });
}

trait IntoReply {
    fn into_reply(self) -> Reply;
}

impl IntoReply for &str {
    fn into_reply(self) -> Reply {
        Reply::Bulk(self.as_bytes().to_vec())
    }
}

#[test]
fn an_array_of_json_is_stored_item_by_item() {
    both(|c| {
        let json = r#"[
            {"prompt": "a", "response": "1"},
            {"prompt": "b", "response": "2", "model": "n", "system": "s", "params": {"t": 1, "a": [2]}, "scope": "x",
             "ex": 50, "tags": ["u"], "tokens": [10, 20], "cost": "0.5", "latency": 7, "type": "t", "meta": {"k": 1}},
            {"request": {"model": "g", "messages": [{"role": "user", "content": "c"}]}, "response": "3", "persist": true},
            {"prompt": "bad", "response": "r", "ex": 0},
            {"prompt": "bad", "response": "r", "colour": "red"},
            {"prompt": "bad"},
            [],
            {"prompt": "", "response": "r"},
            {"prompt": "bad", "response": "r", "strategy": "none-such"},
            {"prompt": "bad", "response": "r", "ex": 5, "persist": true},
            {"prompt": "no", "response": "4", "strategy": "nocache"},
            {"prompt": "z", "response": "5"}
        ]"#;
        let told = warm(c, "MODEL m EX 1000 TAGS 1 all JSON", json);
        // The request contradicts the call's MODEL.
        assert_eq!(sums(&told), [3, 1, 8]);
        let errors = errors(&told);
        assert_eq!(errors.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8, 9]);
        for ((_, why), part) in errors.iter().zip([
            "ERR REQUEST and MODEL exclude each other",
            "ERR EX must be a whole number of seconds",
            "ERR unknown key 'colour'",
            "ERR the item needs a response",
            "ERR the item must be an object, got an array",
            "ERR prompt may not be empty",
            "ERR there is no strategy",
            "ERR EX and PERSIST exclude each other",
        ]) {
            assert!(why.to_lowercase().contains(&part.to_lowercase()) || part.contains("no strategy"), "{why}: {part}");
        }
        assert_eq!((get(c, "a", "MODEL m"), get(c, "z", "MODEL m")), ("1".into_reply(), "5".into_reply()));
        let told = meta(c, "b", r#"MODEL n SYSTEM s PARAMS {"a":[2],"t":1} SCOPE x"#);
        assert_eq!(told.field("response").text(), "2");
        assert_eq!(told.field("tags").texts(), ["u"], "an item's own option takes the place of the call's");
        assert!((49..=50).contains(&told.field("ttl").int()));
        assert_eq!([told.field("tokens_in").int(), told.field("tokens_out").int()], [10, 20]);
        let body = r#"[{"request": "{\"model\":\"g\",\"messages\":[{\"role\":\"user\",\"content\":\"c\"}]}", "response": "3", "type": "t"}]"#;
        assert_eq!(sums(&warm(c, "JSON", body)), [1, 0, 0]);
        let asked = r#"{"messages":[{"content":"c","role":"user"}],"model":"g"}"#;
        assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", asked, "REQUEST"), "3".into_reply());
        assert_eq!(sums(&warm(c, "JSON", "[]")), [0, 0, 0]);
    });
}

#[test]
fn a_call_that_is_not_well_formed_stores_nothing() {
    both(|c| {
        store(c, "p", "r");
        let before = state(c);
        for (line, last, error) in [
            ("ITEMS 2 p r q", "", "ERR ITEMS needs a prompt and a response for each of its 2 items, got 3 words"),
            ("ITEMS 1 p r q s", "", "ERR ITEMS needs "),
            ("ITEMS 0", "", "ERR ITEMS must be "),
            ("ITEMS 1 p r EX 5", "", "ERR ITEMS needs "),
            ("EX 0 ITEMS 1 p r", "", "ERR EX must be "),
            ("NX XX ITEMS 1 p r", "", "ERR NX and XX exclude each other"),
            ("COLOUR red ITEMS 1 p r", "", "ERR unknown option 'COLOUR' at argument 2"),
            ("TOKEN x ITEMS 1 p r", "", "ERR TOKEN belongs to one answer"),
            ("JSON", "{\"prompt\":\"new\",\"response\":\"r\"}", "ERR JSON must be an array of JSON"),
            ("JSON", "[{\"prompt\":\"new\",\"response\":\"r\"},", "ERR JSON must be an array of JSON: "),
            ("JSON", "", "ERR JSON needs a value"),
            ("NX", "", "ERR action must be "),
        ] {
            let told = warm(c, line, last);
            assert!(told.error().starts_with(error), "{line}: {told:?}");
        }
        let long = format!("[{{\"prompt\":\"new\",\"response\":\"{}\"}},", "x".repeat(50_000));
        assert!(warm(c, "JSON", &long).error().starts_with("ERR JSON must be an array of JSON: "), "also on a thread");
        assert_eq!(state(c), before);
        c.words("SET other text").ok();
        let told = c.words("LLMCACHE.WARM other ITEMS 2 p r q s");
        assert_eq!(sums(&told), [0, 0, 2]);
        assert!(errors(&told)[1].1.starts_with("WRONGTYPE"));
        // Limits are those of SET.
        c.words("CONFIG SET llmcache.max-prompt-bytes 5").ok();
        c.words("CONFIG SET llmcache.max-response-bytes 6").ok();
        let told = warm(c, "ITEMS 3 prompts r prom respons pro resp", "");
        assert_eq!(sums(&told), [1, 0, 2]);
        assert_eq!(
            errors(&told)[0],
            (0, "ERR prompt has 7 bytes, 5 are allowed (CONFIG SET llmcache.max-prompt-bytes)".into())
        );
        assert!(errors(&told)[1].1.starts_with("ERR response has 7 bytes, 6 are allowed"));
        c.words("CONFIG SET llmcache.max-prompt-bytes 1048576").ok();
        c.words("CONFIG SET llmcache.max-response-bytes 67108864").ok();
    });
}

#[test]
fn an_item_without_room_is_rejected_alone() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MAXMEMORY 30000 COMPRESS none").ok();
        let large = "x".repeat(40_000);
        let told = cmd!(c, "LLMCACHE.WARM", "faq", "ITEMS", 3, "a", "r", "b", large, "c", "r");
        assert_eq!(sums(&told), [2, 0, 1]);
        assert!(errors(&told)[0].1.contains("MAXMEMORY"));
        assert_eq!(prompts(c, ""), ["a", "c"]);
        c.words("LLMCACHE.CREATE small MAXENTRIES 5").ok();
        let mut words = items("", 20, "r");
        words[1] = "small".into();
        assert_eq!(sums(&c.cmd(&words)), [20, 0, 0]);
        assert_eq!(c.words("LLMCACHE.INFO small").field("entries").int(), 5);
    });
}

#[test]
fn of_many_errors_the_first_thousand_are_told() {
    both(|c| {
        let array = format!("[{}]", vec!["{\"prompt\":1}"; 2500].join(","));
        let told = warm(c, "JSON", &array);
        assert_eq!(sums(&told), [0, 0, 2500]);
        let errors = errors(&told);
        assert_eq!((errors.len(), errors[0].0, errors[999].0), (1000, 0, 999));
    });
}

#[test]
fn transactions_and_scripts_have_it_all_at_once() {
    both(|c| {
        c.words("MULTI").ok();
        assert_eq!(c.cmd(&items("EX 100", 3000, "r")), "QUEUED");
        assert_eq!(cmd!(c, "LLMCACHE.WARM", "faq", "NX", "JSON", array(3000, "s")), "QUEUED");
        assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", "question 2999"), "QUEUED");
        let replies = c.words("EXEC");
        assert_eq!((sums(replies.at(0)), sums(replies.at(1))), ([3000, 0, 0], [0, 3000, 0]));
        assert_eq!(replies.at(2).text(), "r 2999");
        let script = "local t = redis.call('LLMCACHE.WARM', KEYS[1], 'EX', '50', 'JSON', ARGV[1]) return t[2]";
        // The array says PERSIST, the call EX: an item's own option counts.
        let told = cmd!(c, "EVAL", script, 1, "lua", array(2000, "l"));
        assert_eq!(told, 2000);
        assert_eq!(cmd!(c, "LLMCACHE.GET", "lua", "question 7"), "l 7".into_reply());
    });
}

#[test]
fn replicas_and_files_get_what_was_stored() {
    let pair = Pair::with(|b| b);
    let mut c = pair.primary.client();
    assert_eq!(sums(&c.cmd(&items("EX 1000 TAGS 1 t", 5000, "r"))), [5000, 0, 0]);
    assert_eq!(sums(&cmd!(c, "LLMCACHE.WARM", "faq", "SCOPE", "x", "JSON", array(5000, "s"))), [5000, 0, 0]);
    pair.wait_in_sync();
    let mut replica = pair.replica.client();
    assert_eq!(digest(&mut replica, "faq"), digest(&mut c, "faq"));
    assert_eq!(get(&mut replica, "question 4999", "SCOPE x"), "s 4999");
    let refused = replica.words("LLMCACHE.WARM faq ITEMS 1 p r");
    assert!(refused.error().starts_with("READONLY"), "{refused:?}");
    // With WAIT a client knows that a replica has it all.
    c.cmd(&items("PERSIST", 5000, "new"));
    assert_eq!(c.words("WAIT 1 10000"), 1);
    assert_eq!(get(&mut replica, "question 4999", ""), "new 4999");

    let mut server = Server::builder().aof_always().start();
    let mut c = server.client();
    assert_eq!(sums(&c.cmd(&items("EX 1000", 3000, "r"))), [3000, 0, 0]);
    assert_eq!(sums(&cmd!(c, "LLMCACHE.WARM", "faq", "SCOPE", "x", "JSON", array(3000, "s"))), [3000, 0, 0]);
    let before = digest(&mut c, "faq");
    server.crash_and_restart();
    assert_eq!(digest(&mut server.client(), "faq"), before);
    server.rewrite_aof();
    server.crash_and_restart();
    assert_eq!(digest(&mut server.client(), "faq"), before);
}

/// Begins a long call and waits until some of it is stored.
fn begin(server: &Server, c: &mut Client, count: usize) -> Client {
    let mut busy = server.client();
    busy.send(&items("PERSIST", count, "r"));
    until("it has begun", PATIENCE, || {
        let info = c.words("LLMCACHE.INFO faq");
        !info.is_null() && info.field("entries").int() > 0
    });
    busy
}

#[test]
fn what_was_begun_is_finished_without_its_client() {
    let server = Server::start();
    let mut c = server.client();
    let mut killed = begin(&server, &mut c, 20_000);
    let id = c
        .words("CLIENT LIST")
        .text()
        .lines()
        .find(|line| line.contains("cmd=llmcache.warm"))
        .and_then(|line| line.strip_prefix("id=")?.split(' ').next().map(str::to_owned));
    if let Some(id) = id {
        assert_eq!(cmd!(c, "CLIENT", "KILL", "ID", id), 1);
        assert!(killed.is_closed_by_server());
    }
    until("all are stored", PATIENCE, || c.words("LLMCACHE.INFO faq").field("entries").int() == 20_000);
    cmd!(c, "FLUSHALL").ok();
    // The same with JSON, while the text is still being read.
    let mut gone = server.client();
    gone.send(&["LLMCACHE.WARM".to_owned(), "faq".into(), "JSON".into(), array(20_000, &"r".repeat(500))]);
    gone.hang_up();
    until("all are stored", PATIENCE, || {
        let info = c.words("LLMCACHE.INFO faq");
        !info.is_null() && info.field("entries").int() == 20_000
    });
}

#[test]
fn the_key_may_change_meanwhile() {
    let server = Server::start();
    let mut c = server.client();
    let mut busy = begin(&server, &mut c, 20_000);
    cmd!(c, "DEL", "faq");
    assert_eq!(sums(&busy.read()), [20_000, 0, 0], "a cache is made anew");
    assert!(c.words("LLMCACHE.INFO faq").field("entries").int() < 20_000);
    cmd!(c, "FLUSHALL").ok();
    let mut busy = begin(&server, &mut c, 20_000);
    cmd!(c, "SET", "faq", "text").ok();
    let told = busy.read();
    let [stored, skipped, rejected] = sums(&told);
    assert_eq!((stored + rejected, skipped), (20_000, 0));
    assert!(errors(&told)[0].1.starts_with("WRONGTYPE"));
    assert_eq!(cmd!(c, "GET", "faq"), "text".into_reply());
    // The database is the client's own.
    cmd!(c, "FLUSHALL").ok();
    let mut third = server.client();
    cmd!(third, "SELECT", 3).ok();
    assert_eq!(sums(&third.cmd(&items("", 5000, "r"))), [5000, 0, 0]);
    assert_eq!((c.words("DBSIZE"), third.words("DBSIZE")), (Reply::Int(0), Reply::Int(1)));
}

#[test]
fn a_server_that_becomes_a_replica_stores_no_more() {
    let pair = Pair::start();
    let mut c = pair.replica.client();
    c.words("REPLICAOF NO ONE").ok();
    let _busy = begin(&pair.replica, &mut c, 200_000);
    let port = pair.primary.port();
    c.words(&format!("REPLICAOF 127.0.0.1 {port}")).ok();
    pair.wait_for_link();
    pair.wait_in_sync();
    pass(100);
    assert!(c.words("LLMCACHE.INFO faq").is_null(), "what it had is gone, and no more came");
    assert_eq!(c.words("PING"), "PONG");
}

#[test]
fn paused_writes_pause_it_and_a_shutdown_ends_it() {
    let mut server = Server::start();
    let mut c = server.client();
    let mut busy = begin(&server, &mut c, 30_000);
    c.words("CLIENT PAUSE 300 WRITE").ok();
    let before = c.words("LLMCACHE.INFO faq").field("entries").int();
    pass(50);
    assert_eq!(c.words("LLMCACHE.INFO faq").field("entries").int(), before);
    assert_eq!(sums(&busy.read()), [30_000, 0, 0]);
    cmd!(c, "FLUSHALL").ok();
    let _busy = begin(&server, &mut c, 100_000);
    assert!(server.stop().success());
}

#[test]
fn answers_that_were_warmed_are_as_good_as_any() {
    both(|c| {
        warm(c, "EX 100 ITEMS 1 p r", "");
        set(c, "q", "r", "EX 100").ok();
        let [mut one, two] = ["p", "q"].map(|prompt| entry(c, prompt));
        let fields = ["response", "etag", "strategy", "rule", "type", "stale", "size", "estimated", "cost_usd"];
        for field in fields {
            assert_eq!(one.field(field), two.field(field), "{field}");
        }
        one = cmd!(c, "LLMCACHE.WARM", "faq", "JSON", r#"[{"prompt":"p","response":"r","ex":100}]"#);
        assert_eq!(sums(&one), [1, 0, 0]);
        assert_eq!(entry(c, "p").field("etag"), two.field("etag"));
    });
}

#[test]
fn who_waits_for_an_answer_gets_a_warmed_one() {
    let server = Server::start();
    let (mut c, mut waiting) = (server.client(), server.client3());
    for (call, prompt) in [("ITEMS 1 p r", "p"), ("", "question 4999")] {
        assert_eq!(*cmd!(c, "LLMCACHE.FETCH", "faq", prompt, "LEASE", 60000).field("state"), "lease");
        waiting.send(&["LLMCACHE.FETCH", "faq", prompt, "LEASE", "60000", "BLOCK", "20000"]);
        until("it waits", PATIENCE, || c.info_field("clients", "blocked_clients").is_some_and(|n| n == "1"));
        let told = match call {
            "" => c.cmd(&items("", 5000, "r")),
            call => warm(&mut c, call, ""),
        };
        assert_eq!(told.field("rejected").int(), 0);
        let told = waiting.read();
        assert_eq!(*told.field("state"), "hit");
        assert!(told.field("response").text().starts_with('r'));
    }
}

#[test]
fn without_memory_items_are_rejected_and_plans_are_an_error() {
    let server = Server::start();
    let mut c = server.client();
    c.words("CONFIG SET maxmemory 1").ok();
    let told = warm(&mut c, "ITEMS 2 p r q s", "");
    assert_eq!(sums(&told), [0, 0, 2]);
    assert!(errors(&told).iter().all(|(_, why)| why.starts_with("OOM ")), "{told:?}");
    let told = warm(&mut c, "PLAN p EVERY 5 JSON", r#"[{"prompt":"a"}]"#);
    assert!(told.error().starts_with("OOM "), "{told:?}");
    assert_eq!(c.words("DBSIZE"), 0);
    c.words("CONFIG SET maxmemory 0").ok();
    assert_eq!(sums(&warm(&mut c, "ITEMS 2 p r q s", "")), [2, 0, 0]);
}

/// What is held to so short a time that no other test may run beside it.
mod alone {
    use super::*;

    #[test]
    fn ten_thousand_items_stall_nobody() {
        let server = Server::start();
        for json in [false, true] {
            let mut c = server.client();
            cmd!(c, "FLUSHALL").ok();
            let done = Arc::new(AtomicBool::new(false));
            let (over, mut other) = (Arc::clone(&done), server.client());
            let pings = thread::spawn(move || {
                let (mut count, mut longest) = (0, Duration::ZERO);
                while !over.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    assert_eq!(other.words("PING"), "PONG");
                    longest = longest.max(asked.elapsed());
                    count += 1;
                }
                (count, longest)
            });
            let response = "An answer of some length. ".repeat(20);
            let started = Instant::now();
            let told = match json {
                true => cmd!(c, "LLMCACHE.WARM", "faq", "JSON", array(10_000, &response)),
                false => c.cmd(&items("PERSIST", 10_000, &response)),
            };
            let took = started.elapsed();
            done.store(true, Ordering::Relaxed);
            let (count, longest) = pings.join().unwrap();
            println!("10,000 items in {took:?}; {count} pings meanwhile, the longest took {longest:?}");
            assert_eq!(sums(&told), [10_000, 0, 0]);
            assert_eq!(c.words("LLMCACHE.INFO faq").field("entries").int(), 10_000);
            assert_eq!(get(&mut c, "question 9999", ""), format!("{response} 9999").as_str());
            assert!(count > 20, "only {count} pings");
            assert!(longest < Duration::from_millis(150), "somebody waited {longest:?}");
        }
    }
}
