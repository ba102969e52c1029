//! Parts of requests, and answers of origins, that both versions of HTTP are compared with.

/// Bodies of requests with their framing fields.
pub const BODIES: [(&str, &str); 8] = [
    ("Content-Length: 5\r\n", "hello"),
    ("Content-Length: 0\r\n", ""),
    ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("transfer-encoding: Chunked\r\n", "1;a=b\r\nh\r\n4\r\nello\r\n0\r\nX-Trailer: y\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "5\r\nhello\nX"),
    ("Transfer-Encoding: chunked\r\n", "zz\r\n"),
    ("Transfer-Encoding: chunked\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
];

/// Fields of requests: of every kind that the gateway removes, replaces, refuses or passes on.
pub const FIELDS: [&str; 28] = [
    "",
    "Accept: */*\r\n",
    "X-Empty:\r\nx-blank: \t \r\n",
    "X-Two: 1\r\nX-TWO: 2\r\n",
    "X-Bytes: caf\u{e9} \u{20ac}\r\n",
    "Cookie: a=1\r\nCookie: b=2\r\n",
    "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: https\r\n",
    "X_Forwarded_For: 1.2.3.4\r\nX.Forwarded.For: 1.2.3.4\r\n",
    "X-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nTrue-Client-IP: 1.2.3.4\r\n",
    "X-HTTP-Method-Override: DELETE\r\n",
    "Approov_Token: x\r\napproov.token: x\r\n",
    "Content_Length: 7\r\nTransfer.Encoding: chunked\r\n",
    "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n",
    "Proxy-Authorization: Basic eA==\r\nProxy-Authenticate: Basic\r\n",
    "TE: trailers\r\nTrailer: X-Trailer\r\n",
    "HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "Connection: keep-alive\r\n",
    "Connection: close\r\n",
    "Connection: Close, keep-alive\r\n",
    "Connection: x-name\r\nX-Name: y\r\n",
    "Connection: approov-token\r\n",
    "Upgrade: h2c\r\nConnection: Upgrade\r\n",
    "Approov-Gateway-Verdict: accepted\r\n",
    "Accept-Encoding: gzip\r\nIf-None-Match: \"a\"\r\nRange: bytes=0-\r\n",
    "X-Long: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
    "X-A-Name-That-Is-Longer-Than-Any-Name-That-The-Gateway-Knows-And-Longer-Than-Sixty-Four-Bytes: y\r\n",
    "Authorization: Bearer x\r\n",
    "Host: other.test\r\n",
];

/// Answers of origins: valid, odd and hostile.
pub fn answers() -> Vec<Vec<u8>> {
    let lines = ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.1 299", "HTTP/1.1 200 "];
    let fields = [
        "",
        "Content-Type: text/plain\r\nX-Empty:\r\n",
        "Set-Cookie: a=1\r\nset-cookie: b=2\r\n",
        "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n",
        "Connection: keep-alive, X-Name\r\nX-Name: y\r\n",
        "Connection: close\r\n",
        "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: x\r\n",
        "Location: /elsewhere\r\n",
        "Upgrade: h2c\r\n",
        "Trailer: X-Trailer\r\n",
    ];
    let bodies = [
        ("Content-Length: 5\r\n", "hello"),
        ("Content-Length: 0\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "1 ; a = b \r\nh\r\n4\r\nello\r\n0\r\nX-Trailer: y\r\n\r\n"),
        ("Connection: close\r\n", "hello"),
    ];
    let mut answers = Vec::new();
    for line in lines {
        for field in fields {
            for (framing, body) in bodies {
                answers.push(format!("{line}\r\n{field}{framing}\r\n{body}"));
            }
        }
    }
    for hint in ["HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        answers.push(format!("{hint}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
        answers.push(format!("{hint}{hint}HTTP/1.1 204 No Content\r\n\r\n"));
    }
    let ok = "HTTP/1.1 200 OK\r\n";
    answers.extend(
        [
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"a\"\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.0 200 OK\r\n\r\nhello",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "junk\r\n\r\n",
            "\r\n\r\n",
        ]
        .map(str::to_owned),
    );
    for bad in [
        "Content-Length: 5, 5\r\n\r\nhello",
        "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "Content-Length: +5\r\n\r\nhello",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
        "X : a\r\nContent-Length: 5\r\n\r\nhello",
        "X\r\nContent-Length: 5\r\n\r\nhello",
        "X: a\0b\r\nContent-Length: 5\r\n\r\nhello",
        "Content-Length: 5\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
        "Connection: close\r\nContent-Length: 10\r\n\r\nhello",
        "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        answers.push(format!("{ok}{bad}"));
    }
    answers.into_iter().map(String::into_bytes).collect()
}

/// Answers to HEAD requests: each has the framing fields of a body that does not follow.
pub fn head_answers() -> Vec<Vec<u8>> {
    let framings = ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""];
    framings.map(|framing| format!("HTTP/1.1 200 OK\r\n{framing}\r\n").into_bytes()).into()
}

/// Answers that are cut at every byte.
pub fn cut_answers() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\nX",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
    ]
    .map(|answer| answer.as_bytes().to_vec())
    .into()
}
