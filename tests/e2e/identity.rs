//! Whose answer it is: the context filters hard, params and API requests are compared by what they mean.

use crate::harness::{cmd, Client, Reply};
use crate::support::{both, get, set, state};

const CHAT: &str = r#"{"model":"gpt-4o","messages":[{"role":"system","content":"Be brief"},{"role":"user","content":"Hi"},
    {"role":"assistant","content":"Hello"},{"role":"user","content":"What is Redis?"}],"temperature":0.5,"stream":true}"#;
const RESPONSES: &str =
    r#"{"model":"gpt-5","instructions":"Be brief","input":"What is Redis?","max_output_tokens":100}"#;
const ANTHROPIC: &str = r#"{"model":"claude-sonnet-4-5","max_tokens":100,"system":"Be brief",
    "messages":[{"role":"user","content":"What is Redis?"}]}"#;

fn ask(c: &mut Client, body: &str) -> Reply {
    cmd!(c, "LLMCACHE.GET", "faq", body, "REQUEST")
}

fn answer(c: &mut Client, body: &str, response: &str) -> Reply {
    cmd!(c, "LLMCACHE.SET", "faq", body, response, "REQUEST")
}

/// The digest of a request, or the whole error.
fn digest(c: &mut Client, body: &str) -> String {
    match cmd!(c, "LLMCACHE.EXPLAIN", "faq", body, "REQUEST") {
        Reply::Error(error) => error,
        told => told.field("digest").text(),
    }
}

fn params_digest(c: &mut Client, params: &str) -> String {
    cmd!(c, "LLMCACHE.EXPLAIN", "faq", "p", "PARAMS", params).field("digest").text()
}

#[test]
fn nothing_crosses_a_context() {
    both(|c| {
        let contexts = [
            "",
            "SCOPE a",
            "SCOPE b",
            "MODEL a",
            "MODEL b",
            "SYSTEM a",
            "SYSTEM b",
            "PARAMS {\"a\":1}",
            "PARAMS {\"a\":2}",
            "SCOPE a MODEL b",
            "SCOPE b MODEL a",
            "MODEL a SYSTEM b",
            "SCOPE ab",
            "SYSTEM ab",
            "MODEL ab",
            "SCOPE a MODEL a SYSTEM a PARAMS {\"a\":1}",
            "SCOPE a MODEL a SYSTEM a",
        ];
        for (i, context) in contexts.iter().enumerate() {
            set(c, "p", &i.to_string(), context).ok();
        }
        for (i, context) in contexts.iter().enumerate() {
            assert_eq!(get(c, "p", context), i.to_string().as_str(), "{context}");
            assert_eq!(c.words(&format!("LLMCACHE.INVALIDATE faq PROMPT p {context}")), 1, "{context}");
            assert!(get(c, "p", context).is_null(), "{context}");
        }
    });
}

#[test]
fn empty_equals_omitted() {
    both(|c| {
        set(c, "p", "r", "").ok();
        for name in ["MODEL", "SYSTEM", "SCOPE"] {
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", "p", name, ""), "r", "{name}");
        }
        assert_eq!(get(c, "p", "PARAMS {}"), "r");
    });
}

