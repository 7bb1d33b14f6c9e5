//! Chat API requests: what of a body is the model, the system prompt and the prompt, and everything else as params.
//!
//! A body becomes a [`Request`], and two bodies that differ in anything that can change the answer never become equal
//! ones. Everything but the texts of the system and of the last user turn goes into the params, an object with
//!
//! * every top-level field that is left, as it was sent, and
//! * `messages` (`input` for OpenAI responses): the conversation, in which
//!   * a turn is an object, with `developer` as `system`, and content that is one plain text as a string;
//!   * the last user turn is `null` when it was one plain text and nothing else, and otherwise an array: its other fields,
//!     its parts without their text, and the lengths of the texts where they are needed (see [`turns::joined`]);
//!   * the leading system turns are left out when they were one plain text, else they stand first, as an array of such
//!     arrays, and again lengths.
//!
//!   It is left out when nothing but `null` would be in it.
//!
//! A turn that was sent is always an object, so nobody can send a body whose turn looks like one of these stand-ins.
//! The only bodies on purpose made equal are those that the contract calls equal, and a responses message with and
//! without its `"type":"message"`, which is its only possible type.
//!
//! What no rule speaks of is kept as it is: an unknown role, part, item or field is a difference, not an error. An
//! error is what none of the APIs could read.

mod answer;
mod shape;
mod turns;

pub use answer::{check_answer, Refusal, Usage};

use super::identity::Shape;
use super::json::{self, Json, JsonError, Object};
use std::fmt;
use turns::{joined, Turn};

/// The parts of an identity that a request body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which API the body is for.
    pub shape: Shape,
    /// The model; empty when none is named.
    pub model: String,
    /// The system prompt; empty when there is none.
    pub system: String,
    /// Everything else that can change the answer, as canonical JSON; empty when there is nothing else.
    pub params: String,
    /// The text of the last user turn; empty when it has none.
    pub prompt: String,
    /// Whether the conversation ends with text of the user. If not, the prompt alone does not say what is asked, and
    /// only an exact match may answer.
    pub ends_with_user_text: bool,
}

/// Why a body is no chat request. The text completes "REQUEST …" and holds nothing of the body but positions and types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// It is no JSON.
    NotJson(JsonError),
    /// It is JSON, but neither `messages` nor `input` is in it.
    NotAChat,
    /// A field is missing or of a wrong type.
    Field {
        /// Where: a path such as `messages[2].role`.
        path: String,
        /// What belongs there.
        expected: &'static str,
        /// The type of what is there.
        found: &'static str,
    },
}

/// Fields that cannot change the answer.
const LEFT_OUT: [&str; 8] =
    ["stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"];

/// Reads the body of an OpenAI chat completions, OpenAI responses or Anthropic messages request.
pub fn parse(body: &[u8]) -> Result<Request, RequestError> {
    let Json::Object(mut fields) = json::parse(body).map_err(RequestError::NotJson)? else {
        return Err(RequestError::NotAChat);
    };
    let shape = shape::of(&fields)?;
    for field in LEFT_OUT {
        fields.remove(field);
    }
    let model = match fields.remove("model") {
        None => String::new(),
        Some(Json::String(model)) => model,
        Some(other) => return Err(RequestError::field("model", "a string", Some(&other))),
    };

    let (system, turns) = match shape {
        Shape::Anthropic => {
            let system = fields.remove("system").map(|content| turns::top_level(content, shape)).transpose();
            let system = system.map_err(|error| error.inside("system"))?;
            (Vec::from_iter(system), turns::read(&mut fields, "messages", shape)?)
        }
        Shape::OpenAiResponses => {
            // "Inserted as the first item": one leading system turn. A null is an explicit default and stays a field.
            let instructions = match fields.get("instructions") {
                None | Some(Json::Null) => None,
                Some(Json::String(_)) => fields.remove("instructions"),
                Some(other) => return Err(RequestError::field("instructions", "a string", Some(other))),
            };
            let instructions = instructions.map(|text| turns::top_level(text, shape)).transpose()?;
            let (leading, turns) = turns::split_leading_system(turns::read(&mut fields, "input", shape)?);
            (instructions.into_iter().chain(leading).collect(), turns)
        }
        Shape::OpenAiChat | Shape::Plain => turns::split_leading_system(turns::read(&mut fields, "messages", shape)?),
    };
    let list = if shape == Shape::OpenAiResponses { "input" } else { "messages" };
    Ok(assemble(shape, model, fields, list, system, turns))
}

