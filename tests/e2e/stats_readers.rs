//! Who is told what by STATS without a key: sums are for everybody, names of those caches that one may read.

use crate::harness::{cmd, until, Client, Reply, Server, PATIENCE};
use crate::support::{at_one_moment, set, whole, SUMS};

/// Two caches, of which a user may read one; both have a scope, a model, a type and a tag of their own and one in common.
fn two_caches(server: &Server) -> Client {
    let mut c = server.client3();
    for (key, own, cost) in [("faq", "open", 1), ("closed", "hidden", 10)] {
        for name in [own, "common"] {
            let options = format!("SCOPE {name} MODEL {name} TYPE {name} TAGS 1 {name} PERSIST COST {cost}");
            let words: Vec<&str> = options.split(' ').collect();
            c.cmd(&[&["LLMCACHE.SET", key, "p", "r"][..], &words].concat()).ok();
            cmd!(c, "LLMCACHE.GET", key, "p", "SCOPE", name, "MODEL", name);
            cmd!(c, "LLMCACHE.STRATEGY", key, "SET", own, "TTL", 500).ok();
            cmd!(c, "LLMCACHE.SET", key, "q", "r", "STRATEGY", own).ok();
        }
        cmd!(c, "LLMCACHE.ALERT", key, "SET", format!("alert-of-{own}"), "entries", "ABOVE", 0).ok();
    }
    until("both alerts fire", PATIENCE, || c.words("LLMCACHE.STATS").field("alerts").items().len() == 2);
    c
}

fn user(server: &Server, rules: &str) -> Client {
    let mut admin = server.client();
    admin.words("ACL DELUSER alice");
    admin.words(&format!("ACL SETUSER alice on >pw +@all {rules}")).ok();
    let mut c = server.client3();
    c.words("AUTH alice pw").ok();
    c
}

#[test]
fn names_are_told_of_caches_that_the_user_may_read() {
    let server = Server::start();
    let mut admin = two_caches(&server);
    for rules in ["%R~faq", "~faq", "%R~faq %W~closed", "~f*", "resetkeys %R~faq ~others*"] {
        let mut alice = user(&server, rules);
        for window in ["", "WINDOW 3600"] {
            for dimension in ["scope", "model", "type", "tag", "strategy"] {
                let line = format!("LLMCACHE.STATS BY {dimension} {window}");
                let (all, told) = (admin.words(&line), alice.words(&line));
                assert!(all.names().contains(&"hidden".to_owned()), "{line}: {:?}", all.names());
                let names = told.names();
                assert!(!names.contains(&"hidden".to_owned()), "{rules} {line}: {names:?}");
                assert!(names.contains(&"open".to_owned()) && names.last().unwrap() == "other", "{line}: {names:?}");
                for name in SUMS.split_whitespace() {
                    let sum = |told: &Reply| -> i64 { told.pairs().iter().map(|(_, told)| whole(told, name)).sum() };
                    assert_eq!(sum(&told), sum(&all), "{rules} {line} {name}");
                }
                if dimension != "strategy" {
                    // What both have is told of the one, and its share of the other is with the rest.
                    assert_eq!([whole(told.field("common"), "hits"), whole(all.field("common"), "hits")], [1, 2]);
                    assert_eq!(told.field("common").field("cost_saved_usd").text(), "1.000000");
                }
                for format in ["json", "prometheus"] {
                    let text = alice.words(&format!("{line} FORMAT {format}")).text();
                    assert!(!text.contains("hidden") && !text.contains("closed"), "{rules} {line}: {text}");
                    assert!(text.contains("open") && text.contains("other"));
                    assert!(admin.words(&format!("{line} FORMAT {format}")).text().contains("hidden"));
                }
            }
            // Sums are for everybody, alerts are not.
            let line = format!("LLMCACHE.STATS {window}");
            let (all, told) = (admin.words(&line), alice.words(&line));
            SUMS.split_whitespace().for_each(|name| assert_eq!(told.field(name), all.field(name), "{name}"));
            assert_eq!(all.field("alerts").items().len(), 2);
            let [alert] = told.field("alerts").items() else { panic!("{told:?}") };
            assert_eq!([alert.field("key").text(), alert.field("name").text()], ["faq", "alert-of-open"]);
            for format in ["json", "prometheus"] {
                let text = alice.words(&format!("{line} FORMAT {format}")).text();
                assert!(
                    text.contains("alert-of-open") && !text.contains("closed") && !text.contains("hidden"),
                    "{text}"
                );
                assert!(admin.words(&format!("{line} FORMAT {format}")).text().contains("alert-of-hidden"));
            }
        }
        // With a key it is the server that refuses.
        for rest in ["", " BY scope", " WINDOW 5", " FORMAT json"] {
            let told = alice.words(&format!("LLMCACHE.STATS closed{rest}"));
            assert!(told.error().starts_with("NOPERM"), "{rules} {told:?}");
            assert!(!alice.words(&format!("LLMCACHE.STATS faq{rest}")).is_error());
        }
    }
}

