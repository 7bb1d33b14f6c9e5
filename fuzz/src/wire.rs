//! What is written, on disk and between nodes. A byte that is even: a saved cache follows. Odd: records follow, each behind
//! two bytes of its length; they are put together as a saved cache would have them, and repeated one by one as `APPLY` does.
//! Whatever is taken is a cache like any other, and everything can be done to it.

use super::exercise::{exercise, large, small, NOW};
use super::support::{loaded, records, saved, Rng, Saved};
use super::Target;
use llmcache::core::cache::Cache;
use llmcache::core::persist::{Sink, FORMAT};
use llmcache::core::wire::WireError;

pub const TARGET: Target = Target {
    name: "wire",
    run,
    corpus,
    words: &["P\x03", "K\x04", "F\x01", "C\x01", "Z\x01", "E\x03", "E\x01", "L\x01", "W\x01", "A\x01"],
};

/// Whether some cache was read, or something was repeated.
pub fn run(data: &[u8]) -> bool {
    let Some((how, bytes)) = data.split_first() else { return false };
    if how % 2 == 0 {
        return load(bytes);
    }
    let parts = cut(bytes);
    let kinds = [b'P', b'K', b'F', b'W', b'A', b'Z', b'C', b'E'];
    let mut sink = Saved::default();
    sink.number(FORMAT);
    for kind in kinds {
        let of_kind = || parts.iter().filter(move |part| part.first() == Some(&kind));
        match kind {
            b'W' | b'Z' | b'C' | b'E' => sink.number(of_kind().count() as u64),
            // There is one of these: where there is another, the first counts.
            _ if of_kind().next().is_none() => return repeat(&parts),
            _ => {}
        }
        let single = matches!(kind, b'P' | b'K' | b'F' | b'A');
        of_kind().take(if single { 1 } else { usize::MAX }).for_each(|part| sink.record(part));
    }
    load(&sink.0) | repeat(&parts)
}

fn load(bytes: &[u8]) -> bool {
    loaded(bytes).map(|cache| exercise(cache, "fuzzed")).is_ok()
}

fn cut(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let [low, high, rest @ ..] = bytes {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (part, behind) = rest.split_at(length);
        parts.push(part);
        bytes = behind;
    }
    parts
}

fn repeat(parts: &[&[u8]]) -> bool {
    let mut cache = Cache::default();
    let mut context: &[u8] = &[];
    let mut taken = false;
    for part in parts {
        let result = match part.first() {
            Some(b'P') => cache.read_policy(part),
            Some(b'K') => cache.read_counters(part),
            Some(b'F') => cache.repeat_feedback(part).map(drop),
            Some(b'L') => cache.repeat_lives(part).map(drop),
            Some(b'W') => cache.read_plan(part).map(drop),
            Some(b'A') => cache.read_alerts(part).map(drop),
            Some(b'E') => cache.repeat_store(context, part, None, NOW).map(drop),
            Some(b'R') => cache.repeat_renewal(context, part, NOW).map(drop),
            Some(b'X') => {
                cache.repeat_clear();
                Ok(())
            }
            Some(b'Y') => {
                cache.repeat_anew(part.len() as u64);
                Ok(())
            }
            Some(b'C') => {
                context = part;
                Ok(())
            }
            _ => Err(WireError::Value),
        };
        taken |= result.is_ok();
        cache.store().validate().unwrap_or_else(|why| panic!("{why} behind {}", part.escape_ascii()));
    }
    if taken {
        exercise(cache, "repeated");
    }
    taken
}

fn corpus(rng: &mut Rng) -> Vec<Vec<u8>> {
    let caches = [small(), large(rng), saved(&Cache::default())];
    let framed = |bytes: &Vec<u8>| {
        let mut all = vec![1];
        for record in records(bytes) {
            all.extend((record.len() as u16).to_le_bytes());
            all.extend(record);
        }
        all
    };
    let whole = caches.iter().map(|bytes| [&[0], &bytes[..]].concat());
    whole.chain(caches.iter().map(framed)).collect()
}
