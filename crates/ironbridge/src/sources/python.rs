//! Options from a Python configuration file, such as `gunicorn.conf.py`, and from `GUNICORN_CMD_ARGS`.

use std::path::Path;

use pyo3::prelude::*;

use super::known::{self, KnownOption};
use super::{Place, Setting, SourceError, keywords};
use crate::configured;

/// Executes the file and reads `arguments`.
///
/// # Errors
/// The file fails, or asks for what cannot be; a value that its option does not take.
pub(super) fn read(
    known: &[KnownOption],
    file: Option<&Path>,
    arguments: Option<&str>,
    chdir: Option<&Path>,
    folder: &Path,
) -> Result<(configured::Reading, Vec<Setting>), SourceError> {
    Python::attach(|py| {
        // At a reload the current folder may be another one than at the start.
        let absolute = file.filter(|file| file.is_relative() && !file.to_string_lossy().contains(':'));
        let absolute = absolute.filter(|_| !folder.as_os_str().is_empty()).map(|file| folder.join(file));
        let file = absolute.as_deref().or(file);
        let folder = chdir.or((!folder.as_os_str().is_empty()).then_some(folder));
        let mut reading = configured::read(py, file, arguments, folder).map_err(SourceError::Configured)?;
        let mut settings = Vec::new();
        for given in std::mem::take(&mut reading.given) {
            let place = Place::Configured(given.place);
            let option = known::find(known, &given.option).ok_or_else(|| SourceError::Unknown {
                place: place.clone(),
                nearest: known::nearest_option(known, &given.option),
            })?;
            let values = keywords::values(option, given.value.bind(py))
                .map_err(|reason| SourceError::WrongType { place: place.clone(), reason })?;
            settings.push(Setting::new(option, values, place)?);
        }
        Ok((reading, settings))
    })
}
