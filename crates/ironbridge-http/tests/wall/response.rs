//! Reads what a server sends, to the letter.

#![allow(unreachable_pub, reason = "a module of several test crates")]

use ironbridge_http::gate::chunked::ChunkedTracker;

/// One response as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the header called `name`, spelled just so.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Takes a connection's bytes apart into its responses. `methods` are those of the requests, as far as they are known: the
/// response to HEAD has no body. What is left at the end belongs to a response that broke off.
///
/// # Errors
/// The first thing that no client could understand.
pub fn read_all(mut bytes: &[u8], methods: &[&[u8]]) -> Result<(Vec<Answer>, Vec<u8>), String> {
    let mut answers = Vec::new();
    let mut methods = methods.iter();
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok((answers, bytes.to_vec()));
        };
        let head = read_head(&bytes[..end + 2])?;
        let rest = &bytes[end + 4..];
        if head.status < 200 {
            bytes = rest;
            continue;
        }
        let head_only = methods.next().is_some_and(|method| *method == b"HEAD");
        let Some((body, taken)) = read_body(&head, head_only, rest)? else {
            return Ok((answers, bytes.to_vec()));
        };
        answers.push(Answer { body, ..head });
        bytes = &rest[taken..];
    }
    Ok((answers, Vec::new()))
}

fn read_head(head: &[u8]) -> Result<Answer, String> {
    let text = std::str::from_utf8(head).map_err(|_| "a head that is no ASCII".to_owned())?;
    let (line, fields) = text.split_once("\r\n").ok_or("no status line")?;
    let version_is_known = line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 ");
    let status: u16 = line.get(9..12).and_then(|code| code.parse().ok()).ok_or(format!("bad line {line}"))?;
    if !version_is_known || line.as_bytes().get(12) != Some(&b' ') {
        return Err(format!("bad status line {line:?}"));
    }
    for field in fields.split_terminator("\r\n") {
        let (name, _) = field.split_once(": ").ok_or(format!("bad line {field:?}"))?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(format!("bad name {name:?}"));
        }
    }
    Ok(Answer { status, head: fields.to_owned(), body: Vec::new() })
}

/// The body at the start of `bytes`, and how many of them it takes; `None`: it is not whole.
fn read_body(head: &Answer, head_only: bool, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    if head_only || matches!(head.status, 204 | 304) {
        return Ok(Some((Vec::new(), 0)));
    }
    match (head.header("Content-Length"), head.header("Transfer-Encoding")) {
        (Some(length), None) => {
            let length: usize = length.parse().map_err(|_| format!("bad length {length}"))?;
            Ok(bytes.get(..length).map(|body| (body.to_vec(), length)))
        }
        (None, Some("chunked")) => {
            let mut tracker = ChunkedTracker::new(0);
            let followed = tracker.follow(bytes).map_err(|refusal| format!("bad chunks: {refusal}"))?;
            let data = || unchunked(&bytes[..followed.taken]);
            Ok(followed.over.then(|| (data(), followed.taken)))
        }
        (None, None) if head.header("Connection") == Some("close") => Ok(Some((bytes.to_vec(), bytes.len()))),
        other => Err(format!("nobody can tell where the body ends: {other:?}")),
    }
}

/// The data of a chunked body that is known to be right.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size =
            std::str::from_utf8(&bytes[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|&size| size > 0) else { break };
        data.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
    }
    data
}
