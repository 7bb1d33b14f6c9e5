//! What is to be kept warm: named profiles of prompts, and which of them are due.
//!
//! A plan holds no answers. Each item is the digest of a question and the words that a worker needs to ask it and to store
//! what it gets; whether it is due is seen from the entry of that digest, whoever stored it. Which items are out is known
//! to the leases; here it is only remembered which ones to ask them about.

use super::cache::{AlterError, Cache};
use super::effects::Effects;
use super::entry::Phase;
use super::fault;
use super::identity::{Digest, Shape};
use super::memory::{allocated, of_btree, of_vec};
use super::store::Store;
use super::time::UnixMs;
use super::wire::{Reader, WireError, Writer};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

/// How many profiles a cache may have.
pub const MAX_PROFILES: usize = 64;

/// How many items a profile may have.
pub const MAX_ITEMS: usize = 10_000;

/// How many of a profile may be out at once.
pub const MAX_OUT: u32 = 10_000;

/// How many items one look may take in, over all profiles: a few milliseconds' work.
pub const LOOKED_AT: usize = 10_000;

/// A question that is to have a fresh answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which one.
    pub digest: Digest,
    /// Its prompt, or the body of its request.
    pub prompt: Box<[u8]>,
    /// Options that only it has.
    pub options: Box<[Box<[u8]>]>,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Profile {
    every_ms: u64,
    limit: u32,
    common: Arc<[Box<[u8]>]>,
    items: Arc<[Planned]>,
    memory: usize,
    /// How many entries that are no items of it may be handed out as well, when they are asked for and soon expire.
    hot: u32,
    /// Where the next look begins, and what was handed out: this node's business alone.
    next: usize,
    handed: Vec<usize>,
    handed_hot: Vec<Digest>,
}

impl Profile {
    /// A plan whose items may become so old, with so many of them out at once.
    pub fn new(every_ms: u64, limit: u32, common: Box<[Box<[u8]>]>, items: Vec<Planned>) -> Self {
        let of_words = |words: &[Box<[u8]>]| {
            of_vec::<Box<[u8]>>(words.len()) + words.iter().map(|word| allocated(word.len())).sum::<usize>()
        };
        let of_items = items.iter().map(|item| allocated(item.prompt.len()) + of_words(&item.options)).sum::<usize>();
        let memory = of_words(&common)
            + of_vec::<Planned>(items.len())
            + of_items
            + of_vec::<usize>(items.len().min(limit as usize));
        Self {
            every_ms,
            limit,
            common: common.into(),
            items: items.into(),
            memory,
            hot: 0,
            next: 0,
            handed: Vec::new(),
            handed_hot: Vec::new(),
        }
    }

    /// The same with so many entries that are asked for and soon expire, whoever stored them.
    #[must_use]
    pub fn with_hot(self, hot: u32) -> Self {
        let memory = self.memory + of_vec::<Digest>(hot.min(self.limit) as usize);
        Self { hot, memory, ..self }
    }

    /// How many entries that are no items of it may be handed out as well.
    pub fn hot(&self) -> u32 {
        self.hot
    }

    /// How old an answer may become.
    pub fn every_ms(&self) -> u64 {
        self.every_ms
    }

    /// How many may be out at once.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Options of all items that say nothing else.
    pub fn common(&self) -> &[Box<[u8]>] {
        &self.common
    }

    /// What is to be kept warm.
    pub fn items(&self) -> &[Planned] {
        &self.items
    }
}

/// All plans of a cache, by name.
#[derive(Clone, Debug, Default)]
pub struct Plans {
    profiles: BTreeMap<Box<[u8]>, Profile>,
    memory: usize,
}

impl Plans {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.profiles.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }

    /// All of them, by name.
    pub fn list(&self) -> impl ExactSizeIterator<Item = (&[u8], &Profile)> {
        self.profiles.iter().map(|(name, profile)| (&**name, profile))
    }

    fn put(&mut self, name: &[u8], profile: Profile) -> Option<Profile> {
        let (own, more) = (allocated(name.len()), profile.memory);
        let old = self.profiles.insert(name.into(), profile);
        self.memory += more + if old.is_none() { own } else { 0 };
        self.memory -= old.as_ref().map_or(0, |old| old.memory);
        old
    }

    fn take(&mut self, name: &[u8]) -> Option<Profile> {
        let old = self.profiles.remove(name)?;
        self.memory -= allocated(name.len()) + old.memory;
        Some(old)
    }

    /// Checks that what is counted is there.
    pub(super) fn validate(&self) -> Result<(), String> {
        let counted: usize = self.profiles.iter().map(|(name, profile)| allocated(name.len()) + profile.memory).sum();
        if counted != self.memory || self.profiles.len() > MAX_PROFILES {
            return Err(format!("{} plans take {counted} bytes, {} are counted", self.profiles.len(), self.memory));
        }
        Ok(())
    }

    /// Bytes behind them.
    pub(super) fn memory(&self) -> usize {
        self.memory + of_btree::<(Box<[u8]>, Profile)>(self.profiles.len())
    }
}

