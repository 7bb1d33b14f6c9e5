//! The module as a part of the server: COMMAND, ACL, settings, arguments, INFO, logs.

use crate::harness::{args, cmd, Client, Reply, Server};
use crate::support::{both, get, prompts, set, store, COMMANDS};

const READS: [&str; 8] = ["get", "scan", "entry", "ttl", "info", "stats", "resetstats", "explain"];
const SETTINGS: [(&str, &str); 5] = [
    ("llmcache.max-prompt-bytes", "1048576"),
    ("llmcache.max-response-bytes", "67108864"),
    ("llmcache.memory-reserve-percent", "5"),
    ("llmcache.memory-usd-per-gb-month", "0.000000"),
    ("llmcache.log-prompts", "no"),
];

fn name_of(line: &str) -> &str {
    line.split(' ').next().unwrap()
}

/// Redis 7.0 knows no way for a module's commands into a category.
fn has_categories(server: &Server) -> bool {
    server.version().is_redis(7, 2) || server.version().is_valkey(7, 2)
}

fn setting(c: &mut Client, name: &str) -> String {
    cmd!(c, "CONFIG", "GET", name).field(name).text()
}

#[test]
fn command_info_tells_flags_and_keys_of_every_command() {
    let server = Server::start();
    let mut c = server.client();
    for line in COMMANDS {
        let name = name_of(line);
        let info = cmd!(c, "COMMAND", "INFO", name).at(0).clone();
        let short = name.trim_start_matches("LLMCACHE.").to_lowercase();
        let flags = info.at(2).texts();
        let kind = if READS.contains(&short.as_str()) { ["readonly", "write"] } else { ["write", "readonly"] };
        // To forget what was counted is neither.
        let is_neither = short == "resetstats";
        assert_eq!(flags.contains(&kind[0].into()), !is_neither, "{name}: {flags:?}");
        assert!(!flags.contains(&kind[1].into()), "{name}: {flags:?}");
        let skipped = ["skip_slowlog", "skip_commandlog"].iter().any(|flag| flags.contains(&(*flag).into()));
        assert!(skipped, "{name}: {flags:?}");
        assert!(
            !flags.contains(&"denyoom".into()) || !["set", "del", "invalidate"].contains(&short.as_str()),
            "{name}: {flags:?}"
        );
        if has_categories(&server) {
            let categories = info.at(6).texts();
            let category = format!("@{}", kind[0].replace("readonly", "read"));
            assert_eq!(categories.contains(&category), !is_neither, "{name}: {categories:?}");
        }
        assert_eq!(*info.at(3), 1, "{name}");
        // Where the key may be missing the module tells it, by the next test.
        if name.ends_with("STATS") {
            continue;
        }
        let spec = info.at(8).at(0);
        let spec_flags = spec.field("flags").texts();
        assert!(
            spec_flags.contains(&(if kind[0] == "readonly" { "RO" } else { "RW" }).into())
                || spec_flags.contains(&"RM".into()),
            "{name}: {spec_flags:?}"
        );
        assert_eq!(*spec.field("begin_search").field("type"), "index", "{name}");
    }
    let listed = cmd!(c, "COMMAND", "LIST", "FILTERBY", "MODULE", "llmcache").texts();
    for line in COMMANDS {
        assert!(listed.iter().any(|name| name.eq_ignore_ascii_case(name_of(line))), "{line}: {listed:?}");
    }
}

#[test]
fn command_docs_describe_every_command() {
    let server = Server::start();
    let mut c = server.client3();
    for line in COMMANDS {
        let name = name_of(line);
        let docs = cmd!(c, "COMMAND", "DOCS", name);
        let (_, docs) = docs.pairs()[0];
        assert!(docs.field("summary").text().len() > 10, "{name}");
        assert!(docs.field("complexity").text().starts_with("O("), "{name}");
        let arguments = docs.field("arguments");
        assert_eq!(*arguments.at(0).field("type"), "key", "{name}");
    }
    let set = cmd!(c, "COMMAND", "DOCS", "LLMCACHE.SET");
    let told = format!("{set:?}");
    for token in ["NX", "XX", "EX", "PXAT", "KEEPTTL", "TAGS", "COST", "META", "REQUEST", "STRATEGY"] {
        assert!(
            set.pairs()[0].1.field("arguments").items().iter().any(|argument| mentions(argument, token)),
            "{token}: {told}"
        );
    }
}

