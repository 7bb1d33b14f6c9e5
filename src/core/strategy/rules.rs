//! A cache's own rules: which strategy for which requests.

use super::error::{name, Argument};
use super::{StrategyError, DEFAULT_RULE, MAX_PATTERN};
use crate::core::{glob, memory};

/// What a built-in rule's name begins with.
pub const BUILTIN_PREFIX: &str = "builtin:";

/// How many bytes of a prompt a pattern sees. Every store may ask all rules, so this bounds what they can cost.
pub const PROMPT_SEEN: usize = 16 << 10;

/// A rule: all patterns that are given must fit. One without any fits every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name; lookups ignore the case of ASCII letters.
    pub name: Box<str>,
    /// A pattern for the type; a request without a type fits none.
    pub typ: Option<Box<[u8]>>,
    /// A pattern for the model; a request without one has the empty model.
    pub model: Option<Box<[u8]>>,
    /// A pattern for the scope; a request without one has the empty scope.
    pub scope: Option<Box<[u8]>>,
    /// A pattern for the prompt, or for the first [`PROMPT_SEEN`] bytes of a longer one.
    pub prompt: Option<Box<[u8]>>,
    /// The strategy that it chooses.
    pub strategy: Box<str>,
}

/// A request, as far as it decides a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// What is asked.
    pub prompt: &'a [u8],
    /// The model.
    pub model: &'a [u8],
    /// The scope.
    pub scope: &'a [u8],
    /// The type, where the writer gave one.
    pub typ: Option<&'a [u8]>,
    /// Whether the params ask for a sampling temperature above 1.
    pub temperature_above_one: bool,
}

impl Rule {
    fn patterns(&self) -> [(&'static str, Option<&[u8]>); 4] {
        [
            ("TYPE", self.typ.as_deref()),
            ("MODEL", self.model.as_deref()),
            ("SCOPE", self.scope.as_deref()),
            ("PROMPT", self.prompt.as_deref()),
        ]
    }

    /// Whether all patterns that are given fit. The prompt, which may be long, is looked at last.
    pub fn matches(&self, question: &Question<'_>) -> bool {
        let prompt = question.prompt.get(..PROMPT_SEEN).unwrap_or(question.prompt);
        let texts = [question.typ, Some(question.model), Some(question.scope), Some(prompt)];
        self.patterns().iter().zip(texts).all(|((_, pattern), text)| match (pattern, text) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(pattern), Some(text)) => glob::matches(pattern, text),
        })
    }

    pub(super) fn memory(&self) -> usize {
        let patterns =
            self.patterns().into_iter().filter_map(|(_, pattern)| pattern).map(|p| memory::allocated(p.len()));
        patterns.sum::<usize>() + memory::allocated(self.name.len()) + memory::allocated(self.strategy.len())
    }
}

/// Checks that bytes may be a rule's name, and answers it.
pub fn check_rule_name(bytes: &[u8]) -> Result<&str, StrategyError> {
    let text = name(Argument::Rule, bytes)?;
    let begins = bytes.get(..BUILTIN_PREFIX.len()).is_some_and(|b| b.eq_ignore_ascii_case(BUILTIN_PREFIX.as_bytes()));
    let reserved = |name| Err(StrategyError::Reserved { what: Argument::Rule, name });
    match () {
        () if begins => reserved("builtin:…"),
        () if text.eq_ignore_ascii_case(DEFAULT_RULE) => reserved(DEFAULT_RULE),
        () => Ok(text),
    }
}

/// Checks everything about a rule but its strategy.
pub(super) fn check(rule: &Rule) -> Result<(), StrategyError> {
    check_rule_name(rule.name.as_bytes())?;
    match rule.patterns().into_iter().find(|(_, pattern)| pattern.is_some_and(|p| p.len() > MAX_PATTERN)) {
        Some((option, pattern)) => Err(StrategyError::Pattern { option, len: pattern.map_or(0, <[u8]>::len) }),
        None => Ok(()),
    }
}
