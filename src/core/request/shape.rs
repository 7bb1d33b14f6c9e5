//! Which API a body is for.
//!
//! 1. `messages` decides for a messages API; without it, `input` decides for OpenAI responses.
//! 2. Of the two messages APIs, a body with marks of only one belongs to that one. Marks are fields, roles and parts
//!    that the other one does not know; they are listed below.
//! 3. With marks of neither or of both (compatible servers mix them), the body is Anthropic's if it has `max_tokens`,
//!    which Anthropic demands, and a model whose name contains "claude" or "anthropic". Else it is OpenAI's.
//!
//! A wrong guess would cost little: either shape keeps all of a body in its identity, so requests of one client never
//! get each other's answers. What matters is that equal requests are judged equally. So nothing may be a mark that is
//! left out of the identity (`user`, `stream_options` …) or that is made equal to something else (a string as content).

use super::{Json, Object, RequestError, Shape};

/// The shape of a body.
pub(super) fn of(fields: &Object) -> Result<Shape, RequestError> {
    let messages = match (fields.get("messages"), fields.get("input")) {
        (Some(Json::Array(messages)), _) => messages,
        (Some(other), _) => return Err(RequestError::field("messages", "an array", Some(other))),
        (None, Some(Json::String(_) | Json::Array(_))) => return Ok(Shape::OpenAiResponses),
        (None, Some(other)) => return Err(RequestError::field("input", "a string or an array", Some(other))),
        (None, None) => return Err(RequestError::NotAChat),
    };
    let marks = Marks::of(fields, messages);
    Ok(match (marks.anthropic, marks.openai) {
        (true, false) => Shape::Anthropic,
        (false, true) => Shape::OpenAiChat,
        _ if fields.get("max_tokens").is_some() && is_claude(fields) => Shape::Anthropic,
        _ => Shape::OpenAiChat,
    })
}

fn is_claude(fields: &Object) -> bool {
    let model = fields.get("model").and_then(Json::as_str).unwrap_or_default().to_ascii_lowercase();
    model.contains("claude") || model.contains("anthropic")
}

const ANTHROPIC_FIELDS: [&str; 9] = [
    "system",
    "anthropic_version",
    "anthropic_beta",
    "stop_sequences",
    "top_k",
    "thinking",
    "mcp_servers",
    "context_management",
    "output_config",
];

const ANTHROPIC_PARTS: [&str; 10] = [
    "document",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "tool_result",
    "server_tool_use",
    "web_search_tool_result",
    "search_result",
    "container_upload",
    "mcp_tool_use",
];

const OPENAI_FIELDS: [&str; 20] = [
    "frequency_penalty",
    "presence_penalty",
    "n",
    "seed",
    "stop",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "response_format",
    "max_completion_tokens",
    "reasoning_effort",
    "verbosity",
    "functions",
    "function_call",
    "parallel_tool_calls",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
    "prompt_cache_retention",
];

const OPENAI_ROLES: [&str; 4] = ["system", "developer", "tool", "function"];
const OPENAI_TURN_FIELDS: [&str; 6] = ["name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio"];
const OPENAI_PARTS: [&str; 5] = ["image_url", "input_audio", "video_url", "file", "refusal"];

#[derive(Default)]
struct Marks {
    anthropic: bool,
    openai: bool,
}

impl Marks {
    fn of(fields: &Object, messages: &[Json]) -> Self {
        let mut marks = Marks::default();
        marks.anthropic |= fields.iter().any(|(field, _)| ANTHROPIC_FIELDS.contains(&field));
        marks.openai |= fields.iter().any(|(field, _)| OPENAI_FIELDS.contains(&field));
        if let Some(choice) = fields.get("tool_choice") {
            marks.see_tool_choice(choice);
        }
        for tool in fields.get("tools").and_then(Json::as_array).unwrap_or_default() {
            marks.see_tool(tool);
        }
        for message in messages.iter().filter_map(Json::as_object) {
            let role = message.get("role").and_then(Json::as_str).unwrap_or_default();
            marks.openai |= OPENAI_ROLES.contains(&role);
            marks.openai |= message.iter().any(|(field, _)| OPENAI_TURN_FIELDS.contains(&field));
            for part in message.get("content").and_then(Json::as_array).unwrap_or_default() {
                marks.see_part(part);
            }
        }
        marks
    }

    fn see_part(&mut self, part: &Json) {
        let kind = part.get("type").and_then(Json::as_str).unwrap_or_default();
        self.anthropic |= ANTHROPIC_PARTS.contains(&kind) || kind == "image" && part.get("source").is_some();
        self.openai |= OPENAI_PARTS.contains(&kind);
    }

    /// OpenAI nests the description of a tool under its type. Anthropic does not, and its server tools have a date in
    /// their type: `web_search_20250305`.
    fn see_tool(&mut self, tool: &Json) {
        let kind = tool.get("type").and_then(Json::as_str).unwrap_or_default();
        let date = kind.rsplit_once('_').map_or("", |(_, date)| date);
        self.anthropic |= tool.get("input_schema").is_some();
        self.anthropic |= date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
        self.openai |= matches!(kind, "function" | "custom") && tool.get(kind).is_some();
    }

