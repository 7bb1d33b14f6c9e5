//! Which requests are the same and which are not, as tables to check by eye. What nobody would think of to put in a row
//! is in core_identity_generated.rs.

use llmcache::core::identity::{Context, Digest, Identity, Shape};
use llmcache::core::request::{self, Request};
use std::collections::HashSet;

#[expect(clippy::panic, reason = "a row that cannot be read is a wrong row")]
fn read(body: &str) -> Request {
    request::parse(body.as_bytes()).unwrap_or_else(|error| panic!("REQUEST {error}\n{body}"))
}

fn digest_of(request: &Request) -> Digest {
    let context = Context {
        shape: request.shape,
        scope: b"",
        model: request.model.as_bytes(),
        system: request.system.as_bytes(),
        params: request.params.as_bytes(),
    };
    Identity { context, prompt: request.prompt.as_bytes() }.digest()
}

fn digest(body: &str) -> Digest {
    digest_of(&read(body))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Same,
    Different,
}
use Is::{Different, Same};

/// A row: what it is about, a body, another one, and whether they are one identity.
type Row = (&'static str, &'static str, &'static str, Is);

fn check(rows: &[Row]) {
    for (name, a, b, expected) in rows {
        let found = if digest(a) == digest(b) { Same } else { Different };
        assert_eq!(found, *expected, "{name}\n{a}\n{b}\n{:#?}\n{:#?}", read(a), read(b));
    }
}

#[test]
fn spelling() {
    check(&[
        (
            "key order and white space",
            r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":1}"#,
            r#" { "seed" : 1, "messages" : [ { "content" : "hi", "role" : "user" } ], "model" : "m" } "#,
            Same,
        ),
        (
            "string escapes",
            r#"{"messages":[{"role":"user","content":"hé/"}],"stop":"é"}"#,
            r#"{"mess\u0061ges":[{"role":"us\u0065r","content":"h\u00e9\/"}],"stop":"\u00E9"}"#,
            Same,
        ),
        (
            "white space inside a text",
            r#"{"messages":[{"role":"user","content":"hi there"}]}"#,
            r#"{"messages":[{"role":"user","content":"hi  there"}]}"#,
            Different,
        ),
        (
            "the last of a repeated key counts",
            r#"{"messages":[{"role":"user","content":"hi"}],"seed":2}"#,
            r#"{"seed":1,"messages":[{"role":"user","content":"x","content":"hi"}],"seed":2}"#,
            Same,
        ),
        (
            "order of an array",
            r#"{"messages":[{"role":"user","content":"hi"}],"stop":["a","b"]}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"stop":["b","a"]}"#,
            Different,
        ),
        (
            "0, 0.0 and 0e0",
            r#"{"messages":[{"role":"user","content":"hi"}],"temperature":0,"top_p":0.0}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"temperature":-0.0,"top_p":0e0}"#,
            Same,
        ),
        (
            "1.50 and 15e-1",
            r#"{"messages":[{"role":"user","content":"hi"}],"temperature":1.50}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"temperature":15E-1}"#,
            Same,
        ),
        (
            "0.7 and 0.70000000000000000001",
            r#"{"messages":[{"role":"user","content":"hi"}],"temperature":0.7}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"temperature":0.70000000000000000001}"#,
            Different,
        ),
        (
            "seeds above 2^64",
            r#"{"messages":[{"role":"user","content":"hi"}],"seed":123456789012345678901234567890}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"seed":123456789012345678901234567891}"#,
            Different,
        ),
        (
            "a number and its text",
            r#"{"messages":[{"role":"user","content":"hi"}],"seed":1}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"seed":"1"}"#,
            Different,
        ),
        (
            "a number and what serde_json takes for one",
            r#"{"messages":[{"role":"user","content":"hi"}],"seed":1.5}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"seed":{"$serde_json::private::Number":"1.5"}}"#,
            Different,
        ),
        (
            "an omitted field and null",
            r#"{"messages":[{"role":"user","content":"hi"}],"seed":1}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"seed":1,"stop":null}"#,
            Different,
        ),
        (
            "an omitted field and its default",
            r#"{"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"temperature":1}"#,
            Different,
        ),
        (
            "an unknown field",
            r#"{"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"brand_new":{}}"#,
            Different,
        ),
    ]);
}

#[test]
fn fields_that_cannot_change_the_answer() {
    const CHAT: &str = r#"{"messages":[{"role":"user","content":"hi"}],"seed":1}"#;
    const CLAUDE: &str = r#"{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    const RESPONSES: &str = r#"{"input":"hi","reasoning":{}}"#;
    for body in [CHAT, CLAUDE, RESPONSES] {
        for field in [
            r#""stream":true"#,
            r#""stream_options":{"include_usage":true}"#,
            r#""user":"u1""#,
            r#""metadata":{"user_id":"u1"}"#,
            r#""store":false"#,
            r#""service_tier":"flex""#,
            r#""safety_identifier":"x""#,
            r#""prompt_cache_key":"x""#,
        ] {
            let with = body.replacen('{', &format!("{{{field},"), 1);
            assert_eq!(digest(body), digest(&with), "{with}");
            // Only at the top level.
            let deeper = body.replacen('{', &format!(r#"{{"extra_body":{{{field}}},"#), 1);
            assert_ne!(digest(body), digest(&deeper), "{deeper}");
        }
    }
}

#[test]
fn openai_chat() {
    check(&[
        (
            "the model",
            r#"{"model":"a","messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"model":"b","messages":[{"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "no model and an empty one",
            r#"{"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"model":"","messages":[{"role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "developer is system",
            r#"{"messages":[{"role":"system","content":"be"},{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"developer","content":"be"},{"role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "developer is system in the middle as well",
            r#"{"messages":[{"role":"user","content":"a"},{"role":"system","content":"be"},
                {"role":"user","content":"b"}]}"#,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"developer","content":"be"},
                {"role":"user","content":"b"}]}"#,
            Same,
        ),
        (
            "system and user",
            r#"{"messages":[{"role":"system","content":"be"},{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"user","content":"be"},{"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "system before and after",
            r#"{"messages":[{"role":"system","content":"be"},{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"user","content":"hi"},{"role":"system","content":"be"}]}"#,
            Different,
        ),
        (
            "two system turns and one of both lines",
            r#"{"messages":[{"role":"system","content":"a"},{"role":"system","content":"b"},
                {"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"system","content":"a\nb"},{"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "two system turns and one of two parts",
            r#"{"messages":[{"role":"system","content":"a"},{"role":"system","content":"b"},
                {"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
                {"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "a newline that moves between system turns",
            r#"{"messages":[{"role":"system","content":"a\nb"},{"role":"system","content":"c"},
                {"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"system","content":"a"},{"role":"system","content":"b\nc"},
                {"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "no system prompt and an empty one",
            r#"{"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"system","content":""},{"role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "a name on the system turn",
            r#"{"messages":[{"role":"system","content":"be"},{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"system","content":"be","name":"n"},{"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "a string is one text part: prompt",
            r#"{"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#,
            Same,
        ),
        (
            "a string is one text part: system",
            r#"{"messages":[{"role":"system","content":"be"},{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"system","content":[{"text":"be","type":"text"}]},
                {"role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "a string is one text part: earlier turns",
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
                {"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},
                {"role":"assistant","content":[{"type":"text","text":"b"}]},{"role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "a string is one text part: tool",
            r#"{"messages":[{"role":"user","content":"a"},{"role":"tool","tool_call_id":"1","content":"4"}]}"#,
            r#"{"messages":[{"role":"user","content":"a"},
                {"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"4"}]}]}"#,
            Same,
        ),
        (
            "a text part with another field",
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#,
            r#"{"messages":[{"role":"user",
                "content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}]}"#,
            Different,
        ),
        (
            "two parts and one of both lines",
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#,
            r#"{"messages":[{"role":"user","content":"a\nb"}]}"#,
            Different,
        ),
        (
            "a newline that moves between parts",
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a\nb"},{"type":"text","text":"c"}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b\nc"}]}]}"#,
            Different,
        ),
        (
            "an empty part",
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":""}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"a"}]}]}"#,
            Different,
        ),
        (
            "an empty text and no part",
            r#"{"messages":[{"role":"user","content":""}]}"#,
            r#"{"messages":[{"role":"user","content":[]}]}"#,
            Different,
        ),
        (
            "an empty user turn and no turn",
            r#"{"messages":[{"role":"user","content":""}]}"#,
            r#"{"messages":[]}"#,
            Different,
        ),
        (
            "the bytes of an image",
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"what?"},
                {"type":"image_url","image_url":{"url":"data:A"}}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"what?"},
                {"type":"image_url","image_url":{"url":"data:B"}}]}]}"#,
            Different,
        ),
        (
            "the place of an image",
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"what?"},
                {"type":"image_url","image_url":{"url":"A"}}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"A"}},
                {"type":"text","text":"what?"}]}]}"#,
            Different,
        ),
        (
            "a name on the user turn",
            r#"{"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"user","content":"hi","name":"n"}]}"#,
            Different,
        ),
        (
            "an earlier turn",
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
                {"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"c"},
                {"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "who said it",
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
                {"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"assistant","content":"a"},{"role":"user","content":"b"},
                {"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "a turn after the last user turn",
            r#"{"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Well,"}]}"#,
            Different,
        ),
        (
            "a turn before or after the last user turn",
            r#"{"messages":[{"role":"assistant","content":"Well,"},{"role":"user","content":"hi"}]}"#,
            r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Well,"}]}"#,
            Different,
        ),
        (
            "the arguments of an earlier call",
            r#"{"messages":[{"role":"user","content":"a"},
                {"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},
                {"role":"tool","tool_call_id":"1","content":"4"}]}"#,
            r#"{"messages":[{"role":"user","content":"a"},
                {"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{1}"}}]},
                {"role":"tool","tool_call_id":"1","content":"4"}]}"#,
            Different,
        ),
        (
            "content null and none",
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[]}]}"#,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[]}]}"#,
            Different,
        ),
        (
            "a tool",
            r#"{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#,
            r#"{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"g"}}]}"#,
            Different,
        ),
        (
            "params that look like the conversation",
            r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"x"}]}"#,
            r#"{"messages":[{"role":"user","content":"hi"}],"input":[null,{"content":"x","role":"assistant"}]}"#,
            Different,
        ),
    ]);
}

