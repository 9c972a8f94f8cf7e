//! Finds the application of the project in a folder, as a person would: by reading, without running anything.
//!
//! * [`django`]: manage.py, its settings module, their WSGI_APPLICATION.
//! * [`flask`]: FLASK_APP, then wsgi.py, app.py, main.py, application.py, then a package.
//! * [`source`]: what a Python file defines, read line by line.

mod django;
mod flask;
mod source;

use std::path::Path;

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// As the user would have typed it.
    pub app: String,
    /// Why, as the end of "serving APP: ...".
    pub reason: String,
}

/// Nothing can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// There is no project here that we know.
    #[error(
        "no application found in {folder}: there is no manage.py (Django) and no application in wsgi.py, app.py, \
         main.py, application.py or in a package's wsgi.py (Flask and others){hint}. \
         Name it: ironbridge module:attribute"
    )]
    Nothing {
        /// Where we looked.
        folder: String,
        /// What we saw instead. Empty, or begins with "; ".
        hint: String,
    },
    /// Several files hold one.
    #[error("several applications found: {}. Name one: ironbridge {}", apps.join(", "), apps[0])]
    Several {
        /// As the user would type them. At least two.
        apps: Vec<String>,
    },
    /// A project was recognised, but not its application.
    #[error("{0}")]
    Unclear(String),
}

/// Variables of the frameworks' own that name the application.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// `FLASK_APP`
    pub flask_app: Option<String>,
    /// `DJANGO_SETTINGS_MODULE`
    pub django_settings_module: Option<String>,
}

impl Hints {
    /// Reads them from the environment.
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        Self { flask_app: variable("FLASK_APP"), django_settings_module: variable("DJANGO_SETTINGS_MODULE") }
    }
}

/// Looks for the application of the project in `folder`.
///
/// # Errors
/// There is none, or more than one, or it is none that we serve.
pub fn discover(folder: &Path, hints: &Hints) -> Result<Choice, DiscoveryError> {
    if let Some(choice) = django::find(folder, hints.django_settings_module.as_deref())? {
        return Ok(choice);
    }
    if let Some(value) = &hints.flask_app {
        return Ok(flask::from_variable(folder, value));
    }
    match flask::find(folder)? {
        Some(choice) => Ok(choice),
        None => Err(DiscoveryError::Nothing {
            folder: folder.display().to_string(),
            hint: seen_elsewhere(folder),
        }),
    }
}

/// A project one folder down is the most usual reason to find none here.
fn seen_elsewhere(folder: &Path) -> String {
    let mut found: Vec<String> = subfolders(folder)
        .filter(|name| discover(&folder.join(name), &Hints::default()).is_ok())
        .map(|name| format!("--chdir {name}"))
        .collect();
    found.sort();
    if found.is_empty() {
        String::new()
    } else {
        format!("; there is a project in a subfolder: {}", found.join(" or "))
    }
}

