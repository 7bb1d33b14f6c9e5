//! The README does what it says: its examples run in order on one server, and its reference is the table's.
//!
//! How examples are written there:
//!
//! * A `console` block shows what `redis-cli` shows: commands behind the prompt, the output below. Each block is a
//!   connection of its own; one that begins with `$ redis-cli -3` speaks RESP3.
//! * `…` in an output stands for anything in that line, and alone in a line for any number of lines.
//! * The `python` blocks are one program. What a `print` writes stands behind it as a comment.

use crate::harness::{Client, Reply, Server};
use llmcache::syntax::table::COMMANDS;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROMPT: &str = "127.0.0.1:6379> ";
const ANYTHING: char = '…';

fn readme() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap()
}

/// The fenced blocks of a language: the number of the first line inside, and the lines.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<(usize, Vec<&'a str>)> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        if let Some(of) = line.strip_prefix("```") {
            let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            if of == language {
                blocks.push((number + 1, inside));
            }
        }
    }
    blocks
}

/// The words of a line as `redis-cli` reads them.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    while let Some(first) = rest.next() {
        let mut word = String::new();
        match first {
            ' ' => continue,
            '"' => loop {
                match rest.next().expect("a quotation ends") {
                    '"' => break,
                    '\\' => word.push(rest.next().expect("something is escaped")),
                    c => word.push(c),
                }
            },
            '\'' => word.extend(std::iter::from_fn(|| rest.next_if(|c| *c != '\''))),
            c => {
                word.push(c);
                word.extend(std::iter::from_fn(|| rest.next_if(|c| *c != ' ')));
            }
        }
        if first == '\'' {
            assert_eq!(rest.next(), Some('\''), "a quotation ends: {line}");
        }
        words.push(word.into_bytes());
    }
    words
}

/// A reply as `redis-cli` shows it in a terminal.
fn shown(reply: &Reply, indent: &str) -> String {
    match reply {
        Reply::Simple(text) => format!("{text}\n"),
        Reply::Error(text) => format!("(error) {text}\n"),
        Reply::Int(number) => format!("(integer) {number}\n"),
        Reply::Null => "(nil)\n".to_owned(),
        Reply::Double(number) => format!("(double) {number}\n"),
        Reply::Bool(yes) => format!("({yes})\n"),
        Reply::Bulk(bytes) => format!("{}\n", quoted(bytes)),
        Reply::Verbatim { text, .. } => format!("{}\n", String::from_utf8_lossy(text)),
        Reply::BigNumber(number) => format!("{number}\n"),
        Reply::Array(items) | Reply::Push(items) => listed(items.iter().map(|item| (item, None)), ')', "array", indent),
        Reply::Set(items) => listed(items.iter().map(|item| (item, None)), '~', "set", indent),
        Reply::Map(pairs) => listed(pairs.iter().map(|(name, value)| (name, Some(value))), '#', "hash", indent),
    }
}

fn listed<'a>(
    items: impl ExactSizeIterator<Item = (&'a Reply, Option<&'a Reply>)>,
    mark: char,
    name: &str,
    indent: &str,
) -> String {
    let width = items.len().to_string().len();
    if items.len() == 0 {
        return format!("(empty {name})\n");
    }
    let deeper = format!("{indent}{:width$}", "", width = width + 2);
    let mut text = String::new();
    for (i, (item, value)) in items.enumerate() {
        let before = if i == 0 { "" } else { indent };
        write!(text, "{before}{:width$}{mark} {}", i + 1, shown(item, &deeper)).unwrap();
        if let Some(value) = value {
            text.pop();
            // What has several lines begins in one of its own, unless that is a single item.
            let shown = shown(value, &deeper);
            let below = if shown.lines().count() > 1 { format!("\n{deeper}") } else { String::new() };
            write!(text, " => {below}{shown}").unwrap();
        }
    }
    text
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x20..=0x7e => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").unwrap(),
        }
    }
    text + "\""
}

/// Whether a line fits one in which `…` stands for anything.
fn line_fits(wanted: &str, got: &str) -> bool {
    let mut parts = wanted.split(ANYTHING);
    let Some(mut rest) = parts.next().and_then(|first| got.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    last.map_or(rest.is_empty(), |last| got.ends_with(last))
}

/// Whether an output fits what is written down.
fn fits(wanted: &[&str], got: &[&str]) -> bool {
    match wanted {
        [] => got.is_empty(),
        [first, rest @ ..] if first.trim() == "…" => (0..=got.len()).any(|skipped| fits(rest, &got[skipped..])),
        [first, rest @ ..] => got.split_first().is_some_and(|(line, left)| line_fits(first, line) && fits(rest, left)),
    }
}

fn run(client: &mut Client, command: &str) -> String {
    let words = words(command);
    let raw = words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"info"));
    match client.cmd(&words) {
        // redis-cli shows this one as it comes.
        Reply::Bulk(text) | Reply::Verbatim { text, .. } if raw => String::from_utf8_lossy(&text).into_owned(),
        reply => shown(&reply, ""),
    }
}