/// Puts the conversation back into the fields, without the two texts that stand on their own.
fn assemble(
    shape: Shape,
    model: String,
    mut fields: Object,
    list: &str,
    system_turns: Vec<Turn>,
    turns: Vec<Turn>,
) -> Request {
    let last_user = turns.iter().rposition(Turn::is_user);
    let ends_with_user_text =
        last_user.is_some_and(|at| at + 1 == turns.len()) && turns.last().is_some_and(Turn::has_text);

    let mut kept = Vec::with_capacity(turns.len() + 1);
    let mut system_texts = Vec::new();
    let plain_system = match system_turns.as_slice() {
        [] => true,
        [only] => only.is_plain(),
        _ => false,
    };
    let skeletons = system_turns.into_iter().map(|turn| turn.into_skeleton(&mut system_texts)).collect();
    let (system, lengths) = joined(system_texts);
    if !plain_system {
        kept.push(Json::Array([Json::Array(skeletons)].into_iter().chain(lengths).collect()));
    }

    let mut prompt = String::new();
    for (at, turn) in turns.into_iter().enumerate() {
        kept.push(if last_user != Some(at) {
            turn.into_json()
        } else {
            let plain = turn.is_plain();
            let mut texts = Vec::new();
            let mut skeleton = turn.into_skeleton(&mut texts);
            let lengths;
            (prompt, lengths) = joined(texts);
            if let Json::Array(skeleton) = &mut skeleton {
                skeleton.extend(lengths);
            }
            if plain {
                Json::Null
            } else {
                skeleton
            }
        });
    }
    if kept != [Json::Null] {
        fields.insert(list, Json::Array(kept));
    }
    Request { shape, model, system, params: fields.into_params(), prompt, ends_with_user_text }
}

impl RequestError {
    fn field(path: &str, expected: &'static str, found: Option<&Json>) -> Self {
        let found = found.map_or("nothing", Json::type_name);
        RequestError::Field { path: path.to_owned(), expected, found }
    }