/// Documentation of a part of an option that may be repeated.
#[test]
fn a_price_is_documented_with_its_cached_one() {
    let server = Server::start();
    let docs = cmd!(server.client3(), "COMMAND", "DOCS", "LLMCACHE.ALTER");
    let arguments = docs.pairs()[0].1.field("arguments");
    let price = arguments.items().last().expect("the last option");
    assert_eq!(price.field("flags").texts(), ["optional", "multiple"]);
    let [given, cached] = price.field("arguments").items() else { panic!("{price:?}") };
    assert_eq!((given.field("token").text(), given.field("arguments").items().len()), ("PRICE".into(), 3));
    assert_eq!((cached.field("token").text(), cached.field("type").text()), ("CACHED".into(), "double".into()));
    assert_eq!(cached.field("flags").texts(), ["optional"]);
}

fn mentions(argument: &Reply, token: &str) -> bool {
    argument.get("token").is_some_and(|found| *found == token)
        || argument.get("arguments").is_some_and(|inner| inner.items().iter().any(|argument| mentions(argument, token)))
}

#[test]
fn the_keys_of_every_command_can_be_asked_for() {
    let server = Server::start();
    let mut c = server.client();
    for line in COMMANDS {
        let keys = c.words(&format!("COMMAND GETKEYS {}", line.replace("KEY", "faq")));
        assert_eq!(keys.texts(), ["faq"], "{line}");
    }
    let none = c.words("COMMAND GETKEYS LLMCACHE.STATS FORMAT map");
    assert!(none.is_error() || none.items().is_empty(), "{none:?}");
    assert_eq!(c.words("COMMAND GETKEYS LLMCACHE.STATS faq FORMAT map").texts(), ["faq"]);
}

#[test]
fn acl_rules_hold_for_commands_categories_and_keys() {
    let server = Server::start();
    let mut admin = server.client();
    store(&mut admin, "p", "r");
    cmd!(admin, "LLMCACHE.SET", "secret", "p", "r").ok();
    let mut as_user = |rules: &str| {
        admin.words("ACL DELUSER alice");
        admin.words(&format!("ACL SETUSER alice on >pw {rules}")).ok();
        let mut c = server.client();
        c.words("AUTH alice pw").ok();
        c
    };
    let denied = |reply: Reply| reply.error().starts_with("NOPERM");
    let (reads, writes) = match has_categories(&server) {
        true => ("+@read", "+@write -@dangerous"),
        false => {
            let lacks = server.client().words("LLMCACHE.INFO faq").field("server_lacks").texts().concat();
            assert!(lacks.contains("@read"), "INFO says nothing of the missing categories: {lacks}");
            ("+llmcache.get +llmcache.scan +llmcache.entry +llmcache.ttl +llmcache.info +llmcache.stats +llmcache.explain",
                "+llmcache.set")
        }
    };
    let mut reader = as_user(&format!("{reads} ~faq*"));
    assert_eq!(get(&mut reader, "p", ""), "r");
    // What administrators may is told by a test of its own.
    for line in COMMANDS.into_iter().filter(|line| name_of(line) != "LLMCACHE.RESETSTATS") {
        let short = name_of(line).trim_start_matches("LLMCACHE.").to_lowercase();
        let reply = reader.words(&line.replace("KEY", "faq"));
        assert_eq!(
            matches!(&reply, Reply::Error(e) if e.starts_with("NOPERM")),
            !READS.contains(&short.as_str()),
            "{line}: {reply:?}"
        );
        if short != "stats" || reply.is_error() {
            assert!(denied(reader.words(&line.replace("KEY", "secret"))), "{line}");
        }
    }
    let mut writer = as_user(&format!("{writes} ~faq*"));
    assert!(set(&mut writer, "q", "r", "").is_ok());
    assert!(denied(get(&mut writer, "q", "")));
    assert!(denied(writer.words("LLMCACHE.SET secret p r")));
    let mut read_keys = as_user("+@all %R~faq*");
    assert_eq!(get(&mut read_keys, "p", ""), "r");
    assert!(denied(set(&mut read_keys, "p", "r", "")));
    assert!(denied(read_keys.words("LLMCACHE.INVALIDATE faq ALL")));
    if server.version().is_redis(7, 4) {
        let mut of_the_module = as_user("+@llmcache ~*");
        assert_eq!(get(&mut of_the_module, "p", ""), "r");
        assert!(denied(of_the_module.words("GET other")));
    }
}

