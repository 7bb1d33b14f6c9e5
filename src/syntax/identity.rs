//! The identity group: `[MODEL m] [SYSTEM s] [PARAMS json] [SCOPE s]`, or an API request that says it all.

use super::args::{once, Args};
use super::error::SyntaxError;
use super::Bounds;
use crate::core::identity::{Context, Identity, Shape};
use crate::core::json;
use crate::core::request;
use std::borrow::Cow;

/// The longest name of a model or a scope.
pub const NAME_LIMIT: usize = 1024;

/// The options of the group as they were read.
#[derive(Debug, Default)]
pub struct IdentityOptions<'a> {
    model: Option<&'a [u8]>,
    system: Option<&'a [u8]>,
    params: Option<&'a [u8]>,
    scope: Option<&'a [u8]>,
}

/// The names of the group's options.
pub const OPTIONS: [&str; 4] = ["MODEL", "SYSTEM", "PARAMS", "SCOPE"];

/// Whose answer is meant, owned where it had to be derived.
#[derive(Debug)]
pub struct Asked<'a> {
    shape: Shape,
    scope: &'a [u8],
    model: Cow<'a, [u8]>,
    system: Cow<'a, [u8]>,
    params: Cow<'a, [u8]>,
    prompt: Cow<'a, [u8]>,
    /// Whether a similar question may answer it: it ends with something a user said.
    pub similar_allowed: bool,
}

impl Asked<'_> {
    /// The identity.
    pub fn identity(&self) -> Identity<'_> {
        Identity {
            context: Context {
                shape: self.shape,
                scope: self.scope,
                model: &self.model,
                system: &self.system,
                params: &self.params,
            },
            prompt: &self.prompt,
        }
    }

    /// Whether the params ask for so much chance that the answer is not worth keeping.
    pub fn temperature_above_one(&self) -> bool {
        std::str::from_utf8(&self.params).is_ok_and(json::temperature_above_one)
    }
}

impl<'a> IdentityOptions<'a> {
    /// Reads the value of one of the group's options; answers whether it is one.
    pub fn read(&mut self, name: &str, args: &mut Args<'a>, bounds: &Bounds) -> Result<bool, SyntaxError> {
        match name {
            "MODEL" => once(&mut self.model, "MODEL", args.short("MODEL", NAME_LIMIT)?)?,
            "SCOPE" => once(&mut self.scope, "SCOPE", args.short("SCOPE", NAME_LIMIT)?)?,
            "SYSTEM" => once(&mut self.system, "SYSTEM", bounds.prompt("SYSTEM", args.value("SYSTEM")?)?)?,
            "PARAMS" => once(&mut self.params, "PARAMS", bounds.prompt("PARAMS", args.value("PARAMS")?)?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The scope alone, where it stands for itself.
    pub fn scope(&self) -> Option<&'a [u8]> {
        self.scope
    }

    /// The model alone, where it stands for itself.
    pub fn model(&self) -> Option<&'a [u8]> {
        self.model
    }

    /// The first option that says nothing without a prompt.
    pub fn of_a_prompt(&self) -> Option<&'static str> {
        self.system.map(|_| "SYSTEM").or(self.params.map(|_| "PARAMS"))
    }

    /// What is asked, from the prompt argument and these options.
    pub fn resolve(self, prompt: &'a [u8], is_request: bool, bounds: &Bounds) -> Result<Asked<'a>, SyntaxError> {
        let prompt = bounds.prompt(if is_request { "the request body" } else { "prompt" }, prompt)?;
        if is_request {
            return self.resolve_request(prompt);
        }
        if prompt.is_empty() {
            return Err(SyntaxError::Unfit("prompt", "may not be empty".into()));
        }
        let params = match self.params {
            None => Cow::Borrowed(&b""[..]),
            Some(params) => {
                let canonical = json::canonical_params(params);
                Cow::Owned(canonical.map_err(|e| SyntaxError::Unfit("PARAMS", e.to_string()))?.into_bytes())
            }
        };
        Ok(Asked {
            shape: Shape::Plain,
            scope: self.scope.unwrap_or_default(),
            model: Cow::Borrowed(self.model.unwrap_or_default()),
            system: Cow::Borrowed(self.system.unwrap_or_default()),
            params,
            prompt: Cow::Borrowed(prompt),
            similar_allowed: true,
        })
    }

    fn resolve_request(self, body: &[u8]) -> Result<Asked<'a>, SyntaxError> {
        for (given, name) in [(self.model, "MODEL"), (self.system, "SYSTEM"), (self.params, "PARAMS")] {
            if given.is_some() {
                return Err(SyntaxError::Contradiction("REQUEST", name));
            }
        }
        let request = request::parse(body).map_err(|e| SyntaxError::Unfit("REQUEST", e.to_string()))?;
        if request.model.len() > NAME_LIMIT {
            let bytes = request.model.len();
            return Err(SyntaxError::TooLong { name: "the model in REQUEST", bytes, limit: NAME_LIMIT, setting: None });
        }
        Ok(Asked {
            shape: request.shape,
            scope: self.scope.unwrap_or_default(),
            model: Cow::Owned(request.model.into_bytes()),
            system: Cow::Owned(request.system.into_bytes()),
            params: Cow::Owned(request.params.into_bytes()),
            prompt: Cow::Owned(request.prompt.into_bytes()),
            similar_allowed: request.ends_with_user_text,
        })
    }
}
