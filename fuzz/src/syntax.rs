//! The arguments of every command: a byte that chooses the command, then its words, a line each. An error tells something
//! in one line; what was read can be used.

use super::request::BODIES;
use super::support::{Rng, START};
use super::Target;
use llmcache::core::time::UnixMs;
use llmcache::syntax::apply::Apply;
use llmcache::syntax::entries::{parse_del, parse_entry, parse_expire, parse_ttl, Scan};
use llmcache::syntax::error::SyntaxError;
use llmcache::syntax::feedback::Said;
use llmcache::syntax::fetch::{parse_release, parse_renew, Fetch};
use llmcache::syntax::invalidate::Invalidate;
use llmcache::syntax::lookup::Lookup;
use llmcache::syntax::set::Set;
use llmcache::syntax::strategy::{parse_rule, parse_strategy};
use llmcache::syntax::warm::Warm;
use llmcache::syntax::{alert, grammar, items, policy, stats, table, Bounds};

pub const TARGET: Target = Target {
    name: "syntax",
    run,
    corpus,
    words: &[
        "\nMODEL\nm",
        "\nSYSTEM\ns",
        "\nPARAMS\n{\"temperature\":2}",
        "\nSCOPE\ns",
        "\nFP32\n\x01\x02\x03\x04",
        "\nVALUES\n2\n0.5\n-1e3",
        "\nREQUEST",
        "\nNX",
        "\nXX",
        "\nTOKEN\n00112233445566778899aabbccddeeff",
        "\nSTRATEGY\nstandard",
        "\nEX\n10",
        "\nPXAT\n9999999999999",
        "\nKEEPTTL",
        "\nPERSIST",
        "\nSTALE\n5",
        "\nTYPE\nt",
        "\nTAGS\n2\na\nb",
        "\nTOKENS\n1\n2",
        "\nCOST\n0.000001",
        "\nLATENCY\n5",
        "\nMETA\n{}",
        "\nEXACT",
        "\nSIMILAR",
        "\nTHRESHOLD\n0.9",
        "\nMAXAGE\n9",
        "\nIFNONEMATCH\n0011223344556677",
        "\nSTALEOK",
        "\nWITHMETA",
        "\nLEASE\n5",
        "\nBLOCK\n5",
        "\nALL",
        "\nMATCH\na*",
        "\nOLDERTHAN\n1",
        "\nSOFT",
        "\nDRYRUN",
        "\nCOUNT\n5",
        "\nPRICE\nm\n1\n2\nCACHED\n1",
        "\nBY\nmodel",
        "\nWINDOW\n60",
        "\nFORMAT\njson",
        "\nABOVE\n1e3",
        "\nITEMS\n1",
        "\nJSON\n[]",
        "\nEVERY\n5",
        "\nWITHIN\n0",
        "\nERROR\nwhy",
        "\n9223372036854775807",
        "\n-9223372036854775808",
        "\n18446744073709551616",
        "\nnan",
        "\ninf",
        "\n1e999",
        "\n\n",
    ],
};

const BOUNDS: Bounds = Bounds { now: UnixMs(START), max_prompt_bytes: 1 << 20, max_response_bytes: 1 << 20 };

/// Whether they are the arguments of that command.
pub fn run(data: &[u8]) -> bool {
    let Some((command, line)) = data.split_first() else { return false };
    let command = &table::COMMANDS[usize::from(*command) % table::COMMANDS.len()];
    let words: Vec<&[u8]> = line.split(|byte| *byte == b'\n').collect();
    let words = if line.is_empty() { &[][..] } else { &words };
    match parse(command.name, words) {
        Ok(()) => true,
        Err(error) => {
            let told = error.to_string();
            let is_one_line = !told.contains(['\r', '\n', '\0']) && told.starts_with("ERR ");
            assert!(is_one_line && told.len() < 700, "{}: {told:?}", command.name);
            false
        }
    }
}

fn parse(command: &str, words: &[&[u8]]) -> Result<(), SyntaxError> {
    match command {
        "LLMCACHE.GET" | "LLMCACHE.EXPLAIN" => drop(Lookup::parse(words, &BOUNDS)?.wanted(BOUNDS.now)),
        "LLMCACHE.SET" => stored(&Set::parse(words, &BOUNDS)?),
        "LLMCACHE.FETCH" => {
            let fetch = Fetch::parse(words, &BOUNDS)?;
            assert!(fetch.lease_ms > 0);
            fetch.lookup.wanted(BOUNDS.now);
        }
        "LLMCACHE.RENEW" => drop(parse_renew(words)?),
        "LLMCACHE.RELEASE" => drop(parse_release(words)?),
        "LLMCACHE.DEL" => drop(parse_del(words)?),
        "LLMCACHE.INVALIDATE" => drop(Invalidate::parse(words, &BOUNDS)?.selection()),
        "LLMCACHE.SCAN" => drop(Scan::parse(words, &BOUNDS)?),
        "LLMCACHE.ENTRY" => drop(parse_entry(words)?),
        "LLMCACHE.TTL" => drop(parse_ttl(words)?),
        "LLMCACHE.EXPIRE" => drop(parse_expire(words, &BOUNDS)?),
        "LLMCACHE.CREATE" | "LLMCACHE.ALTER" => drop(policy::parse(words, &BOUNDS)?),
        "LLMCACHE.INFO" => stats::parse_info(words)?,
        "LLMCACHE.STRATEGY" => drop(parse_strategy(words, &BOUNDS)?),
        "LLMCACHE.RULE" => drop(parse_rule(words)?),
        "LLMCACHE.STATS" => drop(stats::parse(words)?),
        "LLMCACHE.RESETSTATS" => drop(stats::parse_reset(words)?),
        "LLMCACHE.FEEDBACK" => drop(Said::parse(words, &BOUNDS)?.prompt()),
        "LLMCACHE.ALERT" => drop(alert::parse(words)?),
        "LLMCACHE.WARM" => warm(&Warm::parse(words, &BOUNDS)?)?,
        "LLMCACHE.APPLY" => drop(Apply::parse(words)?),
        other => panic!("{other} is not fuzzed"),
    }
    Ok(())
}

