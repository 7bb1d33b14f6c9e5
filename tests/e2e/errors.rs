//! What is wrong with a command: the very words of the answer, and that nothing has changed.

use crate::harness::{args, cmd, Client};
use crate::support::{both, get, state, store, COMMANDS, NO_ID};

/// A command's words: `''` is an empty one.
fn words(line: &str) -> Vec<&str> {
    line.split(' ').map(|word| if word == "''" { "" } else { word }).collect()
}

#[track_caller]
fn each_fails(c: &mut Client, table: &[(&str, &str)]) {
    store(c, "p", "r");
    let before = state(c);
    for (line, expected) in table {
        let mut command = words(line);
        let name = format!("LLMCACHE.{}", command[0]);
        command[0] = &name;
        assert_eq!(c.cmd(&command).error(), format!("ERR {expected}"), "{line}");
    }
    assert_eq!(state(c), before);
    assert_eq!(c.words("DBSIZE"), 1);
}

#[test]
fn too_few_arguments() {
    both(|c| {
        store(c, "p", "r");
        let before = state(c);
        let complete = COMMANDS.map(|line| line.replace("KEY", "faq"));
        let short: Vec<String> = complete
            .iter()
            .filter(|line| {
                !line.contains("STATS")
                    && !line.contains(".CREATE")
                    && !line.contains(".ALTER")
                    && !line.contains(".INVALIDATE")
            })
            .flat_map(|line| {
                let words: Vec<_> = line.split(' ').collect();
                (1..words.len()).map(|n| words[..n].join(" ")).collect::<Vec<_>>()
            })
            .chain(
                ["LLMCACHE.CREATE", "LLMCACHE.ALTER", "LLMCACHE.INVALIDATE", "LLMCACHE.INVALIDATE faq"]
                    .map(str::to_owned),
            )
            .chain(
                [
                    "LLMCACHE.STRATEGY faq SET",
                    "LLMCACHE.STRATEGY faq DEL",
                    "LLMCACHE.RULE faq SET",
                    "LLMCACHE.RULE faq DEL",
                    "LLMCACHE.ALERT faq SET",
                    "LLMCACHE.ALERT faq SET x",
                    "LLMCACHE.ALERT faq SET x hits",
                    "LLMCACHE.ALERT faq DEL",
                ]
                .map(str::to_owned),
            )
            .collect();
        for line in &short {
            let reply = c.words(line);
            assert!(reply.error().starts_with("ERR wrong number of arguments"), "{line}: {reply:?}");
        }
        assert!(short.len() > 20);
        assert_eq!(state(c), before);
    });
}

#[test]
fn too_many_arguments() {
    both(|c| {
        store(c, "p", "r");
        let before = state(c);
        for line in ["INFO faq x", &format!("TTL faq {NO_ID} x"), &format!("EXPIRE faq {NO_ID} 5 x")] {
            let reply = c.words(&format!("LLMCACHE.{line}"));
            assert!(reply.error().starts_with("ERR wrong number of arguments"), "{line}: {reply:?}");
        }
        assert_eq!(state(c), before);
    });
}

#[test]
fn a_name_that_nothing_can_have_is_one_that_nothing_has() {
    both(|c| {
        store(c, "p", "r");
        let before = state(c);
        let (upper, long) = ("G".repeat(32), "0".repeat(33));
        for id in [&b""[..], b"xyz", b"0011", b"\xff\0", upper.as_bytes(), long.as_bytes()] {
            assert!(cmd!(c, "LLMCACHE.ENTRY", "faq", id).is_null());
            assert_eq!(cmd!(c, "LLMCACHE.TTL", "faq", id), -2);
            assert_eq!(cmd!(c, "LLMCACHE.DEL", "faq", id, id), 0);
            assert_eq!(cmd!(c, "LLMCACHE.EXPIRE", "faq", id, 5), 0);
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", "p", "NOTOUCH", "IFNONEMATCH", id), "r");
        }
        assert_eq!(state(c), before);
    });
}

