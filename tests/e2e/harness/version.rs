//! Which server and which module are tested.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Which server it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// `redis` or `valkey`.
    pub product: &'static str,
    pub major: u32,
    pub minor: u32,
}

impl Version {
    pub(super) fn parse(product: &'static str, text: &str) -> Option<Version> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        Some(Version { product, major: parts.next()??, minor: parts.next()?? })
    }

    /// Asks the binary. What cannot be read counts as new; the start will tell.
    pub(super) fn of_binary(binary: &Path) -> Version {
        let said = Command::new(binary).arg("--version").output().map(|out| out.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let version = said.split_whitespace().find_map(|word| Version::parse("redis", word.strip_prefix("v=")?));
        version.unwrap_or(Version { product: "redis", major: 7, minor: 0 })
    }

    /// Whether this is Redis of at least that version. Valkey never is: it went its own way after 7.2.
    pub fn is_redis(&self, major: u32, minor: u32) -> bool {
        self.product == "redis" && (self.major, self.minor) >= (major, minor)
    }

    /// Whether this is Valkey of at least that version.
    pub fn is_valkey(&self, major: u32, minor: u32) -> bool {
        self.product == "valkey" && (self.major, self.minor) >= (major, minor)
    }
}

/// The server to test: `LLMCACHE_REDIS_SERVER`, or the `redis-server` on the PATH.
pub fn server_binary() -> PathBuf {
    std::env::var_os("LLMCACHE_REDIS_SERVER").map_or_else(|| "redis-server".into(), from_here)
}

/// The module to test: `LLMCACHE_SO`, or where `cargo build --release` puts it.
pub fn module_path() -> PathBuf {
    if let Some(path) = std::env::var_os("LLMCACHE_SO") {
        return from_here(path);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| from_here("target"), from_here);
    let extension = if cfg!(target_os = "macos") { "dylib" } else { "so" };
    target.join("release/libllmcache").with_extension(extension)
}

/// A server runs in a folder of its own, so relative paths are made absolute. A bare name stays one, for the PATH.
fn from_here(path: impl Into<PathBuf>) -> PathBuf {
    let path = path.into();
    if path.components().count() == 1 && !path.exists() {
        return path;
    }
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
