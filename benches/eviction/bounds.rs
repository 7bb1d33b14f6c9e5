//! What nobody can beat who knows the future.

use super::trace::Trace;
use std::collections::BTreeSet;

/// When each question of a trace is asked the next time.
fn next(trace: &Trace) -> Vec<usize> {
    let (mut next, mut seen) = (vec![usize::MAX; trace.asks.len()], vec![usize::MAX; trace.objects.len()]);
    for (at, object) in trace.asks.iter().enumerate().rev() {
        next[at] = std::mem::replace(&mut seen[*object as usize], at);
    }
    next
}

/// The most hits with room for so many entries, whatever their sizes: Belady's MIN, which keeps what is asked soonest again and
/// need not store what came last.
pub fn most_hits(trace: &Trace, entries: usize) -> f64 {
    let (mut held, mut hits) = (BTreeSet::new(), 0);
    for (at, next) in next(trace).into_iter().enumerate() {
        hits += usize::from(held.remove(&at));
        if next < usize::MAX {
            held.insert(next);
        }
        if held.len() > entries {
            held.pop_last();
        }
    }
    hits as f64 / trace.asks.len() as f64
}

/// A bound of the part of all costs that can be saved with so many bytes. For a hit an entry must take its bytes from one
/// question to the next. All the room there is, is bytes times questions: it goes to the intervals that save most for
/// what they take, the last of them in part. No cache does better, since it must also find room for all of them at each
/// moment; so this is above the optimum.
pub fn most_saved(trace: &Trace, bytes: &[usize], room: usize) -> f64 {
    let mut intervals = Vec::new();
    for (at, next) in next(trace).into_iter().enumerate().filter(|(_, next)| *next < usize::MAX) {
        let object = trace.asks[at] as usize;
        let (micros, taken) = (trace.objects[object].micros as f64, (bytes[object] * (next - at)) as f64);
        if bytes[object] <= room {
            intervals.push((micros / taken, micros, taken));
        }
    }
    intervals.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut left, mut saved) = (room as f64 * trace.asks.len() as f64, 0.0);
    for (_, micros, taken) in intervals {
        saved += micros * (left / taken).min(1.0);
        left -= taken;
        if left <= 0.0 {
            break;
        }
    }
    saved / trace.asks.iter().map(|object| trace.objects[*object as usize].micros as f64).sum::<f64>()
}