#[test]
fn unknown_options_are_named_with_what_was_meant() {
    both(|c| {
        each_fails(
            c,
            &[
                ("GET faq p MODLE m", "unknown option 'MODLE' at argument 3, did you mean MODEL?"),
                ("GET faq p hello", "unknown option 'hello' at argument 3"),
                ("GET faq p ''", "unknown option '' at argument 3"),
                ("GET faq p EXACT MAX-AGE 5", "unknown option 'MAX-AGE' at argument 4, did you mean MAXAGE?"),
                ("GET faq p NX", "unknown option 'NX' at argument 3"),
                ("GET faq p MODEL m m", "unknown option 'm' at argument 5"),
                ("EXPLAIN faq p WITHMETAS", "unknown option 'WITHMETAS' at argument 3, did you mean WITHMETA?"),
                ("SET faq p r EXX 5", "unknown option 'EXX' at argument 4, did you mean EX?"),
                ("SET faq p r WITHMETA", "unknown option 'WITHMETA' at argument 4"),
                ("SET faq p r TAG 1 x", "unknown option 'TAG' at argument 4, did you mean TAGS?"),
                ("SCAN faq 0 COUNTS 1", "unknown option 'COUNTS' at argument 3, did you mean COUNT?"),
                ("INVALIDATE faq TAGS 1 x", "unknown option 'TAGS' at argument 2, did you mean TAG?"),
                (
                    &format!("ENTRY faq {NO_ID} RESPONSE"),
                    "unknown option 'RESPONSE' at argument 3, did you mean WITHRESPONSE?",
                ),
                ("STATS faq FROMAT map", "unknown option 'FROMAT' at argument 2, did you mean FORMAT?"),
                ("CREATE other MAXENTRY 5", "unknown option 'MAXENTRY' at argument 2, did you mean MAXENTRIES?"),
            ],
        );
    });
}

#[test]
fn repeated_options_are_named() {
    both(|c| {
        let mut table = Vec::new();
        for option in ["MODEL m", "SYSTEM s", "PARAMS {}", "SCOPE s"] {
            table.push((format!("GET faq p {option} {option}"), option));
            table.push((format!("SET faq p r {option} {option}"), option));
        }
        for option in ["REQUEST", "EXACT", "MAXAGE 5", "IFNONEMATCH 0123456789abcdef", "STALEOK", "NOTOUCH", "WITHMETA"]
        {
            table.push((format!("GET faq p {option} {option}"), option));
            table.push((format!("EXPLAIN faq p {option} {option}"), option));
        }
        for option in [
            "NX",
            "XX",
            "STRATEGY standard",
            "EX 1",
            "PX 1",
            "EXAT 9999999999",
            "PXAT 9999999999999",
            "KEEPTTL",
            "PERSIST",
            "STALE 1",
            "TYPE t",
            "TAGS 1 x",
            "TOKENS 1 2",
            "COST 1",
            "LATENCY 1",
            "META {}",
            "REQUEST",
        ] {
            table.push((format!("SET faq p r {option} {option}"), option));
        }
        for option in ["COUNT 5", "MATCH *", "TAG x", "MODEL m", "SCOPE s"] {
            table.push((format!("SCAN faq 0 {option} {option}"), option));
        }
        for option in [
            "ALL",
            "TAG 1 x",
            "MODEL m",
            "SCOPE s",
            "TYPE t",
            "STRATEGY s",
            "PROMPT p",
            "MATCH *",
            "OLDERTHAN 5",
            "SOFT",
            "DRYRUN",
        ] {
            table.push((format!("INVALIDATE faq {option} {option}"), option));
        }
        for option in [
            "MODE exact",
            "STRATEGY standard",
            "STALE 1",
            "JITTER 1",
            "MAXENTRIES 1",
            "MAXMEMORY 1",
            "EVICT lru",
            "COMPRESS none",
            "LEVEL 1",
        ] {
            table.push((format!("ALTER faq {option} {option}"), option));
            table.push((format!("CREATE other {option} {option}"), option));
        }
        let table: Vec<_> = table
            .into_iter()
            .map(|(line, option)| (line, format!("{} may be given only once", option.split(' ').next().unwrap())))
            .collect();
        let table: Vec<_> = table.iter().map(|(line, expected)| (line.as_str(), expected.as_str())).collect();
        each_fails(c, &table);
    });
}

