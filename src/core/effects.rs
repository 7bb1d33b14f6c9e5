//! What a mutator did. The shell makes replication, keyspace events and counters of it.

use super::alerts::Turn;
use super::entry::Lifespan;
use super::feedback::Pair;
use super::identity::EntryId;

/// What has happened to a cache, free of the clock and of the policy: repeated elsewhere it gives the same cache.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// The policy, a strategy or a rule has changed.
    pub policy: bool,
    /// All entries are gone.
    pub cleared: bool,
    /// Entries that somebody deleted.
    pub deleted: Vec<EntryId>,
    /// Entries that made room.
    pub evicted: Vec<EntryId>,
    /// The entry that was stored.
    pub stored: Option<EntryId>,
    /// Entries whose end of life was moved, but to no later time.
    pub moved: Vec<(EntryId, Lifespan)>,
    /// The entry whose life was prolonged. Others may have given it up by now, so they are told all of it.
    pub renewed: Option<EntryId>,
    /// A prompt and an entry that were called a bad pair, or are one no more.
    pub judged: Option<(Pair, bool)>,
    /// The plan that was made or changed.
    pub planned: Option<Box<[u8]>>,
    /// The plan that was given up.
    pub unplanned: Option<Box<[u8]>>,
    /// An alert was made, changed or given up, or stands otherwise than before.
    pub alerts: bool,
    /// Alerts that began to fire or stopped, to be told of once, by the node that saw it.
    pub turned: Vec<Turn>,
    /// How many dead entries gave their memory back. Each node does that by itself.
    pub expired: u64,
}

impl Effects {
    /// Adds what happened after that.
    pub fn merge(&mut self, more: Self) {
        let Self {
            policy,
            cleared,
            deleted,
            evicted,
            stored,
            moved,
            renewed,
            judged,
            planned,
            unplanned,
            alerts,
            turned,
            expired,
        } = more;
        (self.policy, self.cleared, self.alerts) = (self.policy | policy, self.cleared | cleared, self.alerts | alerts);
        self.deleted.extend(deleted);
        self.evicted.extend(evicted);
        self.moved.extend(moved);
        self.turned.extend(turned);
        self.stored = stored.or(self.stored);
        self.renewed = renewed.or(self.renewed);
        self.judged = judged.or(self.judged);
        self.planned = planned.or(self.planned.take());
        self.unplanned = unplanned.or(self.unplanned.take());
        self.expired += expired;
    }

    /// Whether anything happened that others must be told.
    pub fn is_silent(&self) -> bool {
        *self == Self { expired: self.expired, ..Self::default() }
    }
}
