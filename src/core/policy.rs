//! What a cache may do: its limits and defaults, changed by CREATE and ALTER.

use super::cache::AlterError;
use super::fault;
use super::memory;
use super::money::Price;
use super::similarity::lexical::Metric;
use super::similarity::{Kind, Method};
use std::collections::BTreeMap;

/// How lookups match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// The very same question.
    Exact = 0,
    /// Where that is not there, the most similar one.
    Similar = 1,
}

/// Which entry goes when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Evict {
    /// The one that has not been asked for the longest time.
    Lru = 0,
    /// The one that would go soonest by itself.
    Ttl = 1,
    /// The one that is asked least often, lately.
    Lfu = 2,
    /// The one that saves least for each byte that it takes.
    Cost = 3,
}

/// How answers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Compress {
    /// As they came.
    None = 0,
    /// One zstd frame each.
    Zstd = 1,
    /// The same, with what many answers have in common kept once.
    Dict = 2,
}

/// Words of the protocol and tags on disk for the variants of an enum.
macro_rules! named {
    ($type:ident { $($variant:ident => $name:literal),* $(,)? }) => {
        impl $type {
            /// As an option names it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The value of a stored tag, if there is one.
            pub fn from_tag(tag: u8) -> Option<Self> {
                [$(Self::$variant),*].into_iter().find(|v| *v as u8 == tag)
            }
        }
    };
}
pub(crate) use named;
named!(Mode { Exact => "exact", Similar => "similar" });
named!(Evict { Lru => "lru", Ttl => "ttl", Lfu => "lfu", Cost => "cost" });
named!(Compress { None => "none", Zstd => "zstd", Dict => "dict" });

/// The policy of a cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How lookups match.
    pub mode: Mode,
    /// How prompts are compared.
    pub similarity: Kind,
    /// How many dimensions the clients' vectors have, once that is fixed.
    pub dim: Option<u32>,
    /// How `lexical` compares.
    pub metric: Metric,
    /// How similar a prompt must be, where that was set.
    pub threshold: Option<f64>,
    /// Whether guards look for what changes the meaning.
    pub guards: bool,
    /// The strategy where no rule chooses one.
    pub strategy: Box<str>,
    /// How long an expired answer may still serve as stale, where its strategy does not say.
    pub stale_ms: u64,
    /// How far TTLs spread, in percent, where the strategy does not say.
    pub jitter_percent: u8,
    /// How many entries there may be; 0 for no limit.
    pub max_entries: u64,
    /// How much memory they may take; 0 for no limit.
    pub max_memory: u64,
    /// Who goes first when a limit is met.
    pub evict: Evict,
    /// How answers are stored.
    pub compress: Compress,
    /// The zstd level.
    pub level: u8,
    /// What models cost.
    pub prices: BTreeMap<Box<[u8]>, Price>,
}

/// zstd levels to choose from. Worker threads compress; what a command must compress on its way gets a lower one.
pub const LEVELS: std::ops::RangeInclusive<u8> = 1..=19;

/// How many models one command may price.
pub const MAX_PRICES: usize = 1024;

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Exact,
            similarity: Kind::Builtin,
            dim: None,
            metric: Metric::Idf,
            threshold: None,
            guards: true,
            strategy: "standard".into(),
            stale_ms: 0,
            jitter_percent: 0,
            max_entries: 0,
            max_memory: 0,
            evict: Evict::Cost,
            compress: Compress::Dict,
            level: 3,
            prices: BTreeMap::new(),
        }
    }
}

/// What CREATE and ALTER were asked to set; the rest stays.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // the fields of Policy
pub struct PolicyChange {
    pub mode: Option<Mode>,
    pub similarity: Option<Kind>,
    pub dim: Option<u32>,
    pub metric: Option<Metric>,
    pub threshold: Option<f64>,
    pub guards: Option<bool>,
    pub strategy: Option<Box<str>>,
    pub stale_ms: Option<u64>,
    pub jitter_percent: Option<u8>,
    pub max_entries: Option<u64>,
    pub max_memory: Option<u64>,
    pub evict: Option<Evict>,
    pub compress: Option<Compress>,
    pub level: Option<u8>,
    pub prices: Vec<(Box<[u8]>, Price)>,
}

