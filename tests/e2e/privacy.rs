//! Privacy: what people asked, and were answered, stands nowhere but in the cache.

use crate::harness::{args, cmd, until, Client, Reply, Server, PATIENCE};
use crate::support::{store, COMMANDS};
use std::time::Duration;

/// What must not be found anywhere, in every secret.
const NEEDLE: &str = "078-05-1120";

/// A secret of two kinds: one that stands in no error, and one that could be a word of a command.
fn secrets() -> [String; 2] {
    [format!("my social security number is {NEEDLE}, which is nobody's business"), NEEDLE.to_owned()]
}

/// Every command that has a place for a secret, with the secret there.
fn right(secret: &str) -> Vec<Vec<Vec<u8>>> {
    let quoted = serde_json::to_string(secret).unwrap();
    let object = format!(r#"{{"note":{quoted}}}"#);
    let chat = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{quoted}}}]}}"#);
    let turns = format!(
        r#"{{"model":"m","messages":[{{"role":"system","content":{quoted}}},{{"role":"user","content":{quoted}}},{{"role":"assistant","content":{quoted}}},{{"role":"user","content":"and now?"}}]}}"#
    );
    let anthropic = format!(
        r#"{{"model":"m","max_tokens":5,"system":{quoted},"messages":[{{"role":"user","content":{quoted}}}]}}"#
    );
    let item =
        format!(r#"[{{"prompt":{quoted},"response":{quoted},"system":{quoted},"params":{object},"meta":{quoted}}}]"#);
    let plan = format!(r#"[{{"prompt":{quoted},"params":{object}}},{{"request":{chat}}}]"#);
    let context = args!["SYSTEM", secret, "PARAMS", object];
    let mut all = Vec::new();
    for name in ["GET", "EXPLAIN"] {
        let lookup = args![format!("LLMCACHE.{name}"), "faq", secret];
        all.push([lookup.clone(), args!["SIMILAR", "WITHMETA"]].concat());
        all.push([lookup.clone(), context.clone()].concat());
        for body in [&chat, &turns, &anthropic] {
            all.push(args![format!("LLMCACHE.{name}"), "faq", body, "REQUEST"]);
        }
    }
    let store = args!["LLMCACHE.SET", "faq", secret, secret];
    all.push([store.clone(), args!["META", quoted]].concat());
    all.push([store.clone(), context.clone(), args!["NX", "META", object]].concat());
    all.push([store.clone(), args!["STRATEGY", "nocache"]].concat());
    all.push([store.clone(), args!["TOKEN", "00112233445566778899aabbccddeeff"]].concat());
    all.push(args!["LLMCACHE.SET", "faq", "p", secret]);
    for body in [&chat, &turns, &anthropic] {
        all.push(args!["LLMCACHE.SET", "faq", body, secret, "REQUEST"]);
    }
    all.push([args!["LLMCACHE.FETCH", "faq", format!("{secret}?"), "LEASE", 60_000], context.clone()].concat());
    all.push(
        [args!["LLMCACHE.FETCH", "faq", format!("{secret}?"), "LEASE", 60_000, "BLOCK", 1], context.clone()].concat(),
    );
    all.push(args!["LLMCACHE.FETCH", "faq", chat, "LEASE", 60_000, "REQUEST"]);
    all.push(args!["LLMCACHE.RELEASE", "faq", "00112233445566778899aabbccddeeff", "ERROR", secret]);
    all.push(args!["LLMCACHE.INVALIDATE", "faq", "PROMPT", format!("{secret}?")]);
    all.push(args!["LLMCACHE.INVALIDATE", "faq", "MATCH", format!("{secret}?"), "DRYRUN"]);
    all.push(args!["LLMCACHE.SCAN", "faq", 0, "MATCH", secret]);
    all.push(args!["LLMCACHE.RULE", "faq", "SET", "r", "PROMPT", secret, "STRATEGY", "realtime"]);
    all.push(args!["LLMCACHE.FEEDBACK", "faq", "00112233445566778899aabbccddeeff", "bad", "FOR", secret]);
    all.push(args!["LLMCACHE.WARM", "faq", "ITEMS", 2, secret, secret, "p", secret]);
    all.push(args!["LLMCACHE.WARM", "faq", "JSON", item]);
    all.push(args!["LLMCACHE.WARM", "faq", "PLAN", "x", "EVERY", 60, "JSON", plan]);
    all.push(args!["LLMCACHE.WARM", "faq", "DUE", "LEASE", 1]);
    all
}

/// The same and more, with something wrong in each.
fn wrong(secret: &str) -> Vec<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for words in right(secret) {
        // An option that is none, one without a value, and one whose value is wrong.
        for more in [args!["NO-SUCH-OPTION"], args!["MODEL"], args!["EX", "soon"], args!["STALEOK", "STALEOK"]] {
            all.push([words.clone(), more].concat());
        }
        // Cut short anywhere, and on a key of another type.
        (2..words.len()).for_each(|end| all.push(words[..end].to_vec()));
        let mut elsewhere = words;
        elsewhere[1] = b"text".to_vec();
        all.push(elsewhere);
    }
    for (name, broken) in [
        ("PARAMS", format!(r#"{{"note":"{secret}"#)),
        ("PARAMS", format!(r#"["{secret}"]"#)),
        ("PARAMS", format!(r#"{{"{secret}" 5}}"#)),
        ("META", format!(r#"{{"note":"{secret}"#)),
        ("META", format!("{{{secret}}}")),
    ] {
        all.push(args!["LLMCACHE.SET", "faq", "p", "r", name, broken]);
    }
    for body in [
        format!(r#"{{"messages":"{secret}"}}"#),
        format!(r#"{{"messages":[{{"role":"{secret}","content":"x"}}]}}"#),
        format!(r#"{{"messages":[{{"role":"user","content":"{secret}"}}"#),
        format!(r#"{{"{secret}":1}}"#),
        format!(r#"{{"model":5,"messages":[{{"role":"user","content":"{secret}"}}]}}"#),
        format!(r#"{{"input":{{"{secret}":"{secret}"}}}}"#),
        format!("{{\"a\":\"{secret}\\x\"}}"),
        secret.to_owned(),
    ] {
        for (name, last) in
            [("GET", args![]), ("SET", args![secret]), ("EXPLAIN", args![]), ("FETCH", args!["LEASE", 5])]
        {
            all.push([args![format!("LLMCACHE.{name}"), "faq", body], last, args!["REQUEST"]].concat());
        }
    }
    // Responses that are refused.
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    for response in [
        format!(r#"{{"error":{{"message":"{secret}","type":"{secret}"}}}}"#),
        format!(r#"{{"choices":[{{"finish_reason":"length","message":{{"content":"{secret}"}}}}]}}"#),
        format!(
            r#"{{"choices":[{{"finish_reason":"tool_calls","message":{{"tool_calls":[{{"function":{{"name":"{secret}"}}}}]}}}}]}}"#
        ),
    ] {
        all.push(args!["LLMCACHE.SET", "faq", body, response, "REQUEST"]);
        all.push(args!["LLMCACHE.WARM", "faq", "REQUEST", "ITEMS", 1, body, response]);
    }
    for array in [
        format!(r#"[{{"prompt":"{secret}"}}]"#),
        format!(r#"[{{"prompt":["{secret}"],"response":"{secret}"}}]"#),
        format!(r#"["{secret}"]"#),
        format!(r#"[{{"prompt":"{secret}","response":"{secret}","meta":{{"{secret}"}}}}]"#),
        format!(r#"{{"prompt":"{secret}"#),
    ] {
        all.push(args!["LLMCACHE.WARM", "faq", "JSON", array]);
        all.push(args!["LLMCACHE.WARM", "faq", "PLAN", "x", "EVERY", 60, "JSON", array]);
    }
    all
}

/// Every command of the module with a secret in place of each of its words: what is no place for it.
fn misplaced(secret: &str) -> Vec<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for line in COMMANDS {
        let words: Vec<Vec<u8>> = line.replace("KEY", "faq").split(' ').map(|word| word.as_bytes().to_vec()).collect();
        all.push([words.clone(), args![secret]].concat());
        all.push([words.clone(), args![secret, secret]].concat());
        for at in 2..words.len() {
            let mut words = words.clone();
            words[at] = secret.as_bytes().to_vec();
            all.push(words);
        }
    }
    for line in [
        "LLMCACHE.STATS faq BY",
        "LLMCACHE.STATS faq WINDOW",
        "LLMCACHE.STATS faq FORMAT",
        "LLMCACHE.SET faq p r EX",
        "LLMCACHE.SET faq p r COST",
        "LLMCACHE.SET faq p r STRATEGY",
        "LLMCACHE.SET faq p r TAGS",
        "LLMCACHE.SET faq p r TOKENS",
        "LLMCACHE.GET faq p THRESHOLD",
        "LLMCACHE.GET faq p MAXAGE",
        "LLMCACHE.GET faq p FP32",
        "LLMCACHE.ALTER faq EVICT",
        "LLMCACHE.STRATEGY faq SET",
        "LLMCACHE.ALERT faq SET x",
        "LLMCACHE.WARM faq",
    ] {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        all.push([words, args![secret]].concat());
    }
    all.push(args!["LLMCACHE.WARM", "faq", "JSON", format!(r#"[{{"prompt":"p","response":"r","{secret}":1}}]"#)]);
    all
}

/// What a reply says that is not an answer of a cache: an error, and what WARM says of each item.
fn complaints(reply: &Reply) -> String {
    match reply {
        Reply::Error(text) => text.clone(),
        Reply::Map(_) => reply.get("errors").map_or_else(String::new, |errors| format!("{errors:?}")),
        _ => String::new(),
    }
}

#[test]
fn nothing_that_was_asked_or_answered_stands_anywhere_else() {
    let server = Server::builder()
        .config("loglevel debug")
        .config("slowlog-log-slower-than 0")
        .config("slowlog-max-len 100000")
        .config("latency-monitor-threshold 1")
        .config("latency-tracking yes")
        .config("acllog-max-len 10000")
        .config("notify-keyspace-events KEA")
        .start();
    let (mut c, mut listener) = (server.client3(), server.client());
    for line in ["reply-larger-than", "request-larger-than", "execution-slower-than"] {
        // Valkey has more logs of commands.
        c.words(&format!("CONFIG SET commandlog-{line} 0"));
    }
    assert_eq!(cmd!(c, "CONFIG", "GET", "llmcache.log-prompts").field("llmcache.log-prompts").text(), "no");
    listener.subscribe(&["*"]);
    cmd!(c, "SET", "text", "t").ok();
    store(&mut c, "there", "r");
    c.words("LLMCACHE.ALERT faq SET full entries ABOVE 0").ok();
    // Before memory gets short and the cache empty.
    server.wait_for_log("alert 'full' of cache 'faq' is firing");
    c.words("ACL SETUSER alice on >pw +@all ~other").ok();
    c.words("ACL SETUSER bob on >pw +@all -llmcache.get -llmcache.set ~*").ok();
    let mut users: Vec<Client> = ["alice", "bob"]
        .map(|name| {
            let mut user = server.client();
            cmd!(user, "AUTH", name, "pw").ok();
            user
        })
        .into();
    let (mut refused, mut denied) = (0, 0);
    for (i, secret) in secrets().iter().enumerate() {
        let mut commands = right(secret);
        commands.extend(wrong(secret));
        if i == 0 {
            commands.extend(misplaced(secret));
        }
        for words in &commands {
            let reply = c.cmd(words);
            let said = complaints(&reply);
            let command = words.join(&b' ').escape_ascii().to_string();
            assert!(!said.contains(NEEDLE), "{command}\n{said}");
            refused += usize::from(reply.is_error());
        }
        for words in right(secret) {
            for user in &mut users {
                let reply = user.cmd(&words);
                assert!(!complaints(&reply).contains(NEEDLE), "{reply:?}");
                denied += usize::from(matches!(&reply, Reply::Error(e) if e.starts_with("NOPERM")));
            }
        }
        // In a transaction, cut off by a limit, and out of memory.
        c.words("MULTI").ok();
        right(secret).iter().for_each(|words| drop(c.cmd(words)));
        let told = c.words("EXEC");
        assert!(told.items().iter().all(|reply| !complaints(reply).contains(NEEDLE)));
        for (setting, value, back) in [
            ("llmcache.max-prompt-bytes", "5", "1mb"),
            ("llmcache.max-response-bytes", "5", "64mb"),
            ("maxmemory", "1", "0"),
        ] {
            cmd!(c, "CONFIG", "SET", setting, value).ok();
            for words in right(secret) {
                let said = complaints(&c.cmd(&words));
                assert!(!said.contains(NEEDLE), "{said}");
            }
            cmd!(c, "CONFIG", "SET", setting, back).ok();
        }
    }
    assert!(refused > 300 && denied > 60, "{refused} refused, {denied} denied");
    // One who waits, while everybody looks.
    let prompt = &secrets()[0];
    cmd!(c, "LLMCACHE.FETCH", "faq", format!("{prompt}!"), "LEASE", 60_000);
    let mut waiting = server.client();
    waiting.send(&args!["LLMCACHE.FETCH", "faq", format!("{prompt}!"), "LEASE", 60_000, "BLOCK", 60_000]);
    until("somebody waits", PATIENCE, || c.info_field("clients", "blocked_clients").unwrap() == "1");
    c.words("CLIENT TRACKING ON BCAST");
    c.words("DEBUG RELOAD").ok();
    c.words("ECHO a-word-that-the-slow-log-shows");
    c.words("SET written t").ok();
    let mut shown = Vec::new();
    for line in [
        "SLOWLOG GET 100000",
        "COMMANDLOG GET -1 slow",
        "COMMANDLOG GET -1 large-request",
        "COMMANDLOG GET -1 large-reply",
        "LATENCY LATEST",
        "LATENCY HISTOGRAM",
        "LATENCY DOCTOR",
        "INFO everything",
        "COMMAND",
        "COMMAND DOCS",
        "CLIENT LIST",
        "CLIENT INFO",
        "ACL LOG 10000",
        "ACL LIST",
        "CONFIG GET *",
        "MODULE LIST",
        "MEMORY STATS",
        "MEMORY DOCTOR",
        "LLMCACHE.STATS",
        "LLMCACHE.STATS BY model",
        "LLMCACHE.STATS FORMAT json",
        "LLMCACHE.STATS FORMAT prometheus",
        "LLMCACHE.ALERT faq LIST",
        "LLMCACHE.WARM faq STATUS",
    ] {
        c.send(&line.split(' ').collect::<Vec<_>>());
        let reply = Wide(&c.read()).to_string();
        assert!(!reply.contains(NEEDLE), "{line}: {}", around(&reply));
        shown.push((line, reply));
    }
    let shows = |what: &str, text: &str| shown.iter().any(|(line, reply)| *line == what && reply.contains(text));
    // Where one looks, something is to be seen.
    assert!(shows("SLOWLOG GET 100000", "a-word-that-the-slow-log-shows"));
    assert!(shows("INFO everything", "cmdstat_LLMCACHE.SET") && shows("INFO everything", "llmcache_lookups"));
    assert!(shows("CLIENT LIST", "cmd=llmcache.fetch") || shows("CLIENT LIST", "cmd=LLMCACHE.FETCH"));
    assert!(shows("ACL LOG 10000", "alice") && shows("ACL LOG 10000", "bob"));
    if server.version().is_valkey(8, 1) {
        assert!(shows("COMMANDLOG GET -1 large-request", "a-word-that-the-slow-log-shows"));
    }
    let log = server.log();
    assert!(!log.contains(NEEDLE), "the log: {}", around(&log));
    let mut heard = Vec::new();
    while let Some(message) = listener.message_within(Duration::from_millis(100)) {
        assert!(!message.channel.contains(NEEDLE) && !message.payload.contains(NEEDLE), "{message:?}");
        heard.push(message.channel);
    }
    for channel in ["llmcache:alert", "__keyevent@0__:llmcache.set", "__keyspace@0__:faq"] {
        assert!(heard.iter().any(|heard| heard == channel), "nothing on {channel}");
    }
    drop(waiting);
}

/// A reply with all of its texts in full.
struct Wide<'a>(&'a Reply);

impl std::fmt::Display for Wide<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => {
                items.iter().try_for_each(|item| writeln!(f, "{}", Wide(item)))
            }
            Reply::Map(pairs) => {
                pairs.iter().try_for_each(|(name, value)| writeln!(f, "{} {}", Wide(name), Wide(value)))
            }
            Reply::Bulk(text) | Reply::Verbatim { text, .. } => write!(f, "{}", String::from_utf8_lossy(text)),
            other => write!(f, "{other:?}"),
        }
    }
}

fn around(text: &str) -> &str {
    text.lines().find(|line| line.contains(NEEDLE)).unwrap_or_default()
}
