//! What an answer costs: which of the four sources counts, and what of a usage that was given beside them.

use super::support::{Ask, START};
use llmcache::core::cache::Cache;
use llmcache::core::money::{MicroUsd, Price};
use llmcache::core::policy::PolicyChange;
use llmcache::core::request::Usage;
use llmcache::core::time::UnixMs;

/// 2.50, 1.25 and 10 dollars a million: a token costs so many micro-dollars.
fn cache() -> Cache {
    let usd = |text: &[u8]| MicroUsd::parse(text).unwrap();
    let price = |cached: Option<&[u8]>| Price {
        input_per_mtok: usd(b"2.5"),
        cached_per_mtok: cached.map(usd),
        output_per_mtok: usd(b"10"),
    };
    let prices = vec![(b"gpt"[..].into(), price(Some(b"1.25"))), (b"plain"[..].into(), price(None))];
    let mut cache = Cache::default();
    cache.alter(&PolicyChange { prices, ..PolicyChange::default() }, UnixMs(START)).unwrap();
    cache
}

#[test]
fn the_first_source_that_is_there_counts() {
    let cache = cache();
    let usage = Usage { input: 2000, cached: 1500, output: 300 };
    let given = Some(MicroUsd::from_micros(2100));
    for (model, cost, tokens, usage, expected) in [
        // (tokens in, tokens out, whether they are estimated, micro-dollars)
        ("gpt", given, Some((1000, 500)), Some(usage), (1000, 500, false, 2100)),
        ("gpt", given, None, Some(usage), (2000, 300, false, 2100)),
        ("gpt", given, None, None, (10, 50, true, 2100)),
        ("gpt", None, Some((1000, 500)), None, (1000, 500, false, 2500 + 5000)),
        ("gpt", None, None, Some(usage), (2000, 300, false, 1250 + 1875 + 3000)),
        ("gpt", None, None, None, (10, 50, true, 25 + 500)),
        // Without a price of their own, cached tokens cost what others do.
        ("plain", None, None, Some(usage), (2000, 300, false, 5000 + 3000)),
        // What the client counted takes the place of the response's figures; what of it was cached, only those say.
        ("gpt", None, Some((4000, 300)), Some(usage), (4000, 300, false, 6250 + 1875 + 3000)),
        ("gpt", None, Some((1000, 0)), Some(usage), (1000, 0, false, 1250)),
        ("gpt", None, Some((0, 1)), Some(usage), (0, 1, false, 10)),
        // A model without a price costs nothing, unless somebody said what it did.
        ("other", None, Some((1000, 500)), Some(usage), (1000, 500, false, 0)),
        ("other", given, None, None, (10, 50, true, 2100)),
    ] {
        let ask = Ask { model: model.into(), ..Ask::plain("p".repeat(37)) };
        let response = [b'r'; 200];
        let mut answer = ask.answer(&response);
        (answer.cost, answer.tokens, answer.usage) = (cost, tokens, usage);
        let effort = cache.effort(&answer);
        let found = (effort.tokens_in, effort.tokens_out, effort.estimated, effort.cost.micros());
        assert_eq!(found, expected, "{model} {cost:?} {tokens:?} {usage:?}");
    }
}
