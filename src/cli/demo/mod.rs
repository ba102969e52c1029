//! `demo`: gateway, example API and tokens in one process, without configuration.

mod api;
mod signed;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, StatusCode};

use super::CommandFailure;
use super::token::{self, TokenKind};
use crate::admin::{AdminAddress, AdminSettings};
use crate::approov::message_signing::{MessageSigningSettings, Mode};
use crate::approov::{ApproovSettings, Key, Secret, Strategy, Verifier};
use crate::clock;
use crate::config::{AccessLog, Http1Exchange, Log, RejectionAnswer, ServerSettings, Settings};
use crate::downstream::ListenerSettings;
use crate::fleet::FleetSettings;
use crate::limits::LimitSettings;
use crate::origins::Origin;
use crate::policy::{Policy, Route, RouteOptions, RouteTable, Share};
use crate::proxy::CorrelationSettings;
use crate::server::{LoadError, LocalService, Server, Start};
use crate::telemetry::{self, DiagnosticsFormat, PrivacySettings};

use api::ExampleApi;
use signed::SignedRequest;

/// How long tokens and signatures of the demo are good. Apps sign for 15 seconds.
const LIFE: Duration = Duration::from_secs(2 * 3600);

/// The value of `Authorization` to which the demo's bound token is bound.
const AUTHORIZATION_VALUE: &str = "Bearer demo-user";

/// Serve with nothing configured: an example API, a throw-away secret, tokens to try.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Works offline. Every start makes a new secret, so tokens of an earlier demo are refused."
)]
pub struct DemoArgs {
    /// Where clients connect; port 0 takes any free port
    #[arg(long, env = "GATEWAY_LISTEN", default_value = "127.0.0.1:8787", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where operators connect
    #[arg(long, env = "GATEWAY_ADMIN_LISTEN", default_value = "127.0.0.1:8788", value_name = "ADDRESS")]
    admin_listen: SocketAddr,
}

/// Serves until a signal ends it.
///
/// # Errors
/// [`CommandFailure::Running`] if the server cannot start, for example because an address is in use.
pub fn run(args: &DemoArgs) -> Result<(), CommandFailure> {
    telemetry::init_diagnostics().map_err(|error| CommandFailure::Running(error.to_string()))?;
    let failed = |error: &dyn std::fmt::Display| CommandFailure::Running(error.to_string());
    let origin = LocalService::start(ExampleApi::new()).map_err(|error| failed(&error))?;
    let secret = throw_away_secret()?;
    let tokens = Tokens::mint(&secret)?;
    let start = Start {
        settings: settings(args, &secret, origin.address()),
        reload: Arc::new(|| {
            let problems = "the demo has no configuration to reload".into();
            Err(LoadError { problems, files: Vec::new() })
        }),
        take_over: false,
        successor: Vec::new(),
    };
    let server = Server::start(start).map_err(|error| failed(&error))?;
    let public = server.listeners().first().copied().unwrap_or(args.listen);
    let signed = SignedRequest::new(&secret, public, LIFE)?;
    print!("{}", welcome(public, server.admin(), &tokens, &signed));
    server.run();
    Ok(())
}

fn throw_away_secret() -> Result<Secret, CommandFailure> {
    let mut bytes = [0; 64];
    rand::fill(&mut bytes)
        .map_err(|_| CommandFailure::Running("the system gives no random numbers".into()))?;
    Secret::from_base64(&STANDARD.encode(bytes)).map_err(|error| CommandFailure::Running(error.to_string()))
}

struct Tokens {
    valid: String,
    expired: String,
    wrongly_signed: String,
    bound: String,
}

impl Tokens {
    fn mint(secret: &Secret) -> Result<Self, CommandFailure> {
        let now = clock::system_time();
        let mint = |kind, bind: &[&str]| {
            let request = token::MintRequest {
                kind,
                bind: bind.iter().map(|value| (*value).to_owned()).collect(),
                ttl: LIFE,
                ..token::MintRequest::default()
            };
            token::mint(secret, &request, now).map_err(|error| CommandFailure::Running(error.to_string()))
        };
        Ok(Self {
            valid: mint(TokenKind::Valid, &[])?,
            expired: mint(TokenKind::Expired, &[])?,
            wrongly_signed: mint(TokenKind::Invalid, &[])?,
            bound: mint(TokenKind::Valid, &[AUTHORIZATION_VALUE])?,
        })
    }
}

