//! WARM with plans: what is due, who gets it, and that plans go where their cache goes.

use crate::harness::{cmd, until, Client, Pair, Reply, Server, PATIENCE};
use crate::support::{digest, get, meta, pass, set};

/// Runs a test on two servers, the second time under RESP3: leases do not end with a test.
#[track_caller]
fn both(test: impl Fn(&mut Client)) {
    let servers = [Server::start(), Server::start()];
    test(&mut servers[0].client());
    test(&mut servers[1].client3());
}

/// A plan of these prompts, with options in front of them.
#[track_caller]
fn plan(c: &mut Client, line: &str, prompts: &[&str]) {
    let items: Vec<String> = prompts.iter().map(|prompt| format!(r#"{{"prompt":"{prompt}"}}"#)).collect();
    let mut words: Vec<String> = format!("LLMCACHE.WARM faq PLAN {line} JSON").split(' ').map(str::to_owned).collect();
    words.push(format!("[{}]", items.join(",")));
    c.cmd(&words).ok();
}

#[track_caller]
fn due(c: &mut Client, options: &str) -> Vec<Reply> {
    c.words(&format!("LLMCACHE.WARM faq DUE {options}")).items().to_vec()
}

/// The prompts that are handed out.
#[track_caller]
fn due_prompts(c: &mut Client, options: &str) -> Vec<String> {
    due(c, options).iter().map(|item| item.field("prompt").text()).collect()
}

#[track_caller]
fn standing(c: &mut Client, profile: &str, field: &str) -> i64 {
    let all = c.words("LLMCACHE.WARM faq STATUS");
    let one = all.items().iter().find(|one| *one.field("profile") == profile).expect("the profile is there");
    one.field(field).int()
}

#[test]
fn what_is_due_is_handed_out_with_all_that_a_worker_needs() {
    both(|c| {
        let items = r#"[
            {"prompt": "plain", "tags": ["a", "b"], "ex": 60},
            {"prompt": "with", "model": "n", "params": {"b": 1, "a": 2}, "meta": "{\"k\":1}"},
            {"request": {"model": "g", "messages": [{"role": "user", "content": "hi"}]}, "scope": "s"}
        ]"#;
        cmd!(c, "LLMCACHE.WARM", "faq", "PLAN", "p", "EVERY", 3600, "STALE", 5, "JSON", items).ok();
        let handed = due(c, "LEASE 60000");
        assert_eq!(handed.len(), 3);
        let told = handed.iter().find(|item| item.get("prompt").is_some_and(|prompt| *prompt == "with")).unwrap();
        assert_eq!(told.names(), ["prompt", "identity", "profile", "token", "options"]);
        let identity = told.field("identity");
        assert_eq!(identity.names(), ["model", "params", "id"]);
        assert_eq!(
            (identity.field("model").text(), identity.field("params").text()),
            ("n".into(), r#"{"a":2,"b":1}"#.into())
        );
        assert_eq!(told.field("profile").text(), "p");
        assert_eq!(told.field("token").text().len(), 32);
        assert_eq!(
            told.field("options").texts(),
            ["META", r#"{"k":1}"#, "MODEL", "n", "PARAMS", r#"{"a":2,"b":1}"#, "STALE", "5"]
        );
        // What a worker stores with these words is what was planned.
        for item in &handed {
            let asked = item.get("prompt").unwrap_or_else(|| item.field("request")).bytes().to_vec();
            let mut words: Vec<Vec<u8>> = ["LLMCACHE.SET", "faq"].map(|word| word.as_bytes().to_vec()).into();
            words.extend([asked, b"answer".to_vec()]);
            words.extend(item.field("options").items().iter().map(|word| word.bytes().to_vec()));
            words.extend([b"TOKEN".to_vec(), item.field("token").bytes().to_vec()]);
            c.cmd(&words).ok();
            assert!(c.cmd(&words).is_null(), "the token is used up");
            let id = item.field("identity").field("id").text();
            assert!(!cmd!(c, "LLMCACHE.ENTRY", "faq", id).is_null());
        }
        assert_eq!(["missing", "due", "out"].map(|field| standing(c, "p", field)), [0, 0, 0]);
    });
}

#[test]
fn the_missing_come_first_then_the_oldest() {
    both(|c| {
        set(c, "soon", "r", "EX 20").ok();
        set(c, "fine", "r", "EX 10000").ok();
        set(c, "stale", "r", "PX 1 STALE 1000").ok();
        pass(5);
        plan(c, "p EVERY 3600 LIMIT 10", &["fine", "soon", "stale", "missing"]);
        assert_eq!(due_prompts(c, "LEASE 1"), ["missing", "stale"]);
        pass(5);
        assert_eq!(due_prompts(c, "LEASE 1 WITHIN 60"), ["missing", "stale", "soon"]);
        pass(5);
        assert_eq!(due_prompts(c, "LEASE 1 COUNT 1"), ["missing"]);
        plan(c, "p EVERY 1 LIMIT 10", &["fine", "missing"]);
        assert_eq!(standing(c, "p", "items"), 2, "a plan takes the place of another of its name");
        pass(1010);
        assert_eq!(due_prompts(c, "LEASE 1"), ["missing", "fine"]);
        set(c, "fine", "new", "EX 10000").ok();
        pass(5);
        assert_eq!(due_prompts(c, "LEASE 1"), ["missing"], "it is as new as it has to be");
    });
}

#[test]
fn each_goes_to_one_worker_and_never_more_than_the_limit() {
    both(|c| {
        plan(c, "p EVERY 60", &["1", "2", "3", "4", "5"]);
        let first = due_prompts(c, "COUNT 2 LEASE 150");
        let second = due_prompts(c, "LEASE 150");
        assert_eq!((first.len(), second.len()), (2, 1), "three are out by default");
        assert!(!first.contains(&second[0]));
        assert!(due_prompts(c, "").is_empty());
        assert_eq!(
            ["out", "missing", "due", "limit", "every", "items"].map(|f| standing(c, "p", f)),
            [3, 5, 2, 3, 60, 5]
        );
        until("leases that run out come back", PATIENCE, || due_prompts(c, "LEASE 100 COUNT 1").len() == 1);
    });
}

#[test]
fn workers_never_get_the_same() {
    let server = Server::start();
    let mut c = server.client();
    let names: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    plan(&mut c, "p EVERY 3600 LIMIT 10000", &names);
    plan(&mut c, "q EVERY 3600 LIMIT 10000", &names[..200]);
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let mut c = server.client();
            std::thread::spawn(move || {
                let mut mine = Vec::new();
                loop {
                    let got = due_prompts(&mut c, "COUNT 7 LEASE 600000");
                    if got.is_empty() {
                        return mine;
                    }
                    mine.extend(got);
                }
            })
        })
        .collect();
    let mut all: Vec<String> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    assert_eq!(all.len(), 400);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 400);
}

