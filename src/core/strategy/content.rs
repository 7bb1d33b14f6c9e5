//! The built-in rules on the content of a prompt.

/// A built-in rule, for documentation and for EXPLAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltinRule {
    /// `builtin:…`.
    pub name: &'static str,
    /// The strategy that it chooses.
    pub strategy: &'static str,
    /// What it is about, in one line.
    pub about: &'static str,
}

/// The built-in rules in the order in which they are asked.
pub const BUILTIN_RULES: &[BuiltinRule] = &[];

/// The first built-in rule that fits.
pub fn classify(_prompt: &[u8], _temperature_above_one: bool) -> Option<&'static BuiltinRule> {
    None
}
