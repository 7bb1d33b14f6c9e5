//! A primary and its replica.

use super::builder::Builder;
use super::server::Server;
use super::{cmd, until, PATIENCE};

/// Two servers of which one replicates the other.
pub struct Pair {
    // Fields drop in this order: a primary that outlives its replica logs no error.
    pub replica: Server,
    pub primary: Server,
}

impl Pair {
    /// Both with the module, linked and in sync.
    #[track_caller]
    pub fn start() -> Pair {
        Self::with(|builder| builder)
    }

    /// Both made by the same recipe: `Pair::with(|b| b.aof_always())`.
    #[track_caller]
    pub fn with(recipe: impl Fn(Builder) -> Builder) -> Pair {
        let primary = recipe(Server::builder()).start();
        let replica = recipe(Server::builder()).replica_of(&primary).start();
        let pair = Pair { replica, primary };
        pair.wait_for_link();
        pair
    }

    /// Waits until the replica is linked to its primary.
    #[track_caller]
    pub fn wait_for_link(&self) {
        let mut replica = self.replica.client();
        until("the replica's link to its primary is up", PATIENCE, || {
            replica.info_field("replication", "master_link_status").as_deref() == Some("up")
        });
    }

    /// Waits until the replica has applied all that the primary has written so far, by whichever client.
    #[track_caller]
    pub fn wait_in_sync(&self) {
        self.wait_for_link();
        let (mut primary, mut replica) = (self.primary.client(), self.replica.client());
        let wanted = offset(primary.info_field("replication", "master_repl_offset"));
        until(&format!("the replica has reached offset {wanted}"), PATIENCE, || {
            offset(replica.info_field("replication", "slave_repl_offset")) >= wanted
        });
    }

    /// Makes the replica a primary of its own.
    #[track_caller]
    pub fn promote(&self) {
        cmd!(self.replica.client(), "REPLICAOF", "NO", "ONE").ok();
    }
}

#[track_caller]
fn offset(info: Option<String>) -> u64 {
    info.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("INFO tells no replication offset"))
}