/// Which due items are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Of this profile alone.
    pub profile: Option<&'a [u8]>,
    /// How many at most.
    pub count: usize,
    /// Also those that expire so soon.
    pub within_ms: u64,
    /// The time of the question.
    pub now: UnixMs,
}

/// The name of a plan, and what was done with one of its items.
pub type Handed<T> = (Box<[u8]>, T);

/// How a profile stands.
#[derive(Debug, Default)]
pub struct Standing {
    /// How many items were looked at.
    pub looked_at: usize,
    /// Of these, those without an answer.
    pub missing: usize,
    /// When the answer of each is too old, and which it is, of those that are due and not out; 0 where there is none.
    due: Vec<(u64, usize)>,
    /// How many are out.
    pub out: usize,
    /// When the next of those that are not due will be.
    pub next_due: Option<UnixMs>,
}

impl Standing {
    /// How many items are due and not out.
    pub fn due(&self) -> usize {
        self.due.len()
    }
}

/// When the answer to an item is too old, and when somebody may be asked for another, which is sooner by so much where
/// it expires. None where there is no answer.
fn ends(store: &Store, item: &Planned, every_ms: u64, within_ms: u64, now: UnixMs) -> Option<(UnixMs, UnixMs)> {
    let entry = store.find(&item.digest).and_then(|slot| store.get(slot))?;
    if entry.phase(now) == Phase::Dead {
        return None;
    }
    let (fresh_until, aged) = (entry.fresh_until, entry.created().plus(every_ms));
    let asked = if fresh_until.is_never() { fresh_until } else { UnixMs(fresh_until.0.saturating_sub(within_ms)) };
    Some((fresh_until.min(aged).max(UnixMs(1)), asked.min(aged)))
}

/// Looks at some items of a profile, all where there are not many, and remembers where to go on.
fn look_over(
    store: &Store,
    profile: &mut Profile,
    share: usize,
    within_ms: u64,
    now: UnixMs,
    is_out: &impl Fn(&Digest) -> bool,
) -> Standing {
    let items = Arc::clone(&profile.items);
    let length = items.len();
    let looked_at = length.min(share);
    let mut standing = Standing { looked_at, ..Standing::default() };
    let first = if looked_at == length { 0 } else { profile.next % length.max(1) };
    profile.next = first + looked_at;
    profile.handed.retain(|at| items.get(*at).is_some_and(|item| is_out(&item.digest)));
    let is_looked_at = |at: usize| (at + length - first) % length.max(1) < looked_at;
    standing.out = profile.handed.iter().filter(|at| !is_looked_at(**at)).count();
    profile.handed_hot.retain(is_out);
    standing.out += profile.handed_hot.len();
    for at in (first..first + looked_at).map(|at| at % length.max(1)) {
        let Some(item) = items.get(at) else { continue };
        let ends = ends(store, item, profile.every_ms, within_ms, now);
        standing.missing += usize::from(ends.is_none());
        if is_out(&item.digest) {
            standing.out += 1;
            continue;
        }
        match ends {
            Some((_, later)) if later > now => {
                standing.next_due = Some(standing.next_due.map_or(later, |sooner| sooner.min(later)));
            }
            ends => standing.due.push((ends.map_or(0, |(ends, _)| ends.0), at)),
        }
    }
    standing
}