#[test]
fn anthropic() {
    check(&[
        (
            "a string is one text part: system",
            r#"{"system":"be","messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"system":[{"type":"text","text":"be"}],"messages":[{"role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "a string is one text part: turns",
            r#"{"system":"be","messages":[{"role":"assistant","content":"a"},{"role":"user","content":"hi"}]}"#,
            r#"{"system":"be","messages":[{"role":"assistant","content":[{"type":"text","text":"a"}]},
                {"role":"user","content":[{"type":"text","text":"hi"}]}]}"#,
            Same,
        ),
        (
            "a string is one text part: what a tool answered",
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"4"}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t",
                "content":[{"type":"text","text":"4"}]}]}]}"#,
            Same,
        ),
        (
            "what a tool answered",
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"4"}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"5"}]}]}"#,
            Different,
        ),
        (
            "what a tool answered, and the user said",
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"4"}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"},
                {"type":"text","text":"4"}]}]}"#,
            Different,
        ),
        (
            "no system prompt and an empty one",
            r#"{"top_k":1,"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"top_k":1,"system":"","messages":[{"role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "cache_control in the system prompt",
            r#"{"system":[{"type":"text","text":"be"}],"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"system":[{"type":"text","text":"be","cache_control":{"type":"ephemeral"}}],
                "messages":[{"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "two system parts and one of both lines",
            r#"{"system":[{"type":"text","text":"a"},{"type":"text","text":"b"}],
                "messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"system":"a\nb","messages":[{"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "system as a field and as a turn",
            r#"{"model":"claude","max_tokens":9,"system":"be","messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"model":"claude","max_tokens":9,"top_k":1,"messages":[{"role":"system","content":"be"},
                {"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "the bytes of an image",
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"AA"}},
                {"type":"text","text":"?"}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"AB"}},
                {"type":"text","text":"?"}]}]}"#,
            Different,
        ),
        (
            "a prefilled answer",
            r#"{"system":"be","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"A"}]}"#,
            r#"{"system":"be","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"B"}]}"#,
            Different,
        ),
        (
            "max_tokens",
            r#"{"system":"be","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"system":"be","max_tokens":2,"messages":[{"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "max_tokens as a decimal",
            r#"{"system":"be","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"system":"be","max_tokens":1.0,"messages":[{"role":"user","content":"hi"}]}"#,
            Same,
        ),
    ]);
}

