//! The harness against servers without the module: what it says of them must be so.

use crate::harness::{args, cmd, until, Builder, Client, Message, Pair, Reply, Server};
use std::time::Duration;

fn plain() -> Builder {
    Server::builder().plain()
}

const SOON: Duration = Duration::from_millis(100);

#[test]
fn resp2_tells_maps_as_flat_arrays() {
    let server = plain().start();
    let mut c = server.client();
    cmd!(c, "SET", "bytes", b"\x00\xff\r\n").ok();
    assert_eq!(cmd!(c, "GET", "bytes").bytes(), b"\x00\xff\r\n");
    assert!(cmd!(c, "GET", "none").is_null());
    assert_eq!(cmd!(c, "INCRBY", "n", 41i64 + 1), 42);
    cmd!(c, "HSET", "h", "a", 1, String::from("b"), 2.5);
    let all = cmd!(c, "HGETALL", "h");
    assert!(matches!(all, Reply::Array(_)));
    assert_eq!(*all.field("a"), "1");
    assert_eq!(all.field("b").number(), 2.5);
    assert_eq!(all.names(), ["a", "b"]);
    assert!(all.get("c").is_none());
    assert!(cmd!(c, "LPUSH", "h", "x").error().starts_with("WRONGTYPE "));
    assert_eq!(c.words("GET none extra").error(), "ERR wrong number of arguments for 'get' command");
}

#[test]
fn resp3_has_types_of_its_own() {
    let server = plain().resp3().start();
    let mut c = server.client();
    cmd!(c, "HSET", "h", "a", 1);
    let all = cmd!(c, "HGETALL", "h");
    assert!(matches!(all, Reply::Map(_)));
    assert_eq!(*all.field("a"), "1");
    cmd!(c, "ZADD", "z", 1.5, "m");
    assert_eq!(cmd!(c, "ZSCORE", "z", "m"), Reply::Double(1.5));
    cmd!(c, "SADD", "s", "m");
    assert_eq!(cmd!(c, "SMEMBERS", "s"), Reply::Set(vec![Reply::Bulk(b"m".to_vec())]));
    assert_eq!(cmd!(c, "DEBUG", "PROTOCOL", "true"), Reply::Bool(true));
    assert_eq!(cmd!(c, "DEBUG", "PROTOCOL", "null"), Reply::Null);
    assert!(matches!(cmd!(c, "DEBUG", "PROTOCOL", "double"), Reply::Double(n) if n > 3.1 && n < 3.2));
    assert_eq!(cmd!(c, "DEBUG", "PROTOCOL", "bignum").text(), "1234567999999999999999999999999999999");
    assert!(matches!(cmd!(c, "DEBUG", "PROTOCOL", "verbatim"), Reply::Verbatim { format, .. } if format == "txt"));
    // A reply behind an attribute, and one with a push before it (in Redis 7.0) or behind it (in all others).
    assert!(cmd!(c, "DEBUG", "PROTOCOL", "attrib").text().starts_with("Some real reply"));
    c.send(&["DEBUG", "PROTOCOL", "push"]);
    assert!(matches!(c.push(), Reply::Push(_)));
    assert!(c.read().text().starts_with("Some real reply"));
    assert_eq!(cmd!(c, "PING"), "PONG");
}

