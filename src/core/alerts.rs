//! Alerts: rules on figures of a cache that fire while a figure is beyond a bound.
//!
//! A rule that fires does not stop where it began but some way back, so that a figure that trembles around the bound is
//! told of once. Whether a rule fires is part of the cache: it is saved and replicated, and who loads it tells nobody
//! again. Nothing here knows where a figure comes from.

use super::cache::{AlterError, Cache};
use super::effects::Effects;
use super::fault;
use super::ledger::LONGEST_WINDOW;
use super::memory::{allocated, of_vec};
use super::money::MicroUsd;
use super::report::{json, Figure, Reading};
use super::strategy::check_alert_name;
use super::time::UnixMs;
use super::wire::{Reader, WireError, Writer};

/// How many alerts a cache may have.
pub const MAX_ALERTS: usize = 64;

/// How far back from its bound a figure must go until a rule stops firing, as a part of the bound.
const MARGIN: f64 = 0.05;

/// Which side of the bound is the wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is larger.
    Above,
    /// What is smaller.
    Below,
}

impl Side {
    /// As a list shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

/// A rule, and whether it fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its name; lookups ignore the case of ASCII letters.
    pub name: Box<str>,
    /// What is looked at.
    pub figure: Figure,
    /// Where it must not be.
    pub side: Side,
    /// Of this number, which is finite.
    pub bound: f64,
    /// Over so many seconds, where not since the counters began.
    pub window_s: Option<u64>,
    firing: bool,
    since: Option<UnixMs>,
}

/// A rule that began to fire, or stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Its name.
    pub name: Box<str>,
    /// What it looks at.
    pub figure: Figure,
    /// Where that is now, if it is anywhere.
    pub value: Option<f64>,
    /// The side that is wrong.
    pub side: Side,
    /// The rule's bound.
    pub bound: f64,
    /// Whether it fires from now on.
    pub firing: bool,
    /// When that was seen.
    pub at: UnixMs,
}

impl Alert {
    /// A rule that does not fire.
    pub fn new(name: Box<str>, figure: Figure, side: Side, bound: f64, window_s: Option<u64>) -> Self {
        Self { name, figure, side, bound, window_s, firing: false, since: None }
    }

    /// Whether it fires.
    pub fn is_firing(&self) -> bool {
        self.firing
    }

    /// When it began to fire or stopped; none if neither has happened yet.
    pub fn since(&self) -> Option<UnixMs> {
        self.since
    }

    /// How it stands, in a word.
    pub fn state(&self) -> &'static str {
        state(self.firing)
    }

    /// How far back from the bound it stops firing: a twentieth of the bound. A share ends at 1, so there it is no more
    /// than half of what is left above the bound.
    fn margin(&self) -> f64 {
        let margin = self.bound.abs() * MARGIN;
        match self.side {
            Side::Below if self.figure.is_share() => margin.min((1.0 - self.bound).max(0.0) / 2.0),
            _ => margin,
        }
    }

    /// Whether it fires when its figure stands there. A figure without a value changes nothing.
    pub fn fires_at(&self, value: Option<f64>) -> bool {
        let Some(value) = value.filter(|value| value.is_finite()) else { return self.firing };
        match (self.side, self.firing) {
            (Side::Above, false) => value > self.bound,
            (Side::Above, true) => value > self.bound - self.margin(),
            (Side::Below, false) => value < self.bound,
            (Side::Below, true) => value < self.bound + self.margin(),
        }
    }

    fn turned(&self, value: Option<f64>, firing: bool, at: UnixMs) -> Turn {
        let Self { figure, side, bound, .. } = *self;
        Turn {
            name: self.name.clone(),
            figure,
            value: value.filter(|value| value.is_finite()),
            side,
            bound,
            firing,
            at,
        }
    }
}

fn state(firing: bool) -> &'static str {
    if firing {
        "firing"
    } else {
        "ok"
    }
}

impl Alert {
    fn is_same_rule(&self, other: &Self) -> bool {
        let rule = |alert: &Self| (alert.figure, alert.side, alert.bound, alert.window_s);
        rule(self) == rule(other)
    }
}

