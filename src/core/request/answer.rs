//! Responses of the chat APIs: which of them must not be kept, and what they say they have cost.
//!
//! A cached answer is given to everyone who asks the same. So nothing may be kept that was meant for one moment only: an
//! error, half an answer, or a call that the client was to carry out. The request's shape does not matter here, as
//! proxies answer one API in the other's form. What is no response of an API is the text of an answer, and is kept.

use super::Json;
use crate::core::json::{self, Object};
use std::fmt;

/// The tokens that a response says it has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read, from the API's own cache or not.
    pub input: u64,
    /// Those of them that came from the API's own cache.
    pub cached: u64,
    /// Tokens written.
    pub output: u64,
}

/// Why a response must not be kept. The text completes "the response …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The API reports an error.
    ApiError,
    /// The answer was cut off, filtered, or is not ready.
    Unfinished,
    /// The model asks the client to do something before it answers.
    ToolCall,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::ApiError => "is an error of the API",
            Refusal::Unfinished => "is not a finished answer",
            Refusal::ToolCall => "is a tool call",
        })
    }
}

impl std::error::Error for Refusal {}

/// Whether a response may be kept, and its usage if it tells one. Text that is no JSON object may always be kept.
pub fn check_answer(response: &[u8]) -> Result<Option<Usage>, Refusal> {
    // Most texts are seen to be no object by their first byte.
    if response.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Ok(None);
    }
    let Ok(Json::Object(fields)) = json::parse(response) else {
        return Ok(None);
    };
    if is_error(&fields) {
        return Err(Refusal::ApiError);
    }
    if let Some(Json::Array(choices)) = fields.get("choices") {
        check_choices(choices)?;
    } else if text(&fields, "type") == "message" || fields.get("stop_reason").is_some() {
        check_message(&fields)?;
    } else if text(&fields, "object") == "response" || fields.get("output").is_some() && fields.get("status").is_some()
    {
        check_output(&fields)?;
    }
    Ok(fields.get("usage").and_then(Json::as_object).and_then(usage))
}

fn is_error(fields: &Object) -> bool {
    let error = match fields.get("error") {
        Some(Json::Object(_)) => true,
        Some(Json::String(error)) => !error.is_empty(),
        _ => false,
    };
    error || text(fields, "type") == "error" || text(fields, "object") == "error"
}

