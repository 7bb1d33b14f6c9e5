//! What holds for every kind of similarity: contexts are never crossed, limits are kept, a policy may change, and what was
//! found is found again behind restarts, on replicas and in copies.

use crate::harness::{args, cmd, until, Client, Pair, Reply, Server, PATIENCE};
use crate::support::{both, digest, fp32, indexed, pass, stat, Dice};

/// Kinds of similarity: the key of a cache of it, and its policy.
const KINDS: [(&str, &str); 6] = [
    ("builtin", "SIMILARITY builtin"),
    ("idf", "SIMILARITY lexical METRIC idf"),
    ("dice", "SIMILARITY lexical METRIC dice"),
    ("levenshtein", "SIMILARITY lexical METRIC levenshtein"),
    ("jaro_winkler", "SIMILARITY lexical METRIC jaro_winkler"),
    ("vector", "SIMILARITY vector"),
];

/// A model of sorts: how often a text has each letter. Prompts that differ in their clothes have the same vector.
fn letters(prompt: &str) -> Vec<f32> {
    let mut counts = vec![1.0; 27];
    for letter in prompt.to_lowercase().bytes().filter(u8::is_ascii_lowercase) {
        counts[usize::from(letter - b'a')] += 1.0;
    }
    counts
}

/// A command about a prompt, with its vector where the cache has vectors.
fn about(kind: &str, command: &str, key: &str, prompt: &str, rest: &[&str]) -> Vec<Vec<u8>> {
    let mut words = args![command, key, prompt];
    words.extend(rest.iter().map(|word| word.as_bytes().to_vec()));
    if kind == "vector" {
        words.extend(args!["FP32", fp32(&letters(prompt))]);
    }
    words
}

const VERBS: [&str; 10] = ["reset", "change", "find", "delete", "recover", "print", "share", "move", "copy", "lock"];
const NOUNS: [&str; 20] = [
    "password", "invoice", "account", "order", "photo", "key", "phone", "car", "house", "garden", "song", "letter",
    "ticket", "table", "window", "recipe", "contract", "bicycle", "camera", "passport",
];
const PLACES: [&str; 15] = [
    "office", "kitchen", "school", "library", "hospital", "airport", "hotel", "factory", "museum", "village",
    "theatre", "station", "market", "church", "harbour",
];

/// The question of a number; each number below 3,000 has its own.
fn question(number: usize) -> String {
    let (verb, noun, place) = (number % 10, number / 10 % 20, number / 200 % 15);
    format!("How do I {} the {} of a {}?", VERBS[verb], NOUNS[noun], PLACES[place])
}

/// What somebody asks: a prompt and all that it stands in.
#[derive(Clone, Debug)]
struct Ask {
    shape: &'static str,
    scope: &'static str,
    model: &'static str,
    system: &'static str,
    temperature: &'static str,
    turns: &'static str,
    prompt: String,
}

