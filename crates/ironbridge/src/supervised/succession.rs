//! The supervisor's part in an [upgrade](crate::upgrade).

use ironbridge_supervisor::supervisor::Order;
use pyo3::prelude::*;
use rustix::process::getpid;

use super::household::Household;
use crate::{
    control::{Command, server::Control},
    upgrade::{News, Successor},
};

impl<F> Household<F> {
    /// Starts the newest version of the program, for it to take over.
    pub(super) fn upgrade(&mut self) {
        let started = self.start_successor();
        match started {
            Ok(successor) => {
                tracing::info!("upgrading: process {} starts", successor.pid);
                self.successor = Some(successor);
            }
            Err(reason) => self.upgrade_failed(&reason),
        }
    }

    fn start_successor(&mut self) -> Result<Successor, String> {
        if getpid().is_init() {
            return Err(
                "this is process 1, whose end would be the end of the container; reload instead".to_owned()
            );
        }
        if !self.is_serving {
            return Err("this server does not serve yet".to_owned());
        }
        self.tell(|configured, py| configured.tell(py, "pre_exec", ()));
        let control = self.house.control.as_ref().map(Control::socket);
        Python::attach(|py| {
            if let Some(former) = self.successor.take() {
                former.end(py)?;
            }
            Successor::start(py, &self.house.folder, &self.house.doors, control)
        })
        .map_err(|error| error.to_string())
    }

    fn upgrade_failed(&mut self, reason: &str) {
        tracing::error!("the upgrade has failed: {reason}; this server goes on");
        self.systemd.status(&format!("the last upgrade has failed: {reason}"));
        self.answer(
            Command::Upgrade,
            &Err(format!("the upgrade has failed: {reason}; the old server goes on")),
        );
    }

    /// Ends this server when its successor serves.
    pub(super) fn look_at_successor(&mut self) -> Option<Order> {
        let successor = self.successor.as_ref()?;
        let pid = successor.pid;
        match Python::attach(|py| successor.news(py)) {
            Ok(News::None) => None,
            Ok(News::Serves) => {
                tracing::info!("upgraded: process {pid} serves; finishing requests in flight");
                self.successor = None;
                self.house.doors.leave_files();
                self.systemd.is_now(pid.unsigned_abs(), "upgraded");
                self.answer(Command::Upgrade, &Ok(format!("upgraded: process {pid} serves")));
                if let Some(mut control) = self.house.control.take() {
                    control.leave_file();
                }
                self.is_replaced = true;
                self.is_stopping = true;
                // Without notice: nobody else has to notice.
                Some(Order::Interrupt)
            }
            Ok(News::Ended(code)) => {
                self.successor = None;
                self.upgrade_failed(&match code {
                    0.. => format!("the new server ended with exit code {code}"),
                    _ => format!("the new server ended with signal {}", -code),
                });
                None
            }
            Err(error) => {
                self.successor = None;
                self.upgrade_failed(&error.to_string());
                None
            }
        }
    }
}
