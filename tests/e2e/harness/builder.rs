//! How a server is to be started: its configuration, its port and its folder.

use super::server::Server;
use super::version::{module_path, server_binary, Version};
use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// How a server is to be started. See [`Server::builder`].
#[derive(Clone)]
pub struct Builder {
    pub(super) binary: PathBuf,
    pub(super) module: Option<PathBuf>,
    pub(super) module_args: Vec<String>,
    pub(super) config: Vec<String>,
    pub(super) cluster: bool,
    pub(super) hello3: bool,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            binary: server_binary(),
            module: Some(module_path()),
            module_args: Vec::new(),
            config: Vec::new(),
            cluster: false,
            hello3: false,
        }
    }

    /// No module: a plain server.
    pub fn plain(mut self) -> Self {
        self.module = None;
        self
    }

    /// Another module than that of all tests.
    pub fn module(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.module = Some(path.canonicalize().unwrap_or(path));
        self
    }

    /// Adds arguments to the module: `.module_args("max-prompt-bytes 100")`.
    pub fn module_args(mut self, args: &str) -> Self {
        self.module_args.extend(args.split_whitespace().map(str::to_owned));
        self
    }

    /// Adds a line to the configuration; of two that say the same thing the later one counts.
    pub fn config(mut self, line: &str) -> Self {
        self.config.push(line.to_owned());
        self
    }

    /// An append-only file in which every write is on disk before its reply.
    pub fn aof_always(self) -> Self {
        self.config("appendonly yes").config("appendfsync always")
    }

    /// An append-only file that is synced every second.
    pub fn aof_everysec(self) -> Self {
        self.config("appendonly yes").config("appendfsync everysec")
    }

    /// A rewritten append-only file has commands in it and no RDB preamble: the module's AOF rewrite is at work.
    pub fn aof_of_commands(self) -> Self {
        self.config("aof-use-rdb-preamble no")
    }

    /// Snapshots: `.save("900 1")`. Without, only SAVE and BGSAVE make one.
    pub fn save(self, points: &str) -> Self {
        self.config(&format!("save {points}"))
    }

    /// A replica of that server from the start. [`super::Pair`] also waits until it is one.
    pub fn replica_of(self, primary: &Server) -> Self {
        self.config(&format!("replicaof 127.0.0.1 {}", primary.port()))
    }

    /// A node of a cluster; its bus has a free port as well. To make a cluster of nodes is the test's part.
    pub fn cluster(mut self) -> Self {
        self.cluster = true;
        self.config("cluster-enabled yes")
    }

    /// [`Server::client`] answers connections that speak RESP3.
    pub fn resp3(mut self) -> Self {
        self.hello3 = true;
        self
    }

    /// Another server's binary than [`server_binary`].
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = path.into();
        self
    }

    /// Starts the server and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Server {
        let mut server = self.prepare();
        for _ in 0..8 {
            match server.try_start() {
                Ok(()) => return server,
                // Somebody else was quicker to take the port.
                Err(why) if why.contains("Address already in use") => server.move_to_another_port(),
                Err(why) => panic!("{why}"),
            }
        }
        panic!("no port stays free for a server; {}", server.log_tail());
    }

    /// Starts the server and answers its log, once it has given up. Panics when it does start.
    #[track_caller]
    pub fn fails_to_start(self) -> String {
        let mut server = self.prepare();
        match server.try_start() {
            Ok(()) => panic!("the server started and should not have; {}", server.log_tail()),
            Err(_) => server.log(),
        }
    }

    #[track_caller]
    fn prepare(self) -> Server {
        if let Some(module) = &self.module {
            assert!(
                module.is_file(),
                "no module at {}: run `cargo build --release` first, or name another in LLMCACHE_SO",
                module.display()
            );
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("llmcache-{}-{:x}-{number}", std::process::id(), nonce()));
        fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
        let port = free_port(self.cluster);
        Server::not_yet_running(self, port, dir)
    }

    /// The server's configuration file.
    pub(super) fn configuration(&self, port: u16, dir: &Path) -> String {
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("port {}", port),
            format!("dir \"{}\"", dir.display()),
            "save \"\"".to_owned(),
            "appendonly no".to_owned(),
            // Five seconds in which a primary waits for more replicas.
            "repl-diskless-sync-delay 0".to_owned(),
        ];
        if Version::of_binary(&self.binary).major >= 7 {
            lines.push("enable-debug-command yes".to_owned());
            lines.push("enable-module-command yes".to_owned());
        }
        if let Some(module) = &self.module {
            lines.push(format!("loadmodule \"{}\" {}", module.display(), self.module_args.join(" ")));
        }
        lines.extend(self.config.iter().cloned());
        lines.join("\n") + "\n"
    }
}

fn nonce() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos())
}

/// A port that nobody listens at and that nobody will be given by chance: it lies below what Linux gives to outgoing
/// connections (32768 and up), so that it is still free when a server comes back to it. No port is given out twice.
pub(super) fn free_port(with_bus: bool) -> u16 {
    const FROM: u32 = 11_000;
    const COUNT: u32 = 10_000;
    const BUS: u16 = 10_000;
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(|e| e.into_inner());
    let given = given.get_or_insert_with(HashSet::new);
    let start = std::process::id().wrapping_mul(7919).wrapping_add(nonce());
    for i in 0..COUNT {
        let port = (FROM + start.wrapping_add(i) % COUNT) as u16;
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if !given.contains(&port) && free(port) && (!with_bus || free(port + BUS)) {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port between {FROM} and {}", FROM + COUNT);
}
