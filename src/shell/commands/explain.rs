//! `EXPLAIN`: what a GET would answer, and why.

use super::{similar, Call};
use crate::core::cache::{Cache, Found, Miss};
use crate::core::entry::Phase;
use crate::core::matching::{Asking, Candidate, Verdict, Wanted, ASKED_FOR};
use crate::core::policy::Mode;
use crate::shell::failure::Outcome;
use crate::shell::keyspace::{Intent, Key};
use crate::shell::registry::Resident;
use crate::shell::reply::{reply_map, Reply};
use crate::shell::search::Searching;
use crate::syntax::lookup::Lookup;
use std::time::{Duration, Instant};

/// How many candidates are shown.
const SHOWN: usize = 5;

/// How long each step took.
struct Steps {
    last: Instant,
    taken: Vec<(&'static str, Duration)>,
}

impl Steps {
    fn done(&mut self, step: &'static str) {
        let now = Instant::now();
        self.taken.push((step, now - self.last));
        self.last = now;
    }

    /// A step that was timed by whoever took it.
    fn skip(&mut self, step: &'static str, took: Duration) {
        self.taken.push((step, took));
        self.last = Instant::now();
    }
}

pub fn run(call: &Call<'_>) -> Outcome {
    let mut steps = Steps { last: Instant::now(), taken: Vec::with_capacity(8) };
    let lookup = Lookup::parse(call.words, &call.bounds())?;
    steps.done("parse");
    let wanted = lookup.wanted(call.now);
    let context = wanted.identity.context.digest();
    steps.done("identity");
    let mut key = Key::open(call.ctx, call.key(), Intent::Peek)?;
    steps.done("open");
    let (mut found, mut candidates, mut threshold) = (Found::Miss(Miss::Absent), Vec::new(), None);
    if let Some(resident) = key.resident() {
        let is_similar = resident.cache.is_similar(&wanted)?;
        found = resident.cache.find(&wanted.digest(), wanted.terms, call.now);
        steps.done("lookup");
        if is_similar && matches!(found, Found::Miss(_)) {
            match look_closer(call, resident, &wanted, &mut steps) {
                Closer::Away => return Ok(()),
                Closer::Nothing => {}
                Closer::Found(closer, shown, used) => (found, candidates, threshold) = (closer, shown, Some(used)),
            }
        }
    }
    let made = Cache::default();
    let cache = key.cache().map_or(&made, |cache| &*cache);
    let decision = cache.decide(&wanted.identity, lookup.asked.temperature_above_one());
    steps.done("strategy");
    let (verdict, matched) = match found {
        Found::Exact(..) => ("hit", Some("exact")),
        Found::Similar { .. } => ("hit", Some("similar")),
        Found::Miss(_) => ("miss", None),
    };
    let mode = cache.mode(wanted.terms);
    let threshold = threshold.or((mode == Mode::Similar).then(|| cache.threshold(wanted.terms)));
    reply_map!(call.reply(), {
        "verdict" => |r: Reply<'_>| r.bulk(verdict.as_bytes()),
        "match" => |r: Reply<'_>| r.optional(matched.map(str::as_bytes)),
        "reason" => |r: Reply<'_>| r.text(reason(&found)),
        "digest" => |r: Reply<'_>| r.text(wanted.digest()),
        "context" => |r: Reply<'_>| r.text(context),
        "mode" => |r: Reply<'_>| r.bulk(mode.name().as_bytes()),
        "threshold" => |r: Reply<'_>| threshold.map_or_else(|| r.null(), |threshold| r.double(threshold)),
        "strategy" => |r: Reply<'_>| r.bulk(decision.strategy.name.as_bytes()),
        "rule" => |r: Reply<'_>| r.bulk(decision.rule.as_bytes()),
        "candidates" => |r: Reply<'_>| {
            r.array(candidates.len());
            candidates.iter().for_each(|candidate| candidate.show(r, cache));
        },
        "steps" => |r: Reply<'_>| {
            r.map(steps.taken.len());
            for (step, took) in &steps.taken {
                r.bulk(step.as_bytes());
                r.double(took.as_nanos() as f64 / 1000.0);
            }
        },
    });
    Ok(())
}

