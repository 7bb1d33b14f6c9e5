//! ALERT: who is told when a figure goes beyond its bound, and that nobody is told twice.

use crate::harness::{args, cmd, Builder, Client, Pair, Reply, Server};
use crate::support::{both, get, id_of, now_ms, prompts, set, state, store};
use serde_json::Value;
use std::time::Duration;

const CHANNEL: &str = "llmcache:alert";

/// More than two rounds over all alerts.
const QUIET: Duration = Duration::from_millis(1300);

fn listener(server: &Server) -> Client {
    let mut listener = server.client();
    listener.subscribe(&[CHANNEL]);
    listener
}

#[track_caller]
fn event(listener: &mut Client) -> Value {
    let message = listener.message();
    assert_eq!(message.channel, CHANNEL);
    serde_json::from_str(&message.payload).unwrap_or_else(|e| panic!("{e}: {}", message.payload))
}

/// Waits for an event of `faq` and checks which it is.
#[track_caller]
fn hears(listener: &mut Client, name: &str, state: &str) -> Value {
    let told = event(listener);
    assert_eq!((&told["key"], &told["name"], &told["state"]), (&"faq".into(), &name.into(), &state.into()), "{told}");
    told
}

#[track_caller]
fn hears_nothing(listener: &mut Client) {
    assert_eq!(listener.message_within(QUIET), None);
}

fn alerts(c: &mut Client) -> Vec<Reply> {
    let list = c.words("LLMCACHE.ALERT faq LIST");
    if c.words("EXISTS faq") == 1 {
        assert_eq!(*c.words("LLMCACHE.INFO faq").field("alerts"), list, "INFO shows the same");
    }
    list.items().to_vec()
}

/// Name and state of each alert.
fn states(c: &mut Client) -> Vec<(String, String)> {
    alerts(c).iter().map(|alert| (alert.field("name").text(), alert.field("state").text())).collect()
}

fn firing(c: &mut Client, line: &str) -> Vec<String> {
    c.words(line).field("alerts").items().iter().map(|alert| alert.field("name").text()).collect()
}

#[test]
fn alerts_are_set_listed_and_deleted() {
    both(|c| {
        assert_eq!(c.words("LLMCACHE.ALERT faq LIST").items().len(), 0);
        assert_eq!(c.words("LLMCACHE.ALERT faq DEL none"), 0);
        assert_eq!(c.words("EXISTS faq"), 0, "neither makes a cache");
        c.words("LLMCACHE.ALERT faq SET cold hit_rate BELOW 0.5 WINDOW 3600").ok();
        c.words("LLMCACHE.ALERT faq SET slow GET_EXACT_US.p99 above 2500").ok();
        let told = alerts(c);
        let names = ["name", "figure", "direction", "bound", "window", "state", "since", "value"];
        assert_eq!(told[0].names(), names);
        for (alert, name, figure, direction, bound) in
            [(&told[0], "cold", "hit_rate", "below", 0.5), (&told[1], "slow", "get_exact_us.p99", "above", 2500.0)]
        {
            assert_eq!(*alert.field("name"), name);
            assert_eq!(*alert.field("figure"), figure);
            assert_eq!(*alert.field("direction"), direction);
            assert_eq!(alert.field("bound").number(), bound);
            assert_eq!(*alert.field("state"), "ok");
            assert!(alert.field("since").is_null() && alert.field("value").is_null(), "{name}");
        }
        assert_eq!(*told[0].field("window"), 3600);
        assert!(told[1].field("window").is_null());

        // One that is set again keeps its place and its spelling.
        c.words("LLMCACHE.ALERT faq SET COLD entries ABOVE -1.5").ok();
        let told = alerts(c);
        assert_eq!(*told[0].field("name"), "cold");
        assert_eq!((told[0].field("bound").number(), told[0].field("value").number()), (-1.5, 0.0));
        assert!(told[0].field("window").is_null(), "all of it is replaced");
        assert_eq!(c.words("LLMCACHE.ALERT faq DEL Cold"), 1);
        assert_eq!(c.words("LLMCACHE.ALERT faq DEL cold"), 0);
        assert_eq!(states(c), [("slow".into(), "ok".into())]);
        cmd!(c, "LLMCACHE.ALERT", "faq", "SET", "größe-🤝", "entries", "ABOVE", "1e3").ok();
        assert_eq!(cmd!(c, "LLMCACHE.ALERT", "faq", "DEL", "größe-🤝"), 1);
    });
}

