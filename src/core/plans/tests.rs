#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::core::cache::Terms;
use crate::core::codec::Codec;
use crate::core::eviction::Pressure;
use crate::core::identity::{Context, Identity, Shape};
use crate::core::policy::PolicyChange;
use crate::core::storing::{Answer, Condition, Lifetime};
use std::cell::RefCell;
use std::collections::BTreeMap;

const NOW: UnixMs = UnixMs(1_750_000_000_000);

fn identity(prompt: &str) -> Identity<'_> {
    let context = Context { shape: Shape::Plain, scope: b"", model: b"", system: b"", params: b"" };
    Identity { context, prompt: prompt.as_bytes() }
}

fn planned(prompt: &str) -> Planned {
    Planned { digest: identity(prompt).digest(), prompt: prompt.as_bytes().into(), options: Box::new([]) }
}

fn profile(every_ms: u64, limit: u32, prompts: &[&str]) -> Profile {
    let common: Box<[Box<[u8]>]> = [Box::from(*b"EX"), Box::from(*b"60")].into();
    Profile::new(every_ms, limit, common, prompts.iter().map(|prompt| planned(prompt)).collect())
}

fn store(cache: &mut Cache, prompt: &str, lifetime: Lifetime<'_>, now: UnixMs) {
    let identity = identity(prompt);
    let answer = Answer {
        digest: identity.digest(),
        identity,
        response: b"r",
        condition: Condition::Always,
        lifetime,
        stale_ms: Some(0),
        typ: None,
        tags: Vec::new(),
        tokens: None,
        usage: None,
        cost: None,
        latency_ms: 0,
        meta: None,
        temperature_above_one: false,
        comparable: true,
        vector: None,
    };
    cache.set(&answer, now, Pressure::None, &mut Codec::new()).unwrap();
}

/// Leases as simple as they can be: when each ends.
#[derive(Default)]
struct Desk(RefCell<BTreeMap<[u8; 32], UnixMs>>);

impl Desk {
    fn hand_out(&self, cache: &mut Cache, wish: Wish<'_>) -> Vec<String> {
        let now = wish.now;
        let is_out = |digest: &Digest| self.0.borrow().get(digest.as_bytes()).is_some_and(|until| *until > now);
        let take = |_: &[Box<[u8]>], item: &Planned| {
            let mut leases = self.0.borrow_mut();
            let free = leases.get(item.digest.as_bytes()).is_none_or(|until| *until <= now);
            if free {
                leases.insert(*item.digest.as_bytes(), now.plus(1000));
            }
            Ok::<_, ()>(free.then(|| String::from_utf8_lossy(&item.prompt).into_owned()))
        };
        let handed = cache.due(&wish, is_out, take).unwrap();
        handed.into_iter().map(|(_, name)| name).collect()
    }
}

fn wish(count: usize, within_ms: u64, now: UnixMs) -> Wish<'static> {
    Wish { profile: None, count, within_ms, now }
}

#[test]
fn the_missing_come_first_and_then_the_longest_due() {
    let mut cache = Cache::default();
    let names = ["fine", "never", "soon", "old", "missing", "dead", "older"];
    cache.plan(b"p", profile(3_600_000, 100, &names), NOW).unwrap();
    let before = |ms: u64| UnixMs(NOW.0 - ms);
    store(&mut cache, "fine", Lifetime::After(60_000), NOW);
    store(&mut cache, "never", Lifetime::Never, NOW);
    store(&mut cache, "soon", Lifetime::After(5000), NOW);
    store(&mut cache, "old", Lifetime::Never, before(3_600_001));
    store(&mut cache, "older", Lifetime::Never, before(3_700_000));
    store(&mut cache, "dead", Lifetime::After(1), before(10));
    let hand_out = |cache: &mut Cache, within_ms| Desk::default().hand_out(cache, wish(100, within_ms, NOW));
    assert_eq!(hand_out(&mut cache, 0), ["missing", "dead", "older", "old"]);
    assert_eq!(hand_out(&mut cache, 5000), ["missing", "dead", "older", "old", "soon"]);
    assert_eq!(hand_out(&mut cache, 4999).len(), 4);
    assert_eq!(hand_out(&mut cache, 60_000).len(), 6);
}

#[test]
fn no_more_than_the_limit_are_out_and_each_at_one_place() {
    let mut cache = Cache::default();
    cache.plan(b"a", profile(1000, 2, &["1", "2", "3"]), NOW).unwrap();
    cache.plan(b"b", profile(1000, 3, &["3", "4", "5", "6"]), NOW).unwrap();
    let desk = Desk::default();
    let mut first = desk.hand_out(&mut cache, wish(1, 0, NOW));
    first.extend(desk.hand_out(&mut cache, wish(1, 0, NOW)));
    assert_eq!(first, ["1", "3"], "the profiles take turns");
    // An item of two profiles that is out counts in both.
    assert_eq!(desk.hand_out(&mut cache, wish(10, 0, NOW)), ["4", "5"]);
    assert_eq!(desk.hand_out(&mut cache, wish(10, 0, NOW)), [""; 0]);
    let mut seen = Vec::new();
    let later = NOW.plus(1000);
    cache.standings(
        later,
        |_| false,
        |name, profile, standing| {
            seen.push((name.to_vec(), profile.items().len(), standing.due(), standing.missing, standing.out));
        },
    );
    assert_eq!(seen, [(b"a".to_vec(), 3, 3, 3, 0), (b"b".to_vec(), 4, 4, 4, 0)]);
    assert_eq!(desk.hand_out(&mut cache, wish(100, 0, later)).len(), 5, "leases that ran out come back");
    assert_eq!(desk.hand_out(&mut cache, Wish { profile: Some(b"none"), ..wish(9, 0, later) }), [""; 0]);
}

