//! Where options come from, lowest to highest: a file in TOML or Python, the environment, the command line or `serve()`'s keywords.
//!
//! * [`known`]: the options that exist, read off clap's definition.
//! * [`mod@file`], [`environment`], [`command_line`], [`keywords`]: each turns its source into [`Setting`]s.
//! * `python`: a Python configuration file. `table`: what `--print-config` shows.
//! * [`complaint`]: clap's errors in one line.
//!
//! Each setting is parsed on its own first, so that an error can name where it stood; then a higher
//! source's setting replaces a lower one's, lists included.

pub mod command_line;
mod complaint;
pub mod environment;
pub mod file;
pub mod keywords;
pub mod known;
mod python;
mod table;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};

use self::known::{Kind, KnownOption};
use crate::configured;
use crate::options::Options;

/// One option with its values, as one source gives it.
#[derive(Debug, Clone)]
pub struct Setting {
    option: KnownOption,
    values: Vec<OsString>,
    place: Place,
}

/// Where a setting stands: what error messages begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A key of a TOML file.
    File(PathBuf, String),
    /// An environment variable.
    Environment(String),
    /// An option of the command line.
    CommandLine(String),
    /// A keyword of the Python function that is named first.
    Keyword(&'static str, String),
    /// A setting of a Python configuration file, in words.
    Configured(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, key) => write!(f, "{}: {key}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::CommandLine(argument) if argument.starts_with('-') => write!(f, "option {argument}"),
            Self::CommandLine(argument) => write!(f, "argument {argument}"),
            Self::Configured(place) => f.write_str(place),
            Self::Keyword(function, keyword) => write!(f, "{function}({keyword}=...)"),
        }
    }
}

/// A mistake in an option, with the place where it stands.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A value that the option does not take.
    #[error("{place}: {reason}")]
    Invalid {
        /// Where it stands.
        place: Place,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// An option that does not exist.
    #[error("{place}: unknown option{}", nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    Unknown {
        /// Where it stands.
        place: Place,
        /// The most similar name that exists, in the spelling of the source.
        nearest: Option<String>,
    },
    /// A file of options that cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A Python configuration file that fails, or asks for what cannot be.
    #[error("{0}")]
    Configured(String),
    /// A value of a Python type that no option takes.
    #[error("{place}: {reason}")]
    WrongType {
        /// Where it stands.
        place: Place,
        /// What was expected.
        reason: String,
    },
    /// `--help` and `--version`: not a mistake, but the end of parsing. The text is meant for the standard output.
    #[error("{0}")]
    Answer(String),
}

/// Where options come from, to be read again at a reload.
#[derive(Debug)]
pub struct Sources {
    highest: Vec<Setting>,
    /// Whether variables of hosting platforms count.
    platform: bool,
    start: PathBuf,
}

impl Sources {
    /// Those of a command line.
    pub fn of_command_line(settings: Vec<Setting>) -> Self {
        Self { highest: settings, platform: true, start: start_folder() }
    }

    /// Those of a call of `serve()`.
    pub fn of_keywords(settings: Vec<Setting>) -> Self {
        Self { highest: settings, platform: false, start: start_folder() }
    }

    /// The folder of the start.
    pub fn start(&self) -> &Path {
        &self.start
    }

    /// Reads them for the first time, from the folder of the start.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn read(&self) -> Result<Resolved, SourceError> {
        // So that messages name files as the user does.
        self.resolve(Path::new(""))
    }

    /// Reads them again, whatever the current folder is by now.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn reread(&self) -> Result<Resolved, SourceError> {
        self.resolve(&self.start)
    }

    fn resolve(&self, folder: &Path) -> Result<Resolved, SourceError> {
        let known = known::options();
        let lowest = match self.platform {
            true => environment::defaults(&known, |name| std::env::var_os(name))?,
            false => Vec::new(),
        };
        let gunicorn = match self.platform {
            true => std::env::var("GUNICORN_CMD_ARGS").ok().filter(|arguments| !arguments.trim().is_empty()),
            false => None,
        };
        let highest = Highest { settings: self.highest.clone(), gunicorn };
        resolve(&known, highest, lowest, std::env::vars_os(), folder)
    }
}