impl Turn {
    /// How the rule stands from now on.
    pub fn state(&self) -> &'static str {
        state(self.firing)
    }

    /// What subscribers are told of it.
    pub fn json(&self, key: &[u8]) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        // A finite number as it is displayed is one of JSON's, and a whole one has no fraction.
        let value = self.value.map_or_else(|| "null".to_owned(), |value| value.to_string());
        format!(
            r#"{{"key":{},"name":{},"figure":{},"value":{value},"bound":{},"state":{},"at":{}}}"#,
            text(&json::text(key)),
            text(&self.name),
            text(&self.figure.name()),
            self.bound,
            text(self.state()),
            self.at.0
        )
    }
}

/// The alerts of a cache, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alerts(Vec<Alert>);

impl Alerts {
    /// All of them.
    pub fn list(&self) -> &[Alert] {
        &self.0
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|alert| alert.name.eq_ignore_ascii_case(name))
    }

    /// Notes where the figure of each stands, and answers those that begin to fire or stop.
    fn turn(&mut self, values: &[Option<f64>], now: UnixMs) -> Vec<Turn> {
        let mut turned = Vec::new();
        for (alert, value) in self.0.iter_mut().zip(values) {
            let firing = alert.fires_at(*value);
            if firing != alert.firing {
                (alert.firing, alert.since) = (firing, Some(now));
                turned.push(alert.turned(*value, firing, now));
            }
        }
        turned
    }

    /// Bytes behind them.
    pub(super) fn memory(&self) -> usize {
        of_vec::<Alert>(self.0.len()) + self.0.iter().map(|alert| allocated(alert.name.len())).sum::<usize>()
    }

    /// Checks that they are as they may be.
    pub(super) fn validate(&self) -> Result<(), String> {
        let twice = self.0.iter().enumerate().any(|(at, alert)| self.find(&alert.name) != Some(at));
        let odd = self.0.iter().any(|alert| !alert.bound.is_finite() || alert.firing && alert.since.is_none());
        if twice || odd || self.0.len() > MAX_ALERTS {
            return Err(format!("{} alerts are not as they may be", self.0.len()));
        }
        Ok(())
    }
}

impl Cache {
    /// Its alerts.
    pub fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Where the figure of an alert stands.
    pub fn figure_of(&self, alert: &Alert, now: UnixMs, memory_price: MicroUsd) -> Option<f64> {
        Reading::new(self, now, memory_price).figure(alert.figure, alert.window_s)
    }

    /// Where the figures of all alerts stand.
    pub fn figures_of_alerts(&self, now: UnixMs, memory_price: MicroUsd) -> Vec<Option<f64>> {
        let mut reading = Reading::new(self, now, memory_price);
        self.alerts.0.iter().map(|alert| reading.figure(alert.figure, alert.window_s)).collect()
    }

    /// Keeps an alert, in the place of one of the same name. One that fired stops with that.
    pub fn set_alert(&mut self, alert: Alert, now: UnixMs, memory_price: MicroUsd) -> Result<Effects, AlterError> {
        fault::point();
        let before = self.alerts.clone();
        let mut effects = Effects { alerts: true, ..Effects::default() };
        match self.alerts.find(&alert.name) {
            // The same rule again goes on as it stands, and nobody need be told.
            Some(at) if self.alerts.0.get(at).is_some_and(|there| there.is_same_rule(&alert)) => {
                return Ok(Effects::default());
            }
            Some(at) => {
                effects.turned.extend(self.stopped(at, now, memory_price));
                if let Some(there) = self.alerts.0.get_mut(at) {
                    let name = std::mem::take(&mut there.name);
                    *there = Alert { name, ..alert };
                }
            }
            None if before.0.len() >= MAX_ALERTS => return Err(AlterError::Alerts),
            None => {
                self.alerts.0.reserve_exact(1);
                self.alerts.0.push(alert);
            }
        }
        self.check_room().inspect_err(|_| self.alerts = before)?;
        self.keep_limits(None, now, &mut effects);
        Ok(effects)
    }

