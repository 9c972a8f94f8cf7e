//! What `--print-config` shows.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::CommandFactory;

use super::Setting;
use super::known::{Kind, KnownOption, Reach};
use crate::options::Options;

/// Every option as a line of TOML with a comment that says where its value comes from.
pub(super) fn table(known: &[KnownOption], merged: &BTreeMap<String, Setting>) -> String {
    let command = Options::command();
    let default = |option: &KnownOption| -> Vec<OsString> {
        let argument = command.get_arguments().find(|argument| argument.get_id().as_str() == option.id);
        argument
            .map(|argument| argument.get_default_values().iter().map(Into::into).collect())
            .unwrap_or_default()
    };
    let mut lines = String::new();
    for option in known.iter().filter(|option| option.reach != Reach::CommandLine) {
        let (values, place) = match merged.get(&option.name) {
            Some(setting) => (setting.values.clone(), setting.place.to_string()),
            None => (default(option), "default".to_owned()),
        };
        let texts: Vec<String> = values.iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let value = match (option.kind, texts.as_slice()) {
            (Kind::Flag, [text]) if text == "true" => "true".to_owned(),
            (Kind::Flag, _) => "false".to_owned(),
            (Kind::List, _) => toml::Value::from(texts).to_string(),
            (_, []) => "(not given)".to_owned(),
            (_, [text, ..]) => match text.parse::<f64>() {
                Ok(_) if !option.octal => text.clone(),
                _ => toml::Value::from(text.as_str()).to_string(),
            },
        };
        lines.push_str(&format!("{} = {value}  # {place}\n", option.name));
    }
    lines
}
