//! What to send, to whom and for how long: the command line, parsed once.

use std::net::SocketAddr;
use std::time::Duration;

/// Everything that the arguments say.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    /// Connections held at once.
    pub(crate) connections: usize,
    /// A new connection for each request.
    pub(crate) close: bool,
    /// Unmeasured load before the run.
    pub(crate) warmup: Duration,
    /// The handshake of a WebSocket, where connections are such: classes are frames then.
    pub(crate) upgrade: Option<Vec<u8>>,
    /// One connection sends, and each of them receives what it sent.
    pub(crate) fan: bool,
    /// When the run ends.
    pub(crate) limit: Limit,
    /// The kinds of requests that are mixed.
    pub(crate) classes: Vec<Class>,
}

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// After this time.
    Time(Duration),
    /// After this many requests.
    Requests(u64),
}

/// One kind of request.
#[derive(Debug)]
pub(crate) struct Class {
    /// Its name in the result.
    pub(crate) name: String,
    /// Its share among the requests, relative to the other classes.
    pub(crate) weight: u64,
    /// The request, byte by byte.
    pub(crate) bytes: Vec<u8>,
    /// How far the client goes with it.
    pub(crate) fate: Fate,
}

/// How far the client goes with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Sends all of it and reads the whole response.
    Whole,
    /// Sends this many bytes, then closes.
    Cut(usize),
    /// Sends all of it, and closes when this many bytes of the response have come.
    Leave(usize),
}

impl Plan {
    /// Reads `--address A --connections N --warmup S (--seconds S | --requests N) [--close] [--upgrade FILE [--fan]]
    /// --class SPEC...` where SPEC is `NAME,WEIGHT,FILE[,cut=BYTES|,leave=BYTES]`.
    pub(crate) fn from_args(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = args;
        let mut address = None;
        let mut limit = None;
        let mut plan = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            connections: 64,
            close: false,
            upgrade: None,
            fan: false,
            warmup: Duration::ZERO,
            limit: Limit::Requests(0),
            classes: Vec::new(),
        };
        while let Some(name) = args.next() {
            if name == "--close" {
                plan.close = true;
                continue;
            }
            if name == "--fan" {
                plan.fan = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name}: no value"))?;
            match name.as_str() {
                "--address" => address = Some(number(&name, &value)?),
                "--connections" => plan.connections = number(&name, &value)?,
                "--warmup" => plan.warmup = seconds(&name, &value)?,
                "--seconds" => limit = Some(Limit::Time(seconds(&name, &value)?)),
                "--requests" => limit = Some(Limit::Requests(number(&name, &value)?)),
                "--upgrade" => plan.upgrade = Some(read(&value)?),
                "--class" => plan.classes.push(Class::parse(&value)?),
                _ => return Err(format!("{name}: unknown option")),
            }
        }
        plan.address = address.ok_or("--address is missing")?;
        plan.limit = limit.ok_or("--seconds or --requests is missing")?;
        if plan.classes.is_empty() || plan.connections == 0 {
            return Err("nothing to send".into());
        }
        if plan.fan && plan.upgrade.is_none() {
            return Err("--fan needs --upgrade".into());
        }
        Ok(plan)
    }
}

impl Class {
    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').collect();
        let (name, weight, path, fate) = match parts[..] {
            [name, weight, path] => (name, weight, path, Fate::Whole),
            [name, weight, path, fate] => (name, weight, path, Fate::parse(fate)?),
            _ => return Err(format!("--class {text}: expected NAME,WEIGHT,FILE[,cut=BYTES|,leave=BYTES]")),
        };
        Ok(Self { name: name.to_owned(), weight: number("weight", weight)?, bytes: read(path)?, fate })
    }
}

impl Fate {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("cut", bytes)) => number("cut", bytes).map(Self::Cut),
            Some(("leave", bytes)) => number("leave", bytes).map(Self::Leave),
            _ => Err(format!("{text}: expected cut=BYTES or leave=BYTES")),
        }
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}"))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} {value}: not understood"))
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number(name, value)?).map_err(|error| format!("{name} {value}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Plan, String> {
        Plan::from_args(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_whole_command_line_is_read() {
        let plan = parse(
            "--address 127.0.0.1:80 --connections 3 --warmup 0.5 --requests 9 --close --class a,9,/dev/null \
             --class b,1,/dev/null,cut=4",
        )
        .expect("the line is well-formed");
        assert_eq!((plan.connections, plan.close, plan.limit), (3, true, Limit::Requests(9)));
        assert_eq!(plan.warmup, Duration::from_millis(500));
        let fates: Vec<_> = plan.classes.iter().map(|class| (class.weight, class.fate)).collect();
        assert_eq!(fates, [(9, Fate::Whole), (1, Fate::Cut(4))]);
    }

    #[test]
    fn mistakes_name_the_option() {
        for (line, names) in [
            ("--address x --seconds 1", "--address"),
            ("--seconds -1", "--seconds"),
            ("--requests 1 --class a,1,/dev/null", "--address"),
            ("--address 127.0.0.1:80 --class a,1,/dev/null", "--seconds"),
            ("--class a,1,/dev/null,half=3", "half"),
            ("--colour red", "--colour"),
            ("--address 127.0.0.1:80 --seconds 1 --fan --class a,1,/dev/null", "--fan"),
        ] {
            let message = parse(line).expect_err(line);
            assert!(message.contains(names), "{line}: {message}");
        }
    }
}
