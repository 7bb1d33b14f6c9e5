//! TTL strategies: how long an answer lives, and who decides it.
//!
//! `auto` asks in this order: the cache's own [rules](rules), the built-in [rules on the content](content), the cache's
//! own strategy. Nothing here looks at a clock or draws lots: the same question gets the same decision on every server,
//! and jitter comes from the entry's digest.

pub mod content;
mod error;
mod lists;
mod patterns;
pub mod rules;
mod words;

pub use content::{BuiltinRule, BUILTIN_RULES};
pub use error::{printable, StrategyError};
pub use rules::{check_rule_name, Question, Rule, PROMPT_SEEN};

use super::memory;
use error::Argument;

/// How long an answer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// So many milliseconds.
    Millis(u64),
    /// For ever.
    Never,
    /// It is not stored at all.
    NotStored,
}

/// A named way to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Its name; lookups ignore the case of ASCII letters.
    pub name: Box<str>,
    /// How long its answers live.
    pub ttl: Ttl,
    /// How long they may be stale after that; none: as the cache says.
    pub stale_ms: Option<u64>,
    /// How far its TTL spreads, in percent; none: as the cache says.
    pub jitter_percent: Option<u8>,
}

/// The strategy that keeps nothing.
pub const NOCACHE: &str = "nocache";

/// The strategies that every cache has: name and TTL, in the order of the documentation.
pub const BUILTIN_STRATEGIES: [(&str, Ttl); 5] = [
    ("aggressive", Ttl::Millis(86_400_000)),
    ("standard", Ttl::Millis(21_600_000)),
    ("conservative", Ttl::Millis(5_400_000)),
    ("realtime", Ttl::Millis(900_000)),
    (NOCACHE, Ttl::NotStored),
];

/// Names that no strategy may have: the decision by content, and an expiry given by hand.
pub const RESERVED: [&str; 2] = ["auto", "explicit"];

/// The rule of a decision that no rule made.
pub const DEFAULT_RULE: &str = "default";

/// How many strategies of its own a cache may have.
pub const MAX_CUSTOM: usize = 256;

/// How many rules a cache may have.
pub const MAX_RULES: usize = 256;

/// How long the name of a strategy or rule may be, in bytes.
pub const MAX_NAME: usize = 64;

/// How long a pattern may be, in bytes: of a rule, and after `MATCH`.
pub const MAX_PATTERN: usize = 256;

/// The longest TTL and the longest stale time, in milliseconds: no expiry lies beyond the year 9999 anyway.
pub const MAX_MS: u64 = 253_402_300_799_000;

/// The most that a TTL can spread, in percent.
pub const MAX_JITTER: u8 = 100;

/// Where a strategy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in, as it came.
    Builtin,
    /// Built in, and changed by the user.
    Redefined,
    /// The user's own.
    Custom,
}

impl Origin {
    /// As a list shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Redefined => "redefined",
            Self::Custom => "custom",
        }
    }
}

/// What `auto` decided, and which rule did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// What was decided.
    pub strategy: &'a Strategy,
    /// The user's rule, `builtin:…`, or `default`.
    pub rule: &'a str,
}

/// A built-in strategy in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Builtin {
    strategy: Strategy,
    redefined: bool,
}

/// The strategies and rules of one cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategies {
    builtin: [Builtin; BUILTIN_STRATEGIES.len()],
    custom: Vec<Strategy>,
    rules: Vec<Rule>,
}

impl Default for Strategies {
    fn default() -> Self {
        let builtin = BUILTIN_STRATEGIES.map(|(name, ttl)| Builtin::untouched(name, ttl));
        Self { builtin, custom: Vec::new(), rules: Vec::new() }
    }
}

impl Builtin {
    fn untouched(name: &str, ttl: Ttl) -> Self {
        Self { strategy: Strategy { name: name.into(), ttl, stale_ms: None, jitter_percent: None }, redefined: false }
    }
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

impl Strategies {
    /// What was stored: redefined built-ins and strategies of the cache's own in any mixture, then the rules. As strict
    /// as setting them one by one, and nothing may be there twice.
    pub fn from_parts(strategies: Vec<Strategy>, rules: Vec<Rule>) -> Result<Self, StrategyError> {
        let mut all = Self::default();
        for strategy in strategies {
            if all.changed().any(|there| same(&there.name, &strategy.name)) {
                return Err(StrategyError::twice(Argument::Strategy, &strategy.name));
            }
            all.set_strategy(strategy)?;
        }
        for rule in rules {
            if all.rules.iter().any(|there| same(&there.name, &rule.name)) {
                return Err(StrategyError::twice(Argument::Rule, &rule.name));
            }
            all.set_rule(rule)?;
        }
        Ok(all)
    }

