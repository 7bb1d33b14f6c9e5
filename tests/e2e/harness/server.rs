//! One server process: its port, its folder, its pid and its log are its own, and all of them end with the value.

use super::builder::{free_port, Builder};
use super::client::Client;
use super::version::Version;
use super::{cmd, until, PATIENCE};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start or to end. It loads data in that time, on a machine that may be busy.
const START: Duration = Duration::from_secs(40);

/// A running server.
pub struct Server {
    how: Builder,
    port: u16,
    dir: PathBuf,
    child: Option<Child>,
    version: Option<Version>,
}

impl Server {
    pub(super) fn not_yet_running(how: Builder, port: u16, dir: PathBuf) -> Server {
        Server { how, port, dir, child: None, version: None }
    }

    /// With the module, nothing on disk.
    #[track_caller]
    pub fn start() -> Server {
        Self::builder().start()
    }

    /// With the module and whatever is added.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A new connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        let client = Client::connect(self.addr());
        let client = client.unwrap_or_else(|e| panic!("cannot connect to {}: {e}; {}", self.addr(), self.log_tail()));
        if self.how.hello3 {
            client.hello3()
        } else {
            client
        }
    }

    /// A new connection that speaks RESP3.
    #[track_caller]
    pub fn client3(&self) -> Client {
        let client = self.client();
        if self.how.hello3 {
            client
        } else {
            client.hello3()
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The folder with its data, its configuration and its log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The pid of the process that runs.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map(Child::id).unwrap_or_else(|| panic!("the server does not run; {}", self.log_tail()))
    }

    /// What this server is: tests of what old servers lack ask here.
    pub fn version(&self) -> &Version {
        self.version.as_ref().unwrap_or_else(|| panic!("the server never ran"))
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.as_mut().map(Child::try_wait), Some(Ok(None)))
    }

    /// Ends the server as an operator does: SIGTERM. It saves where save points are set.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_exit()
    }

    /// Ends the server as a power cut does.
    #[track_caller]
    pub fn kill9(&mut self) {
        self.pid();
        if let Some(child) = self.child.as_mut() {
            child.kill().unwrap_or_else(|e| panic!("cannot kill the server: {e}"));
        }
        self.wait_for_exit();
    }

    /// Waits until the process has ended, however it came to it.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap_or_else(|| panic!("the server does not run; {}", self.log_tail()));
        let end = Instant::now() + START;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return status,
                _ if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
                other => {
                    self.child = Some(child);
                    panic!("the server does not end ({other:?}); {}", self.log_tail());
                }
            }
        }
    }

    /// Starts the server again on the same folder and port.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        self.try_start().unwrap_or_else(|why| panic!("{why}"));
    }

    /// Starts a stopped server again and answers its log, once it has given up. Panics when it does start.
    #[track_caller]
    pub fn fails_to_start_again(&mut self) -> String {
        assert!(self.child.is_none(), "the server runs already");
        let before = self.log().len();
        match self.try_start() {
            Ok(()) => panic!("the server started and should not have; {}", self.log_tail()),
            Err(_) => self.log().split_off(before),
        }
    }

    /// SIGTERM, then a start on the same folder. Without AOF and save points the data is gone.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// SAVE, then [`Server::restart`]: through an RDB file (where there is no AOF, which would come first).
    #[track_caller]
    pub fn restart_from_rdb(&mut self) {
        cmd!(self.client(), "SAVE").ok();
        self.restart();
    }

    /// `kill -9`, then a start on the same folder.
    #[track_caller]
    pub fn crash_and_restart(&mut self) {
        self.kill9();
        self.start_again();
    }

    /// Changes the configuration of the next start.
    pub fn reconfigure(&mut self, change: impl FnOnce(Builder) -> Builder) {
        self.how = change(self.how.clone());
    }

    /// Rewrites the append-only file and waits until that is done.
    #[track_caller]
    pub fn rewrite_aof(&self) {
        self.fork_and_wait("BGREWRITEAOF", "aof_rewrite_in_progress", "aof_last_bgrewrite_status");
    }

    /// Saves in a fork and waits until that is done.
    #[track_caller]
    pub fn bgsave(&self) {
        self.fork_and_wait("BGSAVE", "rdb_bgsave_in_progress", "rdb_last_bgsave_status");
    }

    #[track_caller]
    fn fork_and_wait(&self, command: &str, progress: &str, status: &str) {
        let mut client = self.client();
        let info = |client: &mut Client, name| client.info_field("persistence", name).unwrap_or_default();
        until("no fork is at work", START, || {
            info(&mut client, "aof_rewrite_in_progress") == "0" && info(&mut client, "rdb_bgsave_in_progress") == "0"
        });
        let reply = client.words(command);
        assert!(!reply.is_error(), "{command}: {reply:?}");
        until(&format!("{command} ends"), START, || {
            info(&mut client, progress) == "0" && info(&mut client, "aof_rewrite_scheduled") == "0"
        });
        assert_eq!(info(&mut client, status), "ok", "{command} failed; {}", self.log_tail());
    }

    /// Sends a signal by name: `STOP` and `CONT` make a server that hangs.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        // The shell's own kill: not every small system has the program.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(matches!(&sent, Ok(status) if status.success()), "cannot send SIG{name}: {sent:?}");
    }

    /// Everything the server has said, of all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits until the log has this text in it.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        until(&format!("the log of {} says '{text}'", self.dir.display()), PATIENCE, || self.log().contains(text));
    }

    pub(super) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n");
        format!("the end of {}/log:\n{tail}\n", self.dir.display())
    }

    pub(super) fn move_to_another_port(&mut self) {
        self.port = free_port(self.how.cluster);
    }

    /// Starts the process and waits until the one that answers is it.
    pub(super) fn try_start(&mut self) -> Result<(), String> {
        let told = |what: &str, e: &dyn std::fmt::Display| format!("cannot {what}: {e}");
        let conf = self.dir.join("redis.conf");
        fs::write(&conf, self.how.configuration(self.port, &self.dir))
            .map_err(|e| told("write the configuration", &e))?;
        let log = File::options().create(true).append(true).open(self.dir.join("log"));
        let log = log.map_err(|e| told("open the log", &e))?;
        let before = self.log().len();
        let binary = self.how.binary.clone();
        let child = Command::new(&binary)
            .arg(&conf)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stderr(log.try_clone().map_err(|e| told("open the log", &e))?)
            .stdout(log)
            .spawn()
            .map_err(|e| no_server(&binary, &e))?;
        self.child = Some(child);

        let pid = self.pid().to_string();
        let end = Instant::now() + START;
        loop {
            if !self.is_running() {
                self.child = None;
                let said = self.log().split_off(before);
                return Err(format!("{} ended instead of starting; its log:\n{said}", binary.display()));
            }
            if let Some(version) = self.answers_as(&pid) {
                self.version = Some(version);
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("{} does not answer within {START:?}; {}", binary.display(), self.log_tail()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The version, once a server answers at our port that is the very process we started.
    fn answers_as(&self, pid: &str) -> Option<Version> {
        let mut client = Client::connect(self.addr()).ok()?;
        client.set_patience(Duration::from_secs(5));
        if client.try_cmd(&["PING"]).ok()? != "PONG" {
            return None;
        }
        let info = client.try_cmd(&["INFO", "server"]).ok()?.text();
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        if field("process_id")? != pid {
            return None;
        }
        match field("valkey_version") {
            Some(version) => Version::parse("valkey", version),
            None => Version::parse("redis", field("redis_version")?),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // One that never ran has told its log in the failure.
        if std::thread::panicking() && self.version.is_some() {
            eprintln!("kept for the curious: {} (its log is in there)", self.dir.display());
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn no_server(binary: &Path, e: &dyn std::fmt::Display) -> String {
    format!(
        "cannot run {}: {e}. Run `make setup` (or `apt-get install redis-server`), or name one in LLMCACHE_REDIS_SERVER",
        binary.display()
    )
}