#[test]
fn profiles_take_turns_and_may_be_named() {
    both(|c| {
        plan(c, "a EVERY 60 LIMIT 10", &["a1", "a2", "a3"]);
        plan(c, "b EVERY 60 LIMIT 10", &["b1", "b2", "b3"]);
        assert_eq!(due_prompts(c, "COUNT 4 LEASE 1"), ["a1", "b1", "a2", "b2"]);
        pass(5);
        assert_eq!(due_prompts(c, "PROFILE b LEASE 1"), ["b1", "b2", "b3"]);
        assert!(due_prompts(c, "PROFILE none").is_empty());
        assert_eq!(c.words("LLMCACHE.WARM faq UNPLAN b"), 1);
        assert_eq!(c.words("LLMCACHE.WARM faq UNPLAN b"), 0);
        assert_eq!(c.words("LLMCACHE.WARM faq STATUS").items().len(), 1);
        pass(5);
        assert_eq!(due_prompts(c, "LEASE 1"), ["a1", "a2", "a3"]);
    });
}

#[test]
fn what_cannot_be_planned_is_an_error() {
    both(|c| {
        plan(c, "p EVERY 60", &["1"]);
        let before = digest(c, "faq");
        for (line, json, error) in [
            ("PLAN p EVERY 5 JSON", "[{\"prompt\":\"a\"},{\"prompt\":\"\"}]", "ERR item 1: prompt may not be empty"),
            ("PLAN p EVERY 5 JSON", "[{\"prompt\":\"a\",\"response\":\"r\"}]", "ERR item 0: unknown key 'response'"),
            ("PLAN p EVERY 5 JSON", "{}", "ERR JSON must be an array of JSON"),
            ("PLAN p EVERY 0 JSON", "[]", "ERR EVERY must be "),
            ("PLAN p JSON", "[]", "ERR PLAN needs EVERY seconds as well"),
            ("PLAN p EVERY 5 NX JSON", "[]", "ERR PLAN and NX exclude each other"),
            ("DUE COUNT", "x", "ERR COUNT must be "),
            ("STATUS", "x", "ERR unknown option 'x' at argument 3"),
        ] {
            let mut words = vec!["LLMCACHE.WARM", "faq"];
            words.extend(line.split(' '));
            words.push(json);
            let told = c.cmd(&words);
            assert!(told.error().starts_with(error), "{line}: {told:?}");
        }
        let many = format!("[{}]", vec!["{\"prompt\":\"a\"}"; 10_001].join(","));
        let told = cmd!(c, "LLMCACHE.WARM", "faq", "PLAN", "p", "EVERY", 5, "JSON", many);
        assert!(told.error().contains("at most 10000 items"), "{told:?}");
        assert_eq!(digest(c, "faq"), before);
        for n in 1..64 {
            plan(c, &format!("p{n} EVERY 5"), &[]);
        }
        assert!(cmd!(c, "LLMCACHE.WARM", "faq", "PLAN", "q", "EVERY", 5, "JSON", "[]").error().contains("64"));
        // Reads of a cache that is not there make none.
        assert!(c.words("LLMCACHE.WARM none STATUS").items().is_empty());
        assert!(c.words("LLMCACHE.WARM none DUE").items().is_empty());
        assert_eq!(c.words("LLMCACHE.WARM none UNPLAN p"), 0);
        assert_eq!(c.words("DBSIZE"), 1);
        c.words("SET text t").ok();
        for line in ["STATUS", "DUE", "UNPLAN p", "PLAN p EVERY 1 JSON []"] {
            assert!(c.words(&format!("LLMCACHE.WARM text {line}")).error().starts_with("WRONGTYPE"), "{line}");
        }
    });
}