#[test]
fn params_are_equal_when_they_mean_the_same() {
    both(|c| {
        for (a, b) in [
            (r#"{"a":1,"b":2}"#, " { \"b\" : 2 ,\n\t\"a\" : 1 } "),
            (r#"{"t":0}"#, r#"{"t":0.0}"#),
            (r#"{"t":0}"#, r#"{"t":0e0}"#),
            (r#"{"t":0.5}"#, r#"{"t":5e-1}"#),
            (r#"{"t":100}"#, r#"{"t":1E+2}"#),
            (r#"{"s":"é\n"}"#, r#"{"s":"\u00e9\u000a"}"#),
            (r#"{"s":"a/b"}"#, r#"{"s":"a\/b"}"#),
            (r#"{"o":{"x":[1.0,{"b":1,"a":2}]}}"#, r#"{"o":{"x":[1,{"a":2,"b":1}]}}"#),
        ] {
            assert_eq!(params_digest(c, a), params_digest(c, b), "{a} {b}");
        }
        for (a, b) in [
            (r#"{"seed":9007199254740993}"#, r#"{"seed":9007199254740992}"#),
            (r#"{"t":0.1}"#, r#"{"t":0.10000000000000001}"#),
            (r#"{"t":1}"#, r#"{"t":"1"}"#),
            (r#"{"t":1}"#, "{}"),
            (r#"{"t":null}"#, "{}"),
            (r#"{"l":[1,2]}"#, r#"{"l":[2,1]}"#),
            (r#"{"s":"A"}"#, r#"{"s":"a"}"#),
        ] {
            assert_ne!(params_digest(c, a), params_digest(c, b), "{a} {b}");
        }
    });
}

#[test]
fn a_request_of_each_shape_is_taken_apart() {
    both(|c| {
        for (body, model, response) in
            [(CHAT, "gpt-4o", "1"), (RESPONSES, "gpt-5", "2"), (ANTHROPIC, "claude-sonnet-4-5", "3")]
        {
            assert!(ask(c, body).is_null());
            answer(c, body, response).ok();
            let told = cmd!(c, "LLMCACHE.GET", "faq", body, "REQUEST", "WITHMETA");
            assert_eq!(*told.field("response"), response);
            assert_eq!(*told.field("prompt"), "What is Redis?");
            assert_eq!(*told.field("model"), model);
            let entry = cmd!(c, "LLMCACHE.ENTRY", "faq", told.field("id").text());
            assert_eq!(*entry.field("system"), "Be brief");
            assert!(!entry.field("params").text().contains("Redis"), "{entry:?}");
        }
        assert_eq!([ask(c, CHAT), ask(c, RESPONSES), ask(c, ANTHROPIC)].map(|r| r.text()), ["1", "2", "3"]);
        // The same words as plain arguments are another question.
        let plain = cmd!(
            c,
            "LLMCACHE.GET",
            "faq",
            "What is Redis?",
            "MODEL",
            "gpt-5",
            "SYSTEM",
            "Be brief",
            "PARAMS",
            r#"{"max_output_tokens":100}"#
        );
        assert!(plain.is_null());
    });
}

#[test]
fn requests_are_equal_when_they_mean_the_same() {
    both(|c| {
        let body = |rest: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"q"}}]{rest}}}"#);
        let plain = body("");
        let parts = r#"{"messages":[{"content":[{"type":"text","text":"q"}],"role":"user"}],"model":"m"}"#;
        let left_out = [
            r#","stream":true"#,
            r#","stream_options":{"include_usage":true}"#,
            r#","user":"u""#,
            r#","metadata":{"a":1}"#,
            r#","store":false"#,
            r#","service_tier":"flex""#,
            r#","safety_identifier":"s""#,
            r#","prompt_cache_key":"k""#,
        ];
        assert_eq!(digest(c, &plain), digest(c, parts));
        for rest in left_out {
            assert_eq!(digest(c, &plain), digest(c, &body(rest)), "{rest}");
        }
        assert_eq!(digest(c, &body(r#","temperature":1"#)), digest(c, &body(r#", "temperature" : 1.0"#)));
        let system = |role: &str| {
            format!(r#"{{"messages":[{{"role":"{role}","content":"s"}},{{"role":"user","content":"q"}}]}}"#)
        };
        assert_eq!(digest(c, &system("system")), digest(c, &system("developer")));
        let others = [
            r#","temperature":0.7"#,
            r#","top_p":1"#,
            r#","tools":[]"#,
            r#","seed":1"#,
            r#","seed":2"#,
            r#","response_format":{"type":"json_object"}"#,
            r#","max_tokens":10"#,
            r#","new_field":0"#,
        ];
        let mut seen = vec![digest(c, &plain), digest(c, &system("system"))];
        for rest in others {
            let other = digest(c, &body(rest));
            assert!(!seen.contains(&other), "{rest}: {other}");
            seen.push(other);
        }
    });
}

#[test]
fn history_images_and_other_turns_are_part_of_the_context() {
    both(|c| {
        let turns = |turns: &str| format!(r#"{{"model":"m","messages":[{turns}]}}"#);
        let q = r#"{"role":"user","content":"q"}"#;
        let image = |url: &str| {
            format!(
                r#"{{"role":"user","content":[{{"type":"text","text":"q"}},{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}"#
            )
        };
        let bodies = [
            turns(q),
            turns(&format!(r#"{{"role":"user","content":"a"}},{{"role":"assistant","content":"b"}},{q}"#)),
            turns(&format!(r#"{{"role":"user","content":"a"}},{{"role":"assistant","content":"c"}},{q}"#)),
            turns(&format!(r#"{q},{{"role":"assistant","content":"prefill"}}"#)),
            turns(&image("data:,1")),
            turns(&image("data:,2")),
            turns(&format!(r#"{{"role":"system","content":"s"}},{q}"#)),
        ];
        for (i, body) in bodies.iter().enumerate() {
            answer(c, body, &i.to_string()).ok();
        }
        for (i, body) in bodies.iter().enumerate() {
            assert_eq!(ask(c, body), i.to_string().as_str(), "{body}");
            let told = cmd!(c, "LLMCACHE.GET", "faq", body, "REQUEST", "WITHMETA");
            assert_eq!(*told.field("prompt"), "q", "{body}");
        }
    });
}

#[test]
fn a_scope_may_stand_beside_a_request_and_nothing_else_of_the_identity() {
    both(|c| {
        cmd!(c, "LLMCACHE.SET", "faq", CHAT, "r", "REQUEST", "SCOPE", "a").ok();
        assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", CHAT, "SCOPE", "a", "REQUEST"), "r");
        assert!(ask(c, CHAT).is_null());
        let before = state(c);
        for (name, value) in [("MODEL", "m"), ("SYSTEM", "s"), ("PARAMS", "{}")] {
            let expected = format!("ERR REQUEST and {name} exclude each other, give one of them");
            assert_eq!(cmd!(c, "LLMCACHE.GET", "faq", CHAT, "REQUEST", name, value).error(), expected);
            assert_eq!(cmd!(c, "LLMCACHE.SET", "faq", CHAT, "r", name, value, "REQUEST").error(), expected);
            assert_eq!(cmd!(c, "LLMCACHE.EXPLAIN", "faq", CHAT, name, value, "REQUEST").error(), expected);
        }
        assert_eq!(state(c), before);
    });
}

#[test]
fn an_error_an_unfinished_answer_and_a_tool_call_are_refused() {
    both(|c| {
        answer(c, CHAT, "kept").ok();
        let before = state(c);
        let (error, half, tool) = ("an error of the API", "not a finished answer", "a tool call");
        for (response, why) in [
            (r#"{"error":{"message":"overloaded"}}"#, error),
            (r#"{"type":"error","error":{}}"#, error),
            (r#"{"object":"response","status":"failed"}"#, error),
            (r#"{"choices":[{"finish_reason":"length","message":{"content":"Par"}}]}"#, half),
            (r#"{"choices":[{"finish_reason":"content_filter"}]}"#, half),
            (r#"{"type":"message","stop_reason":"max_tokens","content":[]}"#, half),
            (r#"{"object":"response","status":"incomplete"}"#, half),
            (r#"{"choices":[{"finish_reason":"tool_calls"}]}"#, tool),
            (r#"{"type":"message","stop_reason":"tool_use","content":[]}"#, tool),
            (r#"{"object":"response","status":"completed","output":[{"type":"function_call"}]}"#, tool),
        ] {
            assert_eq!(answer(c, CHAT, response).error(), format!("ERR response is {why}"), "{response}");
            assert_eq!(answer(c, ANTHROPIC, response).error(), format!("ERR response is {why}"), "{response}");
            // Without REQUEST it is a text like any other.
            cmd!(c, "LLMCACHE.SET", "other", "p", response).ok();
        }
        assert_eq!(state(c), before);
        assert_eq!(ask(c, CHAT), "kept");
        assert!(ask(c, ANTHROPIC).is_null());
        answer(c, ANTHROPIC, "not JSON").ok();
        assert_eq!(ask(c, ANTHROPIC), "not JSON");
    });
}

#[test]
fn the_usage_block_of_a_response_tells_its_tokens() {
    both(|c| {
        for (body, response, tokens) in [
            (
                CHAT,
                r#"{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":34}}"#,
                (12, 34),
            ),
            (
                RESPONSES,
                r#"{"object":"response","status":"completed","usage":{"input_tokens":5,"output_tokens":6}}"#,
                (5, 6),
            ),
            (
                ANTHROPIC,
                r#"{"type":"message","stop_reason":"end_turn","content":[],
                    "usage":{"input_tokens":1,"cache_read_input_tokens":10,"output_tokens":2}}"#,
                (11, 2),
            ),
        ] {
            let told = |c: &mut Client| {
                let told = cmd!(c, "LLMCACHE.GET", "faq", body, "REQUEST", "WITHMETA");
                let entry = cmd!(c, "LLMCACHE.ENTRY", "faq", told.field("id").text());
                ((told.field("tokens_in").int(), told.field("tokens_out").int()), entry.field("estimated").truth())
            };
            answer(c, body, response).ok();
            assert_eq!(told(c), (tokens, false), "{response}");
            cmd!(c, "LLMCACHE.SET", "faq", body, response, "REQUEST", "TOKENS", 7, 8).ok();
            assert_eq!(told(c), ((7, 8), false), "TOKENS goes before");
            answer(c, body, "no usage here").ok();
            assert!(told(c).1, "{response}");
        }
    });
}

#[test]
fn a_request_that_is_none_is_an_error_that_tells_nothing_of_it() {
    both(|c| {
        let chat =
            "ERR REQUEST must be the JSON body of an OpenAI chat completions or Anthropic messages request (an object \
                    with 'messages') or of an OpenAI responses request (an object with 'input')";
        for (body, expected) in [
            ("secret", "ERR REQUEST must be the JSON body of a chat API request: expected value at line 1 column 1"),
            ("[]", chat),
            (r#"{"prompt":"secret"}"#, chat),
            (r#"{"messages":"secret"}"#, "ERR REQUEST must have an array as 'messages', got a string"),
            (
                r#"{"messages":[{"role":"user","content":["secret"]}]}"#,
                "ERR REQUEST must have an object as 'messages[0].content[0]', got a string",
            ),
        ] {
            for command in ["GET", "EXPLAIN"] {
                assert_eq!(cmd!(c, format!("LLMCACHE.{command}"), "faq", body, "REQUEST").error(), expected);
            }
            assert_eq!(answer(c, body, "r").error(), expected);
        }
        assert_eq!(c.words("DBSIZE"), 0);
    });
}
