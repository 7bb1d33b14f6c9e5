//! What an answer costs: the four sources in their order, cached tokens, and the sample price list.

use crate::harness::{cmd, Client, Pair, Reply, Server};
use crate::support::{both, get};
use llmcache::core::money::MicroUsd;
use std::path::Path;
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const CHAT: &str = r#"{"model":"gpt","messages":[{"role":"user","content":"What is Redis?"}]}"#;
const RESPONSES: &str = r#"{"model":"gpt","input":"What is Redis?"}"#;
const ANTHROPIC: &str = r#"{"model":"gpt","max_tokens":9,"system":[{"type":"text","text":"Be brief."}],"messages":[{"role":"user","content":[{"type":"text","text":"What is Redis?","cache_control":{"type":"ephemeral"}}]}]}"#;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// A finished response of each API with this usage.
fn responses(chat: &str, responses: &str, anthropic: &str) -> [(&'static str, String); 3] {
    [
        (
            CHAT,
            format!(r#"{{"choices":[{{"finish_reason":"stop","message":{{"content":"A store."}}}}],"usage":{chat}}}"#),
        ),
        (RESPONSES, format!(r#"{{"object":"response","status":"completed","output":[],"usage":{responses}}}"#)),
        (ANTHROPIC, format!(r#"{{"type":"message","stop_reason":"end_turn","content":[],"usage":{anthropic}}}"#)),
    ]
}

/// The same call as each API tells it: 2,000 tokens read, 1,500 of them from its cache, 300 written.
fn told() -> [(&'static str, String); 3] {
    responses(
        r#"{"prompt_tokens":2000,"completion_tokens":300,"prompt_tokens_details":{"cached_tokens":1500}}"#,
        r#"{"input_tokens":2000,"output_tokens":300,"input_tokens_details":{"cached_tokens":1500}}"#,
        r#"{"input_tokens":400,"cache_creation_input_tokens":100,"cache_read_input_tokens":1500,"output_tokens":300}"#,
    )
}

/// What the entry of a prompt says: tokens in and out, cost, and whether the tokens are estimated.
#[track_caller]
fn effort(c: &mut Client, prompt: &str, options: &str) -> (i64, i64, String, bool) {
    let id = get(c, prompt, &format!("{options} NOTOUCH WITHMETA")).field("id").text();
    let entry = cmd!(c, "LLMCACHE.ENTRY", "faq", id);
    let tokens = |name| entry.field(name).int();
    (tokens("tokens_in"), tokens("tokens_out"), entry.field("cost_usd").text(), entry.field("estimated").truth())
}

/// Stores a response to a request and answers what its entry says.
#[track_caller]
fn costs(c: &mut Client, body: &str, response: &str, options: &str) -> (i64, i64, String, bool) {
    let mut words = vec!["LLMCACHE.SET", "faq", body, response, "REQUEST"];
    words.extend(options.split_whitespace());
    c.cmd(&words).ok();
    effort(c, body, "REQUEST")
}

fn known(tokens_in: i64, tokens_out: i64, cost: &str) -> (i64, i64, String, bool) {
    (tokens_in, tokens_out, cost.to_owned(), false)
}

#[test]
fn the_first_source_that_is_there_counts() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq PRICE gpt 2.50 10 CACHED 1.25").ok();
        for (body, response) in told() {
            for (options, expected) in [
                ("TOKENS 1000 500 COST 0.0021", known(1000, 500, "0.002100")),
                ("COST 0.0021", known(2000, 300, "0.002100")),
                // 500 × 2.50 + 1,500 × 1.25 + 300 × 10
                ("", known(2000, 300, "0.006125")),
                // Of what the client counted as much is cached as the response says, but never more than all:
                // 2,500 × 2.50 + 1,500 × 1.25 + 300 × 10, and 1,000 × 1.25 + 500 × 10.
                ("TOKENS 4000 300", known(4000, 300, "0.011125")),
                ("TOKENS 1000 500", known(1000, 500, "0.006250")),
            ] {
                assert_eq!(costs(c, body, &response, options), expected, "{options} {response}");
            }
            // Without a usage TOKENS, and without those the estimate.
            assert_eq!(costs(c, body, "no usage", "TOKENS 1000 500"), known(1000, 500, "0.007500"));
            let (tokens_in, tokens_out, cost, estimated) = costs(c, body, "no usage", "");
            assert!(estimated && tokens_in >= 4 && tokens_out == 2, "{tokens_in} {tokens_out}");
            // Tokens at so many dollars a million cost so many micro-dollars, in halves here.
            let halves = tokens_in * 5 + tokens_out * 20;
            assert_eq!(cost, format!("0.{:06}", halves.div_euclid(2) + halves % 2));
            let (_, _, cost, estimated) = costs(c, body, "no usage", "COST 1");
            assert_eq!((cost.as_str(), estimated), ("1.000000", true), "the cost is known, its tokens are not");
        }
    });
}

#[test]
fn cached_tokens_cost_what_the_cache_says() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq").ok();
        for (policy, cost) in [
            ("STALE 0", "0.000000"),
            ("PRICE gpt 2.50 10", "0.008000"),
            ("PRICE gpt 2.50 10 CACHED 1.25", "0.006125"),
            ("PRICE gpt 2.50 10 CACHED 0", "0.004250"),
            ("PRICE gpt 2.50 10 CACHED 5", "0.011750"),
            ("PRICE gpt 2.50 10", "0.008000"),
        ] {
            c.words(&format!("LLMCACHE.ALTER faq {policy}")).ok();
            for (body, response) in told() {
                assert_eq!(costs(c, body, &response, ""), known(2000, 300, cost), "{policy} {response}");
            }
        }
        // One rounding, on the sum: 0.2 + 0.2 + 0.1 of a micro-dollar, and a little less.
        let [(body, response), ..] = responses(
            r#"{"prompt_tokens":2,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":1}}"#,
            "null",
            "null",
        );
        for (output, cost) in [("0.1", "0.000001"), ("0.099999", "0.000000")] {
            c.words(&format!("LLMCACHE.ALTER faq PRICE gpt 0.2 {output} CACHED 0.2")).ok();
            assert_eq!(costs(c, body, &response, ""), known(2, 1, cost), "{output}");
        }
    });
}

#[test]
fn a_usage_that_makes_no_sense_is_never_cheaper_than_all_cached() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq PRICE gpt 2 10 CACHED 1").ok();
        for (cached, cost) in [
            ("5000", "0.001000"),
            ("1e300", "0.001000"),
            ("-1", "0.002000"),
            ("\"500\"", "0.002000"),
            ("0.5", "0.002000"),
            ("null", "0.002000"),
            ("{}", "0.002000"),
        ] {
            let details = format!(r#"_tokens_details":{{"cached_tokens":{cached}}}"#);
            let [chat, responses, _] = responses(
                &format!(r#"{{"prompt_tokens":1000,"completion_tokens":0,"prompt{details}}}"#),
                &format!(r#"{{"input_tokens":1000,"output_tokens":0,"input{details}}}"#),
                "null",
            );
            for (body, response) in [chat, responses] {
                assert_eq!(costs(c, body, &response, ""), known(1000, 0, cost), "{response}");
            }
        }
        for (fields, tokens_in, cost) in [
            (r#""cache_read_input_tokens":-5"#, 1000, "0.002000"),
            (r#""cache_read_input_tokens":"5""#, 1000, "0.002000"),
            (r#""cache_creation_input_tokens":500"#, 1500, "0.003000"),
            (r#""cache_read_input_tokens":500"#, 1500, "0.002500"),
        ] {
            let usage = format!(r#"{{"input_tokens":1000,"output_tokens":0,{fields}}}"#);
            let [_, _, (body, response)] = responses("null", "null", &usage);
            assert_eq!(costs(c, body, &response, ""), known(tokens_in, 0, cost), "{response}");
        }
    });
}

#[test]
fn what_is_warmed_costs_the_same() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq PRICE gpt 2.50 10 CACHED 1.25").ok();
        for (body, response) in told() {
            let warmed = cmd!(c, "LLMCACHE.WARM", "faq", "REQUEST", "ITEMS", 1, body, response);
            assert_eq!(*warmed.field("stored"), 1);
            assert_eq!(effort(c, body, "REQUEST"), known(2000, 300, "0.006125"), "{response}");
        }
    });
}

/// The prices survive whatever may happen to them, and are reckoned with afterwards.
#[test]
fn a_cached_price_outlives_files_and_replication() {
    const CREATE: &str = "LLMCACHE.CREATE faq PRICE gpt 2.50 10 CACHED 1.25 PRICE mini 0.15 0.6";
    #[track_caller]
    fn check(c: &mut Client) {
        let price = c.words("LLMCACHE.INFO faq").field("price").clone();
        assert_eq!(price.names(), ["gpt", "mini"]);
        assert_eq!(price.field("gpt").texts(), ["2.500000", "10.000000", "1.250000"]);
        assert_eq!(price.field("mini").texts(), ["0.150000", "0.600000"]);
    }
    let [(body, response), ..] = told();
    let mut rdb = Server::start();
    rdb.client().words(CREATE).ok();
    rdb.restart_from_rdb();
    let mut aof = Server::builder().aof_always().start();
    aof.client().words(CREATE).ok();
    aof.crash_and_restart();
    let mut rewritten = Server::builder().aof_always().aof_of_commands().start();
    rewritten.client().words(CREATE).ok();
    rewritten.rewrite_aof();
    rewritten.crash_and_restart();
    for server in [&rdb, &aof, &rewritten] {
        let mut c = server.client3();
        check(&mut c);
        assert_eq!(costs(&mut c, body, &response, ""), known(2000, 300, "0.006125"));
    }

    let pair = Pair::start();
    let mut primary = pair.primary.client3();
    primary.words(CREATE).ok();
    primary.words("LLMCACHE.ALTER faq PRICE gpt 1 1").ok();
    pair.wait_in_sync();
    let theirs = pair.replica.client3().words("LLMCACHE.INFO faq").field("price").clone();
    assert_eq!(theirs.field("gpt").texts(), ["1.000000", "1.000000"], "a new PRICE takes the cached one along");
    primary.words("LLMCACHE.ALTER faq PRICE gpt 2.5 10 CACHED 1.25").ok();
    assert_eq!(costs(&mut primary, body, &response, ""), known(2000, 300, "0.006125"));
    pair.wait_in_sync();
    let mut replica = pair.replica.client3();
    check(&mut replica);
    assert_eq!(effort(&mut replica, body, "REQUEST"), known(2000, 300, "0.006125"));
    pair.promote();
    assert_eq!(costs(&mut replica, body, &response, "TOKENS 1000 500"), known(1000, 500, "0.006250"));
}

const LIST: &str = "examples/prices.redis";

/// What INFO is to say when the list has been sent: by model, and each in its place.
fn listed() -> Vec<(String, Vec<String>)> {
    let usd = |text: &str| MicroUsd::parse(text.as_bytes()).unwrap().to_string();
    let list = read(LIST);
    let mut prices = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with("ECHO \"")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["LLMCACHE.ALTER", "faq", "PRICE", model, input, output, "CACHED", cached] = words[..] else {
            panic!("{LIST}: {line}")
        };
        assert!(MicroUsd::parse(cached.as_bytes()) < MicroUsd::parse(input.as_bytes()), "{line}");
        prices.push((model.to_owned(), vec![usd(input), usd(output), usd(cached)]));
    }
    prices.sort();
    prices
}

#[track_caller]
fn shows_the_list(c: &mut Client) {
    let price = c.words("LLMCACHE.INFO faq").field("price").clone();
    let found: Vec<_> = price.pairs().into_iter().map(|(model, price)| (model.text(), price.texts())).collect();
    assert_eq!(found, listed());
    assert!(found.len() >= 6);
}

#[test]
fn the_sample_price_list_can_be_sent_line_by_line() {
    both(|c| {
        c.words("LLMCACHE.CREATE faq").ok();
        for line in read(LIST).lines().filter(|line| line.starts_with("LLMCACHE")) {
            c.words(line).ok();
        }
        shows_the_list(c);
    });
    let list = read(LIST);
    for said in ["2026-11-21", "sample", "no claim to be current", "your provider bills"] {
        assert!(list.contains(said), "the list says nothing of {said:?}");
    }
}

#[test]
fn the_sample_price_list_can_be_piped_through_redis_cli() {
    let server = Server::start();
    server.client().words("LLMCACHE.CREATE faq").ok();
    let list = std::fs::File::open(Path::new(ROOT).join(LIST)).unwrap();
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &server.port().to_string()]).stdin(Stdio::from(list));
    let Ok(output) = cli.output() else {
        println!("NOT CHECKED: there is no redis-cli here");
        return;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !said.contains("ERR"), "{said}");
    assert!(said.starts_with("A sample of list prices"), "{said}");
    assert_eq!(said.lines().filter(|line| *line == "OK").count(), listed().len(), "{said}");
    shows_the_list(&mut server.client3());
}