    /// Gives up an alert; whether there was one. One that fired stops with that.
    pub fn delete_alert(&mut self, name: &str, now: UnixMs, memory_price: MicroUsd) -> (bool, Effects) {
        fault::point();
        let Some(at) = self.alerts.find(name) else { return (false, Effects::default()) };
        let turned = self.stopped(at, now, memory_price).into_iter().collect();
        self.alerts.0.remove(at);
        self.alerts.0.shrink_to_fit();
        (true, Effects { alerts: true, turned, ..Effects::default() })
    }

    /// The end of an alert that fires and is about to go.
    fn stopped(&self, at: usize, now: UnixMs, memory_price: MicroUsd) -> Option<Turn> {
        let alert = self.alerts.0.get(at).filter(|alert| alert.firing)?;
        Some(alert.turned(self.figure_of(alert, now, memory_price), false, now))
    }

    /// Whether an alert would begin to fire now, or stop.
    pub fn has_turning_alerts(&self, now: UnixMs, memory_price: MicroUsd) -> bool {
        let figures = self.figures_of_alerts(now, memory_price);
        self.alerts.0.iter().zip(figures).any(|(alert, figure)| alert.fires_at(figure) != alert.firing)
    }

    /// Looks at the figures of all alerts, and notes which of them begin to fire and which stop.
    pub fn turn_alerts(&mut self, now: UnixMs, memory_price: MicroUsd) -> Effects {
        let values = self.figures_of_alerts(now, memory_price);
        let turned = self.alerts.turn(&values, now);
        Effects { alerts: !turned.is_empty(), turned, ..Effects::default() }
    }

    /// Lets every alert begin anew, in a copy of a cache: what fires here is told of by another name.
    pub fn calm_alerts(&mut self) {
        for alert in &mut self.alerts.0 {
            (alert.firing, alert.since) = (false, None);
        }
    }

    /// All alerts as one record, with how they stand.
    pub fn alerts_record(&self) -> Vec<u8> {
        let mut w = Writer::record(ALERTS, LAYOUT);
        w.u32(self.alerts.0.len() as u32);
        for alert in &self.alerts.0 {
            w.bytes(alert.name.as_bytes()).bytes(alert.figure.name().as_bytes());
            w.u8((alert.side == Side::Below).into()).u64(alert.bound.to_bits()).u64(alert.window_s.unwrap_or(0));
            w.u8(alert.firing.into()).u64(alert.since.unwrap_or(UnixMs::NEVER).0);
        }
        w.finish()
    }

    /// Takes over the alerts of a record, in place of those that are here. Who wrote it has told of them.
    pub fn read_alerts(&mut self, record: &[u8]) -> Result<Effects, WireError> {
        self.alerts = read_alerts(record)?;
        Ok(Effects { alerts: true, ..Effects::default() })
    }
}

const ALERTS: u8 = b'A';
const LAYOUT: u8 = 1;

fn read_alerts(record: &[u8]) -> Result<Alerts, WireError> {
    let (mut r, _) = Reader::record(record, ALERTS, LAYOUT)?;
    let mut alerts = Alerts::default();
    let count = r.u32()? as usize;
    if count > MAX_ALERTS {
        return Err(WireError::Value);
    }
    for _ in 0..count {
        let name = check_alert_name(r.bytes()?).map_err(|_| WireError::Value)?;
        let figure = Figure::named(r.bytes()?).ok_or(WireError::Value)?;
        let side = if flag(r.u8()?)? { Side::Below } else { Side::Above };
        let (bound, window_s) = (f64::from_bits(r.u64()?), r.u64()?);
        let (firing, since) = (flag(r.u8()?)?, UnixMs(r.u64()?));
        let since = Some(since).filter(|at| !at.is_never());
        let late = since.is_some_and(|at| at > UnixMs::LATEST);
        let odd = firing && since.is_none() || alerts.find(name).is_some();
        if late || odd || !bound.is_finite() || window_s > LONGEST_WINDOW {
            return Err(WireError::Value);
        }
        let window_s = Some(window_s).filter(|seconds| *seconds > 0);
        alerts.0.push(Alert { name: name.into(), figure, side, bound, window_s, firing, since });
    }
    r.finish()?;
    alerts.0.shrink_to_fit();
    Ok(alerts)
}

fn flag(byte: u8) -> Result<bool, WireError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(WireError::Value),
    }
}

#[cfg(test)]
mod tests;
