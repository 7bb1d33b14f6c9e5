//! The module's settings: `CONFIG GET/SET llmcache.*`, and the same names as arguments at load.

use crate::core::money::MicroUsd;
use crate::core::time::UnixMs;
use crate::syntax::Bounds;
use redis_module::configuration::{
    register_bool_configuration, register_i64_configuration, register_string_configuration, ConfigurationContext,
    ConfigurationFlags, ConfigurationValue,
};
use redis_module::{raw, Context, RedisError, RedisString};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

static MAX_PROMPT_BYTES: AtomicI64 = AtomicI64::new(1 << 20);
static MAX_RESPONSE_BYTES: AtomicI64 = AtomicI64::new(64 << 20);
static THREADS: AtomicI64 = AtomicI64::new(1);
static MEMORY_RESERVE_PERCENT: AtomicI64 = AtomicI64::new(5);
static MEMORY_PRICE: Dollars = Dollars(AtomicU64::new(0));
static LOG_PROMPTS: AtomicBool = AtomicBool::new(false);

/// An amount of money that is set as text.
struct Dollars(AtomicU64);

impl ConfigurationValue<RedisString> for Dollars {
    fn get(&self, _: &ConfigurationContext) -> RedisString {
        RedisString::create(None, MicroUsd::from_micros(self.0.load(Ordering::Relaxed)).to_string())
    }

    fn set(&self, _: &ConfigurationContext, value: RedisString) -> Result<(), RedisError> {
        let amount = MicroUsd::parse(value.as_slice());
        let amount = amount.ok_or(RedisError::Str("must be an amount of US dollars such as 12.50, 0 or more"))?;
        self.0.store(amount.micros(), Ordering::Relaxed);
        Ok(())
    }
}

/// A setting with a whole number.
struct Number {
    name: &'static str,
    value: &'static AtomicI64,
    default: i64,
    min: i64,
    max: i64,
    flags: ConfigurationFlags,
}

fn numbers() -> Vec<Number> {
    let number = |name, value, default, (min, max), flags| Number { name, value, default, min, max, flags };
    let (count, bytes) = (|| ConfigurationFlags::DEFAULT, || ConfigurationFlags::MEMORY);
    let bulk = (1, 512 << 20);
    vec![
        number("max-prompt-bytes", &MAX_PROMPT_BYTES, 1 << 20, bulk, bytes()),
        number("max-response-bytes", &MAX_RESPONSE_BYTES, 64 << 20, bulk, bytes()),
        number("threads", &THREADS, processors(), (1, 128), count()),
        number("memory-reserve-percent", &MEMORY_RESERVE_PERCENT, 5, (0, 50), count()),
        #[cfg(feature = "panics")]
        number("panic-after", &crate::core::fault::LEFT, 0, (0, i64::MAX), count()),
    ]
}

/// As many threads as there are processors, four at most.
fn processors() -> i64 {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(4)) as i64
}

const MEMORY_PRICE_NAME: &str = "memory-usd-per-gb-month";
const LOG_PROMPTS_NAME: &str = "log-prompts";

/// Registers all settings. An argument at load is the default that the configuration file may override.
pub fn register(ctx: &Context, args: &[RedisString]) -> Result<(), String> {
    let mut given = Arguments::read(args)?;
    for Number { name, value, default, min, max, flags } in numbers() {
        let default = match given.take(name) {
            None => default,
            Some(word) => std::str::from_utf8(&word)
                .ok()
                .and_then(|word| word.parse().ok())
                .filter(|n| (min..=max).contains(n))
                .ok_or(format!("{name} must be a whole number from {min} to {max}"))?,
        };
        register_i64_configuration(ctx, name, value, default, min, max, flags, None);
    }
    let price = match given.take(MEMORY_PRICE_NAME) {
        None => MicroUsd::ZERO,
        Some(word) => MicroUsd::parse(&word)
            .ok_or(format!("{MEMORY_PRICE_NAME} must be an amount of US dollars such as 12.50, 0 or more"))?,
    };
    let plain = || ConfigurationFlags::DEFAULT;
    register_string_configuration(ctx, MEMORY_PRICE_NAME, &MEMORY_PRICE, &price.to_string(), plain(), None);
    let log_prompts = match given.take(LOG_PROMPTS_NAME).as_deref().map(<[u8]>::to_ascii_lowercase).as_deref() {
        None | Some(b"no") => false,
        Some(b"yes") => true,
        Some(_) => return Err(format!("{LOG_PROMPTS_NAME} must be yes or no")),
    };
    register_bool_configuration(ctx, LOG_PROMPTS_NAME, &LOG_PROMPTS, log_prompts, plain(), None);
    given.finish()?;
    // SAFETY: called once, while the module loads, as the server wants it; the context is that of the load.
    match unsafe { raw::RedisModule_LoadConfigs.map(|load| load(ctx.ctx)) } {
        Some(0) => Ok(()),
        _ => Err("the settings llmcache.* of the configuration file are not accepted".into()),
    }
}

/// `name value` pairs from the loadmodule line.
struct Arguments(Vec<(String, Vec<u8>)>);

impl Arguments {
    fn read(args: &[RedisString]) -> Result<Self, String> {
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        for pair in args.chunks(2) {
            let [name, value] = pair else {
                return Err(format!(
                    "module argument {} has no value",
                    pair.first().map_or(String::new(), |n| n.to_string_lossy())
                ));
            };
            let name = name.to_string_lossy().to_ascii_lowercase();
            if pairs.iter().any(|(there, _)| *there == name) {
                return Err(format!("module argument {name} is given twice"));
            }
            pairs.push((name, value.as_slice().to_vec()));
        }
        Ok(Self(pairs))
    }

    fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|(there, _)| there == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn finish(self) -> Result<(), String> {
        let mut known: Vec<_> = numbers().iter().map(|number| number.name).collect();
        known.extend([MEMORY_PRICE_NAME, LOG_PROMPTS_NAME]);
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("unknown module argument {name}, known are {}", known.join(", "))),
        }
    }
}

/// What the arguments of a command at this time are measured against.
pub fn bounds(now: UnixMs) -> Bounds {
    let limit = |value: &AtomicI64| usize::try_from(value.load(Ordering::Relaxed)).unwrap_or(0);
    Bounds { now, max_prompt_bytes: limit(&MAX_PROMPT_BYTES), max_response_bytes: limit(&MAX_RESPONSE_BYTES) }
}

/// How many threads compress, and how many search.
pub fn threads() -> usize {
    usize::try_from(THREADS.load(Ordering::Relaxed)).unwrap_or(1)
}

/// The share of `maxmemory` that caches leave free.
pub fn memory_reserve() -> f32 {
    MEMORY_RESERVE_PERCENT.load(Ordering::Relaxed) as f32 / 100.0
}

/// Whether prompts may stand in the log.
pub fn logs_prompts() -> bool {
    LOG_PROMPTS.load(Ordering::Relaxed)
}

/// What a gigabyte of memory costs each month.
pub fn memory_price() -> MicroUsd {
    MicroUsd::from_micros(MEMORY_PRICE.0.load(Ordering::Relaxed))
}
