//! A cluster: primaries that share the slots, replicas, and a client that goes where it is sent.

use super::client::{Client, ToArg};
use super::resp::Reply;
use super::server::Server;
use super::{cmd, until, until_some, PATIENCE};
use std::collections::hash_map::Entry;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::thread;

/// Nodes that make a cluster. The primaries come first, then as many replicas, in the order of their primaries.
pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// Three primaries, and a replica for each.
    #[track_caller]
    pub fn start() -> Cluster {
        let cluster = Self::of_primaries();
        let Cluster { mut nodes } = cluster;
        nodes.extend(Self::start_nodes(3));
        let cluster = Cluster { nodes };
        cluster.meet();
        for (primary, replica) in [(0, 3), (1, 4), (2, 5)] {
            let (id, mut c) = (cluster.id(primary), cluster.nodes[replica].client());
            until("a node may become a replica", PATIENCE, || cmd!(c, "CLUSTER", "REPLICATE", id).is_ok());
        }
        for replica in 3..6 {
            cluster.wait_for_link(replica);
        }
        // Each knows who replicates whom, or it would send readers of a replica elsewhere.
        for node in &cluster.nodes {
            let mut c = node.client();
            until("all know all replicas", PATIENCE, || {
                let slots = c.words("CLUSTER SLOTS");
                slots.items().len() == 3 && slots.items().iter().all(|range| range.items().len() == 4)
            });
        }
        cluster
    }

    /// Three primaries alone: what is about slots needs no more.
    #[track_caller]
    pub fn of_primaries() -> Cluster {
        let cluster = Cluster { nodes: Self::start_nodes(3) };
        for (node, slots) in cluster.nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
            let mut c = node.client();
            c.words(&format!("CLUSTER ADDSLOTSRANGE {slots}")).ok();
        }
        cluster.meet();
        cluster
    }

    #[track_caller]
    fn start_nodes(count: usize) -> Vec<Server> {
        let start = || {
            let builder = Server::builder().cluster().config("cluster-node-timeout 1500");
            builder.config("cluster-require-full-coverage no").config("cluster-allow-replica-migration no").start()
        };
        let starting: Vec<_> = (0..count).map(|_| thread::spawn(start)).collect();
        starting.into_iter().map(|node| node.join().expect("a node starts")).collect()
    }

    /// All meet all, and agree on who has which slot.
    #[track_caller]
    fn meet(&self) {
        for (node, epoch) in self.nodes.iter().zip(1..) {
            let mut c = node.client();
            // Those who have met already have one.
            c.words(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}"));
            for other in self.nodes.iter().filter(|other| other.port() != node.port()) {
                c.words(&format!("CLUSTER MEET 127.0.0.1 {}", other.port())).ok();
            }
        }
        let count = self.nodes.len().to_string();
        for node in &self.nodes {
            let mut c = node.client();
            until("the cluster is one", PATIENCE, || {
                let info = c.info_of_cluster();
                let says = |name: &str, value: &str| info.iter().any(|(key, found)| key == name && found == value);
                says("cluster_state", "ok") && says("cluster_known_nodes", &count) && says("cluster_slots_ok", "16384")
            });
        }
    }

    /// From now on a node that is slow is not taken for one that is dead: for tests in which none dies.
    #[track_caller]
    pub fn calm(self) -> Cluster {
        self.nodes.iter().for_each(|node| node.client().words("CONFIG SET cluster-node-timeout 30000").ok());
        self
    }

    /// A node's id.
    #[track_caller]
    pub fn id(&self, node: usize) -> String {
        self.nodes[node].client().words("CLUSTER MYID").text()
    }

    /// The slot of a key.
    #[track_caller]
    pub fn slot(&self, key: &str) -> i64 {
        cmd!(self.nodes[0].client(), "CLUSTER", "KEYSLOT", key).int()
    }

    /// The primary of a key, as the first primary sees it.
    #[track_caller]
    pub fn primary_of(&self, key: &str) -> usize {
        let slot = self.slot(key);
        let slots = self.nodes[0].client().words("CLUSTER SLOTS");
        let range = slots.items().iter().find(|range| (range.at(0).int()..=range.at(1).int()).contains(&slot));
        let port = range.expect("every slot has a primary").at(2).at(1).int();
        self.nodes.iter().position(|node| i64::from(node.port()) == port).expect("a node of ours")
    }

    /// A connection to the primary of a key.
    #[track_caller]
    pub fn client_of(&self, key: &str) -> Client {
        self.nodes[self.primary_of(key)].client3()
    }

    /// Waits until a replica is linked to its primary.
    #[track_caller]
    pub fn wait_for_link(&self, replica: usize) {
        let mut c = self.nodes[replica].client();
        until("the replica's link to its primary is up", PATIENCE, || {
            c.info_field("replication", "master_link_status").as_deref() == Some("up")
        });
    }

    /// A slot is about to move: the one sends away who asks for what it has not, the other serves whom it sent.
    #[track_caller]
    pub fn begin_move(&self, slot: i64, from: usize, to: usize) {
        cmd!(self.nodes[to].client(), "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(from)).ok();
        cmd!(self.nodes[from].client(), "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(to)).ok();
    }

    /// Moves keys.
    #[track_caller]
    pub fn move_keys(&self, from: usize, to: usize, keys: &[&str]) -> Reply {
        let port = self.nodes[to].port().to_string();
        let mut args = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "20000", "KEYS"];
        args.extend(keys);
        self.nodes[from].client().cmd(&args)
    }

    /// The slot has moved; all primaries are told.
    #[track_caller]
    pub fn end_move(&self, slot: i64, from: usize, to: usize) {
        let id = self.id(to);
        for node in [to, from].into_iter().chain((0..3).filter(|node| ![to, from].contains(node))) {
            cmd!(self.nodes[node].client(), "CLUSTER", "SETSLOT", slot, "NODE", id).ok();
        }
    }

    /// A client that follows redirects.
    pub fn router(&self) -> Router {
        let seeds = self.nodes.iter().map(Server::addr).collect();
        Router { seeds, next: 0, open: HashMap::new(), homes: HashMap::new(), moved: 0, asked: 0, broken: 0 }
    }
}

