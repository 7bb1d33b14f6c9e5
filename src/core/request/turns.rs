//! The turns of a conversation, with everything that two APIs or two clients spell differently made one.

use super::{Json, Object, RequestError, Shape};
use crate::core::json::Number;

/// One element of `messages` or `input`.
pub(super) enum Turn {
    Message(Message),
    /// An item of the responses API that is no message: a call, its output, reasoning, a reference.
    Item(Object),
}

pub(super) struct Message {
    role: String,
    content: Content,
    /// The fields but `role` and `content`.
    others: Object,
}

enum Content {
    Parts(Vec<Part>),
    /// No parts: `null` or, for an assistant that only calls tools, nothing at all. Which of them stays a difference.
    Null,
    Missing,
}

struct Part {
    /// None if the part is no text.
    text: Option<String>,
    /// Whether a string as content would have meant the same.
    plain: bool,
    /// All fields, without `text` if the part is one.
    fields: Object,
}

/// Takes the list of turns out of a body.
pub(super) fn read(fields: &mut Object, list: &'static str, shape: Shape) -> Result<Vec<Turn>, RequestError> {
    match fields.remove(list) {
        Some(Json::Array(turns)) => each(turns, |turn| Turn::read(turn, shape)).map_err(|error| error.inside(list)),
        Some(text @ Json::String(_)) if list == "input" => {
            Ok(vec![Turn::Message(Message::new("user".to_owned(), Some(text), Object::default(), shape)?)])
        }
        other => Err(RequestError::field(list, "an array", other.as_ref())),
    }
}

/// A system turn out of a field of its own.
pub(super) fn top_level(content: Json, shape: Shape) -> Result<Turn, RequestError> {
    Message::new("system".to_owned(), Some(content), Object::default(), shape).map(Turn::Message)
}

/// Reads every element of an array; an error says which one it was.
fn each<T>(array: Vec<Json>, read: impl Fn(Json) -> Result<T, RequestError>) -> Result<Vec<T>, RequestError> {
    let at = |(i, element)| read(element).map_err(|error| error.inside(&format!("[{i}]")));
    array.into_iter().enumerate().map(at).collect()
}

/// Splits off the system turns that stand before all others.
pub(super) fn split_leading_system(mut turns: Vec<Turn>) -> (Vec<Turn>, Vec<Turn>) {
    let leading = turns.iter().take_while(|turn| turn.has_role("system")).count();
    let rest = turns.split_off(leading);
    (turns, rest)
}

/// Several texts as one, for people and for similarity: joined by newlines. How many there were is known from the parts
/// that stay behind, so the text can be taken apart again unless one of them has a newline of its own. Only then their
/// lengths are needed as well; always adding them would keep all prompts of different length from being similar.
pub(super) fn joined(mut texts: Vec<String>) -> (String, Option<Json>) {
    if texts.len() < 2 {
        return (texts.pop().unwrap_or_default(), None);
    }
    let length = |text: &String| Json::Number(Number::from(text.len() as u64));
    let lengths = texts.iter().any(|text| text.contains('\n')).then(|| Json::Array(texts.iter().map(length).collect()));
    (texts.join("\n"), lengths)
}

impl Turn {
    fn read(turn: Json, shape: Shape) -> Result<Self, RequestError> {
        let Json::Object(mut fields) = turn else {
            return Err(RequestError::field("", "an object", Some(&turn)));
        };
        if shape == Shape::OpenAiResponses {
            match fields.get("type") {
                None if fields.get("role").is_none() && fields.get("id").and_then(Json::as_str).is_some() => {
                    return Ok(Turn::Item(fields)); // A reference to a stored item may leave its type out.
                }
                None => {}
                Some(Json::String(kind)) if kind == "message" => {
                    fields.remove("type");
                }
                Some(Json::String(_)) => return Ok(Turn::Item(fields)),
                Some(other) => return Err(RequestError::field(".type", "a string", Some(other))),
            }
        }
        let role = match fields.remove("role") {
            Some(Json::String(role)) if role == "developer" => "system".to_owned(),
            Some(Json::String(role)) => role,
            other => return Err(RequestError::field(".role", "a string", other.as_ref())),
        };
        let content = fields.remove("content");
        Message::new(role, content, fields, shape).map(Turn::Message).map_err(|error| error.inside(".content"))
    }

    fn has_role(&self, role: &str) -> bool {
        matches!(self, Turn::Message(message) if message.role == role)
    }

    pub(super) fn is_user(&self) -> bool {
        self.has_role("user")
    }

    /// Whether any of its text parts says anything.
    pub(super) fn has_text(&self) -> bool {
        self.parts().iter().filter_map(|part| part.text.as_ref()).any(|text| !text.is_empty())
    }

