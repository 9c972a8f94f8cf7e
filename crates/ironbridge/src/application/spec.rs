//! `module:attribute` and its kin, as text. Nothing here touches Python or the disk.

use std::path::PathBuf;
use std::str::FromStr;

/// What the user typed as APP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Where the application lives.
    pub module: ModuleName,
    /// The attribute, as a path of names. Empty: look for the usual names.
    pub attribute: Vec<String>,
    /// The arguments of a factory call as written, without the parentheses. None: no call.
    pub arguments: Option<String>,
}

/// A module by its name, or by its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleName {
    /// `shop.wsgi`
    Dotted(String),
    /// `site/wsgi.py`
    File(PathBuf),
}

/// APP is none of the known forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Nothing before the colon, or nothing at all.
    #[error("{0:?} names no module: expected module:attribute, such as shop.wsgi:application")]
    NoModule(String),
    /// Nothing after the colon.
    #[error(
        "{0:?} names no attribute after the colon: expected module:attribute, such as shop.wsgi:application"
    )]
    NoAttribute(String),
    /// Not a name of Python.
    #[error(
        "{name:?} in {text:?} is not a Python name: expected module:attribute, such as shop.wsgi:application"
    )]
    NotAName {
        /// All of it.
        text: String,
        /// The part at fault.
        name: String,
    },
    /// A parenthesis without its partner.
    #[error(
        "{0:?} has an unfinished call: expected module:factory() or module:factory(\"text\", debug=False)"
    )]
    UnfinishedCall(String),
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (module, rest) = match text.split_once(':') {
            Some((module, rest)) => (module.trim(), Some(rest.trim())),
            None => (text.trim(), None),
        };
        if module.is_empty() {
            return Err(SpecError::NoModule(text.to_owned()));
        }
        let module = if is_file(module) {
            ModuleName::File(PathBuf::from(module))
        } else {
            names(module, text)?;
            ModuleName::Dotted(module.to_owned())
        };
        match rest {
            None => Ok(Self { module, attribute: Vec::new(), arguments: None }),
            Some("") => Err(SpecError::NoAttribute(text.to_owned())),
            Some(rest) => {
                let (attribute, arguments) = call(rest, text)?;
                Ok(Self { module, attribute: names(attribute, text)?, arguments })
            }
        }
    }
}

fn is_file(module: &str) -> bool {
    module.contains('/') || module.ends_with(".py")
}

fn call<'a>(rest: &'a str, text: &str) -> Result<(&'a str, Option<String>), SpecError> {
    match rest.split_once('(') {
        None => Ok((rest, None)),
        Some((attribute, call)) => match call.strip_suffix(')') {
            Some(arguments) => Ok((attribute, Some(arguments.trim().to_owned()))),
            None => Err(SpecError::UnfinishedCall(text.to_owned())),
        },
    }
}

fn names(dotted: &str, text: &str) -> Result<Vec<String>, SpecError> {
    let checked = dotted.split('.').map(|name| match is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(SpecError::NotAName { text: text.to_owned(), name: name.to_owned() }),
    });
    checked.collect()
}

/// Python's own rule (XID, and no keyword) is stricter; what it refuses beyond this fails at import.
fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first == '_' || first.is_alphabetic())
        && letters.all(|letter| letter == '_' || letter.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dotted(module: &str, attribute: &[&str], arguments: Option<&str>) -> Spec {
        spec(ModuleName::Dotted(module.to_owned()), attribute, arguments)
    }

    fn file(path: &str, attribute: &[&str], arguments: Option<&str>) -> Spec {
        spec(ModuleName::File(path.into()), attribute, arguments)
    }

    fn spec(module: ModuleName, attribute: &[&str], arguments: Option<&str>) -> Spec {
        let attribute = attribute.iter().map(ToString::to_string).collect();
        Spec { module, attribute, arguments: arguments.map(str::to_owned) }
    }

    #[test]
    fn all_forms_are_understood() {
        let table = [
            ("shop", dotted("shop", &[], None)),
            ("shop.wsgi", dotted("shop.wsgi", &[], None)),
            ("shop.wsgi:application", dotted("shop.wsgi", &["application"], None)),
            ("shop:site.app", dotted("shop", &["site", "app"], None)),
            ("shop:create_app()", dotted("shop", &["create_app"], Some(""))),
            ("shop:create_app( )", dotted("shop", &["create_app"], Some(""))),
            (
                r#"shop:create_app("a:b(c)", debug=False)"#,
                dotted("shop", &["create_app"], Some(r#""a:b(c)", debug=False"#)),
            ),
            ("shop:Site.create()", dotted("shop", &["Site", "create"], Some(""))),
            ("wsgi.py", file("wsgi.py", &[], None)),
            ("site/wsgi.py:app", file("site/wsgi.py", &["app"], None)),
            ("./site/wsgi:app", file("./site/wsgi", &["app"], None)),
            ("/srv/site/wsgi.py:make()", file("/srv/site/wsgi.py", &["make"], Some(""))),
            ("größe:app", dotted("größe", &["app"], None)),
            (" shop : app ", dotted("shop", &["app"], None)),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for text in
            ["", ":", ":app", "shop:", "shop::app", "my-shop:app", "1shop", "shop.", ".shop", "shop:a-b"]
        {
            assert!(text.parse::<Spec>().is_err(), "{text}");
        }
        assert_eq!("shop:make(".parse::<Spec>(), Err(SpecError::UnfinishedCall("shop:make(".to_owned())));
        assert_eq!("shop:make()x".parse::<Spec>(), Err(SpecError::UnfinishedCall("shop:make()x".to_owned())));
    }

    #[test]
    fn messages_show_an_example() {
        let message = "my-shop:app".parse::<Spec>().unwrap_err().to_string();
        assert!(message.starts_with(r#""my-shop" in "my-shop:app" is not a Python name"#), "{message}");
        assert!(message.ends_with("such as shop.wsgi:application"), "{message}");
    }
}
