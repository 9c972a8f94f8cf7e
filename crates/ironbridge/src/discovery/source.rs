//! What a Python file defines at its top level, read line by line.
//!
//! No parser: a file that fools this one names its application on the command line.

use std::fs;
use std::path::Path;

/// Something that could be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Candidate {
    /// Made here: the variable's or function's name.
    Defined(String),
    /// A factory without required parameters.
    Factory(String),
    /// Imported from elsewhere.
    Imported(String),
}

impl Candidate {
    /// What follows the colon in APP.
    pub(super) fn attribute(&self) -> String {
        match self {
            Self::Defined(name) | Self::Imported(name) => name.clone(),
            Self::Factory(name) => format!("{name}()"),
        }
    }
}

/// The best candidate of a file, if it exists and has one.
pub(super) fn candidate(file: &Path) -> Option<Candidate> {
    let text = fs::read_to_string(file).ok()?;
    let lines = top_level(&text);
    let usual = |line: &&str| USUAL.iter().find_map(|name| usual_name(line, name));
    let by_rank = [
        lines.iter().find_map(usual).filter(|found| matches!(found, Candidate::Defined(_))),
        lines.iter().find_map(|line| framework_variable(line)),
        lines.iter().find_map(|line| factory(line)),
        lines.iter().find_map(usual),
    ];
    by_rank.into_iter().flatten().next()
}

/// Whether a file defines the factory `name` at its top level.
pub(super) fn defines_function(file: &Path, name: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    top_level(&text).iter().any(|line| parameters(line, name).is_some())
}

/// The text assigned to `name` at the top level, where that is a string.
pub(super) fn string_setting(file: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    top_level(&text).iter().rev().find_map(|line| string(assigned(line, name)?))
}

/// The string at the start of `text`.
pub(super) fn string(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    text[1..].split_once(quote).map(|(inside, _)| inside.to_owned())
}

const USUAL: [&str; 2] = ["application", "app"];
const FACTORIES: [&str; 2] = ["create_app", "make_app"];
const FRAMEWORKS: [&str; 6] = ["Flask", "FastAPI", "Starlette", "Quart", "Litestar", "Sanic"];

/// Lines that begin in the first column and are not inside a string of several lines.
fn top_level(text: &str) -> Vec<&str> {
    let mut inside: Option<&str> = None;
    let mut found = Vec::new();
    for line in text.lines() {
        if inside.is_none() && !line.starts_with([' ', '\t', '#']) && !line.trim().is_empty() {
            found.push(line);
        }
        inside = after(line, inside);
    }
    found
}

/// The kind of triple quote that is open after `line`.
fn after<'a>(line: &str, mut inside: Option<&'a str>) -> Option<&'a str> {
    let mut rest = line;
    loop {
        match inside {
            Some(quote) => match rest.split_once(quote) {
                Some((_, behind)) => (rest, inside) = (behind, None),
                None => return inside,
            },
            None => {
                let quotes =
                    ["\"\"\"", "'''"].into_iter().filter_map(|quote| Some((rest.find(quote)?, quote)));
                let (at, quote) = quotes.min()?;
                (rest, inside) = (&rest[at + 3..], Some(quote));
            }
        }
    }
}

fn usual_name(line: &str, name: &str) -> Option<Candidate> {
    if assigned(line, name).is_some() || parameters(line, name).is_some() {
        return Some(Candidate::Defined(name.to_owned()));
    }
    let (_, imported) = line.strip_prefix("from ")?.split_once(" import ")?;
    let names = imported.trim_matches(['(', ')']).split(',').map(str::trim);
    let last = |item: &str| item.rsplit(" as ").next().unwrap_or(item).trim() == name;
    names.into_iter().any(last).then(|| Candidate::Imported(name.to_owned()))
}

/// What stands behind `name =` or `name: type =`.
fn assigned<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(name)?.trim_start();
    let rest = match rest.strip_prefix(':') {
        Some(annotated) => &annotated[annotated.find('=')?..],
        None => rest,
    };
    rest.strip_prefix('=').filter(|value| !value.starts_with('=')).map(str::trim_start)
}

fn framework_variable(line: &str) -> Option<Candidate> {
    let (name, class) = constructor(line)?;
    FRAMEWORKS.contains(&class).then(|| Candidate::Defined(name.to_owned()))
}

/// `name = module.Class(...)` as name and class.
fn constructor(line: &str) -> Option<(&str, &str)> {
    let end = line.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    let (name, _) = line.split_at(end);
    let (callee, _) = assigned(line, name)?.split_once('(')?;
    Some((name, callee.trim().rsplit('.').next()?))
}

fn factory(line: &str) -> Option<Candidate> {
    let name = FACTORIES.into_iter().find(|name| parameters(line, name).is_some_and(all_optional))?;
    Some(Candidate::Factory(name.to_owned()))
}

/// What stands between the parentheses of `def name(...)` or `async def name(...)`, to the end of the line if they close later.
fn parameters<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.strip_prefix("async ").unwrap_or(line).trim_start();
    let rest = rest.strip_prefix("def ")?.trim_start().strip_prefix(name)?.trim_start().strip_prefix('(')?;
    Some(rest.rsplit_once(')').map_or(rest, |(inside, _)| inside))
}

fn all_optional(parameters: &str) -> bool {
    let mut depth = 0;
    let split = parameters.split(|letter: char| {
        depth += match letter {
            '(' | '[' | '{' => 1,
            ')' | ']' | '}' => -1,
            _ => 0,
        };
        letter == ',' && depth == 0
    });
    // Behind a bare * only keywords follow; one without a default cannot be told from the rest here.
    split.map(str::trim).all(|part| part.is_empty() || part.contains('=') || part.starts_with(['*', '/']))
}
