//! Counters over time: the last two minutes by the second, the last two hours by the minute, the last 31 days by the hour.
//!
//! A stretch of time in which nothing was counted takes no room. What gets older is kept more coarsely: the seconds of a
//! minute become one stretch once they are two minutes old, and so on, so that nothing is ever kept twice.

use super::counters::{Counters, FIELDS, MOST};
use crate::core::memory;
use crate::core::time::UnixMs;
use crate::core::wire::{Reader, WireError, Writer};

/// How many seconds a stretch of each kind lasts.
const SPANS: [u64; 3] = [1, 60, 3600];

/// How many whole stretches of the next kind are kept as finer ones, beside the one that is not over yet.
const FINE: u64 = 2;

/// The longest window: 31 days.
pub const LONGEST_WINDOW: u64 = 31 * 24 * 3600;

/// A window of time that ends now. It begins with a whole second, minute or hour, whichever its age is kept by, so it
/// reaches back a little further than was asked for, and never less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    seconds: u64,
    end: u64,
}

impl Window {
    /// The window of so many seconds up to now.
    pub fn last(seconds: u64, now: UnixMs) -> Self {
        Self { seconds, end: now.0 / 1000 }
    }

    /// The same for counters that have reached a later second, where the clock was set back: it ends with that one. A clock
    /// that was set back by more than so many seconds was wrong before.
    pub(super) fn reaching(self, second: u64, set_back: u64) -> Self {
        if second > self.end + set_back {
            return self;
        }
        Self { end: self.end.max(second), ..self }
    }

    /// The second that it begins with.
    fn from(&self) -> u64 {
        let from = self.end.saturating_sub(self.seconds);
        let [_, minute, hour] = SPANS;
        let span = match self.seconds {
            s if s <= FINE * minute => 1,
            s if s <= FINE * hour => minute,
            _ => hour,
        };
        from / span * span
    }

    /// When it begins.
    pub fn begin(&self) -> UnixMs {
        UnixMs(self.from() * 1000)
    }
}

/// What was counted in stretches of one length, the oldest first. Each is its number (`u32`, counted from 1970), the
/// length of what follows (`u8`), a mask of the counters that are not 0, and these, as numbers of variable length.
#[derive(Debug, Default)]
struct Strip {
    bytes: Vec<u8>,
    /// What lies before has been taken out.
    start: usize,
}

/// A copy takes what the original takes, so that sums of memory are those of the copies as well.
impl Clone for Strip {
    fn clone(&self) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.capacity());
        bytes.extend_from_slice(&self.bytes);
        Self { bytes, start: self.start }
    }
}

impl Strip {
    fn live(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = self.live();
        std::iter::from_fn(move || {
            let (number, payload, left) = split(rest)?;
            rest = left;
            Some((number, payload))
        })
    }

    fn push(&mut self, number: u64, counters: &Counters) {
        let payload = encode(counters);
        let payload = payload.bytes();
        let (Ok(number), Ok(length)) = (u32::try_from(number), u8::try_from(payload.len())) else { return };
        if self.start > 0 && self.bytes.len() + payload.len() + 5 > self.bytes.capacity() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        let needed = payload.len() + 5;
        if self.bytes.capacity() - self.bytes.len() < needed {
            // By an eighth rather than by half: there are many of these.
            self.bytes.reserve_exact(needed + self.bytes.len() / 8);
        }
        self.bytes.extend(number.to_le_bytes());
        self.bytes.push(length);
        self.bytes.extend(payload);
    }

    fn first(&self) -> Option<u64> {
        split(self.live()).map(|(number, ..)| number)
    }

    fn pop(&mut self) -> Option<(u64, Counters)> {
        let (number, payload, rest) = split(self.live())?;
        let counters = decode(payload).unwrap_or_default();
        self.start = self.bytes.len() - rest.len();
        if self.start == self.bytes.len() {
            *self = Self::default();
        }
        Some((number, counters))
    }