impl Client {
    /// `CLUSTER INFO`: name and value of each line.
    #[track_caller]
    pub fn info_of_cluster(&mut self) -> Vec<(String, String)> {
        let text = self.words("CLUSTER INFO").text();
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// What a client of a cluster does: it goes where a redirect sends it, and asks again where nobody answers.
pub struct Router {
    seeds: Vec<SocketAddr>,
    next: usize,
    open: HashMap<SocketAddr, Client>,
    homes: HashMap<String, SocketAddr>,
    /// How many redirects of either kind were followed, and how many connections broke.
    pub moved: u64,
    pub asked: u64,
    pub broken: u64,
}

impl Router {
    /// A command about this key, asked until a node answers it.
    #[track_caller]
    pub fn cmd(&mut self, key: &str, args: &[Vec<u8>]) -> Reply {
        until_some(&format!("the cluster answers a command about {key}"), PATIENCE, || self.attempt(key, args))
    }

    /// The words of a line as one command; the second is the key.
    #[track_caller]
    pub fn words(&mut self, line: &str) -> Reply {
        let words: Vec<Vec<u8>> = line.split_whitespace().map(ToArg::to_arg).collect();
        let key = line.split_whitespace().nth(1).expect("a command about a key").to_owned();
        self.cmd(&key, &words)
    }

    /// Whether all that was written on this connection to the key's primary is on a replica too. Where the connection is gone,
    /// it may be or not.
    pub fn is_on_a_replica(&mut self, key: &str) -> bool {
        let Some(client) = self.homes.get(key).and_then(|addr| self.open.get_mut(addr)) else { return false };
        matches!(client.try_cmd(&["WAIT", "1", "500"]), Ok(Reply::Int(count)) if count >= 1)
    }

    /// None: not now.
    fn attempt(&mut self, key: &str, args: &[Vec<u8>]) -> Option<Reply> {
        let mut addr = *self.homes.entry(key.to_owned()).or_insert(self.seeds[self.next % self.seeds.len()]);
        let mut asking = false;
        // Whoever is sent around more often than there are nodes had better wait.
        for _ in 0..self.seeds.len() {
            let reply = match self.ask(addr, asking, args) {
                Ok(reply) => reply,
                Err(_) => {
                    self.broken += 1;
                    self.next += 1;
                    self.open.remove(&addr);
                    self.homes.remove(key);
                    return None;
                }
            };
            let Reply::Error(error) = &reply else { return Some(reply) };
            let mut words = error.split(' ');
            let (kind, to) = (words.next().unwrap_or_default(), words.nth(1).and_then(|to| to.parse().ok()));
            match (kind, to) {
                ("MOVED", Some(to)) => {
                    self.moved += 1;
                    self.homes.insert(key.to_owned(), to);
                    (addr, asking) = (to, false);
                }
                ("ASK", Some(to)) => {
                    self.asked += 1;
                    (addr, asking) = (to, true);
                }
                ("TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "UNBLOCKED", _) => return None,
                _ => return Some(reply),
            }
        }
        None
    }

    fn ask(&mut self, addr: SocketAddr, asking: bool, args: &[Vec<u8>]) -> io::Result<Reply> {
        let client = match self.open.entry(addr) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(free) => {
                let mut client = Client::connect(addr)?;
                client.try_cmd(&["HELLO", "3"])?;
                free.insert(client)
            }
        };
        if asking {
            client.try_cmd(&["ASKING"])?;
        }
        client.try_cmd(args)
    }
}
