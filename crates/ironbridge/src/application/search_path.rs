//! Where modules are searched: `sys.path`, with the site's folders first.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyList;

/// The folders that we put on `sys.path`, in their order.
#[derive(Debug, Clone, Default)]
pub struct Searched(Vec<PathBuf>);

impl Searched {
    /// Puts the current folder first on `sys.path`, then `further` ones.
    ///
    /// # Errors
    /// The current folder is gone, or `sys.path` is no list any more.
    pub fn extend(py: Python<'_>, further: &[PathBuf]) -> PyResult<Self> {
        let here = std::env::current_dir()?;
        let further = further.iter().map(|folder| here.join(folder));
        let folders: Vec<PathBuf> = std::iter::once(here.clone()).chain(further).collect();
        for (position, folder) in folders.iter().enumerate() {
            put(py, position, folder)?;
        }
        Ok(Self(folders))
    }

    /// The folders.
    pub fn folders(&self) -> &[PathBuf] {
        &self.0
    }

    /// The folders for a message.
    pub fn describe(&self) -> String {
        self.0.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Puts one more folder first on `sys.path`.
///
/// # Errors
/// `sys.path` is no list any more.
pub(super) fn put_first(py: Python<'_>, folder: &Path) -> PyResult<()> {
    put(py, 0, folder)
}

fn put(py: Python<'_>, position: usize, folder: &Path) -> PyResult<()> {
    let path = py.import("sys")?.getattr("path")?.cast_into::<PyList>()?;
    let folder = folder.as_os_str();
    // A second entry further down would do no harm, but would show up in every traceback of a missing module's search.
    while let Ok(former) = path.index(folder) {
        path.del_item(former)?;
    }
    path.insert(position, folder)
}
