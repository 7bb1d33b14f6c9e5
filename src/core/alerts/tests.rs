#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::core::cache::{Miss, Terms};
use crate::core::ledger::Labels;
use crate::core::policy::PolicyChange;

const NOW: UnixMs = UnixMs(1_750_000_000_000);
const PRICE: MicroUsd = MicroUsd::ZERO;

fn alert(name: &str, figure: &str, side: Side, bound: f64) -> Alert {
    Alert::new(name.into(), Figure::named(figure.as_bytes()).unwrap(), side, bound, None)
}

/// Where an alert fires and where it does not, value by value.
fn states(mut alert: Alert, values: &[f64]) -> String {
    let letter = |firing| if firing { 'F' } else { '-' };
    values
        .iter()
        .map(|value| {
            alert.firing = alert.fires_at(Some(*value));
            letter(alert.firing)
        })
        .collect()
}

fn looked_up(cache: &mut Cache, count: u64) {
    (0..count).for_each(|_| cache.missed(Miss::Absent, &Labels::default(), &Terms::default(), NOW));
}

#[test]
fn what_fires_stops_a_twentieth_of_the_bound_further_back() {
    for (figure, side, bound, values, expected) in [
        ("lookups", Side::Above, 100.0, &[100.0, 101.0, 100.0, 96.0, 95.0, 100.0, 100.1][..], "-FFF--F"),
        ("lookups", Side::Below, 100.0, &[100.0, 99.0, 101.0, 104.9, 105.0, 100.0, 99.9], "-FFF--F"),
        ("lookups", Side::Above, 0.0, &[0.0, 1.0, 0.0], "-F-"),
        ("lookups", Side::Below, -20.0, &[-20.0, -20.1, -19.1, -19.0], "-FF-"),
        ("lookups", Side::Above, -20.0, &[-20.0, -19.9, -20.9, -21.0], "-FF-"),
        // A share: half of what is left to 1 where that is less.
        ("hit_rate", Side::Below, 0.5, &[0.5, 0.49, 0.52, 0.525], "-FF-"),
        ("hit_rate", Side::Below, 0.98, &[0.97, 0.98, 0.9899, 0.991, 0.98], "FFF--"),
        ("hit_rate", Side::Below, 1.0, &[1.0, 0.9999, 1.0], "-F-"),
        ("hit_rate", Side::Below, 1.5, &[1.0, 1.0], "FF"),
        ("hit_rate", Side::Above, 0.02, &[0.02, 0.021, 0.0195, 0.019, 0.0], "-FF--"),
        ("estimated_share", Side::Above, 0.0, &[0.0, 0.1, 0.0], "-F-"),
        ("compression_saved", Side::Above, 0.98, &[0.99, 0.95, 0.931, 0.93], "FFF-"),
    ] {
        assert_eq!(states(alert("a", figure, side, bound), values), expected, "{figure} {side:?} {bound}");
    }
}

#[test]
fn a_figure_without_a_value_changes_nothing() {
    for mut alert in [alert("a", "roi", Side::Above, 1.0), alert("b", "roi", Side::Below, 1.0)] {
        for firing in [false, true] {
            alert.firing = firing;
            for nothing in [None, Some(f64::NAN), Some(f64::INFINITY)] {
                assert_eq!(alert.fires_at(nothing), firing, "{nothing:?}");
            }
        }
    }
}

/// Dice that fall the same way for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn part(&mut self) -> f64 {
        self.below(10_001) as f64 / 10_000.0
    }
}

/// The same in the plainest words: two numbers, one that starts it and one that stops it.
struct Model {
    start: f64,
    stop: f64,
    sign: f64,
    firing: bool,
}

impl Model {
    fn of(alert: &Alert) -> Self {
        let mut margin = if alert.bound < 0.0 { -alert.bound } else { alert.bound } * 0.05;
        let sign = if alert.side == Side::Above { 1.0 } else { -1.0 };
        if alert.figure.is_share() && alert.side == Side::Below && alert.bound + margin > (alert.bound + 1.0) / 2.0 {
            margin = if alert.bound < 1.0 { (1.0 - alert.bound) / 2.0 } else { 0.0 };
        }
        Self { start: alert.bound, stop: alert.bound - sign * margin, sign, firing: false }
    }