impl Ask {
    fn by_chance(dice: &mut Dice) -> Ask {
        let mut pick = |of: &[&'static str]| of[dice.below(of.len() as u64) as usize];
        let shape = pick(&["plain", "plain", "chat", "responses", "messages"]);
        let frame = pick(&["How do I V my N?", "how can i V my N", "V N", "Please V the N!", "WHERE DO I V MY N"]);
        let prompt = frame.replace('V', pick(&VERBS[..4])).replace('N', pick(&NOUNS[..4]));
        Ask {
            shape,
            // Some are more frequent than others, so that there is something to be found in them.
            scope: pick(&["", "ann", "ann", "bob"]),
            model: pick(&["gpt", "gpt", "gpt", "gpt-mini"]),
            system: pick(&["", "", "", "Be brief."]),
            temperature: pick(&["0", "0", "0", "0.5"]),
            turns: if shape == "plain" { "" } else { pick(&["", "", "history", "silent"]) },
            prompt,
        }
    }

    /// All but the prompt.
    fn context(&self) -> String {
        format!("{} {} {} {} {} {}", self.shape, self.scope, self.model, self.system, self.temperature, self.turns)
    }

    /// The body of a request. In a silent one a tool had the last word.
    fn body(&self) -> String {
        let text = |role: &str, text: &str| format!(r#"{{"role":"{role}","content":"{text}"}}"#);
        let mut turns = Vec::new();
        if self.shape == "chat" && !self.system.is_empty() {
            turns.push(text("system", self.system));
        }
        if self.turns == "history" {
            turns.extend([text("user", "I am at home."), text("assistant", "Good.")]);
        }
        turns.push(text("user", &self.prompt));
        if self.turns == "silent" {
            let said = match self.shape {
                "chat" => [
                    r#"{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f"}}]}"#,
                    r#"{"role":"tool","tool_call_id":"1","content":"How do I find it?"}"#,
                ],
                "responses" => [
                    r#"{"type":"function_call","call_id":"1","name":"f","arguments":"{}"}"#,
                    r#"{"type":"function_call_output","call_id":"1","output":"How do I find it?"}"#,
                ],
                _ => [
                    r#"{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{}}]}"#,
                    r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"What?"}]}"#,
                ],
            };
            turns.extend(said.map(str::to_owned));
        }
        let turns = turns.join(",");
        let of_shape = match (self.shape, self.system) {
            ("chat", _) => format!(r#""messages":[{turns}]"#),
            ("responses", "") => format!(r#""input":[{turns}]"#),
            ("responses", system) => format!(r#""instructions":"{system}","input":[{turns}]"#),
            (_, "") => format!(r#""max_tokens":9,"anthropic_version":"x","messages":[{turns}]"#),
            (_, system) => {
                format!(r#""max_tokens":9,"anthropic_version":"x","system":"{system}","messages":[{turns}]"#)
            }
        };
        format!(r#"{{"model":"{}","temperature":{},{of_shape}}}"#, self.model, self.temperature)
    }

    fn words(&self, kind: &str, command: &str, rest: &[&str]) -> Vec<Vec<u8>> {
        let (prompt, params) = (self.body(), format!(r#"{{"temperature":{}}}"#, self.temperature));
        let mut words = match self.shape {
            "plain" => args![
                command,
                "faq",
                self.prompt,
                "MODEL",
                self.model,
                "SYSTEM",
                self.system,
                "PARAMS",
                params,
                "SCOPE",
                self.scope
            ],
            _ => args![command, "faq", prompt, "REQUEST", "SCOPE", self.scope],
        };
        let at = 3;
        words.splice(at..at, rest.iter().map(|word| word.as_bytes().to_vec()));
        if kind == "vector" {
            words.extend(args!["FP32", fp32(&letters(&self.prompt))]);
        }
        words
    }
}

#[test]
fn nothing_ever_crosses_a_context() {
    let server = Server::start();
    let mut c = server.client3();
    let mut dice = Dice::new("contexts");
    for (kind, policy) in KINDS {
        c.words(&format!("LLMCACHE.CREATE faq MODE similar THRESHOLD 0.5 GUARDS off {policy}")).ok();
        let mut similar = 0;
        for step in 0..500 {
            let ask = Ask::by_chance(&mut dice);
            match dice.below(40) {
                0..=14 => {
                    let response = format!("{}|{}", ask.context(), ask.prompt);
                    let expiry: &[&str] = if dice.below(4) == 0 { &["PX", "200"] } else { &["PERSIST"] };
                    c.cmd(&ask.words(kind, "LLMCACHE.SET", &[&[&*response], expiry].concat())).ok();
                }
                15..=33 => {
                    let told = c.cmd(&ask.words(kind, "LLMCACHE.GET", &["WITHMETA"]));
                    if told.is_null() {
                        continue;
                    }
                    let response = told.field("response").text();
                    let (context, prompt) = response.split_once('|').unwrap();
                    assert_eq!(context, ask.context(), "step {step}, {kind}: {ask:?}");
                    let exact = *told.field("match") == "exact";
                    assert_eq!(exact, prompt == ask.prompt, "step {step}, {kind}: {ask:?}");
                    assert!(exact || ask.turns != "silent", "step {step}, {kind}: {ask:?} got {prompt}");
                    similar += usize::from(!exact);
                }
                34..=36 => {
                    let told = c.cmd(&ask.words(kind, "LLMCACHE.EXPLAIN", &[]));
                    let shown = told.field("candidates").items();
                    assert!(shown.is_empty() || ask.turns != "silent", "step {step}, {kind}: {ask:?}");
                    for candidate in shown {
                        let id = candidate.field("id").text();
                        let entry = cmd!(c, "LLMCACHE.ENTRY", "faq", id, "WITHRESPONSE");
                        if entry.is_null() {
                            continue; // it has just expired
                        }
                        let response = entry.field("response").text();
                        assert_eq!(response.split('|').next().unwrap(), ask.context(), "step {step}, {kind}: {ask:?}");
                    }
                }
                37 => {
                    c.cmd(&args!["LLMCACHE.INVALIDATE", "faq", "PROMPT", ask.prompt, "SCOPE", ask.scope]);
                    c.cmd(&args!["LLMCACHE.INVALIDATE", "faq", "MATCH", format!("*{}", &ask.prompt[4..])]);
                }
                38 if dice.below(5) == 0 => {
                    let payload = c.words("DUMP faq");
                    c.words("DEL faq");
                    cmd!(c, "RESTORE", "faq", 0, payload.bytes()).ok();
                }
                39 if dice.below(5) == 0 => {
                    for policy in ["MODE exact SIMILARITY lexical METRIC idf", &format!("MODE similar {policy}")] {
                        c.words(&format!("LLMCACHE.ALTER faq {policy}")).ok();
                    }
                    indexed(&mut c, "faq");
                }
                _ => {}
            }
        }
        assert!(similar > 15, "{kind}: hardly anything was found, {similar} times");
        c.words("DEL faq");
    }
}

#[test]
fn a_request_whose_last_turn_has_no_words_is_matched_exactly_only() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MODE similar GUARDS off THRESHOLD 0").ok();
        let picture = |text: &str| {
            let asked = format!(r#"{{"role":"user","content":"{text}"}},{{"role":"assistant","content":"What?"}}"#);
            let image = r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,1"}}]}"#;
            format!(r#"{{"model":"m","messages":[{asked},{image}]}}"#)
        };
        let by_tool = |shape| {
            move |text: &str| {
                let prompt = text.to_owned();
                let turns = "silent";
                Ask { shape, scope: "", model: "m", system: "", temperature: "0", turns, prompt }.body()
            }
        };
        let bodies: [&dyn Fn(&str) -> String; 4] =
            [&picture, &by_tool("chat"), &by_tool("responses"), &by_tool("messages")];
        for body in bodies {
            let (asked, alike) = (body("How do I reset my password?"), body("how do i reset my password"));
            cmd!(c, "LLMCACHE.SET", "faq", asked, "r", "REQUEST").ok();
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", asked, "REQUEST", "SIMILAR"), "r");
            assert!(cmd!(c, "LLMCACHE.GET", "faq", alike, "REQUEST", "SIMILAR").is_null(), "{alike}");
            let told = cmd!(c, "LLMCACHE.EXPLAIN", "faq", alike, "REQUEST", "SIMILAR");
            assert_eq!(*told.field("reason"), "absent", "{alike}");
            assert!(told.field("candidates").items().is_empty(), "{alike}");
        }
        assert_eq!(indexed(c, "faq"), 0, "none of them answers anything else either");
        for shape in ["chat", "responses", "messages"] {
            let with = |prompt: &str| {
                let prompt = prompt.to_owned();
                Ask { shape, scope: "", model: "m", system: "", temperature: "0", turns: "history", prompt }.body()
            };
            cmd!(c, "LLMCACHE.SET", "faq", with("How do I reset my password?"), "r", "REQUEST").ok();
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", with("how do i reset my password"), "REQUEST"), "r", "{shape}");
        }
    });
}

/// Looks at the limits of a cache, in one moment.
#[track_caller]
fn keeps_its_limits(c: &mut Client, entries: i64, bytes: i64) {
    c.words("MULTI").ok();
    for line in ["LLMCACHE.INFO faq", "LLMCACHE.STATS faq", "MEMORY USAGE faq"] {
        c.words(line);
    }
    let told = c.words("EXEC");
    let (info, usage) = (told.at(0), told.at(2).int());
    let (there, taken) = (info.field("entries").int(), info.field("memory_bytes").int());
    assert!(there <= entries, "{there} entries");
    assert!(taken <= bytes, "{taken} bytes");
    assert!((usage - taken).abs() * 20 <= taken.max(4000), "MEMORY USAGE {usage}, memory_bytes {taken}");
    assert_eq!(*told.at(1).field("memory_bytes"), taken);
    let parts: i64 = info.field("memory").pairs().iter().map(|(_, bytes)| bytes.int()).sum();
    assert_eq!(parts, taken, "the parts are the whole");
    assert!(info.field("index").field("entries").int() <= there);
}

#[test]
fn limits_hold_at_every_step() {
    let server = Server::start();
    let mut c = server.client3();
    let mut dice = Dice::new("limits");
    for (kind, policy) in KINDS {
        for (limit, entries, bytes) in [("MAXENTRIES 29", 29, i64::MAX), ("MAXMEMORY 40000", i64::MAX, 40_000)] {
            c.words(&format!("LLMCACHE.CREATE faq MODE similar {limit} {policy}")).ok();
            for _ in 0..150 {
                let prompt = question(dice.below(200) as usize);
                let scope = ["", "ann", "bob"][dice.below(3) as usize];
                let expiry = ["PERSIST", "EX"][dice.below(2) as usize];
                let length = 1 << dice.below(9);
                let response = dice.text(length);
                let mut rest = vec![&*response, "SCOPE", scope, expiry];
                rest.extend((expiry == "EX").then_some("100"));
                match dice.below(8) {
                    0 => drop(cmd!(c, "LLMCACHE.INVALIDATE", "faq", "PROMPT", prompt, "SCOPE", scope)),
                    1 => drop(c.cmd(&about(kind, "LLMCACHE.GET", "faq", &prompt, &["SCOPE", "ann", "SIMILAR"]))),
                    _ => c.cmd(&about(kind, "LLMCACHE.SET", "faq", &prompt, &rest)).ok(),
                }
                keeps_its_limits(&mut c, entries, bytes);
            }
            assert!(stat(&mut c, "evictions") > 0, "{kind}: {limit} was never met");
            let words: Vec<_> = limit.split(' ').collect();
            for part in [2, 4] {
                let (entries, bytes) = (entries / part, bytes / part);
                let less = entries.min(bytes);
                cmd!(c, "LLMCACHE.ALTER", "faq", words[0], less).ok();
                keeps_its_limits(&mut c, entries, bytes);
            }
            c.words("DEL faq");
        }
    }
}

#[test]
fn an_index_that_is_made_later_keeps_to_the_limit() {
    let server = Server::start();
    let mut c = server.client3();
    for (_, policy) in KINDS {
        for by_policy in [true, false] {
            c.words(&format!("LLMCACHE.CREATE faq MAXMEMORY 400000 COMPRESS none {policy}")).ok();
            let commands: Vec<_> =
                (0..1500).map(|n| args!["LLMCACHE.SET", "faq", question(n), "r", "PERSIST"]).collect();
            c.pipeline(&commands).iter().for_each(Reply::ok);
            let before = c.words("LLMCACHE.INFO faq").field("entries").int();
            assert!(before > 500 && stat(&mut c, "evictions") > 0, "{before} entries");
            if by_policy {
                // Who says so for the cache wants it more than the oldest entries.
                c.words("LLMCACHE.ALTER faq MODE similar").ok();
                until("the index is ready", PATIENCE, || {
                    keeps_its_limits(&mut c, i64::MAX, 400_000);
                    *c.words("LLMCACHE.INFO faq").field("index").field("state") == "ready"
                });
                let entries = c.words("LLMCACHE.INFO faq").field("entries").int();
                assert!(entries > before / 4, "{policy}: {entries} of {before} entries are left");
            } else if !policy.contains("vector") {
                // A call may not displace anything.
                for _ in 0..20 {
                    cmd!(c, "LLMCACHE.GET", "faq", "How do I bake bread?", "SIMILAR");
                    keeps_its_limits(&mut c, i64::MAX, 400_000);
                    pass(5);
                }
                assert_eq!(c.words("LLMCACHE.INFO faq").field("entries").int(), before, "{policy}");
            }
            c.words("DEL faq");
        }
    }
}

#[test]
fn bad_pairs_are_within_the_limit() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq MODE similar MAXMEMORY 60000 COMPRESS none").ok();
        for number in 0..200 {
            cmd!(c, "LLMCACHE.SET", "faq", question(number), "r", "PERSIST").ok();
        }
        let (entries, evicted) = (stat(c, "entries"), stat(c, "evictions"));
        for number in 0..1500 {
            let page = c.words("LLMCACHE.SCAN faq 0 COUNT 1000");
            let id = page.at(1).at(number % 10).at(0).text();
            cmd!(c, "LLMCACHE.FEEDBACK", "faq", id, "bad", "FOR", question(number)).ok();
            if number % 25 == 0 {
                keeps_its_limits(c, i64::MAX, 60_000);
            }
        }
        assert!(stat(c, "evictions") > evicted);
        assert!(stat(c, "entries") > entries / 2, "most of the memory is for answers");
        assert!(c.words("LLMCACHE.INFO faq").field("index").field("feedback").int() > 10);
    });
}

#[test]
fn memory_bytes_is_what_the_server_really_spends() {
    let server = Server::start();
    let mut c = server.client();
    let used = |c: &mut Client| c.info_field("memory", "used_memory").unwrap().parse::<i64>().unwrap();
    // What all caches share is read with the first question.
    cmd!(c, "LLMCACHE.SET", "faq", question(0), "r").ok();
    cmd!(c, "LLMCACHE.GET", "faq", question(1), "SIMILAR");
    c.words("FLUSHALL SYNC").ok();
    let empty = used(&mut c);
    for (kind, policy) in KINDS {
        for contexts in [1, 700] {
            // A big cache is freed on a thread.
            until("the memory has come back", PATIENCE, || used(&mut c) < empty + (64 << 10));
            c.words(&format!("LLMCACHE.CREATE faq MODE similar COMPRESS none {policy}")).ok();
            let before = used(&mut c);
            let commands: Vec<_> = (0..2100)
                .map(|number| {
                    let scope = (number % contexts).to_string();
                    about(kind, "LLMCACHE.SET", "faq", &question(number), &["an answer", "SCOPE", &scope, "PERSIST"])
                })
                .collect();
            for some in commands.chunks(50) {
                c.pipeline(some).iter().for_each(Reply::ok);
            }
            // What the server frees a moment later is still counted.
            let (mut spent, mut told) = (0i64, 0i64);
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(3);
            while (spent - told).abs() * 10 > told || told == 0 {
                assert!(std::time::Instant::now() < deadline, "{kind}, {contexts}: {told} bytes told, {spent} spent");
                (spent, told) = (used(&mut c) - before, c.words("LLMCACHE.INFO faq").field("memory_bytes").int());
            }
            c.words("FLUSHALL SYNC").ok();
        }
    }
}

#[test]
fn a_policy_may_change_and_entries_that_are_there_follow() {
    let server = Server::start();
    let mut c = server.client3();
    let commands: Vec<_> =
        (0..3000).map(|n| args!["LLMCACHE.SET", "faq", question(n), question(n), "PERSIST"]).collect();
    c.pipeline(&commands).iter().for_each(Reply::ok);
    let before = c.words("LLMCACHE.INFO faq").field("memory_bytes").int();
    let mut now = "";
    for (kind, policy) in [0, 1, 2, 5, 3, 0, 4, 0].map(|i| KINDS[i]) {
        c.words(&format!("LLMCACHE.ALTER faq MODE similar {policy}")).ok();
        // Behind the reply, and whoever asks meanwhile is served.
        assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", question(2999)), question(2999).as_str());
        let entries = indexed(&mut c, "faq");
        if kind == "vector" {
            assert_eq!(entries, 0, "nobody can make the clients' vectors");
            c.cmd(&about(kind, "LLMCACHE.SET", "faq", &question(5), &["with a vector", "PERSIST"])).ok();
            let told = c.cmd(&about(kind, "LLMCACHE.GET", "faq", &question(5).to_lowercase(), &[]));
            assert_eq!(told, "with a vector");
            cmd!(c, "LLMCACHE.SET", "faq", question(5), question(5), "PERSIST").ok();
            continue;
        }
        assert_eq!(entries, 3000, "{now} then {kind}");
        for number in (0..3000).step_by(19) {
            let (prompt, query) = (question(number), question(number).to_uppercase());
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", query), prompt.as_str(), "{now} then {kind}");
        }
        for number in (0..3000).step_by(300) {
            let query = format!("{} today", question(number));
            let told = cmd!(c, "LLMCACHE.EXPLAIN", "faq", query);
            let best = told.field("candidates").at(0);
            assert_eq!(best.field("prompt").text(), question(number), "{now} then {kind}: {query}");
        }
        now = kind;
    }
    c.words("LLMCACHE.ALTER faq MODE exact SIMILARITY builtin").ok();
    let after = c.words("LLMCACHE.INFO faq");
    assert_eq!(*after.field("index").field("state"), "none");
    assert!(after.field("memory_bytes").int() < before * 11 / 10, "{before} bytes before, {:?}", after.field("memory"));
}

/// The numbers of the questions that these caches know.
const ENTRIES: [usize; 14] = [0, 31, 62, 93, 124, 155, 186, 217, 248, 279, 310, 341, 372, 403];

/// One cache of each kind, with entries in two contexts, some that are found by their own words only, and a bad pair.
fn fill(c: &mut Client) {
    for (kind, policy) in KINDS {
        let threshold = if kind == "vector" { 0.99 } else { 0.75 };
        let rest = format!("MAXENTRIES 500 GUARDS off THRESHOLD {threshold} {policy}");
        c.words(&format!("LLMCACHE.CREATE {kind} MODE similar {rest}")).ok();
        for number in ENTRIES {
            let context: &[&str] = if number % 3 == 0 { &["SCOPE", "s", "MODEL", "m"] } else { &[] };
            let rest = [&["an answer", "EX", "1000"], context].concat();
            c.cmd(&about(kind, "LLMCACHE.SET", kind, &question(number), &rest)).ok();
        }
        cmd!(c, "LLMCACHE.SET", kind, b"no text \xff", "r", "PERSIST").ok();
        if kind == "vector" {
            cmd!(c, "LLMCACHE.SET", kind, "without a vector", "r", "PERSIST").ok();
        }
        let entry = c.cmd(&about(kind, "LLMCACHE.EXPLAIN", kind, &question(31), &[])).field("digest").text();
        let query = question(31).to_uppercase();
        cmd!(c, "LLMCACHE.FEEDBACK", kind, &entry[..32], "bad", "FOR", query).ok();
    }
}

/// The candidates that EXPLAIN shows. Of those that are equally similar it does not matter which is the first, nor which
/// are among the five that are shown.
fn shown(told: &Reply) -> String {
    let candidates = told.field("candidates").items();
    let similarity = |candidate: &Reply| candidate.field("similarity").number();
    let last = candidates.get(4).map_or(-1.0, similarity);
    let mut shown: Vec<_> = candidates
        .iter()
        .filter(|candidate| similarity(candidate) > last)
        .map(|candidate| {
            let [id, prompt, verdict] = ["id", "prompt", "verdict"].map(|name| candidate.field(name).text());
            format!("; {} {id} {prompt} {verdict}", similarity(candidate))
        })
        .collect();
    shown.sort();
    shown.concat()
}

/// All that similar lookups find in the caches at these keys, and all that INFO tells of what they are.
#[track_caller]
fn found(c: &mut Client, key: impl Fn(&str) -> String) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, _) in KINDS {
        let key = key(kind);
        indexed(c, &key);
        let (mut asked, mut commands) = (Vec::new(), Vec::new());
        for number in ENTRIES {
            for query in [question(number).to_uppercase(), question(number).replace("do I", "can we")] {
                for context in [&[][..], &["SCOPE", "s", "MODEL", "m"]] {
                    commands.push(about(kind, "LLMCACHE.EXPLAIN", &key, &query, context));
                    commands.push(about(kind, "LLMCACHE.GET", &key, &query, &[context, &["NOTOUCH"]].concat()));
                    asked.push(format!("{kind} {query} {context:?}"));
                }
            }
        }
        for (asked, replies) in asked.iter().zip(c.pipeline(&commands).chunks(2)) {
            let (told, got) = (&replies[0], &replies[1]);
            assert_eq!(got.is_null(), *told.field("verdict") == "miss", "{asked}: {told:?}");
            found.push(format!("{asked} {}{}", told.field("reason").text(), shown(told)));
        }
        let info = cmd!(c, "LLMCACHE.INFO", key);
        for name in ["mode", "similarity", "dim", "metric", "threshold", "guards", "entries", "contexts", "index"] {
            found.push(format!("{kind} {name} {:?}", info.field(name)));
        }
        found.push(format!("{kind} {}", digest(c, &key)));
    }
    found
}

/// What it is worth to compare: a good part of the questions is found, in each kind.
#[track_caller]
fn is_something(found: &[String]) {
    for (kind, _) in KINDS {
        let count = |what| found.iter().filter(|line| line.starts_with(kind) && line.contains(what)).count();
        let (similar, feedback) = (count("] similar;"), count(" feedback"));
        assert!(similar >= 13 && feedback >= 1, "{kind}: {similar} found, {feedback} refused by feedback");
    }
}

/// Asserts that two times the same was found.
#[track_caller]
fn same(now: &[String], before: &[String]) {
    for (now, before) in now.iter().zip(before) {
        assert_eq!(now, before);
    }
    assert_eq!(now.len(), before.len());
}

fn own(kind: &str) -> String {
    kind.to_owned()
}

#[test]
fn restarts_keep_what_is_similar() {
    let mut server = Server::start();
    fill(&mut server.client());
    let before = found(&mut server.client(), own);
    is_something(&before);
    for _ in 0..2 {
        server.restart_from_rdb();
        same(&found(&mut server.client(), own), &before);
    }
}

#[test]
fn append_only_files_keep_what_is_similar() {
    let mut server = Server::builder().aof_always().start();
    fill(&mut server.client());
    let before = found(&mut server.client(), own);
    is_something(&before);
    server.crash_and_restart();
    same(&found(&mut server.client(), own), &before);
    for preamble in ["no", "yes"] {
        server.reconfigure(|b| b.config(&format!("aof-use-rdb-preamble {preamble}")));
        cmd!(server.client(), "CONFIG", "SET", "aof-use-rdb-preamble", preamble).ok();
        server.rewrite_aof();
        server.crash_and_restart();
        same(&found(&mut server.client(), own), &before);
    }
}

#[test]
fn copies_and_moved_caches_keep_what_is_similar() {
    both(|c| {
        fill(c);
        let before = found(c, own);
        is_something(&before);
        let copy = |kind: &str| format!("{kind} copy");
        for (kind, _) in KINDS {
            assert_eq!(cmd!(c, "COPY", kind, copy(kind)), 1);
        }
        same(&found(c, copy), &before);
        // Each is its own from now on.
        for (kind, _) in KINDS {
            cmd!(c, "LLMCACHE.INVALIDATE", kind, "ALL");
            cmd!(c, "LLMCACHE.ALTER", kind, "MODE", "exact").ok();
        }
        same(&found(c, copy), &before);
        for (kind, _) in KINDS {
            cmd!(c, "RENAME", copy(kind), kind).ok();
        }
        same(&found(c, own), &before);
        for (kind, _) in KINDS {
            assert_eq!(cmd!(c, "MOVE", kind, 1), 1);
        }
        c.words("SWAPDB 0 1").ok();
        same(&found(c, own), &before);
        for (kind, _) in KINDS {
            let payload = cmd!(c, "DUMP", kind);
            cmd!(c, "RESTORE", kind, 0, payload.bytes(), "REPLACE").ok();
        }
        same(&found(c, own), &before);
        // What is stored now joins them.
        for (kind, _) in KINDS {
            c.cmd(&about(kind, "LLMCACHE.SET", kind, &question(777), &["new"])).ok();
            let told = c.cmd(&about(kind, "LLMCACHE.GET", kind, &question(777).to_lowercase(), &[]));
            assert_eq!(told, "new", "{kind}");
        }
        c.words("FLUSHALL").ok();
        for (kind, policy) in KINDS {
            cmd!(c, "LLMCACHE.GET", kind, question(31)).is_null();
            c.words(&format!("LLMCACHE.CREATE {kind} MODE similar {policy}")).ok();
            let info = cmd!(c, "LLMCACHE.INFO", kind);
            assert!(info.field("dim").is_null());
            assert_eq!(*info.field("index").field("feedback"), 0);
            assert!(c.cmd(&about(kind, "LLMCACHE.GET", kind, &question(62).to_uppercase(), &[])).is_null());
        }
    });
}

/// Changes something of the caches, by chance.
fn change_something(c: &mut Client, dice: &mut Dice) {
    for (kind, policy) in KINDS {
        let prompt = question(ENTRIES[dice.below(14) as usize]);
        let context: &[&str] = if dice.below(3) == 0 { &["SCOPE", "s", "MODEL", "m"] } else { &[] };
        let entry = c.cmd(&about(kind, "LLMCACHE.EXPLAIN", kind, &prompt, context)).field("digest").text();
        match dice.below(12) {
            0 => drop(cmd!(c, "LLMCACHE.DEL", kind, &entry[..32])),
            1 => drop(cmd!(c, "LLMCACHE.FEEDBACK", kind, &entry[..32], "bad", "FOR", prompt.to_uppercase())),
            2 => drop(cmd!(c, "LLMCACHE.FEEDBACK", kind, &entry[..32], "good", "FOR", prompt.to_uppercase())),
            3 => drop(cmd!(c, "LLMCACHE.ALTER", kind, "MAXENTRIES", 10 + dice.below(10))),
            4 => drop(cmd!(c, "LLMCACHE.SET", kind, prompt, "without a vector", "PERSIST")),
            5 => drop(c.words(&format!("LLMCACHE.ALTER {kind} THRESHOLD 0.{}", 5 + dice.below(4)))),
            6 if dice.below(4) == 0 => {
                for policy in ["MODE exact SIMILARITY lexical METRIC dice", &format!("MODE similar {policy}")] {
                    c.words(&format!("LLMCACHE.ALTER {kind} {policy}")).ok();
                }
            }
            _ => {
                let rest = [&["another answer", "EX", "1000"], context].concat();
                c.cmd(&about(kind, "LLMCACHE.SET", kind, &prompt, &rest)).ok();
            }
        }
    }
}

#[test]
fn a_replica_finds_what_its_primary_finds() {
    let pair = Pair::start();
    let mut dice = Dice::new("replicas");
    let (mut primary, mut replica) = (pair.primary.client(), pair.replica.client());
    fill(&mut primary);
    pair.wait_in_sync();
    let before = found(&mut primary, own);
    is_something(&before);
    same(&found(&mut replica, own), &before);
    for (kind, _) in KINDS {
        assert_eq!(cmd!(replica, "LLMCACHE.STATS", kind).field("lookups").int(), 0);
    }
    for _ in 0..3 {
        (0..25).for_each(|_| change_something(&mut primary, &mut dice));
        pair.wait_in_sync();
        same(&found(&mut replica, own), &found(&mut primary, own));
    }
    // One that comes later gets a snapshot.
    let late = Server::builder().replica_of(&pair.primary).start();
    let mut c = late.client();
    until("the late replica is linked", PATIENCE, || {
        c.info_field("replication", "master_link_status").as_deref() == Some("up")
    });
    let before = found(&mut primary, own);
    same(&found(&mut c, own), &before);
    // And a replica that becomes a primary goes on from there.
    pair.promote();
    same(&found(&mut replica, own), &before);
    for (kind, _) in KINDS {
        replica.cmd(&about(kind, "LLMCACHE.SET", kind, &question(777), &["new"])).ok();
        let told = replica.cmd(&about(kind, "LLMCACHE.GET", kind, &question(777).to_lowercase(), &[]));
        assert_eq!(told, "new", "{kind}");
    }
}

#[test]
fn transactions_and_scripts_find_what_is_similar() {
    both(|c| {
        for (kind, policy) in KINDS {
            c.words(&format!("LLMCACHE.CREATE faq MODE similar {policy}")).ok();
            c.words("MULTI").ok();
            c.cmd(&about(kind, "LLMCACHE.SET", "faq", &question(1), &["r", "PERSIST"]));
            c.cmd(&about(kind, "LLMCACHE.GET", "faq", &question(1).to_uppercase(), &["WITHMETA"]));
            let replies = c.words("EXEC");
            assert_eq!(*replies.at(1).field("match"), "similar", "{kind}");
            let script = "local found = redis.call('LLMCACHE.GET', KEYS[1], unpack(ARGV)) return found";
            let asked = about(kind, "LLMCACHE.GET", "faq", &question(1).to_uppercase(), &[]);
            let words = [args!["EVAL", script, 1, "faq"], asked[2..].to_vec()].concat();
            assert_eq!(c.cmd(&words), "r", "{kind}");
            let read_only = [args!["EVAL_RO", script, 1, "faq"], asked[2..].to_vec()].concat();
            assert_eq!(c.cmd(&read_only), "r", "{kind}");
            c.words("DEL faq");
        }
    });
}

#[test]
fn what_expires_is_found_no_more() {
    both(|c| {
        for (kind, policy) in KINDS {
            c.words(&format!("LLMCACHE.CREATE faq MODE similar {policy}")).ok();
            c.cmd(&about(kind, "LLMCACHE.SET", "faq", &question(1), &["r", "PX", "5"])).ok();
            pass(7);
            assert!(c.cmd(&about(kind, "LLMCACHE.GET", "faq", &question(1).to_uppercase(), &[])).is_null(), "{kind}");
            assert_eq!(stat(c, "miss_expired"), 1, "{kind}");
            c.words("RENAME faq old").ok();
        }
    });
}