fn stored(set: &Set<'_>) {
    let answer = set.answer();
    assert_eq!(answer.digest, answer.identity.digest());
    assert!(
        answer.response.len() <= BOUNDS.max_response_bytes && answer.identity.prompt.len() <= BOUNDS.max_prompt_bytes
    );
}

/// As the shell takes it: item by item, each with the words of all.
fn warm(warm: &Warm<'_>) -> Result<(), SyntaxError> {
    let own = |given: &items::Given<'_>| given.to_owned();
    match warm {
        Warm::Items(given, pairs) => {
            let (all, own) = (own(given), [[0u8; 0]; 0]);
            let words = items::merged(&all, &own);
            for pair in pairs.chunks(2) {
                let [prompt, response] = pair else { panic!("half a pair") };
                stored(&items::set(prompt, response, &words, &BOUNDS)?);
            }
        }
        Warm::Json(given, array) => {
            let all = own(given);
            let (read, rejections) = items::read(array)?;
            assert!(rejections.shown().len() as u64 <= rejections.count);
            for item in read {
                let words = items::merged(&all, &item.options);
                stored(&items::set(&item.prompt, &item.response.expect("a response"), &words, &BOUNDS)?);
            }
        }
        Warm::Plan(plan) => drop(items::plan(&own(&plan.options), plan.json, (plan.every_ms, plan.limit), &BOUNDS)?),
        Warm::Unplan(_) | Warm::Status | Warm::Due(_) => {}
    }
    Ok(())
}

/// For each command its words as its grammar has them: one choice of each, all options, then none and each alone.
fn corpus(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (number, command) in table::COMMANDS.iter().enumerate() {
        let tree = grammar::parse(command.grammar).expect("a grammar");
        assert!(!tree.is_empty() || command.grammar.is_empty());
        for round in 0..12 {
            let mut line = vec![number as u8];
            line.extend(typed(command.grammar, rng, [100, 0, 20, 40][round % 4]).join("\n").bytes());
            all.push(line);
        }
    }
    all
}

/// Words for a grammar's line: options are taken by chance, of alternatives one.
fn typed(grammar: &str, rng: &mut Rng, percent: u64) -> Vec<String> {
    let spaced = ["[", "]", "(", ")", "|"]
        .iter()
        .fold(grammar.to_owned(), |line, sign| line.replace(sign, &format!(" {sign} ")));
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    alternatives(&tokens, &mut at, rng, percent)
}

fn alternatives(tokens: &[&str], at: &mut usize, rng: &mut Rng, percent: u64) -> Vec<String> {
    let mut choices = vec![Vec::new()];
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        let words = match *token {
            "]" | ")" => break,
            "|" => {
                choices.push(Vec::new());
                continue;
            }
            "[" => {
                let inside = alternatives(tokens, at, rng, percent);
                // `]...` says that it may come again.
                let more = usize::from(tokens.get(*at) == Some(&"..."));
                *at += more;
                if rng.chance(percent) {
                    inside
                } else {
                    Vec::new()
                }
            }
            "(" => {
                let inside = alternatives(tokens, at, rng, percent);
                *at += usize::from(tokens.get(*at) == Some(&"..."));
                inside
            }
            name => value(name, rng),
        };
        if let Some(choice) = choices.last_mut() {
            choice.extend(words);
        }
    }
    rng.pick(&choices).clone()
}

/// What may stand where the grammar has this word.
fn value(name: &str, rng: &mut Rng) -> Vec<String> {
    if name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
        return vec![name.to_owned()];
    }
    let one = |text: &str| vec![text.to_owned()];
    match name {
        "count" => one("1"),
        "id" | "id..." | "token" => one("00112233445566778899aabbccddeeff"),
        "json" => one(r#"{"temperature":1.5}"#),
        "blob" => one("abcdefgh"),
        "etag" => one("0011223344556677"),
        "figure" => one("hit_rate"),
        "dimension" => one("model"),
        "format" => one("prometheus"),
        "mode" => one("similar"),
        "kind" => one("lexical"),
        "metric" => one("dice"),
        "switch" => one("on"),
        "method" => one("zstd"),
        "policy" => one("lfu"),
        "level" => one("3"),
        "similarity" => one("0.9"),
        "strategy" => one("standard"),
        "unix-time-seconds" => one("1900000000"),
        "unix-time-milliseconds" => one("1900000000000"),
        "array" => {
            one(r#"[{"prompt":"q","response":"r","tags":["a"],"ex":5,"values":[1,2]},{"prompt":"p","response":"r"}]"#)
        }
        "prompt" if rng.chance(20) => one(&rng.pick(&BODIES).replace('\n', " ")),
        name if name.contains("tok") || name.contains("seconds") || name.contains("number") => one("5"),
        "percent" | "bytes" | "usd" | "value" | "cursor" => one("7"),
        name => one(name.trim_end_matches("...")),
    }
}
