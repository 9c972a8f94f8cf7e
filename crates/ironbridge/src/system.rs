//! What the process is to the system: its user, its files, its service manager.
//!
//! * [`identity`]: user, group, umask, and further environment variables.
//! * [`pid_file`]: a file that says which process this is.
//! * [`systemd`]: sockets that it passes, and what it is told.

pub mod identity;
pub mod pid_file;
pub(crate) mod systemd;

use std::path::PathBuf;

use clap::Args;

/// Options about the system.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "System")]
pub struct SystemOptions {
    /// Write the process id of the server (of its supervisor) to this file, and remove it at the end.
    #[arg(long, value_name = "FILE", alias = "pid")]
    pub pid_file: Option<PathBuf>,

    /// Name of the server in the titles of its processes, which `ps` shows. Without it, the application's.
    #[arg(long, short = 'n', value_name = "NAME")]
    pub name: Option<String>,

    /// Unix socket that `ironbridge reload`, `status` and so on talk to the server (to its supervisor) by. For the server's own user,
    /// and root, only.
    #[arg(long, value_name = "FILE")]
    pub control_socket: Option<PathBuf>,

    /// User, by name or number, that the application runs as. Addresses are bound before, so a server that root starts can have
    /// port 80. Its groups are the user's.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,

    /// Group, by name or number, that the application runs as. Without it, the one of --user.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,

    /// Permissions that files which the application makes shall not have, such as 027.
    #[arg(long, value_name = "MODE", value_parser = parse_umask)]
    pub umask: Option<u32>,

    /// File with lines KEY=value that are added to the environment before the application is imported; a reload reads it
    /// again. Variables that are set already win.
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

fn parse_umask(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8) {
        Ok(bits @ 0..=0o777) => Ok(bits),
        _ => Err("expected permission bits in octal, such as 027".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_umask_is_octal() {
        assert_eq!(parse_umask("027"), Ok(0o27));
        assert_eq!(parse_umask("0o77"), Ok(0o77));
        assert_eq!(parse_umask("0"), Ok(0));
        for wrong in ["8", "1000", "rwx", ""] {
            assert!(parse_umask(wrong).is_err(), "{wrong}");
        }
    }
}