/// A sum such as `500 × 2.50 + 300 × 10 = 4250`: tokens times dollars a million, in micro-dollars; or one that is given.
fn sum(text: &str) -> u64 {
    let (left, right) = text.split_once(" = ").unwrap_or((text, text));
    let product = |text: &str| {
        let (tokens, price) = text.split_once(" × ").unwrap_or((text, "1"));
        // Exact: prices of at most six places times whole tokens, in millionths of a micro-dollar.
        tokens.parse::<u64>().unwrap() * MicroUsd::parse(price.as_bytes()).unwrap().micros()
    };
    let micros = left.split(" + ").map(product).sum::<u64>();
    let right = right.parse::<u64>().unwrap();
    assert_eq!(micros, right * 1_000_000, "{text}");
    right
}

#[test]
fn the_examples_of_the_readme_are_reckoned_right() {
    let text = read("README.md");
    let (_, section) = text.split_once("\n## What an answer costs\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| ["| 1 |", "| 2 |", "| 3 |", "| 4 |"].iter().any(|start| line.starts_with(start)))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert_eq!(rows.len(), 4);
    let (_, policy) = section.split_once("`PRICE gpt-4o ").unwrap();
    let policy = policy.split('`').next().unwrap();
    both(|c| {
        c.words(&format!("LLMCACHE.CREATE faq PRICE gpt-4o {policy}")).ok();
        for row in &rows {
            let [number, _, example, reckoned, cost, estimated] = row[..] else { panic!("{row:?}") };
            let micros = sum(reckoned);
            assert_eq!(MicroUsd::from_micros(micros).to_string(), cost, "{row:?}");
            let body = CHAT.replace("gpt", "gpt-4o");
            let found = match number {
                "1" | "2" => {
                    crate::support::set(c, "p", "r", &format!("MODEL gpt-4o {example}")).ok();
                    effort(c, "p", "MODEL gpt-4o")
                }
                "3" => costs(c, &body, &responses(example, "", "")[0].1, ""),
                _ => {
                    let mut sizes = example.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
                    let (prompt, response) = ("p".repeat(sizes.next().unwrap()), "r".repeat(sizes.next().unwrap()));
                    crate::support::set(c, &prompt, &response, "MODEL gpt-4o").ok();
                    effort(c, &prompt, "MODEL gpt-4o")
                }
            };
            assert_eq!((found.2.as_str(), found.3), (cost, estimated == "yes"), "{row:?}");
        }
        // The two roundings that it tells of.
        c.words("LLMCACHE.ALTER faq PRICE gpt-4o-mini 0.15 0.60").ok();
        for (tokens, cost) in [("1 1", "0.000001"), ("1 0", "0.000000")] {
            crate::support::set(c, "p", "r", &format!("MODEL gpt-4o-mini TOKENS {tokens}")).ok();
            assert_eq!(effort(c, "p", "MODEL gpt-4o-mini").2, cost);
        }
        let spent = c.words("LLMCACHE.STATS faq").field("cost_spent_usd").clone();
        assert_eq!(spent, Reply::Bulk(b"0.016251".to_vec()), "what was stored, stored over or not");
    });
}