/// The current folder as the shell names it: of a link to the newest release, the link, so that a reload follows it.
fn start_folder() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let named = std::env::var_os("PWD").map(PathBuf::from).filter(|named| named.is_absolute());
    match named.and_then(|named| Some((named.canonicalize().ok()?, named))) {
        Some((real, named)) if real == here => named,
        _ => here,
    }
}

/// The sources above files.
#[derive(Debug, Default)]
pub struct Highest {
    /// The command line's or `serve()`'s settings.
    pub settings: Vec<Setting>,
    /// `GUNICORN_CMD_ARGS`, which counts as much as a file.
    pub gunicorn: Option<String>,
}

/// All sources together.
#[derive(Debug)]
pub struct Resolved {
    /// The options, parsed.
    pub options: Options,
    /// Remarks for the log: variables that look like options and are none.
    pub warnings: Vec<String>,
    /// The file that options were read from.
    pub file: Option<PathBuf>,
    /// For `--print-config`: every option with its value, and where that comes from, a line each.
    pub table: Option<String>,
}

/// Reads all sources; `lowest` are settings that hold where nothing else is said. Relative paths of the sources themselves start at
/// `folder`.
///
/// # Errors
/// The first mistake in any source, lowest source first.
pub fn resolve(
    known: &[KnownOption],
    highest: Highest,
    lowest: Vec<Setting>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    folder: &Path,
) -> Result<Resolved, SourceError> {
    let environment::Reading { settings: environment, mut warnings } =
        environment::settings(known, variables)?;
    let above = merge([environment, highest.settings]);
    let explicit = value_of(&above, "config").map(Path::new);
    let python = explicit.filter(|file| configured::is_python(file));
    let explicit = explicit.filter(|_| python.is_none()).map(|file| folder.join(file));
    let chdir = value_of(&above, "chdir").map(|chdir| folder.join(chdir));
    let read = (python.is_some() || highest.gunicorn.is_some())
        .then(|| python::read(known, python, highest.gunicorn.as_deref(), chdir.as_deref(), folder))
        .transpose()?;
    let (configured, python_settings) = match read {
        Some((reading, settings)) => {
            warnings.extend(reading.warnings);
            (Some(Arc::new(reading.configured)), settings)
        }
        None => (None, Vec::new()),
    };
    // A site's file lies in the site's folder: `--chdir` decides which one that is.
    let folder = chdir.unwrap_or_else(|| folder.to_owned());
    let file = if python.is_some() { None } else { file::find(explicit.as_deref(), &folder)? };
    let below = file.as_ref().map(|file| file.settings(known)).transpose()?.unwrap_or_default();

    let below = merge([below, python_settings]);
    let mut merged = merge([below.into_values().collect(), above.into_values().collect()]);
    let mut options = parse_all(merged.values())?;
    if options.processes.no_supervisor
        && options.processes.workers > 1
        && let Some(Setting { place, .. }) = merged.get("workers")
    {
        let reason = "more than one worker needs a supervisor, and --no-supervisor was given".to_owned();
        return Err(SourceError::Invalid { place: place.clone(), reason });
    }
    if !options.processes.no_supervisor {
        merged = merge([lowest, merged.into_values().collect()]);
        options = parse_all(merged.values())?;
    }
    options.configured = configured;
    let table = options.print_config.then(|| table::table(known, &merged));
    Ok(Resolved { options, warnings, file: file.map(file::OptionsFile::into_path), table })
}

impl Setting {
    /// Checks the values by parsing them alone.
    fn new(option: &KnownOption, values: Vec<OsString>, place: Place) -> Result<Self, SourceError> {
        let setting = Self { option: option.clone(), values, place };
        match Options::command().try_get_matches_from(argv([&setting])) {
            Ok(_) => Ok(setting),
            Err(error) => {
                Err(SourceError::Invalid { reason: complaint::reason(&error), place: setting.place })
            }
        }
    }