fn welcome(public: SocketAddr, admin: AdminAddress, tokens: &Tokens, signed: &SignedRequest) -> String {
    let Tokens { valid, expired, wrongly_signed, bound } = tokens;
    let SignedRequest { token, input, signature } = signed;
    format!(
        "\n\
         The gateway is at http://{public}, an example API behind it. Paste into another terminal:\n\
         \n\
         # a genuine app: 200\n\
         curl -i http://{public}/posts/1 -H 'Approov-Token: {valid}'\n\
         \n\
         # a token that has expired: 401\n\
         curl -i http://{public}/posts/1 -H 'Approov-Token: {expired}'\n\
         \n\
         # a device that failed attestation, its token signed with another key: 401\n\
         curl -i http://{public}/posts/1 -H 'Approov-Token: {wrongly_signed}'\n\
         \n\
         # a token bound to its user: 200, and 401 with any other Authorization\n\
         curl -i http://{public}/me -H 'Authorization: {AUTHORIZATION_VALUE}' -H 'Approov-Token: {bound}'\n\
         \n\
         # a request that the app has signed: 200\n\
         curl -i http://{public}/account -H 'Approov-Token: {token}' \\\n  \
         -H 'Signature-Input: {input}' \\\n  \
         -H 'Signature: {signature}'\n\
         \n\
         # its token alone, stolen: 401\n\
         curl -i http://{public}/account -H 'Approov-Token: {token}'\n\
         \n\
         # what the API received: the token is not among it\n\
         curl -i http://{public}/echo -H 'Approov-Token: {valid}'\n\
         \n\
         # load for ten seconds, with oha (https://github.com/hatoo/oha): every answer is 200\n\
         oha -z 10s -c 64 -H 'Approov-Token: {valid}' http://{public}/posts/1\n\
         \n\
         # what was counted, and why requests were refused\n\
         curl -s http://{admin}/metrics | grep requests_total\n\
         \n\
         Below, the access log: one line a request. Ctrl-C ends the demo.\n\n"
    )
}

fn settings(args: &DemoArgs, secret: &Secret, api: SocketAddr) -> Settings {
    let seconds = Duration::from_secs;
    let route = |path: &str, strategy, message_signing| {
        let options = RouteOptions { message_signing, ..RouteOptions::default() };
        Route { options, ..Route::by_path(path, Policy::Protect, strategy) }
    };
    let mut signing = MessageSigningSettings::default();
    signing.rules.max_age = u32::try_from(LIFE.as_secs()).unwrap_or(u32::MAX);
    Settings {
        file: None,
        hash: String::new(),
        server: ServerSettings {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            drain_delay: Duration::ZERO,
            grace_period: seconds(5),
            pid_file: None,
            upgrade_sock: None,
            user: None,
            watch: false,
            upstream_keepalive_pool_size: 1024,
            http1_exchange: Http1Exchange::Direct,
        },
        listeners: vec![ListenerSettings::plain(args.listen)],
        admin: AdminSettings::from(args.admin_listen),
        approov: ApproovSettings {
            token_header: HeaderName::from_static("approov-token"),
            forward_token: false,
            binding_headers: vec![AUTHORIZATION],
            verifier: Verifier::new(vec![Key::hs256(secret)]),
            origin_verifiers: Vec::new(),
            message_signing: signing,
            forward_claims: Vec::new(),
        },
        key_sets: Vec::new(),
        rejection: RejectionAnswer {
            status: StatusCode::UNAUTHORIZED,
            content_type: HeaderValue::from_static("application/json"),
            body: Bytes::from_static(b"{}"),
            ..RejectionAnswer::default()
        },
        origins: vec![Origin::plain("example", api, HeaderValue::from_static("api.example.com"))],
        routes: RouteTable::new(vec![
            route("/me", Strategy::TokenBinding, Mode::Off),
            route("/account", Strategy::Token, Mode::Required),
            route("/", Strategy::Token, Mode::Off),
        ]),
        forward_headers: Vec::new(),
        correlation: CorrelationSettings::default(),
        limits: LimitSettings::default(),
        fleet: FleetSettings::default(),
        otlp: None,
        log: Log {
            level: log::LevelFilter::Info,
            format: DiagnosticsFormat::Text,
            access: AccessLog::Json,
            privacy: PrivacySettings::default(),
            sample: Share::ALL,
            file: None,
        },
        warnings: Vec::new(),
        files: Vec::new(),
    }
}