#[test]
fn settings_have_defaults_and_can_be_set() {
    both(|c| {
        let all = cmd!(c, "CONFIG", "GET", "llmcache.*");
        let mut names = all.names();
        names.sort();
        let mut expected: Vec<_> = SETTINGS.iter().map(|(name, _)| *name).chain(["llmcache.threads"]).collect();
        expected.sort_unstable();
        assert_eq!(names, expected);
        for (name, default) in SETTINGS {
            assert_eq!(*all.field(name), default, "{name}");
        }
        for (name, value, shown) in [
            ("max-prompt-bytes", "100", "100"),
            ("max-response-bytes", "2mb", "2097152"),
            ("threads", "2", "2"),
            ("memory-reserve-percent", "10", "10"),
            ("memory-usd-per-gb-month", "3.5", "3.500000"),
            ("log-prompts", "yes", "yes"),
        ] {
            let name = format!("llmcache.{name}");
            cmd!(c, "CONFIG", "SET", name, value).ok();
            assert_eq!(setting(c, &name), shown);
        }
        for (name, values) in [
            ("max-prompt-bytes", vec!["0", "-1", "x", "100000000000"]),
            ("max-response-bytes", vec!["0", "1000000000000"]),
            ("threads", vec!["0", "1000", "x"]),
            ("memory-reserve-percent", vec!["-1", "51", "5%"]),
            ("memory-usd-per-gb-month", vec!["-1", "x", ""]),
            ("log-prompts", vec!["maybe", "1"]),
        ] {
            let name = format!("llmcache.{name}");
            let before = setting(c, &name);
            for value in values {
                let error = cmd!(c, "CONFIG", "SET", name, value);
                assert!(error.error().contains(&name), "{error:?}");
                assert_eq!(setting(c, &name), before);
            }
        }
        for (name, default) in SETTINGS {
            cmd!(c, "CONFIG", "SET", name, default).ok();
        }
    });
}

#[test]
fn the_limits_of_prompts_and_responses_hold() {
    both(|c| {
        store(c, &"p".repeat(200), "stored before");
        c.words("CONFIG SET llmcache.max-prompt-bytes 100 llmcache.max-response-bytes 50").ok();
        let (fits, long) = ("p".repeat(100), "p".repeat(101));
        set(c, &fits, &"r".repeat(50), "").ok();
        let prompt = "101 bytes, 100 are allowed (CONFIG SET llmcache.max-prompt-bytes)";
        for command in ["GET", "EXPLAIN", "SET"] {
            let mut words = args![format!("LLMCACHE.{command}"), "faq", long];
            words.extend(args!["r"].into_iter().filter(|_| command == "SET"));
            assert_eq!(c.cmd(&words).error(), format!("ERR prompt has {prompt}"), "{command}");
        }
        for option in ["SYSTEM", "PARAMS"] {
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", "p", option, long).error(), format!("ERR {option} has {prompt}"));
        }
        assert_eq!(cmd!(c, "LLMCACHE.SET", "faq", "p", "r", "META", long).error(), format!("ERR META has {prompt}"));
        let response = "ERR response has 51 bytes, 50 are allowed (CONFIG SET llmcache.max-response-bytes)";
        assert_eq!(cmd!(c, "LLMCACHE.SET", "faq", "p", "r".repeat(51)).error(), response);
        assert_eq!(prompts(c, "").len(), 2);
        for (name, default) in SETTINGS {
            cmd!(c, "CONFIG", "SET", name, default).ok();
        }
        assert_eq!(get(c, &"p".repeat(200), ""), "stored before");
        let error = cmd!(c, "LLMCACHE.SET", "faq", vec![b'p'; (1 << 20) + 1], "r");
        assert!(error.error().contains("1048577 bytes, 1048576 are allowed"), "{error:?}");
        cmd!(c, "LLMCACHE.SET", "faq", vec![b'p'; 1 << 20], "r").ok();
    });
}