    fn arguments(&self) -> impl Iterator<Item = OsString> {
        let Self { option, values, .. } = self;
        values.iter().filter_map(|value| match option.kind {
            Kind::Flag => (value == "true").then(|| format!("--{}", option.name).into()),
            Kind::Positional => Some(value.clone()),
            Kind::Value | Kind::List => {
                let mut argument = OsString::from(format!("--{}=", option.name));
                argument.push(value);
                Some(argument)
            }
        })
    }
}

/// A higher source's setting replaces a lower one's.
fn merge(sources: [Vec<Setting>; 2]) -> BTreeMap<String, Setting> {
    sources.into_iter().flatten().map(|setting| (setting.option.name.clone(), setting)).collect()
}

fn value_of<'a>(settings: &'a BTreeMap<String, Setting>, name: &str) -> Option<&'a OsStr> {
    settings.get(name)?.values.first().map(OsString::as_os_str)
}

fn argv<'a>(settings: impl IntoIterator<Item = &'a Setting>) -> Vec<OsString> {
    let (positional, named): (Vec<&Setting>, Vec<&Setting>) =
        settings.into_iter().partition(|setting| setting.option.kind == Kind::Positional);
    let mut argv = vec![OsString::from("ironbridge")];
    argv.extend(named.into_iter().flat_map(Setting::arguments));
    argv.push("--".into());
    argv.extend(positional.into_iter().flat_map(Setting::arguments));
    argv
}