#[test]
fn openai_responses() {
    check(&[
        ("a string is one user message", r#"{"input":"hi"}"#, r#"{"input":[{"role":"user","content":"hi"}]}"#, Same),
        (
            "a string is one input_text part",
            r#"{"input":"hi"}"#,
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]}]}"#,
            Same,
        ),
        (
            "a message may say that it is one",
            r#"{"input":"hi"}"#,
            r#"{"input":[{"type":"message","role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "a string is one output_text part of the assistant",
            r#"{"input":[{"role":"assistant","content":"a"},{"role":"user","content":"hi"}]}"#,
            r#"{"input":[{"role":"assistant","content":[{"type":"output_text","text":"a"}]},
                {"role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "output_text with annotations",
            r#"{"input":[{"role":"assistant","content":"a"},{"role":"user","content":"hi"}]}"#,
            r#"{"input":[{"role":"assistant","content":[{"type":"output_text","text":"a","annotations":[]}]},
                {"role":"user","content":"hi"}]}"#,
            Different,
        ),
        (
            "a part of the wrong direction",
            r#"{"input":"hi"}"#,
            r#"{"input":[{"role":"user","content":[{"type":"output_text","text":"hi"}]}]}"#,
            Different,
        ),
        (
            "instructions are a leading system item",
            r#"{"instructions":"be","input":"hi"}"#,
            r#"{"input":[{"role":"developer","content":[{"type":"input_text","text":"be"}]},
                {"role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "instructions come before leading system items",
            r#"{"instructions":"a","input":[{"role":"system","content":"b"},{"role":"user","content":"hi"}]}"#,
            r#"{"input":[{"role":"system","content":"a"},{"role":"developer","content":"b"},
                {"role":"user","content":"hi"}]}"#,
            Same,
        ),
        (
            "instructions do not come after them",
            r#"{"instructions":"a","input":[{"role":"system","content":"b"},{"role":"user","content":"hi"}]}"#,
            r#"{"instructions":"b","input":[{"role":"system","content":"a"},{"role":"user","content":"hi"}]}"#,
            Different,
        ),
        ("no instructions and empty ones", r#"{"input":"hi"}"#, r#"{"instructions":"","input":"hi"}"#, Same),
        ("no instructions and null", r#"{"input":"hi"}"#, r#"{"instructions":null,"input":"hi"}"#, Different),
        ("instructions", r#"{"instructions":"a","input":"hi"}"#, r#"{"instructions":"b","input":"hi"}"#, Different),
        ("an empty text and no item", r#"{"input":""}"#, r#"{"input":[]}"#, Different),
        (
            "a call's output",
            r#"{"input":[{"role":"user","content":"a"},{"type":"function_call_output","call_id":"1","output":"4"}]}"#,
            r#"{"input":[{"role":"user","content":"a"},{"type":"function_call_output","call_id":"1","output":"5"}]}"#,
            Different,
        ),
        (
            "the place of an item",
            r#"{"input":[{"role":"user","content":"a"},{"type":"item_reference","id":"1"}]}"#,
            r#"{"input":[{"type":"item_reference","id":"1"},{"role":"user","content":"a"}]}"#,
            Different,
        ),
        (
            "a reference without its type",
            r#"{"input":[{"id":"1"},{"role":"user","content":"a"}]}"#,
            r#"{"input":[{"id":"2"},{"role":"user","content":"a"}]}"#,
            Different,
        ),
        (
            "the bytes of an image",
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"?"},
                {"type":"input_image","image_url":"A"}]}]}"#,
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"?"},
                {"type":"input_image","image_url":"B"}]}]}"#,
            Different,
        ),
        (
            "the conversation before",
            r#"{"input":"hi","previous_response_id":"r1"}"#,
            r#"{"input":"hi","previous_response_id":"r2"}"#,
            Different,
        ),
    ]);
}