#[test]
fn the_examples_with_redis_cli_show_what_comes_back() {
    let server = Server::start();
    let text = readme();
    let (mut differ, mut commands) = (String::new(), 0);
    for (number, lines) in blocks(&text, "console") {
        let resp3 = lines.first() == Some(&"$ redis-cli -3");
        let mut client = if resp3 { server.client3() } else { server.client() };
        let mut lines = (number..).zip(lines).skip(usize::from(resp3)).peekable();
        while let Some((number, line)) = lines.next() {
            let command = line.strip_prefix(PROMPT).unwrap_or_else(|| panic!("README.md:{number}: no command: {line}"));
            let mut wanted = Vec::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| !line.starts_with(PROMPT)) {
                wanted.push(line);
            }
            let output = run(&mut client, command);
            let got: Vec<_> = output.lines().map(str::trim_end).collect();
            commands += 1;
            if !fits(&wanted, &got) {
                writeln!(differ, "README.md:{number}: {command}\n{}\n", got.join("\n")).unwrap();
            }
        }
    }
    assert!(differ.is_empty(), "these commands answer something else than the README says:\n\n{differ}");
    println!("{commands} commands answered as the README says");
    assert!(commands > 50, "only {commands} commands were found");
}

#[test]
fn outputs_are_shown_as_redis_cli_shows_them() {
    let server = Server::start();
    let port = server.port().to_string();
    let mut checked = 0;
    for (resp3, command) in [
        (false, "SET k v"),
        (false, "GET nothing"),
        (false, "NOSUCH"),
        (false, r#"ECHO "a\"b\\c""#),
        (false, r#"EVAL "return {1, {'é', {}}, {2, 3}, false}" 0"#),
        (true, "LLMCACHE.STATS nothing"),
        (true, "LLMCACHE.STRATEGY nothing LIST"),
        (true, "COMMAND DOCS GET"),
    ] {
        let mut client = if resp3 { server.client3() } else { server.client() };
        let ours = run(&mut client, command);
        let mut cli = Command::new("redis-cli");
        cli.args(["--no-raw", "-p", &port]).args(resp3.then_some("-3"));
        cli.args(words(command).iter().map(|word| String::from_utf8_lossy(word).into_owned()));
        let Ok(output) = cli.output() else {
            println!("NOT CHECKED: there is no redis-cli here");
            return;
        };
        assert_eq!(ours.trim_end(), String::from_utf8_lossy(&output.stdout).trim_end(), "{command}");
        checked += 1;
    }
    println!("{checked} outputs compared with redis-cli's own");
}

/// A Python for the examples: `LLMCACHE_PYTHON`, the environment of the client tests, or the system's.
fn python() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(ROOT).join("target"), PathBuf::from);
    let own = std::env::var_os("LLMCACHE_PYTHON").map(PathBuf::from);
    let candidates = own.into_iter().chain([target.join("redis-py/bin/python"), PathBuf::from("python3")]);
    let mut usable: Vec<_> = candidates.filter(|python| python_runs(python, "pass")).collect();
    usable.sort_by_key(|python| !python_runs(python, "import redis"));
    usable.into_iter().next()
}

fn python_runs(python: &Path, program: &str) -> bool {
    Command::new(python).args(["-c", program]).output().is_ok_and(|output| output.status.success())
}

#[test]
fn the_examples_with_python_print_what_they_say() {
    let Some(python) = python() else {
        println!("NOT CHECKED: there is no python3 here");
        return;
    };
    let server = Server::start();
    let text = readme();
    let lines: Vec<&str> = blocks(&text, "python").into_iter().flat_map(|(_, lines)| lines).collect();
    let program = lines.join("\n").replace("port=6379", &format!("port={}", server.port()));
    let path = server.dir().join("readme.py");
    std::fs::write(&path, &program).unwrap();
    if !python_runs(&python, "import redis") {
        let compiled = Command::new(&python).args(["-m", "py_compile"]).arg(&path).output().unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        println!("ONLY COMPILED: {} has no redis (pip install redis)", python.display());
        return;
    }
    let output = Command::new(&python).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let prints = lines.iter().filter(|line| line.starts_with("print("));
    let wanted: Vec<&str> = prints.map(|line| line.split_once("  # ").map_or("", |(_, output)| output)).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), wanted);
    println!("{} lines printed as the README says", wanted.len());
}

#[test]
fn the_reference_is_the_table() {
    let text = readme();
    let mut sections: Vec<(&str, &str)> = Vec::new();
    for part in text.split("\n### ").skip(1) {
        let (title, body) = part.split_once('\n').unwrap_or((part, ""));
        sections.push((title, body.split("\n## ").next().unwrap_or(body)));
    }
    sections.retain(|(title, _)| title.starts_with("LLMCACHE."));
    let titles: Vec<&str> = sections.iter().map(|(title, _)| *title).collect();
    let mut names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    names.retain(|name| !titles.contains(name));
    assert_eq!(names, Vec::<&str>::new(), "commands without a section");
    for (title, body) in sections {
        let command = COMMANDS.iter().find(|command| command.name == title);
        let command = command.unwrap_or_else(|| panic!("{title} is no command"));
        let (_, lines) = blocks(body, "text").into_iter().next().unwrap_or_else(|| panic!("{title} has no grammar"));
        let grammar: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
        assert_eq!(grammar.join(" "), format!("{} {}", command.name, command.grammar));
        // What is said of each option, the grammar and the examples left out.
        let prose: String = body.split("```").step_by(2).collect();
        let said: Vec<&str> = prose.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let options = command.grammar.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        for option in options.filter(|word| !word.is_empty() && !word.contains(|c: char| !c.is_ascii_uppercase())) {
            assert!(said.contains(&option), "{title} says nothing of {option}");
        }
    }
}

#[test]
fn links_lead_somewhere() {
    let text = readme();
    let slug = |title: &str| -> String {
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#')));
    let titles: Vec<String> = titles.collect();
    for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        match link.strip_prefix('#') {
            Some(anchor) => assert!(titles.iter().any(|title| title == anchor), "no heading for #{anchor}"),
            None if link.starts_with("https://") => {}
            None => assert!(Path::new(ROOT).join(link).exists(), "{link} is not there"),
        }
    }
}
