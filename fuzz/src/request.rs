//! JSON and the bodies of requests and responses: what was read says the same when it is written and read again.

use super::support::Rng;
use super::Target;
use llmcache::core::json::{self, canonical_params, each_element, temperature_above_one, Json};
use llmcache::core::request;

pub const TARGET: Target = Target {
    name: "request",
    run,
    corpus,
    words: &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "true",
        "\"",
        "\\u0000",
        "\\ud800",
        "\\udc00",
        "1e400",
        "-0.0",
        "1E-7",
        "{}",
        "\"messages\":",
        "\"input\":",
        "\"system\":",
        "\"role\":",
        "\"user\"",
        "\"developer\"",
        "\"content\":",
        "\"type\":",
        "\"text\"",
        "\"input_text\"",
        "\"temperature\":1.5",
        "\"model\":",
        "\"instructions\":",
        "\"usage\":",
        "\"choices\":",
        "\"finish_reason\":\"stop\"",
        "\"stop_reason\":\"end_turn\"",
        "\"output\":",
        "\"status\":",
        "\"cache_control\":",
        "\"tool_calls\":",
        "\"$serde_json::private::Number\":\"1\"",
        "1234567890123456789012345",
    ],
};

/// Whether it is JSON.
pub fn run(data: &[u8]) -> bool {
    let _ = request::check_answer(data);
    if let Ok(params) = canonical_params(data) {
        params_are_canonical(&params);
    }
    temperature_above_one(&String::from_utf8_lossy(data));

    let mut elements = Vec::new();
    let is_array = each_element(data, |element| {
        elements.push(element);
        true
    });
    let read = json::parse(data);
    let Ok(read) = read else {
        assert!(is_array.is_err(), "an array that is no JSON");
        assert!(request::parse(data).is_err(), "a request that is no JSON");
        return false;
    };
    assert_eq!(is_array.is_ok(), read.as_array().is_some());
    assert!(read.as_array().is_none_or(|array| array == elements), "{read}");

    let text = read.to_string();
    assert_eq!(json::parse(text.as_bytes()).as_ref(), Ok(&read), "{text}");
    // What another parser takes for the same is the same.
    let request = request::parse(data);
    assert_eq!(request::parse(text.as_bytes()), request, "{text}");
    match request {
        Ok(request) => {
            assert!(!request.ends_with_user_text || data.len() > request.prompt.len());
            if !request.params.is_empty() {
                params_are_canonical(&request.params);
            }
        }
        Err(error) => assert!(error.to_string().len() < 400 + data.len().min(20), "{error}"),
    }
    true
}

fn params_are_canonical(params: &str) {
    if params.is_empty() {
        return;
    }
    let read = json::parse(params.as_bytes()).unwrap_or_else(|error| panic!("{error:?} in {params}"));
    assert_eq!(read.to_string(), params);
    assert_eq!(canonical_params(params.as_bytes()).as_deref(), Ok(params));
    let hot = read.get("temperature").and_then(Json::as_number).map(|number| number.as_str().parse::<f64>().unwrap());
    // A float knows no digits so far behind the point.
    if hot != Some(1.0) {
        assert_eq!(temperature_above_one(params), hot.is_some_and(|hot| hot > 1.0), "{params}");
    }
}

pub(super) const BODIES: [&str; 9] = [
    r#"{"model":"gpt-4o","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi \u00e9"}],"temperature":0.7}"#,
    r#"{"messages":[{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"user",
        "content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:x"}}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},{"role":"tool","content":"5"},{"role":"user","content":"q"}]}"#,
    r#"{"model":"o1","input":"What is Redis?","instructions":"Be kind","max_output_tokens":5e1}"#,
    r#"{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"q"}]},{"type":"reasoning","id":"x"}],"instructions":null}"#,
    r#"{"model":"claude","system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"max_tokens":1,"messages":[{"role":"user","content":"q"}]}"#,
    r#"{"id":"x","object":"chat.completion","choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":9,"completion_tokens":12,"prompt_tokens_details":{"cached_tokens":4}}}"#,
    r#"{"type":"message","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":6,"cache_read_input_tokens":7}}"#,
    r#"{"object":"response","status":"completed","output":[{"type":"message","content":[]}],"usage":{"input_tokens":1,"output_tokens":1}}"#,
    r#"{"a":[1.50,15e-1,-0,1E+400,{"b":"\"\\\/\b\f\n\r\t\ud83d\ude00"},true,false,null,[]],"temperature":1e0,"a":2}"#,
];

fn corpus(_: &mut Rng) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = BODIES.iter().map(|body| body.as_bytes().to_vec()).collect();
    all.push(format!("[{}]", BODIES.join(" , ")).into_bytes());
    all.push([b"[".repeat(100), b"]".repeat(100)].concat());
    all
}