    /// Takes stretches out of a finer strip, of which so many make one, as long as theirs lies before `oldest`.
    fn take_over(&mut self, fine: &mut Self, times: u64, oldest: u64) {
        while let Some(stretch) = fine.first().map(|first| first / times).filter(|stretch| *stretch < oldest) {
            let mut sum = Counters::default();
            while fine.first().is_some_and(|first| first / times == stretch) {
                fine.pop().iter().for_each(|(_, counted)| sum.merge(counted));
            }
            self.push(stretch, &sum);
        }
    }

    fn memory(&self) -> usize {
        memory::allocated(self.bytes.capacity())
    }
}

fn split(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first()?;
    let (payload, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((u32::from_le_bytes(*number).into(), payload, rest))
}

/// Counters as they stand in a strip.
struct Payload {
    bytes: [u8; Self::MOST],
    length: usize,
}

impl Payload {
    /// A mask of four bytes and ten bytes for each counter; a length of one byte must tell it.
    const MOST: usize = 4 + 10 * FIELDS;
    const FITS: () = assert!(Self::MOST <= u8::MAX as usize && FIELDS < 28);

    fn push(&mut self, mut number: u64) {
        let () = Self::FITS;
        loop {
            let more = if number >= 0x80 { 0x80 } else { 0 };
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = number as u8 & 0x7f | more;
                self.length += 1;
            }
            number >>= 7;
            if number == 0 {
                break;
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn encode(counters: &Counters) -> Payload {
    let fields = counters.fields();
    let mask = fields.iter().rev().fold(0, |mask: u64, field| mask << 1 | u64::from(*field != 0));
    let mut payload = Payload { bytes: [0; Payload::MOST], length: 0 };
    payload.push(mask);
    fields.into_iter().filter(|field| *field != 0).for_each(|field| payload.push(field));
    payload
}

fn decode(mut bytes: &[u8]) -> Option<Counters> {
    let mask = read_number(&mut bytes)?;
    let mut counters = Counters::default();
    for (i, field) in counters.fields_mut().into_iter().enumerate() {
        if mask >> i & 1 == 1 {
            *field = read_number(&mut bytes)?;
        }
    }
    (bytes.is_empty() && mask >> FIELDS == 0).then_some(counters)
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Counters, and when they were counted.
#[derive(Clone, Debug, Default)]
pub struct Account {
    counters: Counters,
    /// The counters at the begin of the second that is not over yet.
    before: Counters,
    second: u64,
    strips: [Strip; 3],
}

impl Account {
    /// All that was ever counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// When something was last counted, in seconds.
    pub fn last_second(&self) -> u64 {
        self.second
    }

    /// Counts. Whether a second was put away for it, which may take memory.
    pub fn count(&mut self, second: u64, add: impl FnOnce(&mut Counters)) -> bool {
        // With a clock that was set back, the second goes on.
        let is_over = second > self.second;
        if is_over {
            self.close(second);
        }
        add(&mut self.counters);
        is_over
    }

    fn close(&mut self, second: u64) {
        let counted = self.counters.since(&self.before);
        let [seconds, ..] = &mut self.strips;
        if counted != Counters::default() {
            seconds.push(self.second, &counted);
            self.before = self.counters;
        }
        self.second = second;
        self.coarsen();
    }

    /// Puts together what is old enough, and drops what is too old.
    fn coarsen(&mut self) {
        let [seconds, minutes, hours] = &mut self.strips;
        let [_, minute, hour] = SPANS;
        minutes.take_over(seconds, minute, (self.second / minute).saturating_sub(FINE));
        hours.take_over(minutes, hour / minute, (self.second / hour).saturating_sub(FINE));
        let oldest = (self.second / hour).saturating_sub(LONGEST_WINDOW / hour);
        while hours.first().is_some_and(|first| first < oldest) {
            hours.pop();
        }
    }

    /// What was counted in a window.
    pub fn within(&self, window: &Window) -> Counters {
        let (mut sum, from) = (Counters::default(), window.from());
        for (strip, span) in self.strips.iter().zip(SPANS) {
            for (number, payload) in strip.iter() {
                if (from..=window.end).contains(&(number * span)) {
                    sum.merge(&decode(payload).unwrap_or_default());
                }
            }
        }
        if (from..=window.end).contains(&self.second) {
            sum.merge(&self.counters.since(&self.before));
        }
        sum
    }

    /// The second that its oldest stretch begins with.
    pub fn oldest(&self) -> Option<u64> {
        let oldest = self.strips.iter().zip(SPANS).filter_map(|(strip, span)| Some(strip.first()? * span));
        oldest.min()
    }

    /// Forgets when things were counted that were counted before a second, or in a stretch that begins before it.
    pub fn forget_before(&mut self, second: u64) {
        for (strip, span) in self.strips.iter_mut().zip(SPANS) {
            let is_older = |first: u64| first * span < second;
            if !strip.first().is_some_and(is_older) {
                continue;
            }
            while strip.first().is_some_and(is_older) {
                strip.pop();
            }
            strip.bytes.drain(..strip.start);
            strip.start = 0;
            strip.bytes.shrink_to_fit();
        }
        if self.second < second {
            self.before = self.counters;
        }
    }

    /// Goes on from an earlier second, where the clock was wrong. What was counted later keeps no time, nor does what is
    /// kept more coarsely than its age asks for, nor anything from `until` on. Answers when the rest ends.
    pub fn turn_back(&mut self, second: u64, until: u64) -> u64 {
        let mut end = 0;
        for (strip, span) in self.strips.iter_mut().zip(SPANS) {
            let fine = if span > 1 { FINE } else { 0 };
            let is_kept = |number: u64| number + fine < second / span && (number + 1) * span <= until;
            let mut kept = 0;
            for (number, payload) in strip.iter().take_while(|(number, _)| is_kept(*number)) {
                (kept, end) = (kept + payload.len() + 5, end.max((number + 1) * span));
            }
            strip.bytes.truncate(strip.start + kept);
        }
        self.before = self.counters;
        self.second = self.second.min(until);
        end
    }

    /// Bytes behind it, beside its own.
    pub fn memory(&self) -> usize {
        self.strips.iter().map(Strip::memory).sum()
    }

    /// Appends it to a record.
    pub fn write(&self, w: &mut Writer) {
        self.counters.fields().into_iter().for_each(|field| {
            w.u64(field);
        });
        w.u64(self.second).bytes(encode(&self.counters.since(&self.before)).bytes());
        self.strips.iter().for_each(|strip| {
            w.bytes(strip.live());
        });
    }

    /// Reads it from a record.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut account = Self::default();
        for field in account.counters.fields_mut() {
            *field = r.u64()?.min(MOST);
        }
        account.second = Some(r.u64()?).filter(|second| *second <= UnixMs::LATEST.0 / 1000).ok_or(WireError::Value)?;
        let counted = decode(r.bytes()?).ok_or(WireError::Value)?;
        account.before = account.counters.since(&counted);
        // Finer stretches begin where coarser ones end, or the next ones would not be put down in their order.
        let mut until = account.second;
        for (strip, span) in account.strips.iter_mut().zip(SPANS) {
            let bytes = r.bytes()?;
            let (mut rest, mut end) = (bytes, 0);
            while !rest.is_empty() {
                let (number, payload, left) = split(rest).ok_or(WireError::Value)?;
                if decode(payload).is_none() || number * span < end {
                    return Err(WireError::Value);
                }
                (rest, end) = (left, (number + 1) * span);
            }
            if end > until {
                return Err(WireError::Value);
            }
            strip.bytes = bytes.into();
            until = strip.first().map_or(until, |first| first * span);
        }
        Ok(account)
    }
}

#[cfg(test)]
mod tests;