#[test]
fn shapes_never_meet() {
    let bodies = [
        r#"{"model":"claude","messages":[{"role":"user","content":"hi"}]}"#,
        r#"{"model":"claude","input":"hi"}"#,
        r#"{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
    ];
    let shapes: Vec<_> = bodies.iter().map(|body| read(body).shape).collect();
    assert_eq!(shapes, [Shape::OpenAiChat, Shape::OpenAiResponses, Shape::Anthropic]);
    let digests: HashSet<_> = bodies.iter().map(|body| digest(body)).collect();
    assert_eq!(digests.len(), 3);
}

/// What the parts of the identity are: shape, model, system, prompt, and whether the user has the last word.
#[test]
fn the_parts_of_a_body() {
    use Shape::{Anthropic, OpenAiChat, OpenAiResponses};
    for (body, shape, model, system, prompt, ends_with_user_text) in [
        (r#"{"messages":[]}"#, OpenAiChat, "", "", "", false),
        (r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#, OpenAiChat, "m", "", "hi", true),
        (
            r#"{"messages":[{"role":"system","content":"a"},
                {"role":"developer","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]},
                {"role":"user","content":"hi"}]}"#,
            OpenAiChat,
            "",
            "a\nb\nc",
            "hi",
            true,
        ),
        (r#"{"messages":[{"role":"system","content":"be"}]}"#, OpenAiChat, "", "be", "", false),
        (r#"{"messages":[{"role":"user","content":""}]}"#, OpenAiChat, "", "", "", false),
        (r#"{"messages":[{"role":"user","content":[]}]}"#, OpenAiChat, "", "", "", false),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#,
            OpenAiChat,
            "",
            "",
            "a\nb",
            true,
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}},
                {"type":"text","text":"what?"}]}]}"#,
            OpenAiChat,
            "",
            "",
            "what?",
            true,
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}"#,
            OpenAiChat,
            "",
            "",
            "",
            false,
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
                {"role":"user","content":"c"}]}"#,
            OpenAiChat,
            "",
            "",
            "c",
            true,
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{}]},
                {"role":"tool","content":"4"}]}"#,
            OpenAiChat,
            "",
            "",
            "a",
            false,
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"},{"role":"system","content":"be"}]}"#,
            OpenAiChat,
            "",
            "",
            "a",
            false,
        ),
        (
            r#"{"model":"claude","system":[{"type":"text","text":"a"},{"type":"text","text":"b"}],
                "messages":[{"role":"user","content":"hi"}]}"#,
            Anthropic,
            "claude",
            "a\nb",
            "hi",
            true,
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"},
                {"role":"assistant","content":[{"type":"tool_use","id":"t"}]},
                {"role":"user","content":[{"type":"tool_result","tool_use_id":"t",
                "content":[{"type":"text","text":"4"}]}]}]}"#,
            Anthropic,
            "",
            "",
            "",
            false,
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"},
                {"type":"text","text":"go on"}]}]}"#,
            Anthropic,
            "",
            "",
            "go on",
            true,
        ),
        (
            r#"{"system":"be","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"{"}]}"#,
            Anthropic,
            "",
            "be",
            "hi",
            false,
        ),
        (r#"{"model":"m","input":"hi"}"#, OpenAiResponses, "m", "", "hi", true),
        (r#"{"input":""}"#, OpenAiResponses, "", "", "", false),
        (
            r#"{"instructions":"a","input":[{"role":"developer","content":"b"},
                {"role":"user","content":[{"type":"input_text","text":"hi"}]}]}"#,
            OpenAiResponses,
            "",
            "a\nb",
            "hi",
            true,
        ),
        (
            r#"{"input":[{"role":"user","content":"hi"},{"type":"function_call","call_id":"1"},
                {"type":"function_call_output","call_id":"1","output":"4"}]}"#,
            OpenAiResponses,
            "",
            "",
            "hi",
            false,
        ),
        (
            r#"{"input":[{"type":"reasoning","id":"1"},
                {"role":"user","content":[{"type":"input_image","image_url":"u"}]}]}"#,
            OpenAiResponses,
            "",
            "",
            "",
            false,
        ),
    ] {
        let found = read(body);
        let found = (found.shape, &*found.model, &*found.system, &*found.prompt, found.ends_with_user_text);
        assert_eq!(found, (shape, model, system, prompt, ends_with_user_text), "{body}");
    }
}

/// Similarity works inside one context, so what people vary must not end up in the params.
#[test]
fn other_prompts_share_the_context() {
    for (a, b) in [
        (
            r#"{"messages":[{"role":"system","content":"be"},{"role":"user","content":"one"}]}"#,
            r#"{"messages":[{"role":"system","content":"be"},{"role":"user","content":"another\none"}]}"#,
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"longer"},{"type":"text","text":""}]}]}"#,
        ),
        (
            r#"{"top_k":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
                {"role":"user","content":"c"}]}"#,
            r#"{"top_k":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
                {"role":"user","content":"d"}]}"#,
        ),
        (r#"{"instructions":"be","input":"one"}"#, r#"{"instructions":"be","input":"another"}"#),
    ] {
        let (a, b) = (read(a), read(b));
        assert_eq!((&a.system, &a.params), (&b.system, &b.params));
        assert_ne!(a.prompt, b.prompt);
    }
}
