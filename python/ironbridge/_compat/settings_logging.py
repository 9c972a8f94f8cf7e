"""Settings of Gunicorn about logs and measurements: its heading Logging."""

from __future__ import annotations

from . import limits, values
from .setting import BOOLEAN, TEXT, Choice, Choices, Kind, Outcome, Setting, Verdict, exact, ignored, near, ruled

ACCESS_LOG_FORMAT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
LOGCONFIG = "it configures Python's logging in the workers; the server's own log and the access log are not part of it"
LOGGER_CLASS = "the server writes its own log; see access_log_format, and logconfig_dict for the application's"
CAPTURE = "what workers print goes to the log file; SIGUSR1 does not open it again for them"
SYSLOG = "nothing is sent to syslog: the log goes to the standard error output, which systemd and containers collect"
STATSD = "nothing is sent to statsd"


def _capture(choice: Choice, choices: Choices) -> Outcome:
    if not choice.value or choices.value("errorlog") == "-":
        return Outcome(Verdict.EXACT)
    return Outcome(Verdict.APPROXIMATE, {}, CAPTURE)


LOGGING = (
    Setting("accesslog", ("--access-logfile",), TEXT, None, exact("access_log")),
    Setting(
        "disable_redirect_access_to_syslog", ("--disable-redirect-access-to-syslog",), BOOLEAN, False, ignored(SYSLOG)
    ),
    Setting("access_log_format", ("--access-logformat",), TEXT, ACCESS_LOG_FORMAT, exact("access_log_format")),
    Setting("errorlog", ("--error-logfile", "--log-file"), TEXT, "-", exact("log_file")),
    Setting("loglevel", ("--log-level",), TEXT, "info", ruled(Verdict.EXACT, "log_level", "", limits.log_level)),
    Setting(
        "capture_output",
        ("--capture-output",),
        BOOLEAN,
        False,
        ruled(Verdict.APPROXIMATE, "", CAPTURE, _capture),
    ),
    Setting(
        "logger_class",
        ("--logger-class",),
        Kind(values.worker_class),
        "gunicorn.glogging.Logger",
        ignored(LOGGER_CLASS, lambda value: value in (None, "gunicorn.glogging.Logger", "simple")),
    ),
    Setting("logconfig", ("--log-config",), TEXT, None, near(LOGCONFIG)),
    Setting("logconfig_dict", (), Kind(values.mapping), dict, near(LOGCONFIG)),
    Setting("logconfig_json", ("--log-config-json",), TEXT, None, near(LOGCONFIG)),
    Setting("syslog", ("--log-syslog",), BOOLEAN, False, ignored(SYSLOG)),
    Setting("syslog_addr", ("--log-syslog-to",), TEXT, "udp://localhost:514", ignored(SYSLOG)),
    Setting("syslog_prefix", ("--log-syslog-prefix",), TEXT, None, ignored(SYSLOG)),
    Setting("syslog_facility", ("--log-syslog-facility",), TEXT, "user", ignored(SYSLOG)),
    Setting(
        "enable_stdio_inheritance", ("-R", "--enable-stdio-inheritance"), BOOLEAN, False, ignored("it is about daemon")
    ),
    Setting("statsd_host", ("--statsd-host",), TEXT, None, ignored(STATSD)),
    Setting("dogstatsd_tags", ("--dogstatsd-tags",), TEXT, "", ignored(STATSD)),
    Setting("statsd_prefix", ("--statsd-prefix",), TEXT, "", ignored(STATSD)),
    Setting("enable_backlog_metric", ("--enable-backlog-metric",), BOOLEAN, False, ignored(STATSD)),
)
