//! The options' reference page and their Python types, from the one definition.

use std::fmt::Write;

use clap::{Arg, ArgAction, CommandFactory};

use crate::options::Options;
use crate::sources::known::{self, Kind, KnownOption, Reach};

/// `docs/options.md`.
pub fn docs() -> String {
    let mut page = DOCS_HEAD.to_owned();
    for (heading, entries) in sections() {
        let _ = writeln!(page, "\n## {heading}\n");
        page.push_str("| Option | Default | Meaning |\n|---|---|---|\n");
        for (option, argument) in entries {
            let _ = writeln!(
                page,
                "| {} | {} | {} |",
                spelling(&option, &argument),
                default(&argument),
                meaning(&argument)
            );
        }
    }
    page
}

/// `python/ironbridge/options.py`.
pub fn types() -> String {
    let mut module = TYPES_HEAD.to_owned();
    for (option, argument) in sections().into_iter().flat_map(|(_, entries)| entries) {
        if option.kind != Kind::Positional && option.reach != Reach::CommandLine {
            let _ = writeln!(module, "\n    {}: {}", option.keyword(), python_type(&option, &argument));
            let _ = writeln!(module, "    \"\"\"{}\"\"\"", docstring(&argument));
        }
    }
    module
}

const DOCS_HEAD: &str = "\
# Options

Every option, except `--check`, `--print-config` and `--config` (which only say what one run is for), can be given on the command
line, in the environment, in a file and to `ironbridge.serve()`:

| Where | Spelling of `--graceful-timeout 10` |
|---|---|
| command line | `ironbridge --graceful-timeout 10 shop.wsgi` |
| Python | `ironbridge.serve(app, graceful_timeout=10)` |
| environment | `IRONBRIDGE_GRACEFUL_TIMEOUT=10` |
| `ironbridge.toml` | `graceful-timeout = 10` |
| `pyproject.toml` | the same, under `[tool.ironbridge]` |

What stands higher in this list wins. A list (`--bind`, `--pythonpath`) replaces the list of a lower source; in the
environment commas part its values. Options without a value are `true` or `false` in files, in Python and in the
environment. Sizes take `K`, `M` and `G`. The files are looked for in the current folder, or in that of `--chdir`;
`ironbridge.toml` hides `pyproject.toml`. An empty variable counts as unset.

This page is made from the options' definition: `ironbridge --generate docs`.
";

const TYPES_HEAD: &str = "\
\"\"\"Types of the options that `serve()` and `Server()` take.

Made from the options' definition: `ironbridge --generate types`.
\"\"\"

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, TypedDict

__all__ = [\"Options\"]


class Options(TypedDict, total=False):
    \"\"\"Every option under its long name. Times are seconds, sizes bytes (or text such as \"64K\"). None: not given.\"\"\"
";

type Section = (String, Vec<(KnownOption, Arg)>);

fn sections() -> Vec<Section> {
    let known = known::options();
    let mut sections: Vec<Section> = Vec::new();
    for argument in Options::command().get_arguments().filter(|argument| !argument.is_hide_set()) {
        let Some(option) = known.iter().find(|option| option.id == argument.get_id().as_str()) else {
            continue;
        };
        let heading = argument.get_help_heading().unwrap_or("Application and log").to_owned();
        match sections.iter_mut().find(|(name, _)| *name == heading) {
            Some((_, entries)) => entries.push((option.clone(), argument.clone())),
            None => sections.push((heading, vec![(option.clone(), argument.clone())])),
        }
    }
    sections
}

fn spelling(option: &KnownOption, argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first());
    match (option.kind, value) {
        (Kind::Positional, _) => "`APP`".to_owned(),
        (Kind::Flag, _) | (_, None) => format!("`--{}`", option.name),
        (_, Some(value)) => match argument.get_short() {
            Some(short) => format!("`-{short}`, `--{} {value}`", option.name),
            None => format!("`--{} {value}`", option.name),
        },
    }
}

fn default(argument: &Arg) -> String {
    let values: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    match (values.join(", ").as_str(), argument.get_action()) {
        ("", _) | (_, ArgAction::SetTrue) => String::new(),
        (values, _) => format!("`{values}`"),
    }
}

fn meaning(argument: &Arg) -> String {
    let mut text = help(argument).replace('|', "\\|");
    let values = choices(argument);
    if !values.is_empty() {
        let _ = write!(
            text,
            " One of {}.",
            values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
        );
    }
    text
}

fn help(argument: &Arg) -> String {
    let text = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.ends_with('.') { text } else { format!("{text}.") }
}

fn choices(argument: &Arg) -> Vec<String> {
    if argument.get_action().takes_values() {
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
    } else {
        Vec::new()
    }
}

fn python_type(option: &KnownOption, argument: &Arg) -> String {
    let choices = choices(argument);
    let name = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    let one = match name {
        _ if option.kind == Kind::Flag => "bool".to_owned(),
        _ if !choices.is_empty() => {
            format!(
                "Literal[{}]",
                choices.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
            )
        }
        "N" => "int".to_owned(),
        "COUNT" => "int | Literal[\"auto\"]".to_owned(),
        "SECONDS" => "float".to_owned(),
        "BYTES" | "MODE" => "int | str".to_owned(),
        "FILE" | "DIR" => "str | os.PathLike[str]".to_owned(),
        _ => "str".to_owned(),
    };
    match option.kind {
        Kind::List => format!("{one} | Sequence[{one}] | None"),
        _ => format!("{one} | None"),
    }
}

/// Filled to lines of 110 columns, as the rest of the Python code.
fn docstring(argument: &Arg) -> String {
    let mut lines = vec![String::new()];
    let mut room = 110 - 4 - 3;
    for word in help(argument).replace('\\', "\\\\").split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.len() + 1 + word.len() > room - 3 {
            lines.push(word.to_owned());
            room = 110 - 4;
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines.join("\n    ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_files_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (file, expected, what) in
            [("docs/options.md", docs(), "docs"), ("python/ironbridge/options.py", types(), "types")]
        {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            assert_eq!(text, expected, "{file} is old: ironbridge --generate {what} > {file}");
        }
    }

    #[test]
    fn types_follow_from_the_definition() {
        let types = types();
        for line in [
            "    threads: int | None\n",
            "    workers: int | Literal[\"auto\"] | None\n",
            "    bind: str | Sequence[str] | None\n",
            "    graceful_timeout: float | None\n",
            "    log_level: Literal[\"trace\", \"debug\", \"info\", \"warn\", \"error\"] | None\n",
            "    access_log: str | os.PathLike[str] | None\n",
            "    limit_request_body: int | str | None\n",
            "    no_date_header: bool | None\n",
        ] {
            assert!(types.contains(line), "{line}");
        }
        assert!(!types.contains("check"));
    }
}