fn reason(found: &Found) -> String {
    match found {
        Found::Exact(_, Phase::Stale) | Found::Similar { phase: Phase::Stale, .. } => "stale".into(),
        Found::Exact(..) => "exact".into(),
        Found::Similar { .. } => "similar".into(),
        Found::Miss(Miss::Absent) => "absent".into(),
        Found::Miss(Miss::Expired) => "expired".into(),
        Found::Miss(Miss::BelowThreshold) => "below_threshold".into(),
        Found::Miss(Miss::Feedback) => "feedback".into(),
        Found::Miss(Miss::Guard(guard)) => format!("guard:{}", guard.name()),
    }
}

/// A candidate with everything that is to be said of it.
struct Shown {
    candidate: Candidate,
    verdict: String,
    guards: Vec<(&'static str, Option<String>)>,
}

impl Shown {
    fn new(cache: &Cache, asking: &Asking, candidate: Candidate, wanted: &Wanted<'_>) -> Self {
        let verdict = match cache.judge(asking, &candidate, wanted) {
            Verdict::Serve(Phase::Stale) => "stale".into(),
            Verdict::Serve(_) => "similar".into(),
            Verdict::BelowThreshold => "below_threshold".into(),
            Verdict::Expired => "expired".into(),
            Verdict::Feedback => "feedback".into(),
            Verdict::Guard(strike) => format!("guard:{}", strike.guard.name()),
        };
        let guards = asking.guards(&candidate).into_iter().map(|(guard, reason)| (guard.name(), reason)).collect();
        Self { candidate, verdict, guards }
    }

    fn show(&self, reply: Reply<'_>, cache: &Cache) {
        let entry = cache.store().view(self.candidate.slot);
        reply_map!(reply, {
            "id" => |r: Reply<'_>| entry.map_or_else(|| r.null(), |entry| r.text(entry.id())),
            "prompt" => |r: Reply<'_>| r.optional(entry.map(|entry| entry.prompt())),
            "similarity" => |r: Reply<'_>| r.double(self.candidate.similarity),
            "verdict" => |r: Reply<'_>| r.bulk(self.verdict.as_bytes()),
            "guards" => |r: Reply<'_>| {
                r.map(self.guards.len());
                for (name, reason) in &self.guards {
                    r.bulk(name.as_bytes());
                    r.bulk(reason.as_deref().unwrap_or("pass").as_bytes());
                }
            },
        });
    }
}

/// What is found among similar prompts.
enum Closer {
    /// Nothing: there is nothing to compare.
    Nothing,
    /// A thread is looking, and the client waits.
    Away,
    /// What GET would find, the best candidates whatever their similarity, and how similar one must be.
    Found(Found, Vec<Shown>, f64),
}

fn look_closer(call: &Call<'_>, resident: &mut Resident, wanted: &Wanted<'_>, steps: &mut Steps) -> Closer {
    let number = resident.number();
    let cache = &mut resident.cache;
    let searched = match call.sought.filter(|sought| sought.cache == number) {
        Some(sought) => similar::Searched::Before(sought),
        None => {
            let asking = cache.ask(wanted);
            steps.done("read");
            let Some(asking) = asking else { return Closer::Nothing };
            let reach = (asking.bottom(), ASKED_FOR);
            let searching = Searching { cache: number, asking, reach, claim: None };
            let Some(searched) = similar::search(call, searching) else { return Closer::Away };
            searched
        }
    };
    steps.skip("search", searched.took);
    let asking = &searched.asking;
    let near: Vec<_> = searched.hits.iter().copied().filter(|hit| hit.similarity >= asking.floor()).collect();
    let same = cache.same(asking, wanted);
    let served = same.as_ref().map(|(candidate, phase)| candidate.served(*phase));
    let found = served.unwrap_or_else(|| cache.settle(asking, &near, wanted));
    let mut candidates = cache.candidates(asking, &searched.hits, wanted);
    // What needed no search is served before anything that one finds, and on its own terms.
    if let Some((candidate, _)) = same {
        candidates.retain(|other| other.slot != candidate.slot);
        candidates.insert(0, candidate);
    }
    candidates.truncate(SHOWN);
    let shown = candidates.into_iter().map(|candidate| Shown::new(cache, asking, candidate, wanted)).collect();
    steps.done("judge");
    Closer::Found(found, shown, asking.threshold)
}