#[test]
fn module_arguments_are_settings_too_and_the_configuration_file_goes_before() {
    let server = Server::builder()
        .module_args("max-prompt-bytes 1000 Log-Prompts yes memory-usd-per-gb-month 2.5 threads 3")
        .start();
    let mut c = server.client();
    for (name, value) in [
        ("max-prompt-bytes", "1000"),
        ("log-prompts", "yes"),
        ("memory-usd-per-gb-month", "2.500000"),
        ("threads", "3"),
    ] {
        assert_eq!(setting(&mut c, &format!("llmcache.{name}")), value);
    }
    let server =
        Server::builder().module_args("max-prompt-bytes 1000").config("llmcache.max-prompt-bytes 2000").start();
    assert_eq!(setting(&mut server.client(), "llmcache.max-prompt-bytes"), "2000");
}

#[test]
fn a_server_with_wrong_module_arguments_does_not_start_and_says_why() {
    for (arguments, why) in [
        ("max-prompt-bytes 0", "max-prompt-bytes must be "),
        ("max-prompt-bytes lots", "max-prompt-bytes must be "),
        ("threads", "threads has no value"),
        ("memory-usd-per-gb-month -5", "memory-usd-per-gb-month must be "),
        ("log-prompts maybe", "log-prompts must be yes or no"),
        ("no-such-thing 5", "unknown module argument no-such-thing"),
        ("threads 1 threads 2", "threads is given twice"),
    ] {
        let log = Server::builder().module_args(arguments).fails_to_start();
        assert!(log.contains(why), "{arguments}: {log}");
    }
    let log = Server::builder().config("llmcache.max-prompt-bytes nonsense").fails_to_start();
    assert!(log.contains("llmcache.max-prompt-bytes") || log.contains("settings llmcache"), "{log}");
}

#[test]
fn a_module_is_neither_unloaded_nor_loaded_twice() {
    let server = Server::builder().config("enable-module-command yes").start();
    let mut c = server.client();
    store(&mut c, "p", "r");
    let refused = c.words("MODULE UNLOAD llmcache");
    assert!(refused.error().contains("data types"), "{refused:?}");
    let path = crate::harness::module_path();
    assert!(cmd!(c, "MODULE", "LOAD", path.to_str().unwrap()).is_error());
    assert_eq!(get(&mut c, "p", ""), "r");
    assert_eq!(server.client3().words("LLMCACHE.INFO faq").field("entries"), &1);
}

