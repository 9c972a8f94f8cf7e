//! Django: manage.py names the settings, the settings name the application.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Choice, DiscoveryError, source};

/// The application of the Django project in `folder`, if there is one. `variable` is `DJANGO_SETTINGS_MODULE`.
pub(super) fn find(folder: &Path, variable: Option<&str>) -> Result<Option<Choice>, DiscoveryError> {
    let Some(manage) = manage_py(folder) else { return Ok(None) };
    let named = variable.map(|value| (value.to_owned(), "DJANGO_SETTINGS_MODULE"));
    let Some((settings, who)) = named.or_else(|| settings_module(&manage).map(|name| (name, "manage.py")))
    else {
        return Err(DiscoveryError::Unclear(
            "manage.py names no settings module that could be read: set DJANGO_SETTINGS_MODULE, \
             or name the application: ironbridge PROJECT.wsgi"
                .to_owned(),
        ));
    };
    let choice = from_setting(folder, &settings, who).or_else(|| from_file(folder, &settings, who));
    choice.map(Some).ok_or_else(|| {
        DiscoveryError::Unclear(format!(
            "{who} names the settings {settings}, but WSGI_APPLICATION was found neither there nor in a wsgi.py \
             beside: name the application: ironbridge PROJECT.wsgi"
        ))
    })
}

/// The text of manage.py, if it is Django's.
fn manage_py(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join("manage.py"))
        .ok()
        .filter(|text| text.contains("DJANGO_SETTINGS_MODULE") || text.contains("django"))
}

fn settings_module(manage: &str) -> Option<String> {
    manage.match_indices("DJANGO_SETTINGS_MODULE").find_map(|(at, name)| {
        // Behind the name: quote, then `, "shop.settings"` or `] = "shop.settings"`.
        let rest = manage[at + name.len()..].trim_start_matches(['"', '\'']).trim_start();
        let rest =
            rest.strip_prefix(',').or_else(|| rest.strip_prefix(']')?.trim_start().strip_prefix('='))?;
        source::string(rest.trim_start())
    })
}

/// ASGI_APPLICATION is in nobody's settings by itself: who has it means it.
fn from_setting(folder: &Path, settings: &str, who: &str) -> Option<Choice> {
    let names = |setting| named_application(folder, settings, who, setting);
    names("ASGI_APPLICATION").or_else(|| names("WSGI_APPLICATION"))
}

fn named_application(folder: &Path, settings: &str, who: &str, setting: &str) -> Option<Choice> {
    settings_files(settings).into_iter().find_map(|file| {
        let value = source::string_setting(&folder.join(&file), setting)?;
        let (module, attribute) = value.rsplit_once('.')?;
        let reason = format!("Django project: {setting} in {}, which {who} names", file.display());
        Some(Choice { app: format!("{module}:{attribute}"), reason })
    })
}

/// `shop.settings.dev`: its own file, then those that it usually builds on.
fn settings_files(settings: &str) -> Vec<PathBuf> {
    let path = PathBuf::from(settings.replace('.', "/"));
    let mut files = vec![path.with_extension("py")];
    let package = [&path, path.parent().unwrap_or(&path)];
    for folder in package {
        files.extend(["__init__", "base", "common"].map(|name| folder.join(name).with_extension("py")));
    }
    files
}

fn from_file(folder: &Path, settings: &str, who: &str) -> Option<Choice> {
    // Not only beside the settings: `config.settings.production` belongs to `config.wsgi`.
    let mut package = settings.rsplit_once('.').map(|(package, _)| package);
    while let Some(name) = package {
        let file = PathBuf::from(name.replace('.', "/")).join("wsgi.py");
        if folder.join(&file).is_file() {
            let reason = format!("Django project: {} beside the settings that {who} names", file.display());
            return Some(Choice { app: format!("{name}.wsgi"), reason });
        }
        package = name.rsplit_once('.').map(|(package, _)| package);
    }
    None
}
