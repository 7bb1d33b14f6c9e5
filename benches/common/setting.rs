//! Under what circumstances something was measured.

use crate::harness::{server_binary, Builder, Client, Server};
use std::path::Path;
use std::process::Command;

/// How to start servers: the binary that an option names, else that of all tests.
pub fn builder(server: Option<&str>) -> Builder {
    server.map_or_else(Server::builder, |path| {
        let path = Path::new(path);
        Server::builder().binary(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
    })
}

/// Whether there is such a server at all: its binary can be run.
pub fn is_there(server: Option<&str>) -> bool {
    let binary = server.map_or_else(server_binary, Into::into);
    Command::new(binary).arg("--version").output().is_ok_and(|out| out.status.success())
}

/// Whether the server has this command.
pub fn has_command(client: &mut Client, name: &str) -> bool {
    let reply = client.cmd(&["COMMAND", "INFO", name]);
    reply.items().first().is_some_and(|command| !command.is_null() && !command.items().is_empty())
}

/// The circumstances as a list in Markdown. To be called before anything is measured: it tells the load so far.
pub fn print(bench: &str, client: &mut Client, further: &[(&str, String)]) {
    println!("\n### {bench}\n");
    println!("- machine: {}", machine());
    println!("- server: {}, one process, nothing on disk", server(client));
    println!("- module: {}", module(client));
    for (name, text) in further {
        println!("- {name}: {text}");
    }
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    println!("- command: `{}`\n", [&[bench.to_owned()], args.as_slice()].concat().join(" "));
}

fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown CPU");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let model = model.trim_start_matches(['\t', ' ', ':']);
    format!("{model}, {cores} cores, load {} before", load.split(' ').next().unwrap_or("unknown"))
}

fn server(client: &mut Client) -> String {
    let info = client.info("server");
    let field = |name: &str| info.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    match field("valkey_version") {
        Some(version) => format!("Valkey {version}"),
        None => format!("Redis {}", field("redis_version").unwrap_or("of unknown version")),
    }
}

/// The module's version and the commit it is of, as far as the working tree tells.
fn module(client: &mut Client) -> String {
    let info = client.info("modules").into_iter().find(|(name, value)| name == "module" && value.contains("llmcache"));
    if info.is_none() {
        return "none".into();
    }
    let git = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "--short", "HEAD"]).output();
    let commit =
        git.ok().filter(|out| out.status.success()).map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    let commit = commit.map_or_else(String::new, |commit| format!(", commit {}", commit.trim()));
    format!("LLMCACHE {}{commit}", env!("CARGO_PKG_VERSION"))
}