/// The entries that have answered most often of those that are stale or soon expire, and that are wanted. Only plain
/// prompts are among them: of a request nothing is kept that could be sent again.
fn hottest(store: &Store, wish: &Wish<'_>, count: usize, is_wanted: impl Fn(&Digest) -> bool) -> Vec<Planned> {
    let mut found: Vec<_> = store
        .by_expiry()
        .take(LOOKED_AT)
        .filter_map(|slot| {
            let view = store.view(slot)?;
            let entry = view.entry;
            let asked = UnixMs(entry.fresh_until.0.saturating_sub(wish.within_ms));
            let is_due = asked <= wish.now && entry.phase(wish.now) != Phase::Dead;
            (entry.hits > 0 && is_due && is_wanted(&view.digest())).then_some((entry.hits, slot))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    let plain = found.into_iter().filter_map(|(_, slot)| {
        let (entry, view) = (store.get(slot)?, store.view(slot)?);
        let context = view.context();
        let identity = [
            ("MODEL", context.model),
            ("SYSTEM", context.system),
            ("PARAMS", context.params),
            ("SCOPE", context.scope),
        ];
        let mut words: Vec<&[u8]> = Vec::new();
        for (name, value) in identity.into_iter().filter(|(_, value)| !value.is_empty()) {
            words.extend([name.as_bytes(), value]);
        }
        if let Some(typ) = view.typ() {
            words.extend([b"TYPE", typ]);
        }
        let tags: Vec<&[u8]> = view.tags().collect();
        let count = tags.len().to_string();
        if !tags.is_empty() {
            words.extend([b"TAGS", count.as_bytes()]);
            words.extend(tags);
        }
        let options = words.into_iter().map(Box::from).collect();
        let item = Planned { digest: view.digest(), prompt: entry.body.prompt().into(), options };
        (context.shape == Shape::Plain).then_some(item)
    });
    plain.take(count).collect()
}

impl Cache {
    /// Its plans.
    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// Keeps a plan, in place of one of the same name.
    pub fn plan(&mut self, name: &[u8], profile: Profile, now: UnixMs) -> Result<Effects, AlterError> {
        fault::point();
        if self.plans.len() >= MAX_PROFILES && !self.plans.profiles.contains_key(name) {
            return Err(AlterError::Profiles);
        }
        let old = self.plans.put(name, profile);
        if let Err(why) = self.check_room() {
            match old {
                Some(old) => drop(self.plans.put(name, old)),
                None => drop(self.plans.take(name)),
            }
            return Err(why);
        }
        let mut effects = Effects { planned: Some(name.into()), ..Effects::default() };
        self.keep_limits(None, now, &mut effects);
        Ok(effects)
    }

    /// Forgets a plan; whether there was one.
    pub fn unplan(&mut self, name: &[u8]) -> (bool, Effects) {
        fault::point();
        let gone = self.plans.take(name).is_some();
        (gone, Effects { unplanned: gone.then(|| name.into()), ..Effects::default() })
    }

    /// Looks over all profiles or one, and does something with each.
    fn survey(
        &mut self,
        name: Option<&[u8]>,
        within_ms: u64,
        now: UnixMs,
        is_out: &impl Fn(&Digest) -> bool,
        mut tell: impl FnMut(&[u8], &mut Profile, Standing),
    ) {
        let Self { plans, store, .. } = self;
        let wanted = |other: &[u8]| name.is_none_or(|name| name == other);
        let count = plans.profiles.keys().filter(|other| wanted(other)).count();
        let share = LOOKED_AT / count.max(1);
        for (other, profile) in plans.profiles.iter_mut().filter(|(other, _)| wanted(other)) {
            let standing = look_over(store, profile, share, within_ms, now, is_out);
            tell(other, profile, standing);
        }
    }

    /// How the plans stand.
    pub fn standings(
        &mut self,
        now: UnixMs,
        is_out: impl Fn(&Digest) -> bool,
        mut tell: impl FnMut(&[u8], &Profile, &Standing),
    ) {
        self.survey(None, 0, now, &is_out, |name, profile, standing| tell(name, profile, &standing));
    }

    /// Hands out what is due: first what has no answer, then what has been due for the longest time; of the profiles first
    /// the one that has the fewest out. `take` is given the options of all items of a plan and the item, and asks for the
    /// right to compute its answer. An error of its ends it, and is answered where nothing was handed out before.
    pub fn due<T, E>(
        &mut self,
        wish: &Wish<'_>,
        is_out: impl Fn(&Digest) -> bool,
        mut take: impl FnMut(&[Box<[u8]>], &Planned) -> Result<Option<T>, E>,
    ) -> Result<Vec<Handed<T>>, E> {
        struct Line {
            name: Box<[u8]>,
            out: usize,
            due: VecDeque<(u64, usize)>,
        }
        let mut lines = Vec::new();
        self.survey(wish.profile, wish.within_ms, wish.now, &is_out, |name, profile, standing| {
            let Standing { mut due, out, .. } = standing;
            // Some more than can be handed out, since one may be another profile's as well.
            let most = wish.count.min((profile.limit as usize).saturating_sub(out)).saturating_add(MAX_PROFILES);
            if due.len() > most {
                due.select_nth_unstable(most);
                due.truncate(most);
            }
            due.sort_unstable();
            if out < profile.limit as usize {
                lines.push(Line { name: name.into(), out, due: due.into() });
            }
        });
        let mut handed = Vec::new();
        while handed.len() < wish.count {
            let open = lines.iter_mut().filter(|line| !line.due.is_empty());
            let Some(line) = open.min_by_key(|line| (line.out, line.due.front().copied())) else { break };
            let Some((_, at)) = line.due.pop_front() else { break };
            let Some(profile) = self.plans.profiles.get_mut(&line.name) else { continue };
            let Some(item) = profile.items.get(at) else { continue };
            match take(&profile.common, item) {
                Ok(Some(taken)) => handed.push((line.name.clone(), taken)),
                Ok(None) => continue,
                Err(why) if handed.is_empty() => return Err(why),
                Err(_) => break,
            }
            profile.handed.push(at);
            line.out += 1;
            if line.out >= profile.limit as usize {
                line.due.clear();
            }
        }
        // What nobody has planned comes last.
        for line in lines {
            let Some(profile) = self.plans.profiles.get_mut(&line.name) else { continue };
            let room = (profile.limit as usize).saturating_sub(line.out).min(wish.count.saturating_sub(handed.len()));
            let hot = (profile.hot as usize).saturating_sub(profile.handed_hot.len());
            if room.min(hot) == 0 {
                continue;
            }
            let planned: HashSet<_> = profile.items.iter().map(|item| item.digest).collect();
            let wanted = |digest: &Digest| !planned.contains(digest) && !is_out(digest);
            // Some of them may be other than the plan's own options allow.
            let mut left = room.min(hot);
            for item in hottest(&self.store, wish, left + MAX_PROFILES, wanted) {
                if left == 0 {
                    break;
                }
                match take(&profile.common, &item) {
                    Ok(Some(taken)) => {
                        handed.push((line.name.clone(), taken));
                        profile.handed_hot.push(item.digest);
                        left -= 1;
                    }
                    Ok(None) => {}
                    Err(why) if handed.is_empty() => return Err(why),
                    Err(_) => break,
                }
            }
        }
        Ok(handed)
    }

    /// A plan as a record.
    pub fn plan_record(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.plans.profiles.get(name).map(|profile| plan_record(name, profile))
    }

    /// Takes over the plan of a record.
    pub fn read_plan(&mut self, record: &[u8]) -> Result<Effects, WireError> {
        let (name, profile) = read_plan(record)?;
        if self.plans.len() >= MAX_PROFILES && !self.plans.profiles.contains_key(name) {
            return Err(WireError::Value);
        }
        self.plans.put(name, profile);
        Ok(Effects { planned: Some(name.into()), ..Effects::default() })
    }
}

const PLAN: u8 = b'W';
const LAYOUT: u8 = 1;

fn write_words(w: &mut Writer, words: &[Box<[u8]>]) {
    w.u32(u32::try_from(words.len()).unwrap_or(u32::MAX));
    for word in words {
        w.bytes(word);
    }
}

fn read_words(r: &mut Reader<'_>) -> Result<Box<[Box<[u8]>]>, WireError> {
    let mut words = Vec::new();
    for _ in 0..r.u32()? {
        words.push(r.bytes()?.into());
    }
    Ok(words.into())
}

/// A plan's digests are written, since nothing here can read a request: who hands out an item compares them anew.
fn plan_record(name: &[u8], profile: &Profile) -> Vec<u8> {
    let mut w = Writer::record(PLAN, LAYOUT);
    w.bytes(name).u64(profile.every_ms).u32(profile.limit).u32(profile.hot);
    write_words(&mut w, &profile.common);
    w.u32(profile.items.len() as u32);
    for item in profile.items.iter() {
        w.fixed(item.digest.as_bytes()).bytes(&item.prompt);
        write_words(&mut w, &item.options);
    }
    w.finish()
}

fn read_plan(record: &[u8]) -> Result<(&[u8], Profile), WireError> {
    let (mut r, _) = Reader::record(record, PLAN, LAYOUT)?;
    let (name, every_ms, limit, hot) = (r.bytes()?, r.u64()?, r.u32()?, r.u32()?);
    let common = read_words(&mut r)?;
    let count = r.u32()? as usize;
    if count > MAX_ITEMS || limit == 0 || limit > MAX_OUT || hot > MAX_OUT {
        return Err(WireError::Value);
    }
    let mut items = Vec::new();
    for _ in 0..count {
        let digest = r.fixed(32)?.try_into().map(Digest::from_bytes).map_err(|_| WireError::Short)?;
        items.push(Planned { digest, prompt: r.bytes()?.into(), options: read_words(&mut r)? });
    }
    r.finish()?;
    Ok((name, Profile::new(every_ms, limit, common, items).with_hot(hot)))
}

#[cfg(test)]
mod tests;