fn subfolders(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(1000);
    entries.filter(|entry| entry.path().is_dir()).filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let visible = !name.starts_with(['.', '_']) && !entry.path().join("pyvenv.cfg").exists();
        visible.then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANAGE: &str =
        "import os\ndef main():\n    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n";

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn found(files: &[(&str, &str)]) -> String {
        found_with(files, &Hints::default())
    }

    fn found_with(files: &[(&str, &str)], hints: &Hints) -> String {
        match discover(project(files).path(), hints) {
            Ok(choice) => choice.app,
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn django_is_found_by_the_settings_that_manage_py_names() {
        let settings = "DEBUG = True\nWSGI_APPLICATION = 'shop.web.application'\n";
        for place in ["shop/settings.py", "shop/settings/__init__.py", "shop/settings/base.py"] {
            assert_eq!(found(&[("manage.py", MANAGE), (place, settings)]), "shop.web:application", "{place}");
        }
    }

    #[test]
    fn django_without_the_setting_falls_back_to_the_usual_file() {
        assert_eq!(
            found(&[("manage.py", MANAGE), ("shop/settings.py", "DEBUG = True"), ("shop/wsgi.py", "")]),
            "shop.wsgi"
        );
        let none = found(&[("manage.py", MANAGE), ("shop/settings.py", "WSGI_APPLICATION = None")]);
        assert!(none.contains("manage.py names the settings shop.settings, but"), "{none}");
    }

    #[test]
    fn djangos_variable_beats_manage_py() {
        let files = &[
            ("manage.py", MANAGE),
            ("shop/settings.py", "WSGI_APPLICATION = 'shop.wsgi.application'"),
            ("other/settings.py", "WSGI_APPLICATION = \"other.wsgi.application\""),
        ];
        let hints = Hints { django_settings_module: Some("other.settings".to_owned()), ..Hints::default() };
        assert_eq!(found_with(files, &hints), "other.wsgi:application");
    }

    #[test]
    fn flask_files_are_read_for_what_they_define() {
        let table = [
            ("app.py", "from flask import Flask\napp = Flask(__name__)\n", "app:app"),
            ("app.py", "from flask import Flask\nsite = Flask(__name__)\n", "app:site"),
            ("app.py", "import flask\n\ndef create_app():\n    app = flask.Flask('x')\n", "app:create_app()"),
            (
                "app.py",
                "import flask\ndef make_app(config=None, *, debug=False):\n    pass\n",
                "app:make_app()",
            ),
            ("main.py", "app: Flask = Flask(__name__)", "main:app"),
            ("application.py", "application = make()", "application:application"),
            ("wsgi.py", "from shop import create_app\napp = create_app()\n", "wsgi:app"),
            ("wsgi.py", "from shop import site as application\n", "wsgi:application"),
            ("wsgi.py", "def application(environ, start_response):\n    return []\n", "wsgi:application"),
            ("shop/wsgi.py", "application = 1", "shop.wsgi:application"),
            ("shop/__init__.py", "def create_app():\n    pass", "shop:create_app()"),
        ];
        for (file, text, expected) in table {
            assert_eq!(found(&[(file, text)]), expected, "{file}: {text}");
        }
    }

    #[test]
    fn what_is_no_definition_is_not_taken_for_one() {
        let table = [
            "'''\napp = Flask(__name__)\n'''\n",
            "# app = Flask(__name__)\n",
            "def create_app(config):\n    pass\n",
            "def other():\n    app = Flask(__name__)\n",
            "app == 3\n",
        ];
        for text in table {
            assert!(found(&[("app.py", text)]).starts_with("error: no application found"), "{text}");
        }
    }

    #[test]
    fn wsgi_py_wins_over_the_files_it_imports_from() {
        assert_eq!(found(&[("app.py", "app = Flask(1)"), ("wsgi.py", "from app import app")]), "wsgi:app");
    }

    #[test]
    fn a_file_that_only_imports_an_application_does_not_compete() {
        let files = &[("app.py", "app = Flask(1)"), ("main.py", "from app import app\napp.run()")];
        assert_eq!(found(files), "app:app");
    }

    #[test]
    fn several_applications_are_not_chosen_from() {
        assert_eq!(
            found(&[("app.py", "app = Flask(1)"), ("main.py", "app = Flask(2)")]),
            "error: several applications found: app:app, main:app. Name one: ironbridge app:app"
        );
    }

    #[test]
    fn asgi_applications_are_found_as_well() {
        let table = [
            ("main.py", "from fastapi import FastAPI\napi = FastAPI()\n", "main:api"),
            ("app.py", "import quart\nsite = quart.Quart(__name__)\n", "app:site"),
            ("asgi.py", "async def application(scope, receive, send):\n    pass\n", "asgi:application"),
            ("shop/main.py", "app = FastAPI()\n", "shop.main:app"),
        ];
        for (file, text, expected) in table {
            assert_eq!(found(&[(file, text)]), expected, "{file}: {text}");
        }
    }

    #[test]
    fn django_with_an_asgi_application_is_served_as_that() {
        let settings =
            "WSGI_APPLICATION = 'shop.wsgi.application'\nASGI_APPLICATION = 'shop.asgi.application'\n";
        assert_eq!(found(&[("manage.py", MANAGE), ("shop/settings.py", settings)]), "shop.asgi:application");
    }

    #[test]
    fn flask_app_is_understood_as_flask_does() {
        let files = &[("site.py", "def create_app(name='x'):\n    pass\n"), ("hello.py", "app = Flask(1)")];
        for (value, expected) in [
            ("hello", "hello:app"),
            ("hello.py", "hello.py:app"),
            ("hello:app", "hello:app"),
            ("site", "site:create_app()"),
            ("site:create_app", "site:create_app()"),
            ("site:create_app('y')", "site:create_app('y')"),
            ("elsewhere", "elsewhere"),
        ] {
            let hints = Hints { flask_app: Some(value.to_owned()), ..Hints::default() };
            assert_eq!(found_with(files, &hints), expected, "{value}");
        }
    }

    #[test]
    fn a_project_in_a_subfolder_is_a_hint() {
        let message = found(&[("backend/manage.py", MANAGE), ("backend/shop/wsgi.py", "")]);
        assert!(message.contains("there is a project in a subfolder: --chdir backend"), "{message}");
    }

    #[test]
    fn the_reason_says_what_led_there() {
        let files =
            &[("manage.py", MANAGE), ("shop/settings.py", "WSGI_APPLICATION = 'shop.wsgi.application'")];
        let choice = discover(project(files).path(), &Hints::default()).unwrap();
        assert_eq!(
            choice.reason,
            "Django project: WSGI_APPLICATION in shop/settings.py, which manage.py names"
        );
        let choice = discover(project(&[("app.py", "app = Flask(1)")]).path(), &Hints::default()).unwrap();
        assert_eq!(choice.reason, "found in app.py");
    }
}