    /// Paths grow from the inside out, so that only a body with an error pays for them.
    fn inside(self, outer: &str) -> Self {
        match self {
            RequestError::Field { path, expected, found } => {
                RequestError::Field { path: format!("{outer}{path}"), expected, found }
            }
            other => other,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::NotJson(error) => write!(f, "must be the JSON body of a chat API request: {error}"),
            RequestError::NotAChat => f.write_str(
                "must be the JSON body of an OpenAI chat completions or Anthropic messages request (an object with \
                 'messages') or of an OpenAI responses request (an object with 'input')",
            ),
            RequestError::Field { path, expected, found } => {
                write!(f, "must have {expected} as '{path}', got {found}")
            }
        }
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Params are part of every stored digest: a changed form loses all answers.
    #[test]
    fn the_form_of_the_params_is_pinned() {
        for (body, params) in [
            (r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#, ""),
            (r#"{"messages":[]}"#, r#"{"messages":[]}"#),
            (r#"{"temperature":0.50,"messages":[{"role":"user","content":"hi"}]}"#, r#"{"temperature":0.5}"#),
            (
                r#"{"messages":[{"role":"developer","content":"be"},{"role":"user","content":"a"},
                    {"role":"assistant","content":[{"type":"text","text":"b"}]},{"role":"user","content":"hi"}]}"#,
                r#"{"messages":[{"content":"a","role":"user"},{"content":"b","role":"assistant"},null]}"#,
            ),
            (
                r#"{"messages":[{"role":"user","name":"n","content":[{"type":"text","text":"a"},
                    {"type":"image_url","image_url":{"url":"u"}},{"type":"text","text":"b"}]}]}"#,
                concat!(
                    r#"{"messages":[[{"name":"n"},[{"type":"text"},"#,
                    r#"{"image_url":{"url":"u"},"type":"image_url"},{"type":"text"}]]]}"#
                ),
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a\n"},{"type":"text","text":"é"}]}]}"#,
                r#"{"messages":[[{},[{"type":"text"},{"type":"text"}],[2,2]]]}"#,
            ),
            (
                r#"{"messages":[{"role":"system","content":"a"},{"role":"system","content":"b\n"},
                    {"role":"user","content":"hi"}]}"#,
                r#"{"messages":[[[[{},[{"type":"text"}]],[{},[{"type":"text"}]]],[1,2]],null]}"#,
            ),
            (r#"{"system":"","messages":[{"role":"user","content":"hi"}]}"#, ""),
            (r#"{"instructions":"be","input":"hi"}"#, ""),
            (
                r#"{"input":[{"role":"user","content":"hi"},{"type":"function_call_output","output":"1"}]}"#,
                r#"{"input":[null,{"output":"1","type":"function_call_output"}]}"#,
            ),
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap().params, params, "{body}");
        }
    }

    #[test]
    fn an_error_tells_where_and_what_and_nothing_of_the_body() {
        let chat = "must be the JSON body of an OpenAI chat completions or Anthropic messages request (an object with \
                    'messages') or of an OpenAI responses request (an object with 'input')";
        for (body, error) in [
            ("", "must be the JSON body of a chat API request: EOF while parsing a value at line 1 column 0"),
            ("secret", "must be the JSON body of a chat API request: expected value at line 1 column 1"),
            ("\"secret\"", chat),
            ("[]", chat),
            (r#"{"prompt":"secret"}"#, chat),
            (r#"{"messages":"secret"}"#, "must have an array as 'messages', got a string"),
            (r#"{"messages":null,"input":"secret"}"#, "must have an array as 'messages', got null"),
            (r#"{"input":{"secret":1}}"#, "must have a string or an array as 'input', got an object"),
            (r#"{"messages":["secret"]}"#, "must have an object as 'messages[0]', got a string"),
            (r#"{"model":7,"messages":[]}"#, "must have a string as 'model', got a number"),
            (r#"{"model":null,"messages":[]}"#, "must have a string as 'model', got null"),
            (r#"{"messages":[{"content":"secret"}]}"#, "must have a string as 'messages[0].role', got nothing"),
            (r#"{"messages":[{"role":1,"content":""}]}"#, "must have a string as 'messages[0].role', got a number"),
            (
                r#"{"messages":[{"role":"assistant"},{"role":"user","content":null}]}"#,
                "must have a string or an array of parts as 'messages[1].content', got null",
            ),
            (
                r#"{"messages":[{"role":"developer"}]}"#,
                "must have a string or an array of parts as 'messages[0].content', got nothing",
            ),
            (
                r#"{"messages":[{"role":"tool","content":{}}]}"#,
                "must have a string or an array of parts as 'messages[0].content', got an object",
            ),
            (
                r#"{"messages":[{"role":"user","content":["secret"]}]}"#,
                "must have an object as 'messages[0].content[0]', got a string",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"text":"secret"}]}]}"#,
                "must have a string as 'messages[0].content[0].type', got nothing",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
                "must have a string as 'messages[0].content[0].text', got nothing",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":[]}]}]}]}"#,
                "must have a string as 'messages[0].content[0].content[0].text', got an array",
            ),
            (r#"{"system":5,"messages":[]}"#, "must have a string or an array of parts as 'system', got a number"),
            (r#"{"system":["secret"],"messages":[]}"#, "must have an object as 'system[0]', got a string"),
            (r#"{"instructions":[],"input":""}"#, "must have a string as 'instructions', got an array"),
            (r#"{"input":[{}]}"#, "must have a string as 'input[0].role', got nothing"),
            (r#"{"input":[{"type":"message"}]}"#, "must have a string as 'input[0].role', got nothing"),
            (r#"{"input":[{"type":true}]}"#, "must have a string as 'input[0].type', got a boolean"),
            (
                r#"{"input":[{"role":"user","content":[{"type":"input_text","text":1}]}]}"#,
                "must have a string as 'input[0].content[0].text', got a number",
            ),
        ] {
            assert_eq!(parse(body.as_bytes()).expect_err(body).to_string(), error, "{body}");
        }
    }
}
