//! What a `wrangler.toml` says about a worker.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// One worker of a file: its top level, or one of its sections `[env.NAME]`.
#[derive(Clone, Debug, Default)]
pub(super) struct CloudflareWorker {
    /// `NAME` of the section `[env.NAME]`; `None` for the top level.
    pub env: Option<String>,
    /// The variables as text; lists and tables are empty texts.
    pub variables: BTreeMap<String, String>,
    /// The patterns of the routes.
    pub patterns: Vec<String>,
    /// The names of all other keys of the section.
    pub others: Vec<String>,
}

/// Reads every worker of a file. The top level is a worker if it has variables, or if there is no section
/// `[env.NAME]`.
pub(super) fn read(text: &str) -> Result<Vec<CloudflareWorker>, String> {
    let file: Table = text.parse().map_err(|error: toml::de::Error| {
        // The error's own text repeats the line, which may hold a secret.
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        format!("line {line} is not TOML")
    })?;
    let top = worker(None, &file);
    let sections = file.get("env").and_then(Value::as_table);
    let mut workers: Vec<CloudflareWorker> = sections
        .into_iter()
        .flatten()
        .filter_map(|(name, section)| {
            let mut worker = worker(Some(name.clone()), section.as_table()?);
            // Wrangler inherits routes, and no variables.
            if worker.patterns.is_empty() {
                worker.patterns.clone_from(&top.patterns);
            }
            Some(worker)
        })
        .collect();
    if workers.is_empty() || !top.variables.is_empty() {
        workers.insert(0, top);
    }
    Ok(workers)
}

fn worker(env: Option<String>, section: &Table) -> CloudflareWorker {
    let mut worker = CloudflareWorker { env, ..CloudflareWorker::default() };
    for (key, value) in section {
        match (key.as_str(), value) {
            ("env", _) => {}
            ("vars", Value::Table(vars)) => {
                worker.variables.extend(vars.iter().map(|(name, value)| (name.clone(), text(value))));
            }
            ("route", route) => worker.patterns.extend(pattern(route)),
            ("routes", Value::Array(routes)) => worker.patterns.extend(routes.iter().filter_map(pattern)),
            _ => worker.others.push(key.clone()),
        }
    }
    worker
}

/// A route is a pattern, or a table with one.
fn pattern(route: &Value) -> Option<String> {
    let pattern = route.as_str().or_else(|| route.get("pattern")?.as_str())?;
    let is_domain = route.get("custom_domain").and_then(Value::as_bool).unwrap_or(false);
    Some(if is_domain { format!("{pattern}/*") } else { pattern.to_owned() })
}

/// A variable's value as text; empty for lists and tables.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Boolean(switch) => switch.to_string(),
        Value::Integer(number) => number.to_string(),
        _ => String::new(),
    }
}