/// OpenAI chat completions.
fn check_choices(choices: &[Json]) -> Result<(), Refusal> {
    if choices.is_empty() {
        return Err(Refusal::Unfinished);
    }
    for choice in choices {
        let message = choice.get("message");
        let calls = |field| message.and_then(|message| message.get(field));
        if calls("tool_calls").and_then(Json::as_array).is_some_and(|calls| !calls.is_empty())
            || calls("function_call").and_then(Json::as_object).is_some()
        {
            return Err(Refusal::ToolCall);
        }
        match choice.get("finish_reason").and_then(Json::as_str) {
            Some("tool_calls" | "function_call") => return Err(Refusal::ToolCall),
            // Compatible servers have names of their own for a cut or a failure; all others are ways to be finished.
            Some("length" | "content_filter" | "max_tokens" | "model_length") | None => {
                return Err(Refusal::Unfinished)
            }
            Some("error") => return Err(Refusal::ApiError),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Anthropic messages. The server's own tools (`server_tool_use`) run before the answer arrives, and are part of it.
fn check_message(fields: &Object) -> Result<(), Refusal> {
    let parts = fields.get("content").and_then(Json::as_array).unwrap_or_default();
    if parts.iter().any(|part| kind(part) == "tool_use") {
        return Err(Refusal::ToolCall);
    }
    match fields.get("stop_reason").and_then(Json::as_str) {
        Some("tool_use") => Err(Refusal::ToolCall),
        // A refusal is a filter's: it may come in the middle of an answer.
        Some("max_tokens" | "pause_turn" | "model_context_window_exceeded" | "refusal") | None => {
            Err(Refusal::Unfinished)
        }
        Some(_) => Ok(()),
    }
}

/// The items of an OpenAI response that wait for the client.
const CALLS: [&str; 7] = [
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "mcp_approval_request",
];

/// OpenAI responses.
fn check_output(fields: &Object) -> Result<(), Refusal> {
    match text(fields, "status") {
        "completed" => {}
        "failed" => return Err(Refusal::ApiError),
        _ => return Err(Refusal::Unfinished),
    }
    let items = fields.get("output").and_then(Json::as_array).unwrap_or_default();
    if items.iter().any(|item| CALLS.contains(&kind(item))) {
        return Err(Refusal::ToolCall);
    }
    Ok(())
}

/// Both figures or none: half a usage would look like an answer that was free.
fn usage(usage: &Object) -> Option<Usage> {
    let number = |value: Option<&Json>| value.and_then(Json::as_number).and_then(|number| number.as_count());
    let count = |field| number(usage.get(field));
    // OpenAI counts what its prompt cache read among all that was read.
    let detail = |details| number(usage.get(details).and_then(|details| details.get("cached_tokens"))).unwrap_or(0);
    if let (Some(input), Some(output)) = (count("prompt_tokens"), count("completion_tokens")) {
        return Some(Usage { input, cached: detail("prompt_tokens_details").min(input), output });
    }
    // Anthropic counts what its prompt cache wrote and read apart from the rest; OpenAI has no such fields.
    let apart = ["cache_creation_input_tokens", "cache_read_input_tokens"].into_iter().filter_map(count);
    let input = apart.fold(count("input_tokens")?, u64::saturating_add);
    // A proxy that tells both means the same tokens.
    let cached = detail("input_tokens_details").max(count("cache_read_input_tokens").unwrap_or(0));
    Some(Usage { input, cached: cached.min(input), output: count("output_tokens")? })
}

fn text<'a>(fields: &'a Object, field: &str) -> &'a str {
    fields.get(field).and_then(Json::as_str).unwrap_or_default()
}

fn kind(part: &Json) -> &str {
    part.get("type").and_then(Json::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(input: u64, output: u64) -> Result<Option<Usage>, Refusal> {
        cached(input, 0, output)
    }

    fn cached(input: u64, cached: u64, output: u64) -> Result<Option<Usage>, Refusal> {
        Ok(Some(Usage { input, cached, output }))
    }

    #[test]
    fn finished_answers_are_kept_and_others_are_not() {
        use Refusal::{ApiError, ToolCall, Unfinished};
        let deep = format!("{{\"error\":{}", "[".repeat(1_000_000));
        let deep_but_whole = format!(r#"{{"error":"x","a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        for (response, expected) in [
            // Text.
            ("", Ok(None)),
            ("Paris.", Ok(None)),
            ("null", Ok(None)),
            ("\"error\"", Ok(None)),
            (r#"[{"error":{}}]"#, Ok(None)),
            (r#"{"error":"#, Ok(None)),
            ("{", Ok(None)),
            ("{}", Ok(None)),
            (r#"{"city":"Paris","status":"found","content":[{"type":"tool_use"}]}"#, Ok(None)),
            (r#"{"output":[{"type":"function_call"}]}"#, Ok(None)),
            (r#"{"choices":"two"}"#, Ok(None)),
            (&deep, Ok(None)),
            (&deep_but_whole, Ok(None)),
            // Errors.
            (r#"{"error":{"message":"overloaded"}}"#, Err(ApiError)),
            (" \n{\"error\":{}}", Err(ApiError)),
            (r#"{"error":"overloaded"}"#, Err(ApiError)),
            (r#"{"error":{},"choices":[{"finish_reason":"stop"}]}"#, Err(ApiError)),
            (r#"{"error":null}"#, Ok(None)),
            (r#"{"error":""}"#, Ok(None)),
            (r#"{"type":"error"}"#, Err(ApiError)),
            (r#"{"object":"error","message":"no such model"}"#, Err(ApiError)),
            // OpenAI chat.
            (r#"{"choices":[{"finish_reason":"stop","message":{"content":"Paris."}}]}"#, Ok(None)),
            (r#"{"choices":[{"finish_reason":"stop","message":{"tool_calls":[],"function_call":null}}]}"#, Ok(None)),
            (r#"{"choices":[{"finish_reason":"stop","message":{"tool_calls":null}}]}"#, Ok(None)),
            (r#"{"choices":[]}"#, Err(Unfinished)),
            (r#"{"choices":["stop"]}"#, Err(Unfinished)),
            (r#"{"choices":[{"finish_reason":"length"}]}"#, Err(Unfinished)),
            (r#"{"choices":[{"finish_reason":"content_filter"}]}"#, Err(Unfinished)),
            (r#"{"choices":[{"finish_reason":null,"delta":{}}]}"#, Err(Unfinished)),
            (r#"{"choices":[{"message":{"content":"Par"}}]}"#, Err(Unfinished)),
            (r#"{"choices":[{"finish_reason":"error"}]}"#, Err(ApiError)),
            (r#"{"choices":[{"finish_reason":"tool_calls"}]}"#, Err(ToolCall)),
            (r#"{"choices":[{"finish_reason":"function_call"}]}"#, Err(ToolCall)),
            (r#"{"choices":[{"finish_reason":"stop","message":{"tool_calls":[{}]}}]}"#, Err(ToolCall)),
            (r#"{"choices":[{"finish_reason":"stop","message":{"function_call":{}}}]}"#, Err(ToolCall)),
            (r#"{"choices":[{"finish_reason":"stop"},{"finish_reason":"length"}]}"#, Err(Unfinished)),
            // Anthropic.
            (r#"{"type":"message","stop_reason":"end_turn","content":[{"type":"text","text":"Paris."}]}"#, Ok(None)),
            (r#"{"type":"message","stop_reason":"stop_sequence","content":[]}"#, Ok(None)),
            (r#"{"type":"message","stop_reason":"end_turn","content":[{"type":"server_tool_use"}]}"#, Ok(None)),
            (r#"{"type":"message","content":[]}"#, Err(Unfinished)),
            (r#"{"type":"message","stop_reason":null}"#, Err(Unfinished)),
            (r#"{"stop_reason":"max_tokens"}"#, Err(Unfinished)),
            (r#"{"type":"message","stop_reason":"pause_turn"}"#, Err(Unfinished)),
            (r#"{"type":"message","stop_reason":"refusal"}"#, Err(Unfinished)),
            (r#"{"type":"message","stop_reason":"model_context_window_exceeded"}"#, Err(Unfinished)),
            (r#"{"type":"message","stop_reason":"tool_use"}"#, Err(ToolCall)),
            (r#"{"type":"message","stop_reason":"end_turn","content":[{"type":"tool_use"}]}"#, Err(ToolCall)),
            // OpenAI responses.
            (r#"{"object":"response","status":"completed","error":null,"output":[{"type":"message"}]}"#, Ok(None)),
            (r#"{"output":[{"type":"web_search_call"},{"type":"reasoning"}],"status":"completed"}"#, Ok(None)),
            (r#"{"object":"response","status":"incomplete"}"#, Err(Unfinished)),
            (r#"{"object":"response","status":"in_progress"}"#, Err(Unfinished)),
            (r#"{"object":"response"}"#, Err(Unfinished)),
            (r#"{"output":[],"status":"queued"}"#, Err(Unfinished)),
            (r#"{"object":"response","status":"failed"}"#, Err(ApiError)),
            (r#"{"status":"completed","output":[{"type":"function_call"}]}"#, Err(ToolCall)),
            (r#"{"status":"completed","output":[{"type":"message"},{"type":"custom_tool_call"}]}"#, Err(ToolCall)),
            (r#"{"status":"completed","output":[{"type":"computer_call"}]}"#, Err(ToolCall)),
            (r#"{"status":"completed","output":[{"type":"local_shell_call"}]}"#, Err(ToolCall)),
            (r#"{"status":"completed","output":[{"type":"mcp_approval_request"}]}"#, Err(ToolCall)),
        ] {
            let shown = &response[..response.len().min(120)];
            assert_eq!(check_answer(response.as_bytes()), expected, "{shown}");
        }
        assert_eq!(check_answer(b"{\"error\":\"\xff\"}"), Ok(None), "bytes that are no UTF-8 are no JSON");
    }

    #[test]
    fn usage_is_read_in_every_form_and_nonsense_is_none() {
        for (usage, expected) in [
            (r#"{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}"#, tokens(12, 34)),
            (r#"{"input_tokens":12,"output_tokens":34,"total_tokens":46}"#, tokens(12, 34)),
            (r#"{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":30}"#, tokens(31, 2)),
            (
                r#"{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":30,"cache_read_input_tokens":400}"#,
                cached(431, 400, 2),
            ),
            (r#"{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":null}"#, tokens(1, 2)),
            (r#"{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":-7}"#, tokens(1, 2)),
            (
                r#"{"input_tokens":18446744073709551615,"output_tokens":0,"cache_read_input_tokens":9}"#,
                cached(u64::MAX, 9, 0),
            ),
            // Cached tokens where OpenAI tells them, and each field only in the form that it belongs to.
            (
                r#"{"prompt_tokens":12,"completion_tokens":34,
                    "prompt_tokens_details":{"audio_tokens":0,"cached_tokens":5}}"#,
                cached(12, 5, 34),
            ),
            (r#"{"input_tokens":12,"output_tokens":34,"input_tokens_details":{"cached_tokens":5}}"#, cached(12, 5, 34)),
            (r#"{"input_tokens":12,"output_tokens":34,"prompt_tokens_details":{"cached_tokens":5}}"#, tokens(12, 34)),
            (
                r#"{"prompt_tokens":12,"completion_tokens":34,"input_tokens_details":{"cached_tokens":5}}"#,
                tokens(12, 34),
            ),
            (
                r#"{"input_tokens":2,"output_tokens":3,"cache_read_input_tokens":5,
                    "input_tokens_details":{"cached_tokens":5}}"#,
                cached(7, 5, 3),
            ),
            // Nonsense is none cached, and no more can be cached than was read.
            (
                r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":13}}"#,
                cached(12, 12, 34),
            ),
            (
                r#"{"input_tokens":12,"output_tokens":34,"input_tokens_details":{"cached_tokens":1e99}}"#,
                cached(12, 12, 34),
            ),
            (
                r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":-5}}"#,
                tokens(12, 34),
            ),
            (
                r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":"5"}}"#,
                tokens(12, 34),
            ),
            (
                r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":0.5}}"#,
                tokens(12, 34),
            ),
            (
                r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":null}}"#,
                tokens(12, 34),
            ),
            (r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":{}}"#, tokens(12, 34)),
            (r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":[5]}"#, tokens(12, 34)),
            (r#"{"prompt_tokens":12,"completion_tokens":34,"prompt_tokens_details":null}"#, tokens(12, 34)),
            (r#"{"input_tokens":12,"output_tokens":34,"input_tokens_details":5}"#, tokens(12, 34)),
            (r#"{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":"400"}"#, tokens(1, 2)),
            (r#"{"prompt_tokens_details":{"cached_tokens":5},"completion_tokens":34}"#, Ok(None)),
            (r#"{"prompt_tokens":1e99,"completion_tokens":1.0}"#, tokens(u64::MAX, 1)),
            (r#"{"prompt_tokens":-1,"completion_tokens":34}"#, Ok(None)),
            (r#"{"prompt_tokens":1.5,"completion_tokens":34}"#, Ok(None)),
            (r#"{"prompt_tokens":"12","completion_tokens":34}"#, Ok(None)),
            (r#"{"prompt_tokens":12}"#, Ok(None)),
            (r#"{"output_tokens":12}"#, Ok(None)),
            ("[12,34]", Ok(None)),
            ("null", Ok(None)),
        ] {
            for form in [
                r#"{"answer":"Paris.","usage":USAGE}"#,
                r#"{"choices":[{"finish_reason":"stop"}],"usage":USAGE}"#,
                r#"{"type":"message","stop_reason":"end_turn","usage":USAGE}"#,
                r#"{"object":"response","status":"completed","usage":USAGE}"#,
            ] {
                assert_eq!(check_answer(form.replace("USAGE", usage).as_bytes()), expected, "{form} {usage}");
            }
        }
    }
}