#[test]
fn plans_are_counted_and_keep_within_the_limit() {
    both(|c| {
        let long = "x".repeat(50_000);
        plan(c, "p EVERY 60", &[&long]);
        let with = cmd!(c, "MEMORY", "USAGE", "faq").int();
        c.words("LLMCACHE.WARM faq UNPLAN p");
        let without = cmd!(c, "MEMORY", "USAGE", "faq").int();
        assert!(with > without + 50_000, "{with} {without}");
        cmd!(c, "LLMCACHE.ALTER", "faq", "MAXMEMORY", without + 20_000).ok();
        let items = format!(r#"[{{"prompt":"{long}"}}]"#);
        let refused = cmd!(c, "LLMCACHE.WARM", "faq", "PLAN", "p", "EVERY", 60, "JSON", &items);
        assert!(refused.error().starts_with("ERR MAXMEMORY must be "), "{refused:?}");
        assert!(c.words("LLMCACHE.WARM faq STATUS").items().is_empty());
    });
}

#[test]
fn plans_go_where_their_cache_goes() {
    let pair = Pair::start();
    let mut c = pair.primary.client();
    plan(&mut c, "p EVERY 60 LIMIT 2 MODEL m", &["1", "2"]);
    plan(&mut c, "q EVERY 30", &["3"]);
    plan(&mut c, "gone EVERY 30", &["4"]);
    c.words("LLMCACHE.WARM faq UNPLAN gone");
    assert_eq!(c.words("COPY faq twin"), 1);
    assert_eq!(digest(&mut c, "twin"), digest(&mut c, "faq"));
    let dump = cmd!(c, "DUMP", "faq").bytes().to_vec();
    cmd!(c, "RESTORE", "again", 0, dump).ok();
    assert_eq!(digest(&mut c, "again"), digest(&mut c, "faq"));
    pair.wait_in_sync();
    let mut replica = pair.replica.client();
    assert_eq!(digest(&mut replica, "faq"), digest(&mut c, "faq"));
    replica.words("CONFIG SET replica-read-only no").ok();
    assert!(due(&mut replica, "").is_empty(), "leases are the primary's");
    assert_eq!(replica.words("LLMCACHE.WARM faq STATUS").items().len(), 2);
    pair.promote();
    let told = replica.words("LLMCACHE.WARM faq STATUS");
    let names: Vec<String> = told.items().iter().map(|one| one.field("profile").text()).collect();
    assert_eq!(names, ["p", "q"]);
    assert_eq!(due(&mut replica, "").len(), 3);
    c.words("LLMCACHE.WARM faq UNPLAN q");
    assert_ne!(digest(&mut c, "faq"), digest(&mut c, "twin"), "a plan is part of what a cache is");
    c.words("LLMCACHE.INVALIDATE faq ALL");
    assert_eq!(c.words("LLMCACHE.WARM faq STATUS").items().len(), 1, "plans are no entries");
}

#[test]
fn plans_outlive_restarts() {
    let mut server = Server::builder().aof_always().start();
    let mut c = server.client();
    plan(&mut c, "p EVERY 60 LIMIT 2 MODEL m", &["1", "2"]);
    let before = digest(&mut c, "faq");
    server.crash_and_restart();
    assert_eq!(digest(&mut server.client(), "faq"), before);
    server.rewrite_aof();
    server.crash_and_restart();
    assert_eq!(digest(&mut server.client(), "faq"), before);
    let mut server = Server::start();
    let mut c = server.client();
    plan(&mut c, "p EVERY 60 LIMIT 2 MODEL m", &["1", "2"]);
    let before = digest(&mut c, "faq");
    server.restart_from_rdb();
    let mut c = server.client();
    assert_eq!(digest(&mut c, "faq"), before);
    assert_eq!(due_prompts(&mut c, ""), ["1", "2"]);
}

#[test]
fn ten_thousand_items_can_be_planned() {
    let server = Server::start();
    let mut c = server.client();
    let names: Vec<String> = (0..10_000).map(|n| format!("question {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    plan(&mut c, "p EVERY 3600 LIMIT 10000", &names);
    assert_eq!(["items", "missing", "looked_at"].map(|field| standing(&mut c, "p", field)), [10_000; 3]);
    assert_eq!(due(&mut c, "COUNT 10000").len(), 10_000);
    assert_eq!(standing(&mut c, "p", "out"), 10_000);
}

#[test]
fn its_leases_are_those_of_fetch() {
    both(|c| {
        plan(c, "p EVERY 60", &["1", "2"]);
        let fetch = |c: &mut Client, prompt: &str| cmd!(c, "LLMCACHE.FETCH", "faq", prompt, "LEASE", 60000);
        assert_eq!(*fetch(c, "1").field("state"), "lease");
        assert_eq!(standing(c, "p", "out"), 1, "somebody computes it already");
        let handed = due(c, "");
        assert_eq!(handed.len(), 1);
        assert_eq!(*fetch(c, "2").field("state"), "wait");
        let token = handed[0].field("token").text();
        assert_eq!(cmd!(c, "LLMCACHE.RELEASE", "faq", &token), 1);
        assert_eq!(due_prompts(c, ""), ["2"], "what is given back is due again");
        assert!(cmd!(c, "LLMCACHE.SET", "faq", "2", "late", "TOKEN", &token).is_null());
        set(c, "1", "r", "EX 100").ok();
        assert_eq!(standing(c, "p", "out"), 1, "an answer ends the lease");
    });
}

#[test]
fn what_is_asked_for_and_soon_expires_is_handed_out_behind_the_plan() {
    both(|c| {
        plan(c, "p EVERY 3600 LIMIT 4 HOT 2 EX 500", &["planned"]);
        set(c, "planned", "r", "EX 1000").ok();
        for (prompt, hits, options) in [
            ("cold", 0, "EX 20"),
            ("warm", 1, "EX 20"),
            ("hot", 2, "EX 20 TYPE t TAGS 2 a b"),
            ("hotter", 3, "EX 20 MODEL m SCOPE s"),
            ("late", 9, "EX 200"),
        ] {
            set(c, prompt, "old", options).ok();
            let options = if options.contains("MODEL") { "MODEL m SCOPE s" } else { "" };
            (0..hits).for_each(|_| drop(get(c, prompt, options)));
        }
        assert!(due_prompts(c, "").is_empty(), "nothing expires yet");
        let handed = due(c, "WITHIN 100 LEASE 60000");
        let prompts: Vec<_> = handed.iter().map(|item| item.field("prompt").text()).collect();
        assert_eq!(prompts, ["hotter", "hot"]);
        assert!(due_prompts(c, "WITHIN 100").is_empty(), "they are out");
        assert_eq!((standing(c, "p", "out"), standing(c, "p", "hot")), (2, 2));
        for item in &handed {
            let mut words = vec!["LLMCACHE.SET".to_owned(), "faq".into(), item.field("prompt").text(), "new".into()];
            words.extend(item.field("options").texts());
            words.extend(["TOKEN".into(), item.field("token").text()]);
            c.cmd(&words).ok();
        }
        let told = meta(c, "hotter", "MODEL m SCOPE s");
        assert_eq!((told.field("response").text(), told.field("ttl").int() > 400), ("new".into(), true));
        let told = meta(c, "hot", "");
        assert_eq!((told.field("type").text(), told.field("tags").texts()), ("t".into(), vec!["a".into(), "b".into()]));
        assert_eq!(due_prompts(c, "WITHIN 100"), ["warm"], "and what was refreshed is fresh");
    });
}