#[test]
fn a_large_profile_is_looked_at_in_parts() {
    let mut cache = Cache::default();
    let names: Vec<String> = (0..MAX_ITEMS).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    cache.plan(b"a", profile(1000, MAX_OUT, &names), NOW).unwrap();
    cache.plan(b"b", profile(1000, 4, &names), NOW).unwrap();
    let desk = Desk::default();
    let (mut all, mut rounds) = (std::collections::BTreeSet::new(), 0);
    while all.len() < MAX_ITEMS && rounds < 10 {
        rounds += 1;
        for name in desk.hand_out(&mut cache, wish(MAX_ITEMS, 0, NOW)) {
            assert!(all.insert(name.clone()), "{name} was handed out twice");
        }
        cache.standings(NOW, |_| true, |_, _, standing| assert_eq!(standing.looked_at, LOOKED_AT / 2));
    }
    // STATUS moves on as well, so half of it is not seen by DUE.
    assert!(all.len() >= MAX_ITEMS / 2, "{}", all.len());
}

#[test]
fn plans_are_bounded_and_counted() {
    let mut cache = Cache::default();
    let empty = cache.memory();
    for n in 0..MAX_PROFILES {
        cache.plan(n.to_string().as_bytes(), profile(1, 1, &["a", "b"]), NOW).unwrap();
    }
    assert_eq!(cache.plan(b"more", profile(1, 1, &[]), NOW), Err(AlterError::Profiles));
    let full = cache.memory();
    cache.validate().unwrap();
    cache.plan(b"0", profile(1, 1, &["a", "b"]), NOW).unwrap();
    assert_eq!(cache.memory(), full, "one takes the place of another");
    let change = PolicyChange { max_memory: Some(full as u64 * 16 / 15 + 100), ..PolicyChange::default() };
    cache.alter(&change, NOW).unwrap();
    let large = "x".repeat(10_000);
    assert!(matches!(cache.plan(b"0", profile(1, 1, &[&large]), NOW), Err(AlterError::NoRoom { .. })));
    assert_eq!(cache.plans().list().next().unwrap().1.items().len(), 2, "the old one stays");
    cache.alter(&PolicyChange { max_memory: Some(0), ..PolicyChange::default() }, NOW).unwrap();
    assert_eq!(cache.memory(), full);
    for n in 0..MAX_PROFILES {
        assert!(cache.unplan(n.to_string().as_bytes()).0);
    }
    assert!(!cache.unplan(b"0").0 && cache.plans().is_empty());
    assert_eq!(cache.memory(), empty);
    cache.validate().unwrap();
}

#[test]
fn a_plan_reads_as_it_was_written() {
    let mut cache = Cache::default();
    let mut made = profile(5000, 7, &["a", "b"]);
    made.items = [planned("a"), Planned { options: [Box::from(*b"NX")].into(), ..planned("b") }].into();
    cache.plan(b"p", made, NOW).unwrap();
    let record = cache.plan_record(b"p").unwrap();
    let mut other = Cache::default();
    assert_eq!(other.read_plan(&record).unwrap().planned.as_deref(), Some(&b"p"[..]));
    let (name, read) = other.plans().list().next().unwrap();
    assert_eq!((name, read.every_ms(), read.limit(), read.common().len()), (&b"p"[..], 5000, 7, 2));
    assert_eq!(read.items()[1].options.len(), 1);
    assert_eq!(other.plan_record(b"p").unwrap(), record);
    for end in 0..record.len() {
        assert!(Cache::default().read_plan(&record[..end]).is_err(), "{end}");
    }
}

#[test]
fn what_is_asked_for_and_soon_expires_is_handed_out_behind_the_plan() {
    let mut cache = Cache::default();
    let mut desk = Desk::default();
    cache.plan(b"p", profile(60_000, 3, &["planned"]).with_hot(2), NOW).unwrap();
    for (prompt, hits, seconds) in
        [("cold", 0, 10), ("warm", 1, 10), ("hot", 5, 10), ("hotter", 9, 10), ("late", 9, 90)]
    {
        store(&mut cache, prompt, Lifetime::After(seconds * 1000), NOW);
        for _ in 0..hits {
            cache.get(&identity(prompt), &Terms::default(), NOW, &mut Codec::new()).unwrap();
        }
    }
    let wish = |within_ms, now| Wish { profile: None, count: 10, within_ms, now };
    assert_eq!(desk.hand_out(&mut cache, wish(5000, NOW)), ["planned"]);
    let soon = NOW.plus(6000);
    assert_eq!(desk.hand_out(&mut cache, wish(5000, soon)), ["planned", "hotter", "hot"], "as many as the plan says");
    assert!(desk.hand_out(&mut cache, wish(5000, soon)).is_empty(), "they are out, and so is all of LIMIT");
    assert_eq!(cache.plans().list().next().map(|(_, profile)| profile.hot()), Some(2));
    let record = cache.plan_record(b"p").unwrap();
    let mut other = Cache::default();
    other.read_plan(&record).unwrap();
    assert_eq!(other.plan_record(b"p").unwrap(), record);
    desk.0.get_mut().clear();
    let never =
        cache.plan(b"p", profile(60_000, 3, &["planned"]), NOW).map(|_| desk.hand_out(&mut cache, wish(5000, soon)));
    assert_eq!(never.unwrap(), ["planned"], "without HOT there is nothing but the plan");
}
