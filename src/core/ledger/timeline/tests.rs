#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::core::ledger::tests::{with_seeds, Rng};

/// A moment in 2025, in seconds.
const START: u64 = 1_750_000_000;

const DAY: u64 = 86_400;

/// Some counters, small or large.
fn some(rng: &mut Rng) -> Counters {
    let mut counters = Counters::default();
    for _ in 0..=rng.below(4) {
        let n = *rng.pick(&[1, 1, 1, 3, 127, 128, 70_000, 1 << 40]);
        *counters.fields_mut()[rng.below(FIELDS as u64) as usize] += n;
    }
    counters
}

/// How many milliseconds pass until the next thing is counted.
fn step(rng: &mut Rng) -> u64 {
    match rng.below(100) {
        0..=29 => 0,
        30..=59 => rng.below(1500),
        60..=79 => rng.below(20_000),
        80..=93 => rng.below(400_000),
        94..=98 => rng.below(9_000_000),
        _ => rng.below(5 * DAY * 1000),
    }
}

/// The length of a window: round ones, their neighbours, and any.
fn length(rng: &mut Rng) -> u64 {
    let round = *rng.pick(&[1, 2, 59, 60, 61, 119, 120, 121, 600, 3600, 7199, 7200, 7201, DAY, LONGEST_WINDOW]);
    if rng.chance(70) {
        round
    } else {
        let most = *rng.pick(&[200, 10_000, LONGEST_WINDOW]);
        1 + rng.below(most)
    }
}

/// Everything that was counted, and in which second: slow, and obviously right.
#[derive(Clone, Default)]
struct Naive {
    counted: Vec<(u64, Counters)>,
    last: u64,
}

impl Naive {
    fn count(&mut self, second: u64, counted: Counters) {
        self.last = self.last.max(second);
        self.counted.push((self.last, counted));
    }

    fn from(&self, second: u64) -> Counters {
        let mut sum = Counters::default();
        self.counted.iter().rev().take_while(|(at, _)| *at >= second).for_each(|(_, counted)| sum.merge(counted));
        sum
    }
}

/// An account beside its naive twin.
#[derive(Default)]
struct Both {
    account: Account,
    naive: Naive,
}

impl Both {
    fn count(&mut self, ms: u64, counted: Counters) {
        self.account.count(ms / 1000, |sums| sums.merge(&counted));
        self.naive.count(ms / 1000, counted);
    }

    /// Compares a window that ends at some second, where nothing before another one is known.
    fn compare(&self, seconds: u64, end: u64, known_from: u64, place: &dyn Fn() -> String) {
        let window = Window::last(seconds, UnixMs(end * 1000 + 999));
        let begin = window.begin().0 / 1000;
        let kept_by = match seconds {
            ..=120 => 1,
            121..=7200 => 60,
            _ => 3600,
        };
        assert!(begin <= end - seconds && end - seconds - begin < kept_by, "{seconds} s begin at {begin}, {}", place());
        assert_eq!(self.account.within(&window), self.naive.from(begin.max(known_from)), "{seconds} s, {}", place());
    }

    fn check(&self, end: u64, rng: &mut Rng, place: &dyn Fn() -> String) {
        for _ in 0..4 {
            self.compare(length(rng), end, 0, place);
        }
        assert_eq!(*self.account.counters(), self.naive.from(0), "{}", place());
        check_memory(&self.account, place);
    }
}

/// Its memory is what its three allocations are, and no more is kept than there are whole stretches.
fn check_memory(account: &Account, place: &dyn Fn() -> String) {
    let class = |size: usize| match size {
        0 => 0,
        1..=8 => 8,
        9..=128 => size.div_ceil(16) * 16,
        _ => size.div_ceil(size.next_power_of_two() / 8) * (size.next_power_of_two() / 8),
    };
    let allocated: usize = account.strips.iter().map(|strip| class(strip.bytes.capacity())).sum();
    assert_eq!(account.memory(), allocated, "{}", place());
    // Two whole minutes, hours or 31 days of them, and the part of one that is not over.
    for (strip, most) in account.strips.iter().zip([179, 179, LONGEST_WINDOW / 3600 + 1]) {
        assert!(strip.iter().count() as u64 <= most, "{} stretches, {}", strip.iter().count(), place());
    }
}

fn written(account: &Account) -> Vec<u8> {
    let mut w = Writer::default();
    account.write(&mut w);
    w.finish()
}

/// Reads a record that begins with two bytes of kind and version.
fn read(bytes: &[u8]) -> Result<Account, WireError> {
    let bytes = [b"T\x01", bytes].concat();
    let (mut r, _) = Reader::record(&bytes, b'T', 1)?;
    let account = Account::read(&mut r)?;
    r.finish()?;
    Ok(account)
}