#[test]
fn what_is_wrong_with_an_alert_is_named() {
    both(|c| {
        c.words("LLMCACHE.ALERT faq SET mine roi ABOVE 1000").ok();
        let before = state(c);
        let figure = "figure must be the name of a number in LLMCACHE.STATS, such as hit_rate or get_exact_us.p99";
        for (line, expected) in [
            ("SET x hitrate ABOVE 1", format!("{figure}, got 'hitrate'")),
            ("SET x alerts ABOVE 1", format!("{figure}, got 'alerts'")),
            ("SET x hit_rate OVER 1", "side must be ABOVE or BELOW, got 'OVER'".into()),
            ("SET x hit_rate ABOVE high", "ABOVE must be a decimal number such as 0.95 or -3, got 'high'".into()),
            ("SET x hit_rate BELOW nan", "BELOW must be a decimal number such as 0.95 or -3, got 'nan'".into()),
            ("SET x hit_rate BELOW", "BELOW needs a value".into()),
            ("SET x hit_rate BELOW 1 WINDOW 0", "WINDOW must be a whole number from 1 to 2678400, got '0'".into()),
            ("SET x hit_rate BELOW 1 FOR 5", "unknown option 'FOR' at argument 7".into()),
            ("DROP x", "action must be SET, DEL or LIST, got 'DROP'".into()),
            ("LIST all", "unknown option 'all' at argument 3".into()),
        ] {
            assert_eq!(c.words(&format!("LLMCACHE.ALERT faq {line}")).error(), format!("ERR {expected}"), "{line}");
        }
        for bad in [&b""[..], b"two words", b"\xff", b"line\n", &[b'x'; 65]] {
            let refused = cmd!(c, "LLMCACHE.ALERT", "faq", "SET", bad, "hits", "ABOVE", 1);
            assert!(
                refused.error().starts_with("ERR alert name must be 1 to 64 bytes of printable UTF-8"),
                "{refused:?}"
            );
        }
        cmd!(c, "SET", "text", "t").ok();
        assert!(c.words("LLMCACHE.ALERT text LIST").error().starts_with("WRONGTYPE "));
        assert_eq!(state(c), before);
        for i in 1..64 {
            c.words(&format!("LLMCACHE.ALERT faq SET n{i} roi ABOVE 1000")).ok();
        }
        let full = c.words("LLMCACHE.ALERT faq SET more roi ABOVE 1");
        assert_eq!(full.error(), "ERR ALERT would be one too many, a cache may have 64: delete one first");
        c.words("LLMCACHE.ALERT faq SET n1 roi BELOW -5").ok();
        assert_eq!(alerts(c).len(), 64);
    });
}

#[test]
fn an_alert_is_told_once_when_it_fires_and_once_when_it_stops() {
    for resp3 in [false, true] {
        let server = Server::start();
        let mut c = if resp3 { server.client3() } else { server.client() };
        let mut listener = if resp3 { server.client3() } else { server.client() };
        listener.subscribe(&[CHANNEL]);
        c.words("LLMCACHE.ALERT faq SET full entries ABOVE 2").ok();
        ["a", "b"].iter().for_each(|prompt| drop(store(&mut c, prompt, "r")));
        hears_nothing(&mut listener);
        let before = now_ms();
        store(&mut c, "c", "r");
        let told = hears(&mut listener, "full", "firing");
        let at = told["at"].as_u64().unwrap();
        let expected = format!(
            r#"{{"key":"faq","name":"full","figure":"entries","value":3,"bound":2,"state":"firing","at":{at}}}"#
        );
        assert_eq!(told, serde_json::from_str::<Value>(&expected).unwrap());
        assert!((before..=before + 1500).contains(&at), "{} ms later", at.wrapping_sub(before));
        let shown = alerts(&mut c)[0].clone();
        assert_eq!((shown.field("state").text(), shown.field("since").int()), ("firing".into(), at as i64));
        assert_eq!(*c.words("LLMCACHE.STATS faq").field("alerts").at(0), shown);
        let everywhere = c.words("LLMCACHE.STATS").field("alerts").at(0).clone();
        assert_eq!(*everywhere.field("key"), "faq");
        assert_eq!(everywhere.names()[1..], shown.names()[..]);

        // At the border, and on: nobody hears more of it.
        let id = id_of(&mut c, "c");
        cmd!(c, "LLMCACHE.DEL", "faq", id);
        ["c", "d", "e"].iter().for_each(|prompt| drop(store(&mut c, prompt, "r")));
        c.words("LLMCACHE.INVALIDATE faq MATCH [c-e]");
        hears_nothing(&mut listener);
        c.words("LLMCACHE.INVALIDATE faq MATCH b");
        let over = hears(&mut listener, "full", "ok");
        assert_eq!((&over["value"], &over["bound"]), (&1.into(), &2.into()));
        hears_nothing(&mut listener);
        assert!(firing(&mut c, "LLMCACHE.STATS faq").is_empty() && firing(&mut c, "LLMCACHE.STATS").is_empty());
        let log = server.log();
        let said = |state: &str| log.matches(&format!("alert 'full' of cache 'faq' is {state}: entries is ")).count();
        assert_eq!((said("firing"), said("ok")), (1, 1), "{log}");
        assert!(log.contains("is firing: entries is 3, watched for above 2"), "{log}");
    }
}