impl Policy {
    /// This policy with the change made.
    pub fn changed(&self, change: &PolicyChange) -> Result<Self, AlterError> {
        fault::point();
        let mut policy = self.clone();
        policy.mode = change.mode.unwrap_or(policy.mode);
        policy.similarity = change.similarity.unwrap_or(policy.similarity);
        for (given, name, kind) in
            [(change.dim.is_some(), "DIM", Kind::Vector), (change.metric.is_some(), "METRIC", Kind::Lexical)]
        {
            if given && policy.similarity != kind {
                return Err(AlterError::OtherKind { name, kind, is: policy.similarity });
            }
        }
        // With the kind go the vectors, and with them what they said of their size.
        policy.dim = change.dim.or(policy.dim.filter(|_| policy.similarity == Kind::Vector));
        policy.metric = change.metric.unwrap_or(policy.metric);
        policy.threshold = change.threshold.or(policy.threshold);
        policy.guards = change.guards.unwrap_or(policy.guards);
        policy.strategy = change.strategy.clone().unwrap_or(policy.strategy);
        policy.stale_ms = change.stale_ms.unwrap_or(policy.stale_ms);
        policy.jitter_percent = change.jitter_percent.unwrap_or(policy.jitter_percent);
        policy.max_entries = change.max_entries.unwrap_or(policy.max_entries);
        policy.max_memory = change.max_memory.unwrap_or(policy.max_memory);
        policy.evict = change.evict.unwrap_or(policy.evict);
        policy.compress = change.compress.unwrap_or(policy.compress);
        policy.level = change.level.unwrap_or(policy.level);
        policy.prices.extend(change.prices.iter().cloned());
        Ok(policy)
    }

    /// How prompts are compared.
    pub fn method(&self) -> Method {
        match self.similarity {
            Kind::Builtin => Method::Builtin,
            Kind::Lexical => Method::Lexical(self.metric),
            Kind::Vector => Method::Vector,
        }
    }

    /// How similar a prompt must be.
    pub fn threshold(&self) -> f64 {
        self.threshold.unwrap_or(self.method().default_threshold())
    }

    /// The level to compress at, if answers are compressed.
    pub fn compression(&self) -> Option<i32> {
        match self.compress {
            Compress::None => None,
            Compress::Zstd | Compress::Dict => Some(i32::from(self.level)),
        }
    }

    /// Bytes behind it.
    pub(super) fn memory(&self) -> usize {
        let prices = self.prices.keys().map(|model| memory::allocated(model.len())).sum::<usize>();
        memory::allocated(self.strategy.len()) + prices + memory::of_btree::<(Box<[u8]>, Price)>(self.prices.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_sets_what_it_names_and_leaves_the_rest() {
        let policy = Policy { max_entries: 5, stale_ms: 7, ..Policy::default() };
        assert_eq!(policy.changed(&PolicyChange::default()), Ok(policy.clone()));
        let price = (Box::from(*b"gpt"), Price::default());
        let change = PolicyChange {
            strategy: Some("realtime".into()),
            max_entries: Some(0),
            evict: Some(Evict::Ttl),
            compress: Some(Compress::None),
            prices: vec![price.clone()],
            ..PolicyChange::default()
        };
        let changed = policy.changed(&change).unwrap();
        assert_eq!((&*changed.strategy, changed.max_entries, changed.stale_ms), ("realtime", 0, 7));
        assert_eq!((changed.evict, changed.compression(), policy.compression()), (Evict::Ttl, None, Some(3)));
        assert_eq!(changed.prices.into_iter().collect::<Vec<_>>(), [price]);
    }

    #[test]
    fn what_belongs_to_another_kind_of_similarity_is_refused() {
        let policy = Policy::default();
        for (change, name) in [
            (PolicyChange { dim: Some(3), ..PolicyChange::default() }, "DIM"),
            (PolicyChange { metric: Some(Metric::Dice), ..PolicyChange::default() }, "METRIC"),
        ] {
            let refused = policy.changed(&change);
            assert!(matches!(refused, Err(AlterError::OtherKind { name: said, .. }) if said == name));
        }
        let change = PolicyChange { similarity: Some(Kind::Vector), dim: Some(3), ..PolicyChange::default() };
        let vector = policy.changed(&change).unwrap();
        assert_eq!((vector.dim, vector.method()), (Some(3), Method::Vector));
        assert_eq!(Policy { threshold: Some(0.5), ..vector }.threshold(), 0.5);
    }

    /// Tags are stored.
    #[test]
    fn tags_and_names_are_pinned() {
        let modes = [0, 1, 2].map(|tag| Mode::from_tag(tag).map(Mode::name));
        assert_eq!(modes, [Some("exact"), Some("similar"), None]);
        let evict = [0, 1, 2, 3, 4].map(|tag| Evict::from_tag(tag).map(Evict::name));
        assert_eq!(evict, [Some("lru"), Some("ttl"), Some("lfu"), Some("cost"), None]);
        let compress = [0, 1, 2, 3].map(|tag| Compress::from_tag(tag).map(Compress::name));
        assert_eq!(compress, [Some("none"), Some("zstd"), Some("dict"), None]);
    }
}