#[test]
fn a_window_is_the_sum_of_what_was_counted_in_it() {
    with_seeds(1..=12, |seed, mut rng| {
        let (mut both, mut now) = (Both::default(), START * 1000 + rng.below(DAY * 1000));
        for round in 0..1500 {
            let place = || format!("LLMCACHE_SEED={seed}, round {round}");
            now = if rng.chance(2) { now - rng.below(5_000_000) } else { now + step(&mut rng) };
            both.count(now, some(&mut rng));
            if rng.chance(1) {
                // It is put away and read again.
                let bytes = written(&both.account);
                both.account = read(&bytes).unwrap();
                assert_eq!(written(&both.account), bytes, "{}", place());
            }
            if rng.chance(30) {
                // Now, and after a while in which nothing is counted.
                let end = both.naive.last.max(now / 1000) + if rng.chance(50) { 0 } else { step(&mut rng) / 1000 };
                both.check(end, &mut rng, &place);
            }
        }
    });
}

/// At the edges of minutes and hours, second by second.
#[test]
fn windows_are_exact_at_every_edge() {
    let mut both = Both::default();
    let begin = START / 3600 * 3600 - 130;
    let one = Counters { lookups: 1, ..Counters::default() };
    for second in begin..begin + 4 * 3600 {
        both.count(second * 1000, one);
        let (of_minute, minute) = (second % 60, second / 60 % 60);
        if (2..59).contains(&of_minute) || (3..58).contains(&minute) && minute % 9 > 0 {
            continue;
        }
        for seconds in [1, 60, 119, 120, 121, 179, 180, 3599, 3600, 7140, 7199, 7200, 7201, 10_800] {
            let place = || format!("at {}", second - begin);
            both.compare(seconds, second, 0, &place);
            let counted = both.account.within(&Window::last(seconds, UnixMs(second * 1000))).lookups;
            let asked = (seconds + 1).min(second - begin + 1);
            assert!((asked..asked + 3600).contains(&counted), "{counted} of {seconds} s, {}", place());
        }
    }
}

#[test]
fn a_year_takes_no_more_than_a_month_and_what_is_older_is_forgotten() {
    with_seeds([50], |seed, mut rng| {
        let (mut account, mut now, mut most) = (Account::default(), START, [0; 12]);
        let one = Counters { lookups: 1, hits_exact: 1, micros_saved: 1_000_000, ..Counters::default() };
        let mut counted = 0;
        while now < START + 365 * DAY {
            let month = (now - START) as usize * 12 / (365 * DAY) as usize;
            account.count(now, |sums| sums.merge(&one));
            counted += 1;
            most[month] = account.memory().max(most[month]);
            if counted % 500 == 0 {
                check_memory(&account, &|| format!("LLMCACHE_SEED={seed}, after {counted}"));
                let [.., hours] = &account.strips;
                assert!(hours.first().is_none_or(|first| first >= now / 3600 - LONGEST_WINDOW / 3600));
            }
            let pause = *rng.pick(&[3, 300]);
            now += rng.below(pause);
        }
        println!("{counted} counts, at most {most:?} bytes");
        assert!(most.iter().all(|most| *most < 24 << 10) && most[11] < most[1] * 11 / 10, "{most:?}");
        assert_eq!(account.counters().lookups, counted, "sums are never forgotten");
        // A window that is longer than any may be shows what is there.
        let all = account.within(&Window::last(365 * DAY, UnixMs(now * 1000)));
        let month = account.within(&Window::last(LONGEST_WINDOW, UnixMs(now * 1000)));
        assert_eq!(all, month, "older than a month is nothing");
        assert!(month.lookups > 0 && month.lookups < counted / 8);
        // Whoever is counted once more after a long time has no history.
        account.count(now + 40 * DAY, |sums| sums.merge(&one));
        let later = UnixMs((now + 40 * DAY) * 1000);
        assert_eq!((account.memory(), account.within(&Window::last(LONGEST_WINDOW, later))), (0, one));
    });
}

#[test]
fn to_forget_is_to_lose_the_oldest_alone() {
    with_seeds(60..=75, |seed, mut rng| {
        let (mut both, mut now) = (Both::default(), START * 1000);
        for _ in 0..400 {
            now += step(&mut rng);
            both.count(now, some(&mut rng));
        }
        let (sums, end, mut known_from) = (*both.account.counters(), now / 1000, 0);
        let mut memory = both.account.memory();
        for round in 0.. {
            let place = || format!("LLMCACHE_SEED={seed}, {round} times");
            let before = known_from;
            let oldest = both.account.oldest();
            assert_eq!(oldest.is_some(), memory > 0, "{}", place());
            let Some(oldest) = oldest else { break };
            both.account.forget_before(oldest + 1 + rng.below(both.account.second - oldest));
            // What is left begins with the first stretch that is still there.
            let firsts = both.account.strips.iter().zip(SPANS).filter_map(|(strip, span)| Some(strip.first()? * span));
            known_from = firsts.min().unwrap_or(both.account.second);
            assert!(known_from > before, "{}", place());
            for seconds in [1, 60, 120, 121, 600, 3600, 7200, 7201, DAY, LONGEST_WINDOW] {
                both.compare(seconds, end, known_from, &place);
            }
            check_memory(&both.account, &place);
            assert!(both.account.memory() <= memory, "{}", place());
            memory = both.account.memory();
        }
        assert_eq!((memory, *both.account.counters()), (0, sums), "LLMCACHE_SEED={seed}");
        let now = Window::last(1, UnixMs(end * 1000));
        assert_eq!(both.account.within(&now), both.naive.from(both.naive.last), "the last second is none of history");
    });
}

