#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::core::cache::Cache;
use crate::core::money::MicroUsd;
use crate::core::stats::{Breakdown, Scope, OTHER, TOLD};
use std::collections::HashMap;

/// Dice that fall the same way for the same seed (splitmix64).
pub struct Rng(u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Runs a test with each seed, or with the one that `LLMCACHE_SEED` names.
pub fn with_seeds(seeds: impl IntoIterator<Item = u64>, mut run: impl FnMut(u64, Rng)) {
    let seeds = match std::env::var("LLMCACHE_SEED") {
        Ok(seed) => vec![seed.parse().expect("LLMCACHE_SEED is a number")],
        Err(_) => seeds.into_iter().collect(),
    };
    for seed in seeds {
        println!("LLMCACHE_SEED={seed}");
        run(seed, Rng(seed));
    }
}

/// A moment in 2025.
const START: u64 = 1_750_000_000_000;

const WINDOWS: [Option<u64>; 6] = [None, Some(60), Some(600), Some(7200), Some(86_400), Some(LONGEST_WINDOW)];

/// Names that something is counted under: model, scope, strategy, type, and tags.
struct Names {
    single: [Vec<u8>; 4],
    tags: Vec<Vec<u8>>,
}

impl Names {
    fn count(&self, ledger: &mut Ledger, ms: u64, counted: &Counters) {
        let [model, scope, strategy, typ] = &self.single;
        let labels = Labels { model, scope, strategy, typ };
        ledger.count(UnixMs(ms), &labels, self.tags.iter().map(|tag| &**tag), |sums| sums.merge(counted));
    }

    /// All of them in a dimension; what has no tag has the empty one.
    fn of(&self, dimension: Dimension) -> Vec<Vec<u8>> {
        match dimension {
            Dimension::Tag if self.tags.is_empty() => vec![Vec::new()],
            Dimension::Tag => self.tags.clone(),
            _ => vec![self.single[dimension as usize].clone()],
        }
    }
}

/// What was counted, under which names and when: slow, and obviously right.
#[derive(Default)]
struct Naive {
    counted: Vec<(u64, Names, Counters)>,
    last: u64,
}

impl Naive {
    fn count(&mut self, ms: u64, names: Names, counted: Counters) {
        self.last = self.last.max(ms / 1000);
        self.counted.push((self.last, names, counted));
    }

    /// Since a second: the sum of all names of a dimension, and that of each.
    fn by(&self, dimension: Dimension, from: u64) -> (HashMap<Vec<u8>, Counters>, Counters) {
        let (mut names, mut sum) = (HashMap::<_, Counters>::new(), Counters::default());
        for (_, of, counted) in self.counted.iter().filter(|(at, ..)| *at >= from) {
            for name in of.of(dimension) {
                names.entry(name).or_default().merge(counted);
                sum.merge(counted);
            }
        }
        (names, sum)
    }

    /// The second that a window begins with. With a clock that was set back, it ends with the second that was reached.
    fn from(&self, seconds: Option<u64>, ms: u64) -> u64 {
        seconds.map_or(0, |seconds| Window::last(seconds, UnixMs(ms.max(self.last * 1000))).begin().0 / 1000)
    }
}

fn micros(n: u64) -> Counters {
    Counters { lookups: 1, hits_exact: 1, tokens_saved_out: 7, micros_saved: n, ..Counters::default() }
}

fn some(rng: &mut Rng) -> Counters {
    let missed = Counters { lookups: 1, miss_absent: 1, ..Counters::default() };
    let stored = Counters { stores: 1, micros_spent: rng.below(1000), ..Counters::default() };
    match rng.below(10) {
        0..=2 => missed,
        3..=4 => stored,
        _ => micros(1 + rng.below(20)),
    }
}

fn known(ledger: &Ledger, dimension: Dimension, window: Option<&Window>) -> HashMap<Vec<u8>, Counters> {
    ledger.counted_by(dimension, window).0.map(|(name, counters)| (name.to_vec(), counters)).collect()
}

fn written(ledger: &Ledger) -> Vec<u8> {
    let mut w = Writer::record(b'K', 4);
    ledger.write(&mut w);
    w.finish()
}

fn read(bytes: &[u8]) -> Result<Ledger, WireError> {
    let (mut r, _) = Reader::record(bytes, b'K', 4)?;
    let ledger = Ledger::read(&mut r)?;
    r.finish()?;
    Ok(ledger)
}

#[test]
fn as_many_names_as_there_is_room_for_are_exact() {
    with_seeds(1..=4, |seed, mut rng| {
        let (mut ledger, mut naive, mut now) = (Ledger::default(), Naive::default(), START);
        for step in 0..3000 {
            // All come once, so that there are as many as there may be.
            let mut name = || format!("name {}", if step < 256 { step } else { rng.below(256) }).into_bytes();
            let single = [name(), name(), name(), name()];
            let mut tags = vec![name()];
            if step >= 256 {
                tags = (0..rng.below(3)).map(|i| format!("name {}", rng.below(85) * 3 + i).into_bytes()).collect();
                // The empty one would be one name more.
                tags.is_empty().then(|| tags.push(b"name 0".to_vec()));
            }
            let (names, counted) = (Names { single, tags }, some(&mut rng));
            now += rng.below(1200);
            names.count(&mut ledger, now, &counted);
            naive.count(now, names, counted);
            if rng.chance(1) {
                ledger = read(&written(&ledger)).unwrap();
            }
        }
        ledger.validate().unwrap();
        for dimension in Dimension::ALL {
            for seconds in WINDOWS {
                let window = seconds.map(|seconds| Window::last(seconds, UnixMs(now)));
                let (mut names, sum) = naive.by(dimension, naive.from(seconds, now));
                let mut known = known(&ledger, dimension, window.as_ref());
                assert_eq!(known.len(), 256);
                [&mut names, &mut known].into_iter().for_each(|all| all.retain(|_, c| *c != Counters::default()));
                assert_eq!(known, names, "by {} in {seconds:?} s, LLMCACHE_SEED={seed}", dimension.name());
                assert_eq!(ledger.counted_by(dimension, window.as_ref()).1, sum);
            }
        }
    });
}

/// What STATS tells of a cache by name: the names, `other` among them, their sum, and whether they are those who save most.
fn check_told(cache: &Cache, dimension: Dimension, seconds: Option<u64>, now: u64, place: &str) -> Vec<Vec<u8>> {
    let window = seconds.map(|seconds| Window::last(seconds, UnixMs(now)));
    let scope = Scope { now: UnixMs(now), window, gb_month: MicroUsd::ZERO };
    let place = format!("by {} in {seconds:?} s, {place}", dimension.name());
    let mut breakdown = Breakdown::new(dimension);
    breakdown.add(cache, 0, false, &scope);
    let told = breakdown.finish();
    let (mut sum, mut names) = (Counters::default(), Vec::new());
    told.iter().for_each(|(_, stats)| sum.merge(&stats.counters));
    assert_eq!(sum, cache.ledger().counted_by(dimension, window.as_ref()).1, "{place}");
    assert!(told.len() <= TOLD + 1, "{} names, {place}", told.len());
    let known = known(&cache.ledger(), dimension, window.as_ref());
    let worth = |counters: &Counters| (counters.micros_saved, counters.tokens_saved(), counters.lookups);
    let mut least = (u64::MAX, u64::MAX, u64::MAX);
    for (i, (name, stats)) in told.iter().enumerate() {
        if **name == *OTHER {
            assert_eq!(i + 1, told.len(), "the rest comes last, {place}");
            continue;
        }
        assert_eq!(stats.counters, known[&name.to_vec()], "{place}");
        assert!(worth(&stats.counters) <= least, "who saves more comes first, {place}");
        least = worth(&stats.counters);
        names.push(name.to_vec());
    }
    for (name, counters) in &known {
        let is_nothing = *counters == Counters::default();
        let may_miss = names.len() == TOLD && worth(counters) <= least || is_nothing || **name == *OTHER;
        assert!(names.contains(name) || may_miss, "{name:?} saves {:?}, {place}", worth(counters));
    }
    names
}

/// No name is said to have done more in a window than was done in it; what names are known to have done.
fn check_sums(ledger: &Ledger, seconds: Option<u64>, now: u64) -> u64 {
    let window = seconds.map(|seconds| Window::last(seconds, UnixMs(now)));
    let mut lookups = 0;
    for dimension in Dimension::ALL {
        let (mut known, (names, sum)) = (Counters::default(), ledger.counted_by(dimension, window.as_ref()));
        names.for_each(|(_, counted)| known.merge(&counted));
        let is_part = known.fields().into_iter().zip(sum.fields()).all(|(known, sum)| known <= sum);
        assert!(is_part, "by {} in {seconds:?} s at {now}: {known:?} of {sum:?}", dimension.name());
        lookups += known.lookups;
    }
    lookups
}

/// A number below `n`, small ones far more often.
fn zipf(rng: &mut Rng, n: u64) -> u64 {
    let bits = 1 + rng.below(u64::from(n.ilog2()) + 1);
    rng.below(1 << bits) % n
}

/// More names than there is room for, for some hours, with one among them that saves much.
fn run(seed: u64, mut rng: Rng, limit: u64, steps: u64) {
    let mut cache = Cache::default();
    cache.ledger_mut().set_limit(limit);
    let budget = if limit == 0 { MOST_MEMORY } else { MOST_MEMORY.min(limit as usize / 16) };
    let (mut naive, mut now, uniform) = (Naive::default(), START, seed.is_multiple_of(2));
    for step in 0..steps {
        let place = format!("LLMCACHE_SEED={seed}, limit {limit}, step {step}");
        let is_gold = rng.chance(1);
        let mut name = |n| {
            let i = if uniform { rng.below(n) } else { zipf(&mut rng, n) };
            if is_gold { "gold".to_owned() } else { format!("name {i}") }.into_bytes()
        };
        let single = [name(300), name(10_000), name(8), name(50)];
        let mut tags = vec![name(10_000), name(100), b"other".to_vec()];
        tags.truncate(rng.below(4) as usize + usize::from(is_gold));
        tags.dedup();
        let counted = if is_gold { micros(1000 + rng.below(1000)) } else { some(&mut rng) };
        now = if rng.chance(1) { now - rng.below(200_000) } else { now + rng.below(15_000) };
        // What is set back further loses its time.
        now = now.max(naive.last.saturating_sub(SET_BACK) * 1000);
        let names = Names { single, tags };
        names.count(cache.ledger_mut(), now, &counted);
        naive.count(now, names, counted);
        assert!(cache.ledger().memory() <= budget, "{} bytes, {place}", cache.ledger().memory());
        assert_eq!(cache.statistics_memory(), if limit == 0 { cache.ledger().memory() } else { budget });
        if step % 1000 < 2 || step + 1 == steps {
            cache.ledger().validate().unwrap_or_else(|why| panic!("{why}, {place}"));
            let bytes = written(&cache.ledger());
            let mut again = read(&bytes).unwrap_or_else(|why| panic!("{why}, {place}"));
            again.set_limit(limit);
            assert!(written(&again) == bytes, "it comes back as it was, {place}");
        }
        if step % 1500 != 1499 && step + 1 != steps {
            continue;
        }
        for dimension in Dimension::ALL {
            for seconds in WINDOWS {
                let told = check_told(&cache, dimension, seconds, now, &place);
                // Far from the limit no history is lost, and who saves much has an account at any time.
                if limit == 0 || limit >= 16 << 20 || seconds.is_none() {
                    let sum = naive.by(dimension, naive.from(seconds, now)).1;
                    let window = seconds.map(|seconds| Window::last(seconds, UnixMs(now)));
                    let counted = cache.ledger().counted_by(dimension, window.as_ref()).1;
                    assert_eq!(counted, sum, "by {} in {seconds:?} s, {place}", dimension.name());
                }
                if seconds.is_none() && (limit == 0 || limit >= 16 << 20) {
                    assert_eq!(told.first().map(|name| &**name), Some(&b"gold"[..]), "{}, {place}", dimension.name());
                }
            }
            if limit == 0 || limit >= 16 << 20 {
                let gold = naive.by(dimension, 0).0[&b"gold"[..]];
                assert_eq!(known(&cache.ledger(), dimension, None)[&b"gold"[..]], gold, "to the last cent, {place}");
            }
        }
    }
}

#[test]
fn of_ten_thousand_names_those_that_save_most_are_told() {
    with_seeds(10..=11, |seed, rng| run(seed, rng, 0, 8000));
}

#[test]
fn a_limit_is_kept_at_every_step() {
    with_seeds(20..=21, |seed, mut rng| {
        for limit in [20_000, 33_000, 100_000, 400_000, 1 << 20, 4 << 20, 16 << 20, 40 << 20] {
            run(seed, Rng(rng.next()), limit, 3000);
        }
    });
}

/// A ledger with 60 names of each dimension, the i-th saving more than the one before, over some hours.
fn aged() -> Ledger {
    let mut ledger = Ledger::default();
    for step in 0..20_000_u64 {
        let i = step % 60;
        let name = || format!("name {i:02}").into_bytes();
        let names = Names { single: [name(), name(), name(), name()], tags: vec![name()] };
        names.count(&mut ledger, START + step * 1500, &micros(i + 1));
    }
    ledger.note(Work::Set, || Duration::from_micros(5));
    ledger.looked_up(UnixMs(START));
    ledger.validate().unwrap();
    ledger
}

/// The history of names goes first, where it takes the half; then whoever saves least loses its account; then all history
/// goes, and last the times. The sums stay.
#[test]
fn what_matters_least_goes_first() {
    let mut ledger = aged();
    let end = UnixMs(START + 20_000 * 1500);
    let (sums, again) = (*ledger.counters(), ledger.again.as_ref().map(|again| *again.counters()));
    let windows = |ledger: &Ledger| WINDOWS.map(|s| ledger.counted(s.map(|s| Window::last(s, end)).as_ref()));
    let of_names = |ledger: &Ledger| ledger.groups.iter().map(Groups::history).sum::<usize>();
    let mut limit = 16 * ledger.memory() as u64;
    let mut stages = [0; 4];
    while limit > 0 {
        let (names, before) = (Dimension::ALL.map(|dimension| known(&ledger, dimension, None)), windows(&ledger));
        let (had_times, history_of_names) = (ledger.latencies.knows(Work::Set), of_names(&ledger));
        let history = ledger.history();
        limit = limit * 9 / 10;
        ledger.set_limit(limit);
        let budget = limit as usize / 16;
        assert!(ledger.memory() <= budget, "{} of {budget}", ledger.memory());
        assert_eq!((*ledger.counters(), ledger.again.as_ref().map(|again| *again.counters())), (sums, again));
        ledger.validate().unwrap();
        // What of history is forgotten, is forgotten of names as well.
        WINDOWS.into_iter().for_each(|seconds| _ = check_sums(&ledger, seconds, end.0));
        let mut left = 0;
        for (dimension, before) in Dimension::ALL.into_iter().zip(&names) {
            let now = known(&ledger, dimension, None);
            let gone: Vec<_> = before.keys().filter(|name| !now.contains_key(*name)).collect();
            let least = |gone: &&Vec<u8>| now.keys().all(|kept| kept > *gone);
            assert!(gone.iter().all(least), "{gone:?} went before {:?}", now.keys());
            assert!(now.iter().all(|(name, counters)| before[name] == *counters));
            left += now.len();
        }
        let (lost_history, lost_times) = (windows(&ledger) != before, had_times && !ledger.latencies.knows(Work::Set));
        assert!(!lost_history || left == 0 || history > budget / 2, "names go before all history");
        assert!(!lost_times || left == 0 && ledger.all.memory() == 0, "times go last");
        let lost_names = left < names.iter().map(HashMap::len).sum();
        assert!(!lost_names || history_of_names <= budget / 2 + budget / 8 || of_names(&ledger) < history_of_names);
        let stage = [lost_times, lost_history, lost_names, of_names(&ledger) < history_of_names];
        if let Some(stage) = stage.into_iter().position(|lost| lost) {
            stages[stage] += 1;
        }
        if lost_history {
            assert!(ledger.complete_from() > UnixMs(START) && ledger.complete_from() <= end.plus(2000));
        }
    }
    assert!(stages[0] == 1 && stages[1] > 1 && stages[2] > 5 && stages[3] > 0, "{stages:?}");
}

/// Who saves a part of the whole that is larger than its share is known, however many others come in between.
#[test]
fn who_saves_a_large_part_is_known_among_newcomers() {
    with_seeds(30..=33, |seed, mut rng| {
        for (incumbents, part) in [(1_000_000, 30), (1_000_000, 10), (50_000, 3), (0, 2)] {
            let (mut ledger, mut now, mut saved) = (Ledger::default(), START, 0);
            let mut count = |ledger: &mut Ledger, scope: String, micros_saved: u64| {
                now += 5;
                let single = [Vec::new(), scope.into_bytes(), Vec::new(), Vec::new()];
                Names { single, tags: Vec::new() }.count(ledger, now, &micros(micros_saved));
            };
            (0..256).for_each(|i| count(&mut ledger, format!("early {i}"), incumbents));
            for _ in 0..60_000 {
                let is_big = rng.below(100) < part;
                saved += if is_big { 10_000 } else { 0 };
                let scope = if is_big { "big".to_owned() } else { format!("late {}", rng.below(20_000)) };
                count(&mut ledger, scope, 10_000);
            }
            let known = known(&ledger, Dimension::Scope, None);
            let told = known.get(&b"big"[..]).map_or(0, |big| big.micros_saved);
            let whole = ledger.counters().micros_saved;
            let is_large = saved > whole / 256 * 2;
            println!("LLMCACHE_SEED={seed} {incumbents} {part} %: {told} of {saved}, {whole} in all");
            assert!(!is_large || told > saved / 2, "{told} of {saved} are told, LLMCACHE_SEED={seed}");
            assert!(is_large || part < 10);
        }
    });
}

/// A clock that was a month ahead does not keep windows open for a month.
#[test]
fn a_clock_that_was_wrong_is_forgotten() {
    let mut ledger = Ledger::default();
    let names = || Names { single: [b"m".to_vec(), Vec::new(), Vec::new(), Vec::new()], tags: Vec::new() };
    names().count(&mut ledger, START + 30 * 86_400_000, &micros(1));
    for second in 0..7200 {
        names().count(&mut ledger, START + second * 1000, &micros(1));
    }
    ledger.validate().unwrap();
    let window = Window::last(60, UnixMs(START + 7_199_000));
    assert_eq!(ledger.counted(Some(&window)).lookups, 61);
    assert_eq!(known(&ledger, Dimension::Model, Some(&window))[&b"m"[..]].lookups, 61);
    assert_eq!(ledger.counters().lookups, 7201);
    // Looked at before anything is counted by the right clock.
    let mut ahead = Ledger::default();
    names().count(&mut ahead, START + 30 * 86_400_000, &micros(1));
    assert_eq!(ahead.counted(Some(&window)).lookups, 0);
}

#[test]
fn a_reset_forgets_everything() {
    let mut ledger = aged();
    ledger.set_limit(1 << 20);
    ledger.reset();
    assert_eq!((ledger.memory(), ledger.charge(), ledger.first_lookup()), (0, 1 << 16, None), "the budget stays");
    assert!(!ledger.latencies().knows(Work::Set));
    let nothing = Counters::default();
    for seconds in WINDOWS {
        let window = seconds.map(|seconds| Window::last(seconds, UnixMs(START)));
        assert_eq!(ledger.counted(window.as_ref()), nothing);
        for dimension in Dimension::ALL {
            let (names, sum) = ledger.counted_by(dimension, window.as_ref());
            assert_eq!((names.count(), sum), (0, nothing));
        }
    }
    assert_eq!(written(&ledger), written(&Ledger::default()));
}

/// A record with these sums in all, by tag, and for names of models.
fn record(all: u64, tags: u64, models: &[(&[u8], u64)]) -> Vec<u8> {
    let mut w = Writer::record(b'K', 4);
    w.u64(START).u64(0);
    let account = |w: &mut Writer, n: u64| {
        for _ in 0..counters::FIELDS {
            w.u64(n);
        }
        w.u64(START / 1000).bytes(&[0]).bytes(b"").bytes(b"").bytes(b"");
    };
    account(&mut w, all);
    account(&mut w, tags);
    w.u16(models.len() as u16);
    for (name, n) in models {
        account(w.bytes(name), *n);
    }
    w.u16(0).u16(0).u16(0).u16(0);
    w.finish()
}

#[test]
fn names_that_cannot_be_are_refused() {
    assert!(read(&record(10, 10, &[(b"a", 6), (b"b", 4)])).is_ok());
    assert!(read(&record(10, 0, &[(b"", 10)])).is_ok());
    let many: Vec<_> = (0..257).map(|i| format!("{i}").into_bytes()).collect();
    let many: Vec<_> = many.iter().map(|name| (&**name, 1)).collect();
    assert!(read(&record(1000, 0, &many[..256])).is_ok());
    for (why, bad) in [
        ("more than the sum", record(10, 10, &[(b"a", 6), (b"b", 5)])),
        ("more than the sum, which is nothing", record(0, 10, &[(b"a", 1)])),
        ("the same name twice", record(10, 10, &[(b"a", 1), (b"a", 1)])),
        ("too many names", record(1000, 0, &many)),
    ] {
        assert_eq!(read(&bad).err(), Some(WireError::Value), "{why}");
    }
}

/// Sums that have come to their end are no reason to refuse a cache.
#[test]
fn the_largest_sums_come_back() {
    let most = u64::MAX / 8;
    for (all, names) in [(u64::MAX, [u64::MAX, u64::MAX]), (most + 5, [most, 6]), (most, [most, 0])] {
        let mut ledger = read(&record(all, 5, &[(b"a", names[0]), (b"b", names[1])])).unwrap();
        let names = Names { single: [b"a".to_vec(), Vec::new(), Vec::new(), Vec::new()], tags: Vec::new() };
        for second in 0..5 {
            names.count(&mut ledger, START + second * 1000, &micros(u64::MAX));
            let again = read(&written(&ledger)).unwrap();
            assert!(again.counters().fields().iter().all(|sum| *sum <= most));
            for seconds in WINDOWS {
                let window = seconds.map(|seconds| Window::last(seconds, UnixMs(START)));
                again.counted(window.as_ref());
            }
        }
    }
    // As it happens: answers that are said to cost everything, for two scopes.
    let mut ledger = Ledger::default();
    for scope in [b"a", b"b"] {
        let names = Names { single: [Vec::new(), scope.to_vec(), Vec::new(), Vec::new()], tags: Vec::new() };
        names.count(&mut ledger, START, &micros(u64::MAX / 10));
    }
    ledger.validate().unwrap();
    assert!(read(&written(&ledger)).is_ok());
}

#[test]
fn damaged_records_are_refused_or_valid() {
    with_seeds(40..=42, |seed, mut rng| {
        let (mut ledger, mut now) = (Ledger::default(), START);
        for _ in 0..120 {
            let mut name = || format!("{}", rng.below(4)).into_bytes();
            let names = Names { single: [name(), name(), name(), name()], tags: vec![name()] };
            now += rng.below(400_000);
            names.count(&mut ledger, now, &some(&mut rng));
        }
        let whole = written(&ledger);
        for _ in 0..200 {
            let end = rng.below(whole.len() as u64) as usize;
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
        let (mut taken, mut refused) = (0, 0);
        for round in 0..1200 {
            let mut bytes = whole.clone();
            for _ in 0..=rng.below(2) {
                let at = 2 + rng.below(bytes.len() as u64 - 2) as usize;
                match rng.below(5) {
                    0 => bytes[at] = rng.next() as u8,
                    1 => bytes[at] ^= 1 << rng.below(8),
                    2 => {
                        let odd = rng.pick(&[0, 1, u64::MAX, u64::MAX / 8, 1 << 32, START]).to_le_bytes();
                        let end = (at + 8).min(bytes.len());
                        bytes[at..end].copy_from_slice(&odd[..end - at]);
                    }
                    3 => drop(bytes.drain(at..(at + 1 + rng.below(8) as usize).min(bytes.len()))),
                    _ => {
                        let copied = bytes[at..(at + 1 + rng.below(30) as usize).min(bytes.len())].to_vec();
                        bytes.splice(at..at, copied);
                    }
                }
            }
            let Ok(mut ledger) = read(&bytes) else {
                refused += 1;
                continue;
            };
            taken += 1;
            let place = format!("LLMCACHE_SEED={seed}, round {round}");
            let mut check = |ledger: &mut Ledger, at: u64| {
                let names = Names { single: [b"0".to_vec(), b"new".to_vec(), vec![], vec![]], tags: vec![] };
                names.count(ledger, at, &some(&mut rng));
                ledger.validate().unwrap_or_else(|why| panic!("{why}, {place}"));
                for seconds in WINDOWS {
                    let window = seconds.map(|seconds| Window::last(seconds, UnixMs(at)));
                    Dimension::ALL.into_iter().for_each(|by| drop(known(ledger, by, window.as_ref())));
                }
                let again = written(ledger);
                // Sums that are at their end come back as that; from then on nothing changes any more.
                let again = written(&read(&again).unwrap_or_else(|why| panic!("{why}, {place}")));
                assert!(read(&again).is_ok_and(|same| written(&same) == again), "{place}");
            };
            for at in [START, now, now + 1000, now + 90_000, now + 7_300_000, now + 90_000_000] {
                check(&mut ledger, at);
            }
            ledger.set_limit(100_000);
            check(&mut ledger, now + 100_000_000);
            ledger.reset();
            check(&mut ledger, now + 200_000_000);
        }
        println!("{taken} taken, {refused} refused");
        assert!(taken > 30 && refused > 100, "{taken} {refused}");
    });
}

#[test]
fn who_saves_much_comes_in_late_and_stays() {
    let (mut ledger, mut now) = (Ledger::default(), START);
    let mut count = |ledger: &mut Ledger, scope: &str, counted: &Counters| {
        now += 10;
        let single = [Vec::new(), scope.into(), Vec::new(), Vec::new()];
        Names { single, tags: Vec::new() }.count(ledger, now, counted);
    };
    let names = |ledger: &Ledger| known(ledger, Dimension::Scope, None);
    let missed = Counters { lookups: 1, miss_absent: 1, ..Counters::default() };
    for i in 0..300 {
        count(&mut ledger, &format!("early {i}"), &micros(10));
    }
    let before = names(&ledger);
    assert_eq!(before.len(), MOST_NAMES);
    for i in 0..1000 {
        count(&mut ledger, &format!("scan {i}"), &missed);
        count(&mut ledger, "gold", &missed);
    }
    assert_eq!(names(&ledger), before, "who saves nothing takes nobody's place");
    for i in 0..10_000 {
        if i % 1000 == 0 {
            count(&mut ledger, "gold", &micros(1000));
        }
        count(&mut ledger, &format!("late {i}"), &micros(1));
    }
    let mut gold = Counters::default();
    (0..10).for_each(|_| gold.merge(&micros(1000)));
    assert_eq!((names(&ledger)[&b"gold"[..]], names(&ledger).len()), (gold, MOST_NAMES));
    ledger.validate().unwrap();
}

/// A name is never said to have done more in a window than was done in it, where history was forgotten.
#[test]
fn names_forget_with_the_whole() {
    let mut wide = Counters::default();
    wide.fields_mut().into_iter().for_each(|field| *field = 1 << 30);
    for budget in [4_000, 15_000, 40_000] {
        let (mut ledger, mut told) = (Ledger::default(), 0);
        ledger.set_limit(16 * budget);
        for step in 0..8000_u64 {
            // Some come once and save so much that they stay; others are counted for a while, and then no more.
            let (name, counted) = match step {
                0 | 1 | 100 | 5000 => ("rare".to_owned(), micros(1 << 40)),
                _ if step % 7 == 0 => (format!("{}", step / 400), wide),
                _ => (format!("{}", step / 400), micros(1)),
            };
            let now = START + step * 1000;
            Names { single: [name.into(), vec![], vec![], vec![]], tags: vec![] }.count(&mut ledger, now, &counted);
            if step % 50 == 0 {
                told += WINDOWS.map(|seconds| check_sums(&ledger, seconds, now)).iter().sum::<u64>();
            }
        }
        ledger.validate().unwrap();
        assert!(ledger.complete_from() > UnixMs(START) && told > 100_000, "{told}");
    }
}

/// Clocks that are set back, a little or by days, with names that come seldom: the names and the rest add up.
#[test]
fn names_turn_back_with_the_whole() {
    with_seeds(70..=73, |seed, mut rng| {
        for limit in [0, 1 << 20] {
            let (mut ledger, mut now) = (Ledger::default(), START);
            ledger.set_limit(limit);
            for step in 0..3000 {
                now += rng.below(9000);
                let back = *rng.pick(&[400_000, 5_000_000, 200_000_000]);
                now -= if rng.chance(1) { rng.below(back) } else { 0 };
                let mut name = || format!("{}", (1 + rng.below(4000)).ilog2()).into_bytes();
                let (single, tags) = ([name(), name(), name(), name()], vec![name()]);
                Names { single, tags }.count(&mut ledger, now, &some(&mut rng));
                if step % 20 == 0 || rng.chance(1) {
                    WINDOWS.into_iter().for_each(|seconds| _ = check_sums(&ledger, seconds, now));
                }
                let window = Window::last(60, UnixMs(now));
                assert!(
                    ledger.counted(Some(&window)) != Counters::default(),
                    "what has just come, LLMCACHE_SEED={seed}"
                );
            }
            ledger.validate().unwrap();
            assert!(read(&written(&ledger)).is_ok());
        }
    });
}

/// More than fits is counted of two hundred busy names: their history gets shorter, their sums stay.
#[test]
fn busy_names_keep_their_sums() {
    with_seeds([60], |_, mut rng| {
        let (mut ledger, mut now, mut sums) = (Ledger::default(), START, vec![Counters::default(); 200]);
        for _ in 0..60_000 {
            let i = rng.below(200) as usize;
            let name = format!("name {i}").into_bytes();
            let names = Names { single: [vec![], name.clone(), vec![], vec![]], tags: vec![name] };
            let counted = micros(1 + i as u64);
            now += rng.below(40_000);
            names.count(&mut ledger, now, &counted);
            sums[i].merge(&counted);
        }
        ledger.validate().unwrap();
        for dimension in [Dimension::Scope, Dimension::Tag] {
            let known = known(&ledger, dimension, None);
            assert!((0..200).all(|i| known[format!("name {i}").as_bytes()] == sums[i]), "{}", dimension.name());
        }
        let all = 5 * ledger.counted(Some(&Window::last(LONGEST_WINDOW, UnixMs(now)))).lookups;
        let told = check_sums(&ledger, Some(LONGEST_WINDOW), now);
        assert!(all == 300_000 && told < all, "{told} of {all}");
    });
}

/// The same where the half of the time falls into a minute that the whole keeps in one piece, and a name by the second.
#[test]
fn names_forget_whole_stretches_with_the_whole() {
    for seconds in (200..9000).step_by(111) {
        let mut ledger = Ledger::default();
        let named = |name: &str| Names { single: [name.into(), vec![], vec![], vec![]], tags: vec![] };
        (0..130).for_each(|second| named("a").count(&mut ledger, START + second * 1000, &micros(1)));
        (0..3).for_each(|second| named("b").count(&mut ledger, START + (seconds + second) * 1000, &micros(1)));
        let now = START + (seconds + 2) * 1000;
        while ledger.shorten() {
            (0..9000).step_by(400).for_each(|window| _ = check_sums(&ledger, Some(window), now));
        }
        assert_eq!(known(&ledger, Dimension::Model, None)[&b"a"[..]].lookups, 130);
    }
}