fn parse_all<'a>(settings: impl Iterator<Item = &'a Setting>) -> Result<Options, SourceError> {
    let parsed = Options::command()
        .try_get_matches_from(argv(settings))
        .and_then(|matches| Options::from_arg_matches(&matches));
    // Only options that contradict each other can fail here: each has been parsed before.
    parsed.map_err(|error| SourceError::Invalid {
        place: Place::CommandLine(complaint::argument(&error).unwrap_or_default()),
        reason: complaint::reason(&error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn resolved(
        files: &[(&str, &str)],
        environment: &[(&str, &str)],
        argv: &[&str],
    ) -> Result<Resolved, SourceError> {
        let folder = folder(files);
        let known = known::options();
        let argv = argv.iter().map(OsString::from).collect();
        let variables = environment.iter().map(|(name, value)| (name.into(), value.into()));
        let variables: Vec<(OsString, OsString)> = variables.collect();
        let defaults = environment::defaults(&known, |name| {
            variables.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
        })?;
        let highest = Highest { settings: command_line::settings(&known, argv)?, gunicorn: None };
        resolve(&known, highest, defaults, variables, folder.path())
    }

    fn error(files: &[(&str, &str)], environment: &[(&str, &str)], argv: &[&str]) -> String {
        resolved(files, environment, argv).unwrap_err().to_string()
    }

    #[test]
    fn higher_sources_win() {
        let file = &[("ironbridge.toml", "threads = 2\nqueue-size = 20\nbacklog = 200")];
        let environment = &[("IRONBRIDGE_THREADS", "3"), ("IRONBRIDGE_QUEUE_SIZE", "30")];
        let options = resolved(file, environment, &["--threads", "4"]).unwrap().options;
        assert_eq!((options.python.threads, options.python.queue_size, options.http.backlog), (4, 30, 200));
    }

    #[test]
    fn lists_of_higher_sources_replace_lower_ones() {
        let file = &[("ironbridge.toml", "bind = ['127.0.0.1:1', '127.0.0.1:2']")];
        let binds =
            |environment: &[_], argv: &[_]| resolved(file, environment, argv).unwrap().options.http.bind;
        assert_eq!(binds(&[], &[]), ["127.0.0.1:1", "127.0.0.1:2"]);
        assert_eq!(binds(&[("IRONBRIDGE_BIND", "127.0.0.1:3, [::1]:4")], &[]), ["127.0.0.1:3", "[::1]:4"]);
        assert_eq!(binds(&[("IRONBRIDGE_BIND", ":3")], &["-b", ":5", "--bind=:6"]), [":5", ":6"]);
    }

    #[test]
    fn a_false_of_a_higher_source_beats_a_true() {
        let file = &[("ironbridge.toml", "no_date_header = true")];
        assert!(resolved(file, &[], &[]).unwrap().options.http.no_date_header);
        assert!(
            !resolved(file, &[("IRONBRIDGE_NO_DATE_HEADER", "no")], &[]).unwrap().options.http.no_date_header
        );
    }

    #[test]
    fn the_platforms_number_of_workers_counts_where_nothing_else_is_said() {
        let platform = &[("WEB_CONCURRENCY", "3")];
        let workers = |files: &[_], environment: &[_], argv: &[&str]| {
            resolved(files, environment, argv).unwrap().options.processes.workers
        };
        assert_eq!(workers(&[], &[], &[]), 1);
        assert_eq!(workers(&[], platform, &[]), 3);
        assert_eq!(workers(&[("ironbridge.toml", "workers = 2")], platform, &[]), 2);
        assert_eq!(workers(&[], &[("WEB_CONCURRENCY", "3"), ("IRONBRIDGE_WORKERS", "4")], &[]), 4);
        assert_eq!(workers(&[], platform, &["-w", "5"]), 5);
        assert_eq!(workers(&[], platform, &["--no-supervisor"]), 1);
        assert_eq!(workers(&[], &[("WEB_CONCURRENCY", "")], &[]), 1);
    }

    #[test]
    fn the_application_may_come_from_every_source() {
        let file = &[("ironbridge.toml", "app = 'a:a'")];
        let app =
            |environment: &[_], argv: &[_]| resolved(file, environment, argv).unwrap().options.app.unwrap();
        assert_eq!(app(&[], &[]), "a:a");
        assert_eq!(app(&[("IRONBRIDGE_APP", "b:b")], &[]), "b:b");
        assert_eq!(app(&[("IRONBRIDGE_APP", "b:b")], &["c:c"]), "c:c");
    }

    #[test]
    fn errors_name_the_source_and_the_option() {
        let toml = |text| error(&[("ironbridge.toml", text)], &[], &[]);
        let environment = |name, value| error(&[], &[(name, value)], &[]);
        let argv = |argv: &[&str]| error(&[], &[], argv);
        let table = [
            (
                toml("threads = 'x'"),
                r#"ironbridge.toml: threads: invalid value "x": expected a whole number"#,
            ),
            (toml("threads = [1, 2]"), "ironbridge.toml: threads: expected one value, not a list"),
            (toml("threads = true"), "ironbridge.toml: threads: expected a value, not true or false"),
            (toml("factory = 'x'"), "ironbridge.toml: factory: expected true or false"),
            (toml("bind = [true]"), "ironbridge.toml: bind: expected a value, not true or false"),
            (toml("[http]\nthreads = 1"), "ironbridge.toml: http: unknown option"),
            (toml("[bind]\nport = 1"), "ironbridge.toml: bind: expected a value, not a table"),
            (toml("thread = 1"), "ironbridge.toml: thread: unknown option; did you mean threads?"),
            (toml("check = true"), "ironbridge.toml: check: only the command line takes this option"),
            (
                environment("IRONBRIDGE_THREADS", "0"),
                r#"environment variable IRONBRIDGE_THREADS: invalid value "0": expected a whole number from 1 to 4096"#,
            ),
            (
                environment("IRONBRIDGE_FACTORY", "maybe"),
                r#"environment variable IRONBRIDGE_FACTORY: invalid value "maybe": expected true or false"#,
            ),
            (
                argv(&["--log-level=loud"]),
                r#"option --log-level: invalid value "loud": expected one of trace, debug, info, warn, error"#,
            ),
            (
                argv(&["--threads", "-1"]),
                r#"option --threads: invalid value "-1": expected a whole number from 1 to 4096"#,
            ),
            (
                argv(&["--limit-request-body=x"]),
                "option --limit-request-body: invalid value \"x\": expected a number of bytes such as 8190, 64K, 10M or 1G",
            ),
            (argv(&["--threads"]), "option --threads: needs a value"),
            (argv(&["--thread=3"]), "option --thread: unknown option; did you mean --threads?"),
            (argv(&["--port=80"]), "option --port: unknown option; did you mean --bind?"),
            (argv(&["--perload"]), "option --perload: unknown option; did you mean --preload?"),
            (
                argv(&["--workers", "0"]),
                r#"option --workers: invalid value "0": expected a whole number from 1 to 1024, or auto"#,
            ),
            (
                error(&[], &[("WEB_CONCURRENCY", "x")], &[]),
                r#"environment variable WEB_CONCURRENCY: invalid value "x": expected a whole number from 1 to 1024, or auto"#,
            ),
            (
                error(&[("ironbridge.toml", "workers = 2")], &[], &["--no-supervisor"]),
                "ironbridge.toml: workers: more than one worker needs a supervisor, and --no-supervisor was given",
            ),
            (
                toml("unix-socket-mode = 660"),
                r#"ironbridge.toml: unix-socket-mode: expected permission bits in octal: "660" or 0o660"#,
            ),
            (
                environment("IRONBRIDGE_BIND", "foo:bar"),
                r#"environment variable IRONBRIDGE_BIND: invalid value "foo:bar": port "bar" is not a number from 0 to 65535"#,
            ),
            (argv(&["-x"]), "option -x: unknown option"),
            (argv(&["a:a", "b:b"]), "argument b:b: only one application can be served"),
        ];
        for (message, expected) in table {
            assert!(message.ends_with(expected), "{message}\nexpected {expected}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }

    #[test]
    fn pyproject_is_read_when_it_has_a_table_for_us() {
        let options =
            resolved(&[("pyproject.toml", "[tool.ironbridge]\nthreads = 7")], &[], &[]).unwrap().options;
        assert_eq!(options.python.threads, 7);
        let resolved = resolved(&[("pyproject.toml", "[tool.other]\nx = 7")], &[], &[]).unwrap();
        assert_eq!(resolved.file, None);
    }

    #[test]
    fn ironbridge_toml_hides_pyproject() {
        let files =
            &[("pyproject.toml", "[tool.ironbridge]\nthreads = 7"), ("ironbridge.toml", "backlog = 9")];
        let options = resolved(files, &[], &[]).unwrap().options;
        assert_eq!((options.python.threads, options.http.backlog), (64, 9));
    }

    #[test]
    fn a_named_file_must_exist() {
        let message = error(&[], &[], &["--config", "nowhere.toml"]);
        assert!(message.ends_with("nowhere.toml: No such file or directory (os error 2)"), "{message}");
    }

    #[test]
    fn a_file_of_another_name_is_read_when_named() {
        let folder = folder(&[("site.toml", "threads = 5")]);
        let known = known::options();
        let argv = vec!["--config".into(), folder.path().join("site.toml").into()];
        let settings = command_line::settings(&known, argv).unwrap();
        let resolved =
            resolve(&known, Highest { settings, gunicorn: None }, vec![], [], Path::new("/")).unwrap();
        assert_eq!(resolved.options.python.threads, 5);
    }

    #[test]
    fn chdir_decides_where_the_file_is_searched() {
        let folder = folder(&[("ironbridge.toml", "threads = 5")]);
        let known = known::options();
        let settings = command_line::settings(&known, vec!["--chdir".into(), folder.path().into()]).unwrap();
        assert_eq!(
            resolve(&known, Highest { settings, gunicorn: None }, vec![], [], Path::new("/"))
                .unwrap()
                .options
                .python
                .threads,
            5
        );
    }

    #[test]
    fn broken_toml_is_named_with_its_line() {
        let message = error(&[("ironbridge.toml", "threads = 1\nbind = \n")], &[], &[]);
        assert!(message.contains("ironbridge.toml: line 2: "), "{message}");
    }

    #[test]
    fn help_and_version_are_answers() {
        for argument in ["--help", "-h", "--version", "-V"] {
            assert!(matches!(resolved(&[], &[], &[argument]), Err(SourceError::Answer(_))), "{argument}");
        }
    }
}
