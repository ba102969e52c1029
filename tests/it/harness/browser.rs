//! Chromium, driven by its DevTools protocol over one WebSocket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::websocket::HANDSHAKE;
use super::{DEADLINE, Folder, Process};

/// A browser with one page. Killed with the value.
pub struct Browser {
    socket: TcpStream,
    calls: u64,
    _process: Process,
    _folder: Folder,
}

/// What the browser announces on standard error, before the URL of its protocol.
const ANNOUNCES: &str = "DevTools listening on ws://";

impl Browser {
    /// Starts the browser, with an empty page of this size.
    pub fn start(width: u32, height: u32) -> Self {
        let folder = Folder::new();
        let process = Process::start(
            Command::new("chromium")
                .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
                .args(["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"])
                .args(["--disable-dev-shm-usage", "--remote-debugging-port=0", "about:blank"])
                .arg(format!("--user-data-dir={}", folder.path("profile").display()))
                .env("HOME", folder.path("home"))
                .stdin(Stdio::null()),
        );
        let has_port = |err: &[u8]| {
            let text = String::from_utf8_lossy(err);
            text.split_once(ANNOUNCES).is_some_and(|(_, rest)| rest.contains('\n'))
        };
        let (_, err) = process.wait_for_output(|_, err| has_port(err));
        let err = String::from_utf8_lossy(&err).into_owned();
        let address = err.split_once(ANNOUNCES).unwrap().1.split('/').next().unwrap();
        let page = page_path(address);
        let mut socket = connect(address);
        write!(socket, "GET {page} HTTP/1.1\r\nHost: {address}\r\n{HANDSHAKE}\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        let mut browser = Self { socket, calls: 0, _process: process, _folder: folder };
        browser.call("Page.enable", json!({}));
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
        browser
    }

    /// Calls a method of the protocol and returns its result.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let call = json!({ "id": self.calls, "method": method, "params": parameters });
        self.send(call.to_string().as_bytes());
        loop {
            let message: Value = serde_json::from_slice(&self.message()).expect("JSON");
            if message["id"] == self.calls {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    /// Loads a page.
    pub fn open(&mut self, url: &str) {
        let result = self.call("Page.navigate", json!({ "url": url }));
        assert!(result.get("errorText").is_none(), "{url}: {result}");
    }

    /// The value of an expression on the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true });
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// The text of the page, as it is shown.
    pub fn text(&mut self) -> String {
        self.evaluate("document.body ? document.body.innerText : ''").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows this text, and returns how long that took.
    ///
    /// # Panics
    /// After `within`, with the text that it shows.
    pub fn wait_for_text(&mut self, text: &str, within: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let shown = self.text();
            if shown.contains(text) {
                return start.elapsed();
            }
            assert!(start.elapsed() < within, "not shown within {within:?}: {text:?}; but:\n{shown}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A picture of the page as PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let result = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        STANDARD.decode(result["data"].as_str().unwrap()).unwrap()
    }

    /// Sends a text message in one frame (RFC 6455 §5.2). Its mask is zero.
    fn send(&mut self, text: &[u8]) {
        let mut frame = vec![0x81];
        match text.len() {
            length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text);
        self.socket.write_all(&frame).unwrap();
    }

    /// The next message, of one or several frames.
    fn message(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let mut head = [0; 2];
            self.socket.read_exact(&mut head).unwrap();
            let length = match head[1] {
                126 => u64::from(u16::from_be_bytes(self.exactly())),
                127 => u64::from_be_bytes(self.exactly()),
                length => u64::from(length),
            };
            let start = message.len();
            message.resize(start + usize::try_from(length).unwrap(), 0);
            self.socket.read_exact(&mut message[start..]).unwrap();
            if head[0] & 0x80 != 0 {
                return message;
            }
        }
    }

    fn exactly<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.socket.read_exact(&mut bytes).unwrap();
        bytes
    }
}

fn connect(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// The path of the page's protocol.
fn page_path(address: &str) -> String {
    super::eventually("a page of the browser", || {
        let mut socket = connect(address);
        write!(socket, "GET /json/list HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // The browser may keep the connection open.
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = socket.read(&mut chunk) {
            answer.extend(&chunk[..count]);
            if answer.trim_ascii_end().ends_with(b"]") {
                break;
            }
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        let pages: Value = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
        let page = pages.as_array()?.iter().find(|page| page["type"] == "page")?;
        let url = page["webSocketDebuggerUrl"].as_str()?;
        Some(url.trim_start_matches("ws://").trim_start_matches(address).to_owned())
    })
}