#[test]
fn contradictory_options_are_named() {
    both(|c| {
        each_fails(
            c,
            &[
                ("SET faq p r NX XX", "NX and XX exclude each other, give one of them"),
                ("SET faq p r XX NX", "XX and NX exclude each other, give one of them"),
                ("SET faq p r EX 1 PX 1", "EX and PX exclude each other, give one of them"),
                ("SET faq p r KEEPTTL PERSIST", "KEEPTTL and PERSIST exclude each other, give one of them"),
                (
                    "SET faq p r STRATEGY standard EXAT 9999999999",
                    "STRATEGY and EXAT exclude each other, give one of them",
                ),
                ("SET faq p r PERSIST STRATEGY auto", "PERSIST and STRATEGY exclude each other, give one of them"),
                ("GET faq p EXACT SIMILAR", "EXACT and SIMILAR exclude each other, give one of them"),
                ("GET faq {} REQUEST MODEL m", "REQUEST and MODEL exclude each other, give one of them"),
                ("SET faq {} r SYSTEM s REQUEST", "REQUEST and SYSTEM exclude each other, give one of them"),
                ("EXPLAIN faq {} PARAMS {} REQUEST", "REQUEST and PARAMS exclude each other, give one of them"),
            ],
        );
    });
}

#[test]
fn options_without_a_value_are_named() {
    both(|c| {
        let mut table = Vec::new();
        let lists = [
            ("GET faq p", "MODEL SYSTEM PARAMS SCOPE MAXAGE IFNONEMATCH THRESHOLD"),
            ("EXPLAIN faq p", "MODEL SYSTEM PARAMS SCOPE MAXAGE IFNONEMATCH THRESHOLD"),
            (
                "SET faq p r",
                "MODEL SYSTEM PARAMS SCOPE STRATEGY EX PX EXAT PXAT STALE TYPE TAGS TOKENS COST LATENCY META",
            ),
            ("SCAN faq 0", "COUNT MATCH TAG MODEL SCOPE"),
            ("INVALIDATE faq", "TAG MODEL SCOPE TYPE STRATEGY PROMPT MATCH OLDERTHAN"),
            ("ALTER faq", "MODE STRATEGY STALE JITTER MAXENTRIES MAXMEMORY EVICT COMPRESS LEVEL PRICE"),
            ("STRATEGY faq SET x", "TTL STALE JITTER"),
            ("RULE faq SET x", "TYPE MODEL SCOPE PROMPT STRATEGY"),
            ("ALERT faq SET x hits", "ABOVE BELOW"),
            ("ALERT faq SET x hits ABOVE 1", "WINDOW"),
        ];
        for (line, options) in lists {
            for option in options.split(' ') {
                table.push((format!("{line} {option}"), format!("{option} needs a value")));
            }
        }
        table.push(("SET faq p r TOKENS 5".into(), "TOKENS needs a value".into()));
        let table: Vec<_> = table.iter().map(|(line, expected)| (line.as_str(), expected.as_str())).collect();
        each_fails(c, &table);
    });
}

#[test]
fn wrong_values_are_shown_with_what_is_right() {
    both(|c| {
        let seconds = "a whole number of seconds, 0 or more, and not beyond the year 9999";
        each_fails(
            c,
            &[
                ("GET faq ''", "prompt may not be empty"),
                ("SET faq '' r", "prompt may not be empty"),
                ("EXPLAIN faq ''", "prompt may not be empty"),
                ("GET faq p MAXAGE -1", &format!("MAXAGE must be {seconds}, got '-1'")),
                ("GET faq p MAXAGE 1.5", &format!("MAXAGE must be {seconds}, got '1.5'")),
                ("GET faq p THRESHOLD 7", "THRESHOLD must be a number from 0 to 1, got '7'"),
                ("GET faq p THRESHOLD nan", "THRESHOLD must be a number from 0 to 1, got 'nan'"),
                ("ALTER faq THRESHOLD -0.1", "THRESHOLD must be a number from 0 to 1, got '-0.1'"),
                ("SCAN faq zero", "cursor must be a cursor that SCAN gave, or 0, got 'zero'"),
                ("SCAN faq 0 COUNT 0", "COUNT must be a whole number from 1 to 1000000, got '0'"),
                ("SCAN faq 0 TAG ''", "TAG may not be empty"),
                ("STATS faq FORMAT xml", "FORMAT must be one of map, json, prometheus, got 'xml'"),
                ("SET faq p r PARAMS [1]", "PARAMS must be a JSON object"),
                (
                    "SET faq p r PARAMS {",
                    "PARAMS must be a JSON object: EOF while parsing an object at line 1 column 1",
                ),
                ("GET faq p PARAMS ''", "PARAMS must be a JSON object: EOF while parsing a value at line 1 column 0"),
            ],
        );
        // What is long, cannot be printed or looks like text is told by its length.
        for (value, shown) in [(&[b'5'; 41][..], "41 bytes"), (b"\xff\r\n", "3 bytes"), (b" 5", "2 bytes")] {
            let expected = format!("ERR MAXAGE must be {seconds}, got {shown}");
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", "p", "MAXAGE", value).error(), expected);
        }
        let model = "m".repeat(1025);
        assert_eq!(
            cmd!(c, "LLMCACHE.GET", "faq", "p", "MODEL", model).error(),
            "ERR MODEL has 1025 bytes, 1024 are allowed"
        );
        let (fits, long) = ("*".repeat(256), "*".repeat(257));
        for words in [args!["LLMCACHE.SCAN", "faq", 0, "MATCH"], args!["LLMCACHE.INVALIDATE", "faq", "DRYRUN", "MATCH"]]
        {
            let mut with = |pattern: &String| c.cmd(&[words.clone(), args![pattern]].concat());
            assert_eq!(with(&long).error(), "ERR MATCH has 257 bytes, 256 are allowed");
            assert!(!with(&fits).is_error());
        }
    });
}