#[test]
fn a_copy_is_the_same_and_takes_the_same() {
    with_seeds(80..=85, |seed, mut rng| {
        let (mut both, mut now) = (Both::default(), START * 1000);
        for _ in 0..300 {
            now += step(&mut rng);
            both.count(now, some(&mut rng));
        }
        let copy = both.account.clone();
        assert_eq!((copy.memory(), written(&copy)), (both.account.memory(), written(&both.account)), "{seed}");
    });
}

/// What damaged records say is refused, or it can be counted on, written and read again.
#[test]
fn damaged_records_are_refused_or_valid() {
    with_seeds(90..=93, |seed, mut rng| {
        let (mut both, mut now) = (Both::default(), START * 1000);
        for _ in 0..60 {
            now += step(&mut rng).min(4_000_000);
            both.count(now, some(&mut rng));
        }
        let whole = written(&both.account);
        assert!(read(&whole).is_ok());
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
        let (mut taken, mut refused) = (0, 0);
        for round in 0..1500 {
            let mut bytes = whole.clone();
            for _ in 0..=rng.below(2) {
                // The sums come first, and anything is taken for those.
                let at = (22 * 8 + rng.below(bytes.len() as u64 - 22 * 8)) as usize;
                match rng.below(3) {
                    0 => bytes[at] = rng.next() as u8,
                    1 => bytes[at] ^= 1 << rng.below(8),
                    _ => drop(bytes.drain(at..(at + 1 + rng.below(8) as usize).min(bytes.len()))),
                }
            }
            let Ok(mut account) = read(&bytes) else {
                refused += 1;
                continue;
            };
            taken += 1;
            let place = || format!("LLMCACHE_SEED={seed}, round {round}");
            let mut second = account.last_second();
            for _ in 0..20 {
                for seconds in [60, 7200, LONGEST_WINDOW] {
                    account.within(&Window::last(seconds, UnixMs(second.saturating_mul(1000))));
                }
                second += step(&mut rng) / 1000;
                account.count(second, |sums| sums.lookups += 1);
                let again = written(&account);
                match read(&again) {
                    Ok(same) => assert_eq!(written(&same), again, "{}", place()),
                    Err(why) => assert!(second > UnixMs::LATEST.0 / 1000, "{why}, {}", place()),
                }
            }
        }
        println!("{taken} taken, {refused} refused");
        assert!(taken > 100 && refused > 100, "{taken} {refused}");
    });
}

#[test]
fn stretches_that_overlap_or_go_back_are_refused() {
    // Of one lookup each.
    let strip = |numbers: &[u32]| -> Vec<u8> {
        numbers.iter().flat_map(|number| [&number.to_le_bytes()[..], &[2, 1, 1]].concat()).collect()
    };
    let record = |second: u64, seconds: &[u32], minutes: &[u32], hours: &[u32]| {
        let mut w = Writer::default();
        for _ in 0..FIELDS {
            w.u64(100);
        }
        w.u64(second).bytes(&[0]).bytes(&strip(seconds)).bytes(&strip(minutes)).bytes(&strip(hours));
        w.finish()
    };
    let good = read(&record(36_000, &[35_940, 35_999], &[540, 598], &[0, 8])).unwrap();
    assert_eq!(good.within(&Window::last(LONGEST_WINDOW, UnixMs(36_000_000))).lookups, 6);
    for (why, bad) in [
        ("the second that is not over", record(36_000, &[36_000], &[], &[])),
        ("the same second twice", record(36_000, &[35_999, 35_999], &[], &[])),
        ("seconds that go back", record(36_000, &[35_999, 35_998], &[], &[])),
        ("a minute with seconds of its own", record(36_000, &[35_940], &[599], &[])),
        ("a minute that is not over", record(36_000, &[], &[600], &[])),
        ("an hour with minutes of its own", record(36_000, &[], &[540], &[9])),
        ("an hour with seconds of its own", record(36_000, &[35_940], &[], &[9])),
        ("a time after the year 9999", record(UnixMs::LATEST.0 / 1000 + 1, &[], &[], &[])),
    ] {
        assert_eq!(read(&bad).err(), Some(WireError::Value), "{why}");
    }
}
