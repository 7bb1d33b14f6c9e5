//! Files of the data folder.

use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The folder that an option names, else `LLMCACHE_DATA`, else the one beside the repository.
pub fn folder(option: Option<&str>) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = option.map(PathBuf::from).or_else(|| std::env::var_os("LLMCACHE_DATA").map(PathBuf::from));
    named.unwrap_or_else(|| root.join("../shared/data"))
}

/// The lines of a gzip'd file; none where there is no such file.
pub fn lines(path: &Path) -> Option<Vec<String>> {
    let lines = BufReader::new(GzDecoder::new(File::open(path).ok()?)).lines();
    Some(lines.map(|line| line.expect("a gzip of lines")).collect())
}

/// The objects of a gzip'd file, one a line; none where there is no such file.
pub fn objects(path: &Path) -> Option<Vec<Value>> {
    let lines = lines(path)?;
    Some(lines.iter().map(|line| serde_json::from_str(line).expect("one object a line")).collect())
}