#[test]
fn json_that_is_hostile_is_an_error_and_no_more() {
    both(|c| {
        store(c, "p", "r");
        let before = state(c);
        c.words("CONFIG SET llmcache.max-prompt-bytes 50mb").ok();
        let deep = |open: &str, close: &str| open.repeat(1_000_000) + &close.repeat(1_000_000);
        let brackets = deep("[", "]");
        let objects = deep("{\"a\":", "}");
        let inside = format!("{{\"a\":{brackets}}}");
        let messages = format!("{{\"messages\":{brackets}}}");
        for json in [&brackets, &objects, &inside, &messages, &"[".repeat(1_000_000)] {
            for words in [
                args!["LLMCACHE.GET", "faq", "p", "PARAMS", json],
                args!["LLMCACHE.SET", "faq", "p", "r", "PARAMS", json],
                args!["LLMCACHE.SET", "faq", "p", "r", "META", json],
                args!["LLMCACHE.GET", "faq", json, "REQUEST"],
                args!["LLMCACHE.SET", "faq", json, "r", "REQUEST"],
                args!["LLMCACHE.EXPLAIN", "faq", json, "REQUEST"],
            ] {
                let reply = c.cmd(&words);
                assert!(reply.error().starts_with("ERR ") && reply.error().len() < 200, "{reply:?}");
            }
        }
        for bytes in [
            &b"{\"a\":\"\xff\"}"[..],
            b"\xff",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":1e}",
            b"{\"a\":01}",
            b"{}{}",
            b"{\"a\":NaN}",
            b"{'a':1}",
        ] {
            assert!(cmd!(c, "LLMCACHE.GET", "faq", "p", "PARAMS", bytes).is_error(), "{}", bytes.escape_ascii());
            assert!(cmd!(c, "LLMCACHE.SET", "faq", "p", "new", "META", bytes).is_error(), "{}", bytes.escape_ascii());
            assert!(cmd!(c, "LLMCACHE.SET", "faq", bytes, "new", "REQUEST").is_error(), "{}", bytes.escape_ascii());
        }
        // A response that is deep JSON is a text like any other.
        let chat = r#"{"messages":[{"role":"user","content":"q"}]}"#;
        assert_eq!(state(c), before);
        cmd!(c, "LLMCACHE.SET", "faq", chat, inside, "REQUEST").ok();
        c.words("CONFIG SET llmcache.max-prompt-bytes 1mb").ok();
        assert_eq!(get(c, "p", ""), "r");
    });
}

#[test]
fn records_from_nobody_are_refused() {
    both(|c| {
        store(c, "p", "r");
        let before = state(c);
        for words in [
            args!["LLMCACHE.APPLY", "faq", "POLICY", "nonsense"],
            args!["LLMCACHE.APPLY", "faq", "STORE", "x", "y"],
            args!["LLMCACHE.APPLY", "faq", "STORE", ""],
            args!["LLMCACHE.APPLY", "faq", "LIVES", b"L\x01\xff\xff\xff\xff"],
            args!["LLMCACHE.APPLY", "faq", "COUNTERS", b"K\x01"],
            args!["LLMCACHE.APPLY", "faq", "ALERTS", b"A\x01\xff\xff\xff\xff"],
            args!["LLMCACHE.APPLY", "faq", "WHAT"],
            args!["LLMCACHE.APPLY", "other", "POLICY", b"P\x01"],
        ] {
            let reply = c.cmd(&words);
            assert!(reply.error().starts_with("ERR "), "{reply:?}");
        }
        assert_eq!(state(c), before);
        assert_eq!(c.words("DBSIZE"), 1);
    });
}