#[test]
fn a_share_is_told_of_with_its_fraction() {
    let server = Server::start();
    let (mut c, mut listener) = (server.client3(), listener(&server));
    c.words("LLMCACHE.ALERT faq SET cold hit_rate BELOW 0.98").ok();
    hears_nothing(&mut listener);
    store(&mut c, "p", "r");
    for prompt in ["p", "p", "p", "absent"] {
        get(&mut c, prompt, "");
    }
    let told = hears(&mut listener, "cold", "firing");
    assert_eq!((told["bound"].as_f64(), &told["figure"]), (Some(0.98), &"hit_rate".into()));
    assert!(told["value"].as_f64().is_some_and(|value| value < 0.98), "{told}");
    (0..150).for_each(|_| drop(get(&mut c, "p", "")));
    let told = hears(&mut listener, "cold", "ok");
    assert!(told["value"].as_f64().is_some_and(|value| value >= 0.99), "{told}");
}

#[test]
fn an_alert_that_is_changed_or_deleted_while_it_fires_says_that_it_is_over() {
    let server = Server::start();
    let (mut c, mut listener) = (server.client(), listener(&server));
    c.words("LLMCACHE.ALERT faq SET empty entries BELOW 1").ok();
    hears(&mut listener, "empty", "firing");
    c.words("LLMCACHE.ALERT faq SET EMPTY entries BELOW 2").ok();
    assert_eq!(hears(&mut listener, "empty", "ok")["bound"], 1);
    assert_eq!(hears(&mut listener, "empty", "firing")["bound"], 2);
    assert_eq!(c.words("LLMCACHE.ALERT faq DEL empty"), 1);
    let over = hears(&mut listener, "empty", "ok");
    assert_eq!((&over["value"], &over["bound"]), (&0.into(), &2.into()));
    // A cache that goes takes its alerts along without a word.
    c.words("LLMCACHE.ALERT faq SET empty entries BELOW 1").ok();
    hears(&mut listener, "empty", "firing");
    assert_eq!(c.words("DEL faq"), 1);
    hears_nothing(&mut listener);
    assert!(alerts(&mut c).is_empty());
}

#[test]
fn a_restart_tells_nobody_again() {
    let rewritten: fn(&mut Server) = |server| {
        server.rewrite_aof();
        server.crash_and_restart();
    };
    type Recipe = (fn(Builder) -> Builder, fn(&mut Server));
    let recipes: [Recipe; 4] = [
        (|b| b, Server::restart_from_rdb),
        (Builder::aof_always, Server::crash_and_restart),
        (Builder::aof_always, rewritten),
        (|b| b.aof_always().aof_of_commands(), rewritten),
    ];
    for (i, (recipe, restart)) in recipes.into_iter().enumerate() {
        let mut server = recipe(Server::builder()).start();
        let (mut c, mut told) = (server.client(), listener(&server));
        c.words("LLMCACHE.ALERT faq SET empty entries BELOW 1").ok();
        c.words("LLMCACHE.ALERT faq SET large memory_bytes ABOVE 1e9 WINDOW 60").ok();
        hears(&mut told, "empty", "firing");
        let before = alerts(&mut c);
        let kept = |alerts: &[Reply]| -> Vec<_> {
            let fields = ["name", "figure", "direction", "bound", "window", "state", "since"];
            alerts.iter().flat_map(|alert| fields.map(|name| format!("{:?}", alert.field(name)))).collect()
        };
        restart(&mut server);
        let (mut c, mut told) = (server.client(), listener(&server));
        assert_eq!(kept(&alerts(&mut c)), kept(&before), "recipe {i}");
        hears_nothing(&mut told);
        assert_eq!(firing(&mut c, "LLMCACHE.STATS faq"), ["empty"]);
        store(&mut c, "a", "r");
        store(&mut c, "b", "r");
        hears(&mut told, "empty", "ok");
        assert_eq!(server.log().matches("is firing: ").count(), 1, "recipe {i}");
    }
}