    /// Whether the state turns.
    fn see(&mut self, value: Option<f64>) -> bool {
        let Some(value) = value else { return false };
        let limit = if self.firing { self.stop } else { self.start };
        let firing = (value - limit) * self.sign > 0.0;
        std::mem::replace(&mut self.firing, firing) != firing
    }
}

#[test]
fn each_turn_of_a_thousand_random_series_is_told_exactly_once() {
    let seed = std::env::var("LLMCACHE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    println!("LLMCACHE_SEED={seed}");
    let mut dice = Dice(seed);
    let names: Vec<_> = Figure::all().map(Figure::name).collect();
    let (mut told, mut trembled) = (0, 0);
    for series in 0..1000 {
        let figure = &names[dice.below(names.len() as u64) as usize];
        let side = if dice.below(2) == 0 { Side::Above } else { Side::Below };
        let is_share = Figure::named(figure.as_bytes()).is_some_and(Figure::is_share);
        let scale = if is_share { 1.0 } else { [1.0, 100.0, 1e9, -5.0][dice.below(4) as usize] };
        let bound = dice.part() * scale;
        let mut cache = Cache::default();
        cache.set_alert(alert("other", "lookups", Side::Above, f64::MAX), NOW, PRICE).unwrap();
        cache.set_alert(alert("it", figure, side, bound), NOW, PRICE).unwrap();
        let mut model = Model::of(&cache.alerts.0[1]);
        let (mut last, mut since, mut value) = (false, None, bound);
        for step in 0..200 {
            let now = UnixMs(NOW.0 + step);
            // It wanders around the bound, jumps now and then, and now and then is nowhere.
            value = match dice.below(12) {
                0 => dice.part() * scale,
                1 => bound,
                2 => model.stop,
                _ => value + (dice.part() - 0.5) * 0.06 * if bound == 0.0 { scale } else { bound.abs() },
            };
            value = if is_share { value.clamp(0.0, 1.0) } else { value };
            let seen = (dice.below(10) > 0).then_some(value);
            let crossed = seen.is_some_and(|seen| ((seen - bound) * model.sign > 0.0) != last);
            let turned = cache.alerts.turn(&[None, seen], now);
            let place =
                format!("LLMCACHE_SEED={seed}, series {series}, step {step}: {figure} {side:?} {bound}, {seen:?}");
            assert_eq!(turned.len(), usize::from(model.see(seen)), "{place}");
            for turn in &turned {
                assert_eq!((&*turn.name, turn.value, turn.at), ("it", seen, now), "{place}");
                assert_ne!(turn.firing, std::mem::replace(&mut last, turn.firing), "by turns, {place}");
                since = Some(now);
                told += 1;
            }
            trembled += u64::from(crossed && turned.is_empty());
            assert_eq!(cache.alerts.turn(&[None, seen], now), [], "and not again, {place}");
            let it = &cache.alerts.0[1];
            assert_eq!((it.is_firing(), it.since()), (model.firing, since), "{place}");
            // Now and then the server starts again, or another node goes on.
            if dice.below(20) == 0 {
                let mut again = Cache::default();
                again.read_alerts(&cache.alerts_record()).unwrap();
                assert_eq!(again.alerts, cache.alerts, "{place}");
                cache = again;
            }
        }
    }
    println!("{told} turns told, {trembled} at the border were none");
    assert!(told > 5_000 && trembled > 1_000, "{told} {trembled}");
}

#[test]
fn a_cache_turns_its_alerts_by_its_figures() {
    let mut cache = Cache::default();
    assert_eq!(cache.turn_alerts(NOW, PRICE), Effects::default());
    let set = cache.set_alert(alert("busy", "lookups", Side::Above, 2.0), NOW, PRICE).unwrap();
    assert_eq!(set, Effects { alerts: true, ..Effects::default() });
    assert!(!set.is_silent() && !cache.has_turning_alerts(NOW, PRICE));
    looked_up(&mut cache, 3);
    assert!(cache.has_turning_alerts(NOW, PRICE));
    let effects = cache.turn_alerts(NOW, PRICE);
    let [turn] = &effects.turned[..] else { panic!("{effects:?}") };
    assert_eq!((turn.firing, turn.value, effects.alerts), (true, Some(3.0), true));
    assert!(cache.turn_alerts(NOW, PRICE).is_silent() && !cache.has_turning_alerts(NOW, PRICE));
    cache.validate().unwrap();

    // Setting it again, or deleting it, ends what fires.
    for end in 0..2 {
        let effects = match end {
            0 => cache.set_alert(alert("BUSY", "lookups", Side::Above, 2.5), NOW, PRICE).unwrap(),
            _ => cache.delete_alert("Busy", NOW, PRICE).1,
        };
        let [turn] = &effects.turned[..] else { panic!("{effects:?}") };
        assert_eq!((&*turn.name, turn.firing, turn.value, turn.bound), ("busy", false, Some(3.0), [2.0, 2.5][end]));
        assert!(effects.alerts);
        if end == 0 {
            let [busy] = cache.alerts().list() else { panic!("one alert") };
            assert_eq!((&*busy.name, busy.is_firing(), busy.since(), busy.bound), ("busy", false, None, 2.5));
            assert_eq!(cache.turn_alerts(NOW, PRICE).turned.len(), 1, "the new rule speaks for itself");
        }
    }
    assert!(cache.alerts().list().is_empty());
    assert_eq!(cache.delete_alert("busy", NOW, PRICE), (false, Effects::default()));
}

#[test]
fn a_copy_begins_anew() {
    let mut cache = Cache::default();
    cache.set_alert(alert("idle", "lookups", Side::Below, 1.0), NOW, PRICE).unwrap();
    assert_eq!(cache.turn_alerts(NOW, PRICE).turned.len(), 1);
    let mut copy = cache.clone();
    copy.calm_alerts();
    assert_eq!((copy.alerts.0[0].is_firing(), copy.alerts.0[0].since()), (false, None));
    assert_eq!(copy.turn_alerts(NOW, PRICE).turned.len(), 1);
}

#[test]
fn there_is_an_end_to_alerts_and_they_count_as_memory() {
    let mut cache = Cache::default();
    let bare = cache.memory();
    for i in 0..MAX_ALERTS {
        cache.set_alert(alert(&format!("a{i}"), "roi", Side::Above, 1.0), NOW, PRICE).unwrap();
    }
    assert_eq!(cache.set_alert(alert("more", "roi", Side::Above, 1.0), NOW, PRICE), Err(AlterError::Alerts));
    cache.set_alert(alert("A63", "roi", Side::Below, 1.0), NOW, PRICE).unwrap();
    assert!(cache.memory() > bare + MAX_ALERTS * 64);
    cache.validate().unwrap();

    let mut small = Cache::default();
    let max_memory = Some(small.memory() as u64 * 16 / 15 + 140);
    small.alter(&PolicyChange { max_memory, ..PolicyChange::default() }, NOW).unwrap();
    small.set_alert(alert("a", "roi", Side::Above, 1.0), NOW, PRICE).unwrap();
    let before = small.alerts.clone();
    let refused = small.set_alert(alert("b", "roi", Side::Above, 1.0), NOW, PRICE);
    assert!(matches!(refused, Err(AlterError::NoRoom { .. })), "{refused:?}");
    assert_eq!(small.alerts, before);

    while let Some(alert) = cache.alerts.0.first() {
        let name = alert.name.clone();
        assert!(cache.delete_alert(&name, NOW, PRICE).0);
    }
    assert_eq!(cache.memory(), bare);
}

#[test]
fn a_record_holds_every_alert() {
    let mut cache = Cache::default();
    cache.set_alert(alert("größe", "memory_bytes", Side::Above, 1.0), NOW, PRICE).unwrap();
    let figure = Figure::named(b"set_us.p99").unwrap();
    cache.set_alert(Alert::new("p99".into(), figure, Side::Below, -0.1, Some(LONGEST_WINDOW)), NOW, PRICE).unwrap();
    cache.turn_alerts(NOW, PRICE);
    let record = cache.alerts_record();
    let mut replica = Cache::default();
    replica.set_alert(alert("gone", "roi", Side::Above, 1.0), NOW, PRICE).unwrap();
    let effects = replica.read_alerts(&record).unwrap();
    assert_eq!((&replica.alerts, effects.turned, effects.alerts), (&cache.alerts, Vec::new(), true));
    assert!(replica.turn_alerts(NOW, PRICE).is_silent(), "who takes it over does not tell of it again");
    replica.validate().unwrap();
}

#[test]
fn a_record_that_cannot_be_is_refused() {
    struct Row(&'static str, &'static str, u8, f64, u64, u8, u64);
    let written = |rows: &[Row]| {
        let mut w = Writer::record(ALERTS, LAYOUT);
        w.u32(rows.len() as u32);
        for Row(name, figure, side, bound, window, firing, since) in rows {
            w.bytes(name.as_bytes()).bytes(figure.as_bytes()).u8(*side).u64(bound.to_bits()).u64(*window);
            w.u8(*firing).u64(*since);
        }
        w.finish()
    };
    let never = u64::MAX;
    let mut cache = Cache::default();
    let good = || Row("a", "hits", 0, 1.0, 0, 0, never);
    assert!(cache.read_alerts(&written(&[good(), Row("b", "hits", 1, -1.0, 60, 1, 0)])).is_ok());
    let many: Vec<Row> = (0..=MAX_ALERTS).map(|_| good()).collect();
    for bad in [
        vec![Row("", "hits", 0, 1.0, 0, 0, never)],
        vec![Row("two words", "hits", 0, 1.0, 0, 0, never)],
        vec![Row("a", "misfortunes", 0, 1.0, 0, 0, never)],
        vec![Row("a", "hits", 2, 1.0, 0, 0, never)],
        vec![Row("a", "hits", 0, f64::NAN, 0, 0, never)],
        vec![Row("a", "hits", 0, f64::INFINITY, 0, 0, never)],
        vec![Row("a", "hits", 0, 1.0, LONGEST_WINDOW + 1, 0, never)],
        vec![Row("a", "hits", 0, 1.0, 0, 2, never)],
        vec![Row("a", "hits", 0, 1.0, 0, 1, never)],
        vec![Row("a", "hits", 0, 1.0, 0, 0, never - 1)],
        vec![good(), Row("A", "hits", 0, 1.0, 0, 0, never)],
        many,
    ] {
        assert_eq!(cache.read_alerts(&written(&bad)), Err(WireError::Value));
    }
    let record = written(&[good()]);
    for end in 0..record.len() {
        assert_eq!(cache.read_alerts(&record[..end]), Err(WireError::Short), "cut at {end}");
    }
    assert_eq!(cache.read_alerts(&[&record[..], b"\0"].concat()), Err(WireError::Long));
    assert_eq!(cache.alerts.0.len(), 2, "what was there stays");
}

#[test]
fn an_event_is_json_whatever_the_names_are() {
    let turn = |value, bound| Turn {
        name: "a\"b".into(),
        figure: Figure::named(b"hit_rate").unwrap(),
        value,
        side: Side::Below,
        bound,
        firing: true,
        at: NOW,
    };
    let json = turn(Some(0.25), 3.0).json(b"faq");
    let expected =
        r#"{"key":"faq","name":"a\"b","figure":"hit_rate","value":0.25,"bound":3,"state":"firing","at":1750000000000}"#;
    assert_eq!(json, expected);
    for (value, bound, key) in [(None, -0.5, &b"\xff\n\"\\\0"[..]), (Some(1e300), f64::MIN_POSITIVE, b"")] {
        let turn = turn(value, bound);
        let told: serde_json::Value = serde_json::from_str(&turn.json(key)).unwrap();
        assert_eq!(told["key"], json::text(key));
        assert_eq!((told["value"].as_f64(), told["bound"].as_f64()), (value, Some(bound)));
    }
}