#[test]
fn who_may_read_nothing_sees_sums_alone() {
    let server = Server::start();
    let mut admin = two_caches(&server);
    for rules in ["", "~others", "%W~*"] {
        let mut alice = user(&server, rules);
        for dimension in ["scope", "model", "type", "tag", "strategy"] {
            let told = alice.words(&format!("LLMCACHE.STATS BY {dimension}"));
            assert_eq!(told.names(), ["other"], "{rules}");
            assert_eq!(whole(told.field("other"), "hits"), 4);
        }
        assert!(alice.words("LLMCACHE.STATS").field("alerts").items().is_empty());
    }
    // Who may read everything sees everything, in a transaction as well.
    let mut alice = user(&server, "%R~*");
    let told = at_one_moment(&mut alice, &["LLMCACHE.STATS BY scope"]);
    assert_eq!(told[0], admin.words("LLMCACHE.STATS BY scope"));
    assert_eq!(alice.words("LLMCACHE.STATS").field("alerts").items().len(), 2);
    // What a user may do changes with the user.
    admin.words("ACL SETUSER alice resetkeys %R~faq").ok();
    assert!(!alice.words("LLMCACHE.STATS BY scope").names().contains(&"hidden".to_owned()));
}

#[test]
fn of_a_script_nobody_knows_the_user() {
    let server = Server::start();
    let mut admin = two_caches(&server);
    let script = "return redis.call('LLMCACHE.STATS', 'BY', 'scope', 'FORMAT', 'json')";
    for rules in ["%R~faq", "~*"] {
        for c in [&mut admin, &mut user(&server, rules)] {
            let text = cmd!(c, "EVAL", script, 0).text();
            assert!(text.contains("other") && !text.contains("open") && !text.contains("hidden"), "{text}");
        }
    }
    let text =
        cmd!(admin, "EVAL", "return redis.call('LLMCACHE.STATS', KEYS[1], 'BY', 'scope', 'FORMAT', 'json')", 1, "faq");
    assert!(text.text().contains("open"), "with a key there is nothing to be asked");
}

#[test]
fn a_cache_that_has_moved_is_asked_for_by_the_name_it_has() {
    let server = Server::start();
    let mut admin = two_caches(&server);
    let mut alice = user(&server, "%R~faq %R~seen");
    let names = |c: &mut Client| c.words("LLMCACHE.STATS BY scope").names();
    assert!(!names(&mut alice).contains(&"hidden".to_owned()));
    admin.words("RENAME closed seen").ok();
    assert!(names(&mut alice).contains(&"hidden".to_owned()), "it is called seen now");
    admin.words("RENAME seen closed").ok();
    assert!(!names(&mut alice).contains(&"hidden".to_owned()));
    admin.words("RENAME faq away").ok();
    assert_eq!(names(&mut alice), ["other"]);
    admin.words("COPY closed faq").int();
    assert!(names(&mut alice).contains(&"hidden".to_owned()));
    admin.words("DEL faq");
    set(&mut admin, "p", "r", "SCOPE mine").ok();
    assert!(names(&mut alice).contains(&"mine".to_owned()));
}

#[test]
fn who_may_not_go_to_a_database_hears_no_name_of_it() {
    let server = Server::start();
    let mut admin = two_caches(&server);
    assert_eq!(admin.words("MOVE closed 1"), 1);
    // Valkey 9.1 and newer can keep a user to some databases; everywhere SELECT can be taken away.
    let mut rules = vec!["~* -select"];
    if server.version().is_valkey(9, 1) {
        rules.push("~* db=0");
    }
    for rules in rules {
        let mut alice = user(&server, rules);
        let told = format!("{:?}", alice.words("LLMCACHE.STATS BY scope"));
        assert!(told.contains("open") && !told.contains("hidden"), "{rules}: {told}");
        let text = alice.words("LLMCACHE.STATS FORMAT json").text();
        assert!(text.contains("alert-of-open") && !text.contains("closed"), "{rules}: {text}");
    }
    let told = format!("{:?}", user(&server, "~*").words("LLMCACHE.STATS BY scope"));
    assert!(told.contains("hidden"), "{told}");
}