#[test]
fn a_replica_shows_alerts_and_leaves_them_to_its_primary() {
    let pair = Pair::start();
    let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client());
    let (mut told, mut silent) = (listener(&pair.primary), listener(&pair.replica));
    primary.words("LLMCACHE.ALERT faq SET busy lookups ABOVE 2").ok();
    primary.words("LLMCACHE.ALERT faq SET empty entries BELOW 1").ok();
    hears(&mut told, "empty", "firing");
    pair.wait_in_sync();
    let shown = |c: &mut Client| c.words("LLMCACHE.INFO faq").field("alerts").clone();
    assert_eq!(shown(&mut replica), shown(&mut primary));
    assert_eq!(firing(&mut replica, "LLMCACHE.STATS faq"), ["empty"]);
    for line in ["LIST", "SET x hits ABOVE 1", "DEL busy"] {
        assert!(replica.words(&format!("LLMCACHE.ALERT faq {line}")).error().starts_with("READONLY "), "{line}");
    }
    // What it counts by itself moves no alert.
    (0..5).for_each(|_| drop(get(&mut replica, "absent", "")));
    hears_nothing(&mut silent);
    assert_eq!(firing(&mut replica, "LLMCACHE.STATS faq"), ["empty"]);
    (0..5).for_each(|_| drop(get(&mut primary, "absent", "")));
    hears(&mut told, "busy", "firing");
    pair.wait_in_sync();
    assert_eq!(firing(&mut replica, "LLMCACHE.STATS faq"), ["busy", "empty"]);
    let digest = |c: &mut Client| c.words("DEBUG DIGEST-VALUE faq");
    assert_eq!(digest(&mut replica), digest(&mut primary));
    // A new primary goes on where the old one was.
    (0..5).for_each(|_| drop(get(&mut replica, "absent", "")));
    pair.promote();
    hears_nothing(&mut silent);
    assert_eq!(firing(&mut replica, "LLMCACHE.STATS faq"), ["busy", "empty"]);
    store(&mut replica, "a", "r");
    store(&mut replica, "b", "r");
    hears(&mut silent, "empty", "ok");
}

#[test]
fn an_alert_goes_with_its_cache_wherever_that_goes() {
    let server = Server::start();
    let (mut c, mut told) = (server.client(), listener(&server));
    c.words("LLMCACHE.ALERT faq SET full entries ABOVE 0.5").ok();
    for (line, db, key) in [("RENAME faq new", 0, "new"), ("MOVE new 3", 3, "new"), ("SWAPDB 3 5", 5, "new")] {
        assert!(!c.words(line).is_error(), "{line}");
        cmd!(c, "SELECT", db).ok();
        cmd!(c, "LLMCACHE.SET", key, "p", "r").ok();
        for state in ["firing", "ok"] {
            let event = event(&mut told);
            assert_eq!((&event["key"], &event["state"]), (&key.into(), &state.into()), "{line}");
            c.words(&format!("LLMCACHE.INVALIDATE {key} ALL"));
        }
        cmd!(c, "SELECT", if line.starts_with("RENAME") { 0 } else { 3 }).ok();
    }
    // A copy fires by itself, and its original does not stop.
    c.words("SELECT 5").ok();
    cmd!(c, "LLMCACHE.SET", "new", "p", "r").ok();
    assert_eq!(event(&mut told)["state"], "firing");
    assert_eq!(c.words("COPY new copy"), 1);
    let event = event(&mut told);
    assert_eq!((&event["key"], &event["state"]), (&"copy".into(), &"firing".into()));
    hears_nothing(&mut told);
}