    fn see_tool_choice(&mut self, choice: &Json) {
        let kind = choice.get("type").and_then(Json::as_str).unwrap_or_default();
        self.anthropic |= matches!(kind, "auto" | "any" | "tool" | "none");
        self.openai |= choice.as_str().is_some() || matches!(kind, "function" | "custom" | "allowed_tools");
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::core::identity::Shape::{self, Anthropic, OpenAiChat, OpenAiResponses};

    fn shape(body: &str) -> Shape {
        parse(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}")).shape
    }

    #[test]
    fn each_mark_decides_alone() {
        let body = |more: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{more}}}"#);
        assert_eq!(shape(&body("")), OpenAiChat);
        for (more, expected) in [
            (r#","system":"be""#, Anthropic),
            (r#","anthropic_version":"vertex-2023-10-16""#, Anthropic),
            (r#","stop_sequences":["x"]"#, Anthropic),
            (r#","top_k":5"#, Anthropic),
            (r#","thinking":{"type":"enabled"}"#, Anthropic),
            (r#","tools":[{"name":"t","input_schema":{}}]"#, Anthropic),
            (r#","tools":[{"type":"web_search_20250305","name":"web_search"}]"#, Anthropic),
            (r#","tools":[{"type":"custom","name":"t","input_schema":{}}]"#, Anthropic),
            (r#","tool_choice":{"type":"any"}"#, Anthropic),
            // Below, the model and max_tokens alone would say Anthropic.
            (r#","frequency_penalty":0"#, OpenAiChat),
            (r#","n":1"#, OpenAiChat),
            (r#","seed":1"#, OpenAiChat),
            (r#","stop":"x""#, OpenAiChat),
            (r#","logprobs":true"#, OpenAiChat),
            (r#","response_format":{"type":"json_object"}"#, OpenAiChat),
            (r#","max_completion_tokens":9"#, OpenAiChat),
            (r#","reasoning_effort":"low""#, OpenAiChat),
            (r#","tools":[{"type":"function","function":{"name":"f"}}]"#, OpenAiChat),
            (r#","tools":[{"type":"custom","custom":{"name":"f"}}]"#, OpenAiChat),
            (r#","tool_choice":"auto""#, OpenAiChat),
            (r#","tool_choice":{"type":"function","function":{"name":"f"}}"#, OpenAiChat),
        ] {
            let body = match expected {
                OpenAiChat => body(&format!(r#"{more},"max_tokens":9"#)).replace("\"m\"", "\"claude\""),
                _ => body(more),
            };
            assert_eq!(shape(&body), expected, "{body}");
        }
        for (turn, expected) in [
            (r#"{"role":"user","content":[{"type":"image","source":{"type":"base64"}}]}"#, Anthropic),
            (r#"{"role":"user","content":[{"type":"document","source":{}}]}"#, Anthropic),
            (r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}"#, Anthropic),
            (r#"{"role":"assistant","content":[{"type":"tool_use","id":"t"}]}"#, Anthropic),
            (r#"{"role":"assistant","content":[{"type":"thinking","thinking":"…"}]}"#, Anthropic),
            (r#"{"role":"system","content":"be"}"#, OpenAiChat),
            (r#"{"role":"developer","content":"be"}"#, OpenAiChat),
            (r#"{"role":"tool","content":"4"}"#, OpenAiChat),
            (r#"{"role":"function","content":"4"}"#, OpenAiChat),
            (r#"{"role":"assistant","tool_calls":[]}"#, OpenAiChat),
            (r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}"#, OpenAiChat),
            (r#"{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}"#, OpenAiChat),
            (r#"{"role":"user","content":[{"type":"file","file":{}}]}"#, OpenAiChat),
        ] {
            let (model, more) = if expected == OpenAiChat { ("claude", r#","max_tokens":9"#) } else { ("m", "") };
            assert_eq!(shape(&format!(r#"{{"model":"{model}","messages":[{turn}]{more}}}"#)), expected, "{turn}");
        }
    }

    #[test]
    fn without_a_mark_or_with_both_the_model_decides() {
        let image = r#"{"messages":[{"role":"user","content":[{"type":"image","url":"u"}]}]}"#;
        assert_eq!(shape(image), OpenAiChat, "only an image with a source is Anthropic's");
        for (fields, expected) in [
            (r#""model":"claude-sonnet-4-5","max_tokens":9"#, Anthropic),
            (r#""model":"us.ANTHROPIC.Claude-v2","max_tokens":9"#, Anthropic),
            (r#""model":"claude-sonnet-4-5""#, OpenAiChat),
            (r#""model":"gpt-4o","max_tokens":9"#, OpenAiChat),
            (r#""max_tokens":9"#, OpenAiChat),
            (r#""model":"claude","max_tokens":9,"top_k":1,"seed":1"#, Anthropic),
            (r#""model":"claude","top_k":1,"seed":1"#, OpenAiChat),
            (r#""model":"llama","max_tokens":9,"top_k":1,"seed":1"#, OpenAiChat),
            // What is left out of the identity is no mark.
            (r#""model":"claude","max_tokens":9,"user":"u","store":true,"stream_options":{}"#, Anthropic),
            (r#""model":"m","metadata":{"user_id":"u"},"service_tier":"auto""#, OpenAiChat),
        ] {
            let body = format!(r#"{{{fields},"messages":[{{"role":"user","content":"hi"}}]}}"#);
            assert_eq!(shape(&body), expected, "{body}");
        }
    }

    #[test]
    fn input_without_messages_is_for_responses() {
        assert_eq!(shape(r#"{"input":"hi"}"#), OpenAiResponses);
        assert_eq!(shape(r#"{"input":[],"system":"x"}"#), OpenAiResponses);
        assert_eq!(shape(r#"{"input":"hi","messages":[]}"#), OpenAiChat);
        assert_eq!(shape(r#"{"input":{},"messages":[],"top_k":1}"#), Anthropic);
    }
}