    /// Whether it is one plain text and nothing else.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Turn::Message(message) if message.others.is_empty())
            && matches!(self.parts(), [part] if part.plain)
    }

    fn parts(&self) -> &[Part] {
        match self {
            Turn::Message(Message { content: Content::Parts(parts), .. }) => parts,
            _ => &[],
        }
    }

    /// The turn in full.
    pub(super) fn into_json(self) -> Json {
        let message = match self {
            Turn::Item(fields) => return Json::Object(fields),
            Turn::Message(message) => message,
        };
        let mut fields = message.others;
        fields.insert("role", Json::String(message.role));
        match message.content {
            Content::Missing => {}
            Content::Null => fields.insert("content", Json::Null),
            Content::Parts(parts) => fields.insert("content", into_content(parts)),
        }
        Json::Object(fields)
    }

    /// What is left of a turn whose role is known and whose texts are moved to `texts`: its other fields and its parts.
    pub(super) fn into_skeleton(self, texts: &mut Vec<String>) -> Json {
        let (fields, content) = match self {
            // Neither a user's nor the system's: does not occur, and loses nothing.
            Turn::Item(fields) => (fields, Content::Missing),
            Turn::Message(message) => (message.others, message.content),
        };
        let parts = match content {
            Content::Parts(parts) => parts,
            Content::Null | Content::Missing => Vec::new(),
        };
        let parts = parts.into_iter().map(|part| {
            texts.extend(part.text);
            Json::Object(part.fields)
        });
        Json::Array(vec![Json::Object(fields), Json::Array(parts.collect())])
    }
}

impl Message {
    fn new(role: String, content: Option<Json>, others: Object, shape: Shape) -> Result<Self, RequestError> {
        let plain = plain_kind(shape, &role);
        let content = match content {
            Some(Json::String(text)) => Content::Parts(vec![Part::plain(text, plain)]),
            Some(Json::Array(parts)) => Content::Parts(each(parts, |part| Part::read(part, plain, shape))?),
            // An assistant's turn may be nothing but a call. The user and the system have to say something.
            Some(Json::Null) if !matches!(role.as_str(), "user" | "system") => Content::Null,
            None if !matches!(role.as_str(), "user" | "system") => Content::Missing,
            other => return Err(RequestError::field("", "a string or an array of parts", other.as_ref())),
        };
        Ok(Message { role, content, others })
    }
}

/// The type of the one part that a string as content stands for.
fn plain_kind(shape: Shape, role: &str) -> &'static str {
    match (shape, role) {
        (Shape::OpenAiResponses, "assistant") => "output_text",
        (Shape::OpenAiResponses, _) => "input_text",
        _ => "text",
    }
}

fn is_text(shape: Shape, kind: &str) -> bool {
    match shape {
        Shape::OpenAiResponses => matches!(kind, "input_text" | "output_text"),
        _ => kind == "text",
    }
}

impl Part {
    fn plain(text: String, kind: &str) -> Self {
        let mut fields = Object::default();
        fields.insert("type", Json::String(kind.to_owned()));
        Part { text: Some(text), plain: true, fields }
    }

    fn read(part: Json, plain_kind: &str, shape: Shape) -> Result<Self, RequestError> {
        let Json::Object(mut fields) = part else {
            return Err(RequestError::field("", "an object", Some(&part)));
        };
        let Some(kind) = fields.get("type").and_then(Json::as_str) else {
            return Err(RequestError::field(".type", "a string", fields.get("type")));
        };
        if is_text(shape, kind) {
            let plain = kind == plain_kind && fields.len() == 2;
            return match fields.remove("text") {
                Some(Json::String(text)) => Ok(Part { text: Some(text), plain, fields }),
                other => Err(RequestError::field(".text", "a string", other.as_ref())),
            };
        }
        if shape == Shape::Anthropic && kind == "tool_result" {
            // What a tool answered is content as well, a string or parts.
            match fields.remove("content") {
                Some(Json::Array(parts)) => {
                    let parts = each(parts, |part| Part::read(part, plain_kind, shape));
                    fields.insert("content", into_content(parts.map_err(|error| error.inside(".content"))?));
                }
                Some(other) => fields.insert("content", other),
                None => {}
            }
        }
        Ok(Part { text: None, plain: false, fields })
    }

    fn into_json(self) -> Json {
        let mut fields = self.fields;
        if let Some(text) = self.text {
            fields.insert("text", Json::String(text));
        }
        Json::Object(fields)
    }
}

/// Content in its one spelling: a string if it is one plain text.
fn into_content(mut parts: Vec<Part>) -> Json {
    if let [Part { plain: true, text: Some(text), .. }] = parts.as_mut_slice() {
        return Json::String(std::mem::take(text));
    }
    Json::Array(parts.into_iter().map(Part::into_json).collect())
}