#[test]
fn transactions_and_watchers_see_alerts_as_writes() {
    let server = Server::builder().aof_always().start();
    let (mut c, mut other, mut told) = (server.client(), server.client(), listener(&server));
    c.words("MULTI").ok();
    for line in ["SET empty entries BELOW 1", "SET empty entries BELOW 2", "LIST", "DEL empty", "DEL empty"] {
        assert_eq!(c.words(&format!("LLMCACHE.ALERT faq {line}")), "QUEUED");
    }
    let replies = c.words("EXEC");
    assert_eq!((replies.at(2).items().len(), replies.at(3).int(), replies.at(4).int()), (1, 1, 0));
    c.words("WATCH faq").ok();
    other.words("LLMCACHE.ALERT faq LIST");
    c.words("MULTI").ok();
    assert!(!c.words("EXEC").is_null(), "a list touches nothing");
    c.words("WATCH faq").ok();
    other.words("LLMCACHE.ALERT faq SET empty entries BELOW 1").ok();
    c.words("MULTI").ok();
    assert!(c.words("EXEC").is_null());
    hears(&mut told, "empty", "firing");
    let script = "return redis.call('LLMCACHE.ALERT', KEYS[1], 'DEL', 'empty')";
    assert_eq!(cmd!(c, "EVAL", script, 1, "faq"), 1);
    hears(&mut told, "empty", "ok");
}

#[test]
fn nothing_is_told_while_writes_are_paused() {
    let server = Server::start();
    let (mut c, mut told) = (server.client(), listener(&server));
    c.words("LLMCACHE.ALERT faq SET busy lookups ABOVE 1").ok();
    c.words("CLIENT PAUSE 100000 WRITE").ok();
    (0..3).for_each(|_| drop(get(&mut c, "absent", "")));
    hears_nothing(&mut told);
    c.words("CLIENT UNPAUSE").ok();
    hears(&mut told, "busy", "firing");
}

#[test]
fn every_cache_of_many_is_told_of_exactly_once() {
    const CACHES: usize = 3000;
    let server = Server::start();
    let (mut c, mut told) = (server.client(), listener(&server));
    let set = |i: usize| args!["LLMCACHE.ALERT", format!("c{i}"), "SET", "empty", "entries", "BELOW", 1];
    let commands: Vec<_> = (0..CACHES).map(set).collect();
    c.pipeline(&commands).into_iter().for_each(|reply| reply.ok());
    let keys = |told: &mut Client, state: &str| {
        let mut keys: Vec<_> = (0..CACHES)
            .map(|_| {
                let event = event(told);
                assert_eq!(event["state"], state);
                event["key"].as_str().unwrap().to_owned()
            })
            .collect();
        keys.sort();
        keys.dedup();
        keys.len()
    };
    assert_eq!(keys(&mut told, "firing"), CACHES);
    hears_nothing(&mut told);
    let fill = |i: usize| [0, 1].map(|n| args!["LLMCACHE.SET", format!("c{}", i), n, "r"]);
    c.pipeline(&(0..CACHES).flat_map(fill).collect::<Vec<_>>());
    assert_eq!(keys(&mut told, "ok"), CACHES);
    hears_nothing(&mut told);
}

#[test]
fn the_log_and_the_event_hold_names_of_any_bytes() {
    let server = Server::start();
    let (mut c, mut told) = (server.client(), listener(&server));
    let key = [&b"\x1b[31mred\r\n\xff\"\\"[..], &[b'k'; 500]].concat();
    store(&mut c, "a secret prompt", "r");
    cmd!(c, "LLMCACHE.SET", &key, "a secret prompt", "r").ok();
    cmd!(c, "LLMCACHE.ALERT", &key, "SET", "a'b\"\\", "entries", "ABOVE", "0.5").ok();
    let event = event(&mut told);
    let shown = String::from_utf8_lossy(&key).replace('\u{fffd}', "\u{fffd}ff");
    assert_eq!(event["key"], shown);
    assert_eq!(event["name"], "a'b\"\\");
    server.wait_for_log("is firing: entries is 1, watched for above 0.5");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("is firing")).unwrap();
    assert!(line.contains("alert 'a'b\"\\' of cache '?[31mred???\"\\kkk"), "{line}");
    assert!(line.len() < 400 && !line.chars().any(char::is_control) && !log.contains("secret"), "{line}");
}

