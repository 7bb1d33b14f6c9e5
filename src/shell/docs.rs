//! COMMAND DOCS, key specs and ACL categories, from the table of commands, as far as the server has them.

use super::log;
use crate::syntax::grammar::{self, Argument, Kind};
use crate::syntax::table::{Access, Command};
use redis_module::{raw, Context};
use std::ffi::{c_char, c_int, CStr, CString};

/// The ACL category of all commands, on servers that let modules have one.
const CATEGORY: &CStr = c"llmcache";

static VERSION: Version = Version(raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
});

struct Version(raw::RedisModuleCommandInfoVersion);

// SAFETY: four numbers that never change.
unsafe impl Sync for Version {}

/// Makes the category known; commands can be put into it afterwards.
pub fn add_category(ctx: &Context) {
    // SAFETY: called while the module loads; the name is a C string.
    unsafe { raw::RedisModule_AddACLCategory.map(|add| add(ctx.ctx, CATEGORY.as_ptr())) };
}

/// Describes a registered command to the server.
pub fn describe(ctx: &Context, command: &Command) {
    let Ok(name) = CString::new(command.name) else { return };
    // SAFETY: called while the module loads; the name is a C string.
    let registered =
        unsafe { raw::RedisModule_GetCommand.map_or(std::ptr::null_mut(), |get| get(ctx.ctx, name.as_ptr())) };
    if registered.is_null() {
        return;
    }
    if !set_info(registered, command) {
        log::warning(ctx, &format!("{} could not be documented", command.name));
    }
    // SAFETY: the table of server functions is written once, while the module loads.
    let (own, set) = unsafe { (raw::RedisModule_AddACLCategory, raw::RedisModule_SetCommandACLCategories) };
    let Some(set) = set else { return };
    let Ok(categories) = CString::new(command.acl_categories(own.is_some())) else { return };
    // SAFETY: the command is the one just found; the names are a C string.
    unsafe { set(registered, categories.as_ptr()) };
}

/// C strings and arrays that must live until the server has copied them.
#[derive(Default)]
struct Keep {
    strings: Vec<CString>,
    arrays: Vec<Vec<raw::RedisModuleCommandArg>>,
}

impl Keep {
    fn string(&mut self, text: &str) -> *const c_char {
        let string = CString::new(text).unwrap_or_default();
        let pointer = string.as_ptr();
        self.strings.push(string);
        pointer
    }

    /// An array of arguments and the empty one that ends it.
    fn arguments(&mut self, arguments: &[Argument]) -> *mut raw::RedisModuleCommandArg {
        let mut array: Vec<_> = arguments.iter().map(|argument| self.argument(argument)).collect();
        // SAFETY: numbers and pointers, for all of which zero is a value: it ends the array.
        array.push(unsafe { std::mem::zeroed() });
        let pointer = array.as_mut_ptr();
        self.arrays.push(array);
        pointer
    }

    fn argument(&mut self, argument: &Argument) -> raw::RedisModuleCommandArg {
        let mut flags = 0;
        if argument.optional {
            flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
        }
        if argument.multiple {
            flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
            if argument.token.is_some() {
                flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE_TOKEN;
            }
        }
        raw::RedisModuleCommandArg {
            name: self.string(&argument.name),
            type_: type_of(&argument.kind),
            key_spec_index: if argument.kind == Kind::Key { 0 } else { -1 },
            token: argument.token.as_deref().map_or(std::ptr::null(), |token| self.string(token)),
            summary: std::ptr::null(),
            since: std::ptr::null(),
            flags: flags as c_int,
            deprecated_since: std::ptr::null(),
            subargs: match &argument.kind {
                Kind::OneOf(inner) | Kind::Block(inner) => self.arguments(inner),
                _ => std::ptr::null_mut(),
            },
            display_text: std::ptr::null(),
        }
    }
}

fn type_of(kind: &Kind) -> raw::RedisModuleCommandArgType {
    match kind {
        Kind::Key => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
        Kind::Text => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
        Kind::Pattern => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PATTERN,
        Kind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
        Kind::Double => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_DOUBLE,
        Kind::UnixTime => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_UNIX_TIME,
        Kind::Flag => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
        Kind::OneOf(_) => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
        Kind::Block(_) => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
    }
}

fn set_info(registered: *mut raw::RedisModuleCommand, command: &Command) -> bool {
    // SAFETY: the table of server functions is written once, while the module loads.
    let Some(set) = (unsafe { raw::RedisModule_SetCommandInfo }) else { return true };
    let Some(arguments) = grammar::parse(command.grammar) else { return false };
    let mut keep = Keep::default();
    let flags = match command.access {
        Access::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        // Flags that vary make the server ask the command itself where its key is.
        Access::ReadOptional | Access::Reset => {
            raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_VARIABLE_FLAGS
        }
        Access::Write => {
            raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE
        }
        Access::Delete => {
            raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_DELETE
        }
    };
    // SAFETY: numbers, pointers and a union of numbers, for all of which zero is a value: the second ends the array.
    let mut specs: [raw::RedisModuleCommandKeySpec; 2] = unsafe { std::mem::zeroed() };
    let [spec, _] = &mut specs;
    spec.flags = u64::from(flags);
    spec.begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    spec.bs.index = raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos: 1 };
    spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
    spec.fk.range = raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 { lastkey: 0, keystep: 1, limit: 0 };
    // Sums over all caches come from every shard; everything else goes where the key is.
    let tips = match command.access {
        Access::ReadOptional => {
            keep.string("nondeterministic_output request_policy:all_shards response_policy:special")
        }
        Access::Reset => keep.string("request_policy:all_shards response_policy:all_succeeded"),
        Access::Read => keep.string("nondeterministic_output"),
        _ => std::ptr::null(),
    };
    let info = raw::RedisModuleCommandInfo {
        version: &raw const VERSION.0,
        summary: keep.string(command.summary),
        complexity: keep.string(command.complexity),
        since: keep.string("0.1.0"),
        history: std::ptr::null_mut(),
        tips,
        arity: command.arity,
        key_specs: specs.as_mut_ptr(),
        args: keep.arguments(&arguments),
    };
    // SAFETY: everything that `info` points to lives in `keep` and `specs` until the call returns; the server copies it.
    unsafe { set(registered, &raw const info) == raw::REDISMODULE_OK as c_int }
}