#[test]
fn the_very_bytes_can_be_seen() {
    let server = plain().start();
    let (mut two, mut three) = (server.client(), server.client3());
    assert_eq!(two.raw(&["GET", "none"]), b"$-1\r\n");
    assert_eq!(three.raw(&["GET", "none"]), b"_\r\n");
    cmd!(two, "SET", "k", "v").ok();
    assert_eq!(two.raw(&["GET", "k"]), b"$1\r\nv\r\n");
    two.send_raw(b"PING\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(two.read(), "PONG");
    assert_eq!(two.read(), "PONG");
    two.send_raw(b"*1\r\n$x\r\n");
    assert!(two.read().error().contains("Protocol error"));
    assert!(two.is_closed_by_server());
}

#[test]
fn a_pipeline_answers_in_order() {
    let server = plain().start();
    let mut c = server.client();
    let commands: Vec<_> = (0..1000).map(|i| args!["ECHO", i]).collect();
    let replies = c.pipeline(&commands);
    assert!(replies.iter().enumerate().all(|(i, reply)| *reply == i.to_string().as_str()));
    let big = vec![b'x'; 5_000_000];
    assert_eq!(cmd!(c, "ECHO", big).bytes(), big);
}

#[test]
fn a_blocked_client_is_seen_to_wait() {
    let server = plain().start();
    let (mut waiter, mut other) = (server.client(), server.client());
    waiter.send(&["BLPOP", "list", "0"]);
    assert_eq!(waiter.read_within(SOON), None);
    cmd!(other, "RPUSH", "list", "x");
    assert_eq!(waiter.read().texts(), ["list", "x"]);
}

#[test]
fn messages_arrive_in_both_protocols() {
    let server = plain().config("notify-keyspace-events KEA").start();
    for mut listener in [server.client(), server.client3()] {
        listener.subscribe(&["news", "more"]);
        assert_eq!(listener.message_within(SOON), None);
        cmd!(server.client(), "PUBLISH", "news", "hello");
        assert_eq!(listener.message(), Message { channel: "news".into(), payload: "hello".into() });
    }
    let mut events = server.client3();
    events.subscribe(&["__keyevent@0__:*"]);
    cmd!(server.client(), "SET", "k", "v").ok();
    assert_eq!(events.message(), Message { channel: "__keyevent@0__:set".into(), payload: "k".into() });
    assert_eq!(cmd!(events, "ECHO", "a reply between the pushes"), "a reply between the pushes");
}

#[test]
fn a_restart_keeps_what_was_saved() {
    let mut server = plain().start();
    let pid = server.pid();
    cmd!(server.client(), "SET", "k", "v").ok();
    server.restart_from_rdb();
    assert_ne!(server.pid(), pid);
    assert_eq!(cmd!(server.client(), "GET", "k"), "v");
    cmd!(server.client(), "SET", "k", "lost").ok();
    server.restart();
    assert_eq!(cmd!(server.client(), "GET", "k"), "v");
    server.reconfigure(|how| how.save("3600 1"));
    server.restart();
    cmd!(server.client(), "SET", "k", "saved by SIGTERM").ok();
    assert!(server.stop().success());
    assert!(!server.is_running());
    server.start_again();
    assert_eq!(cmd!(server.client(), "GET", "k"), "saved by SIGTERM");
}

#[test]
fn kill_9_loses_nothing_that_an_aof_always_has_acknowledged() {
    let mut server = plain().aof_always().aof_of_commands().start();
    let addr = server.addr();
    let writer = std::thread::spawn(move || {
        let mut c = Client::connect(addr).unwrap();
        (0u64..).take_while(|i| matches!(c.try_cmd(&["SET", "k", &i.to_string()]), Ok(reply) if reply.is_ok())).last()
    });
    let mut c = server.client();
    until("a hundred writes", Duration::from_secs(10), || {
        let reply = cmd!(c, "GET", "k");
        !reply.is_null() && reply.number() >= 100.0
    });
    server.crash_and_restart();
    let acknowledged = writer.join().unwrap().unwrap();
    let found = cmd!(server.client(), "GET", "k").number();
    // One write more may have reached the disk than its reply the client.
    assert!(found == acknowledged as f64 || found == (acknowledged + 1) as f64, "{found} after {acknowledged}");
}

#[test]
fn an_aof_is_rewritten_and_read_again() {
    let mut server = plain().aof_everysec().aof_of_commands().start();
    cmd!(server.client(), "SET", "k", "v").ok();
    server.rewrite_aof();
    server.bgsave();
    server.crash_and_restart();
    assert_eq!(cmd!(server.client(), "GET", "k"), "v");
}

#[test]
fn a_replica_follows_and_can_be_promoted() {
    let pair = Pair::with(Builder::plain);
    let mut primary = pair.primary.client();
    for i in 0..100 {
        cmd!(primary, "RPUSH", "list", i);
    }
    pair.wait_in_sync();
    let mut replica = pair.replica.client();
    assert_eq!(cmd!(replica, "LLEN", "list"), 100);
    assert!(cmd!(replica, "SET", "k", "v").error().starts_with("READONLY "));
    pair.promote();
    cmd!(replica, "SET", "k", "v").ok();
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let log = plain().config("no-such-option yes").fails_to_start();
    assert!(log.contains("no-such-option"), "{log}");
    let mut server = plain().start();
    server.stop();
    server.reconfigure(|how| how.config("maxmemory much"));
    assert!(server.fails_to_start_again().contains("maxmemory"));
    let lone = std::panic::catch_unwind(|| plain().binary("/no/such/redis-server").start().port());
    let said = lone.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("make setup") && said.contains("LLMCACHE_REDIS_SERVER"), "{said}");
}

#[test]
fn a_server_is_gone_with_its_value() {
    let server = plain().start();
    let (addr, dir) = (server.addr(), server.dir().to_owned());
    assert!(dir.join("log").is_file());
    assert!(server.log().contains("Ready to accept connections"));
    drop(server);
    assert!(Client::connect(addr).is_err());
    assert!(!dir.exists());
}

#[test]
fn a_hanging_server_is_given_up() {
    let server = plain().start();
    let mut c = server.client();
    c.set_patience(SOON);
    server.signal("STOP");
    assert_eq!(c.try_cmd(&["PING"]).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    server.signal("CONT");
    assert_eq!(cmd!(server.client(), "PING"), "PONG");
}

#[test]
fn cluster_nodes_have_a_bus_of_their_own() {
    let server = plain().cluster().start();
    assert_eq!(server.client().info_field("cluster", "cluster_enabled").as_deref(), Some("1"));
}

#[test]
fn a_wait_ends_with_its_reason() {
    let caught = std::panic::catch_unwind(|| until("pigs fly", SOON, || false));
    assert!(caught.unwrap_err().downcast::<String>().unwrap().contains("in vain: pigs fly"));
}