#[test]
fn a_sum_over_all_caches_shows_the_alerts_that_the_user_may_see() {
    let server = Server::start();
    let (mut admin, mut told) = (server.client3(), listener(&server));
    for key in ["faq", "faq:2", "secret"] {
        cmd!(admin, "LLMCACHE.ALERT", key, "SET", "empty", "entries", "BELOW", 1).ok();
        event(&mut told);
    }
    let keys = |c: &mut Client| -> Vec<String> {
        let stats = c.words("LLMCACHE.STATS");
        let mut keys: Vec<_> = stats.field("alerts").items().iter().map(|alert| alert.field("key").text()).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&mut admin), ["faq", "faq:2", "secret"]);
    for (rules, seen) in [
        ("%R~faq*", &["faq", "faq:2"][..]),
        ("%W~*", &[]),
        ("~faq", &["faq"]),
        ("allkeys", &["faq", "faq:2", "secret"]),
    ] {
        admin.words("ACL DELUSER alice");
        admin.words(&format!("ACL SETUSER alice on >pw +@all {rules}")).ok();
        let mut c = server.client();
        c.words("AUTH alice pw").ok();
        assert_eq!(keys(&mut c), seen, "{rules}");
        assert_eq!(cmd!(c, "LLMCACHE.STATS").field("entries").int(), 0);
        c.words("MULTI").ok();
        c.words("LLMCACHE.STATS");
        assert_eq!(c.words("EXEC").at(0).field("alerts").items().len(), seen.len(), "{rules}");
    }
    // A script has no user that could be asked.
    let script = "local told = redis.call('LLMCACHE.STATS') return #told[#told]";
    assert_eq!(cmd!(admin, "EVAL", script, 0), 0);
    assert!(prompts(&mut admin, "").is_empty());
    assert!(!set(&mut admin, "p", "r", "").is_error());
}

/// What the server logs is a format: names in it must stay what they are.
#[test]
fn names_are_no_formats() {
    let server = Server::builder().config("loglevel debug").start();
    let (mut c, mut told) = (server.client(), listener(&server));
    let (key, name) = ("%s%n%p%lx%d", "a%s%n%x%%");
    cmd!(c, "LLMCACHE.SET", key, "p", "r").ok();
    cmd!(c, "LLMCACHE.ALERT", key, "SET", name, "entries", "ABOVE", "0.5").ok();
    assert_eq!((event(&mut told)["key"].as_str(), c.words("PING").text().as_str()), (Some(key), "PONG"));
    server.wait_for_log(&format!("alert '{name}' of cache '{key}' is firing"));
    c.words("CONFIG SET llmcache.log-prompts yes").ok();
    let prompt = "what is %s%n %p %lx in a format string";
    cmd!(c, "LLMCACHE.GET", key, prompt, "SIMILAR");
    cmd!(c, "LLMCACHE.SET", key, "What is %s%n %p %lx in a format string?", "r").ok();
    assert_eq!(cmd!(c, "LLMCACHE.GET", key, prompt, "SIMILAR"), "r");
    server.wait_for_log(&format!("similar lookup in cache '{key}': '{prompt}' has the answer of 'What is %s%n %p"));
}

/// Times are known since the beginning alone.
#[test]
fn an_alert_on_a_time_has_no_window() {
    both(|c| {
        for figure in ["get_exact_us.p99", "set_us.max"] {
            let refused =
                c.words(&format!("LLMCACHE.ALERT faq SET slow {figure} ABOVE 5 WINDOW 60")).error().to_owned();
            assert_eq!(refused, "ERR WINDOW cannot be given for a time, which is known since the beginning alone");
            c.words(&format!("LLMCACHE.ALERT faq SET slow {figure} ABOVE 5")).ok();
        }
    });
}

/// A script that sets alerts up may run again.
#[test]
fn the_same_rule_again_goes_on_as_it_stands() {
    let server = Server::start();
    let (mut c, mut told) = (server.client(), listener(&server));
    store(&mut c, "p", "r");
    c.words("LLMCACHE.ALERT faq SET full entries ABOVE 0").ok();
    assert_eq!(event(&mut told)["state"], "firing");
    c.words("LLMCACHE.ALERT faq SET FULL entries ABOVE 0").ok();
    hears_nothing(&mut told);
    c.words("LLMCACHE.ALERT faq SET full entries ABOVE 1").ok();
    assert_eq!(event(&mut told)["state"], "ok");
}