    /// The strategy of this name, if there is one.
    pub fn find(&self, name: &str) -> Option<&Strategy> {
        self.list().map(|(strategy, _)| strategy).find(|strategy| same(&strategy.name, name))
    }

    /// All strategies: the built-in ones in the order of the documentation, then the cache's own as they were created.
    pub fn list(&self) -> impl Iterator<Item = (&Strategy, Origin)> {
        let origin = |builtin: &Builtin| if builtin.redefined { Origin::Redefined } else { Origin::Builtin };
        let builtin = self.builtin.iter().map(move |builtin| (&builtin.strategy, origin(builtin)));
        builtin.chain(self.custom.iter().map(|strategy| (strategy, Origin::Custom)))
    }

    /// All strategies that are not as they came: what [`Self::from_parts`] takes.
    pub fn changed(&self) -> impl Iterator<Item = &Strategy> {
        self.list().filter(|(_, origin)| *origin != Origin::Builtin).map(|(strategy, _)| strategy)
    }

    /// The rules in the order in which they are asked.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Checks that a cache may have this strategy as its own.
    pub fn check_default(&self, name: &str) -> Result<(), StrategyError> {
        self.named(name).map(|_| ())
    }

    /// The strategy of this name, or the error that says there is none.
    pub fn named(&self, name: &str) -> Result<&Strategy, StrategyError> {
        self.find(name).ok_or_else(|| StrategyError::unknown(name))
    }

    /// Adds a strategy, or changes the one of this name: in its place, and with its name spelt as it was.
    pub fn set_strategy(&mut self, strategy: Strategy) -> Result<(), StrategyError> {
        check_strategy(&strategy)?;
        let name = &strategy.name;
        if let Some(builtin) = self.builtin.iter_mut().find(|builtin| same(&builtin.strategy.name, name)) {
            let name = std::mem::take(&mut builtin.strategy.name);
            *builtin = Builtin { strategy: Strategy { name, ..strategy }, redefined: true };
        } else if let Some(custom) = self.custom.iter_mut().find(|custom| same(&custom.name, name)) {
            let name = std::mem::take(&mut custom.name);
            *custom = Strategy { name, ..strategy };
        } else if self.custom.len() >= MAX_CUSTOM {
            return Err(StrategyError::Full { what: Argument::Strategy, limit: MAX_CUSTOM });
        } else {
            self.custom.push(strategy);
        }
        Ok(())
    }

    /// Deletes a strategy of the cache's own, or gives a built-in one back what it came with. Answers whether there was
    /// anything to do. One that a rule chooses, or that is the cache's own, stays.
    pub fn delete_strategy(&mut self, name: &str, cache_default: &str) -> Result<bool, StrategyError> {
        for (builtin, (as_named, ttl)) in self.builtin.iter_mut().zip(BUILTIN_STRATEGIES) {
            if same(as_named, name) {
                let was = std::mem::replace(builtin, Builtin::untouched(as_named, ttl));
                return Ok(was.redefined);
            }
        }
        let Some(at) = self.custom.iter().position(|custom| same(&custom.name, name)) else { return Ok(false) };
        if let Some(rule) = self.rules.iter().find(|rule| same(&rule.strategy, name)) {
            return Err(StrategyError::used_by_rule(name, &rule.name));
        }
        if same(cache_default, name) {
            return Err(StrategyError::used_by_cache(name));
        }
        self.custom.remove(at);
        Ok(true)
    }

