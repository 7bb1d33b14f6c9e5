//! Moving allocations about, as a defragmenting server does.

use super::support::{saved, store, Ask, Rng, START};
use llmcache::core::cache::Cache;
use llmcache::core::codec::Codec;
use llmcache::core::entry::Entry;
use llmcache::core::store::Mover;
use llmcache::core::time::UnixMs;

const NOW: UnixMs = UnixMs(START);

/// Moves everything, and counts what.
#[derive(Default)]
struct Everything {
    entries: usize,
    bytes: usize,
}

impl Mover for Everything {
    fn bytes(&mut self, bytes: Box<[u8]>) -> Box<[u8]> {
        self.bytes += bytes.len();
        bytes.to_vec().into()
    }

    fn entry(&mut self, entry: Box<Entry>) -> Box<Entry> {
        self.entries += 1;
        Box::new(*entry)
    }
}

#[test]
fn a_cache_that_is_moved_piece_by_piece_stays_the_same() {
    let (mut cache, mut codec) = (Cache::default(), Codec::new());
    let asks: Vec<_> = (0..100).map(|i| Ask::plain(format!("prompt {i}"))).collect();
    let texts: Vec<_> = (0..100).map(|i| Rng::new(i).text(600)).collect();
    for (ask, text) in asks.iter().zip(&texts) {
        store(&mut cache, &ask.answer(text), NOW);
    }
    // Half of them compressed with a hot copy, and some slots empty.
    cache.press_some(30_000, &mut codec);
    for ask in asks[..30].iter().chain(&asks[..30]) {
        cache.get(&ask.identity(), &Default::default(), NOW, &mut codec).unwrap();
    }
    cache.delete(&asks.iter().step_by(7).map(Ask::id).collect::<Vec<_>>(), NOW);
    let (before, hot) = (saved(&cache), cache.store().hot());
    assert!(hot.entries > 10, "{hot:?}");

    let mut mover = Everything::default();
    let (mut next, mut steps) = (Some(0), 0);
    while let Some(slot) = next {
        next = cache.store_mut().relocate(slot, 16, &mut mover);
        steps += 1;
    }
    assert_eq!(steps, 100usize.div_ceil(16), "each slot once");
    assert_eq!(mover.entries, cache.store().len());
    let (_, stored) = cache.store().answer_bytes();
    let prompts: usize = cache.store().from_slot(0).map(|(_, view)| view.prompt().len()).sum();
    let rest = mover.bytes - (prompts + stored as usize + hot.bytes);
    assert!(rest > 0 && rest < 40 * mover.entries, "prompts, answers and hot copies, and {rest} bytes");
    cache.validate().unwrap();
    assert_eq!(saved(&cache), before);
    assert_eq!(cache.store().hot(), hot);
}