#[test]
fn prompts_stand_neither_in_the_log_nor_in_the_slow_log_nor_in_errors() {
    let server = Server::builder().config("loglevel debug").config("slowlog-log-slower-than 0").start();
    let mut c = server.client();
    const SECRET: &str = "my social security number is 078-05-1120, and more than forty bytes";
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{SECRET}"}}]}}"#);
    let bad = format!(r#"{{"messages":"{SECRET}"}}"#);
    let broken = format!(r#"{{"messages":"{SECRET}"#);
    let mut errors = Vec::new();
    cmd!(c, "LLMCACHE.SET", "faq", SECRET, SECRET, "SYSTEM", SECRET, "META", format!("\"{SECRET}\"")).ok();
    cmd!(c, "LLMCACHE.SET", "faq", body, SECRET, "REQUEST").ok();
    cmd!(c, "LLMCACHE.GET", "faq", SECRET, "SYSTEM", SECRET, "WITHMETA");
    errors.push(cmd!(c, "LLMCACHE.SET", "faq", SECRET, SECRET, "EX", SECRET));
    errors.push(cmd!(c, "LLMCACHE.SET", "faq", SECRET, SECRET, SECRET));
    errors.push(cmd!(c, "LLMCACHE.GET", "faq", SECRET, "PARAMS", SECRET));
    errors.push(cmd!(c, "LLMCACHE.GET", "faq", bad, "REQUEST"));
    errors.push(cmd!(c, "LLMCACHE.GET", "faq", broken, "REQUEST"));
    errors.push(cmd!(c, "LLMCACHE.SET", "faq", SECRET, SECRET, "META", SECRET));
    errors.push(cmd!(c, "LLMCACHE.SET", "faq", SECRET, SECRET, "STRATEGY", SECRET));
    errors.push(cmd!(c, "LLMCACHE.SCAN", "faq", SECRET));
    errors.push(cmd!(c, "LLMCACHE.RULE", "faq", "SET", SECRET, "STRATEGY", "x"));
    // Short texts are somebody's words as well.
    for short in ["social security", "a b"] {
        errors.push(cmd!(c, "LLMCACHE.GET", "faq", "p", short));
        errors.push(cmd!(c, "LLMCACHE.SET", "faq", "p", "r", "EX", short));
    }
    c.words("CONFIG SET llmcache.max-prompt-bytes 10").ok();
    errors.push(cmd!(c, "LLMCACHE.SET", "faq", SECRET, SECRET));
    for error in errors {
        assert!(!["social security", "a b"].iter().any(|text| error.error().contains(text)), "{error:?}");
    }
    cmd!(c, "ECHO", "a command that the slow log shows");
    c.words("DEBUG RELOAD").ok();
    let slow = format!("{:?}", cmd!(c, "SLOWLOG", "GET", 1000));
    assert!(slow.contains("a command that the slow log shows"), "{slow}");
    assert!(!slow.contains("social security") && !slow.to_lowercase().contains("llmcache.set"), "{slow}");
    assert!(!server.log().contains("social security"));
}

#[test]
fn the_info_of_the_server_has_sections_of_the_module() {
    let server = Server::start();
    let mut c = server.client();
    store(&mut c, "p", "r");
    cmd!(c, "LLMCACHE.SET", "other", "p", "r", "COST", "1").ok();
    for _ in 0..3 {
        cmd!(c, "LLMCACHE.GET", "other", "p");
    }
    get(&mut c, "absent", "");
    let mut figure =
        |name: &str| c.info_field("llmcache", &format!("llmcache_{name}")).unwrap_or_else(|| panic!("no {name}"));
    for (name, value) in [
        ("caches", "2"),
        ("entries", "2"),
        ("lookups", "4"),
        ("hits", "3"),
        ("misses", "1"),
        ("stores", "2"),
        ("cost_saved_usd", "3.000000"),
    ] {
        assert_eq!(figure(name), value, "{name}");
    }
    assert!(figure("memory_bytes").parse::<u64>().unwrap() > 500);
    let everything = c.words("INFO everything").text();
    assert!(everything.contains("# llmcache_"), "the section's name");
    let modules = format!("{:?}", c.words("MODULE LIST"));
    assert!(modules.contains("llmcache"), "{modules}");
    assert!(c.words("MODULE UNLOAD llmcache").is_error(), "a module with a data type stays");
    assert_eq!(get(&mut c, "p", ""), "r");
}

#[test]
fn an_administrator_sees_commands_in_monitor() {
    let server = Server::start();
    let (mut c, mut monitor) = (server.client(), server.client());
    monitor.words("MONITOR").ok();
    store(&mut c, "the-prompt", "the-response");
    let seen = monitor.read().text();
    assert!(seen.contains("\"LLMCACHE.SET\" \"faq\" \"the-prompt\" \"the-response\""), "{seen}");
}