    /// Adds a rule behind the others, or changes the one of this name in its place.
    pub fn set_rule(&mut self, mut rule: Rule) -> Result<(), StrategyError> {
        rules::check(&rule)?;
        rule.strategy = self.named(&rule.strategy)?.name.clone();
        if let Some(there) = self.rules.iter_mut().find(|there| same(&there.name, &rule.name)) {
            let name = std::mem::take(&mut there.name);
            *there = Rule { name, ..rule };
        } else if self.rules.len() >= MAX_RULES {
            return Err(StrategyError::Full { what: Argument::Rule, limit: MAX_RULES });
        } else {
            self.rules.push(rule);
        }
        Ok(())
    }

    /// Deletes a rule; whether there was one.
    pub fn delete_rule(&mut self, name: &str) -> bool {
        let at = self.rules.iter().position(|rule| same(&rule.name, name));
        at.map(|at| self.rules.remove(at)).is_some()
    }

    /// What `auto` means for this question. A cache's own strategy that is not there counts as `standard`.
    pub fn decide(&self, question: &Question<'_>, cache_default: &str) -> Decision<'_> {
        let [_, standard, ..] = &self.builtin;
        let find = |name| self.find(name).unwrap_or(&standard.strategy);
        if let Some(rule) = self.rules.iter().find(|rule| rule.matches(question)) {
            return Decision { strategy: find(&rule.strategy), rule: &rule.name };
        }
        match content::classify(question.prompt, question.temperature_above_one) {
            Some(rule) => Decision { strategy: find(rule.strategy), rule: rule.name },
            None => Decision { strategy: find(cache_default), rule: DEFAULT_RULE },
        }
    }

    /// Bytes behind it.
    pub(super) fn memory(&self) -> usize {
        let strategies = self.list().map(|(strategy, _)| memory::allocated(strategy.name.len())).sum::<usize>();
        let rules = self.rules.iter().map(Rule::memory).sum::<usize>();
        let lists = memory::of_vec::<Strategy>(self.custom.len()) + memory::of_vec::<Rule>(self.rules.len());
        strategies + rules + lists
    }
}

/// Checks that bytes may be a strategy's name, and answers it.
pub fn check_strategy_name(name: &[u8]) -> Result<&str, StrategyError> {
    let name = error::name(Argument::Strategy, name)?;
    match RESERVED.iter().find(|reserved| same(reserved, name)) {
        Some(reserved) => Err(StrategyError::Reserved { what: Argument::Strategy, name: reserved }),
        None => Ok(name),
    }
}

/// Checks that bytes may be an alert's name, and answers it. They are named as strategies are.
pub fn check_alert_name(name: &[u8]) -> Result<&str, StrategyError> {
    error::name(Argument::Alert, name)
}

fn check_strategy(strategy: &Strategy) -> Result<(), StrategyError> {
    check_strategy_name(strategy.name.as_bytes())?;
    match strategy.ttl {
        Ttl::Millis(ms) if ms == 0 || ms > MAX_MS => return Err(StrategyError::Ttl { ms }),
        Ttl::NotStored => return Err(StrategyError::NotStored),
        Ttl::Millis(_) | Ttl::Never => {}
    }
    match (strategy.stale_ms, strategy.jitter_percent) {
        (Some(ms), _) if ms > MAX_MS => Err(StrategyError::Stale { ms }),
        (_, Some(percent)) if percent > MAX_JITTER => Err(StrategyError::Jitter { percent }),
        _ => Ok(()),
    }
}

/// A TTL with its spread: at most `percent` away from `ms`, all of it equally likely over all lots; never under a second
/// unless the TTL itself is.
pub fn jittered(ms: u64, percent: u8, lot: u64) -> u64 {
    let percent = u64::from(percent.min(MAX_JITTER));
    let spread = ms.min(MAX_MS) * percent / 100;
    // lot / 2^64 of the steps from -spread to +spread.
    let offset = (u128::from(spread * 2 + 1) * u128::from(lot)) >> 64;
    let drawn = u128::from(ms - spread) + offset;
    u64::try_from(drawn).unwrap_or(u64::MAX).max(ms.min(1000))
}

/// The life that a strategy gives an entry of this lot.
pub fn resolve_ttl(strategy: &Strategy, cache_jitter: u8, lot: u64) -> Ttl {
    match strategy.ttl {
        Ttl::Millis(ms) => Ttl::Millis(jittered(ms, strategy.jitter_percent.unwrap_or(cache_jitter), lot)),
        as_it_is => as_it_is,
    }
}
